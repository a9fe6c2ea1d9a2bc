//! Our clock as peers see it: NTP time of a moment (RFC 3550 §4) and the send time of a packet.
//!
//! The one place where the process's clock is compared with the time of day: once.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds from 1900 to 1970.
const NTP_OFFSET_S: u64 = 2_208_988_800;

/// NTP time of a moment, in 32.32 fixed point.
pub(super) fn at(now: Instant) -> u64 {
    since_1900(since_1970(now))
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

/// The `abs-send-time` of a moment: 6.18 fixed point seconds.
#[expect(clippy::cast_possible_truncation, reason = "24 bits are kept")]
pub(super) fn send_time(now: Instant) -> u32 {
    (at(now) >> 14) as u32 & 0x00ff_ffff
}

fn since_1970(now: Instant) -> Duration {
    static START: OnceLock<(Instant, Duration)> = OnceLock::new();
    let (instant, time) = START
        .get_or_init(|| (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()));
    match now.checked_duration_since(*instant) {
        Some(later) => *time + later,
        None => time.saturating_sub(instant.saturating_duration_since(now)),
    }
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
        let (early, late) = (at(now), at(now + Duration::from_millis(250)));
        assert!((late - early).abs_diff(1 << 30) < 1 << 10);
        let step = send_time(now + Duration::from_secs(1)).wrapping_sub(send_time(now)) & 0x00ff_ffff;
        assert!(step.abs_diff(1 << 18) <= 1);
        assert!(at(now) < at(now + Duration::from_nanos(10)));
    }
}
