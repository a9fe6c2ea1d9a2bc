//! The packet trailer: facts that a publisher's application puts behind an encoded frame (protocol.md §4.9).
//!
//! ```text
//! frame | elements | length ^ 0xff (1 byte, trailer as a whole) | "LKTS"
//! ```
//!
//! It is behind end-to-end encryption too, so it can be cut off without a key. Only says what a payload without it is;
//! whether it is cut off is the subscription's affair.

use super::Codec;

const MAGIC: [u8; 4] = *b"LKTS";
/// Length and magic.
const ENVELOPE_BYTES: usize = 5;
const INVERTED: u8 = 0xff;
/// Bytes before each unit of an aggregation packet (RFC 6184 §5.7.1, RFC 7798 §4.4.2).
const UNIT_LENGTH_BYTES: usize = 2;

/// Bytes of the trailer at the end of a payload; `None`: there is none.
#[must_use]
pub fn trailer_bytes(payload: &[u8]) -> Option<usize> {
    let before_magic = payload.strip_suffix(&MAGIC)?;
    let length = usize::from(before_magic.last()? ^ INVERTED);
    (ENVELOPE_BYTES..payload.len()).contains(&length).then_some(length)
}

/// The payload without its trailer; `None` when it has none, or nothing of a frame would be left. To be asked of the
/// last packet of a frame: elsewhere the same bytes are the frame's own.
#[must_use]
pub fn without_trailer(codec: Codec, payload: &[u8]) -> Option<Vec<u8>> {
    let kept = payload.len().checked_sub(trailer_bytes(payload)?)?;
    let mut bare = payload.get(..kept)?.to_vec();
    let header_bytes = match codec {
        Codec::H264 if is_h264_aggregate(payload) => Some(1),
        Codec::H265 if is_h265_aggregate(payload) => Some(2),
        _ => None,
    };
    if let Some(header_bytes) = header_bytes {
        shorten_last_unit(&mut bare, payload.len(), header_bytes)?;
    }
    // What does not parse now was not cut at the end of a frame.
    super::codec::inspect(codec, &bare).map(|_| bare)
}

/// STAP-A (RFC 6184 §5.7.1).
fn is_h264_aggregate(payload: &[u8]) -> bool {
    payload.first().is_some_and(|first| first & 0x1f == 24)
}

/// AP (RFC 7798 §4.4.2).
fn is_h265_aggregate(payload: &[u8]) -> bool {
    payload.first().is_some_and(|first| first >> 1 & 0x3f == 48)
}

/// The length that an aggregation packet gives for its last unit, which was cut, is made true.
fn shorten_last_unit(bare: &mut [u8], length_before: usize, header_bytes: usize) -> Option<()> {
    let mut at = header_bytes;
    loop {
        let length_field = bare.get_mut(at..)?.first_chunk_mut::<UNIT_LENGTH_BYTES>()?;
        let length = usize::from(u16::from_be_bytes(*length_field));
        let end = at + UNIT_LENGTH_BYTES + length;
        if end < length_before {
            at = end;
            continue;
        }
        let left = bare.len().checked_sub(at + UNIT_LENGTH_BYTES).filter(|left| *left > 0)?;
        let length_field = bare.get_mut(at..)?.first_chunk_mut::<UNIT_LENGTH_BYTES>()?;
        *length_field = u16::try_from(left).ok()?.to_be_bytes();
        return (end == length_before).then_some(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A trailer with a frame id, as livekit-client writes it.
    fn trailed(frame: &[u8]) -> Vec<u8> {
        let elements = [0x02, 4, 0, 0, 0, 7].map(|byte: u8| byte ^ INVERTED);
        let length = u8::try_from(elements.len() + ENVELOPE_BYTES).unwrap() ^ INVERTED;
        [frame, &elements, &[length], &MAGIC].concat()
    }

    #[test]
    fn a_frame_is_what_is_before_its_trailer() {
        for (codec, frame) in [
            (Codec::Vp8, &[0x10, 0x01, 0x02, 0x03, 0x04][..]),
            (Codec::H264, &[0x41, 0x9a, 0x01]),
            (Codec::H264, &[0x7c, 0x45, 0xb8, 0x01]),
        ] {
            assert_eq!(without_trailer(codec, &trailed(frame)).as_deref(), Some(frame), "{codec:?}");
            assert_eq!(without_trailer(codec, frame), None);
        }
    }

    #[test]
    fn lengths_that_cannot_be_are_no_trailer() {
        let frame = [0x10, 1, 2, 3];
        for length in [0, 4, 9, 10, 255] {
            let payload = [&frame[..], &[length ^ INVERTED], &MAGIC].concat();
            assert_eq!(trailer_bytes(&payload), None, "{length} of {}", payload.len());
        }
        assert_eq!(trailer_bytes(&[&frame[..], &[5 ^ INVERTED], &MAGIC].concat()), Some(5));
        assert_eq!(trailer_bytes(b"LKTS"), None);
        assert_eq!(trailer_bytes(b"LKT"), None);
        assert_eq!(without_trailer(Codec::Vp8, &trailed(&[0x90])), None, "nothing of a frame is left");
    }

    #[test]
    fn the_last_unit_of_an_aggregate_becomes_shorter() {
        let units: [&[u8]; 2] = [&[0x67, 1, 2], &trailed(&[0x65, 9, 9, 9])];
        let aggregate = |units: [&[u8]; 2]| {
            let mut bytes = vec![0x78];
            for unit in units {
                bytes.extend(u16::try_from(unit.len()).unwrap().to_be_bytes());
                bytes.extend(unit);
            }
            bytes
        };
        let expected = aggregate([units[0], &[0x65, 9, 9, 9]]);
        assert_eq!(without_trailer(Codec::H264, &aggregate(units)), Some(expected));
        let beyond = [&[0x78, 0, 200][..], &trailed(&[0x65, 9])].concat();
        assert_eq!(without_trailer(Codec::H264, &beyond), None, "lengths that do not add up");
        let nothing_left = aggregate([units[0], &trailed(&[])]);
        assert_eq!(without_trailer(Codec::H264, &nothing_left), None);
    }
}
