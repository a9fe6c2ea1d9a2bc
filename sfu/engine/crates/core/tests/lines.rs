//! m-lines: found, asked for, reused, given back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation, missing_docs)]

mod common;

use std::time::Duration;

use common::{Camera, is_bound, unsubscribe};
use plenum_core::{Command, DropReason, Event, MediaKind};
use plenum_netem::{Mode, World, WorldConfig};

#[test]
fn twenty_tracks_reach_a_single_mode_client_that_joined_with_few_lines() {
    let mut world = World::new(WorldConfig { first_lines: (2, 2), ..WorldConfig::default() });
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Single);
    let mut downs = Vec::new();
    for n in 0..20 {
        let kind = if n % 2 == 0 { MediaKind::Audio } else { MediaKind::Video };
        let up = world.publish(alice, kind, &[]);
        downs.push(world.subscribe(bob, up, kind, &format!("TR_{n}")));
    }
    let limit = Duration::from_secs(10);
    assert!(world.run_until(limit, |world| downs.iter().all(|down| is_bound(world, *down))));
    let asked = &world.clients[bob.0].requirements;
    assert!(asked.len() <= 5, "requests are coalesced: {asked:?}");
    assert_eq!(world.clients[bob.0].media_lines(), 20, "asked for exactly what was missing: {asked:?}");
    world.run_for(Duration::from_secs(20));
    let after = world.clients[bob.0].requirements.len();
    world.run_for(Duration::from_secs(60));
    assert_eq!(world.clients[bob.0].requirements.len(), after, "then there is silence");
    for n in 0..20_usize {
        if n % 2 == 0 {
            world.send_audio(alice, n, 960, &[n as u8; 40]);
        }
    }
    world.run_for(Duration::from_millis(200));
    for n in (0..20_usize).step_by(2) {
        let packets = world.clients[bob.0].packets_of(&format!("TR_{n}"));
        assert_eq!(packets.len(), 1);
        assert_eq!(usize::from(packets[0].payload[0]), n, "each track on its own line");
    }
}

#[test]
fn a_hundred_resubscriptions_need_no_further_line() {
    for mode in [Mode::Single, Mode::Dual] {
        let mut world = World::new(WorldConfig::default());
        let alice = world.join_connected(mode);
        let bob = world.join_connected(mode);
        let camera = world.publish(alice, MediaKind::Video, &[]);
        let mic = world.publish(alice, MediaKind::Audio, &[]);
        let mut filming = Camera::new(alice, 0, None);
        world.run_for(Duration::from_secs(1));
        let mut ssrcs = std::collections::BTreeSet::new();
        for round in 0..100 {
            let tracks = (format!("TR_cam{round}"), format!("TR_mic{round}"));
            let downs = [
                world.subscribe(bob, camera, MediaKind::Video, &tracks.0),
                world.subscribe(bob, mic, MediaKind::Audio, &tracks.1),
            ];
            let bound = world
                .run_until(Duration::from_secs(5), |world| downs.iter().all(|down| is_bound(world, *down)));
            assert!(bound, "{mode:?} round {round}");
            filming.film(&mut world, 15);
            let packets = world.clients[bob.0].packets_of(&tracks.0);
            let mine: Vec<_> = packets.iter().filter(|packet| !ssrcs.contains(&packet.ssrc)).collect();
            assert!(mine.len() >= 5, "{mode:?} round {round}: {} packets", mine.len());
            ssrcs.extend(mine.iter().map(|packet| packet.ssrc).collect::<Vec<_>>());
            assert_eq!(ssrcs.len(), round + 1, "a new occupant has a new SSRC");
            for down in downs {
                unsubscribe(&mut world, down);
            }
            world.run_for(Duration::from_millis(if round % 3 == 0 { 5 } else { 400 }));
        }
        world.run_for(Duration::from_secs(5));
        let lines = world.clients[bob.0].media_lines();
        let limit = if mode == Mode::Single { 6 } else { 4 };
        assert!(lines <= limit, "{mode:?}: {lines} lines");
        assert_eq!(world.shard.counters().down_tracks, 0);
        assert!(!world.events.iter().any(|event| matches!(event, Event::TransportFailed { .. })));
    }
}

