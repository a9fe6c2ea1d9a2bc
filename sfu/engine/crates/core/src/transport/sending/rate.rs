//! The rate at which a transport sends: what is known of the path, what may leave now, what waits, and what is tried.
//!
//! Ties estimator, pacer and prober to the packets. Never writes one; `mod` does.

use std::time::{Duration, Instant};

use super::SendIndex;
use super::stream::HeldPacket;
use crate::estimator::{Departure, Estimator, Losses, ProbeTag, estimator_for};
use crate::pacer::{LeakyBucket, Pacer, Unpaced, Urgency, Waiting};
use crate::prober::{Plan, Prober, TICK, prober_for};
use crate::rate::{RateEstimate, RateFeedback, RateGoal};
use crate::rtcp::Arrivals;

/// Requests for lost packets that may wait; a peer that asks for more asks again.
const MAX_LOST: usize = 256;
/// Estimates are reported when they differ by this part, or reach what is tested for, …
const CHANGE_PERCENT: u64 = 3;
/// … and no more often than this.
const REPORT_INTERVAL: Duration = Duration::from_millis(50);
/// A load that is borne for a while is measured out over this time.
const LOAD_WINDOW: Duration = Duration::from_millis(500);

/// After congestion nothing is sent faster than what is known of the path allows, for so long.
const CALM: Duration = Duration::from_secs(1);
/// Over which what was sent counts as lately.
const LATELY: Duration = Duration::from_secs(1);
/// Far too much for a path: so many times what it bears.
const FLOOD_FACTOR: f64 = 2.0;

/// Something that waits to leave.
#[derive(Debug)]
pub(super) enum Held {
    /// A packet.
    Fresh { stream: SendIndex, ssrc: u32, packet: HeldPacket },
    /// A packet that a peer has lost, by its number; it is in the stream's history.
    Lost { stream: SendIndex, ssrc: u32, seq: u16, is_copy: bool },
}

/// A probe that is being sent.
#[derive(Debug)]
struct Probe {
    plan: Plan,
    began: Instant,
    sent_bytes: u64,
    /// Packets of padding.
    packets: u64,
}

/// Bytes that left lately, of what may have to wait.
#[derive(Debug)]
struct Recent {
    bytes: f64,
    decayed_at: Option<Instant>,
}

impl Recent {
    #[expect(clippy::cast_precision_loss, reason = "a rate, not an account")]
    fn add(&mut self, now: Instant, bytes: usize) {
        let elapsed = now.saturating_duration_since(*self.decayed_at.get_or_insert(now));
        if elapsed >= LATELY / 20 {
            self.bytes *= (-elapsed.as_secs_f64() / LATELY.as_secs_f64()).exp();
            self.decayed_at = Some(now);
        }
        self.bytes += bytes as f64;
    }
}

/// The rate of one transport.
#[derive(Debug)]
pub(super) struct RateControl {
    feedback: RateFeedback,
    estimator: Box<dyn Estimator>,
    pacer: Box<dyn Pacer>,
    prober: Box<dyn Prober>,
    waiting: Waiting<Held>,
    goal: RateGoal,
    congested_at: Option<Instant>,
    recent: Recent,
    next_seq: u64,
    probe: Option<Probe>,
    has_media: bool,
    /// The prober knows that there are media.
    has_told_prober: bool,
    /// Bytes sent that the estimator has not been told of yet.
    untold_bytes: usize,
    /// The peer has spoken of congestion since the last report.
    has_new_congestion: bool,
    reported: Option<(Instant, Option<RateEstimate>)>,
    due: Option<Instant>,
}

impl RateControl {
    pub(super) fn new(feedback: RateFeedback) -> Self {
        Self {
            feedback,
            estimator: estimator_for(feedback),
            pacer: pacer_for(feedback),
            prober: prober_for(feedback),
            waiting: Waiting::default(),
            goal: RateGoal::default(),
            congested_at: None,
            recent: Recent { bytes: 0.0, decayed_at: None },
            next_seq: 0,
            probe: None,
            has_media: false,
            has_told_prober: false,
            untold_bytes: 0,
            has_new_congestion: false,
            reported: None,
            due: None,
        }
    }

    /// By what the rate is estimated.
    pub(super) const fn feedback(&self) -> RateFeedback {
        self.feedback
    }

