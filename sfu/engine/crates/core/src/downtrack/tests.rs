//! Whole down tracks: what a subscriber gets of one or three streams.

use std::time::Duration;

use super::*;

const FRAME: Duration = Duration::from_millis(33);

struct Bench {
    track: DownTrack,
    now: Instant,
    live: StreamSet,
}

fn video() -> Bench {
    bench(MediaKind::Video, 90_000)
}

fn bench(kind: MediaKind, clock_rate_hz: u32) -> Bench {
    let config = DownTrackConfig { kind, clock_rate_hz, first_seq: 100, takes_descriptors: true };
    Bench { track: DownTrack::new(config), now: Instant::now(), live: streams(&[0, 1, 2]) }
}

fn streams(indices: &[u8]) -> StreamSet {
    indices.iter().copied().map(StreamIndex).collect()
}

fn packet(stream: u8, seq: u64, timestamp: u32) -> Packet {
    Packet {
        stream: StreamIndex(stream),
        seq,
        timestamp,
        reference_timestamp: None,
        starts_key_frame: false,
        is_padding: false,
        vp8: None,
        layer: None,
        dependency: None,
        needs_descriptor: false,
    }
}

fn key(packet: Packet) -> Packet {
    Packet { starts_key_frame: true, ..packet }
}

fn padding(seq: u64) -> Packet {
    Packet { is_padding: true, ..packet(2, seq, 0) }
}

impl Bench {
    fn give(&mut self, packet: Packet) -> Verdict {
        self.track.handle(self.now, &packet, self.live)
    }

    /// Sequence number that the packet goes out with.
    fn seq(&mut self, packet: Packet) -> Result<u64, DropReason> {
        self.give(packet).outcome.map(|rewrite| rewrite.seq)
    }

    fn timestamp(&mut self, packet: Packet) -> u32 {
        self.give(packet).outcome.unwrap().timestamp
    }
}

#[test]
fn video_starts_at_a_key_frame_of_the_best_stream() {
    let mut bench = video();
    assert_eq!(bench.track.wanted_key_frame(bench.live), Some(StreamIndex(2)));
    let verdict = bench.give(packet(2, 7, 1));
    assert_eq!(verdict.outcome, Err(DropReason::AwaitingKeyFrame));
    assert_eq!(verdict.key_frame_of, Some(StreamIndex(2)));
    let verdict = bench.give(key(packet(2, 8, 1)));
    let expected = Rewrite {
        seq: 100,
        timestamp: 1,
        picture_id: None,
        tl0_pic_idx: None,
        ends_picture: false,
        dependency: None,
    };
    assert_eq!(verdict, Verdict { outcome: Ok(expected), key_frame_of: None });
    assert_eq!(bench.seq(packet(2, 9, 1)), Ok(101));
    assert_eq!(bench.seq(packet(1, 500, 1)), Err(DropReason::LayerNotSelected));
    assert_eq!(bench.track.key_frame_source(bench.live), Some(StreamIndex(2)));
}

#[test]
fn a_smaller_stream_plays_until_the_best_has_its_key_frame() {
    let mut bench = video();
    assert_eq!(bench.seq(key(packet(0, 70_000, 1))), Ok(100));
    assert_eq!(bench.give(packet(0, 70_001, 1)).key_frame_of, Some(StreamIndex(2)));
    assert_eq!(bench.seq(packet(2, 8, 1)), Err(DropReason::LayerNotSelected));
    assert_eq!(
        bench.seq(key(packet(1, 8, 1))),
        Err(DropReason::LayerNotSelected),
        "no detour over the middle"
    );
    assert_eq!(bench.seq(key(packet(2, 9, 1))), Ok(102));
    assert_eq!(bench.seq(packet(0, 70_002, 1)), Err(DropReason::LayerNotSelected));
    assert_eq!(bench.give(packet(2, 10, 1)).key_frame_of, None);
}

