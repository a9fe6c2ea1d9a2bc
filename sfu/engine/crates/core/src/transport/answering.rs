//! Applies a client's offer (roles `Publisher` and `Both`): which lines serve which subscriptions, the text before and
//! after str0m, what has become of the lines.

use std::time::Instant;

use str0m::change::SdpOffer;
use str0m::media::Mid;

use super::lines::{LineState, SendLine, Subscription};
use super::negotiation::{BoundLine, Negotiated, NegotiationError, split_candidates};
use super::{Transport, guard};
use crate::command::{MediaKind, PublishLine, TransportRole};
use crate::rate::RateFeedback;
use crate::sdp::{LineRole, LineUse, LocalLine, RemoteOffer, finish_description};

/// A client's receiving line and the waiting subscription that gets it, if any.
struct Assignment {
    mid: Mid,
    kind: MediaKind,
    subscription: Option<Subscription>,
}

impl Transport {
    /// Applies an offer. On an error the lines and subscriptions are as before.
    pub(crate) fn accept_offer(
        &mut self,
        now: Instant,
        offer: &RemoteOffer,
        publish: &[PublishLine],
    ) -> Result<Negotiated, NegotiationError> {
        if self.role == TransportRole::Subscriber {
            return Err(NegotiationError::WrongRole);
        }
        let mut payload_types = self.payload_types.clone();
        payload_types.adopt(offer)?;
        let assignments = self.assign(offer);
        let answer = self.answer_text(now, offer, publish, &assignments)?;
        self.payload_types = payload_types;
        let lost = self.release_withdrawn_lines(&assignments);
        let fresh = self.commit(assignments);
        self.remove_library_streams();
        let bound = fresh.into_iter().filter_map(|mid| self.bind(now, mid)).collect();
        for subscription in lost {
            self.lines.wait_first(subscription);
        }
        self.rx_streams.clear();
        self.has_negotiated = true;
        self.requirement.note_offer(now, &self.lines);
        let sdp = self.finish(&answer, offer, publish);
        Ok(Negotiated { sdp, mid_to_track: self.mid_to_track(), bound, refused: Vec::new() })
    }

    /// Gives free receiving lines to waiting subscriptions, in order.
    fn assign(&self, offer: &RemoteOffer) -> Vec<Assignment> {
        let mut assignments = Vec::new();
        if self.role != TransportRole::Both {
            return assignments;
        }
        for kind in [MediaKind::Audio, MediaKind::Video] {
            let mut waiting = self.lines.placeable(kind);
            for media in offer.receiving(kind) {
                let mid = Mid::from(media.mid.as_str());
                let is_free = self.lines.get(mid).is_none_or(|line| line.state == LineState::Free);
                let subscription = if is_free { waiting.next().cloned() } else { None };
                assignments.push(Assignment { mid, kind, subscription });
            }
        }
        assignments
    }

    fn answer_text(
        &mut self,
        now: Instant,
        offer: &RemoteOffer,
        publish: &[PublishLine],
        assignments: &[Assignment],
    ) -> Result<String, NegotiationError> {
        let serves = |assignment: &&Assignment| {
            assignment.subscription.is_some() || self.lines.is_sending(assignment.mid)
        };
        let assigned: Vec<Mid> = assignments.iter().filter(serves).map(|assignment| assignment.mid).collect();
        let assigned: Vec<&str> = assigned.iter().map(|mid| &**mid).collect();
        let published: Vec<&str> = publish.iter().map(|line| &*line.mid).collect();
        let text = offer.text_for(&LineUse {
            published: &published,
            assigned: &assigned,
            transport_cc: self.rate_feedback == RateFeedback::TransportWide,
            without_sources: !self.sources.declare(now, offer.sources_of(&published)),
        });
        let text = self.extensions.filter(&text);
        let (text, candidates) = split_candidates(&text);
        let rtc = &mut self.rtc;
        let answer = guard(move || {
            let offer = SdpOffer::from_sdp_string(&text).map_err(|_| NegotiationError::Unusable)?;
            let answer = rtc.sdp_api().accept_offer(offer).map_err(|_| NegotiationError::Contradiction)?;
            Ok(answer.to_sdp_string())
        })
        .unwrap_or(Err(NegotiationError::Fault));
        // What was refused may have been taken over in part.
        self.note_extensions(offer.media.iter().map(|media| &*media.mid));
        let answer = answer?;
        self.note_remote_ufrag(offer.ice_ufrag());
        for candidate in candidates {
            self.add_remote_candidate(candidate);
        }
        Ok(answer)
    }

    /// Forgets lines on which the client no longer offers to receive; it is asked for others. Gives the subscriptions that
    /// they served.
    fn release_withdrawn_lines(&mut self, assignments: &[Assignment]) -> Vec<Subscription> {
        let is_offered = |line: &SendLine| assignments.iter().any(|assignment| assignment.mid == line.mid);
        let mut lost = Vec::new();
        for line in self.lines.extract(is_offered) {
            self.close_stream(line.mid);
            if let LineState::Bound(subscription) = line.state {
                lost.push(subscription);
            }
        }
        lost
    }

    /// Makes the assignments real. Gives the lines that newly serve a subscription.
    fn commit(&mut self, assignments: Vec<Assignment>) -> Vec<Mid> {
        let mut fresh = Vec::new();
        for Assignment { mid, kind, subscription } in assignments {
            if let Some(subscription) = &subscription {
                fresh.push(mid);
                self.lines.end_waiting(subscription.down);
            }
            let ssrcs = subscription.is_some().then(|| self.fresh_ssrcs(kind));
            let state = subscription.map(LineState::Bound);
            let Some(line) = self.lines.get_mut(mid) else {
                self.lines.push(SendLine { mid, kind, state: state.unwrap_or(LineState::Free), ssrcs });
                continue;
            };
            match state {
                Some(state) => {
                    line.state = state;
                    line.ssrcs = ssrcs;
                }
                // Answered as inactive just now.
                None if matches!(line.state, LineState::Retiring { .. }) => line.state = LineState::Free,
                None => {}
            }
        }
        fresh
    }

    fn bind(&mut self, now: Instant, mid: Mid) -> Option<BoundLine> {
        let down = self.lines.bound_down(mid)?;
        let (stream, ssrc) = self.open_stream(now, mid)?;
        Some(BoundLine { down, mid, stream, ssrc })
    }

    fn finish(&self, answer: &str, offer: &RemoteOffer, publish: &[PublishLine]) -> String {
        let receiving = publish.iter().map(|line| {
            let offered = offer.media.iter().find(|media| *media.mid == *line.mid);
            let start_bitrates = offered.map_or(&[][..], |media| &media.start_bitrates);
            LocalLine { mid: &line.mid, role: LineRole::Receiving(line), start_bitrates }
        });
        let lines: Vec<LocalLine<'_>> = receiving.chain(self.sending_lines()).collect();
        finish_description(answer, &lines, &self.candidates)
    }
}
