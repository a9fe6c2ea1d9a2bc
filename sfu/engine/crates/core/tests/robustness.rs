//! Hostile and unlucky peers: only the one concerned may suffer, and nothing may remain.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation, missing_docs)]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::Camera;
use plenum_core::sdp::{CodecPolicy, RemoteOffer, SdpError};
use plenum_core::{
    Command, DataProfile, DownTrackId, DropReason, Event, MediaKind, ParticipantId, RequestId, RoomId,
    TransportFailure, TransportRole, UpTrackId,
};
use plenum_netem::{ClientId, LinkConfig, Mode, RawExtensions, World, WorldConfig};

fn failures(world: &World) -> Vec<TransportFailure> {
    world
        .events
        .iter()
        .filter_map(|event| match event {
            Event::TransportFailed { failure, .. } => Some(*failure),
            _ => None,
        })
        .collect()
}

/// Bob, who came in that mode, is subscribed to Alice's microphone.
fn listening(mode: Mode) -> (World, ClientId, ClientId) {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(mode);
    let mic = world.publish(alice, MediaKind::Audio, &[]);
    world.subscribe(bob, mic, MediaKind::Audio, "TR_mic");
    world.run_for(Duration::from_secs(1));
    (world, alice, bob)
}

fn leave(world: &mut World, client: ClientId) {
    world.command(Command::RemoveParticipant { participant: World::participant(client) });
}

#[test]
fn full_ice_and_lite_connect_in_both_modes_over_a_bad_link() {
    for ice_lite in [true, false] {
        for mode in [Mode::Single, Mode::Dual] {
            let link = LinkConfig { loss: 0.2, delay: Duration::from_millis(40), ..LinkConfig::default() };
            let mut world = World::new(WorldConfig { ice_lite, link, ..WorldConfig::default() });
            world.join_connected(mode);
            let connected = |world: &World| {
                let is_connected =
                    |event: &&Event| matches!(event, Event::TransportConnected { tcp: false, .. });
                world.events.iter().filter(is_connected).count()
            };
            let expected = if mode == Mode::Single { 1 } else { 2 };
            assert!(world.run_until(Duration::from_secs(20), |world| connected(world) == expected));
            assert!(failures(&world).is_empty());
        }
    }
}

#[test]
fn a_client_that_restarts_ice_keeps_its_media() {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Single);
    let camera = world.publish(alice, MediaKind::Video, &[]);
    world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
    world.run_for(Duration::from_secs(1));
    let mut filming = Camera::new(alice, 0, None);
    for round in 0..3 {
        filming.film(&mut world, 30);
        let before = world.clients[bob.0].packets_of("TR_cam").len();
        for client in [alice, bob] {
            world.restart_ice(client);
        }
        filming.film(&mut world, 60);
        let after = world.clients[bob.0].packets_of("TR_cam").len();
        assert!(after - before > 40, "round {round}: {before} to {after}");
    }
    world.run_for(Duration::from_secs(40));
    assert!(failures(&world).is_empty(), "{:?}", failures(&world));
}

#[test]
fn a_client_that_comes_back_is_asked_at_once_for_the_lines_it_lacks() {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Single);
    world.clients[bob.0].is_silent = true; // its signalling broke
    for name in ["TR_0", "TR_1", "TR_2", "TR_3", "TR_4", "TR_5"] {
        let mic = world.publish(alice, MediaKind::Audio, &[]);
        world.subscribe(bob, mic, MediaKind::Audio, name);
    }
    world.run_for(Duration::from_secs(22));
    let asked = world.clients[bob.0].requirements.len();
    assert!(asked > 2, "again and again, ever more seldom");
    world.clients[bob.0].is_silent = false;
    world.restart_ice(bob);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.clients[bob.0].requirements.len(), asked + 1);
    assert_eq!(world.clients[bob.0].mid_to_track.len(), 6);
}

#[test]
fn a_client_may_come_from_another_address() {
    let (mut world, alice, bob) = listening(Mode::Single);
    let elsewhere: SocketAddr = "203.0.113.9:40000".parse().unwrap();
    world.inject(elsewhere, &[22, 254, 253, 0, 0]);
    assert_eq!(world.shard.counters().dropped(DropReason::UnknownSource), 1, "not before its check");
    world.move_to(alice, 0, elsewhere);
    world.run_for(Duration::from_secs(6)); // the next check comes from there
    world.send_audio(alice, 0, 0, &[5; 30]);
    world.run_for(Duration::from_millis(100));
    assert_eq!(world.clients[bob.0].packets_of("TR_mic").len(), 1);
}