/// Clients do not survive a description with one track on two lines; and the last frames of the sound take their time.
#[test]
fn a_track_that_comes_back_at_once_is_never_named_on_two_lines() {
    for (mode, gap_ms) in
        [Mode::Single, Mode::Dual].into_iter().flat_map(|mode| [0, 5, 15, 40].map(|gap| (mode, gap)))
    {
        let mut world = World::new(WorldConfig::default());
        let alice = world.join_connected(Mode::Single);
        let bob = world.join_connected(mode);
        let mic = world.publish(alice, MediaKind::Audio, &[]);
        let camera = world.publish(alice, MediaKind::Video, &[]);
        let mut filming = Camera::new(alice, 1, None);
        let pass = |world: &mut World, length_ms: u64| {
            for nth in 0..length_ms {
                if nth % 20 == 0 {
                    let timestamp = world.clients[bob.0].received.len() as u32 * 960;
                    world.send_audio(alice, 0, timestamp, &[7; 30]);
                }
                world.run_for(Duration::from_millis(1));
                let description = &world.clients[bob.0].last_description;
                let mut names: Vec<&str> =
                    description.lines().filter(|line| line.starts_with("a=msid:")).collect();
                names.sort_unstable();
                assert!(
                    names.windows(2).all(|pair| pair[0] != pair[1]),
                    "{mode:?}, {gap_ms} ms: {description}"
                );
            }
        };
        let watch = |world: &mut World| {
            [(mic, MediaKind::Audio, "TR_mic"), (camera, MediaKind::Video, "TR_cam")]
                .map(|(track, kind, name)| world.subscribe(bob, track, kind, name))
        };
        let mut downs = watch(&mut world);
        let mut offers = 0;
        for round in 0..6 {
            let is_back = |world: &World| downs.iter().all(|down| is_bound(world, *down));
            assert!(world.run_until(Duration::from_secs(5), is_back), "{mode:?}, {gap_ms} ms, round {round}");
            filming.film(&mut world, 5);
            pass(&mut world, 300);
            offers = world.clients[bob.0].negotiations;
            for down in downs {
                unsubscribe(&mut world, down);
            }
            pass(&mut world, gap_ms);
            downs = watch(&mut world);
            pass(&mut world, 200);
        }
        let lines = world.clients[bob.0].media_lines();
        assert!(lines <= 6, "{mode:?}, {gap_ms} ms: {lines} lines");
        assert!(world.clients[bob.0].negotiations - offers <= 4, "{mode:?}, {gap_ms} ms");
    }
}

#[test]
fn a_client_that_takes_its_line_back_is_asked_for_another() {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Single);
    let mic = world.publish(alice, MediaKind::Audio, &[]);
    let down = world.subscribe(bob, mic, MediaKind::Audio, "TR_mic");
    assert!(world.run_until(Duration::from_secs(5), |world| is_bound(world, down)));
    let hears = |world: &mut World, round: u32| {
        let heard = world.clients[bob.0].received.len();
        for nth in 0..10 {
            world.send_audio(alice, 0, (round * 10 + nth) * 960, &[7; 30]);
            world.run_for(Duration::from_millis(20));
        }
        world.run_for(Duration::from_millis(200));
        world.clients[bob.0].received.len() - heard
    };
    assert!(hears(&mut world, 0) == 10);
    for round in 1..10 {
        world.run_for(Duration::from_secs(1));
        let line = world.clients[bob.0].received.last().unwrap().mid.clone();
        let asked = world.clients[bob.0].requirements.len();
        world.withdraw(bob, &line);
        world.run_for(Duration::from_secs(5));
        let requirements = &world.clients[bob.0].requirements[asked..];
        assert!(requirements.len() <= 3, "round {round}: {requirements:?}");
        assert_eq!(hears(&mut world, round), 10, "round {round}");
        assert_ne!(world.clients[bob.0].received.last().unwrap().mid, line);
    }
}

