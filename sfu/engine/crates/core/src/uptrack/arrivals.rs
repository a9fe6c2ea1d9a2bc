//! What arrives of a track in a window of time, and what is missing by the sequence numbers.

use crate::layers::{MAX_STREAMS, StreamIndex};

/// A number further ahead than this begins a new count: nobody loses that many.
const MAX_AHEAD: u64 = 1 << 15;

/// One stream's numbers in the window.
#[derive(Debug, Clone, Copy, Default)]
struct Numbers {
    highest: Option<u64>,
    /// Numbers passed in this window.
    expected: u32,
    received: u32,
}

/// Counts of one up track. Retransmissions that fill a hole count as received.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    streams: [Numbers; MAX_STREAMS as usize],
    /// Highest spatial layer in this window.
    top: Option<u8>,
    /// Highest spatial layer ever.
    top_ever: u8,
}

/// What one window brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// Packets.
    pub received: u32,
    /// Packets that the sequence numbers promise.
    pub expected: u32,
    /// Highest spatial layer; streams count as such. `None`: no media at all.
    pub top: Option<u8>,
    /// Highest spatial layer ever.
    pub top_ever: u8,
}

impl Arrivals {
    /// Notes any packet of a stream by its extended sequence number.
    pub(super) fn note(&mut self, stream: StreamIndex, seq: u64) {
        let Some(numbers) = self.streams.get_mut(usize::from(stream.0)) else { return };
        let ahead = numbers.highest.map_or(1, |highest| seq.saturating_sub(highest));
        if ahead > 0 {
            let passed = if ahead > MAX_AHEAD { 1 } else { ahead };
            numbers.expected = numbers.expected.saturating_add(u32::try_from(passed).unwrap_or(1));
            numbers.highest = Some(seq);
        }
        numbers.received = numbers.received.saturating_add(1);
    }

    /// Notes the spatial layer of a media packet.
    pub(super) fn note_layer(&mut self, spatial: u8) {
        self.top = self.top.max(Some(spatial));
        self.top_ever = self.top_ever.max(spatial);
    }

    /// A stream began anew with other numbers.
    pub(super) fn restart(&mut self, stream: StreamIndex) {
        if let Some(numbers) = self.streams.get_mut(usize::from(stream.0)) {
            numbers.highest = None;
        }
    }

    /// Ends the window.
    pub(super) fn take(&mut self) -> Arrived {
        let mut arrived = Arrived { received: 0, expected: 0, top: self.top.take(), top_ever: self.top_ever };
        for numbers in &mut self.streams {
            arrived.received = arrived.received.saturating_add(std::mem::take(&mut numbers.received));
            arrived.expected = arrived.expected.saturating_add(std::mem::take(&mut numbers.expected));
        }
        arrived
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: StreamIndex = StreamIndex(0);
    const TWO: StreamIndex = StreamIndex(2);

    fn counts(arrivals: &mut Arrivals) -> (u32, u32) {
        let arrived = arrivals.take();
        (arrived.received, arrived.expected)
    }

    #[test]
    fn holes_are_missing_until_they_are_filled() {
        let mut arrivals = Arrivals::default();
        for seq in [65_530, 65_531, 65_534, 65_540] {
            arrivals.note(ONE, seq);
        }
        arrivals.note(TWO, 7);
        assert_eq!(counts(&mut arrivals), (5, 12));
        assert_eq!(counts(&mut arrivals), (0, 0), "a new window");
        for seq in [65_533, 65_541] {
            arrivals.note(ONE, seq);
        }
        assert_eq!(counts(&mut arrivals), (2, 1), "one came late");
    }

    #[test]
    fn a_new_beginning_is_no_loss() {
        let mut arrivals = Arrivals::default();
        arrivals.note(ONE, 1);
        arrivals.restart(ONE);
        arrivals.note(ONE, 9_000);
        arrivals.note(ONE, 9_000 + MAX_AHEAD + 1);
        arrivals.note(ONE, u64::MAX);
        arrivals.note(StreamIndex(200), 1);
        assert_eq!(counts(&mut arrivals), (4, 4));
    }

    #[test]
    fn the_highest_layer_is_of_the_window() {
        let mut arrivals = Arrivals::default();
        arrivals.note_layer(2);
        arrivals.note_layer(0);
        let first = arrivals.take();
        assert_eq!((first.top, first.top_ever), (Some(2), 2));
        arrivals.note_layer(1);
        let second = arrivals.take();
        assert_eq!((second.top, second.top_ever), (Some(1), 2));
        assert_eq!(arrivals.take().top, None);
    }
}
