//! A bucket that leaks at a multiple of the estimate.

use std::time::{Duration, Instant};

use super::{Backlog, Pacer};

/// How much faster than the estimate packets leave: an encoder's pictures differ in size, and what waits grows old.
const FACTOR: u64 = 5;
const FACTOR_PARTS: u64 = 2;
/// Packets leave at least that fast.
const LEAST_RATE_BPS: u64 = 600_000;
/// Before anything is known of the path, packets leave that fast: no home is reached faster, and no link sees a whole key
/// frame at once.
const BLIND_RATE_BPS: u64 = 20_000_000;
/// What may leave at once, in time at that rate: timers go off every five milliseconds.
const BURST: Duration = Duration::from_millis(5);
/// How long a packet may wait.
const LONGEST_WAIT: Duration = Duration::from_millis(500);
/// When that time is nearly over, what is left of it for the computation.
const LEAST_WAIT: Duration = Duration::from_millis(5);

/// No datagram is larger.
const MAX_BYTES: usize = 65_535;
/// What fills the bucket counts for no longer.
const LONGEST_FILL: Duration = Duration::from_secs(60);

const NANOS_PER_S: u128 = 1_000_000_000;

/// See the module.
#[derive(Debug)]
pub struct LeakyBucket {
    estimate_bps: Option<u64>,
    /// Everything passes as long as nothing is known of the path.
    is_free_until_known: bool,
    probe_bps: Option<u64>,
    /// What it takes for the backlog to leave in time.
    backlog_bps: u64,
    rate_bps: u64,
    /// Until when what has left fills the bucket.
    filled_until: Option<Instant>,
}

impl Default for LeakyBucket {
    fn default() -> Self {
        Self {
            estimate_bps: None,
            is_free_until_known: false,
            probe_bps: None,
            backlog_bps: 0,
            rate_bps: BLIND_RATE_BPS,
            filled_until: None,
        }
    }
}

impl LeakyBucket {
    /// One through which everything passes as long as nothing is known of the path.
    #[must_use]
    pub fn free_until_known() -> Self {
        Self { is_free_until_known: true, ..Self::default() }
    }

    const fn is_free(&self) -> bool {
        self.is_free_until_known && self.estimate_bps.is_none()
    }

    fn set_rate(&mut self, now: Instant) {
        let by_estimate = self.estimate_bps.map_or(BLIND_RATE_BPS, |estimate| {
            (estimate.saturating_mul(FACTOR) / FACTOR_PARTS).max(LEAST_RATE_BPS)
        });
        // A probe is no reason to hold media back: what leaves faster shows even more.
        let rate_bps =
            self.probe_bps.map_or(by_estimate, |probe| probe.max(by_estimate)).max(self.backlog_bps);
        if rate_bps == self.rate_bps {
            return;
        }
        // What fills the bucket leaks at the new rate.
        let filled = self.filled_until.map(|until| until.saturating_duration_since(now));
        let nanos = filled.map(|filled| filled.as_nanos() * u128::from(self.rate_bps) / u128::from(rate_bps));
        self.filled_until = nanos.map(|nanos| now + saturated(nanos));
        self.rate_bps = rate_bps;
    }
}

impl Pacer for LeakyBucket {
    fn set_estimate(&mut self, now: Instant, rate_bps: Option<u64>) {
        self.estimate_bps = rate_bps;
        self.set_rate(now);
    }

    fn set_probe_rate(&mut self, now: Instant, rate_bps: Option<u64>) {
        self.probe_bps = rate_bps.filter(|rate| *rate > 0);
        self.set_rate(now);
    }

    fn set_backlog(&mut self, now: Instant, backlog: Option<Backlog>) {
        self.backlog_bps = backlog.map_or(0, |backlog| {
            let waited = now.saturating_duration_since(backlog.since);
            let left = LONGEST_WAIT.saturating_sub(waited).max(LEAST_WAIT);
            let bits_per_s = backlog.bytes as u128 * 8 * NANOS_PER_S / left.as_nanos();
            u64::try_from(bits_per_s).unwrap_or(u64::MAX)
        });
        self.set_rate(now);
    }

    fn admits(&mut self, now: Instant) -> bool {
        self.is_free() || self.filled_until.is_none_or(|until| until < now + BURST)
    }

