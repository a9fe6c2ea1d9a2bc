//! Deadlines of many owners in one heap. Knows no clock and no owner: whoever schedules asks the owner again when the
//! time has come.
//!
//! An owner's deadline moves with nearly every packet, mostly to a later time. Each owner therefore has at most one
//! live entry, its earliest; when that comes up too early, the owner is entered again. No entry is ever searched for.
//! Entries that an earlier one has superseded stay until they are due or until there are too many ([`Timers::compact`]).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Up to that many entries nothing is gained by throwing some out.
const FEW_ENTRIES: usize = 256;
/// Superseded entries for each live one that are put up with.
const MAX_ENTRIES_PER_OWNER: usize = 4;

/// Where an owner's live entry stands; lives in the owner.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scheduled(Option<Instant>);

/// A heap of deadlines of owners named by `K`.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    heap: BinaryHeap<Reverse<(Instant, K)>>,
}

impl<K: Ord + Copy> Timers<K> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new() }
    }

    /// Makes sure that `key` comes up at `at` or before.
    pub(crate) fn schedule(&mut self, key: K, at: Instant, scheduled: &mut Scheduled) {
        if scheduled.0.is_none_or(|earlier| at < earlier) {
            self.heap.push(Reverse((at, key)));
            scheduled.0 = Some(at);
        }
    }

    /// Next owner whose entry is due. Confirm it with [`Self::confirm`], then compare with its real deadline.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Instant, K)> {
        let Reverse((at, _)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// Whether an entry that came up is the owner's live one; it is used up then.
    pub(crate) fn confirm(at: Instant, scheduled: &mut Scheduled) -> bool {
        let live = scheduled.0 == Some(at);
        if live {
            scheduled.0 = None;
        }
        live
    }

    /// Throws superseded entries out when there are far more than `owners`; `slot_of` gives an owner's slot.
    pub(crate) fn compact(&mut self, owners: usize, slot_of: impl Fn(K) -> Option<Scheduled>) {
        if self.heap.len() > FEW_ENTRIES.max(owners * MAX_ENTRIES_PER_OWNER) {
            self.heap.retain(|Reverse((at, key))| slot_of(*key).is_some_and(|slot| slot.0 == Some(*at)));
        }
    }

    /// Earliest entry, live or not.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn superseded_entries_do_not_pile_up() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::new();
        let mut slots = [Scheduled::default(); 2];
        timers.schedule(1, at(50_000), &mut slots[1]);
        for round in 0..10_000 {
            // Each time far ahead, then near: the far entry is superseded.
            timers.schedule(0_usize, at(round + 60_000), &mut slots[0]);
            timers.schedule(0, at(round), &mut slots[0]);
            let (due, key) = timers.pop_due(at(round)).unwrap();
            assert!(Timers::<usize>::confirm(due, &mut slots[key]));
            timers.compact(slots.len(), |key| slots.get(key).copied());
            assert!(timers.heap.len() <= FEW_ENTRIES);
        }
        timers.schedule(0, at(20_000), &mut slots[0]);
        for expected in [0, 1] {
            let due = std::iter::from_fn(|| timers.pop_due(at(55_000)));
            let live = due.into_iter().find(|(at, key)| slots[*key].0 == Some(*at));
            assert_eq!(live.map(|(_, key)| key), Some(expected), "what is live is kept");
        }
    }

    #[test]
    fn a_later_deadline_adds_no_entry_and_an_earlier_one_comes_first() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::new();
        let mut slot = Scheduled::default();
        timers.schedule(7_u32, at(20), &mut slot);
        timers.schedule(7, at(30), &mut slot);
        assert_eq!(timers.heap.len(), 1);
        timers.schedule(7, at(10), &mut slot);
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.pop_due(at(5)), None);
        let (first, key) = timers.pop_due(at(25)).unwrap();
        assert_eq!((first, key), (at(10), 7));
        assert!(Timers::<u32>::confirm(first, &mut slot));
        let (second, _) = timers.pop_due(at(25)).unwrap();
        assert!(!Timers::<u32>::confirm(second, &mut slot), "the superseded entry is not live");
    }
}
