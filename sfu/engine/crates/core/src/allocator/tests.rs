//! What an allocator does over time.

use super::*;

const KBPS: u64 = 1_000;

fn ladder(kbps: &[u32]) -> Ladder {
    let mut costs = LayerCosts::default();
    for (spatial, rate) in costs.spatials.iter_mut().zip(kbps) {
        *spatial = Some([rate * 1_000; TEMPORALS]);
    }
    Ladder::new(&costs, Layer::MAX)
}

fn demand(id: u64, priority: u16, kbps: &[u32]) -> Demand {
    Demand { down_track: DownTrackId(id), priority, ladder: ladder(kbps) }
}

const CAMERA: &[u32] = &[150, 500, 1700];

/// An allocator and its clock.
struct Bench {
    now: Instant,
    allocator: Allocator,
    demands: Demands,
    is_congested: bool,
    last_kbps: u64,
}

impl Bench {
    /// Everything has been sent for a while.
    fn new(video: Vec<Demand>) -> Self {
        let mut bench = Self::beginning(video);
        bench.after(9_000, 1_000_000);
        bench
    }

    /// Before the first estimate.
    fn beginning(video: Vec<Demand>) -> Self {
        let demands = Demands { video, ..Demands::default() };
        Self {
            now: Instant::now(),
            allocator: Allocator::default(),
            demands,
            is_congested: false,
            last_kbps: 0,
        }
    }

    fn at(&mut self, kbps: u64) -> Allocation {
        // Estimators fall where there is congestion, and then only.
        let has_fallen = kbps < std::mem::replace(&mut self.last_kbps, kbps);
        let is_congested = self.is_congested || has_fallen;
        let estimate = RateEstimate { total_bps: kbps * KBPS, is_congested };
        self.allocator.note_estimate(self.now, estimate);
        self.allocator.allocate(self.now, estimate, &self.demands)
    }

    /// Spatial layers after so long with this estimate; 255: paused.
    fn after(&mut self, span_ms: u64, kbps: u64) -> Vec<u8> {
        let mut last = self.at(kbps);
        for _ in 0..span_ms / 50 {
            self.now += Duration::from_millis(50);
            last = self.at(kbps);
        }
        spatials(&last)
    }
}

fn spatials(allocation: &Allocation) -> Vec<u8> {
    let spatial = |grant: &Grant| match grant {
        Grant::UpTo(layer) => layer.spatial,
        Grant::Paused => 255,
    };
    allocation.grants.iter().map(|(_, grant)| spatial(grant)).collect()
}

#[test]
fn less_comes_at_once_and_more_after_a_while() {
    let mut bench = Bench::new(vec![demand(1, 1, CAMERA)]);
    assert_eq!(bench.after(9_000, 1_700), [2], "what was sent before may fill all of the estimate");
    assert_eq!(bench.after(0, 1_699), [1]);
    assert_eq!(bench.after(600, 5_000), [1]);
    assert_eq!(bench.after(3_000, 5_000), [1], "it has just been lowered");
    assert_eq!(bench.after(2_000, 5_000), [2]);
}

#[test]
fn a_short_rise_raises_nothing() {
    let mut bench = Bench::new(vec![demand(1, 1, CAMERA)]);
    assert_eq!(bench.after(10_000, 300), [0]);
    for _ in 0..20 {
        assert_eq!(bench.after(500, 3_000), [0]);
        assert_eq!(bench.after(500, 400), [0]);
    }
    assert_eq!(bench.after(1_600, 556), [1], "a margin above the need");
}

#[test]
fn a_raise_that_does_not_hold_is_repeated_ever_later() {
    let mut bench = Bench::new(vec![demand(1, 1, CAMERA)]);
    bench.after(10_000, 300);
    let mut raises = Vec::new();
    let start = bench.now;
    // A link of 400 whose estimate climbs while less is sent, and collapses when more is.
    for _ in 0..1_200 {
        let has_more = bench.after(100, if bench.is_congested { 350 } else { 700 }) != [0];
        if has_more && !bench.is_congested {
            raises.push((bench.now - start).as_secs());
        }
        bench.is_congested = has_more;
    }
    assert!(raises.len() >= 5, "it goes on trying: {raises:?}");
    assert!(raises.windows(2).all(|pair| pair[1] - pair[0] >= 10), "{raises:?}");
    assert!(raises.windows(2).skip(1).all(|pair| pair[1] - pair[0] >= 20), "{raises:?}");
}