    fn note_sent(&mut self, now: Instant, bytes: usize) {
        if self.is_free() {
            return;
        }
        let from = self.filled_until.map_or(now, |until| until.max(now));
        // 64 bits hold the nanoseconds of any datagram, and divide faster than 128.
        let nanos = bytes.min(MAX_BYTES) as u64 * 8 * 1_000_000_000 / self.rate_bps;
        self.filled_until = Some(from + Duration::from_nanos(nanos).min(LONGEST_FILL));
    }

    fn next_admission(&self, now: Instant) -> Instant {
        let admits = |until: Instant| until.checked_sub(BURST).unwrap_or(now) + Duration::from_nanos(1);
        self.filled_until.map_or(now, admits).max(now)
    }
}

/// A time in nanoseconds, at most a minute.
fn saturated(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(LONGEST_FILL)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: usize = 1_250;

    /// Sends as fast as it may for a while, asking every 5 ms; the packets of each time.
    fn run(pacer: &mut LeakyBucket, start: Instant, times: u32) -> Vec<u32> {
        (0..times)
            .map(|time| {
                let now = start + Duration::from_millis(5) * time;
                let mut sent = 0;
                while pacer.admits(now) {
                    pacer.note_sent(now, PACKET);
                    sent += 1;
                }
                sent
            })
            .collect()
    }

    #[test]
    fn packets_leave_at_a_multiple_of_the_estimate_in_small_bursts() {
        let start = Instant::now();
        let mut pacer = LeakyBucket::default();
        pacer.set_estimate(start, Some(1_000_000));
        let sent = run(&mut pacer, start, 200);
        assert!(sent.iter().all(|packets| *packets <= 2), "{sent:?}");
        let total: u32 = sent.iter().sum();
        assert!((248..=253).contains(&total), "2.5 Mbit/s: {total}");
    }

    #[test]
    fn a_narrow_path_has_a_floor_and_an_unknown_one_a_ceiling() {
        let start = Instant::now();
        let mut pacer = LeakyBucket::default();
        let blind: u32 = run(&mut pacer, start, 20).iter().sum();
        assert!((195..=215).contains(&blind), "{blind}");
        let later = start + Duration::from_secs(1);
        pacer.set_estimate(later, Some(10));
        let least: u32 = run(&mut pacer, later, 200).iter().sum();
        assert!((58..=62).contains(&least), "{least}");
    }

    #[test]
    fn what_has_waited_long_leaves_faster() {
        let start = Instant::now();
        let mut pacer = LeakyBucket::default();
        pacer.set_estimate(start, Some(240_000));
        let (mut waiting, mut now) = (100_usize, start);
        while waiting > 0 {
            pacer.set_backlog(now, Some(Backlog { since: start, bytes: waiting * PACKET }));
            while waiting > 0 && pacer.admits(now) {
                pacer.note_sent(now, PACKET);
                waiting -= 1;
            }
            now += Duration::from_millis(5);
        }
        assert!(now - start <= LONGEST_WAIT + Duration::from_millis(10), "{:?}", now - start);
        pacer.set_backlog(now, None);
        let after: u32 = run(&mut pacer, now + Duration::from_secs(1), 200).iter().sum();
        assert!((58..=62).contains(&after), "{after}");
    }

    #[test]
    fn a_probe_holds_nothing_back() {
        let start = Instant::now();
        let mut pacer = LeakyBucket::default();
        pacer.set_probe_rate(start, Some(900_000));
        let blind: u32 = run(&mut pacer, start, 20).iter().sum();
        assert!((195..=215).contains(&blind), "{blind}");
    }

    #[test]
    fn a_probe_has_its_own_rate_and_the_next_admission_is_when_it_says() {
        let start = Instant::now();
        let mut pacer = LeakyBucket::default();
        pacer.set_estimate(start, Some(240_000));
        pacer.set_probe_rate(start, Some(10_000_000));
        let probed: u32 = run(&mut pacer, start, 20).iter().sum();
        assert!((100..=106).contains(&probed), "{probed}");
        pacer.set_probe_rate(start, None);
        let now = start + Duration::from_millis(100);
        while pacer.admits(now) {
            pacer.note_sent(now, PACKET);
        }
        let next = pacer.next_admission(now);
        assert!(next > now);
        assert!(!pacer.admits(next.checked_sub(Duration::from_nanos(2)).unwrap()) && pacer.admits(next));
    }
}
