//! How much of its subscriptions each subscriber is sent: estimates in, allocations out to the down tracks.
//!
//! A transport of which no estimate is known is sent everything and appears in no table here. The others are allocated
//! again when something has changed (the estimate, a wish, the streams of a publication) and now and then, for rates
//! change by themselves; never per packet. Where many are to be allocated again, as when somebody whom a large room
//! watches begins to send, they take turns, so that they hold up no packet.

use std::collections::VecDeque;
use std::time::Instant;

use rustc_hash::{FxHashMap, FxHashSet};

use super::thinning::thinned;
use super::{Shard, TimerKey};
use crate::allocator::{Allocation, Allocator, Demand, Demands, Grant, Ladder, LayerCosts, TEMPORALS};
use crate::command::MediaKind;
use crate::demux::TransportIndex;
use crate::downtrack;
use crate::event::Event;
use crate::layers::StreamIndex;
use crate::rate::{RateEstimate, RateGoal};
use crate::room::{DownEntry, UpEntry};
use crate::rtp::dependency::Layer;
use crate::timer::{Scheduled, Timers};
use crate::transport::{DownIndex, Transport, UpIndex};

/// A layer inside a stream with less than that is not being sent, bits per second.
const LEAST_LAYER_BPS: u32 = 1_000;

/// So much of the estimate is unbearable …
const UNBEARABLE_PERCENT: u64 = 150;
/// … and so much of a receiver's own, which falls further than the path does.
const UNBEARABLE_PERCENT_OF_COARSE: u64 = 300;

/// Down tracks that are looked at in one turn: some tenths of a millisecond. The last subscriber of a turn may have more.
const TRACKS_PER_TURN: usize = 512;

/// Subscribers of which an estimate is known.
#[derive(Debug, Default)]
pub(super) struct Rates {
    limited: FxHashMap<TransportIndex, Limited>,
    /// Transports whose video may be paused.
    pausable: FxHashSet<TransportIndex>,
    /// Transports that are treated as if they bore no more than that, bits per second.
    simulated: FxHashMap<TransportIndex, u64>,
    /// To be allocated with the next flushes, in this order.
    pending: VecDeque<TransportIndex>,
}

/// One such subscriber.
#[derive(Debug)]
struct Limited {
    allocator: Allocator,
    estimate: RateEstimate,
    goal: RateGoal,
    /// When to allocate at the latest.
    due: Instant,
    scheduled: Scheduled,
    is_pending: bool,
}

impl Rates {
    pub(super) fn scheduled(&self, index: TransportIndex) -> Option<Scheduled> {
        self.limited.get(&index).map(|limited| limited.scheduled)
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Forgets a transport that has ended.
    pub(super) fn remove(&mut self, index: TransportIndex) {
        self.limited.remove(&index);
        self.pausable.remove(&index);
        self.simulated.remove(&index);
    }

    /// Whether video may be paused. Whoever simulates a narrow path wants to see what can come of one.
    fn may_pause(&self, index: TransportIndex) -> bool {
        self.pausable.contains(&index) || self.simulated.contains_key(&index)
    }

    /// An estimate as the allocator is to see it: what is above the simulated rate counts as seen to be lost.
    fn simulate(&self, index: TransportIndex, estimate: RateEstimate) -> RateEstimate {
        match self.simulated.get(&index) {
            Some(rate_bps) if *rate_bps < estimate.total_bps => {
                RateEstimate { total_bps: *rate_bps, is_congested: true }
            }
            _ => estimate,
        }
    }
}

impl Shard {
    /// A transport has learned at which rate its peer can be sent to.
    pub(super) fn take_in_estimate(&mut self, now: Instant, index: TransportIndex, estimate: RateEstimate) {
        let is_first = !self.rates.limited.contains_key(&index);
        let limited = self.rates.limited.entry(index).or_insert_with(|| Limited {
            allocator: Allocator::default(),
            estimate,
            goal: RateGoal::default(),
            due: now,
            scheduled: Scheduled::default(),
            is_pending: false,
        });
        limited.estimate = estimate;
        let estimate = self.rates.simulate(index, estimate);
        let Some(limited) = self.rates.limited.get_mut(&index) else { return };
        limited.allocator.note_estimate(now, estimate);
        // Anything else can wait for the next look, which comes soon while something is missing.
        if is_first || estimate.is_congested || estimate.total_bps < limited.goal.allocated_bps {
            self.want_allocation(index);
        }
    }

