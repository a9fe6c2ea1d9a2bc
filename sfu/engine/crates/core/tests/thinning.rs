//! Fewer pictures for subscribers who want no more than so many a second, whatever layers and rates publishers have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation, missing_docs)]
#![allow(clippy::cast_precision_loss)]

mod common;

use std::time::Duration;

use common::{Camera, FRAME, picture_id};
use plenum_core::{Command, DownTrackId, MediaKind, RateFeedback};
use plenum_netem::{ClientId, LinkConfig, Mode, QueueLimit, World, WorldConfig};

/// Temporal layers of successive pictures.
const THREE_LAYERS: &[u8] = &[0, 2, 1, 2];
const TWO_LAYERS: &[u8] = &[0, 1];
const ONE_LAYER: &[u8] = &[0];

/// One packet of VP8 with temporal layers. Each upper one synchronises when it begins the first of two rounds.
fn layered_vp8(picture: u16, layers: &[u8], is_key: bool) -> Vec<u8> {
    let at = usize::from(picture) % (2 * layers.len());
    let temporal = layers[at % layers.len()];
    let is_sync = temporal > 0 && layers.iter().position(|layer| *layer == temporal) == Some(at);
    let mut payload = vec![0x90, 0xe0, 0x80 | (picture >> 8) as u8, picture as u8];
    payload.push((picture / layers.len() as u16) as u8);
    payload.push(temporal << 6 | u8::from(is_sync) << 5);
    payload.extend([u8::from(!is_key), 2, 0, 0x9d, 0x01, 0x2a]);
    payload.resize(200, 0xab);
    payload
}

/// A publisher of VP8 in one stream or several, each picture in so many packets.
struct Source {
    alice: ClientId,
    line: usize,
    layers: &'static [u8],
    streams: &'static [(Option<&'static str>, usize)],
    picture: u16,
    timestamp: u32,
    asked: usize,
}

impl Source {
    fn new(alice: ClientId, layers: &'static [u8]) -> Self {
        Self { alice, line: 0, layers, streams: &[(None, 1)], picture: 0, timestamp: 0, asked: 0 }
    }

    /// Sends the next picture.
    fn shoot(&mut self, world: &mut World, fps: u32) {
        let asked = world.clients[self.alice.0].key_frame_requests.len();
        // An encoder begins its pattern anew with a key frame.
        let is_key = self.picture == 0 || asked > self.asked && self.picture.is_multiple_of(8);
        if is_key {
            self.asked = asked;
        }
        for (rid, packets) in self.streams {
            let mut payload = layered_vp8(self.picture, self.layers, is_key);
            payload.resize(if *packets > 1 { 1_000 } else { 200 }, 0xab);
            payload[common::TAG] = if self.streams.len() > 1 { *packets as u8 } else { self.line as u8 };
            for number in 0..*packets {
                if number > 0 {
                    payload[0] &= !0x10; // not the first of its picture
                }
                world.send_video(self.alice, self.line, *rid, self.timestamp, &payload);
            }
        }
        self.picture += 1;
        self.timestamp = self.timestamp.wrapping_add(90_000 / fps);
    }

    fn film(&mut self, world: &mut World, fps: u32, length: Duration) {
        let end = world.now + length;
        while world.now < end {
            self.shoot(world, fps);
            world.run_for(Duration::from_secs(1) / fps);
        }
    }
}

