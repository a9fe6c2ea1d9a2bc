//! Entries taken from under the shard: what hangs on them may go, the shard may not.

use super::*;
use crate::command::{DataKind, DataProfile, MediaKind, PublishLine, TransportRole};
use crate::data::{Destinations, Restamped};
use crate::ids::{DownTrackId, ParticipantId, RequestId, UpTrackId};
use crate::rate::RateFeedback;
use crate::sdp::{CodecPolicy, RemoteOffer};
use crate::transport::{Certificate, TransportOptions, TransportSeed};

const OFFER: &str = include_str!("../../tests/hostile/duplicate_payload_type.sdp");

/// What is taken away, and how.
type Sabotage = (&'static str, fn(&mut Shard));

fn shard(now: Instant) -> Shard {
    let config = ShardConfig {
        index: 0,
        gather: Duration::from_millis(3),
        audio_active_level: 35,
        audio_update_interval: Duration::from_millis(400),
        quality_interval: Duration::from_secs(5),
        pli_throttle: PliThrottle::default(),
        time_of_day: TimeOfDay::new(now, std::time::UNIX_EPOCH),
        data_limits: DataLimits::default(),
        adds_redundancy: false,
        reports_subscribers_loss: true,
    };
    Shard::new(config, 1, now)
}

fn options() -> TransportOptions {
    TransportOptions {
        candidates: Vec::new(),
        ice_lite: true,
        video_cache_packets: 10,
        audio_cache_packets: 10,
        rate_feedback: RateFeedback::default(),
        playout: None,
        sctp_buffer_bytes: 100_000,
        data_track_latency: Duration::ZERO,
        codecs: CodecPolicy::default(),
        certificate: Certificate::generate().unwrap(),
    }
}

fn add_participant(id: u64) -> Command {
    let profile = DataProfile {
        sid: "PA_1".into(),
        identity: "one".into(),
        can_publish_data: true,
        hidden: false,
        agent: false,
    };
    Command::AddParticipant { room: RoomId(1), participant: ParticipantId(id), profile }
}

fn add_down_track(id: u64, transport: u64) -> Command {
    Command::AddDownTrack {
        down_track: DownTrackId(id),
        transport: TransportId(transport),
        up_track: UpTrackId(1),
        kind: MediaKind::Video,
        stream_id: "PA_x|TR_y".into(),
        track_sid: "TR_y".into(),
        stereo: false,
        enabled: true,
        strip_trailer: false,
    }
}

/// One of each command, about participant, transport, up track and down track 1.
fn every_command(now: Instant) -> Vec<Command> {
    let offer = OFFER.replace("a=rtpmap:96 H264/90000", "a=rtpmap:96 VP8/90000").replace('\n', "\r\n");
    let offer = Box::new(RemoteOffer::parse(&offer, &CodecPolicy::default()).unwrap());
    let mid = offer.media[0].mid.as_str().into();
    let (transport, participant, request) = (TransportId(1), ParticipantId(1), RequestId(0));
    let publish = PublishLine {
        mid,
        up_track: UpTrackId(1),
        codec: None,
        codec_only: false,
        dtx: true,
        stereo: false,
        red: true,
        speaker: true,
        muted: false,
        trailer: None,
    };
    let seed = TransportSeed::build(TransportId(9), TransportRole::Both, &options(), now);
    vec![
        Command::AcceptOffer { transport, request, offer, publish: vec![publish] },
        Command::AcceptAnswer { transport, request, sdp: String::new() },
        add_down_track(7, 1),
        Command::AddRemoteCandidate { transport, candidate: "candidate:1 1 udp 1 1.2.3.4 5 typ host".into() },
        Command::RestartIce { transport },
        Command::Snapshot { request, transport },
        Command::MuteUpTrack { up_track: UpTrackId(1), muted: true },
        Command::EnableDownTrack { down_track: DownTrackId(1), enabled: false },
        Command::SendData {
            room: RoomId(1),
            kind: DataKind::Reliable,
            payload: b"x".as_slice().into(),
            destinations: Some(vec![participant]),
        },
        Command::AskLastSequence { participant },
        Command::ReplayData { participant, received: vec![("PA_7".into(), 1)] },
        add_participant(8),
        Command::OpenTransport { participant, seed: Box::new(seed) },
        Command::SetDownTrackPriority { down_track: DownTrackId(1), priority: 3 },
        Command::AllowPause { transport, allowed: true },
        Command::RemoveDownTrack { down_track: DownTrackId(1) },
        Command::CloseUpTrack { up_track: UpTrackId(1) },
        Command::CloseTransport { transport },
        Command::RemoveParticipant { participant },
    ]
}

#[test]
fn no_entry_is_missed_so_much_that_the_shard_falls() {
    let now = Instant::now();
    let sabotage: [Sabotage; 5] = [
        ("rooms", |shard| shard.tables.rooms.clear()),
        ("participants", |shard| shard.tables.participants.clear()),
        ("transports", |shard| shard.transports.clear()),
        ("up tracks", |shard| shard.tables.ups.clear()),
        ("down tracks", |shard| shard.tables.downs.clear()),
    ];
    for (lost, take) in sabotage {
        let mut slips = 0;
        for first in 0..every_command(now).len() {
            let mut shard = shard(now);
            shard.handle_command(now, add_participant(1));
            for (id, role) in [(1, TransportRole::Both), (2, TransportRole::Subscriber)] {
                let seed = TransportSeed::build(TransportId(id), role, &options(), now);
                let participant = ParticipantId(1);
                shard.handle_command(now, Command::OpenTransport { participant, seed: Box::new(seed) });
                shard.handle_command(now, add_down_track(id, id));
            }
            take(&mut shard);
            let mut commands = every_command(now);
            commands.rotate_left(first);
            for command in commands {
                shard.handle_command(now, command);
                shard.flush(now);
            }
            slips += shard.counters().inconsistent_tables;
            shard.handle_timeout(now + Duration::from_secs(1));
            shard.close(now);
            assert!(shard.transports.is_empty() && shard.tables.is_empty(), "{lost}");
        }
        assert_eq!(slips > 0, lost != "down tracks", "{lost}: {slips}");
    }
}

#[test]
fn timers_meet_on_a_grid_and_never_now() {
    let began = Instant::now();
    let after = |micros| began + Duration::from_micros(micros);
    for (now, deadline, expected) in [
        (0, 1, 5_000),
        (0, 5_000, 5_000),
        (0, 5_001, 10_000),
        (7_000, 3_000, 10_000),
        (10_000, 10_000, 15_000),
        (9_999, 1_000_000, 1_000_000),
    ] {
        assert_eq!(on_grid(began, after(now), after(deadline)), after(expected), "{now} {deadline}");
    }
}

#[test]
fn what_is_kept_of_a_silent_sender_goes_by_itself() {
    let now = Instant::now();
    let mut shard = shard(now);
    shard.handle_command(now, add_participant(1));
    let packet = |sequence| Restamped {
        payload: vec![0; 1_000].into(),
        destinations: Destinations::default(),
        sequence,
        nonce: Vec::new(),
    };
    for sequence in 1..=3_u32 {
        let at = now + Duration::from_secs(sequence.into());
        shard.keep_for_replay(at, 0, DataKind::Reliable, packet(sequence));
    }
    let mut turns = 0;
    while let Some(due) = shard.next_timeout() {
        assert!(due <= now + Duration::from_secs(60));
        shard.handle_timeout(due);
        turns += 1;
    }
    assert_eq!(turns, 2);
    assert!(shard.tables.participants[0].sent.is_empty());
}

const PEOPLE: u64 = 60;
const TRACKS: u64 = 50;

/// A room in which everybody watches many tracks.
fn large_room(now: Instant) -> Shard {
    let mut shard = shard(now);
    for person in 1..=PEOPLE {
        shard.handle_command(now, add_participant(person));
        let seed = TransportSeed::build(TransportId(person), TransportRole::Subscriber, &options(), now);
        let participant = ParticipantId(person);
        shard.handle_command(now, Command::OpenTransport { participant, seed: Box::new(seed) });
        for track in 0..TRACKS {
            shard.handle_command(now, add_down_track(person * TRACKS + track, person));
        }
    }
    shard
}

#[test]
fn a_large_room_is_rated_in_turns() {
    let now = Instant::now();
    let mut shard = large_room(now);
    let room = *shard.tables.room_index.values().next().unwrap();
    shard.begin_rating(now, Some(room));
    let mut now = now + Duration::from_secs(5);
    let (began, mut turns) = (now, Vec::new());
    loop {
        let before = shard.tables.rooms[room].round.as_ref().map_or(0, |round| round.done);
        shard.rate_room(now, room);
        let Some(round) = &shard.tables.rooms[room].round else { break };
        turns.push(round.done - before);
        now += Duration::from_millis(5);
        assert!(now < began + Duration::from_millis(200), "{turns:?}");
    }
    // Each costs 51: one more than there is room for begins in a turn, at most.
    assert!(turns.len() >= 2 && turns.iter().all(|rated| *rated <= 21), "{turns:?}");
    assert_eq!(shard.tables.rooms[room].rated_at, None, "nobody publishes anything");
}

#[test]
fn a_large_room_is_allocated_in_turns() {
    let start = Instant::now();
    let mut shard = large_room(start);
    shard.flush(start);
    let estimate = RateEstimate { total_bps: 5_000_000, is_congested: false };
    let subscribers: Vec<TransportIndex> = shard.transports.iter().map(|(index, _)| index).collect();
    for index in &subscribers {
        shard.take_in_estimate(start, *index, estimate);
    }
    // When they begin, and when it is time to look again.
    for (nth, wait) in (0..).zip([Duration::ZERO, Duration::from_secs(1)]) {
        shard.handle_timeout(start + wait);
        let mut turns = Vec::new();
        let before = shard.counters().allocations;
        while shard.flush_deadline().is_some_and(|due| due <= shard.now) {
            let before = shard.counters().allocations;
            shard.flush(shard.now);
            turns.push(shard.counters().allocations - before);
            assert!(turns.len() <= 20, "{nth}: {turns:?}");
        }
        // Each costs 51: one more than there is room for begins in a turn, at most.
        assert!(turns.iter().all(|allocated| *allocated <= 11), "{nth}: {turns:?}");
        assert_eq!(shard.counters().allocations - before, PEOPLE, "{nth}: nobody is forgotten: {turns:?}");
    }
}
