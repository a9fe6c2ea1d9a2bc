//! How loss bounds the rate. Loss that does not go away at a lower rate belongs to the path (radio, a bad cable) and says
//! nothing about it; the rest comes from sending too much into a path without a queue worth the name.
//!
//! Told counts; never looks at packets.

use std::time::{Duration, Instant};

/// Losses are judged over this time …
const INTERVAL: Duration = Duration::from_millis(250);
/// … and so many packets, …
const LEAST_PACKETS: f64 = 20.0;
/// … or after this time over what there is.
const LONGEST_INTERVAL: Duration = Duration::from_secs(1);
const FEWEST_PACKETS: f64 = 5.0;
/// Loss beyond the path's own that is borne, besides one standard deviation.
const MARGIN: f64 = 0.05;
/// What part of the excess is taken off the rate at once.
const BACK_OFF: f64 = 0.5;
/// Growth of the bound per interval without loss.
const GROWTH: f64 = 1.05;
/// The bound grows no further beyond what arrives.
const UNTRIED: f64 = 1.5;
/// A bound that far above the rate by delays means nothing any more.
const FAR: f64 = 2.0;
/// The highest loss that may be the path's own.
const HIGHEST_INHERENT: f64 = 0.3;
/// When so much less was sent …
const TRIAL_RATE: f64 = 0.85;
/// … and still so much of the loss is there, it is the path's own.
const TRIAL_LOSS: f64 = 0.7;
const LEARNING_UP: f64 = 0.05;
const LEARNING_DOWN: f64 = 0.2;

/// What happened to packets since the last time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Losses {
    /// Packets.
    pub lost: f64,
    /// Packets, lost or not.
    pub total: f64,
    /// Bits that arrived.
    pub delivered_bits: f64,
}

impl Losses {
    /// Adds those of another stream.
    pub fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.total += other.total;
        self.delivered_bits += other.delivered_bits;
    }
}

/// What was sent and lost when the rate was lowered for the first time.
#[derive(Debug, Clone, Copy)]
struct Trial {
    sent_bps: f64,
    loss: f64,
}

/// The bound by losses.
#[derive(Debug, Default)]
pub(super) struct LossBound {
    bound_bps: Option<f64>,
    /// The path's own loss, as far as it is known.
    inherent: f64,
    so_far: Losses,
    since: Option<Instant>,
    trial: Option<Trial>,
}

impl LossBound {
    /// Bits per second; `None`: losses bound nothing.
    #[must_use]
    pub(super) const fn bound_bps(&self) -> Option<f64> {
        self.bound_bps
    }

    /// Takes in losses. `rate_bps` is the rate by everything else; `is_queueing`: delays say that we send too much, so
    /// that nothing can be learned of the path's own loss. True: there was too much.
    pub(super) fn note(&mut self, now: Instant, losses: Losses, rate_bps: f64, is_queueing: bool) -> bool {
        self.so_far.add(losses);
        let elapsed = now.saturating_duration_since(*self.since.get_or_insert(now));
        let is_due = elapsed >= INTERVAL && self.so_far.total >= LEAST_PACKETS
            || elapsed >= LONGEST_INTERVAL && self.so_far.total >= FEWEST_PACKETS;
        if !is_due {
            return false;
        }
        self.since = Some(now);
        let Losses { lost, total, delivered_bits } = std::mem::take(&mut self.so_far);
        let loss = (lost / total).clamp(0.0, 1.0);
        let delivered_bps = delivered_bits / elapsed.as_secs_f64();
        let spread = loss.max(self.inherent);
        let deviation = (spread * (1.0 - spread) / total).sqrt();
        if loss - self.inherent > MARGIN + deviation {
            return self.lower(loss, delivered_bps, rate_bps, is_queueing);
        }
        self.trial = None;
        if !is_queueing {
            let learning = if loss > self.inherent { LEARNING_UP } else { LEARNING_DOWN };
            self.inherent = (self.inherent + learning * (loss - self.inherent)).min(HIGHEST_INHERENT);
        }
        // It grows only as far as it is used: more has not been tried.
        let tried_bps = UNTRIED * delivered_bps;
        let grown = self.bound_bps.map(|bound| (bound * GROWTH).min(tried_bps).max(bound));
        self.bound_bps = grown.filter(|bound| *bound < FAR * rate_bps);
        false
    }

    /// It was measured that the path bears more.
    pub(super) fn lift(&mut self) {
        (self.bound_bps, self.trial) = (None, None);
    }

    fn lower(&mut self, loss: f64, delivered_bps: f64, rate_bps: f64, is_queueing: bool) -> bool {
        let sent_bps = delivered_bps / (1.0 - loss).max(0.01);
        if let Some(trial) = self.trial
            && !is_queueing
            && loss <= HIGHEST_INHERENT
            && sent_bps <= TRIAL_RATE * trial.sent_bps
            && loss >= TRIAL_LOSS * trial.loss
        {
            self.inherent = loss;
            (self.trial, self.bound_bps) = (None, None);
            return false;
        }
        self.trial.get_or_insert(Trial { sent_bps, loss });
        let current = self.bound_bps.unwrap_or(rate_bps).min(rate_bps);
        let lowered = current * (1.0 - BACK_OFF * (loss - self.inherent));
        let borne = delivered_bps / (1.0 - self.inherent);
        self.bound_bps = Some(lowered.max(borne.min(current)));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `rate` into a path for some seconds, which loses `inherent` of it and all above `limit`; the sender
    /// follows the bound, up to `most`. Gives what it sends in the end and the least that it sent.
    fn run(bound: &mut LossBound, inherent: f64, limit: f64, most: f64, seconds: u32) -> (f64, f64) {
        let mut now = Instant::now();
        let (mut rate, mut least) = (most, most);
        for _ in 0..seconds * 10 {
            now += Duration::from_millis(100);
            let delivered = (rate * (1.0 - inherent)).min(limit);
            let total = rate / 10.0 / 8_000.0;
            let lost = total * (1.0 - delivered / rate);
            bound.note(now, Losses { lost, total, delivered_bits: delivered / 10.0 }, most, false);
            rate = bound.bound_bps().unwrap_or(most).min(most);
            least = least.min(rate);
        }
        (rate, least)
    }

    #[test]
    fn the_paths_own_loss_bounds_nothing() {
        for inherent in [0.02, 0.05, 0.1, 0.2] {
            let (rate, least) = run(&mut LossBound::default(), inherent, f64::MAX, 2_000_000.0, 10);
            assert!(rate > 1_990_000.0, "{inherent}: {rate}");
            assert!(least > 1_400_000.0, "{inherent}: {least}");
        }
    }

    #[test]
    fn a_path_without_a_queue_is_found_by_its_losses_and_left_when_it_widens() {
        let mut bound = LossBound::default();
        let (rate, _) = run(&mut bound, 0.0, 500_000.0, 3_000_000.0, 5);
        assert!((420_000.0..640_000.0).contains(&rate), "{rate}");
        let (rate, least) = run(&mut bound, 0.0, f64::MAX, 3_000_000.0, 15);
        assert!(rate > 2_900_000.0 && least > 400_000.0, "{rate} {least}");
    }

    #[test]
    fn a_few_losses_of_few_packets_mean_nothing() {
        let mut bound = LossBound::default();
        let now = Instant::now();
        for step in 0..20 {
            let losses = Losses { lost: 1.0, total: 4.0, delivered_bits: 24_000.0 };
            assert!(!bound.note(now + Duration::from_millis(10) * step, losses, 1_000_000.0, false));
        }
        assert_eq!(bound.bound_bps(), None);
    }
}
