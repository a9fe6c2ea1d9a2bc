//! Codecs by name, and what a forwarder reads from their payload descriptors.

mod av1;
mod h264;
mod h265;
mod vp8;
mod vp9;

use crate::command::MediaKind;

/// A codec that the engine knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Opus (RFC 7587).
    Opus,
    /// Redundant audio round Opus (RFC 2198).
    Red,
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// VP8 (RFC 7741).
    Vp8,
    /// VP9 (RFC 9628).
    Vp9,
    /// H.264 (RFC 6184).
    H264,
    /// H.265 (RFC 7798).
    H265,
    /// AV1 (AV1 RTP specification).
    Av1,
}

impl Codec {
    /// All codecs, audio first, in the order in which a server of this protocol prefers them.
    pub const ALL: &'static [Self] = &[
        Self::Opus,
        Self::Red,
        Self::Pcmu,
        Self::Pcma,
        Self::Vp8,
        Self::H264,
        Self::Vp9,
        Self::Av1,
        Self::H265,
    ];

    /// MIME type in the case that clients expect (`audio/opus`, `video/VP8`).
    #[must_use]
    pub const fn mime_type(self) -> &'static str {
        match self {
            Self::Opus => "audio/opus",
            Self::Red => "audio/red",
            Self::Pcmu => "audio/PCMU",
            Self::Pcma => "audio/PCMA",
            Self::Vp8 => "video/VP8",
            Self::Vp9 => "video/VP9",
            Self::H264 => "video/H264",
            Self::H265 => "video/H265",
            Self::Av1 => "video/AV1",
        }
    }

    /// Kind of media.
    #[must_use]
    pub const fn kind(self) -> MediaKind {
        match self {
            Self::Opus | Self::Red | Self::Pcmu | Self::Pcma => MediaKind::Audio,
            Self::Vp8 | Self::Vp9 | Self::H264 | Self::H265 | Self::Av1 => MediaKind::Video,
        }
    }

    /// RTP clock rate in Hz.
    #[must_use]
    pub const fn clock_rate_hz(self) -> u32 {
        match self {
            Self::Opus | Self::Red => 48_000,
            Self::Pcmu | Self::Pcma => 8_000,
            _ => 90_000,
        }
    }

    /// By encoding name in an `a=rtpmap` of a line of this kind; case does not matter.
    #[must_use]
    pub fn from_encoding_name(kind: MediaKind, name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|codec| codec.kind() == kind && codec.encoding_name().eq_ignore_ascii_case(name))
    }

    /// By MIME type; case does not matter.
    #[must_use]
    pub fn from_mime_type(mime_type: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|codec| codec.mime_type().eq_ignore_ascii_case(mime_type))
    }

    /// Encoding name of the `a=rtpmap`.
    #[must_use]
    pub fn encoding_name(self) -> &'static str {
        self.mime_type().split_once('/').map_or("", |(_, name)| name)
    }
}

/// The rewritable ids of a VP8 payload descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Vp8Ids {
    /// `PictureID`.
    pub picture_id: Option<u16>,
    /// The id has 15 bits, not 7.
    pub picture_id_is_long: bool,
    /// `TL0PICIDX`.
    pub tl0_pic_idx: Option<u8>,
}

/// What a forwarder must know of one payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent bits of the wire")]
pub struct PayloadFacts {
    /// First packet of a key frame (of every spatial layer: of the lowest one). Always true for audio.
    pub starts_key_frame: bool,
    /// First packet of a frame.
    pub starts_frame: bool,
    /// Spatial layer inside the stream (SVC), 0 when the payload does not say.
    pub spatial: u8,
    /// Temporal layer, 0 when the payload does not say.
    pub temporal: u8,
    /// Last packet of a frame (VP9).
    pub ends_frame: bool,
    /// The temporal layer may begin here: the frame needs none of that layer or above (VP8, VP9).
    pub is_sync: bool,
    /// VP8 only.
    pub vp8: Option<Vp8Ids>,
}

/// Reads the payload descriptor. `None`: it does not parse (`DropReason::MalformedPayload`).
///
/// An empty payload is not one of a codec; ask for padding before calling this.
#[must_use]
pub fn inspect(codec: Codec, payload: &[u8]) -> Option<PayloadFacts> {
    match codec {
        Codec::Opus | Codec::Red | Codec::Pcmu | Codec::Pcma => {
            Some(PayloadFacts { starts_key_frame: true, starts_frame: true, ..PayloadFacts::default() })
                .filter(|_| !payload.is_empty())
        }
        Codec::Vp8 => vp8::inspect(payload),
        Codec::Vp9 => vp9::inspect(payload),
        Codec::H264 => h264::inspect(payload),
        Codec::H265 => h265::inspect(payload),
        Codec::Av1 => av1::inspect(payload),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for codec in Codec::ALL {
            assert_eq!(Codec::from_mime_type(&codec.mime_type().to_ascii_lowercase()), Some(*codec));
            assert_eq!(Codec::from_encoding_name(codec.kind(), codec.encoding_name()), Some(*codec));
        }
        assert_eq!(Codec::from_encoding_name(MediaKind::Video, "red"), None, "video RED is another thing");
        assert_eq!(Codec::from_mime_type("video/rtx"), None);
    }

    #[test]
    fn audio_can_start_anywhere() {
        assert!(inspect(Codec::Opus, &[0xfc]).is_some_and(|facts| facts.starts_key_frame));
        assert_eq!(inspect(Codec::Opus, &[]), None);
    }
}