    /// Whether video on a transport may be paused.
    pub(super) fn allow_pause(&mut self, index: TransportIndex, allowed: bool) {
        if allowed {
            self.rates.pausable.insert(index);
        } else {
            self.rates.pausable.remove(&index);
        }
        self.want_allocation(index);
    }

    /// Lets a transport bear no more than that, as it were; `None`: what it bears.
    pub(super) fn simulate_rate(&mut self, index: TransportIndex, rate_bps: Option<u64>) {
        match rate_bps {
            Some(rate_bps) => self.rates.simulated.insert(index, rate_bps),
            None => self.rates.simulated.remove(&index),
        };
        self.want_allocation(index);
    }

    /// What a subscriber wants, or can be given, has changed. False: it is sent everything.
    pub(super) fn want_allocation(&mut self, index: TransportIndex) -> bool {
        let Some(limited) = self.rates.limited.get_mut(&index) else { return false };
        if !limited.is_pending {
            limited.is_pending = true;
            self.rates.pending.push_back(index);
        }
        true
    }

    /// As [`Self::want_allocation`], for all subscribers of an up track.
    pub(super) fn want_allocations_for(&mut self, up: UpIndex) {
        if self.rates.limited.is_empty() {
            return;
        }
        let Some(up) = self.tables.ups.get(up) else { return };
        for link in &up.links {
            if let Some(limited) = self.rates.limited.get_mut(&link.transport)
                && !limited.is_pending
            {
                limited.is_pending = true;
                self.rates.pending.push_back(link.transport);
            }
        }
    }

    /// Allocates for those who wait for that, as many as fit a turn. What is left comes with the next flush, which is due
    /// at once: between the two, packets are taken in and sent on.
    pub(super) fn allocate_pending(&mut self, now: Instant) {
        let mut left = Some(TRACKS_PER_TURN);
        while let Some(tracks) = left
            && let Some(index) = self.rates.pending.pop_front()
        {
            let downs = self.transports.get(index).map(Transport::downs).unwrap_or_default();
            left = tracks.checked_sub(1 + downs.len());
            self.allocate(now, index, &downs);
        }
    }

    /// It is time to look again.
    pub(super) fn handle_rate_timer(&mut self, now: Instant, at: Instant, index: TransportIndex) {
        let Some(limited) = self.rates.limited.get_mut(&index) else { return };
        if !Timers::<TimerKey>::confirm(at, &mut limited.scheduled) {
            return;
        }
        if limited.due <= now {
            self.want_allocation(index);
        } else {
            self.timers.schedule(TimerKey::Rate(index), limited.due, &mut limited.scheduled);
        }
    }

    fn allocate(&mut self, now: Instant, index: TransportIndex, downs: &[DownIndex]) {
        let demands = self.demands(now, index, downs);
        let Some(estimate) = self.rates.limited.get(&index).map(|limited| limited.estimate) else { return };
        let simulated = self.rates.simulate(index, estimate);
        let Some(limited) = self.rates.limited.get_mut(&index) else { return };
        limited.is_pending = false;
        if simulated != estimate {
            limited.allocator.note_estimate(now, simulated);
        }
        let Allocation { grants, goal, excess_percent, again_after } =
            limited.allocator.allocate(now, simulated, &demands);
        limited.goal = goal;
        limited.due = now + again_after;
        self.timers.schedule(TimerKey::Rate(index), limited.due, &mut limited.scheduled);
        self.counters.allocations += 1;
        if let Some(transport) = self.transports.get_mut(index) {
            transport.set_rate_goal(now, goal);
        }
        self.schedule_transport(index);
        let stops_at_once = excess_percent.is_some_and(|percent| percent > self.unbearable_percent(index));
        // Both are in the order of `downs`; the one lacks what is not wanted or not there now.
        let mut grants = grants.into_iter().peekable();
        for down in downs {
            let id = self.tables.downs.get(*down).map(|entry| entry.id);
            let grant = grants.next_if(|(granted, _)| Some(*granted) == id).map(|(_, grant)| grant);
            self.grant(now, *down, grant, stops_at_once);
        }
        self.counters.paused_down_tracks = self.tables.paused();
    }

