//! How much work a peer's RTCP may cause. A datagram of 1,500 bytes can ask for 6,000 packets, or tell of half a million;
//! whoever sends thousands of them a second must not take the time of everybody else on the thread.
//!
//! Work is counted in steps: about what it costs to look up one packet. Pure arithmetic; never looks at a packet.

use std::time::{Duration, Instant};

use crate::allowance::Allowance;
use crate::rtcp::Feedback;

/// What one peer may cause: twice what honest feedback on 20,000 packets a second comes to, and a few thousandths of a
/// core.
const STEPS_PER_S: u64 = 50_000;
const NANOS_PER_STEP: u64 = 1_000_000_000 / STEPS_PER_S;
/// Saved up by who says little: losses and reports come in bursts.
const BURST: Duration = Duration::from_secs(1);
/// What one datagram may cause: four times the longest list of lost packets of `libwebrtc`.
const STEPS_PER_DATAGRAM: u64 = 4_096;
/// Bytes that are decrypted and read for a step.
const BYTES_PER_STEP: u64 = 16;
/// Packets that were not received are passed over, so many in a step.
const MISSING_PER_STEP: u64 = 16;
/// Whatever feedback on arrivals says, what has departed lately is gone through.
const ARRIVALS_STEPS: u64 = 16;
/// A key-frame request goes through the tables of the shard.
const KEY_FRAME_STEPS: u64 = 4;

/// What one peer has caused lately.
#[derive(Debug, Default)]
pub(super) struct FeedbackBudget {
    allowance: Allowance,
}

impl FeedbackBudget {
    /// Steps that a datagram which comes now may cost; 0: none, it is not to be looked at.
    pub(super) fn available(&self, now: Instant) -> u64 {
        let steps = BURST.saturating_sub(self.allowance.owed(now)).as_nanos() / u128::from(NANOS_PER_STEP);
        u64::try_from(steps).unwrap_or(u64::MAX).min(STEPS_PER_DATAGRAM)
    }

    /// Charges steps.
    pub(super) fn spend(&mut self, now: Instant, steps: u64) {
        let cost = Duration::from_nanos(NANOS_PER_STEP.saturating_mul(steps)).min(BURST * 2);
        self.allowance.charge(now, cost, Duration::MAX);
    }
}

/// What it costs to decrypt and read a datagram, whatever it says.
pub(super) const fn reading_steps(bytes: usize) -> u64 {
    1 + bytes as u64 / BYTES_PER_STEP
}

