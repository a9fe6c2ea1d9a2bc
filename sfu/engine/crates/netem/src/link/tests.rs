//! What a link promises, over many packets, settings and seeds.

use super::*;

const MS: Duration = Duration::from_millis(1);

/// A packet that knows its number and when it was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Numbered {
    number: u64,
    pushed: Instant,
    bytes: usize,
    damage: Option<(usize, u8)>,
}

impl Packet for Numbered {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn damage(&mut self, position: usize, change: u8) {
        assert!(position < self.bytes && change != 0);
        self.damage = Some((position, change));
    }
}

/// The arrivals of `count` packets of `bytes` each, one every `gap`; polled when the link asks for it.
fn run(link: &mut Link<Numbered>, count: u64, bytes: usize, gap: Duration) -> Vec<Arrival<Numbered>> {
    let start = Instant::now();
    run_from(link, start, 0..count, bytes, gap)
}

fn run_from(
    link: &mut Link<Numbered>,
    start: Instant,
    numbers: std::ops::Range<u64>,
    bytes: usize,
    gap: Duration,
) -> Vec<Arrival<Numbered>> {
    let mut arrivals = Vec::new();
    let mut now = start;
    for number in numbers {
        while let Some(at) = link.next_timeout().filter(|at| *at <= now) {
            arrivals.extend(std::iter::from_fn(|| link.poll(at)));
        }
        link.push(now, Numbered { number, pushed: now, bytes, damage: None });
        now += gap;
    }
    while let Some(at) = link.next_timeout() {
        arrivals.extend(std::iter::from_fn(|| link.poll(at)));
    }
    arrivals
}

fn numbers(arrivals: &[Arrival<Numbered>]) -> Vec<u64> {
    arrivals.iter().map(|arrival| arrival.packet.number).collect()
}

fn transits_ms(arrivals: &[Arrival<Numbered>]) -> Vec<f64> {
    arrivals.iter().map(|arrival| (arrival.due - arrival.packet.pushed).as_secs_f64() * 1e3).collect()
}

#[expect(clippy::cast_precision_loss)]
fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

#[track_caller]
fn assert_near(measured: f64, expected: f64, tolerance: f64) {
    assert!((measured - expected).abs() <= tolerance, "{measured}, not {expected} ± {tolerance}");
}

/// Nothing but what a test sets.
fn plain() -> LinkConfig {
    LinkConfig { delay: Duration::ZERO, ..LinkConfig::default() }
}

/// Any settings, all impairments at once.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn any_config(random: &mut Random) -> LinkConfig {
    let mut up_to = |limit: f64| random.fraction() * limit;
    let shapes = [JitterShape::Uniform, JitterShape::Normal, JitterShape::Exponential];
    let is_timed = up_to(2.0) < 1.0;
    LinkConfig {
        delay: MS.mul_f64(up_to(200.0)),
        jitter: MS.mul_f64(up_to(50.0)),
        jitter_shape: shapes[up_to(3.0) as usize],
        keeps_order: up_to(2.0) < 1.0,
        loss: up_to(0.5),
        loss_burst_packets: up_to(6.0),
        reorder: up_to(0.3),
        reorder_packets: up_to(6.0) as u32,
        reorder_wait: MS.mul_f64(up_to(100.0)),
        duplication: up_to(0.2),
        damage: up_to(0.2),
        rate_bps: (up_to(4.0) > 1.0).then_some(10_000 + up_to(5e6) as u64),
        queue: if is_timed {
            QueueLimit::Time(MS.mul_f64(up_to(300.0)))
        } else {
            QueueLimit::Bytes(up_to(30_000.0) as usize)
        },
    }
}

/// A link with all impairments, a step and a blackout under way.
fn any_link(seed: u64, start: Instant) -> Link<Numbered> {
    let mut random = Random::new(seed, 99);
    let mut link = Link::new(any_config(&mut random), seed);
    link.schedule(start + MS * 700, any_config(&mut random));
    link.schedule(start + MS * 300, any_config(&mut random));
    link.schedule_blackout(start + MS * 500, MS * 50);
    link
}

