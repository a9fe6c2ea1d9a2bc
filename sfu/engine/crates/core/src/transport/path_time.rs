//! Time as a path lives it: it passes while something gets through, and all but stands while nothing does. Pure
//! arithmetic; reads no clock, knows no channel.
//!
//! What waits for a path that carries too little grows stale, and more of it would come only later. What waits for one
//! that is interrupted is another matter: it is no more than what a moment of the path takes when it is back.

use std::time::{Duration, Instant};

/// So much of a silence counts: acknowledgements are that far apart on paths that work (RFC 9260 §6.2).
const LONGEST_COUNTED: Duration = Duration::from_millis(200);

/// The clock of one path.
#[derive(Debug)]
pub(super) struct PathTime {
    elapsed: Duration,
    delivered_bytes: u64,
    moved_at: Option<Instant>,
}

impl PathTime {
    pub(super) const fn new() -> Self {
        Self { elapsed: Duration::ZERO, delivered_bytes: 0, moved_at: None }
    }

    /// Nothing has waited until now.
    pub(super) const fn begin(&mut self, now: Instant, delivered_bytes: u64) {
        (self.delivered_bytes, self.moved_at) = (delivered_bytes, Some(now));
    }

    /// The path's time now that so much has been delivered in all.
    pub(super) fn read(&mut self, now: Instant, delivered_bytes: u64) -> Duration {
        let moved_at = *self.moved_at.get_or_insert(now);
        let time = self.elapsed + now.saturating_duration_since(moved_at).min(LONGEST_COUNTED);
        if delivered_bytes > self.delivered_bytes {
            (self.elapsed, self.delivered_bytes, self.moved_at) = (time, delivered_bytes, Some(now));
        }
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn it_passes_while_something_is_delivered_and_stands_in_a_silence() {
        let start = Instant::now();
        let mut time = PathTime::new();
        time.begin(start, 1_000);
        for step in 1..=10 {
            assert_eq!(time.read(start + 50 * MS * step, 1_000 + u64::from(step)), 50 * MS * step);
        }
        let at = |ms: u32| start + 500 * MS + ms * MS;
        assert_eq!(time.read(at(150), 1_010), 650 * MS);
        assert_eq!(time.read(at(5_000), 1_010), 700 * MS, "a silence");
        assert_eq!(time.read(at(7_000), 1_011), 700 * MS, "its end");
        assert_eq!(time.read(at(7_100), 1_011), 800 * MS, "it goes on");
    }

    #[test]
    fn what_lies_before_the_first_wait_does_not_count() {
        let start = Instant::now();
        let mut time = PathTime::new();
        assert_eq!(time.read(start, 0), Duration::ZERO);
        assert_eq!(time.read(start + 100 * MS, 10), 100 * MS);
        time.begin(start + 9_000 * MS, 500);
        assert_eq!(time.read(start + 9_010 * MS, 500), 110 * MS);
    }
}
