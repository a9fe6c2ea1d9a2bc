//! H.264 payloads (RFC 6184 §5): finds where a picture that can be decoded on its own begins.

use super::PayloadFacts;

const NAL_SLICE: u8 = 1;
const NAL_IDR: u8 = 5;
const NAL_SPS: u8 = 7;
const NAL_STAP_A: u8 = 24;
const NAL_FU_A: u8 = 28;

/// Looks at the NAL units in the packet. A sequence parameter set or the first slice of an IDR picture starts a key
/// frame (encoders send the set just before the slice; starting at the earlier of both gives the decoder both).
pub(super) fn inspect(payload: &[u8]) -> Option<PayloadFacts> {
    let (header, body) = payload.split_first()?;
    let unit = match header & 0x1f {
        NAL_STAP_A => inspect_aggregate(body)?,
        NAL_FU_A => {
            let (fragment, rest) = body.split_first()?;
            // The start bit; later fragments say nothing.
            if fragment & 0x80 != 0 { inspect_unit(fragment & 0x1f, rest) } else { Unit::default() }
        }
        kind => inspect_unit(kind, body),
    };
    Some(PayloadFacts {
        starts_key_frame: unit.is_key,
        starts_frame: unit.is_key || unit.is_first_slice,
        ..PayloadFacts::default()
    })
}

#[derive(Debug, Clone, Copy, Default)]
struct Unit {
    is_key: bool,
    is_first_slice: bool,
}

fn inspect_unit(kind: u8, body: &[u8]) -> Unit {
    // A slice header begins with first_mb_in_slice as an Exp-Golomb code: a leading 1 bit is macroblock 0.
    let is_first = body.first().is_some_and(|byte| byte & 0x80 != 0);
    Unit {
        is_key: kind == NAL_SPS || (kind == NAL_IDR && is_first),
        is_first_slice: (kind == NAL_IDR || kind == NAL_SLICE) && is_first,
    }
}

/// STAP-A: units each behind a 16-bit size.
fn inspect_aggregate(mut rest: &[u8]) -> Option<Unit> {
    let mut found = Unit::default();
    while !rest.is_empty() {
        let (size, after) = rest.split_first_chunk::<2>()?;
        let (unit, next) = after.split_at_checked(usize::from(u16::from_be_bytes(*size)))?;
        let (header, body) = unit.split_first()?;
        let unit = inspect_unit(header & 0x1f, body);
        found.is_key |= unit.is_key;
        found.is_first_slice |= unit.is_first_slice;
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
            (&[0x67, 0x42, 0xe0][..], Some((true, true))),
            (&[0x68, 0xce], Some((false, false))),
            (&[0x65, 0x88], Some((true, true))),
            (&[0x65, 0x28], Some((false, false))),
            (&[0x41, 0x9a], Some((false, true))),
            (&[0x78, 0, 2, 0x67, 0x42, 0, 2, 0x68, 0xce], Some((true, true))),
            (&[0x78, 0, 2, 0x68, 0xce, 0, 2, 0x41, 0x9a], Some((false, true))),
            (&[0x7c, 0x85, 0x88], Some((true, true))),
            (&[0x7c, 0x05, 0x88], Some((false, false))),
            (&[0x7c, 0x45, 0x88], Some((false, false))),
            (&[0x7c, 0x81, 0x9a], Some((false, true))),
            (&[0x7c, 0x85], Some((false, false))),
            (&[], None),
            (&[0x0a], Some((false, false))),
            (&[0x7c], None),
            (&[0x78], Some((false, false))),
            (&[0x78, 0], None),
            (&[0x78, 0, 9, 0x67], None),
            (&[0x78, 0, 0], None),
        ] {
            let facts = inspect(payload);
            assert_eq!(
                facts.map(|facts| (facts.starts_key_frame, facts.starts_frame)),
                expected,
                "{payload:x?}"
            );
        }
    }
}
