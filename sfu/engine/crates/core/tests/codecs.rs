//! One publication in two codecs, through a whole shard: real WebRTC clients in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation, missing_docs)]

mod common;

use std::time::Duration;

use common::{Camera, FRAME, TAG, is_key, picture_id};
use plenum_core::{Command, DropReason, Event, MediaKind, UpTrackId};
use plenum_netem::{Mode, World, WorldConfig};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_line_says_which_codecs_its_subscriber_takes() {
    for mode in [Mode::Single, Mode::Dual] {
        let mut world = World::new(WorldConfig::default());
        let (alice, bob) = (world.join_connected(mode), world.join_connected(mode));
        let tracks = [(MediaKind::Video, "TR_cam"), (MediaKind::Audio, "TR_mic")];
        let downs = tracks.map(|(kind, sid)| {
            let up = world.publish(alice, kind, &[]);
            world.subscribe(bob, up, kind, sid)
        });
        world.run_for(2 * SECOND);
        let taken = downs.map(|down| {
            let found = world.events.iter().find_map(|event| match event {
                Event::DownTrackBound { down_track, mime_types } if *down_track == down => {
                    Some(mime_types.clone())
                }
                _ => None,
            });
            let mut found = found.expect("bound");
            found.sort_unstable();
            found
        });
        assert_eq!(taken[0], ["video/H264", "video/H265", "video/VP8"], "{mode:?}");
        assert_eq!(taken[1], ["audio/PCMA", "audio/PCMU", "audio/opus", "audio/red"], "{mode:?}");
    }
}

#[test]
fn a_down_track_moves_to_another_up_track_in_place() {
    for mode in [Mode::Single, Mode::Dual] {
        let mut world = World::new(WorldConfig::default());
        let (alice, bob) = (world.join_connected(mode), world.join_connected(mode));
        let ups = [(); 2].map(|()| world.publish(alice, MediaKind::Video, &[]));
        let down_track = world.subscribe(bob, ups[0], MediaKind::Video, "TR_cam");
        world.run_for(SECOND);
        let mut cameras = [0, 1].map(|line| Camera::new(alice, line, None));
        for (index, camera) in cameras.iter_mut().enumerate() {
            camera.tag = 1 + index as u8;
            camera.base = index as u32 * 1_000_000;
        }
        let mut film = |world: &mut World, frames: usize| {
            for _ in 0..frames {
                for camera in &mut cameras {
                    camera.shoot(world);
                }
                world.run_for(FRAME);
            }
        };
        film(&mut world, 60);
        let negotiations = world.clients[bob.0].negotiations;
        world.command(Command::MoveDownTrack { down_track, up_track: ups[1] });
        film(&mut world, 60);
        world.run_for(SECOND);
        assert_eq!(world.clients[bob.0].negotiations, negotiations, "{mode:?}: in place");
        let packets = world.clients[bob.0].packets_of("TR_cam");
        let change = packets.iter().position(|packet| packet.payload[TAG] == 2).expect("the other one came");
        assert!(change > 40 && packets.len() > change + 40, "{mode:?}: {change} of {}", packets.len());
        assert!(packets[..change].iter().all(|packet| packet.payload[TAG] == 1));
        assert!(packets[change..].iter().all(|packet| packet.payload[TAG] == 2));
        assert!(is_key(&packets[change].payload), "{mode:?}: it begins with a key frame");
        for pair in packets.windows(2) {
            assert_eq!(pair[1].ssrc, pair[0].ssrc, "{mode:?}");
            assert_eq!(pair[1].seq, pair[0].seq + 1, "{mode:?}");
            assert_eq!(picture_id(&pair[1].payload), picture_id(&pair[0].payload) + 1, "{mode:?}");
            assert!((1..90_000).contains(&pair[1].timestamp.wrapping_sub(pair[0].timestamp)), "{mode:?}");
        }
        let counters = world.shard.counters();
        assert_eq!((counters.up_tracks, counters.down_tracks), (2, 1));
        world.command(Command::CloseUpTrack { up_track: ups[0] });
        assert_eq!(world.shard.counters().down_tracks, 1, "nothing of it hangs on the first one");
        world.command(Command::CloseUpTrack { up_track: ups[1] });
        assert_eq!((world.shard.counters().up_tracks, world.shard.counters().down_tracks), (0, 0));
    }
}

