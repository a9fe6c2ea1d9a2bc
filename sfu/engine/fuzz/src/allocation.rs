//! The division of a rate among tracks, under anything.

use std::time::{Duration, Instant};

use plenum_core::allocator::{Allocation, Allocator, Demand, Demands, Grant, Ladder, LayerCosts, TEMPORALS};
use plenum_core::rtp::dependency::Layer;
use plenum_core::{DownTrackId, RateEstimate};

use super::Operations;

/// An allocator under any sequence of estimates and wishes: it answers each wish once with a step of its
/// ladder, spends what it says, leaves audio alone and never pauses without leave.
pub fn allocator(input: &[u8]) {
    let mut operations = Operations(input);
    let mut now = Instant::now();
    let mut allocator = Allocator::default();
    let mut was_pausable = false;
    let mut demands = Demands::default();
    let mut costs = [LayerCosts::default(); 4];
    while let (Some(operation), Some(argument)) = (operations.next(), operations.next()) {
        now += Duration::from_millis(u64::from(argument) * 8);
        let track = usize::from(operation >> 3) % costs.len();
        match operation % 8 {
            0..3 => {
                let rate = (argument >> 3 != 0).then_some([u32::from(argument >> 3) * 40_000; TEMPORALS]);
                costs[track].spatials[usize::from(argument & 7)] = rate;
            }
            3 => costs[track].is_cumulative = argument & 1 != 0,
            4 => demands.allows_pause = argument & 1 != 0,
            5 => demands.audio_tracks = usize::from(argument & 3),
            _ => {}
        }
        demands.audio_bps = demands.audio_tracks as u64 * 30_000;
        let limit = Layer { spatial: argument & 3, temporal: argument >> 2 & 3 };
        demands.video = (0..costs.len())
            .filter(|index| argument >> index & 1 != 0)
            .map(|index| Demand {
                down_track: DownTrackId(index as u64),
                priority: u16::from(argument >> 6) * index as u16,
                ladder: Ladder::new(&costs[index], limit),
            })
            .collect();
        let estimate = RateEstimate {
            total_bps: u64::from(operation) * u64::from(argument) * 100,
            is_congested: operation & 1 != 0,
        };
        allocator.note_estimate(now, estimate);
        let allocation = allocator.allocate(now, estimate, &demands);
        was_pausable |= demands.allows_pause; // what is paused stays so for a while
        check_allocation(&demands, was_pausable, estimate, &allocation);
    }
}

fn check_allocation(demands: &Demands, was_pausable: bool, estimate: RateEstimate, allocation: &Allocation) {
    let wishes: Vec<&Demand> =
        demands.video.iter().filter(|demand| !demand.ladder.rungs().is_empty()).collect();
    assert_eq!(allocation.grants.len(), wishes.len());
    let goal = allocation.goal;
    let mut spent_bps = 0;
    for (wish, (id, grant)) in wishes.iter().zip(&allocation.grants) {
        assert_eq!(wish.down_track, *id);
        let Grant::UpTo(layer) = grant else {
            assert!(demands.allows_pause || was_pausable, "paused without leave");
            continue;
        };
        let rungs = wish.ladder.rungs();
        let Some(step) = rungs.iter().position(|rung| rung.layer == *layer) else {
            panic!("{layer:?} is no step of {rungs:?}")
        };
        spent_bps += rungs[step].rate_bps;
    }
    let audio_bps = goal.allocated_bps - spent_bps;
    assert!(audio_bps >= demands.audio_bps, "audio comes first");
    assert!(goal.wanted_bps >= goal.allocated_bps && goal.next_bps >= goal.allocated_bps);
    let is_all_given = goal.wanted_bps == goal.allocated_bps;
    let is_all_shown = wishes.is_empty() || estimate.total_bps >= goal.allocated_bps;
    assert_eq!(goal.next_bps == goal.allocated_bps, is_all_given && is_all_shown, "{goal:?}");
}
