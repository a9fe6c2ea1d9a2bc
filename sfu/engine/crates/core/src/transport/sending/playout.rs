//! The delay at which a subscriber is asked to play a video (playout-delay header extension, protocol.md §4.1).
//!
//! Between the room's limits it follows the subscriber's jitter. A value goes with every packet until the subscriber has
//! reported on one that carried it; then with none, for it holds until another comes. Never reads a clock.

use std::time::{Duration, Instant};

/// The most that the extension can say: 12 bits of 10 ms.
const LONGEST: Duration = Duration::from_millis(10 * 0xfff);
/// Upper limit where only a lower one is set; Chromium's own.
const DEFAULT_MAX: Duration = Duration::from_secs(10);
/// How many times the jitter is enough.
const JITTERS: u32 = 10;
/// Change of the delay per second; a quicker one would be heard, where sound is kept in step with the picture.
const CHANGE_PER_S: Duration = Duration::from_millis(80);

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
    /// It has had one of these.
    Known,
}

/// The delay of one stream.
#[derive(Debug)]
pub(super) struct PlayoutDelay {
    limits: PlayoutLimits,
    delay: Duration,
    changed_at: Instant,
    told: Told,
}

impl PlayoutDelay {
    /// Begins with the least delay.
    pub(super) const fn new(now: Instant, limits: PlayoutLimits) -> Self {
        Self { limits, delay: limits.min, changed_at: now, told: Told::Not }
    }

    /// What a packet is to carry: the value of the extension, or nothing.
    #[expect(clippy::cast_possible_truncation, reason = "the low bits go over the wire")]
    pub(super) fn value_for(&mut self, seq: u64) -> Option<[u8; 3]> {
        match self.told {
            Told::Known => return None,
            Told::From(_) => {}
            Told::Not => self.told = Told::From(seq as u16),
        }
        let [_, bytes @ ..] = (units(self.delay) << 12 | units(self.limits.max)).to_be_bytes();
        Some(bytes)
    }

    /// The subscriber has packets up to this sequence number, with such jitter.
    #[expect(clippy::cast_possible_truncation, reason = "the rest counts the subscriber's own cycles")]
    pub(super) fn note_report(&mut self, now: Instant, highest_seq: u32, jitter: Duration) {
        if let Told::From(first) = self.told
            && (highest_seq as u16).wrapping_sub(first) < 1 << 15
        {
            self.told = Told::Known;
        }
        let elapsed = now.saturating_duration_since(self.changed_at).min(Duration::from_secs(1));
        let step = CHANGE_PER_S * u32::try_from(elapsed.as_millis()).unwrap_or_default() / 1_000;
        let wanted = (jitter * JITTERS)
            .clamp(self.delay.saturating_sub(step), self.delay + step)
            .clamp(self.limits.min, self.limits.max);
        if units(wanted) != units(self.delay) {
            self.delay = wanted;
            self.changed_at = now;
            self.told = Told::Not;
        }
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
        let mut delay = PlayoutDelay::new(now, PlayoutLimits::new(200 * MS, 400 * MS));
        assert_eq!(delay.value_for(65_534), Some(value(20, 40)));
        assert_eq!(delay.value_for(65_535), Some(value(20, 40)));
        delay.note_report(now, 65_533, Duration::ZERO);
        assert_eq!(delay.value_for(65_536), Some(value(20, 40)), "older packets arrived, not these");
        delay.note_report(now, 0x1_0000, Duration::ZERO);
        assert_eq!(delay.value_for(65_537), None);
    }

    #[test]
    fn follows_jitter_slowly_within_the_limits() {
        let start = Instant::now();
        let mut delay = PlayoutDelay::new(start, PlayoutLimits::new(100 * MS, 250 * MS));
        let mut told = Vec::new();
        for second in 1..=4 {
            delay.note_report(start + 1_000 * MS * second, 0, 30 * MS);
            told.push(delay.value_for(u64::from(second)));
            delay.note_report(start + 1_000 * MS * second, second, 30 * MS);
        }
        assert_eq!(told, [Some(value(18, 25)), Some(value(25, 25)), None, None]);
        delay.note_report(start + 60_000 * MS, 5, Duration::ZERO);
        assert_eq!(delay.value_for(6), Some(value(17, 25)), "80 ms at once, however long it took");
    }

    #[test]
    fn limits_are_made_such_that_they_can_be_told() {
        let told =
            |min, max| PlayoutDelay::new(Instant::now(), PlayoutLimits::new(min, max)).value_for(1).unwrap();
        assert_eq!(told(Duration::ZERO, Duration::ZERO), value(0, 0), "play at once");
        assert_eq!(told(300 * MS, Duration::ZERO), value(30, 1_000));
        assert_eq!(told(300 * MS, 100 * MS), value(30, 30));
        assert_eq!(told(90_000 * MS, 90_000 * MS), value(0xfff, 0xfff));
    }
}
