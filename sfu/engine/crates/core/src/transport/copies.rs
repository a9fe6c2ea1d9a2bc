//! Datagrams with data that go twice, because their path loses much by itself. Never asks why it does, never looks
//! behind the first byte of a datagram.
//!
//! An association takes a loss for a sign that it sends too much. Behind a radio that loses every tenth packet it comes
//! down to a packet in a round trip, and when its only one is lost it waits for a second, then for two, four and eight
//! (RFC 9260 §6.3.3): data stand still for longer than the path ever did. A copy that follows a little later makes such
//! a loss a rare one. The peer's DTLS drops what it has got already (RFC 6347 §4.1.2.6).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::allowance::Allowance;
use crate::output::Path;

/// A path that loses less by itself is left alone.
const LEAST_LOSS: f64 = 0.04;
/// A copy leaves that much later: what a radio loses, it loses in bursts.
const DELAY: Duration = Duration::from_millis(15);
/// Bytes that may go twice in a second: data is small, and files have time.
const BYTES_PER_S: u64 = 32_000;
/// What may be saved up of that.
const SAVED: Duration = Duration::from_millis(500);

/// What waits to go once more.
#[derive(Debug, Default)]
pub(super) struct Copies {
    waiting: VecDeque<(Instant, Path, Vec<u8>)>,
    unused: Vec<Vec<u8>>,
    allowance: Allowance,
}

impl Copies {
    /// A datagram leaves on a path that loses such a share by itself.
    pub(super) fn note_sent(&mut self, now: Instant, own_loss: f64, path: Path, datagram: &[u8]) {
        if own_loss < LEAST_LOSS || !is_data(datagram) || !self.charge(now, datagram.len()) {
            return;
        }
        let mut copy = self.unused.pop().unwrap_or_default();
        copy.extend_from_slice(datagram);
        self.waiting.push_back((now + DELAY, path, copy));
    }

    /// Whether it may go twice.
    fn charge(&mut self, now: Instant, bytes: usize) -> bool {
        let cost = Duration::from_nanos(bytes as u64 * 1_000_000_000 / BYTES_PER_S);
        let may = self.allowance.owed(now) + cost <= SAVED;
        if may {
            self.allowance.charge(now, cost, SAVED);
        }
        may
    }

    /// When the next one leaves.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.front().map(|(due, ..)| *due)
    }

    /// Sends what is due.
    pub(super) fn run(&mut self, now: Instant, mut send: impl FnMut(Path, &[u8])) {
        while self.deadline().is_some_and(|due| due <= now) {
            let Some((_, path, mut copy)) = self.waiting.pop_front() else { return };
            send(path, &copy);
            copy.clear();
            self.unused.push(copy);
        }
    }
}

/// Whether a datagram is a DTLS record of an application (RFC 6347 §4.1, RFC 9147 §4).
fn is_data(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(23 | 32..=63))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Carrier;

    const MS: Duration = Duration::from_millis(1);
    const DATA: [u8; 100] = [23; 100];

    fn path() -> Path {
        let address = "127.0.0.1:7".parse().unwrap();
        Path { carrier: Carrier::Udp, source: address, destination: address }
    }

    fn sent(copies: &mut Copies, now: Instant) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        copies.run(now, |_, datagram| sent.push(datagram.to_vec()));
        sent
    }

    #[test]
    fn data_goes_once_more_a_little_later_where_much_is_lost() {
        let (start, mut copies) = (Instant::now(), Copies::default());
        copies.note_sent(start, 0.03, path(), &DATA);
        copies.note_sent(start, 0.3, path(), &[22; 100]); // a handshake
        copies.note_sent(start, 0.3, path(), &[0x80; 100]); // media
        assert_eq!(copies.deadline(), None);
        copies.note_sent(start, 0.05, path(), &DATA);
        copies.note_sent(start + 5 * MS, 0.05, path(), &[23; 7]);
        assert_eq!(copies.deadline(), Some(start + DELAY));
        assert!(sent(&mut copies, start + 14 * MS).is_empty());
        assert_eq!(sent(&mut copies, start + 15 * MS), [DATA.to_vec()]);
        assert_eq!(sent(&mut copies, start + 20 * MS), [vec![23; 7]]);
        copies.note_sent(start + 30 * MS, 0.05, path(), &[23; 3]);
        assert_eq!(
            sent(&mut copies, start + 45 * MS),
            [vec![23; 3]],
            "a buffer that is used again begins empty"
        );
        assert_eq!(copies.deadline(), None);
    }

    #[test]
    fn a_file_does_not_go_twice() {
        let (start, mut copies) = (Instant::now(), Copies::default());
        for _ in 0..1_000 {
            copies.note_sent(start, 0.2, path(), &[23; 1_000]);
        }
        assert_eq!(sent(&mut copies, start + 15 * MS).len(), 16, "half a second's worth");
        copies.note_sent(start + 20 * MS, 0.2, path(), &[23; 1_000]);
        assert!(sent(&mut copies, start + 40 * MS).is_empty());
        copies.note_sent(start + 32 * MS, 0.2, path(), &[23; 1_000]);
        assert_eq!(sent(&mut copies, start + 50 * MS).len(), 1, "and so much in each second");
    }
}
