//! Our clock as peers see it: NTP time of a moment (RFC 3550 §4) and the send time of a packet. Never reads a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds from 1900 to 1970.
const NTP_OFFSET_S: u64 = 2_208_988_800;

/// What time of day it was at some moment. All later ones follow from it, so that a clock set anew does not make media
/// jump.
#[derive(Debug, Clone, Copy)]
pub struct TimeOfDay {
    at: Instant,
    since_1970: Duration,
}

impl TimeOfDay {
    /// It was `time` at that moment.
    #[must_use]
    pub fn new(at: Instant, time: SystemTime) -> Self {
        Self { at, since_1970: time.duration_since(UNIX_EPOCH).unwrap_or_default() }
    }

    /// The time of day at a moment.
    #[must_use]
    pub fn time_at(self, moment: Instant) -> SystemTime {
        let since_1970 = match moment.checked_duration_since(self.at) {
            Some(later) => self.since_1970 + later,
            None => self.since_1970.saturating_sub(self.at.saturating_duration_since(moment)),
        };
        UNIX_EPOCH + since_1970
    }

    /// NTP time of a moment, in 32.32 fixed point.
    pub(super) fn ntp_at(self, now: Instant) -> u64 {
        from_system_time(self.time_at(now))
    }

    /// The `abs-send-time` of a moment: 6.18 fixed point seconds.
    #[expect(clippy::cast_possible_truncation, reason = "24 bits are kept")]
    pub(super) fn send_time(self, now: Instant) -> u32 {
        (self.ntp_at(now) >> 14) as u32 & 0x00ff_ffff
    }
}

/// NTP time of a time of day.
pub(super) fn from_system_time(time: SystemTime) -> u64 {
    since_1900(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// The middle 32 bits, by which reports name a moment.
#[expect(clippy::cast_possible_truncation, reason = "the middle of 64 bits")]
pub(super) const fn middle(ntp_time: u64) -> u32 {
    (ntp_time >> 16) as u32
}

fn since_1900(since_1970: Duration) -> u64 {
    let seconds = since_1970.as_secs().wrapping_add(NTP_OFFSET_S);
    let fraction = (u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000;
    seconds << 32 | fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_point_times_are_those_of_the_standards() {
        let half_past = UNIX_EPOCH + Duration::from_millis(1_500);
        let ntp_time = from_system_time(half_past);
        assert_eq!(ntp_time, (NTP_OFFSET_S + 1) << 32 | 1 << 31);
        assert_eq!(middle(ntp_time), ((NTP_OFFSET_S + 1) & 0xffff) as u32 * 0x1_0000 + 0x8000);
    }

    #[test]
    fn moments_are_as_far_apart_as_their_times() {
        let now = Instant::now();
        let start = now + Duration::from_secs(60);
        let time = TimeOfDay::new(start, UNIX_EPOCH + Duration::from_secs(100));
        assert_eq!(time.ntp_at(start), (NTP_OFFSET_S + 100) << 32);
        assert_eq!(time.ntp_at(now), (NTP_OFFSET_S + 40) << 32, "earlier moments too");
        assert_eq!(time.ntp_at(start + Duration::from_millis(250)) - time.ntp_at(start), 1 << 30);
        assert_eq!(time.send_time(start + Duration::from_secs(1)) - time.send_time(start), 1 << 18);
    }
}
