//! Estimation, allocation and forwarding together: simulcast and sound over narrow links, in virtual time, from seeds.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::time::Duration;

use common::TAG;
use common::scene::{MS, Scene, Setting, track};
use plenum_core::{Command, RateFeedback};
use plenum_netem::{Mode, Received};

#[test]
fn layers_follow_the_link_down_and_up_again() {
    for seed in 1..=4 {
        let mut scene = Scene::new(seed, Mode::Single, 1);
        scene.play(10);
        assert_eq!(scene.layers(0, 3), [2], "seed {seed}: everything fits");
        scene.set_link(300);
        scene.play(15);
        assert_eq!(scene.layers(0, 8), [0], "seed {seed}: 300 kbit/s");
        assert!(scene.lost_voice_percent(8) < 1.0, "seed {seed}: {} %", scene.lost_voice_percent(8));
        scene.set_link(0);
        scene.play(30);
        assert_eq!(scene.layers(0, 3), [2], "seed {seed}: the link is wide again");
        assert_eq!(scene.pauses(), [], "never paused without leave");
    }
}

#[test]
fn on_a_steady_link_layers_stand_still_and_sound_is_whole() {
    for (seed, kbps) in [(1, 250), (2, 400), (3, 600), (4, 800), (5, 1_200), (6, 1_700), (7, 2_500)] {
        let mut scene = Scene::new(seed, Mode::Single, 1);
        scene.set_link(kbps);
        scene.play(20); // to find out what it bears
        for _ in 0..2 {
            scene.play(10);
            let layers = scene.layers(0, 10);
            let rises = layers.windows(2).filter(|pair| pair[1] > pair[0]).count();
            assert!(rises <= 1, "seed {seed}, {kbps} kbit/s: {layers:?}");
            let lost = scene.lost_voice_percent(10);
            assert!(lost < 1.0, "seed {seed}, {kbps} kbit/s: {lost} % of the sound lost");
        }
    }
}

/// Eight times what the path bears: until a smaller picture came, sound and that picture's key frame would be lost.
#[test]
fn what_is_far_too_much_stops_at_once_where_something_smaller_is_to_come() {
    for (others_live, asks) in [(true, true), (false, false)] {
        let mut scene = Scene::new(1, Mode::Single, 1);
        scene.play(10);
        if !others_live {
            scene.encoders.drain(..2);
            scene.play(5); // until these are known to have stopped
        }
        let asked = |scene: &Scene| scene.world.clients[scene.alice.0].key_frame_requests.len();
        let before = asked(&scene);
        scene.set_link(200);
        scene.play(3);
        assert_eq!(asked(&scene) > before, asks);
        let since = scene.recent(&track(0), 2);
        let smallest = since.iter().filter(|packet| packet.payload[TAG] == 0).count();
        assert_eq!((since.len() > 20, smallest > 20), (true, others_live), "{} {smallest}", since.len());
    }
}

/// Its queue is full before the first packet has arrived, and never seen to grow: there is nothing to go by but losses.
#[test]
fn a_link_that_was_narrow_from_the_beginning_is_found_without_sound_too() {
    for (seed, kbps) in [(1, 60), (2, 90), (3, 150), (4, 250)] {
        let mut scene = Scene::set(&Setting { seed, has_voice: false, ..Setting::default() });
        scene.set_link(kbps);
        scene.play(5);
        scene.play(10);
        assert_eq!(scene.layers(0, 10), [0], "{kbps} kbit/s");
        let estimate = scene.estimate_bps().unwrap();
        assert!(estimate < kbps * 1_300, "{kbps} kbit/s: {estimate}");
    }
}

/// How long a link that was narrow must be wide until the best layer comes, and what was lost of sound before.
fn back_after(feedback: RateFeedback, mode: Mode, kbps: u64) -> (Duration, f64) {
    let mut scene = Scene::set(&Setting { mode, feedback, ..Setting::default() });
    scene.play(10);
    scene.set_link(kbps);
    scene.play(15);
    let lost = scene.lost_voice_percent(8);
    scene.set_link(0);
    let widened = scene.world.now;
    scene.play(15);
    assert_eq!(scene.layers(0, 2), [2], "{feedback:?} {mode:?} {kbps} kbit/s: {:?}", scene.estimate_bps());
    let packets = scene.recent(&track(0), 15);
    (packets.iter().rfind(|packet| packet.payload[TAG] < 2).unwrap().at - widened, lost)
}

#[test]
fn a_link_that_was_narrow_is_known_to_be_wide_again_within_seconds_by_either_feedback() {
    let modes = [Mode::Single, Mode::Dual];
    for (kbps, mode) in [300, 600].into_iter().flat_map(|kbps| modes.map(|mode| (kbps, mode))) {
        for feedback in [RateFeedback::TransportWide, RateFeedback::Receiver] {
            let (back, lost) = back_after(feedback, mode, kbps);
            assert!(back <= Duration::from_secs(10), "{feedback:?} {mode:?} {kbps} kbit/s: {back:?}");
            assert!(lost < 1.0, "{feedback:?} {mode:?} {kbps} kbit/s: {lost} % of the sound lost");
        }
    }
}

