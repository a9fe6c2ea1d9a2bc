//! How much data one participant may send. Pure arithmetic: who is asked to wait, and how, is the shard's business.
//!
//! Two allowances run side by side, messages and bytes, each full at first and refilled evenly. What has come in
//! completely is always charged and never refused, for the sender has been told that it arrived; an allowance can
//! therefore be overdrawn, and while one is, the shard takes no more data datagrams of this participant. Its own
//! association sends them again and slows down, as on a narrow link: reliable data is late and not lost.
//!
//! A byte costs more where it does more harm. A message to many costs the server as often as it is delivered, so that
//! each [`RECEIVERS_INCLUDED`] receivers are charged once more; and while a receiver that still reads is far behind, a
//! message to it costs [`BEHIND_WEIGHT`] times as much, so that the sender comes down to a tenth of its rate until that
//! receiver has caught up, and no lower: one slow receiver must not stop the room.

use std::time::{Duration, Instant};

use crate::allowance::Allowance;

/// An allowance saves up for that long: at the default rate a file of 10 MB passes at whatever speed the link has.
const BURST: Duration = Duration::from_secs(2);
/// Longest time for which a sender is not heard at a stretch, however much it is overdrawn.
const MAX_HOLD: Duration = Duration::from_secs(1);
/// Receivers whose copies are included in the price of a message.
const RECEIVERS_INCLUDED: u64 = 8;
/// Price of a byte while a receiver is far behind.
const BEHIND_WEIGHT: u64 = 10;

/// What each participant may send on average.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DataLimits {
    /// Messages a second; `None`: no limit.
    pub messages_per_s: Option<u32>,
    /// Bytes a second, of messages to few; `None`: no limit.
    pub bytes_per_s: Option<u32>,
}

/// The allowances of one sender.
#[derive(Debug, Clone, Default)]
pub struct SendBudget {
    messages: Allowance,
    bytes: Allowance,
}

impl SendBudget {
    /// Charges one message that reached `receivers` participants; `is_behind`: one of them has a long backlog.
    pub fn charge(
        &mut self,
        now: Instant,
        limits: DataLimits,
        bytes: usize,
        receivers: usize,
        is_behind: bool,
    ) {
        let fan_out = (receivers as u64).div_ceil(RECEIVERS_INCLUDED);
        let weight = fan_out.max(if is_behind { BEHIND_WEIGHT } else { 1 });
        charge(&mut self.messages, now, limits.messages_per_s, 1);
        charge(&mut self.bytes, now, limits.bytes_per_s, (bytes as u64).saturating_mul(weight));
    }

    /// Whether an allowance is overdrawn.
    #[must_use]
    pub fn is_overdrawn(&self, now: Instant) -> bool {
        self.messages.owed(now) > BURST || self.bytes.owed(now) > BURST
    }
}

/// Charges an allowance of `limit_per_s`; without a limit there is none.
fn charge(allowance: &mut Allowance, now: Instant, limit_per_s: Option<u32>, amount: u64) {
    let Some(limit) = limit_per_s.map(|limit| u64::from(limit.max(1))) else { return };
    let cost = Duration::from_nanos(amount.saturating_mul(1_000_000_000) / limit);
    allowance.charge(now, cost, BURST + MAX_HOLD);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: DataLimits = DataLimits { messages_per_s: Some(10), bytes_per_s: Some(1_000) };

    #[test]
    fn an_allowance_is_used_up_and_comes_back() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut budget = SendBudget::default();
        for _ in 0..20 {
            assert!(!budget.is_overdrawn(start));
            budget.charge(start, LIMITS, 1, 1, false);
        }
        assert!(!budget.is_overdrawn(start), "two seconds' worth is used up, nothing is owed");
        budget.charge(start, LIMITS, 1, 1, false);
        assert!(budget.is_overdrawn(start) && budget.is_overdrawn(after(99)));
        assert!(!budget.is_overdrawn(after(100)));
        budget.charge(after(100), LIMITS, 100_000, 1, false);
        assert!(budget.is_overdrawn(after(1_099)), "a large debt …");
        assert!(!budget.is_overdrawn(after(1_100)), "… is forgiven after a second");
    }

    #[test]
    fn many_receivers_and_slow_ones_cost_more() {
        let now = Instant::now();
        let price = |receivers, is_behind| {
            let mut budget = SendBudget::default();
            budget.charge(now, LIMITS, 100, receivers, is_behind);
            budget.bytes.owed(now)
        };
        let once = Duration::from_millis(100);
        for (receivers, is_behind, times) in
            [(0, false, 1), (8, false, 1), (9, false, 2), (24, false, 3), (8, true, 10), (240, true, 30)]
        {
            assert_eq!(price(receivers, is_behind), (once * times).min(BURST + MAX_HOLD));
        }
    }

    #[test]
    fn without_limits_nothing_is_counted() {
        let mut budget = SendBudget::default();
        let now = Instant::now();
        for _ in 0..10 {
            budget.charge(now, DataLimits::default(), usize::MAX, usize::MAX, true);
        }
        assert!(!budget.is_overdrawn(now));
        budget.charge(now, LIMITS, usize::MAX, usize::MAX, true);
        assert!(budget.is_overdrawn(now));
    }
}
