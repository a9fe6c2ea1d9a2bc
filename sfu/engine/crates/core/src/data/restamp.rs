//! The rules by which the server changes a data packet before it sends it on (`protocol.md` §2.10).

use std::sync::Arc;

use super::MAX_MESSAGE_BYTES;
use super::envelope::{Content, Destinations, Envelope, last, packet, user};
use super::wire::{Field, Writer, read};
use crate::DropReason;
use crate::command::{DataKind, DataProfile};

/// `ChatMessage.generated`
const CHAT_GENERATED: u32 = 6;
/// `DataStream.Header.text_header`
const STREAM_TEXT_HEADER: u32 = 9;
/// `DataStream.TextHeader.generated`
const TEXT_GENERATED: u32 = 5;
/// `DataPacket.Kind.LOSSY`; `RELIABLE` is 0, which is not written.
const KIND_LOSSY: u64 = 1;

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
pub fn restamp(packet: &[u8], kind: DataKind, sender: &DataProfile) -> Result<Restamped, DropReason> {
    if !sender.can_publish_data {
        return Err(DropReason::DataNotPermitted);
    }
    let envelope = Envelope::parse(packet).ok_or(DropReason::MalformedData)?;
    match envelope.content {
        Content::Transcription if !sender.agent => return Err(DropReason::TranscriptionNotPermitted),
        // Speakers come from the server alone, metrics go to it alone.
        Content::Metrics | Content::Speaker => return Err(DropReason::DataKindNotForwarded),
        _ => {}
    }
    let is_on_behalf = envelope.is_on_behalf(sender);
    let body = envelope.rewritten_body(sender, is_on_behalf);
    let mut writer = Writer::default();
    for field in &envelope.fields {
        match field.number {
            packet::KIND | packet::PARTICIPANT_SID | packet::DESTINATION_IDENTITIES => {}
            packet::PARTICIPANT_IDENTITY if !is_on_behalf => {}
            number if number == envelope.body.number && body.is_some() => {}
            _ => writer.copy(field),
        }
    }
    if let Some(body) = body {
        writer.bytes(envelope.body.number, body);
    }
    for identity in &envelope.destinations.identities {
        writer.bytes(packet::DESTINATION_IDENTITIES, identity.as_bytes());
    }
    let identity_field = (!is_on_behalf).then_some(packet::PARTICIPANT_IDENTITY);
    stamp(&mut writer, sender, packet::PARTICIPANT_SID, identity_field);
    writer.varint(packet::KIND, kind_number(kind));
    let payload = bounded(writer.finish())?;
    let (sequence, nonce) = (envelope.sequence, envelope.nonce.to_vec());
    Ok(Restamped { payload, destinations: envelope.destinations, sequence, nonce })
}

/// Wraps raw bytes from a channel with another label as a `UserPacket` for everybody (`protocol.md` §2.9).
///
/// # Errors
/// `DataNotPermitted`, or `MalformedData` when the wrapped packet is larger than a message may be.
pub fn wrap_raw(payload: &[u8], kind: DataKind, sender: &DataProfile) -> Result<Restamped, DropReason> {
    if !sender.can_publish_data {
        return Err(DropReason::DataNotPermitted);
    }
    let mut body = Writer::default();
    body.bytes(user::PAYLOAD, payload);
    stamp(&mut body, sender, user::PARTICIPANT_SID, Some(user::PARTICIPANT_IDENTITY));
    let mut writer = Writer::default();
    writer.bytes(packet::USER, body.finish());
    stamp(&mut writer, sender, packet::PARTICIPANT_SID, Some(packet::PARTICIPANT_IDENTITY));
    writer.varint(packet::KIND, kind_number(kind));
    let payload = bounded(writer.finish())?;
    Ok(Restamped { payload, destinations: Destinations::default(), sequence: 0, nonce: Vec::new() })
}

fn kind_number(kind: DataKind) -> u64 {
    if kind == DataKind::Lossy { KIND_LOSSY } else { 0 }
}

/// A sender who is hidden has neither sid nor identity.
fn stamp<'a>(writer: &mut Writer<'a>, sender: &'a DataProfile, sid: u32, identity: Option<u32>) {
    if !sender.hidden {
        writer.text(sid, &sender.sid);
        if let Some(number) = identity {
            writer.text(number, &sender.identity);
        }
    }
}

fn bounded(packet: Vec<u8>) -> Result<Arc<[u8]>, DropReason> {
    if packet.len() > MAX_MESSAGE_BYTES { Err(DropReason::MalformedData) } else { Ok(packet.into()) }
}

impl Envelope<'_> {
    /// Whether an agent may send this in another participant's name, and says that it does.
    fn is_on_behalf(&self, sender: &DataProfile) -> bool {
        let names_another =
            !self.participant_identity.is_empty() && self.participant_identity != &*sender.identity;
        let is_text = match self.content {
            Content::ChatMessage => true,
            Content::StreamHeader => text_header(&self.body).is_some(),
            _ => false,
        };
        sender.agent && names_another && is_text
    }

    /// The content as it is sent on.
    fn rewritten_body(&self, sender: &DataProfile, is_on_behalf: bool) -> Option<Vec<u8>> {
        match self.content {
            Content::User => Some(self.rewritten_user(sender)),
            Content::ChatMessage if is_on_behalf => {
                Some(with_number(&read(self.body.bytes()?)?, CHAT_GENERATED, 1).finish())
            }
            Content::StreamHeader if is_on_behalf => {
                let header = text_header(&self.body)?;
                let header = with_number(&read(header)?, TEXT_GENERATED, 1).finish();
                Some(with_bytes(&read(self.body.bytes()?)?, STREAM_TEXT_HEADER, header).finish())
            }
            _ => None,
        }
    }

    fn rewritten_user(&self, sender: &DataProfile) -> Vec<u8> {
        let ours = [user::PARTICIPANT_SID, user::PARTICIPANT_IDENTITY, user::DESTINATION_IDENTITIES];
        let fields = self.body.bytes().and_then(read).unwrap_or_default();
        let mut writer = Writer::default();
        fields.iter().filter(|field| !ours.contains(&field.number)).for_each(|field| writer.copy(field));
        stamp(&mut writer, sender, user::PARTICIPANT_SID, Some(user::PARTICIPANT_IDENTITY));
        for identity in &self.destinations.identities {
            writer.bytes(user::DESTINATION_IDENTITIES, identity.as_bytes());
        }
        writer.finish()
    }
}

fn text_header<'a>(stream_header: &Field<'a>) -> Option<&'a [u8]> {
    last(&read(stream_header.bytes()?)?, STREAM_TEXT_HEADER)?.bytes()
}

/// A message with one of its fields set to a number.
fn with_number<'a>(fields: &[Field<'a>], number: u32, value: u64) -> Writer<'a> {
    let mut writer = without(fields, number);
    writer.varint(number, value);
    writer
}

/// A message with one of its fields set to bytes.
fn with_bytes<'a>(fields: &[Field<'a>], number: u32, value: Vec<u8>) -> Writer<'a> {
    let mut writer = without(fields, number);
    writer.bytes(number, value);
    writer
}

fn without<'a>(fields: &[Field<'a>], number: u32) -> Writer<'a> {
    let mut writer = Writer::default();
    fields.iter().filter(|field| field.number != number).for_each(|field| writer.copy(field));
    writer
}
