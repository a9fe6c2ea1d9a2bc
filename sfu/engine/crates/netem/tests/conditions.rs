//! The conditions of the network matrix in virtual time, from seeds: a publisher on a clean link, a subscriber behind one
//! with losses and delay each way, a rate on the way down, reordering, a blackout, another address.
//!
//! What is counted is what the subscriber's association received, so players and encoders play no part. How far the
//! estimate adapts to a rate is looked at in `plenum-core`'s `matrix`.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use plenum_core::{Command, DataKind, MediaKind, RateFeedback};
use plenum_netem::{ClientId, LinkConfig, Mode, QueueLimit, World, WorldConfig};

const LOSSES: [f64; 5] = [0.0, 0.02, 0.05, 0.1, 0.2];
const DELAYS: [Duration; 3] = [Duration::ZERO, Duration::from_millis(50), Duration::from_millis(200)];
const PATHS: [(Mode, u64); 2] = [(Mode::Single, 1), (Mode::Dual, 2)];

/// A frame of sound, in RED with the one before, and a packet of video every 20 ms; a message every 200 ms. So the
/// receiver, which asks for none but the last 100 packets, asks as often within the two seconds that we keep them as the
/// delay lets it.
const TICK: Duration = Duration::from_millis(20);
const DATA_TICKS: u32 = 10;
const VIDEO_BYTES: usize = 1_000;
const RED_OPUS: u8 = 111;

/// A call with its sender's side played by ticks.
struct Call {
    world: World,
    alice: ClientId,
    bob: ClientId,
    ticks: u32,
    /// When each piece was sent, by its number.
    audio: BTreeMap<u32, Instant>,
    video: BTreeMap<u32, Instant>,
    messages: u32,
    /// Video is sent so many packets at a time, as seldom as that takes.
    burst: u32,
}

/// What arrived of what was sent in some time.
#[derive(Debug)]
struct Arrived {
    /// Share of the frames of sound that came neither themselves nor in the next packet.
    audio_lost: f64,
    /// Share of the packets of video that never came.
    video_lost: f64,
    /// What 95 % of the packets of video took at most; those that never came took for ever.
    video_p95: Duration,
}

impl Call {
    fn begin(mode: Mode, seed: u64, link: LinkConfig) -> Self {
        let clean = LinkConfig { delay: Duration::from_millis(1), ..LinkConfig::default() };
        let rate_feedback = RateFeedback::TransportWide;
        let mut world =
            World::new(WorldConfig { seed, link: clean, rate_feedback, ..WorldConfig::default() });
        let alice = world.join_connected(Mode::Single);
        let bob = world.join_connected(mode);
        let microphone = world.publish(alice, MediaKind::Audio, &[]);
        let camera = world.publish(alice, MediaKind::Video, &[]);
        world.subscribe(bob, microphone, MediaKind::Audio, "TR_mic");
        world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
        world.run_for(Duration::from_secs(1));
        let (audio, video) = (BTreeMap::new(), BTreeMap::new());
        let mut call = Self { world, alice, bob, ticks: 0, audio, video, messages: 0, burst: 1 };
        call.talk(Duration::from_secs(1));
        call.world.downlinks[bob.0].config = link;
        call.world.uplinks[bob.0].config = LinkConfig { rate_bps: None, ..link };
        call
    }

    /// Everything is sent for that long.
    fn talk(&mut self, span: Duration) {
        let end = self.world.now + span;
        while self.world.now < end {
            self.say();
            if self.ticks.is_multiple_of(self.burst) {
                (0..self.burst).for_each(|_| self.show());
            }
            if self.ticks.is_multiple_of(DATA_TICKS) {
                self.messages += 1;
                self.world.server_data(DataKind::Reliable, format!("message {}", self.messages).as_bytes());
            }
            self.ticks += 1;
            self.world.run_for(TICK);
        }
    }

    fn say(&mut self) {
        let number = u32::try_from(self.audio.len()).unwrap();
        self.audio.insert(number, self.world.now);
        let frame = |number: u32| [&number.to_be_bytes()[..], &[7; 60]].concat();
        let before = frame(number.saturating_sub(1));
        let length = u32::try_from(before.len()).unwrap();
        // RFC 2198 §3: one redundant block, 960 samples older, then the primary one.
        let header = (1 << 31 | u32::from(RED_OPUS) << 24 | 960 << 10 | length).to_be_bytes();
        let payload = [&header[..], &[RED_OPUS], &before, &frame(number)].concat();
        self.world.send_red(self.alice, 0, 960 * number, &payload);
    }

