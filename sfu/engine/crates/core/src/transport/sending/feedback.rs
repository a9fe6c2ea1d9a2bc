//! What the peer says of our streams: reports, what it has lost, what its decoders need, what the path bears.

use std::time::Instant;

use super::super::Transport;
use super::super::drive::{Outlet, Signal};
use super::rate::Held;
use crate::estimator::Losses;
use crate::rtcp::{self, Feedback};

impl Transport {
    /// Takes in RTCP of the peer as far as it is about our streams. False: it is not authentic, or too early.
    pub(in super::super) fn take_feedback(
        &mut self,
        now: Instant,
        datagram: &[u8],
        outlet: &mut Outlet<'_>,
    ) -> bool {
        let Some(compound) = self.sending.session().and_then(|session| session.open_rtcp(datagram)) else {
            return false;
        };
        let mut losses = Losses::default();
        for feedback in rtcp::read_feedback(&compound) {
            self.act_on(now, feedback, &mut losses, outlet);
        }
        if losses.total > 0.0 {
            self.sending.rate.take_losses(now, losses);
        }
        self.tell_rate(now, outlet);
        true
    }

    fn act_on(&mut self, now: Instant, feedback: Feedback, losses: &mut Losses, outlet: &mut Outlet<'_>) {
        match feedback {
            Feedback::Report(block) => {
                let Some(stream) = self.sending.stream_by(block.ssrc) else { return };
                stream.note_report(now, block);
                losses.add(stream.losses(block));
                if stream.ssrcs.resend.is_none() {
                    // Audio is not sent again: its sender can only add redundancy.
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
            Feedback::Arrivals(arrivals) => self.sending.rate.take_arrivals(now, &arrivals),
            Feedback::MaximumRate { rate_bps } => self.sending.rate.take_maximum(now, rate_bps),
        }
    }

    /// Sends what a peer has lost again, now or soon.
    fn send_again(&mut self, now: Instant, ssrc: u32, entries: &[(u16, u16)], outlet: &mut Outlet<'_>) {
        let sending = &self.sending;
        let Some((index, _)) = sending.streams.iter().find(|(_, stream)| stream.ssrcs.media == ssrc) else {
            return;
        };
        outlet.counters.nacks += 1;
        let missing = entries.iter().flat_map(|&(first, mask)| {
            let more = (0..16_u16).filter(move |bit| mask >> bit & 1 == 1);
            std::iter::once(first).chain(more.map(move |bit| first.wrapping_add(bit + 1)))
        });
        for seq in missing {
            let bytes = self.sending.streams.get(index).and_then(|stream| stream.resend_bytes(seq));
            let Some(bytes) = bytes else { continue };
            if !self.sending.rate.must_wait(now) {
                self.send_held(now, Held::Lost { stream: index, ssrc, seq }, outlet);
            } else if !self.sending.rate.hold_lost(now, (index, ssrc), seq, bytes) {
                outlet.counters.resends_refused += 1;
            }
        }
    }
}
