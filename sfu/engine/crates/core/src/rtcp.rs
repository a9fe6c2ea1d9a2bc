//! RTCP as far as forwarded streams need it: reports out, feedback in (RFC 3550 §6, RFC 4585 §6, RFC 5104 §4.3.1).
//!
//! Pure functions over bytes. Never decrypts, never decides what feedback leads to.

use std::time::Duration;

const VERSION: u8 = 2 << 6;
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;
const GENERIC_NACK: u8 = 1;
const PICTURE_LOSS: u8 = 1;
const FULL_INTRA_REQUEST: u8 = 4;
const TRANSPORT_WIDE: u8 = 15;
const APPLICATION_LAYER: u8 = 15;
const REMB_NAME: [u8; 4] = *b"REMB";
const SENDER_INFO_BYTES: usize = 20;
const REPORT_BLOCK_BYTES: usize = 24;
const CNAME: u8 = 1;
/// Longest text of an SDES item.
const MAX_CNAME_BYTES: usize = 255;

/// What a peer says of our streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Feedback {
    /// It receives a stream.
    Report(ReportBlock),
    /// It lacks packets of a stream.
    Nack {
        /// Of the stream.
        ssrc: u32,
        /// Each a sequence number and a mask of those after it.
        entries: Vec<(u16, u16)>,
    },
    /// It needs a key frame of a stream.
    KeyFrame {
        /// Of the stream.
        ssrc: u32,
        /// Asked for by a full intra request, not by a picture loss indication.
        is_full_intra: bool,
    },
    /// Which packets of the whole transport have arrived, and when.
    Arrivals(Arrivals),
    /// What it estimates to be able to receive in all (draft-alvestrand-rmcat-remb-03 §2.2).
    MaximumRate {
        /// Bits per second.
        rate_bps: u64,
    },
}

/// One transport-wide congestion control feedback message (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrivals {
    /// Transport-wide sequence number of the first packet that it is about.
    pub first_seq: u16,
    /// How many packets it is about. Those that are not in `received` had not arrived.
    pub count: u16,
    /// Number of this message, one more than that of the one before; 8 bits that wrap.
    pub number: u8,
    /// The peer's clock at the beginning, in units of 64 ms, of which 24 bits are sent.
    pub reference: u32,
    /// What arrived, by its distance from the first packet, rising, and when, from the reference on.
    pub received: Vec<(u16, Arrival)>,
}

/// When a packet arrived: units of 250 µs after the reference of its feedback, which may be before it.
pub type Arrival = i32;

/// Reception of one stream (RFC 3550 §6.4.1), as far as it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBlock {
    /// Of the stream.
    pub ssrc: u32,
    /// Part of the packets since the report before that were lost, in 256ths.
    pub fraction_lost: u8,
    /// Packets that never came, since the beginning; late and doubled ones are taken off, so that it may be negative.
    pub lost: i32,
    /// Middle 32 bits of the NTP time of our last sender report; 0: none.
    pub last_report: u32,
    /// Highest sequence number received, with the receiver's count of its cycles in the upper half.
    pub highest_seq: u32,
    /// Jitter between arrivals, in units of the RTP clock.
    pub jitter: u32,
    /// Time since that report arrived.
    pub delay: Duration,
}

/// Reads a compound packet. What is malformed ends it; what is unknown is skipped.
#[must_use]
pub fn read_feedback(compound: &[u8]) -> Vec<Feedback> {
    let mut found = Vec::new();
    let mut rest = compound;
    while let Some((packet, behind)) = next_packet(rest) {
        read_packet(packet, &mut found);
        rest = behind;
    }
    found
}

/// The first packet of a compound, whole, and what is behind it.
fn next_packet(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let &[first, _, high, low, ..] = bytes else { return None };
    if first & 0xc0 != VERSION {
        return None;
    }
    let words = usize::from(u16::from_be_bytes([high, low])) + 1;
    bytes.split_at_checked(words * 4)
}

