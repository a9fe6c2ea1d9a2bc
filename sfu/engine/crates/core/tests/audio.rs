//! Audio through a whole shard: redundancy lost and made, silence, blank pictures, reports to publishers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    missing_docs
)]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{Camera, is_key, picture_id, unsubscribe};
use plenum_core::rtp::red::{self, RedundantBlock};
use plenum_core::{Command, DropReason, Event, MediaKind, RateFeedback, ShardConfig};
use plenum_netem::{ClientId, LinkConfig, Mode, QueueLimit, Received, World, WorldConfig};
use str0m::format::Codec;

const FRAME: Duration = Duration::from_millis(20);
const TICKS: u32 = 960;
/// First bytes of the server's own silence.
const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];

/// A payload that names its frame.
fn opus(number: u32) -> Vec<u8> {
    let mut payload = vec![0x78; 40];
    payload[1..5].copy_from_slice(&number.to_be_bytes());
    payload
}

/// The frame that a payload names.
fn number(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload[1..5].try_into().unwrap())
}

/// RED of a frame with its two predecessors, as a browser makes it.
fn red_frame(number: u32) -> Vec<u8> {
    let older: Vec<(u16, Vec<u8>)> = (1..=2_u16)
        .rev()
        .filter(|back| u32::from(*back) <= number)
        .map(|back| (back * 960, opus(number - u32::from(back))))
        .collect();
    let block = |(timestamp_offset, payload): &(u16, Vec<u8>)| (*timestamp_offset, payload.clone());
    let owned: Vec<(u16, Vec<u8>)> = older.iter().map(block).collect();
    let blocks: Vec<RedundantBlock<'_>> = owned
        .iter()
        .map(|(timestamp_offset, payload)| RedundantBlock { timestamp_offset: *timestamp_offset, payload })
        .collect();
    let mut out = Vec::new();
    red::write(&mut out, 111, &blocks, &opus(number));
    out
}

/// A publisher of audio, and a subscriber that takes RED or not.
struct Call {
    world: World,
    alice: ClientId,
    bob: ClientId,
    up: plenum_core::UpTrackId,
    down: plenum_core::DownTrackId,
    next: u32,
}

impl Call {
    fn new(config: WorldConfig, mode: Mode, alice_takes_red: bool, bob_takes_red: bool) -> Self {
        Self::in_world(World::new(config), mode, alice_takes_red, bob_takes_red)
    }

    fn in_world(mut world: World, mode: Mode, alice_takes_red: bool, bob_takes_red: bool) -> Self {
        world.clients_take_red = alice_takes_red;
        let alice = world.join_connected(mode);
        world.clients_take_red = bob_takes_red;
        let bob = world.join_connected(mode);
        let up = world.publish(alice, MediaKind::Audio, &[]);
        let down = world.subscribe(bob, up, MediaKind::Audio, "TR_mic");
        world.run_for(Duration::from_secs(1));
        Self { world, alice, bob, up, down, next: 0 }
    }

    fn talk(&mut self, frames: u32, is_red: bool) {
        for _ in 0..frames {
            let timestamp = self.next.wrapping_mul(TICKS);
            if is_red {
                self.world.send_red(self.alice, 0, timestamp, &red_frame(self.next));
            } else {
                self.world.send_audio(self.alice, 0, timestamp, &opus(self.next));
            }
            self.world.run_for(FRAME);
            self.next += 1;
        }
    }

    fn received(&self) -> Vec<&Received> {
        self.world.clients[self.bob.0].packets_of("TR_mic")
    }

    fn mute(&mut self, muted: bool) {
        self.world.command(Command::MuteUpTrack { up_track: self.up, muted });
    }
}

/// Sequence numbers have no hole and no double, and timestamps never go back by them.
fn assert_in_order(packets: &[&Received]) {
    let mut sorted: Vec<_> = packets.iter().map(|packet| (packet.seq, packet.timestamp)).collect();
    sorted.sort_unstable();
    assert!(sorted.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1), "holes or doubles: {sorted:?}");
    let step = |pair: &[(u64, u32)]| pair[1].1.wrapping_sub(pair[0].1).cast_signed();
    assert!(sorted.windows(2).all(|pair| step(pair) > 0), "{sorted:?}");
}