    /// The peer has turned out to give another feedback than was hoped for: begins anew with that.
    pub(super) fn go_by(&mut self, now: Instant, feedback: RateFeedback) {
        if self.feedback == feedback {
            return;
        }
        self.feedback = feedback;
        (self.estimator, self.pacer, self.prober) =
            (estimator_for(feedback), pacer_for(feedback), prober_for(feedback));
        (self.probe, self.has_told_prober, self.congested_at) = (None, false, None);
        self.prober.set_goal(now, self.goal);
        self.settle(now);
    }

    /// When time is to pass at the latest.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Whether the peer has not spoken of congestion for a while.
    pub(super) fn is_calm(&self, now: Instant) -> bool {
        self.congested_at.is_none_or(|at| now >= at + CALM)
    }

    /// When the peer spoke of congestion last, if that was lately and far more was sent than the path bears.
    #[expect(clippy::cast_precision_loss, reason = "a rate, not an account")]
    pub(super) fn flooded_at(&self, now: Instant) -> Option<Instant> {
        let at = self.congested_at.filter(|_| !self.is_calm(now))?;
        let borne_bytes = self.estimator.estimate()?.total_bps as f64 / 8.0;
        (self.recent.bytes > FLOOD_FACTOR * borne_bytes * LATELY.as_secs_f64()).then_some(at)
    }

