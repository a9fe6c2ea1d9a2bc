//! The conditions of the network matrix in virtual time, from seeds, with estimation, allocation and pacing: a simulcast
//! camera and a voice in RED to a subscriber whose path is so from the beginning, or becomes so in the call, or to whom
//! something happens once.
//!
//! One run is a throw of dice where packets get lost; so each condition is judged by the mean over some seeds. What RED,
//! retransmission and messages bear is looked at in `plenum-netem`'s `conditions`, without estimation in the way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_precision_loss, missing_docs)]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::TAG;
use common::scene::{CAMERA_BPS, MS, Scene, Setting, track};
use plenum_core::{Command, RateFeedback};
use plenum_netem::{LinkConfig, Mode, QueueLimit};

const LOSSES: [f64; 5] = [0.0, 0.02, 0.05, 0.1, 0.2];
const DELAYS_MS: [u32; 3] = [0, 50, 200];
/// The voice in RED, its headers, and those of the camera.
const BESIDE_BPS: u64 = 90_000;
/// Until so long after the condition began, packets that were sent before anybody could know of it fill the queue: the
/// delay, that of the queue, the feedback's, and what leaves until the smaller picture comes.
const UNKNOWN_MS: u64 = 1_500;
/// What is under way arrives.
const DRAIN_MS: u64 = 1_500;

#[derive(Debug, Clone, Copy)]
struct Condition {
    rate_bps: Option<u64>,
    delay_ms: u32,
    loss: f64,
    in_call: bool,
    feedback: RateFeedback,
}

/// What came of a condition.
#[derive(Debug, Default, Clone, Copy)]
struct Outcome {
    /// The estimate from the tenth second to the fifteenth, as a part of the lesser of the link and what is wanted.
    estimate: f64,
    /// Percent of the voice that was lost since the path could be known.
    lost: f64,
    /// The most often that the picture became better in any ten seconds from the tenth on.
    rises: usize,
}

impl Condition {
    fn run(self, seed: u64) -> Outcome {
        self.play(&mut call(seed, self.feedback))
    }

    fn play(self, scene: &mut Scene) -> Outcome {
        if self.in_call {
            scene.play(6);
        }
        let up = LinkConfig { loss: self.loss, delay: self.delay_ms * MS, ..LinkConfig::default() };
        set_path(scene, up, self.rate_bps);
        scene.play_ms(UNKNOWN_MS);
        let first = scene.voice;
        scene.play_ms(10_000 - UNKNOWN_MS);
        let estimate = estimate_over(scene, Duration::from_secs(5), self.rate_bps);
        let mut rises = 0;
        for _ in 0..2 {
            scene.play(10);
            rises = rises.max(rises_of(&pictures(scene, 10)));
        }
        scene.is_silent = true;
        scene.play_ms(DRAIN_MS);
        Outcome { estimate, lost: scene.lost_frames_percent(first), rises }
    }
}

fn call(seed: u64, feedback: RateFeedback) -> Scene {
    let mode = if seed.is_multiple_of(2) { Mode::Single } else { Mode::Dual };
    Scene::set(&Setting { seed, mode, feedback, has_red: true, ..Setting::default() })
}

/// The subscriber's path, from now on; the rate is that of the way down.
fn set_path(scene: &mut Scene, both: LinkConfig, rate_bps: Option<u64>) {
    let down = LinkConfig { rate_bps, queue: QueueLimit::Time(300 * MS), ..both };
    let (now, bob) = (scene.world.now, scene.bob.0);
    scene.world.uplinks[bob].set_config(now, both);
    scene.world.downlinks[bob].set_config(now, down);
}

/// The estimate as far as it is of use (what nobody wants needs no proof), mean over some time.
fn estimate_over(scene: &mut Scene, time: Duration, rate_bps: Option<u64>) -> f64 {
    let wanted_bps = u64::from(CAMERA_BPS[2]) + BESIDE_BPS;
    let lesser_bps = rate_bps.map_or(wanted_bps, |rate| rate.min(wanted_bps));
    let steps = u32::try_from(time.as_millis() / 250).unwrap();
    let mut sum_bps = 0;
    for _ in 0..steps {
        sum_bps += scene.estimate_bps().expect("an estimate").min(wanted_bps);
        scene.play_ms(250);
    }
    sum_bps as f64 / f64::from(steps) / lesser_bps as f64
}

/// Layers of the pictures of the last seconds in the order in which they were sent, each once for as long as it lasted.
fn pictures(scene: &Scene, seconds: u64) -> Vec<u8> {
    let mut packets = scene.recent(&track(0), seconds);
    packets.sort_unstable_by_key(|packet| packet.seq);
    let mut layers: Vec<u8> = packets.iter().map(|packet| packet.payload[TAG]).collect();
    layers.dedup();
    layers
}

/// How often the picture became better.
fn rises_of(pictures: &[u8]) -> usize {
    pictures.windows(2).filter(|pair| pair[1] > pair[0]).count()
}

