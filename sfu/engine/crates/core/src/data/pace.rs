//! How much a subscriber's channel for data tracks may hold: what its path carries in a round trip and the target
//! latency. Pure arithmetic over what was written and what is still held; reads no clock, knows no channel.
//!
//! The path's rate is what was delivered since a message was written, over the time that this took; its round trip
//! without a queue is the shortest of late. Both as in BBR (draft-ietf-ccwg-bbr §4.1, §4.3), which finds a path's limits
//! by the same two numbers. What a channel holds includes what is under way, so that the limit is the rate times the
//! round trip and the target: what is above that would wait for longer than the target.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Before anything was delivered: little enough for a path of 50 kbit/s.
const INITIAL_BYTES: u64 = 1_200;
/// May be under way while a round trip is not known: a peer acknowledges two without delay (RFC 9260 §6.2).
const FIRST_MESSAGES: usize = 2;
/// A path of 50 kbit/s, in bytes per second: what it carries within the target is little enough to be written whatever
/// was measured.
const SLOW_BYTES_PER_S: u128 = 6_250;
/// What SCTP, DTLS, UDP and IP add to a message.
const OVERHEAD_BYTES: u64 = 90;
/// For how long at least a delivery counts as what the path can carry.
const RATE_WINDOW: Duration = Duration::from_secs(1);
/// For how long at least a round trip counts as the path's shortest.
const RTT_WINDOW: Duration = Duration::from_secs(10);
/// Messages under way that are told apart; further ones count as part of the last.
const MAX_SENT: usize = 1024;

#[derive(Debug, Clone, Copy)]
struct Sent {
    /// Of all bytes written, this message included.
    end: u64,
    /// The same with what the layers below add.
    wire_end: u64,
    at: Instant,
    acked_then: u64,
    acked_at_then: Instant,
}

/// The best value of this period and of the one before.
#[derive(Debug, Clone, Copy)]
struct Best<T> {
    before: Option<T>,
    present: Option<T>,
    began: Instant,
}

impl<T: Copy> Best<T> {
    const fn new(now: Instant) -> Self {
        Self { before: None, present: None, began: now }
    }

    fn note(&mut self, value: T, better: impl Fn(T, T) -> T) {
        self.present = Some(self.present.map_or(value, |best| better(best, value)));
    }

    fn get(&self, better: impl Fn(T, T) -> T) -> Option<T> {
        match (self.before, self.present) {
            (Some(before), Some(present)) => Some(better(before, present)),
            (before, present) => present.or(before),
        }
    }

    /// Begins a new period when this one is over and has a value.
    fn turn(&mut self, now: Instant, period: Duration) -> bool {
        let is_over = self.present.is_some() && now.saturating_duration_since(self.began) >= period;
        if is_over {
            (self.before, self.present, self.began) = (self.present, None, now);
        }
        is_over
    }
}

/// The pace of one channel.
#[derive(Debug)]
pub struct ChannelPace {
    target: Duration,
    written: u64,
    written_wire: u64,
    /// Of the messages that are done with.
    acked_wire: u64,
    acked_at: Instant,
    sent: VecDeque<Sent>,
    rate_bytes_per_s: Best<u64>,
    shortest_rtt: Best<Duration>,
    last_rtt: Duration,
    /// No queue was seen yet.
    is_starting: bool,
    /// A frame was refused in this period of `shortest_rtt`.
    has_refused: bool,
    /// A queue may have stood for so long that nothing shows the path without it: it must run dry once.
    must_run_dry: bool,
}

impl ChannelPace {
    /// Of a channel that holds nothing; what is written is to wait no longer than `target`. Zero: it may wait.
    #[must_use]
    pub fn new(now: Instant, target: Duration) -> Self {
        Self {
            target,
            written: 0,
            written_wire: 0,
            acked_wire: 0,
            acked_at: now,
            sent: VecDeque::new(),
            rate_bytes_per_s: Best::new(now),
            shortest_rtt: Best::new(now),
            last_rtt: Duration::ZERO,
            is_starting: true,
            has_refused: false,
            must_run_dry: false,
        }
    }

