//! When to ask a stream for a key frame: throttled, coalesced, repeated until it came. One per stream.
//!
//! No key frame is kept for those who come late, with all that has come since. Who comes while one is under way sees that
//! one; who comes when the stream may be asked waits for a round trip and a frame; and whoever comes so soon after another
//! that the wanted stream may not be asked begins with a smaller one that may, which the shard asks instead. So the first
//! picture takes half a second at most, or the round trip where that is longer (`tests/first_picture.rs` measures it), and
//! what a store could win is less than that, for the second of two who come within half a second. It would cost every
//! publication, watched by newcomers or not, a copy of each packet's facts and up to a second of media to hold; and each
//! of those newcomers a burst of as much before the picture moves.

use std::time::{Duration, Instant};

use crate::layers::StreamIndex;

/// A stream that has been silent for this long is not asked again: whoever resumes sending hears of it then.
const SILENCE: Duration = Duration::from_secs(2);

/// Least time between two key-frame requests for one stream, by its quality (`rtc.pli_throttle`, protocol.md §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PliThrottle {
    /// Of the smallest picture, and of a track with one stream.
    pub low: Duration,
    /// Of the second.
    pub mid: Duration,
    /// Of the third and all above.
    pub high: Duration,
}

impl PliThrottle {
    /// The same for all.
    #[must_use]
    pub const fn even(interval: Duration) -> Self {
        Self { low: interval, mid: interval, high: interval }
    }

    pub(super) const fn of(self, stream: StreamIndex) -> Duration {
        match stream.0 {
            0 => self.low,
            1 => self.mid,
            _ => self.high,
        }
    }
}

impl Default for PliThrottle {
    fn default() -> Self {
        Self { low: Duration::from_millis(500), mid: Duration::from_secs(1), high: Duration::from_secs(1) }
    }
}

/// Requests for one stream.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct KeyFrameRequests {
    is_wanted: bool,
    /// It was asked for, and has not come yet.
    is_under_way: bool,
    sent_at: Option<Instant>,
    last_packet: Option<Instant>,
}

impl KeyFrameRequests {
    /// Somebody needs a key frame. True: send a request now.
    pub(super) fn request(&mut self, now: Instant, interval: Duration) -> bool {
        self.is_wanted = true;
        let is_due = self.may_ask(now, interval);
        if is_due {
            self.sent_at = Some(now);
            self.is_under_way = true;
        }
        is_due
    }

    fn may_ask(&self, now: Instant, interval: Duration) -> bool {
        self.sent_at.is_none_or(|sent_at| now >= sent_at + interval)
    }

    /// Whether a request now would not have to wait: one is under way already, or may be sent.
    pub(super) fn is_soon(&self, now: Instant, interval: Duration) -> bool {
        self.is_under_way || self.may_ask(now, interval)
    }

    /// A packet came.
    pub(super) fn observe(&mut self, now: Instant, starts_key_frame: bool) {
        self.last_packet = Some(now);
        self.is_wanted &= !starts_key_frame;
        self.is_under_way &= !starts_key_frame;
    }

    /// Whether a (further) request is due; true means that it is sent now.
    pub(super) fn poll(&mut self, now: Instant, interval: Duration) -> bool {
        self.due(interval).is_some_and(|due| now >= due) && self.request(now, interval)
    }

    /// When the next request is due; `None` when nobody wants one or the stream is silent.
    pub(super) fn due(&self, interval: Duration) -> Option<Instant> {
        let due = self.sent_at.filter(|_| self.is_wanted)? + interval;
        self.last_packet.filter(|last| due <= *last + SILENCE).map(|last| due.max(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(500);
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn coalesces_and_repeats_until_the_frame_comes() {
        let start = Instant::now();
        let mut requests = KeyFrameRequests::default();
        requests.observe(start, false);
        assert!(requests.request(start, INTERVAL));
        assert!(!requests.request(start + MS, INTERVAL), "one is under way");
        assert!(requests.is_soon(start + MS, INTERVAL));
        assert_eq!(requests.due(INTERVAL), Some(start + INTERVAL));
        assert!(!requests.poll(start + 499 * MS, INTERVAL));
        assert!(requests.poll(start + 500 * MS, INTERVAL));
        assert!(!requests.poll(start + 501 * MS, INTERVAL));
        requests.observe(start + 600 * MS, true);
        assert_eq!(requests.due(INTERVAL), None);
        assert!(
            !requests.is_soon(start + 700 * MS, INTERVAL) && requests.is_soon(start + 1_000 * MS, INTERVAL)
        );
        assert!(!requests.request(start + 700 * MS, INTERVAL), "throttled");
        assert!(!requests.is_soon(start + 701 * MS, INTERVAL), "that it is wanted brings it no sooner");
        assert!(requests.poll(start + 1000 * MS, INTERVAL), "but not forgotten");
    }

    #[test]
    fn a_silent_stream_is_asked_when_it_resumes() {
        let start = Instant::now();
        let mut requests = KeyFrameRequests::default();
        assert!(requests.request(start, INTERVAL), "once, in case");
        assert_eq!(requests.due(INTERVAL), None);
        assert!(!requests.poll(start + INTERVAL, INTERVAL));
        requests.observe(start + 10_000 * MS, false);
        assert_eq!(requests.due(INTERVAL), Some(start + 10_000 * MS));
        assert!(requests.poll(start + 10_000 * MS, INTERVAL));
    }

    #[test]
    fn stops_when_the_stream_falls_silent() {
        let start = Instant::now();
        let mut requests = KeyFrameRequests::default();
        requests.observe(start, false);
        requests.request(start, INTERVAL);
        let mut sent = 0;
        let mut now = start;
        while let Some(due) = requests.due(INTERVAL) {
            assert!(due > now, "a timer that stands still would spin");
            now = due;
            assert!(requests.poll(now, INTERVAL));
            sent += 1;
        }
        assert_eq!(sent, 4, "for two seconds");
        assert!(!requests.poll(start + 60_000 * MS, INTERVAL));
    }
}