fn read_packet(packet: &[u8], found: &mut Vec<Feedback>) {
    let &[first, kind, ..] = packet else { return };
    let count = first & 0x1f;
    let body = packet.get(8..).unwrap_or_default();
    match (kind, count) {
        (SENDER_REPORT, _) => read_blocks(body.get(SENDER_INFO_BYTES..).unwrap_or_default(), count, found),
        (RECEIVER_REPORT, _) => read_blocks(body, count, found),
        (TRANSPORT_FEEDBACK, GENERIC_NACK) => {
            let Some((ssrc, entries)) = split_u32(body) else { return };
            let entry = |four: &[u8]| Some((u16_at(four, 0)?, u16_at(four, 2)?));
            found.push(Feedback::Nack { ssrc, entries: entries.chunks_exact(4).filter_map(entry).collect() });
        }
        (PAYLOAD_FEEDBACK, PICTURE_LOSS) => {
            found.extend(split_u32(body).map(|(ssrc, _)| Feedback::KeyFrame { ssrc, is_full_intra: false }));
        }
        (PAYLOAD_FEEDBACK, FULL_INTRA_REQUEST) => {
            let entries = body.get(4..).unwrap_or_default().chunks_exact(8);
            let wanted = entries.filter_map(|entry| split_u32(entry));
            found.extend(wanted.map(|(ssrc, _)| Feedback::KeyFrame { ssrc, is_full_intra: true }));
        }
        (TRANSPORT_FEEDBACK, TRANSPORT_WIDE) => found.extend(read_arrivals(body).map(Feedback::Arrivals)),
        (PAYLOAD_FEEDBACK, APPLICATION_LAYER) => {
            found.extend(read_maximum_rate(body).map(|rate_bps| Feedback::MaximumRate { rate_bps }));
        }
        _ => {}
    }
}

/// How long an arrival's delta is written, by its status symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Missing,
    Small,
    Large,
}

impl Status {
    /// Of a symbol of two bits. The fourth is reserved, and nothing says how long its delta would be.
    const fn of(symbol: u16) -> Option<Self> {
        match symbol & 0b11 {
            0 => Some(Self::Missing),
            1 => Some(Self::Small),
            2 => Some(Self::Large),
            _ => None,
        }
    }
}

/// The statuses of one chunk (§3.1.2 to §3.1.4): how many, and the symbol of each.
fn chunk_status(chunk: u16, position: u16) -> Option<Status> {
    if chunk & 0x8000 == 0 {
        return Status::of(chunk >> 13);
    }
    if chunk & 0x4000 == 0 {
        return Status::of(chunk >> (13 - position) & 1);
    }
    Status::of(chunk >> (12 - 2 * position))
}

const fn chunk_length(chunk: u16) -> u16 {
    match chunk >> 14 {
        0b10 => 14,
        0b11 => 7,
        _ => chunk & 0x1fff,
    }
}

