//! The lines of JSON that the router writes; values to text, nothing else.

use std::time::Duration;

use plenum_netem::{Link, LinkCounters, Packet};
use serde_json::{Value, json};

/// How late packets left the router because it did not run: a machine short of CPU.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lateness {
    packets: u64,
    sum: Duration,
    max: Duration,
    over_1_ms: u64,
}

impl Lateness {
    /// One packet left so much after it was due.
    pub(crate) fn note(&mut self, late: Duration) {
        self.packets += 1;
        self.sum += late;
        self.max = self.max.max(late);
        self.over_1_ms += u64::from(late > Duration::from_millis(1));
    }

    fn to_json(self) -> Value {
        let mean = self.sum.as_nanos().checked_div(u128::from(self.packets)).unwrap_or(0) / 1_000;
        let mean_us = u64::try_from(mean).unwrap_or(u64::MAX);
        let max_us = u64::try_from(self.max.as_micros()).unwrap_or(u64::MAX);
        json!({"mean_us": mean_us, "max_us": max_us, "over_1_ms": self.over_1_ms})
    }
}

/// One direction's counters.
pub(crate) fn direction<P: Packet>(link: &Link<P>, lateness: Lateness, refused: u64) -> Value {
    let LinkCounters {
        entered,
        entered_bytes,
        delivered,
        delivered_bytes,
        lost,
        blacked_out,
        queue_full,
        duplicated,
        damaged,
        reordered,
        queue_peak_bytes,
    } = *link.counters();
    json!({
        "entered": entered, "entered_bytes": entered_bytes,
        "delivered": delivered, "delivered_bytes": delivered_bytes,
        "lost": lost, "blacked_out": blacked_out, "queue_full": queue_full,
        "duplicated": duplicated, "damaged": damaged, "reordered": reordered,
        "queue_peak_bytes": queue_peak_bytes, "queued_bytes": link.queued_bytes(), "inside": link.inside(),
        "device_refused": refused, "late": lateness.to_json(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_summed_up() {
        let mut lateness = Lateness::default();
        assert_eq!(lateness.to_json(), json!({"mean_us": 0, "max_us": 0, "over_1_ms": 0}));
        for micros in [100, 200, 3_000] {
            lateness.note(Duration::from_micros(micros));
        }
        assert_eq!(lateness.to_json(), json!({"mean_us": 1_100, "max_us": 3_000, "over_1_ms": 1}));
    }
}
