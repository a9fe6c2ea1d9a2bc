//! Divides what a subscriber can be sent among the video that it wants. One [`Allocator`] per transport.
//!
//! Audio is sacred: what it takes is set aside first. Layers are lowered before anything is paused, and paused only
//! where the subscriber allows that. Less comes at once; more when the estimate has borne it for about a second, with
//! a margin, and the later the more often a raise did not hold. Sans-IO: time comes in, targets go out; it knows tracks
//! by their ids only, and never sees a packet.
//!
//! `ladder` holds the steps of a track, `divide` makes one division, `steady`, `patience` and
//! `probation` keep it from swinging; `last_resort` knows when to pause.

mod divide;
mod ladder;
mod last_resort;
mod patience;
mod probation;
mod steady;

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

pub use ladder::{Ladder, LayerCosts, Rung, TEMPORALS};

use crate::ids::DownTrackId;
use crate::rate::{RateEstimate, RateGoal};
use crate::rtp::dependency::Layer;
use divide::{Budget, Claim, Division, divide, kept_bps};
use last_resort::LastResort;
use patience::Patience;
use probation::Probation;
use steady::Steady;

/// Least time for which a track is paused (`protocol.md` §4.7).
const MIN_PAUSED: Duration = Duration::from_secs(5);
/// Set aside for voices that are silent at the moment, bits per second: talk begins faster than layers are lowered.
const VOICE_BPS: u64 = 40_000;
/// Share of the estimate that what is new may fill, in percent; the rest is for what varies.
const RAISE_PERCENT: u64 = 90;
/// For how long congestion speaks against what is being sent.
const CONGESTION_LASTS: Duration = Duration::from_secs(2);
/// How soon to look again while something is missing, and while nothing is.
const SOON: Duration = Duration::from_millis(250);
const LATER: Duration = Duration::from_secs(1);

/// A video track that its subscriber wants now.
#[derive(Debug, Clone)]
pub struct Demand {
    /// Which.
    pub down_track: DownTrackId,
    /// Lower is served first.
    pub priority: u16,
    /// What it can be given, up to what its subscriber asked for.
    pub ladder: Ladder,
}

/// What a subscriber wants in all.
#[derive(Debug, Clone, Default)]
pub struct Demands {
    /// Number of audio tracks.
    pub audio_tracks: usize,
    /// What these take now, bits per second.
    pub audio_bps: u64,
    /// Its video, in an order that stays the same.
    pub video: Vec<Demand>,
    /// Whether video may be paused when not even the lowest layers fit.
    pub allows_pause: bool,
}

/// What a track is to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// At most this layer.
    UpTo(Layer),
    /// Nothing.
    Paused,
}

/// The outcome of one allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// What each of the demanded tracks gets, in their order.
    pub grants: Vec<(DownTrackId, Grant)>,
    /// What the transport should aim for.
    pub goal: RateGoal,
    /// Where something is lowered for want of rate: what was granted until now costs, in percent of the estimate.
    pub excess_percent: Option<u64>,
    /// Look again after this time, whatever happens.
    pub again_after: Duration,
}

/// What a track has had.
#[derive(Debug, Clone, Copy)]
enum Held {
    Playing(Layer),
    Paused { since: Instant },
}

/// Allocates for one subscriber.
#[derive(Debug, Default)]
pub struct Allocator {
    /// What each track has had, and the priority with which it got that.
    held: FxHashMap<DownTrackId, (Held, u16)>,
    steady: Steady,
    patience: Patience,
    probation: Probation,
    last_resort: LastResort,
    /// What was allocated last.
    allocated_bps: u64,
    congested_at: Option<Instant>,
    /// Since congestion not everything that is wanted could be given.
    is_limited: bool,
    has_begun: bool,
}

impl Allocator {
    /// Notes an estimate that came; not every one is worth an allocation.
    pub fn note_estimate(&mut self, now: Instant, estimate: RateEstimate) {
        self.steady.observe(now, estimate.total_bps);
        self.probation.note_estimate(now, estimate.total_bps);
        if estimate.is_congested {
            self.congested_at = Some(now);
            self.probation.note_congestion(now);
            self.last_resort.note_congestion(now);
        }
    }

