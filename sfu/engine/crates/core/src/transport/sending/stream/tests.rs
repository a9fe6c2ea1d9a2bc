//! One stream against a peer that opens what it sends.

use std::cell::Cell;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use str0m::crypto::dtls::SrtpProfile;

use super::super::srtp::Keying;
use super::*;

const MEDIA: u32 = 0x1111_2222;
const RESEND: u32 = 0x3333_4444;

struct Sent {
    payload_type: u8,
    marker: bool,
    seq: u16,
    timestamp: u32,
    ssrc: u32,
    payload: Vec<u8>,
}

/// The peer's key: an implementation apart from the one under test.
struct Peer {
    key: LessSafeKey,
    salt: [u8; 12],
}

impl Peer {
    fn new(material: &[u8]) -> Self {
        let derive = |label: u8, out: &mut [u8]| {
            let mut first = [0; 16];
            first[..12].copy_from_slice(&material[32..44]);
            first[7] ^= label;
            let key = EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, &material[..16]).unwrap()).unwrap();
            key.less_safe_encrypt(out, EncryptionContext::Iv128(first.into())).unwrap();
        };
        let (mut key, mut salt) = ([0; 16], [0; 12]);
        derive(0, &mut key);
        derive(2, &mut salt);
        Self { key: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap()), salt }
    }

    fn open(&self, datagram: &[u8], roll_over: u32) -> Sent {
        let word = |at: usize| u32::from_be_bytes(*datagram[at..].first_chunk().unwrap());
        let extension_bytes =
            if datagram[0] & 0x10 == 0 { 0 } else { 4 + usize::from((word(12) & 0xffff) as u16) * 4 };
        let (header, body) = datagram.split_at(12 + extension_bytes);
        let index = u64::from(roll_over) << 16 | u64::from(word(0) & 0xffff);
        let mut nonce: [u8; NONCE_LEN] = self.salt;
        let unsalted = [&[0, 0][..], &word(8).to_be_bytes(), &index.to_be_bytes()[2..]].concat();
        nonce.iter_mut().zip(unsalted).for_each(|(byte, mask)| *byte ^= mask);
        let mut body = body.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let payload = self.key.open_in_place(nonce, Aad::from(header), &mut body).unwrap().to_vec();
        Sent {
            payload_type: datagram[1] & 0x7f,
            marker: datagram[1] & 0x80 != 0,
            seq: (word(0) & 0xffff) as u16,
            timestamp: word(4),
            ssrc: word(8),
            payload,
        }
    }
}

struct Bench {
    now: Instant,
    stream: SendStream,
    session: SrtpSession,
    peer: Peer,
    /// Every packet gets another stamp.
    stamps: Cell<u16>,
}

impl Bench {
    fn new(resend: Option<u32>) -> Self {
        Self::of(MediaKind::Video, resend, ExtensionIds::default())
    }

    fn of(kind: MediaKind, resend: Option<u32>, ids: ExtensionIds) -> Self {
        let now = Instant::now();
        let material: Vec<u8> = (0..56).collect();
        let peer = Peer::new(&material);
        let keying = Keying { profile: SrtpProfile::AEAD_AES_128_GCM, material, is_active: true };
        let config = StreamConfig {
            ssrcs: Ssrcs { media: MEDIA, resend },
            kind,
            padding_type: Some(97),
            mid: Mid::from("0"),
            cname: "PA_x".into(),
            ids,
            history_packets: 300,
            clock_rate_hz: 90_000,
            playout: None,
            time_of_day: TimeOfDay::new(now, std::time::UNIX_EPOCH + Duration::from_secs(1_000)),
            first_resend_seq: 500,
        };
        let session = SrtpSession::new(&keying).unwrap();
        Self { now, stream: SendStream::new(now, config), session, peer, stamps: Cell::new(0) }
    }

