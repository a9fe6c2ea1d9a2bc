//! A publisher with a microphone and simulcast cameras, and a subscriber behind a link.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use plenum_core::{DownTrackId, Event, MediaKind, RateFeedback, UpTrackId};
use plenum_netem::{ClientId, LinkConfig, Mode, QueueLimit, World, WorldConfig};

use super::{TAG, is_key, vp8};

const RED_OPUS: u8 = 111;

pub const MS: Duration = Duration::from_millis(1);
const STEP_MS: u64 = 10;
/// What the streams of a camera send, bits per second of payload.
pub const CAMERA_BPS: [u32; 3] = [150_000, 450_000, 1_500_000];
const PAYLOAD_BYTES: usize = 1_100;
/// A picture that is not followed by another for so long is frozen.
const FREEZE: Duration = Duration::from_millis(250);

/// One stream of a camera: thirty pictures a second, key frames three times as large, when asked for.
pub struct Encoder {
    line: usize,
    rid: &'static str,
    tag: u8,
    picture_bytes: usize,
    picture: u16,
    answered: usize,
    key_times: usize,
}

impl Encoder {
    fn shoot(&mut self, world: &mut World, client: ClientId) {
        let mid = world.clients[client.0].lines[self.line].mid.clone();
        let requests = &world.clients[client.0].key_frame_requests;
        let asked =
            requests.iter().filter(|(_, of, rid)| *of == mid && rid.as_deref() == Some(self.rid)).count();
        let is_key = self.picture == 0 || asked > self.answered;
        self.answered = asked;
        let mut left = self.picture_bytes * if is_key { self.key_times } else { 1 };
        let mut is_first = true;
        while left > 0 {
            let mut payload = vp8(self.picture & 0x7fff, is_key);
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

/// Who is there.
pub struct Setting {
    pub seed: u64,
    /// How the subscriber joins.
    pub mode: Mode,
    pub cameras: usize,
    pub feedback: RateFeedback,
    pub has_voice: bool,
    /// The voice goes in RED, each frame with the one before.
    pub has_red: bool,
    /// The subscriber gets the cameras from the beginning.
    pub watches: bool,
    /// How much larger key frames are than other pictures.
    pub key_times: usize,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            seed: 1,
            mode: Mode::Single,
            cameras: 1,
            feedback: RateFeedback::TransportWide,
            has_voice: true,
            has_red: false,
            watches: true,
            key_times: 3,
        }
    }
}

/// A publisher with a microphone and cameras, and a subscriber behind a link.
pub struct Scene {
    pub world: World,
    pub alice: ClientId,
    pub bob: ClientId,
    pub ups: Vec<UpTrackId>,
    pub downs: Vec<DownTrackId>,
    pub encoders: Vec<Encoder>,
    pub elapsed_ms: u64,
    pub voice: u32,
    pub is_silent: bool,
    has_red: bool,
}

impl Scene {
    pub fn new(seed: u64, mode: Mode, cameras: usize) -> Self {
        Self::set(&Setting { seed, mode, cameras, ..Setting::default() })
    }

    pub fn set(setting: &Setting) -> Self {
        let link = LinkConfig { delay: 20 * MS, ..LinkConfig::default() };
        let (seed, rate_feedback) = (setting.seed, setting.feedback);
        let mut world = World::new(WorldConfig { seed, rate_feedback, link, ..WorldConfig::default() });
        world.clients_feedback = rate_feedback;
        let (alice, bob) = (world.join_connected(Mode::Single), world.join_connected(setting.mode));
        if setting.has_voice {
            let mic = world.publish(alice, MediaKind::Audio, &[]);
            world.subscribe(bob, mic, MediaKind::Audio, "TR_mic");
        }
        let mut scene = Self {
            world,
            alice,
            bob,
            ups: Vec::new(),
            downs: Vec::new(),
            encoders: Vec::new(),
            elapsed_ms: 0,
            voice: 0,
            is_silent: !setting.has_voice,
            has_red: setting.has_red,
        };
        for camera in 0..setting.cameras {
            let up = scene.world.publish(alice, MediaKind::Video, &["q", "h", "f"]);
            scene.ups.push(up);
            if setting.watches {
                scene.watch(camera);
            }
            for (tag, rid) in (0_u8..).zip(["q", "h", "f"]) {
                let picture_bytes = CAMERA_BPS[usize::from(tag)] as usize / 8 / 30;
                let (key_times, place) = (setting.key_times, camera + usize::from(setting.has_voice));
                scene.encoders.push(Encoder {
                    line: place,
                    rid,
                    tag,
                    picture_bytes,
                    picture: 0,
                    answered: 0,
                    key_times,
                });
            }
        }
        scene.world.run_for(1_000 * MS);
        scene
    }

    /// Subscribes to a camera.
    pub fn watch(&mut self, camera: usize) {
        let (bob, up) = (self.bob, self.ups[camera]);
        self.downs.push(self.world.subscribe(bob, up, MediaKind::Video, &track(camera)));
    }

    pub fn set_link(&mut self, kbps: u64) {
        let link = &mut self.world.downlinks[self.bob.0];
        link.config.rate_bps = (kbps > 0).then_some(kbps * 1_000);
        link.config.queue = QueueLimit::Time(300 * MS);
    }