fn limit(world: &mut World, down_track: DownTrackId, max_fps: u16) {
    world.command(Command::SetDownTrackLayers { down_track, max_spatial: u8::MAX, max_fps });
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A publisher and a subscriber who wants so many pictures a second before there are any.
fn show(layers: &'static [u8], max_fps: u16) -> (World, Source, ClientId, DownTrackId) {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Single);
    let camera = world.publish(alice, MediaKind::Video, &[]);
    let down = world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
    limit(&mut world, down, max_fps);
    world.run_for(seconds(1));
    (world, Source::new(alice, layers), bob, down)
}

/// Pictures a second that come while that is filmed.
fn rate(world: &mut World, bob: ClientId, length: Duration, film: impl FnOnce(&mut World)) -> f64 {
    let pictures = |world: &World| world.clients[bob.0].packets_of("TR_cam").len();
    let before = pictures(world);
    film(world);
    (pictures(world) - before) as f64 / length.as_secs_f64()
}

#[test]
fn layers_follow_the_rate_that_the_publisher_has() {
    for (layers, fps, max_fps, expected) in [
        (THREE_LAYERS, 15, 15, 15.0),
        (THREE_LAYERS, 15, 7, 7.5),
        (THREE_LAYERS, 30, 15, 15.0),
        (THREE_LAYERS, 30, 7, 7.5),
        (THREE_LAYERS, 30, 30, 30.0),
        (THREE_LAYERS, 20, 20, 20.0),
        (THREE_LAYERS, 20, 10, 10.0),
        (THREE_LAYERS, 60, 15, 15.0),
        (TWO_LAYERS, 30, 15, 15.0),
        (TWO_LAYERS, 30, 20, 30.0),
        (TWO_LAYERS, 15, 15, 15.0),
        (ONE_LAYER, 30, 15, 30.0),
    ] {
        let (mut world, mut source, bob, _) = show(layers, max_fps);
        let first = rate(&mut world, bob, seconds(1), |world| source.film(world, fps, seconds(1)));
        assert!(first > f64::from(fps) * 0.6, "{fps} to {max_fps}: all at first: {first}");
        source.film(&mut world, fps, seconds(4));
        for _ in 0..3 {
            let rate = rate(&mut world, bob, seconds(4), |world| source.film(world, fps, seconds(4)));
            assert!((rate - expected).abs() < 0.8, "{layers:?} {fps} to {max_fps}: {rate}");
        }
        let packets = world.clients[bob.0].packets_of("TR_cam");
        assert!(packets.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1), "no holes");
    }
}

#[test]
fn temporal_layers_go_and_come_without_a_key_frame() {
    let (mut world, mut source, bob, down) = show(THREE_LAYERS, 0);
    source.film(&mut world, 30, seconds(4));
    for (max_fps, expected) in [(30, 30.0), (7, 7.5), (15, 15.0), (7, 7.5), (0, 30.0)] {
        limit(&mut world, down, max_fps);
        let rate = rate(&mut world, bob, seconds(4), |world| source.film(world, 30, seconds(4)));
        assert!((rate - expected).abs() < 1.0, "at once, for rates are known: {rate} for {max_fps}");
    }
    let packets = world.clients[bob.0].packets_of("TR_cam");
    for pair in packets.windows(2) {
        assert_eq!(pair[1].seq, pair[0].seq + 1);
        assert_eq!(picture_id(&pair[1].payload), picture_id(&pair[0].payload) + 1, "no picture is missing");
    }
    assert!(world.clients[source.alice.0].key_frame_requests.len() <= 1, "only for the start");
}

#[test]
fn the_rate_of_the_publisher_changes() {
    let (mut world, mut source, bob, _) = show(THREE_LAYERS, 15);
    source.film(&mut world, 30, seconds(5));
    for (fps, patience) in [(30, 0), (15, 4), (30, 8), (60, 8), (15, 5)] {
        source.film(&mut world, fps, seconds(patience));
        let rate = rate(&mut world, bob, seconds(5), |world| source.film(world, fps, seconds(5)));
        assert!((rate - 15.0).abs() < 0.8, "{fps}: {rate}");
    }
}

#[test]
fn a_bad_link_of_the_publisher_does_not_make_it_swing() {
    for (layers, fps, max_fps, expected) in [
        (THREE_LAYERS, 30, 15, 15.0),
        (THREE_LAYERS, 15, 15, 15.0),
        (TWO_LAYERS, 30, 15, 15.0),
        (THREE_LAYERS, 27, 15, 13.5),
    ] {
        let (mut world, mut source, bob, _) = show(layers, max_fps);
        source.film(&mut world, fps, seconds(10));
        world.uplinks[source.alice.0].config = LinkConfig {
            delay: Duration::from_millis(50),
            jitter: Duration::from_millis(60),
            loss: 0.03,
            ..LinkConfig::default()
        };
        for _ in 0..10 {
            let rate = rate(&mut world, bob, seconds(3), |world| source.film(world, fps, seconds(3)));
            assert!((rate - expected).abs() < 2.0, "{layers:?} {fps} to {max_fps}: {rate}");
        }
    }
}