    fn send(&mut self, seq: u64, payload: &[u8], patch: Patch) -> Vec<u8> {
        let payload: Arc<[u8]> = Arc::from(payload);
        let packet = OutgoingPacket {
            payload_type: 96,
            resend_type: Some(if self.stream.kind == MediaKind::Audio { 96 } else { 97 }),
            marker: seq % 2 == 1,
            starts_key_frame: false,
            seq,
            timestamp: 1_000 + low(seq),
            captured_at: self.now,
            payload: &payload,
            patch,
            values: &ExtensionValues::default(),
            descriptor: None,
        };
        let mut out = vec![1, 2, 3];
        self.stream.write(self.stamp(), &self.session, &mut out, &packet).unwrap();
        assert_eq!(out[..3], [1, 2, 3]);
        out.split_off(3)
    }

    fn stamp(&self) -> Stamp {
        let nth = self.stamps.get();
        self.stamps.set(nth + 1);
        Stamp { now: self.now, send_time: u32::from(nth) << 4, transport_seq: nth }
    }

    fn pad(&mut self, nth: u64, bytes: usize) -> Option<Vec<u8>> {
        let mut out = vec![1, 2, 3];
        let stamp = self.stamp();
        let is_written = self.stream.write_padding(stamp, &self.session, &mut out, (nth, bytes));
        assert_eq!(out.len() > 3, is_written);
        is_written.then(|| out.split_off(3))
    }

    fn resend(&mut self, seq: u16) -> Option<Vec<u8>> {
        let mut out = vec![1, 2, 3];
        let is_written = self.stream.write_again(self.stamp(), &self.session, &mut out, (seq, false));
        assert_eq!(out.len() > 3, is_written);
        is_written.then(|| out.split_off(3))
    }
}

/// The low bits of a number.
#[expect(clippy::cast_possible_truncation, reason = "that is the point")]
fn low(number: u64) -> u32 {
    number as u32
}

#[test]
fn the_peer_opens_what_is_sent_over_the_roll_over_of_numbers() {
    let mut bench = Bench::new(None);
    for seq in 65_530..65_545_u64 {
        let payload = seq.to_be_bytes();
        let datagram = bench.send(seq, &payload, Patch::NONE);
        let sent = bench.peer.open(&datagram, low(seq >> 16));
        assert_eq!((sent.payload_type, sent.ssrc, sent.marker), (96, MEDIA, seq % 2 == 1));
        assert_eq!((sent.seq, sent.timestamp), ((seq & 0xffff) as u16, 1_000 + low(seq)));
        assert_eq!(sent.payload, payload);
    }
}

#[test]
fn a_packet_that_is_sent_again_is_the_one_that_was_lost() {
    let mut bench = Bench::new(Some(RESEND));
    let payload = [0x90, 0x80, 0x92, 0x34, 1, 2, 3];
    let patch = Patch::vp8_ids(&payload, Some(0x4321), None);
    for seq in 100..110 {
        bench.send(seq, &payload, patch);
    }
    bench.now += Duration::from_millis(30);
    for (nth, seq) in [(0, 105_u16), (1, 103)] {
        let datagram = bench.resend(seq).unwrap();
        let sent = bench.peer.open(&datagram, 0);
        assert_eq!((sent.payload_type, sent.ssrc, sent.seq), (97, RESEND, 500 + nth));
        assert_eq!((sent.timestamp, sent.marker), (1_000 + u32::from(seq), true));
        assert_eq!(sent.payload[..2], seq.to_be_bytes(), "the original number comes first");
        assert_eq!(sent.payload[2..], [0x90, 0x80, 0xc3, 0x21, 1, 2, 3], "with this subscriber's ids");
    }
    assert_eq!(bench.resend(110), None);
}

