//! Data packets between clients: stamping, destinations, isolation of a receiver that does not read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation, missing_docs)]

mod common;

use std::time::Duration;

use plenum_core::{Command, DataKind, DataLimits, DropReason, Event, RoomId, ShardConfig, TransportFailure};
use plenum_netem::{ClientId, LinkConfig, Mode, World, WorldConfig};

/// A length-delimited protobuf field.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut encoded = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        encoded.push(length as u8 | 0x80);
        length >>= 7;
    }
    encoded.push(length as u8);
    encoded.extend(bytes);
    encoded
}

/// `DataPacket{user: UserPacket{payload}, destination_identities}`.
fn user_packet(payload: &[u8], to: &[&str]) -> Vec<u8> {
    let mut packet = field(2, &field(2, payload));
    for identity in to {
        packet.extend(field(5, identity.as_bytes()));
    }
    packet
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

fn texts(world: &World, client: ClientId, label: &str) -> Vec<Vec<u8>> {
    world.clients[client.0]
        .messages
        .iter()
        .filter(|(of, _)| of == label)
        .map(|(_, bytes)| bytes.clone())
        .collect()
}

#[test]
fn packets_reach_everybody_else_once_and_stamped() {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Dual);
    let carol = world.join_connected(Mode::Single);
    world.run_for(Duration::from_secs(1));
    for (label, text) in [("_reliable", "hello-reliable"), ("_lossy", "hello-lossy")] {
        for sender in [alice, bob] {
            assert!(world.send_message(sender, label, &user_packet(text.as_bytes(), &[])));
            world.run_for(Duration::from_millis(100));
        }
        assert_eq!(texts(&world, alice, label).len(), 1, "no echo");
        assert_eq!(texts(&world, bob, label).len(), 1);
        let both = texts(&world, carol, label);
        assert_eq!(both.len(), 2);
        assert!(contains(&both[0], text.as_bytes()) && contains(&both[0], b"user-0"));
        assert!(contains(&both[1], b"user-1") && contains(&both[1], b"PA_1"));
    }
    assert_eq!(world.shard.counters().data_messages_in, 4);
    assert_eq!(world.shard.counters().data_messages_out, 8);
}

#[test]
fn destinations_and_permissions_are_obeyed() {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Single);
    let carol = world.join_connected(Mode::Single);
    world.run_for(Duration::from_secs(1));
    world.send_message(alice, "_reliable", &user_packet(b"for carol", &["user-2"]));
    world.run_for(Duration::from_millis(100));
    assert_eq!(texts(&world, bob, "_reliable").len(), 0);
    assert_eq!(texts(&world, carol, "_reliable").len(), 1);
    let mut profile = plenum_core::DataProfile {
        sid: "PA_0".into(),
        identity: "user-0".into(),
        can_publish_data: false,
        hidden: false,
        agent: false,
    };
    world.command(Command::UpdateParticipant {
        participant: World::participant(alice),
        profile: profile.clone(),
    });
    world.send_message(alice, "_reliable", &user_packet(b"no", &[]));
    world.run_for(Duration::from_millis(100));
    assert_eq!(world.shard.counters().dropped(DropReason::DataNotPermitted), 1);
    profile.can_publish_data = true;
    world.command(Command::UpdateParticipant { participant: World::participant(alice), profile });
    world.send_message(alice, "_reliable", b"\xff\xff\xff\xff not protobuf");
    world.run_for(Duration::from_millis(100));
    assert_eq!(world.shard.counters().dropped(DropReason::MalformedData), 1);
    assert_eq!(texts(&world, bob, "_reliable").len(), 0);
}

/// A reliable packet with a sequence number below 128 (`DataPacket.sequence`, field 16).
fn numbered(sequence: u8, to: &[&str]) -> Vec<u8> {
    let mut packet = user_packet(format!("number {sequence}").as_bytes(), to);
    packet.extend([0x80, 0x01, sequence]);
    packet
}

