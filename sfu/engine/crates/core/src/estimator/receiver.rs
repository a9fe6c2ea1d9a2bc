//! The estimate by what the peer says of itself: its own estimate of what it can receive (REMB), and its reports of what
//! was lost, which that estimate does not count.

use std::time::{Duration, Instant};

use super::loss::{LossBound, Losses};
use super::{Departure, Estimator, SentRate};
use crate::rate::RateEstimate;

/// A fall of the peer's estimate to less than this part of it …
const FALL: f64 = 0.97;
/// … while we send more than this part of it means that we send too much.
const USED: f64 = 0.9;
/// Without a word of the peer for so long, its last one means nothing.
const SILENCE: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug, Default)]
pub struct Receiver {
    maximum: Option<(Instant, f64)>,
    losses: LossBound,
    sent: SentRate,
    is_congested: bool,
}

impl Estimator for Receiver {
    fn note_sent(&mut self, departure: Departure) {
        self.sent.note(departure.at, departure.bytes);
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    fn take_maximum(&mut self, now: Instant, rate_bps: u64) {
        let rate = rate_bps as f64;
        let sent_bps = self.sent.rate_bps(now);
        let has_fallen = self.maximum.is_some_and(|(_, before)| rate < FALL * before);
        self.is_congested = has_fallen && sent_bps > USED * rate;
        self.maximum = Some((now, rate));
    }

    fn take_losses(&mut self, now: Instant, losses: Losses) {
        let Some((_, maximum)) = self.maximum else { return };
        self.is_congested = self.losses.note(now, losses, maximum, false);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.maximum.is_some_and(|(at, _)| now >= at + SILENCE) {
            *self = Self { sent: std::mem::take(&mut self.sent), ..Self::default() };
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.maximum.map(|(at, _)| at + SILENCE)
    }

    fn estimate(&self) -> Option<RateEstimate> {
        let (_, maximum) = self.maximum?;
        let rate_bps = self.losses.bound_bps().map_or(maximum, |bound| bound.min(maximum));
        Some(RateEstimate { total_bps: super::plausible(rate_bps), is_congested: self.is_congested })
    }
}
