//! What is fuzzed: one function per parser, one per state machine. Each takes any bytes and panics when a promise is
//! broken. Shared by the coverage-guided fuzzer (`bin/`) and by the replay that needs no special toolchain
//! (`crates/core/tests/fuzz.rs`).

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use plenum_core::data::{
    ChannelPace, DataQueue, Envelope, FrameGate, NonceRing, Pushed, SequenceFilter, TrackHeader, restamp,
    set_handle, wrap_raw,
};
use plenum_core::downtrack::{DownTrack, DownTrackConfig, LayerFacts, Packet};
use plenum_core::estimator::{Departure, Losses, ProbeTag, estimator_for};
use plenum_core::layers::{MAX_STREAMS, StreamIndex, StreamSet};
use plenum_core::pacer::{LeakyBucket, Pacer, Urgency, Waiting};
use plenum_core::prober::prober_for;
use plenum_core::rtcp::{Arrivals, Feedback, read_feedback};
use plenum_core::rtp::codec::{Codec, inspect};
use plenum_core::rtp::dependency::{
    DependencyDescriptor, DependencyRewrite, Layer, MAX_BYTES, Structure, rewrite,
};
use plenum_core::rtp::red::{self, RedundantBlock};
use plenum_core::rtp::{Vp8Ids, trailer};
use plenum_core::sdp::{
    CodecPolicy, LineRole, LineUse, LocalLine, PayloadTypes, RemoteAnswer, RemoteOffer, announce_candidate,
    finish_description,
};
use plenum_core::uptrack::{Arrival, PliThrottle, Recovery, Redundancy, UpTrack, UpTrackConfig};
use plenum_core::{
    Carrier, DataKind, DataProfile, Datagram, DropReason, LocalCandidate, MediaKind, PublishLine,
    RateFeedback, RateGoal, Shard, ShardConfig, TimeOfDay, UpTrackId,
};
use str0m::Rtc;
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::media::MediaKind as Kind;

#[path = "allocation.rs"]
mod allocation;
#[path = "association.rs"]
mod association;
#[path = "call.rs"]
mod call;
#[path = "streams.rs"]
mod streams;

/// A target by name.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("payload", payload),
    ("red", redundant),
    ("redundancy", redundancy),
    ("packet_trailer", packet_trailer),
    ("rtcp", feedback),
    ("dependency_descriptor", dependency_descriptor),
    ("data_packet", data_packet),
    ("data_queue", data_queue),
    ("data_track", data_track),
    ("data_pace", data_pace),
    ("sdp_offer", sdp_offer),
    ("sdp_negotiation", sdp_negotiation),
    ("sdp_answer", sdp_answer),
    ("sdp_finish", sdp_finish),
    ("datagram", datagram),
    ("down_track", down_track),
    ("up_track", up_track),
    ("allocator", allocation::allocator),
    ("rate", rate),
    ("descriptors", streams::descriptors),
    ("tcp_framing", streams::tcp_framing),
    ("stun", association::stun),
    ("rtp_extensions", association::rtp_extensions),
    ("call", call::call),
];

/// Payload descriptor of every codec; the first byte picks the codec.
pub fn payload(input: &[u8]) {
    let Some((pick, payload)) = input.split_first() else { return };
    let codec = Codec::ALL[usize::from(*pick) % Codec::ALL.len()];
    let Some(facts) = inspect(codec, payload) else { return };
    assert!(!payload.is_empty(), "an empty payload has no descriptor");
    assert!(facts.starts_frame || !facts.starts_key_frame, "a key frame is a frame");
    assert_eq!(facts.vp8.is_some(), codec == Codec::Vp8);
    if let Some(Vp8Ids { picture_id: Some(id), picture_id_is_long, .. }) = facts.vp8 {
        assert!(id < if picture_id_is_long { 1 << 15 } else { 1 << 7 });
    }
}

/// Feedback on our streams.
pub fn feedback(input: &[u8]) {
    let found = read_feedback(input);
    let bytes: usize = found
        .iter()
        .map(|feedback| match feedback {
            Feedback::Nack { entries, .. } => entries.len() * 4,
            Feedback::Report(_) | Feedback::KeyFrame { .. } => 4,
            Feedback::MaximumRate { .. } => 20,
            Feedback::Arrivals(arrivals) => {
                let offsets = || arrivals.received.iter().map(|(offset, _)| *offset);
                assert!(offsets().zip(offsets().skip(1)).all(|(first, second)| first < second));
                assert!(offsets().all(|offset| offset < arrivals.count));
                20 + arrivals.received.len()
            }
        })
        .sum();
    assert!(bytes <= input.len(), "more was read than was there");
}

