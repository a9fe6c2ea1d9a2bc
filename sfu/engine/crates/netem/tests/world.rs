//! The links of a world carry what its clients and its server send, as they are told to.

use std::time::Duration;

use plenum_core::{Event, MediaKind};
use plenum_netem::{ClientId, Mode, QueueLimit, RawExtensions, World, WorldConfig};

/// A publisher of video and its subscriber.
fn video_call() -> (World, ClientId, ClientId) {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Single);
    let camera = world.publish(alice, MediaKind::Video, &[]);
    world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
    world.run_for(Duration::from_secs(1));
    (world, alice, bob)
}

/// Twenty-five pictures a second, one packet of 1,100 bytes each, from picture number `first` on.
fn film(world: &mut World, client: ClientId, first: u32, count: u32) {
    let mut payload = vec![0x90, 0x80, 0x80, 0, 0, 2, 0, 0x9d, 0x01, 0x2a];
    payload.resize(1_100, 7);
    for number in first..first + count {
        payload[3] = (number & 0x7f) as u8;
        payload[4] = u8::from(number > 0);
        world.send_video(client, 0, None, number * 3_600, &payload);
        world.run_for(Duration::from_millis(40));
    }
}

#[test]
fn a_rate_holds_for_all_that_a_client_gets() {
    let (mut world, alice, bob) = video_call();
    let rate_bps = 100_000; // about half of what is sent
    world.downlinks[bob.0].config.rate_bps = Some(rate_bps);
    world.downlinks[bob.0].config.queue = QueueLimit::Time(Duration::from_millis(150));
    let before = *world.downlinks[bob.0].counters();
    film(&mut world, alice, 0, 250);
    let after = *world.downlinks[bob.0].counters();
    let bits = (after.delivered_bytes - before.delivered_bytes) * 8;
    assert!((950_000..=1_010_000).contains(&bits), "{bits} in 10 s");
    assert!(after.queue_full > 50, "{after:?}");
}

#[test]
fn media_go_on_after_a_blackout() {
    let (mut world, alice, bob) = video_call();
    film(&mut world, alice, 0, 25);
    let got = |world: &World| world.clients[bob.0].packets_of("TR_cam").len();
    for link in [&mut world.uplinks[alice.0], &mut world.downlinks[bob.0]] {
        link.schedule_blackout(world.now, Duration::from_secs(5));
    }
    let before = got(&world);
    film(&mut world, alice, 25, 100);
    let during = got(&world) - before;
    assert!(during <= 2, "what was under way: {during}");
    assert!(world.uplinks[alice.0].counters().blacked_out >= 100);
    film(&mut world, alice, 125, 100);
    assert!(got(&world) - before > 50);
}

#[test]
fn a_raw_client_chooses_the_bytes_of_its_extensions() {
    let mut world = World::new(WorldConfig { raw_extensions: true, ..WorldConfig::default() });
    let alice = world.join_connected(Mode::Single);
    let microphone = world.publish(alice, MediaKind::Audio, &[]);
    world.run_for(Duration::from_secs(1));
    let mut raw = RawExtensions::default();
    raw.0[0] = vec![0x80 | 7];
    raw.0[1] = vec![1; 30]; // playout delay has three bytes
    world.set_raw_extensions(alice, raw);
    for number in 0..50 {
        world.send_audio(alice, 0, number * 960, &[1; 50]);
        world.run_for(Duration::from_millis(20));
    }
    let level = world.events.iter().find_map(|event| match event {
        Event::AudioLevels { levels, .. } => levels.first().map(|level| (level.up_track, level.level)),
        _ => None,
    });
    assert_eq!(level, Some((microphone, 7)));
}
