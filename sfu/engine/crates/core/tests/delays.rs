//! The delay of a path is no queue: on another way with more of it nothing is taken from the picture. In virtual time, from
//! seeds.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::time::Duration;

use common::scene::{MS, Scene};
use plenum_netem::Mode;

/// Each way, before.
const DELAY_MS: u32 = 20;
const STEPS_MS: [u32; 4] = [50, 120, 200, 400];
/// Twice what the camera sends.
const WIDE_KBPS: u64 = 3_500;

/// One camera over a link of that rate (0: without limit) and jitter that has been up for a while.
fn settled(seed: u64, kbps: u64, jitter: Duration) -> Scene {
    let mut scene = Scene::new(seed, Mode::Single, 1);
    if kbps > 0 {
        scene.set_link(kbps);
    }
    for link in [&mut scene.world.downlinks, &mut scene.world.uplinks] {
        link[scene.bob.0].config.jitter = jitter;
    }
    scene.play(12);
    assert_eq!(scene.layers(0, 2), [2], "the best layer to begin with");
    scene
}

#[test]
fn a_path_that_becomes_longer_at_once_leaves_the_picture_as_it_is() {
    for (step_ms, (seed, kbps)) in
        STEPS_MS.into_iter().flat_map(|step| [(1, 0), (2, WIDE_KBPS)].map(|on| (step, on)))
    {
        let mut scene = settled(seed, kbps, Duration::ZERO);
        let before = scene.estimate_bps().unwrap();
        scene.set_delay((DELAY_MS + step_ms) * MS);
        scene.play(12);
        assert_eq!(scene.below_top(0, 12), Duration::ZERO, "+{step_ms} ms, {kbps} kbit/s");
        let after = scene.estimate_bps().unwrap();
        assert!(after * 10 >= before * 9, "+{step_ms} ms, {kbps} kbit/s: {before}, {after}");
    }
}

#[test]
fn nor_does_one_that_varies_and_becomes_longer_and_shorter_again() {
    for (seed, jitter) in [(1, 5 * MS), (2, 30 * MS)] {
        let mut scene = settled(seed, 0, jitter);
        for delay_ms in [220, 20, 420, 5, 150] {
            scene.set_delay(delay_ms * MS);
            scene.play(4);
        }
        assert_eq!(scene.below_top(0, 20), Duration::ZERO, "jitter {jitter:?}");
    }
}

/// Nothing tells it from a queue while it grows; afterwards it does not drain.
#[test]
fn a_path_that_becomes_longer_by_and_by_is_known_after_seconds() {
    for (seed, kbps) in [(1, 0), (2, WIDE_KBPS)] {
        let mut scene = settled(seed, kbps, Duration::ZERO);
        for step in 1..=20 {
            scene.set_delay((DELAY_MS + 10 * step) * MS);
            scene.play_ms(30);
        }
        scene.play(10);
        scene.play(10);
        assert_eq!(scene.below_top(0, 10), Duration::ZERO, "{kbps} kbit/s");
    }
}

#[test]
fn a_link_that_becomes_longer_and_narrower_is_followed() {
    for (seed, step_ms) in (1..).zip(STEPS_MS) {
        let mut scene = settled(seed, WIDE_KBPS, Duration::ZERO);
        scene.set_link(500);
        scene.set_delay((DELAY_MS + step_ms) * MS);
        scene.play(5); // two seconds and what a longer path needs to tell
        scene.play(10);
        assert_eq!(scene.layers(0, 10), [0], "+{step_ms} ms");
        assert!(scene.lost_voice_percent(10) < 1.0, "+{step_ms} ms: {} %", scene.lost_voice_percent(10));
    }
}
