//! Layers inside a stream: whatever the limit does, what is sent can be decoded, and soon it is what was asked for.

use std::collections::HashSet;
use std::time::Duration;

use super::*;
use crate::rtp::dependency::{DecodeTargets, FrameDependency, Indications, References};

const FRAME: Duration = Duration::from_millis(33);
const LIVE: StreamIndex = StreamIndex(0);

/// A frame of a test encoder.
#[derive(Debug, Clone, Copy)]
struct Frame {
    number: u16,
    picture: u32,
    layer: Layer,
    is_key: bool,
    indications: Indications,
    references: [Option<u16>; 2],
}

/// An encoder with three temporal layers, whose spatial layers depend on each other in every picture (`L3T3`) or in
/// key pictures only (`L3T3_KEY`), with the templates that libwebrtc's structures have.
struct Encoder {
    spatial: u8,
    is_key_svc: bool,
    /// Layers that are produced.
    active: u8,
    picture: usize,
    timestamp: u32,
    next: u16,
    last: [[Option<u16>; 3]; 3],
}

impl Encoder {
    const fn new(spatial: u8, is_key_svc: bool) -> Self {
        Self {
            spatial,
            is_key_svc,
            active: spatial,
            picture: 0,
            timestamp: 0,
            next: 65_500,
            last: [[None; 3]; 3],
        }
    }

    fn targets(&self) -> DecodeTargets {
        let layers: Vec<_> = (0..self.spatial).flat_map(|s| (0..3).map(move |t| (s, t))).collect();
        DecodeTargets::of(&layers)
    }

    fn shoot(&mut self, is_key: bool) -> Vec<Frame> {
        if is_key {
            self.picture = 0;
        }
        let temporal = [0, 2, 1, 2][self.picture % 4];
        let before = self.picture % 4;
        self.timestamp += 3000;
        self.picture += 1;
        let mut below = None;
        (0..self.active)
            .map(|spatial| {
                let number = self.next;
                self.next = self.next.wrapping_add(1);
                let layers = &mut self.last[usize::from(spatial)];
                let earlier = match (is_key, before) {
                    (true, _) => None,
                    (_, 3) => layers[1],
                    _ => layers[0],
                };
                layers[usize::from(temporal)] = Some(number);
                let inter_layer = if is_key || !self.is_key_svc { below } else { None };
                below = Some(number);
                Frame {
                    number,
                    picture: self.timestamp,
                    layer: Layer { spatial, temporal },
                    is_key,
                    indications: self.indications(spatial, temporal, is_key),
                    references: [earlier, inter_layer],
                }
            })
            .collect()
    }

    fn indications(&self, spatial: u8, temporal: u8, is_key: bool) -> Indications {
        let text: String = (0..self.spatial)
            .flat_map(|s| (0..3).map(move |t| (s, t)))
            .map(|(s, t)| match () {
                () if s < spatial || t < temporal => '-',
                () if s > spatial && self.is_key_svc && !is_key => '-',
                () if s > spatial && !is_key => 'R',
                () if t == temporal && temporal == 2 => 'D',
                () => 'S',
            })
            .collect();
        Indications::of_text(&text)
    }
}

/// One publisher, one subscriber, and a decoder that knows what it got.
struct Bench {
    encoder: Encoder,
    track: DownTrack,
    now: Instant,
    seq: u64,
    wants_key_frame: bool,
    key_frames: usize,
    decoded: HashSet<u16>,
    last_seq: Option<u64>,
    /// Layers of the frames of the last picture that was sent.
    shown: Vec<Layer>,
}

impl Bench {
    fn new(encoder: Encoder) -> Self {
        let config = DownTrackConfig {
            kind: MediaKind::Video,
            clock_rate_hz: 90_000,
            first_seq: 1,
            takes_descriptors: true,
        };
        Self {
            encoder,
            track: DownTrack::new(config),
            now: Instant::now(),
            seq: 1000,
            wants_key_frame: true,
            key_frames: 0,
            decoded: HashSet::new(),
            last_seq: None,
            shown: Vec::new(),
        }
    }

    fn limit(&mut self, spatial: u8, temporal: u8) {
        self.track.set_max_layer(Layer { spatial, temporal });
    }

