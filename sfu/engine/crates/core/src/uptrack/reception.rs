//! How the packets of one audio track arrive, for reports to its publisher (RFC 3550 §6.4.1, A.3, A.8), and how its
//! subscribers fare: the worst of their losses is reported as if it were on the publisher's own way, so that its encoder
//! adds redundancy (`protocol.md` §4.4). Sends nothing.

use std::time::{Duration, Instant};

use crate::rtcp::ReceptionBlock;
use crate::rtp::seq::low_32_bits;

/// Reports come that often while packets do.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a subscriber's report counts, at least; at most twice that long. Browsers report on audio every five seconds.
const SUBSCRIBERS_WINDOW: Duration = Duration::from_secs(6);
/// Most that the count of lost packets can say, either way.
const MAX_LOST: i64 = 0x007f_ffff;

/// What is known of one stream.
#[derive(Debug, Default)]
pub struct Reception {
    run: Option<Run>,
    due: Option<Instant>,
    /// Middle of the NTP time of the publisher's last sender report, and when that came.
    sender_report: Option<(u32, Instant)>,
    /// Worst loss of a subscriber in this window and in the one before.
    worst: [u8; 2],
    window_began: Option<Instant>,
}

/// Packets of one SSRC since its first.
#[derive(Debug)]
struct Run {
    ssrc: u32,
    first: u64,
    highest: u64,
    received: u64,
    expected_before: u64,
    received_before: u64,
    began: Instant,
    transit: u32,
    /// In sixteenths of a tick.
    jitter: u32,
}

impl Reception {
    /// Notes a packet of any kind. True: a report is due some time from now on, where none was before.
    pub fn note(&mut self, now: Instant, ssrc: u32, seq: u64, timestamp: u32, clock_rate_hz: u32) -> bool {
        let run = match self.run.take() {
            Some(run) if run.ssrc == ssrc => run,
            _ => Run::new(now, ssrc, seq, timestamp),
        };
        self.run = Some(run.with(now, seq, timestamp, clock_rate_hz));
        let is_news = self.due.is_none();
        self.due.get_or_insert(now + INTERVAL);
        is_news
    }

    /// Notes a sender report of the publisher by the middle of its NTP time.
    pub const fn note_sender_report(&mut self, now: Instant, stamp: u32) {
        self.sender_report = Some((stamp, now));
    }

    /// A subscriber says which part of the packets it has lost, in 256ths.
    pub fn note_subscriber(&mut self, now: Instant, fraction_lost: u8) {
        self.turn_window(now);
        self.worst[0] = self.worst[0].max(fraction_lost);
    }

    /// When [`Self::poll`] should be called.
    #[must_use]
    pub const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The report that is due. A stream that has fallen silent makes none.
    pub fn poll(&mut self, now: Instant) -> Option<ReceptionBlock> {
        self.due.take_if(|due| *due <= now)?;
        self.turn_window(now);
        let worst = self.worst[0].max(self.worst[1]);
        let (last_report, delay) = self
            .sender_report
            .map_or((0, Duration::ZERO), |(stamp, at)| (stamp, now.saturating_duration_since(at)));
        let run = self.run.as_mut()?;
        let block = run.report()?;
        self.due = Some(now + INTERVAL);
        Some(ReceptionBlock { fraction_lost: block.fraction_lost.max(worst), last_report, delay, ..block })
    }

    fn turn_window(&mut self, now: Instant) {
        let began = *self.window_began.get_or_insert(now);
        let age = now.saturating_duration_since(began);
        if age < SUBSCRIBERS_WINDOW {
            return;
        }
        self.worst = [0, if age < SUBSCRIBERS_WINDOW * 2 { self.worst[0] } else { 0 }];
        self.window_began = Some(now);
    }
}

impl Run {
    const fn new(now: Instant, ssrc: u32, seq: u64, timestamp: u32) -> Self {
        Self {
            ssrc,
            first: seq,
            highest: seq,
            received: 0,
            expected_before: 0,
            received_before: 0,
            began: now,
            transit: 0_u32.wrapping_sub(timestamp),
            jitter: 0,
        }
    }

    fn with(mut self, now: Instant, seq: u64, timestamp: u32, clock_rate_hz: u32) -> Self {
        let is_late = seq < self.highest;
        self.first = self.first.min(seq);
        self.highest = self.highest.max(seq);
        self.received += 1;
        if is_late {
            return self; // overtaken or sent again: that it took longer is no jitter
        }
        let elapsed =
            now.saturating_duration_since(self.began).as_nanos() * u128::from(clock_rate_hz) / 1_000_000_000;
        let transit = low_32_bits(elapsed).wrapping_sub(timestamp);
        let difference = transit.wrapping_sub(self.transit).cast_signed().unsigned_abs();
        self.transit = transit;
        // RFC 3550 A.8; a jump of the clock is no jitter.
        if difference < clock_rate_hz {
            self.jitter = self.jitter + difference - (self.jitter + 8) / 16;
        }
        self
    }

