//! `livekit.DataPacket` (`livekit_models.proto`): what the server reads of it. Changes nothing.

use std::collections::HashSet;

use super::MAX_MESSAGE_BYTES;
use super::schema::DATA_PACKET;
use super::wire::{Field, read};
use crate::rtp::seq::low_32_bits;

/// Destinations that one packet may name: more than a room holds; each costs time with every packet.
const MAX_DESTINATIONS: usize = 1_000;
/// Up to that many names a comparison with each is the quicker way.
const FEW_NAMES: usize = 8;

/// Field numbers of `DataPacket`.
pub(super) mod packet {
    pub(in crate::data) const KIND: u32 = 1;
    pub(in crate::data) const USER: u32 = 2;
    pub(in crate::data) const PARTICIPANT_IDENTITY: u32 = 4;
    pub(in crate::data) const DESTINATION_IDENTITIES: u32 = 5;
    pub(in crate::data) const SEQUENCE: u32 = 16;
    pub(in crate::data) const PARTICIPANT_SID: u32 = 17;
}

/// Field numbers of `UserPacket`.
pub(super) mod user {
    pub(in crate::data) const PARTICIPANT_SID: u32 = 1;
    pub(in crate::data) const PAYLOAD: u32 = 2;
    pub(in crate::data) const DESTINATION_SIDS: u32 = 3;
    pub(in crate::data) const PARTICIPANT_IDENTITY: u32 = 5;
    pub(in crate::data) const DESTINATION_IDENTITIES: u32 = 6;
    pub(in crate::data) const NONCE: u32 = 11;
}

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
    /// A kind that came after this program, by field number.
    Unknown(u32),
}

impl Content {
    const fn from_field(number: u32) -> Self {
        match number {
            packet::USER => Self::User,
            3 => Self::Speaker,
            6 => Self::SipDtmf,
            7 => Self::Transcription,
            8 => Self::Metrics,
            9 => Self::ChatMessage,
            10 => Self::RpcRequest,
            11 => Self::RpcAck,
            12 => Self::RpcResponse,
            13 => Self::StreamHeader,
            14 => Self::StreamChunk,
            15 => Self::StreamTrailer,
            18 => Self::EncryptedPacket,
            other => Self::Unknown(other),
        }
    }
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

    /// The same, to be asked for one participant after the other.
    #[must_use]
    pub fn lookup(&self) -> Lookup<'_> {
        Lookup {
            is_everybody: self.is_everybody(),
            identities: Names::of(&self.identities),
            sids: Names::of(&self.sids),
        }
    }

    /// Whether there are more names than a packet may have.
    fn are_too_many(&self) -> bool {
        self.identities.len() + self.sids.len() > MAX_DESTINATIONS
    }
}

/// [`Destinations`], prepared for many questions.
#[derive(Debug)]
pub struct Lookup<'a> {
    is_everybody: bool,
    identities: Names<'a>,
    sids: Names<'a>,
}

impl Lookup<'_> {
    /// Whether a participant is meant (the sender never is; the caller leaves it out).
    #[must_use]
    pub fn includes(&self, identity: &str, sid: &str) -> bool {
        self.is_everybody || self.identities.contains(identity) || self.sids.contains(sid)
    }
}

#[derive(Debug)]
enum Names<'a> {
    Few(&'a [String]),
    /// Keyed hashing: a stranger chose the names.
    Many(HashSet<&'a str>),
}

impl<'a> Names<'a> {
    fn of(names: &'a [String]) -> Self {
        if names.len() <= FEW_NAMES {
            Self::Few(names)
        } else {
            Self::Many(names.iter().map(String::as_str).collect())
        }
    }

    fn contains(&self, name: &str) -> bool {
        match self {
            Self::Few(names) => names.iter().any(|wanted| wanted == name),
            Self::Many(names) => names.contains(name),
        }
    }
}

/// What the server reads of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Which message it carries.
    pub content: Content,
    /// `participant_identity` as the sender wrote it.
    pub participant_identity: &'a str,
    /// `destination_identities` of the packet, else of its `user`; `user.destination_sids`.
    pub destinations: Destinations,
    /// `sequence`; 0 when absent.
    pub sequence: u32,
    /// `user.nonce`; empty when absent.
    pub nonce: &'a [u8],
    pub(super) fields: Vec<Field<'a>>,
    /// The field of the content.
    pub(super) body: Field<'a>,
}

