//! When to test whether a path bears more, and how: padding beside the media for a moment. Sans-IO.
//!
//! A [`Prober`] is told what the allocator wants and what the estimate is, and plans probes; it never sends. What a probe
//! showed it learns from the estimate alone.

mod clusters;
mod stairs;

use std::fmt::Debug;
use std::time::{Duration, Instant};

pub use clusters::Clusters;
pub use stairs::Stairs;

use crate::rate::{RateEstimate, RateFeedback, RateGoal};

/// How often padding is sent while a probe is under way: the grid of the shard's timers.
pub const TICK: Duration = Duration::from_millis(5);

/// Part of what the next step up needs by which a probe is larger: a path that bears just that would not bear it for long.
const OVERSIZE_PERCENT: u64 = 120;
/// A probe is larger than the estimate at least by so much.
const LEAST_STEP_BPS: u64 = 200_000;
/// Wait after a probe that showed nothing: first, growing by half with each one …
const FIRST_WAIT: Duration = Duration::from_secs(3);
/// … and at most. The reference waits up to two minutes; then nothing would be known of a link that has widened again.
/// A burst fills a narrow link for less than a tenth of a second.
const LONGEST_WAIT: Duration = Duration::from_secs(6);

/// A probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Its number, one more than that of the probe before.
    pub id: u32,
    /// Bits per second that leave while it lasts, media counted.
    pub rate_bps: u64,
    /// When it ends at the latest.
    pub until: Instant,
    /// A burst to be measured packet by packet; else a load to be borne for a while, which the media alone may also be.
    pub is_cluster: bool,
}

/// Plans probes for one transport.
pub trait Prober: Debug + Send {
    /// What is wanted now.
    fn set_goal(&mut self, now: Instant, goal: RateGoal);

    /// What is known now. To be called after every feedback.
    fn set_estimate(&mut self, now: Instant, estimate: Option<RateEstimate>);

    /// Whether there is anything to probe with: the first media have left.
    fn note_media(&mut self, now: Instant);

    /// The probe to send now, until the next call says otherwise.
    fn poll(&mut self, now: Instant) -> Option<Plan>;

    /// When to call again.
    fn next_timeout(&self) -> Option<Instant>;
}

/// Never probes.
#[derive(Debug, Default)]
pub struct Unprobed;

impl Prober for Unprobed {
    fn set_goal(&mut self, _now: Instant, _goal: RateGoal) {}
    fn set_estimate(&mut self, _now: Instant, _estimate: Option<RateEstimate>) {}
    fn note_media(&mut self, _now: Instant) {}

    fn poll(&mut self, _now: Instant) -> Option<Plan> {
        None
    }

    fn next_timeout(&self) -> Option<Instant> {
        None
    }
}

/// The prober that suits a kind of feedback.
#[must_use]
pub fn prober_for(feedback: RateFeedback) -> Box<dyn Prober> {
    match feedback {
        RateFeedback::Off => Box::new(Unprobed),
        RateFeedback::Receiver => Box::<Stairs>::default(),
        RateFeedback::TransportWide => Box::<Clusters>::default(),
    }
}

/// When the next probe is due: later with each one that shows nothing.
#[derive(Debug)]
struct Patience {
    wait: Duration,
    due: Option<Instant>,
}

impl Default for Patience {
    fn default() -> Self {
        Self { wait: FIRST_WAIT, due: None }
    }
}

impl Patience {
    fn note_failure(&mut self, now: Instant) {
        self.due = Some(now + self.wait);
        self.wait = (self.wait * 3 / 2).min(LONGEST_WAIT);
    }

    fn note_success(&mut self, now: Instant) {
        self.wait = FIRST_WAIT;
        self.due = Some(now);
    }
}

/// The rate at which to look for what the estimate lacks, when it lacks anything: the next step up or, where more is sent
/// than was ever seen to pass, just that.
fn probe_rate_bps(goal: RateGoal, estimate_bps: u64) -> Option<u64> {
    let needed_bps = goal.next_bps.max(goal.allocated_bps);
    (estimate_bps < needed_bps)
        .then(|| (needed_bps.saturating_mul(OVERSIZE_PERCENT) / 100).max(estimate_bps + LEAST_STEP_BPS))
}

#[cfg(test)]
mod tests;
