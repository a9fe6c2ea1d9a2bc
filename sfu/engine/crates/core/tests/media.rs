//! Media through a whole shard: real WebRTC clients in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation, missing_docs)]

mod common;

use std::time::Duration;

use common::{Camera, FRAME, TAG, is_key, picture_id, vp8};
use plenum_core::{Command, DropReason, Event, MediaKind};
use plenum_netem::{ClientId, LinkConfig, Mode, World, WorldConfig};

fn room(mode: Mode) -> (World, ClientId, ClientId) {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(mode);
    let bob = world.join_connected(mode);
    (world, alice, bob)
}

#[test]
fn audio_reaches_a_subscriber_in_both_modes() {
    for mode in [Mode::Single, Mode::Dual] {
        let (mut world, alice, bob) = room(mode);
        let mic = world.publish(alice, MediaKind::Audio, &[]);
        let down = world.subscribe(bob, mic, MediaKind::Audio, "TR_mic");
        world.run_for(Duration::from_secs(1));
        assert!(common::is_bound(&world, down));
        for n in 0..50_u32 {
            world.send_audio(alice, 0, n * 960, &[n as u8; 60]);
            world.run_for(Duration::from_millis(20));
        }
        world.run_for(Duration::from_secs(1));
        let packets = world.clients[bob.0].packets_of("TR_mic");
        assert_eq!(packets.len(), 50, "{mode:?}");
        assert!(packets.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1));
        assert!(packets.windows(2).all(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp) == 960));
        assert_eq!(&*packets[7].payload, [7; 60]);
        let started = |event: &Event| matches!(event, Event::UpTrackStarted { up_track, mime_type: "audio/opus" } if *up_track == mic);
        assert_eq!(world.events.iter().filter(|event| started(event)).count(), 1);
    }
}

#[test]
fn video_starts_at_a_key_frame_that_the_engine_asks_for() {
    for mode in [Mode::Single, Mode::Dual] {
        let (mut world, alice, bob) = room(mode);
        let camera = world.publish(alice, MediaKind::Video, &[]);
        world.run_for(Duration::from_secs(1));
        let mut filming = Camera::new(alice, 0, None);
        filming.film(&mut world, 10);
        world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
        filming.film(&mut world, 40);
        let packets = world.clients[bob.0].packets_of("TR_cam");
        assert!(packets.len() > 25, "{mode:?}: {}", packets.len());
        assert!(is_key(&packets[0].payload), "the first packet starts a key frame");
        assert!(packets.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1));
        assert!(packets[0].seq < 65_536, "a rollover count above 0 could not be known to the receiver");
        assert_eq!(world.clients[alice.0].key_frame_requests.len(), 1);
    }
}

#[test]
fn a_key_frame_that_does_not_come_is_asked_for_again() {
    let (mut world, alice, bob) = room(Mode::Single);
    let camera = world.publish(alice, MediaKind::Video, &[]);
    world.run_for(Duration::from_secs(1));
    let mut filming = Camera::new(alice, 0, None);
    filming.obeys = false;
    filming.film(&mut world, 5);
    world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
    filming.film(&mut world, 90);
    let asked = world.clients[alice.0].key_frame_requests.len();
    assert!((3..=15).contains(&asked), "{asked} requests in three seconds");
    filming.obeys = true;
    filming.film(&mut world, 60);
    assert!(!world.clients[bob.0].packets_of("TR_cam").is_empty());
}

#[test]
fn requests_of_many_subscribers_reach_the_publisher_as_one() {
    let (mut world, alice, bob) = room(Mode::Single);
    let carol = world.join_connected(Mode::Dual);
    let camera = world.publish(alice, MediaKind::Video, &[]);
    for client in [bob, carol] {
        world.subscribe(client, camera, MediaKind::Video, "TR_cam");
    }
    let mut filming = Camera::new(alice, 0, None);
    filming.film(&mut world, 60);
    world.run_for(Duration::from_secs(2));
    let before = world.clients[alice.0].key_frame_requests.len();
    let counted = world.shard.counters().plis;
    for _ in 0..5 {
        for client in [bob, carol] {
            world.request_key_frame(client, "TR_cam");
        }
        world.run_for(Duration::from_millis(10));
    }
    assert!(world.shard.counters().plis > counted + 1, "both asked");
    assert_eq!(world.clients[alice.0].key_frame_requests.len(), before + 1);
}

