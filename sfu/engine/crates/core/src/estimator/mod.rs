//! How much one peer can be sent: from what was sent and what the peer says of it. Sans-IO, in virtual time.
//!
//! Each [`Estimator`] is told what leaves and what feedback comes, and has one number to give. It never sends, never
//! delays and never divides: pacer, prober and allocator do.

mod base;
mod clusters;
mod increase;
mod loss;
mod receiver;
mod sent;
mod throughput;
mod transport_wide;
mod trendline;

use std::fmt::Debug;
use std::time::{Duration, Instant};

pub use clusters::ProbeTag;
pub use loss::Losses;
pub use receiver::Receiver;
pub use transport_wide::TransportWide;

use crate::rate::{RateEstimate, RateFeedback};
use crate::rtcp::Arrivals;

/// No estimate is lower: below it not even sound would pass.
const LEAST_RATE_BPS: f64 = 30_000.0;
/// … and none higher.
const MOST_RATE_BPS: f64 = 10e9;
/// The first estimate is not lower, unless delays say so.
const START_RATE_BPS: f64 = 300_000.0;

/// A packet that has left.
#[derive(Debug, Clone, Copy)]
pub struct Departure {
    /// When.
    pub at: Instant,
    /// Its transport-wide sequence number, one more than that of the packet before; `None`: it carries none.
    pub seq: Option<u64>,
    /// Its size on the wire.
    pub bytes: usize,
    /// The probe that it is part of.
    pub probe: Option<ProbeTag>,
}

/// What estimates the rate of one transport.
pub trait Estimator: Debug + Send {
    /// A packet has left.
    fn note_sent(&mut self, departure: Departure);

    /// A packet that the peer lacks has left once more under its transport-wide number: whether and when it arrives now
    /// says nothing of the path.
    fn note_repeated(&mut self, _transport_seq: u16) {}

    /// The peer says which packets have arrived, and when.
    fn take_arrivals(&mut self, _now: Instant, _feedback: &Arrivals) {}

    /// The peer says what it can receive.
    fn take_maximum(&mut self, _now: Instant, _rate_bps: u64) {}

    /// The peer's reports say what was lost.
    fn take_losses(&mut self, _now: Instant, _losses: Losses) {}

    /// Lets time pass.
    fn handle_timeout(&mut self, _now: Instant) {}

    /// When time is to pass at the latest.
    fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// What is known. `None`: nothing, so that everything may be sent.
    fn estimate(&self) -> Option<RateEstimate>;

    /// Round trip of packet and feedback, as far as feedback tells it.
    fn round_trip(&self) -> Option<Duration> {
        None
    }

    /// What part of the packets the path loses however little is sent, as far as that is known.
    fn own_loss(&self) -> f64 {
        0.0
    }
}

/// Knows nothing.
#[derive(Debug, Default)]
pub struct Unestimated;

impl Estimator for Unestimated {
    fn note_sent(&mut self, _departure: Departure) {}

    fn estimate(&self) -> Option<RateEstimate> {
        None
    }
}

/// The estimator for a kind of feedback.
#[must_use]
pub fn estimator_for(feedback: RateFeedback) -> Box<dyn Estimator> {
    match feedback {
        RateFeedback::Off => Box::new(Unestimated),
        RateFeedback::Receiver => Box::<Receiver>::default(),
        RateFeedback::TransportWide => Box::<TransportWide>::default(),
    }
}

/// What was sent lately, per second.
#[derive(Debug, Default)]
pub struct SentRate {
    /// Bytes of the last spans, the newest first.
    spans: [u64; Self::SPANS],
    newest: Option<Instant>,
}

impl SentRate {
    const SPANS: usize = 10;
    const SPAN: Duration = Duration::from_millis(50);

    /// A packet has left.
    pub fn note(&mut self, now: Instant, bytes: usize) {
        self.advance(now);
        self.spans[0] += bytes as u64;
    }

    /// Bits per second over the last half second.
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    pub fn rate_bps(&mut self, now: Instant) -> f64 {
        self.advance(now);
        let bytes: u64 = self.spans[1..].iter().sum();
        bytes as f64 * 8.0 / (Self::SPAN * 9).as_secs_f64()
    }

    fn advance(&mut self, now: Instant) {
        let newest = *self.newest.get_or_insert(now);
        let passed = now.saturating_duration_since(newest).as_nanos() / Self::SPAN.as_nanos();
        let Ok(passed @ 1..) = u32::try_from(passed) else { return };
        let shift = Self::SPANS.min(passed as usize);
        self.spans.rotate_right(shift);
        self.spans[..shift].fill(0);
        self.newest = Some(newest + Self::SPAN * passed);
    }
}

/// A rate that somebody can go by, whatever a peer says of itself.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "of some positive gigabits at most"
)]
fn plausible(rate_bps: f64) -> u64 {
    rate_bps.clamp(LEAST_RATE_BPS, MOST_RATE_BPS) as u64
}

#[cfg(test)]
mod tests;
