//! Frames of the server's own: silence when a track falls silent, a blank picture when it ends (`protocol.md` §4.9).
//!
//! The bytes are part of the protocol: receivers with end-to-end encryption let exactly these pass, which they know by
//! their hashes (livekit-client, `sifPayload.ts`), and the `sif_trailer` behind them.

use std::time::Duration;

use super::{Codec, red};

/// Twenty milliseconds of silence in Opus: one CELT frame of one channel, filled up with zeros.
const OPUS_SILENCE: [u8; 80] = {
    let mut frame = [0; 80];
    [frame[0], frame[1], frame[2]] = [0xf8, 0xff, 0xfe];
    frame
};
/// Samples of one frame of G.711 (RFC 3551 §4.5.14).
const G711_BYTES: usize = 160;
/// Silence in µ-law and in A-law.
const MU_LAW_ZERO: u8 = 0xff;
const A_LAW_ZERO: u8 = 0xd5;
/// A key frame of 8×8 pixels in VP8.
const VP8_KEY_FRAME: [u8; 31] = [
    0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x08, 0x00, 0x08, 0x00, 0x00, 0x47, 0x08, 0x85, 0x85, 0x88, 0x85,
    0x84, 0x88, 0x02, 0x02, 0x00, 0x0c, 0x0d, 0x60, 0x00, 0xfe, 0xff, 0xab, 0x50, 0x80,
];
/// A key frame of 2×2 pixels in H.264: parameter sets and picture.
const H264_SEQUENCE: [u8; 24] = [
    0x67, 0x42, 0xc0, 0x1f, 0x0f, 0xd9, 0x1f, 0x88, 0x88, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00,
    0x03, 0x00, 0xc8, 0x3c, 0x60, 0xc9, 0x20,
];
const H264_PICTURE_SET: [u8; 6] = [0x68, 0x87, 0xcb, 0x83, 0xcb, 0x20];
const H264_PICTURE: [u8; 10] = [0x65, 0x88, 0x84, 0x0a, 0xf2, 0x62, 0x80, 0x00, 0xa7, 0xbe];
/// Aggregation of several units at one time, with the reference bits of its units (RFC 6184 §5.7.1).
const H264_AGGREGATE: u8 = 0x78;

/// How long one frame lasts.
#[must_use]
pub const fn frame_time(codec: Codec) -> Duration {
    match codec {
        Codec::Opus | Codec::Red | Codec::Pcmu | Codec::Pcma => Duration::from_millis(20),
        _ => Duration::from_nanos(33_333_333),
    }
}

/// The payload of one frame, ended by `trailer`. RED gets its blocks' type from who sends it. VP8 has the descriptor
/// for these ids, a picture id (and whether it is long) and a TL0PICIDX. `None`: there is none for the codec.
#[must_use]
pub fn payload(codec: Codec, ids: (Option<(u16, bool)>, Option<u8>), trailer: &[u8]) -> Option<Vec<u8>> {
    let with_trailer = |frame: &[u8]| [frame, trailer].concat();
    Some(match codec {
        Codec::Opus => with_trailer(&OPUS_SILENCE),
        Codec::Red => red::bare(&with_trailer(&OPUS_SILENCE)),
        Codec::Pcmu => with_trailer(&[MU_LAW_ZERO; G711_BYTES]),
        Codec::Pcma => with_trailer(&[A_LAW_ZERO; G711_BYTES]),
        Codec::Vp8 => with_trailer(&[&vp8_descriptor(ids)[..], &VP8_KEY_FRAME].concat()),
        Codec::H264 => {
            let mut out = vec![H264_AGGREGATE];
            for unit in [&H264_SEQUENCE[..], &H264_PICTURE_SET, &with_trailer(&H264_PICTURE)] {
                out.extend_from_slice(&u16::try_from(unit.len()).ok()?.to_be_bytes());
                out.extend_from_slice(unit);
            }
            out
        }
        Codec::Vp9 | Codec::H265 | Codec::Av1 => return None,
    })
}

/// Payload descriptor of a frame's first packet (RFC 7741 §4.2), of the lowest temporal layer.
fn vp8_descriptor((picture_id, tl0_pic_idx): (Option<(u16, bool)>, Option<u8>)) -> Vec<u8> {
    const STARTS: u8 = 0x10;
    const EXTENDED: u8 = 0x80;
    const HAS_PICTURE_ID: u8 = 0x80;
    const HAS_TL0_PIC_IDX_AND_TID: u8 = 0x60;
    let Some((picture_id, is_long)) = picture_id else { return vec![STARTS] };
    let extensions = HAS_PICTURE_ID | tl0_pic_idx.map_or(0, |_| HAS_TL0_PIC_IDX_AND_TID);
    let mut out = vec![EXTENDED | STARTS, extensions];
    let [high, low] = picture_id.to_be_bytes();
    if is_long {
        out.extend_from_slice(&[0x80 | high, low]);
    } else {
        out.push(low & 0x7f);
    }
    if let Some(tl0_pic_idx) = tl0_pic_idx {
        out.extend_from_slice(&[tl0_pic_idx, 0]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::codec::inspect;

    const NO_IDS: (Option<(u16, bool)>, Option<u8>) = (None, None);

    #[test]
    fn every_frame_is_a_key_frame_that_ends_with_the_trailer() {
        for &codec in Codec::ALL {
            let Some(frame) = payload(codec, NO_IDS, b"trailer") else {
                assert!(matches!(codec, Codec::Vp9 | Codec::Av1 | Codec::H265), "{codec:?}");
                continue;
            };
            let facts = inspect(codec, &frame).unwrap();
            assert!(facts.starts_key_frame && facts.starts_frame, "{codec:?}");
            assert!(frame.ends_with(b"trailer"));
            let bare = payload(codec, NO_IDS, &[]).unwrap();
            assert_eq!(frame.len(), bare.len() + 7);
        }
    }

    #[test]
    fn units_of_h264_fill_the_aggregate() {
        let frame = payload(Codec::H264, NO_IDS, b"trailer").unwrap();
        let (mut rest, mut kinds) = (&frame[1..], Vec::new());
        while let Some((length, behind)) = rest.split_first_chunk() {
            let (unit, behind) = behind.split_at(usize::from(u16::from_be_bytes(*length)));
            kinds.push(unit[0] & 0x1f);
            rest = behind;
        }
        assert_eq!(kinds, [7, 8, 5]);
        assert!(rest.is_empty());
    }

    #[test]
    fn a_blank_of_vp8_has_the_ids_of_its_stream() {
        for ids in [
            NO_IDS,
            (Some((0x1234, true)), None),
            (Some((0x7f, false)), Some(9)),
            (Some((5, true)), Some(200)),
        ] {
            let frame = payload(Codec::Vp8, ids, &[]).unwrap();
            let read = inspect(Codec::Vp8, &frame).unwrap().vp8.unwrap();
            assert_eq!(read.picture_id, ids.0.map(|(id, _)| id));
            assert_eq!(read.picture_id_is_long, ids.0.is_some_and(|(_, is_long)| is_long));
            assert_eq!(read.tl0_pic_idx, ids.1);
            assert!(frame.ends_with(&VP8_KEY_FRAME));
        }
    }

    #[test]
    fn red_carries_silence_alone() {
        let frame = payload(Codec::Red, NO_IDS, &[]).unwrap();
        assert_eq!(red::primary(&frame), Some(&OPUS_SILENCE[..]));
    }
}
