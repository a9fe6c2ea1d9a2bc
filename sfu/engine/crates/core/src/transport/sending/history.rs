//! Packets sent on one stream, kept for those who lost them. Payloads are shared with all other subscribers.
//!
//! A ring: what is too old or has been overwritten is gone. Never sends; `stream` does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::header::Elements;
use super::patch::Patch;

/// How long a packet may be asked for.
const MAX_AGE: Duration = Duration::from_secs(2);
/// A packet is not sent again within that time of the last: the peer may have asked for it twice meanwhile.
const LEAST_RESEND_INTERVAL: Duration = Duration::from_millis(10);
/// Resent packets remembered at most, to know what is under way.
const MAX_UNDER_WAY: usize = 128;
/// Part of what was sent lately that may be sent again: recovery must not drown a narrow link.
const RESEND_SHARE: f32 = 0.4;
/// Bytes that may be sent again however little was sent lately.
const RESEND_FLOOR_BYTES: f32 = 20_000.0;
/// Over which what was sent counts as lately.
const SHARE_WINDOW: Duration = Duration::from_secs(1);
/// Places of a new ring; it grows with use.
const FIRST_PLACES: usize = 32;

/// One packet as it was sent, but for what is fresh each time.
#[derive(Debug, Clone)]
pub(super) struct SentPacket {
    pub(super) seq: u64,
    pub(super) timestamp: u32,
    /// Payload type of its retransmission.
    pub(super) resend_type: u8,
    pub(super) marker: bool,
    pub(super) payload: Arc<[u8]>,
    pub(super) patch: Patch,
    pub(super) elements: Elements,
    pub(super) sent_at: Instant,
}

/// The ring.
#[derive(Debug)]
pub(super) struct History {
    places: Vec<Option<SentPacket>>,
    max_places: usize,
    highest: u64,
    recent: f32,
    resent: f32,
    decayed_at: Instant,
    round_trip: Duration,
    /// Numbers sent again lately, and when; oldest first.
    under_way: VecDeque<(u64, Instant)>,
}

impl History {
    /// Keeps up to `max_places` packets.
    pub(super) const fn new(now: Instant, max_places: usize) -> Self {
        Self {
            places: Vec::new(),
            max_places,
            highest: 0,
            recent: 0.0,
            resent: 0.0,
            decayed_at: now,
            round_trip: Duration::ZERO,
            under_way: VecDeque::new(),
        }
    }

    /// Keeps a packet.
    pub(super) fn keep(&mut self, packet: SentPacket) {
        if self.max_places == 0 {
            return;
        }
        self.decay(packet.sent_at);
        self.recent += bytes_of(&packet);
        self.highest = self.highest.max(packet.seq);
        self.make_room(packet.sent_at, packet.seq);
        let place = self.place(packet.seq);
        self.places[place] = Some(packet);
    }