#[test]
fn media_follow_a_subscriber_to_another_address() {
    let (mut world, alice, bob) = listening(Mode::Single);
    let mut timestamp = 0;
    for nth in 1..4 {
        world.move_to(bob, 0, SocketAddr::from(([203, 0, 113, nth], 40_000)));
        world.restart_ice(bob);
        world.run_for(Duration::from_secs(2));
        let before = world.clients[bob.0].packets_of("TR_mic").len();
        for _ in 0..20 {
            timestamp += 960;
            world.send_audio(alice, 0, timestamp, &[5; 30]);
            world.run_for(Duration::from_millis(20));
        }
        world.run_for(Duration::from_millis(100));
        let after = world.clients[bob.0].packets_of("TR_mic").len();
        assert_eq!(after - before, 20, "move {nth}");
    }
}

#[test]
fn a_client_that_falls_silent_is_reported_within_fifteen_seconds() {
    // Wherever the silence falls between the checks of both sides.
    for phase_ms in (0..3000).step_by(250) {
        let mut world = World::new(WorldConfig::default());
        let alice = world.join_connected(Mode::Single);
        world.run_for(Duration::from_millis(5000 + phase_ms));
        world.uplinks[alice.0].config.loss = 1.0;
        let is_gone = |world: &World| !failures(world).is_empty();
        assert!(world.run_until(Duration::from_millis(15_100), is_gone), "{phase_ms}");
        assert_eq!(failures(&world), [TransportFailure::IceTimeout]);
        assert_eq!(world.shard.counters().transports, 0);
    }
}

