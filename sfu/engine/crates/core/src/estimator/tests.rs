//! Estimators beside a link in virtual time: a source that sends what it may, a queue, a delay, feedback.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "times of a few minutes, numbers of a few thousand"
)]

use super::*;
use crate::rtcp::Arrivals;

/// A link, the receiver behind it and the source before it.
struct Path {
    estimator: TransportWide,
    start: Instant,
    now_us: i64,
    rate_bps: f64,
    loss: f64,
    /// The transmitter is busy until then.
    busy_us: i64,
    queue_us: i64,
    delay_us: i64,
    random: u64,
    seq: u64,
    owed_bits: f64,
    arrived: Vec<(u64, i64)>,
    /// Longest time in the queue since it was asked for last.
    longest_us: i64,
    reported: u64,
    feedbacks: u8,
    /// Feedback says nothing of what was lost before the first packet that arrived.
    begins_with_arrival: bool,
}

impl Path {
    fn new(rate_bps: f64, loss: f64, seed: u64) -> Self {
        Self {
            estimator: TransportWide::default(),
            start: Instant::now(),
            now_us: 0,
            rate_bps,
            loss,
            busy_us: 0,
            queue_us: 300_000,
            delay_us: 20_000,
            random: seed | 1,
            seq: 0,
            owed_bits: 0.0,
            arrived: Vec::new(),
            longest_us: 0,
            reported: 0,
            feedbacks: 0,
            begins_with_arrival: false,
        }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_micros(self.now_us as u64)
    }

