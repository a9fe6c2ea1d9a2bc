//! The data channels of one transport, by label, with what waits for them. Bytes in, bytes out: never reads a message.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use str0m::Rtc;
use str0m::channel::{ChannelId, Reliability};

use super::path_time::PathTime;
use super::precedence::Precedence;
use crate::command::DataKind;
use crate::data::{DataQueue, Pushed};
use crate::drop_reason::DropReason;
use crate::stats::Counters;

pub(super) const RELIABLE_LABEL: &str = "_reliable";
pub(super) const LOSSY_LABEL: &str = "_lossy";
pub(super) const DATA_TRACK_LABEL: &str = "_data_track";

/// Most bytes that wait for a slow reliable receiver, beyond what SCTP holds.
const RELIABLE_QUEUE_BYTES: usize = 8 * 1024 * 1024;
/// With more than that waiting, a receiver is behind.
const BEHIND_BYTES: usize = RELIABLE_QUEUE_BYTES / 2;
/// A receiver with a full queue that has taken nothing for that long is closed.
const STUCK_AFTER: Duration = Duration::from_secs(5);
/// Most bytes that wait for a slow lossy receiver. Old messages are dropped.
const LOSSY_QUEUE_BYTES: usize = 128 * 1024;
/// How long a lossy message waits for its turn, in the time of its path: what a path that carries too little would
/// deliver later is stale, what an interruption has kept is all that there is of that time.
const LOSSY_PATIENCE: Duration = Duration::from_millis(1_500);
/// Unacknowledged lossy bytes beside reliable data that get nowhere: half of what an association sends at once when it
/// has fallen back.
const ALONGSIDE_BYTES: usize = 500;
/// When to be told that a channel has room again.
const LOW_THRESHOLD_BYTES: usize = 64 * 1024;
/// What is kept for a receiver that is not connected yet, and for how long (`protocol.md` §2.9): enough for the
/// beginning of a file, for a client may know of its connection before we do.
const EARLY_BYTES: usize = 1024 * 1024;
const EARLY_TTL: Duration = Duration::from_secs(2);
/// How long a connected receiver has for opening its channels. What comes meanwhile waits as for a slow one: clients say
/// that they are connected before their channels are open, and when the first packet of that gets lost, SCTP waits for
/// up to three seconds, and then for twice as long (RFC 9260 §16.1).
const OPENING: Duration = Duration::from_secs(10);
/// Channels that may be open at a time. Each costs time with every message, so more of them are no honest client's.
const MAX_CHANNELS: usize = 64;

/// What a channel carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChannelUse {
    /// `livekit.DataPacket`s.
    Packets(DataKind),
    /// Data track packets.
    DataTrack,
    /// Raw bytes of an application.
    Raw(DataKind),
}

/// How a receiver copes with what it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    Keeps,
    /// It reads, but much waits for it.
    Behind,
}

/// A receiver that takes no more reliable data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReceiverStuck;

#[derive(Debug)]
struct Lane {
    channel: Option<ChannelId>,
    queue: DataQueue,
    /// The last message did not fit, and nothing has left since.
    is_full: bool,
    /// Bytes that the association held at the last look; fewer now means that the receiver reads.
    held_bytes: usize,
    progress_at: Option<Instant>,
    precedence: Precedence,
}

impl Lane {
    fn new(kind: DataKind, limit_bytes: usize) -> Self {
        let queue = DataQueue::new(kind, limit_bytes);
        Self {
            channel: None,
            queue,
            is_full: false,
            held_bytes: 0,
            progress_at: None,
            precedence: Precedence::default(),
        }
    }

    /// What the association holds of it.
    fn unacknowledged_bytes(&self, rtc: &mut Rtc) -> usize {
        self.channel.and_then(|id| rtc.channel(id)).map_or(0, |mut channel| channel.buffered_amount())
    }

    /// Of all that was written, what is done with.
    fn done_bytes(&self, rtc: &mut Rtc) -> u64 {
        self.precedence.done_bytes(self.unacknowledged_bytes(rtc))
    }