#[test]
fn who_comes_back_is_sent_what_it_has_missed() {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Dual);
    world.run_for(Duration::from_secs(1));
    world.send_message(alice, "_reliable", &user_packet(b"without a number", &[]));
    for (sequence, to) in [(1, &[][..]), (2, &["user-0"]), (3, &["user-1"]), (4, &[]), (4, &[])] {
        world.send_message(alice, "_reliable", &numbered(sequence, to));
    }
    world.run_for(Duration::from_millis(200));
    assert_eq!(texts(&world, bob, "_reliable").len(), 4);
    let carol = world.join_connected(Mode::Single);
    world.run_for(Duration::from_secs(1));
    for (receiver, received, missed) in [
        (bob, vec![("PA_0".into(), 1)], &["number 3", "number 4"][..]),
        (bob, vec![("PA_0".into(), 4)], &[]),
        (bob, vec![("PA_9".into(), 4)], &["number 1", "number 3", "number 4"]),
        (carol, Vec::new(), &[]),
    ] {
        let before = texts(&world, receiver, "_reliable").len();
        world.command(Command::ReplayData { participant: World::participant(receiver), received });
        world.run_for(Duration::from_millis(200));
        let sent = texts(&world, receiver, "_reliable").split_off(before);
        assert_eq!(sent.len(), missed.len());
        assert!(sent.iter().zip(missed).all(|(packet, text)| contains(packet, text.as_bytes())));
    }
    world.command(Command::AskLastSequence { participant: World::participant(alice) });
    let is_answer = |event: &Event| matches!(event, Event::LastSequence { sequence: 4, .. });
    assert!(world.events.iter().any(is_answer));
}

#[test]
fn who_comes_back_with_a_full_queue_is_not_closed_for_what_it_has_missed() {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Single);
    world.run_for(Duration::from_secs(1));
    world.uplinks[bob.0].config.loss = 1.0;
    let mut kept = user_packet(&vec![7; 60_000], &[]);
    kept.extend([0x80, 0x01, 1]);
    world.send_message(alice, "_reliable", &kept);
    for _ in 0..200 {
        world.server_data(DataKind::Reliable, &vec![1; 60_000]);
        world.run_for(Duration::from_millis(10));
    }
    let missed = world.shard.counters().dropped(DropReason::ReliableQueueFull);
    assert!(missed > 0);
    world.run_for(Duration::from_secs(6));
    world.command(Command::ReplayData { participant: World::participant(bob), received: Vec::new() });
    world.run_for(Duration::from_millis(200));
    assert_eq!(world.shard.counters().dropped(DropReason::ReliableQueueFull), missed + 1, "it was tried");
    assert!(!fails(&world));
}

#[test]
fn the_server_sends_to_all_or_some() {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Dual);
    world.run_for(Duration::from_secs(1));
    world.server_data(DataKind::Reliable, b"to all");
    world.command(Command::SendData {
        room: RoomId(1),
        kind: DataKind::Lossy,
        payload: b"to bob".as_slice().into(),
        destinations: Some(vec![World::participant(bob)]),
    });
    world.run_for(Duration::from_millis(100));
    assert_eq!(texts(&world, alice, "_reliable"), [b"to all".to_vec()]);
    assert_eq!(texts(&world, bob, "_reliable"), [b"to all".to_vec()]);
    assert_eq!(texts(&world, alice, "_lossy").len(), 0);
    assert_eq!(texts(&world, bob, "_lossy"), [b"to bob".to_vec()]);
    let before = world.shard.counters().stale_commands;
    world.command(Command::SendData {
        room: RoomId(99),
        kind: DataKind::Lossy,
        payload: b"x".as_slice().into(),
        destinations: None,
    });
    assert_eq!(world.shard.counters().stale_commands, before + 1);
}