    /// Bytes of the messages that are held, with what the layers below add to them.
    #[must_use]
    pub const fn held_bytes(&self) -> u64 {
        self.written_wire - self.acked_wire
    }

    /// A message was written.
    pub fn note_written(&mut self, now: Instant, bytes: usize) {
        if self.held_bytes() == 0 {
            self.acked_at = now; // nothing could be delivered before
            if std::mem::take(&mut self.must_run_dry) {
                self.shortest_rtt = Best::new(now); // this message will show it
            }
        }
        self.written += bytes as u64;
        self.written_wire += on_wire(bytes);
        let (end, wire_end) = (self.written, self.written_wire);
        let is_full = self.sent.len() >= MAX_SENT;
        if let Some(last) = self.sent.back_mut().filter(|_| is_full) {
            (last.end, last.wire_end) = (end, wire_end);
        } else {
            let (acked_then, acked_at_then) = (self.acked_wire, self.acked_at);
            self.sent.push_back(Sent { end, wire_end, at: now, acked_then, acked_at_then });
        }
    }

    /// The channel holds that many bytes of messages now: the others have arrived, or were given up.
    pub fn note_held(&mut self, now: Instant, held_bytes: usize) {
        let done = self.written.saturating_sub(held_bytes as u64);
        let mut newest = None;
        while let Some(sent) = self.sent.front().filter(|sent| sent.end <= done) {
            newest = Some(*sent);
            self.sent.pop_front();
        }
        if let Some(sent) = newest {
            (self.acked_wire, self.acked_at) = (sent.wire_end, now);
            self.learn(now, &sent);
        }
    }

    fn learn(&mut self, now: Instant, sent: &Sent) {
        let elapsed_us = now.saturating_duration_since(sent.acked_at_then).as_micros().max(1);
        let bytes = u128::from(sent.wire_end - sent.acked_then);
        let rate = u64::try_from(bytes * 1_000_000 / elapsed_us).unwrap_or(u64::MAX);
        self.rate_bytes_per_s.turn(now, RATE_WINDOW);
        self.rate_bytes_per_s.note(rate, u64::max);
        self.last_rtt = now.saturating_duration_since(sent.at);
        if self.shortest_rtt.turn(now, RTT_WINDOW) {
            self.must_run_dry = std::mem::take(&mut self.has_refused);
        }
        self.shortest_rtt.note(self.last_rtt, Duration::min);
    }

    /// Whether a frame, whose first message has `bytes`, may begin.
    pub fn may_begin(&mut self, bytes: usize) -> bool {
        let may = self.target.is_zero() || self.has_room_for(on_wire(bytes));
        self.has_refused |= !may;
        may
    }

    fn has_room_for(&mut self, bytes: u64) -> bool {
        let held = self.held_bytes();
        if held == 0 {
            return true;
        }
        let Some(rate) = self.rate_bytes_per_s.get(u64::max) else {
            return self.sent.len() < FIRST_MESSAGES || held + bytes <= INITIAL_BYTES;
        };
        if self.must_run_dry {
            return false;
        }
        // A single message is acknowledged late (RFC 9260 §6.2), which looks like a queue and like a slow path: where each
        // waited for the one before, that would never be seen to be wrong.
        let little = SLOW_BYTES_PER_S * self.target.as_micros() / 1_000_000;
        if self.sent.len() < FIRST_MESSAGES && u128::from(held + bytes) <= little {
            return true;
        }
        let Some(rtt) = self.shortest_rtt.get(Duration::min) else { return self.sent.len() < FIRST_MESSAGES };
        let limit = |wait: Duration| u128::from(rate) * (rtt + wait).as_micros() / 1_000_000;
        if self.last_rtt > rtt + self.target / 4 {
            // The other half of the target is for the frame itself and for acknowledgements that are delayed.
            self.is_starting = false;
            return u128::from(held + bytes) <= limit(self.target / 2);
        }
        // No queue was seen: what is held may come of a peer, or of a server, that had no time for a moment. One frame
        // more shows whether the path carries more than it has so far; at first, when that is next to nothing, half as
        // much again.
        u128::from(held)
            <= if self.is_starting { limit(self.target / 2) * 3 / 2 } else { limit(self.target * 3 / 4) }
    }
}

