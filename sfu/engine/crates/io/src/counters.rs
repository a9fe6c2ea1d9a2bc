//! Totals of the io side and of its core, and how they get from a shard's thread to whoever asks.

use std::sync::{Mutex, PoisonError};

use plenum_core::{Counters, DropReason};

use crate::tcp::TcpCounters;
use crate::udp::SendOutcome;

const TOTALS: usize = 39;
const REASONS: usize = DropReason::ALL.len();

/// Names of the totals that survive a shard's failure, in the order of [`core_totals`].
const TOTAL_NAMES: [&str; TOTALS] = [
    "packets_in",
    "packets_out",
    "bytes_in",
    "bytes_out",
    "datagrams_in",
    "datagrams_out",
    "nacks",
    "plis",
    "firs",
    "retransmitted",
    "recovered",
    "blanks_out",
    "paced",
    "probes",
    "padding_bytes",
    "resends_refused",
    "rate_changes",
    "congestions",
    "data_messages_in",
    "data_messages_out",
    "stale_commands",
    "candidates_ignored",
    "inconsistent_tables",
    "allocations",
    "ratings.lost",
    "ratings.poor",
    "ratings.good",
    "ratings.excellent",
    "scores.1.0",
    "scores.2.0",
    "scores.2.5",
    "scores.3.0",
    "scores.3.25",
    "scores.3.5",
    "scores.3.75",
    "scores.4.0",
    "scores.4.25",
    "scores.4.5",
    "score_sum_milli",
];

fn core_totals(counters: &Counters) -> [u64; TOTALS] {
    let [lost, poor, good, excellent] = counters.ratings.by_quality;
    let [s0, s1, s2, s3, s4, s5, s6, s7, s8, s9] = counters.ratings.by_score;
    [
        counters.packets_in,
        counters.packets_out,
        counters.bytes_in,
        counters.bytes_out,
        counters.datagrams_in,
        counters.datagrams_out,
        counters.nacks,
        counters.plis,
        counters.firs,
        counters.retransmitted,
        counters.recovered,
        counters.blanks_out,
        counters.paced,
        counters.probes,
        counters.padding_bytes,
        counters.resends_refused,
        counters.rate_changes,
        counters.congestions,
        counters.data_messages_in,
        counters.data_messages_out,
        counters.stale_commands,
        counters.candidates_ignored,
        counters.inconsistent_tables,
        counters.allocations,
        lost,
        poor,
        good,
        excellent,
        s0,
        s1,
        s2,
        s3,
        s4,
        s5,
        s6,
        s7,
        s8,
        s9,
        counters.ratings.score_sum_milli,
    ]
}

/// What the io side of one shard has counted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct IoCounters {
    /// Received datagrams that were larger than a slot.
    pub(crate) oversized: u64,
    /// Datagrams dropped because a TCP peer reads too slowly.
    pub(crate) tcp_queue_full: u64,
    /// Datagrams for a TCP connection that has ended.
    pub(crate) tcp_gone: u64,
    /// Outcome of everything sent by UDP.
    pub(crate) sent: SendOutcome,
    /// TCP connections.
    pub(crate) tcp: TcpCounters,
    /// Turns of the loop.
    pub(crate) turns: u64,
    /// Panics that were caught.
    pub(crate) failures: u64,
    /// CPU time of the shard's thread.
    pub(crate) cpu_us: u64,
}

impl IoCounters {
    pub(crate) fn add_sent(&mut self, outcome: SendOutcome) {
        self.sent.sent += outcome.sent;
        self.sent.sent_bytes += outcome.sent_bytes;
        self.sent.buffer_full += outcome.buffer_full;
        self.sent.refused += outcome.refused;
        self.sent.calls += outcome.calls;
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        match reason {
            DropReason::Oversized => self.oversized,
            DropReason::SendBufferFull => self.sent.buffer_full,
            DropReason::SendRefused => self.sent.refused + self.tcp_gone,
            DropReason::TcpQueueFull => self.tcp_queue_full,
            _ => 0,
        }
    }
}

