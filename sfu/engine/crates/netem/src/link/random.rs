//! Choices from a seed. The generator is written out here because a run must stay the same when a library changes its
//! algorithm: recorded figures and seeds of failures would be worth nothing otherwise.

/// `SplitMix64` (Steele, Lea, Flood 2014): any seed is good, also consecutive ones.
#[derive(Debug, Clone)]
pub(super) struct Random {
    state: u64,
}

impl Random {
    /// Stream number `stream` of a seed; streams are independent of each other.
    pub(super) const fn new(seed: u64, stream: u64) -> Self {
        Self { state: mixed(mixed(seed) ^ stream) }
    }

    /// Evenly distributed, 0 or more and below 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub(super) fn fraction(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (mixed(self.state) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with that probability. One number is drawn whatever it is, so that a change of one share leaves the other
    /// choices of the same stream where they were.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }

    /// Mean 0, standard deviation 1 (Box and Muller 1958).
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.fraction()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.fraction()).cos()
    }

    /// Mean 1.
    pub(super) fn exponential(&mut self) -> f64 {
        -(1.0 - self.fraction()).ln()
    }
}

const fn mixed(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
