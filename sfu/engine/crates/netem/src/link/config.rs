//! What a link does to packets: plain values, no behaviour but their own checks.

use std::time::Duration;

/// How jitter is distributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JitterShape {
    /// Added to the delay: evenly between zero and `jitter`.
    #[default]
    Uniform,
    /// Round the delay: standard deviation `jitter`; a packet never arrives before it was sent.
    Normal,
    /// Added to the delay: exponential with mean `jitter`, so that some packets come very late.
    Exponential,
}

/// How much may wait for the transmitter of a link with a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueLimit {
    /// A packet is dropped when it would wait longer than this before its own transmission begins, at the rate of that
    /// moment.
    Time(Duration),
    /// A packet is dropped when the bytes before it (the packet in transmission counts as a whole) and its own would be
    /// more than this. An idle transmitter takes any packet.
    Bytes(usize),
}

/// How one direction behaves. Shares are between 0 and 1.
///
/// A packet meets them in this order: blackout, loss, damage, duplication; then the queue and the rate; then
/// reordering, delay and jitter. So what is lost uses nothing of the rate, as with Linux's `tc netem`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkConfig {
    /// Time every packet takes after its transmission.
    pub delay: Duration,
    /// Variation of the delay; its meaning is [`LinkConfig::jitter_shape`]'s.
    pub jitter: Duration,
    /// Distribution of the jitter.
    pub jitter_shape: JitterShape,
    /// Jitter and changes of the delay never let a packet overtake another: who would come earlier comes together with
    /// the one before. Packets chosen by [`LinkConfig::reorder`] are overtaken all the same.
    pub keeps_order: bool,
    /// Share of packets lost.
    pub loss: f64,
    /// Mean number of packets lost in a row (Gilbert's model, two states: all pass, none passes). Below 1: losses are
    /// independent of each other. A loss above `burst / (1 + burst)` cannot be had with bursts so short: it is as if
    /// the loss were that.
    pub loss_burst_packets: f64,
    /// Share of packets held back until others have overtaken them.
    pub reorder: f64,
    /// How many packets overtake one that is held back; 0: none is held back.
    pub reorder_packets: u32,
    /// How long a packet is held back at most, should not so many packets follow.
    pub reorder_wait: Duration,
    /// Share of packets that arrive twice. The second one goes through queue, delay and jitter by itself.
    pub duplication: f64,
    /// Share of packets with one byte changed.
    pub damage: f64,
    /// Bits per second that the transmitter sends, one packet after the other; `None`: each takes no time. A change
    /// holds from the next packet's transmission on. 0 counts as 1.
    pub rate_bps: Option<u64>,
    /// What may wait for the transmitter; means nothing without a rate.
    pub queue: QueueLimit,
}

impl Default for LinkConfig {
    /// 5 ms and nothing else.
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(5),
            jitter: Duration::ZERO,
            jitter_shape: JitterShape::Uniform,
            keeps_order: true,
            loss: 0.0,
            loss_burst_packets: 0.0,
            reorder: 0.0,
            reorder_packets: 3,
            reorder_wait: Duration::from_millis(100),
            duplication: 0.0,
            damage: 0.0,
            rate_bps: None,
            queue: QueueLimit::Time(Duration::from_millis(200)),
        }
    }
}

/// What has happened on a link so far. All counts are packets unless their name says bytes.
///
/// `entered + duplicated = delivered + lost + blacked_out + queue_full +` [`Link::inside`](crate::Link::inside).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkCounters {
    /// Pushed.
    pub entered: u64,
    /// Pushed.
    pub entered_bytes: u64,
    /// Polled.
    pub delivered: u64,
    /// Polled.
    pub delivered_bytes: u64,
    /// Dropped by [`LinkConfig::loss`].
    pub lost: u64,
    /// Dropped because they entered during a blackout.
    pub blacked_out: u64,
    /// Dropped because the queue was full.
    pub queue_full: u64,
    /// Made by [`LinkConfig::duplication`].
    pub duplicated: u64,
    /// Changed by [`LinkConfig::damage`].
    pub damaged: u64,
    /// Held back by [`LinkConfig::reorder`].
    pub reordered: u64,
    /// The most that waited at one time, the packet in transmission included.
    pub queue_peak_bytes: usize,
}