#[test]
fn random_loss_on_the_way_up_is_recovered_for_who_takes_no_red() {
    for (seed, loss) in [(1, 0.02), (2, 0.05), (3, 0.1), (4, 0.2), (5, 0.3)] {
        let mut call = Call::new(WorldConfig { seed, ..WorldConfig::default() }, Mode::Single, true, false);
        call.talk(10, true);
        call.world.uplinks[call.alice.0].config = LinkConfig { loss, ..LinkConfig::default() };
        call.talk(2_000, true);
        call.world.uplinks[call.alice.0].config.loss = 0.0;
        call.talk(10, true);
        call.world.run_for(Duration::from_secs(1));
        let packets = call.received();
        let mut heard = BTreeSet::new();
        for packet in &packets {
            let number = number(&packet.payload);
            assert!(heard.insert(number), "{number} twice");
            assert_eq!(*packet.payload, opus(number));
        }
        let frames = f64::from(call.next);
        let missing = (frames - heard.len() as f64) / frames;
        assert!(missing <= loss * loss + 0.01, "seed {seed}, loss {loss}: {missing}");
        assert!(call.world.shard.counters().recovered as f64 > frames * loss * 0.5);
        let first = packets[0];
        for packet in &packets {
            let frames = packet.timestamp.wrapping_sub(first.timestamp) / TICKS;
            assert_eq!(frames, number(&packet.payload) - number(&first.payload), "by the timestamp");
            assert_eq!(packet.seq - first.seq, u64::from(frames), "and by the sequence number");
        }
    }
}

#[test]
fn reordered_red_is_heard_once_and_in_its_place() {
    let mut call = Call::new(WorldConfig::default(), Mode::Dual, true, false);
    call.talk(10, true);
    let jitter = Duration::from_millis(70);
    call.world.uplinks[call.alice.0].config =
        LinkConfig { jitter, keeps_order: false, ..LinkConfig::default() };
    call.talk(500, true);
    call.world.uplinks[call.alice.0].config = LinkConfig::default();
    call.talk(10, true);
    call.world.run_for(Duration::from_secs(1));
    let packets = call.received();
    let heard: BTreeSet<u32> = packets.iter().map(|packet| number(&packet.payload)).collect();
    assert_eq!(heard.len(), packets.len(), "none twice");
    assert_eq!(heard.len(), call.next as usize, "none is missing");
    assert_in_order(&packets);
    let late = call.world.shard.counters().dropped(DropReason::AlreadyRecovered);
    assert!(late > 10, "{late} of {} recovered", call.world.shard.counters().recovered);
}

#[test]
fn who_takes_red_gets_what_came_and_nothing_else() {
    let mut call = Call::new(WorldConfig::default(), Mode::Single, true, true);
    call.world.clients_take_red = false;
    let carol = call.world.join_connected(Mode::Dual);
    call.world.subscribe(carol, call.up, MediaKind::Audio, "TR_mic");
    call.talk(50, true);
    call.world.uplinks[call.alice.0].config = LinkConfig { loss: 0.1, ..LinkConfig::default() };
    call.talk(500, true);
    call.world.uplinks[call.alice.0].config.loss = 0.0;
    call.talk(10, true);
    call.world.run_for(Duration::from_secs(1));
    let packets = call.received();
    assert!(packets.len() < 540, "holes stay: it recovers by itself");
    assert!(
        packets
            .iter()
            .all(|packet| red::redundant_blocks(&packet.payload).count() == 2 || packet.seq < 65_540)
    );
    let carols = call.world.clients[carol.0].packets_of("TR_mic").len();
    assert!(carols > packets.len() + 20, "{carols} and {}", packets.len());
}

