//! One thread's world: owns its transports, rooms and tables; never touches a socket or a clock.
//!
//! Driven by [`Shard`]'s public calls only (see the crate's manual). `commands` carries out what Python asks, `media`
//! takes packets in, `fanout` sends them on, `rate` and `thinning` decide how much of them, `data` does the same for data packets,
//! `signals` handles what transports report. Work between transports is queued and done in [`Shard::flush`], never in
//! the middle of a transport's run.

mod blanks;
mod commands;
mod data;
mod data_tracks;
mod fanout;
mod media;
mod rate;
mod rating;
mod redundancy;
mod signals;
mod thinning;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use slab::Slab;

use crate::command::Command;
use crate::data::DataLimits;
use crate::demux::{Demux, TransportIndex};
use crate::drop_reason::DropReason;
use crate::event::{Event, TransportFailure};
use crate::ids::{RoomId, TransportId};
use crate::input::{Carrier, Datagram};
use crate::output::Transmits;
use crate::random::Random;
use crate::rate::RateEstimate;
use crate::room::{ParticipantIndex, RoomIndex, Tables};
use crate::stats::Counters;
use crate::timer::{Scheduled, Timers};
use crate::transport::{DownIndex, Outlet, Signal, TimeOfDay, Transport, UpIndex, guard};
use crate::uptrack::PliThrottle;
use blanks::Farewell;
use rate::Rates;
use thinning::Thinned;

/// Rounds of one flush; what transports ask of each other in the last waits for the next flush.
const FLUSH_ROUNDS: usize = 3;
/// Timers of transports go off on a grid: one wake-up serves many, and a transport never keeps the thread spinning.
const TIMER_GRID: Duration = Duration::from_millis(5);

/// Settings of a shard.
#[derive(Debug, Clone)]
pub struct ShardConfig {
    /// Index of the shard.
    pub index: u16,
    /// Longest time for which media to one subscriber is gathered.
    pub gather: Duration,
    /// RFC 6464 level (−dBov) at or below which a packet counts as active.
    pub audio_active_level: u8,
    /// Interval of `Event::AudioLevels`.
    pub audio_update_interval: Duration,
    /// Length of the windows by which connections are rated.
    pub quality_interval: Duration,
    /// Least time between two key-frame requests for one stream.
    pub pli_throttle: PliThrottle,
    /// The time of day, for reports to peers.
    pub time_of_day: TimeOfDay,
    /// What each participant may send in data.
    pub data_limits: DataLimits,
    /// Opus of publishers without RED gets redundancy for subscribers with it.
    pub adds_redundancy: bool,
    /// Publishers of audio are told of the worst of their subscribers' losses.
    pub reports_subscribers_loss: bool,
}

/// Who a timer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum TimerKey {
    Transport(TransportIndex),
    UpTrack(UpIndex),
    Sent(ParticipantIndex),
    Rate(TransportIndex),
    AudioLevels,
    Blanks,
    Rating(RoomIndex),
    Thinning,
}

/// One thread's world.
#[derive(Debug)]
pub struct Shard {
    config: ShardConfig,
    began: Instant,
    now: Instant,
    random: Random,
    counters: Counters,
    demux: Demux,
    transports: Slab<Transport>,
    transport_index: FxHashMap<TransportId, TransportIndex>,
    tables: Tables,
    timers: Timers<TimerKey>,
    rates: Rates,
    thinned: Thinned,
    /// Transports that others have given something to send.
    touched: Vec<TransportIndex>,
    /// Up tracks with packets to fan out, and when that must happen at the latest.
    gathering: Vec<UpIndex>,
    gather_until: Option<Instant>,
    /// Up tracks with sound in the current interval.
    heard: Vec<UpIndex>,
    /// Rooms whose last report named somebody, sorted.
    loud_rooms: Vec<RoomId>,
    /// Down tracks that get frames of the server's own.
    silenced: Vec<DownIndex>,
    /// Down tracks that have ended but for such frames.
    farewells: Vec<Farewell>,
    blanks_scheduled: Scheduled,
    audio_scheduled: Scheduled,
    audio_due: Option<Instant>,
    transmits: Transmits,
    events: VecDeque<Event>,
    signals: Vec<(TransportIndex, Signal)>,
    /// The data track packet that is being forwarded, with the present subscriber's handle.
    track_packet: Vec<u8>,
}

