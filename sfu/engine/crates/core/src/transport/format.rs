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

/// How a format is sent to one subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SendFormat {
    /// Payload as it is.
    Same(Pt),
    /// RED, to a subscriber without: its primary block.
    Primary(Pt),
    /// The subscriber cannot take it.
    Unsupported,
}

/// A set of payload types.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PayloadTypeSet(u128);

impl PayloadTypeSet {
    fn insert(&mut self, payload_type: Pt) {
        self.0 |= 1 << (*payload_type & 0x7f);
    }

    pub(super) fn contains(self, payload_type: u8) -> bool {
        self.0 & (1 << (payload_type & 0x7f)) != 0
    }
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

    /// How a publisher's format goes out on a line of ours.
    pub(crate) fn send_format(&self, mid: Mid, format: &Format) -> SendFormat {
        let negotiated = self.rtc.media(mid).map_or(&[][..], |media| media.remote_pts());
        let Some(ours) = self.rtc.codec_config().match_params(format.params) else {
            return SendFormat::Unsupported;
        };
        if !negotiated.contains(&ours.pt()) {
            return SendFormat::Unsupported;
        }
        match (format.codec, ours.red()) {
            (Codec::Red, Some(red)) => SendFormat::Same(red),
            (Codec::Red, None) => SendFormat::Primary(ours.pt()),
            _ => SendFormat::Same(ours.pt()),
        }
    }

    /// Notes which payload types are retransmissions, to count them when they leave.
    pub(super) fn refresh_payload_types(&mut self) {
        self.resend_types = PayloadTypeSet::default();
        for resend in self.rtc.codec_config().iter().filter_map(PayloadParams::resend) {
            self.resend_types.insert(resend);
        }
    }
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