#[test]
fn nothing_said_before_an_unmute_is_recovered() {
    let mut call = Call::new(WorldConfig::default(), Mode::Single, true, false);
    call.talk(20, true);
    call.mute(true);
    call.talk(5, true); // said while muted: the server has it, and drops it
    call.mute(false);
    call.talk(20, true);
    call.world.run_for(Duration::from_secs(1));
    let sounds = call.received().into_iter().filter(|packet| packet.payload[..3] != SILENCE);
    let heard: Vec<u32> = sounds.map(|packet| number(&packet.payload)).collect();
    let expected: Vec<u32> = (0..20).chain(25..45).collect();
    assert_eq!(heard, expected);
    assert_in_order(&call.received());
}

#[test]
fn opus_gets_redundancy_for_who_takes_it_when_that_is_on() {
    for (adds_redundancy, mode) in [(true, Mode::Single), (true, Mode::Dual), (false, Mode::Single)] {
        let shard = ShardConfig { adds_redundancy, ..WorldConfig::default().shard };
        let mut call = Call::new(WorldConfig { shard, ..WorldConfig::default() }, mode, false, true);
        call.talk(100, false);
        call.world.run_for(Duration::from_secs(1));
        let red_type = call.received()[50].payload_type;
        let packets = call.received();
        assert_eq!(packets.len(), 100);
        assert_in_order(&packets);
        for (packet, said) in packets.iter().zip(0..) {
            if !adds_redundancy {
                assert_eq!(*packet.payload, opus(said));
                continue;
            }
            assert_eq!(packet.payload_type, red_type);
            assert_eq!(red::primary(&packet.payload), Some(&opus(said)[..]));
            let older: Vec<u32> =
                red::redundant_blocks(&packet.payload).map(|block| number(block.payload)).collect();
            assert!(said < 5 || older == [said - 2, said - 1], "{said}: {older:?}");
        }
    }
}

#[test]
fn encrypted_audio_is_never_touched() {
    let shard = ShardConfig { adds_redundancy: true, ..WorldConfig::default().shard };
    for (alice_takes_red, is_red, bob_takes_red) in
        [(false, false, true), (true, true, false), (true, true, true)]
    {
        let mut world = World::new(WorldConfig { shard: shard.clone(), ..WorldConfig::default() });
        world.trailer = Some(b"trailer"[..].into());
        let mut call = Call::in_world(world, Mode::Single, alice_takes_red, bob_takes_red);
        call.talk(10, is_red);
        call.world.run_for(Duration::from_secs(1));
        let packets = call.received();
        if is_red && !bob_takes_red {
            assert!(packets.is_empty(), "its primary block cannot be told apart");
            let down_track = call.down;
            let refused = |event: &Event| matches!(event, Event::DownTrackCodecUnsupported { down_track: id, .. } if *id == down_track);
            assert!(call.world.events.iter().any(refused));
            continue;
        }
        let sent = |said| if is_red { red_frame(said) } else { opus(said) };
        assert_eq!(packets.len(), 10);
        assert!(packets.iter().zip(0..).all(|(packet, said)| *packet.payload == sent(said)));
    }
}

#[test]
fn a_second_of_silence_follows_a_mute() {
    for (mode, alice_takes_red, bob_takes_red) in
        [(Mode::Single, true, true), (Mode::Dual, true, false), (Mode::Dual, false, true)]
    {
        let mut call = Call::new(WorldConfig::default(), mode, alice_takes_red, bob_takes_red);
        call.talk(50, alice_takes_red);
        call.mute(true);
        call.world.run_for(Duration::from_secs(3));
        let packets = call.received();
        assert_eq!(packets.len(), 100, "{mode:?}: fifty frames of silence");
        let plain = |packet: &Received| match red::primary(&packet.payload) {
            Some(primary) if alice_takes_red && bob_takes_red => primary.to_vec(),
            _ => packet.payload.to_vec(),
        };
        assert!(
            packets[50..].iter().all(|packet| plain(packet)[..3] == SILENCE && plain(packet).len() == 80)
        );
        assert!(packets.iter().all(|packet| packet.payload_type == packets[0].payload_type));
        assert_in_order(&packets);
        let steps = packets.windows(2).map(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp));
        assert!(steps.clone().all(|step| step == TICKS), "{:?}", steps.collect::<Vec<_>>());
        let pace: Vec<u128> =
            packets[51..].windows(2).map(|pair| (pair[1].at - pair[0].at).as_millis()).collect();
        assert!(pace.iter().all(|ms| (15..=25).contains(ms)), "{pace:?}");
        assert_eq!(call.world.shard.counters().blanks_out, 50);
        call.mute(false);
        call.next += 150;
        call.talk(50, alice_takes_red);
        call.world.run_for(Duration::from_secs(1));
        let packets = call.received();
        assert_eq!(packets.len(), 150);
        assert_in_order(&packets);
    }
}

