//! When a packet may leave: what comes in bursts (pictures, above all key frames, and what was lost) is spread over time, so
//! that it does not fill the queue of a narrow link at once. Sound never waits.
//!
//! A [`Pacer`] only answers whether it is time; [`Waiting`] is the queue in front of it. Neither knows what a packet is.

mod leaky_bucket;
mod waiting;

use std::fmt::Debug;
use std::time::Instant;

pub use leaky_bucket::LeakyBucket;
pub use waiting::{Urgency, Waiting};

/// Decides when packets leave.
pub trait Pacer: Debug + Send {
    /// What is known of the path; `None`: nothing.
    fn set_estimate(&mut self, now: Instant, rate_bps: Option<u64>);

    /// A probe is under way and needs this rate; `None`: no more.
    fn set_probe_rate(&mut self, now: Instant, rate_bps: Option<u64>);

    /// Says how much waits and since when: too long, and it leaves faster than the path likes.
    fn set_backlog(&mut self, now: Instant, backlog: Option<Backlog>);

    /// Whether a packet may leave now.
    fn admits(&mut self, now: Instant) -> bool;

    /// A packet has left.
    fn note_sent(&mut self, now: Instant, bytes: usize);

    /// When the next packet may leave.
    fn next_admission(&self, now: Instant) -> Instant;
}

/// What waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Since when the oldest does.
    pub since: Instant,
    /// Bytes of all.
    pub bytes: usize,
}

/// Lets everything pass at once.
#[derive(Debug, Default)]
pub struct Unpaced;

impl Pacer for Unpaced {
    fn set_estimate(&mut self, _now: Instant, _rate_bps: Option<u64>) {}
    fn set_probe_rate(&mut self, _now: Instant, _rate_bps: Option<u64>) {}
    fn set_backlog(&mut self, _now: Instant, _backlog: Option<Backlog>) {}

    fn admits(&mut self, _now: Instant) -> bool {
        true
    }

    fn note_sent(&mut self, _now: Instant, _bytes: usize) {}

    fn next_admission(&self, now: Instant) -> Instant {
        now
    }
}