/// What it costs to act on feedback.
pub(super) fn acting_steps(feedback: &Feedback) -> u64 {
    match feedback {
        Feedback::Report(_) | Feedback::MaximumRate { .. } => 1,
        Feedback::KeyFrame { .. } => KEY_FRAME_STEPS,
        Feedback::Nack { entries, .. } => {
            1 + entries.iter().map(|(_, mask)| 1 + u64::from(mask.count_ones())).sum::<u64>()
        }
        Feedback::Arrivals(arrivals) => {
            let told = arrivals.received.len() as u64 + u64::from(arrivals.count) / MISSING_PER_STEP;
            ARRIVALS_STEPS + told
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{Arrivals, read_feedback};

    const DATAGRAM_BYTES: usize = 1_400;

    /// Takes the same datagram so often a second, for some seconds; the steps that it caused in each, and how many of
    /// them were looked at to the end.
    fn flood(datagram: &[u8], per_s: u32, seconds: u32) -> (Vec<u64>, u32) {
        let start = Instant::now();
        let mut budget = FeedbackBudget::default();
        let (mut caused, mut whole) = (Vec::new(), 0);
        for second in 0..seconds {
            let mut steps = 0;
            for nth in 0..per_s {
                let now = start + Duration::from_secs(second.into()) + Duration::from_secs(1) / per_s * nth;
                let mut left = budget.available(now);
                if left == 0 {
                    continue;
                }
                let reading = reading_steps(datagram.len());
                let mut spent = reading;
                left = left.saturating_sub(reading);
                let feedback = read_feedback(datagram);
                let mut taken = 0;
                for one in &feedback {
                    let acting = acting_steps(one);
                    if acting > left {
                        break;
                    }
                    (left, spent, taken) = (left - acting, spent + acting, taken + 1);
                }
                whole += u32::from(taken == feedback.len());
                budget.spend(now, spent);
                steps += spent;
            }
            caused.push(steps);
        }
        (caused, whole)
    }

    fn packet(kind: u8, count: u8, body: &[u8]) -> Vec<u8> {
        let words = u16::try_from(body.len() / 4).unwrap().to_be_bytes();
        [&[0x80 | count, kind, words[0], words[1]], body].concat()
    }

    fn repeated(packet: &[u8]) -> Vec<u8> {
        packet.repeat(DATAGRAM_BYTES / packet.len())
    }

    /// What claims as much as it can, each as a datagram.
    fn hostile() -> Vec<Vec<u8>> {
        let ids = [9_u32.to_be_bytes(), 5_u32.to_be_bytes()].concat();
        let arrivals = |count: u16, chunks: &[u16]| {
            let chunks: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.to_be_bytes()).collect();
            let mut body = [&ids[..], &[0, 0], &count.to_be_bytes(), &[0, 0, 3, 1], &chunks].concat();
            body.resize(body.len().next_multiple_of(4), 0);
            packet(205, 15, &body)
        };
        let asked = [&ids[..], &[0, 0, 0xff, 0xff].repeat(DATAGRAM_BYTES / 4 - 3)].concat();
        vec![
            repeated(&arrivals(u16::MAX, &[0x1fff; 9])),
            repeated(&arrivals(0x1fff, &[0x1fff])),
            repeated(&arrivals(1, &[0x0001])),
            packet(205, 1, &asked),
            repeated(&packet(206, 1, &ids)),
            repeated(&packet(201, 31, &[&ids[..4], &[5; 24 * 31]].concat())),
            repeated(&packet(207, 0, &[4, 0, 0, 2].repeat(20))),
            repeated(&packet(204, 0, &ids)),
        ]
    }

    #[test]
    fn no_peer_causes_more_than_its_share() {
        for (nth, datagram) in hostile().iter().enumerate() {
            for per_s in [100, 1_000, 20_000] {
                let (caused, _) = flood(datagram, per_s, 5);
                let mut so_far = 0;
                for (seconds, steps) in (2..).zip(&caused) {
                    so_far += steps;
                    let most = seconds * STEPS_PER_S + STEPS_PER_DATAGRAM + reading_steps(datagram.len());
                    assert!(so_far <= most, "{nth}, {per_s}/s: {caused:?}");
                }
            }
        }
    }

    #[test]
    fn one_datagram_causes_no_more_than_a_longest_list() {
        let (caused, whole) = flood(&hostile()[3], 1, 1);
        assert!(caused[0] <= STEPS_PER_DATAGRAM && whole == 0, "{caused:?}");
        let ids = [9_u32.to_be_bytes(), 5_u32.to_be_bytes()].concat();
        let longest = packet(205, 1, &[&ids[..], &[0, 0, 0xff, 0xff].repeat(59)].concat());
        assert_eq!(flood(&longest, 1, 1).1, 1, "a thousand lost packets are asked for at once");
    }

    #[test]
    fn honest_feedback_is_never_refused() {
        // 20,000 packets a second, told of twenty times; a thousand of them lost and asked for twice.
        let arrivals = Feedback::Arrivals(Arrivals {
            number: 0,
            first_seq: 0,
            count: 1_000,
            reference: 0,
            received: (0..1_000).map(|distance| (distance, 4)).collect(),
        });
        let asked = Feedback::Nack { ssrc: 5, entries: vec![(0, 0x00ff); 12] };
        let start = Instant::now();
        let mut budget = FeedbackBudget::default();
        for nth in 0..20 * 60 {
            let now = start + Duration::from_millis(50) * nth;
            for feedback in [&arrivals, &asked] {
                let steps = reading_steps(1_200) + acting_steps(feedback);
                assert!(steps <= budget.available(now), "{nth}");
                budget.spend(now, steps);
            }
        }
    }
}
