//! Data tracks between clients: handles, rewriting, frames that a narrow link cannot take, what strangers may send.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation, missing_docs)]

use std::time::Duration;

use plenum_core::{Command, DataDownTrackId, DataProfile, DataUpTrackId, DropReason, ParticipantId};
use plenum_netem::{ClientId, LinkConfig, Mode, World, WorldConfig};

const LABEL: &str = "_data_track";
const UP: DataUpTrackId = DataUpTrackId(1_000);
const MS: Duration = Duration::from_millis(1);
const START: u8 = 0x10;
const FINAL: u8 = 0x08;

/// One packet; the timestamp is that of its sending, in milliseconds.
fn packet(flags: u8, handle: u16, frame: u16, timestamp: u32, bytes: usize) -> Vec<u8> {
    let mut packet = vec![flags, 0];
    packet.extend(handle.to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(frame.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.resize(bytes.max(12), frame as u8);
    packet
}

fn got(world: &World, client: ClientId) -> Vec<Vec<u8>> {
    let messages = world.clients[client.0].messages.iter().filter(|(label, _)| label == LABEL);
    messages.map(|(_, bytes)| bytes.clone()).collect()
}

fn handle_of(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[2], packet[3]])
}

fn frame_of(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[6], packet[7]])
}

fn publish(world: &mut World, up: DataUpTrackId, publisher: ClientId, handle: u16) {
    let participant = World::participant(publisher);
    world.command(Command::AddDataUpTrack { data_up_track: up, participant, handle });
}

fn subscribe(world: &mut World, up: DataUpTrackId, subscriber: ClientId, handle: u16) -> DataDownTrackId {
    let data_down_track = DataDownTrackId(world.fresh_id());
    world.command(Command::AddDataDownTrack {
        data_down_track,
        data_up_track: up,
        participant: World::participant(subscriber),
        handle,
        frames_per_s: None,
    });
    data_down_track
}

fn room(modes: &[Mode]) -> (World, Vec<ClientId>) {
    let mut world = World::new(WorldConfig::default());
    let clients = modes.iter().map(|mode| world.join_connected(*mode)).collect();
    world.run_for(Duration::from_secs(1));
    (world, clients)
}

fn dropped(world: &World, reason: DropReason) -> u64 {
    world.shard.counters().dropped(reason)
}

#[test]
fn two_publishers_may_use_the_same_handle() {
    for mode in [Mode::Single, Mode::Dual] {
        let (mut world, clients) = room(&[mode, mode, mode]);
        let arm = DataUpTrackId(1_001);
        publish(&mut world, UP, clients[0], 1);
        publish(&mut world, arm, clients[1], 1);
        subscribe(&mut world, UP, clients[2], 700);
        subscribe(&mut world, arm, clients[2], 701);
        subscribe(&mut world, arm, clients[0], 5);
        for (sender, frame) in [(0, 10), (1, 11)] {
            let extended =
                [&packet(START | FINAL | 0x04, 1, frame, 9, 12)[..], &[0, 0, 0, 0], b"any bytes"].concat();
            world.send_message(clients[sender], LABEL, &extended);
            world.run_for(100 * MS);
        }
        let seen = got(&world, clients[2]);
        let names: Vec<_> = seen.iter().map(|packet| (handle_of(packet), frame_of(packet))).collect();
        assert_eq!(names, [(700, 10), (701, 11)]);
        assert!(seen.iter().all(|packet| packet[0] == 0x1c && packet.ends_with(b"\0\0\0\0any bytes")));
        assert_eq!(got(&world, clients[0]).len(), 1);
        assert_eq!(got(&world, clients[1]).len(), 0, "nobody gets its own");
    }
}

