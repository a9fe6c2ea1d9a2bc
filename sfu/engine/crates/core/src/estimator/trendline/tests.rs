//! Queues are told from paths that vary, become longer or stand still.

use super::*;

/// A packet every 10 ms, each `growth_us` later than the one before.
fn run(line: &mut Trendline, start: Instant, range: std::ops::Range<u32>, growth_us: i64) -> bool {
    let mut was_over = false;
    for number in range {
        let at = Duration::from_millis(10) * number;
        let arrived_us = micros(at) + 1_000_000 + growth_us * i64::from(number);
        line.note(ArrivedPacket { sent_at: start + at, arrived_us, bytes: 1_000 });
        was_over |= line.path_use() == PathUse::Over;
    }
    was_over
}

#[test]
fn steady_delays_mean_nothing() {
    let mut line = Trendline::default();
    assert!(!run(&mut line, Instant::now(), 0..1_000, 0));
    assert_eq!(line.path_use(), PathUse::Normal);
}

#[test]
fn growing_delays_are_noticed_within_half_a_second_and_falling_ones_too() {
    let start = Instant::now();
    let mut line = Trendline::default();
    run(&mut line, start, 0..100, 0);
    assert!(run(&mut line, start, 100..150, 2_000));
    let mut line = Trendline::default();
    run(&mut line, start, 0..100, 0);
    run(&mut line, start, 100..150, -2_000);
    assert_eq!(line.path_use(), PathUse::Under);
}

#[test]
fn a_burst_held_up_on_the_way_is_one_group() {
    let start = Instant::now();
    let mut line = Trendline::default();
    run(&mut line, start, 0..100, 0);
    // Wi-Fi: ten packets wait 100 ms and come at once.
    for number in 100..110_u32 {
        let sent_at = start + Duration::from_millis(10) * number;
        line.note(ArrivedPacket { sent_at, arrived_us: 2_100_000 + i64::from(number), bytes: 1_000 });
        assert_ne!(line.path_use(), PathUse::Over);
    }
}

#[test]
fn a_queue_that_is_full_stands_until_it_drains() {
    let start = Instant::now();
    let mut line = Trendline::default();
    run(&mut line, start, 0..100, 0);
    run(&mut line, start, 100..200, 2_000);
    assert!(line.is_standing());
    for number in 200..300_u32 {
        let at = Duration::from_millis(10) * number;
        let full = ArrivedPacket { sent_at: start + at, arrived_us: micros(at) + 1_398_000, bytes: 1_000 };
        line.note(full);
    }
    assert!(line.is_standing() && line.path_use() == PathUse::Normal);
    run(&mut line, start, 300..400, 0);
    assert!(!line.is_standing());
}

#[test]
fn a_path_that_becomes_longer_at_once_is_no_queue() {
    for step_us in [30_000, 50_000, 120_000, 200_000, 400_000] {
        // In the middle of a group and between two.
        for middle in [0, 2] {
            let start = Instant::now();
            let mut line = Trendline::default();
            for number in 0..400_u32 {
                let at = Duration::from_millis(10) * (number / 4) + Duration::from_millis(1) * (number % 4);
                let step_us = if number >= 200 + middle { step_us } else { 0 };
                let arrived_us = micros(at) + step_us;
                line.note(ArrivedPacket { sent_at: start + at, arrived_us, bytes: 1_000 });
                assert_ne!(line.path_use(), PathUse::Over, "{step_us} {number}");
                assert!(!line.is_standing(), "{step_us} {number}");
            }
        }
    }
}

#[test]
fn a_queue_on_a_path_that_became_longer_is_one() {
    let start = Instant::now();
    let mut line = Trendline::default();
    run(&mut line, start, 0..100, 0);
    let mut was_over_at = None;
    for number in 100..200_u32 {
        let at = Duration::from_millis(10) * number;
        let arrived_us = micros(at) + 1_200_000 + 4_000 * (i64::from(number) - 100);
        line.note(ArrivedPacket { sent_at: start + at, arrived_us, bytes: 1_000 });
        if line.path_use() == PathUse::Over {
            was_over_at.get_or_insert(number);
        }
    }
    assert!(was_over_at.is_some_and(|number| number < 150), "{was_over_at:?}");
}

#[test]
fn packets_out_of_order_and_a_long_silence_do_no_harm() {
    let start = Instant::now();
    let mut line = Trendline::default();
    run(&mut line, start, 0..100, 0);
    run(&mut line, start, 10..20, 0);
    let later = start + Duration::from_secs(60);
    line.note(ArrivedPacket { sent_at: later, arrived_us: i64::from(u32::MAX), bytes: 1 });
    line.note(ArrivedPacket { sent_at: later + GROUP_LENGTH * 2, arrived_us: -5, bytes: 1 });
    assert_eq!(line.path_use(), PathUse::Normal);
}
