//! Probes for feedback that only says how much the receiver can take: padding fills up what the media leave to more than is
//! known, step by step, until it is enough or nothing more is shown to be borne.

use std::time::{Duration, Instant};

use super::{Patience, Plan, Prober, probe_rate_bps};
use crate::rate::{RateEstimate, RateGoal};

/// How long a climb may take.
const LONGEST_CLIMB: Duration = Duration::from_secs(15);
/// What is sent meanwhile, by the estimate: first little, for that may be too much already, …
const FIRST_LOAD_PERCENT: u64 = 130;
/// … and more once that was borne.
const LOAD_PERCENT: u64 = 200;
/// A climb during which the estimate has not grown for so long is over.
const STANDSTILL: Duration = Duration::from_secs(3);
/// What counts as growth: more than the receiver's own.
const GROWTH_PERCENT: u64 = 120;

#[derive(Debug, Clone, Copy)]
struct Climb {
    id: u32,
    until: Instant,
    load_percent: u64,
    /// The highest estimate so far, and since when.
    highest_bps: u64,
    since: Instant,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Stairs {
    climb: Option<Climb>,
    goal: RateGoal,
    estimate_bps: Option<u64>,
    patience: Patience,
    has_media: bool,
    next_id: u32,
}

impl Stairs {
    fn is_wanted(&self) -> bool {
        self.has_media && self.estimate_bps.is_some_and(|bps| probe_rate_bps(self.goal, bps).is_some())
    }

    fn fail(&mut self, now: Instant) {
        if self.climb.take().is_some() {
            self.patience.note_failure(now);
        }
    }
}

impl Prober for Stairs {
    fn set_goal(&mut self, _now: Instant, goal: RateGoal) {
        self.goal = goal;
    }

    fn set_estimate(&mut self, now: Instant, estimate: Option<RateEstimate>) {
        self.estimate_bps = estimate.map(|estimate| estimate.total_bps);
        if estimate.is_some_and(|estimate| estimate.is_congested) {
            self.fail(now);
        }
        if let (Some(climb), Some(bps)) = (&mut self.climb, self.estimate_bps)
            && bps * 100 > climb.highest_bps.saturating_mul(GROWTH_PERCENT)
        {
            (climb.highest_bps, climb.since, climb.load_percent) = (bps, now, LOAD_PERCENT);
        }
    }

    fn note_media(&mut self, now: Instant) {
        if !self.has_media {
            self.has_media = true;
            self.patience.note_failure(now); // let the media show what they can, first
        }
    }

    fn poll(&mut self, now: Instant) -> Option<Plan> {
        if !self.is_wanted() {
            if self.climb.take().is_some() {
                self.patience.note_success(now);
            }
            return None;
        }
        let bps = self.estimate_bps?;
        if self.climb.is_some_and(|climb| now >= climb.until || now >= climb.since + STANDSTILL) {
            self.fail(now);
        }
        if self.climb.is_none() {
            if self.patience.due.is_some_and(|due| now < due) {
                return None;
            }
            let (id, until) = (self.next_id, now + LONGEST_CLIMB);
            self.climb =
                Some(Climb { id, until, load_percent: FIRST_LOAD_PERCENT, highest_bps: bps, since: now });
            self.next_id = id.wrapping_add(1);
        }
        let climb = self.climb?;
        let rate_bps = probe_rate_bps(self.goal, bps)?.min(bps.saturating_mul(climb.load_percent) / 100);
        Some(Plan { id: climb.id, rate_bps, until: climb.until, is_cluster: false })
    }

    fn next_timeout(&self) -> Option<Instant> {
        match &self.climb {
            Some(climb) => Some(climb.until.min(climb.since + STANDSTILL)),
            None => self.is_wanted().then_some(self.patience.due).flatten(),
        }
    }
}
