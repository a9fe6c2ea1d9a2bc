//! Media through a whole shard: real WebRTC clients in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::time::Duration;

use plenum_core::MediaKind;
use plenum_netem::{Mode, World, WorldConfig};

/// One VP8 packet: descriptor with 15-bit picture id, then a frame header whose first bit says key frame or not.
fn vp8(picture_id: u16, is_key: bool) -> Vec<u8> {
    let mut payload = vec![0x90, 0x80, 0x80 | (picture_id >> 8) as u8, picture_id as u8];
    payload.extend([u8::from(!is_key), 2, 0, 0x9d, 0x01, 0x2a, 64, 1, 64, 1]);
    payload.resize(200, 0xab);
    payload
}

const FRAME: Duration = Duration::from_millis(33);

#[test]
fn audio_reaches_a_subscriber_in_both_modes() {
    for mode in [Mode::Single, Mode::Dual] {
        let mut world = World::new(WorldConfig::default());
        let alice = world.join_connected(mode);
        let bob = world.join_connected(mode);
        let mic = world.publish(alice, MediaKind::Audio, &[]);
        world.subscribe(bob, mic, MediaKind::Audio, "TR_mic");
        world.run_for(Duration::from_secs(1));
        for n in 0..50_u32 {
            world.send_audio(alice, 0, n * 960, &[n as u8; 60]);
            world.run_for(Duration::from_millis(20));
        }
        world.run_for(Duration::from_secs(1));
        let packets = world.clients[bob.0].packets_of("TR_mic");
        assert_eq!(packets.len(), 50, "{mode:?}: {:?} {:#?}", world.events, world.shard.counters());
        assert!(packets.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1));
        assert!(packets.windows(2).all(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp) == 960));
        assert_eq!(&*packets[7].payload, [7; 60]);
    }
}

#[test]
fn video_starts_at_a_key_frame_that_the_engine_asks_for() {
    for mode in [Mode::Single, Mode::Dual] {
        let mut world = World::new(WorldConfig::default());
        let alice = world.join_connected(mode);
        let bob = world.join_connected(mode);
        let camera = world.publish(alice, MediaKind::Video, &[]);
        world.run_for(Duration::from_secs(1));
        for n in 0..10_u16 {
            world.send_video(alice, 0, None, u32::from(n) * 3_000, &vp8(n, n == 0));
            world.run_for(FRAME);
        }
        world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
        let asked = world.clients[alice.0].key_frame_requests.len();
        for n in 10..40_u16 {
            let is_key = world.clients[alice.0].key_frame_requests.len() > asked && n == 30;
            world.send_video(alice, 0, None, u32::from(n) * 3_000, &vp8(n, is_key));
            world.run_for(FRAME);
        }
        let packets = world.clients[bob.0].packets_of("TR_cam");
        assert_eq!(packets.len(), 10, "{mode:?} {:#?}", world.shard.counters());
        assert_eq!(packets[0].payload[4] & 1, 0, "the first packet starts a key frame");
    }
}
