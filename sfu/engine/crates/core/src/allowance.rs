//! What somebody may use of something that comes back evenly. Counts in time: a use costs as long as it takes to come
//! back. Pure arithmetic: what a use costs, how much may be owed, and what happens then is its owner's.

use std::time::{Duration, Instant};

/// An allowance; full at first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Allowance {
    full_at: Option<Instant>,
}

impl Allowance {
    /// How long it takes from now until all of it is there again.
    pub(crate) fn owed(&self, now: Instant) -> Duration {
        self.full_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// Uses what comes back in `cost`; more than `most` is never owed.
    pub(crate) fn charge(&mut self, now: Instant, cost: Duration, most: Duration) {
        self.full_at = Some(now + self.owed(now).saturating_add(cost).min(most));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_was_used_comes_back_and_no_more_is_owed_than_may_be() {
        let (start, mut allowance) = (Instant::now(), Allowance::default());
        assert_eq!(allowance.owed(start), Duration::ZERO);
        allowance.charge(start, 30 * MS, 100 * MS);
        allowance.charge(start + 10 * MS, 30 * MS, 100 * MS);
        assert_eq!(allowance.owed(start + 10 * MS), 50 * MS);
        assert_eq!(allowance.owed(start + 500 * MS), Duration::ZERO, "nothing is saved beyond all of it");
        allowance.charge(start + 500 * MS, Duration::MAX, 100 * MS);
        assert_eq!(allowance.owed(start + 520 * MS), 80 * MS);
    }
}
