//! The delay at which a subscriber is asked to play a video (playout-delay header extension, protocol.md §4.1).
//!
//! Between the room's limits it follows the subscriber's jitter. Where the room sets none, it makes time for what is lost
//! to come again: a receiver that knows no round-trip time, as who only receives, shows what is complete when its turn
//! comes, and misses by a few milliseconds what was sent again at once. A value goes with every packet until the
//! subscriber has reported on one that carried it; then with one a second: it holds until another comes, but who reports
//! on a packet need not have read it (a browser that has not applied our answer yet knows no extensions). Never reads a
//! clock.

use std::time::{Duration, Instant};

/// The most that the extension can say: 12 bits of 10 ms.
const LONGEST: Duration = Duration::from_millis(10 * 0xfff);
/// Upper limit where only a lower one is set; Chromium's own.
const DEFAULT_MAX: Duration = Duration::from_secs(10);
/// Who knows a delay is reminded of it so often.
const REMINDER: Duration = Duration::from_secs(1);
/// How many times the jitter is enough.
const JITTERS: u32 = 10;
/// Change of the delay per second; a quicker one would be heard, where sound is kept in step with the picture.
const CHANGE_PER_S: Duration = Duration::from_millis(80);

/// Losses within about [`LOSS_WINDOW`] that are worth a delay.
const LOSSES: f32 = 4.0;
const LOSS_WINDOW: Duration = Duration::from_secs(2);
/// What recovery takes beside the round trip: the next packet shows the gap, the answer waits for its turn.
const NOTICE: Duration = Duration::from_millis(60);
/// The same of a path that loses so much by itself …
const LATE_NOTICE_FROM_LOSS: f64 = 0.08;
/// … that what tells of a gap is often lost, too, and the next of its kind tells of it.
const LATE_NOTICE: Duration = Duration::from_millis(160);
/// Nobody is asked to wait longer for what was lost: a talk needs answers more than pictures.
const LONGEST_RECOVERY: Duration = Duration::from_millis(600);
/// So long after the last need of it the delay is given back.
const KEPT: Duration = Duration::from_secs(10);

/// Limits that a room sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayoutLimits {
    min: Duration,
    max: Duration,
}

impl PlayoutLimits {
    /// Limits as far as they can be told; a `max` of zero beside a `min` means none, one below `min` is taken as that.
    #[must_use]
    pub fn new(min: Duration, max: Duration) -> Self {
        let min = min.min(LONGEST);
        let max = if max.is_zero() && !min.is_zero() { DEFAULT_MAX } else { max };
        Self { min, max: max.clamp(min, LONGEST) }
    }
}

/// How far the subscriber knows the delay.
#[derive(Debug, Clone, Copy)]
enum Told {
    /// No packet has carried it.
    Not,
    /// Packets carry it from this sequence number on.
    From(u16),
    /// It has had one of these; at that moment, or that of the last reminder.
    Known(Instant),
}

/// What the delay is for.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    /// What the room asks for.
    Room(PlayoutLimits),
    /// Time for what is lost to come again.
    Recovery {
        /// Losses, fading.
        losses: f32,
        last_at: Instant,
        /// When there were last so many that they are worth a delay.
        needed_at: Instant,
    },
}

/// The delay of one stream.
#[derive(Debug)]
pub(super) struct PlayoutDelay {
    purpose: Purpose,
    delay: Duration,
    changed_at: Instant,
    told: Told,
}

impl PlayoutDelay {
    /// Begins with the room's least delay; without a room's wish with none, and tells nothing.
    pub(super) const fn new(now: Instant, limits: Option<PlayoutLimits>) -> Self {
        if let Some(limits) = limits {
            let purpose = Purpose::Room(limits);
            Self { purpose, delay: limits.min, changed_at: now, told: Told::Not }
        } else {
            let purpose = Purpose::Recovery { losses: 0.0, last_at: now, needed_at: now };
            Self { purpose, delay: Duration::ZERO, changed_at: now, told: Told::Known(now) }
        }
    }

    /// The subscriber lacks a packet, which is about to be sent again. `own_loss`: what part the path loses by itself.
    pub(super) fn note_lost(&mut self, now: Instant, round_trip: Duration, own_loss: f64) {
        let Purpose::Recovery { losses, last_at, needed_at } = &mut self.purpose else { return };
        let elapsed = now.saturating_duration_since(*last_at);
        *losses = *losses * (-elapsed.as_secs_f32() / LOSS_WINDOW.as_secs_f32()).exp() + 1.0;
        *last_at = now;
        if *losses < LOSSES {
            return; // few: what is there is kept no longer for them
        }
        *needed_at = now;
        let notice = if own_loss < LATE_NOTICE_FROM_LOSS { NOTICE } else { LATE_NOTICE };
        let wanted = (round_trip + notice).min(LONGEST_RECOVERY);
        if wanted > self.delay + self.delay / 8 {
            self.set(now, wanted);
        }
    }

