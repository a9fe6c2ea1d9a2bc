//! Whether a falling estimate says something of what is being sent.
//!
//! A raise begins with a key frame, a burst that fills queues for a moment; estimators answer by falling to what had
//! arrived until then, which was less. That is no verdict on the raise. It is borne out when the queues stay empty
//! afterwards: then the estimate is only late, and grows. The same goes for the first estimates of all, which come while
//! everything is sent: some estimators begin with little, whatever the path. And it goes for tracks that are new: until
//! then less was sent, so that no estimate can have shown what they need; only one that *falls* says anything.

use std::time::{Duration, Instant};

/// Congestion that soon after a raise may be that of its key frame.
const BURST: Duration = Duration::from_secs(1);
/// Without congestion after that, the estimate is waited for as long as it grows, and so much longer.
const TRUST: Duration = Duration::from_secs(8);
/// Congestion with an estimate below this part of what it was at the raise (percent) is a verdict in any case …
const VERDICT_PERCENT: u64 = 50;
/// … but for an estimate of this part of what was sent until the raise, as long as it is the first one: that is what
/// arrived, less what estimators take off. Where the next layer has three times the bits, it is less than half of what
/// was known.
const ECHO_PERCENT: u64 = 80;
/// So is that of a first estimate below this part of what was sent until then (percent): no key frame's burst looks so.
const DROWNING_PERCENT: u64 = 33;
/// What counts as growth, percent.
const GROWTH_PERCENT: u64 = 105;
/// An estimate of this part of its best since the last raise has not fallen, percent.
const NEAR_PERCENT: u64 = 60;
/// What rates may vary by in the meantime, percent.
const VARIATION_PERCENT: u64 = 112;

/// How the last raise is doing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Probation {
    raised_at: Option<Instant>,
    /// When the estimate was seen to grow, and to what.
    grown: Option<(Instant, u64)>,
    /// The last estimate.
    last_bps: u64,
    /// All was sent before there was an estimate.
    is_of_first: bool,
    /// What it was at the last raise, and the best since.
    base_bps: u64,
    best_bps: u64,
    /// What was sent until the last raise.
    before_bps: Option<u64>,
    /// How often there was congestion since.
    congestions: u32,
    /// In the burst.
    was_congested: bool,
    /// After the burst.
    is_over: bool,
}

impl Probation {
    /// There is a first estimate; all was sent until now.
    pub(super) fn begin_first(&mut self, now: Instant) {
        let was_congested = self.was_congested;
        self.begin(now);
        (self.is_of_first, self.was_congested) = (true, was_congested);
    }

    /// What has been sent, so much, becomes more from now on.
    pub(super) fn begin_raise(&mut self, now: Instant, before_bps: u64) {
        self.begin(now);
        self.before_bps = Some(before_bps);
    }

    /// Something new is sent from now on.
    pub(super) fn begin(&mut self, now: Instant) {
        let last_bps = self.last_bps;
        *self = Self {
            raised_at: Some(now),
            last_bps,
            base_bps: last_bps,
            best_bps: last_bps,
            ..Self::default()
        };
    }

    /// Something was lowered: it is over.
    pub(super) fn end(&mut self) {
        self.raised_at = None;
    }

    /// What the estimate is now.
    pub(super) fn note_estimate(&mut self, now: Instant, estimate_bps: u64) {
        self.last_bps = estimate_bps;
        self.best_bps = self.best_bps.max(estimate_bps);
        let has_grown =
            |base_bps: u64| estimate_bps.saturating_mul(100) >= base_bps.saturating_mul(GROWTH_PERCENT);
        self.grown = match self.grown {
            Some((at, base_bps)) if !has_grown(base_bps) => Some((at, base_bps.min(estimate_bps))),
            Some(_) => Some((now, estimate_bps)),
            None => self.raised_at.map(|at| (at, estimate_bps)),
        };
    }

    /// More was lost or queued than the path bears.
    pub(super) fn note_congestion(&mut self, now: Instant) {
        self.was_congested = true;
        self.congestions = self.congestions.saturating_add(1);
        self.is_over |= self.raised_at.is_some_and(|at| now >= at + BURST);
    }

    /// Whether what is borne is far less than what is sent because it has become so, not because it never was shown.
    pub(super) fn has_fallen(&self, bearable_bps: u64, sent_bps: u64) -> bool {
        let shown_bps = self.best_bps.min(sent_bps);
        bearable_bps.saturating_mul(100) < shown_bps.saturating_mul(NEAR_PERCENT)
    }

