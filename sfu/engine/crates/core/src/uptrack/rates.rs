//! How many bits each layer of a track takes, measured over whole seconds and smoothed: what an allocator reckons with.

use std::time::{Duration, Instant};

use crate::layers::{MAX_STREAMS, StreamIndex};
use crate::rtp::dependency::Layer;

/// Time over which bits are counted.
const WINDOW: Duration = Duration::from_secs(1);
/// A rate is of the past when nothing has ended a window for that long.
const STALE: Duration = Duration::from_secs(3);
/// Temporal layers told apart; higher ones count with the last.
const TEMPORALS: usize = 4;
/// Of a track that has just begun, so much of the first window tells enough: a path that cannot bear it is not to suffer
/// until the window ends.
const EARLY: Duration = Duration::from_millis(200);

type Counts = [[u32; TEMPORALS]; MAX_STREAMS as usize];

/// Rates of one up track. Simulcast streams count as spatial layers, and so do those inside a stream.
#[derive(Debug, Default)]
pub(super) struct LayerRates {
    began: Option<Instant>,
    has_ended_one: bool,
    bytes: Counts,
    bits_per_s: Counts,
}

impl LayerRates {
    /// Counts one packet.
    pub(super) fn observe(&mut self, now: Instant, stream: StreamIndex, layer: Layer, bytes: usize) {
        let began = *self.began.get_or_insert(now);
        let elapsed = now.saturating_duration_since(began);
        if elapsed >= WINDOW {
            self.end_window(elapsed);
            self.began = Some(now);
        }
        let spatial = usize::from(stream.0.max(layer.spatial));
        if let Some(temporals) = self.bytes.get_mut(spatial) {
            let count = &mut temporals[usize::from(layer.temporal).min(TEMPORALS - 1)];
            *count = count.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        }
    }

    fn end_window(&mut self, elapsed: Duration) {
        self.has_ended_one = true;
        for (rates, bytes) in self.bits_per_s.iter_mut().flatten().zip(self.bytes.iter_mut().flatten()) {
            *rates = smoothed(*rates, bits_per_s(std::mem::take(bytes), elapsed));
        }
    }

    /// Bits per second of one spatial layer alone, with its temporal layers up to this one; 0 when nothing is known.
    pub(super) fn of(&self, now: Instant, layer: Layer) -> u32 {
        let Some(elapsed) = self.began.map(|began| now.saturating_duration_since(began)) else { return 0 };
        if elapsed > STALE {
            return 0;
        }
        let counts = if self.has_ended_one { &self.bits_per_s } else { &self.bytes };
        let temporals = counts.get(usize::from(layer.spatial)).map_or(&[][..], |counts| &counts[..]);
        let sum = temporals
            .iter()
            .take(usize::from(layer.temporal) + 1)
            .fold(0_u32, |sum, n| sum.saturating_add(*n));
        match self.has_ended_one {
            true => sum,
            false if elapsed >= EARLY => bits_per_s(sum, elapsed),
            false => 0,
        }
    }
}

fn bits_per_s(bytes: u32, elapsed: Duration) -> u32 {
    let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    u32::try_from(u64::from(bytes) * 8_000 / milliseconds).unwrap_or(u32::MAX)
}

/// Half of the past, half of the last second: a key frame must not look like a better picture. What was measured once
/// never becomes 0, which means unknown.
fn smoothed(before: u32, last: u32) -> u32 {
    match before {
        0 => last,
        before => (before / 2 + last / 2).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_has_just_begun_has_a_rate_after_a_fifth_of_a_second() {
        let (mut rates, start) = (LayerRates::default(), Instant::now());
        for n in 0..=20 {
            rates.observe(start + n * 10 * MS, StreamIndex(0), Layer { spatial: 0, temporal: 0 }, 1_000);
        }
        let of = |ms| rates.of(start + ms * MS, Layer { spatial: 0, temporal: 7 });
        assert_eq!((of(199), of(200)), (0, 21_000 * 8 * 5), "a key frame alone says nothing");
    }

    #[test]
    fn layers_are_counted_by_the_second() {
        let mut rates = LayerRates::default();
        let start = Instant::now();
        let layer = |spatial, temporal| Layer { spatial, temporal };
        assert_eq!(rates.of(start, layer(0, 0)), 0);
        for n in 0..=30 {
            let now = start + n * 100 * MS;
            rates.observe(now, StreamIndex(0), layer(0, u8::try_from(n % 2).unwrap()), 1000);
            rates.observe(now, StreamIndex(2), layer(0, 0), 2000);
            rates.observe(now, StreamIndex(0), layer(1, 9), 500);
        }
        let now = start + 3000 * MS;
        assert_eq!(rates.of(now, layer(0, 0)), 40_000);
        assert_eq!(rates.of(now, layer(0, 7)), 80_000, "with all temporal layers");
        assert_eq!(rates.of(now, layer(1, 2)), 0);
        assert_eq!(rates.of(now, layer(1, 3)), 40_000, "what is beyond counts with the last");
        assert_eq!(rates.of(now, layer(2, 0)), 160_000);
        assert_eq!(rates.of(now, layer(9, 0)), 0);
        assert_eq!(rates.of(now + 3001 * MS, layer(2, 0)), 0, "long ago");
    }
}