#[test]
fn one_payload_type_for_two_codecs_is_refused_and_harms_nobody() {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    let text = include_str!("hostile/duplicate_payload_type.sdp").replace('\n', "\r\n");
    let parse = |text: &str| RemoteOffer::parse(text, &CodecPolicy::default());
    assert!(matches!(parse(&text), Err(SdpError::DuplicatePayloadType { payload_type: 96 })));

    // The same in two offers, each fine by itself.
    let second_line = text.rfind("m=video").unwrap();
    let first = text[..second_line].replace("BUNDLE 0 1", "BUNDLE 0");
    let h264 = "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;profile-level-id=42e01f";
    let second = text.replacen("a=rtpmap:96 VP8/90000", h264, 1);
    let participant = ParticipantId(50);
    let profile = DataProfile {
        sid: "PA_m".into(),
        identity: "mallory".into(),
        can_publish_data: true,
        hidden: false,
        agent: false,
    };
    world.command(Command::AddParticipant { room: RoomId(1), participant, profile });
    let transport = world.open_transport(participant, TransportRole::Both);
    for (request, text) in [(RequestId(1), first), (RequestId(2), second)] {
        let offer = Box::new(parse(&text).unwrap());
        world.command(Command::AcceptOffer { transport, request, offer, publish: Vec::new() });
    }
    let refused: Vec<_> = world
        .events
        .iter()
        .filter_map(|event| match event {
            Event::NegotiationFailed { request, reason, .. } => Some((*request, reason.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(refused, [(RequestId(2), "payload type 96 is used for two codecs".to_owned())]);

    let bob = world.join_connected(Mode::Single);
    let mic = world.publish(bob, MediaKind::Audio, &[]);
    world.subscribe(alice, mic, MediaKind::Audio, "TR_mic");
    world.run_for(Duration::from_millis(500));
    world.send_audio(bob, 0, 0, &[1; 20]);
    world.run_for(Duration::from_millis(500));
    assert_eq!(world.clients[alice.0].packets_of("TR_mic").len(), 1);
    assert!(failures(&world).is_empty());
}

#[test]
fn random_bytes_from_anywhere_are_dropped_with_a_reason() {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Dual);
    let mic = world.publish(alice, MediaKind::Audio, &[]);
    world.subscribe(bob, mic, MediaKind::Audio, "TR_mic");
    world.run_for(Duration::from_secs(1));
    let stranger: SocketAddr = "203.0.113.66:6666".parse().unwrap();
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let sources = [stranger, world.address(alice, 0), world.address(bob, 1)];
    for round in 0..20_000_usize {
        let length = (next() % 200) as usize;
        let mut bytes: Vec<u8> = (0..length).map(|_| next() as u8).collect();
        if let Some(first) = bytes.first_mut() {
            // Half of them look like something: STUN, DTLS, RTP, RTCP.
            *first = [*first, 0, 22, 0x80, 0x90, *first][round % 6];
        }
        if round % 6 == 4 && bytes.len() > 1 {
            bytes[1] = [111, 63, 96, 200, 201, 205, 206][round % 7];
        }
        world.inject(sources[round % 3], &bytes);
    }
    let counters = world.shard.counters();
    assert!(counters.dropped(DropReason::UnknownSource) > 1_000);
    assert!(counters.dropped(DropReason::Rejected) > 1_000);
    assert!(failures(&world).is_empty(), "{:?}", failures(&world));
    for n in 0..10 {
        world.send_audio(alice, 0, n * 960, &[3; 30]);
        world.run_for(Duration::from_millis(20));
    }
    world.run_for(Duration::from_millis(100));
    assert_eq!(world.clients[bob.0].packets_of("TR_mic").len(), 10, "the others do not notice");
}

#[test]
fn damaged_datagrams_break_nothing() {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Single);
    let camera = world.publish(alice, MediaKind::Video, &["q", "h", "f"]);
    world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
    world.run_for(Duration::from_secs(1));
    world.uplinks[alice.0].config.damage = 0.3;
    world.uplinks[bob.0].config.damage = 0.3;
    let mut filming = Camera::new(alice, 0, Some("q"));
    filming.film(&mut world, 300);
    assert!(world.clients[bob.0].packets_of("TR_cam").len() > 100);
    assert!(world.shard.counters().dropped(DropReason::Rejected) > 20);
    assert!(failures(&world).is_empty(), "{:?}", failures(&world));
}

#[test]
fn a_close_is_told_to_the_client() {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    let transport = world.transports(alice)[0];
    world.run_for(Duration::from_secs(1));
    world.command(Command::CloseTransport { transport });
    world.run_for(Duration::from_millis(100));
    assert_eq!(world.clients[alice.0].closed, 1, "the close alert arrived");
    assert!(failures(&world).is_empty(), "who closed it needs no report");
    let stale = world.shard.counters().stale_commands;
    world.command(Command::CloseTransport { transport });
    assert_eq!(world.shard.counters().stale_commands, stale + 1);
}

#[test]
fn nothing_remains_of_those_who_left() {
    let mut world = World::new(WorldConfig::default());
    for mode in [Mode::Single, Mode::Dual] {
        let alice = world.join_connected(mode);
        let bob = world.join_connected(mode);
        let camera = world.publish(alice, MediaKind::Video, &[]);
        let mic = world.publish(bob, MediaKind::Audio, &[]);
        world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
        world.subscribe(alice, mic, MediaKind::Audio, "TR_mic");
        let mut filming = Camera::new(alice, 0, None);
        world.run_for(Duration::from_millis(500));
        filming.film(&mut world, 10);
        world.send_audio(bob, 0, 0, &[1; 20]);
        leave(&mut world, alice);
        assert!(!world.shard.is_empty());
        leave(&mut world, bob);
        assert!(world.shard.is_empty());
        world.run_for(Duration::from_secs(5));
        assert_eq!(world.shard.counters().transports, 0);
    }
}

#[test]
fn a_thousand_visits_leave_empty_tables() {
    let mut world = World::new(WorldConfig::default());
    let participant = ParticipantId(7);
    for round in 0..1_000 {
        let profile = DataProfile {
            sid: "PA_7".into(),
            identity: "seven".into(),
            can_publish_data: true,
            hidden: false,
            agent: false,
        };
        world.command(Command::AddParticipant { room: RoomId(round), participant, profile });
        world.open_transport(participant, TransportRole::Publisher);
        let roles = [TransportRole::Both, TransportRole::Subscriber];
        let transport = world.open_transport(participant, roles[round as usize / 4 % 2]);
        let down_track = DownTrackId(world.fresh_id());
        world.command(Command::AddDownTrack {
            down_track,
            transport,
            up_track: UpTrackId(round),
            kind: MediaKind::Video,
            stream_id: "PA_x|TR_y".into(),
            track_sid: "TR_y".into(),
            stereo: false,
            enabled: true,
            strip_trailer: false,
        });
        match round % 4 {
            0 => world.command(Command::CloseTransport { transport }),
            1 => world.command(Command::CloseUpTrack { up_track: UpTrackId(round) }),
            2 => world.command(Command::RemoveDownTrack { down_track }),
            _ => {}
        }
        world.command(Command::RemoveParticipant { participant });
    }
    assert!(world.shard.is_empty());
    assert_eq!(world.shard.counters().stale_commands, 0);
    world.run_for(Duration::from_secs(60));
    assert_eq!(world.shard.next_timeout(), None, "no timer is left");
}

#[test]
fn tcp_alone_is_enough() {
    for mode in [Mode::Single, Mode::Dual] {
        let mut world = World::new(WorldConfig { tcp: true, ..WorldConfig::default() });
        let alice = world.join_connected(mode);
        let connected = |event: &Event| matches!(event, Event::TransportConnected { tcp: true, .. });
        assert!(world.run_until(Duration::from_secs(5), |world| world.events.iter().any(connected)));
        let closed = world.address(alice, 0);
        world.shard.handle_tcp_closed(world.now, closed);
        world.inject(closed, &[0x80; 40]);
        assert_eq!(world.shard.counters().dropped(DropReason::UnknownSource), 1, "the path is forgotten");
    }
}

#[test]
fn down_tracks_of_an_up_track_that_never_came_end_in_any_order() {
    for close_first in [true, false] {
        let mut world = World::new(WorldConfig::default());
        let viewers: Vec<ClientId> = (0..3).map(|_| world.join_connected(Mode::Single)).collect();
        let gone = UpTrackId(world.fresh_id());
        let down_tracks: Vec<DownTrackId> = viewers
            .iter()
            .map(|viewer| world.subscribe(*viewer, gone, MediaKind::Video, "TR_gone"))
            .collect();
        assert!(world.run_until(Duration::from_secs(2), |world| {
            down_tracks.iter().all(|down_track| common::is_bound(world, *down_track))
        }));
        if close_first {
            world.command(Command::CloseUpTrack { up_track: gone });
        }
        for down_track in down_tracks {
            common::unsubscribe(&mut world, down_track);
        }
        world.run_for(Duration::from_secs(1));
        assert_eq!((world.shard.counters().up_tracks, world.shard.counters().down_tracks), (0, 0));
        for viewer in viewers {
            leave(&mut world, viewer);
        }
        assert!(world.shard.is_empty());
    }
}

/// RTP of one packet for each of these SSRCs, with the mid of a participant's first line, as if it came from there.
fn knock(world: &mut World, client: ClientId, ssrcs: std::ops::Range<u32>) {
    let mid = world.clients[client.0].lines[0].mid.clone();
    let id = world.clients[client.0].last_description.lines().find_map(|line| {
        line.strip_prefix("a=extmap:")?
            .strip_suffix(" urn:ietf:params:rtp-hdrext:sdes:mid")?
            .parse::<u8>()
            .ok()
    });
    let mut extension = vec![id.unwrap() << 4 | (mid.len() as u8 - 1)];
    extension.extend(mid.bytes());
    extension.resize(extension.len().next_multiple_of(4), 0);
    for ssrc in ssrcs {
        let mut packet = vec![0x90, 96, 0, 1, 0, 0, 0, 1];
        packet.extend(ssrc.to_be_bytes());
        packet.extend([0xbe, 0xde, 0, (extension.len() / 4) as u8]);
        packet.extend(&extension);
        packet.extend([7; 30]);
        world.inject(world.address(client, 0), &packet);
    }
}

#[test]
fn streams_without_end_reach_no_association() {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Single);
    let camera = world.publish(bob, MediaKind::Video, &[]);
    world.subscribe(alice, camera, MediaKind::Video, "TR_cam");
    world.publish(alice, MediaKind::Video, &[]);
    world.run_for(Duration::from_secs(1));
    let refused = |world: &World| world.shard.counters().dropped(DropReason::UnknownStream);
    knock(&mut world, alice, 1..3_001);
    assert!((1_900..2_000).contains(&refused(&world)), "{}", refused(&world));
    let before = refused(&world);
    world.publish(alice, MediaKind::Audio, &[]); // she offers again
    world.run_for(Duration::from_secs(1));
    knock(&mut world, alice, 3_001..6_001);
    assert!(refused(&world) - before > 2_900, "another offer is no new beginning");
    Camera::new(bob, 0, None).film(&mut world, 30);
    assert!(world.clients[alice.0].packets_of("TR_cam").len() >= 29);
    assert!(failures(&world).is_empty());
}

/// The association would list every packet between, nearly 2^64 of them.
#[test]
fn a_transport_wide_number_before_the_first_is_refused_and_costs_nothing() {
    let mut world = World::new(WorldConfig { raw_extensions: true, ..WorldConfig::default() });
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Single);
    let camera = world.publish(alice, MediaKind::Video, &[]);
    world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
    world.run_for(Duration::from_secs(1));
    let numbers = [0, 0x8001, 1, 0x7fff, 0xffff, 0x8000, 0, 0xffff, 5];
    for (nth, number) in numbers.into_iter().enumerate() {
        let mut raw = RawExtensions::default();
        raw.0[6] = u16::to_be_bytes(number).to_vec();
        world.set_raw_extensions(alice, raw);
        let before = world.shard.counters().dropped(DropReason::Rejected);
        world.send_video(alice, 0, None, nth as u32 * 3_000, &common::vp8(nth as u16, true));
        world.run_for(Duration::from_millis(200)); // two rounds of feedback
        let is_refused = world.shard.counters().dropped(DropReason::Rejected) > before;
        assert_eq!(is_refused, nth == 1, "{number}: after half a round nothing lies before the first");
    }
    let seen = world.clients[bob.0].packets_of("TR_cam").len();
    assert_eq!(seen, numbers.len(), "what was refused goes again, by a number that is right");
    assert!(failures(&world).is_empty());
}