fn for_each_condition(rate_bps: Option<u64>, seeds: u64) {
    for in_call in [false, true] {
        for delay_ms in DELAYS_MS {
            for loss in LOSSES {
                let feedback = RateFeedback::TransportWide;
                let condition = Condition { rate_bps, delay_ms, loss, in_call, feedback };
                let outcomes: Vec<Outcome> = (1..=seeds).map(|seed| condition.run(seed)).collect();
                holds(condition, &outcomes);
            }
        }
    }
}

fn mean<T>(outcomes: &[T], of: impl Fn(&T) -> f64) -> f64 {
    outcomes.iter().map(of).sum::<f64>() / outcomes.len() as f64
}

/// What is promised of a steady path.
fn holds(condition: Condition, outcomes: &[Outcome]) {
    let estimate = mean(outcomes, |outcome| outcome.estimate);
    // What is lost before the narrow place does not fill it: so much more may be sent.
    let most = 1.2 / (1.0 - condition.loss);
    // Of a probe's five packets one or two are lost, and each try takes seconds.
    let least = if condition.loss > 0.1 && condition.delay_ms >= 200 { 0.75 } else { 0.8 };
    assert!(
        (least..=most).contains(&estimate),
        "{condition:?}: {estimate:.3} of what is right, {outcomes:?}"
    );
    let rises = outcomes.iter().map(|outcome| outcome.rises).max().unwrap();
    assert!(rises <= 1, "{condition:?}: {rises} times up in ten seconds");
    // RED has each frame twice: what is lost beyond that is lost in queues.
    let lost = mean(outcomes, |outcome| outcome.lost);
    let inevitable = 100.0 * condition.loss * condition.loss;
    assert!(lost < inevitable + 1.0, "{condition:?}: {lost:.2} % of the sound lost, {outcomes:?}");
}

#[test]
fn the_estimate_is_true_the_picture_stands_and_sound_is_whole_without_a_limit() {
    for_each_condition(None, 2);
}

#[test]
fn the_estimate_is_true_the_picture_stands_and_sound_is_whole_at_1_mbps() {
    for_each_condition(Some(1_000_000), 8);
}

#[test]
fn the_estimate_is_true_the_picture_stands_and_sound_is_whole_at_300_kbps() {
    for_each_condition(Some(300_000), 12);
}

/// What a path loses by itself is to go again also while it is known to bear less than it was sent: of the smallest picture
/// all is needed.
#[test]
fn the_picture_goes_on_at_300_kbps_where_packets_get_lost() {
    for (loss, delay_ms, most_s) in [(0.1, 0, 4.5), (0.1, 50, 6.5), (0.2, 0, 7.0)] {
        let play = |seed| {
            let mut scene = call(seed, RateFeedback::TransportWide);
            scene.play(6);
            let path = LinkConfig { loss, delay: delay_ms * MS, ..LinkConfig::default() };
            set_path(&mut scene, path, Some(300_000));
            scene.play(12);
            scene.frozen(0, 12)
        };
        let frozen: Vec<Duration> = (1..=8).map(play).collect();
        let mean_s = mean(&frozen, Duration::as_secs_f64);
        assert!(mean_s < most_s, "{loss}, {delay_ms} ms: frozen for {mean_s:.1} s of 12");
    }
}

/// What comes of a condition by the receiver's own estimate, with leave to pause.
#[derive(Debug)]
struct ByReceiver {
    outcome: Outcome,
    /// How long the picture still stood at the end.
    stood: Option<Duration>,
    /// How long the path must be good again until the best layer comes to stay.
    back: Option<Duration>,
}

impl ByReceiver {
    fn of(condition: Condition, seed: u64) -> Self {
        let mut scene = call(seed, condition.feedback);
        let transport = *scene.world.transports(scene.bob).last().unwrap();
        scene.world.command(Command::AllowPause { transport, allowed: true });
        let outcome = condition.play(&mut scene);
        scene.is_silent = false;
        let stood = until_pictures(&mut scene, 25);
        set_path(&mut scene, LinkConfig { delay: 20 * MS, ..LinkConfig::default() }, None);
        Self { outcome, stood, back: until_best(&mut scene, 40) }
    }
}

/// How long it takes, of so many seconds, until a second has pictures.
fn until_pictures(scene: &mut Scene, seconds: u64) -> Option<Duration> {
    let has_pictures = |scene: &Scene| scene.recent(&track(0), 1).len() >= 15;
    (0..seconds).find_map(|second| {
        if !has_pictures(scene) {
            scene.play(1);
        }
        has_pictures(scene).then_some(Duration::from_secs(second))
    })
}

/// How long it takes, of so many seconds, until nothing but the best layer comes.
fn until_best(scene: &mut Scene, seconds: u64) -> Option<Duration> {
    let began = scene.world.now;
    scene.play(seconds);
    let packets = scene.recent(&track(0), seconds);
    let last = packets.last()?.at;
    let worse = packets.iter().rfind(|packet| packet.payload[TAG] < 2).map_or(began, |packet| packet.at);
    (worse + Duration::from_secs(3) < last).then(|| worse - began)
}

