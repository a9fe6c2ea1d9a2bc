//! The two words that up tracks and down tracks share: which stream, and which streams are alive. No logic beyond sets.

/// Index of a stream inside its up track, in spatial order: 0 is the smallest picture. Audio has only 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamIndex(pub u8);

/// Most streams of one up track; further ones are refused.
pub const MAX_STREAMS: u8 = 8;

/// Set of stream indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamSet(u8);

impl StreamSet {
    /// No stream.
    pub const EMPTY: Self = Self(0);

    /// Adds a stream; an index of [`MAX_STREAMS`] or more is ignored.
    pub fn insert(&mut self, stream: StreamIndex) {
        if stream.0 < MAX_STREAMS {
            self.0 |= 1 << stream.0;
        }
    }

    /// Takes a stream out; whether it was in.
    pub fn remove(&mut self, stream: StreamIndex) -> bool {
        let was_in = self.contains(stream);
        if was_in {
            self.0 &= !(1 << stream.0);
        }
        was_in
    }

    /// Whether a stream is in the set.
    #[must_use]
    pub const fn contains(self, stream: StreamIndex) -> bool {
        stream.0 < MAX_STREAMS && self.0 & (1 << stream.0) != 0
    }

    /// Whether no stream is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Highest stream that is not above `limit`.
    #[must_use]
    pub fn highest_up_to(self, limit: StreamIndex) -> Option<StreamIndex> {
        (0..MAX_STREAMS.min(limit.0.saturating_add(1)))
            .rev()
            .map(StreamIndex)
            .find(|stream| self.contains(*stream))
    }

    /// Streams in rising order.
    pub fn iter(self) -> impl Iterator<Item = StreamIndex> {
        (0..MAX_STREAMS).map(StreamIndex).filter(move |stream| self.contains(*stream))
    }
}

impl FromIterator<StreamIndex> for StreamSet {
    fn from_iter<I: IntoIterator<Item = StreamIndex>>(streams: I) -> Self {
        let mut set = Self::EMPTY;
        streams.into_iter().for_each(|stream| set.insert(stream));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_come_and_go() {
        let mut set: StreamSet = [7, 0, 8, 255].into_iter().map(StreamIndex).collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [StreamIndex(0), StreamIndex(7)], "others do not fit");
        assert_eq!(set.highest_up_to(StreamIndex(6)), Some(StreamIndex(0)));
        assert_eq!(set.highest_up_to(StreamIndex(255)), Some(StreamIndex(7)));
        assert!(set.remove(StreamIndex(7)) && !set.remove(StreamIndex(7)) && !set.remove(StreamIndex(8)));
        assert!(set.remove(StreamIndex(0)) && set.is_empty());
        assert_eq!(set.highest_up_to(StreamIndex(255)), None);
    }
}
