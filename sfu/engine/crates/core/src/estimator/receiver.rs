//! The estimate by what the peer says of itself: its own estimate of what it can receive (REMB), and its reports of what
//! was lost, which that estimate does not count.
//!
//! A receiver lets its estimate grow by 8 % a second, whatever comes: behind a link that was narrow it would take half a
//! minute to say that it is wide again. But it grows at all only as long as no queue does. So what was sent while it grew
//! is borne, even if it is more than the receiver says.

use std::time::{Duration, Instant};

use super::loss::{LossBound, Losses};
use super::{Departure, Estimator, SentRate};
use crate::rate::RateEstimate;

/// A fall of the peer's estimate to less than this part of it …
const FALL: f64 = 0.97;
/// … while we send more than this part of it means that we send too much.
const USED: f64 = 0.9;
/// What was sent for so long while the peer's estimate grew …
const TRIAL: Duration = Duration::from_millis(500);
/// … by this part is borne, …
const GROWN: f64 = 1.02;
/// … nearly.
const BORNE: f64 = 0.95;
/// What exceeds the peer's estimate by this factor, while that does not grow, is too much.
const EXCESS: f64 = 1.1;
/// An estimate that was not seen to grow for so long, while about that much is sent, is held down by a queue.
const HELD: Duration = Duration::from_millis(1_500);
/// Without a word of the peer for so long, its last one means nothing.
const SILENCE: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug, Default)]
pub struct Receiver {
    maximum: Option<(Instant, f64)>,
    losses: LossBound,
    sent: SentRate,
    trial: Option<Trial>,
    /// When the peer's estimate grew last, unless it has fallen since.
    grown_at: Option<Instant>,
    borne_bps: f64,
    is_congested: bool,
}

/// What was sent lately, and what the peer said when that began.
#[derive(Debug, Clone, Copy)]
struct Trial {
    since: Instant,
    maximum_bps: f64,
    least_sent_bps: f64,
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
        if has_fallen {
            self.unbear();
            self.grown_at = None;
        }
        self.judge(now, rate);
    }

    fn take_losses(&mut self, now: Instant, losses: Losses) {
        let Some((_, maximum)) = self.maximum else { return };
        let is_used = self.sent.rate_bps(now) > USED * maximum;
        let is_queueing = is_used && self.grown_at.is_none_or(|at| now >= at + HELD);
        self.is_congested = self.losses.note(now, losses, maximum.max(self.borne_bps), is_queueing);
        if self.is_congested {
            self.unbear();
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        let sent_bps = self.sent.rate_bps(now);
        if let Some(trial) = &mut self.trial {
            trial.least_sent_bps = trial.least_sent_bps.min(sent_bps);
        }
        if self.maximum.is_some_and(|(at, _)| now >= at + SILENCE) {
            *self = Self { sent: std::mem::take(&mut self.sent), ..Self::default() };
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.maximum.map(|(at, _)| at + SILENCE)
    }

    fn own_loss(&self) -> f64 {
        self.losses.own()
    }

    fn estimate(&self) -> Option<RateEstimate> {
        let (_, maximum) = self.maximum?;
        let known = maximum.max(self.borne_bps);
        let rate_bps = self.losses.bound_bps().map_or(known, |bound| bound.min(known));
        Some(RateEstimate { total_bps: super::plausible(rate_bps), is_congested: self.is_congested })
    }
}

impl Receiver {
    /// The peer has spoken: perhaps of what was tried.
    fn judge(&mut self, now: Instant, maximum_bps: f64) {
        let sent_bps = self.sent.rate_bps(now);
        if let Some(trial) = self.trial {
            if now < trial.since + TRIAL {
                return;
            }
            let least_bps = trial.least_sent_bps.min(sent_bps);
            if maximum_bps < GROWN * trial.maximum_bps {
                // A receiver that sees a queue and has said little anyway says nothing less: it only waits.
                if least_bps > EXCESS * maximum_bps {
                    self.unbear();
                    self.is_congested = true;
                }
            } else {
                self.grown_at = Some(now);
                self.borne_bps = self.borne_bps.max(BORNE * least_bps);
                // Reports count media alone; padding has shown more.
                if self.losses.bound_bps().is_some_and(|bound| bound < self.borne_bps) {
                    self.losses.lift();
                }
            }
        }
        self.trial = Some(Trial { since: now, maximum_bps, least_sent_bps: sent_bps });
    }

    /// There was too much: what was borne is no more.
    fn unbear(&mut self) {
        (self.trial, self.borne_bps) = (None, 0.0);
    }
}
