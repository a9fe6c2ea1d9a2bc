//! Payload types: what a publisher's means, and which one of a subscriber's carries the same.

use str0m::format::PayloadParams;
use str0m::media::{Mid, Pt};

use super::Transport;
use crate::rtp::Codec;

/// What one payload type of a publisher stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Format {
    pub(crate) payload_type: Pt,
    pub(crate) codec: Codec,
    params: PayloadParams,
}

/// What becomes of a payload for one subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// It is sent as it is.
    Same,
    /// RED, to a subscriber without: its primary block.
    Primary,
    /// Opus, to a subscriber with RED: with the redundancy that the publisher does not send.
    Redundant,
    /// A frame with a packet trailer, to a subscriber that does not know it: without.
    Bare,
    /// The subscriber cannot take it.
    Unsupported,
}

/// How a format is sent to one subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SendFormat {
    pub(crate) shape: Shape,
    pub(crate) payload_type: u8,
    /// Payload type of its retransmissions, where there are any: of audio its own, for it goes again as it was.
    pub(crate) resend_type: Option<u8>,
    /// Payload type of the blocks inside RED; `None`: the subscriber takes no RED.
    pub(crate) block_type: Option<u8>,
    /// What is sent is RED.
    pub(crate) is_red: bool,
}

/// What the server may do to the payloads of an up track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Licence {
    /// They are encrypted end to end: nothing in them can be told apart.
    pub(crate) is_encrypted: bool,
    /// Opus is to get redundancy.
    pub(crate) adds_redundancy: bool,
}

impl SendFormat {
    /// Payload type that the blocks of a RED payload must get, when they have another.
    pub(crate) fn foreign_blocks(self, payload: &[u8]) -> Option<u8> {
        self.block_type
            .filter(|ours| self.is_red && payload.first().is_some_and(|first| first & 0x7f != *ours))
    }

    /// Not at all.
    pub(crate) const UNSUPPORTED: Self = Self {
        shape: Shape::Unsupported,
        payload_type: 0,
        resend_type: None,
        block_type: None,
        is_red: false,
    };
}

impl Transport {
    /// What a payload type of the peer's packets stands for.
    pub(crate) fn format(&self, payload_type: Pt) -> Option<Format> {
        let is_meant =
            |params: &&PayloadParams| params.pt() == payload_type || params.red() == Some(payload_type);
        let params = *self.rtc.codec_config().iter().find(is_meant)?;
        let codec = if params.red() == Some(payload_type) { Codec::Red } else { codec_of(&params)? };
        Some(Format { payload_type, codec, params })
    }

    /// What the peer takes on a line, in no order, each codec once, without RTX.
    pub(crate) fn mime_types_on(&self, mid: Mid) -> Vec<&'static str> {
        let negotiated = self.rtc.media(mid).map_or(&[][..], |media| media.remote_pts());
        let params = self.rtc.codec_config().iter().filter(|params| negotiated.contains(&params.pt()));
        let mut mime_types = Vec::with_capacity(negotiated.len());
        for params in params {
            // RED is a second payload type of its Opus.
            let red = params.red().map(|_| Codec::Red);
            for mime_type in red.into_iter().chain(codec_of(params)).map(Codec::mime_type) {
                if !mime_types.contains(&mime_type) {
                    mime_types.push(mime_type);
                }
            }
        }
        mime_types
    }

    /// How a publisher's format goes out on a line of ours.
    pub(crate) fn send_format(&self, mid: Mid, format: &Format, licence: Licence) -> SendFormat {
        let negotiated = self.rtc.media(mid).map_or(&[][..], |media| media.remote_pts());
        let is_negotiated = |params: &&PayloadParams| negotiated.contains(&params.pt());
        let same = self.rtc.codec_config().match_params(format.params).filter(is_negotiated);
        let able =
            || self.rtc.codec_config().iter().filter(is_negotiated).find(|params| is_able(params, format));
        let Some(ours) = same.or_else(able) else { return SendFormat::UNSUPPORTED };
        let (shape, payload_type) = match (format.codec, ours.red()) {
            (Codec::Red, Some(red)) => (Shape::Same, red),
            (Codec::Red, None) if licence.is_encrypted => return SendFormat::UNSUPPORTED,
            (Codec::Red, None) => (Shape::Primary, ours.pt()),
            (Codec::Opus, Some(red)) if licence.adds_redundancy && !licence.is_encrypted => {
                (Shape::Redundant, red)
            }
            _ => (Shape::Same, ours.pt()),
        };
        SendFormat {
            shape,
            payload_type: *payload_type,
            resend_type: resend_type(ours, payload_type).map(|resend| *resend),
            block_type: ours.red().map(|_| *ours.pt()),
            is_red: ours.red() == Some(payload_type),
        }
    }
}

/// Payload type of the retransmissions of what is sent under `payload_type`. RED is not sent again: what is lost comes
/// with the next packet, and peers are told to ask for the others only.
fn resend_type(ours: &PayloadParams, payload_type: Pt) -> Option<Pt> {
    if ours.spec().codec.is_audio() {
        // Whether the peer said that it would ask is not looked at: it then just never does.
        Some(payload_type).filter(|_| payload_type == ours.pt())
    } else {
        ours.resend()
    }
}

/// Whether a receiver of one H.264 format can take another: whoever reassembles pictures takes whole NAL units, too
/// (RFC 6184 §6.2), and decoders take more profiles than descriptions name.
fn is_able(receiver: &PayloadParams, format: &Format) -> bool {
    let mode = receiver.spec().format.packetization_mode.unwrap_or(0);
    format.codec == Codec::H264 && codec_of(receiver) == Some(Codec::H264) && mode == 1
}

fn codec_of(params: &PayloadParams) -> Option<Codec> {
    use str0m::format::Codec as Str0mCodec;
    Some(match params.spec().codec {
        Str0mCodec::Opus => Codec::Opus,
        Str0mCodec::PCMU => Codec::Pcmu,
        Str0mCodec::PCMA => Codec::Pcma,
        Str0mCodec::Vp8 => Codec::Vp8,
        Str0mCodec::Vp9 => Codec::Vp9,
        Str0mCodec::H264 => Codec::H264,
        Str0mCodec::H265 => Codec::H265,
        Str0mCodec::Av1 => Codec::Av1,
        _ => return None,
    })
}
