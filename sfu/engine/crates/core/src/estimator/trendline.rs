//! Whether a queue grows on the path: the trend of one-way delays, group of packets by group of packets
//! (draft-ietf-rmcat-gcc-02 §5.1 to §5.4, with the least-squares line that took the Kalman filter's place in `libwebrtc`).
//!
//! Told of packets in the order of their arrival. Never chooses a rate.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::base::{Base, to_ms};

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
/// A queue grows with every packet. Where this part of all the growth came between two packets, the path has become longer …
const STEP_SHARE: f64 = 0.6;
/// … and also where so much did: a path on which one packet takes as long carries no video.
const STEP_MS: f64 = 60.0;
/// What is left of a step while it lasts, whatever else there is.
const STEP_LASTS: f64 = 0.6;
/// That happens no more often: one packet after the other comes late where a path bears next to nothing.
const STEP_INTERVAL_US: i64 = 2_000_000;
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
    /// By how much its packets came later than the ones before them, at most.
    jump_us: i64,
}

impl Group {
    const fn of(packet: ArrivedPacket) -> Self {
        Self {
            jump_us: 0,
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

    /// By how much a packet came later than the last one of this group.
    fn jump_us(&self, packet: ArrivedPacket) -> i64 {
        let sent_us = micros(packet.sent_at.saturating_duration_since(self.last_sent));
        packet.arrived_us - self.last_arrived_us - sent_us
    }

    fn add(&mut self, packet: ArrivedPacket) {
        self.jump_us = self.jump_us.max(self.jump_us(packet));
        self.last_sent = self.last_sent.max(packet.sent_at);
        self.last_arrived_us = self.last_arrived_us.max(packet.arrived_us);
    }
}

/// A group in the window.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_field_names, reason = "units belong to names")]
struct Point {
    /// When it arrived, since the beginning.
    at_ms: f64,
    delay_ms: f64,
    smoothed_ms: f64,
    jump_ms: f64,
}

/// The delays of one path.
#[derive(Debug)]
pub(super) struct Trendline {
    group: Option<Group>,
    before: Option<Group>,
    began_us: i64,
    line: VecDeque<Point>,
    groups: u32,
    delay_ms: f64,
    smoothed_ms: f64,
    base: Base,
    stepped_at_us: Option<i64>,
    /// See [`Self::take_rebased`].
    is_rebased: bool,
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
            base: Base::default(),
            stepped_at_us: None,
            is_rebased: false,
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
        self.base.is_standing()
    }

    /// Since when a queue stands as high as it does, in the peer's time; `None`: none does.
    pub(super) fn standing_since_us(&self) -> Option<i64> {
        self.base.standing_since_us()
    }

    /// Whether what was taken for a queue since the last call has turned out to be the path's own delay.
    pub(super) fn take_rebased(&mut self) -> bool {
        std::mem::take(&mut self.is_rebased)
    }

    /// Takes in the next packet that has arrived.
    pub(super) fn note(&mut self, packet: ArrivedPacket) {
        let Some(group) = &mut self.group else {
            self.began_us = packet.arrived_us;
            self.base = Base::beginning_at(packet.arrived_us);
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
        let next = Group { jump_us: group.jump_us(packet), ..Group::of(packet) };
        let complete = std::mem::replace(group, next);
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
        if self.base.note(at_us, self.smoothed_ms) {
            self.is_rebased = true;
        }
        if self.line.len() == WINDOW_GROUPS {
            self.line.pop_front();
        }
        self.line.push_back(Point {
            at_ms: to_ms(at_us - self.began_us),
            delay_ms: self.delay_ms,
            smoothed_ms: self.smoothed_ms,
            jump_ms: to_ms(group.jump_us),
        });
        let slope = if self.line.len() < WINDOW_GROUPS { None } else { slope(&self.line) };
        self.judge(slope.unwrap_or(self.slope_before), to_ms(sent_us), at_us);
        if self.path_use == PathUse::Over || self.is_standing() {
            self.look_for_step(at_us);
        }
    }

    /// A queue seems to grow: unless the path has become longer at once, as on its way over other routers.
    fn look_for_step(&mut self, at_us: i64) {
        let is_again = self.stepped_at_us.is_some_and(|stepped| at_us - stepped < STEP_INTERVAL_US);
        let jumps = self.line.iter().enumerate().skip(1);
        let Some((place, highest)) = jumps.max_by(|(_, a), (_, b)| a.jump_ms.total_cmp(&b.jump_ms)) else {
            return;
        };
        let jump_ms = highest.jump_ms;
        let least_ms = |points: std::collections::vec_deque::Iter<'_, Point>| {
            points.map(|point| point.delay_ms).fold(f64::INFINITY, f64::min)
        };
        let before_ms = least_ms(self.line.range(..place));
        let lasts = least_ms(self.line.range(place..)) - before_ms > STEP_LASTS * jump_ms;
        let is_all = jump_ms > STEP_SHARE * (self.delay_ms - before_ms);
        if is_again || !lasts || !is_all && jump_ms < STEP_MS {
            return;
        }
        self.stepped_at_us = Some(at_us);
        self.shorten(place, jump_ms);
        if is_all {
            // What is left varies by itself.
            self.line.clear();
            self.smoothed_ms = self.delay_ms;
        }
        self.base.correct(self.smoothed_ms);
        self.slope_before = slope(&self.line).unwrap_or(0.0);
        if self.trend_ms(self.slope_before) <= self.threshold_ms {
            (self.steep_for_ms, self.steep_groups) = (0.0, 0);
            self.path_use = PathUse::Normal;
        }
    }

    /// Takes a step of the path out of all delays since the one at `place`.
    fn shorten(&mut self, place: usize, by_ms: f64) {
        let mut left = 1.0;
        for point in self.line.range_mut(place..) {
            left *= SMOOTHING;
            point.delay_ms -= by_ms;
            point.smoothed_ms -= by_ms * (1.0 - left);
        }
        self.line[place].jump_ms = 0.0;
        self.delay_ms -= by_ms;
        self.smoothed_ms -= by_ms * (1.0 - left);
    }

    fn trend_ms(&self, slope: f64) -> f64 {
        f64::from(self.groups.min(FULL_GROUPS)) * slope * GAIN
    }

    fn judge(&mut self, slope: f64, sent_ms: f64, at_us: i64) {
        if self.groups < 2 {
            self.path_use = PathUse::Normal;
            return;
        }
        let trend_ms = self.trend_ms(slope);
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
fn slope(points: &VecDeque<Point>) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a few points")]
    let count = points.len() as f64;
    let (sum_x, sum_y) =
        points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.at_ms, y + point.smoothed_ms));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let (over, under) = points.iter().fold((0.0, 0.0), |(over, under), point| {
        let distance = point.at_ms - mean_x;
        (over + distance * (point.smoothed_ms - mean_y), under + distance * distance)
    });
    (under > 0.0).then(|| over / under)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