#[test]
fn the_first_codec_plays_on_until_the_second_has_its_key_frame() {
    for mode in [Mode::Single, Mode::Dual] {
        let mut world = World::new(WorldConfig::default());
        let (alice, bob) = (world.join_connected(mode), world.join_connected(mode));
        let ups = [(); 2].map(|()| world.publish(alice, MediaKind::Video, &[]));
        let down_track = world.subscribe(bob, ups[0], MediaKind::Video, "TR_cam");
        world.run_for(SECOND);
        let mut cameras = [0, 1].map(|line| Camera::new(alice, line, None));
        cameras[1].tag = 2;
        let mut film = |world: &mut World, frames: usize, gives_key_frames: bool| {
            cameras[1].obeys = gives_key_frames;
            for _ in 0..frames {
                for camera in &mut cameras {
                    camera.shoot(world);
                }
                world.run_for(FRAME);
            }
        };
        film(&mut world, 30, false);
        world.command(Command::MoveDownTrack { down_track, up_track: ups[1] });
        let layers = Command::SetDownTrackLayers { down_track, max_spatial: 0, max_fps: 0 };
        world.command(layers);
        film(&mut world, 30, false);
        film(&mut world, 30, true);
        world.run_for(SECOND);
        let packets = world.clients[bob.0].packets_of("TR_cam");
        let change = packets.iter().position(|packet| packet.payload[TAG] == 2).expect("the other one came");
        assert!(is_key(&packets[change].payload), "{mode:?}: it begins with a key frame");
        assert!(packets[change..].iter().all(|packet| packet.payload[TAG] == 2));
        let longest = packets.windows(2).map(|pair| pair[1].at - pair[0].at).max();
        assert!(longest.unwrap() < 2 * FRAME, "{mode:?}: no picture is missing");
        world.command(Command::CloseUpTrack { up_track: ups[0] });
        assert_eq!(world.shard.counters().down_tracks, 1, "nothing of it hangs on the first one");
    }
}

#[test]
fn whoever_waits_for_a_key_frame_goes_on_where_one_of_the_two_ends() {
    for ended in [0, 1] {
        let mut world = World::new(WorldConfig::default());
        let (alice, bob) = (world.join_connected(Mode::Single), world.join_connected(Mode::Dual));
        let ups = [(); 2].map(|()| world.publish(alice, MediaKind::Video, &[]));
        let down_track = world.subscribe(bob, ups[0], MediaKind::Video, "TR_cam");
        world.run_for(SECOND);
        Camera::new(alice, 0, None).film(&mut world, 30);
        world.command(Command::MoveDownTrack { down_track, up_track: ups[1] });
        world.command(Command::CloseUpTrack { up_track: ups[ended] });
        let seen = world.clients[bob.0].packets_of("TR_cam").len();
        Camera::new(alice, 1 - ended, None).film(&mut world, 30);
        world.run_for(SECOND);
        assert!(world.clients[bob.0].packets_of("TR_cam").len() > seen + 20, "{ended}");
        world.command(Command::RemoveDownTrack { down_track });
        assert_eq!((world.shard.counters().up_tracks, world.shard.counters().down_tracks), (1, 0));
        assert_eq!(world.shard.counters().inconsistent_tables, 0);
    }
}

#[test]
fn a_down_track_can_wait_for_an_up_track_that_nobody_has_published_yet() {
    let mut world = World::new(WorldConfig::default());
    let (alice, bob) = (world.join_connected(Mode::Single), world.join_connected(Mode::Single));
    let first = world.publish(alice, MediaKind::Video, &[]);
    let down_track = world.subscribe(bob, first, MediaKind::Video, "TR_cam");
    world.run_for(SECOND);
    Camera::new(alice, 0, None).film(&mut world, 30);
    let seen = world.clients[bob.0].packets_of("TR_cam").len();
    let coming = UpTrackId(world.fresh_id() + 1);
    world.command(Command::MoveDownTrack { down_track, up_track: coming });
    Camera::new(alice, 0, None).film(&mut world, 30);
    world.run_for(SECOND);
    assert_eq!(world.clients[bob.0].packets_of("TR_cam").len(), seen, "nothing of the first one any more");
    assert_eq!(world.publish(alice, MediaKind::Video, &[]), coming);
    world.run_for(SECOND);
    Camera::new(alice, 1, None).film(&mut world, 30);
    world.run_for(SECOND);
    assert!(world.clients[bob.0].packets_of("TR_cam").len() > seen + 20);
}