    /// How long a packet and the feedback on it take; `None`: not known.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.estimator.round_trip()
    }

    /// What part of the packets the path loses by itself, as far as that is known.
    pub(super) fn own_loss(&self) -> f64 {
        self.estimator.own_loss()
    }

    /// The same of a path that carries all that is wanted, so that there is room for answers that go more than once.
    pub(super) fn spare_loss(&self, now: Instant) -> f64 {
        let has_room = self.is_calm(now) && self.goal.allocated_bps >= self.goal.wanted_bps;
        if has_room { self.own_loss() } else { 0.0 }
    }

    /// What is known of the path.
    pub(super) fn estimate(&self) -> Option<RateEstimate> {
        self.estimator.estimate()
    }

    /// Members of a JSON object for diagnosis.
    pub(super) fn snapshot(&self) -> String {
        let or_null =
            |value: Option<u128>| value.map_or_else(|| "null".to_owned(), |value| value.to_string());
        let estimate = self.estimator.estimate();
        format!(
            "\"estimate_bps\":{},\"congested\":{},\"feedback_rtt_ms\":{},\"paced_packets\":{},\"probing\":{}",
            or_null(estimate.map(|estimate| estimate.total_bps.into())),
            estimate.is_some_and(|estimate| estimate.is_congested),
            or_null(self.estimator.round_trip().map(|rtt| rtt.as_millis())),
            self.waiting.len(),
            self.probe.is_some(),
        )
    }

    pub(super) fn set_goal(&mut self, now: Instant, goal: RateGoal) {
        self.goal = goal;
        self.prober.set_goal(now, goal);
        self.set_pace(now);
        self.settle(now);
    }

    /// Number of the next packet that carries one.
    #[expect(clippy::cast_possible_truncation, reason = "16 bits are sent")]
    pub(super) const fn next_seq(&self) -> u16 {
        self.next_seq as u16
    }

    /// Whether a packet that would like to leave now has to wait.
    pub(super) fn must_wait(&mut self, now: Instant) -> bool {
        !self.waiting.is_empty() || !self.pacer.admits(now)
    }

    /// Lets a new packet wait.
    pub(super) fn hold(&mut self, now: Instant, (stream, ssrc): (SendIndex, u32), packet: HeldPacket) {
        let bytes = packet.payload_bytes();
        self.waiting.push(now, Urgency::Fresh, bytes, Held::Fresh { stream, ssrc, packet });
    }

    /// Whether packets of a stream wait.
    pub(super) fn holds(&self, stream: SendIndex, ssrc: u32) -> bool {
        self.waiting.has_fresh(
            |held| matches!(held, Held::Fresh { stream: other, ssrc: of, .. } if (*other, *of) == (stream, ssrc)),
        )
    }

    /// Lets the request for a lost packet wait. False: too many do.
    pub(super) fn hold_lost(
        &mut self,
        now: Instant,
        (stream, ssrc): (SendIndex, u32),
        seq: u16,
        bytes: usize,
    ) -> bool {
        if self.waiting.count(Urgency::Lost) >= MAX_LOST {
            return false;
        }
        self.waiting.push(now, Urgency::Lost, bytes, Held::Lost { stream, ssrc, seq, is_copy: false });
        true
    }

    /// What may leave now of what waits.
    pub(super) fn release(&mut self, now: Instant) -> Option<Held> {
        if self.waiting.is_empty() {
            return None;
        }
        self.pacer.set_backlog(now, self.waiting.backlog());
        let released = if self.pacer.admits(now) { self.waiting.pop() } else { None };
        if self.waiting.is_empty() {
            self.pacer.set_backlog(now, None);
        }
        released
    }

    /// A packet has left. `is_paced`: it may have to wait. `has_seq`: it carries [`Self::next_seq`].
    pub(super) fn note_sent(&mut self, now: Instant, bytes: usize, is_paced: bool, has_seq: bool) {
        if is_paced {
            self.pacer.note_sent(now, bytes);
            self.recent.add(now, bytes);
            self.has_media = true;
        }
        if let Some(probe) = &mut self.probe {
            probe.sent_bytes += bytes as u64;
        }
        if has_seq {
            let departure = Departure { at: now, seq: Some(self.next_seq), bytes, probe: self.tag() };
            self.next_seq += 1;
            self.estimator.note_sent(departure);
        } else {
            self.untold_bytes += bytes;
        }
    }

    /// A packet has left once more under the transport-wide number that it had.
    pub(super) fn note_repeated(&mut self, transport_seq: u16) {
        self.estimator.note_repeated(transport_seq);
    }

    fn tag(&self) -> Option<ProbeTag> {
        let plan = self.probe.as_ref().map(|probe| probe.plan).filter(|plan| plan.is_cluster)?;
        Some(ProbeTag { id: plan.id, rate_bps: plan.rate_bps })
    }

    /// Ends a flush: what left with it is told. True: time is to pass earlier than was known.
    pub(super) fn finish(&mut self, now: Instant) -> bool {
        self.tell(now);
        if !self.has_media || self.has_told_prober && self.waiting.is_empty() {
            return false;
        }
        let before = self.due;
        self.has_told_prober = true;
        self.prober.note_media(now);
        self.settle(now);
        self.due.is_some_and(|due| before.is_none_or(|before| due < before))
    }

    fn tell(&mut self, now: Instant) {
        let bytes = std::mem::take(&mut self.untold_bytes);
        if bytes > 0 {
            self.estimator.note_sent(Departure { at: now, seq: None, bytes, probe: None });
        }
    }

    pub(super) fn take_arrivals(&mut self, now: Instant, feedback: &Arrivals) {
        self.tell(now);
        self.estimator.take_arrivals(now, feedback);
        self.follow_feedback(now);
    }

    pub(super) fn take_maximum(&mut self, now: Instant, rate_bps: u64) {
        self.tell(now);
        self.estimator.take_maximum(now, rate_bps);
        self.follow_feedback(now);
    }

    pub(super) fn take_losses(&mut self, now: Instant, losses: Losses) {
        self.tell(now);
        self.estimator.take_losses(now, losses);
        self.follow_feedback(now);
    }

    /// Lets time pass.
    pub(super) fn advance(&mut self, now: Instant) {
        self.tell(now);
        self.estimator.handle_timeout(now);
        self.follow_estimate(now, false);
    }

    /// The peer has spoken: what it says of congestion is news, once.
    fn follow_feedback(&mut self, now: Instant) {
        let is_congested = self.estimator.estimate().is_some_and(|estimate| estimate.is_congested);
        self.has_new_congestion |= is_congested;
        self.follow_estimate(now, is_congested);
    }

    fn follow_estimate(&mut self, now: Instant, is_congested: bool) {
        let estimate = self.estimator.estimate().map(|estimate| RateEstimate { is_congested, ..estimate });
        if is_congested {
            self.congested_at = Some(now);
        }
        self.set_pace(now);
        self.prober.set_estimate(now, estimate);
    }

    /// Packets leave by what is known of the path or, as long as nothing speaks against it, by what is to be sent: an
    /// estimate knows little more than what was sent before.
    fn set_pace(&mut self, now: Instant) {
        let is_calm = self.is_calm(now);
        let granted_bps = if is_calm { self.goal.allocated_bps } else { 0 };
        let known = self.estimator.estimate();
        self.pacer.set_estimate(now, known.map(|estimate| estimate.total_bps.max(granted_bps)));
    }

    /// Goes on with the probe that is under way, or begins one. True: one has begun.
    pub(super) fn advance_probe(&mut self, now: Instant) -> bool {
        let Some(plan) = self.prober.poll(now) else {
            if self.probe.take().is_some() {
                self.pacer.set_probe_rate(now, None);
            }
            return false;
        };
        let begins = self.probe.as_ref().is_none_or(|probe| probe.plan.id != plan.id);
        if begins {
            self.probe = Some(Probe { plan, began: now, sent_bytes: 0, packets: 0 });
        } else if let Some(probe) = &mut self.probe {
            probe.plan = plan;
            if !plan.is_cluster && now >= probe.began + LOAD_WINDOW {
                (probe.began, probe.sent_bytes) = (now, 0);
            }
        }
        self.pacer.set_probe_rate(now, plan.is_cluster.then_some(plan.rate_bps));
        begins
    }

    /// Padding that is to leave now: its number within the probe, and bytes.
    pub(super) fn padding(&mut self, now: Instant) -> Option<(u64, usize)> {
        if !self.waiting.is_empty() {
            return None; // what waits fills the path as well
        }
        let probe = self.probe.as_mut()?;
        let elapsed = now.saturating_duration_since(probe.began);
        // A burst begins with what is due by the next tick; a load follows the media, which come as they like.
        let due = bytes_in(probe.plan.rate_bps, if probe.plan.is_cluster { elapsed + TICK } else { elapsed });
        let missing = due.checked_sub(probe.sent_bytes).filter(|missing| *missing > 0)?;
        probe.packets += 1;
        Some((probe.packets, usize::try_from(missing).unwrap_or(usize::MAX)))
    }

    /// What is known; congestion only as long as it was not told since the peer spoke of it.
    fn told_estimate(&self) -> Option<RateEstimate> {
        let is_congested = self.has_new_congestion;
        self.estimator.estimate().map(|estimate| RateEstimate { is_congested, ..estimate })
    }

    /// A change of what is known that is worth being told.
    pub(super) fn poll_change(&mut self, now: Instant) -> Option<RateEstimate> {
        let estimate = self.told_estimate();
        let Some((at, before)) = self.reported else {
            let known = estimate?;
            self.reported = Some((now, estimate));
            return Some(known);
        };
        if !self.is_news(before, estimate) || now < at + REPORT_INTERVAL {
            return None;
        }
        self.reported = Some((now, estimate));
        self.has_new_congestion = false;
        Some(estimate.unwrap_or(RateEstimate { total_bps: u64::MAX, is_congested: false }))
    }

    /// Whether what is known now is worth being told. What is enough for the next step up is, however little it differs:
    /// the prober tests no further, and whoever raises must not wait for more.
    fn is_news(&self, before: Option<RateEstimate>, after: Option<RateEstimate>) -> bool {
        let needed_bps = self.goal.next_bps.max(self.goal.allocated_bps);
        let reaches = |known: RateEstimate| known.total_bps >= needed_bps;
        has_changed(before, after) || before.is_some_and(|told| !reaches(told)) && after.is_some_and(reaches)
    }

    /// When time is to pass next.
    pub(super) fn settle(&mut self, now: Instant) {
        let release = (!self.waiting.is_empty()).then(|| self.pacer.next_admission(now));
        let padding = self.probe.is_some().then_some(now + TICK);
        let known = self.reported.and_then(|(_, estimate)| estimate);
        let report = self
            .reported
            .filter(|_| self.is_news(known, self.told_estimate()))
            .map(|(at, _)| at + REPORT_INTERVAL);
        let times = [self.estimator.next_timeout(), self.prober.next_timeout(), release, padding, report];
        self.due = times.into_iter().flatten().min();
    }
}