#[test]
fn silence_ends_when_the_publisher_goes_on() {
    let mut call = Call::new(WorldConfig::default(), Mode::Single, true, true);
    call.talk(50, true);
    for round in 0..4 {
        call.mute(true);
        call.world.run_for(Duration::from_millis(200));
        call.mute(false);
        // A client whose clock stood still while it was muted; and one whose clock did not.
        call.next += if round % 2 == 0 { 0 } else { 10 };
        call.talk(10, true);
    }
    call.world.run_for(Duration::from_secs(2));
    let packets = call.received();
    let silent =
        packets.iter().filter(|packet| red::primary(&packet.payload).is_some_and(|p| p[..3] == SILENCE));
    let silent = silent.count();
    assert!((32..=44).contains(&silent), "{silent}");
    assert_eq!(packets.len(), 90 + silent);
    assert_in_order(&packets);
    let steps: Vec<u32> =
        packets.windows(2).map(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp)).collect();
    assert!(steps.iter().all(|step| (TICKS..=TICKS * 2).contains(step)), "{steps:?}");
}

#[test]
fn a_packet_that_comes_late_does_not_get_the_number_of_silence() {
    let mut call = Call::new(WorldConfig::default(), Mode::Single, true, true);
    call.talk(10, true);
    let jitter = Duration::from_millis(120);
    call.world.uplinks[call.alice.0].config =
        LinkConfig { jitter, keeps_order: false, ..LinkConfig::default() };
    let down_track = call.down;
    for _ in 0..20 {
        call.talk(7, true);
        call.world.command(Command::EnableDownTrack { down_track, enabled: false });
        call.talk(3, true);
        call.world.command(Command::EnableDownTrack { down_track, enabled: true });
    }
    call.world.run_for(Duration::from_secs(2));
    let packets = call.received();
    let seqs: BTreeSet<u64> = packets.iter().map(|packet| packet.seq).collect();
    assert_eq!(seqs.len(), packets.len(), "every number once");
    assert!(call.world.shard.counters().blanks_out > 20);
}

#[test]
fn a_subscriber_that_switches_a_track_off_hears_silence_end_it() {
    let mut call = Call::new(WorldConfig::default(), Mode::Dual, true, true);
    let other = call.world.join_connected(Mode::Single);
    call.world.subscribe(other, call.up, MediaKind::Audio, "TR_mic");
    call.world.run_for(Duration::from_secs(1));
    call.talk(50, true);
    let down_track = call.down;
    call.world.command(Command::EnableDownTrack { down_track, enabled: false });
    call.talk(100, true);
    assert_eq!(call.received().len(), 100);
    assert_eq!(call.world.clients[other.0].packets_of("TR_mic").len(), 150, "the others hear on");
    call.world.command(Command::EnableDownTrack { down_track, enabled: true });
    call.talk(50, true);
    call.world.run_for(Duration::from_secs(1));
    assert_eq!(call.received().len(), 150);
    assert_in_order(&call.received());
}