#[test]
fn a_change_of_codec_takes_another_payload_type_on_the_same_stream() {
    let mut world = World::new(WorldConfig::default());
    let (alice, bob) = (world.join_connected(Mode::Single), world.join_connected(Mode::Dual));
    let ups = [(); 2].map(|()| world.publish(alice, MediaKind::Video, &[]));
    let down_track = world.subscribe(bob, ups[0], MediaKind::Video, "TR_cam");
    world.run_for(SECOND);
    let mut first = Camera::new(alice, 0, None);
    first.is_h265 = true;
    first.film(&mut world, 30);
    world.command(Command::MoveDownTrack { down_track, up_track: ups[1] });
    Camera::new(alice, 1, None).film(&mut world, 30);
    world.run_for(SECOND);
    let packets = world.clients[bob.0].packets_of("TR_cam");
    let mut payload_types: Vec<u8> = packets.iter().map(|packet| packet.payload_type).collect();
    payload_types.dedup();
    assert_eq!(payload_types.len(), 2);
    assert!(packets.windows(2).all(|pair| pair[1].ssrc == pair[0].ssrc && pair[1].seq == pair[0].seq + 1));
}

#[test]
fn h265_simulcast_switches_at_its_key_frames() {
    for mode in [Mode::Single, Mode::Dual] {
        let mut world = World::new(WorldConfig::default());
        let (alice, bob) = (world.join_connected(mode), world.join_connected(mode));
        let camera = world.publish(alice, MediaKind::Video, &["q", "h", "f"]);
        let down_track = world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
        world.run_for(SECOND);
        let mut layers = ["q", "h", "f"].map(|rid| Camera::new(alice, 0, Some(rid)));
        for (index, layer) in layers.iter_mut().enumerate() {
            (layer.tag, layer.is_h265) = (index as u8, true);
        }
        let mut film = |world: &mut World, max_spatial: u8| {
            world.command(Command::SetDownTrackLayers { down_track, max_spatial, max_fps: 0 });
            for _ in 0..60 {
                for layer in &mut layers {
                    layer.shoot(world);
                }
                world.run_for(FRAME);
            }
        };
        film(&mut world, 255);
        film(&mut world, 0);
        film(&mut world, 1);
        world.run_for(SECOND);
        let packets = world.clients[bob.0].packets_of("TR_cam");
        let mut tags: Vec<u8> = packets.iter().map(|packet| packet.payload[TAG]).collect();
        tags.dedup();
        assert!(tags.ends_with(&[2, 0, 1]) && tags.len() <= 5, "{mode:?}: {tags:?}");
        for pair in packets.windows(2) {
            assert_eq!(pair[1].seq, pair[0].seq + 1, "{mode:?}");
            let changes = pair[1].payload[TAG] != pair[0].payload[TAG];
            assert!(!changes || pair[1].payload[0] >> 1 == 19, "{mode:?}: at an IDR picture");
        }
        let started = |event: &Event| matches!(event, Event::UpTrackStarted { mime_type: "video/H265", .. });
        assert!(world.events.iter().any(started));
        assert_eq!(world.shard.counters().dropped(DropReason::MalformedPayload), 0);
    }
}

#[test]
fn moves_of_what_is_gone_or_has_no_line_leave_nothing_behind() {
    let mut world = World::new(WorldConfig::default());
    let (alice, bob) = (world.join_connected(Mode::Single), world.join_connected(Mode::Dual));
    let camera = world.publish(alice, MediaKind::Video, &[]);
    let down_track = world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
    for number in [7_000, 7_001, 7_000, camera.0, 7_002] {
        // Its offer has not been answered yet.
        world.command(Command::MoveDownTrack { down_track, up_track: UpTrackId(number) });
    }
    world.run_for(SECOND);
    world.command(Command::MoveDownTrack { down_track, up_track: UpTrackId(7_003) });
    assert_eq!(world.shard.counters().up_tracks, 2, "the camera's and the one it waits for");
    world.command(Command::RemoveDownTrack { down_track });
    world.command(Command::MoveDownTrack { down_track, up_track: camera });
    assert_eq!((world.shard.counters().up_tracks, world.shard.counters().down_tracks), (1, 0));
    assert_eq!(world.shard.counters().dropped(DropReason::CodecUnsupported), 0);
}