#[test]
fn what_comes_before_the_channel_opens_is_kept_for_a_while() {
    let mut world = World::new(WorldConfig::default());
    let early = world.join(Mode::Single);
    world.server_data(DataKind::Reliable, b"early");
    for _ in 0..14 {
        world.server_data(DataKind::Reliable, &[7; 15_000]);
    }
    world.run_for(Duration::from_secs(1));
    let got = texts(&world, early, "_reliable");
    assert_eq!((got[0].as_slice(), got.len()), (&b"early"[..], 15), "a file, too");

    let slow = LinkConfig { delay: Duration::from_millis(900), ..LinkConfig::default() };
    let mut world = World::new(WorldConfig { link: slow, ..WorldConfig::default() });
    let late = world.join(Mode::Single);
    world.server_data(DataKind::Reliable, b"expired");
    assert!(world.run_until(Duration::from_secs(60), |world| world.clients[late.0].open_channels.len() >= 3));
    world.run_for(Duration::from_secs(5));
    assert_eq!(texts(&world, late, "_reliable").len(), 0);
    assert_eq!(world.shard.counters().dropped(DropReason::ChannelNotOpen), 1);
}

/// A client whose transport is connected, but whose first words about its channels get lost.
fn join_without_channels(world: &mut World, mode: Mode) -> ClientId {
    let client = world.join(mode);
    let transport = *world.transports(client).last().unwrap(); // on which it receives
    let is_connected = |world: &World| {
        let connected = |event: &Event| matches!(event, Event::TransportConnected { transport: t, .. } if *t == transport);
        world.events.iter().any(connected)
    };
    assert!(world.run_until(Duration::from_secs(10), is_connected));
    world.uplinks[client.0].config.loss = 1.0;
    client
}

#[test]
fn a_file_for_a_client_whose_channels_are_just_being_opened_arrives_whole() {
    for mode in [Mode::Single, Mode::Dual] {
        let mut world = World::new(WorldConfig::default());
        let alice = world.join_connected(Mode::Single);
        world.run_for(Duration::from_secs(1));
        let late = join_without_channels(&mut world, mode);
        for _ in 0..14 {
            assert!(world.send_message(alice, "_reliable", &user_packet(&[7; 15_000], &[])));
            world.run_for(Duration::from_millis(5));
        }
        world.run_for(Duration::from_millis(2_500));
        assert_eq!(texts(&world, late, "_reliable").len(), 0, "{mode:?}: nothing can have come");
        world.uplinks[late.0].config.loss = 0.0;
        let all = |world: &World| texts(world, late, "_reliable").len() == 14;
        assert!(world.run_until(Duration::from_secs(20), all), "{mode:?}");
        assert_eq!(world.shard.counters().dropped(DropReason::ChannelNotOpen), 0);
    }
}

#[test]
fn a_client_that_opens_no_channels_is_not_waited_for_for_ever() {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    world.run_for(Duration::from_secs(1));
    join_without_channels(&mut world, Mode::Single);
    assert!(world.send_message(alice, "_reliable", &user_packet(b"in vain", &[])));
    world.run_for(Duration::from_secs(9));
    assert_eq!(world.shard.counters().dropped(DropReason::ChannelNotOpen), 0);
    world.run_for(Duration::from_secs(2));
    assert_eq!(
        world.shard.counters().dropped(DropReason::ChannelNotOpen),
        1,
        "given up, with nothing else to do"
    );
}

#[test]
fn a_channel_with_another_label_carries_raw_bytes_as_user_packets() {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Single);
    world.open_channel(alice, "telemetry", true);
    world.run_for(Duration::from_secs(1));
    assert!(world.send_message(alice, "telemetry", b"raw bytes"));
    world.run_for(Duration::from_millis(100));
    let got = texts(&world, bob, "_reliable");
    assert_eq!(got.len(), 1);
    assert!(contains(&got[0], b"raw bytes") && contains(&got[0], b"user-0"));
}