    /// Two packets for each frame of the next picture.
    fn shoot(&mut self) {
        let is_key = std::mem::take(&mut self.wants_key_frame);
        self.key_frames += usize::from(is_key);
        self.now += FRAME;
        let frames = self.encoder.shoot(is_key);
        self.shown.clear();
        let mut marked = 0;
        for (frame, half) in frames.iter().flat_map(|frame| [(frame, 0), (frame, 1)]) {
            self.seq += 1;
            let packet = self.packet(frame, half == 0);
            let verdict = self.track.handle(self.now, &packet, [LIVE].into_iter().collect());
            self.wants_key_frame |= verdict.key_frame_of.is_some();
            let Ok(rewrite) = verdict.outcome else { continue };
            assert!(self.last_seq.is_none_or(|last| rewrite.seq == last + 1), "no holes");
            self.last_seq = Some(rewrite.seq);
            marked += usize::from(rewrite.ends_picture);
            if half == 0 {
                for reference in frame.references.into_iter().flatten() {
                    assert!(self.decoded.contains(&reference), "{frame:?} cannot be decoded");
                }
                self.decoded.insert(frame.number);
                self.shown.push(frame.layer);
            }
        }
        assert!(marked <= 1 && (marked == 1 || self.shown.is_empty() || self.encoder.active < 3));
    }

    fn packet(&self, frame: &Frame, starts_frame: bool) -> Packet {
        let mut references = References::default();
        for reference in frame.references.into_iter().flatten() {
            references.insert(frame.number.wrapping_sub(reference).into());
        }
        let dependency = PacketDependency {
            starts_frame,
            ends_frame: !starts_frame,
            has_structure: frame.is_key && frame.layer.spatial == 0 && starts_frame,
            frame_number: frame.number,
            structure: 1,
            targets: self.encoder.targets(),
            active_targets: u32::MAX >> (32 - 3 * u32::from(self.encoder.active)),
            frame: FrameDependency { layer: frame.layer, indications: frame.indications, references },
        };
        Packet {
            stream: LIVE,
            seq: self.seq,
            timestamp: frame.picture,
            reference_timestamp: None,
            starts_key_frame: dependency.has_structure,
            is_padding: false,
            vp8: None,
            layer: None,
            dependency: Some(dependency),
            needs_descriptor: true,
        }
    }

    /// Runs until the highest layers of four pictures are this; how many key frames that took.
    fn reaches(&mut self, spatial: u8, temporals: usize) -> usize {
        let before = self.key_frames;
        for _ in 0..12 {
            let mut pictures = Vec::new();
            for _ in 0..4 {
                self.shoot();
                pictures.extend(self.shown.iter().max().copied());
            }
            let is_there = pictures.len() == [1, 2, 4][temporals - 1]
                && pictures.iter().all(|layer| layer.spatial == spatial);
            if is_there {
                return self.key_frames - before;
            }
        }
        panic!("never reached: {:?}", self.shown);
    }
}

#[test]
fn spatial_layers_change_with_key_frames_where_the_codec_needs_them() {
    let mut bench = Bench::new(Encoder::new(3, true));
    assert_eq!(bench.reaches(2, 3), 1);
    assert_eq!(bench.shown, [Layer { spatial: 2, temporal: 2 }], "nothing that is not needed");
    for spatial in [0, 1] {
        bench.shoot(); // the first picture after a key picture still depends on all of that
        bench.limit(spatial, 7);
        assert_eq!(bench.reaches(spatial, 3), 1);
    }
}

#[test]
fn full_svc_goes_down_without_a_key_frame() {
    let mut bench = Bench::new(Encoder::new(3, false));
    assert_eq!(bench.reaches(2, 3), 1);
    bench.limit(1, 7);
    assert_eq!(bench.reaches(1, 3), 0);
    bench.limit(0, 7);
    assert_eq!(bench.reaches(0, 3), 0);
    bench.limit(2, 7);
    assert_eq!(bench.reaches(2, 3), 1);
}

#[test]
fn temporal_layers_never_need_a_key_frame() {
    for (spatial, is_key_svc) in [(1, false), (3, true), (3, false)] {
        let mut bench = Bench::new(Encoder::new(spatial, is_key_svc));
        assert_eq!(bench.reaches(spatial - 1, 3), 1);
        for temporal in [0, 1, 2, 0, 2, 1] {
            bench.limit(7, temporal);
            assert_eq!(bench.reaches(spatial - 1, usize::from(temporal) + 1), 0, "T{temporal}");
        }
    }
}

#[test]
fn a_layer_that_the_publisher_stops_gives_way() {
    for (is_key_svc, key_frames) in [(true, 1), (false, 0)] {
        let mut bench = Bench::new(Encoder::new(3, is_key_svc));
        bench.reaches(2, 3);
        bench.shoot();
        bench.encoder.active = 2;
        assert_eq!(bench.reaches(1, 3), key_frames);
        bench.encoder.active = 3;
        assert_eq!(bench.reaches(2, 3), 1, "it is back");
    }
}