/// RED headers.
pub fn redundant(input: &[u8]) {
    if let Some(primary) = red::primary(input) {
        assert!(!primary.is_empty() && input.ends_with(primary) && primary.len() < input.len());
        let blocks: Vec<_> = red::redundant_blocks(input).collect();
        assert!(
            blocks.iter().map(|block| block.payload.len() + 4).sum::<usize>() + primary.len() < input.len()
        );
        let mut written = Vec::new();
        red::write(&mut written, 111, &blocks, primary);
        assert!(red::redundant_blocks(&written).eq(blocks), "what is read can be written");
    } else {
        assert_eq!(red::redundant_blocks(input).count(), 0);
    }
}

/// Recovery of a stream of RED that is lost, doubled, reordered and lied about: each number is passed on once, an honest
/// one with its own timestamp.
pub fn redundancy(input: &[u8]) {
    let mut operations = Operations(input);
    let (mut recovery, mut made) = (Recovery::default(), Redundancy::default());
    let mut passed = HashSet::new();
    let mut head = 100_u64;
    let timestamp_of = |seq: u64| u32::try_from(seq % (1 << 32)).unwrap_or_default().wrapping_mul(960);
    let mut is_honest = true;
    while let (Some(operation), Some(argument)) = (operations.next(), operations.next()) {
        head += u64::from(argument & 3);
        let seq = head - u64::from(argument >> 2) % 100;
        let timestamp = timestamp_of(seq);
        let payload = match operation {
            0..8 => {
                recovery.forget();
                made.forget();
                passed.clear();
                continue;
            }
            8..32 => {
                is_honest = false; // padding in a frame's place
                Vec::new()
            }
            32..48 => {
                is_honest = false;
                operations.0.iter().copied().take(usize::from(argument)).collect()
            }
            _ => {
                let older: Vec<[u8; 8]> = (1..=2).rev().map(|back| (seq - back).to_be_bytes()).collect();
                let block =
                    |(payload, back): (_, u16)| RedundantBlock { timestamp_offset: back * 960, payload };
                let blocks: Vec<_> = older.iter().map(|bytes| &bytes[..]).zip([2, 1]).map(block).collect();
                let mut out = Vec::new();
                red::write(&mut out, 111, &blocks, &seq.to_be_bytes());
                out
            }
        };
        if recovery.arrive(seq, timestamp, &payload) == Arrival::Fresh && !payload.is_empty() {
            assert!(passed.insert(seq), "{seq} was passed on before");
        }
        let before = passed.len();
        for found in recovery.recover(seq, timestamp, &payload) {
            assert!(found.seq < seq && passed.insert(found.seq), "{} was passed on before", found.seq);
            assert!(!is_honest || found.timestamp == timestamp_of(found.seq));
        }
        assert!(passed.len() <= before + 4);
        let payload: Arc<[u8]> = payload.into();
        let encoded = made.encode(111, seq, timestamp, &payload);
        assert!(encoded.ends_with(&payload) && red::redundant_blocks(&encoded).count() <= 2);
    }
}

/// Packet trailers of every codec; the first byte picks the codec.
pub fn packet_trailer(input: &[u8]) {
    let Some((pick, payload)) = input.split_first() else { return };
    let codec = Codec::ALL[usize::from(*pick) % Codec::ALL.len()];
    let Some(bare) = trailer::without_trailer(codec, payload) else { return };
    assert_eq!(Some(payload.len() - bare.len()), trailer::trailer_bytes(payload));
    let changed = bare.iter().zip(payload).filter(|(now, before)| now != before).count();
    assert!(inspect(codec, &bare).is_some() && changed <= 2, "at most the length of the last unit changes");
}

/// Dependency descriptor with and without structure.
pub fn dependency_descriptor(input: &[u8]) {
    let known = DependencyDescriptor::parse(STRUCTURE, None).and_then(|descriptor| descriptor.structure);
    let Some(before) = DependencyDescriptor::parse(input, known.as_ref()) else { return };
    let structure = before.structure.as_ref().or(known.as_ref()).map(Structure::targets);
    let Some(targets) = structure else { return };
    assert!((1..=32).contains(&targets.count()));
    assert!(targets.layers().iter().all(|layer| layer.spatial < 4 && layer.temporal < 8));
    for active_targets in [None, Some((targets.all() & 0x5555_5555, targets.count()))] {
        let numbers = DependencyRewrite { frame_number: 0xabcd, active_targets };
        let mut bytes = [0xff; MAX_BYTES]; // as used before
        let Some(length) = rewrite(input, numbers, &mut bytes) else {
            assert!(input.len() > MAX_BYTES - 6, "what parses can be rewritten");
            continue;
        };
        let expected = DependencyDescriptor {
            frame_number: 0xabcd,
            active_targets: active_targets.map_or(before.active_targets, |(mask, _)| Some(mask)),
            ..before.clone()
        };
        assert_eq!(DependencyDescriptor::parse(&bytes[..length], known.as_ref()), Some(expected));
    }
}