    fn set(&mut self, now: Instant, delay: Duration) {
        if units(delay) != units(self.delay) {
            (self.delay, self.changed_at, self.told) = (delay, now, Told::Not);
        }
    }

    const fn max(&self) -> Duration {
        match self.purpose {
            Purpose::Room(limits) => limits.max,
            Purpose::Recovery { .. } => DEFAULT_MAX,
        }
    }

    /// What a packet is to carry: the value of the extension, or nothing.
    #[expect(clippy::cast_possible_truncation, reason = "the low bits go over the wire")]
    pub(super) fn value_for(&mut self, now: Instant, seq: u64) -> Option<[u8; 3]> {
        match &mut self.told {
            Told::Known(at) => {
                let needs_none = matches!(self.purpose, Purpose::Recovery { .. }) && self.delay.is_zero();
                if needs_none || now < *at + REMINDER {
                    return None;
                }
                *at = now;
            }
            Told::From(_) => {}
            told @ Told::Not => *told = Told::From(seq as u16),
        }
        let [_, bytes @ ..] = (units(self.delay) << 12 | units(self.max())).to_be_bytes();
        Some(bytes)
    }

    /// The subscriber has packets up to this sequence number, with such jitter.
    #[expect(clippy::cast_possible_truncation, reason = "the rest counts the subscriber's own cycles")]
    pub(super) fn note_report(&mut self, now: Instant, highest_seq: u32, jitter: Duration) {
        if let Told::From(first) = self.told
            && (highest_seq as u16).wrapping_sub(first) < 1 << 15
        {
            self.told = Told::Known(now);
        }
        match self.purpose {
            Purpose::Room(limits) => self.follow_jitter(now, limits, jitter),
            Purpose::Recovery { needed_at, .. } if now >= needed_at + KEPT => self.set(now, Duration::ZERO),
            Purpose::Recovery { .. } => {}
        }
    }

    fn follow_jitter(&mut self, now: Instant, limits: PlayoutLimits, jitter: Duration) {
        let elapsed = now.saturating_duration_since(self.changed_at).min(Duration::from_secs(1));
        let step = CHANGE_PER_S * u32::try_from(elapsed.as_millis()).unwrap_or_default() / 1_000;
        let wanted = (jitter * JITTERS)
            .clamp(self.delay.saturating_sub(step), self.delay + step)
            .clamp(limits.min, limits.max);
        self.set(now, wanted);
    }
}