const fn on_wire(bytes: usize) -> u64 {
    bytes as u64 + OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(100);
    const MS: Duration = Duration::from_millis(1);

    /// A link with a queue, to a receiver that acknowledges every second message or after 200 ms (RFC 9260 §6.2).
    struct Path {
        bytes_per_s: u64,
        one_way: Duration,
        free_at: Instant,
        /// When each message arrives, and its bytes.
        under_way: VecDeque<(Instant, usize)>,
        unacknowledged: usize,
        ack_by: Option<Instant>,
        /// When what remained unacknowledged is known.
        reports: VecDeque<(Instant, usize)>,
        held: usize,
        latencies: Vec<Duration>,
    }

    impl Path {
        fn new(now: Instant, bits_per_s: u64, one_way_ms: u64) -> Self {
            Self {
                bytes_per_s: bits_per_s / 8,
                one_way: MS * u32::try_from(one_way_ms).unwrap(),
                free_at: now,
                under_way: VecDeque::new(),
                unacknowledged: 0,
                ack_by: None,
                reports: VecDeque::new(),
                held: 0,
                latencies: Vec::new(),
            }
        }

        fn send(&mut self, now: Instant, bytes: usize) {
            let wire_us = (bytes as u64 + OVERHEAD_BYTES) * 1_000_000 / self.bytes_per_s;
            self.free_at = self.free_at.max(now) + Duration::from_micros(wire_us);
            let arrival = self.free_at + self.one_way;
            self.under_way.push_back((arrival, bytes));
            self.latencies.push(arrival - now);
            self.held += bytes;
        }

        /// Bytes still held, once something was acknowledged.
        fn run(&mut self, now: Instant) -> Option<usize> {
            while let Some((arrival, bytes)) = self.under_way.front().copied().filter(|(at, _)| *at <= now) {
                self.under_way.pop_front();
                self.unacknowledged += bytes;
                match self.ack_by.take() {
                    _ if bytes > 1_200 => self.acknowledge(arrival), // several packets
                    Some(_) => self.acknowledge(arrival),
                    None => self.ack_by = Some(arrival + 200 * MS),
                }
            }
            if self.ack_by.is_some_and(|by| by <= now) {
                self.ack_by = None;
                self.acknowledge(now);
            }
            let mut held = None;
            while let Some((_, bytes)) = self.reports.front().copied().filter(|(at, _)| *at <= now) {
                self.reports.pop_front();
                self.held -= bytes;
                held = Some(self.held);
            }
            held
        }

        fn acknowledge(&mut self, at: Instant) {
            self.reports.push_back((at + self.one_way, std::mem::take(&mut self.unacknowledged)));
        }
    }

    struct Outcome {
        passed: usize,
        offered: usize,
        longest: Duration,
    }

    /// `frames_per_s` frames of `packets` packets of `bytes` for `seconds`.
    fn stream(
        path: &mut Path,
        began: Instant,
        frames_per_s: u64,
        packets: usize,
        bytes: usize,
        seconds: u64,
    ) -> Outcome {
        let mut pace = ChannelPace::new(began, TARGET);
        go_on(&mut pace, path, began, (frames_per_s, packets, bytes), seconds)
    }

    /// The same on a channel that may have carried some already.
    fn go_on(
        pace: &mut ChannelPace,
        path: &mut Path,
        began: Instant,
        (frames_per_s, packets, bytes): (u64, usize, usize),
        seconds: u64,
    ) -> Outcome {
        let (mut passed, mut offered) = (0, 0);
        for ms in 0..seconds * 1000 {
            let now = began + Duration::from_millis(ms);
            if let Some(held) = path.run(now) {
                pace.note_held(now, held);
            }
            let is_time = |ms: u64| ms * frames_per_s / 1000;
            if ms == 0 || is_time(ms) != is_time(ms - 1) {
                offered += 1;
                if pace.may_begin(bytes) {
                    passed += 1;
                    for _ in 0..packets {
                        pace.note_written(now, bytes);
                        path.send(now, bytes);
                    }
                }
            }
        }
        let longest = path.latencies.iter().max().copied().unwrap_or_default();
        Outcome { passed, offered, longest }
    }

    #[test]
    fn a_narrow_path_keeps_its_latency_and_is_used() {
        for (frames_per_s, bytes) in [(50, 200), (100, 200), (200, 100), (500, 64)] {
            let began = Instant::now();
            let mut path = Path::new(began, 50_000, 20);
            let outcome = stream(&mut path, began, frames_per_s, 1, bytes, 60);
            let fits = 60 * 6250 / on_wire(bytes);
            assert!(outcome.passed as u64 * 10 > fits * 6, "{frames_per_s}: {} of {fits}", outcome.passed);
            assert!(outcome.longest < Duration::from_millis(200), "{frames_per_s}: {:?}", outcome.longest);
        }
    }

    #[test]
    fn a_path_that_becomes_narrow_goes_on_to_be_used() {
        // Whether a message comes alone, and is acknowledged late, depends on where the frames fall.
        for one_way_ms in 5..30 {
            let began = Instant::now();
            let mut path = Path::new(began, 100_000_000, one_way_ms);
            let mut pace = ChannelPace::new(began, TARGET);
            go_on(&mut pace, &mut path, began, (50, 1, 200), 5);
            path.bytes_per_s = 6_250;
            let mut began = began + Duration::from_secs(5);
            for second in 0..30 {
                let Outcome { passed, .. } = go_on(&mut pace, &mut path, began, (50, 1, 200), 1);
                began += Duration::from_secs(1);
                // 21 fit; a message that waits for its acknowledgement leaves three or four.
                assert!(second < 2 || passed >= 8, "{one_way_ms} ms, second {second}: {passed}");
            }
        }
    }

    #[test]
    fn a_path_that_carries_all_gets_all_after_a_moment() {
        for (one_way_ms, frames_per_s, packets, bytes, most_missed) in [
            (1, 60, 1, 200, 0),
            (1, 1, 1, 200, 0),
            (1, 5, 1, 12_000, 0),
            (10, 30, 20, 16_000, 3),
            (20, 100, 2, 16_000, 30),
            (150, 50, 1, 10_000, 150),
        ] {
            let began = Instant::now();
            let mut path = Path::new(began, 100_000_000, one_way_ms);
            let outcome = stream(&mut path, began, frames_per_s, packets, bytes, 40);
            let missed = outcome.offered - outcome.passed;
            assert!(missed <= most_missed, "{one_way_ms} ms, {frames_per_s} frames/s of {packets}: {missed}");
        }
    }

    #[test]
    fn frames_larger_than_the_path_come_one_at_a_time() {
        let began = Instant::now();
        let mut path = Path::new(began, 1_000_000, 10);
        let outcome = stream(&mut path, began, 30, 10, 1_200, 20); // 104 ms each
        assert!((100..=200).contains(&outcome.passed), "{}", outcome.passed);
        assert!(outcome.longest < Duration::from_millis(400), "{:?}", outcome.longest);
    }

    #[test]
    fn without_a_target_nothing_is_refused() {
        let now = Instant::now();
        let mut pace = ChannelPace::new(now, Duration::ZERO);
        for _ in 0..MAX_SENT + 10 {
            assert!(pace.may_begin(1_000_000));
            pace.note_written(now, 1_000_000);
        }
        pace.note_held(now + MS, 5_000_000);
        assert_eq!(pace.sent.len(), 1);
        pace.note_held(now + MS, usize::MAX); // as no channel would say
        assert_eq!(pace.sent.len(), 1);
    }
}