#[test]
fn what_comes_back_after_a_pause_comes_whole_at_first() {
    let (mut world, mut source, bob, _) = show(THREE_LAYERS, 15);
    source.film(&mut world, 30, seconds(6));
    world.run_for(seconds(5));
    let first = rate(&mut world, bob, seconds(1), |world| source.film(world, 15, seconds(1)));
    assert!((first - 15.0).abs() < 1.1, "{first}");
    let rate = rate(&mut world, bob, seconds(8), |world| source.film(world, 15, seconds(8)));
    assert!((rate - 15.0).abs() < 0.3, "{rate}");
}

#[test]
fn it_goes_along_to_another_up_track() {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Single);
    let ups = [(); 2].map(|()| world.publish(alice, MediaKind::Video, &[]));
    let down_track = world.subscribe(bob, ups[0], MediaKind::Video, "TR_cam");
    world.run_for(seconds(1));
    let mut sources = [THREE_LAYERS, TWO_LAYERS].map(|layers| Source::new(alice, layers));
    sources[1].line = 1;
    let mut film = |world: &mut World, length: u64| {
        for n in 0..30 * length {
            if n % 2 == 0 {
                sources[0].shoot(world, 15);
            }
            sources[1].shoot(world, 30);
            world.run_for(FRAME);
        }
    };
    film(&mut world, 4);
    world.command(Command::MoveDownTrack { down_track, up_track: ups[1] });
    limit(&mut world, down_track, 15); // on its way, or there already
    film(&mut world, 2);
    for (up_track, tag) in [(ups[1], 1), (ups[0], 0), (ups[1], 1)] {
        world.command(Command::MoveDownTrack { down_track, up_track });
        film(&mut world, 2);
        let before = world.clients[bob.0].packets_of("TR_cam").len();
        film(&mut world, 4);
        let packets = world.clients[bob.0].packets_of("TR_cam");
        assert!(packets[before..].iter().all(|packet| packet.payload[common::TAG] == tag));
        assert!((packets.len() - before).abs_diff(60) <= 3, "{tag}: {}", packets.len() - before);
    }
}

#[test]
fn a_stream_without_layers_comes_whole() {
    for is_h265 in [false, true] {
        let (mut world, source, bob, _) = show(ONE_LAYER, 5);
        let mut camera = Camera::new(source.alice, 0, None);
        camera.is_h265 = is_h265;
        let length = 300 * FRAME;
        let rate = rate(&mut world, bob, length, |world| camera.film(world, 300));
        assert!(rate > 29.0, "{rate}");
    }
}

#[test]
fn fewer_pictures_leave_room_for_a_larger_one() {
    let mut world =
        World::new(WorldConfig { rate_feedback: RateFeedback::TransportWide, ..WorldConfig::default() });
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Single);
    let camera = world.publish(alice, MediaKind::Video, &["q", "f"]);
    let down = world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
    world.run_for(seconds(1));
    world.downlinks[bob.0].config = LinkConfig {
        delay: Duration::from_millis(20),
        rate_bps: Some(1_150_000),
        queue: QueueLimit::Time(Duration::from_millis(300)),
        ..LinkConfig::default()
    };
    // 30 pictures of 5 packets take 1.2 Mbit/s, half of them fit.
    let mut source = Source::new(alice, THREE_LAYERS);
    source.streams = &[(Some("q"), 1), (Some("f"), 5)];
    let large = |world: &World, since: usize| {
        let packets = world.clients[bob.0].packets_of("TR_cam");
        packets[since..].iter().filter(|packet| packet.payload.get(common::TAG) == Some(&5)).count()
    };
    source.film(&mut world, 30, seconds(20));
    let since = world.clients[bob.0].packets_of("TR_cam").len();
    source.film(&mut world, 30, seconds(5));
    assert!(large(&world, since) < 200, "it does not fit: {}", large(&world, since));
    limit(&mut world, down, 15);
    source.film(&mut world, 30, seconds(20));
    let since = world.clients[bob.0].packets_of("TR_cam").len();
    source.film(&mut world, 30, seconds(5));
    let count = large(&world, since);
    assert!((300..=400).contains(&count), "15 pictures a second of 5 packets: {count}");
}