    fn fraction(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn estimate_bps(&self) -> f64 {
        self.estimator.estimate().map_or(f64::INFINITY, |estimate| estimate.total_bps as f64)
    }

    /// Runs for some seconds; the source sends `wanted` or what it may, in ticks of 5 ms.
    fn run(&mut self, seconds: u32, wanted: f64) {
        for _ in 0..seconds * 200 {
            self.now_us += 5_000;
            self.owed_bits += self.estimate_bps().min(wanted) * 0.005;
            while self.owed_bits >= 8_000.0 {
                self.owed_bits -= 8_000.0;
                self.send();
            }
            if self.now_us % 50_000 == 0 {
                self.report();
            }
        }
    }

    fn send(&mut self) {
        self.seq += 1;
        let now = self.now();
        self.estimator.note_sent(Departure { at: now, seq: Some(self.seq), bytes: 1_000, probe: None });
        let begins = self.busy_us.max(self.now_us);
        if self.fraction() < self.loss || begins - self.now_us > self.queue_us {
            return;
        }
        self.longest_us = self.longest_us.max(begins - self.now_us);
        self.busy_us = begins + (8_000.0 * 1e6 / self.rate_bps) as i64;
        self.arrived.push((self.seq, self.busy_us + self.delay_us));
    }

    /// What has arrived by one delay ago is fed back.
    fn report(&mut self) {
        let seen_us = self.now_us - self.delay_us;
        let count = self.arrived.partition_point(|(_, at)| *at <= seen_us);
        let seen: Vec<(u64, i64)> = self.arrived.drain(..count).collect();
        let Some(last) = seen.last() else { return };
        let first = if self.begins_with_arrival { seen[0].0 } else { self.reported + 1 };
        self.reported = last.0;
        self.feedbacks = self.feedbacks.wrapping_add(1);
        let reference = (seen[0].1 / 64_000) as u32;
        let arrival = |at: i64| ((at - i64::from(reference) * 64_000) / 250) as i32;
        let feedback = Arrivals {
            first_seq: first as u16,
            count: (last.0 - first + 1) as u16,
            number: self.feedbacks,
            reference,
            received: seen.iter().map(|(seq, at)| ((seq - first) as u16, arrival(*at))).collect(),
        };
        self.estimator.take_arrivals(self.now(), &feedback);
    }
}

#[test]
fn a_narrow_link_is_found_and_kept_without_filling_its_queue() {
    for (seed, rate) in [(1, 300_000.0), (2, 500_000.0), (3, 1_000_000.0), (4, 3_000_000.0)] {
        let mut path = Path::new(rate, 0.0, seed);
        path.run(10, 5_000_000.0);
        path.longest_us = 0;
        let (mut least, mut most) = (f64::MAX, 0.0_f64);
        for _ in 0..20 {
            path.run(1, 5_000_000.0);
            least = least.min(path.estimate_bps());
            most = most.max(path.estimate_bps());
        }
        assert!(least > 0.75 * rate && most < 1.2 * rate, "{rate}: {least} to {most}");
        assert!(path.longest_us < 150_000, "{rate}: {} us", path.longest_us);
    }
}

#[test]
fn random_loss_does_not_collapse_the_estimate() {
    for (seed, loss) in [(1, 0.02), (2, 0.05), (3, 0.1), (4, 0.2)] {
        let mut path = Path::new(3_000_000.0, loss, seed);
        path.run(10, 1_500_000.0);
        let mut least = f64::MAX;
        for _ in 0..20 {
            path.run(1, 1_500_000.0);
            least = least.min(path.estimate_bps());
        }
        assert!(least > 1_200_000.0, "{loss}: {least}");
    }
}

#[test]
fn after_a_drop_the_estimate_follows_within_two_seconds() {
    for seed in 1..6 {
        let mut path = Path::new(3_000_000.0, 0.0, seed);
        path.run(10, 2_500_000.0);
        assert!(path.estimate_bps() > 2_000_000.0, "{}", path.estimate_bps());
        path.rate_bps = 500_000.0;
        path.run(2, 2_500_000.0);
        let estimate = path.estimate_bps();
        assert!((250_000.0..600_000.0).contains(&estimate), "{estimate}");
        path.run(2, 2_500_000.0);
        path.longest_us = 0;
        path.run(10, 2_500_000.0);
        assert!(path.longest_us < 200_000, "the queue has drained: {} us", path.longest_us);
        assert!(path.estimate_bps() > 375_000.0, "{}", path.estimate_bps());
    }
}

#[test]
fn a_link_without_a_queue_is_found_by_its_losses() {
    let mut path = Path::new(500_000.0, 0.0, 5);
    path.queue_us = 5_000;
    path.run(15, 2_000_000.0);
    let estimate = path.estimate_bps();
    assert!((350_000.0..650_000.0).contains(&estimate), "{estimate}");
}

#[test]
fn what_is_lost_between_two_feedbacks_counts() {
    let mut path = Path::new(60_000.0, 0.0, 5);
    path.begins_with_arrival = true;
    path.busy_us = path.queue_us; // full from the beginning: nothing grows
    path.run(15, 2_000_000.0);
    let estimate = path.estimate_bps();
    assert!((30_000.0..100_000.0).contains(&estimate), "{estimate}");
}

#[test]
fn what_goes_again_under_its_number_is_no_less_lost() {
    for repeats in [true, false] {
        let start = Instant::now();
        let mut estimator = TransportWide::default();
        let at = |ms: u64| start + Duration::from_millis(ms);
        for seq in 0..10_000_u64 {
            estimator.note_sent(Departure { at: at(seq * 20), seq: Some(seq), bytes: 200, probe: None });
            let (is_lost, ms) = (|seq: u64| seq % 10 == 3, seq * 20 + 50);
            if seq % 10 != 9 {
                continue;
            }
            let (first, arrived) = (seq - 9, |seq: u64| ((seq - (seq / 10) * 10) * 80) as i32);
            let mut received: Vec<(u16, i32)> = (first..=seq)
                .filter(|seq| !is_lost(*seq))
                .map(|seq| ((seq - first) as u16, arrived(seq)))
                .collect();
            let reference = ((first * 20 + 50) / 64) as u32;
            let number = (first / 5) as u8;
            let feedback = |number, received| Arrivals {
                first_seq: first as u16,
                count: 10,
                number,
                reference,
                received,
            };
            estimator.take_arrivals(at(ms), &feedback(number, received.clone()));
            if repeats {
                estimator.note_repeated((first + 3) as u16);
            }
            let round_trip = estimator.round_trip();
            received.insert(3, (3, 1_200));
            estimator.take_arrivals(at(ms + 300), &feedback(number + 1, received));
            assert_eq!(estimator.round_trip() == round_trip, repeats, "{seq}");
        }
        let own = estimator.own_loss();
        assert_eq!(own > 0.05, repeats, "{own}");
    }
}

#[test]
fn a_peers_clock_may_wrap_and_jump() {
    let start = Instant::now();
    let mut estimator = TransportWide::default();
    for (nth, reference) in [0xff_ffff_u32, 0, 1, 0x80_0000, 0, 0xff_ffff].into_iter().enumerate() {
        let (at, seq) = (start + Duration::from_millis(64) * nth as u32, nth as u64);
        estimator.note_sent(Departure { at, seq: Some(seq), bytes: 1_000, probe: None });
        let received = vec![(0, i32::MAX)];
        let feedback = Arrivals { first_seq: seq as u16, count: 1, number: nth as u8, reference, received };
        estimator.take_arrivals(at, &feedback);
        estimator.take_arrivals(at, &feedback); // once more
    }
    assert!(estimator.round_trip().is_some());
}

#[test]
fn a_receivers_estimate_is_taken_with_its_losses_and_forgotten_when_it_falls_silent() {
    let start = Instant::now();
    let mut estimator = Receiver::default();
    let second = |nth: u32| start + Duration::from_secs(1) * nth;
    estimator.take_losses(start, Losses { lost: 50.0, total: 100.0, delivered_bits: 400_000.0 });
    assert_eq!(estimator.estimate(), None, "losses alone say nothing");
    estimator.take_maximum(start, 1_000_000);
    let estimate = |estimator: &Receiver| {
        estimator.estimate().map(|estimate| (estimate.total_bps, estimate.is_congested))
    };
    assert_eq!(estimate(&estimator), Some((1_000_000, false)));
    for nth in 0..100 {
        let at = start + Duration::from_millis(10) * nth;
        estimator.note_sent(Departure { at, seq: None, bytes: 1_250, probe: None });
    }
    estimator.take_maximum(second(1), 900_000);
    assert_eq!(estimate(&estimator), Some((900_000, true)), "it fell while we sent more");
    for nth in 1..20 {
        let losses = Losses { lost: 40.0, total: 100.0, delivered_bits: 480_000.0 };
        estimator.take_losses(second(nth), losses);
    }
    let (bounded, is_congested) = estimate(&estimator).unwrap();
    assert!(is_congested && (400_000..600_000).contains(&bounded), "{bounded}");
    assert_eq!(estimator.next_timeout(), Some(second(11)));
    estimator.handle_timeout(second(11));
    assert_eq!(estimate(&estimator), None);
}

/// Sends so much for a second, told of every 5 ms; the peer says these, evenly spread. What is known then, with any
/// congestion of that second.
fn hear(estimator: &mut Receiver, from: Instant, sent_bps: u32, maxima: [u64; 4]) -> RateEstimate {
    let mut is_congested = false;
    for tick in 0..200_u32 {
        let now = from + Duration::from_millis(5) * tick;
        let bytes = sent_bps as usize / 8 / 200;
        estimator.note_sent(Departure { at: now, seq: None, bytes, probe: None });
        estimator.handle_timeout(now);
        if tick % 50 == 49 {
            estimator.take_maximum(now, maxima[tick as usize / 50]);
            is_congested |= estimator.estimate().unwrap().is_congested;
        }
    }
    RateEstimate { is_congested, ..estimator.estimate().unwrap() }
}

#[test]
fn what_is_sent_while_a_receivers_estimate_grows_is_borne_and_what_holds_it_is_not() {
    let at = |start: Instant, seconds| start + Duration::from_secs(seconds);
    let start = Instant::now();
    let mut estimator = Receiver::default();
    hear(&mut estimator, start, 290_000, [300_000, 306_000, 312_000, 318_000]);
    hear(&mut estimator, at(start, 1), 900_000, [324_000, 331_000, 338_000, 345_000]);
    let borne = hear(&mut estimator, at(start, 2), 900_000, [352_000, 359_000, 366_000, 373_000]);
    assert!((840_000..900_000).contains(&borne.total_bps) && !borne.is_congested, "{borne:?}");
    let fallen = hear(&mut estimator, at(start, 3), 900_000, [380_000, 387_000, 394_000, 370_000]);
    assert_eq!((fallen.total_bps, fallen.is_congested), (370_000, true));
    // A queue, of which the receiver says nothing.
    let mut estimator = Receiver::default();
    hear(&mut estimator, start, 400_000, [300_000; 4]);
    let held = hear(&mut estimator, at(start, 1), 400_000, [300_000; 4]);
    assert_eq!((held.total_bps, held.is_congested), (300_000, true));
}

#[test]
fn losses_while_a_receivers_estimate_is_held_down_are_not_the_paths_own() {
    let start = Instant::now();
    let mut estimator = Receiver::default();
    for (second, sent_bps) in
        (0..).zip([1_700_000, 1_700_000, 560_000, 560_000, 560_000, 560_000, 560_000, 560_000])
    {
        let from = start + Duration::from_secs(second);
        hear(&mut estimator, from, sent_bps, [500_000; 4]);
        let delivered_bits = f64::from(sent_bps) * 0.7;
        estimator
            .take_losses(from + Duration::from_secs(1), Losses { lost: 30.0, total: 100.0, delivered_bits });
    }
    let estimate = estimator.estimate().unwrap();
    assert!(estimate.total_bps < 420_000 && estimate.is_congested, "{estimate:?}");
}

#[test]
fn what_is_sent_is_measured_over_half_a_second() {
    let start = Instant::now();
    let mut rate = SentRate::default();
    for nth in 0..200 {
        rate.note(start + Duration::from_millis(10) * nth, 1_250);
    }
    let sent = rate.rate_bps(start + Duration::from_secs(2));
    assert!((950_000.0..1_050_000.0).contains(&sent), "{sent}");
    assert!(rate.rate_bps(start + Duration::from_secs(3)) < 1.0);
}
