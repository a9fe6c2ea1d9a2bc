//! Redundant audio (RFC 2198), as far as a forwarder needs it.

use std::ops::Range;

/// Where the primary block of a RED payload lies; `None` when the headers do not add up or the block is empty.
#[must_use]
pub fn primary_range(_payload: &[u8]) -> Option<Range<usize>> {
    None
}

/// The primary block of a RED payload.
#[must_use]
pub fn primary(payload: &[u8]) -> Option<&[u8]> {
    primary_range(payload).and_then(|range| payload.get(range))
}
