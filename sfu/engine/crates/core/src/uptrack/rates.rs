//! How many bits each layer of a track takes and how many pictures it has, measured over whole seconds and smoothed: what
//! an allocator reckons with, and what tells which layers make the pictures that a subscriber wants.

use std::time::{Duration, Instant};

use crate::layers::{MAX_STREAMS, StreamIndex};
use crate::rtp::dependency::Layer;

/// Time over which bits are counted.
const WINDOW: Duration = Duration::from_secs(1);
/// A rate is of the past when nothing has ended a window for that long.
const STALE: Duration = Duration::from_secs(3);
/// Temporal layers told apart; higher ones count with the last.
const TEMPORALS: usize = 4;
/// The key frame with which a layer begins takes so long to leave its sender. It says nothing of the layer's rate.
const KEY_FRAME: Duration = Duration::from_millis(100);
/// Of a layer that has just begun, so much after that tells enough: a path that cannot bear it is not to suffer until a
/// window ends.
const EARLY: Duration = Duration::from_millis(100);
/// A layer of which nothing has come for so many windows begins anew.
const IDLE_WINDOWS: u8 = 3;

/// Rates of one up track. Simulcast streams count as spatial layers, and so do those inside a stream.
#[derive(Debug, Default)]
pub(super) struct LayerRates {
    began: Option<Instant>,
    bits: [Bits; MAX_STREAMS as usize],
    pictures: [Pictures; MAX_STREAMS as usize],
}

impl LayerRates {
    /// Counts one packet.
    pub(super) fn observe(&mut self, now: Instant, stream: StreamIndex, layer: Layer, bytes: usize) {
        let began = *self.began.get_or_insert(now);
        let elapsed = now.saturating_duration_since(began);
        if elapsed >= WINDOW {
            if elapsed > STALE {
                self.pictures = Default::default(); // they begin anew, maybe at another rate
            }
            self.bits.iter_mut().for_each(|bits| bits.end_window(now, elapsed));
            self.pictures.iter_mut().for_each(|pictures| pictures.end_window(milliseconds(elapsed)));
            self.began = Some(now);
        }
        if let Some(bits) = self.bits.get_mut(usize::from(stream.0.max(layer.spatial))) {
            bits.count(now, layer.temporal, bytes);
        }
    }

    /// Counts one picture, whose first packet was observed.
    pub(super) fn observe_picture(&mut self, stream: StreamIndex, layer: Layer) {
        if let Some(pictures) = self.pictures.get_mut(usize::from(stream.0.max(layer.spatial))) {
            let count = &mut pictures.counts[usize::from(layer.temporal).min(TEMPORALS - 1)];
            *count = count.saturating_add(1);
        }
    }

    /// Pictures per 1,000 seconds of one spatial layer, with its temporal layers up to this one; 0 when nothing is known.
    pub(super) fn pictures_of(&self, now: Instant, layer: Layer) -> u32 {
        if self.is_past(now) {
            return 0;
        }
        let pictures = self.pictures.get(usize::from(layer.spatial));
        pictures.map_or(0, |pictures| sum_up_to(&pictures.rates, layer.temporal))
    }

    /// Bits per second of one spatial layer alone, with its temporal layers up to this one; 0 when nothing is known.
    pub(super) fn of(&self, now: Instant, layer: Layer) -> u32 {
        if self.is_past(now) {
            return 0;
        }
        self.bits.get(usize::from(layer.spatial)).map_or(0, |bits| bits.up_to(now, layer.temporal))
    }

    /// Whether nothing has come for so long that what was known says nothing any more.
    fn is_past(&self, now: Instant) -> bool {
        self.began.is_none_or(|began| now > began + STALE)
    }
}

/// Bits of one spatial layer, by temporal layer.
#[derive(Debug, Clone, Copy, Default)]
struct Bits {
    bytes: [u32; TEMPORALS],
    per_s: [u32; TEMPORALS],
    /// When one that is not measured yet began …
    began: Option<Instant>,
    /// … and what came of its key frame, and with that.
    first_bytes: [u32; TEMPORALS],
    is_measured: bool,
    idle_windows: u8,
}