#[test]
fn a_dead_stream_gives_way_to_the_next_best() {
    let mut bench = video();
    bench.give(key(packet(2, 1, 1)));
    bench.live = streams(&[0, 1]);
    let verdict = bench.give(packet(1, 50, 1));
    assert_eq!(
        verdict,
        Verdict { outcome: Err(DropReason::AwaitingKeyFrame), key_frame_of: Some(StreamIndex(1)) }
    );
    assert_eq!(bench.seq(key(packet(0, 60, 1))), Ok(101), "anything is better than nothing");
    assert_eq!(bench.seq(key(packet(1, 51, 1))), Ok(102));
    bench.live = streams(&[0, 1, 2]);
    assert_eq!(bench.give(packet(1, 52, 1)).key_frame_of, Some(StreamIndex(2)), "it is back");
}

#[test]
fn a_limit_switches_down_at_a_key_frame() {
    let mut bench = video();
    bench.give(key(packet(2, 1, 1)));
    bench.track.set_max_layer(Layer { spatial: 0, temporal: 7 });
    let verdict = bench.give(packet(2, 2, 1));
    assert_eq!(verdict.key_frame_of, Some(StreamIndex(0)));
    assert!(verdict.outcome.is_ok(), "the old stream plays on meanwhile");
    assert_eq!(bench.seq(key(packet(0, 9, 1))), Ok(102));
    assert_eq!(bench.seq(packet(2, 3, 1)), Err(DropReason::LayerNotSelected));
}

#[test]
fn audio_passes_from_the_first_packet() {
    let mut bench = bench(MediaKind::Audio, 48_000);
    assert_eq!(bench.track.wanted_key_frame(bench.live), None);
    assert_eq!(bench.seq(packet(0, 65_535, 960)), Ok(100));
    assert_eq!(bench.seq(packet(0, 65_536, 1920)), Ok(101));
}

#[test]
fn disabled_means_nothing_and_then_no_gap() {
    let mut bench = video();
    bench.give(key(packet(2, 1, 3000)));
    bench.track.set_enabled(false);
    assert_eq!(bench.track.wanted_key_frame(bench.live), None);
    assert_eq!(bench.seq(packet(2, 2, 6000)), Err(DropReason::DownTrackDisabled));
    bench.now += Duration::from_secs(10);
    bench.track.set_enabled(true);
    assert_eq!(bench.track.wanted_key_frame(bench.live), Some(StreamIndex(2)));
    assert_eq!(bench.seq(packet(2, 300, 900_000)), Err(DropReason::AwaitingKeyFrame));
    let rewrite = bench.give(key(packet(2, 301, 903_000))).outcome.unwrap();
    assert_eq!((rewrite.seq, rewrite.timestamp), (101, 903_000), "numbers run on, time really passed");
}

#[test]
fn packets_left_out_on_purpose_leave_no_gap() {
    for kind in [MediaKind::Audio, MediaKind::Video] {
        let mut bench = bench(kind, 90_000);
        assert_eq!(bench.seq(key(packet(2, 10, 0))), Ok(100));
        bench.track.interrupt();
        bench.now += Duration::from_secs(1);
        let next = bench.give(packet(2, 40, 90_000));
        if kind == MediaKind::Video {
            assert_eq!(next.outcome, Err(DropReason::AwaitingKeyFrame));
            assert_eq!(next.key_frame_of, Some(StreamIndex(2)));
        }
        let rewrite = bench.give(key(packet(2, 41, 93_000))).outcome.unwrap();
        assert_eq!(rewrite.timestamp, 93_000, "time went on");
        assert_eq!(rewrite.seq, if kind == MediaKind::Audio { 102 } else { 101 });
    }
}

