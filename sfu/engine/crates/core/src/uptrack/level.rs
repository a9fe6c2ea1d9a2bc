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
    pub fn observe(&mut self, level: u8, duration_ms: u32, active_level: u8) {
        if level <= active_level {
            self.loudest = Some(self.loudest.map_or(level, |loudest| loudest.min(level)));
            self.active_ms = self.active_ms.saturating_add(duration_ms);
        }
    }

    /// Ends the interval: `(loudest active level, active milliseconds)`; `None` when nothing was active.
    pub fn take(&mut self) -> Option<(u8, u32)> {
        let loudest = self.loudest.take()?;
        Some((loudest, std::mem::take(&mut self.active_ms)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_loud_enough() {
        let mut window = AudioWindow::default();
        assert_eq!(window.take(), None);
        for level in [127, 36, 35, 20, 60, 30] {
            window.observe(level, 20, 35);
        }
        assert_eq!(window.take(), Some((20, 60)));
        assert_eq!(window.take(), None, "a new interval");
    }
}