impl Bits {
    fn count(&mut self, now: Instant, temporal: u8, bytes: usize) {
        let is_first = !self.is_measured && now < *self.began.get_or_insert(now) + KEY_FRAME;
        let counts = if is_first { &mut self.first_bytes } else { &mut self.bytes };
        let count = &mut counts[usize::from(temporal).min(TEMPORALS - 1)];
        *count = count.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    fn end_window(&mut self, now: Instant, window: Duration) {
        let elapsed = if self.is_measured { Some(window) } else { self.tells_since(now) };
        let Some(mut elapsed) = elapsed else { return };
        let first_bytes = std::mem::take(&mut self.first_bytes);
        if elapsed + KEY_FRAME >= window && !self.is_measured {
            elapsed += KEY_FRAME; // over so long its key frame is a part of what it costs
            self.bytes.iter_mut().zip(first_bytes).for_each(|(sum, first)| *sum = sum.saturating_add(first));
        }
        let is_idle = self.bytes == [0; TEMPORALS];
        self.idle_windows = if is_idle { self.idle_windows + 1 } else { 0 };
        if self.idle_windows >= IDLE_WINDOWS {
            *self = Self::default();
            return;
        }
        self.is_measured = true;
        for (rate, bytes) in self.per_s.iter_mut().zip(&mut self.bytes) {
            *rate = smoothed(*rate, bits_per_s(std::mem::take(bytes), elapsed));
        }
    }

    /// For how long one that is not measured yet has been counted after its key frame, when that is enough.
    fn tells_since(&self, now: Instant) -> Option<Duration> {
        let since = self.began? + KEY_FRAME;
        Some(now.saturating_duration_since(since)).filter(|elapsed| *elapsed >= EARLY)
    }

    /// Bits per second with the temporal layers up to this one; 0 when nothing is known.
    fn up_to(&self, now: Instant, temporal: u8) -> u32 {
        match self.tells_since(now) {
            _ if self.is_measured => sum_up_to(&self.per_s, temporal),
            Some(elapsed) => bits_per_s(sum_up_to(&self.bytes, temporal), elapsed),
            None => 0,
        }
    }
}

/// Of the temporal layers up to this one.
fn sum_up_to(counts: &[u32; TEMPORALS], temporal: u8) -> u32 {
    counts.iter().take(usize::from(temporal) + 1).fold(0, |sum, count| sum.saturating_add(*count))
}

fn bits_per_s(bytes: u32, elapsed: Duration) -> u32 {
    let bits = u64::from(bytes) * 8_000 / milliseconds(elapsed);
    u32::try_from(bits).unwrap_or(u32::MAX)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// Pictures of one spatial layer, by temporal layer.
#[derive(Debug, Clone, Copy, Default)]
struct Pictures {
    counts: [u16; TEMPORALS],
    /// Per 1,000 seconds; all 0: not known.
    rates: [u32; TEMPORALS],
    /// Some came in the last window, so that this one is theirs from its beginning.
    are_coming: bool,
}

impl Pictures {
    fn end_window(&mut self, milliseconds: u64) {
        let counts = std::mem::take(&mut self.counts);
        if counts == [0; TEMPORALS] {
            *self = Self::default();
            return;
        }
        if !std::mem::replace(&mut self.are_coming, true) {
            return; // they began somewhere within the window
        }
        let is_first = self.rates == [0; TEMPORALS];
        for (rate, count) in self.rates.iter_mut().zip(counts) {
            let last = u64::from(count) * 1_000_000 / milliseconds;
            let last = u32::try_from(last).unwrap_or(u32::MAX);
            // A third of the news: one second with half the pictures must not look like half the rate.
            *rate = if is_first { last } else { *rate - *rate / 3 + last / 3 };
        }
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
    fn what_has_just_begun_has_a_rate_after_a_fifth_of_a_second_without_its_key_frame() {
        let (mut rates, start) = (LayerRates::default(), Instant::now());
        let layer = |spatial| Layer { spatial, temporal: 0 };
        for n in 0..10 {
            rates.observe(start + n * 10 * MS, StreamIndex(0), layer(0), 9_000);
        }
        for n in 10..20 {
            rates.observe(start + n * 10 * MS, StreamIndex(0), layer(0), 1_000);
        }
        let of = |rates: &LayerRates, ms, spatial| rates.of(start + ms * MS, Layer { spatial, temporal: 7 });
        assert_eq!((of(&rates, 199, 0), of(&rates, 200, 0)), (0, 800_000));
        // Another layer comes within the same window, and close to its end.
        rates.observe(start + 900 * MS, StreamIndex(1), layer(1), 40_000);
        for n in 100..=120 {
            rates.observe(start + n * 10 * MS, StreamIndex(1), layer(1), 1_000);
        }
        assert_eq!((of(&rates, 1_000, 1), of(&rates, 1_099, 1)), (0, 0), "one packet is no rate");
        assert_eq!(of(&rates, 1_200, 1), 21_000 * 8 * 5);
        assert_ne!(of(&rates, 1_200, 0), 0);
    }

    #[test]
    fn a_layer_that_comes_back_begins_anew() {
        let (mut rates, start) = (LayerRates::default(), Instant::now());
        let mut go = |from: u32, to: u32, high| {
            for n in from..to {
                let now = start + n * 100 * MS;
                rates.observe(now, StreamIndex(0), Layer::default(), 1_000);
                if high {
                    rates.observe(now, StreamIndex(2), Layer::default(), 20_000);
                }
            }
            rates.of(start + to * 100 * MS, Layer { spatial: 2, temporal: 7 })
        };
        assert_ne!(go(0, 40, true), 0);
        assert_eq!(go(40, 100, false), 0);
        assert_eq!(go(100, 101, true), 0, "one packet is no rate");
        assert!(go(101, 104, true) > 1_000_000);
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

    /// A source: a picture every so often, of temporal layers 0, 2, 1, 2 in turn.
    struct Source {
        rates: LayerRates,
        now: Instant,
        pictures: u32,
    }

    impl Source {
        fn film(&mut self, seconds: u32, per_s: u32) {
            for _ in 0..seconds * per_s {
                let temporal = [0, 2, 1, 2][(self.pictures % 4) as usize];
                let layer = Layer { spatial: 0, temporal };
                for _ in 0..3 {
                    self.rates.observe(self.now, StreamIndex(1), layer, 900); // of several packets
                }
                self.rates.observe_picture(StreamIndex(1), layer);
                self.pictures += 1;
                self.now += Duration::from_secs(1) / per_s;
            }
        }

        fn known(&self) -> [u32; 4] {
            [0, 1, 2, 3].map(|temporal| {
                (self.rates.pictures_of(self.now, Layer { spatial: 1, temporal }) + 500) / 1_000
            })
        }
    }

    #[test]
    fn pictures_are_counted_from_the_first_whole_second_on() {
        let mut source = Source { rates: LayerRates::default(), now: Instant::now(), pictures: 0 };
        source.film(2, 40);
        assert_eq!(source.known(), [0; 4], "the first second may have begun anywhere");
        source.film(1, 40);
        assert_eq!(source.known(), [10, 20, 40, 40]);
        assert_eq!(
            source.rates.pictures_of(source.now, Layer { spatial: 0, temporal: 3 }),
            0,
            "another layer"
        );
        assert_eq!(source.rates.pictures_of(source.now, Layer { spatial: 9, temporal: 3 }), 0, "none");
        source.film(1, 20);
        source.film(1, 40);
        let total = source.known()[3];
        assert!((30..40).contains(&total), "one bad second is not believed: {total}");
        source.film(10, 20);
        assert_eq!(source.known(), [5, 10, 20, 20]);
    }

    #[test]
    fn what_was_known_of_pictures_ends_with_them() {
        let mut source = Source { rates: LayerRates::default(), now: Instant::now(), pictures: 0 };
        source.film(4, 40);
        assert_ne!(source.known(), [0; 4]);
        for _ in 0..30 {
            source.now += 100 * MS;
            source.rates.observe(source.now, StreamIndex(0), Layer::default(), 900);
        }
        assert_eq!(source.known(), [0; 4], "another stream goes on");
        source.film(4, 40);
        source.now += 3_001 * MS;
        assert_eq!(source.known(), [0; 4], "muted");
        source.film(1, 8);
        assert_eq!(source.known(), [0; 4], "back at another rate");
        source.film(3, 8);
        assert_eq!(source.known(), [2, 4, 8, 8]);
    }
}