#[test]
fn simulcast_forwards_the_best_live_layer_and_switches_at_key_frames() {
    for mode in [Mode::Single, Mode::Dual] {
        let (mut world, alice, bob) = room(mode);
        let camera = world.publish(alice, MediaKind::Video, &["q", "h", "f"]);
        world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
        world.run_for(Duration::from_secs(1));
        let mut layers = ["q", "h", "f"].map(|rid| Camera::new(alice, 0, Some(rid)));
        for (index, layer) in layers.iter_mut().enumerate() {
            layer.base = index as u32 * 1_000_000;
            layer.tag = index as u8;
        }
        let mut film = |world: &mut World, live: std::ops::Range<usize>, frames: usize| {
            for _ in 0..frames {
                layers[live.clone()].iter_mut().for_each(|layer| layer.shoot(world));
                world.run_for(FRAME);
            }
        };
        film(&mut world, 0..3, 90);
        film(&mut world, 0..1, 90); // the upper layers die
        film(&mut world, 0..3, 90); // and come back
        let packets = world.clients[bob.0].packets_of("TR_cam");
        assert!(packets.len() > 180, "{mode:?}: {}", packets.len());
        assert!(packets.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1), "no holes");
        for pair in packets.windows(2) {
            let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
            let elapsed = pair[1].at.saturating_duration_since(pair[0].at);
            assert!(step > 0 && step < 90_000 * 3, "{step} after {elapsed:?}");
            let ids = (picture_id(&pair[0].payload), picture_id(&pair[1].payload));
            assert_eq!(ids.0.wrapping_add(1) & 0x7fff, ids.1, "picture ids are continuous");
            let switches = pair[0].payload[TAG] != pair[1].payload[TAG];
            assert!(!switches || is_key(&pair[1].payload), "switches at key frames only");
        }
        let mut tags: Vec<u8> = packets.iter().map(|packet| packet.payload[TAG]).collect();
        tags.dedup();
        assert!(tags.ends_with(&[2, 0, 2]), "{mode:?}: best, what is left, best again: {tags:?}");
        assert!(world.events.iter().all(|event| !matches!(event, Event::TransportFailed { .. })));
    }
}

#[test]
fn padding_leaves_no_gap() {
    let (mut world, alice, bob) = room(Mode::Single);
    let camera = world.publish(alice, MediaKind::Video, &[]);
    world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
    let mut filming = Camera::new(alice, 0, None);
    filming.film(&mut world, 40);
    for n in 0..20 {
        world.send_video(alice, 0, None, n, &[]);
        filming.film(&mut world, 1);
    }
    world.run_for(Duration::from_secs(1));
    let packets = world.clients[bob.0].packets_of("TR_cam");
    assert!(packets.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1));
    assert!(packets.iter().all(|packet| !packet.payload.is_empty()));
    assert_eq!(world.shard.counters().dropped(DropReason::PaddingOnly), 20);
}

#[test]
fn losses_on_both_links_are_repaired() {
    let (mut world, alice, bob) = room(Mode::Single);
    let camera = world.publish(alice, MediaKind::Video, &[]);
    world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
    world.run_for(Duration::from_secs(1));
    let mut filming = Camera::new(alice, 0, None);
    filming.film(&mut world, 30);
    let lossy = LinkConfig { loss: 0.05, ..LinkConfig::default() };
    world.uplinks[alice.0].config = lossy;
    world.downlinks[bob.0].config = lossy;
    for _ in 0..60 {
        for _ in 0..5 {
            filming.shoot(&mut world);
            world.run_for(Duration::from_millis(6));
        }
    }
    for link in [&mut world.uplinks[alice.0], &mut world.downlinks[bob.0]] {
        link.config.loss = 0.0;
    }
    filming.film(&mut world, 30);
    let mut seqs: Vec<u64> =
        world.clients[bob.0].packets_of("TR_cam").iter().map(|packet| packet.seq).collect();
    seqs.sort_unstable();
    seqs.dedup();
    let missing = (seqs[seqs.len() - 1] - seqs[0] + 1) as usize - seqs.len();
    assert!(missing <= 3, "{missing} of {} never arrived", seqs.len());
    let counters = world.shard.counters();
    assert!(counters.retransmitted > 5, "{counters:?}");
    world.run_for(Duration::from_secs(6));
    assert!(world.shard.counters().nacks > 0);
}

