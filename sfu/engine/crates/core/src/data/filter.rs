//! Duplicates: reliable sequence numbers per sender, nonces per room.

use std::collections::VecDeque;

/// Nonces kept per room (`protocol.md` §2.10).
const RING_LENGTH: usize = 100;
/// A nonce has 16 bytes; of a longer one only this much tells it apart.
const NONCE_BYTES: usize = 32;

/// Last reliable sequence number of one sender.
#[derive(Debug, Clone, Default)]
pub struct SequenceFilter {
    last: u32,
}

impl SequenceFilter {
    /// Whether a packet is new: a number at or below the last seen one is not; 0 (a client that does not number) is.
    pub fn accept(&mut self, sequence: u32) -> bool {
        let is_new = sequence == 0 || sequence > self.last;
        self.last = self.last.max(sequence);
        is_new
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
    seen: VecDeque<Box<[u8]>>,
}

impl NonceRing {
    /// Whether a nonce is new; an empty one always is.
    pub fn accept(&mut self, nonce: &[u8]) -> bool {
        if nonce.is_empty() {
            return true;
        }
        let nonce = &nonce[..nonce.len().min(NONCE_BYTES)];
        if self.seen.iter().any(|seen| **seen == *nonce) {
            return false;
        }
        if self.seen.len() == RING_LENGTH {
            self.seen.pop_front();
        }
        self.seen.push_back(nonce.into());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_only_rise() {
        let mut filter = SequenceFilter::default();
        for (sequence, is_new, last) in [
            (1, true, 1),
            (1, false, 1),
            (3, true, 3),
            (2, false, 3),
            (0, true, 3),
            (u32::MAX, true, u32::MAX),
        ] {
            assert_eq!((filter.accept(sequence), filter.last()), (is_new, last), "{sequence}");
        }
    }

    #[test]
    fn nonces_are_remembered_for_a_while() {
        let mut ring = NonceRing::default();
        assert!(ring.accept(b"") && ring.accept(b""));
        assert!((0..100_u8).all(|nonce| ring.accept(&[nonce])));
        assert!((0..100_u8).all(|nonce| !ring.accept(&[nonce])));
        assert!(ring.accept(&[100]), "pushes the oldest out");
        assert!(ring.accept(&[0]));
        assert!(!ring.accept(&[2]));
        let long = [7; 40];
        assert!(ring.accept(&long) && !ring.accept(&long));
    }
}
