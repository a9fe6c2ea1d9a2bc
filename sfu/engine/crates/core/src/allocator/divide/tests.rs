//! Who gets which step: by cases, and by what holds in every case.

use super::*;
use crate::allocator::ladder::{LayerCosts, TEMPORALS};
use crate::random::Random;
use crate::rtp::dependency::Layer;

/// Simulcast whose streams cost that much, in kbit/s.
fn ladder(kbps: &[u32]) -> Ladder {
    let mut costs = LayerCosts::default();
    for (spatial, rate) in costs.spatials.iter_mut().zip(kbps) {
        *spatial = Some([rate * 1_000; TEMPORALS]);
    }
    Ladder::new(&costs, Layer::MAX)
}

fn claim(ladder: &Ladder, priority: u16, kept: Option<usize>) -> Claim<'_> {
    Claim { priority, ladder, kept, cap: Some(ladder.rungs().len() - 1) }
}

/// Nothing kept, one budget for all.
fn steps(claims: &[Claim<'_>], kbps: u64, allows_pause: bool) -> Vec<Option<usize>> {
    let bps = kbps * 1_000;
    divide(claims, Budget { keep_bps: bps, raise_bps: bps, allows_pause }, 0).steps
}

#[test]
fn everybody_gets_the_lowest_before_anybody_gets_more() {
    let camera = ladder(&[150, 500, 1700]);
    let claims = [claim(&camera, 1, None), claim(&camera, 1, None), claim(&camera, 1, None)];
    for (kbps, expected) in [
        (100, [Some(0), Some(0), Some(0)]), // pausing is not allowed
        (450, [Some(0), Some(0), Some(0)]),
        (799, [Some(0), Some(0), Some(0)]),
        (800, [Some(1), Some(0), Some(0)]),
        (1_500, [Some(1), Some(1), Some(1)]),
        (2_700, [Some(2), Some(1), Some(1)]),
        (5_100, [Some(2), Some(2), Some(2)]),
    ] {
        assert_eq!(steps(&claims, kbps, false), expected, "{kbps}");
    }
}

#[test]
fn a_higher_priority_is_served_first_but_nobody_starves_for_it() {
    let camera = ladder(&[150, 500, 1700]);
    let claims = [claim(&camera, 2, None), claim(&camera, 1, None), claim(&camera, 2, None)];
    for (kbps, expected) in [
        (450, [Some(0), Some(0), Some(0)]),
        (900, [Some(0), Some(1), Some(0)]),
        (1_400, [Some(1), Some(1), Some(0)]), // its next step does not fit: the others have use for it
        (2_000, [Some(0), Some(2), Some(0)]),
    ] {
        assert_eq!(steps(&claims, kbps, false), expected, "{kbps}");
    }
}

#[test]
fn pausing_begins_with_the_lowest_priority_and_leaves_as_many_as_possible() {
    let (camera, screen) = (ladder(&[150, 500]), ladder(&[900]));
    let claims = [claim(&camera, 2, None), claim(&screen, 1, None), claim(&camera, 3, None)];
    assert_eq!(steps(&claims, 1_100, true), [Some(0), Some(0), None]);
    assert_eq!(steps(&claims, 1_000, true), [None, Some(0), None]);
    assert_eq!(
        steps(&claims, 800, true),
        [Some(1), None, Some(0)],
        "what does not fit in leaves room for others"
    );
    assert_eq!(steps(&claims, 0, true), [None, None, None]);
    let equals = [claim(&screen, 1, None), claim(&camera, 1, None), claim(&camera, 1, None)];
    assert_eq!(steps(&equals, 1_000, true), [None, Some(1), Some(1)], "the cheap first");
}

#[test]
fn who_plays_goes_on_before_an_equal_begins() {
    let camera = ladder(&[150, 500]);
    let claims = [claim(&camera, 1, None), claim(&camera, 1, Some(0))];
    assert_eq!(steps(&claims, 200, true), [None, Some(0)]);
    let claims = [claim(&camera, 1, Some(0)), claim(&camera, 1, Some(1))];
    assert_eq!(steps(&claims, 650, true), [Some(0), Some(1)]);
}

#[test]
fn what_is_kept_may_fill_more_than_what_is_new() {
    let camera = ladder(&[150, 500, 1700]);
    let budget = Budget { keep_bps: 550_000, raise_bps: 495_000, allows_pause: false };
    let new = divide(&[claim(&camera, 1, Some(0))], budget, 0);
    let kept = divide(&[claim(&camera, 1, Some(1))], budget, 0);
    assert_eq!((new.steps[0], kept.steps[0]), (Some(0), Some(1)));
    assert!(!kept.is_short);
    assert!(divide(&[claim(&camera, 1, Some(2))], budget, 0).is_short);
}

/// Tracks, claims on them and the money there is, from a seed.
struct Case {
    ladders: Vec<Ladder>,
    priorities: Vec<u16>,
    kept: Vec<Option<usize>>,
    bps: u64,
    reserved_bps: u64,
}

impl Case {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut below = |limit: u16| random.next_u16() % limit;
        let count = usize::from(below(7));
        let mut case = Self {
            ladders: Vec::new(),
            priorities: Vec::new(),
            kept: Vec::new(),
            bps: u64::from(below(6_000)) * 1_000,
            reserved_bps: u64::from(below(200)) * 1_000,
        };
        for _ in 0..count {
            let rates: Vec<u32> = (0..=below(3)).map(|_| u32::from(below(1_500)) + 1).collect();
            let ladder = ladder(&rates);
            case.kept.push(Some(usize::from(below(4))).filter(|kept| *kept < ladder.rungs().len()));
            case.ladders.push(ladder);
            case.priorities.push(below(3));
        }
        case
    }

    fn claims(&self) -> Vec<Claim<'_>> {
        let parts = self.ladders.iter().zip(&self.priorities).zip(&self.kept);
        parts.map(|((ladder, priority), kept)| claim(ladder, *priority, *kept)).collect()
    }

    fn divide(&self, bps: u64, allows_pause: bool) -> Division {
        let budget = Budget { keep_bps: bps, raise_bps: bps * 9 / 10, allows_pause };
        divide(&self.claims(), budget, self.reserved_bps)
    }

    fn cost(&self, steps: &[Option<usize>]) -> u64 {
        let rates = self.ladders.iter().zip(steps).filter_map(|(ladder, step)| ladder.rungs().get((*step)?));
        self.reserved_bps + rates.map(|rung| rung.rate_bps).sum::<u64>()
    }
}

