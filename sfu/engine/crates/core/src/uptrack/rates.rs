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
        self.pictures.iter_mut().for_each(|pictures| pictures.end_window(milliseconds(elapsed)));
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
        if self.began.is_none_or(|began| now > began + STALE) {
            return 0;
        }
        let temporals =
            self.pictures.get(usize::from(layer.spatial)).map_or(&[][..], |pictures| &pictures.rates[..]);
        temporals.iter().take(usize::from(layer.temporal) + 1).fold(0, |sum, rate| sum.saturating_add(*rate))
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
