//! What waits for one data channel of one subscriber, bounded in bytes.

use std::collections::VecDeque;
use std::sync::Arc;

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

/// Bounded queue of one channel.
#[derive(Debug)]
pub struct DataQueue {
    kind: DataKind,
    limit_bytes: usize,
    bytes: usize,
    messages: VecDeque<Arc<[u8]>>,
}

impl DataQueue {
    /// An empty queue that holds at most `limit_bytes` of payload.
    #[must_use]
    pub const fn new(kind: DataKind, limit_bytes: usize) -> Self {
        Self { kind, limit_bytes, bytes: 0, messages: VecDeque::new() }
    }

    /// Adds a message. Lossy queues make room by dropping the oldest; a message larger than the whole queue is
    /// dropped itself.
    pub fn push(&mut self, message: Arc<[u8]>) -> Pushed {
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
        self.messages.push_back(message);
        if dropped == 0 { Pushed::Queued } else { Pushed::Dropped(dropped) }
    }

    /// Next message, left in place: write it, then [`Self::pop`].
    #[must_use]
    pub fn front(&self) -> Option<&Arc<[u8]>> {
        self.messages.front()
    }

    /// Removes the next message.
    pub fn pop(&mut self) -> Option<Arc<[u8]>> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.len();
        Some(message)
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

    fn message(length: usize, mark: u8) -> Arc<[u8]> {
        vec![mark; length].into()
    }

    fn marks(queue: &mut DataQueue) -> Vec<u8> {
        std::iter::from_fn(|| queue.pop()).map(|message| message[0]).collect()
    }

    #[test]
    fn a_full_lossy_queue_drops_the_oldest() {
        let mut queue = DataQueue::new(DataKind::Lossy, 100);
        assert_eq!(queue.push(message(40, 1)), Pushed::Queued);
        assert_eq!(queue.push(message(60, 2)), Pushed::Queued);
        assert_eq!(queue.push(message(50, 3)), Pushed::Dropped(2));
        assert_eq!(queue.push(message(50, 4)), Pushed::Queued);
        assert_eq!(queue.push(message(101, 5)), Pushed::Dropped(1));
        assert_eq!((queue.bytes(), queue.front().map(|message| message[0])), (100, Some(3)));
        assert_eq!(marks(&mut queue), [3, 4]);
        assert_eq!((queue.bytes(), queue.is_empty()), (0, true));
    }

    #[test]
    fn a_full_reliable_queue_takes_nothing() {
        let mut queue = DataQueue::new(DataKind::Reliable, 100);
        assert_eq!(queue.push(message(60, 1)), Pushed::Queued);
        assert_eq!(queue.push(message(41, 2)), Pushed::Full);
        assert_eq!(queue.push(message(40, 3)), Pushed::Queued);
        assert_eq!(marks(&mut queue), [1, 3]);
        assert_eq!(queue.push(message(101, 4)), Pushed::Full);
    }

    #[test]
    fn empty_messages_wait_too() {
        let mut queue = DataQueue::new(DataKind::Lossy, 0);
        assert_eq!(queue.push(message(0, 0)), Pushed::Queued);
        assert!(!queue.is_empty());
    }
}