/// The association extends its number to nearly 2^64, and the sender, who does so, too, has encrypted it for that.
#[test]
fn a_sequence_number_before_the_first_is_nobodys_packet() {
    let (mut world, alice, bob) = listening(Mode::Single);
    let mut timestamp = 0;
    let mut hears = |world: &mut World| {
        let heard = world.clients[bob.0].received.len();
        timestamp += 960;
        world.send_audio(alice, 0, timestamp, &[7; 20]);
        world.run_for(Duration::from_millis(300));
        world.clients[bob.0].received.len() > heard
    };
    assert!(hears(&mut world));
    for seq in [(1 << 48) - 5_000, (1 << 48) - 2, (1 << 47) - 1] {
        world.go_on_after(alice, 0, seq);
        let rejected = world.shard.counters().dropped(DropReason::Rejected);
        assert!(!hears(&mut world));
        assert_eq!(world.shard.counters().dropped(DropReason::Rejected), rejected + 1, "{seq}");
    }
    assert!(failures(&world).is_empty());
}

#[test]
fn an_offer_that_was_not_applied_binds_no_payload_type() {
    let mut world = World::new(WorldConfig::default());
    let participant = ParticipantId(50);
    let profile = DataProfile {
        sid: "PA_m".into(),
        identity: "mallory".into(),
        can_publish_data: true,
        hidden: false,
        agent: false,
    };
    world.command(Command::AddParticipant { room: RoomId(1), participant, profile });
    let transport = world.open_transport(participant, TransportRole::Both);
    let text = include_str!("hostile/duplicate_payload_type.sdp").replace('\n', "\r\n");
    let second_line = text.rfind("m=video").unwrap();
    let good = text[..second_line].replace("BUNDLE 0 1", "BUNDLE 0");
    // Without a fingerprint the association cannot use it.
    let bad: String = good
        .replace("a=rtpmap:96 VP8/90000", "a=rtpmap:96 VP9/90000")
        .split_inclusive('\n')
        .filter(|line| !line.starts_with("a=fingerprint"))
        .collect();
    for (request, text) in [(RequestId(1), &bad), (RequestId(2), &good)] {
        let offer = Box::new(RemoteOffer::parse(text, &CodecPolicy::default()).unwrap());
        world.command(Command::AcceptOffer { transport, request, offer, publish: Vec::new() });
    }
    let refused: Vec<RequestId> = world
        .events
        .iter()
        .filter_map(|event| match event {
            Event::NegotiationFailed { request, .. } => Some(*request),
            _ => None,
        })
        .collect();
    assert_eq!(refused, [RequestId(1)], "{:?}", world.events);
}