/// A descriptor with a template structure of two spatial and two temporal layers.
const STRUCTURE: &[u8] = &[
    0xfc, 0x12, 0x34, 0x87, 0x83, 0x18, 0x7a, 0xaa, 0x01, 0x00, 0xa0, 0xa0, 0x14, 0xd1, 0x41, 0x34, 0x51,
    0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xc0, 0x9f, 0xc0, 0x59, 0xc1, 0x3f, 0xc0, 0xb3, 0xc0,
];

fn profile(bits: u8) -> DataProfile {
    DataProfile {
        sid: "PA_sender".into(),
        identity: "sender".into(),
        can_publish_data: true,
        hidden: bits & 1 != 0,
        agent: bits & 2 != 0,
    }
}

/// `livekit.DataPacket`: what is sent on is well-formed, carries the sender's names and is stable.
pub fn data_packet(input: &[u8]) {
    let Some((bits, packet)) = input.split_first() else { return };
    let sender = profile(*bits);
    let kind = if bits & 4 != 0 { DataKind::Lossy } else { DataKind::Reliable };
    if let Ok(wrapped) = wrap_raw(packet, kind, &sender) {
        assert_eq!(restamp(&wrapped.payload, kind, &sender).as_ref(), Ok(&wrapped));
    }
    let Ok(once) = restamp(packet, kind, &sender) else { return };
    let sent = Envelope::parse(&once.payload).unwrap_or_else(|| panic!("sent on what no client can read"));
    assert_eq!((sent.sequence, sent.nonce), (once.sequence, &*once.nonce));
    let own_name = if sender.hidden { "" } else { "sender" };
    assert!(sender.agent || sent.participant_identity == own_name);
    let twice = restamp(&once.payload, kind, &sender);
    assert_eq!(twice.as_ref(), Ok(&once), "stamping again changes nothing");
    let mut nonces = NonceRing::default();
    assert!(nonces.accept(&once.nonce) && (once.nonce.is_empty() || !nonces.accept(&once.nonce)));
    let mut sequences = SequenceFilter::default();
    assert!(sequences.accept(once.sequence) && (once.sequence == 0 || !sequences.accept(once.sequence)));
}

/// A data queue never holds more than its limit and never loses order.
pub fn data_queue(input: &[u8]) {
    let Some((head, operations)) = input.split_first() else { return };
    let kind = if head & 1 != 0 { DataKind::Lossy } else { DataKind::Reliable };
    let limit_bytes = usize::from(head >> 1);
    let mut queue = DataQueue::new(kind, limit_bytes);
    let mut model: std::collections::VecDeque<Vec<u8>> = std::collections::VecDeque::new();
    for (mark, operation) in operations.iter().enumerate() {
        if operation & 0x80 != 0 {
            assert_eq!(queue.pop().map(|message| message.to_vec()), model.pop_front());
        } else {
            let message = vec![mark.to_le_bytes()[0]; usize::from(*operation)];
            match queue.push(Duration::ZERO, message.clone().into()) {
                Pushed::Queued => model.push_back(message),
                Pushed::Dropped(count) if message.len() > limit_bytes => assert_eq!(count, 1),
                Pushed::Dropped(count) => {
                    model.drain(..count);
                    model.push_back(message);
                }
                Pushed::Full => assert_eq!(kind, DataKind::Reliable),
            }
        }
        assert_eq!(queue.bytes(), model.iter().map(Vec::len).sum());
        assert!(queue.bytes() <= limit_bytes);
        assert_eq!(
            (queue.is_empty(), queue.front().map(|front| &**front)),
            (model.is_empty(), model.front().map(|front| &**front))
        );
    }
}