impl<'a> Envelope<'a> {
    /// Reads an encoded packet. `None`: no `DataPacket`, one that a client could not decode, one with two contents or
    /// with none, one to too many destinations, or one over [`super::MAX_MESSAGE_BYTES`].
    #[must_use]
    pub fn parse(packet: &'a [u8]) -> Option<Self> {
        if packet.len() > MAX_MESSAGE_BYTES || !DATA_PACKET.admits(packet) {
            return None;
        }
        let fields = read(packet)?;
        let mut known = fields.iter().filter(|field| is_known_content(field.number));
        // A content that came after this program looks like any other unknown field.
        let body = *known.next().or_else(|| fields.iter().find(|field| is_unknown_content(field)))?;
        if known.next().is_some() {
            return None;
        }
        let content = Content::from_field(body.number);
        let mut identities = texts(&fields, packet::DESTINATION_IDENTITIES)?;
        let (mut sids, mut nonce) = (Vec::new(), &[][..]);
        if content == Content::User {
            let user_fields = read(body.bytes()?)?;
            if identities.is_empty() {
                identities = texts(&user_fields, user::DESTINATION_IDENTITIES)?;
            }
            sids = texts(&user_fields, user::DESTINATION_SIDS)?;
            nonce = last(&user_fields, user::NONCE).and_then(Field::bytes).unwrap_or_default();
        }
        let sequence = last(&fields, packet::SEQUENCE).and_then(Field::varint).unwrap_or_default();
        // Decoders take the low half of a varint for a 32-bit field.
        let sequence = low_32_bits(sequence.into());
        let participant_identity =
            last(&fields, packet::PARTICIPANT_IDENTITY).and_then(Field::text).unwrap_or_default();
        let destinations = Destinations { identities, sids };
        if destinations.are_too_many() {
            return None;
        }
        Some(Self { content, participant_identity, destinations, sequence, nonce, fields, body })
    }
}

const fn is_known_content(number: u32) -> bool {
    matches!(number, packet::USER | 3 | 6..=15 | 18)
}

fn is_unknown_content(field: &Field<'_>) -> bool {
    field.number > packet::PARTICIPANT_SID && field.bytes().is_some()
}

/// The last of repeated scalars counts (Protocol Buffers encoding, "Last One Wins").
pub(super) fn last<'f, 'a>(fields: &'f [Field<'a>], number: u32) -> Option<&'f Field<'a>> {
    fields.iter().rev().find(|field| field.number == number)
}

/// All values of a repeated text. `None`: far too many to be copied.
fn texts(fields: &[Field<'_>], number: u32) -> Option<Vec<String>> {
    let found = || fields.iter().filter(|field| field.number == number).filter_map(Field::text);
    (found().take(MAX_DESTINATIONS + 1).count() <= MAX_DESTINATIONS)
        .then(|| found().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::wire::Writer;

    fn packet_to(identities: usize, sids: usize) -> Vec<u8> {
        let mut body = Writer::default();
        body.text(user::PAYLOAD, "x");
        (0..sids).for_each(|_| body.text(user::DESTINATION_SIDS, "s"));
        let mut writer = Writer::default();
        writer.bytes(packet::USER, body.finish());
        (0..identities).for_each(|_| writer.text(packet::DESTINATION_IDENTITIES, "i"));
        writer.finish()
    }

    #[test]
    fn a_packet_names_a_thousand_at_most() {
        for (identities, sids, is_taken) in
            [(1_000, 0, true), (1_001, 0, false), (0, 1_001, false), (500, 500, true), (501, 500, false)]
        {
            let packet = packet_to(identities, sids);
            assert_eq!(Envelope::parse(&packet).is_some(), is_taken, "{identities} + {sids}");
        }
        assert!(Envelope::parse(&packet_to(21_000, 0)).is_none());
    }

    #[test]
    fn few_and_many_names_are_found_alike() {
        for count in [0, 1, FEW_NAMES, FEW_NAMES + 1, 300] {
            let names = |prefix: &str| (0..count).map(|number| format!("{prefix}{number}")).collect();
            let destinations = Destinations { identities: names("i"), sids: names("s") };
            let lookup = destinations.lookup();
            for number in 0..count {
                assert!(
                    lookup.includes(&format!("i{number}"), "") && lookup.includes("", &format!("s{number}"))
                );
            }
            assert_eq!(lookup.includes("s0", "i0"), count == 0, "nobody named means everybody");
        }
    }
}