#[test]
fn what_enters_is_delivered_dropped_for_a_reason_or_inside() {
    for seed in 0..200 {
        let start = Instant::now();
        let mut link = any_link(seed, start);
        let mut delivered = 0;
        let conserved = |link: &Link<Numbered>, delivered: u64| {
            let counters = *link.counters();
            let dropped = counters.lost + counters.blacked_out + counters.queue_full;
            assert_eq!(counters.delivered, delivered);
            assert_eq!(
                counters.entered + counters.duplicated,
                delivered + dropped + link.inside() as u64,
                "seed {seed}: {counters:?}"
            );
        };
        for number in 0..1_000 {
            let now = start + MS * number;
            let packet = Numbered { number: number.into(), pushed: now, bytes: 300, damage: None };
            link.push(now, packet);
            delivered += std::iter::from_fn(|| link.poll(now)).count() as u64;
            conserved(&link, delivered);
        }
        assert!(link.counters().blacked_out >= 50);
        delivered += link.take_all().len() as u64;
        conserved(&link, delivered);
        assert_eq!((link.inside(), link.queued_bytes(), link.next_timeout()), (0, 0, None));
    }
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_one_does_not() {
    let start = Instant::now();
    let run_of = |seed, choices| {
        let mut link = any_link(seed, start);
        link.randoms = Link::<Numbered>::new(plain(), choices).randoms;
        let arrivals = run_from(&mut link, start, 0..1_000, 300, MS);
        (arrivals, *link.counters())
    };
    for seed in 0..20 {
        assert_eq!(run_of(seed, seed), run_of(seed, seed));
        assert_ne!(run_of(seed, seed), run_of(seed, seed + 1));
    }
}

#[test]
fn how_often_a_link_is_polled_changes_nothing() {
    for seed in 0..100 {
        let start = Instant::now();
        let eager = run_from(&mut any_link(seed, start), start, 0..1_000, 300, MS);
        let mut lazy = any_link(seed, start);
        for number in 0..1_000_u32 {
            let now = start + MS * number;
            lazy.push(now, Numbered { number: number.into(), pushed: now, bytes: 300, damage: None });
        }
        assert_eq!(lazy.take_all(), eager, "seed {seed}");
    }
}

#[test]
fn arrivals_are_polled_in_their_order_and_never_early() {
    for seed in 0..100 {
        let start = Instant::now();
        let mut link = any_link(seed, start);
        let mut last = start;
        for number in 0..1_000_u32 {
            let now = start + MS * number;
            link.push(now, Numbered { number: number.into(), pushed: now, bytes: 300, damage: None });
            while let Some(arrival) = link.poll(now) {
                assert!(last <= arrival.due && arrival.due <= now && arrival.packet.pushed <= arrival.due);
                last = arrival.due;
            }
            assert!(
                link.next_timeout().is_none_or(|at| at > now),
                "a time-out that is over makes its owner spin"
            );
        }
    }
}

#[test]
fn order_is_kept_unless_reordering_is_asked_for() {
    for seed in 0..100 {
        let start = Instant::now();
        let mut link = any_link(seed, start);
        link.steps.iter_mut().map(|(_, config)| config).chain([&mut link.config]).for_each(|config| {
            config.keeps_order = true;
            config.reorder = 0.0;
            config.duplication = 0.0;
        });
        let arrived = numbers(&run_from(&mut link, start, 0..1_000, 300, MS));
        assert!(arrived.is_sorted(), "seed {seed}");
    }
}

#[test]
fn independent_losses_have_their_share_and_no_memory() {
    for (seed, loss) in [(1, 0.0), (2, 0.02), (3, 0.05), (4, 0.2), (5, 1.0)] {
        let mut link = Link::new(LinkConfig { loss, ..plain() }, seed);
        let (share, burst) = losses(&mut link);
        assert_near(share, loss, 0.005);
        if loss > 0.0 && loss < 1.0 {
            assert_near(burst, 1.0 / (1.0 - loss), 0.05);
        }
    }
}

#[test]
fn bursts_of_losses_have_their_share_and_mean_length() {
    for (seed, loss, loss_burst_packets) in
        [(1, 0.02, 1.0), (2, 0.02, 4.0), (3, 0.1, 3.0), (4, 0.2, 10.0), (5, 0.5, 20.0)]
    {
        let mut link = Link::new(LinkConfig { loss, loss_burst_packets, ..plain() }, seed);
        let (share, burst) = losses(&mut link);
        assert_near(share, loss, 0.1 * loss);
        assert_near(burst, loss_burst_packets, 0.1 * loss_burst_packets);
    }
    let (share, _) = losses(&mut Link::new(LinkConfig { loss: 0.9, loss_burst_packets: 1.0, ..plain() }, 6));
    assert_near(share, 0.5, 0.01); // every second one: more cannot be had without two in a row
    let (share, _) = losses(&mut Link::new(LinkConfig { loss: 1.0, loss_burst_packets: 3.0, ..plain() }, 7));
    assert_near(share, 1.0, 0.0);
}

/// Share of packets lost, of 200,000, and mean number in a row.
#[expect(clippy::cast_precision_loss)]
fn losses(link: &mut Link<Numbered>) -> (f64, f64) {
    const COUNT: u64 = 200_000;
    let arrived = numbers(&run(link, COUNT, 100, MS));
    let lost = COUNT - arrived.len() as u64;
    let bursts = std::iter::once(0)
        .chain(arrived.iter().map(|number| number + 1))
        .zip(arrived.iter().copied().chain([COUNT]))
        .filter(|(expected, found)| found > expected)
        .count();
    assert_eq!(link.counters().lost, lost);
    (lost as f64 / COUNT as f64, lost as f64 / bursts as f64)
}

#[test]
fn which_packets_are_lost_does_not_depend_on_the_other_settings() {
    let bare = LinkConfig { loss: 0.1, loss_burst_packets: 2.0, ..plain() };
    let expected = numbers(&run(&mut Link::new(bare, 3), 1_000, 300, MS));
    let mut other = any_config(&mut Random::new(3, 3));
    (other.loss, other.loss_burst_packets, other.duplication, other.rate_bps) = (0.1, 2.0, 0.0, None);
    let mut arrived = numbers(&run(&mut Link::new(other, 3), 1_000, 300, MS));
    assert_ne!(arrived, expected, "the others are reordered");
    arrived.sort_unstable();
    assert_eq!(arrived, expected);
}

#[test]
fn delay_is_exact_and_jitter_as_its_shape_says() {
    let jittery = |jitter_shape, keeps_order| {
        let config = LinkConfig {
            delay: MS * 50,
            jitter: MS * 10,
            jitter_shape,
            keeps_order,
            ..LinkConfig::default()
        };
        transits_ms(&run(&mut Link::new(config, 4), 50_000, 100, MS))
    };
    let steady = LinkConfig { delay: MS * 50, ..LinkConfig::default() };
    assert!(
        transits_ms(&run(&mut Link::new(steady, 1), 1_000, 100, MS))
            .iter()
            .all(|ms| (ms - 50.0).abs() < 1e-6)
    );

    let uniform = jittery(JitterShape::Uniform, false);
    assert!(uniform.iter().all(|ms| (50.0..60.0).contains(ms)));
    let (mean, deviation) = mean_and_deviation(&uniform);
    assert_near(mean, 55.0, 0.1);
    assert_near(deviation, 10.0 / 12_f64.sqrt(), 0.1);

    let (mean, deviation) = mean_and_deviation(&jittery(JitterShape::Normal, false));
    assert_near(mean, 50.0, 0.2);
    assert_near(deviation, 10.0, 0.2);

    let exponential = jittery(JitterShape::Exponential, false);
    assert!(exponential.iter().all(|ms| *ms >= 50.0));
    let (mean, deviation) = mean_and_deviation(&exponential);
    assert_near(mean, 60.0, 0.2);
    assert_near(deviation, 10.0, 0.4);

    let (mean, _) = mean_and_deviation(&jittery(JitterShape::Uniform, true));
    assert!((55.0..60.0).contains(&mean), "who keeps the order waits for the one before: {mean}");
}

#[test]
fn a_packet_never_arrives_before_it_was_sent() {
    let config = LinkConfig { delay: MS, jitter: MS * 10, jitter_shape: JitterShape::Normal, ..plain() };
    assert!(transits_ms(&run(&mut Link::new(config, 4), 5_000, 100, MS)).iter().all(|ms| *ms >= 0.0));
}

#[test]
fn jitter_reorders_only_where_order_is_not_kept() {
    let config = LinkConfig { jitter: MS * 10, ..LinkConfig::default() };
    assert!(numbers(&run(&mut Link::new(config, 4), 1_000, 100, MS)).is_sorted());
    let config = LinkConfig { keeps_order: false, ..config };
    assert!(!numbers(&run(&mut Link::new(config, 4), 1_000, 100, MS)).is_sorted());
}

#[test]
fn the_rate_is_met_and_never_exceeded() {
    for (rate_bps, bytes) in [(300_000_u64, 1_200_usize), (1_000_000, 777), (10_000_000, 1_500), (64_000, 40)]
    {
        let queue = QueueLimit::Bytes(20_000);
        let config = LinkConfig { rate_bps: Some(rate_bps), queue, ..LinkConfig::default() };
        let mut link = Link::new(config, 1);
        // Twice as much as passes.
        let gap = transmission(bytes, Some(rate_bps * 2));
        let arrivals = run(&mut link, 3_000, bytes, gap);
        let each = transmission(bytes, Some(rate_bps));
        for pair in arrivals.windows(2) {
            assert!(pair[1].due - pair[0].due >= each, "two packets closer than the rate lets them");
        }
        let bits = u32::try_from((arrivals.len() - 1) * bytes * 8).unwrap();
        let span = arrivals.last().unwrap().due - arrivals[0].due;
        #[expect(clippy::cast_precision_loss)]
        assert_near(f64::from(bits) / span.as_secs_f64() / rate_bps as f64, 1.0, 0.001);
        assert!(link.counters().queue_full > 1_000);
        assert!(link.counters().queue_peak_bytes <= 20_000);
    }
}

#[test]
fn no_window_carries_more_than_the_rate_and_one_packet() {
    let config = LinkConfig { rate_bps: Some(1_000_000), ..plain() };
    let mut link = Link::new(config, 1);
    let mut random = Random::new(8, 8);
    let start = Instant::now();
    let mut arrivals = Vec::new();
    let mut now = start;
    for number in 0..2_000 {
        now += MS.mul_f64(random.exponential() * 4.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let bytes = 40 + (random.fraction() * 1_400.0) as usize;
        link.push(now, Numbered { number, pushed: now, bytes, damage: None });
        arrivals.extend(std::iter::from_fn(|| link.poll(now)));
    }
    arrivals.extend(link.take_all());
    for first in (0..arrivals.len()).step_by(7) {
        let mut bytes = 0;
        for last in first + 1..arrivals.len() {
            bytes += arrivals[last].packet.bytes;
            let window = arrivals[last].due - arrivals[first].due;
            assert!(transmission(bytes, Some(1_000_000)) <= window + Duration::from_micros(1));
        }
    }
}

#[test]
fn a_queue_in_time_bounds_the_wait_and_a_queue_in_bytes_what_waits() {
    let rate_bps = Some(1_000_000);
    let long = QueueLimit::Time(MS * 150);
    let mut link = Link::new(LinkConfig { rate_bps, queue: long, ..plain() }, 1);
    let waits = transits_ms(&run(&mut link, 2_000, 1_250, MS * 5)); // 10 ms each, offered 2 Mbit/s
    let longest = waits.iter().copied().fold(0.0, f64::max);
    assert!((150.0..=160.001).contains(&longest), "150 ms before its transmission, 10 ms for it: {longest}");

    let mut link = Link::new(LinkConfig { rate_bps, queue: QueueLimit::Bytes(5_000), ..plain() }, 1);
    let now = Instant::now();
    let verdicts: Vec<_> = (0..6)
        .map(|number| link.push(now, Numbered { number, pushed: now, bytes: 1_250, damage: None }))
        .collect();
    assert_eq!(verdicts[..4], [Verdict::Taken; 4]);
    assert_eq!(verdicts[4..], [Verdict::QueueFull; 2]);
    assert_eq!((link.queued_bytes(), link.counters().queue_peak_bytes), (5_000, 5_000));

    let mut tiny = Link::new(LinkConfig { rate_bps, queue: QueueLimit::Bytes(0), ..plain() }, 1);
    assert_eq!(run(&mut tiny, 10, 1_250, MS * 10).len(), 10, "an idle transmitter takes any packet");
}

#[test]
fn a_packet_held_back_is_overtaken_by_as_many_as_asked_for() {
    for keeps_order in [true, false] {
        let config = LinkConfig {
            reorder: 0.05,
            reorder_packets: 3,
            reorder_wait: Duration::from_secs(1),
            keeps_order,
            ..LinkConfig::default()
        };
        let mut link = Link::new(config, 1);
        let arrived = numbers(&run(&mut link, 20_000, 100, MS));
        assert_eq!(arrived.len(), 20_000);
        // Late: something newer was there before. Two held back at the same time do not overtake each other.
        let mut newest = 0;
        let mut late = Vec::new();
        for (position, number) in arrived.iter().copied().enumerate() {
            if number < newest {
                late.push(arrived[..position].iter().rev().take(20).filter(|other| **other > number).count());
            }
            newest = newest.max(number);
        }
        assert_eq!(late.len() as u64, link.counters().reordered);
        assert!((900..1_100).contains(&late.len()), "{}", late.len());
        assert!(late.iter().all(|overtakers| *overtakers == 3));
    }
}

#[test]
fn a_packet_held_back_is_overtaken_in_spite_of_jitter() {
    let config = LinkConfig {
        jitter: MS * 200,
        keeps_order: false,
        reorder: 0.1,
        reorder_packets: 1,
        reorder_wait: Duration::from_secs(10),
        ..LinkConfig::default()
    };
    let mut link = Link::new(config, 1);
    // So far apart that jitter alone reorders nothing.
    let arrived = numbers(&run(&mut link, 2_000, 100, Duration::from_secs(1)));
    let late = arrived.windows(2).filter(|pair| pair[1] < pair[0]).count();
    // Some are held back in a row, and come together behind the one that overtakes them.
    let rows = link.counters().reordered;
    assert!((150..250).contains(&rows), "{rows}");
    assert!(late as u64 > rows * 8 / 10, "{late} of {rows} were overtaken");
}

#[test]
fn a_packet_that_nobody_overtakes_is_held_back_no_longer_than_allowed() {
    let config = LinkConfig { reorder: 1.0, reorder_wait: MS * 40, ..LinkConfig::default() };
    let transits = transits_ms(&run(&mut Link::new(config, 1), 100, 100, MS));
    assert_eq!(transits.len(), 100);
    assert!(transits.iter().all(|ms| (ms - 45.0).abs() < 1e-6));
}

#[test]
fn duplicates_and_damage_have_their_shares() {
    let config = LinkConfig { duplication: 0.1, damage: 0.2, ..LinkConfig::default() };
    let mut link = Link::new(config, 1);
    let arrivals = run(&mut link, 20_000, 100, MS);
    let counters = link.counters();
    assert_eq!(arrivals.len() as u64, 20_000 + counters.duplicated);
    assert!((1_800..2_200).contains(&counters.duplicated), "{counters:?}");
    assert!((3_700..4_300).contains(&counters.damaged), "{counters:?}");
    let positions: std::collections::BTreeSet<_> =
        arrivals.iter().filter_map(|arrival| arrival.packet.damage).map(|(position, _)| position).collect();
    assert_eq!(positions.len(), 100, "any byte may be hit");
}

#[test]
fn a_blackout_takes_what_enters_meanwhile_and_leaves_what_is_inside() {
    let start = Instant::now();
    let mut link = Link::new(LinkConfig { delay: MS * 50, ..LinkConfig::default() }, 1);
    link.schedule_blackout(start + MS * 100, MS * 500);
    link.schedule_blackout(start + MS * 550, MS * 100);
    let arrived = numbers(&run_from(&mut link, start, 0..1_000, 100, MS));
    assert_eq!(arrived, (0..100).chain(650..1_000).collect::<Vec<_>>());
    assert_eq!(link.counters().blacked_out, 550);
}

#[test]
fn scheduled_steps_hold_from_their_time_on_whatever_their_order() {
    let start = Instant::now();
    let with_delay = |delay| LinkConfig { delay, ..LinkConfig::default() };
    let mut link = Link::new(with_delay(MS * 10), 1);
    link.schedule(start + MS * 200, with_delay(MS * 30));
    link.schedule(start + MS * 100, with_delay(MS * 20));
    let transits = transits_ms(&run_from(&mut link, start, 0..300, 100, MS));
    for (number, transit) in transits.iter().enumerate() {
        let expected = [10.0, 20.0, 30.0][number / 100];
        assert_near(*transit, expected, 1e-6);
    }
}

#[test]
fn a_step_finds_the_queue_as_it_was_at_its_time() {
    let start = Instant::now();
    let slow = LinkConfig { rate_bps: Some(80_000), queue: QueueLimit::Bytes(100_000), ..plain() };
    let mut link = Link::new(slow, 1);
    for number in 0..4 {
        // 10 ms each
        link.push(start, Numbered { number, pushed: start, bytes: 100, damage: None });
    }
    link.set_config(start + MS * 15, LinkConfig { rate_bps: Some(800_000), ..slow });
    let ends: Vec<_> = link.take_all().iter().map(|arrival| (arrival.due - start).as_millis()).collect();
    assert_eq!(ends, [10, 20, 21, 22], "the second was in transmission and ends as it began");
}
