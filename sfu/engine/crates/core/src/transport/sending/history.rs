//! Packets sent on one stream, kept for those who lost them. Payloads are shared with all other subscribers.
//!
//! A ring: what is too old or has been overwritten is gone. Of audio only what has no redundancy is kept. Never sends;
//! `stream` does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::header::Elements;
use super::patch::Patch;

/// How long a packet may be asked for.
const MAX_AGE: Duration = Duration::from_secs(2);
/// The same of audio: nobody waits that long for a sound.
const MAX_AUDIO_AGE: Duration = Duration::from_secs(1);
/// For how long there is room for it at least, …
const LEAST_WANTED: Duration = Duration::from_secs(1);
/// … and for how many round trips: of the question and of the answer each may be lost.
const ROUNDS: u32 = 5;
/// A packet is not sent again within that time of the last: the peer may have asked for it twice meanwhile.
const LEAST_RESEND_INTERVAL: Duration = Duration::from_millis(10);
/// Headers and tag that go with a payload.
const WRAPPING_BYTES: usize = 60;
/// Part of what was sent lately that may be sent again: recovery must not drown a narrow link.
const RESEND_SHARE: f32 = 0.4;
/// Bytes that may be sent again however little was sent lately.
const RESEND_FLOOR_BYTES: f32 = 20_000.0;
/// The same of audio, which does not wait for its turn: half a second of speech.
const AUDIO_FLOOR_BYTES: f32 = 4_000.0;
/// The same where far too much was sent for the path: what goes again keeps its queue full. Of a small picture that fits
/// too little would be left: it would stand wherever packets get lost.
const FLOODED_SHARE: f32 = 0.1;
const FLOODED_FLOOR_BYTES: f32 = 3_000.0;
/// The same of a path that loses a share by itself and has room: so many times that share, …
const RESENDS_OF_LOSS: f32 = 5.0;
/// … and no more than all.
const MAX_RESEND_SHARE: f32 = 1.0;
/// Of what is sent again at this share and more the answers are lost, too: each goes twice …
const COPY_SHARE: f32 = 0.04;
/// … up to this part of what may be sent again …
const MAX_COPY_PART: f32 = 0.75;
/// … and three times where the path loses so much by itself that both are lost too often.
const THRICE_FROM_LOSS: f32 = 0.12;
/// Over which what was sent counts as lately.
const SHARE_WINDOW: Duration = Duration::from_secs(1);
/// Places of a new ring; it grows with use …
const FIRST_PLACES: usize = 32;
/// … and has so many left when the stream falls silent: the newest still serve as padding.
const SILENT_PLACES: usize = 16;

/// One packet as it was sent, but for what is fresh each time.
#[derive(Debug, Clone)]
pub(super) struct SentPacket {
    pub(super) seq: u64,
    pub(super) timestamp: u32,
    /// Payload type of its retransmission.
    pub(super) resend_type: u8,
    pub(super) marker: bool,
    pub(super) starts_key_frame: bool,
    pub(super) payload: Arc<[u8]>,
    pub(super) patch: Patch,
    pub(super) elements: Elements,
    pub(super) sent_at: Instant,
    /// When it went again last.
    pub(super) resent_at: Option<Instant>,
    /// The moment at which it left first as its header says it.
    pub(super) send_time: u32,
    /// The transport-wide number under which it left last.
    pub(super) transport_seq: u16,
    /// Its header names the line.
    pub(super) names_line: bool,
}

/// How the packets of a stream go again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// As packets of another stream (RFC 4588), each of them a new one.
    Apart,
    /// As they were, bit for bit: under the same number the same key stream must not meet anything else (RFC 3711 §9.1,
    /// RFC 7714 §8).
    Same,
}

/// The ring.
#[derive(Debug)]
pub(super) struct History {
    places: Vec<Option<SentPacket>>,
    max_places: usize,
    repeat: Repeat,
    highest: u64,
    key_frame: Option<KeyFrame>,
    recent: f32,
    /// Answers …
    resent: f32,
    /// … and what of them went more than once: answers must not stop because copies were many.
    copied: f32,
    decayed_at: Instant,
    round_trip: Duration,
    /// What part of the packets the path loses by itself, as long as it has room for what goes again.
    spare_loss: f32,
    /// When the path was last seen to be sent far more than it bears, if that was lately.
    flooded_at: Option<Instant>,
}