    /// Writes what waits until the association is full.
    fn drain_queue(&mut self, now: Instant, rtc: &mut Rtc, counters: &mut Counters) {
        while self.write_next(now, rtc, counters) {}
    }

    /// Writes the next message; false: there is none, or the association is full.
    fn write_next(&mut self, now: Instant, rtc: &mut Rtc, counters: &mut Counters) -> bool {
        let Some(mut channel) = self.channel.and_then(|id| rtc.channel(id)) else { return false };
        let Some(message) = self.queue.front() else { return false };
        match channel.write(true, message) {
            Ok(true) => {
                self.precedence.note_written(message.len());
                counters.data_messages_out += 1;
            }
            Ok(false) => {
                // Until some channel has room.
                let held_bytes = channel.buffered_amount();
                if held_bytes < self.held_bytes {
                    self.progress_at = Some(now);
                }
                self.held_bytes = held_bytes;
                return false;
            }
            Err(_) => counters.count_drop(DropReason::ChannelNotOpen),
        }
        self.queue.pop();
        self.is_full = false;
        self.progress_at = Some(now);
        true
    }

    /// Keeps a message for a channel that is not open yet.
    fn wait(&mut self, message: &Arc<[u8]>, counters: &mut Counters) -> Pace {
        count_pushed(self.queue.push(Duration::ZERO, Arc::clone(message)), counters);
        if self.queue.bytes() > BEHIND_BYTES { Pace::Behind } else { Pace::Keeps }
    }

    fn send(
        &mut self,
        now: Instant,
        rtc: &mut Rtc,
        message: &Arc<[u8]>,
        counters: &mut Counters,
    ) -> Result<Pace, ReceiverStuck> {
        if self.queue.is_empty() {
            self.progress_at = Some(now);
        } else {
            self.drain_queue(now, rtc, counters);
        }
        let pushed = self.queue.push(Duration::ZERO, Arc::clone(message));
        self.drain_queue(now, rtc, counters);
        self.is_full = pushed == Pushed::Full;
        let reads = self.progress_at.is_none_or(|at| now.saturating_duration_since(at) < STUCK_AFTER);
        count_pushed(pushed, counters);
        if self.is_full && !reads {
            return Err(ReceiverStuck);
        }
        Ok(if reads && self.queue.bytes() > BEHIND_BYTES { Pace::Behind } else { Pace::Keeps })
    }
}

/// Whether channels are still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// When the receiver has connected.
    Later,
    /// Before that moment.
    Until(Instant),
    /// Those that are not there will hardly come.
    Over,
}

#[derive(Debug)]
struct Early {
    kind: DataKind,
    message: Arc<[u8]>,
    expires_at: Instant,
}

/// All channels of a transport.
#[derive(Debug)]
pub(super) struct Channels {
    reliable: Lane,
    lossy: Lane,
    /// Of what waits in the lossy lane.
    path_time: PathTime,
    uses: FxHashMap<ChannelId, ChannelUse>,
    early: VecDeque<Early>,
    early_bytes: usize,
    opening: Opening,
}

impl Channels {
    pub(super) fn new() -> Self {
        Self {
            reliable: Lane::new(DataKind::Reliable, RELIABLE_QUEUE_BYTES),
            lossy: Lane::new(DataKind::Lossy, LOSSY_QUEUE_BYTES),
            path_time: PathTime::new(),
            uses: FxHashMap::default(),
            early: VecDeque::new(),
            early_bytes: 0,
            opening: Opening::Later,
        }
    }

    /// The receiver has connected, and opens its channels next.
    pub(super) fn connected(&mut self, now: Instant, counters: &mut Counters) {
        if self.opening == Opening::Later {
            self.opening = Opening::Until(now + OPENING);
            self.drop_expired(now, counters);
            self.early_bytes = 0;
            for early in std::mem::take(&mut self.early) {
                // The reliable queue holds more than what is kept early, so this cannot fill it.
                let _ = self.lane(early.kind).wait(&early.message, counters);
            }
        }
    }

