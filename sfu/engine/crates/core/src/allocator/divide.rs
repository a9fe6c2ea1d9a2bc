//! One division of a rate among tracks. Pure: no time, no memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::ladder::Ladder;

/// One track that wants its part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim<'a> {
    /// Lower is served first.
    pub(super) priority: u16,
    /// Its steps; never empty.
    pub(super) ladder: &'a Ladder,
    /// The step it has and should keep.
    pub(super) kept: Option<usize>,
    /// The highest step it may get; `None`: it stays paused.
    pub(super) cap: Option<usize>,
}

/// What may be spent, bits per second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// In all, when the last step is one that its track has already.
    pub(super) keep_bps: u64,
    /// In all, when the last step is new.
    pub(super) raise_bps: u64,
    /// Whether a track may get nothing.
    pub(super) allows_pause: bool,
}

/// Who gets what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Division {
    /// The index of each track's step; `None`: paused.
    pub(super) steps: Vec<Option<usize>>,
    /// What that costs in all.
    pub(super) spent_bps: u64,
    /// Not everything can stay as it is.
    pub(super) is_short: bool,
}

/// Divides: everybody's lowest step first, by priority; then step by step whoever has the highest priority, and among
/// equals whoever is furthest from all that it wants.
pub(super) fn divide(claims: &[Claim<'_>], budget: Budget, reserved_bps: u64) -> Division {
    let is_short = kept_bps(claims, reserved_bps) > budget.keep_bps;
    let mut division = Division { steps: vec![None; claims.len()], spent_bps: reserved_bps, is_short };
    division.give_lowest(claims, budget);
    division.give_more(claims, budget);
    division
}

/// What it costs to leave all as it is.
pub(super) fn kept_bps(claims: &[Claim<'_>], reserved_bps: u64) -> u64 {
    let kept = claims.iter().filter_map(|claim| claim.ladder.rungs().get(claim.kept?));
    kept.fold(reserved_bps, |sum, rung| sum.saturating_add(rung.rate_bps))
}

impl Division {
    /// Among equals who plays goes on before others begin, and the cheap come first: so more of them are seen.
    fn give_lowest(&mut self, claims: &[Claim<'_>], budget: Budget) {
        let mut order: Vec<(u16, bool, u64, usize)> = claims
            .iter()
            .enumerate()
            .filter(|(_, claim)| claim.cap.is_some())
            .filter_map(|(index, claim)| {
                Some((claim.priority, claim.kept.is_none(), claim.ladder.rungs().first()?.rate_bps, index))
            })
            .collect();
        order.sort_unstable();
        for (_, is_new, rate_bps, index) in order {
            let limit_bps = if is_new { budget.raise_bps } else { budget.keep_bps };
            let needed_bps = self.spent_bps.saturating_add(rate_bps);
            if needed_bps <= limit_bps || !budget.allows_pause {
                self.steps[index] = Some(0);
                self.spent_bps = needed_bps;
            }
        }
    }

    fn give_more(&mut self, claims: &[Claim<'_>], budget: Budget) {
        let mut open: BinaryHeap<Turn> =
            (0..claims.len()).filter_map(|index| Turn::of(index, claims, &self.steps)).collect();
        while let Some(turn) = open.pop() {
            let index = turn.index.0;
            let (Some(step), claim) = (self.steps[index], &claims[index]) else { continue };
            let rungs = claim.ladder.rungs();
            let more_bps = rungs[step + 1].rate_bps - rungs[step].rate_bps;
            let is_kept = claim.kept.is_some_and(|kept| step < kept);
            let limit_bps = if is_kept { budget.keep_bps } else { budget.raise_bps };
            let needed_bps = self.spent_bps.saturating_add(more_bps);
            if needed_bps > limit_bps {
                continue; // not this one any more; a smaller step of another may still fit
            }
            self.steps[index] = Some(step + 1);
            self.spent_bps = needed_bps;
            open.extend(Turn::of(index, claims, &self.steps));
        }
    }
}

/// Whose turn it is to get one step more: the greatest.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    priority: Reverse<u16>,
    /// Steps missing.
    distance: usize,
    /// It only gets back what it has.
    is_kept: bool,
    index: Reverse<usize>,
}

impl Turn {
    /// `None`: paused, or there is nothing more for it.
    fn of(index: usize, claims: &[Claim<'_>], steps: &[Option<usize>]) -> Option<Self> {
        let (claim, step) = (claims.get(index)?, (*steps.get(index)?)?);
        let distance = claim.cap?.min(claim.ladder.rungs().len() - 1).checked_sub(step)?;
        (distance > 0).then(|| Self {
            priority: Reverse(claim.priority),
            distance,
            is_kept: claim.kept.is_some_and(|kept| step < kept),
            index: Reverse(index),
        })
    }
}

#[cfg(test)]
mod tests;
