//! Probes for feedback that tells when each packet arrives: a burst of a few hundredths of a second shows the rate.

use std::time::{Duration, Instant};

use super::{Patience, Plan, Prober, probe_rate_bps};
use crate::rate::{RateEstimate, RateGoal};

/// How long a burst lasts: six times the timer's grid.
const LENGTH: Duration = Duration::from_millis(25);
/// How long to wait for what it shows.
const ECHO: Duration = Duration::from_millis(600);
/// The first bursts of a transport, of which nothing is known.
const FIRST_RATES_BPS: [u64; 2] = [900_000, 1_800_000];
/// A burst is at most so many times the estimate: on a narrow link it would fill the queue.
const LARGEST_STEP: u64 = 3;
/// A burst has shown something when the estimate has grown by this part of what was missing.
const SHOWN_PERCENT: u64 = 50;
/// Nothing is tested so soon after there was too much.
const CALM: Duration = Duration::from_secs(1);
/// An estimate that has fallen below this part of what it was …
const FALL_PERCENT: u64 = 66;
/// … is tested again after so long: perhaps it was a passing cloud.
const RECOVERY_WAIT: Duration = Duration::from_millis(1_500);

#[derive(Debug, Clone, Copy)]
enum State {
    /// Nothing was sent yet.
    Idle,
    /// Between two bursts.
    Waiting,
    Sending(Plan),
    /// It was sent, and something is to be heard of it until then.
    Listening {
        until: Instant,
        rate_bps: u64,
        before_bps: u64,
    },
}

/// See the module.
#[derive(Debug)]
pub struct Clusters {
    state: State,
    goal: RateGoal,
    estimate_bps: Option<u64>,
    patience: Patience,
    next_id: u32,
    /// First bursts that are still to come.
    first: usize,
}

impl Default for Clusters {
    fn default() -> Self {
        Self {
            state: State::Idle,
            goal: RateGoal::default(),
            estimate_bps: None,
            patience: Patience::default(),
            next_id: 1,
            first: 0,
        }
    }
}

impl Clusters {
    fn begin(&mut self, now: Instant, rate_bps: u64) -> Plan {
        let plan = Plan { id: self.next_id, rate_bps, until: now + LENGTH, is_cluster: true };
        self.next_id = self.next_id.wrapping_add(1);
        self.state = State::Sending(plan);
        plan
    }

    /// The burst that is due.
    fn due_rate_bps(&mut self, now: Instant) -> Option<u64> {
        if let Some(rate_bps) = FIRST_RATES_BPS.get(self.first) {
            self.first += 1;
            return Some(*rate_bps);
        }
        let estimate_bps = self.estimate_bps?;
        let rate_bps = probe_rate_bps(self.goal, estimate_bps)?;
        if self.patience.due.is_none_or(|due| due <= now) {
            Some(rate_bps.min(estimate_bps.saturating_mul(LARGEST_STEP)))
        } else {
            None
        }
    }

    fn judge(&mut self, now: Instant, rate_bps: u64, before_bps: u64) {
        let shown_bps = self.estimate_bps.unwrap_or_default();
        let hoped_bps = rate_bps.saturating_sub(before_bps);
        let has_shown = shown_bps.saturating_sub(before_bps) * 100 >= hoped_bps * SHOWN_PERCENT;
        // Of the first ones nothing was hoped.
        if has_shown || before_bps == 0 {
            self.patience.note_success(now);
        } else {
            self.patience.note_failure(now);
        }
        self.state = State::Waiting;
    }
}

impl Prober for Clusters {
    fn set_goal(&mut self, now: Instant, goal: RateGoal) {
        // Something more is wanted than before: what was tried says nothing about it.
        if goal.wanted_bps > self.goal.wanted_bps && self.first >= FIRST_RATES_BPS.len() {
            self.patience.due = self.patience.due.map(|due| due.min(now + RECOVERY_WAIT));
        }
        self.goal = goal;
    }

    fn set_estimate(&mut self, now: Instant, estimate: Option<RateEstimate>) {
        let known = estimate.map(|estimate| estimate.total_bps);
        if estimate.is_some_and(|estimate| estimate.is_congested) {
            // The queue must drain first.
            let calm = now + CALM;
            self.patience.due = Some(self.patience.due.map_or(calm, |due| due.max(calm)));
        }
        if let (Some(before), Some(after)) = (self.estimate_bps, known) {
            if after * 100 < before * FALL_PERCENT {
                self.patience.due = Some(now + RECOVERY_WAIT);
            }
            if let State::Listening { rate_bps, before_bps, .. } = self.state
                && after >= rate_bps.saturating_sub((rate_bps.saturating_sub(before_bps)) / 4)
            {
                self.estimate_bps = known;
                return self.judge(now, rate_bps, before_bps);
            }
        }
        self.estimate_bps = known;
    }

    fn note_media(&mut self, now: Instant) {
        if matches!(self.state, State::Idle) {
            self.state = State::Waiting;
            self.patience.due = Some(now);
        }
    }

    fn poll(&mut self, now: Instant) -> Option<Plan> {
        match self.state {
            State::Idle => None,
            State::Sending(plan) if now <= plan.until => Some(plan),
            State::Sending(plan) => {
                let before_bps = self.estimate_bps.unwrap_or_default();
                // The first ones follow each other: nothing depends on what they show.
                let echo = if self.first < FIRST_RATES_BPS.len() { LENGTH } else { ECHO };
                self.state = State::Listening { until: now + echo, rate_bps: plan.rate_bps, before_bps };
                None
            }
            State::Listening { until, rate_bps, before_bps } => {
                if now >= until {
                    self.judge(now, rate_bps, before_bps);
                }
                None
            }
            State::Waiting => self.due_rate_bps(now).map(|rate_bps| self.begin(now, rate_bps)),
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Idle => None,
            State::Sending(plan) => Some(plan.until),
            State::Listening { until, .. } => Some(until),
            State::Waiting => {
                let is_wanted = self.first < FIRST_RATES_BPS.len()
                    || self.estimate_bps.is_some_and(|bps| probe_rate_bps(self.goal, bps).is_some());
                is_wanted.then_some(self.patience.due).flatten()
            }
        }
    }
}
