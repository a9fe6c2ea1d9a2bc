//! How much arrives per second: what was acknowledged, weighed against what was believed before.
//!
//! Told of packets in the order of their arrival, in the peer's time.

/// What arrives in this time is one sample …
const WINDOW_US: i64 = 150_000;
/// … but the first one, which has nothing to be weighed against.
const FIRST_WINDOW_US: i64 = 500_000;
/// … and that is too short to say anything.
const EARLY_US: i64 = 100_000;
/// How much a sample's distance from the belief makes it doubtful.
const DOUBT: f64 = 10.0;
/// How fast the belief becomes doubtful by itself, per sample.
const DRIFT: f64 = 5.0;
const FIRST_VARIANCE: f64 = 50.0;

/// Bits per second that arrive.
#[derive(Debug, Default)]
pub(super) struct Throughput {
    window: Option<(i64, u64)>,
    /// How long the window is so far.
    elapsed_us: i64,
    rate_kbps: Option<f64>,
    variance: f64,
}

impl Throughput {
    /// Bits per second; `None` before the first sample.
    #[must_use]
    pub(super) fn rate_bps(&self) -> Option<f64> {
        self.rate_kbps.map(|rate| rate * 1_000.0)
    }

    /// As [`Self::rate_bps`]; before the first sample by what there is of it, if that is a tenth of a second.
    #[expect(clippy::cast_precision_loss, reason = "a rate, not an account")]
    pub(super) fn early_rate_bps(&self) -> Option<f64> {
        let early = || {
            let (_, bytes) = self.window?;
            (self.elapsed_us >= EARLY_US).then(|| bytes as f64 * 8e6 / self.elapsed_us as f64)
        };
        self.rate_bps().or_else(early)
    }

    /// Takes in the next packet that has arrived.
    #[expect(clippy::cast_precision_loss, reason = "a rate, not an account")]
    pub(super) fn note(&mut self, arrived_us: i64, bytes: usize) {
        let bytes = bytes as u64;
        let Some((began, so_far)) = self.window else {
            self.window = Some((arrived_us, bytes));
            return;
        };
        let length = if self.rate_kbps.is_none() { FIRST_WINDOW_US } else { WINDOW_US };
        let elapsed = arrived_us - began;
        if elapsed < length {
            if elapsed >= 0 {
                self.elapsed_us = elapsed;
                self.window = Some((began, so_far + bytes));
            }
            return;
        }
        self.window = Some((arrived_us, bytes));
        // After a silence the window is as long as that was: the rate was low, as it says.
        self.take_sample(so_far as f64 * 8_000.0 / elapsed as f64);
    }

    fn take_sample(&mut self, sample_kbps: f64) {
        let Some(rate) = self.rate_kbps else {
            self.rate_kbps = Some(sample_kbps);
            self.variance = FIRST_VARIANCE;
            return;
        };
        let doubt = DOUBT * (rate - sample_kbps).abs() / (rate + sample_kbps).max(1.0);
        let (doubt, variance) = (doubt * doubt, self.variance + DRIFT);
        self.rate_kbps = Some((doubt * rate + variance * sample_kbps) / (doubt + variance));
        self.variance = doubt * variance / (doubt + variance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1,000 bytes every `gap_us`.
    fn run(throughput: &mut Throughput, from_us: i64, until_us: i64, gap_us: i64) {
        let mut at = from_us;
        while at < until_us {
            throughput.note(at, 1_000);
            at += gap_us;
        }
    }

    #[test]
    fn the_rate_is_what_arrives() {
        let mut throughput = Throughput::default();
        run(&mut throughput, 0, 400_000, 8_000);
        assert_eq!(throughput.rate_bps(), None, "too early to tell");
        run(&mut throughput, 400_000, 2_000_000, 8_000);
        let rate = throughput.rate_bps().unwrap();
        assert!((950_000.0..1_050_000.0).contains(&rate), "{rate}");
        run(&mut throughput, 2_000_000, 3_500_000, 16_000);
        let rate = throughput.rate_bps().unwrap();
        assert!((450_000.0..600_000.0).contains(&rate), "{rate}");
    }

    #[test]
    fn times_out_of_order_are_no_trouble() {
        let mut throughput = Throughput::default();
        for at in [5, -5, i64::from(i32::MAX), 0, 1_000_000, i64::from(i32::MIN)] {
            throughput.note(at, 1_000);
        }
        assert!(throughput.rate_bps().is_none_or(f64::is_finite));
    }
}
