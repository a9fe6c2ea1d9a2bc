//! How long a step up must wait after one down, so that layers do not swing on a link that stays as it is.

use std::time::{Duration, Instant};

/// After a lowering that nobody's raise had brought about: the path got worse.
const WAIT: Duration = Duration::from_secs(4);
/// After the first, second … raise in a row that did not hold.
const WAITS_AFTER_FAILURE: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(20)];
/// A raise that is followed by a lowering within this time did not hold.
const PROBATION: Duration = Duration::from_secs(10);
/// After this time without a failed raise all of them are forgotten.
const FORGETTING: Duration = Duration::from_secs(60);

/// When the layers of one subscriber may rise again.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Patience {
    raised_at: Option<Instant>,
    failed_at: Option<Instant>,
    failures: usize,
    may_raise_at: Option<Instant>,
}

impl Patience {
    /// Whether anything may be raised now.
    pub(super) fn allows_raise(&self, now: Instant) -> bool {
        self.may_raise_at.is_none_or(|at| now >= at)
    }

    /// Something was raised.
    pub(super) fn note_raise(&mut self, now: Instant) {
        self.raised_at = Some(now);
    }

    /// Something had to be lowered for want of rate.
    pub(super) fn note_lowering(&mut self, now: Instant) {
        if self.failed_at.is_some_and(|at| now >= at + FORGETTING) {
            self.failures = 0;
        }
        // A raise fails once, in however many steps it is taken back.
        if self.raised_at.take().is_some_and(|at| now < at + PROBATION) {
            self.failures += 1;
            self.failed_at = Some(now);
        }
        let wait = match self.failures {
            0 => WAIT,
            failures => WAITS_AFTER_FAILURE[failures.min(WAITS_AFTER_FAILURE.len()) - 1],
        };
        self.may_raise_at = Some(now + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Raises as soon as it may and is always thrown back a second later; when the raises came, in seconds.
    fn raises_of(patience: &mut Patience, start: Instant, from_s: u64, to_s: u64) -> Vec<u64> {
        let mut raises = Vec::new();
        for second in from_s..to_s {
            let now = start + Duration::from_secs(second);
            if raises.last().is_some_and(|last| last + 1 == second) {
                patience.note_lowering(now);
            } else if patience.allows_raise(now) {
                patience.note_raise(now);
                raises.push(second);
            }
        }
        raises
    }

    #[test]
    fn whoever_is_thrown_back_waits_longer_and_longer() {
        let (start, mut patience) = (Instant::now(), Patience::default());
        patience.note_lowering(start);
        assert_eq!(raises_of(&mut patience, start, 0, 80), [4, 15, 36, 57, 78]);
    }

    #[test]
    fn a_raise_that_holds_is_no_failure_and_old_failures_are_forgotten() {
        let (start, mut patience) = (Instant::now(), Patience::default());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(patience.allows_raise(start));
        patience.note_raise(at(0));
        patience.note_lowering(at(1)); // failed
        assert!(!patience.allows_raise(at(10)) && patience.allows_raise(at(11)));
        patience.note_raise(at(11));
        patience.note_lowering(at(40)); // it had held: the path got worse
        assert!(!patience.allows_raise(at(49)) && patience.allows_raise(at(50)), "the failure still counts");
        patience.note_lowering(at(70));
        assert!(patience.allows_raise(at(74)), "a minute after it, it does not");
    }
}
