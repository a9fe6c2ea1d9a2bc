//! Loudness of one audio track in one reporting interval (RFC 6464; `protocol.md` §4.8).

/// Gathers RFC 6464 levels over one interval.
#[derive(Debug, Clone, Default)]
pub struct AudioWindow {
    loudest: Option<u8>,
    active_ms: u32,
}

impl AudioWindow {
    /// Notes one packet: level in −dBov (0 loudest, 127 silence), its duration, and the level at or below which it
    /// counts as active.
    pub fn observe(&mut self, _level: u8, _duration_ms: u32, _active_level: u8) {}

    /// Ends the interval: `(loudest active level, active milliseconds)`; `None` when nothing was active.
    pub fn take(&mut self) -> Option<(u8, u32)> {
        let loudest = self.loudest.take()?;
        Some((loudest, std::mem::take(&mut self.active_ms)))
    }
}