fn pacer_for(feedback: RateFeedback) -> Box<dyn Pacer> {
    match feedback {
        RateFeedback::Off => Box::<Unpaced>::default(),
        RateFeedback::Receiver => Box::new(LeakyBucket::free_until_known()),
        RateFeedback::TransportWide => Box::<LeakyBucket>::default(),
    }
}

fn has_changed(before: Option<RateEstimate>, after: Option<RateEstimate>) -> bool {
    let (Some(before), Some(after)) = (before, after) else { return before != after };
    let difference = before.total_bps.abs_diff(after.total_bps);
    // Congestion that lasts is news as long as it lasts.
    after.is_congested || difference.saturating_mul(100) > before.total_bps.saturating_mul(CHANGE_PERCENT)
}

/// Bytes that a rate sends in some time.
fn bytes_in(rate_bps: u64, time: Duration) -> u64 {
    let bits = u128::from(rate_bps) * time.as_nanos() / 1_000_000_000;
    u64::try_from(bits / 8).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn congestion_is_told_again_only_when_the_peer_has_spoken_again() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut rate = RateControl::new(RateFeedback::Receiver);
        rate.take_maximum(start, 1_000_000);
        assert!(!rate.poll_change(start).unwrap().is_congested);
        for ms in 0..1_000 {
            rate.note_sent(at(ms), 150, false, false); // 1.2 Mbit/s
            rate.finish(at(ms));
        }
        rate.take_maximum(at(1_000), 300_000);
        assert!(rate.poll_change(at(1_000)).unwrap().is_congested);
        for ms in [1_100, 2_000, 10_000] {
            rate.advance(at(ms));
            assert_eq!(rate.poll_change(at(ms)), None, "nobody has said anything");
            rate.settle(at(ms));
            assert!(rate.deadline().is_none_or(|due| due >= at(11_000)), "nothing comes again and again");
        }
    }

    #[test]
    fn what_is_enough_for_the_next_step_is_told_however_little_it_differs() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut rate = RateControl::new(RateFeedback::Receiver);
        rate.set_goal(start, RateGoal { allocated_bps: 200_000, wanted_bps: 900_000, next_bps: 505_000 });
        rate.take_maximum(start, 500_000);
        assert_eq!(rate.poll_change(start).unwrap().total_bps, 500_000);
        rate.take_maximum(at(100), 504_999);
        assert_eq!(rate.poll_change(at(100)), None);
        rate.take_maximum(at(200), 505_000);
        rate.settle(at(200));
        assert!(rate.deadline().is_some_and(|due| due <= at(200)));
        assert_eq!(rate.poll_change(at(200)).unwrap().total_bps, 505_000);
        rate.settle(at(200));
        assert!(rate.deadline().is_none_or(|due| due > at(1_000)), "once");
        // What is needed may also become less.
        rate.set_goal(at(300), RateGoal { allocated_bps: 200_000, wanted_bps: 900_000, next_bps: 520_000 });
        rate.take_maximum(at(300), 510_000);
        assert_eq!(rate.poll_change(at(300)), None);
        rate.set_goal(at(400), RateGoal { allocated_bps: 200_000, wanted_bps: 900_000, next_bps: 508_000 });
        assert_eq!(rate.poll_change(at(400)).unwrap().total_bps, 510_000);
    }

    /// Packets of 1,250 bytes that may leave within a second from then on, asked every 5 ms.
    fn passing(rate: &mut RateControl, from: Instant) -> u32 {
        let mut passing = 0;
        for nth in 0..200 {
            let now = from + TICK * nth;
            while !rate.must_wait(now) {
                rate.note_sent(now, 1_250, true, false);
                passing += 1;
            }
            rate.finish(now);
        }
        passing
    }

    #[test]
    fn what_is_allocated_leaves_in_time_until_there_is_congestion() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rate = RateControl::new(RateFeedback::Receiver);
        rate.take_maximum(start, 400_000);
        let by_estimate = passing(&mut rate, at(1));
        assert!((95..=105).contains(&by_estimate), "{by_estimate}");
        rate.set_goal(
            at(3),
            RateGoal { allocated_bps: 2_000_000, wanted_bps: 2_000_000, next_bps: 2_000_000 },
        );
        let by_goal = passing(&mut rate, at(3));
        assert!((495..=505).contains(&by_goal), "{by_goal}");
        rate.take_maximum(at(4), 300_000); // it falls while more is sent
        let congested = passing(&mut rate, at(4));
        assert!((70..=80).contains(&congested), "{congested}");
    }
}
