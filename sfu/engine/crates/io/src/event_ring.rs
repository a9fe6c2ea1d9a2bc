//! The queue of events from all shards to the control plane, announced by an `eventfd`. Policy when full: see the
//! crate's manual.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use plenum_core::Event;

use crate::sys::WakeFd;

#[derive(Debug)]
pub(crate) struct EventRing {
    waiting: Mutex<Waiting>,
    readable: WakeFd,
    high_water: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Event>,
    lost: u64,
}

impl EventRing {
    pub(crate) fn new(high_water: usize) -> io::Result<Self> {
        Ok(Self { waiting: Mutex::default(), readable: WakeFd::new()?, high_water })
    }

    /// Adds events in order; empties `events`. Those that may be lost are lost above the high-water mark.
    pub(crate) fn push(&self, events: &mut Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let mut waiting = self.lock();
        let was_empty = waiting.events.is_empty();
        for event in events.drain(..) {
            if waiting.events.len() >= self.high_water && may_be_lost(&event) {
                waiting.lost += 1;
            } else {
                waiting.events.push_back(event);
            }
        }
        if was_empty && !waiting.events.is_empty() {
            self.readable.signal();
        }
    }

    /// Takes at most `limit` events; the descriptor stays readable while some are left.
    pub(crate) fn drain(&self, limit: usize) -> Vec<Event> {
        let mut waiting = self.lock();
        let count = waiting.events.len().min(limit);
        let events = waiting.events.drain(..count).collect();
        if waiting.events.is_empty() {
            self.readable.clear();
        }
        events
    }

    /// Whether shards must stop causing more events.
    pub(crate) fn is_full(&self) -> bool {
        self.lock().events.len() >= self.high_water
    }

    /// Events that were lost so far.
    pub(crate) fn lost(&self) -> u64 {
        self.lock().lost
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing can panic between two consistent states of the queue.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for EventRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }
}

/// A report that the next one replaces, or a line for the log.
fn may_be_lost(event: &Event) -> bool {
    matches!(event, Event::AudioLevels { .. } | Event::Logged { .. })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use plenum_core::{DownTrackId, RoomId};

    use super::*;
    use crate::sys::{Interest, Poller};

    fn bound(number: u64) -> Event {
        Event::DownTrackBound { down_track: DownTrackId(number), mime_types: Vec::new() }
    }

    fn levels() -> Event {
        Event::AudioLevels { room: RoomId(1), levels: Vec::new() }
    }

    fn is_readable(ring: &EventRing) -> bool {
        let mut poller = Poller::new().unwrap();
        poller.add(ring.as_fd(), 0, Interest::READ).unwrap();
        let mut ready = Vec::new();
        poller.wait(Some(Duration::ZERO), &mut ready).unwrap();
        !ready.is_empty()
    }

    #[test]
    fn the_descriptor_is_readable_exactly_while_events_wait() {
        let ring = EventRing::new(10).unwrap();
        assert!(!is_readable(&ring));
        ring.push(&mut Vec::new());
        assert!(!is_readable(&ring));
        ring.push(&mut vec![bound(1), bound(2), bound(3)]);
        assert!(is_readable(&ring));
        assert_eq!(ring.drain(2).len(), 2);
        assert!(is_readable(&ring));
        assert_eq!(ring.drain(2).len(), 1);
        assert!(!is_readable(&ring));
    }

    #[test]
    fn only_levels_are_lost_above_the_mark() {
        let ring = EventRing::new(2).unwrap();
        let mut batch = vec![levels(), bound(1), levels(), bound(2)];
        ring.push(&mut batch);
        assert!(batch.is_empty());
        assert!(ring.is_full());
        assert_eq!(ring.lost(), 1);
        let kept = ring.drain(usize::MAX);
        assert!(matches!(
            kept[..],
            [
                Event::AudioLevels { .. },
                Event::DownTrackBound { down_track: DownTrackId(1), .. },
                Event::DownTrackBound { down_track: DownTrackId(2), .. }
            ]
        ));
        assert!(!ring.is_full());
    }
}