#[test]
fn a_track_that_was_never_heard_ends_without_a_word() {
    let mut call = Call::new(WorldConfig::default(), Mode::Single, true, true);
    call.mute(true);
    call.world.run_for(Duration::from_secs(2));
    let down_track = call.down;
    unsubscribe(&mut call.world, down_track);
    call.world.run_for(Duration::from_secs(2));
    assert!(call.received().is_empty());
    assert_eq!(call.world.shard.counters().blanks_out, 0);
}

#[test]
fn g711_passes_and_ends_in_silence() {
    for (codec, silence) in [(Codec::PCMU, 0xff), (Codec::PCMA, 0xd5)] {
        for mode in [Mode::Single, Mode::Dual] {
            let mut call = Call::new(WorldConfig::default(), mode, true, true);
            for number in 0..60_u32 {
                let payload = [number as u8; 160];
                call.world.send_audio_of(call.alice, 0, codec, number * 160, &payload);
                call.world.run_for(FRAME);
            }
            call.mute(true);
            call.world.run_for(Duration::from_secs(2));
            let packets = call.received();
            assert_eq!(packets.len(), 110, "{codec:?}");
            assert_in_order(&packets);
            assert_eq!(*packets[59].payload, [59; 160]);
            assert_eq!(*packets[60].payload, [silence; 160]);
            let steps = packets.windows(2).map(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp));
            assert!(steps.clone().all(|step| step == 160), "{:?}", steps.collect::<Vec<_>>());
            let mime_type = if codec == Codec::PCMU { "audio/PCMU" } else { "audio/PCMA" };
            let started = |event: &Event| matches!(event, Event::UpTrackStarted { mime_type: found, .. } if *found == mime_type);
            assert!(call.world.events.iter().any(started));
            let loud = |event: &Event| matches!(event, Event::AudioLevels { levels, .. } if levels.iter().any(|level| level.active_ms >= 300));
            assert!(call.world.events.iter().any(loud), "its clock is its own");
        }
    }
}

#[test]
fn a_track_that_ends_leaves_silence_or_a_blank_picture() {
    for mode in [Mode::Single, Mode::Dual] {
        for by_publisher in [true, false] {
            let mut call = Call::new(WorldConfig::default(), mode, true, true);
            let camera = call.world.publish(call.alice, MediaKind::Video, &[]);
            let picture = call.world.subscribe(call.bob, camera, MediaKind::Video, "TR_cam");
            call.world.run_for(Duration::from_secs(1));
            let mut filming = Camera::new(call.alice, 1, None);
            filming.film(&mut call.world, 30);
            call.talk(20, true);
            let negotiations = call.world.clients[call.bob.0].negotiations;
            if by_publisher {
                call.world.command(Command::CloseUpTrack { up_track: call.up });
                call.world.command(Command::CloseUpTrack { up_track: camera });
            } else {
                unsubscribe(&mut call.world, call.down);
                unsubscribe(&mut call.world, picture);
            }
            assert_eq!(call.world.shard.counters().down_tracks, 0, "for the control plane they have ended");
            let bob = &call.world.clients[call.bob.0];
            let mids = ["TR_mic", "TR_cam"].map(|track| {
                bob.mid_to_track.iter().find(|(_, of)| *of == track).map(|(mid, _)| mid.clone()).unwrap()
            });
            call.world.run_for(Duration::from_secs(2));
            let bob = &call.world.clients[call.bob.0];
            let of =
                |mid: &String| bob.received.iter().filter(|packet| packet.mid == *mid).collect::<Vec<_>>();
            let sounds = of(&mids[0]);
            assert_eq!(sounds.len(), 30, "{mode:?}: a fifth of a second of silence");
            assert!(sounds[20..].iter().all(|packet| red::primary(&packet.payload).unwrap()[..3] == SILENCE));
            assert_in_order(&sounds);
            let pictures = of(&mids[1]);
            let blanks = &pictures[pictures.len() - 6..];
            assert!(
                blanks
                    .iter()
                    .all(|packet| packet.marker && is_key(&packet.payload) && packet.payload.len() < 50)
            );
            assert_in_order(&pictures);
            let ids: Vec<u16> = pictures.iter().map(|packet| picture_id(&packet.payload)).collect();
            assert!(ids.windows(2).all(|pair| pair[1] == (pair[0] + 1) & 0x7fff), "{ids:?}");
            assert!(bob.negotiations > negotiations, "the lines are free afterwards");
        }
    }
}