#[test]
fn a_receiver_that_does_not_read_is_closed_and_holds_up_nobody() {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Single);
    let stuck = world.join_connected(Mode::Single);
    world.run_for(Duration::from_secs(1));
    world.uplinks[stuck.0].config.loss = 1.0; // its acknowledgements do not come back
    let big = user_packet(&vec![7; 60_000], &[]);
    let mut sent = 0;
    for _ in 0..400 {
        sent += usize::from(world.send_message(alice, "_reliable", &big));
        world.run_for(Duration::from_millis(20));
        if fails(&world) {
            break;
        }
    }
    world.run_for(Duration::from_secs(1));
    let transport = world.transports(stuck)[0];
    let failed: Vec<_> =
        world.events.iter().filter(|event| matches!(event, Event::TransportFailed { .. })).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(
        matches!(failed[0], Event::TransportFailed { transport: t, failure: TransportFailure::Fault } if *t == transport)
    );
    assert_eq!(texts(&world, bob, "_reliable").len(), sent, "the other one got everything");
    assert_eq!(world.clients[stuck.0].closed, 1, "it is told");
}

#[test]
fn a_receiver_that_pauses_with_a_full_queue_goes_on_afterwards() {
    let mut world = World::new(WorldConfig::default());
    let bob = world.join_connected(Mode::Single);
    world.run_for(Duration::from_secs(1));
    world.uplinks[bob.0].config.loss = 1.0;
    for _ in 0..200 {
        world.server_data(DataKind::Reliable, &vec![1; 60_000]);
        world.run_for(Duration::from_millis(10));
    }
    let missed = world.shard.counters().dropped(DropReason::ReliableQueueFull);
    assert!(missed > 0 && !fails(&world));
    world.server_data(DataKind::Lossy, b"needs room first");
    world.uplinks[bob.0].config.loss = 0.0;
    let expected = 200 - usize::try_from(missed).unwrap();
    let arrived = |world: &World| texts(world, bob, "_reliable").len() == expected;
    assert!(world.run_until(Duration::from_secs(30), arrived));
    world.server_data(DataKind::Lossy, b"there is room again");
    world.run_for(Duration::from_secs(1));
    assert_eq!(texts(&world, bob, "_lossy"), [b"needs room first".to_vec(), b"there is room again".to_vec()]);
    assert!(!fails(&world));
}

#[test]
fn lossy_data_for_a_slow_receiver_is_dropped_not_queued() {
    let mut world = World::new(WorldConfig { sctp_buffer_bytes: 64 * 1024, ..WorldConfig::default() });
    let alice = world.join_connected(Mode::Single);
    let slow = world.join_connected(Mode::Single);
    world.run_for(Duration::from_secs(1));
    world.downlinks[slow.0].config.loss = 1.0;
    for _ in 0..100 {
        world.send_message(alice, "_lossy", &user_packet(&[7; 10_000], &[]));
        world.run_for(Duration::from_millis(20));
    }
    assert!(world.shard.counters().dropped(DropReason::LossyQueueFull) > 0);
    assert!(!world.events.iter().any(|event| matches!(event, Event::TransportFailed { .. })));
}

#[test]
fn lossy_data_of_an_interruption_arrives_after_it_behind_the_reliable() {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Single);
    world.run_for(Duration::from_secs(1));
    let lose = |world: &mut World, loss| {
        world.downlinks[bob.0].config.loss = loss;
        world.uplinks[bob.0].config.loss = loss;
    };
    lose(&mut world, 1.0);
    for number in 0..125_u8 {
        world.send_message(alice, "_lossy", &user_packet(&[number; 150], &[]));
        if number % 5 == 0 {
            world.send_message(alice, "_reliable", &user_packet(&[number; 150], &[]));
        }
        world.run_for(Duration::from_millis(40));
    }
    lose(&mut world, 0.0);
    world.run_for(Duration::from_secs(6));
    assert_eq!(texts(&world, bob, "_reliable").len(), 25);
    let arrived = texts(&world, bob, "_lossy").len();
    assert!(arrived >= 95, "what was under way is lost, what waited is not: {arrived} of 125");
}