#[test]
fn a_disabled_track_is_silent_and_comes_back_with_a_key_frame() {
    let (mut world, alice, bob) = room(Mode::Dual);
    let camera = world.publish(alice, MediaKind::Video, &[]);
    let down_track = world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
    world.run_for(Duration::from_secs(1));
    let mut filming = Camera::new(alice, 0, None);
    filming.film(&mut world, 30);
    world.command(Command::EnableDownTrack { down_track, enabled: false });
    world.run_for(Duration::from_millis(100));
    let before = world.clients[bob.0].packets_of("TR_cam").len();
    filming.film(&mut world, 30);
    assert_eq!(world.clients[bob.0].packets_of("TR_cam").len(), before);
    assert!(world.shard.counters().dropped(DropReason::DownTrackDisabled) >= 29);
    world.command(Command::EnableDownTrack { down_track, enabled: true });
    filming.film(&mut world, 30);
    let packets = world.clients[bob.0].packets_of("TR_cam");
    assert!(packets.len() > before + 20);
    assert!(is_key(&packets[before].payload));
    assert_eq!(packets[before].seq, packets[before - 1].seq + 1);
}

#[test]
fn a_muted_publication_is_dropped_at_its_source() {
    let (mut world, alice, bob) = room(Mode::Single);
    let mic = world.publish(alice, MediaKind::Audio, &[]);
    world.subscribe(bob, mic, MediaKind::Audio, "TR_mic");
    world.run_for(Duration::from_secs(1));
    world.command(Command::MuteUpTrack { up_track: mic, muted: true });
    for n in 0..10 {
        world.send_audio(alice, 0, n * 960, &[1; 50]);
        world.run_for(Duration::from_millis(20));
    }
    assert_eq!(world.clients[bob.0].packets_of("TR_mic").len(), 0);
    assert_eq!(world.shard.counters().dropped(DropReason::UpTrackMuted), 10);
    assert_eq!(world.shard.counters().packets_out, 0);
}

#[test]
fn what_was_dropped_while_muted_leaves_no_gap() {
    let (mut world, alice, bob) = room(Mode::Single);
    let mic = world.publish(alice, MediaKind::Audio, &[]);
    let camera = world.publish(alice, MediaKind::Video, &[]);
    world.subscribe(bob, mic, MediaKind::Audio, "TR_mic");
    world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
    world.run_for(Duration::from_secs(1));
    let mut filming = Camera::new(alice, 1, None);
    let mut muted_at = [0, 0];
    for n in 0..90 {
        if n == 30 || n == 60 {
            world.run_for(Duration::from_millis(50));
            for up_track in [mic, camera] {
                world.command(Command::MuteUpTrack { up_track, muted: n == 30 });
            }
            muted_at = ["TR_mic", "TR_cam"].map(|track| world.clients[bob.0].packets_of(track).len());
        }
        world.send_audio(alice, 0, n * 1_584, &[1; 40]);
        filming.film(&mut world, 1);
    }
    world.run_for(Duration::from_millis(50));
    let camera = &world.clients[bob.0].packets_of("TR_cam");
    assert!(is_key(&camera[muted_at[1]].payload), "the frames between are lost: only a key frame helps");
    for track in ["TR_mic", "TR_cam"] {
        let packets = world.clients[bob.0].packets_of(track);
        assert!(packets.len() > 50, "{track}: {}", packets.len());
        for pair in packets.windows(2) {
            assert_eq!(pair[1].seq, pair[0].seq + 1, "{track}");
        }
        let last = packets.len() - 1;
        let ticks = packets[last].timestamp.wrapping_sub(packets[0].timestamp);
        let rate = if track == "TR_mic" { 48_000.0 } else { 90_000.0 };
        assert!((f64::from(ticks) / rate - 89.0 * 0.033).abs() < 0.2, "{track}: time went on: {ticks}");
    }
}