#[test]
fn changes_while_an_offer_is_out_are_gathered_into_the_next() {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Dual);
    let mics: Vec<_> = (0..6).map(|_| world.publish(alice, MediaKind::Audio, &[])).collect();
    world.run_for(Duration::from_secs(1));
    world.clients[bob.0].is_silent = true;
    let mut downs = vec![world.subscribe(bob, mics[0], MediaKind::Audio, "TR_0")];
    world.run_for(Duration::from_secs(1));
    for (n, mic) in mics.iter().enumerate().skip(1) {
        downs.push(world.subscribe(bob, *mic, MediaKind::Audio, &format!("TR_{n}")));
        world.run_for(Duration::from_millis(50));
    }
    world.run_for(Duration::from_secs(2));
    let offers: Vec<_> = world
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Offer { transport, request, .. } => Some((*transport, *request)),
            _ => None,
        })
        .collect();
    assert_eq!(offers.len(), 1, "one outstanding offer");
    let (transport, request) = offers[0];
    // A stale answer is ignored; the client's signalling came back and ICE restarts: all in one new offer.
    let stale = plenum_core::RequestId(request.0 + 7);
    world.command(Command::AcceptAnswer { transport, request: stale, sdp: "v=0\r\n".to_owned() });
    world.clients[bob.0].is_silent = false;
    world.command(Command::RestartIce { transport });
    let all_bound = |world: &World| downs.iter().all(|down| is_bound(world, *down));
    assert!(world.run_until(Duration::from_secs(5), all_bound));
    assert_eq!(world.clients[bob.0].media_lines(), 6);
    for n in 0..6 {
        world.send_audio(alice, n, 0, &[n as u8; 30]);
    }
    world.run_for(Duration::from_secs(20));
    assert!((0..6).all(|n| world.clients[bob.0].packets_of(&format!("TR_{n}")).len() == 1));
    assert!(!world.events.iter().any(|event| matches!(event, Event::TransportFailed { .. })));
}

#[test]
fn a_closed_publication_takes_its_down_tracks_along() {
    for mode in [Mode::Single, Mode::Dual] {
        let mut world = World::new(WorldConfig::default());
        let alice = world.join_connected(mode);
        let bob = world.join_connected(mode);
        let mic = world.publish(alice, MediaKind::Audio, &[]);
        world.subscribe(bob, mic, MediaKind::Audio, "TR_mic");
        world.run_for(Duration::from_secs(1));
        world.command(Command::CloseUpTrack { up_track: mic });
        assert_eq!((world.shard.counters().up_tracks, world.shard.counters().down_tracks), (0, 0));
        world.run_for(Duration::from_secs(1));
        let sending = world.clients[bob.0].last_description.contains("a=sendonly");
        assert!(!sending, "{mode:?}: the line was given back");
    }
}

#[test]
fn a_down_track_that_was_turned_down_ends_with_its_transport() {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Dual);
    let mic = world.publish(alice, MediaKind::Audio, &[]);
    world.run_for(Duration::from_secs(1));
    world.clients[bob.0].turns_media_down = true;
    let down_track = world.subscribe(bob, mic, MediaKind::Audio, "TR_mic");
    let is_refused = |world: &World| {
        let refused = |event: &Event| matches!(event, Event::DownTrackCodecUnsupported { down_track: of, .. } if *of == down_track);
        world.events.iter().any(refused)
    };
    assert!(world.run_until(Duration::from_secs(2), is_refused));
    assert_eq!(world.shard.counters().down_tracks, 1, "until the control plane says so");
    let transport = world.transports(bob)[1];
    world.command(Command::CloseTransport { transport });
    assert_eq!(world.shard.counters().down_tracks, 0);
    world.send_audio(alice, 0, 0, &[1; 30]);
    world.run_for(Duration::from_millis(100));
    assert_eq!(world.shard.counters().dropped(DropReason::NotBound), 0);
}