#[test]
fn reliable_data_is_not_starved_by_lossy_data_on_a_path_that_loses_much() {
    const MESSAGES: usize = 100;
    for seed in 1..=3 {
        let mut world = World::new(WorldConfig { seed, ..WorldConfig::default() });
        let alice = world.join_connected(Mode::Single);
        let bob = world.join_connected(Mode::Single);
        world.run_for(Duration::from_secs(1));
        for links in [&mut world.downlinks, &mut world.uplinks] {
            links[bob.0].config.loss = 0.2;
            links[bob.0].config.delay = Duration::from_millis(200);
        }
        for _ in 0..MESSAGES {
            world.send_message(alice, "_reliable", &user_packet(&[1; 150], &[]));
            for _ in 0..5 {
                world.send_message(alice, "_lossy", &user_packet(&[2; 150], &[]));
                world.run_for(Duration::from_millis(40));
            }
        }
        let count = |world: &World, label| texts(world, bob, label).len();
        let (reliable, lossy) = (count(&world, "_reliable"), count(&world, "_lossy"));
        assert!(reliable >= MESSAGES / 2, "seed {seed}: {reliable} of {MESSAGES} by the end of the sending");
        assert!(lossy >= MESSAGES / 2, "seed {seed}: {lossy} lossy ones of {}", 5 * MESSAGES);
        world.run_for(Duration::from_secs(30));
        assert_eq!(count(&world, "_reliable"), MESSAGES, "seed {seed}");
    }
}

/// What follows the number in a message of [`send_file`]; no number.
const FILLER: u8 = 250;

/// Lets `sender` send `count` large messages as fast as its association takes them; the last number is `count` − 1.
fn send_file(world: &mut World, sender: ClientId, count: u32, limit: Duration) {
    let end = world.now + limit;
    for number in 0..count {
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(40_000, FILLER);
        let packet = user_packet(&payload, &[]);
        while !world.send_message(sender, "_reliable", &packet) {
            world.run_for(Duration::from_millis(5));
            assert!(world.now < end, "message {number} did not leave in time");
        }
    }
}

fn fails(world: &World) -> bool {
    world.events.iter().any(|event| matches!(event, Event::TransportFailed { .. }))
}

/// Settings with a limit for senders.
fn limited(messages_per_s: u32, bytes_per_s: u32) -> WorldConfig {
    let data_limits = DataLimits { messages_per_s: Some(messages_per_s), bytes_per_s: Some(bytes_per_s) };
    let shard = ShardConfig { data_limits, ..WorldConfig::default().shard };
    WorldConfig { shard, ..WorldConfig::default() }
}

#[test]
fn a_sender_over_its_budget_is_slowed_down_and_loses_nothing() {
    let mut world = World::new(limited(1_000, 500_000));
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Dual);
    world.run_for(Duration::from_secs(1));
    let start = world.now;
    send_file(&mut world, alice, 100, Duration::from_secs(30));
    let arrived = |world: &World| texts(world, bob, "_reliable").len() == 100;
    assert!(world.run_until(Duration::from_secs(30), arrived));
    let took = world.now - start;
    // 4 MB, of which a burst of 1 MB is free.
    assert!(took > Duration::from_millis(5_500) && took < Duration::from_secs(15), "{took:?}");
    assert!(world.shard.counters().dropped(DropReason::DataRateExceeded) > 0);
    let numbers: Vec<u8> = texts(&world, bob, "_reliable").iter().map(|text| number_of(text)).collect();
    assert_eq!(numbers, (0..100).collect::<Vec<u8>>());
    assert!(!fails(&world));
}

/// Low byte of the number that [`send_file`] put into a message.
fn number_of(packet: &[u8]) -> u8 {
    let position = packet.windows(8).position(|window| window[4..] == [FILLER; 4]).unwrap();
    packet[position + 3]
}