/// RTCP of a client: so many messages of 1,200 bytes a millisecond, for so long.
fn chatter(world: &mut World, client: ClientId, per_ms: u32, length: Duration) {
    let end = world.now + length;
    while world.now < end {
        for _ in 0..per_ms {
            world.send_feedback(client, &[0; 1_000]);
            world.run_for(Duration::from_millis(1) / per_ms);
        }
    }
}

#[test]
fn who_floods_with_feedback_is_not_listened_to_and_costs_a_bounded_share() {
    for mode in [Mode::Single, Mode::Dual] {
        let mut world = World::new(WorldConfig::default());
        let (alice, bob, eve) =
            (world.join_connected(mode), world.join_connected(mode), world.join_connected(mode));
        let camera = world.publish(alice, MediaKind::Video, &[]);
        for client in [bob, eve] {
            world.subscribe(client, camera, MediaKind::Video, "TR_cam");
        }
        world.run_for(Duration::from_secs(1));
        let steps = |world: &World| world.shard.counters().feedback_steps;
        let refused = |world: &World| world.shard.counters().dropped(DropReason::FeedbackExceeded);
        chatter(&mut world, eve, 4, Duration::from_secs(2));
        assert!(refused(&world) > 1_000, "{mode:?}: {}", refused(&world));
        let before = steps(&world);
        chatter(&mut world, eve, 4, Duration::from_secs(1));
        let of_eve = steps(&world) - before;
        assert!(of_eve <= 60_000 * world.transports(eve).len() as u64, "{mode:?}: {of_eve}");
        world.run_for(Duration::from_secs(2)); // what she has not sent yet
        let refused_of_eve = refused(&world);
        let mut filming = Camera::new(alice, 0, None);
        filming.film(&mut world, 60);
        for client in [bob, eve] {
            let packets = world.clients[client.0].packets_of("TR_cam").len();
            assert!(packets > 40, "{mode:?}: {packets}");
        }
        assert_eq!(refused(&world), refused_of_eve, "nobody else is refused, nor who has calmed down");
        assert!(failures(&world).is_empty());
    }
}