    /// When channels that are not open will not be waited for any more.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let Opening::Until(deadline) = self.opening else { return None };
        Some(deadline)
    }

    /// Gives up what waits for channels that have not been opened in time.
    pub(super) fn run(&mut self, now: Instant, counters: &mut Counters) {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            self.opening = Opening::Over;
            for lane in [&mut self.reliable, &mut self.lossy] {
                while lane.channel.is_none() && lane.queue.pop().is_some() {
                    counters.count_drop(DropReason::ChannelNotOpen);
                }
            }
        }
    }

    fn lane(&mut self, kind: DataKind) -> &mut Lane {
        match kind {
            DataKind::Reliable => &mut self.reliable,
            DataKind::Lossy => &mut self.lossy,
        }
    }

    /// Notes an open channel and replays what came too early for it. False: one too many.
    pub(super) fn open(
        &mut self,
        now: Instant,
        rtc: &mut Rtc,
        id: ChannelId,
        label: &str,
        counters: &mut Counters,
    ) -> bool {
        if self.uses.len() >= MAX_CHANNELS {
            return false;
        }
        let channel_use = match label {
            RELIABLE_LABEL => ChannelUse::Packets(DataKind::Reliable),
            LOSSY_LABEL => ChannelUse::Packets(DataKind::Lossy),
            DATA_TRACK_LABEL => ChannelUse::DataTrack,
            _ => ChannelUse::Raw(kind_of(rtc, id)),
        };
        self.uses.insert(id, channel_use);
        let ChannelUse::Packets(kind) = channel_use else { return true };
        self.lane(kind).channel = Some(id);
        if let Some(mut channel) = rtc.channel(id) {
            channel.set_buffered_amount_low_threshold(LOW_THRESHOLD_BYTES);
        }
        self.drop_expired(now, counters);
        let (ready, waiting) =
            std::mem::take(&mut self.early).into_iter().partition(|early| early.kind == kind);
        self.early = waiting;
        let ready: VecDeque<Early> = ready;
        for early in ready {
            self.early_bytes -= early.message.len();
            let _ = self.lane(kind).wait(&early.message, counters);
        }
        let lane = self.lane(kind);
        lane.progress_at = Some(now);
        lane.drain_queue(now, rtc, counters);
        true
    }

    pub(super) fn close(&mut self, id: ChannelId) {
        self.uses.remove(&id);
        for lane in [&mut self.reliable, &mut self.lossy] {
            if lane.channel == Some(id) {
                lane.channel = None;
            }
        }
    }

    pub(super) fn channel_use(&self, id: ChannelId) -> Option<ChannelUse> {
        self.uses.get(&id).copied()
    }

    /// A channel has room again. The association counts all of them together, so that it may be the other one that
    /// was kept out.
    pub(super) fn resume(&mut self, now: Instant, rtc: &mut Rtc, counters: &mut Counters) {
        self.reliable.drain_queue(now, rtc, counters);
        self.drain_lossy(now, rtc, counters);
    }

    /// Sees what has arrived; to be called when the peer was heard. True: what waited was written.
    pub(super) fn look(&mut self, now: Instant, rtc: &mut Rtc, counters: &mut Counters) -> bool {
        let waited = self.lossy.queue.bytes();
        if waited > 0 {
            self.drain_lossy(now, rtc, counters);
        }
        self.lossy.queue.bytes() < waited
    }

    /// Sends a message now, later, or not at all (counted).
    pub(super) fn send(
        &mut self,
        now: Instant,
        rtc: &mut Rtc,
        kind: DataKind,
        message: &Arc<[u8]>,
        counters: &mut Counters,
    ) -> Result<Pace, ReceiverStuck> {
        if self.lane(kind).channel.is_some() {
            return match kind {
                DataKind::Reliable => self.reliable.send(now, rtc, message, counters),
                DataKind::Lossy => Ok(self.send_lossy(now, rtc, message, counters)),
            };
        }
        if self.deadline().is_some_and(|deadline| now < deadline) {
            return Ok(self.lane(kind).wait(message, counters));
        }
        self.drop_expired(now, counters);
        if self.early_bytes + message.len() > EARLY_BYTES {
            counters.count_drop(DropReason::ChannelNotOpen);
            return Ok(Pace::Keeps);
        }
        self.early_bytes += message.len();
        self.early.push_back(Early { kind, message: Arc::clone(message), expires_at: now + EARLY_TTL });
        Ok(Pace::Keeps)
    }

    fn send_lossy(
        &mut self,
        now: Instant,
        rtc: &mut Rtc,
        message: &Arc<[u8]>,
        counters: &mut Counters,
    ) -> Pace {
        let done_bytes = self.done_bytes(rtc);
        if self.lossy.queue.is_empty() {
            self.path_time.begin(now, done_bytes);
        }
        let path_now = self.path_time.read(now, done_bytes);
        let pushed = self.lossy.queue.push(path_now, Arc::clone(message));
        count_pushed(pushed, counters);
        self.drain_lossy_at(path_now, now, rtc, counters);
        if pushed == Pushed::Queued { Pace::Keeps } else { Pace::Behind }
    }

    /// Writes lossy messages while they keep no reliable data from arriving.
    fn drain_lossy(&mut self, now: Instant, rtc: &mut Rtc, counters: &mut Counters) {
        let done_bytes = self.done_bytes(rtc);
        let path_now = self.path_time.read(now, done_bytes);
        self.drain_lossy_at(path_now, now, rtc, counters);
    }

    fn drain_lossy_at(&mut self, path_now: Duration, now: Instant, rtc: &mut Rtc, counters: &mut Counters) {
        let too_old = path_now.saturating_sub(LOSSY_PATIENCE);
        counters.count_drops(DropReason::LossyQueueFull, self.lossy.queue.drop_older(too_old) as u64);
        while !self.lossy.queue.is_empty()
            && !self.must_make_way(now, rtc)
            && self.lossy.write_next(now, rtc, counters)
        {}
    }

    fn done_bytes(&self, rtc: &mut Rtc) -> u64 {
        self.reliable.done_bytes(rtc) + self.lossy.done_bytes(rtc)
    }

    /// Whether a lossy message would keep reliable data from arriving. A few do not: they show what is lost.
    fn must_make_way(&mut self, now: Instant, rtc: &mut Rtc) -> bool {
        let is_due = self.reliable.precedence.is_due(now, self.reliable.unacknowledged_bytes(rtc));
        self.reliable.is_full || is_due && self.lossy.unacknowledged_bytes(rtc) > ALONGSIDE_BYTES
    }

    fn drop_expired(&mut self, now: Instant, counters: &mut Counters) {
        while self.early.front().is_some_and(|early| early.expires_at <= now) {
            let Some(early) = self.early.pop_front() else { return };
            self.early_bytes -= early.message.len();
            counters.count_drop(DropReason::ChannelNotOpen);
        }
    }

    /// Bytes that wait for a slow receiver.
    pub(super) fn queued_bytes(&self) -> usize {
        self.reliable.queue.bytes() + self.lossy.queue.bytes()
    }
}

fn count_pushed(pushed: Pushed, counters: &mut Counters) {
    match pushed {
        Pushed::Queued => {}
        Pushed::Dropped(messages) => counters.count_drops(DropReason::LossyQueueFull, messages as u64),
        Pushed::Full => counters.count_drop(DropReason::ReliableQueueFull),
    }
}

fn kind_of(rtc: &mut Rtc, id: ChannelId) -> DataKind {
    let config = rtc.channel(id).and_then(|channel| channel.config().cloned());
    match config {
        Some(config) if config.reliability != Reliability::Reliable => DataKind::Lossy,
        _ => DataKind::Reliable,
    }
}
