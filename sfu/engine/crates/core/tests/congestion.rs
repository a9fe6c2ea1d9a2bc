//! Estimation, allocation and forwarding together: simulcast and sound over narrow links, in virtual time, from seeds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    missing_docs
)]

mod common;

use std::time::Duration;

use common::TAG;
use plenum_core::{Command, DownTrackId, Event, MediaKind, RateFeedback};
use plenum_netem::{ClientId, LinkConfig, Mode, QueueLimit, World, WorldConfig};

const MS: Duration = Duration::from_millis(1);
const STEP_MS: u64 = 10;
/// What the streams of a camera send, bits per second of payload.
const CAMERA_BPS: [u32; 3] = [150_000, 450_000, 1_500_000];
const PAYLOAD_BYTES: usize = 1_100;

/// One stream of a camera: thirty pictures a second, key frames three times as large, when asked for.
struct Encoder {
    line: usize,
    rid: &'static str,
    tag: u8,
    picture_bytes: usize,
    picture: u16,
    answered: usize,
}

impl Encoder {
    fn shoot(&mut self, world: &mut World, client: ClientId) {
        let mid = world.clients[client.0].lines[self.line].mid.clone();
        let requests = &world.clients[client.0].key_frame_requests;
        let asked =
            requests.iter().filter(|(_, of, rid)| *of == mid && rid.as_deref() == Some(self.rid)).count();
        let is_key = self.picture == 0 || asked > self.answered;
        self.answered = asked;
        let mut left = self.picture_bytes * if is_key { 3 } else { 1 };
        let mut is_first = true;
        while left > 0 {
            let mut payload = common::vp8(self.picture & 0x7fff, is_key);
            if !is_first {
                payload[0] &= !0x10;
            }
            payload[TAG] = self.tag;
            payload.resize(left.clamp(TAG + 1, PAYLOAD_BYTES), 0);
            left = left.saturating_sub(payload.len());
            world.send_video(client, self.line, Some(self.rid), u32::from(self.picture) * 3_000, &payload);
            is_first = false;
        }
        self.picture += 1;
    }
}

/// A publisher with a microphone and cameras, and a subscriber behind a link.
struct Scene {
    world: World,
    alice: ClientId,
    bob: ClientId,
    downs: Vec<DownTrackId>,
    encoders: Vec<Encoder>,
    elapsed_ms: u64,
    voice: u32,
    is_silent: bool,
}

impl Scene {
    fn new(seed: u64, mode: Mode, cameras: usize) -> Self {
        let config = WorldConfig {
            seed,
            rate_feedback: RateFeedback::TransportWide,
            link: LinkConfig { delay: 20 * MS, ..LinkConfig::default() },
            ..WorldConfig::default()
        };
        let mut world = World::new(config);
        let (alice, bob) = (world.join_connected(Mode::Single), world.join_connected(mode));
        let mic = world.publish(alice, MediaKind::Audio, &[]);
        world.subscribe(bob, mic, MediaKind::Audio, "TR_mic");
        let mut scene = Self {
            world,
            alice,
            bob,
            downs: Vec::new(),
            encoders: Vec::new(),
            elapsed_ms: 0,
            voice: 0,
            is_silent: false,
        };
        for camera in 0..cameras {
            let up = scene.world.publish(alice, MediaKind::Video, &["q", "h", "f"]);
            scene.downs.push(scene.world.subscribe(bob, up, MediaKind::Video, &track(camera)));
            for (tag, rid) in (0_u8..).zip(["q", "h", "f"]) {
                let picture_bytes = CAMERA_BPS[usize::from(tag)] as usize / 8 / 30;
                let line = camera + 1;
                scene.encoders.push(Encoder { line, rid, tag, picture_bytes, picture: 0, answered: 0 });
            }
        }
        scene.world.run_for(1_000 * MS);
        scene
    }

    fn set_link(&mut self, kbps: u64) {
        let link = &mut self.world.downlinks[self.bob.0];
        link.config.rate_bps = (kbps > 0).then_some(kbps * 1_000);
        link.config.queue = QueueLimit::Time(300 * MS);
    }

    fn play(&mut self, seconds: u64) {
        for _ in 0..seconds * 1_000 / STEP_MS {
            if !self.is_silent && self.elapsed_ms.is_multiple_of(20) {
                self.world.send_audio(self.alice, 0, self.voice * 960, &[1; 80]);
                self.voice += 1;
            }
            if self.elapsed_ms * 30 / 1_000 != (self.elapsed_ms + STEP_MS) * 30 / 1_000 {
                for encoder in &mut self.encoders {
                    encoder.shoot(&mut self.world, self.alice);
                }
            }
            self.elapsed_ms += STEP_MS;
            self.world.run_for(u32::try_from(STEP_MS).unwrap() * MS);
        }
    }

    /// What arrived of a track in the last seconds.
    fn recent(&self, name: &str, seconds: u64) -> Vec<&plenum_netem::Received> {
        let since = self.world.now.checked_sub(Duration::from_secs(seconds)).unwrap();
        let packets = self.world.clients[self.bob.0].packets_of(name);
        packets.into_iter().filter(|packet| packet.at >= since && !packet.payload.is_empty()).collect()
    }

    /// Layers of a camera in the last seconds, each once for as long as it lasted.
    fn layers(&self, camera: usize, seconds: u64) -> Vec<u8> {
        let mut layers: Vec<u8> =
            self.recent(&track(camera), seconds).iter().map(|packet| packet.payload[TAG]).collect();
        layers.dedup();
        layers
    }

    /// Share of the sound of the last seconds that is lost, percent.
    fn lost_voice_percent(&self, seconds: u64) -> f64 {
        let got = self.recent("TR_mic", seconds).len() as f64;
        let sent = (seconds * 50) as f64;
        100.0 * (1.0 - got / sent)
    }

    fn pauses(&self) -> Vec<(DownTrackId, bool)> {
        let pause = |event: &Event| match event {
            Event::DownTrackPaused { down_track, paused } => Some((*down_track, *paused)),
            _ => None,
        };
        self.world.events.iter().filter_map(pause).collect()
    }
}

fn track(camera: usize) -> String {
    format!("TR_cam{camera}")
}

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
