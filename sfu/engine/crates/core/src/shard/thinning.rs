//! Fewer pictures for those who want no more than so many a second: which temporal layers make them.
//!
//! Encoders differ in the layers they make and publishers in the rates they have, and both change while a call goes on.
//! So pictures are counted where they arrive (`uptrack`), and here each down track with such a wish is looked at again
//! every second. The others are in no list here and cost nothing. What is not known is not left out: a track of which
//! no rate is measured comes whole.

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use super::{Shard, TimerKey};
use crate::allocator::{LayerCosts, TEMPORALS};
use crate::downtrack;
use crate::layers::{MAX_STREAMS, StreamIndex, StreamSet};
use crate::room::{DownEntry, UpEntry};
use crate::rtp::dependency::Layer;
use crate::timer::{Scheduled, Timers};
use crate::transport::DownIndex;

/// Rates are measured by the second.
const INTERVAL: Duration = Duration::from_secs(1);
/// Down tracks that are looked at in a turn: some tenths of a millisecond, in which no packet is forwarded …
const TRACKS_PER_TURN: usize = 1_024;
/// … and the time to the next turn.
const TURN: Duration = Duration::from_millis(5);
/// Share of the wanted rate that layers must make to be enough: no camera keeps its rate to the picture.
const ENOUGH_PERCENT: u64 = 90;
/// With less, layers that were enough are no longer. Between the two it stays as it was.
const STILL_ENOUGH_PERCENT: u64 = 80;

/// Pictures per 1,000 seconds of one spatial layer, with its temporal layers up to each.
type PictureRates = [u32; TEMPORALS];

/// Down tracks whose subscribers want fewer than all pictures; some may be gone, or want them all by now.
#[derive(Debug, Default)]
pub(super) struct Thinned {
    downs: BTreeSet<DownIndex>,
    /// Where the next turn begins.
    next: DownIndex,
    scheduled: Scheduled,
}

impl Thinned {
    pub(super) const fn scheduled(&self) -> Scheduled {
        self.scheduled
    }

    fn turn(&self) -> Vec<DownIndex> {
        self.downs.range(self.next..).take(TRACKS_PER_TURN).copied().collect()
    }
}

impl Shard {
    /// From now on a down track is looked at, as long as it has such a wish.
    pub(super) fn begin_thinning(&mut self, now: Instant, index: DownIndex) {
        self.thinned.downs.insert(index);
        self.timers.schedule(TimerKey::Thinning, now + INTERVAL, &mut self.thinned.scheduled);
    }

    /// It is time to look again.
    pub(super) fn handle_thinning_timer(&mut self, now: Instant, at: Instant) {
        if !Timers::<TimerKey>::confirm(at, &mut self.thinned.scheduled) {
            return;
        }
        let turn = self.thinned.turn();
        let is_last = turn.len() < TRACKS_PER_TURN;
        self.thinned.next = turn.last().filter(|_| !is_last).map_or(0, |last| last + 1);
        for index in turn {
            if self.tables.downs.get(index).is_none_or(|down| !down.is_thinned()) {
                self.thinned.downs.remove(&index);
            }
            self.thin(now, index);
        }
        if !self.thinned.downs.is_empty() {
            let next = if is_last { INTERVAL } else { TURN };
            self.timers.schedule(TimerKey::Thinning, now + next, &mut self.thinned.scheduled);
        }
    }

    /// Lets a down track have the layers that its pictures take now.
    fn thin(&mut self, now: Instant, index: DownIndex) {
        if !self.follow_picture_rate(now, index) {
            return;
        }
        let Some(down) = self.tables.downs.get_mut(index) else { return };
        let (limit, up, subscriber) = (down.limit(), down.up, down.transport);
        if let Some(binding) = &mut down.binding {
            binding.track.set_max_layer(limit);
            self.note_demand(now, subscriber, up, index);
        }
    }

    /// Finds the temporal layer that a down track needs by the present rates. True: another one than before.
    pub(super) fn follow_picture_rate(&mut self, now: Instant, index: DownIndex) -> bool {
        let Some(down) = self.tables.downs.get_mut(index) else { return false };
        let temporal = match (down.wanted.max_fps, self.tables.ups.get(down.up)) {
            (Some(max_fps), Some(up)) => {
                let rates = sent_spatial(now, up, down.limit()).map(|spatial| rates_of(now, up, spatial));
                temporal_limit(max_fps, rates.unwrap_or_default(), down.max_temporal)
            }
            _ => u8::MAX,
        };
        std::mem::replace(&mut down.max_temporal, temporal) != temporal
    }
}

/// What the layers of a publication cost a subscriber who wants so many pictures a second: those above are not sent.
pub(super) fn thinned(now: Instant, down: &DownEntry, up: &UpEntry, mut costs: LayerCosts) -> LayerCosts {
    let Some(max_fps) = down.wanted.max_fps else { return costs };
    for (spatial, cost) in (0_u8..).zip(&mut costs.spatials) {
        let Some(cost) = cost else { continue };
        let limit = temporal_limit(max_fps, rates_of(now, up, spatial), down.max_temporal);
        if let Some((most, above)) = cost.get_mut(usize::from(limit)..).and_then(<[u32]>::split_first_mut) {
            above.fill(*most);
        }
    }
    costs
}

fn rates_of(now: Instant, up: &UpEntry, spatial: u8) -> PictureRates {
    let mut rates = PictureRates::default();
    for (temporal, rate) in (0_u8..).zip(&mut rates) {
        *rate = up.track.pictures_per_1000_s(now, Layer { spatial, temporal });
    }
    rates
}