    /// `None`: nothing has come since the last one.
    fn report(&mut self) -> Option<ReceptionBlock> {
        let expected = self.highest - self.first + 1;
        let (newly_expected, newly_received) =
            (expected - self.expected_before, self.received - self.received_before);
        if newly_received == 0 {
            return None;
        }
        (self.expected_before, self.received_before) = (expected, self.received);
        let lost = newly_expected.saturating_sub(newly_received);
        let lost_in_all = expected.cast_signed() - self.received.cast_signed();
        Some(ReceptionBlock {
            ssrc: self.ssrc,
            fraction_lost: u8::try_from(u128::from(lost) * 256 / u128::from(newly_expected.max(1)))
                .unwrap_or(u8::MAX),
            lost: i32::try_from(lost_in_all.clamp(-MAX_LOST - 1, MAX_LOST)).unwrap_or_default(),
            highest: low_32_bits(self.highest.into()),
            jitter: self.jitter / 16,
            last_report: 0,
            delay: Duration::ZERO,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Duration = Duration::from_millis(20);

    /// Packets of the given numbers, each at its time.
    fn give(reception: &mut Reception, start: Instant, numbers: impl Iterator<Item = u32>) {
        for number in numbers {
            reception.note(start + FRAME * number, 7, 1_000 + u64::from(number), number * 960, 48_000);
        }
    }

    #[test]
    fn loss_is_told_by_interval_and_in_all() {
        let (mut reception, start) = (Reception::default(), Instant::now());
        assert_eq!(reception.due(), None);
        give(&mut reception, start, (0..50).filter(|number| number % 4 != 3));
        let due = reception.due().unwrap();
        assert_eq!(due, start + INTERVAL);
        assert_eq!(reception.poll(start + FRAME * 49), None);
        let block = reception.poll(due).unwrap();
        // Of the 50 numbers 12 are missing: 3, 7, … 47.
        assert_eq!((block.ssrc, block.highest, block.lost), (7, 1_049, 12));
        assert_eq!(block.fraction_lost, u8::try_from(12 * 256 / 50).unwrap());
        assert_eq!((block.jitter, block.last_report, block.delay), (0, 0, Duration::ZERO));
        give(&mut reception, start, 50..100);
        let block = reception.poll(due + INTERVAL).unwrap();
        assert_eq!((block.fraction_lost, block.lost), (0, 12));
        assert_eq!(reception.poll(due + INTERVAL * 2), None, "silence is not reported on");
        assert_eq!(reception.due(), None);
        give(&mut reception, start, 200..201);
        assert!(reception.due().is_some());
    }

    #[test]
    fn late_packets_are_no_gain_beyond_what_was_expected() {
        let (mut reception, start) = (Reception::default(), Instant::now());
        for seq in [10, 9, 12, 11, 8] {
            reception.note(start, 7, seq, 0, 48_000);
        }
        let block = reception.poll(start + INTERVAL).unwrap();
        assert_eq!((block.fraction_lost, block.lost), (0, 0));
        reception.note(start, 7, 12, 0, 48_000);
        let block = reception.poll(start + INTERVAL * 2).unwrap();
        assert_eq!((block.fraction_lost, block.lost), (0, -1), "a repeated one counts against losses");
    }

    #[test]
    fn the_worst_subscriber_counts_while_its_report_is_young() {
        let (mut reception, start) = (Reception::default(), Instant::now());
        let mut fractions: Vec<u32> = Vec::new();
        for second in 0..20 {
            let now = start + INTERVAL * second;
            if second == 3 {
                reception.note_subscriber(now, 20);
                reception.note_subscriber(now, 90);
                reception.note_subscriber(now, 50);
            }
            reception.note(now, 7, u64::from(second), 0, 48_000);
            fractions.extend(reception.poll(now).map(|block| u32::from(block.fraction_lost)));
        }
        let told = fractions.iter().filter(|fraction| **fraction == 90).count();
        assert!((5..=12).contains(&told), "{fractions:?}");
        assert!(fractions.iter().all(|fraction| [0, 90].contains(fraction)));
        assert_eq!(fractions.last(), Some(&0));
    }

    #[test]
    fn another_ssrc_and_wild_numbers_are_no_trouble() {
        let (mut reception, start) = (Reception::default(), Instant::now());
        reception.note(start, 1, u64::MAX / 2, u32::MAX, 48_000);
        reception.note(start, 1, 5, 0, 0);
        let block = reception.poll(start + INTERVAL).unwrap();
        assert_eq!(block.fraction_lost, u8::MAX);
        reception.note(start + INTERVAL, 2, 70_000, 3, 8_000);
        reception.note_sender_report(start + INTERVAL, 0x1234);
        let block = reception.poll(start + INTERVAL * 3).unwrap();
        assert_eq!((block.ssrc, block.highest, block.lost), (2, 70_000, 0));
        assert_eq!((block.last_report, block.delay), (0x1234, INTERVAL * 2));
    }

    #[test]
    fn what_comes_late_is_no_jitter() {
        let (mut reception, start) = (Reception::default(), Instant::now());
        let rtt = FRAME * 7;
        for number in 0..200_u32 {
            if number % 20 != 3 {
                reception.note(start + FRAME * number, 7, number.into(), number * 960, 48_000);
            }
            if number % 20 == 10 {
                let late = number - 7;
                reception.note(start + FRAME * late + rtt, 7, late.into(), late * 960, 48_000);
            }
        }
        let block = reception.poll(start + FRAME * 200).unwrap();
        assert_eq!((block.jitter, block.lost, block.fraction_lost), (0, 0, 0));
    }

    #[test]
    fn jitter_follows_the_standard() {
        let (mut reception, start) = (Reception::default(), Instant::now());
        for number in 0..400_u32 {
            let delay = Duration::from_millis(if number % 2 == 0 { 0 } else { 10 });
            reception.note(start + FRAME * number + delay, 7, number.into(), number * 960, 48_000);
        }
        let block = reception.poll(start + FRAME * 400).unwrap();
        assert!((470..=480).contains(&block.jitter), "differences of 10 ms are 480 ticks: {}", block.jitter);
    }
}
