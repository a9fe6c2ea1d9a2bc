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

type Counts = [[u32; TEMPORALS]; MAX_STREAMS as usize];

/// Rates of one up track. Simulcast streams count as spatial layers, and so do those inside a stream.
#[derive(Debug, Default)]
pub(super) struct LayerRates {
    began: Option<Instant>,
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
        let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        for (rates, bytes) in self.bits_per_s.iter_mut().flatten().zip(self.bytes.iter_mut().flatten()) {
            let bits = u64::from(std::mem::take(bytes)) * 8_000 / milliseconds;
            *rates = smoothed(*rates, u32::try_from(bits).unwrap_or(u32::MAX));
        }
    }

    /// Bits per second of one spatial layer alone, with its temporal layers up to this one; 0 when nothing is known.
    pub(super) fn of(&self, now: Instant, layer: Layer) -> u32 {
        if self.began.is_none_or(|began| now > began + STALE) {
            return 0;
        }
        let temporals = self.bits_per_s.get(usize::from(layer.spatial)).map_or(&[][..], |rates| &rates[..]);
        temporals.iter().take(usize::from(layer.temporal) + 1).fold(0, |sum, rate| sum.saturating_add(*rate))
    }
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
