//! The estimate by transport-wide feedback: delays, losses and probes together (draft-ietf-rmcat-gcc-02 with what
//! `libwebrtc` has made of it).

use std::time::{Duration, Instant};

use super::clusters::Clusters;
use super::increase::DelayRate;
use super::loss::{LossBound, Losses};
use super::sent::{Fate, SentPacket, SentPackets};
use super::throughput::Throughput;
use super::trendline::{ArrivedPacket, PathUse, Trendline};
use super::{Departure, Estimator, START_RATE_BPS};
use crate::rate::RateEstimate;
use crate::rtcp::Arrivals;

/// One unit of a feedback's reference.
const REFERENCE_US: i64 = 64_000;
/// One unit of an arrival.
const ARRIVAL_US: i64 = 250;
/// A peer whose clock jumps by more (units of the reference, about a minute) begins anew.
const LONGEST_JUMP: i64 = 1_000;
/// After a probe a growing queue is the probe's own for so long, and a round trip.
const PROBE_ECHO: Duration = Duration::from_millis(150);
/// Packets between two feedbacks; what seems more is a step back.
const MOST_SKIPPED: u16 = 1 << 15;
/// Weight of a new round-trip time.
const ROUND_TRIP_SHARE: u32 = 8;

/// See the module.
#[derive(Debug, Default)]
pub struct TransportWide {
    sent: SentPackets,
    reference: Option<(u32, i64)>,
    /// Number of the last feedback, and of the packet after the last one that it was about.
    reported: Option<(u8, u16)>,
    trendline: Trendline,
    throughput: Throughput,
    delay_rate: DelayRate,
    losses: LossBound,
    clusters: Clusters,
    rtt: Option<Duration>,
    /// Since when a queue stands as it does, in the peer's time, and the rate at that time.
    before_standing: Option<(i64, f64)>,
    probe_sent_at: Option<Instant>,
    is_congested: bool,
    /// Packets that are known to be lost because the peer has asked for them, and are not counted yet.
    asked_for: f64,
    /// Packets that arrived with one feedback, in the order of their arrival.
    arrived: Vec<(ArrivedPacket, Option<super::ProbeTag>)>,
}

impl TransportWide {
    /// The peer's time at the beginning of a feedback.
    fn reference_us(&mut self, reference: u32) -> i64 {
        let extended = match self.reference {
            None => 0,
            Some((before, extended)) => {
                // 24 bits that wrap.
                #[expect(
                    clippy::cast_possible_wrap,
                    reason = "the upper bits are those of a signed difference"
                )]
                let moved = i64::from((reference.wrapping_sub(before) << 8) as i32 >> 8);
                if moved.abs() > LONGEST_JUMP {
                    self.trendline = Trendline::default();
                    self.throughput = Throughput::default();
                    0
                } else {
                    extended + moved
                }
            }
        };
        self.reference = Some((reference, extended));
        extended * REFERENCE_US
    }

    /// Matches a feedback with what was sent.
    fn collect(&mut self, feedback: &Arrivals) -> Losses {
        let reference_us = self.reference_us(feedback.reference);
        self.arrived.clear();
        let mut losses = self.skip(feedback);
        let asked_for = std::mem::take(&mut self.asked_for);
        losses.add(Losses { lost: asked_for, total: asked_for, delivered_bits: 0.0 });
        let mut received = feedback.received.iter().peekable();
        for (distance, packet) in self.sent.range(feedback.first_seq, feedback.count) {
            while received.next_if(|(other, _)| *other < distance).is_some() {}
            let Some((_, arrival)) = received.next_if(|(other, _)| *other == distance) else {
                if packet.fate == Fate::Unknown {
                    packet.fate = Fate::Missing;
                    losses.lost += 1.0;
                    losses.total += 1.0;
                }
                continue;
            };
            match packet.fate {
                Fate::Arrived | Fate::Repeated => continue,
                Fate::Missing => losses.lost -= 1.0, // late, not lost
                Fate::Unknown => losses.total += 1.0,
            }
            packet.fate = Fate::Arrived;
            let bits = f64::from(packet.bytes) * 8.0;
            losses.delivered_bits += bits;
            let arrived_us = reference_us + i64::from(*arrival) * ARRIVAL_US;
            let arrived = ArrivedPacket { sent_at: packet.at, arrived_us, bytes: packet.bytes as usize };
            self.arrived.push((arrived, packet.probe));
        }
        self.arrived.sort_by_key(|(packet, _)| packet.arrived_us);
        losses
    }

    /// Between two feedbacks that follow each other there is nothing but what was lost: many receivers begin each one with
    /// what has arrived.
    fn skip(&mut self, feedback: &Arrivals) -> Losses {
        let mut losses = Losses::default();
        let end = feedback.first_seq.wrapping_add(feedback.count);
        let Some((number, next)) = self.reported.replace((feedback.number, end)) else { return losses };
        let skipped = feedback.first_seq.wrapping_sub(next);
        if feedback.number != number.wrapping_add(1) || skipped > MOST_SKIPPED {
            return losses;
        }
        for (_, packet) in self.sent.range(next, skipped) {
            if packet.fate == Fate::Unknown {
                packet.fate = Fate::Missing;
                losses.lost += 1.0;
                losses.total += 1.0;
            }
        }
        losses
    }

    fn note_round_trip(&mut self, now: Instant) {
        let Some(last) = self.arrived.iter().map(|(packet, _)| packet.sent_at).max() else { return };
        let sample = now.saturating_duration_since(last);
        let rtt = self.rtt.map_or(sample, |rtt| (rtt * (ROUND_TRIP_SHARE - 1) + sample) / ROUND_TRIP_SHARE);
        self.rtt = Some(rtt);
        self.delay_rate.set_round_trip(rtt);
    }

    /// Whether a growing queue may be that of a probe.
    fn is_echo(&self, now: Instant) -> bool {
        let echo = PROBE_ECHO + self.rtt.unwrap_or_default();
        self.probe_sent_at.is_some_and(|at| now < at + echo)
    }

    /// Whether a queue grows, or is full.
    fn is_filling(&self) -> bool {
        match self.trendline.path_use() {
            PathUse::Over => true,
            PathUse::Normal => self.trendline.is_standing(),
            PathUse::Under => false,
        }
    }

    /// What stood there and was answered by sending less may have turned out to be no queue.
    fn follow_base(&mut self, now: Instant) {
        let restored = self.before_standing.filter(|_| self.trendline.take_rebased());
        if let Some((_, rate_bps)) = restored {
            self.delay_rate.restore(now, rate_bps);
        }
        let since_us = self.trendline.standing_since_us();
        if self.before_standing.map(|(since_us, _)| since_us) != since_us {
            self.before_standing = since_us.zip(self.delay_rate.rate_bps());
        }
    }

    fn follow_delays(&mut self, now: Instant) {
        self.follow_base(now);
        let is_over = self.is_filling();
        let known = self.delay_rate.rate_bps();
        let throughput = if is_over { self.throughput.early_rate_bps() } else { self.throughput.rate_bps() };
        // What the path loses by itself has passed the narrowest link as well, as far as anybody knows.
        let Some(throughput_bps) = throughput.map(|bps| bps / (1.0 - self.losses.own())) else { return };
        if known.is_none() && !is_over {
            // The first that is known at all: as much as has come through, but not less than anybody has.
            self.delay_rate.set_rate(now, (1.5 * throughput_bps).max(START_RATE_BPS));
        }
        let path_use = match self.trendline.path_use() {
            // It may be the probe's own. When there is nothing else to go by, it is what there is.
            _ if is_over && self.is_echo(now) && known.is_some() => PathUse::Under,
            _ if is_over => PathUse::Over,
            other => other,
        };
        self.is_congested |= self.delay_rate.follow(now, path_use, throughput_bps);
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    fn follow_probes(&mut self, now: Instant, had_probe: bool) {
        let Some(shown_bps) = self.clusters.result_bps(self.losses.lately()).filter(|_| had_probe) else {
            return;
        };
        if self.estimate().is_none_or(|estimate| shown_bps > estimate.total_bps as f64) {
            self.delay_rate.set_rate(now, shown_bps);
            self.losses.lift();
        }
    }
}

