//! Redundant audio (RFC 2198), as far as a forwarder needs it.

use std::ops::Range;

/// Where the primary block of a RED payload lies; `None` when the headers do not add up or the block is empty.
///
/// RFC 2198 §3: a 4-byte header per redundant block (1 bit set, 7 payload type, 14 timestamp offset, 10 length), a
/// 1-byte header for the primary one (1 bit clear, 7 payload type), then the blocks in order, the primary one last.
#[must_use]
pub fn primary_range(payload: &[u8]) -> Option<Range<usize>> {
    let mut header = 0;
    let mut redundant_bytes = 0;
    while payload.get(header)? & 0x80 != 0 {
        let length = u16::from_be_bytes([*payload.get(header + 2)?, *payload.get(header + 3)?]) & 0x03ff;
        redundant_bytes += usize::from(length);
        header += 4;
    }
    let start = header + 1 + redundant_bytes;
    (start < payload.len()).then_some(start..payload.len())
}

/// The primary block of a RED payload.
#[must_use]
pub fn primary(payload: &[u8]) -> Option<&[u8]> {
    primary_range(payload).and_then(|range| payload.get(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_primary_block() {
        for (payload, expected) in [
            (&[111, 1, 2, 3][..], Some(&[1, 2, 3][..])),
            (&[0xef, 0x0f, 0x00, 2, 111, 9, 9, 1, 2], Some(&[1, 2])),
            (&[0xef, 0x1e, 0x00, 1, 0xef, 0x0f, 0x00, 2, 111, 8, 9, 9, 7], Some(&[7])),
            (&[0xef, 0x0f, 0x00, 0, 111, 5], Some(&[5])),
            (&[], None),
            (&[111], None),
            (&[0xef, 0x0f, 0x00], None),
            (&[0xef, 0x0f, 0x00, 2, 111, 9, 9], None),
            (&[0xef, 0x0f, 0x03, 0xff, 111, 9, 9, 1], None),
        ] {
            assert_eq!(primary(payload), expected, "{payload:?}");
        }
    }
}