/// Plays sound to a subscriber for a while; of what comes over the connection that brings it, only what `passes` says does.
fn play_to(world: &mut World, [from, to]: [ClientId; 2], seconds: u32, passes: impl Fn(&[u8]) -> bool) {
    // Nothing arrives by itself: it is taken off the path before.
    world.uplinks[to.0].config.delay = Duration::from_secs(1);
    let address = world.address(to, world.transports(to).len() - 1);
    for tick in 0..seconds * 50 {
        world.send_audio(from, 0, tick * 960, &[7; 40]);
        world.run_for(Duration::from_millis(20));
        for (source, payload) in world.take_uplink() {
            if source != address || passes(&payload) {
                world.inject(source, &payload);
            }
        }
    }
}

/// On a path that loses a fifth, four checks in a row get lost once in a while; what else comes shows that the peer is there.
#[test]
fn a_client_that_is_heard_is_not_lost_although_its_checks_are() {
    for mode in [Mode::Single, Mode::Dual] {
        let (mut world, alice, bob) = listening(mode);
        play_to(&mut world, [alice, bob], 40, |datagram| !matches!(datagram.first(), Some(0..=3)));
        assert_eq!(failures(&world), [], "{mode:?}: its reports come all the time");
        let heard = world.clients[bob.0].packets_of("TR_mic").len();
        assert!(heard > 1_950, "{mode:?}: {heard}");
        play_to(&mut world, [alice, bob], 20, |_| false);
        assert_eq!(failures(&world), [TransportFailure::IceTimeout], "{mode:?}: nothing comes any more");
    }
}

/// Consent ends with the peer (RFC 7675 §5.1): whoever knows its name could else keep the media flowing to where it was.
#[test]
fn a_client_that_has_gone_is_lost_although_a_stranger_checks_in_its_name() {
    for mode in [Mode::Single, Mode::Dual] {
        let (mut world, alice, bob) = listening(mode);
        world.uplinks[bob.0].config.delay = Duration::from_secs(1);
        let address = world.address(bob, world.transports(bob).len() - 1);
        let stranger: SocketAddr = "192.0.2.77:7777".parse().unwrap();
        let mut forged = 0;
        for tick in 0..30 * 50 {
            world.send_audio(alice, 0, tick * 960, &[7; 40]);
            world.run_for(Duration::from_millis(20));
            for (source, mut payload) in world.take_uplink() {
                if source != address {
                    world.inject(source, &payload);
                } else if matches!(payload.first(), Some(0..=3)) {
                    // Its last attributes are MESSAGE-INTEGRITY and FINGERPRINT, of four bytes and four of header.
                    let last_of_integrity = payload.len() - 9;
                    payload[last_of_integrity] ^= 1;
                    world.inject(stranger, &payload);
                    forged += 1;
                }
            }
        }
        assert!(forged >= 5, "{mode:?}: {forged}");
        assert_eq!(failures(&world), [TransportFailure::IceTimeout], "{mode:?}");
    }
}
