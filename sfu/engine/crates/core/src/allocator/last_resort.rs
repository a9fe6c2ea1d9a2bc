//! When video must be paused, and when it may be tried again.
//!
//! An estimate too small for the least of all layers is not enough: estimators understate what they see little of. The
//! least must have been tried, and the path still be congested. What is paused shows nothing, so it is tried again once
//! the path has been quiet, even if the estimate has not come up all the way.

use std::time::{Duration, Instant};

/// How long the least of all must have been tried.
const TRIED: Duration = Duration::from_secs(1);
/// Congestion that long ago says nothing of now.
const FRESH: Duration = Duration::from_secs(2);
/// How long the path must have been quiet before what is paused is tried again.
const QUIET: Duration = Duration::from_secs(4);
/// An estimate of at least this part of what is needed (percent) is worth a try.
const WORTH_PERCENT: u64 = 50;

/// How things stand at the lower end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LastResort {
    congested_at: Option<Instant>,
    /// Since when every track gets its least.
    least_since: Option<Instant>,
}

impl LastResort {
    /// More was lost or queued than the path bears.
    pub(super) fn note_congestion(&mut self, now: Instant) {
        self.congested_at = Some(now);
    }

    /// Whether every track that plays gets its least.
    pub(super) fn note_least(&mut self, now: Instant, is_least: bool) {
        self.least_since = is_least.then(|| self.least_since.unwrap_or(now));
    }

    /// Whether nothing but a pause is left.
    pub(super) fn must_pause(&self, now: Instant) -> bool {
        let is_congested = self.congested_at.is_some_and(|at| now < at + FRESH);
        is_congested && self.least_since.is_some_and(|since| now >= since + TRIED)
    }

    /// Whether it is worth a try to spend so much.
    pub(super) fn may_try(&self, now: Instant, estimate_bps: u64, needed_bps: u64) -> bool {
        let is_quiet = self.congested_at.is_none_or(|at| now >= at + QUIET);
        is_quiet && estimate_bps.saturating_mul(100) >= needed_bps.saturating_mul(WORTH_PERCENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_tried_in_vain_is_given_up() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut resort = LastResort::default();
        assert!(
            !resort.must_pause(start) && resort.may_try(start, 50, 100) && !resort.may_try(start, 49, 100)
        );
        resort.note_least(start, true);
        assert!(!resort.must_pause(at(5_000)), "nothing is wrong");
        resort.note_congestion(at(900));
        resort.note_least(at(900), true);
        assert!(!resort.must_pause(at(999)) && resort.must_pause(at(1_000)));
        assert!(!resort.must_pause(at(2_900)), "it has passed");
        assert!(!resort.may_try(at(4_899), 100, 100) && resort.may_try(at(4_900), 100, 100));
        resort.note_congestion(at(5_000));
        resort.note_least(at(5_000), false);
        resort.note_least(at(5_001), true);
        assert!(!resort.must_pause(at(6_000)), "something more was given meanwhile");
    }
}
