//! When to ask a stream for a key frame: throttled, coalesced, repeated until it came.
