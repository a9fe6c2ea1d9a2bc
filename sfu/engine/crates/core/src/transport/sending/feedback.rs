//! What the peer says of our streams: reports, what it has lost, what its decoders need, what the path bears.

use std::time::Instant;

use super::super::Transport;
use super::super::drive::{Outlet, Signal};
use super::SendIndex;
use super::departed::Departed;
use super::feedback_budget::{acting_steps, reading_steps};
use super::rate::Held;
use super::stream::SendStream;
use crate::command::{MediaKind, TransportRole};
use crate::drop_reason::DropReason;
use crate::estimator::Losses;
use crate::rtcp::{self, Arrivals, Feedback};

/// What became of a datagram with RTCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Taken {
    /// It was taken in.
    Whole,
    /// Not all of it, or nothing: the peer causes more work than it may. Nobody else is to look at it either.
    Refused,
    /// It is not authentic, or too early.
    Unreadable,
}

impl Transport {
    /// Takes in RTCP of the peer as far as it is about our streams.
    pub(in super::super) fn take_feedback(
        &mut self,
        now: Instant,
        datagram: &[u8],
        outlet: &mut Outlet<'_>,
    ) -> Taken {
        let mut left = self.sending.feedback_budget.available(now);
        if left == 0 {
            return refused(outlet);
        }
        let Some(compound) = self.sending.session().and_then(|session| session.open_rtcp(datagram)) else {
            return Taken::Unreadable; // from whomever it came, it is nothing to charge the peer for
        };
        (self.heard, self.proven) = (now, now);
        let before = left;
        left = left.saturating_sub(reading_steps(datagram.len()));
        let is_whole =
            self.role == TransportRole::Publisher || self.act_on_all(now, &compound, &mut left, outlet);
        let spent = before - left;
        self.sending.feedback_budget.spend(now, spent);
        outlet.counters.feedback_steps += spent;
        if is_whole { Taken::Whole } else { refused(outlet) }
    }

    /// Acts on all that a compound says, as long as there is something left to spend. False: there was not.
    fn act_on_all(&mut self, now: Instant, compound: &[u8], left: &mut u64, outlet: &mut Outlet<'_>) -> bool {
        let mut losses = Losses::default();
        let mut is_whole = true;
        for feedback in rtcp::read_feedback(compound) {
            let Some(rest) = left.checked_sub(acting_steps(&feedback)) else {
                is_whole = false;
                break;
            };
            *left = rest;
            self.act_on(now, feedback, &mut losses, outlet);
        }
        if losses.total > 0.0 {
            self.sending.rate.take_losses(now, losses);
        }
        self.tell_rate(now, outlet);
        is_whole
    }

    fn act_on(&mut self, now: Instant, feedback: Feedback, losses: &mut Losses, outlet: &mut Outlet<'_>) {
        match feedback {
            Feedback::Report(block) => {
                let Some(stream) = self.sending.stream_by(block.ssrc) else { return };
                stream.note_report(now, block);
                losses.add(stream.losses(block));
                if stream.kind == MediaKind::Audio {
                    // What is lost in spite of all that goes again: its sender can add redundancy.
                    outlet.signal(Signal::AudioLost { mid: stream.mid, fraction_lost: block.fraction_lost });
                }
            }
            Feedback::KeyFrame { ssrc, is_full_intra } => {
                if let Some(mid) = self.sending.stream_by(ssrc).map(|stream| stream.mid) {
                    let count =
                        if is_full_intra { &mut outlet.counters.firs } else { &mut outlet.counters.plis };
                    *count += 1;
                    outlet.signal(Signal::KeyFrameWanted { mid });
                }
            }
            Feedback::Nack { ssrc, entries } => self.send_again(now, ssrc, &entries, outlet),
            Feedback::Arrivals(arrivals) => {
                self.sending.rate.take_arrivals(now, &arrivals);
                self.send_missing(now, &arrivals, outlet);
            }
            Feedback::MaximumRate { rate_bps } => self.sending.rate.take_maximum(now, rate_bps),
        }
    }

    /// Sends what a peer has lost again, now or soon.
    fn send_again(&mut self, now: Instant, ssrc: u32, entries: &[(u16, u16)], outlet: &mut Outlet<'_>) {
        let index = self.sending.by_ssrc.get(&ssrc).copied();
        let is_media = |index: &SendIndex| {
            self.sending.streams.get(*index).is_some_and(|stream| stream.ssrcs.media == ssrc)
        };
        let Some(index) = index.filter(is_media) else { return };
        outlet.counters.nacks += 1;
        let missing = entries.iter().flat_map(|&(first, mask)| {
            let more = (0..16_u16).filter(move |bit| mask >> bit & 1 == 1);
            std::iter::once(first).chain(more.map(move |bit| first.wrapping_add(bit + 1)))
        });
        for seq in missing {
            self.send_one_again(now, (index, ssrc), seq, outlet);
        }
    }

    /// Sends again what has not arrived, before the peer asks for it.
    fn send_missing(&mut self, now: Instant, arrivals: &Arrivals, outlet: &mut Outlet<'_>) {
        let mut missing = Vec::new();
        self.sending.departures.take_missing(arrivals, &mut missing);
        for Departed { stream, ssrc, seq, transport_seq } in missing {
            // What was asked for meanwhile is under way again; what becomes of that the next feedback tells.
            let is_latest = self.sending.streams.get(stream).filter(|known| known.ssrcs.media == ssrc);
            if is_latest.is_some_and(|known| known.left_last_as(seq, transport_seq)) {
                self.send_one_again(now, (stream, ssrc), seq, outlet);
            }
        }
    }

    fn send_one_again(
        &mut self,
        now: Instant,
        (stream, ssrc): (SendIndex, u32),
        seq: u16,
        outlet: &mut Outlet<'_>,
    ) {
        let rate = &self.sending.rate;
        let (round_trip, is_calm, flooded_at) = (rate.round_trip(), rate.is_calm(now), rate.flooded_at(now));
        let (own_loss, spare_loss) = (rate.own_loss(), rate.spare_loss(now));
        let Some(known) = self.sending.streams.get_mut(stream) else { return };
        let Some(bytes) = known.resend_bytes(seq) else { return };
        known.note_lost(now, round_trip, own_loss, spare_loss);
        known.note_flood(flooded_at);
        if !is_calm && known.is_dispensable(seq) {
            return; // where a link became narrow, the key frame of the lower layer needs what may be sent again
        }
        // Audio never waits.
        if known.kind == MediaKind::Audio || !self.sending.rate.must_wait(now) {
            let has_left = self.send_held(now, Held::Lost { stream, ssrc, seq, is_copy: false }, outlet);
            if has_left && is_calm {
                self.send_copies(now, (stream, ssrc), seq, outlet);
            }
        } else if !self.sending.rate.hold_lost(now, (stream, ssrc), seq, bytes) {
            outlet.counters.resends_refused += 1;
        }
    }

    /// Where much is lost, the answer may be, too, and another round trip comes too late for the picture.
    fn send_copies(
        &mut self,
        now: Instant,
        (stream, ssrc): (SendIndex, u32),
        seq: u16,
        outlet: &mut Outlet<'_>,
    ) {
        for _ in 0..self.sending.streams.get(stream).map_or(0, SendStream::copies) {
            self.send_held(now, Held::Lost { stream, ssrc, seq, is_copy: true }, outlet);
        }
    }
}

fn refused(outlet: &mut Outlet<'_>) -> Taken {
    outlet.counters.count_drop(DropReason::FeedbackExceeded);
    Taken::Refused
}
