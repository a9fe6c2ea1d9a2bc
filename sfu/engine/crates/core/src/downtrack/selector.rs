//! Picks the stream that a subscriber should get: the best live one within the limit. Decides nothing about when.

use crate::layers::{MAX_STREAMS, StreamIndex, StreamSet};

/// Policy of one down track.
#[derive(Debug, Clone, Copy)]
pub(super) struct LayerSelector {
    limit: StreamIndex,
}

impl LayerSelector {
    /// No limit.
    pub(super) const fn new() -> Self {
        Self { limit: StreamIndex(MAX_STREAMS - 1) }
    }

    /// Highest stream that may be sent.
    pub(super) const fn set_limit(&mut self, limit: StreamIndex) {
        self.limit = limit;
    }

    /// Best live stream within the limit. When only streams above it are alive, the lowest of them: a publisher that
    /// sends nothing smaller is better seen large than not at all.
    pub(super) fn target(self, live: StreamSet) -> Option<StreamIndex> {
        live.highest_up_to(self.limit).or_else(|| live.iter().next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_best_within_the_limit() {
        for (live, limit, expected) in [
            (&[0, 1, 2][..], 7, Some(2)),
            (&[0, 1, 2], 1, Some(1)),
            (&[0, 2], 1, Some(0)),
            (&[2], 1, Some(2)),
            (&[1, 2], 0, Some(1)),
            (&[], 7, None),
        ] {
            let mut selector = LayerSelector::new();
            selector.set_limit(StreamIndex(limit));
            let live = live.iter().copied().map(StreamIndex).collect();
            assert_eq!(selector.target(live), expected.map(StreamIndex));
        }
    }
}