#[test]
fn padding_closes_up() {
    let mut bench = video();
    assert_eq!(bench.seq(key(packet(2, 10, 0))), Ok(100));
    for seq in 11..=20 {
        assert_eq!(bench.seq(padding(seq)), Err(DropReason::PaddingOnly));
    }
    assert_eq!(bench.seq(packet(2, 22, 0)), Ok(102), "21 is on its way");
    assert_eq!(bench.seq(packet(2, 21, 0)), Ok(101));
    assert_eq!(bench.seq(padding(24)), Err(DropReason::PaddingOnly));
    assert_eq!(bench.seq(packet(2, 25, 0)), Ok(104), "23 is on its way");
    assert_eq!(bench.seq(packet(2, 23, 0)), Ok(103));
    assert_eq!(bench.seq(padding(23)), Err(DropReason::PaddingOnly), "too late to close up");
    assert_eq!(bench.seq(packet(2, 26, 0)), Ok(105));
    assert_eq!(bench.seq(packet(2, 9, 0)), Err(DropReason::TooOld));
}

#[test]
fn no_number_is_given_twice_when_a_packet_comes_again_as_something_else() {
    let mut bench = video();
    assert_eq!(bench.seq(key(packet(2, 10, 0))), Ok(100));
    assert_eq!(bench.seq(padding(10)), Err(DropReason::PaddingOnly), "it has gone out");
    assert_eq!(bench.seq(packet(2, 11, 0)), Ok(101));
    for seq in [14, 15] {
        assert_eq!(bench.seq(padding(seq)), Err(DropReason::PaddingOnly));
    }
    assert_eq!(bench.seq(packet(2, 16, 0)), Ok(104));
    assert_eq!(bench.seq(packet(2, 15, 0)), Err(DropReason::TooOld), "its place was closed up");
    assert_eq!(bench.seq(packet(2, 14, 0)), Err(DropReason::TooOld));
    assert_eq!(bench.seq(packet(2, 13, 0)), Ok(103));
}

#[test]
fn a_flood_of_padding_keeps_late_packets_of_the_recent_past_right() {
    let mut bench = video();
    bench.give(key(packet(2, 0, 0)));
    // Media on even numbers, padding on odd ones; every media packet comes 20 packets late a second time.
    for half in 1..2000_u64 {
        assert_eq!(bench.seq(padding(half * 2 - 1)), Err(DropReason::PaddingOnly));
        assert_eq!(bench.seq(packet(2, half * 2, 0)), Ok(100 + half));
        if half > 20 {
            assert_eq!(bench.seq(packet(2, (half - 20) * 2, 0)), Ok(100 + half - 20));
        }
    }
    assert_eq!(bench.seq(packet(2, 2000, 0)), Err(DropReason::TooOld));
}

#[test]
fn a_stream_that_begins_anew_is_no_gap() {
    let mut bench = video();
    bench.give(key(packet(2, 10, 9000)));
    bench.now += FRAME;
    assert_eq!(bench.seq(packet(2, 50_000, 77)), Err(DropReason::AwaitingKeyFrame));
    let rewrite = bench.give(key(packet(2, 50_001, 77))).outcome.unwrap();
    assert_eq!((rewrite.seq, rewrite.timestamp), (101, 9000 + 3000));
}

#[test]
fn timestamps_follow_the_sender_reports() {
    let mut bench = video();
    let with_reference =
        |packet: Packet, reference| Packet { reference_timestamp: Some(reference), ..packet };
    assert_eq!(bench.timestamp(with_reference(key(packet(0, 1, 1000)), 4_294_967_000)), 1000);
    bench.now += FRAME;
    // One frame (3000 ticks) later on the common timeline, which wraps meanwhile.
    assert_eq!(bench.timestamp(with_reference(key(packet(2, 1, 77)), 2704)), 4000);
    assert_eq!(bench.timestamp(with_reference(packet(2, 2, 3077), 5704)), 7000);
}

#[test]
fn timestamps_never_stand_still_or_go_back_at_a_switch() {
    let mut bench = video();
    let with_reference =
        |packet: Packet, reference| Packet { reference_timestamp: Some(reference), ..packet };
    assert_eq!(bench.timestamp(with_reference(key(packet(0, 1, 1000)), 5000)), 1000);
    assert_eq!(
        bench.timestamp(with_reference(key(packet(2, 1, 77)), 5000)),
        1001,
        "the same picture, larger"
    );
    bench.track.set_max_layer(Layer { spatial: 0, temporal: 7 });
    assert_eq!(bench.timestamp(with_reference(key(packet(0, 2, 1500)), 4990)), 1002);
}

