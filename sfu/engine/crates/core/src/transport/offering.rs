//! Our own offers (role `Subscriber`): debounced, one outstanding at a time, later changes gathered into the next;
//! lines reused, never piled up.

use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::channel::{ChannelConfig, Reliability};
use str0m::media::{Direction, Mid};

use super::channels::{DATA_TRACK_LABEL, LOSSY_LABEL, RELIABLE_LABEL};
use super::lines::{LineState, SendLine, Subscription};
use super::negotiation::{BoundLine, Negotiated, NegotiationError, split_candidates};
use super::sending::Ssrcs;
use super::{Transport, guard, to_str0m_kind};
use crate::command::TransportRole;
use crate::ids::RequestId;
use crate::sdp::{LocalLine, RemoteAnswer, finish_description};

/// Changes within that time of the last offer wait until it is over …
const BUSY_DEBOUNCE: Duration = Duration::from_millis(150);
/// … others that long.
const IDLE_DEBOUNCE: Duration = Duration::from_millis(10);

/// An offer of ours, ready to send.
#[derive(Debug)]
pub(crate) struct OwnOffer {
    pub(crate) request: RequestId,
    pub(crate) sdp: String,
    pub(crate) mid_to_track: Vec<(String, String)>,
    /// New local ufrag when the offer restarts ICE.
    pub(crate) ufrag: Option<String>,
}

/// State of our offering.
#[derive(Default)]
pub(super) struct Offering {
    outstanding: Option<(RequestId, SdpPendingOffer)>,
    due: Option<Instant>,
    last_offer_at: Option<Instant>,
    next_request: u64,
    wants_ice_restart: bool,
    has_channels: bool,
}

impl Offering {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due.filter(|_| self.outstanding.is_none())
    }
}

impl Transport {
    /// Lines or subscriptions have changed, or the first offer is wanted.
    pub(super) fn want_offer(&mut self, now: Instant) {
        let offering = &mut self.offering;
        let since_last = offering.last_offer_at.map(|at| now.saturating_duration_since(at));
        let due = match since_last {
            None => now,
            Some(elapsed) if elapsed < BUSY_DEBOUNCE => now + BUSY_DEBOUNCE,
            Some(_) => now + IDLE_DEBOUNCE,
        };
        offering.due = Some(offering.due.map_or(due, |earlier| earlier.min(due)));
    }

    /// The next offer is to restart ICE; an outstanding one is given up, for its answer will not come.
    pub(crate) fn restart_ice(&mut self, now: Instant) {
        if self.role != TransportRole::Subscriber {
            return;
        }
        self.give_up_offer();
        self.offering.wants_ice_restart = self.has_negotiated;
        self.offering.due = Some(now);
    }

    /// Takes back what the outstanding offer announced. Lines that it was to add vanish with it.
    fn give_up_offer(&mut self) {
        if self.offering.outstanding.take().is_some() {
            self.withdraw_offered_lines();
        }
    }

    fn withdraw_offered_lines(&mut self) {
        if !self.has_negotiated {
            self.offering.has_channels = false;
        }
        let is_settled = |line: &SendLine| !matches!(line.state, LineState::Offered { is_new: true, .. });
        let vanished = self.lines.extract(is_settled);
        for line in vanished.into_iter().rev() {
            if let LineState::Offered { subscription, .. } = line.state {
                self.lines.wait_first(subscription);
            }
        }
        for line in self.lines.iter_mut() {
            if let LineState::Retiring { offered } = &mut line.state {
                *offered = false;
            }
        }
    }

    /// The next offer, when it is time for one.
    pub(super) fn poll_offer(&mut self, now: Instant) -> Result<Option<OwnOffer>, NegotiationError> {
        if self.offering.deadline().is_none_or(|due| now < due) {
            return Ok(None);
        }
        self.offering.due = None;
        guard(|| self.make_offer(now)).map_err(|_| NegotiationError::Fault)
    }

    fn make_offer(&mut self, now: Instant) -> Option<OwnOffer> {
        let (reused, added) = self.place_waiting();
        for (mid, kind) in reused {
            let ssrcs = self.fresh_ssrcs(kind);
            if let Some(line) = self.lines.get_mut(mid) {
                line.ssrcs = Some(ssrcs);
            }
        }
        let added: Vec<(Subscription, Ssrcs)> = added
            .into_iter()
            .map(|subscription| {
                let ssrcs = self.fresh_ssrcs(subscription.kind);
                (subscription, ssrcs)
            })
            .collect();
        let mut ufrag = None;
        let mut new_lines = Vec::new();
        let mut api = self.rtc.sdp_api();
        if !self.offering.has_channels {
            for config in channel_configs() {
                api.add_channel_with_config(config);
            }
        }
        if self.offering.wants_ice_restart {
            ufrag = Some(api.ice_restart(true).ufrag);
        }
        for line in self.lines.iter_mut() {
            match &mut line.state {
                LineState::Retiring { offered } => {
                    *offered = true;
                    api.set_direction(line.mid, Direction::Inactive);
                }
                LineState::Offered { .. } => api.set_direction(line.mid, Direction::SendOnly),
                LineState::Free | LineState::Bound(_) | LineState::Fading(_) => {}
            }
        }
        for (subscription, ssrcs) in added {
            let stream_id = Some(subscription.stream_id.to_string());
            let track_id = Some(subscription.track_sid.to_string());
            let kind = subscription.kind;
            let mid = api.add_media(to_str0m_kind(kind), Direction::SendOnly, stream_id, track_id, None);
            let state = LineState::Offered { subscription, is_new: true };
            new_lines.push(SendLine { mid, kind, state, ssrcs: Some(ssrcs) });
        }
        let (offer, pending) = api.apply()?;
        for line in new_lines {
            self.lines.push(line);
        }
        let lines: Vec<LocalLine<'_>> = self.sending_lines().collect();
        let sdp = finish_description(&offer.to_sdp_string(), &lines, &self.candidates);
        let request = RequestId(self.offering.next_request);
        let offering = &mut self.offering;
        offering.next_request += 1;
        offering.outstanding = Some((request, pending));
        offering.last_offer_at = Some(now);
        offering.has_channels = true;
        offering.wants_ice_restart = false;
        Some(OwnOffer { request, sdp, mid_to_track: self.mid_to_track(), ufrag })
    }