#[test]
fn audio_is_set_aside_before_anything_else() {
    let mut bench = Bench::new(vec![demand(1, 1, CAMERA)]);
    (bench.demands.audio_tracks, bench.demands.audio_bps) = (3, 120 * KBPS);
    assert_eq!(bench.after(0, 619), [0]);
    assert_eq!(bench.at(619).goal.allocated_bps, 270 * KBPS);
    bench.demands.audio_bps = 0;
    assert_eq!(bench.at(619).goal.allocated_bps, 190 * KBPS, "silent for a moment");
    bench.demands.audio_tracks = 0;
    assert_eq!(bench.at(619).goal.allocated_bps, 150 * KBPS);
}

#[test]
fn layers_go_before_tracks_and_only_with_leave() {
    let mut bench = Bench::new(vec![demand(1, 1, CAMERA), demand(2, 1, CAMERA)]);
    bench.is_congested = true;
    assert_eq!(bench.after(0, 310), [0, 0]);
    assert_eq!(bench.after(5_000, 100), [0, 0], "pausing is not allowed");
    bench.demands.allows_pause = true;
    assert_eq!(bench.after(1_000, 290), [0, 255]);
    assert_eq!(bench.after(1_000, 149), [255, 255]);
}

#[test]
fn a_small_estimate_alone_takes_nothing_away() {
    let mut bench = Bench::beginning(vec![demand(1, 1, CAMERA)]);
    bench.demands.allows_pause = true;
    assert_eq!(bench.after(60_000, 70), [2], "it knows little more than what was sent");
    bench.is_congested = true;
    assert_eq!(bench.after(0, 70), [0], "but pauses nothing");
    assert_eq!(bench.after(1_000, 70), [255], "with the least of all it is still too much");
}

#[test]
fn an_estimate_that_falls_far_without_congestion_takes_something_away() {
    for (kbps, expected) in [(1_021, 2), (1_019, 1)] {
        let mut bench = Bench::beginning(vec![demand(1, 1, CAMERA)]);
        bench.after(60_000, 5_000);
        bench.last_kbps = 0; // nobody says that there is congestion
        assert_eq!(bench.after(0, kbps), [expected], "{kbps}");
    }
}

#[test]
fn new_tracks_are_not_cut_because_little_was_known() {
    let mut bench = Bench::new(vec![demand(1, 1, CAMERA)]);
    bench.after(30_000, 2_500);
    bench.demands.video.extend((2..=5).map(|id| demand(id, 1, CAMERA)));
    assert_eq!(bench.after(0, 2_500), [2; 5]);
    let goal = bench.at(2_500).goal;
    assert!(goal.next_bps > goal.allocated_bps, "what was not shown is tried: {goal:?}");
    assert_eq!(bench.after(60_000, 2_500), [2; 5]);
    assert_eq!(bench.after(1_000, 9_000), [2; 5]);
    let goal = bench.at(9_000).goal;
    assert_eq!(goal.next_bps, goal.allocated_bps, "now it is");
}

#[test]
fn new_tracks_yield_when_the_congestion_that_they_begin_with_lasts() {
    let mut bench = Bench::new(vec![demand(1, 1, CAMERA), demand(2, 1, CAMERA)]);
    bench.after(20_000, 4_000);
    bench.demands.video.push(demand(3, 1, CAMERA));
    bench.after(0, 4_000);
    assert_eq!(bench.after(950, 3_500), [2; 3], "it may be that of the first pictures");
    bench.is_congested = true;
    assert_eq!(bench.after(100, 3_900), [2, 2, 1], "it is not: equals share, who came last yields first");
    bench.is_congested = false;
    assert_eq!(bench.after(20_000, 4_000), [2, 2, 1], "once");
}

