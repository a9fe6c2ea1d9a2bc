//! Probes are planned when something is missing, rarer when they show nothing.

use super::*;

const fn estimate(total_bps: u64) -> RateEstimate {
    RateEstimate { total_bps, is_congested: false }
}

const GOAL: RateGoal = RateGoal { allocated_bps: 400_000, wanted_bps: 2_000_000, next_bps: 1_000_000 };

/// Lets time pass; the plans that began meanwhile, with the seconds at which they did.
fn run(prober: &mut dyn Prober, start: Instant, from_ms: u64, until_ms: u64) -> Vec<(f64, u64)> {
    let mut begun: Vec<(f64, u64)> = Vec::new();
    let mut last = None;
    for at in (from_ms..until_ms).step_by(5) {
        let now = start + Duration::from_millis(at);
        let plan = prober.poll(now);
        if let Some(plan) = plan.filter(|plan| last != Some(plan.id)) {
            begun.push((Duration::from_millis(at).as_secs_f64(), plan.rate_bps));
        }
        last = plan.map(|plan| plan.id);
    }
    begun
}

/// A prober whose first bursts are over.
fn begun(start: Instant) -> Clusters {
    let mut prober = Clusters::default();
    prober.note_media(start);
    let first = run(&mut prober, start, 0, 1_000);
    assert_eq!(first.iter().map(|(_, rate)| *rate).collect::<Vec<_>>(), [900_000, 1_800_000]);
    prober
}

#[test]
fn nothing_is_probed_before_there_are_media_or_when_nothing_is_missing() {
    let start = Instant::now();
    let mut prober = Clusters::default();
    prober.set_goal(start, GOAL);
    prober.set_estimate(start, Some(estimate(500_000)));
    assert_eq!(run(&mut prober, start, 0, 5_000), []);
    assert_eq!(prober.next_timeout(), None);
    let mut prober = begun(start);
    prober.set_estimate(start, Some(estimate(500_000)));
    prober.set_goal(start, RateGoal { next_bps: GOAL.allocated_bps, ..GOAL });
    assert_eq!(run(&mut prober, start, 1_000, 60_000), []);
    prober.set_goal(start, GOAL);
    prober.set_estimate(start, Some(estimate(1_100_000)));
    assert_eq!(run(&mut prober, start, 60_000, 120_000), [], "the allocator has only to take it");
    assert_eq!(prober.next_timeout(), None);
}

#[test]
fn what_is_sent_beyond_the_estimate_is_tested_too() {
    let start = Instant::now();
    let mut prober = begun(start);
    prober.set_estimate(start, Some(estimate(500_000)));
    prober.set_goal(start, RateGoal { allocated_bps: 800_000, wanted_bps: 800_000, next_bps: 800_000 });
    let bursts = run(&mut prober, start, 1_000, 2_000);
    assert_eq!(bursts.iter().map(|(_, rate)| *rate).collect::<Vec<_>>(), [960_000]);
    prober.set_estimate(start, Some(estimate(810_000)));
    assert_eq!(run(&mut prober, start, 2_000, 60_000), []);
}

#[test]
fn bursts_that_show_nothing_come_rarer_and_rarer() {
    let start = Instant::now();
    let mut prober = begun(start);
    prober.set_estimate(start, Some(estimate(500_000)));
    prober.set_goal(start, GOAL);
    let bursts = run(&mut prober, start, 1_000, 120_000);
    assert!(bursts.iter().all(|(_, rate)| *rate == 1_200_000), "{bursts:?}");
    let waits: Vec<f64> = bursts.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!((3.5..4.0).contains(&waits[0]) && (5.0..5.5).contains(&waits[1]), "{waits:?}");
    assert!(waits.iter().skip(2).all(|wait| (6.5..7.0).contains(wait)), "{waits:?}");
}

#[test]
fn a_burst_that_shows_more_is_followed_by_the_next_at_once() {
    let start = Instant::now();
    let mut prober = begun(start);
    prober.set_estimate(start, Some(estimate(300_000)));
    prober.set_goal(start, GOAL);
    let now = start + Duration::from_secs(1);
    assert_eq!(prober.poll(now).map(|plan| plan.rate_bps), Some(900_000), "three times the estimate");
    assert_eq!(prober.poll(now + Duration::from_millis(30)), None);
    prober.set_estimate(now + Duration::from_millis(100), Some(estimate(890_000)));
    let next = run(&mut prober, start, 1_105, 1_200);
    assert_eq!(next, [(1.105, 1_200_000)]);
}

#[test]
fn a_fall_is_tested_again_soon() {
    let start = Instant::now();
    let mut prober = begun(start);
    prober.set_goal(start, GOAL);
    prober.set_estimate(start, Some(estimate(900_000)));
    run(&mut prober, start, 1_000, 60_000);
    let at = start + Duration::from_secs(60);
    prober.set_estimate(at, Some(estimate(300_000)));
    let bursts = run(&mut prober, start, 60_000, 62_000);
    assert_eq!(bursts.len(), 1, "{bursts:?}");
}

#[test]
fn a_climb_goes_on_while_more_is_borne_and_ends_when_it_is_not() {
    let start = Instant::now();
    let mut prober = Stairs::default();
    prober.note_media(start);
    prober.set_goal(start, GOAL);
    prober.set_estimate(start, Some(estimate(300_000)));
    assert_eq!(run(&mut prober, start, 0, 2_900), []);
    let mut at_ms = 3_000;
    // Little first; the receiver's own growth proves nothing; then twice what is borne, up to what is missing.
    for (bps, load_bps) in [(300_000, 390_000), (320_000, 416_000), (390_000, 780_000), (780_000, 1_200_000)]
    {
        let now = start + Duration::from_millis(at_ms);
        prober.set_estimate(now, Some(estimate(bps)));
        assert_eq!(prober.poll(now).map(|plan| plan.rate_bps), Some(load_bps));
        at_ms += 1_000;
    }
    let now = start + Duration::from_millis(at_ms);
    prober.set_estimate(now, Some(estimate(GOAL.next_bps)));
    assert_eq!(prober.poll(now), None, "it is enough");
    // Something more is missing, but nothing more is borne.
    prober.set_goal(now, RateGoal { allocated_bps: 1_000_000, next_bps: 2_000_000, ..GOAL });
    let climbs = run(&mut prober, start, at_ms, at_ms + 20_000);
    assert_eq!(climbs.len(), 3, "{climbs:?}");
}

#[test]
fn congestion_ends_a_climb() {
    let start = Instant::now();
    let mut prober = Stairs::default();
    prober.note_media(start);
    prober.set_goal(start, GOAL);
    prober.set_estimate(start, Some(estimate(500_000)));
    let now = start + FIRST_WAIT;
    assert!(prober.poll(now).is_some());
    prober.set_estimate(now, Some(RateEstimate { is_congested: true, ..estimate(450_000) }));
    assert_eq!(prober.poll(now + TICK), None);
}