    fn show(&mut self) {
        let number = u32::try_from(self.video.len()).unwrap();
        self.video.insert(number, self.world.now);
        let key = u8::from(!number.is_multiple_of(250));
        let [.., high, low] = number.to_be_bytes();
        let mut payload = vec![0x90, 0x80, 0x80 | high & 0x7f, low, key, 2, 0, 0x9d, 1, 0x2a];
        payload.extend(number.to_be_bytes());
        payload.resize(VIDEO_BYTES, 7);
        self.world.send_video(self.alice, 1, None, 1_800 * number, &payload);
    }

    /// What came of all that was sent from `since` on, `patience` after the last of it.
    fn arrived(&mut self, since: Instant, patience: Duration) -> Arrived {
        let until = self.world.now;
        self.world.run_for(patience);
        let (audio, video) = (self.heard(), self.seen());
        let within = |sent: &Instant| (since..until).contains(sent);
        let said: Vec<_> = self.audio.iter().filter(|(_, at)| within(at)).collect();
        let shown: Vec<_> = self.video.iter().filter(|(_, at)| within(at)).collect();
        let mut took: Vec<Duration> = shown
            .iter()
            .map(|(number, sent)| video.get(number).map_or(Duration::MAX, |at| at.duration_since(**sent)))
            .collect();
        took.sort();
        Arrived {
            audio_lost: share(
                said.iter().filter(|(number, _)| !audio.contains_key(number)).count(),
                said.len(),
            ),
            video_lost: share(
                shown.iter().filter(|(number, _)| !video.contains_key(number)).count(),
                shown.len(),
            ),
            video_p95: took[(took.len() - 1) * 95 / 100],
        }
    }

    /// When each frame of sound first came, in whichever packet.
    fn heard(&self) -> BTreeMap<u32, Instant> {
        let mut heard = BTreeMap::new();
        for packet in self.world.clients[self.bob.0].packets_of("TR_mic") {
            let length = usize::from(u16::from_be_bytes([packet.payload[2] & 3, packet.payload[3]]));
            for frame in [&packet.payload[5..], &packet.payload[5 + length..]] {
                heard.entry(number_at(frame)).or_insert(packet.at);
            }
        }
        heard
    }

    /// When each packet of video first came.
    fn seen(&self) -> BTreeMap<u32, Instant> {
        let mut seen = BTreeMap::new();
        for packet in self.world.clients[self.bob.0].packets_of("TR_cam") {
            seen.entry(number_at(&packet.payload[10..])).or_insert(packet.at);
        }
        seen
    }

    /// Messages of the server that came, in the order in which they did.
    fn read(&self) -> Vec<String> {
        let messages = &self.world.clients[self.bob.0].messages;
        let text = messages.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned());
        text.filter_map(|text| text.rsplit_once("message ").map(|(_, number)| number.to_owned())).collect()
    }

    fn move_away(&mut self) {
        for connection in 0..self.world.transports(self.bob).len() {
            let port = u16::try_from(40_000 + connection).unwrap();
            self.world.move_to(self.bob, connection, SocketAddr::from(([203, 0, 113, 9], port)));
        }
    }
}

fn number_at(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}

#[expect(clippy::cast_precision_loss, reason = "thousands")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// How often something lost has to be asked for until 95 of 100 are there: the question and the answer may be lost, too.
fn rounds(loss: f64) -> u32 {
    let fails = 1.0 - (1.0 - loss).powi(2);
    let enough = (0..9).find(|round| loss * fails.powi(*round) <= 0.04);
    u32::try_from(enough.unwrap()).unwrap()
}