/// A data track packet keeps all but its handle, and a frame passes or falls as a whole whatever its packets say.
///
/// The first byte is the rate, the second how often the channel refuses; then one packet for each 16 bytes.
pub fn data_track(input: &[u8]) {
    if let Ok(header) = TrackHeader::parse(input) {
        let mut rewritten = input.to_vec();
        set_handle(&mut rewritten, !header.handle | 1);
        let renamed = TrackHeader { handle: !header.handle | 1, ..header };
        assert_eq!(TrackHeader::parse(&rewritten), Ok(renamed));
        set_handle(&mut rewritten, header.handle);
        assert_eq!(rewritten, input);
    }
    let [rate, refusals, packets @ ..] = input else { return };
    let mut gate = FrameGate::new(Some(u32::from(*rate)));
    let mut now = Instant::now();
    let mut last: Option<(u16, bool)> = None;
    for packet in packets.chunks(16) {
        let Ok(header) = TrackHeader::parse(packet) else { continue };
        now += Duration::from_millis(u64::from(header.handle & 0xff));
        let mut was_asked = false;
        let passes = gate
            .admit(now, &header, || {
                was_asked = true;
                if header.frame % 256 < u16::from(*refusals) {
                    Err(DropReason::DataTrackCongested)
                } else {
                    Ok(())
                }
            })
            .is_ok();
        if let Some((frame, passed)) = last
            && frame == header.frame
            && !header.starts_frame
        {
            assert_eq!((passes, was_asked), (passed, false), "half a frame");
        }
        last = Some((header.frame, passes));
    }
}

/// The pace of a channel counts what is held as it is, whatever is said, and a channel that holds nothing takes a frame.
pub fn data_pace(input: &[u8]) {
    let mut now = Instant::now();
    let mut pace = ChannelPace::new(now, Duration::from_millis(100));
    let mut held = std::collections::VecDeque::new();
    for step in input.chunks_exact(3) {
        let [what, amount, pause] = [step[0], step[1], step[2]].map(usize::from);
        now += Duration::from_millis((pause * pause) as u64);
        if what & 1 == 0 {
            let bytes = amount << (what & 6);
            if pace.may_begin(bytes) {
                pace.note_written(now, bytes);
                held.push_back(bytes);
            } else {
                assert!(pace.held_bytes() > 0, "a frame was refused by an idle channel");
            }
        } else {
            held.drain(..amount.min(held.len()));
            pace.note_held(now, if amount == 255 { usize::MAX } else { held.iter().sum() });
            assert!(pace.held_bytes() >= held.iter().sum::<usize>() as u64);
        }
    }
}

/// Offers and answers: the filter takes what it made, and makes the same of it.
pub fn sdp_offer(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let policy = CodecPolicy::default();
    let answer = RemoteAnswer::parse(text, &policy);
    let offer = RemoteOffer::parse(text, &policy);
    assert_eq!(offer.is_ok(), answer.is_ok());
    let (Ok(offer), Ok(answer)) = (offer, answer) else { return };
    let mids: Vec<&str> = offer.media.iter().map(|media| media.mid.as_str()).collect();
    let filtered = offer.text_for(&LineUse { published: &mids, assigned: &mids, ..LineUse::default() });
    let again =
        RemoteOffer::parse(&filtered, &policy).unwrap_or_else(|error| panic!("{error} in {filtered}"));
    assert_eq!(again.media.len(), offer.media.len());
    for (before, after) in offer.media.iter().zip(&again.media) {
        assert_eq!(
            (&before.mid, before.kind, &before.mime_types),
            (&after.mid, after.kind, &after.mime_types)
        );
    }
    RemoteAnswer::parse(answer.text(), &policy)
        .unwrap_or_else(|error| panic!("{error} in {}", answer.text()));
    let mut known = PayloadTypes::default();
    assert_eq!(known.adopt(&offer), Ok(()));
    assert_eq!(known.adopt(&again), Ok(()), "the filter changes no meaning");
    assert_eq!(known.adopt_answer(&answer), Ok(()));
}

/// Two offers, separated by a NUL, through filter and association: whatever passes the filter breaks nothing.
pub fn sdp_negotiation(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let policy = CodecPolicy::default();
    let offers: Vec<RemoteOffer> =
        text.split('\0').take(2).filter_map(|text| RemoteOffer::parse(text, &policy).ok()).collect();
    if offers.is_empty() {
        return;
    }
    let mut rtc = association(true);
    let mut known = PayloadTypes::default();
    for offer in offers {
        if known.adopt(&offer).is_err() {
            return;
        }
        let mids: Vec<&str> = offer.media.iter().map(|media| media.mid.as_str()).collect();
        let (published, assigned) = mids.split_at(mids.len() / 2);
        let filtered = offer.text_for(&LineUse { published, assigned, ..LineUse::default() });
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let parsed = SdpOffer::from_sdp_string(&filtered).ok()?;
            rtc.sdp_api().accept_offer(parsed).ok().map(|answer| answer.to_sdp_string())
        }));
        let Ok(answer) = outcome else { panic!("the association broke on {filtered}") };
        let Some(answer) = answer else { return };
        let finished = finish_description(&answer, &[], &[]);
        assert_eq!(finished.matches("\r\nm=").count(), answer.matches("\r\nm=").count());
    }
}

