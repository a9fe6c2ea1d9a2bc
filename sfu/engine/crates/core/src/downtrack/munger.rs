//! Rewrites sequence numbers, timestamps and VP8 ids so that the subscriber sees one unbroken stream.
