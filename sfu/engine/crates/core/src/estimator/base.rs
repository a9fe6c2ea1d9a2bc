//! The delay that a path has by itself, and what stands above it: a queue that is full, or another path.
//!
//! Told smoothed delays in the order of their arrival. Never looks at packets, never chooses a rate.

/// A delay that far above the path's own means a queue that stands, though it grows no more: it is full.
const STANDING_MS: f64 = 120.0;
/// The least delay is forgotten at this pace: paths change, and so do clocks.
const FORGOTTEN_MS_PER_S: f64 = 1.0;
/// A queue that stands is answered by sending less, and drains. What does not change in this time is none …
const TRIAL_US: i64 = 1_500_000;
/// … where this part of it is a change.
const CHANGE: f64 = 0.15;

/// The base of one path's delays.
#[derive(Debug, Default)]
pub(super) struct Base {
    lowest_ms: f64,
    delay_ms: f64,
    noted_at_us: i64,
    /// Since when something stands as high as it does, and how high.
    trial: Option<(i64, f64)>,
}

impl Base {
    /// From the beginning of a path on.
    pub(super) fn beginning_at(at_us: i64) -> Self {
        Self { noted_at_us: at_us, ..Self::default() }
    }

    /// Whether a queue stands on the path, whether or not it grows.
    pub(super) fn is_standing(&self) -> bool {
        self.height_ms() > STANDING_MS
    }

    /// Another delay. True: what stood there is no queue, for it does not answer to what is sent.
    pub(super) fn note(&mut self, at_us: i64, delay_ms: f64) -> bool {
        self.lowest_ms += FORGOTTEN_MS_PER_S * to_ms(at_us - self.noted_at_us) / 1_000.0;
        self.lowest_ms = self.lowest_ms.min(delay_ms);
        (self.delay_ms, self.noted_at_us) = (delay_ms, at_us);
        if !self.is_standing() {
            self.trial = None;
            return false;
        }
        let height_ms = self.height_ms();
        let (since_us, level_ms) = *self.trial.get_or_insert((at_us, height_ms));
        if (height_ms - level_ms).abs() > CHANGE * level_ms {
            self.trial = Some((at_us, height_ms));
        } else if at_us - since_us > TRIAL_US {
            (self.trial, self.lowest_ms) = (None, delay_ms);
            return true;
        }
        false
    }

    /// Since when what stands there stands as it does now; `None`: nothing does.
    pub(super) fn standing_since_us(&self) -> Option<i64> {
        self.trial.map(|(since_us, _)| since_us)
    }

    /// The last delays were less than was said.
    pub(super) fn correct(&mut self, delay_ms: f64) {
        (self.delay_ms, self.trial) = (delay_ms, None);
    }

    fn height_ms(&self) -> f64 {
        self.delay_ms - self.lowest_ms
    }
}

#[expect(clippy::cast_precision_loss, reason = "differences of a few seconds")]
pub(super) fn to_ms(us: i64) -> f64 {
    us as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes a delay every 10 ms for a while; when it was found to be the path's own, in milliseconds.
    fn run(base: &mut Base, from_ms: i64, until_ms: i64, delay_at: impl Fn(i64) -> f64) -> Option<i64> {
        let mut times = (from_ms..until_ms).step_by(10);
        times.find(|at| base.note(at * 1_000, delay_at(*at)))
    }

    #[test]
    #[expect(clippy::cast_precision_loss)]
    fn what_drains_when_less_is_sent_is_a_queue() {
        let mut base = Base::default();
        assert_eq!(run(&mut base, 0, 1_000, |_| 0.0), None);
        assert_eq!(run(&mut base, 1_000, 2_000, |at| (at - 1_000) as f64 * 0.3), None);
        assert!(base.is_standing());
        assert_eq!(run(&mut base, 2_000, 4_000, |at| 300.0 - (at - 2_000) as f64 * 0.08), None, "it drains");
        assert!(base.is_standing());
        assert_eq!(run(&mut base, 4_000, 6_000, |_| 100.0), None);
        assert!(!base.is_standing());
    }

    #[test]
    fn what_stays_whatever_is_sent_is_the_paths_own_delay() {
        let mut base = Base::default();
        run(&mut base, 0, 1_000, |_| 20.0);
        let found = run(&mut base, 1_000, 4_000, |_| 220.0);
        assert!(found.is_some_and(|at| (2_500..2_600).contains(&at)), "{found:?}");
        assert!(!base.is_standing());
        assert_eq!(run(&mut base, 4_000, 5_000, |_| 360.0), None);
        assert!(base.is_standing(), "another rise above that");
    }
}