/// A good answer to an offer of ours, edited line by line as the input says, through filter and association.
pub fn sdp_answer(input: &[u8]) {
    let (mut ours, mut theirs) = (association(true), association(false));
    let mut api = ours.sdp_api();
    api.add_channel("_reliable".to_owned());
    for kind in [Kind::Audio, Kind::Video, Kind::Video] {
        api.add_media(kind, str0m::media::Direction::SendOnly, None, None, None);
    }
    let Some((offer, pending)) = api.apply() else { panic!("nothing to offer") };
    let good = theirs.sdp_api().accept_offer(offer).map(|answer| answer.to_sdp_string());
    let good = good.unwrap_or_else(|error| panic!("{error}"));
    let text = edited(&good, input);
    let Ok(answer) = RemoteAnswer::parse(&text, &CodecPolicy::default()) else { return };
    if PayloadTypes::default().adopt_answer(&answer).is_err() {
        return;
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let parsed = SdpAnswer::from_sdp_string(answer.text()).ok()?;
        ours.sdp_api().accept_answer(pending, parsed).ok()
    }));
    let Ok(outcome) = outcome else { panic!("the association broke on {}", answer.text()) };
    assert!(outcome.is_some() || input.len() >= 3, "the good answer is refused");
}

/// Each three bytes name an operation and two lines.
fn edited(text: &str, script: &[u8]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for edit in script.chunks_exact(3).take(20) {
        let pick = |byte: u8| usize::from(byte) % lines.len().max(1);
        let (from, to) = (pick(edit[1]), pick(edit[2]));
        if lines.is_empty() {
            break;
        }
        match edit[0] % 6 {
            0 => drop(lines.remove(from)),
            1 => lines.insert(to, lines[from].clone()),
            2 => lines.swap(from, to),
            // One number becomes another, as payload types, ports, extension ids and SSRCs are.
            3 => lines[from] = with_number(&lines[from], edit[2]),
            4 => lines[from] = lines[from].replace("recvonly", "sendrecv").replace("actpass", "active"),
            _ => lines.truncate(from.max(5)),
        }
    }
    lines.join("\r\n") + "\r\n"
}

/// The line with its first run of digits replaced.
fn with_number(line: &str, number: u8) -> String {
    let Some(start) = line.find(|c: char| c.is_ascii_digit()) else { return line.to_owned() };
    let end = line[start..].find(|c: char| !c.is_ascii_digit()).map_or(line.len(), |length| start + length);
    format!("{}{number}{}", &line[..start], &line[end..])
}

fn association(ice_lite: bool) -> Rtc {
    Rtc::builder()
        .set_rtp_mode(true)
        .set_ice_lite(ice_lite)
        .clear_codecs()
        .enable_opus(true, true)
        .enable_pcmu(true, false)
        .enable_pcma(true, false)
        .enable_vp8(true)
        .enable_vp9(true)
        .enable_h264(true)
        .enable_h265(true)
        .enable_av1(true)
        .build(Instant::now())
}

/// The last patches, to any text and any candidate.
pub fn sdp_finish(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let candidates = [LocalCandidate {
        local: SocketAddr::from(([192, 0, 2, 2], 53_194)),
        advertised: vec![SocketAddr::from(([203, 0, 113, 1], 1)), SocketAddr::from(([203, 0, 113, 2], 2))],
        tcp: false,
    }];
    let publish = PublishLine {
        mid: "0".into(),
        up_track: UpTrackId(1),
        codec: Some("video/H264".into()),
        codec_only: input.len().is_multiple_of(2),
        dtx: true,
        stereo: true,
        red: false,
        speaker: true,
        muted: false,
        trailer: None,
    };
    let sending = LineRole::Sending {
        stream_id: "PA_x|TR_y",
        track_sid: "TR_y",
        stereo: true,
        ssrcs: Some((1, Some(2))),
        transport_cc: false,
    };
    let lines = [
        LocalLine { mid: "0", role: LineRole::Receiving(&publish), start_bitrates: &[] },
        LocalLine { mid: "1", role: sending, start_bitrates: &[] },
        LocalLine { mid: "3", role: LineRole::Receiving(&publish), start_bitrates: &[] },
        LocalLine { mid: "4", role: sending, start_bitrates: &[] },
    ];
    let finished = finish_description(text, &lines, &candidates);
    let sections = |text: &str| text.lines().filter(|line| line.starts_with("m=")).count();
    assert_eq!(sections(&finished), sections(text), "answers correspond to offers line by line");
    assert!((1..=2).contains(&announce_candidate(text, &candidates).len()));
}

