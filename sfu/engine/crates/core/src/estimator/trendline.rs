//! Whether a queue grows on the path: the trend of one-way delays, group of packets by group of packets
//! (draft-ietf-rmcat-gcc-02 §5.1 to §5.4, with the least-squares line that took the Kalman filter's place in `libwebrtc`).
//!
//! Told of packets in the order of their arrival. Never chooses a rate.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Packets sent within this time are one group: they leave in bursts, and what is between them says nothing.
const GROUP_LENGTH: Duration = Duration::from_millis(5);
/// Packets that arrive so close together belong to one group although they were sent apart: something held them up.
const BURST_GAP_US: i64 = 5_000;
/// A group held together by that is not longer than this.
const LONGEST_BURST_US: i64 = 100_000;
/// Groups whose delays the line is laid through.
const WINDOW_GROUPS: usize = 20;
/// Weight of the past in the smoothed delay.
const SMOOTHING: f64 = 0.9;
/// By what a slope is multiplied before it is compared.
const GAIN: f64 = 4.0;
/// Groups after which a slope counts in full.
const FULL_GROUPS: u32 = 60;
const FIRST_THRESHOLD_MS: f64 = 12.5;
const THRESHOLD_RANGE_MS: (f64, f64) = (6.0, 600.0);
/// How fast the threshold follows slopes above it and below it, per millisecond.
const RISE: f64 = 0.0087;
const FALL: f64 = 0.039;
/// Slopes that far above the threshold are spikes and do not move it.
const SPIKE_MS: f64 = 15.0;
/// Longest time for which the threshold moves at once.
const LONGEST_STEP_MS: f64 = 100.0;
/// How long a slope must be steep before it means something.
const OVERUSE_TIME_MS: f64 = 10.0;
/// A delay that far above the least one means a queue that stands, though it grows no more: it is full.
const STANDING_MS: f64 = 120.0;
/// The least delay is forgotten at this pace: paths change, and so do clocks.
const FORGOTTEN_MS_PER_S: f64 = 1.0;
/// Longer silence than this begins anew.
const SILENCE: Duration = Duration::from_secs(3);

/// What the delays say of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum PathUse {
    /// The queue drains.
    Under,
    /// It neither grows nor drains.
    #[default]
    Normal,
    /// It grows.
    Over,
}

/// A packet that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ArrivedPacket {
    /// When it left, on our clock.
    pub(super) sent_at: Instant,
    /// When it arrived, on the peer's clock: microseconds.
    pub(super) arrived_us: i64,
    /// Its size.
    pub(super) bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    first_sent: Instant,
    last_sent: Instant,
    first_arrived_us: i64,
    last_arrived_us: i64,
}

impl Group {
    const fn of(packet: ArrivedPacket) -> Self {
        Self {
            first_sent: packet.sent_at,
            last_sent: packet.sent_at,
            first_arrived_us: packet.arrived_us,
            last_arrived_us: packet.arrived_us,
        }
    }

    fn takes(&self, packet: ArrivedPacket) -> bool {
        if packet.sent_at.saturating_duration_since(self.first_sent) <= GROUP_LENGTH {
            return true;
        }
        let gap_us = packet.arrived_us - self.last_arrived_us;
        let sent_gap_us = micros(packet.sent_at.saturating_duration_since(self.last_sent));
        gap_us < sent_gap_us
            && gap_us <= BURST_GAP_US
            && packet.arrived_us - self.first_arrived_us < LONGEST_BURST_US
    }

    fn add(&mut self, packet: ArrivedPacket) {
        self.last_sent = self.last_sent.max(packet.sent_at);
        self.last_arrived_us = self.last_arrived_us.max(packet.arrived_us);
    }
}

/// The delays of one path.
#[derive(Debug)]
pub(super) struct Trendline {
    group: Option<Group>,
    before: Option<Group>,
    began_us: i64,
    /// Arrival since the beginning and smoothed delay, milliseconds.
    line: VecDeque<(f64, f64)>,
    groups: u32,
    delay_ms: f64,
    smoothed_ms: f64,
    /// The least smoothed delay, and when that was.
    lowest_ms: f64,
    lowest_at_us: i64,
    threshold_ms: f64,
    moved_us: Option<i64>,
    steep_for_ms: f64,
    steep_groups: u32,
    slope_before: f64,
    path_use: PathUse,
}

impl Default for Trendline {
    fn default() -> Self {
        Self {
            group: None,
            before: None,
            began_us: 0,
            line: VecDeque::with_capacity(WINDOW_GROUPS + 1),
            groups: 0,
            delay_ms: 0.0,
            smoothed_ms: 0.0,
            lowest_ms: 0.0,
            lowest_at_us: 0,
            threshold_ms: FIRST_THRESHOLD_MS,
            moved_us: None,
            steep_for_ms: 0.0,
            steep_groups: 0,
            slope_before: 0.0,
            path_use: PathUse::Normal,
        }
    }
}