#[test]
fn a_new_wish_needs_no_proof_while_nothing_is_missing() {
    let mut bench = Bench::beginning(vec![demand(1, 1, &[150])]);
    assert_eq!(bench.after(30_000, 200), [0]);
    bench.demands.video[0] = demand(1, 1, CAMERA);
    assert_eq!(bench.after(0, 200), [2], "at once");
    assert_eq!(bench.after(1_500, 220), [2]);
    assert_eq!(bench.after(0, 150), [0], "unless the path says no");
    assert_eq!(bench.after(10_000, 400), [0], "and then there must be proof");
    assert_eq!(bench.after(3_000, 600), [1]);
}

#[test]
fn what_is_paused_stays_so_for_a_while_and_until_the_path_is_quiet() {
    let mut bench = Bench::new(vec![demand(1, 1, CAMERA)]);
    bench.demands.allows_pause = true;
    bench.is_congested = true;
    assert_eq!(bench.after(500, 100), [0], "the least must have been tried");
    assert_eq!(bench.after(1_000, 100), [255]);
    assert_eq!(bench.after(10_000, 100), [255]);
    bench.is_congested = false;
    assert_eq!(bench.after(3_500, 5_000), [255]);
    assert_eq!(bench.after(1_000, 5_000), [2]);
}

#[test]
fn what_is_paused_is_tried_with_half_an_estimate_but_not_with_less() {
    for (kbps, expected) in [(74, 255), (76, 0)] {
        let mut bench = Bench::new(vec![demand(1, 1, CAMERA)]);
        bench.demands.allows_pause = true;
        bench.is_congested = true;
        assert_eq!(bench.after(2_000, 60), [255]);
        bench.is_congested = false;
        assert_eq!(bench.after(20_000, kbps), [expected], "{kbps}");
    }
}

#[test]
fn priority_decides_who_keeps_the_better_picture() {
    let mut bench = Bench::new(vec![demand(1, 2, CAMERA), demand(2, 1, CAMERA)]);
    assert_eq!(bench.after(9_000, 2_100), [0, 2]);
    for demand in &mut bench.demands.video {
        demand.priority = 3 - demand.priority;
    }
    assert_eq!(bench.after(5_000, 2_100), [2, 0]);
    // A moment after something had to be lowered, when nothing may be raised.
    assert_eq!(bench.after(1_000, 800), [1, 0]);
    for demand in &mut bench.demands.video {
        demand.priority = 3 - demand.priority;
    }
    assert_eq!(bench.after(0, 800), [0, 1]);
}

#[test]
fn a_new_track_and_a_new_wish_are_served_at_once_where_there_is_room() {
    let mut bench = Bench::new(vec![demand(1, 1, &[150])]);
    assert_eq!(bench.after(3_000, 5_000), [0]);
    bench.demands.video = vec![demand(1, 1, CAMERA), demand(2, 1, CAMERA)];
    assert_eq!(bench.after(0, 5_000), [2, 2]);
}

#[test]
fn a_new_track_takes_its_lowest_step_from_those_who_have_more() {
    let mut bench = Bench::new(vec![demand(1, 1, CAMERA)]);
    assert_eq!(bench.after(3_000, 2_000), [2]);
    bench.demands.video.push(demand(2, 1, CAMERA));
    let divided = bench.after(0, 1_800);
    assert_eq!(divided, [1, 1], "equals share");
    assert_eq!(bench.after(20_000, 1_800), divided);
}

#[test]
fn the_goal_says_what_is_missing() {
    let mut bench = Bench::new(vec![demand(1, 1, CAMERA), demand(2, 1, &[300])]);
    let goal = |allocated: u64, wanted: u64, next: u64| RateGoal {
        allocated_bps: allocated * KBPS,
        wanted_bps: wanted * KBPS,
        next_bps: next * KBPS,
    };
    let allocation = bench.at(500);
    assert_eq!(allocation.goal.allocated_bps, 450 * KBPS);
    assert_eq!(
        allocation.goal.next_bps,
        (800 * KBPS * 100).div_ceil(90),
        "with the margin that the raise wants"
    );
    assert_eq!(allocation.again_after, SOON);
    bench.after(10_000, 9_000);
    let allocation = bench.at(9_000);
    assert_eq!(allocation.goal, goal(2_000, 2_000, 2_000));
    assert_eq!(allocation.again_after, LATER);
}

