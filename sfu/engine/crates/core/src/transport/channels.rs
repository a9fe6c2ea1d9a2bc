//! The data channels of one transport, by label, with what waits for them. Bytes in, bytes out: never reads a message.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use str0m::Rtc;
use str0m::channel::{ChannelId, Reliability};

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
/// When to be told that a channel has room again.
const LOW_THRESHOLD_BYTES: usize = 64 * 1024;
/// What is kept for a receiver whose channel is not open yet, and for how long (`protocol.md` §2.9).
const EARLY_BYTES: usize = 100 * 1000;
const EARLY_TTL: Duration = Duration::from_secs(2);
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
}

impl Lane {
    fn new(kind: DataKind, limit_bytes: usize) -> Self {
        let queue = DataQueue::new(kind, limit_bytes);
        Self { channel: None, queue, is_full: false, held_bytes: 0, progress_at: None }
    }

    /// Writes what waits until the association is full.
    fn drain_queue(&mut self, now: Instant, rtc: &mut Rtc, counters: &mut Counters) {
        let Some(mut channel) = self.channel.and_then(|id| rtc.channel(id)) else { return };
        while let Some(message) = self.queue.front() {
            match channel.write(true, message) {
                Ok(true) => counters.data_messages_out += 1,
                Ok(false) => {
                    // Until some channel has room.
                    let held_bytes = channel.buffered_amount();
                    if held_bytes < self.held_bytes {
                        self.progress_at = Some(now);
                    }
                    self.held_bytes = held_bytes;
                    return;
                }
                Err(_) => counters.count_drop(DropReason::ChannelNotOpen),
            }
            self.queue.pop();
            self.is_full = false;
            self.progress_at = Some(now);
        }
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
        let pushed = self.queue.push(Arc::clone(message));
        self.drain_queue(now, rtc, counters);
        self.is_full = pushed == Pushed::Full;
        let reads = self.progress_at.is_none_or(|at| now.saturating_duration_since(at) < STUCK_AFTER);
        match pushed {
            Pushed::Queued => {}
            Pushed::Dropped(messages) => {
                counters.count_drops(DropReason::LossyQueueFull, messages as u64);
            }
            Pushed::Full => {
                counters.count_drop(DropReason::ReliableQueueFull);
                if !reads {
                    return Err(ReceiverStuck);
                }
            }
        }
        Ok(if reads && self.queue.bytes() > BEHIND_BYTES { Pace::Behind } else { Pace::Keeps })
    }
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
    uses: FxHashMap<ChannelId, ChannelUse>,
    early: VecDeque<Early>,
    early_bytes: usize,
}

impl Channels {
    pub(super) fn new() -> Self {
        Self {
            reliable: Lane::new(DataKind::Reliable, RELIABLE_QUEUE_BYTES),
            lossy: Lane::new(DataKind::Lossy, LOSSY_QUEUE_BYTES),
            uses: FxHashMap::default(),
            early: VecDeque::new(),
            early_bytes: 0,
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
            // The queues hold more than what is kept early, so this cannot fill one.
            let _ = self.lane(kind).send(now, rtc, &early.message, counters);
        }
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
        self.lossy.drain_queue(now, rtc, counters);
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
        if kind == DataKind::Lossy && self.reliable.is_full {
            counters.count_drop(DropReason::LossyQueueFull); // the other lane needs all that gets through
            return Ok(Pace::Behind);
        }
        if self.lane(kind).channel.is_some() {
            return self.lane(kind).send(now, rtc, message, counters);
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

fn kind_of(rtc: &mut Rtc, id: ChannelId) -> DataKind {
    let config = rtc.channel(id).and_then(|channel| channel.config().cloned());
    match config {
        Some(config) if config.reliability != Reliability::Reliable => DataKind::Lossy,
        _ => DataKind::Reliable,
    }
}