    /// Grows the ring while packets that may still be asked for would be overwritten.
    fn make_room(&mut self, now: Instant, seq: u64) {
        let length = self.places.len();
        let is_needed = length == 0
            || self.places[self.place(seq)]
                .as_ref()
                .is_some_and(|old| old.seq != seq && now.saturating_duration_since(old.sent_at) < MAX_AGE);
        if !is_needed || length >= self.max_places {
            return;
        }
        let wider = (length * 2).clamp(FIRST_PLACES.min(self.max_places), self.max_places);
        let kept = std::mem::replace(&mut self.places, vec![None; wider]);
        for packet in kept.into_iter().flatten() {
            let place = self.place(packet.seq);
            self.places[place] = Some(packet);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the remainder is less than the number of places")]
    fn place(&self, seq: u64) -> usize {
        (seq % self.places.len().max(1) as u64) as usize
    }

    /// Payload bytes of a packet that is still there. `seq` is as the peer names it.
    pub(super) fn bytes_of(&self, seq: u16) -> Option<usize> {
        self.at(self.extend(seq)?).map(|packet| packet.payload.len())
    }

    /// One of the packets sent last, counted from the newest, which is 0.
    pub(super) fn recent(&self, nth: u64) -> Option<&SentPacket> {
        self.at(self.highest.checked_sub(nth)?)
    }

    fn at(&self, seq: u64) -> Option<&SentPacket> {
        self.places.get(self.place(seq))?.as_ref().filter(|packet| packet.seq == seq)
    }

    /// The packet that a peer misses, when it may be sent again now. `seq` is as the peer names it.
    pub(super) fn take_for_resend(&mut self, now: Instant, seq: u16) -> Option<&SentPacket> {
        self.decay(now);
        let seq = self.extend(seq)?;
        if self.is_under_way(now, seq) {
            return None;
        }
        let place = self.place(seq);
        let (sent_before, resent_before) = (self.recent, self.resent);
        let packet = self.places.get_mut(place)?.as_mut().filter(|packet| packet.seq == seq)?;
        let age = now.saturating_duration_since(packet.sent_at);
        if !(LEAST_RESEND_INTERVAL..MAX_AGE).contains(&age) {
            return None;
        }
        let bytes = bytes_of(packet);
        if resent_before + bytes > (sent_before * RESEND_SHARE).max(RESEND_FLOOR_BYTES) {
            return None;
        }
        self.resent += bytes;
        packet.sent_at = now;
        self.under_way.push_back((seq, now));
        Some(packet)
    }

    /// Whether a packet was sent again so lately that it cannot have been seen missing since. A receiver that knows no
    /// round-trip time asks every 100 ms: on a long path most of its requests would only use up what may be resent.
    fn is_under_way(&mut self, now: Instant, seq: u64) -> bool {
        // A request in time is not to be missed because this round trip was measured a little too long.
        let patience = self.round_trip * 3 / 4;
        let is_over = |at: Instant| now.saturating_duration_since(at) >= patience;
        while self.under_way.front().is_some_and(|(_, at)| is_over(*at))
            || self.under_way.len() > MAX_UNDER_WAY
        {
            self.under_way.pop_front();
        }
        self.under_way.iter().any(|(sent, _)| *sent == seq)
    }

    /// How long a packet and the answer to it take, as last measured.
    pub(super) const fn note_round_trip(&mut self, round_trip: Duration) {
        self.round_trip = round_trip;
    }

    /// The extended number closest below or at the highest one sent.
    fn extend(&self, seq: u16) -> Option<u64> {
        let behind = u64::from((self.highest & 0xffff) as u16).wrapping_sub(u64::from(seq)) & 0xffff;
        self.highest.checked_sub(behind)
    }

    /// Lets what was sent fade from memory.
    fn decay(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.decayed_at);
        if elapsed < SHARE_WINDOW / 20 {
            return;
        }
        let kept = (-elapsed.as_secs_f32() / SHARE_WINDOW.as_secs_f32()).exp();
        self.recent *= kept;
        self.resent *= kept;
        self.decayed_at = now;
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share, not an account")]
fn bytes_of(packet: &SentPacket) -> f32 {
    packet.payload.len() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(seq: u64, sent_at: Instant) -> SentPacket {
        SentPacket {
            seq,
            timestamp: 0,
            resend_type: 97,
            marker: false,
            payload: Arc::from(vec![0; 1_000]),
            patch: Patch::NONE,
            elements: Elements::NONE,
            sent_at,
        }
    }

    fn filled(now: Instant, numbers: std::ops::Range<u64>, places: usize) -> History {
        let mut history = History::new(now, places);
        for seq in numbers {
            history.keep(packet(seq, now));
        }
        history
    }

    #[test]
    fn packets_are_found_by_the_number_that_the_peer_sees() {
        let now = Instant::now();
        let mut history = filled(now, 65_500..65_600, 300);
        let soon = now + Duration::from_millis(50);
        assert_eq!(history.take_for_resend(soon, 65_535).map(|found| found.seq), Some(65_535));
        assert_eq!(history.take_for_resend(soon, 10).map(|found| found.seq), Some(65_546));
        assert!(history.take_for_resend(soon, 64).is_none(), "not sent yet");
        assert!(history.take_for_resend(soon, 65_499).is_none(), "never sent");
    }

    #[test]
    fn the_oldest_make_room_for_the_newest() {
        let now = Instant::now();
        let mut history = filled(now, 1..401, 300);
        assert_eq!(history.places.len(), 300);
        let soon = now + Duration::from_millis(50);
        assert!(history.take_for_resend(soon, 100).is_none());
        assert!(history.take_for_resend(soon, 101).is_some());
    }

    #[test]
    fn a_slow_stream_keeps_its_ring_small() {
        let mut now = Instant::now();
        let mut history = History::new(now, 300);
        for seq in 1..1_000 {
            now += Duration::from_millis(100);
            history.keep(packet(seq, now));
        }
        assert_eq!(history.places.len(), FIRST_PLACES);
    }

    #[test]
    fn a_packet_is_neither_sent_twice_at_once_nor_when_it_is_old() {
        let now = Instant::now();
        let mut history = filled(now, 1..10, 300);
        assert!(history.take_for_resend(now, 5).is_none(), "it may still be on its way");
        let soon = now + LEAST_RESEND_INTERVAL;
        assert!(history.take_for_resend(soon, 5).is_some());
        assert!(history.take_for_resend(soon, 5).is_none());
        assert!(history.take_for_resend(soon + LEAST_RESEND_INTERVAL, 5).is_some());
        assert!(history.take_for_resend(now + MAX_AGE, 6).is_none());
    }

    #[test]
    fn what_is_asked_for_again_within_a_round_trip_is_under_way() {
        let now = Instant::now();
        let mut history = filled(now, 1..10, 300);
        history.note_round_trip(Duration::from_millis(400));
        let soon = now + Duration::from_millis(100);
        assert!(history.take_for_resend(soon, 5).is_some(), "the first request waits for nothing");
        for after_ms in [100, 200, 290] {
            assert!(history.take_for_resend(soon + Duration::from_millis(after_ms), 5).is_none());
        }
        assert!(history.take_for_resend(soon + Duration::from_millis(290), 6).is_some(), "another one");
        assert!(history.take_for_resend(soon + Duration::from_millis(300), 5).is_some());
        assert!(history.take_for_resend(soon + Duration::from_millis(400), 5).is_none());
    }

    #[test]
    fn only_a_share_is_sent_again() {
        let now = Instant::now();
        let mut history = filled(now, 1..201, 300);
        let soon = now + Duration::from_millis(20);
        let again = (1..201_u16).filter(|seq| history.take_for_resend(soon, *seq).is_some()).count();
        assert_eq!(again, 80);
        let later = soon + Duration::from_millis(1_900);
        assert!(history.take_for_resend(later, 200).is_some(), "what was sent again is forgotten in time");
    }

    #[test]
    fn without_places_nothing_is_kept() {
        let now = Instant::now();
        let mut history = filled(now, 1..10, 0);
        assert!(history.take_for_resend(now + Duration::from_millis(50), 5).is_none());
    }
}
