//! What both directions of negotiation share: results, errors, the streams behind the lines.

use str0m::media::Mid;

use super::Transport;
use super::lines::DownIndex;
use super::sending::SendIndex;
use crate::rate::RateFeedback;
use crate::sdp::{LineRole, LocalLine, SdpError};

/// Why a description of the peer was not applied. The text is fit for the peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum NegotiationError {
    /// Our own check refused it.
    #[error(transparent)]
    Refused(#[from] SdpError),
    /// str0m does not parse it.
    #[error("the session description cannot be used")]
    Unusable,
    /// It does not fit what was negotiated before.
    #[error("the session description contradicts what was negotiated before")]
    Contradiction,
    /// The other side offers on this transport.
    #[error("this transport does not take such a session description")]
    WrongRole,
    /// Applying it broke the association, which must be closed.
    #[error("the session description broke the association")]
    Fault,
}

/// A line whose packets may flow from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BoundLine {
    pub(crate) down: DownIndex,
    pub(crate) mid: Mid,
    pub(crate) stream: SendIndex,
    pub(crate) ssrc: u32,
}

/// Outcome of an applied description.
#[derive(Debug)]
pub(crate) struct Negotiated {
    /// Our answer; empty when the peer answered.
    pub(crate) sdp: String,
    /// mid → `TR_…` of the lines on which we send.
    pub(crate) mid_to_track: Vec<(String, String)>,
    /// Lines that newly serve a down track.
    pub(crate) bound: Vec<BoundLine>,
    /// Down tracks whose line the peer turned down.
    pub(crate) refused: Vec<DownIndex>,
}

/// A description without its candidates, and these. They go one by one through the cap, or nowhere when we only answer.
pub(super) fn split_candidates(text: &str) -> (String, Vec<&str>) {
    let mut kept = String::with_capacity(text.len());
    let mut candidates = Vec::new();
    for line in text.split_inclusive('\n') {
        match line.strip_prefix("a=candidate:") {
            Some(_) => candidates.push(line[2..].trim_end()),
            None => kept.push_str(line),
        }
    }
    (kept, candidates)
}

impl Transport {
    /// Lines on which we send, for the last patches to a description.
    pub(super) fn sending_lines(&self) -> impl Iterator<Item = LocalLine<'_>> {
        self.lines.iter().filter_map(|line| {
            let subscription = line.subscription()?;
            let role = LineRole::Sending {
                stream_id: &subscription.stream_id,
                track_sid: &subscription.track_sid,
                stereo: subscription.stereo,
                ssrcs: line.ssrcs.map(|ssrcs| (ssrcs.media, ssrcs.resend)),
                transport_cc: self.rate_feedback == RateFeedback::TransportWide,
            };
            Some(LocalLine { mid: &line.mid, role, start_bitrates: &[] })
        })
    }

    pub(super) fn mid_to_track(&self) -> Vec<(String, String)> {
        let pair = |line: &super::lines::SendLine| {
            line.subscription().map(|subscription| (line.mid.to_string(), subscription.track_sid.to_string()))
        };
        self.lines.iter().filter_map(pair).collect()
    }
}
