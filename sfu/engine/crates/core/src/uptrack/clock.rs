//! Maps a publisher's NTP clock to ours, for lip sync. One per publishing transport, shared by all its tracks.

use std::time::{Duration, Instant, SystemTime};

/// A report that disagrees with the anchor by more than this means that the publisher set its clock.
const CLOCK_STEP: Duration = Duration::from_secs(5);

/// Relation between one publisher's NTP clock and our monotonic clock.
///
/// Audio and video of one publisher must go through the same mapping, else they drift apart at the subscriber.
#[derive(Debug, Clone, Default)]
pub struct WallClock {
    anchor: Option<(Instant, SystemTime)>,
}

impl WallClock {
    /// Takes in a sender report's NTP time and when it arrived. The report with the least delay so far anchors: what
    /// it says is nearest to the truth, and times mapped by it are hardly ever in the future.
    pub fn observe(&mut self, received_at: Instant, ntp_time: SystemTime) {
        let is_better = self.mapped(ntp_time).is_none_or(|mapped| {
            received_at < mapped || received_at.saturating_duration_since(mapped) > CLOCK_STEP
        });
        if is_better {
            self.anchor = Some((received_at, ntp_time));
        }
    }

    /// Our time of a publisher's NTP time: never after `now` and never more than five seconds before it; `now` when
    /// nothing is known yet.
    #[must_use]
    pub fn instant_of(&self, ntp_time: Option<SystemTime>, now: Instant) -> Instant {
        let mapped = ntp_time.and_then(|ntp_time| self.mapped(ntp_time)).unwrap_or(now);
        let earliest = now.checked_sub(CLOCK_STEP).unwrap_or(now);
        mapped.clamp(earliest, now)
    }

    /// As [`Self::instant_of`], but `None` when nothing is known yet.
    #[must_use]
    pub fn known_instant_of(&self, ntp_time: SystemTime, now: Instant) -> Option<Instant> {
        self.anchor?;
        Some(self.instant_of(Some(ntp_time), now))
    }

    fn mapped(&self, ntp_time: SystemTime) -> Option<Instant> {
        let (instant, anchor) = self.anchor?;
        match ntp_time.duration_since(anchor) {
            Ok(later) => instant.checked_add(later),
            Err(earlier) => instant.checked_sub(earlier.duration()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn maps_by_the_quickest_report() {
        let start = Instant::now() + CLOCK_STEP * 10;
        let ntp = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let mut clock = WallClock::default();
        assert_eq!(clock.instant_of(Some(ntp), start), start, "nothing known");
        assert_eq!(clock.known_instant_of(ntp, start), None);
        clock.observe(start + 80 * MS, ntp);
        assert_eq!(clock.instant_of(Some(ntp + 100 * MS), start + 500 * MS), start + 180 * MS);
        assert_eq!(clock.known_instant_of(ntp + 100 * MS, start + 500 * MS), Some(start + 180 * MS));
        clock.observe(start + 1_020 * MS, ntp + 1_000 * MS);
        let now = start + 1_500 * MS;
        assert_eq!(
            clock.instant_of(Some(ntp + 1_100 * MS), now),
            start + 1_120 * MS,
            "20 ms of delay, not 80"
        );
        clock.observe(start + 2_300 * MS, ntp + 2_000 * MS);
        assert_eq!(
            clock.instant_of(Some(ntp + 1_100 * MS), now),
            start + 1_120 * MS,
            "a slow one changes nothing"
        );
        assert_eq!(clock.instant_of(None, now), now);
    }

    #[test]
    fn is_never_in_the_future_nor_far_in_the_past() {
        let start = Instant::now() + CLOCK_STEP * 10;
        let ntp = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let mut clock = WallClock::default();
        clock.observe(start, ntp);
        assert_eq!(clock.instant_of(Some(ntp + 9 * MS), start), start);
        assert_eq!(clock.instant_of(Some(ntp - 60_000 * MS), start) + CLOCK_STEP, start);
    }

    #[test]
    fn follows_a_clock_that_was_set() {
        let start = Instant::now() + CLOCK_STEP * 10;
        let ntp = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for step in [3_600_000 * MS, Duration::ZERO] {
            let mut clock = WallClock::default();
            clock.observe(start, ntp + 1_800_000 * MS);
            clock.observe(start + 5 * MS, ntp + step);
            assert_eq!(clock.instant_of(Some(ntp + step + 10 * MS), start + 99 * MS), start + 15 * MS);
        }
    }
}