#[test]
fn what_ends_is_forwarded_no_more() {
    let (mut world, clients) = room(&[Mode::Single, Mode::Single, Mode::Single]);
    publish(&mut world, UP, clients[0], 3);
    let down = subscribe(&mut world, UP, clients[1], 1);
    subscribe(&mut world, UP, clients[2], 1);
    let send = |world: &mut World, frame: u16| {
        world.send_message(clients[0], LABEL, &packet(START | FINAL, 3, frame, 0, 20));
        world.run_for(100 * MS);
    };
    send(&mut world, 0);
    world.command(Command::RemoveDataDownTrack { data_down_track: down });
    send(&mut world, 1);
    assert_eq!((got(&world, clients[1]).len(), got(&world, clients[2]).len()), (1, 2));
    world.command(Command::RemoveParticipant { participant: World::participant(clients[2]) });
    send(&mut world, 2);
    world.command(Command::CloseDataUpTrack { data_up_track: UP });
    send(&mut world, 3);
    assert_eq!(dropped(&world, DropReason::UnknownDataTrack), 1);
    let stale = world.shard.counters().stale_commands;
    for command in [
        Command::CloseDataUpTrack { data_up_track: UP },
        Command::RemoveDataDownTrack { data_down_track: down },
        Command::SetDataDownTrackRate { data_down_track: down, frames_per_s: None },
        Command::AddDataUpTrack { data_up_track: UP, participant: ParticipantId(999), handle: 1 },
    ] {
        world.command(command);
    }
    assert_eq!(world.shard.counters().stale_commands, stale + 4);
    for client in [clients[0], clients[1]] {
        world.command(Command::RemoveParticipant { participant: World::participant(client) });
    }
    assert!(world.shard.is_empty());
    assert_eq!(world.shard.counters().inconsistent_tables, 0);
}

#[test]
fn a_subscriber_gets_as_many_frames_as_it_asked_for() {
    let (mut world, clients) = room(&[Mode::Single, Mode::Single]);
    publish(&mut world, UP, clients[0], 3);
    let data_down_track = subscribe(&mut world, UP, clients[1], 1);
    let mut passed = Vec::new();
    for (second, rate) in [(0, Some(10)), (1, None), (2, Some(25))] {
        world.command(Command::SetDataDownTrackRate { data_down_track, frames_per_s: rate });
        let before = got(&world, clients[1]).len();
        for frame in 0..50 {
            let number = second * 50 + frame;
            world.send_message(clients[0], LABEL, &packet(START, 3, number, 0, 20));
            world.send_message(clients[0], LABEL, &packet(FINAL, 3, number, 0, 20));
            world.run_for(20 * MS);
        }
        passed.push(got(&world, clients[1]).len() - before);
    }
    assert_eq!(passed, [22, 100, 52], "packets of whole frames; the first of a second may be early");
    assert_eq!(dropped(&world, DropReason::DataTrackRate), 300 - 22 - 100 - 52);
}

#[test]
fn what_is_no_packet_or_not_allowed_goes_nowhere() {
    let (mut world, clients) = room(&[Mode::Single, Mode::Single]);
    publish(&mut world, UP, clients[0], 3);
    subscribe(&mut world, UP, clients[1], 1);
    for bytes in
        [&[][..], b"short", &packet(0x24, 3, 0, 0, 12), &packet(0x04, 3, 0, 0, 13), &packet(0, 0, 0, 0, 12)]
    {
        world.send_message(clients[0], LABEL, bytes);
        world.run_for(50 * MS);
    }
    assert!(dropped(&world, DropReason::MalformedDataTrack) >= 4);
    world.send_message(clients[0], LABEL, &packet(START, 4, 0, 0, 12));
    world.send_message(clients[1], LABEL, &packet(START, 3, 0, 0, 12)); // its handle is another's
    world.run_for(50 * MS);
    assert_eq!(dropped(&world, DropReason::UnknownDataTrack), 2);
    let profile = DataProfile {
        sid: "PA_0".into(),
        identity: "user-0".into(),
        can_publish_data: false,
        hidden: false,
        agent: false,
    };
    world.command(Command::UpdateParticipant { participant: World::participant(clients[0]), profile });
    world.send_message(clients[0], LABEL, &packet(START, 3, 1, 0, 12));
    world.run_for(50 * MS);
    assert_eq!(dropped(&world, DropReason::DataNotPermitted), 1);
    assert_eq!(got(&world, clients[1]).len(), 0);
}