#[test]
fn audio_that_is_sent_again_is_the_same_datagram() {
    let ids = ExtensionIds::all();
    let mut bench = Bench::of(MediaKind::Audio, None, ids);
    let sent: Vec<Vec<u8>> =
        (65_530..65_545_u64).map(|seq| bench.send(seq, &seq.to_be_bytes(), Patch::NONE)).collect();
    bench.stream.note_report(bench.now, block(MEDIA, 64)); // from now on packets need not name the line
    bench.now += Duration::from_millis(100);
    let later = bench.send(65_545, &[1; 8], Patch::NONE);
    assert!(later.len() < sent[0].len(), "it does not");
    let counted = (bench.stream.packets, bench.stream.octets, bench.stream.highest);
    for (seq, before) in (65_530..65_545_u64).zip(&sent) {
        let again = bench.resend((seq & 0xffff) as u16);
        assert_eq!(again.as_ref(), Some(before), "{seq}: under its number nothing else may be encrypted");
        let opened = bench.peer.open(before, low(seq >> 16));
        assert_eq!((opened.payload_type, opened.ssrc, opened.seq), (96, MEDIA, (seq & 0xffff) as u16));
        assert_eq!(opened.payload, seq.to_be_bytes());
    }
    assert_eq!(
        (bench.stream.packets, bench.stream.octets, bench.stream.highest),
        counted,
        "none counts twice"
    );
    assert_eq!(bench.resend(65_529), None, "never sent");
    assert!(bench.pad(0, 500).is_none(), "audio fills nothing");
    bench.now += Duration::from_secs(1);
    assert_eq!(bench.resend(3), None, "too late to be heard");
}

#[test]
fn a_packet_that_was_held_back_is_the_one_that_came_and_can_be_sent_again() {
    let mut bench = Bench::new(Some(RESEND));
    let payload: Arc<[u8]> = Arc::from(&[5_u8; 20][..]);
    let packet = OutgoingPacket {
        payload_type: 96,
        resend_type: Some(97),
        marker: true,
        starts_key_frame: true,
        seq: 65_600,
        timestamp: 77,
        captured_at: bench.now,
        payload: &payload,
        patch: Patch::NONE,
        values: &ExtensionValues::default(),
        descriptor: None,
    };
    let held = bench.stream.hold(bench.now, &packet);
    assert_eq!((held.payload_bytes(), bench.stream.resend_bytes(64)), (20, None), "it has not left yet");
    bench.now += Duration::from_millis(30);
    let mut out = Vec::new();
    bench.stream.write_held(bench.stamp(), &bench.session, &mut out, held).unwrap();
    let sent = bench.peer.open(&out, 1);
    assert_eq!((sent.payload_type, sent.ssrc, sent.seq, sent.timestamp), (96, MEDIA, 64, 77));
    assert!(sent.marker && sent.payload == [5; 20]);
    assert_eq!(bench.stream.resend_bytes(64), Some(20));
    bench.now += Duration::from_millis(30);
    assert!(bench.resend(64).is_some());
}

#[test]
fn padding_is_a_packet_again_or_nothing_and_never_under_a_number_twice() {
    let mut bench = Bench::new(Some(RESEND));
    assert!(bench.pad(0, 1_000).is_none(), "before any media");
    for seq in 1..30_u8 {
        bench.send(u64::from(seq), &[seq; 600], Patch::NONE);
    }
    let again = bench.pad(1, 1_000).unwrap();
    let sent = bench.peer.open(&again, 0);
    assert_eq!((sent.payload_type, sent.ssrc, sent.seq), (97, RESEND, 500));
    assert_eq!(sent.payload[..3], [0, 28, 28], "the last but one, with its number");
    for (nth, bytes, expected) in [(1, 300, 255_u8), (2, 255, 255), (3, 80, 80), (4, 0, 1)] {
        let padding = bench.pad(nth, bytes).unwrap();
        assert_eq!(padding[0] & HAS_PADDING, HAS_PADDING);
        let sent = bench.peer.open(&padding, 0);
        assert_eq!((sent.ssrc, u64::from(sent.seq)), (RESEND, 500 + nth));
        assert_eq!((sent.payload.len(), sent.payload.last()), (usize::from(expected), Some(&expected)));
    }
    assert!(Bench::new(None).pad(0, 500).is_none());
}

/// A report that tells of nothing but losses.
fn block(ssrc: u32, fraction_lost: u8) -> ReportBlock {
    ReportBlock {
        ssrc,
        fraction_lost,
        lost: 0,
        last_report: 0,
        highest_seq: 0,
        jitter: 0,
        delay: Duration::ZERO,
    }
}