/// Reads feedback whose body begins with the media SSRC. `None`: malformed.
fn read_arrivals(body: &[u8]) -> Option<Arrivals> {
    let (first_seq, count) = (u16_at(body, 4)?, u16_at(body, 6)?);
    let (reference, [.., number]) = (u32_at(body, 8)? >> 8, u32_at(body, 8)?.to_be_bytes());
    let mut chunks = body.get(12..)?;
    let chunks_end = {
        let mut covered = 0_u16;
        let mut rest = chunks;
        while covered < count {
            let (chunk, behind) = rest.split_first_chunk()?;
            let length = chunk_length(u16::from_be_bytes(*chunk));
            if length == 0 {
                return None;
            }
            covered = covered.saturating_add(length);
            rest = behind;
        }
        rest
    };
    let mut deltas = chunks_end;
    let mut received = Vec::new();
    let (mut offset, mut arrival) = (0_u16, 0_i32);
    while offset < count {
        let (chunk, behind) = chunks.split_first_chunk()?;
        chunks = behind;
        let chunk = u16::from_be_bytes(*chunk);
        let length = chunk_length(chunk).min(count - offset);
        if chunk & 0x8000 == 0 && Status::of(chunk >> 13) == Some(Status::Missing) {
            offset += length;
            continue;
        }
        for position in 0..length {
            let delta = match chunk_status(chunk, position)? {
                Status::Missing => None,
                Status::Small => {
                    let (delta, behind) = deltas.split_first()?;
                    deltas = behind;
                    Some(i32::from(*delta))
                }
                Status::Large => {
                    let (delta, behind) = deltas.split_first_chunk()?;
                    deltas = behind;
                    Some(i32::from(i16::from_be_bytes(*delta)))
                }
            };
            if let Some(delta) = delta {
                arrival = arrival.checked_add(delta)?;
                received.push((offset + position, arrival));
            }
        }
        offset += length;
    }
    Some(Arrivals { first_seq, count, number, reference, received })
}

/// Reads a receiver's estimate whose body begins with the media SSRC. `None`: something else.
fn read_maximum_rate(body: &[u8]) -> Option<u64> {
    let word = u32_at(body, 8)?;
    if body.get(4..8)? != REMB_NAME {
        return None;
    }
    let (exponent, mantissa) = (word >> 18 & 0x3f, u64::from(word & 0x3_ffff));
    Some(mantissa.checked_shl(exponent).filter(|rate| rate >> exponent == mantissa).unwrap_or(u64::MAX))
}

fn read_blocks(blocks: &[u8], count: u8, found: &mut Vec<Feedback>) {
    for block in blocks.chunks_exact(REPORT_BLOCK_BYTES).take(usize::from(count)) {
        let &[Some(ssrc), Some(losses), Some(highest_seq), Some(jitter), Some(last_report), Some(delay)] =
            &[0, 4, 8, 12, 16, 20].map(|at| u32_at(block, at))
        else {
            continue;
        };
        let lost = (losses << 8).cast_signed() >> 8; // 24 bits with a sign; above them the share since the last report
        let delay = Duration::from_secs(u64::from(delay)) / 65_536;
        let [fraction_lost, ..] = losses.to_be_bytes();
        found.push(Feedback::Report(ReportBlock {
            ssrc,
            fraction_lost,
            lost,
            last_report,
            highest_seq,
            jitter,
            delay,
        }));
    }
}

fn split_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    bytes.split_first_chunk().map(|(first, rest)| (u32::from_be_bytes(*first), rest))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// What a sender report says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderReport {
    /// Of the stream.
    pub ssrc: u32,
    /// NTP time in 32.32 fixed point.
    pub ntp_time: u64,
    /// RTP timestamp of the same moment.
    pub rtp_timestamp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Payload bytes sent so far.
    pub octets: u32,
}

/// How a stream of a peer arrives here (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceptionBlock {
    /// Of the stream.
    pub ssrc: u32,
    /// Part of the packets since the report before that were lost, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost since the beginning, in 24 bits; negative when more came than were sent.
    pub lost: i32,
    /// Extended highest sequence number.
    pub highest: u32,
    /// Mean deviation of the packets' spacing, in ticks of their clock.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the peer's last sender report; 0: none.
    pub last_report: u32,
    /// Time since that report arrived.
    pub delay: Duration,
}

/// Begins a compound packet with a receiver report of one block.
pub fn write_reception(out: &mut Vec<u8>, ssrc: u32, block: &ReceptionBlock) {
    out.extend_from_slice(&[VERSION | 1, RECEIVER_REPORT, 0, 7]);
    out.extend_from_slice(&ssrc.to_be_bytes());
    out.extend_from_slice(&block.ssrc.to_be_bytes());
    let [_, lost @ ..] = block.lost.to_be_bytes();
    out.push(block.fraction_lost);
    out.extend_from_slice(&lost);
    let delay = u32::try_from(block.delay.as_nanos() * 65_536 / 1_000_000_000).unwrap_or(u32::MAX);
    for word in [block.highest, block.jitter, block.last_report, delay] {
        out.extend_from_slice(&word.to_be_bytes());
    }
}