#[test]
fn a_line_serves_again_after_its_last_frames() {
    for mode in [Mode::Single, Mode::Dual] {
        let mut call = Call::new(WorldConfig::default(), mode, true, true);
        let mut lines = None;
        for _ in 0..5 {
            call.talk(20, true);
            unsubscribe(&mut call.world, call.down);
            call.world.run_for(Duration::from_secs(1));
            call.down = call.world.subscribe(call.bob, call.up, MediaKind::Audio, "TR_mic");
            call.world.run_for(Duration::from_secs(1));
            let now = call.world.clients[call.bob.0].media_lines();
            assert_eq!(*lines.get_or_insert(now), now, "{mode:?}");
        }
        let before = call.received().len();
        call.talk(20, true);
        call.world.run_for(Duration::from_secs(1));
        assert!(call.received().len() >= before + 20);
        assert_eq!(call.world.shard.counters().blanks_out, 50);
    }
}

#[test]
fn who_subscribes_while_a_line_fades_is_served() {
    for mode in [Mode::Single, Mode::Dual] {
        let mut call = Call::new(WorldConfig::default(), mode, true, true);
        call.talk(20, true);
        for _ in 0..3 {
            unsubscribe(&mut call.world, call.down);
            call.world.run_for(Duration::from_millis(60));
            call.down = call.world.subscribe(call.bob, call.up, MediaKind::Audio, "TR_mic");
            call.world.run_for(Duration::from_secs(2));
            assert!(common::is_bound(&call.world, call.down), "{mode:?}");
            call.talk(20, true);
        }
        assert_eq!(call.world.shard.counters().blanks_out, 30);
    }
}

#[test]
fn a_transport_that_closes_meanwhile_takes_its_last_frames_along() {
    let mut call = Call::new(WorldConfig::default(), Mode::Dual, true, true);
    call.talk(20, true);
    unsubscribe(&mut call.world, call.down);
    call.world.run_for(Duration::from_millis(50));
    let participant = World::participant(call.bob);
    call.world.command(Command::RemoveParticipant { participant });
    call.world.run_for(Duration::from_secs(2));
    assert!(call.world.shard.counters().blanks_out < 10);
    let participant = World::participant(call.alice);
    call.world.command(Command::RemoveParticipant { participant });
    call.world.run_for(Duration::from_secs(1));
    assert!(call.world.shard.is_empty());
}

#[test]
fn frames_of_the_server_end_with_the_trailer_when_the_track_is_encrypted() {
    let mut world = World::new(WorldConfig::default());
    world.trailer = Some(b"trailer of the room"[..].into());
    let mut call = Call::in_world(world, Mode::Single, false, true);
    call.talk(20, false);
    call.mute(true);
    call.world.run_for(Duration::from_secs(2));
    let packets = call.received();
    assert_eq!(packets.len(), 70);
    assert!(packets[20..].iter().all(|packet| packet.payload.ends_with(b"trailer of the room")));
    assert!(packets[20..].iter().all(|packet| packet.payload[..3] == SILENCE && packet.payload.len() == 99));
}