impl Estimator for TransportWide {
    fn note_sent(&mut self, departure: Departure) {
        if departure.probe.is_some() {
            self.probe_sent_at = Some(departure.at);
        }
        let Some(seq) = departure.seq else { return };
        let packet = SentPacket {
            at: departure.at,
            bytes: u32::try_from(departure.bytes).unwrap_or(u32::MAX),
            probe: departure.probe,
            fate: Fate::Unknown,
        };
        self.sent.push(seq, packet);
    }

    fn note_repeated(&mut self, transport_seq: u16) {
        for (_, packet) in self.sent.range(transport_seq, 1) {
            match packet.fate {
                Fate::Missing => packet.fate = Fate::Repeated,
                // The peer has asked for it before it could tell what has arrived.
                Fate::Unknown => {
                    packet.fate = Fate::Repeated;
                    self.asked_for += 1.0;
                }
                Fate::Repeated | Fate::Arrived => {}
            }
        }
    }

    fn take_arrivals(&mut self, now: Instant, feedback: &Arrivals) {
        let losses = self.collect(feedback);
        self.note_round_trip(now);
        let arrived = std::mem::take(&mut self.arrived);
        let mut had_probe = false;
        for (packet, probe) in &arrived {
            self.trendline.note(*packet);
            self.throughput.note(packet.arrived_us, packet.bytes);
            if let Some(tag) = probe {
                had_probe = true;
                self.clusters.note(*tag, *packet);
            }
        }
        self.arrived = arrived; // the allocation serves again
        self.is_congested = false;
        self.follow_delays(now);
        self.follow_probes(now, had_probe);
        if let Some(rate_bps) = self.delay_rate.rate_bps() {
            let is_queueing = self.is_filling();
            self.is_congested |= self.losses.note(now, losses, rate_bps, is_queueing);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.sent.shrink(now);
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.sent.next_shrink()
    }

    fn estimate(&self) -> Option<RateEstimate> {
        let by_delay = self.delay_rate.rate_bps()?;
        let rate_bps = self.losses.bound_bps().map_or(by_delay, |bound| bound.min(by_delay));
        Some(RateEstimate { total_bps: super::plausible(rate_bps), is_congested: self.is_congested })
    }

    fn round_trip(&self) -> Option<Duration> {
        self.rtt
    }

    fn own_loss(&self) -> f64 {
        self.losses.own()
    }
}
