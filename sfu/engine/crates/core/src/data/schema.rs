//! Shapes of the messages inside a `livekit.DataPacket` (`livekit_models.proto`), as far as well-formedness goes: a
//! packet that a client's decoder would refuse is refused here, so that one client cannot make others fail.

use super::wire::{Value, read_field};

/// What a known field must hold.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// Any integer, enum or bool.
    Number,
    /// 32- or 64-bit fixed.
    Fixed,
    /// UTF-8 text.
    Text,
    /// Anything.
    Bytes,
    /// A message of this shape.
    Message(&'static Message),
}

/// Known fields of a message; others may hold anything.
#[derive(Debug)]
pub(super) struct Message(&'static [(u32, Shape)]);

use Shape::{Bytes, Fixed, Number, Text};

static ATTRIBUTE: Message = Message(&[(1, Text), (2, Text)]);
static SPEAKER: Message = Message(&[(1, Text), (2, Fixed), (3, Number)]);
static SPEAKERS: Message = Message(&[(1, Shape::Message(&SPEAKER))]);
static SEGMENT: Message = Message(&[(1, Text), (2, Text), (3, Number), (4, Number), (5, Number), (6, Text)]);
static RPC_ERROR: Message = Message(&[(1, Number), (2, Text), (3, Text)]);
static TEXT_HEADER: Message = Message(&[(1, Number), (2, Number), (3, Text), (4, Text), (5, Number)]);
static BYTE_HEADER: Message = Message(&[(1, Text)]);
static SIP_DTMF: Message = Message(&[(3, Number), (4, Text)]);
static TRANSCRIPTION: Message = Message(&[(2, Text), (3, Text), (4, Shape::Message(&SEGMENT))]);
static OPAQUE: Message = Message(&[]);
static CHAT: Message = Message(&[(1, Text), (2, Number), (3, Number), (4, Text), (5, Number), (6, Number)]);
static RPC_REQUEST: Message =
    Message(&[(1, Text), (2, Text), (3, Text), (4, Number), (5, Number), (6, Bytes)]);
static RPC_ACK: Message = Message(&[(1, Text)]);
static RPC_RESPONSE: Message = Message(&[(1, Text), (2, Text), (3, Shape::Message(&RPC_ERROR)), (4, Bytes)]);
static STREAM_CHUNK: Message = Message(&[(1, Text), (2, Number), (3, Bytes), (4, Number), (5, Bytes)]);
static STREAM_TRAILER: Message = Message(&[(1, Text), (2, Text), (3, Shape::Message(&ATTRIBUTE))]);
static ENCRYPTED: Message = Message(&[(1, Number), (2, Bytes), (3, Number), (4, Bytes)]);
static STREAM_HEADER: Message = Message(&[
    (1, Text),
    (2, Number),
    (3, Text),
    (4, Text),
    (5, Number),
    (7, Number),
    (8, Shape::Message(&ATTRIBUTE)),
    (9, Shape::Message(&TEXT_HEADER)),
    (10, Shape::Message(&BYTE_HEADER)),
    (11, Bytes),
    (12, Number),
]);
static USER: Message = Message(&[
    (1, Text),
    (2, Bytes),
    (3, Text),
    (4, Text),
    (5, Text),
    (6, Text),
    (8, Text),
    (9, Number),
    (10, Number),
    (11, Bytes),
]);

/// `livekit.DataPacket`. Metrics stay opaque: they are never forwarded.
pub(super) static DATA_PACKET: Message = Message(&[
    (1, Number),
    (2, Shape::Message(&USER)),
    (3, Shape::Message(&SPEAKERS)),
    (4, Text),
    (5, Text),
    (6, Shape::Message(&SIP_DTMF)),
    (7, Shape::Message(&TRANSCRIPTION)),
    (8, Shape::Message(&OPAQUE)),
    (9, Shape::Message(&CHAT)),
    (10, Shape::Message(&RPC_REQUEST)),
    (11, Shape::Message(&RPC_ACK)),
    (12, Shape::Message(&RPC_RESPONSE)),
    (13, Shape::Message(&STREAM_HEADER)),
    (14, Shape::Message(&STREAM_CHUNK)),
    (15, Shape::Message(&STREAM_TRAILER)),
    (16, Number),
    (17, Text),
    (18, Shape::Message(&ENCRYPTED)),
]);

impl Message {
    /// Whether encoded bytes are a message of this shape. Depth is bounded by the shapes, which are no circle.
    pub(super) fn admits(&self, mut encoded: &[u8]) -> bool {
        while !encoded.is_empty() {
            let Some((field, rest)) = read_field(encoded) else { return false };
            let shape = self.0.iter().find(|(number, _)| *number == field.number).map(|(_, shape)| shape);
            if !shape.is_none_or(|shape| shape.admits(field.value)) {
                return false;
            }
            encoded = rest;
        }
        true
    }
}

impl Shape {
    fn admits(self, value: Value<'_>) -> bool {
        match (self, value) {
            (Self::Number, Value::Varint(_))
            | (Self::Fixed, Value::Fixed)
            | (Self::Bytes, Value::Bytes(_)) => true,
            (Self::Text, Value::Bytes(bytes)) => std::str::from_utf8(bytes).is_ok(),
            (Self::Message(message), Value::Bytes(bytes)) => message.admits(bytes),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admits_unknown_fields_and_refuses_wrong_ones() {
        for (encoded, expected) in [
            (&[][..], true),
            (&[0x08, 0x01, 0xa2, 0x06, 0x01, 0xff], true),
            (&[0x0a, 0x01, b'x'], false),
            (&[0x22, 0x02, 0xc3, 0xa9], true),
            (&[0x22, 0x01, 0xc3], false),
            (&[0x12, 0x03, 0x12, 0x01, 0xff], true),
            (&[0x12, 0x03, 0x22, 0x01, 0xff], false),
            (&[0x12, 0x02, 0x22, 0x01], false),
            (&[0x6a, 0x05, 0x42, 0x03, 0x0a, 0x01, 0xff], false),
            (&[0x10, 0x01], false),
        ] {
            assert_eq!(DATA_PACKET.admits(encoded), expected, "{encoded:x?}");
        }
    }
}