#[test]
fn whatever_the_limit_does_all_that_is_sent_can_be_decoded() {
    let mut state = 7_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u8::try_from((state >> 33) % below).unwrap()
    };
    for round in 0..60 {
        let mut bench = Bench::new(Encoder::new(1 + round % 3, round % 2 == 0));
        for _ in 0..200 {
            if random(6) == 0 {
                bench.limit(random(3), random(3));
            }
            if random(40) == 0 {
                bench.track.interrupt();
            }
            if random(50) == 0 {
                bench.encoder.active = 1 + random(u64::from(bench.encoder.spatial));
            }
            bench.shoot();
        }
        bench.encoder.active = bench.encoder.spatial;
        bench.limit(7, 7);
        bench.reaches(bench.encoder.spatial - 1, 3);
    }
}

#[test]
fn frame_numbers_run_on_and_tell_what_is_active() {
    let mut bench = Bench::new(Encoder::new(3, true));
    let numbers = |bench: &mut Bench, frame: &Frame, starts: bool| {
        bench.seq += 1;
        let packet = bench.packet(frame, starts);
        bench
            .track
            .handle(bench.now, &packet, [LIVE].into_iter().collect())
            .outcome
            .unwrap()
            .dependency
            .unwrap()
    };
    bench.limit(0, 7);
    let key = bench.encoder.shoot(true)[0];
    let rewrite = numbers(&mut bench, &key, true);
    assert_eq!(rewrite, DependencyRewrite { frame_number: 65_500, active_targets: Some((0b111, 9)) });
    assert_eq!(numbers(&mut bench, &key, false), rewrite, "the whole frame says it");
    let next = bench.encoder.shoot(false)[0];
    let rewrite = numbers(&mut bench, &next, true);
    assert_eq!(rewrite, DependencyRewrite { frame_number: 65_503, active_targets: None });
    bench.track.interrupt();
    bench.encoder.next = 100;
    let key = bench.encoder.shoot(true)[0];
    assert_eq!(numbers(&mut bench, &key, true).frame_number, 65_504);
}

#[test]
fn without_descriptors_av1_is_one_spatial_layer() {
    let mut bench = Bench::new(Encoder::new(3, true));
    let config = DownTrackConfig {
        kind: MediaKind::Video,
        clock_rate_hz: 90_000,
        first_seq: 1,
        takes_descriptors: false,
    };
    bench.track = DownTrack::new(config);
    assert_eq!(bench.reaches(0, 3), 1);
}

#[test]
fn packets_that_come_late_follow_their_frame() {
    let mut bench = Bench::new(Encoder::new(1, false));
    bench.limit(0, 0);
    let give = |bench: &mut Bench, frame: &Frame, seq: u64, starts: bool| {
        bench.seq = seq;
        let packet = bench.packet(frame, starts);
        bench
            .track
            .handle(bench.now, &packet, [LIVE].into_iter().collect())
            .outcome
            .map(|rewrite| rewrite.seq)
    };
    let pictures: Vec<Frame> = (0..6).map(|n| bench.encoder.shoot(n == 0)[0]).collect();
    assert_eq!(give(&mut bench, &pictures[0], 10, true), Ok(1));
    assert_eq!(give(&mut bench, &pictures[1], 12, true), Err(DropReason::LayerNotSelected));
    assert_eq!(give(&mut bench, &pictures[4], 18, true), Ok(8 - 2 + 2), "14 to 17 are on their way");
    assert_eq!(give(&mut bench, &pictures[0], 11, false), Ok(2));
    assert_eq!(give(&mut bench, &pictures[1], 13, false), Err(DropReason::LayerNotSelected));
    assert_eq!(
        give(&mut bench, &pictures[3], 16, true),
        Err(DropReason::LayerNotSelected),
        "never seen before"
    );
    assert_eq!(give(&mut bench, &pictures[4], 19, false), Ok(9));
}

mod by_payload {
    //! Layers as VP8 and VP9 payload descriptors tell them.

    use super::*;
    use crate::rtp::Vp8Ids;

    fn video() -> DownTrack {
        DownTrack::new(DownTrackConfig {
            kind: MediaKind::Video,
            clock_rate_hz: 90_000,
            first_seq: 1,
            takes_descriptors: false,
        })
    }

    fn packet(seq: u64, facts: LayerFacts) -> Packet {
        Packet {
            stream: LIVE,
            seq,
            timestamp: 0,
            reference_timestamp: None,
            starts_key_frame: false,
            is_padding: false,
            vp8: None,
            layer: Some(facts),
            dependency: None,
            needs_descriptor: false,
        }
    }

    fn give(track: &mut DownTrack, packet: Packet) -> Verdict {
        track.handle(Instant::now(), &packet, [LIVE].into_iter().collect())
    }