#[test]
fn timestamps_follow_the_clock_when_nothing_else_is_known() {
    let mut bench = video();
    assert_eq!(bench.timestamp(key(packet(0, 1, u32::MAX - 10))), u32::MAX - 10);
    bench.now += Duration::from_secs(2);
    assert_eq!(bench.timestamp(key(packet(2, 1, 1 << 30))), 180_000 - 11);
    bench.track.set_max_layer(Layer { spatial: 0, temporal: 7 });
    assert_eq!(bench.timestamp(key(packet(0, 9, 1 << 29))), 183_000 - 11, "one frame at least");
}

#[test]
fn picture_ids_run_on_over_a_switch() {
    let mut bench = video();
    let with_ids = |packet: Packet, picture_id, tl0| Packet {
        vp8: Some(Vp8Ids { picture_id: Some(picture_id), picture_id_is_long: true, tl0_pic_idx: Some(tl0) }),
        ..packet
    };
    let ids =
        |verdict: Verdict| verdict.outcome.map(|rewrite| (rewrite.picture_id, rewrite.tl0_pic_idx)).unwrap();
    assert_eq!(ids(bench.give(with_ids(key(packet(0, 1, 0)), 0x7fff, 255))), (Some(0x7fff), Some(255)));
    assert_eq!(ids(bench.give(with_ids(key(packet(2, 1, 0)), 40, 3))), (Some(0), Some(0)));
    assert_eq!(ids(bench.give(with_ids(packet(2, 2, 0), 41, 4))), (Some(1), Some(1)));
}

#[test]
fn the_first_number_is_never_zero() {
    let config = DownTrackConfig {
        kind: MediaKind::Audio,
        clock_rate_hz: 48_000,
        first_seq: 0,
        takes_descriptors: true,
    };
    let mut track = DownTrack::new(config);
    let verdict = track.handle(Instant::now(), &packet(0, 0, 0), streams(&[0]));
    assert_eq!(verdict.outcome.map(|rewrite| rewrite.seq), Ok(1));
}

/// Whatever comes in, what goes out has no number twice for different packets, and time never runs backwards by more
/// than reordering explains.
#[test]
fn random_input_gives_an_unbroken_stream() {
    for seed in 1..200_u64 {
        let mut random = Random(seed);
        let mut bench = video();
        let mut heads = [10_000_u64, 20_000, 30_000];
        let mut sent = std::collections::HashMap::new();
        for _ in 0..600 {
            bench.now += Duration::from_millis(random.below(20));
            if random.below(40) == 0 {
                bench.live = streams(&[0, 1, 2]).iter().skip(usize::from(random.byte_below(3))).collect();
            }
            if random.below(60) == 0 {
                bench.track.set_enabled(random.below(2) == 0);
            }
            let stream = random.byte_below(3);
            let head = &mut heads[usize::from(stream)];
            *head += 1 + random.below(2);
            let seq = *head - random.below(4);
            let input = Packet {
                starts_key_frame: random.below(5) == 0,
                is_padding: seq % 6 == u64::from(stream),
                ..packet(stream, seq, u32::try_from(seq * 3000).unwrap())
            };
            if let Ok(rewrite) = bench.give(input).outcome {
                assert!(rewrite.seq >= 100, "seed {seed}");
                let origin = *sent.entry(rewrite.seq).or_insert((stream, seq));
                assert_eq!(origin, (stream, seq), "seed {seed}: two packets as {}", rewrite.seq);
            }
        }
        let (lowest, highest) = (sent.keys().min().unwrap(), sent.keys().max().unwrap());
        assert!(highest - lowest < 700, "seed {seed}: numbers must not run away");
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn byte_below(&mut self, limit: u8) -> u8 {
        u8::try_from(self.below(limit.into())).unwrap()
    }
}
