//! What a subscriber has received: packets, losses, delays.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

/// Begin of every payload that we make: recognises packets of this very process, whose clock we share.
const MARK_BYTES: usize = 16;

/// One delay in so many is kept.
const DELAY_EVERY: u64 = 7;

fn first_moment() -> (Instant, u64) {
    static START: OnceLock<(Instant, u64)> = OnceLock::new();
    *START.get_or_init(|| {
        let unlikely_elsewhere = u64::from(std::process::id()) << 32 | 0x504c_4e4d;
        (Instant::now(), unlikely_elsewhere)
    })
}

/// Bytes that say when `now` is.
pub(crate) fn time_mark(now: Instant) -> [u8; MARK_BYTES] {
    let (start, ours) = first_moment();
    let micros = u64::try_from(now.saturating_duration_since(start).as_micros()).unwrap_or(u64::MAX);
    let mut mark = [0; MARK_BYTES];
    mark[..8].copy_from_slice(&ours.to_be_bytes());
    mark[8..].copy_from_slice(&micros.to_be_bytes());
    mark
}

/// How long ago the mark at the begin of `bytes` was made, if it is one of this process.
fn delay(bytes: &[u8], now: Instant) -> Option<Duration> {
    let (start, ours) = first_moment();
    let (found, rest) = bytes.split_first_chunk::<8>()?;
    let micros = u64::from_be_bytes(*rest.first_chunk::<8>()?);
    (u64::from_be_bytes(*found) == ours)
        .then(|| now.saturating_duration_since(start + Duration::from_micros(micros)))
}

/// Counts of one or many subscribers.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) messages: u64,
    pub(crate) delays: Vec<Duration>,
    streams: FxHashMap<u32, Stream>,
}

/// Sequence numbers seen of one SSRC.
#[derive(Debug, Clone, Copy)]
struct Stream {
    first: u64,
    last: u64,
    count: u64,
}

impl Tally {
    pub(crate) fn add_packet(
        &mut self,
        ssrc: u32,
        sequence: u64,
        payload: &[u8],
        marked: &[u8],
        now: Instant,
    ) {
        self.packets += 1;
        self.bytes += payload.len() as u64;
        let stream = self.streams.entry(ssrc).or_insert(Stream { first: sequence, last: sequence, count: 0 });
        stream.count += 1;
        stream.last = stream.last.max(sequence);
        stream.first = stream.first.min(sequence);
        self.sample_delay(self.packets, marked, now);
    }

    pub(crate) fn add_message(&mut self, payload: &[u8], now: Instant) {
        self.messages += 1;
        self.bytes += payload.len() as u64;
        self.sample_delay(self.messages, payload, now);
    }

    fn sample_delay(&mut self, count: u64, marked: &[u8], now: Instant) {
        if count.is_multiple_of(DELAY_EVERY) {
            self.delays.extend(delay(marked, now));
        }
    }

    /// Packets that were sent between the first and the last one that arrived, and did not arrive.
    pub(crate) fn lost(&self) -> u64 {
        self.streams
            .values()
            .map(|stream| (stream.last - stream.first + 1).saturating_sub(stream.count))
            .sum()
    }

    /// Streams of which something arrived.
    pub(crate) fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Adds another one's totals; their streams are counted as lost packets only.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.messages += other.messages;
        self.delays.extend_from_slice(&other.delays);
    }
}

/// Milliseconds below which a share of `values` lies; sorts them.
pub(crate) fn percentile_ms(values: &mut [Duration], share: f64) -> f64 {
    values.sort_unstable();
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let index = ((values.len() as f64) * share) as usize;
    values.get(index.min(values.len().saturating_sub(1))).map_or(0.0, |value| value.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_lost_and_late_packets_are_not() {
        let mut tally = Tally::default();
        let now = Instant::now();
        for sequence in [10, 11, 14, 12, 9, 16] {
            tally.add_packet(1, sequence, &[0; 5], &[], now);
        }
        tally.add_packet(2, 70_000, &[0; 5], &[], now);
        assert_eq!((tally.packets, tally.bytes, tally.lost()), (7, 35, 2));
    }

    #[test]
    fn a_mark_tells_its_age() {
        let now = first_moment().0 + Duration::from_secs(3);
        let mark = time_mark(now);
        let later = now + Duration::from_millis(250);
        let found = delay(&mark, later).unwrap();
        assert!(found.abs_diff(Duration::from_millis(250)) <= Duration::from_micros(1));
        assert_eq!(delay(&[0; 16], later), None);
        assert_eq!(delay(&mark[..12], later), None);
    }

    #[test]
    fn percentiles_are_in_milliseconds() {
        let mut values: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
        assert!((percentile_ms(&mut values, 0.5) - 51.0).abs() < 1e-9);
        assert!((percentile_ms(&mut values, 1.0) - 100.0).abs() < 1e-9);
        assert!(percentile_ms(&mut [], 0.5).abs() < 1e-9);
    }
}