/// Datagrams from nobody: looked at, counted, never answered.
pub fn datagram(input: &[u8]) {
    let now = Instant::now();
    let mut shard = Shard::new(
        ShardConfig {
            index: 0,
            gather: Duration::from_millis(3),
            audio_active_level: 35,
            audio_update_interval: Duration::from_millis(400),
            quality_interval: Duration::from_secs(5),
            pli_throttle: PliThrottle::default(),
            time_of_day: TimeOfDay::new(now, std::time::UNIX_EPOCH),
            data_limits: plenum_core::DataLimits::default(),
            adds_redundancy: false,
            reports_subscribers_loss: true,
        },
        1,
        now,
    );
    for carrier in [Carrier::Udp, Carrier::Tcp] {
        let source = SocketAddr::from(([192, 0, 2, 1], 4000));
        let destination = SocketAddr::from(([192, 0, 2, 2], 7882));
        shard.handle_datagram(now, Datagram { carrier, source, destination, payload: input });
    }
    shard.flush(now);
    assert!(shard.transmits().is_empty() && shard.poll_event().is_none());
}

/// Reads operations out of the input.
struct Operations<'a>(&'a [u8]);

impl Operations<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }
}

/// A down track fed from three streams: what goes out has no number twice, and none below the first.
pub fn down_track(input: &[u8]) {
    let mut operations = Operations(input);
    let Some(head) = operations.next() else { return };
    let kind = if head & 1 != 0 { MediaKind::Audio } else { MediaKind::Video };
    let first_seq = u16::from(head >> 1) << 9;
    let takes_descriptors = head & 4 == 0;
    let config = DownTrackConfig { kind, clock_rate_hz: 90_000, first_seq, takes_descriptors };
    let mut track = DownTrack::new(config);
    let mut now = Instant::now();
    let mut live: StreamSet = (0..3).map(StreamIndex).collect();
    let mut heads = [1000_u64, 1 << 20, 1 << 33];
    let mut publisher = UpTrack::new(UpTrackConfig {
        clock_rate_hz: 90_000,
        pli_throttle: PliThrottle::even(Duration::ZERO),
    });
    let lines = ["q", "h", "f"].map(|rid| publisher.stream_for(Some(rid)));
    for stream in lines.into_iter().flatten() {
        assert!(publisher.read_dependency(stream, STRUCTURE).is_some());
    }
    let mut sent: HashMap<u64, (u8, u64)> = HashMap::new();
    while let (Some(operation), Some(argument)) = (operations.next(), operations.next()) {
        now += Duration::from_millis(u64::from(argument));
        match operation {
            0..16 => live = (0..3).filter(|stream| argument >> stream & 1 != 0).map(StreamIndex).collect(),
            16..20 => track.set_enabled(argument & 1 != 0),
            20..24 => track.set_paused(argument & 1 != 0),
            24..32 => track.set_max_layer(Layer { spatial: argument & 3, temporal: argument >> 2 & 3 }),
            32..34 => track.restart(),
            34..36 => track.interrupt(),
            40..44 => {
                if let Some(numbers) = track.insert(now, Duration::from_millis(20), argument & 1 != 0) {
                    assert!(numbers.seq > u64::from(first_seq), "it follows something");
                    let taken = sent.insert(numbers.seq, (u8::MAX, 0));
                    assert_eq!(taken, None, "two packets with one number");
                }
            }
            // Another stream in the place of this one: far away, so that no packet comes twice.
            36..40 => heads[usize::from(argument) % 3] += 1 << 40,
            _ => {
                let mut packet = packet_of(operation, argument, &mut heads, &mut publisher);
                if kind == MediaKind::Audio {
                    (packet.layer, packet.dependency) = (None, None);
                }
                live.insert(packet.stream);
                let verdict = track.handle(now, &packet, live);
                assert!(!(packet.is_padding && verdict.outcome.is_ok()), "padding is never sent");
                let Ok(rewrite) = verdict.outcome else { continue };
                assert!(rewrite.seq >= u64::from(first_seq.max(1)));
                let origin = *sent.entry(rewrite.seq).or_insert((packet.stream.0, packet.seq));
                assert_eq!(origin, (packet.stream.0, packet.seq), "two packets with one number");
                assert_eq!(rewrite.picture_id.is_some(), packet.vp8.is_some());
                assert_eq!(rewrite.dependency.is_some(), packet.dependency.is_some());
            }
        }
        if let Some(wanted) = track.wanted_key_frame(live) {
            assert!(live.contains(wanted) && kind == MediaKind::Video);
        }
    }
}