    /// What exceeds the estimate so far loses sound and breaks its own pictures.
    fn unbearable_percent(&self, index: TransportIndex) -> u64 {
        let is_coarse = self.transports.get(index).is_some_and(Transport::is_estimated_by_video);
        if is_coarse { UNBEARABLE_PERCENT_OF_COARSE } else { UNBEARABLE_PERCENT }
    }

    fn demands(&self, now: Instant, index: TransportIndex, downs: &[DownIndex]) -> Demands {
        let mut demands = Demands { allows_pause: self.rates.may_pause(index), ..Demands::default() };
        let estimates_video = self.transports.get(index).is_some_and(Transport::is_estimated_by_video);
        for down in downs.iter().filter_map(|down| self.tables.downs.get(*down)) {
            let Some(up) = self.tables.ups.get(down.up) else { continue };
            if !down.is_enabled || down.binding.is_none() || up.is_muted {
                continue;
            }
            match down.kind {
                // Receivers that estimate by themselves leave sound out: what they say is for video.
                MediaKind::Audio if estimates_video => {}
                MediaKind::Audio => {
                    demands.audio_tracks += 1;
                    demands.audio_bps +=
                        u64::from(up.track.rate_bps(now, Layer { spatial: 0, ..Layer::MAX }));
                }
                MediaKind::Video => demands.video.push(demand(now, down, up)),
            }
        }
        demands
    }

    /// Lets a down track have what was granted; `None`: it wants nothing, or there is nothing to give. A stream that is
    /// beyond it plays on until a smaller one's key frame comes, but not where it `stops_at_once`.
    fn grant(&mut self, now: Instant, index: DownIndex, grant: Option<Grant>, stops_at_once: bool) {
        let Some(down) = self.tables.downs.get_mut(index) else { return };
        let (granted, is_paused) = match grant {
            Some(Grant::UpTo(layer)) => (Some(layer), false),
            // Where it was stays its limit: what comes after the pause is granted anew.
            Some(Grant::Paused) => (down.granted, true),
            None => (None, false),
        };
        if (down.granted, down.is_paused) == (granted, is_paused) {
            return;
        }
        down.granted = granted;
        self.follow_picture_rate(now, index); // of another layer, maybe
        let Some(down) = self.tables.downs.get_mut(index) else { return };
        let (limit, up, id) = (down.limit(), down.up, down.id);
        let live = self.tables.ups.get(up).map(|up| up.track.live_streams(now)).unwrap_or_default();
        if let Some(binding) = &mut down.binding {
            binding.track.set_max_layer(limit);
            binding.track.set_paused(is_paused);
            let smaller = downtrack::target_within(limit, live);
            let has_smaller = |current| smaller.is_some_and(|smaller| smaller < current);
            if stops_at_once && binding.track.current().is_some_and(has_smaller) {
                binding.track.interrupt();
            }
        }
        if self.tables.set_paused(index, is_paused) {
            self.events.push_back(Event::DownTrackPaused { down_track: id, paused: is_paused });
        }
        self.request_wanted_key_frame(now, up, index);
    }
}

fn demand(now: Instant, down: &DownEntry, up: &UpEntry) -> Demand {
    Demand {
        down_track: down.id,
        priority: down.priority,
        ladder: Ladder::new(&thinned(now, down, up, costs(now, up)), down.wanted.max_layer()),
    }
}

/// What the layers of a publication cost now, as far as they are being sent.
fn costs(now: Instant, up: &UpEntry) -> LayerCosts {
    let is_cumulative = up.track.has_one_stream();
    let live = up.track.live_streams(now);
    let mut costs = LayerCosts { is_cumulative, ..LayerCosts::default() };
    for (spatial, cost) in (0_u8..).zip(&mut costs.spatials) {
        let mut rates = [0; TEMPORALS];
        for (temporal, rate) in (0_u8..).zip(&mut rates) {
            *rate = up.track.rate_bps(now, Layer { spatial, temporal });
        }
        let is_inside = is_cumulative && !live.is_empty() && rates[TEMPORALS - 1] >= LEAST_LAYER_BPS;
        if live.contains(StreamIndex(spatial)) || is_inside {
            *cost = Some(rates);
        }
    }
    costs
}