    /// Divides the estimate among what is wanted now. Tracks that are not among the demands are forgotten.
    pub fn allocate(&mut self, now: Instant, estimate: RateEstimate, demands: &Demands) -> Allocation {
        let steady_bps = self.steady.observe(now, estimate.total_bps);
        // What matters more from now on takes its part from the others: that is no raise that might fail.
        let is_another_order = demands.video.iter().any(|demand| {
            self.held.get(&demand.down_track).is_some_and(|(_, priority)| *priority != demand.priority)
        });
        let may_raise = is_another_order || self.patience.allows_raise(now);
        let video: Vec<&Demand> =
            demands.video.iter().filter(|demand| !demand.ladder.rungs().is_empty()).collect();
        let reserved_bps = reserve(demands);
        let worth = |demand: &Demand| {
            let least_bps = demand.ladder.rungs().first().map_or(0, |rung| rung.rate_bps);
            let needed_bps = reserved_bps.saturating_add(least_bps);
            !demands.allows_pause || self.last_resort.may_try(now, estimate.total_bps, needed_bps)
        };
        let claims: Vec<Claim<'_>> =
            video.iter().map(|demand| self.claim(now, demand, may_raise, worth(demand))).collect();
        if !self.has_begun {
            self.probation.begin_first(now);
            self.allocated_bps = kept_bps(&claims, reserved_bps);
        }
        let kept_bps = kept_bps(&claims, reserved_bps);
        let mut budget = self.budget(now, (estimate.total_bps, steady_bps), kept_bps);
        budget.allows_pause &= demands.allows_pause;
        let division = divide(&claims, budget, reserved_bps);
        self.note_moves(now, &video, &claims, &division);
        self.allocated_bps = division.spent_bps;
        let is_least = division.steps.iter().all(|step| step.is_none_or(|step| step == 0));
        self.last_resort.note_least(now, is_least);
        let grants = self.hold(now, &video, &division);
        let goal = goal(&claims, &division, (reserved_bps, estimate.total_bps));
        self.is_limited = budget.raise_bps < u64::MAX && goal.wanted_bps > goal.allocated_bps;
        let excess_percent =
            division.is_short.then(|| kept_bps.saturating_mul(100) / estimate.total_bps.max(1));
        let again_after = if goal.wanted_bps > goal.allocated_bps { SOON } else { LATER };
        Allocation { grants, goal, excess_percent, again_after }
    }

    /// What may be spent, where leaving all as it is costs `kept_bps`. An estimate knows little more than what was sent,
    /// and rates vary: one that is a bit low is no reason to lower anything, nor to withhold what was never tried.
    /// Congestion is, and so is an estimate that has fallen far below what is sent.
    fn budget(&self, now: Instant, (estimate_bps, steady_bps): (u64, u64), kept_bps: u64) -> Budget {
        let is_congested = self.congested_at.is_some_and(|at| now < at + CONGESTION_LASTS);
        let bearable_bps = self.probation.bearable_bps(now, estimate_bps, self.allocated_bps);
        let has_fallen = self.probation.has_fallen(bearable_bps, kept_bps);
        if !is_congested && !has_fallen && !self.is_limited {
            return Budget { keep_bps: u64::MAX, raise_bps: u64::MAX, allows_pause: false };
        }
        Budget {
            keep_bps: if is_congested || has_fallen { bearable_bps } else { bearable_bps.max(kept_bps) },
            raise_bps: steady_bps.saturating_mul(RAISE_PERCENT) / 100,
            allows_pause: self.last_resort.must_pause(now),
        }
    }