    /// Puts waiting subscriptions on free lines. Gives the lines reused and the subscriptions that need a new one.
    fn place_waiting(&mut self) -> (Vec<(Mid, crate::command::MediaKind)>, Vec<Subscription>) {
        let mut reused = Vec::new();
        let mut added = Vec::new();
        for subscription in self.lines.take_placeable() {
            let is_usable =
                |line: &&mut SendLine| line.kind == subscription.kind && line.state == LineState::Free;
            match self.lines.iter_mut().find(is_usable) {
                Some(line) => {
                    reused.push((line.mid, line.kind));
                    line.state = LineState::Offered { subscription, is_new: false };
                }
                None => added.push(subscription),
            }
        }
        (reused, added)
    }

    /// Applies the client's answer. `None`: it answers an older offer.
    pub(crate) fn accept_answer(
        &mut self,
        now: Instant,
        request: RequestId,
        sdp: &str,
    ) -> Option<Result<Negotiated, NegotiationError>> {
        let (_, pending) = self.offering.outstanding.take_if(|(expected, _)| *expected == request)?;
        let applied = self.apply_answer(pending, sdp);
        if applied.is_err() {
            self.withdraw_offered_lines();
        }
        if self.offering.due.is_some() {
            self.offering.due = None;
            self.want_offer(now);
        }
        Some(applied.map(|()| self.settle_lines(now)))
    }

    fn apply_answer(&mut self, pending: SdpPendingOffer, sdp: &str) -> Result<(), NegotiationError> {
        let answer = RemoteAnswer::parse(sdp, &self.codecs)?;
        let mut payload_types = self.payload_types.clone();
        payload_types.adopt_answer(&answer)?;
        let text = self.extensions.filter(answer.text());
        let (text, candidates) = split_candidates(&text);
        let rtc = &mut self.rtc;
        let applied = guard(move || {
            let answer = SdpAnswer::from_sdp_string(&text).map_err(|_| NegotiationError::Unusable)?;
            rtc.sdp_api().accept_answer(pending, answer).map_err(|_| NegotiationError::Contradiction)
        })
        .unwrap_or(Err(NegotiationError::Fault));
        self.note_extensions(answer.mids());
        applied?;
        self.payload_types = payload_types;
        for candidate in candidates {
            self.add_remote_candidate(candidate);
        }
        Ok(())
    }

    /// Reads from the association what the answer made of the lines.
    fn settle_lines(&mut self, now: Instant) -> Negotiated {
        self.has_negotiated = true;
        self.remove_library_streams();
        let mut taken = Vec::new();
        let mut refused = Vec::new();
        let mut silent = Vec::new();
        for line in self.lines.iter_mut() {
            let sends = self.rtc.media(line.mid).is_some_and(|media| media.direction().is_sending());
            match std::mem::replace(&mut line.state, LineState::Free) {
                LineState::Offered { subscription, .. } if sends => {
                    taken.push((subscription.down, line.mid));
                    line.state = LineState::Bound(subscription);
                }
                LineState::Offered { subscription, .. } => {
                    refused.push(subscription.down);
                    silent.push(line.mid);
                }
                LineState::Retiring { offered: true } => silent.push(line.mid),
                state => {
                    // A line retired while its first offer was out has only now got a stream.
                    if matches!(state, LineState::Retiring { .. }) {
                        silent.push(line.mid);
                    }
                    line.state = state;
                }
            }
        }
        for mid in silent {
            self.close_stream(mid);
        }
        self.turned_down.extend_from_slice(&refused);
        let has_retired = self.lines.iter().any(|line| matches!(line.state, LineState::Retiring { .. }));
        if has_retired {
            self.want_offer(now);
        }
        let bind = |(down, mid): (usize, Mid)| {
            self.open_stream(now, mid).map(|(stream, ssrc)| BoundLine { down, mid, stream, ssrc })
        };
        let bound = taken.into_iter().filter_map(bind).collect();
        Negotiated { sdp: String::new(), mid_to_track: self.mid_to_track(), bound, refused }
    }
}

/// The channels of `protocol.md` §2.9.
fn channel_configs() -> [ChannelConfig; 3] {
    let lossy = |label: &str| ChannelConfig {
        label: label.to_owned(),
        ordered: false,
        reliability: Reliability::MaxRetransmits { retransmits: 0 },
        ..ChannelConfig::default()
    };
    let reliable = ChannelConfig { label: RELIABLE_LABEL.to_owned(), ..ChannelConfig::default() };
    [reliable, lossy(LOSSY_LABEL), lossy(DATA_TRACK_LABEL)]
}
