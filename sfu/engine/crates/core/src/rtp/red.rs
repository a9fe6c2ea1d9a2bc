//! Redundant audio (RFC 2198), as far as a forwarder needs it.

use std::ops::Range;

/// Bit of a block's header that says that another header follows.
const MORE_HEADERS: u8 = 0x80;
const BLOCK_HEADER_BYTES: usize = 4;
/// Bits of a redundant block's length.
const MAX_BLOCK_LENGTH: u16 = 0x03ff;
/// Largest timestamp offset that a block's header holds.
pub const MAX_TIMESTAMP_OFFSET: u16 = 0x3fff;

/// Where the primary block of a RED payload lies; `None` when the headers do not add up or the block is empty.
///
/// RFC 2198 §3: a 4-byte header per redundant block (1 bit set, 7 payload type, 14 timestamp offset, 10 length), a
/// 1-byte header for the primary one (1 bit clear, 7 payload type), then the blocks in order, the primary one last.
#[must_use]
pub fn primary_range(payload: &[u8]) -> Option<Range<usize>> {
    let mut header = 0;
    let mut redundant_bytes = 0;
    while payload.get(header)? & MORE_HEADERS != 0 {
        let length =
            u16::from_be_bytes([*payload.get(header + 2)?, *payload.get(header + 3)?]) & MAX_BLOCK_LENGTH;
        redundant_bytes += usize::from(length);
        header += BLOCK_HEADER_BYTES;
    }
    let start = header + 1 + redundant_bytes;
    (start < payload.len()).then_some(start..payload.len())
}

/// The primary block of a RED payload.
#[must_use]
pub fn primary(payload: &[u8]) -> Option<&[u8]> {
    primary_range(payload).and_then(|range| payload.get(range))
}

/// An older packet's payload inside a RED payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedundantBlock<'a> {
    /// By how much its timestamp is before that of the packet.
    pub timestamp_offset: u16,
    /// What the older packet carried.
    pub payload: &'a [u8],
}

/// The redundant blocks of a RED payload that has a primary one, in their order (oldest first, as a rule); none when
/// the headers do not add up.
pub fn redundant_blocks(payload: &[u8]) -> impl Iterator<Item = RedundantBlock<'_>> {
    let bodies = primary_range(payload).map_or(&[][..], |range| &payload[..range.start]);
    let has_more = |header: &&[u8]| header.first().is_some_and(|first| first & MORE_HEADERS != 0);
    let headers = bodies.chunks(BLOCK_HEADER_BYTES).take_while(has_more);
    let mut at = headers.clone().count() * BLOCK_HEADER_BYTES + 1;
    headers.filter_map(move |header| {
        let &[_, high, middle, low] = header else { return None };
        let timestamp_offset = u16::from_be_bytes([high, middle]) >> 2;
        let length = usize::from(u16::from_be_bytes([middle, low]) & MAX_BLOCK_LENGTH);
        let payload = bodies.get(at..at + length)?;
        at += length;
        Some(RedundantBlock { timestamp_offset, payload })
    })
}

/// Writes a RED payload; every block is of `payload_type`. Blocks that its header has no room for are left out.
pub fn write(out: &mut Vec<u8>, payload_type: u8, redundant: &[RedundantBlock<'_>], primary: &[u8]) {
    let fits = |block: &&RedundantBlock<'_>| {
        block.timestamp_offset <= MAX_TIMESTAMP_OFFSET && block.payload.len() <= usize::from(MAX_BLOCK_LENGTH)
    };
    for block in redundant.iter().filter(fits) {
        #[expect(clippy::cast_possible_truncation, reason = "checked above")]
        let length = block.payload.len() as u32;
        let header =
            u32::from(payload_type | MORE_HEADERS) << 24 | u32::from(block.timestamp_offset) << 10 | length;
        out.extend_from_slice(&header.to_be_bytes());
    }
    out.push(payload_type & !MORE_HEADERS);
    redundant.iter().filter(fits).for_each(|block| out.extend_from_slice(block.payload));
    out.extend_from_slice(primary);
}

/// A RED payload with nothing but its primary block; its payload type is to be set by who sends it.
#[must_use]
pub fn bare(primary: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(primary.len() + 1);
    write(&mut out, 0, &[], primary);
    out
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

    #[test]
    fn finds_the_redundant_blocks() {
        let block = |timestamp_offset, payload| RedundantBlock { timestamp_offset, payload };
        let payload = [0xef, 0x1e, 0x00, 1, 0xef, 0x0f, 0x00, 2, 111, 8, 9, 9, 7];
        let found: Vec<_> = redundant_blocks(&payload).collect();
        assert_eq!(found, [block(1920, &[8][..]), block(960, &[9, 9])]);
        for cut in 0..payload.len() {
            assert_eq!(redundant_blocks(&payload[..cut]).count(), 0, "{cut} bytes");
        }
        assert_eq!(redundant_blocks(&[111, 1, 2]).count(), 0);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let long = [7; 1_023];
        let too_long = [7; 1_024];
        let block = |timestamp_offset, payload| RedundantBlock { timestamp_offset, payload };
        let blocks = [
            block(MAX_TIMESTAMP_OFFSET, &long[..]),
            block(MAX_TIMESTAMP_OFFSET + 1, &[1]),
            block(1920, &too_long),
            block(960, &[]),
            block(960, &[3, 4]),
        ];
        let mut out = Vec::new();
        write(&mut out, 111, &blocks, &[5]);
        let read: Vec<_> = redundant_blocks(&out).collect();
        assert_eq!(read, [blocks[0], blocks[3], blocks[4]]);
        assert_eq!(primary(&out), Some(&[5][..]));
        assert_eq!(out[0], 0xef);
    }
}