fn packet_of(operation: u8, argument: u8, heads: &mut [u64; 3], publisher: &mut UpTrack) -> Packet {
    let stream = operation % 3;
    let head = &mut heads[usize::from(stream)];
    *head += u64::from(argument & 7);
    let seq = *head - u64::from(argument >> 6);
    let timestamp = u32::try_from(seq % (1 << 32)).unwrap_or_default().wrapping_mul(3000);
    let [_, .., high, low] = (seq / 2).to_be_bytes();
    let descriptor = [
        u8::from(seq.is_multiple_of(2)) << 7
            | u8::from(seq % 2 == 1) << 6
            | (60 + (argument >> 3) % 6) & 0x3f,
        high,
        low,
    ];
    let dependency =
        (operation & 32 != 0).then(|| publisher.read_dependency(StreamIndex(stream), &descriptor));
    let facts = LayerFacts {
        layer: Layer { spatial: argument >> 5 & 1, temporal: argument >> 3 & 3 },
        starts_frame: seq.is_multiple_of(2),
        ends_frame: seq % 2 == 1,
        is_sync: argument & 1 != 0,
    };
    Packet {
        stream: StreamIndex(stream),
        seq,
        timestamp,
        reference_timestamp: (argument & 8 != 0).then(|| timestamp.wrapping_mul(7)),
        starts_key_frame: operation & 8 != 0,
        is_padding: seq.is_multiple_of(5),
        vp8: (operation & 16 != 0).then(|| Vp8Ids {
            picture_id: Some(timestamp.to_le_bytes()[1].into()),
            picture_id_is_long: true,
            tl0_pic_idx: Some(argument),
        }),
        layer: (operation & 64 != 0).then_some(facts),
        dependency: dependency.flatten(),
        needs_descriptor: operation & 128 != 0,
    }
}

/// An up track under any sequence of packets, requests and reports: its timer always moves on.
pub fn up_track(input: &[u8]) {
    let mut operations = Operations(input);
    let mut track =
        UpTrack::new(UpTrackConfig { clock_rate_hz: 90_000, pli_throttle: PliThrottle::default() });
    let mut now = Instant::now();
    while let (Some(operation), Some(argument)) = (operations.next(), operations.next()) {
        now += Duration::from_millis(u64::from(argument) * 4);
        let stream = StreamIndex(argument % 4);
        match operation % 8 {
            0 => {
                let rids = [None, Some("q"), Some("h"), Some("f"), Some("2"), Some("x"), Some("y"), Some("")];
                let rid = rids[usize::from(argument) % 8];
                let index = track.stream_for(rid);
                assert_eq!(index, track.stream_for(rid), "the same rid is the same stream");
                assert!(index.is_none_or(|index| index.0 < MAX_STREAMS));
            }
            1 => {
                track.request_key_frame(now, stream);
                assert!(!track.request_key_frame(now, stream), "requests coalesce");
            }
            2 => track.set_rtt(Duration::from_millis(u64::from(argument) * 16)),
            3 => {
                let ntp_time = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(argument) << 24);
                track.handle_sender_report(stream, ntp_time, u32::from(argument) << 24);
                let _ = (track.ntp_time(stream, u32::MAX), track.reference_timestamp(stream, u32::MAX));
            }
            _ => {
                let is_news = track.observe(now, stream, argument & 0x10 != 0);
                assert!(!is_news || !track.observe(now, stream, false), "it is alive now");
            }
        }
        assert!(track.live_streams(now).iter().count() <= usize::from(MAX_STREAMS));
        if let Some(due) = track.next_timeout().filter(|due| *due <= now) {
            while track.poll_key_frame_request(now).is_some() {}
            assert!(
                track.next_timeout().is_none_or(|next| next > now),
                "a timer due at {due:?} does not move on"
            );
        }
    }
}

/// Longest time that anything may wait for the pacer, asked every five milliseconds.
const LONGEST_PACED: Duration = Duration::from_millis(600);