/// In 10 ms.
fn units(delay: Duration) -> u32 {
    u32::try_from(delay.as_millis() / 10).unwrap_or_default() & 0xfff
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn value(min: u32, max: u32) -> [u8; 3] {
        let [_, bytes @ ..] = (min << 12 | max).to_be_bytes();
        bytes
    }

    #[test]
    fn every_packet_carries_it_until_one_has_arrived() {
        let now = Instant::now();
        let mut delay = PlayoutDelay::new(now, Some(PlayoutLimits::new(200 * MS, 400 * MS)));
        assert_eq!(delay.value_for(now, 65_534), Some(value(20, 40)));
        assert_eq!(delay.value_for(now, 65_535), Some(value(20, 40)));
        delay.note_report(now, 65_533, Duration::ZERO);
        assert_eq!(delay.value_for(now, 65_536), Some(value(20, 40)), "older packets arrived, not these");
        delay.note_report(now, 0x1_0000, Duration::ZERO);
        assert_eq!(delay.value_for(now + 999 * MS, 65_537), None);
        assert_eq!(delay.value_for(now + 1_000 * MS, 65_538), Some(value(20, 40)), "a reminder");
        assert_eq!(delay.value_for(now + 1_999 * MS, 65_539), None);
    }

    #[test]
    fn follows_jitter_slowly_within_the_limits() {
        let start = Instant::now();
        let mut delay = PlayoutDelay::new(start, Some(PlayoutLimits::new(100 * MS, 250 * MS)));
        let mut told = Vec::new();
        for second in 1..=4 {
            delay.note_report(start + 1_000 * MS * second, 0, 30 * MS);
            told.push(delay.value_for(start + 1_000 * MS * second, u64::from(second)));
            delay.note_report(start + 1_000 * MS * second, second, 30 * MS);
        }
        assert_eq!(
            told,
            [Some(value(18, 25)), Some(value(25, 25)), Some(value(25, 25)), Some(value(25, 25))]
        );
        delay.note_report(start + 60_000 * MS, 5, Duration::ZERO);
        assert_eq!(
            delay.value_for(start + 60_000 * MS, 6),
            Some(value(17, 25)),
            "80 ms at once, however long it took"
        );
    }

    #[test]
    fn limits_are_made_such_that_they_can_be_told() {
        let told = |min, max| {
            let now = Instant::now();
            PlayoutDelay::new(now, Some(PlayoutLimits::new(min, max))).value_for(now, 1).unwrap()
        };
        assert_eq!(told(Duration::ZERO, Duration::ZERO), value(0, 0), "play at once");
        assert_eq!(told(300 * MS, Duration::ZERO), value(30, 1_000));
        assert_eq!(told(300 * MS, 100 * MS), value(30, 30));
        assert_eq!(told(90_000 * MS, 90_000 * MS), value(0xfff, 0xfff));
    }

    #[test]
    fn as_long_as_packets_are_lost_there_is_time_for_them_to_come_again() {
        let start = Instant::now();
        let at = |ms: u32| start + MS * ms;
        let mut delay = PlayoutDelay::new(start, None);
        assert_eq!(delay.value_for(start, 1), None, "nothing to tell");
        for ms in [0, 3_000, 6_000, 9_000] {
            delay.note_lost(at(ms), 40 * MS, 0.0);
        }
        assert_eq!(delay.value_for(at(9_000), 2), None, "one now and then");
        for ms in [10_000, 10_100, 10_200, 10_300] {
            delay.note_lost(at(ms), 40 * MS, 0.0);
        }
        assert_eq!(delay.value_for(at(10_300), 3), Some(value(10, 1_000)));
        delay.note_report(at(10_500), 3, MS);
        assert_eq!(delay.value_for(at(10_500), 4), None, "it is known");
        delay.note_lost(at(10_600), 45 * MS, 0.0);
        assert_eq!(delay.value_for(at(10_600), 5), None, "hardly longer");
        delay.note_lost(at(10_700), 900 * MS, 0.0);
        assert_eq!(delay.value_for(at(10_700), 6), Some(value(60, 1_000)), "the longest");
        delay.note_report(at(11_000), 6, MS);
        delay.note_report(at(20_600), 100, MS);
        assert_eq!(delay.value_for(at(20_600), 101), Some(value(60, 1_000)), "kept for a while: a reminder");
        delay.note_report(at(20_800), 101, MS);
        assert_eq!(delay.value_for(at(20_800), 102), Some(value(0, 1_000)), "given back");
    }

    #[test]
    fn where_what_tells_of_a_gap_is_lost_too_there_is_time_for_the_next() {
        let start = Instant::now();
        let mut delay = PlayoutDelay::new(start, None);
        for ms in [0, 10, 20, 30, 40] {
            delay.note_lost(start + MS * ms, 100 * MS, 0.07);
        }
        assert_eq!(delay.value_for(start, 1), Some(value(16, 1_000)));
        delay.note_lost(start + 50 * MS, 100 * MS, 0.08);
        assert_eq!(delay.value_for(start, 2), Some(value(26, 1_000)));
    }

    #[test]
    fn losses_now_and_then_neither_lengthen_nor_keep_the_delay() {
        let start = Instant::now();
        let at = |ms: u32| start + MS * ms;
        let mut delay = PlayoutDelay::new(start, None);
        for ms in [0, 100, 200, 300, 400] {
            delay.note_lost(at(ms), 40 * MS, 0.0);
        }
        assert_eq!(delay.value_for(at(400), 1), Some(value(10, 1_000)));
        delay.note_report(at(500), 1, MS);
        for ms in (2_000..10_000).step_by(1_000) {
            delay.note_lost(at(ms), 400 * MS, 0.0);
            assert_eq!(
                delay.value_for(at(ms), 2),
                Some(value(10, 1_000)),
                "no more than was told: one a second"
            );
        }
        for ms in [10_000, 10_100, 10_200, 10_300] {
            delay.note_lost(at(ms), 40 * MS, 0.0);
        }
        delay.note_report(at(19_000), 100, MS);
        assert_eq!(
            delay.value_for(at(19_000), 101),
            Some(value(10, 1_000)),
            "many came again within its time"
        );
        for ms in (19_000..21_000).step_by(1_000) {
            delay.note_lost(at(ms), 40 * MS, 0.0);
        }
        delay.note_report(at(21_000), 101, MS);
        assert_eq!(
            delay.value_for(at(21_000), 102),
            Some(value(0, 1_000)),
            "given back, although a few are lost"
        );
    }
}