#[test]
fn publishers_hear_of_the_worst_of_their_subscribers_losses() {
    for (mode, is_on) in [(Mode::Single, true), (Mode::Dual, true), (Mode::Single, false)] {
        let shard = ShardConfig { reports_subscribers_loss: is_on, ..WorldConfig::default().shard };
        let mut call = Call::new(WorldConfig { shard, ..WorldConfig::default() }, mode, true, true);
        let carol = call.world.join_connected(Mode::Dual);
        call.world.subscribe(carol, call.up, MediaKind::Audio, "TR_mic");
        call.talk(500, true);
        let told = |call: &Call| call.world.clients[call.alice.0].reports.clone();
        assert!(told(&call).len() > 5, "{:?}", told(&call));
        assert!(told(&call).iter().all(|(_, loss, _)| *loss < 0.01));
        assert!(told(&call).iter().any(|(_, _, has_round_trip)| *has_round_trip), "{:?}", told(&call));
        let before = told(&call).len();
        call.world.downlinks[carol.0].config = LinkConfig { loss: 0.25, ..LinkConfig::default() };
        call.talk(1_000, true);
        let worst = told(&call)[before..].iter().map(|(_, loss, _)| *loss).fold(0.0, f32::max);
        assert_eq!(worst > 0.15, is_on, "{mode:?}: {worst}");
        call.world.downlinks[carol.0].config = LinkConfig::default();
        call.talk(1_200, true);
        let last = told(&call).last().unwrap().1;
        assert!(last < 0.01, "it is over: {last}");
    }
}

/// How an audio call without redundancy is to be.
#[derive(Clone, Copy)]
struct Plain {
    codec: Codec,
    mode: Mode,
    /// Subscribers ask for what is lost.
    asks: bool,
    audio_cache_packets: usize,
}

/// A thousand frames of a codec over a path of 100 ms with 5 % loss; what part is missing in the end, and the call.
fn plain_call(plain: &Plain, seed: u64) -> (f64, Call) {
    // By the arrivals that it is told of the server knows what is lost before it is asked; in the other case it does not.
    let rate_feedback =
        if plain.codec == Codec::Opus { RateFeedback::TransportWide } else { RateFeedback::Receiver };
    let audio_cache_packets = plain.audio_cache_packets;
    let config = WorldConfig { seed, audio_cache_packets, rate_feedback, ..WorldConfig::default() };
    let mut world = World::new(config);
    world.clients_ask_for_audio = plain.asks;
    world.clients_feedback = rate_feedback;
    let mut call = Call::in_world(world, plain.mode, false, false);
    let far = LinkConfig { delay: Duration::from_millis(50), ..LinkConfig::default() };
    let lossy = LinkConfig { loss: 0.05, ..far };
    let (publisher, subscriber) = (call.alice.0, call.bob.0);
    let talk = |call: &mut Call, frames: u32| {
        for _ in 0..frames {
            let ticks = if plain.codec == Codec::Opus { TICKS } else { 160 };
            let timestamp = call.next.wrapping_mul(ticks);
            call.world.send_audio_of(call.alice, 0, plain.codec, timestamp, &opus(call.next));
            call.world.run_for(FRAME);
            call.next += 1;
        }
    };
    call.world.uplinks[publisher].config = far;
    call.world.downlinks[publisher].config = far;
    call.world.uplinks[subscriber].config = far;
    call.world.downlinks[subscriber].config = far;
    talk(&mut call, 50);
    // Requests are lost as well as what they ask for.
    let end = subscriber;
    call.world.uplinks[end].config = lossy;
    call.world.downlinks[end].config = lossy;
    talk(&mut call, 1_000);
    call.world.uplinks[end].config = far;
    call.world.downlinks[end].config = far;
    talk(&mut call, 50);
    call.world.run_for(Duration::from_secs(1));
    let packets = call.received();
    let heard: BTreeSet<u32> = packets.iter().map(|packet| number(&packet.payload)).collect();
    assert_eq!(heard.len(), packets.len(), "none twice");
    assert!(packets.iter().all(|packet| *packet.payload == opus(number(&packet.payload))));
    let first = packets[0];
    let in_place = |packet: &&Received| {
        packet.seq - first.seq == u64::from(number(&packet.payload) - number(&first.payload))
    };
    assert!(packets.iter().all(in_place), "each under its own number");
    let missing = 1.0 - heard.len() as f64 / f64::from(call.next);
    (missing, call)
}