/// Begins a compound packet: a receiver report without blocks, whose SSRC also chooses the SRTCP context.
pub fn begin_compound(out: &mut Vec<u8>, ssrc: u32) {
    out.extend_from_slice(&[VERSION, RECEIVER_REPORT, 0, 1]);
    out.extend_from_slice(&ssrc.to_be_bytes());
}

/// Adds a sender report without blocks.
pub fn write_sender_report(out: &mut Vec<u8>, report: SenderReport) {
    out.extend_from_slice(&[VERSION, SENDER_REPORT, 0, 6]);
    out.extend_from_slice(&report.ssrc.to_be_bytes());
    out.extend_from_slice(&report.ntp_time.to_be_bytes());
    for word in [report.rtp_timestamp, report.packets, report.octets] {
        out.extend_from_slice(&word.to_be_bytes());
    }
}

/// Adds a source description with the CNAME of one stream (RFC 3550 §6.5.1); a text too long for it is cut.
pub fn write_cname(out: &mut Vec<u8>, ssrc: u32, cname: &str) {
    let text = &cname.as_bytes()[..cname.len().min(MAX_CNAME_BYTES)];
    // At least one zero byte ends the chunk.
    let chunk_bytes = (4 + 2 + text.len() + 1).next_multiple_of(4);
    #[expect(clippy::cast_possible_truncation, reason = "at most 264 bytes of chunk, 255 of text")]
    let (words, length) = ((chunk_bytes / 4) as u8, text.len() as u8);
    out.extend_from_slice(&[VERSION | 1, SOURCE_DESCRIPTION, 0, words]);
    out.extend_from_slice(&ssrc.to_be_bytes());
    out.extend_from_slice(&[CNAME, length]);
    out.extend_from_slice(text);
    out.resize(out.len() + chunk_bytes - 6 - text.len(), 0);
}

#[cfg(test)]
mod tests {
    use str0m::rtp::rtcp::SdesType;

    use super::*;

    fn block(ssrc: u32) -> Vec<u8> {
        let words = [ssrc, 0x01ff_fffb, 77, 3, 0x1234_5678, 65_536 + 32_768];
        words.into_iter().flat_map(u32::to_be_bytes).collect()
    }

    fn packet(count: u8, kind: u8, body: &[u8]) -> Vec<u8> {
        let words = u16::try_from(body.len() / 4).unwrap().to_be_bytes();
        [&[VERSION | count, kind, words[0], words[1]], body].concat()
    }

    #[test]
    fn every_kind_of_feedback_is_read_from_one_compound() {
        let sender = 9_u32.to_be_bytes();
        let ours = 5_u32.to_be_bytes();
        let compound = [
            packet(1, RECEIVER_REPORT, &[&sender[..], &block(5)].concat()),
            packet(1, SENDER_REPORT, &[&sender[..], &[0; 20], &block(6)].concat()),
            packet(0, 203, &[]),
            packet(
                GENERIC_NACK,
                TRANSPORT_FEEDBACK,
                &[&sender[..], &ours, &[0, 7, 0x80, 1, 1, 0, 0, 0]].concat(),
            ),
            packet(PICTURE_LOSS, PAYLOAD_FEEDBACK, &[sender, ours].concat()),
            packet(
                FULL_INTRA_REQUEST,
                PAYLOAD_FEEDBACK,
                &[&sender[..], &[0; 4], &ours, &[1, 0, 0, 0], &sender, &[1, 0, 0, 0]].concat(),
            ),
            packet(15, PAYLOAD_FEEDBACK, &[sender, ours].concat()),
        ]
        .concat();
        let report = |ssrc| {
            let delay = Duration::from_millis(1_500);
            Feedback::Report(ReportBlock {
                ssrc,
                fraction_lost: 1,
                lost: -5,
                last_report: 0x1234_5678,
                highest_seq: 77,
                jitter: 3,
                delay,
            })
        };
        assert_eq!(
            read_feedback(&compound),
            [
                report(5),
                report(6),
                Feedback::Nack { ssrc: 5, entries: vec![(7, 0x8001), (256, 0)] },
                Feedback::KeyFrame { ssrc: 5, is_full_intra: false },
                Feedback::KeyFrame { ssrc: 5, is_full_intra: true },
                Feedback::KeyFrame { ssrc: 9, is_full_intra: true },
            ]
        );
    }