/// A receiver's estimate knows no losses, lags behind and takes a longer way for a queue at first. On a path that becomes
/// so in the call it was 0.65 to 1 of what is right with delays of 0 and 50 ms and 0.13 to 0.46 with one of 200 ms, and
/// the picture became better up to twice in ten seconds. So that is not promised; but sound is, and that the picture is
/// never given up for good, neither on that path (with 300 kbit/s, 200 ms and losses it may be paused for 10 to 18 s at a
/// time, where that is allowed) nor afterwards (after 0 to 20 s; 28 s where the last try had just failed, after which there
/// is none for 20 s).
fn for_each_condition_by_receiver(rate_bps: Option<u64>) {
    for loss in LOSSES {
        let mut outcomes = Vec::new();
        // So many that their mean says something of the sound: of three runs it was off by a third of a percent.
        let runs = DELAYS_MS.into_iter().flat_map(|delay| (1..=4).map(move |seed| (seed, delay)));
        for (seed, delay_ms) in runs {
            let feedback = RateFeedback::Receiver;
            let condition = Condition { rate_bps, delay_ms, loss, in_call: true, feedback };
            let run = ByReceiver::of(condition, seed);
            assert!(run.stood.is_some(), "{condition:?}: the picture stands, {run:?}");
            let is_back = run.back.is_some_and(|back| back < Duration::from_secs(30));
            assert!(is_back, "{condition:?}: not the best picture again, {run:?}");
            outcomes.push(run.outcome);
        }
        let (lost, inevitable) = (mean(&outcomes, |outcome| outcome.lost), 100.0 * loss * loss);
        assert!(
            lost < inevitable + 1.0,
            "{rate_bps:?}, loss {loss}: {lost:.2} % of the sound lost, {outcomes:?}"
        );
    }
}

#[test]
fn by_the_receivers_estimate_sound_is_whole_and_pictures_come_and_come_back_without_a_limit() {
    for_each_condition_by_receiver(None);
}

#[test]
fn by_the_receivers_estimate_sound_is_whole_and_pictures_come_and_come_back_at_1_mbps() {
    for_each_condition_by_receiver(Some(1_000_000));
}

#[test]
fn by_the_receivers_estimate_sound_is_whole_and_pictures_come_and_come_back_at_300_kbps() {
    for_each_condition_by_receiver(Some(300_000));
}

/// What happens to a path once.
#[derive(Debug, Clone, Copy)]
enum Incident {
    /// A tenth of the packets is overtaken by three others, from now on.
    Reordering,
    Blackout,
    OtherAddress,
}

impl Incident {
    const ALL: [Self; 3] = [Self::Reordering, Self::Blackout, Self::OtherAddress];

    /// Lets it happen; how long it lasts.
    fn strike(self, scene: &mut Scene, path: LinkConfig, rate_bps: Option<u64>) -> Duration {
        let (now, bob) = (scene.world.now, scene.bob);
        match self {
            Self::Reordering => {
                set_path(scene, LinkConfig { reorder: 0.1, ..path }, rate_bps);
                Duration::ZERO
            }
            Self::Blackout => {
                let length = Duration::from_secs(5);
                scene.world.uplinks[bob.0].schedule_blackout(now, length);
                scene.world.downlinks[bob.0].schedule_blackout(now, length);
                length
            }
            Self::OtherAddress => {
                let transports = scene.world.transports(bob);
                for connection in 0..transports.len() {
                    let port = u16::try_from(40_000 + connection).unwrap();
                    scene.world.move_to(bob, connection, SocketAddr::from(([203, 0, 113, 9], port)));
                }
                scene.world.restart_ice(bob);
                if let [_, transport] = transports[..] {
                    scene.world.command(Command::RestartIce { transport });
                }
                Duration::ZERO
            }
        }
    }
}

#[test]
fn the_estimate_and_the_best_picture_are_there_again_after_what_happens_once() {
    let rates = [None, Some(3_000_000), Some(2_200_000)];
    for (incident, rate_bps) in
        Incident::ALL.into_iter().flat_map(|incident| rates.map(|rate| (incident, rate)))
    {
        for seed in [1, 2] {
            let about = format!("{incident:?}, {rate_bps:?}, seed {seed}");
            let mut scene = call(seed, RateFeedback::TransportWide);
            let path = LinkConfig { delay: 50 * MS, ..LinkConfig::default() };
            set_path(&mut scene, path, rate_bps);
            scene.play(10);
            assert_eq!(scene.layers(0, 3), [2], "{about}: before");
            let length = incident.strike(&mut scene, path, rate_bps);
            scene.play_ms(500);
            scene.play(length.as_secs());
            let first = scene.voice;
            for _ in 0..2 {
                scene.play(8);
                let estimate = estimate_over(&mut scene, Duration::from_secs(2), rate_bps);
                assert!(estimate >= 0.8, "{about}: {estimate:.3} of what is wanted");
                assert_eq!(scene.layers(0, 3), [2], "{about}");
                let pictures = pictures(&scene, 10);
                assert!(rises_of(&pictures) <= 1, "{about}: {pictures:?}");
            }
            scene.is_silent = true;
            scene.play_ms(DRAIN_MS);
            let lost = scene.lost_frames_percent(first);
            assert!(lost < 1.0, "{about}: {lost:.2} % of the sound lost");
        }
    }
}