/// The newest one: a decoder can go on from there, whatever it lacks of the time before.
#[derive(Debug, Clone, Copy)]
struct KeyFrame {
    /// Its first packet.
    seq: u64,
    timestamp: u32,
    sent_at: Instant,
}

impl History {
    /// Keeps up to `max_places` packets.
    pub(super) const fn new(now: Instant, max_places: usize, repeat: Repeat) -> Self {
        Self {
            places: Vec::new(),
            max_places,
            repeat,
            highest: 0,
            key_frame: None,
            recent: 0.0,
            resent: 0.0,
            copied: 0.0,
            decayed_at: now,
            round_trip: Duration::ZERO,
            spare_loss: 0.0,
            flooded_at: None,
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
        // One of H.264 has several beginnings: its parameters, its slices.
        let is_another =
            self.key_frame.is_none_or(|key| packet.seq > key.seq && packet.timestamp != key.timestamp);
        // Any audio can be begun with; nothing of it makes the rest dispensable.
        if packet.starts_key_frame && is_another && self.repeat == Repeat::Apart {
            if self.is_flooded() {
                self.resent = 0.0; // what it cost to repair pictures that nobody waits for any more
            }
            self.key_frame =
                Some(KeyFrame { seq: packet.seq, timestamp: packet.timestamp, sent_at: packet.sent_at });
        }
        self.make_room(packet.sent_at, packet.seq);
        let place = self.place(packet.seq);
        self.places[place] = Some(packet);
    }

    /// Grows the ring while packets that will still be asked for would be overwritten: on a short path all is said soon.
    fn make_room(&mut self, now: Instant, seq: u64) {
        let length = self.places.len();
        let wanted = (self.round_trip * ROUNDS).clamp(LEAST_WANTED, self.max_age());
        let is_needed = length == 0
            || self.places[self.place(seq)]
                .as_ref()
                .is_some_and(|old| old.seq != seq && now.saturating_duration_since(old.sent_at) < wanted);
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

    /// The stream has fallen silent: what it sent last is too old to be asked for.
    pub(super) fn shrink(&mut self) {
        if self.places.len() <= SILENT_PLACES {
            return;
        }
        let kept = std::mem::replace(&mut self.places, vec![None; SILENT_PLACES]);
        let oldest = (self.highest + 1).saturating_sub(SILENT_PLACES as u64);
        for packet in kept.into_iter().flatten().filter(|packet| packet.seq >= oldest) {
            let place = self.place(packet.seq);
            self.places[place] = Some(packet);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the remainder is less than the number of places")]
    fn place(&self, seq: u64) -> usize {
        (seq % self.places.len().max(1) as u64) as usize
    }

    /// How the packets go again.
    pub(super) const fn repeat(&self) -> Repeat {
        self.repeat
    }

    const fn max_age(&self) -> Duration {
        match self.repeat {
            Repeat::Apart => MAX_AGE,
            Repeat::Same => MAX_AUDIO_AGE,
        }
    }

    fn resend_floor(&self) -> f32 {
        match self.repeat {
            _ if self.is_flooded() => FLOODED_FLOOR_BYTES,
            Repeat::Apart => RESEND_FLOOR_BYTES,
            Repeat::Same => AUDIO_FLOOR_BYTES,
        }
    }

    /// The transport-wide number of a packet. `seq` is as the peer names it.
    pub(super) fn transport_seq_of(&self, seq: u16) -> Option<u16> {
        self.at(self.extend(seq)?).map(|packet| packet.transport_seq)
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

    /// Whether a decoder can do without a packet because a newer key frame has been sent. `seq` is as the peer names it.
    pub(super) fn is_dispensable(&self, seq: u16) -> bool {
        self.key_frame.zip(self.extend(seq)).is_some_and(|(key, seq)| seq < key.seq)
    }

    /// Whether a packet left last under this transport-wide number. `seq` is as the peer names it.
    pub(super) fn left_last_as(&self, seq: u16, transport_seq: u16) -> bool {
        let packet = self.extend(seq).and_then(|seq| self.at(seq));
        packet.is_some_and(|packet| packet.transport_seq == transport_seq)
    }

    /// The packet that a peer misses, when it may be sent again now, as it will under `transport_seq` unless it goes as it
    /// was. `seq` is as the peer names it.
    pub(super) fn take_for_resend(
        &mut self,
        now: Instant,
        seq: u16,
        transport_seq: u16,
    ) -> Option<&SentPacket> {
        self.decay(now);
        let seq = self.extend(seq)?;
        let (place, max_age, patience) = (self.place(seq), self.max_age(), self.patience());
        let may_be_resent = (self.recent * self.resend_share()).max(self.resend_floor());
        let resent_before = self.resent;
        let packet = self.places.get_mut(place)?.as_mut().filter(|packet| packet.seq == seq)?;
        let is_within = |at: Instant, time: Duration| now.saturating_duration_since(at) < time;
        let is_under_way = packet.resent_at.is_some_and(|at| is_within(at, patience));
        if is_under_way || !is_within(packet.sent_at, max_age) {
            return None;
        }
        let bytes = bytes_of(packet);
        if resent_before + bytes > may_be_resent {
            return None;
        }
        self.resent += bytes;
        packet.resent_at = Some(now);
        if self.repeat == Repeat::Apart {
            packet.sent_at = now;
            packet.transport_seq = transport_seq;
        }
        Some(packet)
    }

    fn resend_share(&self) -> f32 {
        if self.is_flooded() {
            return FLOODED_SHARE;
        }
        (self.spare_loss * RESENDS_OF_LOSS).clamp(RESEND_SHARE, MAX_RESEND_SHARE)
    }

    /// How often more what was just sent again should go: much is lost, and not all of what may be sent again is used.
    pub(super) fn copies(&self) -> usize {
        let most = self.recent * self.resend_share() * MAX_COPY_PART;
        if self.resent < self.recent * COPY_SHARE || self.resent + self.copied >= most {
            0
        } else if self.spare_loss < THRICE_FROM_LOSS {
            1
        } else {
            2
        }
    }

    /// The same packet once more. `seq` is as the peer names it.
    pub(super) fn take_copy(&mut self, seq: u16) -> Option<&SentPacket> {
        let seq = self.extend(seq)?;
        self.copied += bytes_of(self.at(seq)?);
        self.at(seq)
    }

    /// For how long a packet that went again cannot have been seen missing since. A receiver that knows no round-trip time
    /// asks every 100 ms: on a long path most of its requests would only use up what may be resent.
    fn patience(&self) -> Duration {
        // A request in time is not to be missed because this round trip was measured a little too long.
        (self.round_trip * 3 / 4).max(LEAST_RESEND_INTERVAL)
    }

    /// Another share that the path loses by itself; 0 where it has no room for what goes again.
    pub(super) const fn note_spare_loss(&mut self, share: f32) {
        self.spare_loss = share;
    }

    /// When the path was last seen to be sent far more than it bears, if that was lately.
    pub(super) const fn note_flood(&mut self, flooded_at: Option<Instant>) {
        self.flooded_at = flooded_at;
    }

    /// Whether far too many pictures were sent, and no key frame since, with which another begins.
    fn is_flooded(&self) -> bool {
        let is_video = self.repeat == Repeat::Apart;
        self.flooded_at
            .filter(|_| is_video)
            .is_some_and(|at| self.key_frame.is_none_or(|key| at > key.sent_at))
    }

    /// Another round-trip time. The peer has a word in it.
    pub(super) fn note_round_trip(&mut self, round_trip: Duration) {
        self.round_trip = round_trip.min(MAX_AGE);
    }

    /// How long a packet and the answer to it take, as last measured.
    pub(super) const fn round_trip(&self) -> Duration {
        self.round_trip
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
        self.copied *= kept;
        self.decayed_at = now;
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share, not an account")]
fn bytes_of(packet: &SentPacket) -> f32 {
    (packet.payload.len() + WRAPPING_BYTES) as f32
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
            starts_key_frame: false,
            payload: Arc::from(vec![0; 1_000]),
            patch: Patch::NONE,
            elements: Elements::NONE,
            sent_at,
            resent_at: None,
            send_time: 0,
            transport_seq: 7,
            names_line: false,
        }
    }

    fn filled(now: Instant, numbers: std::ops::Range<u64>, places: usize) -> History {
        let mut history = History::new(now, places, Repeat::Apart);
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
        assert_eq!(history.take_for_resend(soon, 65_535, 0).map(|found| found.seq), Some(65_535));
        assert_eq!(history.take_for_resend(soon, 10, 0).map(|found| found.seq), Some(65_546));
        assert!(history.take_for_resend(soon, 64, 0).is_none(), "not sent yet");
        assert!(history.take_for_resend(soon, 65_499, 0).is_none(), "never sent");
    }

    #[test]
    fn the_oldest_make_room_for_the_newest() {
        let now = Instant::now();
        let mut history = filled(now, 1..401, 300);
        assert_eq!(history.places.len(), 300);
        let soon = now + Duration::from_millis(50);
        assert!(history.take_for_resend(soon, 100, 0).is_none());
        assert!(history.take_for_resend(soon, 101, 0).is_some());
    }

    #[test]
    fn a_silent_stream_keeps_little() {
        let now = Instant::now();
        let mut history = filled(now, 65_000..65_540, 300);
        history.shrink();
        let of_thirty = 30 * history.places.capacity() * size_of::<Option<SentPacket>>();
        assert!(of_thirty <= 100_000, "{of_thirty} bytes for thirty tracks");
        let recent: Vec<u64> = (0..20).filter_map(|nth| Some(history.recent(nth)?.seq)).collect();
        assert_eq!(recent, (65_524..65_540).rev().collect::<Vec<_>>(), "the newest");
        let later = now + Duration::from_secs(10);
        (65_540..65_840).for_each(|seq| history.keep(packet(seq, later)));
        let soon = later + Duration::from_millis(50);
        assert_eq!(
            history.take_for_resend(soon, 4, 0).map(|found| found.seq),
            Some(65_540),
            "it grows again"
        );
    }

    #[test]
    fn a_slow_stream_keeps_its_ring_small() {
        let mut now = Instant::now();
        let mut history = History::new(now, 300, Repeat::Apart);
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
        let soon = now + Duration::from_millis(1);
        assert!(history.take_for_resend(soon, 5, 0).is_some(), "a short path: who asks has seen later ones");
        assert!(history.take_for_resend(soon, 5, 0).is_none());
        assert!(history.take_for_resend(soon + LEAST_RESEND_INTERVAL, 5, 0).is_some());
        assert!(history.take_for_resend(now + MAX_AGE, 6, 0).is_none());
    }

    #[test]
    fn what_is_asked_for_again_within_a_round_trip_is_under_way() {
        let now = Instant::now();
        let mut history = filled(now, 1..10, 300);
        history.note_round_trip(Duration::from_millis(400));
        let soon = now + Duration::from_millis(100);
        assert!(history.take_for_resend(soon, 5, 0).is_some(), "the first request waits for nothing");
        for after_ms in [100, 200, 290] {
            assert!(history.take_for_resend(soon + Duration::from_millis(after_ms), 5, 0).is_none());
        }
        assert!(history.take_for_resend(soon + Duration::from_millis(290), 6, 0).is_some(), "another one");
        assert!(history.take_for_resend(soon + Duration::from_millis(300), 5, 0).is_some());
        assert!(history.take_for_resend(soon + Duration::from_millis(400), 5, 0).is_none());
    }

    #[test]
    fn what_lies_before_a_key_frame_is_dispensable() {
        let now = Instant::now();
        let mut history = filled(now, 1..20, 300);
        let key = |seq, timestamp| SentPacket { starts_key_frame: true, timestamp, ..packet(seq, now) };
        assert!(!history.is_dispensable(5), "nothing came after it");
        history.keep(key(20, 9_000));
        history.keep(key(21, 9_000)); // of the same frame
        (22..40).for_each(|seq| history.keep(packet(seq, now)));
        history.keep(key(10, 4_000)); // comes late
        for (seq, is_dispensable) in [(9, true), (10, true), (19, true), (20, false), (39, false)] {
            assert_eq!(history.is_dispensable(seq), is_dispensable, "{seq}");
        }
    }

    #[test]
    fn where_far_too_much_was_sent_hardly_anything_goes_again_until_a_new_key_frame() {
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let mut history = filled(now, 1..101, 300);
        let again = |history: &mut History, numbers: std::ops::Range<u16>| {
            numbers.filter(|seq| history.take_for_resend(at(40), *seq, 0).is_some()).count()
        };
        assert_eq!(again(&mut history, 1..21), 20);
        history.note_flood(Some(at(10)));
        assert_eq!(again(&mut history, 21..41), 0, "a tenth of what was sent has gone again long ago");
        history.keep(SentPacket { starts_key_frame: true, timestamp: 1, ..packet(101, at(20)) });
        assert_eq!(again(&mut history, 21..91), 40, "that was for pictures of the past");
        history.note_flood(Some(at(30)));
        assert_eq!(again(&mut history, 91..101), 0, "it is too much again");
        history.note_flood(None);
        history.resent = 0.0;
        assert_eq!(again(&mut history, 91..101), 10);
    }

    #[test]
    fn only_a_share_is_sent_again() {
        let now = Instant::now();
        let mut history = filled(now, 1..201, 300);
        let soon = now + Duration::from_millis(20);
        let again = (1..201_u16).filter(|seq| history.take_for_resend(soon, *seq, 0).is_some()).count();
        assert_eq!(again, 80);
        let later = soon + Duration::from_millis(1_900);
        assert!(history.take_for_resend(later, 200, 0).is_some(), "what was sent again is forgotten in time");
    }

    #[test]
    fn where_much_is_lost_what_is_sent_again_goes_twice() {
        let now = Instant::now();
        let mut history = filled(now, 1..201, 300);
        let soon = now + Duration::from_millis(20);
        let mut worth = Vec::new();
        for seq in 1..81 {
            assert!(history.take_for_resend(soon, seq, 0).is_some());
            worth.push(history.copies() == 1);
        }
        // 200 were sent: up to four percent is little, from thirty percent on one is enough.
        assert_eq!(worth.iter().position(|is_worth| *is_worth), Some(7));
        assert_eq!(worth.iter().rposition(|is_worth| *is_worth), Some(58));
        assert_eq!(history.take_copy(80).map(|packet| packet.seq), Some(80));
        assert!(history.take_copy(201).is_none());
        assert!(history.take_for_resend(soon, 100, 0).is_none(), "all that may be was sent again");
    }

    #[test]
    fn copies_take_nothing_from_the_answers() {
        let now = Instant::now();
        let mut history = filled(now, 1..201, 300);
        let soon = now + Duration::from_millis(20);
        history.note_spare_loss(0.2);
        for seq in 1..31 {
            assert!(history.take_for_resend(soon, seq, 0).is_some());
            for _ in 0..history.copies() {
                assert!(history.take_copy(seq).is_some());
            }
        }
        history.note_spare_loss(0.0); // its room is gone: what has gone thrice is too much now
        assert_eq!(history.copies(), 0);
        for seq in 31..71 {
            assert!(history.take_for_resend(soon, seq, 0).is_some(), "{seq}");
        }
    }

    #[test]
    fn where_the_path_itself_loses_much_more_goes_again() {
        let now = Instant::now();
        let mut history = filled(now, 1..201, 300);
        history.note_spare_loss(0.2);
        let soon = now + Duration::from_millis(20);
        let mut copies = Vec::new();
        for seq in 1..201 {
            assert!(history.take_for_resend(soon, seq, 0).is_some(), "all of it may go again: {seq}");
            copies.push(history.copies());
        }
        assert_eq!(copies.iter().filter(|copies| **copies == 2).count(), 142);
        assert_eq!(copies.iter().filter(|copies| **copies == 1).count(), 0);
        history.note_spare_loss(0.1);
        assert!(history.take_for_resend(soon + Duration::from_millis(500), 150, 0).is_none());
        assert_eq!(history.copies(), 0);
    }

    #[test]
    fn what_goes_again_as_it_was_keeps_its_age_and_number() {
        let now = Instant::now();
        let mut history = History::new(now, 200, Repeat::Same);
        (1..10).for_each(|seq| history.keep(packet(seq, now)));
        for after_ms in [100, 500, 999] {
            let packet = history.take_for_resend(now + Duration::from_millis(after_ms), 5, 99);
            assert_eq!(packet.map(|packet| (packet.sent_at, packet.transport_seq)), Some((now, 7)));
        }
        assert!(history.take_for_resend(now + MAX_AUDIO_AGE, 5, 99).is_none(), "too late to be heard");
        let again = (1..10).filter(|seq| history.take_for_resend(now, *seq, 99).is_some()).count();
        assert_eq!(again, 1, "four thousand bytes, however little was sent");
    }

    #[test]
    fn audio_takes_the_places_of_a_second() {
        let mut now = Instant::now();
        let mut history = History::new(now, 200, Repeat::Same);
        history.note_round_trip(Duration::from_secs(3));
        for seq in 1..1_000 {
            now += Duration::from_millis(20);
            history.keep(packet(seq, now));
        }
        assert_eq!(history.places.len(), 64);
    }

    #[test]
    fn without_places_nothing_is_kept() {
        let now = Instant::now();
        let mut history = filled(now, 1..10, 0);
        assert!(history.take_for_resend(now + Duration::from_millis(50), 5, 0).is_none());
    }
}
