//! What a sender has sent reliably of late, for receivers that come back after their connection broke.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Destinations;

/// Memory for what is kept of one sender.
const LIMIT_BYTES: usize = 512 * 1024;
/// Messages kept of one sender.
const LIMIT_MESSAGES: usize = 1_024;
/// How long a message is kept. Clients remember for thirty seconds what they have received of whom: what is older
/// could be delivered twice.
pub const KEPT: Duration = Duration::from_secs(20);

#[derive(Debug)]
struct Sent {
    at: Instant,
    sequence: u32,
    destinations: Destinations,
    payload: Arc<[u8]>,
}

impl Sent {
    /// Bytes of memory. A short name among the destinations takes far more than in the packet.
    fn cost(&self) -> usize {
        let Destinations { identities, sids } = &self.destinations;
        let names = identities.iter().chain(sids);
        self.payload.len() + names.map(|name| name.len() + size_of::<String>()).sum::<usize>()
    }
}

/// A receiver, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub struct Returned<'a> {
    /// Its identity.
    pub identity: &'a str,
    /// Its sid.
    pub sid: &'a str,
    /// What was sent before was not for it.
    pub joined_at: Instant,
}

/// The last reliable messages of one sender, oldest first.
#[derive(Debug, Default)]
pub struct SentRing {
    sent: VecDeque<Sent>,
    bytes: usize,
}

impl SentRing {
    /// Keeps a numbered message; the oldest ones make room.
    pub fn keep(&mut self, now: Instant, sequence: u32, destinations: Destinations, payload: Arc<[u8]>) {
        let sent = Sent { at: now, sequence, destinations, payload };
        let cost = sent.cost();
        if sequence == 0 || cost > LIMIT_BYTES {
            return; // without a number, receivers could not tell it from one that they have
        }
        self.bytes += cost;
        self.sent.push_back(sent);
        while self.bytes > LIMIT_BYTES || self.sent.len() > LIMIT_MESSAGES || self.is_first_old(now) {
            self.forget_first();
        }
    }

    /// What a receiver that has everything up to `sequence` still needs, in order.
    pub fn after(&mut self, now: Instant, sequence: u32, receiver: Returned<'_>) -> Vec<Arc<[u8]>> {
        self.forget_old(now);
        let is_missed = |sent: &&Sent| {
            sent.sequence > sequence
                && sent.at >= receiver.joined_at
                && sent.destinations.lookup().includes(receiver.identity, receiver.sid)
        };
        self.sent.iter().filter(is_missed).map(|sent| Arc::clone(&sent.payload)).collect()
    }

    /// Forgets what is older than [`KEPT`].
    pub fn forget_old(&mut self, now: Instant) {
        while self.is_first_old(now) {
            self.forget_first();
        }
        if self.sent.is_empty() {
            self.sent = VecDeque::new();
        }
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    fn is_first_old(&self, now: Instant) -> bool {
        self.sent.front().is_some_and(|sent| now.saturating_duration_since(sent.at) > KEPT)
    }

    fn forget_first(&mut self) {
        if let Some(sent) = self.sent.pop_front() {
            self.bytes -= sent.cost();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver(joined_at: Instant) -> Returned<'static> {
        Returned { identity: "bob", sid: "PA_bob", joined_at }
    }

    fn to(identities: &[&str]) -> Destinations {
        let identities = identities.iter().map(|&identity| identity.to_owned()).collect();
        Destinations { identities, sids: Vec::new() }
    }

    fn marks(messages: &[Arc<[u8]>]) -> Vec<u8> {
        messages.iter().map(|message| message[0]).collect()
    }

    #[test]
    fn only_what_comes_after_and_was_meant_for_the_receiver_is_needed() {
        let start = Instant::now();
        let mut ring = SentRing::default();
        ring.keep(start, 1, to(&[]), vec![1].into());
        ring.keep(start, 2, to(&["carol"]), vec![2].into());
        ring.keep(start, 3, to(&["bob"]), vec![3].into());
        ring.keep(start, 0, to(&[]), vec![0].into());
        ring.keep(start + Duration::from_secs(1), 4, to(&[]), vec![4].into());
        assert_eq!(marks(&ring.after(start, 0, receiver(start))), [1, 3, 4]);
        assert_eq!(marks(&ring.after(start, 3, receiver(start))), [4]);
        assert_eq!(marks(&ring.after(start, 9, receiver(start))), [0; 0]);
        let later = start + Duration::from_millis(500);
        assert_eq!(marks(&ring.after(later, 0, receiver(later))), [4], "it was not there before");
    }

    #[test]
    fn what_is_kept_is_bounded_in_time_number_and_size() {
        let start = Instant::now();
        let mut ring = SentRing::default();
        for sequence in 1..=2_000 {
            ring.keep(start, sequence, to(&[]), vec![0].into());
        }
        assert_eq!(ring.after(start, 0, receiver(start)).len(), LIMIT_MESSAGES);
        for sequence in 2_001..=2_020 {
            ring.keep(start, sequence, to(&[]), vec![7; 60_000].into());
        }
        assert!(ring.bytes <= LIMIT_BYTES && ring.bytes > LIMIT_BYTES / 2);
        assert!(ring.after(start + KEPT + Duration::from_millis(1), 0, receiver(start)).is_empty());
        assert_eq!((ring.bytes, ring.sent.len()), (0, 0));
        ring.keep(start, 1, to(&vec![""; 30_000]), vec![0].into());
        assert!(ring.is_empty(), "names count as what they take");
    }
}