/// The best picture takes 1.6 Mbit/s with the sound, three times what came before; its key frame queues for a moment, and
/// what had arrived until then is less than half of what was known.
#[test]
fn a_link_that_is_wide_enough_gets_the_best_picture_although_its_key_frame_queues() {
    let modes = [Mode::Single, Mode::Dual];
    for (kbps, key_times, most_s) in [(2_200, 3, 20), (3_000, 8, 35)] {
        for (mode, seed) in modes.into_iter().zip(1..) {
            let about = format!("{mode:?}, {kbps} kbit/s, key frames of {key_times} pictures");
            let mut scene = Scene::set(&Setting { seed, mode, key_times, ..Setting::default() });
            scene.set_delay(50 * MS);
            scene.set_link(700);
            scene.play(15);
            assert!(!scene.layers(0, 3).contains(&2), "{about}: it was narrow");
            scene.set_link(kbps);
            let widened = scene.world.now;
            scene.play(40);
            let packets = scene.recent(&track(0), 40);
            let back = packets.iter().rfind(|packet| packet.payload[TAG] < 2).unwrap().at - widened;
            assert!(back <= Duration::from_secs(most_s), "{about}: {back:?}");
            let lost = scene.lost_voice_percent(40);
            assert!(lost < 1.0, "{about}: {lost} % of the sound lost");
        }
    }
}

#[test]
fn what_matters_most_gets_the_better_picture() {
    let mut scene = Scene::new(1, Mode::Single, 2);
    scene.set_link(1_000);
    for first in [1, 0] {
        for (down, priority) in [(scene.downs[first], 1), (scene.downs[1 - first], 2)] {
            scene.world.command(Command::SetDownTrackPriority { down_track: down, priority });
        }
        scene.play(40);
        let better = |camera: usize| {
            scene.recent(&track(camera), 30).iter().filter(|packet| packet.payload[TAG] > 0).count()
        };
        let (more, less) = (better(first), better(1 - first));
        assert!(
            more > 100 && more > 2 * less,
            "{first}: {more} packets of a better picture, {less} of the other"
        );
    }
}

#[test]
fn video_is_paused_where_not_even_its_least_fits_and_comes_again() {
    let mut scene = Scene::new(1, Mode::Single, 1);
    let transport = *scene.world.transports(scene.bob).last().unwrap();
    scene.world.command(Command::AllowPause { transport, allowed: true });
    scene.set_link(90);
    scene.play(20);
    assert_eq!(scene.pauses().last(), Some(&(scene.downs[0], true)));
    assert_eq!(scene.layers(0, 3), [], "nothing of it is sent");
    assert!(scene.lost_voice_percent(5) < 1.0, "{} % of the sound lost", scene.lost_voice_percent(5));
    assert_eq!(scene.world.shard.counters().paused_down_tracks, 1);
    scene.set_link(0);
    scene.play(30);
    assert_eq!(scene.pauses().last(), Some(&(scene.downs[0], false)));
    assert_eq!(scene.layers(0, 3), [2]);
    assert_eq!(scene.world.shard.counters().paused_down_tracks, 0);
}

#[test]
fn a_client_can_have_a_narrow_path_simulated() {
    let mut scene = Scene::new(1, Mode::Single, 1);
    let transport = *scene.world.transports(scene.bob).last().unwrap();
    scene.set_link(0);
    scene.play(10);
    scene.world.command(Command::SimulateRate { transport, rate_bps: Some(1_000) });
    scene.play(10);
    assert_eq!(scene.pauses().last(), Some(&(scene.downs[0], true)));
    scene.play(20);
    assert_eq!(scene.layers(0, 3), [], "as long as it is simulated");
    for rate_bps in [Some(100_000_000), None] {
        scene.world.command(Command::SimulateRate { transport, rate_bps });
        scene.play(20);
        assert_eq!(scene.pauses().last(), Some(&(scene.downs[0], false)));
        assert_eq!(scene.layers(0, 3), [2]);
    }
}

#[test]
fn what_its_subscriber_switches_off_is_not_paused() {
    let mut scene = Scene::new(1, Mode::Single, 1);
    let transport = *scene.world.transports(scene.bob).last().unwrap();
    scene.world.command(Command::AllowPause { transport, allowed: true });
    scene.set_link(90);
    scene.play(20);
    scene.world.command(Command::EnableDownTrack { down_track: scene.downs[0], enabled: false });
    scene.play(1);
    assert_eq!(scene.pauses().last(), Some(&(scene.downs[0], false)));
    let count = scene.pauses().len();
    scene.play(10);
    assert_eq!(scene.pauses().len(), count);
}