#[test]
fn red_goes_to_those_who_have_it() {
    let (mut world, alice, bob) = room(Mode::Single);
    let mic = world.publish(alice, MediaKind::Audio, &[]);
    world.subscribe(bob, mic, MediaKind::Audio, "TR_mic");
    world.run_for(Duration::from_secs(1));
    let mut red = vec![0x80 | 0x6f, 0, 0, 4, 0x6f]; // one redundant block of 4 bytes, then the primary
    red.extend([1, 2, 3, 4]);
    red.extend([9; 30]);
    for n in 0..10 {
        world.send_red(alice, 0, n * 960, &red);
        world.run_for(Duration::from_millis(20));
    }
    world.run_for(Duration::from_millis(200));
    let packets = world.clients[bob.0].packets_of("TR_mic");
    assert_eq!(packets.len(), 10);
    assert_eq!(&*packets[0].payload, &*red);
    let started = |event: &Event| matches!(event, Event::UpTrackStarted { mime_type: "audio/red", .. });
    assert!(world.events.iter().any(started));
}

#[test]
fn oversized_payloads_end_at_the_publisher() {
    let (mut world, alice, bob) = room(Mode::Single);
    let camera = world.publish(alice, MediaKind::Video, &[]);
    world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
    world.run_for(Duration::from_secs(1));
    let mut huge = vp8(0, true);
    huge.resize(1_900, 0);
    world.send_video(alice, 0, None, 0, &huge);
    world.run_for(Duration::from_millis(100));
    assert_eq!(world.shard.counters().dropped(DropReason::Oversized), 1);
    let mut filming = Camera::new(alice, 0, None);
    filming.film(&mut world, 30);
    assert!(world.clients[bob.0].packets_of("TR_cam").len() > 20, "nobody else suffers");
}

#[test]
fn levels_are_reported_while_somebody_is_heard() {
    let (mut world, alice, _bob) = room(Mode::Single);
    let mic = world.publish(alice, MediaKind::Audio, &[]);
    world.run_for(Duration::from_secs(1));
    for n in 0..50 {
        world.send_audio(alice, 0, n * 960, &[1; 50]); // at −20 dBov
        world.run_for(Duration::from_millis(20));
    }
    world.run_for(Duration::from_secs(2));
    let reports: Vec<_> = world
        .events
        .iter()
        .filter_map(|event| match event {
            Event::AudioLevels { levels, .. } => Some(levels),
            _ => None,
        })
        .collect();
    assert!((3..=5).contains(&reports.len()), "{reports:?}");
    assert_eq!((reports[0][0].up_track, reports[0][0].level), (mic, 20));
    assert!((360..=420).contains(&reports[0][0].active_ms), "{reports:?}");
    assert!(reports[reports.len() - 1].is_empty(), "one empty report when all fell silent");
}

#[test]
fn a_stream_that_begins_anew_under_another_ssrc_goes_on() {
    let (mut world, alice, bob) = room(Mode::Single);
    let camera = world.publish(alice, MediaKind::Video, &[]);
    let mic = world.publish(alice, MediaKind::Audio, &[]);
    world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
    world.subscribe(bob, mic, MediaKind::Audio, "TR_mic");
    world.run_for(Duration::from_secs(1));
    let mut filming = Camera::new(alice, 0, None);
    let mut talk = |world: &mut World, base: u32| {
        for n in 0..30 {
            world.send_audio(alice, 1, base.wrapping_add(n * 960), &[1; 40]);
            filming.film(world, 1);
        }
    };
    talk(&mut world, 0);
    let before =
        [world.clients[bob.0].packets_of("TR_cam").len(), world.clients[bob.0].packets_of("TR_mic").len()];
    world.renew_ssrc(alice, 0);
    world.renew_ssrc(alice, 1);
    talk(&mut world, 0x8000_0000);
    world.run_for(Duration::from_millis(100));
    for (track, before, expected) in [("TR_cam", before[0], 15), ("TR_mic", before[1], 30)] {
        let packets = world.clients[bob.0].packets_of(track);
        assert!(packets.len() >= before + expected, "{track}: {before} then {}", packets.len());
        for pair in packets.windows(2) {
            assert_eq!(pair[1].seq, pair[0].seq + 1, "{track}");
            let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
            assert!(step > 0 && step < 90_000 * 3, "{track}: a jump of {step}");
        }
    }
}

