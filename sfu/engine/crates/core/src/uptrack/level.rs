//! Loudness of one audio track in one reporting interval (RFC 6464; `protocol.md` §4.8).

/// Longest time one packet can stand for: after a longer silence only this much of it was speech.
const MAX_PACKET_MS: u32 = 1_000;

/// Gathers RFC 6464 levels over one interval.
#[derive(Debug, Clone, Default)]
pub struct AudioWindow {
    loudest: Option<u8>,
    active_ms: u32,
    newest: Option<u32>,
}

/// What an RTP clock counts in a millisecond.
const fn ticks_per_ms(clock_rate_hz: u32) -> u32 {
    let ticks = clock_rate_hz / 1_000;
    if ticks == 0 { 1 } else { ticks }
}

impl AudioWindow {
    /// Notes one packet: level in −dBov (0 loudest, 127 silence), its RTP timestamp and the
    /// rate of that clock, and the level at or below which it counts as active.
    ///
    /// A packet lasts from the one before it to itself, as in the reference: whatever the packet time, and with DTX the
    /// first loud packet stands for the silence that was not sent, so that short sounds make a speaker too. The very
    /// first packet, and one that comes late, lasts no time.
    pub fn observe(&mut self, level: u8, timestamp: u32, clock_rate_hz: u32, active_level: u8) {
        let ticks = timestamp.wrapping_sub(self.newest.unwrap_or(timestamp));
        if ticks > u32::MAX / 2 {
            return;
        }
        self.newest = Some(timestamp);
        if level <= active_level {
            self.loudest = Some(self.loudest.map_or(level, |loudest| loudest.min(level)));
            self.active_ms =
                self.active_ms.saturating_add((ticks / ticks_per_ms(clock_rate_hz)).min(MAX_PACKET_MS));
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

    /// Notes packets, each given by its level and its time in milliseconds.
    fn observe_all(window: &mut AudioWindow, packets: &[(u8, u32)]) {
        for &(level, at_ms) in packets {
            window.observe(level, (at_ms * 48).wrapping_sub(5_000), 48_000, 35);
        }
    }

    #[test]
    fn counts_what_is_loud_enough() {
        let mut window = AudioWindow::default();
        assert_eq!(window.take(), None);
        observe_all(&mut window, &[(127, 0), (36, 20), (35, 40), (20, 60), (60, 80), (30, 100)]);
        assert_eq!(window.take(), Some((20, 60)));
        assert_eq!(window.take(), None, "a new interval");
    }

    #[test]
    fn a_sound_after_unsent_silence_stands_for_it() {
        let mut window = AudioWindow::default();
        observe_all(&mut window, &[(127, 0), (20, 380), (127, 400)]);
        assert_eq!(window.take(), Some((20, 380)));
        observe_all(&mut window, &[(20, 60_000)]);
        assert_eq!(window.take(), Some((20, MAX_PACKET_MS)), "and not for a minute");
    }

    #[test]
    fn time_is_told_by_the_track_s_own_clock() {
        for clock_rate_hz in [8_000, 16_000, 48_000] {
            let mut window = AudioWindow::default();
            for frame in 0..3 {
                window.observe(20, frame * clock_rate_hz / 50, clock_rate_hz, 35);
            }
            assert_eq!(window.take(), Some((20, 40)), "{clock_rate_hz} Hz");
        }
        AudioWindow::default().observe(20, 1, 0, 35); // no clock is no trouble
    }

    #[test]
    fn a_late_packet_counts_nothing() {
        let mut window = AudioWindow::default();
        observe_all(&mut window, &[(20, 1_000), (20, 1_020), (10, 1_010), (20, 1_040)]);
        assert_eq!(window.take(), Some((20, 40)));
    }
}
