//! H.265 payloads (RFC 7798 §4.4): finds where a picture that can be decoded on its own begins.

use super::PayloadFacts;

const NAL_AGGREGATE: u8 = 48;
const NAL_FRAGMENT: u8 = 49;
const HEADER_BYTES: usize = 2;

/// Looks at the NAL units in the packet. A parameter set (VPS, SPS) or an IRAP picture starts a key frame.
pub(super) fn inspect(payload: &[u8]) -> Option<PayloadFacts> {
    let (header, body) = payload.split_first_chunk::<HEADER_BYTES>()?;
    let first = *body.first()?;
    let kind = kind_of(header[0]);
    let starts_key_frame = match kind {
        NAL_AGGREGATE => aggregate_has_key(body)?,
        NAL_FRAGMENT => first & 0x80 != 0 && is_key(first & 0x3f),
        kind => is_key(kind),
    };
    // The header's last three bits are the temporal id plus one (§1.1.4).
    let temporal = (header[1] & 0x07).saturating_sub(1);
    Some(PayloadFacts {
        starts_key_frame,
        starts_frame: starts_key_frame,
        temporal,
        ..PayloadFacts::default()
    })
}

const fn kind_of(header: u8) -> u8 {
    (header >> 1) & 0x3f
}

/// IRAP pictures are types 16 to 23; VPS 32, SPS 33.
const fn is_key(kind: u8) -> bool {
    matches!(kind, 16..=23 | 32 | 33)
}

fn aggregate_has_key(mut rest: &[u8]) -> Option<bool> {
    let mut found = false;
    while !rest.is_empty() {
        let (size, after) = rest.split_first_chunk::<2>()?;
        let (unit, next) = after.split_at_checked(usize::from(u16::from_be_bytes(*size)))?;
        found |= is_key(kind_of(*unit.first()?));
        rest = next;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_key_frames_in_every_packetization() {
        for (payload, expected) in [
            (&[0x40, 0x01, 0x0c][..], Some((true, 0))),
            (&[0x26, 0x01, 0xaf], Some((true, 0))),
            (&[0x02, 0x02, 0xd0], Some((false, 1))),
            (&[0x60, 0x01, 0, 2, 0x42, 0x01], Some((true, 0))),
            (&[0x60, 0x01, 0, 2, 0x02, 0x01], Some((false, 0))),
            (&[0x62, 0x01, 0x93, 0xaf], Some((true, 0))),
            (&[0x62, 0x01, 0x13, 0xaf], Some((false, 0))),
            (&[], None),
            (&[0x40, 0x01], None),
            (&[0x60, 0x01, 0, 9, 0x42], None),
        ] {
            let facts = inspect(payload);
            assert_eq!(facts.map(|facts| (facts.starts_key_frame, facts.temporal)), expected, "{payload:x?}");
        }
    }
}