#[test]
fn before_its_channel_is_open_a_subscriber_misses_frames() {
    let (mut world, clients) = room(&[Mode::Single]);
    publish(&mut world, UP, clients[0], 3);
    let late = world.join(Mode::Single);
    subscribe(&mut world, UP, late, 1);
    world.send_message(clients[0], LABEL, &packet(START, 3, 0, 0, 12));
    world.shard.flush(world.now);
    assert!(world.run_until(Duration::from_secs(10), |world| world.clients[late.0].open_channels.len() >= 3));
    world.run_for(100 * MS);
    assert_eq!(dropped(&world, DropReason::ChannelNotOpen), 1);
    world.send_message(clients[0], LABEL, &packet(FINAL, 3, 0, 0, 12));
    world.send_message(clients[0], LABEL, &packet(START | FINAL, 3, 1, 0, 12));
    world.run_for(100 * MS);
    assert_eq!(got(&world, late).iter().map(|packet| frame_of(packet)).collect::<Vec<_>>(), [1]);
}

/// Latencies of what a client has got since `before`.
fn latencies(world: &World, client: ClientId, before: usize, now_ms: u32) -> Vec<u32> {
    let sent_ms = |packet: &Vec<u8>| u32::from_be_bytes(packet[8..12].try_into().unwrap());
    got(world, client)[before..].iter().map(|packet| now_ms - sent_ms(packet)).collect()
}

/// DAT20 in virtual time.
#[test]
fn a_narrow_link_costs_frames_and_not_latency() {
    for mode in [Mode::Single, Mode::Dual] {
        let (mut world, clients) = room(&[Mode::Single, mode, Mode::Single]);
        world.downlinks[clients[1].0].config =
            LinkConfig { delay: 10 * MS, rate_bps: Some(50_000), ..LinkConfig::default() };
        publish(&mut world, UP, clients[0], 3);
        for subscriber in &clients[1..] {
            subscribe(&mut world, UP, *subscriber, 1);
        }
        let (mut worst, mut seen) = (0, 0);
        for ms in 0..30_000 {
            if ms % 20 == 0 {
                world.send_message(clients[0], LABEL, &packet(START | FINAL, 3, (ms / 20) as u16, ms, 212));
            }
            world.run_for(MS);
            if world.clients[clients[1].0].messages.len() > seen {
                worst = latencies(&world, clients[1], seen, ms).into_iter().fold(worst, u32::max);
                seen = got(&world, clients[1]).len();
            }
        }
        assert!(worst < 200, "{worst} ms");
        assert!((400..1_000).contains(&seen), "{seen} of 1500");
        assert_eq!(got(&world, clients[2]).len(), 1_500, "the other one misses nothing");
        assert!(dropped(&world, DropReason::DataTrackCongested) >= 500);
    }
}

#[test]
fn a_frame_without_end_is_cut_short() {
    let (mut world, clients) = room(&[Mode::Single, Mode::Single]);
    let narrow = LinkConfig { rate_bps: Some(500_000), ..LinkConfig::default() };
    world.downlinks[clients[1].0].config = narrow;
    publish(&mut world, UP, clients[0], 3);
    subscribe(&mut world, UP, clients[1], 1);
    for part in 0..60 {
        let flags = if part == 0 { START } else { 0 };
        world.send_message(clients[0], LABEL, &packet(flags, 3, 7, 0, 16_000));
        world.run_for(10 * MS);
    }
    assert!(dropped(&world, DropReason::DataTrackCongested) > 20);
    world.run_for(Duration::from_secs(10));
    world.send_message(clients[0], LABEL, &packet(START | FINAL, 3, 8, 0, 100));
    world.run_for(Duration::from_secs(1));
    assert_eq!(got(&world, clients[1]).last().map(|packet| frame_of(packet)), Some(8));
}