/// All numbers of one shard at one moment.
#[derive(Debug, Clone)]
pub(crate) struct ShardCounters {
    totals: [u64; TOTALS],
    dropped: [u64; REASONS],
    transports: u64,
    up_tracks: u64,
    down_tracks: u64,
    paused_down_tracks: u64,
    io: IoCounters,
}

impl ShardCounters {
    /// All zero.
    pub(crate) fn new() -> Self {
        Self {
            totals: [0; TOTALS],
            dropped: [0; REASONS],
            transports: 0,
            up_tracks: 0,
            down_tracks: 0,
            paused_down_tracks: 0,
            io: IoCounters::default(),
        }
    }

    /// Adds the totals of a core: one that has ended, or the present one to a copy.
    pub(crate) fn add_core(&mut self, counters: &Counters) {
        for (total, value) in self.totals.iter_mut().zip(core_totals(counters)) {
            *total += value;
        }
        for (total, reason) in self.dropped.iter_mut().zip(DropReason::ALL) {
            *total += counters.dropped(*reason);
        }
    }

    /// This plus the present core and io side: what is to be published.
    pub(crate) fn with_present(&self, core: &Counters, io: IoCounters) -> Self {
        let mut all = self.clone();
        all.add_core(core);
        all.transports = core.transports;
        all.up_tracks = core.up_tracks;
        all.down_tracks = core.down_tracks;
        all.paused_down_tracks = core.paused_down_tracks;
        all.io = io;
        all
    }

    /// Adds another shard's numbers.
    fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.totals.iter_mut().zip(other.totals) {
            *mine += theirs;
        }
        for (index, (mine, theirs)) in self.dropped.iter_mut().zip(other.dropped).enumerate() {
            *mine += theirs + other.io.dropped(DropReason::ALL[index]);
        }
        self.transports += other.transports;
        self.up_tracks += other.up_tracks;
        self.down_tracks += other.down_tracks;
        self.paused_down_tracks += other.paused_down_tracks;
        self.io.add_sent(other.io.sent);
        self.io.tcp.connections += other.io.tcp.connections;
        self.io.tcp.refused += other.io.tcp.refused;
        self.io.tcp.timed_out += other.io.tcp.timed_out;
        self.io.turns += other.io.turns;
        self.io.failures += other.io.failures;
        self.io.cpu_us += other.io.cpu_us;
    }

    fn named(&self) -> Vec<(String, u64)> {
        let others = [
            ("transports", self.transports),
            ("up_tracks", self.up_tracks),
            ("down_tracks", self.down_tracks),
            ("paused_down_tracks", self.paused_down_tracks),
            ("udp_sent", self.io.sent.sent),
            ("udp_send_calls", self.io.sent.calls),
            ("tcp_connections", self.io.tcp.connections),
            ("tcp_refused", self.io.tcp.refused),
            ("tcp_timed_out", self.io.tcp.timed_out),
            ("shard_turns", self.io.turns),
            ("shard_failures", self.io.failures),
            ("shard_cpu_us", self.io.cpu_us),
        ];
        let totals = TOTAL_NAMES.into_iter().zip(self.totals).chain(others);
        let dropped = DropReason::ALL.iter().zip(self.dropped);
        totals
            .map(|(name, value)| (name.to_owned(), value))
            .chain(dropped.map(|(reason, value)| (format!("dropped.{}", reason.as_str()), value)))
            .collect()
    }
}

/// The latest numbers of one shard, for other threads.
#[derive(Debug)]
pub(crate) struct PublishedCounters(Mutex<ShardCounters>);

impl PublishedCounters {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(ShardCounters::new()))
    }

    pub(crate) fn publish(&self, counters: ShardCounters) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = counters;
    }

    fn latest(&self) -> ShardCounters {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Sums of all shards by name.
pub(crate) fn sum_named<'a>(shards: impl Iterator<Item = &'a PublishedCounters>) -> Vec<(String, u64)> {
    let mut sum = ShardCounters::new();
    for shard in shards {
        sum.add(&shard.latest());
    }
    sum.named()
}