#[test]
fn whatever_is_wanted_the_sum_fits_and_nobody_is_paused_without_leave() {
    for seed in 0..3_000 {
        let case = Case::new(seed);
        for allows_pause in [false, true] {
            let division = case.divide(case.bps, allows_pause);
            assert_eq!(division.spent_bps, case.cost(&division.steps), "seed {seed}");
            assert!(allows_pause || division.steps.iter().all(Option::is_some), "seed {seed}");
            let has_slack = division.steps.iter().any(|step| step.is_some_and(|step| step > 0));
            let may_be_less = has_slack || allows_pause && division.steps.iter().any(Option::is_some);
            assert!(
                !may_be_less || division.spent_bps <= case.bps,
                "seed {seed}: something could be lowered"
            );
        }
    }
}

#[test]
fn who_has_a_higher_priority_never_gets_less_from_more() {
    for seed in 0..3_000 {
        let mut case = Case::new(seed);
        case.kept.fill(None);
        for (index, priority) in case.priorities.iter_mut().enumerate() {
            *priority = u16::try_from(index).unwrap(); // one before the other, without equals
        }
        let more = case.divide(case.bps + 300_000, false).steps;
        let less = case.divide(case.bps, false).steps;
        // What the first in the order gets differs upwards only.
        let first_change = more.iter().zip(&less).find(|(more, less)| more != less);
        assert!(first_change.is_none_or(|(more, less)| more > less), "seed {seed}: {less:?} then {more:?}");
    }
}

#[test]
fn among_equals_more_never_leaves_the_worst_off_with_less() {
    for seed in 0..3_000 {
        let mut case = Case::new(seed);
        let equal = case.ladders.first().cloned().unwrap_or_default();
        if equal.rungs().is_empty() {
            continue;
        }
        case.ladders.fill(equal);
        case.priorities.fill(1);
        case.kept.fill(None);
        for allows_pause in [false, true] {
            let less = case.divide(case.bps, allows_pause).steps;
            let more = case.divide(case.bps + 200_000, allows_pause).steps;
            let playing = |steps: &[Option<usize>]| steps.iter().flatten().count();
            assert!(
                more.iter().min() >= less.iter().min() && playing(&more) >= playing(&less),
                "seed {seed}"
            );
            assert!(less.len() > 1 || more >= less, "seed {seed}: one track alone");
        }
    }
}

#[test]
fn what_was_divided_stays_as_it_is() {
    for seed in 0..3_000 {
        let mut case = Case::new(seed);
        for allows_pause in [false, true] {
            // Raises come with what they leave: soon nothing moves any more, and never back.
            let mut rounds = 0;
            loop {
                let division = case.divide(case.bps, allows_pause);
                if division.steps == case.kept {
                    break;
                }
                case.kept = division.steps;
                rounds += 1;
                assert!(rounds < 20, "seed {seed} swings");
            }
        }
    }
}