    /// What a track may get this time, given what it has.
    fn claim<'a>(&self, now: Instant, demand: &'a Demand, may_raise: bool, is_worth: bool) -> Claim<'a> {
        let ladder = &demand.ladder;
        let top = ladder.rungs().len() - 1;
        let (kept, cap) = match self.held.get(&demand.down_track) {
            // Before there was an estimate, everything was sent.
            None if !self.has_begun => (Some(top), Some(top)),
            // New: it has not been there to be lowered, so nothing keeps it from its part.
            None => (None, Some(top)),
            Some((Held::Playing(layer), _)) => {
                let kept = ladder.highest_up_to(*layer).unwrap_or(0);
                (Some(kept), Some(if may_raise { top } else { kept }))
            }
            Some((Held::Paused { since }, _)) => {
                let may_resume = may_raise && is_worth && now >= *since + MIN_PAUSED;
                (None, may_resume.then_some(top))
            }
        };
        Claim { priority: demand.priority, ladder, kept, cap }
    }

    /// Notes raises and lowerings for the next time.
    fn note_moves(&mut self, now: Instant, video: &[&Demand], claims: &[Claim<'_>], division: &Division) {
        let mut raised = false;
        let mut begun = false;
        let mut lowered = false;
        for ((demand, claim), step) in video.iter().zip(claims).zip(&division.steps) {
            // A new track's beginning is no raise that might fail: nobody tried the path before.
            let has_more = *step > claim.kept;
            let is_new = !self.held.contains_key(&demand.down_track);
            raised |= has_more && !is_new;
            begun |= has_more && is_new;
            lowered |= *step < claim.kept;
        }
        if lowered && division.is_short {
            self.patience.note_lowering(now);
            self.probation.end();
        } else if raised {
            self.patience.note_raise(now);
            self.probation.begin_raise(now, self.allocated_bps);
        } else if begun {
            self.probation.begin(now);
        }
    }

    /// Makes a division what the tracks have.
    fn hold(&mut self, now: Instant, video: &[&Demand], division: &Division) -> Vec<(DownTrackId, Grant)> {
        self.has_begun = true;
        let before = std::mem::take(&mut self.held);
        let mut grants = Vec::with_capacity(video.len());
        for (demand, step) in video.iter().zip(&division.steps) {
            let rung = step.and_then(|step| demand.ladder.rungs().get(step));
            let (held, grant) = match (rung, before.get(&demand.down_track)) {
                (Some(rung), _) => (Held::Playing(rung.layer), Grant::UpTo(rung.layer)),
                (None, Some((Held::Paused { since }, _))) => (Held::Paused { since: *since }, Grant::Paused),
                (None, _) => (Held::Paused { since: now }, Grant::Paused),
            };
            self.held.insert(demand.down_track, (held, demand.priority));
            grants.push((demand.down_track, grant));
        }
        grants
    }
}

/// What audio gets before anything else.
fn reserve(demands: &Demands) -> u64 {
    if demands.audio_tracks == 0 { 0 } else { demands.audio_bps.max(VOICE_BPS) }
}

/// What the transport should aim for: the smallest step up decides what to test for; where nothing is missing, what is
/// given without the estimate's having shown that the path bears it.
fn goal(claims: &[Claim<'_>], division: &Division, (reserved_bps, estimate_bps): (u64, u64)) -> RateGoal {
    let allocated_bps = division.spent_bps;
    let mut wanted_bps = reserved_bps;
    let mut step_bps: Option<u64> = None;
    for (claim, step) in claims.iter().zip(&division.steps) {
        let rungs = claim.ladder.rungs();
        let rate_of = |index: usize| rungs.get(index).map(|rung| rung.rate_bps);
        wanted_bps = wanted_bps.saturating_add(rungs.last().map_or(0, |rung| rung.rate_bps));
        let has_bps = step.and_then(rate_of).unwrap_or(0);
        if let Some(next) = rate_of(step.map_or(0, |step| step + 1)) {
            let more_bps = next - has_bps;
            step_bps = Some(step_bps.map_or(more_bps, |least| least.min(more_bps)));
        }
    }
    let is_unproven = !claims.is_empty() && estimate_bps < allocated_bps;
    let step_bps = step_bps.or(is_unproven.then_some(0));
    let next_bps = step_bps.map_or(allocated_bps, |step| {
        allocated_bps.saturating_add(step).saturating_mul(100).div_ceil(RAISE_PERCENT)
    });
    RateGoal { allocated_bps, wanted_bps, next_bps }
}

#[cfg(test)]
mod tests;