    /// What may be spent on what is being sent already, bits per second.
    pub(super) fn bearable_bps(&self, now: Instant, estimate_bps: u64, sent_bps: u64) -> u64 {
        let grew_at = self.grown.map(|(at, _)| at).max(self.raised_at);
        let is_on = !self.is_over && self.raised_at.is_some() && grew_at.is_some_and(|at| now < at + TRUST);
        let shown_bps = self.base_bps.min(sent_bps);
        let is_at_least =
            |percent: u64, of_bps: u64| estimate_bps.saturating_mul(100) >= of_bps.saturating_mul(percent);
        let is_drowning = self.is_of_first && !is_at_least(DROWNING_PERCENT, sent_bps);
        let is_echo = self.congestions == 1
            && self.before_bps.is_some_and(|before_bps| is_at_least(ECHO_PERCENT, before_bps));
        let is_near = (is_echo || is_at_least(VERDICT_PERCENT, shown_bps)) && !is_drowning;
        if is_on && !self.was_congested {
            u64::MAX
        } else if is_on && is_near {
            estimate_bps.max(sent_bps.saturating_mul(VARIATION_PERCENT) / 100)
        } else {
            estimate_bps
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_forgiven_and_a_queue_that_stays_is_not() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut probation = Probation::default();
        assert_eq!(probation.bearable_bps(start, 600, 1_000), 600);
        probation.note_estimate(start, 1_200);
        probation.begin(start);
        assert_eq!(probation.bearable_bps(at(7_999), 10, 1_000), u64::MAX, "nothing speaks against it");
        probation.note_congestion(at(900));
        assert_eq!(probation.bearable_bps(at(7_999), 600, 1_000), 1_120);
        assert_eq!(probation.bearable_bps(at(1_000), 2_000, 1_000), 2_000);
        assert_eq!(probation.bearable_bps(at(1_000), 499, 1_000), 499, "too little to be an echo");
        assert_eq!(probation.bearable_bps(at(8_000), 600, 1_000), 600, "it had its time");
        probation.note_congestion(at(1_000));
        assert_eq!(probation.bearable_bps(at(1_001), 600, 1_000), 600);
        probation.begin(at(9_000));
        assert_eq!(probation.bearable_bps(at(9_001), 600, 1_000), u64::MAX, "another raise, another chance");
        probation.end();
        assert_eq!(probation.bearable_bps(at(9_001), 600, 1_000), 600);
    }

    #[test]
    fn after_a_steep_raise_the_first_estimate_is_what_had_arrived_until_then() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let raised = || {
            let mut probation = Probation::default();
            probation.note_estimate(start, 2_000);
            probation.note_congestion(start); // that is long past
            probation.begin_raise(start, 500);
            probation.note_congestion(at(300));
            probation
        };
        let mut probation = raised();
        assert_eq!(probation.bearable_bps(at(300), 400, 1_500), 1_680);
        assert_eq!(probation.bearable_bps(at(300), 399, 1_500), 399, "less than that");
        probation.note_congestion(at(400));
        assert_eq!(probation.bearable_bps(at(400), 400, 1_500), 400, "more than a burst");
        probation = raised();
        assert_eq!(probation.bearable_bps(at(7_999), 400, 1_500), 1_680);
        assert_eq!(probation.bearable_bps(at(8_000), 400, 1_500), 400, "it had its time");
    }

    #[test]
    fn what_was_never_shown_has_not_fallen() {
        let start = Instant::now();
        let mut probation = Probation::default();
        probation.note_estimate(start, 2_000);
        probation.begin(start);
        assert!(!probation.has_fallen(1_200, 10_000) && probation.has_fallen(1_199, 10_000));
        assert!(!probation.has_fallen(600, 1_000) && probation.has_fallen(599, 1_000), "less was sent");
        probation.note_congestion(start);
        assert_eq!(probation.bearable_bps(start, 1_000, 10_000), 11_200, "what had arrived until then");
        assert_eq!(probation.bearable_bps(start, 999, 10_000), 999);
        probation.note_estimate(start, 6_000);
        assert!(probation.has_fallen(3_599, 10_000), "it has been shown meanwhile");
        assert_eq!(
            probation.bearable_bps(start, 1_000, 10_000),
            11_200,
            "a probe in the burst shows no need"
        );
    }

    #[test]
    fn an_estimate_that_grows_is_waited_for() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut probation = Probation::default();
        probation.begin(start);
        let mut bps = 100;
        for second in 0..30 {
            probation.note_estimate(at(second), bps);
            assert_eq!(probation.bearable_bps(at(second), bps, 10_000), u64::MAX, "{second}");
            bps = bps * 108 / 100;
        }
        assert_eq!(probation.bearable_bps(at(36), bps, 10_000), u64::MAX);
        assert_eq!(probation.bearable_bps(at(38), bps, 10_000), bps, "it has stopped");
    }
}