#[test]
fn what_was_paused_comes_again_although_nothing_is_sent_that_could_be_answered() {
    for seed in 1..=5 {
        let mut scene = Scene::new(seed, Mode::Single, 1);
        let transport = *scene.world.transports(scene.bob).last().unwrap();
        scene.world.command(Command::AllowPause { transport, allowed: true });
        scene.set_link(90);
        let mut spent_s = 0;
        while scene.pauses().last() != Some(&(scene.downs[0], true)) {
            assert!(spent_s < 60, "seed {seed}: never paused");
            scene.play(1);
            spent_s += 1;
        }
        scene.is_silent = true;
        let allocations = scene.world.shard.counters().allocations;
        scene.set_link(0);
        scene.play(30);
        assert_eq!(scene.pauses().last(), Some(&(scene.downs[0], false)), "seed {seed}");
        assert_eq!(scene.layers(0, 3), [2], "seed {seed}");
        let more = scene.world.shard.counters().allocations - allocations;
        assert!(more < 200, "seed {seed}: {more} allocations in half a minute");
    }
}

/// A key frame of 50 kB on a path of which little is known: that of a subscriber who has heard somebody speak, or nothing.
#[test]
fn the_first_key_frame_is_held_back_neither_by_an_estimate_of_sound_nor_by_a_probe() {
    for (seed, (has_voice, delay_ms)) in
        (1..).zip([false, true].into_iter().flat_map(|voice| [1, 50, 200].map(|delay| (voice, delay))))
    {
        let took = |feedback: RateFeedback| {
            let setting =
                Setting { seed, feedback, has_voice, watches: false, key_times: 8, ..Setting::default() };
            let mut scene = Scene::set(&setting);
            scene.set_delay(delay_ms * MS);
            scene.play(3);
            let began = scene.world.now;
            scene.watch(0);
            scene.play(2);
            let packets = scene.recent(&track(0), 2);
            let picture = packets.first().unwrap().timestamp;
            let is_first = |packet: &&&Received| packet.timestamp == picture && packet.payload[TAG] == 2;
            assert_eq!(packets.iter().filter(is_first).count(), 46, "all of the best picture");
            packets.iter().rfind(is_first).unwrap().at - began
        };
        let (at_once, paced) = (took(RateFeedback::Off), took(RateFeedback::TransportWide));
        assert!(paced <= at_once + 100 * MS, "voice {has_voice}, {delay_ms} ms: {at_once:?}, {paced:?}");
    }
}

/// What a camera's pictures were like in the last seconds, in the order in which they were sent: each layer once for as
/// long as it lasted.
fn pictures(scene: &Scene, camera: usize, seconds: u64) -> Vec<u8> {
    let mut packets = scene.recent(&track(camera), seconds);
    packets.sort_unstable_by_key(|packet| packet.seq); // what was lost comes late
    let mut layers: Vec<u8> = packets.iter().map(|packet| packet.payload[TAG]).collect();
    layers.dedup();
    layers
}

#[test]
fn new_tracks_are_given_at_once_where_the_path_bears_them() {
    for (seed, kbps) in [(1, 0), (2, 50_000), (3, 20_000), (4, 10_000)] {
        let mut scene = Scene::set(&Setting { seed, cameras: 5, watches: false, ..Setting::default() });
        scene.watch(0);
        scene.set_link(kbps);
        scene.play(15); // little is sent, so little is known of the path
        (1..5).for_each(|camera| scene.watch(camera));
        scene.play(15);
        for camera in 0..5 {
            let layers = pictures(&scene, camera, 15);
            assert_eq!(layers, [2], "seed {seed}, {kbps} kbit/s, camera {camera}");
        }
        assert!(scene.lost_voice_percent(15) < 1.0, "seed {seed}: {} %", scene.lost_voice_percent(15));
    }
}

#[test]
fn new_tracks_yield_once_where_the_path_does_not_bear_them() {
    for (seed, kbps) in [(1, 4_000), (2, 3_000), (3, 5_000)] {
        let mut scene = Scene::set(&Setting { seed, cameras: 5, watches: false, ..Setting::default() });
        scene.watch(0);
        scene.set_link(kbps);
        scene.play(15);
        (1..5).for_each(|camera| scene.watch(camera));
        scene.play(20);
        let mut ends = Vec::new();
        for camera in 0..5 {
            let layers = pictures(&scene, camera, 20);
            let rises = layers.windows(2).filter(|pair| pair[1] > pair[0]).count();
            // Back to what it can have, and at most one more try in that time.
            assert!(rises <= 2, "seed {seed}, {kbps} kbit/s, camera {camera}: {layers:?}");
            ends.extend(layers.last().copied());
        }
        assert!(ends.is_sorted_by(|one, next| one >= next), "who came last yields first: {ends:?}");
        assert!(scene.lost_voice_percent(20) < 1.0, "seed {seed}: {} %", scene.lost_voice_percent(20));
        assert_eq!(scene.pauses(), [], "nothing is paused without leave");
    }
}