    /// The pattern of libvpx: T0 T2 T1 T2, the first T2 and T1 synchronise.
    fn vp8(n: u16) -> Packet {
        let temporal = [0, 2, 1, 2][usize::from(n) % 4];
        let facts = LayerFacts {
            layer: Layer { spatial: 0, temporal },
            starts_frame: true,
            is_sync: n % 8 == 1 || n % 8 == 2,
            ..LayerFacts::default()
        };
        let tl0 = u8::try_from(n / 4).unwrap();
        let ids = Vp8Ids { picture_id: Some(n), picture_id_is_long: true, tl0_pic_idx: Some(tl0) };
        Packet { vp8: Some(ids), starts_key_frame: n == 0, ..packet(u64::from(n) + 500, facts) }
    }

    #[test]
    fn temporal_layers_of_vp8_come_at_sync_points_and_go_at_once() {
        let mut track = video();
        let mut sent = Vec::new();
        for n in 0..64 {
            match n {
                3 => track.set_max_layer(Layer { spatial: 7, temporal: 0 }),
                21 => track.set_max_layer(Layer { spatial: 7, temporal: 1 }),
                39 => track.set_max_layer(Layer { spatial: 7, temporal: 2 }),
                _ => {}
            }
            if let Ok(rewrite) = give(&mut track, vp8(n)).outcome {
                let place = u64::try_from(sent.len()).unwrap();
                assert_eq!(rewrite.seq, 1 + place, "no holes");
                assert_eq!(rewrite.picture_id.map(u64::from), Some(place), "none here either");
                assert_eq!(rewrite.tl0_pic_idx.map(u16::from), Some(n / 4));
                sent.push(n);
            }
        }
        let expected: Vec<u16> = (0..64)
            .filter(|n| match n {
                3..26 => n % 4 == 0,  // T1 may only come back with 26, a sync point
                26..41 => n % 2 == 0, // T2 with 41
                _ => true,
            })
            .collect();
        assert_eq!(sent, expected);
    }

    fn vp9(seq: u64, spatial: u8, temporal: u8) -> LayerPacket {
        LayerPacket(packet(
            seq,
            LayerFacts {
                layer: Layer { spatial, temporal },
                starts_frame: true,
                ends_frame: true,
                is_sync: false,
            },
        ))
    }

    struct LayerPacket(Packet);

    impl LayerPacket {
        fn key(mut self) -> Packet {
            self.0.starts_key_frame = self.0.layer.unwrap().layer.spatial == 0;
            self.0
        }
    }

    #[test]
    fn spatial_layers_of_vp9_come_with_a_key_picture_and_go_at_any() {
        let mut track = video();
        let mut seq = 100;
        let mut picture = |track: &mut DownTrack, is_key: bool| {
            let verdicts: Vec<Verdict> = (0..3)
                .map(|spatial| {
                    seq += 1;
                    let packet = vp9(seq, spatial, 0);
                    give(track, if is_key { packet.key() } else { packet.0 })
                })
                .collect();
            let sent: Vec<bool> = verdicts.iter().map(|verdict| verdict.outcome.is_ok()).collect();
            let marked: Vec<bool> =
                verdicts.iter().filter_map(|v| v.outcome.ok()).map(|r| r.ends_picture).collect();
            (sent, marked, verdicts.iter().any(|verdict| verdict.key_frame_of.is_some()))
        };
        track.set_max_layer(Layer { spatial: 1, temporal: 7 });
        assert_eq!(picture(&mut track, true), (vec![true, true, false], vec![false, true], false));
        track.set_max_layer(Layer { spatial: 2, temporal: 7 });
        assert_eq!(picture(&mut track, false), (vec![true, true, false], vec![false, true], true));
        assert_eq!(picture(&mut track, true).0, [true; 3]);
        track.set_max_layer(Layer { spatial: 0, temporal: 7 });
        assert_eq!(picture(&mut track, false), (vec![true, false, false], vec![true], false));
    }

    #[test]
    fn temporal_layers_of_vp9_come_at_switching_points() {
        let mut track = video();
        track.set_max_layer(Layer { spatial: 7, temporal: 0 });
        assert!(give(&mut track, vp9(1, 0, 0).key()).outcome.is_ok());
        assert!(give(&mut track, vp9(2, 0, 1).0).outcome.is_err());
        track.set_max_layer(Layer { spatial: 7, temporal: 1 });
        assert!(give(&mut track, vp9(3, 0, 1).0).outcome.is_err());
        let mut up = vp9(4, 0, 1).0;
        up.layer.as_mut().unwrap().is_sync = true;
        assert!(give(&mut track, up).outcome.is_ok());
        assert!(give(&mut track, vp9(5, 0, 1).0).outcome.is_ok());
        assert!(give(&mut track, vp9(6, 0, 2).0).outcome.is_err());
    }
}