#[test]
fn what_is_not_wanted_any_more_is_forgotten() {
    let mut bench = Bench::new(vec![demand(1, 1, CAMERA)]);
    bench.demands.allows_pause = true;
    bench.is_congested = true;
    assert_eq!(bench.after(2_000, 100), [255]);
    bench.is_congested = false;
    let gone = std::mem::take(&mut bench.demands.video);
    assert_eq!(bench.at(100).grants, []);
    assert!(bench.allocator.held.is_empty());
    bench.after(2_000, 5_000);
    bench.demands.video = gone;
    assert_eq!(bench.after(0, 5_000), [2], "as if it were new");
    bench.demands.video[0].ladder = Ladder::default();
    assert_eq!(bench.at(5_000).grants, [], "nothing of it is alive");
}

#[test]
fn on_an_estimate_that_trembles_layers_stand_still() {
    for seed in 0..200 {
        let mut random = crate::random::Random::new(seed);
        let mut bench = Bench::new(vec![demand(1, 1, CAMERA), demand(2, 2, CAMERA)]);
        let middle = 300 + u64::from(random.next_u16()) % 4_000;
        let (mut before, mut changes) = (bench.after(20_000, middle), 0);
        for _ in 0..600 {
            let trembling = middle * (950 + u64::from(random.next_u16()) % 100) / 1_000;
            let after = bench.after(100, trembling);
            changes += usize::from(after != before);
            before = after;
        }
        assert!(changes <= 1, "seed {seed}: {changes} changes around {middle} in a minute");
    }
}

#[test]
fn a_raise_survives_the_burst_that_it_begins_with() {
    let mut bench = Bench::new(vec![demand(1, 1, CAMERA)]);
    assert_eq!(bench.after(10_000, 300), [0]);
    assert_eq!(bench.after(2_000, 1_000), [1]);
    bench.is_congested = true;
    assert_eq!(bench.after(100, 300), [1], "it falls to what had arrived before");
    bench.is_congested = false;
    assert_eq!(bench.after(3_000, 350), [1], "and comes up slowly");
    assert_eq!(bench.after(20_000, 520), [1]);
    assert_eq!(bench.after(0, 450), [0], "now it says something");
}

#[test]
fn who_was_sent_everything_is_not_cut_by_an_estimate_that_is_only_beginning() {
    let mut bench = Bench::beginning(vec![demand(1, 1, CAMERA)]);
    assert_eq!(bench.after(4_000, 1_000), [2]);
    assert_eq!(bench.after(6_000, 1_800), [2]);
    let mut bench = Bench::beginning(vec![demand(1, 1, CAMERA)]);
    bench.after(1_000, 1_000);
    bench.is_congested = true;
    assert_eq!(bench.after(100, 1_000), [1], "unless it says that it is too much");
}

#[test]
fn a_first_estimate_of_a_third_of_what_is_sent_is_no_key_frames_burst() {
    for (kbps, step) in [(600, 2), (550, 1)] {
        let mut bench = Bench::beginning(vec![demand(1, 1, CAMERA)]);
        bench.is_congested = true;
        assert_eq!(bench.after(0, kbps), [step], "{kbps} kbit/s of 1,700");
    }
}

#[test]
fn how_much_more_is_sent_than_passes_is_told_where_something_is_lowered() {
    let mut bench = Bench::beginning(vec![demand(1, 1, CAMERA)]);
    bench.is_congested = true;
    assert_eq!(bench.at(400).excess_percent, Some(425), "1,700 with 400");
    assert_eq!(bench.at(400).excess_percent, None, "nothing is left to be lowered");
}
