//! What waits to leave. Its memory serves again; nothing is allocated per packet once it has grown. What an exceptional
//! backlog took is given back when that has left.

use std::collections::VecDeque;
use std::time::Instant;

use super::Backlog;

/// Places that are kept: a large key frame.
const KEPT_PLACES: usize = 256;

/// What leaves first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// What a peer has lost and waits for.
    Lost,
    /// What is new.
    Fresh,
}

#[derive(Debug)]
struct Entry<T> {
    since: Instant,
    bytes: usize,
    item: T,
}

/// A queue in two orders: everything lost leaves before anything fresh, each in the order in which it came.
#[derive(Debug)]
pub struct Waiting<T> {
    lost: VecDeque<Entry<T>>,
    fresh: VecDeque<Entry<T>>,
    bytes: usize,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self { lost: VecDeque::new(), fresh: VecDeque::new(), bytes: 0 }
    }
}

impl<T> Waiting<T> {
    /// Lets something wait.
    pub fn push(&mut self, now: Instant, urgency: Urgency, bytes: usize, item: T) {
        self.bytes += bytes;
        self.line(urgency).push_back(Entry { since: now, bytes, item });
    }

    /// Takes what is to leave next.
    pub fn pop(&mut self) -> Option<T> {
        let entry = self.lost.pop_front().or_else(|| self.fresh.pop_front())?;
        self.bytes -= entry.bytes;
        if self.fresh.is_empty() && self.fresh.capacity() > KEPT_PLACES {
            self.fresh.shrink_to(KEPT_PLACES);
        }
        Some(entry.item)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lost.is_empty() && self.fresh.is_empty()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lost.len() + self.fresh.len()
    }

    /// How many of one kind wait.
    #[must_use]
    pub fn count(&self, urgency: Urgency) -> usize {
        match urgency {
            Urgency::Lost => self.lost.len(),
            Urgency::Fresh => self.fresh.len(),
        }
    }

    /// Whether something that is new and for which `is_it` holds waits.
    pub fn has_fresh(&self, is_it: impl Fn(&T) -> bool) -> bool {
        self.fresh.iter().any(|entry| is_it(&entry.item))
    }

    /// How much waits, and since when; `None`: nothing.
    #[must_use]
    pub fn backlog(&self) -> Option<Backlog> {
        let since =
            [self.lost.front(), self.fresh.front()].into_iter().flatten().map(|entry| entry.since).min()?;
        Some(Backlog { since, bytes: self.bytes })
    }

    fn line(&mut self, urgency: Urgency) -> &mut VecDeque<Entry<T>> {
        match urgency {
            Urgency::Lost => &mut self.lost,
            Urgency::Fresh => &mut self.fresh,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_lost_leaves_first_and_all_in_order() {
        let start = Instant::now();
        let mut waiting = Waiting::default();
        assert_eq!(waiting.backlog(), None);
        for (nth, urgency) in (0..).zip([Urgency::Fresh, Urgency::Lost, Urgency::Fresh, Urgency::Lost]) {
            waiting.push(start + Duration::from_millis(1) * nth, urgency, 100, nth);
        }
        assert_eq!(waiting.backlog(), Some(Backlog { since: start, bytes: 400 }));
        assert_eq!((waiting.len(), waiting.count(Urgency::Lost)), (4, 2));
        assert!(waiting.has_fresh(|nth| *nth == 2) && !waiting.has_fresh(|nth| *nth == 1));
        assert_eq!(std::iter::from_fn(|| waiting.pop()).collect::<Vec<_>>(), [1, 3, 0, 2]);
        assert!(waiting.is_empty() && waiting.backlog().is_none());
    }

    #[test]
    fn what_a_long_backlog_took_is_given_back() {
        let now = Instant::now();
        let mut waiting = Waiting::default();
        for round in 0..2 {
            (0..5_000).for_each(|nth| waiting.push(now, Urgency::Fresh, 1, nth));
            assert_eq!(std::iter::from_fn(|| waiting.pop()).count(), 5_000, "{round}");
            assert!(waiting.fresh.capacity() <= KEPT_PLACES, "{}", waiting.fresh.capacity());
        }
    }
}
