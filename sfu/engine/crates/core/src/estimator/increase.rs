//! How the rate follows the delays: more while no queue grows, less at once when one does (AIMD, draft-ietf-rmcat-gcc-02
//! §5.5).
//!
//! Told what the delays say; never looks at packets.

use std::time::{Duration, Instant};

use super::trendline::PathUse;

/// What is left of the throughput when a queue grows. (The draft has 0.85: with it a steady link is used by less than four
/// fifths after each time.)
const BACK_OFF: f64 = 0.9;
/// Growth per second while nothing is known of the path's capacity.
const GROWTH: f64 = 1.08;
/// The rate grows no further beyond what arrives: more has never been tried.
const UNTRIED: f64 = 1.5;
const UNTRIED_BPS: f64 = 10_000.0;
/// What has arrived without a queue for so long after a reduction is no rest of the queue that was reduced for.
const BORNE: Duration = Duration::from_millis(1_500);
/// On a path that bears less than this, three packets that were lost and go again are a queue of a tenth of a second: one
/// that grows after so long without any is most likely such a burst's. It takes nothing off what was borne …
const NARROW_BPS: f64 = 400_000.0;
const QUIET: Duration = Duration::from_millis(700);
/// … unless what arrives is less than this part of that: then the path has become narrower.
const STILL_BORNE: f64 = 0.5;
/// Half of the time over which is known what was borne.
const BORNE_HALF: Duration = Duration::from_secs(3);
/// Least growth per second near the capacity.
const LEAST_GROWTH_BPS: f64 = 4_000.0;
const PACKET_BITS: f64 = 1_200.0 * 8.0;
const FRAMES_PER_S: f64 = 30.0;
/// What the path needs to answer, beyond the round trip.
const RESPONSE: Duration = Duration::from_millis(100);
/// Deviations from the capacity at which it is taken for another one.
const CAPACITY_DEVIATIONS: f64 = 3.0;
/// Weight of a new measurement of the capacity.
const CAPACITY_WEIGHT: f64 = 0.05;
const CAPACITY_VARIANCE: (f64, f64) = (0.4, 2.5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Hold,
    Increase,
}

/// The capacity of the path, as often as a queue has grown at it.
#[derive(Debug, Default)]
struct Capacity {
    kbps: Option<f64>,
    /// Relative to the capacity.
    variance: f64,
}

impl Capacity {
    fn note(&mut self, throughput_bps: f64) {
        let sample = throughput_bps / 1_000.0;
        let Some(known) = self.kbps else {
            (self.kbps, self.variance) = (Some(sample), CAPACITY_VARIANCE.0);
            return;
        };
        let error = known - sample;
        let updated = known - CAPACITY_WEIGHT * error;
        self.kbps = Some(updated);
        let variance =
            (1.0 - CAPACITY_WEIGHT) * self.variance + CAPACITY_WEIGHT * error * error / updated.max(1.0);
        self.variance = variance.clamp(CAPACITY_VARIANCE.0, CAPACITY_VARIANCE.1);
    }

    /// The range in which a throughput fits what is known.
    fn range_bps(&self) -> Option<(f64, f64)> {
        let kbps = self.kbps?;
        let deviation = CAPACITY_DEVIATIONS * (self.variance * kbps).sqrt();
        Some(((kbps - deviation).max(0.0) * 1_000.0, (kbps + deviation) * 1_000.0))
    }
}

/// The rate by delays.
#[derive(Debug)]
pub(super) struct DelayRate {
    rate_bps: Option<f64>,
    state: State,
    changed_at: Option<Instant>,
    reduced_at: Option<Instant>,
    /// When a queue was last seen to grow.
    over_at: Option<Instant>,
    capacity: Capacity,
    borne: Borne,
    rtt: Duration,
}

/// The most that has arrived lately while no queue grew.
#[derive(Debug, Default)]
struct Borne {
    began: Option<Instant>,
    most_bps: f64,
    before_bps: f64,
}

impl Borne {
    fn note(&mut self, now: Instant, throughput_bps: f64) {
        let elapsed = now.saturating_duration_since(*self.began.get_or_insert(now));
        if elapsed >= BORNE_HALF {
            self.before_bps = if elapsed < 2 * BORNE_HALF { self.most_bps } else { 0.0 };
            (self.began, self.most_bps) = (Some(now), 0.0);
        }
        self.most_bps = self.most_bps.max(throughput_bps);
    }

    const fn most_bps(&self) -> f64 {
        self.most_bps.max(self.before_bps)
    }
}

impl Default for DelayRate {
    fn default() -> Self {
        Self {
            rate_bps: None,
            state: State::Increase,
            changed_at: None,
            reduced_at: None,
            over_at: None,
            borne: Borne::default(),
            capacity: Capacity::default(),
            rtt: Duration::from_millis(200),
        }
    }
}