/// Estimator, pacer and prober as one transport has them: operations of two bytes each.
pub fn rate(input: &[u8]) {
    let Some((&first, operations)) = input.split_first() else { return };
    let feedback = if first & 1 == 0 { RateFeedback::TransportWide } else { RateFeedback::Receiver };
    let (mut estimator, mut prober) = (estimator_for(feedback), prober_for(feedback));
    let mut pacer = if first & 2 == 0 { LeakyBucket::default() } else { LeakyBucket::free_until_known() };
    let (mut waiting, mut now, mut seq, mut last_plan) = (Waiting::default(), Instant::now(), 0, 0);
    let mut feedbacks: u8 = 0;
    for (nth, operation) in operations.chunks_exact(2).enumerate() {
        let &[operation, argument] = operation else { continue };
        let amount = u64::from(argument);
        match operation {
            0..32 => now += Duration::from_millis(amount),
            32..34 => now += Duration::from_secs(amount),
            34..128 => {
                let bytes = 100 + usize::from(argument) * 5;
                let probe =
                    (operation & 3 == 0).then_some(ProbeTag { id: last_plan, rate_bps: amount * 4_000 });
                estimator.note_sent(Departure { at: now, seq: Some(seq), bytes, probe });
                if waiting.is_empty() && pacer.admits(now) {
                    pacer.note_sent(now, bytes);
                }
                prober.note_media(now);
                seq += 1;
            }
            128..176 => {
                let arrival = |byte: &u8| (i32::from(*byte) - 64) << (operation & 15);
                let received = operations[nth * 2..].iter().take(usize::from(operation & 31));
                let received = (0..).zip(received.map(arrival)).collect();
                let first_seq = (seq as u16).wrapping_sub(u16::from(argument));
                let reference = u32::from(argument) << (operation & 15);
                let count = u16::from(argument) * 3;
                feedbacks = feedbacks.wrapping_add(u8::from(operation & 3 > 0));
                let feedback = Arrivals { first_seq, count, number: feedbacks, reference, received };
                estimator.take_arrivals(now, &feedback);
            }
            176..184 => estimator.take_maximum(now, amount << ((operation & 7) * 8)),
            184..200 => {
                let lost = f64::from(argument & 15);
                let losses =
                    Losses { lost, total: lost + f64::from(argument >> 4), delivered_bits: lost * 8e3 };
                estimator.take_losses(now, losses);
            }
            200..216 => {
                let step = 1 << (operation & 15);
                let goal = RateGoal {
                    allocated_bps: amount * step,
                    wanted_bps: amount * step * 4,
                    next_bps: amount * 2000,
                };
                prober.set_goal(now, goal);
            }
            216..232 => {
                let urgency = if operation & 1 == 0 { Urgency::Fresh } else { Urgency::Lost };
                waiting.push(now, urgency, usize::from(argument) * 6, now);
            }
            _ => estimator.handle_timeout(now),
        }
        let estimate = estimator.estimate();
        assert!(estimate.is_none_or(|estimate| estimate.total_bps >= 30_000));
        pacer.set_estimate(now, estimate.map(|estimate| estimate.total_bps));
        prober.set_estimate(now, estimate);
        if let Some(plan) = prober.poll(now) {
            assert!(plan.rate_bps > 0 && plan.id >= last_plan);
            last_plan = plan.id;
            pacer.set_probe_rate(now, plan.is_cluster.then_some(plan.rate_bps));
        } else {
            pacer.set_probe_rate(now, None);
        }
        release(now, &mut pacer, &mut waiting);
    }
    let end = now + LONGEST_PACED;
    while now < end {
        now += Duration::from_millis(5);
        release(now, &mut pacer, &mut waiting);
    }
    assert!(waiting.is_empty() && waiting.backlog().is_none(), "something waits for ever");
}

fn release(now: Instant, pacer: &mut LeakyBucket, waiting: &mut Waiting<Instant>) {
    while let Some(backlog) = waiting.backlog() {
        pacer.set_backlog(now, Some(backlog));
        if !pacer.admits(now) {
            assert!(pacer.next_admission(now) > now);
            break;
        }
        let before = waiting.len();
        assert!(waiting.pop().is_some_and(|since| since <= now) && waiting.len() + 1 == before);
        pacer.note_sent(now, (backlog.bytes - waiting.backlog().map_or(0, |rest| rest.bytes)).max(1));
    }
    if waiting.is_empty() {
        pacer.set_backlog(now, None);
    }
}