impl Trendline {
    /// What is known now.
    #[must_use]
    pub(super) const fn path_use(&self) -> PathUse {
        self.path_use
    }

    /// Whether a queue stands on the path, whether or not it grows.
    pub(super) fn is_standing(&self) -> bool {
        self.smoothed_ms - self.lowest_ms > STANDING_MS
    }

    /// Takes in the next packet that has arrived.
    pub(super) fn note(&mut self, packet: ArrivedPacket) {
        let Some(group) = &mut self.group else {
            self.began_us = packet.arrived_us;
            self.lowest_at_us = packet.arrived_us;
            self.group = Some(Group::of(packet));
            return;
        };
        if packet.sent_at < group.first_sent {
            return; // overtaken: it says something about the order, nothing about the queue
        }
        if packet.sent_at.saturating_duration_since(group.last_sent) > SILENCE {
            *self = Self { threshold_ms: self.threshold_ms, ..Self::default() };
            return self.note(packet);
        }
        if group.takes(packet) {
            group.add(packet);
            return;
        }
        let complete = std::mem::replace(group, Group::of(packet));
        if let Some(before) = self.before.replace(complete) {
            self.compare(before, complete);
        }
    }

    fn compare(&mut self, before: Group, group: Group) {
        let sent_us = micros(group.last_sent.saturating_duration_since(before.last_sent));
        let arrived_us = group.last_arrived_us - before.last_arrived_us;
        if arrived_us < 0 {
            return;
        }
        self.groups = self.groups.saturating_add(1);
        self.delay_ms += to_ms(arrived_us - sent_us);
        self.smoothed_ms = SMOOTHING * self.smoothed_ms + (1.0 - SMOOTHING) * self.delay_ms;
        let at_us = group.last_arrived_us;
        self.lowest_ms += FORGOTTEN_MS_PER_S * to_ms(at_us - self.lowest_at_us) / 1_000.0;
        self.lowest_ms = self.lowest_ms.min(self.smoothed_ms);
        self.lowest_at_us = at_us;
        if self.line.len() == WINDOW_GROUPS {
            self.line.pop_front();
        }
        self.line.push_back((to_ms(group.last_arrived_us - self.began_us), self.smoothed_ms));
        let slope = if self.line.len() < WINDOW_GROUPS { None } else { slope(&self.line) };
        self.judge(slope.unwrap_or(self.slope_before), to_ms(sent_us), group.last_arrived_us);
    }

    fn judge(&mut self, slope: f64, sent_ms: f64, at_us: i64) {
        if self.groups < 2 {
            self.path_use = PathUse::Normal;
            return;
        }
        let trend_ms = f64::from(self.groups.min(FULL_GROUPS)) * slope * GAIN;
        if trend_ms > self.threshold_ms {
            self.steep_for_ms += if self.steep_groups == 0 { sent_ms / 2.0 } else { sent_ms };
            self.steep_groups += 1;
            if self.steep_for_ms > OVERUSE_TIME_MS && self.steep_groups > 1 && slope >= self.slope_before {
                (self.steep_for_ms, self.steep_groups) = (0.0, 0);
                self.path_use = PathUse::Over;
            }
        } else {
            (self.steep_for_ms, self.steep_groups) = (0.0, 0);
            self.path_use = if trend_ms < -self.threshold_ms { PathUse::Under } else { PathUse::Normal };
        }
        self.slope_before = slope;
        self.move_threshold(trend_ms.abs(), at_us);
    }

    fn move_threshold(&mut self, trend_ms: f64, at_us: i64) {
        let elapsed_ms = self.moved_us.map_or(0.0, |moved| to_ms(at_us - moved)).min(LONGEST_STEP_MS);
        self.moved_us = Some(at_us);
        if trend_ms > self.threshold_ms + SPIKE_MS {
            return;
        }
        let pace = if trend_ms < self.threshold_ms { FALL } else { RISE };
        self.threshold_ms += pace * (trend_ms - self.threshold_ms) * elapsed_ms;
        self.threshold_ms = self.threshold_ms.clamp(THRESHOLD_RANGE_MS.0, THRESHOLD_RANGE_MS.1);
    }
}

/// Slope of the line of least squares. `None`: all points are at one time.
fn slope(points: &VecDeque<(f64, f64)>) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a few points")]
    let count = points.len() as f64;
    let (sum_x, sum_y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let (over, under) = points.iter().fold((0.0, 0.0), |(over, under), (x, y)| {
        let distance = x - mean_x;
        (over + distance * (y - mean_y), under + distance * distance)
    });
    (under > 0.0).then(|| over / under)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "differences of a few seconds")]
fn to_ms(us: i64) -> f64 {
    us as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
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
            let full =
                ArrivedPacket { sent_at: start + at, arrived_us: micros(at) + 1_398_000, bytes: 1_000 };
            line.note(full);
        }
        assert!(line.is_standing() && line.path_use() == PathUse::Normal);
        run(&mut line, start, 300..400, 0);
        assert!(!line.is_standing());
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
}