    fn arrivals(first_seq: u16, count: u16, chunks: &[u16], deltas: &[u8]) -> Vec<u8> {
        let mut body = [&9_u32.to_be_bytes()[..], &5_u32.to_be_bytes()].concat();
        body.extend_from_slice(&first_seq.to_be_bytes());
        body.extend_from_slice(&count.to_be_bytes());
        body.extend_from_slice(&[0, 0, 3, 1]);
        body.extend(chunks.iter().flat_map(|chunk| chunk.to_be_bytes()));
        body.extend_from_slice(deltas);
        body.resize(body.len().next_multiple_of(4), 0);
        packet(TRANSPORT_WIDE, TRANSPORT_FEEDBACK, &body)
    }

    #[test]
    fn arrivals_are_read_from_every_kind_of_chunk() {
        // A run of three small deltas, a vector of one bit each, a vector of two bits each.
        let chunks = [0x2003, 0b1010_0000_0000_0001, 0b1110_0001_0000_0000];
        let deltas = [4, 5, 6, 7, 8, 0xff, 0xfe, 9];
        let read = read_feedback(&arrivals(65_534, 20, &chunks, &deltas));
        let received = vec![(0, 4), (1, 9), (2, 15), (3, 22), (16, 30), (17, 28), (19, 37)];
        assert_eq!(
            read,
            [Feedback::Arrivals(Arrivals {
                first_seq: 65_534,
                count: 20,
                number: 1,
                reference: 3,
                received
            })]
        );
    }

    #[test]
    fn what_arrivals_lack_makes_them_void() {
        let whole = arrivals(1, 3, &[0x2003], &[1, 2, 3]);
        assert_eq!(read_feedback(&whole).len(), 1);
        for (count, chunks, deltas) in [
            (3, &[0x2003_u16][..], &[1_u8][..]),
            (3, &[0x2001], &[1]),
            (3, &[0x0000, 0x2003], &[1, 2, 3]),
            (3, &[0x6003], &[1, 2, 3, 4, 5, 6]),
            (7, &[0xffff], &[1; 14]),
            (3, &[], &[]),
        ] {
            let mut text = arrivals(1, count, chunks, deltas);
            text.truncate(16 + 4 + chunks.len() * 2 + deltas.len());
            let words = u16::try_from(text.len() / 4 - 1).unwrap();
            text.truncate(usize::from(words + 1) * 4);
            text[2..4].copy_from_slice(&words.to_be_bytes());
            assert_eq!(read_feedback(&text), [], "{count} {chunks:x?}");
        }
    }

    #[test]
    fn a_run_of_missing_packets_costs_nothing() {
        let chunks = [0x1fff; 9];
        let read = read_feedback(&arrivals(0, u16::MAX, &chunks, &[]));
        let [Feedback::Arrivals(arrivals)] = &read[..] else { panic!("{read:?}") };
        assert_eq!((arrivals.count, arrivals.received.len()), (u16::MAX, 0));
    }

