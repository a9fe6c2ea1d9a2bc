//! `livekit.DataPacket` (`livekit_models.proto`): what the server reads, and the rules by which it restamps.

use std::sync::Arc;

use crate::DropReason;
use crate::command::{DataKind, DataProfile};

/// Which message the packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// `user`
    User,
    /// `speaker` (legacy)
    Speaker,
    /// `sip_dtmf`
    SipDtmf,
    /// `transcription`
    Transcription,
    /// `metrics`
    Metrics,
    /// `chat_message`
    ChatMessage,
    /// `rpc_request`
    RpcRequest,
    /// `rpc_ack`
    RpcAck,
    /// `rpc_response`
    RpcResponse,
    /// `stream_header`
    StreamHeader,
    /// `stream_chunk`
    StreamChunk,
    /// `stream_trailer`
    StreamTrailer,
    /// `encrypted_packet`
    EncryptedPacket,
    /// A kind that came after this program, by field number; 0 when there is none.
    Unknown(u32),
}

/// Who should get a packet. Empty lists mean everybody but the sender.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Destinations {
    /// Participant identities.
    pub identities: Vec<String>,
    /// Participant sids (legacy).
    pub sids: Vec<String>,
}

impl Destinations {
    /// Whether everybody but the sender is meant.
    #[must_use]
    pub fn is_everybody(&self) -> bool {
        self.identities.is_empty() && self.sids.is_empty()
    }

    /// Whether a participant is meant (the sender never is; the caller leaves it out).
    #[must_use]
    pub fn includes(&self, _identity: &str, _sid: &str) -> bool {
        self.is_everybody()
    }
}

/// What the server reads of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Which message it carries.
    pub content: Content,
    /// `participant_identity` as the sender wrote it.
    pub participant_identity: &'a str,
    /// `destination_identities`, `user.destination_identities` and `user.destination_sids`, merged.
    pub destinations: Destinations,
    /// `sequence`; 0 when absent.
    pub sequence: u32,
    /// `user.nonce`; empty when absent.
    pub nonce: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Reads an encoded packet; `None` when it is no `DataPacket` or over [`super::MAX_MESSAGE_BYTES`].
    #[must_use]
    pub fn parse(_packet: &'a [u8]) -> Option<Self> {
        None
    }
}

/// A packet as the server sends it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restamped {
    /// Encoded `DataPacket`, the same bytes for every receiver.
    pub payload: Arc<[u8]>,
    /// Receivers.
    pub destinations: Destinations,
    /// For [`super::SequenceFilter`] (reliable only); 0 when absent.
    pub sequence: u32,
    /// For [`super::NonceRing`]; empty when absent.
    pub nonce: Vec<u8>,
}

/// Applies the server's rules to a packet from a participant (`protocol.md` §2.10): the right to send, kind from the
/// channel, identity and sid from the profile (blank when hidden), which messages are forwarded at all.
///
/// # Errors
/// `DataNotPermitted`, `MalformedData`, `TranscriptionNotPermitted`, `DataKindNotForwarded`. Duplicates are the
/// caller's to drop.
pub fn restamp(_packet: &[u8], _kind: DataKind, _sender: &DataProfile) -> Result<Restamped, DropReason> {
    Err(DropReason::MalformedData)
}

/// Wraps raw bytes from a channel with another label as a `UserPacket` for everybody (`protocol.md` §2.9).
///
/// # Errors
/// `DataNotPermitted`, or `MalformedData` when the wrapped packet is larger than a message may be.
pub fn wrap_raw(_payload: &[u8], _kind: DataKind, _sender: &DataProfile) -> Result<Restamped, DropReason> {
    Err(DropReason::MalformedData)
}
