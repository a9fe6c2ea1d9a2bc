//! Which codec each payload type of one association stands for.

use super::{RemoteOffer, SdpError};

/// Payload types in use on one transport, over all its negotiations. A second meaning for one of them would be
/// unsafe: the association adopts the client's numbers for good.
#[derive(Debug, Clone, Default)]
pub struct PayloadTypes {
    _bindings: Vec<(u8, Box<str>)>,
}

impl PayloadTypes {
    /// Takes over the payload types of an offer; all or nothing.
    ///
    /// # Errors
    /// [`SdpError::DuplicatePayloadType`] when one of them already stands for another codec.
    pub fn adopt(&mut self, _offer: &RemoteOffer) -> Result<(), SdpError> {
        Ok(())
    }
}
