//! What waits for one data channel of one subscriber, bounded in bytes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::command::DataKind;

/// What became of a message given to a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It waits.
    Queued,
    /// Lossy and full: this message or older ones were dropped, that many in all.
    Dropped(usize),
    /// Reliable and full: nothing was taken; the receiver is too slow.
    Full,
}

#[derive(Debug)]
struct Waiting {
    message: Arc<[u8]>,
    since: Duration,
}

/// Bounded queue of one channel. Goes by whatever clock its owner goes by.
#[derive(Debug)]
pub struct DataQueue {
    kind: DataKind,
    limit_bytes: usize,
    bytes: usize,
    messages: VecDeque<Waiting>,
}

impl DataQueue {
    /// An empty queue that holds at most `limit_bytes` of payload.
    #[must_use]
    pub const fn new(kind: DataKind, limit_bytes: usize) -> Self {
        Self { kind, limit_bytes, bytes: 0, messages: VecDeque::new() }
    }

    /// Adds a message. Lossy queues make room by dropping the oldest; a message larger than the whole queue is
    /// dropped itself. `since`: now, by the owner's clock.
    pub fn push(&mut self, since: Duration, message: Arc<[u8]>) -> Pushed {
        let fits = |queue: &Self| queue.bytes + message.len() <= queue.limit_bytes;
        if self.kind == DataKind::Reliable && !fits(self) {
            return Pushed::Full;
        }
        if message.len() > self.limit_bytes {
            return Pushed::Dropped(1);
        }
        let mut dropped = 0;
        while !fits(self) && self.pop().is_some() {
            dropped += 1;
        }
        self.bytes += message.len();
        self.messages.push_back(Waiting { message, since });
        if dropped == 0 { Pushed::Queued } else { Pushed::Dropped(dropped) }
    }

    /// Next message, left in place: write it, then [`Self::pop`].
    #[must_use]
    pub fn front(&self) -> Option<&Arc<[u8]>> {
        self.messages.front().map(|waiting| &waiting.message)
    }

    /// Removes the next message.
    pub fn pop(&mut self) -> Option<Arc<[u8]>> {
        let Waiting { message, .. } = self.messages.pop_front()?;
        self.bytes -= message.len();
        Some(message)
    }

    /// Removes what has waited since before that time; how many messages.
    pub fn drop_older(&mut self, than: Duration) -> usize {
        let mut dropped = 0;
        while self.messages.front().is_some_and(|waiting| waiting.since < than) && self.pop().is_some() {
            dropped += 1;
        }
        dropped
    }

    /// Bytes waiting.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn message(length: usize, mark: u8) -> Arc<[u8]> {
        vec![mark; length].into()
    }

    fn marks(queue: &mut DataQueue) -> Vec<u8> {
        std::iter::from_fn(|| queue.pop()).map(|message| message[0]).collect()
    }

    #[test]
    fn a_full_lossy_queue_drops_the_oldest() {
        let mut queue = DataQueue::new(DataKind::Lossy, 100);
        assert_eq!(queue.push(NOW, message(40, 1)), Pushed::Queued);
        assert_eq!(queue.push(NOW, message(60, 2)), Pushed::Queued);
        assert_eq!(queue.push(NOW, message(50, 3)), Pushed::Dropped(2));
        assert_eq!(queue.push(NOW, message(50, 4)), Pushed::Queued);
        assert_eq!(queue.push(NOW, message(101, 5)), Pushed::Dropped(1));
        assert_eq!((queue.bytes(), queue.front().map(|message| message[0])), (100, Some(3)));
        assert_eq!(marks(&mut queue), [3, 4]);
        assert_eq!((queue.bytes(), queue.is_empty()), (0, true));
    }

    #[test]
    fn a_full_reliable_queue_takes_nothing() {
        let mut queue = DataQueue::new(DataKind::Reliable, 100);
        assert_eq!(queue.push(NOW, message(60, 1)), Pushed::Queued);
        assert_eq!(queue.push(NOW, message(41, 2)), Pushed::Full);
        assert_eq!(queue.push(NOW, message(40, 3)), Pushed::Queued);
        assert_eq!(marks(&mut queue), [1, 3]);
        assert_eq!(queue.push(NOW, message(101, 4)), Pushed::Full);
    }

    #[test]
    fn what_has_waited_too_long_is_dropped() {
        let mut queue = DataQueue::new(DataKind::Lossy, 100);
        for second in 1..=4 {
            queue.push(Duration::from_secs(second), message(10, u8::try_from(second).unwrap()));
        }
        assert_eq!(queue.drop_older(Duration::from_secs(1)), 0);
        assert_eq!((queue.drop_older(Duration::from_secs(3)), queue.bytes()), (2, 20));
        assert_eq!(marks(&mut queue), [3, 4]);
        assert_eq!(queue.drop_older(Duration::from_secs(9)), 0);
    }

    #[test]
    fn empty_messages_wait_too() {
        let mut queue = DataQueue::new(DataKind::Lossy, 0);
        assert_eq!(queue.push(NOW, message(0, 0)), Pushed::Queued);
        assert!(!queue.is_empty());
    }
}