impl Shard {
    /// An empty shard; `seed` feeds every random choice that is not security relevant.
    #[must_use]
    pub fn new(config: ShardConfig, seed: u64, now: Instant) -> Self {
        Self {
            config,
            began: now,
            now,
            random: Random::new(seed),
            counters: Counters::new(),
            demux: Demux::default(),
            transports: Slab::new(),
            transport_index: FxHashMap::default(),
            tables: Tables::default(),
            timers: Timers::new(),
            rates: Rates::default(),
            thinned: Thinned::default(),
            touched: Vec::new(),
            gathering: Vec::new(),
            gather_until: None,
            heard: Vec::new(),
            loud_rooms: Vec::new(),
            silenced: Vec::new(),
            farewells: Vec::new(),
            blanks_scheduled: Scheduled::default(),
            audio_scheduled: Scheduled::default(),
            audio_due: None,
            transmits: Transmits::default(),
            events: VecDeque::new(),
            signals: Vec::new(),
            track_packet: Vec::new(),
        }
    }

    /// Carries out a command.
    pub fn handle_command(&mut self, now: Instant, command: Command) {
        self.now = now;
        if !self.carry_out(now, command) {
            self.counters.stale_commands += 1;
        }
        self.count_tables();
    }

    /// Takes in one datagram: from a validated address, or STUN for one of our ufrags; else it is dropped.
    pub fn handle_datagram(&mut self, now: Instant, datagram: Datagram<'_>) {
        self.now = now;
        self.counters.datagrams_in += 1;
        self.counters.bytes_in += datagram.payload.len() as u64;
        match self.demux.route((datagram.carrier, datagram.source), datagram.payload) {
            Ok(index) if self.must_wait(index, datagram.payload) => {
                self.counters.count_drop(DropReason::DataRateExceeded);
            }
            Ok(index) => self.with_transport(now, index, |transport, outlet| {
                transport.receive(now, &datagram, outlet);
            }),
            Err(reason) => self.counters.count_drop(reason),
        }
    }

    /// The peer's TCP connection is gone.
    pub fn handle_tcp_closed(&mut self, _now: Instant, peer: std::net::SocketAddr) {
        self.demux.remove_path((Carrier::Tcp, peer));
    }

    /// Peers whose TCP connection leads to no transport any more: to be closed once what waits for them is written.
    pub fn take_unused_tcp(&mut self) -> Vec<std::net::SocketAddr> {
        self.demux.take_unused_tcp()
    }

