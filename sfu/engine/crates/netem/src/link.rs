//! One direction of one client's path: delay, jitter and loss from a seed. Queues nothing by itself.

use std::time::Duration;

/// How a direction behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkConfig {
    /// Time every datagram takes.
    pub delay: Duration,
    /// Up to that much more, evenly distributed; datagrams may overtake each other.
    pub jitter: Duration,
    /// Share of datagrams lost, 0 to 1.
    pub loss: f64,
    /// Share of datagrams with one byte changed, 0 to 1.
    pub damage: f64,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self { delay: Duration::from_millis(5), jitter: Duration::ZERO, loss: 0.0, damage: 0.0 }
    }
}

/// One direction.
#[derive(Debug, Clone)]
pub struct Link {
    /// Its behaviour; may be changed at any time.
    pub config: LinkConfig,
    state: u64,
}

impl Link {
    /// A link whose choices follow from `seed`.
    #[must_use]
    pub const fn new(config: LinkConfig, seed: u64) -> Self {
        Self { config, state: seed | 1 }
    }

    /// When a datagram that enters now arrives: after that long, or never.
    pub fn transit(&mut self) -> Option<Duration> {
        if self.fraction() < self.config.loss {
            return None;
        }
        let jitter = self.config.jitter.mul_f64(self.fraction());
        Some(self.config.delay + jitter)
    }

    /// Damages a datagram, or not.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    pub fn damage(&mut self, payload: &mut [u8]) {
        if payload.is_empty() || self.fraction() >= self.config.damage {
            return;
        }
        let position = (self.fraction() * payload.len() as f64) as usize;
        let change = 1 + (self.fraction() * 255.0) as u8;
        if let Some(byte) = payload.get_mut(position) {
            *byte ^= change;
        }
    }

    /// Xorshift64* (Vigna 2016), scaled to 0..1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn fraction(&mut self) -> f64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let mixed = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d);
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}