#[test]
fn sound_and_picture_stay_together() {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Dual);
    let camera = world.publish(alice, MediaKind::Video, &[]);
    let mic = world.publish(alice, MediaKind::Audio, &[]);
    world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
    world.subscribe(bob, mic, MediaKind::Audio, "TR_mic");
    world.run_for(Duration::from_secs(1));
    world.uplinks[alice.0].config.jitter = Duration::from_millis(60);
    world.uplinks[alice.0].config.keeps_order = false;
    // Both are captured at the same moments: 10 ms apart, on clocks that began at different values.
    let (audio_base, video_base) = (123_456_u32, 4_000_000_000_u32);
    for n in 0..1_500_u32 {
        if n % 2 == 0 {
            world.send_audio(alice, 1, audio_base.wrapping_add(n * 480), &[1; 40]);
        }
        if n % 4 == 0 {
            world.send_video(alice, 0, None, video_base.wrapping_add(n * 900), &vp8(n as u16, n % 100 == 0));
        }
        world.run_for(Duration::from_millis(10));
    }
    let client = &world.clients[bob.0];
    // The moment, on our NTP clock, at which a track's timestamp was its base; nothing shifts the first run of
    // timestamps on their way.
    let origin = |track: &str, base: u32, rate: f64| {
        let mid = client.mid_to_track.iter().find(|(_, of)| *of == track).unwrap().0;
        let (_, ntp, timestamp) = client.sender_reports.iter().rfind(|(of, _, _)| of == mid).unwrap();
        let ticks = timestamp.wrapping_sub(base).cast_signed();
        ntp.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64() - f64::from(ticks) / rate
    };
    let audio = origin("TR_mic", audio_base, 48_000.0);
    let video = origin("TR_cam", video_base, 90_000.0);
    assert!((audio - video).abs() < 0.010, "{:.1} ms apart", (audio - video) * 1_000.0);
}

#[test]
fn sender_reports_keep_one_timeline_over_layer_switches() {
    for mode in [Mode::Single, Mode::Dual] {
        let (mut world, alice, bob) = room(mode);
        let camera = world.publish(alice, MediaKind::Video, &["q", "f"]);
        let down_track = world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
        world.run_for(Duration::from_secs(1));
        // Both layers are captured at the same moments, on clocks that began at different values.
        let bases = [4_000_000_000_u32, 77_777];
        let began = world.now;
        for n in 0..800_u32 {
            if n % 150 == 149 {
                let max_spatial = u8::from(n / 150 % 2 == 0) * 2;
                world.command(Command::SetDownTrackLayers { down_track, max_spatial, max_fps: 0 });
            }
            for (rid, base) in ["q", "f"].into_iter().zip(bases) {
                let mut payload = vp8(n as u16, n % 25 == 0);
                payload[TAG] = u8::from(rid == "f");
                world.send_video(alice, 0, Some(rid), base.wrapping_add(n * 1_800), &payload);
            }
            world.run_for(Duration::from_millis(20));
        }
        let client = &world.clients[bob.0];
        let packets = client.packets_of("TR_cam");
        let switches = packets.windows(2).filter(|pair| pair[0].payload[TAG] != pair[1].payload[TAG]).count();
        assert!(switches >= 4, "{mode:?}: {switches} switches");
        // The moment at which the timestamp of the first packet was captured: the same by every report.
        let mid = client.mid_to_track.iter().find(|(_, of)| *of == "TR_cam").unwrap().0;
        let first = packets[0].timestamp;
        let origins: Vec<f64> = client
            .sender_reports
            .iter()
            .filter(|(of, _, _)| of == mid)
            .map(|(_, ntp, timestamp)| {
                let ticks = f64::from(timestamp.wrapping_sub(first).cast_signed());
                ntp.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64() - ticks / 90_000.0
            })
            .collect();
        assert!(origins.len() > 5 && packets[0].at > began, "{mode:?}: {} reports", origins.len());
        let (least, most) =
            origins.iter().fold((f64::MAX, f64::MIN), |(least, most), one| (least.min(*one), most.max(*one)));
        assert!(most - least < 0.020, "{mode:?}: {origins:?}");
    }
}

