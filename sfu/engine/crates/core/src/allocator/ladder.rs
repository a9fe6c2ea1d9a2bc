//! The steps in which a video track can be given less: what each layer costs, least first.

use crate::layers::MAX_STREAMS;
use crate::rtp::dependency::Layer;

/// Temporal layers told apart.
pub const TEMPORALS: usize = 4;
/// Guesses for layers that are alive but not measured yet, by spatial layer: a second later they are known.
const GUESSES_BPS: [u64; 3] = [150_000, 500_000, 1_700_000];

/// One step: a layer and what it costs altogether.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rung {
    /// Most that the subscriber gets on it.
    pub layer: Layer,
    /// Bits per second.
    pub rate_bps: u64,
}

/// What the layers of an up track cost, as far as they are alive.
#[derive(Debug, Clone, Copy, Default)]
pub struct LayerCosts {
    /// By spatial layer: bits per second of it alone, with its temporal layers up to each; `None`: not being sent.
    /// All zero: alive, not measured yet.
    pub spatials: [Option<[u32; TEMPORALS]>; MAX_STREAMS as usize],
    /// A spatial layer needs those below it (layers inside one stream).
    pub is_cumulative: bool,
}

/// The steps of one track, least first.
///
/// At the lowest spatial layer each temporal one is a step; above it a picture is given whole, because a larger picture
/// with half the frames is nothing that a viewer would call better. Costs rise strictly from step to step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ladder {
    rungs: Vec<Rung>,
}

impl Ladder {
    /// The steps up to `limit`. When all that is alive lies above the limit, the lowest of it: that is what would be
    /// sent.
    #[must_use]
    pub fn new(costs: &LayerCosts, limit: Layer) -> Self {
        let lowest = costs.spatials.iter().position(Option::is_some);
        let mut rungs: Vec<Rung> = Vec::new();
        let mut below_bps = 0;
        for (index, rates) in (0_u8..).zip(&costs.spatials) {
            let Some(rates) = rates else { continue };
            let is_lowest = lowest == Some(usize::from(index));
            if index > limit.spatial && !is_lowest {
                break;
            }
            let top = usize::from(limit.temporal).min(TEMPORALS - 1);
            let whole_bps = measured_or_guessed(rates, top, index);
            let whole = Rung {
                layer: Layer { spatial: index, temporal: limit.temporal },
                rate_bps: below_bps + whole_bps,
            };
            let fewer_frames = (0_u8..).zip(&rates[..top]).filter(|_| is_lowest);
            let parts = fewer_frames.map(|(temporal, rate)| Rung {
                layer: Layer { spatial: index, temporal },
                rate_bps: u64::from(*rate),
            });
            // A step that costs nothing, or no less than the whole, is none.
            let parts = parts.filter(|part| part.rate_bps > 0 && part.rate_bps < whole.rate_bps);
            for rung in parts.chain(std::iter::once(whole)) {
                push_rising(&mut rungs, rung);
            }
            if costs.is_cumulative {
                below_bps = whole.rate_bps;
            }
        }
        Self { rungs }
    }

    /// The steps, least first.
    #[must_use]
    pub fn rungs(&self) -> &[Rung] {
        &self.rungs
    }

    /// The highest step at or below a layer; `None`: all are above it.
    #[must_use]
    pub fn highest_up_to(&self, layer: Layer) -> Option<usize> {
        self.rungs.iter().rposition(|rung| rung.layer <= layer)
    }
}

/// A better layer that costs no more makes those below it pointless.
fn push_rising(rungs: &mut Vec<Rung>, rung: Rung) {
    while rungs.last().is_some_and(|last| last.rate_bps >= rung.rate_bps) {
        rungs.pop();
    }
    rungs.push(rung);
}

fn measured_or_guessed(rates: &[u32; TEMPORALS], top: usize, spatial: u8) -> u64 {
    match rates[top] {
        0 => GUESSES_BPS[usize::from(spatial).min(GUESSES_BPS.len() - 1)],
        measured => measured.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Layer = Layer::MAX;

    fn costs(spatials: &[Option<[u32; TEMPORALS]>], is_cumulative: bool) -> LayerCosts {
        let mut costs = LayerCosts { is_cumulative, ..LayerCosts::default() };
        costs.spatials[..spatials.len()].copy_from_slice(spatials);
        costs
    }

    fn steps(ladder: &Ladder) -> Vec<(u8, u8, u64)> {
        ladder.rungs().iter().map(|rung| (rung.layer.spatial, rung.layer.temporal, rung.rate_bps)).collect()
    }

    #[test]
    fn simulcast_goes_down_by_streams_then_by_frames() {
        let costs = costs(
            &[Some([60, 100, 150, 150]), Some([250, 350, 500, 500]), Some([900, 1200, 1700, 1700])],
            false,
        );
        assert_eq!(
            steps(&Ladder::new(&costs, ALL)),
            [(0, 0, 60), (0, 1, 100), (0, 255, 150), (1, 255, 500), (2, 255, 1700)]
        );
        let limit = Layer { spatial: 1, temporal: 1 };
        assert_eq!(steps(&Ladder::new(&costs, limit)), [(0, 0, 60), (0, 1, 100), (1, 1, 350)]);
    }

    #[test]
    fn layers_inside_a_stream_cost_what_they_stand_on() {
        let costs = costs(&[Some([100; 4]), Some([300; 4]), Some([900; 4])], true);
        assert_eq!(steps(&Ladder::new(&costs, ALL)), [(0, 255, 100), (1, 255, 400), (2, 255, 1300)]);
    }

    #[test]
    fn what_is_alive_above_the_limit_is_the_only_step() {
        let costs = costs(&[None, Some([0, 0, 500, 500]), Some([1700; 4])], false);
        assert_eq!(steps(&Ladder::new(&costs, Layer { spatial: 0, temporal: 9 })), [(1, 9, 500)]);
        assert_eq!(steps(&Ladder::new(&LayerCosts::default(), ALL)), []);
    }

    #[test]
    fn a_better_layer_at_no_more_cost_replaces_the_worse() {
        let costs = costs(&[Some([50, 200, 200, 200]), Some([180; 4]), Some([900; 4])], false);
        assert_eq!(steps(&Ladder::new(&costs, ALL)), [(0, 0, 50), (1, 255, 180), (2, 255, 900)]);
    }

    #[test]
    fn what_is_not_measured_is_guessed() {
        let costs = costs(&[Some([0; 4]), Some([0; 4]), Some([0; 4]), Some([0; 4])], false);
        let rates: Vec<_> = Ladder::new(&costs, ALL).rungs().iter().map(|rung| rung.rate_bps).collect();
        assert_eq!(rates, [150_000, 500_000, 1_700_000], "the last takes the place of its equal");
    }

    #[test]
    fn a_layer_finds_its_step() {
        let costs = costs(&[None, Some([50, 200, 200, 200]), Some([900; 4])], false);
        let ladder = Ladder::new(&costs, ALL);
        let at = |spatial, temporal| ladder.highest_up_to(Layer { spatial, temporal });
        assert_eq!((at(0, 255), at(1, 0), at(1, 254), at(1, 255)), (None, Some(0), Some(0), Some(1)));
        assert_eq!((at(2, 0), at(2, 255), at(9, 0)), (Some(1), Some(2), Some(2)));
    }
}
