//! Duplicates: reliable sequence numbers per sender, nonces per room.

/// Last reliable sequence number of one sender.
#[derive(Debug, Clone, Default)]
pub struct SequenceFilter {
    last: u32,
}

impl SequenceFilter {
    /// Whether a packet is new: a number at or below the last seen one is not; 0 (a client that does not number) is.
    pub fn accept(&mut self, _sequence: u32) -> bool {
        true
    }

    /// Last number seen, 0 before the first (`ReconnectResponse.last_message_seq`).
    #[must_use]
    pub const fn last(&self) -> u32 {
        self.last
    }
}

/// The last hundred nonces of a room.
#[derive(Debug, Clone, Default)]
pub struct NonceRing {
    _seen: Vec<Box<[u8]>>,
}

impl NonceRing {
    /// Whether a nonce is new; an empty one always is.
    pub fn accept(&mut self, _nonce: &[u8]) -> bool {
        true
    }
}
