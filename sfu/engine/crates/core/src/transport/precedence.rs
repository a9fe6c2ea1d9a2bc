//! Reliable data before lossy data, where a path carries too little for both.
//!
//! An association sends what is unordered first, always: as long as lossy messages wait in it, no reliable one leaves.
//! On a path that loses packets its window is so small that they do wait, and reliable data came to a stop for minutes.
//! Pure arithmetic over what the reliable channel was given and still holds; reads no clock, knows no channel.

use std::time::{Duration, Instant};

/// Reliable data of which nothing is acknowledged for that long gets nowhere: more than a round trip and what a peer
/// waits before it acknowledges (RFC 9260 §6.2).
const PATIENCE: Duration = Duration::from_secs(1);

/// Of one reliable channel.
#[derive(Debug, Default)]
pub(super) struct Precedence {
    written_bytes: u64,
    delivered_bytes: u64,
    progress_at: Option<Instant>,
    /// It goes first until so much of it has been delivered.
    until_bytes: Option<u64>,
}

impl Precedence {
    /// The channel was given a message.
    pub(super) const fn note_written(&mut self, bytes: usize) {
        self.written_bytes += bytes as u64;
    }

    /// How much of what the channel was given is done with, when it holds `held_bytes` that are not acknowledged.
    pub(super) const fn done_bytes(&self, held_bytes: usize) -> u64 {
        self.written_bytes.saturating_sub(held_bytes as u64)
    }

    /// Whether lossy data has to make way now, when the channel holds `held_bytes` that are not acknowledged.
    pub(super) fn is_due(&mut self, now: Instant, held_bytes: usize) -> bool {
        let delivered_bytes = self.done_bytes(held_bytes);
        if held_bytes == 0 || delivered_bytes > self.delivered_bytes {
            self.progress_at = Some(now);
        }
        self.delivered_bytes = delivered_bytes;
        let since = *self.progress_at.get_or_insert(now);
        if now.saturating_duration_since(since) >= PATIENCE {
            self.until_bytes = Some(self.written_bytes);
        }
        self.until_bytes = self.until_bytes.filter(|until| delivered_bytes < *until);
        self.until_bytes.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_gets_nowhere_goes_first_until_it_has_arrived() {
        let start = Instant::now();
        let mut reliable = Precedence::default();
        assert!(!reliable.is_due(start, 0));
        reliable.note_written(300);
        assert!(!reliable.is_due(start + 100 * MS, 300));
        assert!(!reliable.is_due(start + 900 * MS, 200), "some of it arrived");
        reliable.note_written(100);
        assert!(!reliable.is_due(start + 1_800 * MS, 300));
        assert!(reliable.is_due(start + 1_900 * MS, 300), "nothing for a second");
        reliable.note_written(500);
        assert!(reliable.is_due(start + 2_000 * MS, 501), "not all of what waited");
        assert!(!reliable.is_due(start + 2_100 * MS, 500));
        assert!(reliable.is_due(start + 3_100 * MS, 500), "again");
        assert!(!reliable.is_due(start + 3_200 * MS, 0));
        assert!(!reliable.is_due(start + 60_000 * MS, 0), "there is none");
    }

    #[test]
    fn a_first_message_has_its_time() {
        let start = Instant::now();
        let mut reliable = Precedence::default();
        reliable.note_written(10);
        assert!(!reliable.is_due(start, 10));
        assert!(!reliable.is_due(start + 999 * MS, 10));
        assert!(reliable.is_due(start + 1_000 * MS, 10));
    }
}