#[test]
fn losses_are_those_since_the_report_before() {
    let mut bench = Bench::new(Some(RESEND));
    for seq in 1..=100 {
        bench.send(seq, &[0; 100], Patch::NONE);
    }
    let mut told = |block| format!("{:?}", bench.stream.losses(block));
    assert_eq!(told(block(MEDIA, 64)), "Losses { lost: 25.0, total: 100.0, delivered_bits: 60000.0 }");
    let nothing = format!("{:?}", Losses::default());
    assert_eq!(told(block(RESEND, 64)), nothing);
    assert_eq!(told(block(MEDIA, 255)), nothing, "nothing was sent meanwhile");
}

#[test]
fn what_the_publisher_lost_is_not_the_peers_loss() {
    let mut bench = Bench::new(Some(RESEND));
    let mut losses_after = |seqs: std::ops::RangeInclusive<u64>, fraction_lost| {
        for seq in seqs.filter(|seq| seq % 4 != 0) {
            bench.send(seq, &[0; 100], Patch::NONE);
        }
        let Losses { lost, total, .. } = bench.stream.losses(block(MEDIA, fraction_lost));
        (lost, total)
    };
    assert_eq!(losses_after(1..=101, 64), (25.25 - 25.0, 76.0), "a quarter never came here");
    assert_eq!(losses_after(102..=201, 128), (25.0, 75.0), "half of a hundred, a quarter of it before us");
    assert_eq!(losses_after(202..=301, 0), (0.0, 75.0), "and what was filled meanwhile is no gain");
}

#[test]
fn without_a_retransmission_ssrc_nothing_is_sent_again() {
    let mut bench = Bench::new(None);
    bench.send(1, &[1], Patch::NONE);
    bench.now += Duration::from_millis(30);
    assert_eq!(bench.resend(1), None);
}

#[test]
fn reports_come_at_once_then_each_second_then_less_often_and_not_of_silence() {
    let mut bench = Bench::new(None);
    assert_eq!(bench.stream.report_due(), None);
    let start = bench.now;
    let mut reports = Vec::new();
    for _ in 0..20_000 / 20 {
        bench.send(1, &[0; 100], Patch::NONE);
        if let Some(report) = bench.stream.take_report(bench.now) {
            reports.push((bench.now - start, report));
        }
        bench.now += Duration::from_millis(20);
    }
    let seconds: Vec<u64> = reports.iter().map(|(at, _)| at.as_secs()).collect();
    assert_eq!(seconds, [0, 1, 2, 3, 4, 5, 10, 15]);
    let (_, last) = reports[7];
    assert_eq!((last.ssrc, last.packets, last.octets), (MEDIA, 751, 75_100));
    bench.now += Duration::from_secs(10);
    assert!(bench.stream.take_report(bench.now).is_some(), "what was sent since the last one");
    bench.now += Duration::from_secs(10);
    assert_eq!(bench.stream.take_report(bench.now), None);
    assert_eq!(bench.stream.report_due(), None);
}

#[test]
fn a_report_relates_the_stream_s_clock_to_the_time_of_day() {
    let mut bench = Bench::new(None);
    bench.send(7, &[1], Patch::NONE);
    bench.now += Duration::from_millis(1_500);
    let report = bench.stream.take_report(bench.now).unwrap();
    assert_eq!(report.rtp_timestamp, 1_007 + 135_000, "1.5 s later at 90 kHz");
    assert_eq!(report.ntp_time, bench.stream.time_of_day.ntp_at(bench.now));
}

#[test]
fn the_round_trip_time_is_told_from_the_peer_s_report() {
    let mut bench = Bench::new(None);
    bench.send(7, &[1], Patch::NONE);
    let report = bench.stream.take_report(bench.now).unwrap();
    let block = |last_report| ReportBlock {
        ssrc: MEDIA,
        fraction_lost: 0,
        lost: 0,
        last_report,
        highest_seq: 7,
        jitter: 0,
        delay: Duration::from_millis(200),
    };
    bench.now += Duration::from_millis(250);
    let rtt = bench.stream.note_report(bench.now, block(ntp::middle(report.ntp_time))).unwrap();
    assert!(rtt.abs_diff(Duration::from_millis(50)) < Duration::from_millis(1), "{rtt:?}");
    assert_eq!(bench.stream.note_report(bench.now, block(0)), None, "no report has reached it");
}
