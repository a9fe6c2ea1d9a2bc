//! Byte streams and streams of descriptors: what one packet leaves behind meets the next.

use std::time::{Duration, Instant};

use plenum_core::MediaKind;
use plenum_core::downtrack::{DownTrack, DownTrackConfig, Packet};
use plenum_core::layers::{StreamIndex, StreamSet};
use plenum_core::rtp::dependency::{DependencyDescriptor, Layer, MAX_BYTES, Structure, rewrite};
use plenum_core::uptrack::{PliThrottle, UpTrack, UpTrackConfig};

use framing::{FrameReader, FrameTooLarge, MAX_FRAME_BYTES, append_frame};

/// A private module of the crate with the sockets, which this one does not need otherwise.
#[path = "../../crates/io/src/tcp/framing.rs"]
mod framing;

/// Frames of a TCP stream: the same however it is cut, which the first byte says.
pub fn tcp_framing(input: &[u8]) {
    let Some((step, stream)) = input.split_first() else { return };
    let read = |step: usize| -> (Vec<Vec<u8>>, Result<(), FrameTooLarge>) {
        let (mut reader, mut frames) = (FrameReader::default(), Vec::new());
        let mut pieces = stream.chunks(step.max(1));
        let result = pieces.try_for_each(|piece| reader.push(piece, |frame| frames.push(frame.to_vec())));
        (frames, result)
    };
    let (frames, result) = read(stream.len());
    assert_eq!((&frames, result), (&read(usize::from(*step)).0, read(usize::from(*step)).1));
    assert!(frames.iter().all(|frame| (1..=MAX_FRAME_BYTES).contains(&frame.len())));
    let mut written = Vec::new();
    for frame in &frames {
        assert!(append_frame(&mut written, frame, usize::MAX));
    }
    assert!(written.len() <= stream.len(), "more was read than was there");
}

/// Dependency descriptors with any structures, one after the other, to one subscriber: what goes out is read by whoever
/// has read what came in.
///
/// Each begins with two bytes: its length, and what else is the case.
pub fn descriptors(input: &[u8]) {
    let mut publisher =
        UpTrack::new(UpTrackConfig { clock_rate_hz: 90_000, pli_throttle: PliThrottle::default() });
    let Some(stream) = publisher.stream_for(None) else { panic!("no room for one stream") };
    let live: StreamSet = [stream].into_iter().collect();
    let mut track = DownTrack::new(DownTrackConfig {
        kind: MediaKind::Video,
        clock_rate_hz: 90_000,
        first_seq: 7,
        takes_descriptors: true,
    });
    let mut known: Option<Structure> = None;
    let (mut now, mut rest, mut seq) = (Instant::now(), input, 1_000);
    while let [length, flags, more @ ..] = rest {
        let (bytes, after) = more.split_at(usize::from(*length).min(more.len()));
        rest = after;
        now += Duration::from_millis(u64::from(flags & 7));
        seq += u64::from(flags >> 3 & 1);
        if flags & 16 != 0 {
            track.set_max_layer(Layer { spatial: flags >> 5 & 3, temporal: flags >> 6 });
        }
        let Some(dependency) = publisher.read_dependency(stream, bytes) else { continue };
        let structure = DependencyDescriptor::parse(bytes, known.as_ref()).and_then(|read| read.structure);
        known = structure.or(known);
        let packet = Packet {
            stream: StreamIndex(stream.0),
            seq,
            timestamp: u32::from(dependency.frame_number) * 3_000,
            reference_timestamp: None,
            starts_key_frame: dependency.has_structure && dependency.starts_frame,
            is_padding: false,
            vp8: None,
            layer: None,
            dependency: Some(dependency),
            needs_descriptor: flags & 128 != 0,
        };
        let Ok(outgoing) = track.handle(now, &packet, live).outcome else { continue };
        let Some(numbers) = outgoing.dependency else { panic!("it lost its descriptor") };
        let mut target = [0; MAX_BYTES];
        let Some(length) = rewrite(bytes, numbers, &mut target) else {
            assert!(bytes.len() > MAX_BYTES - 6, "what is read can be rewritten");
            continue;
        };
        let Some(read) = DependencyDescriptor::parse(&target[..length], known.as_ref()) else {
            panic!("nobody can read {:?}", &target[..length]);
        };
        assert_eq!((read.frame_number, read.frame), (numbers.frame_number, dependency.frame));
    }
}
