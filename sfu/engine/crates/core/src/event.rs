//! What a shard tells the control plane. No logic.

use crate::ids::{DownTrackId, ParticipantId, RequestId, RoomId, TransportId, UpTrackId};
use crate::quality::Quality;

/// Weight of a line in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// An operator can act on it.
    Warning,
    /// A bug of ours.
    Error,
}

impl LogLevel {
    /// `warning` or `error`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Why a transport ended or could not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportFailure {
    /// No consent from the peer for the ICE time-out (about 15 s after its last check).
    IceTimeout,
    /// The DTLS handshake failed or timed out, or the fingerprint did not match.
    Dtls,
    /// The peer closed the association (DTLS close alert).
    ClosedByPeer,
    /// The transport's own state was found broken (a bug or a hostile peer): this transport only.
    Fault,
}

impl TransportFailure {
    /// Stable lower-case name for logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IceTimeout => "ice_timeout",
            Self::Dtls => "dtls",
            Self::ClosedByPeer => "closed_by_peer",
            Self::Fault => "fault",
        }
    }
}

/// Audio activity of one up track in one reporting interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AudioLevel {
    /// Whose.
    pub up_track: UpTrackId,
    /// Loudest level among the active packets of the interval, RFC 6464: 0 is loudest, 127 silence (−dBov).
    pub level: u8,
    /// Milliseconds of audio at or above the active threshold in the interval.
    pub active_ms: u32,
}

/// How well media gets through between the server and one participant, both ways.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ParticipantQuality {
    /// Whose.
    pub participant: ParticipantId,
    /// Of the worst of its tracks, published or subscribed.
    pub quality: Quality,
    /// The same as a mean opinion score, 1 to 4.5.
    pub score: f32,
}

/// A tell from a shard.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Answer to an offer, ready to send.
    Answer {
        /// Which.
        transport: TransportId,
        /// Of the `AcceptOffer`.
        request: RequestId,
        /// Answer with all our fix-ups.
        sdp: String,
        /// mid → `TR_…` of the lines on which we send.
        mid_to_track: Vec<(String, String)>,
    },
    /// An offer of ours (role `Subscriber`), ready to send. At most one is outstanding per transport; changes
    /// meanwhile are gathered into the next one.
    Offer {
        /// Which.
        transport: TransportId,
        /// To be echoed in `AcceptAnswer`; rises by one with each offer of the transport.
        request: RequestId,
        /// Offer with all our fix-ups.
        sdp: String,
        /// mid → `TR_…` of the lines on which we send.
        mid_to_track: Vec<(String, String)>,
    },
    /// Role `Both`: the client must offer again, with that many more `recvonly` lines (0, 0: as it is).
    MediaSectionsRequired {
        /// Which.
        transport: TransportId,
        /// Further audio lines.
        audio: u32,
        /// Further video lines.
        video: u32,
    },
    /// An offer or answer was refused; the transport stays as it was.
    NegotiationFailed {
        /// Which.
        transport: TransportId,
        /// Of the command.
        request: RequestId,
        /// For the client and the log; holds no addresses or secrets.
        reason: String,
    },
    /// ICE and DTLS are up (again, after an ICE restart).
    TransportConnected {
        /// Which.
        transport: TransportId,
        /// True when the nominated pair runs over TCP.
        tcp: bool,
    },
    /// The transport ended by itself and is gone from the shard with its tracks.
    TransportFailed {
        /// Which.
        transport: TransportId,
        /// Why.
        failure: TransportFailure,
    },
    /// Answer to `Command::AskLastSequence`.
    LastSequence {
        /// Whose.
        participant: ParticipantId,
        /// Of the last reliable packet that arrived from it; 0 when there was none.
        sequence: u32,
    },
    /// First media packet of an up track.
    UpTrackStarted {
        /// Which.
        up_track: UpTrackId,
        /// Codec as a MIME type in its canonical case (`audio/red`, `video/VP8`).
        mime_type: &'static str,
    },
    /// The m-line of a down track is negotiated: its packets flow from now on.
    DownTrackBound {
        /// Which.
        down_track: DownTrackId,
        /// Codecs that the subscriber takes on that line, in no order, without RTX, canonical case.
        mime_types: Vec<&'static str>,
    },
    /// The subscriber cannot take what the up track sends; nothing is sent.
    DownTrackCodecUnsupported {
        /// Which.
        down_track: DownTrackId,
        /// Which it is fed by.
        up_track: UpTrackId,
    },
    /// A down track is paused because its subscriber cannot be sent that much, or goes on after that. One that the
    /// subscriber disabled, or whose publication is muted, is not paused.
    DownTrackPaused {
        /// Which.
        down_track: DownTrackId,
        /// New state.
        paused: bool,
    },
    /// Audio activity of a room: one per interval while anybody is heard, and one empty one when all fell silent.
    AudioLevels {
        /// Which.
        room: RoomId,
        /// Tracks with activity, in no order.
        levels: Vec<AudioLevel>,
    },
    /// Connections of a room became better or worse: at most one per `ShardConfig::quality_interval`. All are
    /// [`Quality::Excellent`] at first.
    QualityChanged {
        /// Which.
        room: RoomId,
        /// Participants with another quality than before, in the order in which they came.
        changed: Vec<ParticipantQuality>,
    },
    /// Answer to `Command::Snapshot`: JSON text.
    Snapshot {
        /// Of the command.
        request: RequestId,
        /// One JSON object.
        json: String,
    },
    /// A line for the log of the process: something that an operator can act on, or a bug of ours.
    Logged {
        /// Index of the shard.
        shard: u16,
        /// How bad it is.
        level: LogLevel,
        /// What happened, with its circumstances as `name=value`.
        text: String,
    },
    /// The shard panicked; all its transports are gone. The thread lives on with an empty shard.
    ShardFailed {
        /// Index of the shard.
        shard: u16,
    },
}