#[test]
fn sound_video_and_data_survive_loss_and_delay() {
    for loss in LOSSES {
        let mut audio_lost = Vec::new();
        for (delay, mode, seed) in
            DELAYS.into_iter().flat_map(|delay| PATHS.map(|(mode, seed)| (delay, mode, seed)))
        {
            let about = format!("loss {loss}, delay {delay:?}, {mode:?}");
            let mut call = Call::begin(mode, seed, LinkConfig { loss, delay, ..LinkConfig::default() });
            let since = call.world.now;
            call.talk(Duration::from_secs(20));
            let told = call.arrived(since, Duration::from_secs(10));
            audio_lost.push(told.audio_lost);
            // A receiver that knows no round-trip time asks five times within half a second. Where that is hardly more
            // than one round trip, there are two answers at most.
            let unrecovered = if loss > 0.1 { 0.03 } else { 0.01 };
            assert!(told.video_lost <= unrecovered, "{about}: {told:?}");
            // Each round takes a round trip and what the receiver waits before it asks.
            let in_time = delay + rounds(loss) * (2 * delay + Duration::from_millis(150)) + TICK;
            assert!(told.video_p95 <= in_time, "{about}: {told:?}, {in_time:?}");
            let sent: Vec<String> = (1..=call.messages).map(|number| number.to_string()).collect();
            assert_eq!(call.read(), sent, "{about}");
        }
        // RED carries each frame twice. Together these are enough frames for the mean to be near.
        let mean = audio_lost.iter().sum::<f64>() / 6.0;
        assert!(mean <= loss * loss + 0.01, "loss {loss}: {audio_lost:?}");
    }
}

#[test]
fn what_comes_in_another_order_is_not_lost() {
    for (mode, seed) in PATHS {
        let link = LinkConfig { delay: DELAYS[1], reorder: 0.1, ..LinkConfig::default() };
        let mut call = Call::begin(mode, seed, link);
        let since = call.world.now;
        call.talk(Duration::from_secs(10));
        assert!(call.world.downlinks[call.bob.0].counters().reordered > 50);
        let told = call.arrived(since, Duration::from_secs(1));
        assert_eq!((told.audio_lost, told.video_lost), (0.0, 0.0), "{told:?}");
        assert!(told.video_p95 <= DELAYS[1] + Duration::from_millis(100), "{told:?}");
    }
}

#[test]
fn all_goes_on_half_a_second_after_a_blackout_of_five() {
    for (mode, seed) in PATHS {
        let mut call = Call::begin(mode, seed, LinkConfig { delay: DELAYS[1], ..LinkConfig::default() });
        let (begin, length) = (call.world.now, Duration::from_secs(5));
        call.world.downlinks[call.bob.0].schedule_blackout(begin, length);
        call.world.uplinks[call.bob.0].schedule_blackout(begin, length);
        call.talk(length + Duration::from_millis(500));
        let since = call.world.now;
        call.talk(Duration::from_secs(5));
        let told = call.arrived(since, Duration::from_secs(10));
        assert_eq!((told.audio_lost, told.video_lost), (0.0, 0.0), "{mode:?}: {told:?}");
        let sent: Vec<String> = (1..=call.messages).map(|number| number.to_string()).collect();
        assert_eq!(call.read(), sent, "reliable messages of that time come later");
    }
}

#[test]
fn media_follow_to_another_address() {
    for (mode, seed) in PATHS {
        let mut call = Call::begin(mode, seed, LinkConfig { delay: DELAYS[1], ..LinkConfig::default() });
        call.move_away();
        call.world.restart_ice(call.bob);
        if mode == Mode::Dual {
            let transport = call.world.transports(call.bob)[1];
            call.world.command(Command::RestartIce { transport });
        }
        // The checks from there: at the latest when the client's next ones are due.
        call.talk(Duration::from_secs(6));
        let since = call.world.now;
        call.talk(Duration::from_secs(5));
        let told = call.arrived(since, Duration::from_secs(1));
        assert_eq!((told.audio_lost, told.video_lost), (0.0, 0.0), "{mode:?}: {told:?}");
    }
}

/// Key frames come as bursts that fill a narrow link for a while; sound must find room in its queue.
#[test]
fn sound_passes_a_link_that_bursts_of_video_fill() {
    for (mode, seed) in PATHS {
        let link = LinkConfig {
            delay: DELAYS[1],
            rate_bps: Some(1_000_000),
            queue: QueueLimit::Time(Duration::from_millis(200)),
            ..LinkConfig::default()
        };
        let mut call = Call::begin(mode, seed, link);
        call.burst = 15; // 120 kbit at once, 400 kbit/s
        let since = call.world.now;
        call.talk(Duration::from_secs(20));
        assert!(call.world.downlinks[call.bob.0].counters().queue_peak_bytes > 10_000, "the link was filled");
        let told = call.arrived(since, Duration::from_secs(1));
        assert!(told.audio_lost < 0.01, "{mode:?}: {told:?}");
        assert!(told.video_lost < 0.01, "{mode:?}: {told:?}");
    }
}
