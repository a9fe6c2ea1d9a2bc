//! LiveKit's rules of session description as pure text in, text out. Holds no connection state, never sees str0m.
//!
//! Text is scanned and patched line by line, never parsed into a tree and printed again: what we do not know passes
//! unchanged. Three uses:
//!
//! 1. a client's offer: [`RemoteOffer::parse`], then [`PayloadTypes::adopt`], then [`RemoteOffer::text_for`] gives the
//!    text for the transport; its answer goes through [`finish_description`];
//! 2. an offer of ours goes through [`finish_description`]; the client's answer through [`RemoteAnswer::parse`];
//! 3. candidates of ours that are trickled go through [`announce_candidate`].

mod candidate;
mod codecs;
mod finish;
mod h264;
mod offer;
mod payload_types;
mod scan;
mod sources;

pub use candidate::announce_candidate;
pub use finish::{LineRole, LocalLine, finish_description};
pub use payload_types::PayloadTypes;

use crate::command::MediaKind;
use offer::FilteredSection;

/// Which codecs a room allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CodecPolicy {
    /// MIME types; empty: all that the engine knows.
    pub mime_types: Vec<String>,
}

/// Direction attribute of an m-line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// `a=sendrecv` (also when there is no attribute)
    SendRecv,
    /// `a=sendonly`
    SendOnly,
    /// `a=recvonly`
    RecvOnly,
    /// `a=inactive`
    Inactive,
}

/// One audio or video m-line of a client's offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedMedia {
    /// `a=mid`
    pub mid: String,
    /// Kind.
    pub kind: MediaKind,
    /// From the client's point of view.
    pub direction: Direction,
    /// First part of `a=msid`; empty when absent.
    pub stream_id: String,
    /// Second part of `a=msid`; empty when absent.
    pub track_id: String,
    /// `a=rid:… send`, in the order of `a=simulcast`.
    pub rids: Vec<String>,
    /// Codecs left after filtering, in the client's order, without RTX, canonical case; none where the room allows
    /// none of the kind.
    pub mime_types: Vec<String>,
    /// Where the client wants its encoder to start.
    pub start_bitrates: Vec<StartBitrate>,
}

/// `x-google-start-bitrate` of one format. An SDK writes it into its own offer, but its encoder reads it from the
/// answer: without it a track of one layer begins at 300 kbit/s and a quarter of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartBitrate {
    /// Payload type of the format.
    pub payload_type: u8,
    /// Kilobits a second.
    pub kbps: u32,
}

/// Why a session description was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SdpError {
    /// Not a session description.
    #[error("malformed session description at line {line}")]
    Malformed {
        /// 1-based.
        line: usize,
    },
    /// Larger than any client sends.
    #[error("session description is too large")]
    TooLarge,
    /// An m-line without a usable `a=mid`, or two with the same one.
    #[error("missing, unusable or repeated a=mid at line {line}")]
    BadMid {
        /// 1-based.
        line: usize,
    },
    /// One payload type stands for two codecs.
    #[error("payload type {payload_type} is used for two codecs")]
    DuplicatePayloadType {
        /// Which.
        payload_type: u8,
    },
}

/// A client's offer, parsed, checked and filtered once.
#[derive(Debug, Clone)]
pub struct RemoteOffer {
    /// Audio and video m-lines in order.
    pub media: Vec<OfferedMedia>,
    /// Whether there is an application m-line.
    pub has_data: bool,
    session: String,
    sections: Vec<FilteredSection>,
    payload_types: PayloadTypes,
    ice_ufrag: String,
}

/// How the server uses the lines of one offer.
#[derive(Debug, Clone, Copy, Default)]
pub struct LineUse<'a> {
    /// Mids of sending lines that belong to publications; other sending lines become `inactive`.
    pub published: &'a [&'a str],
    /// Mids of receiving lines on which we send; other receiving lines become `inactive`.
    pub assigned: &'a [&'a str],
    /// Whether we estimate what we send by transport-wide sequence numbers.
    pub transport_cc: bool,
    /// Leaves out which streams the client names for its lines: header extensions tell, packet by packet.
    pub without_sources: bool,
}

impl RemoteOffer {
    /// ICE user name fragment of the first line that has one; it changes when the client restarts ICE.
    #[must_use]
    pub fn ice_ufrag(&self) -> &str {
        &self.ice_ufrag
    }

    /// Lines on which the client is ready to receive (`recvonly`, at least one codec), in order.
    pub fn receiving(&self, kind: MediaKind) -> impl Iterator<Item = &OfferedMedia> {
        self.media.iter().filter(move |media| {
            media.kind == kind && media.direction == Direction::RecvOnly && !media.mime_types.is_empty()
        })
    }

    /// Lines on which the client sends or could send (`sendonly`, `sendrecv`), in order.
    pub fn sending(&self) -> impl Iterator<Item = &OfferedMedia> {
        self.media.iter().filter(|media| matches!(media.direction, Direction::SendOnly | Direction::SendRecv))
    }
}

/// A client's answer to an offer of ours, checked and filtered.
#[derive(Debug, Clone)]
pub struct RemoteAnswer {
    text: String,
    mids: Vec<String>,
    payload_types: PayloadTypes,
}

impl RemoteAnswer {
    /// Text for the transport.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Mids of its audio and video m-lines, in order.
    pub fn mids(&self) -> impl Iterator<Item = &str> {
        self.mids.iter().map(String::as_str)
    }
}
