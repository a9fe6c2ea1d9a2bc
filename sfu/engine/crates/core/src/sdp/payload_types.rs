//! Which codec each payload type of one association stands for.

use super::{RemoteAnswer, RemoteOffer, SdpError};

/// What a payload type stands for, in a form that two m-lines can be compared by: `VP8/90000`, `rtx 96`, `red 111`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) payload_type: u8,
    pub(super) meaning: Box<str>,
}

/// Payload types in use on one transport, over all its negotiations. A second meaning for one of them would be
/// unsafe: the association adopts the client's numbers for good.
#[derive(Debug, Clone, Default)]
pub struct PayloadTypes {
    bindings: Vec<Binding>,
}

impl PayloadTypes {
    /// Takes over the payload types of an offer; all or nothing.
    ///
    /// # Errors
    /// [`SdpError::DuplicatePayloadType`] when one of them already stands for another codec.
    pub fn adopt(&mut self, offer: &RemoteOffer) -> Result<(), SdpError> {
        self.merge(&offer.payload_types)
    }

    /// Takes over the payload types of an answer; all or nothing.
    ///
    /// # Errors
    /// [`SdpError::DuplicatePayloadType`] when one of them already stands for another codec.
    pub fn adopt_answer(&mut self, answer: &RemoteAnswer) -> Result<(), SdpError> {
        self.merge(&answer.payload_types)
    }

    fn merge(&mut self, others: &Self) -> Result<(), SdpError> {
        let mut merged = self.clone();
        for binding in &others.bindings {
            merged.bind(binding.clone())?;
        }
        *self = merged;
        Ok(())
    }

    /// Adds one binding; the same one again is nothing new.
    pub(super) fn bind(&mut self, binding: Binding) -> Result<(), SdpError> {
        match self.bindings.iter().find(|known| known.payload_type == binding.payload_type) {
            Some(known) if *known == binding => Ok(()),
            Some(_) => Err(SdpError::DuplicatePayloadType { payload_type: binding.payload_type }),
            None => {
                self.bindings.push(binding);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(payload_type: u8, meaning: &str) -> Binding {
        Binding { payload_type, meaning: meaning.into() }
    }

    #[test]
    fn a_conflict_changes_nothing() {
        let mut known = PayloadTypes { bindings: vec![binding(96, "VP8/90000")] };
        let other = PayloadTypes { bindings: vec![binding(97, "rtx 96"), binding(96, "AV1/90000")] };
        assert_eq!(known.merge(&other), Err(SdpError::DuplicatePayloadType { payload_type: 96 }));
        assert_eq!(known.bindings, [binding(96, "VP8/90000")]);
        let same = PayloadTypes { bindings: vec![binding(96, "VP8/90000"), binding(97, "rtx 96")] };
        assert_eq!(known.merge(&same), Ok(()));
        assert_eq!(known.bindings.len(), 2);
    }
}
