//! Picks the stream that a subscriber should get.