    /// Runs every timer that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        while let Some((at, key)) = self.timers.pop_due(now) {
            self.handle_timer(now, at, key);
        }
        let (transports, ups) = (&self.transports, &self.tables.ups);
        let (audio, blanks) = (self.audio_scheduled, self.blanks_scheduled);
        let thinning = self.thinned.scheduled();
        let (participants, rooms, rates) = (&self.tables.participants, &self.tables.rooms, &self.rates);
        let owners = 2 * transports.len() + ups.len() + participants.len() + rooms.len() + 3;
        self.timers.compact(owners, |key| match key {
            TimerKey::Transport(index) => transports.get(index).map(|transport| transport.scheduled),
            TimerKey::UpTrack(index) => ups.get(index).map(|up| up.scheduled),
            TimerKey::Sent(index) => participants.get(index).map(|participant| participant.sent_scheduled),
            TimerKey::Rate(index) => rates.scheduled(index),
            TimerKey::AudioLevels => Some(audio),
            TimerKey::Blanks => Some(blanks),
            TimerKey::Rating(index) => rooms.get(index).map(|room| room.rating_scheduled),
            TimerKey::Thinning => Some(thinning),
        });
    }

    fn handle_timer(&mut self, now: Instant, at: Instant, key: TimerKey) {
        match key {
            TimerKey::Transport(index) => {
                let Some(transport) = self.transports.get_mut(index) else { return };
                if !Timers::<TimerKey>::confirm(at, &mut transport.scheduled) {
                    return;
                }
                if transport.deadline() <= now {
                    self.run(now, index);
                } else {
                    self.schedule_transport(index);
                }
            }
            TimerKey::UpTrack(index) => {
                let Some(up) = self.tables.ups.get_mut(index) else { return };
                if Timers::<TimerKey>::confirm(at, &mut up.scheduled) {
                    self.report_reception(now, index);
                    self.repeat_key_frame_requests(now, index);
                }
            }
            TimerKey::Sent(index) => {
                let Some(participant) = self.tables.participants.get_mut(index) else { return };
                if Timers::<TimerKey>::confirm(at, &mut participant.sent_scheduled) {
                    participant.sent.forget_old(now);
                    self.schedule_forgetting(now, index);
                }
            }
            TimerKey::Rate(index) => self.handle_rate_timer(now, at, index),
            TimerKey::AudioLevels => {
                if Timers::<TimerKey>::confirm(at, &mut self.audio_scheduled) {
                    self.report_audio_levels(now);
                }
            }
            TimerKey::Blanks => {
                if Timers::<TimerKey>::confirm(at, &mut self.blanks_scheduled) {
                    self.send_blanks(now);
                }
            }
            TimerKey::Rating(index) => {
                let Some(room) = self.tables.rooms.get_mut(index) else { return };
                if Timers::<TimerKey>::confirm(at, &mut room.rating_scheduled) {
                    self.rate_room(now, index);
                }
            }
            TimerKey::Thinning => self.handle_thinning_timer(now, at),
        }
    }

    /// When gathered media or touched transports must run at the latest; `None` when nothing waits. A time not after
    /// now means: at the end of this batch (answers to STUN, DTLS and data do not wait).
    #[must_use]
    pub fn flush_deadline(&self) -> Option<Instant> {
        if self.touched.is_empty() && !self.rates.has_pending() { self.gather_until } else { Some(self.now) }
    }

    /// Fans out gathered media when it is due and runs every touched transport once; what they send is ready for
    /// [`Self::transmits`].
    pub fn flush(&mut self, now: Instant) {
        self.flush_through(now, &mut |_| {});
    }

    /// As [`Self::flush`]; `relief` is shown what waits to be sent whenever it is worth a call, and is to take it: sent
    /// while it is still in the processor's cache, it costs less.
    pub fn flush_through(&mut self, now: Instant, relief: &mut dyn FnMut(&mut Transmits)) {
        self.now = now;
        self.allocate_pending(now);
        if self.gather_until.is_some_and(|due| due <= now) {
            self.fan_out_gathered(now, relief);
        }
        for _ in 0..FLUSH_ROUNDS {
            if self.touched.is_empty() {
                break;
            }
            for index in std::mem::take(&mut self.touched) {
                if self.transports.get(index).is_some_and(|transport| transport.is_touched) {
                    self.run(now, index);
                }
            }
        }
    }

    /// Datagrams to send; the caller clears them.
    pub fn transmits(&mut self) -> &mut Transmits {
        &mut self.transmits
    }

    /// Next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What is known of the rate at which a transport's peer can be sent to. `None`: nothing.
    #[must_use]
    pub fn rate_estimate(&self, transport: TransportId) -> Option<RateEstimate> {
        self.transports.get(*self.transport_index.get(&transport)?)?.rate_estimate()
    }

    /// Earliest timer, gathering included.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        match (self.flush_deadline(), self.timers.next()) {
            (Some(flush), Some(timer)) => Some(flush.min(timer)),
            (flush, timer) => flush.or(timer),
        }
    }

    /// Totals of this shard.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Closes every transport and forgets everything; one last drain sends the close alerts.
    pub fn close(&mut self, now: Instant) {
        self.now = now;
        let indices: Vec<TransportIndex> = self.transports.iter().map(|(index, _)| index).collect();
        for index in indices {
            self.close_transport(now, index);
        }
        self.tables.clear();
        self.gathering.clear();
        self.gather_until = None;
        self.heard.clear();
        self.loud_rooms.clear();
        self.silenced.clear();
        self.farewells.clear();
        self.audio_due = None;
        self.rates = Rates::default();
        self.thinned = Thinned::default();
        self.count_tables();
    }

    /// Whether nothing is held any more: no transport, track, participant, room or route.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.transports.is_empty()
            && self.transport_index.is_empty()
            && self.tables.is_empty()
            && self.farewells.is_empty()
            && self.demux.is_empty()
    }

    /// Runs a call on one transport, then deals with what it reported.
    fn with_transport(
        &mut self,
        now: Instant,
        index: TransportIndex,
        call: impl FnOnce(&mut Transport, &mut Outlet<'_>),
    ) {
        let Some(transport) = self.transports.get_mut(index) else { return };
        let mut outlet = Outlet {
            index,
            transmits: &mut self.transmits,
            signals: &mut self.signals,
            demux: &mut self.demux,
            counters: &mut self.counters,
        };
        call(transport, &mut outlet);
        self.handle_signals(now);
        self.schedule_transport(index);
    }

    fn run(&mut self, now: Instant, index: TransportIndex) {
        self.with_transport(now, index, |transport, outlet| {
            // An association is not run for what goes past it: that walks through all its layers.
            let was_touched = std::mem::take(&mut transport.is_touched);
            if was_touched || transport.association_deadline() <= now {
                transport.run(now, outlet);
            } else {
                transport.run_sending(now, outlet);
            }
        });
    }

    /// Lets a transport run with the next flush, which is due at once.
    fn touch(&mut self, index: TransportIndex) {
        if let Some(transport) = self.transports.get_mut(index)
            && !transport.is_touched
        {
            transport.is_touched = true;
            self.touched.push(index);
        }
    }

    fn schedule_transport(&mut self, index: TransportIndex) {
        if let Some(transport) = self.transports.get_mut(index) {
            let at = on_grid(self.began, self.now, transport.deadline());
            self.timers.schedule(TimerKey::Transport(index), at, &mut transport.scheduled);
        }
    }

    /// Closes a transport with its alerts and removes it.
    fn close_transport(&mut self, now: Instant, index: TransportIndex) {
        if let Some(transport) = self.transports.get_mut(index) {
            let mut outlet = Outlet {
                index,
                transmits: &mut self.transmits,
                signals: &mut self.signals,
                demux: &mut self.demux,
                counters: &mut self.counters,
            };
            transport.close(now, &mut outlet);
        }
        self.remove_transport(now, index);
    }

    /// Removes a transport that ended by itself and says so.
    fn fail_transport(&mut self, now: Instant, index: TransportIndex, failure: TransportFailure) {
        let Some(transport) = self.transports.get(index) else { return };
        if failure == TransportFailure::Fault {
            tracing::error!(transport = transport.id.0, "association broke");
        }
        self.events.push_back(Event::TransportFailed { transport: transport.id, failure });
        self.remove_transport(now, index);
        self.count_tables();
    }

    fn remove_transport(&mut self, now: Instant, index: TransportIndex) {
        let Some(transport) = self.transports.try_remove(index) else { return };
        self.transport_index.remove(&transport.id);
        self.demux.remove_transport(index);
        self.rates.remove(index);
        if let Some(participant) = self.tables.participants.get_mut(transport.participant) {
            participant.transports.retain(|other| *other != index);
        }
        self.choose_data_transport(transport.participant);
        self.farewells.retain(|farewell| farewell.transport != index);
        for down in transport.downs() {
            self.tables.remove_down(down);
        }
        for (_, up) in &transport.published {
            self.close_up_track(now, *up);
        }
        // One that has panicked is in no good state to be taken apart.
        let id = transport.id;
        if guard(move || drop(transport)).is_err() {
            tracing::error!(transport = id.0, "association could not be dropped");
        }
    }

    fn count_tables(&mut self) {
        self.counters.transports = self.transports.len() as u64;
        self.counters.up_tracks = self.tables.ups.len() as u64;
        self.counters.down_tracks = self.tables.downs.len() as u64;
        self.counters.paused_down_tracks = self.tables.paused();
        self.counters.inconsistent_tables = self.tables.slips();
    }

    /// As [`Tables::note_slip`], for what the shard finds itself.
    fn note_slip(&mut self, what: &'static str) {
        self.tables.note_slip(what);
        self.counters.inconsistent_tables = self.tables.slips();
    }
}

/// The first point of the grid at or after `deadline` that is still to come.
fn on_grid(began: Instant, now: Instant, deadline: Instant) -> Instant {
    let grid = TIMER_GRID.as_nanos();
    let points = |moment: Instant| moment.saturating_duration_since(began).as_nanos();
    let point = points(deadline).div_ceil(grid).max(points(now) / grid + 1);
    began + Duration::from_nanos(u64::try_from(point * grid).unwrap_or(u64::MAX >> 1))
}

#[cfg(test)]
mod tests;
