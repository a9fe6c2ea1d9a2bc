//! What probes have shown: the rate at which a burst left and the one at which it arrived.
//!
//! Told of the packets of probes; never sends one.

use std::time::{Duration, Instant};

use super::trendline::ArrivedPacket;

/// Packets without which a probe shows nothing.
const LEAST_PACKETS: f64 = 4.0;
/// Least time over which a probe is sent and arrives.
const LEAST_SENT: Duration = Duration::from_millis(10);
const LEAST_ARRIVED_US: i64 = 1_000;
/// So much of a probe must have arrived, in time at its rate.
const LEAST_PART: Duration = Duration::from_millis(12);
/// A probe that arrived so much faster than it left was held up on the way.
const IMPLAUSIBLE: f64 = 2.0;
/// A probe that arrived slower than this part of its rate has filled the path …
const FILLED: f64 = 0.9;
/// … of which this part may be used.
const USABLE: f64 = 0.95;
/// Probes that are remembered.
const MAX_CLUSTERS: usize = 4;

/// A probe under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeTag {
    /// Its number.
    pub id: u32,
    /// Bits per second at which it leaves.
    pub rate_bps: u64,
}

#[derive(Debug)]
struct Cluster {
    tag: ProbeTag,
    packets: usize,
    bytes: u64,
    first_sent: Instant,
    last_sent: Instant,
    /// Sent at that last moment.
    last_burst_bytes: u64,
    first_arrived_us: i64,
    last_arrived_us: i64,
    /// Of the packet that arrived first.
    first_bytes: u64,
}

/// The probes that were sent last.
#[derive(Debug, Default)]
pub(super) struct Clusters {
    clusters: Vec<Cluster>,
}

impl Clusters {
    /// Takes in a packet of a probe that has arrived.
    pub(super) fn note(&mut self, tag: ProbeTag, packet: ArrivedPacket) {
        let bytes = packet.bytes as u64;
        let known = self.clusters.iter_mut().find(|cluster| cluster.tag.id == tag.id);
        let Some(cluster) = known else {
            if self.clusters.len() == MAX_CLUSTERS {
                self.clusters.remove(0);
            }
            self.clusters.push(Cluster {
                tag,
                packets: 1,
                bytes,
                first_sent: packet.sent_at,
                last_sent: packet.sent_at,
                last_burst_bytes: bytes,
                first_arrived_us: packet.arrived_us,
                last_arrived_us: packet.arrived_us,
                first_bytes: bytes,
            });
            return;
        };
        cluster.packets += 1;
        cluster.bytes += bytes;
        cluster.first_sent = cluster.first_sent.min(packet.sent_at);
        if packet.sent_at > cluster.last_sent {
            (cluster.last_sent, cluster.last_burst_bytes) = (packet.sent_at, 0);
        }
        if packet.sent_at == cluster.last_sent {
            cluster.last_burst_bytes += bytes;
        }
        cluster.last_arrived_us = cluster.last_arrived_us.max(packet.arrived_us);
        if packet.arrived_us < cluster.first_arrived_us {
            (cluster.first_arrived_us, cluster.first_bytes) = (packet.arrived_us, bytes);
        }
    }

    /// What the newest probe shows that the path bears, bits per second, when it loses that share by itself; `None`:
    /// nothing (yet).
    #[must_use]
    pub(super) fn result_bps(&self, own_loss: f64) -> Option<f64> {
        self.clusters.last().and_then(|cluster| cluster.result_bps(own_loss))
    }
}

impl Cluster {
    #[expect(clippy::cast_precision_loss, reason = "a few kilobytes")]
    fn result_bps(&self, own_loss: f64) -> Option<f64> {
        let arrives = 1.0 - own_loss;
        let sent = self.last_sent.saturating_duration_since(self.first_sent);
        let arrived_us = self.last_arrived_us - self.first_arrived_us;
        let is_whole = self.packets as f64 >= LEAST_PACKETS * arrives
            && self.bytes as f64 * 8.0 >= LEAST_PART.as_secs_f64() * arrives * self.tag.rate_bps as f64
            && sent >= LEAST_SENT
            && arrived_us >= LEAST_ARRIVED_US;
        if !is_whole {
            return None;
        }
        // What left at the last moment took no time of the sending, what arrived first none of the arriving.
        let sent_bps = (self.bytes - self.last_burst_bytes) as f64 * 8.0 / sent.as_secs_f64();
        let arrived_bps = (self.bytes - self.first_bytes) as f64 * 8e6 / arrived_us as f64;
        if arrived_bps > IMPLAUSIBLE * sent_bps {
            return None;
        }
        let shown = sent_bps.min(arrived_bps);
        // What the path lost by itself had left as well, though no faster than the probe.
        let shown = (shown / arrives).min(shown.max(self.tag.rate_bps as f64));
        Some(if arrived_bps < FILLED * sent_bps { USABLE * shown } else { shown })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: ProbeTag = ProbeTag { id: 1, rate_bps: 3_200_000 };

    /// Six bursts of two packets, 5 ms apart (3.2 Mbit/s), over a link of that many microseconds per packet.
    fn shown(us_per_packet: i64, tag: ProbeTag) -> Option<f64> {
        let (start, mut clusters, mut free_us) = (Instant::now(), Clusters::default(), 0);
        for burst in 0..6_u32 {
            for _ in 0..2 {
                free_us = free_us.max(5_000 * i64::from(burst)) + us_per_packet;
                let sent_at = start + Duration::from_millis(5) * burst;
                let packet = ArrivedPacket { sent_at, arrived_us: free_us + 20_000, bytes: 1_000 };
                clusters.note(tag, packet);
            }
        }
        clusters.result_bps(0.0)
    }

    #[test]
    fn a_wide_path_shows_what_was_sent_and_a_narrow_one_its_rate() {
        let wide = shown(10, TAG).unwrap();
        assert!((3_100_000.0..3_300_000.0).contains(&wide), "{wide}");
        let narrow = shown(8_000, TAG).unwrap();
        assert!((900_000.0..=1_000_000.0).contains(&narrow), "{narrow}");
    }

    #[test]
    fn what_a_path_loses_by_itself_is_no_verdict_on_its_rate() {
        let (start, mut clusters) = (Instant::now(), Clusters::default());
        for nth in [0, 1, 2, 4, 5_u32] {
            let sent_at = start + Duration::from_millis(5) * nth;
            clusters.note(
                TAG,
                ArrivedPacket { sent_at, arrived_us: 20_000 + 5_000 * i64::from(nth), bytes: 2_000 },
            );
        }
        let [shown, of_more, of_most] =
            [0.0, 0.2, 0.3].map(|own_loss| clusters.result_bps(own_loss).unwrap());
        assert!((2_500_000.0..2_600_000.0).contains(&shown), "{shown}");
        assert!((3_150_000.0..=3_200_000.0).contains(&of_more), "{of_more}");
        assert!(of_most <= 3_200_000.0, "no more than it was sent at: {of_most}");
    }

    #[test]
    fn a_probe_of_which_too_little_arrived_shows_nothing() {
        assert_eq!(shown(10, ProbeTag { rate_bps: 8_500_000, ..TAG }), None);
        let mut clusters = Clusters::default();
        assert_eq!(clusters.result_bps(0.0), None);
        let now = Instant::now();
        for _ in 0..10 {
            clusters.note(TAG, ArrivedPacket { sent_at: now, arrived_us: 5, bytes: 1_000 });
        }
        assert_eq!(clusters.result_bps(0.0), None, "no time has passed");
    }
}