    pub fn play(&mut self, seconds: u64) {
        self.play_ms(seconds * 1_000);
    }

    pub fn play_ms(&mut self, length_ms: u64) {
        for _ in 0..length_ms / STEP_MS {
            if !self.is_silent && self.elapsed_ms.is_multiple_of(20) {
                self.say();
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

    fn say(&mut self) {
        let number = self.voice;
        self.voice += 1;
        if !self.has_red {
            self.world.send_audio(self.alice, 0, number * 960, &[1; 80]);
            return;
        }
        let frame = |number: u32| [&number.to_be_bytes()[..], &[1; 76]].concat();
        let before = frame(number.saturating_sub(1));
        // RFC 2198 §3: one redundant block, 960 samples older, then the primary one.
        let header = (1 << 31 | u32::from(RED_OPUS) << 24 | 960 << 10 | before.len() as u32).to_be_bytes();
        let payload = [&header[..], &[RED_OPUS], &before, &frame(number)].concat();
        self.world.send_red(self.alice, 0, number * 960, &payload);
    }

    /// Share of the frames from this number on that came in no packet, percent; the voice must be in RED.
    pub fn lost_frames_percent(&self, first: u32) -> f64 {
        let mut came = HashSet::new();
        for packet in self.world.clients[self.bob.0].packets_of("TR_mic") {
            let length = usize::from(u16::from_be_bytes([packet.payload[2] & 3, packet.payload[3]]));
            for frame in [&packet.payload[5..], &packet.payload[5 + length..]] {
                came.insert(u32::from_be_bytes(frame[..4].try_into().unwrap()));
            }
        }
        let lost = (first..self.voice).filter(|number| !came.contains(number)).count();
        100.0 * lost as f64 / f64::from(self.voice - first).max(1.0)
    }

    /// Time each way to the subscriber, from now on.
    pub fn set_delay(&mut self, delay: Duration) {
        self.world.downlinks[self.bob.0].config.delay = delay;
        self.world.uplinks[self.bob.0].config.delay = delay;
    }

    /// What is known of the rate towards the subscriber.
    pub fn estimate_bps(&self) -> Option<u64> {
        let transport = *self.world.transports(self.bob).last()?;
        self.world.shard.rate_estimate(transport).map(|estimate| estimate.total_bps)
    }

    /// For how much of the last seconds less than the best layer of a camera came.
    pub fn below_top(&self, camera: usize, seconds: u64) -> Duration {
        let packets = self.recent(&track(camera), seconds);
        let mut below = Duration::ZERO;
        for pair in packets.windows(2) {
            if pair[1].payload[TAG] < 2 {
                below += pair[1].at - pair[0].at;
            }
        }
        below
    }

    /// What arrived of a track in the last seconds.
    pub fn recent(&self, name: &str, seconds: u64) -> Vec<&plenum_netem::Received> {
        let since = self.world.now.checked_sub(Duration::from_secs(seconds)).unwrap();
        let packets = self.world.clients[self.bob.0].packets_of(name);
        packets.into_iter().filter(|packet| packet.at >= since && !packet.payload.is_empty()).collect()
    }

    /// Layers of a camera in the last seconds, each once for as long as it lasted.
    pub fn layers(&self, camera: usize, seconds: u64) -> Vec<u8> {
        let mut layers: Vec<u8> =
            self.recent(&track(camera), seconds).iter().map(|packet| packet.payload[TAG]).collect();
        layers.dedup();
        layers
    }

    /// Share of the sound of the last seconds that is lost, percent.
    pub fn lost_voice_percent(&self, seconds: u64) -> f64 {
        let got = self.recent("TR_mic", seconds).len() as f64;
        let sent = (seconds * 50) as f64;
        100.0 * (1.0 - got / sent)
    }

    /// For how much of the last seconds a camera's picture was frozen: nothing new for a quarter of a second or more.
    pub fn frozen(&self, camera: usize, seconds: u64) -> Duration {
        let begin = self.world.now.checked_sub(Duration::from_secs(seconds)).unwrap();
        let mut came = self.recent(&track(camera), 60);
        came.sort_by_key(|packet| packet.at);
        let (mut got, mut next) = (HashSet::new(), None);
        let (mut moved, mut frozen) = (begin, Duration::ZERO);
        let mut move_at = |at: Instant| {
            let gap = at.saturating_duration_since(moved);
            frozen += if gap >= FREEZE { gap } else { Duration::ZERO };
            moved = moved.max(at);
        };
        for packet in came {
            got.insert(packet.seq);
            // The first packet of a key frame: what came before is not waited for any more.
            if packet.payload[0] & 0x10 != 0 && is_key(&packet.payload) {
                next = next.max(Some(packet.seq));
            }
            let before = next;
            while next.is_some_and(|seq| got.contains(&seq)) {
                next = next.map(|seq| seq + 1);
            }
            if next > before {
                move_at(packet.at);
            }
        }
        move_at(self.world.now);
        frozen
    }

    pub fn pauses(&self) -> Vec<(DownTrackId, bool)> {
        let pause = |event: &Event| match event {
            Event::DownTrackPaused { down_track, paused } => Some((*down_track, *paused)),
            _ => None,
        };
        self.world.events.iter().filter_map(pause).collect()
    }
}

pub fn track(camera: usize) -> String {
    format!("TR_cam{camera}")
}
