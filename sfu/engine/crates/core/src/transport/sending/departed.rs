//! Which packet left under which transport-wide number, until the peer's feedback has told of it.
//!
//! A receiver asks for what it lacks once, and again after its round-trip time, or after 100 ms where it does not know
//! one (who only receives knows none); a request that is lost, or an answer, costs as much. Feedback comes each 50 ms
//! and tells of retransmissions too: what is missing there is sent again before the peer asks. Audio goes again under the
//! number that it had, so that of it only the first loss is told. Never sends; `feedback` does.

use std::collections::VecDeque;

use super::SendIndex;
use crate::rtcp::Arrivals;

/// Packets that are remembered: the feedback of more than a second at 10 Mbit/s.
const MAX_PACKETS: usize = 1_024;
/// A packet is missing when so many have overtaken it.
const OVERTAKEN_BY: usize = 3;

/// A packet that can be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Departed {
    pub(super) stream: SendIndex,
    /// Of the stream's media, also when it left as a retransmission.
    pub(super) ssrc: u32,
    /// Its number in the stream.
    pub(super) seq: u16,
    /// Its transport-wide number.
    pub(super) transport_seq: u16,
}

#[derive(Debug)]
struct Entry {
    /// Extended transport-wide number.
    number: u64,
    packet: Departed,
    told: Told,
}

/// What the peer has told of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Missing,
    Arrived,
}

/// The packets of which nothing was told, oldest first.
#[derive(Debug, Default)]
pub(super) struct Departures {
    entries: VecDeque<Entry>,
    newest: u64,
}

impl Departures {
    /// A packet has left. The oldest one is forgotten when the peer leaves too many untold.
    pub(super) fn push(&mut self, packet: Departed) {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits")]
        let ahead = packet.transport_seq.wrapping_sub(self.newest as u16);
        self.newest += u64::from(ahead);
        if self.entries.len() >= MAX_PACKETS {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { number: self.newest, packet, told: Told::Nothing });
    }

    /// Takes in what the peer tells, and adds what it lacks to `missing`; each packet is told once.
    pub(super) fn take_missing(&mut self, feedback: &Arrivals, missing: &mut Vec<Departed>) {
        let Some(first) = self.extend(feedback.first_seq) else { return };
        let mut received =
            feedback.received.iter().map(|(distance, _)| first + u64::from(*distance)).peekable();
        let end = first + u64::from(feedback.count);
        for entry in self.entries.iter_mut().take_while(|entry| entry.number < end) {
            while received.next_if(|number| *number < entry.number).is_some() {}
            if received.next_if_eq(&entry.number).is_some() {
                entry.told = Told::Arrived;
            } else if entry.number >= first {
                entry.told = Told::Missing;
            }
        }
        let overtaking = feedback.received.len().checked_sub(OVERTAKEN_BY);
        let overtaking = overtaking.and_then(|nth| feedback.received.get(nth));
        let decided = overtaking.map_or(first, |(distance, _)| first + u64::from(*distance));
        let count = self.entries.partition_point(|entry| entry.number < decided);
        // Of which nothing was told, there the feedback was lost, not the packet.
        let lacking = self.entries.drain(..count).filter(|entry| entry.told == Told::Missing);
        missing.extend(lacking.map(|entry| entry.packet));
    }

    /// The number at or below the newest one.
    fn extend(&self, transport_seq: u16) -> Option<u64> {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits")]
        let behind = (self.newest as u16).wrapping_sub(transport_seq);
        self.newest.checked_sub(u64::from(behind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(transport_seq: u16) -> Departed {
        Departed { stream: 0, ssrc: 1, seq: transport_seq.wrapping_add(1_000), transport_seq }
    }

    fn departures(numbers: impl IntoIterator<Item = u16>) -> Departures {
        let mut departures = Departures::default();
        for number in numbers {
            departures.push(packet(number));
        }
        departures
    }

    /// What is missing after a feedback on `count` packets from `first` on, of which some have not arrived.
    fn missing(departures: &mut Departures, first: u16, count: u16, lost: &[u16]) -> Vec<u16> {
        let mut missing = Vec::new();
        let received =
            (0..count).filter(|distance| !lost.contains(&first.wrapping_add(*distance))).map(|d| (d, 0));
        let arrivals =
            Arrivals { first_seq: first, count, number: 0, reference: 0, received: received.collect() };
        departures.take_missing(&arrivals, &mut missing);
        missing.iter().map(|packet| packet.transport_seq).collect()
    }

    #[test]
    fn what_others_have_overtaken_is_missing_once() {
        let mut departures = departures(1..=20);
        assert_eq!(missing(&mut departures, 1, 10, &[2, 5, 6]), [2, 5, 6]);
        assert_eq!(missing(&mut departures, 1, 10, &[2, 5, 6]), [], "told already");
        assert_eq!(missing(&mut departures, 11, 10, &[]), []);
    }

    #[test]
    fn what_was_only_just_overtaken_may_be_late() {
        let mut departures = departures(1..=20);
        assert_eq!(missing(&mut departures, 1, 10, &[8, 9]), [], "one packet came after them");
        assert_eq!(missing(&mut departures, 9, 12, &[]), [8], "9 has come, 8 has not");
    }

    #[test]
    fn a_feedback_that_is_lost_makes_nothing_missing() {
        let mut departures = departures(1..=40);
        assert_eq!(missing(&mut departures, 1, 10, &[8, 9]), []);
        assert_eq!(missing(&mut departures, 21, 20, &[30]), [8, 9, 30], "11 to 20 are not known");
    }

    #[test]
    fn numbers_turn_over_and_some_belong_to_packets_that_cannot_be_sent_again() {
        let video = (0..10_u16).map(|n| 65_530_u16.wrapping_add(n)).filter(|number| number % 2 == 0);
        let mut departures = departures(video);
        assert_eq!(missing(&mut departures, 65_529, 11, &[65_530, 65_531, 0]), [65_530, 0]);
    }

    #[test]
    fn a_peer_that_tells_nonsense_gets_nothing_twice() {
        let mut departures = departures(1..=20);
        assert_eq!(missing(&mut departures, 40_000, u16::MAX, &[]), [], "never sent");
        let mut nothing = Vec::new();
        let empty = Arrivals { first_seq: 1, count: u16::MAX, number: 0, reference: 0, received: Vec::new() };
        departures.take_missing(&empty, &mut nothing);
        assert_eq!(nothing, [], "nothing has overtaken them");
        assert_eq!(missing(&mut departures, 1, 20, &[1, 2, 3]), [1, 2, 3], "still known");
    }

    #[test]
    fn who_tells_nothing_costs_little() {
        let departures = departures((0..5_000).map(|n| n % 1_024));
        assert!(departures.entries.len() <= MAX_PACKETS);
    }
}
