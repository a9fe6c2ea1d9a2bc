//! How loss bounds the rate. Loss that does not go away at a lower rate belongs to the path (radio, a bad cable) and says
//! nothing about it; the rest comes from sending too much into a path without a queue worth the name.
//!
//! Told counts; never looks at packets.

use std::time::{Duration, Instant};

/// Losses are judged over this time …
const INTERVAL: Duration = Duration::from_millis(250);
/// … and so many packets, …
const LEAST_PACKETS: f64 = 40.0;
/// … or after this time over what there is.
const LONGEST_INTERVAL: Duration = Duration::from_secs(1);
const FEWEST_PACKETS: f64 = 5.0;
/// Loss beyond the path's own that is borne, besides what chance adds: so many standard deviations.
const MARGIN: f64 = 0.05;
const DEVIATIONS: f64 = 2.0;
/// What part of the excess is taken off the rate at once.
const BACK_OFF: f64 = 0.5;
/// Growth of the bound in each interval without loss.
const GROWTH: f64 = 1.05;
/// The bound grows no further beyond what arrives.
const UNTRIED: f64 = 1.5;
/// A bound that far above the rate by delays means nothing any more.
const FAR: f64 = 2.0;
/// The highest loss that may be the path's own.
const HIGHEST_INHERENT: f64 = 0.3;
/// When so much less was sent …
const TRIAL_RATE: f64 = 0.85;
/// … over so many packets, it shows whether the loss is the path's own.
const TRIAL_PACKETS: f64 = 60.0;
/// So much less than what is known to pass is not what makes packets go lost: the path's own loss is another one now.
const LITTLE: f64 = 0.6;
/// Weight of the last interval in what is lost lately.
const LATELY: f64 = 0.5;
const LEARNING_AT_ONCE: f64 = 0.3;
const LEARNING_UP: f64 = 0.1;
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

    /// What part was lost.
    fn share(&self) -> f64 {
        if self.total > 0.0 { (self.lost / self.total).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// What was sent and lost when the rate was lowered for the first time, and what was lost since less is sent.
#[derive(Debug, Clone, Copy)]
struct Trial {
    sent_bps: f64,
    before: Losses,
    since: Losses,
}

/// The bound by losses.
#[derive(Debug, Default)]
pub(super) struct LossBound {
    bound_bps: Option<f64>,
    /// The path's own loss, as far as it is known.
    inherent: f64,
    /// What is lost lately, as long as no queue is full.
    lately: f64,
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

    /// The path's own loss, as far as it is known: a share.
    pub(super) const fn own(&self) -> f64 {
        self.inherent
    }

    /// The share that is lost lately and is no queue's, or the path's own if that is more.
    pub(super) fn lately(&self) -> f64 {
        self.lately.max(self.inherent).min(HIGHEST_INHERENT)
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
        let losses = std::mem::take(&mut self.so_far);
        let (loss, total) = (losses.share(), losses.total);
        let delivered_bps = losses.delivered_bits / elapsed.as_secs_f64();
        let sent_bps = delivered_bps / (1.0 - loss).max(0.01);
        self.lately = if is_queueing { 0.0 } else { self.lately + LATELY * (loss - self.lately) };
        if !is_queueing && self.is_on_trial(losses, sent_bps) {
            return false;
        }
        let spread = loss.max(self.inherent);
        let deviation = (spread * (1.0 - spread) / total).sqrt();
        if loss - self.inherent > MARGIN + DEVIATIONS * deviation {
            let known_bps = self.bound_bps.map_or(rate_bps, |bound| bound.min(rate_bps));
            if !is_queueing && loss <= HIGHEST_INHERENT && sent_bps < LITTLE * known_bps {
                self.inherent += LEARNING_AT_ONCE * (loss - self.inherent);
                return false;
            }
            return self.lower(losses, (sent_bps, delivered_bps), rate_bps);
        }
        if let Some(trial) = &mut self.trial {
            trial.before.add(losses);
            self.trial = self.trial.filter(|trial| trial.before.share() - self.inherent > MARGIN);
        }
        if !is_queueing {
            let learning = if loss > self.inherent { LEARNING_UP } else { LEARNING_DOWN };
            self.inherent = (self.inherent + learning * (loss - self.inherent)).min(HIGHEST_INHERENT);
        }
        // It grows only as far as it is used: more has not been tried.
        let tried_bps = UNTRIED * delivered_bps;
        let growth = GROWTH.powf(elapsed.as_secs_f64() / INTERVAL.as_secs_f64());
        let grown = self.bound_bps.map(|bound| (bound * growth).min(tried_bps).max(bound));
        self.bound_bps = grown.filter(|bound| *bound < FAR * rate_bps);
        false
    }

    /// It was measured that the path bears more.
    pub(super) fn lift(&mut self) {
        (self.bound_bps, self.trial) = (None, None);
    }

    /// Whether less is sent to see if that helps. Few packets say little: the trial goes on until there were enough.
    fn is_on_trial(&mut self, losses: Losses, sent_bps: f64) -> bool {
        let Some(trial) = &mut self.trial else { return false };
        if sent_bps > TRIAL_RATE * trial.sent_bps {
            return false;
        }
        trial.since.add(losses);
        if trial.since.total < TRIAL_PACKETS {
            return true;
        }
        let (before, since) = (trial.before.share(), trial.since.share());
        if since > HIGHEST_INHERENT {
            self.trial = None; // still far too much
            return false;
        }
        // What would be left of it if the path carried no more than before.
        let left = (1.0 - (1.0 - before) * trial.sent_bps / sent_bps).max(0.0);
        if since > f64::midpoint(before, left) {
            self.inherent = f64::midpoint(since, before.min(HIGHEST_INHERENT));
            self.bound_bps = None;
        }
        self.trial = None;
        true
    }

    fn lower(&mut self, losses: Losses, (sent_bps, delivered_bps): (f64, f64), rate_bps: f64) -> bool {
        let nothing = Losses::default();
        let trial = self.trial.get_or_insert(Trial { sent_bps, before: nothing, since: nothing });
        trial.before.add(losses);
        let loss = losses.share();
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
            let mut bound = LossBound::default();
            let (rate, least) = run(&mut bound, inherent, f64::MAX, 2_000_000.0, 10);
            assert!((bound.own() - inherent).abs() < 0.05, "{inherent}: {}", bound.own());
            assert!(rate > 1_990_000.0, "{inherent}: {rate}");
            assert!(least > 1_400_000.0, "{inherent}: {least}");
        }
    }

    #[test]
    fn a_path_without_a_queue_is_found_by_its_losses_and_left_when_it_widens() {
        let mut bound = LossBound::default();
        let (rate, _) = run(&mut bound, 0.0, 500_000.0, 3_000_000.0, 5);
        assert!((420_000.0..640_000.0).contains(&rate), "{rate}");
        assert!(bound.own() < 0.04, "what is too much is not the path's own: {}", bound.own());
        let (rate, least) = run(&mut bound, 0.0, f64::MAX, 3_000_000.0, 15);
        assert!(rate > 2_900_000.0 && least > 400_000.0, "{rate} {least}");
    }

    #[test]
    fn what_is_lost_lately_is_known_sooner_than_what_the_path_always_loses() {
        let (mut bound, start) = (LossBound::default(), Instant::now());
        let losses = Losses { lost: 10.0, total: 50.0, delivered_bits: 100_000.0 };
        for step in 1..=4 {
            bound.note(start + INTERVAL * step, losses, 10_000_000.0, false);
        }
        assert!((0.17..=0.2).contains(&bound.lately()) && bound.own() < 0.17, "{bound:?}");
        bound.note(start + INTERVAL * 5, losses, 10_000_000.0, true);
        assert!(bound.lately() <= bound.own(), "a queue may have dropped it");
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