impl DelayRate {
    /// Bits per second; `None` while nothing is known.
    #[must_use]
    pub(super) const fn rate_bps(&self) -> Option<f64> {
        self.rate_bps
    }

    /// Another round-trip time.
    pub(super) fn set_round_trip(&mut self, rtt: Duration) {
        self.rtt = rtt;
    }

    /// It was measured that the path bears this.
    pub(super) fn set_rate(&mut self, now: Instant, rate_bps: f64) {
        if self.capacity.range_bps().is_some_and(|(_, highest)| rate_bps > highest) {
            self.capacity = Capacity::default();
        }
        self.rate_bps = Some(rate_bps);
        self.changed_at = Some(now);
    }

    /// What it was lowered for since it was this was no queue.
    pub(super) fn restore(&mut self, now: Instant, rate_bps: f64) {
        self.rate_bps = self.rate_bps.map(|rate| rate.max(rate_bps));
        (self.reduced_at, self.changed_at, self.state) = (None, Some(now), State::Increase);
        self.capacity = Capacity::default();
    }

    /// Follows what the delays say. `throughput_bps` is what arrives. True: the rate was lowered.
    pub(super) fn follow(&mut self, now: Instant, path_use: PathUse, throughput_bps: f64) -> bool {
        match path_use {
            PathUse::Over => return self.decrease(now, throughput_bps),
            PathUse::Under => self.state = State::Hold,
            PathUse::Normal if self.state == State::Hold => {
                self.state = State::Increase;
                self.changed_at = Some(now);
            }
            PathUse::Normal => {
                self.borne.note(now, throughput_bps);
                self.increase(now, throughput_bps);
            }
        }
        false
    }

    fn increase(&mut self, now: Instant, throughput_bps: f64) {
        let Some(rate) = self.rate_bps else { return };
        let elapsed = self.changed_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let elapsed_s = elapsed.as_secs_f64().min(1.0);
        if self.capacity.range_bps().is_some_and(|(_, highest)| throughput_bps > highest) {
            self.capacity = Capacity::default();
        }
        let more = if self.capacity.kbps.is_some() {
            self.growth_near_capacity(rate) * elapsed_s
        } else {
            rate * (GROWTH.powf(elapsed_s) - 1.0)
        };
        let untried = UNTRIED * throughput_bps + UNTRIED_BPS;
        // More may be sent than this says, as long as nobody suffers. What arrives of it then is borne.
        let is_borne = self.reduced_at.is_none_or(|at| now >= at + self.rtt + BORNE);
        let borne_bps = if is_borne { throughput_bps } else { 0.0 };
        self.rate_bps = Some((rate + more).min(untried).max(rate).max(borne_bps));
        self.changed_at = Some(now);
    }

    /// One packet per response time.
    fn growth_near_capacity(&self, rate_bps: f64) -> f64 {
        let frame = rate_bps / FRAMES_PER_S;
        let packet = frame / (frame / PACKET_BITS).ceil().max(1.0);
        (packet / (self.rtt + RESPONSE).as_secs_f64()).max(LEAST_GROWTH_BPS)
    }

    /// Whether the queue that grows is most likely one of a few packets.
    fn is_burst(&self, throughput_bps: f64, is_first: bool) -> bool {
        let borne_bps = self.borne.most_bps();
        let is_narrow = borne_bps > 0.0 && borne_bps < NARROW_BPS;
        is_first && is_narrow && throughput_bps >= STILL_BORNE * borne_bps
    }