#[test]
fn a_burst_of_small_messages_arrives_whole() {
    let mut world = World::new(limited(10, 1_000_000));
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Single);
    world.run_for(Duration::from_secs(1));
    for _ in 0..200 {
        world.send_message(alice, "_reliable", &user_packet(&[1; 300], &[]));
    }
    world.run_for(Duration::from_millis(500));
    let at_once = texts(&world, bob, "_reliable").len();
    assert!(at_once < 100, "{at_once}");
    let arrived = |world: &World| texts(world, bob, "_reliable").len() == 200;
    assert!(world.run_until(Duration::from_secs(60), arrived));
    assert!(!fails(&world));
}

#[test]
fn a_file_of_ten_megabytes_passes_at_the_speed_of_the_link() {
    let mut world = World::new(limited(1_000, 5_000_000));
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Single);
    world.run_for(Duration::from_secs(1));
    send_file(&mut world, alice, 250, Duration::from_secs(10));
    let arrived = |world: &World| texts(world, bob, "_reliable").len() == 250;
    assert!(world.run_until(Duration::from_secs(10), arrived));
    assert_eq!(world.shard.counters().dropped(DropReason::DataRateExceeded), 0);
}

#[test]
fn a_slow_receiver_sets_the_pace_and_misses_nothing() {
    // Its association takes 500 kB per round trip of 0.4 s, a quarter of what the sender may send.
    let mut world = World::new(WorldConfig { sctp_buffer_bytes: 500_000, ..limited(1_000, 5_000_000) });
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Single);
    let slow = world.join_connected(Mode::Single);
    world.run_for(Duration::from_secs(1));
    world.uplinks[slow.0].config.delay = Duration::from_millis(200);
    world.downlinks[slow.0].config.delay = Duration::from_millis(200);
    send_file(&mut world, alice, 500, Duration::from_secs(120));
    let arrived =
        |world: &World| [bob, slow].iter().all(|receiver| texts(world, *receiver, "_reliable").len() == 500);
    assert!(world.run_until(Duration::from_secs(60), arrived), "{}", texts(&world, slow, "_reliable").len());
    assert_eq!(world.shard.counters().dropped(DropReason::ReliableQueueFull), 0);
    assert!(!fails(&world));
}

#[test]
fn a_channel_kept_out_by_another_goes_on_when_there_is_room() {
    let mut world = World::new(WorldConfig { sctp_buffer_bytes: 200_000, ..WorldConfig::default() });
    let bob = world.join_connected(Mode::Single);
    world.run_for(Duration::from_secs(1));
    for _ in 0..3 {
        world.server_data(DataKind::Lossy, &vec![1; 60_000]);
    }
    world.server_data(DataKind::Reliable, &vec![2; 40_000]);
    assert_eq!(world.shard.counters().data_messages_out, 3, "the lossy channel holds all the room");
    world.run_for(Duration::from_secs(5));
    assert_eq!(texts(&world, bob, "_reliable").len(), 1);
    assert_eq!(world.shard.counters().data_messages_out, 4);
}

#[test]
fn a_client_that_opens_channels_without_end_is_closed() {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Single);
    world.run_for(Duration::from_secs(1));
    for number in 0..70 {
        let label = if number % 2 == 0 { "_lossy".to_owned() } else { format!("mine-{number}") };
        world.open_channel(alice, &label, true);
    }
    world.run_for(Duration::from_secs(2));
    let alices = world.transports(alice)[0];
    let failed: Vec<_> = world
        .events
        .iter()
        .filter_map(|event| match event {
            Event::TransportFailed { transport, failure } => Some((*transport, *failure)),
            _ => None,
        })
        .collect();
    assert_eq!(failed, [(alices, TransportFailure::Fault)]);
    world.server_data(DataKind::Reliable, b"still here");
    world.run_for(Duration::from_secs(1));
    assert_eq!(texts(&world, bob, "_reliable").len(), 1);
}
