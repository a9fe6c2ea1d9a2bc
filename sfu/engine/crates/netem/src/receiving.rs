//! What a receiver believes that it can receive, told by REMB: growth of 8 % a second up to one and a half of what
//! arrives, less when a queue grows (draft-alvestrand-rmcat-remb-03, draft-ietf-rmcat-gcc-02 §5.5). A model of what
//! browsers do, coarse. As they do, it only sees queues grow: a delay that stays is the path's.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const START_BPS: f64 = 300_000.0;
const WINDOW: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_millis(500);
/// A delay that far above the least one is a queue …
const QUEUE_S: f64 = 0.06;
/// … unless there has been no lesser one since the beginning of the last whole such time.
const STRETCH: Duration = Duration::from_secs(5);
const SMOOTHING: f64 = 0.9;
const GROWTH: f64 = 1.08;
const UNTRIED: f64 = 1.5;
const UNTRIED_BPS: f64 = 10_000.0;
const BACK_OFF: f64 = 0.85;
/// A decrease by this part is told at once.
const FALL: f64 = 0.97;

/// See the module.
#[derive(Debug)]
pub(crate) struct ReceiverEstimate {
    arrived: VecDeque<(Instant, usize)>,
    rate_bps: f64,
    changed_at: Option<Instant>,
    reduced_at: Option<Instant>,
    /// Of this packet's delay all others are measured.
    reference: Option<(Instant, Instant)>,
    delay_s: f64,
    /// Of this stretch of time and of the one before, and when this one began.
    least_s: [f64; 2],
    stretch_began: Option<Instant>,
    told: Option<(Instant, f64)>,
}

impl Default for ReceiverEstimate {
    fn default() -> Self {
        Self {
            arrived: VecDeque::new(),
            rate_bps: START_BPS,
            changed_at: None,
            reduced_at: None,
            reference: None,
            delay_s: 0.0,
            least_s: [0.0; 2],
            stretch_began: None,
            told: None,
        }
    }
}

impl ReceiverEstimate {
    /// A packet has arrived.
    pub(crate) fn note(&mut self, now: Instant, bytes: usize) {
        self.arrived.push_back((now, bytes));
        while self.arrived.front().is_some_and(|(at, _)| now > *at + WINDOW) {
            self.arrived.pop_front();
        }
    }

    /// When a packet that arrives now was sent, on the sender's clock.
    pub(crate) fn note_sent_at(&mut self, now: Instant, sent_at: Instant) {
        let (first_arrived, first_sent) = *self.reference.get_or_insert((now, sent_at));
        let delay_s = seconds(now, first_arrived) - seconds(sent_at, first_sent);
        self.delay_s = SMOOTHING * self.delay_s + (1.0 - SMOOTHING) * delay_s;
        if now >= *self.stretch_began.get_or_insert(now) + STRETCH {
            (self.stretch_began, self.least_s) = (Some(now), [self.delay_s, self.least_s[0]]);
        }
        self.least_s[0] = self.least_s[0].min(self.delay_s);
        self.follow(now);
    }

    /// What is to be told now.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<f64> {
        self.changed_at?;
        let is_due = self.told.is_none_or(|(at, told)| now >= at + INTERVAL || self.rate_bps < FALL * told);
        if !is_due {
            return None;
        }
        self.told = Some((now, self.rate_bps));
        Some(self.rate_bps)
    }

    fn follow(&mut self, now: Instant) {
        let elapsed_s = self.changed_at.map_or(0.0, |at| seconds(now, at)).min(1.0);
        self.changed_at = Some(now);
        let bytes: usize = self.arrived.iter().map(|(_, bytes)| bytes).sum();
        #[expect(clippy::cast_precision_loss, reason = "a few megabytes")]
        let arriving_bps = bytes as f64 * 8.0 / WINDOW.as_secs_f64();
        if self.delay_s - self.least_s[0].min(self.least_s[1]) > QUEUE_S {
            if self.reduced_at.is_none_or(|at| now >= at + INTERVAL) {
                self.reduced_at = Some(now);
                self.rate_bps = self.rate_bps.min(BACK_OFF * arriving_bps);
            }
        } else if self.rate_bps < UNTRIED * arriving_bps + UNTRIED_BPS {
            self.rate_bps *= GROWTH.powf(elapsed_s);
        }
    }
}

/// Seconds from `from` to `to`, which may be earlier.
fn seconds(to: Instant, from: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() - from.saturating_duration_since(to).as_secs_f64()
}
