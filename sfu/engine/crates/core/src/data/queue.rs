//! What waits for one data channel of one subscriber, bounded in bytes.

use std::sync::Arc;

use crate::command::DataKind;

/// What became of a message given to a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It waits.
    Queued,
    /// Lossy and full: this message or older ones were dropped, that many in all.
    Dropped(usize),
    /// Reliable and full: nothing was taken; the receiver is too slow and must be closed.
    Full,
}

/// Bounded queue of one channel.
#[derive(Debug)]
pub struct DataQueue {
    _kind: DataKind,
    _limit_bytes: usize,
}

impl DataQueue {
    /// An empty queue that holds at most `limit_bytes` of payload.
    #[must_use]
    pub fn new(kind: DataKind, limit_bytes: usize) -> Self {
        Self { _kind: kind, _limit_bytes: limit_bytes }
    }

    /// Adds a message. Lossy queues make room by dropping the oldest.
    pub fn push(&mut self, _message: Arc<[u8]>) -> Pushed {
        Pushed::Queued
    }

    /// Next message, left in place: write it, then [`Self::pop`].
    #[must_use]
    pub fn front(&self) -> Option<&Arc<[u8]>> {
        None
    }

    /// Removes the next message.
    pub fn pop(&mut self) -> Option<Arc<[u8]>> {
        None
    }

    /// Bytes waiting.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        0
    }

    /// Whether nothing waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        true
    }
}
