//! The least that an estimate has been for about a second: what a step up may rely on.

use std::time::{Duration, Instant};

/// Half of the time looked back upon, which is therefore between one and two of these.
const HALF: Duration = Duration::from_millis(700);

/// Minimum over a sliding window, in two halves: no memory beyond that.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Steady {
    began: Option<Instant>,
    last_bps: u64,
    /// Least of the half that runs.
    least_bps: u64,
    /// Least of the half before.
    before_bps: u64,
}

impl Steady {
    /// Notes the estimate in force from now on, and gives the least of the last second or so. The first estimate of
    /// all counts as if it had always been so: what was sent before was not less.
    pub(super) fn observe(&mut self, now: Instant, bps: u64) -> u64 {
        match self.began {
            None => {
                self.began = Some(now);
                (self.least_bps, self.before_bps) = (bps, bps);
            }
            Some(began) if now >= began + 2 * HALF => {
                // Nothing was heard for a whole half: what was in force then was the last one.
                self.began = Some(now);
                (self.before_bps, self.least_bps) = (self.last_bps, self.last_bps.min(bps));
            }
            Some(began) if now >= began + HALF => {
                self.began = Some(began + HALF);
                self.before_bps = self.least_bps;
                self.least_bps = self.last_bps.min(bps);
            }
            Some(_) => self.least_bps = self.least_bps.min(bps),
        }
        self.last_bps = bps;
        self.least_bps.min(self.before_bps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_counts_after_a_second_or_so_and_a_fall_at_once() {
        for step_ms in [20_u64, 100, 333, 690, 1_000, 3_000] {
            let start = Instant::now();
            let mut steady = Steady::default();
            assert_eq!(steady.observe(start, 500), 500, "the first counts at once");
            let at = |ms| start + Duration::from_millis(ms);
            let mut rose_at = None;
            for ms in (step_ms..20_000).step_by(usize::try_from(step_ms).unwrap()) {
                if steady.observe(at(ms), 900) == 900 && rose_at.is_none() {
                    rose_at = Some(ms - step_ms);
                }
            }
            let rose_after = rose_at.unwrap();
            assert!((700..=1_400 + 2 * step_ms).contains(&rose_after), "{step_ms}: {rose_after}");
            assert_eq!(steady.observe(at(20_001), 300), 300);
            assert_eq!(steady.observe(at(20_002), 900), 300);
        }
    }
}