    #[test]
    fn a_receivers_estimate_is_mantissa_and_exponent() {
        let remb = |word: u32| {
            let body =
                [&9_u32.to_be_bytes()[..], &[0; 4], b"REMB", &word.to_be_bytes(), &[0, 0, 0, 5]].concat();
            read_feedback(&packet(APPLICATION_LAYER, PAYLOAD_FEEDBACK, &body))
        };
        let rate = |rate_bps| [Feedback::MaximumRate { rate_bps }];
        assert_eq!(remb(1 << 24 | 3 << 18 | 0x1_e848), rate(1_000_000));
        assert_eq!(remb(1 << 24 | 0x3_ffff), rate(0x3_ffff));
        assert_eq!(remb(1 << 24 | 63 << 18 | 2), rate(u64::MAX), "more than can be");
        assert_eq!(remb(1 << 24 | 63 << 18), rate(0));
    }

    #[test]
    fn cut_and_random_bytes_are_no_trouble() {
        let sender = 9_u32.to_be_bytes();
        let whole = packet(31, RECEIVER_REPORT, &[&sender[..], &block(5)].concat());
        assert_eq!(read_feedback(&whole).len(), 1, "the count claims more than there is");
        for length in 0..whole.len() {
            assert_eq!(read_feedback(&whole[..length]), []);
        }
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..8)
                .flat_map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state.to_be_bytes()
                })
                .collect();
            let mut bytes = bytes;
            bytes[0] = VERSION | bytes[0] & 0x3f;
            bytes[1] = 200 + bytes[1] % 8;
            (bytes[2], bytes[3]) = (0, bytes[3] % 16);
            assert!(read_feedback(&bytes).len() * 4 <= bytes.len());
        }
    }

    #[test]
    fn a_reception_report_is_read_back() {
        let mut out = Vec::new();
        let delay = Duration::from_millis(1_500);
        let block = ReceptionBlock {
            ssrc: 5,
            fraction_lost: 64,
            lost: -2,
            highest: 70_000,
            jitter: 480,
            last_report: 0x1234_5678,
            delay,
        };
        write_reception(&mut out, 3, &block);
        assert_eq!(out[..8], [0x81, 201, 0, 7, 0, 0, 0, 3]);
        assert_eq!(out[8..16], [0, 0, 0, 5, 64, 0xff, 0xff, 0xfe]);
        assert_eq!(out[16..24], [0, 1, 0x11, 0x70, 0, 0, 1, 0xe0]);
        let read = ReportBlock {
            ssrc: 5,
            fraction_lost: 64,
            lost: -2,
            last_report: 0x1234_5678,
            highest_seq: 70_000,
            jitter: 480,
            delay,
        };
        assert_eq!(read_feedback(&out), [Feedback::Report(read)]);
    }

    #[test]
    fn reports_are_laid_out_as_in_the_standard() {
        let mut out = Vec::new();
        begin_compound(&mut out, 3);
        let report = SenderReport { ssrc: 5, ntp_time: 1 << 40 | 2, rtp_timestamp: 3, packets: 4, octets: 5 };
        write_sender_report(&mut out, report);
        assert_eq!(out[..8], [0x80, 201, 0, 1, 0, 0, 0, 3]);
        assert_eq!(out[8..16], [0x80, 200, 0, 6, 0, 0, 0, 5]);
        assert_eq!(out[16..], [0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5]);
        assert_eq!(SdesType::CNAME as u8, CNAME);
        for length in [0, 1, 2, 3, 4, 5, 255, 300] {
            let (mut out, cname) = (Vec::new(), "n".repeat(length));
            write_cname(&mut out, 5, &cname);
            let kept = length.min(255);
            let (packet, behind) = next_packet(&out).unwrap();
            assert!(behind.is_empty());
            assert_eq!(packet[..2], [0x81, SOURCE_DESCRIPTION]);
            assert_eq!(usize::from(packet[9]), kept);
            assert_eq!(&packet[10..10 + kept], &cname.as_bytes()[..kept]);
            assert!(packet[10 + kept..].iter().all(|byte| *byte == 0) && packet.len() > 10 + kept);
        }
    }
}