#[test]
fn audio_without_redundancy_is_sent_again() {
    for (codec, mode) in [(Codec::Opus, Mode::Single), (Codec::Opus, Mode::Dual), (Codec::PCMU, Mode::Dual)] {
        let what = format!("{codec:?} {mode:?}");
        let plain = Plain { codec, mode, asks: false, audio_cache_packets: 200 };
        let (missing, call) = plain_call(&plain, 1);
        assert!((0.03..0.07).contains(&missing), "{what}: {missing}");
        assert!(call.world.shard.counters().ratings.by_quality[2] > 1, "{what}: and it is told");
        for seed in 1..4 {
            let (missing, call) = plain_call(&Plain { asks: true, ..plain }, seed);
            assert!(missing < 0.002, "{what}, seed {seed}: {missing}");
            let counters = call.world.shard.counters();
            let lost = call.world.downlinks[call.bob.0].counters().lost;
            let again = counters.retransmitted;
            assert!((lost / 2..=2 * lost).contains(&again), "{what}, seed {seed}, of {lost}: {counters:?}");
            assert_eq!(counters.ratings.by_quality, [0, 0, 0, 8], "{what}: what came late is not lost");
        }
    }
}

#[test]
fn without_a_ring_no_audio_is_sent_again_by_us() {
    let plain = Plain { codec: Codec::Opus, mode: Mode::Dual, asks: true, audio_cache_packets: 0 };
    let (missing, call) = plain_call(&plain, 1);
    assert!(missing > 0.02, "{missing}");
    assert_eq!(call.world.shard.counters().retransmitted, 0);
}

#[test]
fn red_is_not_sent_again() {
    let mut world = World::new(WorldConfig::default());
    world.clients_ask_for_audio = true;
    let mut call = Call::in_world(world, Mode::Single, true, true);
    call.world.uplinks[call.bob.0].config.loss = 0.05;
    call.world.downlinks[call.bob.0].config.loss = 0.05;
    call.talk(500, true);
    call.world.run_for(Duration::from_secs(1));
    let counters = call.world.shard.counters();
    assert_eq!((counters.retransmitted, counters.nacks), (0, 0), "nobody may ask");
    let packets = call.received();
    assert!((450..490).contains(&packets.len()), "{}", packets.len());
}

/// For a second after congestion: that is when audio needs it.
#[test]
fn audio_is_sent_again_while_the_path_is_congested() {
    let plain = Plain { codec: Codec::Opus, mode: Mode::Dual, asks: true, audio_cache_packets: 200 };
    let (_, mut call) = plain_call(&plain, 1);
    let transport = *call.world.transports(call.bob).last().unwrap();
    let before = call.world.shard.counters().congestions;
    call.world.downlinks[call.bob.0].config.rate_bps = Some(30_000);
    let is_congested = |call: &Call| call.world.shard.counters().congestions > before;
    for _ in 0..200 {
        if !is_congested(&call) {
            call.talk(1, false);
        }
    }
    assert!(is_congested(&call), "{:?}", call.world.shard.rate_estimate(transport));
    call.world.downlinks[call.bob.0].config =
        LinkConfig { delay: Duration::from_millis(50), loss: 0.2, ..LinkConfig::default() };
    let again = call.world.shard.counters().retransmitted;
    call.talk(40, false);
    assert!(call.world.shard.counters().retransmitted > again, "within 0.8 s");
}

/// What is sent again must not take the room of what is new.
#[test]
fn a_path_too_narrow_for_its_audio_loses_no_more_for_what_goes_again() {
    let heard = [false, true].map(|asks| {
        let mut world = World::new(WorldConfig::default());
        world.clients_ask_for_audio = asks;
        let mut call = Call::in_world(world, Mode::Dual, false, false);
        call.talk(50, false);
        call.world.downlinks[call.bob.0].config =
            LinkConfig { rate_bps: Some(35_000), queue: QueueLimit::Bytes(2_000), ..LinkConfig::default() };
        call.talk(1_000, false);
        call.world.run_for(Duration::from_secs(1));
        call.received().len()
    });
    assert!(heard[1] * 100 > heard[0] * 95, "{heard:?}");
}