#[test]
fn nothing_is_kept_for_a_subscriber_who_is_not_connected_yet() {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    let camera = world.publish(alice, MediaKind::Video, &[]);
    let bob = world.join(Mode::Single);
    world.downlinks[bob.0].config.loss = 1.0;
    let down_track = world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
    assert!(world.run_until(Duration::from_secs(2), |world| common::is_bound(world, down_track)));
    let mut filming = Camera::new(alice, 0, None);
    filming.film(&mut world, 60);
    assert_eq!(world.shard.counters().packets_out, 0, "there is nobody to send to");
    world.downlinks[bob.0].config.loss = 0.0;
    filming.film(&mut world, 150);
    let received = world.clients[bob.0].packets_of("TR_cam");
    let first = received.first().expect("he is connected by now");
    assert!(is_key(&first.payload), "begins with a picture that he can decode");
    assert!(picture_id(&first.payload) > 60, "and not with one of the past");
    assert!(received.iter().zip(&received[1..]).all(|(one, next)| next.seq == one.seq + 1));
}

#[test]
fn a_stream_whose_first_packet_is_bad_still_begins_anew() {
    let (mut world, alice, bob) = room(Mode::Single);
    let mic = world.publish(alice, MediaKind::Audio, &[]);
    world.subscribe(bob, mic, MediaKind::Audio, "TR_mic");
    world.run_for(Duration::from_secs(1));
    let talk = |world: &mut World, base: u32| {
        for n in 0..30 {
            world.send_audio(alice, 0, base + n * 960, &[1; 40]);
            world.run_for(Duration::from_millis(20));
        }
    };
    // Each SSRC counts from the same number, so that only its being new tells that this is no repetition.
    world.renew_ssrc(alice, 0);
    talk(&mut world, 0);
    world.renew_ssrc(alice, 0);
    world.send_audio(alice, 0, 40_000, &[1; 1_600]);
    assert!(world.run_until(Duration::from_secs(1), |world| {
        world.shard.counters().dropped(DropReason::Oversized) == 1
    }));
    talk(&mut world, 50_000);
    let packets = world.clients[bob.0].packets_of("TR_mic");
    assert_eq!(packets.len(), 60);
    assert!(packets.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1));
}

/// Packets of a track that arrived since the last look.
fn news(world: &World, client: ClientId, seen: &mut usize) -> Vec<plenum_netem::Received> {
    let packets = world.clients[client.0].packets_of("TR_cam");
    let fresh = packets[*seen..].iter().map(|packet| (*packet).clone()).collect();
    *seen = packets.len();
    fresh
}

fn limit(world: &mut World, down_track: plenum_core::DownTrackId, max_spatial: u8, max_fps: u16) {
    world.command(Command::SetDownTrackLayers { down_track, max_spatial, max_fps });
}

#[test]
fn a_limit_chooses_the_simulcast_layer_and_holds_over_renegotiation() {
    for mode in [Mode::Single, Mode::Dual] {
        let (mut world, alice, bob) = room(mode);
        let camera = world.publish(alice, MediaKind::Video, &["q", "h", "f"]);
        let down = world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
        limit(&mut world, down, 0, 0); // before there is a line
        world.run_for(Duration::from_secs(1));
        let mut layers = ["q", "h", "f"].map(|rid| Camera::new(alice, 0, Some(rid)));
        for (index, layer) in layers.iter_mut().enumerate() {
            layer.base = index as u32 * 1_000_000;
            layer.tag = index as u8;
        }
        let mut seen = 0;
        for (spatial, frames) in [(0, 60), (1, 60), (2, 60), (0, 60), (9, 60)] {
            limit(&mut world, down, spatial, 0);
            for _ in 0..frames {
                for layer in &mut layers {
                    layer.shoot(&mut world);
                }
                world.run_for(FRAME);
            }
            let fresh = news(&world, bob, &mut seen);
            let expected = spatial.min(2);
            let reached = fresh.iter().position(|packet| packet.payload[TAG] == expected);
            let reached = reached.unwrap_or_else(|| panic!("{mode:?}: never layer {expected}"));
            assert!(reached < 20, "{mode:?}: {reached} frames until layer {expected}");
            assert!(fresh[reached..].iter().all(|packet| packet.payload[TAG] == expected), "{mode:?}");
            assert!(is_key(&fresh[reached].payload) || reached == 0);
            assert!(fresh.len() > 45, "{mode:?}: {} of {frames} frames", fresh.len());
        }
        let packets = world.clients[bob.0].packets_of("TR_cam");
        assert!(packets.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1), "no holes");
    }
}