/// The spatial layer, be it a stream or inside one, that is sent within a limit.
fn sent_spatial(now: Instant, up: &UpEntry, limit: Layer) -> Option<u8> {
    let has_pictures = |spatial: &StreamIndex| {
        up.track.pictures_per_1000_s(now, Layer { spatial: spatial.0, ..Layer::MAX }) > 0
    };
    let sent: StreamSet = if up.track.has_one_stream() {
        (0..MAX_STREAMS).map(StreamIndex).filter(has_pictures).collect()
    } else {
        up.track.live_streams(now)
    };
    downtrack::target_within(limit, sent).map(|spatial| spatial.0)
}

/// The lowest temporal layer up to which there are enough pictures; `u8::MAX` when there is nothing above it, when there
/// are not enough at all, or when nothing is known. `before`: the last answer.
fn temporal_limit(max_fps: NonZeroU16, rates: PictureRates, before: u8) -> u8 {
    let wanted = u64::from(max_fps.get()) * 1_000;
    let is_enough = |temporal: u8, rate: u32| {
        let percent = if temporal == before { STILL_ENOUGH_PERCENT } else { ENOUGH_PERCENT };
        u64::from(rate) * 100 >= wanted * percent
    };
    let all = rates[TEMPORALS - 1];
    (0_u8..)
        .zip(rates)
        .find(|(temporal, rate)| is_enough(*temporal, *rate))
        .filter(|(_, rate)| *rate < all)
        .map_or(u8::MAX, |(temporal, _)| temporal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::UpTrackId;
    use crate::room::Tables;
    use crate::uptrack::{PliThrottle, UpTrack, UpTrackConfig};

    const NEVER: u8 = u8::MAX;
    const MS: Duration = Duration::from_millis(1);

    /// The limit for pictures per second, with temporal layers up to each.
    fn limit(max_fps: u16, rates: [f32; TEMPORALS], before: u8) -> u8 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        let rates = rates.map(|rate| (rate * 1_000.0) as u32);
        temporal_limit(NonZeroU16::new(max_fps).unwrap(), rates, before)
    }

    #[test]
    fn the_fewest_layers_that_are_enough() {
        for (source, max_fps, expected) in [
            ([3.75, 7.5, 15.0, 15.0], 15, NEVER),
            ([3.75, 7.5, 15.0, 15.0], 7, 1),
            ([3.75, 7.5, 15.0, 15.0], 60, NEVER),
            ([7.5, 15.0, 30.0, 30.0], 15, 1),
            ([7.5, 15.0, 30.0, 30.0], 1, 0),
            ([7.5, 15.0, 30.0, 30.0], u16::MAX, NEVER),
            ([5.0, 10.0, 20.0, 20.0], 20, NEVER),
            ([5.0, 10.0, 20.0, 20.0], 10, 1),
            ([15.0, 30.0, 30.0, 30.0], 15, 0),
            ([7.5, 15.0, 30.0, 60.0], 30, 2),
            ([30.0; 4], 5, NEVER),
            ([0.0; 4], 5, NEVER),
        ] {
            assert_eq!(limit(max_fps, source, NEVER), expected, "{source:?} {max_fps}");
        }
    }

    #[test]
    fn at_the_margin_it_stays() {
        let source = |all: f32| [all / 4.0, all / 2.0, all, all];
        let mut before = NEVER;
        for (all, expected) in
            [(26.8, NEVER), (27.2, 1), (26.8, 1), (24.2, 1), (23.8, NEVER), (26.8, NEVER), (27.2, 1)]
        {
            before = limit(15, source(all), before);
            assert_eq!(before, expected, "{all}");
        }
        assert_eq!(limit(15, source(60.0), 1), 0, "fewer are enough now");
        assert_eq!(limit(15, [15.0; 4], 1), NEVER, "the layers are gone");
    }

    #[test]
    fn layers_inside_a_stream_are_found_by_their_pictures() {
        let config = UpTrackConfig { clock_rate_hz: 90_000, pli_throttle: PliThrottle::default() };
        let mut tables = Tables::default();
        let index = tables.up_or_insert(UpTrackId(1), || UpTrack::new(config));
        let up = &mut tables.ups[index];
        let stream = up.track.stream_for(None).unwrap();
        let mut now = Instant::now();
        let limit = |spatial| Layer { spatial, temporal: NEVER };
        assert_eq!(sent_spatial(now, up, limit(1)), None, "nothing has come yet");
        // Spatial layers 0 and 1, of which the upper has half the pictures; 2 is not sent.
        for picture in 0..80_u8 {
            let temporal = picture % 2;
            for spatial in 0..=(1 - temporal) {
                let layer = Layer { spatial, temporal };
                up.track.observe(now, stream, picture == 0);
                up.track.count(now, stream, layer, 500);
                up.track.count_picture(stream, layer);
            }
            now += 50 * MS;
        }
        for (wanted, sent) in [(0, 0), (1, 1), (2, 1), (NEVER, 1)] {
            assert_eq!(sent_spatial(now, up, limit(wanted)), Some(sent), "{wanted}");
        }
        let near = |rate: u32, wanted: u32| rate.abs_diff(wanted) < 600;
        let [lower, upper] = [0, 1].map(|spatial| rates_of(now, up, spatial));
        assert!(near(lower[0], 10_000) && near(lower[1], 20_000) && near(lower[3], 20_000), "{lower:?}");
        assert!(near(upper[0], 10_000) && near(upper[3], 10_000), "{upper:?}");
        assert_eq!(sent_spatial(now + Duration::from_secs(4), up, limit(1)), None, "all is quiet");
    }
}