    fn decrease(&mut self, now: Instant, throughput_bps: f64) -> bool {
        let is_first = self.over_at.replace(now).is_none_or(|at| now >= at + QUIET);
        let rate = self.rate_bps.unwrap_or(f64::INFINITY);
        let pause = self.rtt.clamp(Duration::from_millis(10), Duration::from_millis(200));
        let is_too_early = self.reduced_at.is_some_and(|at| now < at + pause);
        if is_too_early && throughput_bps >= rate / 2.0 {
            return false;
        }
        if self.capacity.range_bps().is_some_and(|(lowest, _)| throughput_bps < lowest) {
            self.capacity = Capacity::default();
        }
        let lowered = if self.is_burst(throughput_bps, is_first) {
            throughput_bps.max(self.borne.most_bps())
        } else {
            let of_throughput = BACK_OFF * throughput_bps;
            let of_capacity = self.capacity.kbps.map(|kbps| BACK_OFF * kbps * 1_000.0);
            of_capacity.filter(|_| of_throughput > rate).unwrap_or(of_throughput)
        };
        self.capacity.note(throughput_bps);
        self.rate_bps = Some(lowered.min(rate));
        self.state = State::Hold;
        self.changed_at = Some(now);
        self.reduced_at = Some(now);
        lowered < rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grown(rate: &mut DelayRate, start: Instant, seconds: u32, throughput_bps: f64) -> f64 {
        for step in 0..seconds * 10 {
            rate.follow(start + Duration::from_millis(100) * step, PathUse::Normal, throughput_bps);
        }
        rate.rate_bps().unwrap()
    }

    #[test]
    fn it_grows_by_a_share_until_the_capacity_is_known_and_by_packets_then() {
        let start = Instant::now();
        let mut rate = DelayRate::default();
        rate.set_rate(start, 1_000_000.0);
        let free = grown(&mut rate, start, 4, 1_000_000.0);
        assert!((1_300_000.0..1_400_000.0).contains(&free), "{free}");
        let later = start + Duration::from_secs(20);
        assert!(rate.follow(later, PathUse::Over, 1_000_000.0));
        assert_eq!(rate.rate_bps(), Some(900_000.0));
        let near = grown(&mut rate, later, 5, 900_000.0);
        assert!((900_000.0..1_100_000.0).contains(&near), "{near}");
    }

    #[test]
    fn it_grows_no_further_than_was_tried_but_is_not_lowered_for_that() {
        let start = Instant::now();
        let mut rate = DelayRate::default();
        rate.set_rate(start, 1_000_000.0);
        let kept = grown(&mut rate, start, 30, 100_000.0);
        assert!((1_000_000.0..1_000_001.0).contains(&kept), "{kept}");
        rate.set_rate(start, 100_000.0);
        let high = grown(&mut rate, start + Duration::from_secs(30), 30, 100_000.0);
        assert!((150_000.0..=160_000.0).contains(&high), "{high}");
    }

    #[test]
    fn what_arrives_without_a_queue_is_borne_but_not_what_drains() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut rate = DelayRate::default();
        rate.set_rate(start, 1_000_000.0);
        rate.follow(at(100), PathUse::Normal, 2_000_000.0);
        assert_eq!(rate.rate_bps(), Some(2_000_000.0));
        assert!(rate.follow(at(200), PathUse::Over, 500_000.0));
        for ms in (300..1_800).step_by(100) {
            rate.follow(at(ms), PathUse::Normal, 900_000.0);
            assert!(rate.rate_bps().unwrap() < 600_000.0, "{ms}: {:?}", rate.rate_bps());
        }
        rate.follow(at(2_000), PathUse::Normal, 900_000.0);
        assert_eq!(rate.rate_bps(), Some(900_000.0));
    }

    #[test]
    fn a_few_packets_that_queue_on_a_narrow_path_take_little_off_what_was_borne() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut rate = DelayRate::default();
        rate.set_round_trip(Duration::from_millis(10));
        rate.set_rate(start, 350_000.0);
        rate.follow(at(100), PathUse::Normal, 250_000.0);
        assert!(rate.follow(at(200), PathUse::Over, 200_000.0));
        assert_eq!(rate.rate_bps(), Some(250_000.0));
        assert!(rate.follow(at(300), PathUse::Over, 200_000.0), "they were not a few");
        assert!(rate.rate_bps().unwrap() < 200_000.0);
        // A rate that is already below what was borne stays.
        rate.set_rate(at(3_000), 180_000.0);
        rate.follow(at(3_000), PathUse::Normal, 170_000.0);
        assert!(!rate.follow(at(3_100), PathUse::Over, 190_000.0));
        assert_eq!(rate.rate_bps(), Some(180_000.0));
        // What arrives is far less: the path has become narrower.
        rate.set_rate(at(5_000), 350_000.0);
        rate.follow(at(5_000), PathUse::Normal, 250_000.0);
        assert!(rate.follow(at(5_100), PathUse::Over, 100_000.0));
        assert!(rate.rate_bps().unwrap() < 100_000.0);
    }

    #[test]
    fn one_queue_lowers_it_once_per_round_trip() {
        let start = Instant::now();
        let mut rate = DelayRate::default();
        rate.set_rate(start, 3_000_000.0);
        rate.set_round_trip(Duration::from_millis(100));
        assert!(rate.follow(start, PathUse::Over, 2_000_000.0));
        assert_eq!(
            rate.rate_bps(),
            Some(1_800_000.0),
            "nothing is known of the path: it need not be a narrow one"
        );
        assert!(!rate.follow(start + Duration::from_millis(50), PathUse::Over, 1_500_000.0));
        assert!(rate.follow(start + Duration::from_millis(150), PathUse::Over, 1_000_000.0));
        assert_eq!(rate.rate_bps(), Some(900_000.0));
    }
}
