//! Which formats of one m-line stay, and what their payload types mean.

use super::h264::{H264Choice, H264Format, PacketizationMode};
use super::payload_types::Binding;
use super::scan::Section;
use super::{CodecPolicy, SdpError, StartBitrate};
use crate::command::MediaKind;
use crate::rtp::Codec;

/// Format parameter of [`StartBitrate`].
pub(super) const START_BITRATE: &str = "x-google-start-bitrate";

/// One `a=rtpmap`, as far as it concerns us.
#[derive(Debug, Clone, Copy)]
struct RtpMap<'a> {
    payload_type: u8,
    name: &'a str,
    clock_rate: &'a str,
}

/// The formats of one audio or video m-line.
#[derive(Debug)]
pub(super) struct Formats<'a> {
    kind: MediaKind,
    /// Payload types in the order of the m-line.
    listed: Vec<u8>,
    maps: Vec<RtpMap<'a>>,
    parameters: Vec<(u8, &'a str)>,
}

/// What is kept of one m-line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// Payload types, in the order of the m-line.
    pub(super) payload_types: Vec<u8>,
    /// Codecs without RTX, in the client's order, each once.
    pub(super) codecs: Vec<Codec>,
}

impl<'a> Formats<'a> {
    /// Reads the formats of a section.
    pub(super) fn read(kind: MediaKind, section: &Section<'a>) -> Result<Self, SdpError> {
        let malformed = || SdpError::Malformed { line: section.media.number };
        let mut listed = Vec::new();
        for format in section.media.text.split(' ').skip(3).filter(|format| !format.is_empty()) {
            let payload_type = parse_payload_type(format).ok_or_else(malformed)?;
            if listed.contains(&payload_type) {
                return Err(SdpError::DuplicatePayloadType { payload_type });
            }
            listed.push(payload_type);
        }
        let maps = read_maps(section, &listed)?;
        let mut parameters: Vec<(u8, &str)> = Vec::new();
        let given = section.values("fmtp").filter_map(|(_, value)| value.split_once(' '));
        for (format, of_format) in given {
            // The first counts; a list of thousands would be searched thousands of times.
            if let Some(payload_type) = parse_payload_type(format)
                && parameters.iter().all(|(known, _)| *known != payload_type)
            {
                parameters.push((payload_type, of_format));
            }
        }
        Ok(Self { kind, listed, maps, parameters })
    }

    /// Kind of the line.
    pub(super) const fn kind(&self) -> MediaKind {
        self.kind
    }

    /// Payload types in the order of the m-line.
    pub(super) fn listed(&self) -> &[u8] {
        &self.listed
    }

    /// Whether any listed payload type has a meaning.
    pub(super) fn has_maps(&self) -> bool {
        !self.maps.is_empty()
    }

    /// First payload type of a codec.
    pub(super) fn payload_type_of(&self, codec: Codec) -> Option<u8> {
        self.listed.iter().copied().find(|listed| self.codec_of(*listed) == Some(codec))
    }

    /// The payload type that an RTX payload type repeats.
    pub(super) fn primary_of(&self, payload_type: u8) -> Option<u8> {
        parameter(self.parameters_of(payload_type), "apt").and_then(parse_payload_type)
    }

    /// The H.264 formats of the line that could be used.
    pub(super) fn h264(&self) -> impl Iterator<Item = H264Format> {
        self.listed.iter().filter_map(|payload_type| self.h264_format(*payload_type))
    }

    /// The packetization mode of an H.264 payload type.
    pub(super) fn h264_mode(&self, payload_type: u8) -> Option<PacketizationMode> {
        self.h264_format(payload_type).map(|format| format.mode)
    }

    /// Payload types to keep: codecs that the policy allows, one payload type for each (H.264: for each packetization
    /// mode), with its RTX.
    pub(super) fn keep(&self, policy: &CodecPolicy, h264: H264Choice) -> Kept {
        let mut primaries: Vec<(u8, Codec)> = Vec::new();
        for payload_type in &self.listed {
            let Some(codec) = self.codec_of(*payload_type).filter(|codec| policy.allows(*codec)) else {
                continue;
            };
            let is_usable = codec != Codec::Red && self.has_usable_profile(codec, *payload_type, h264);
            let is_another = |(kept, known): &(u8, Codec)| {
                *known != codec || self.h264_mode(*kept) != self.h264_mode(*payload_type)
            };
            if is_usable && primaries.iter().all(is_another) {
                primaries.push((*payload_type, codec));
            }
        }
        let red = self.red_over(&primaries).filter(|_| policy.allows(Codec::Red));
        let retransmission = primaries.iter().filter_map(|(payload_type, _)| self.rtx_of(*payload_type));
        let mut kept: Vec<u8> = primaries.iter().map(|(payload_type, _)| *payload_type).collect();
        kept.extend(retransmission);
        kept.extend(red);
        let payload_types: Vec<u8> =
            self.listed.iter().copied().filter(|listed| kept.contains(listed)).collect();
        let mut codecs = Vec::with_capacity(primaries.len() + 1);
        for payload_type in &payload_types {
            let is_red = red == Some(*payload_type);
            let primary =
                primaries.iter().find(|(primary, _)| primary == payload_type).map(|(_, codec)| *codec);
            let codec = if is_red { Some(Codec::Red) } else { primary };
            codecs.extend(codec.filter(|codec| !codecs.contains(codec)));
        }
        Kept { payload_types, codecs }
    }

    /// What a line of a kind without a codec is kept alive with, see [`CodecPolicy::idle_codec`].
    pub(super) fn idle(&self, policy: &CodecPolicy) -> Option<u8> {
        policy.idle_codec(self.kind).and_then(|codec| self.payload_type_of(codec))
    }

    /// A payload type to leave in a line of which nothing is kept: a line needs one to be well-formed.
    pub(super) fn placeholder(&self) -> Option<u8> {
        let has_meaning = |listed: &&u8| self.map_of(**listed).is_some() || static_name(**listed).is_some();
        self.listed.iter().find(has_meaning).copied()
    }

    /// What a kept payload type stands for.
    pub(super) fn binding(&self, payload_type: u8) -> Option<Binding> {
        let name = self.name_of(payload_type)?.to_ascii_lowercase();
        let clock_rate = self.map_of(payload_type).map_or("8000", |map| map.clock_rate);
        let parameters = self.decisive_parameters(payload_type).unwrap_or_default();
        Some(Binding { payload_type, meaning: format!("{name}/{clock_rate} {parameters}").into() })
    }

    /// Parameters that decide what a kept payload type stands for, in the one form that every reader takes alike; the
    /// transport must not find another meaning in them than we did. `None`: the client's own may stay.
    pub(super) fn decisive_parameters(&self, payload_type: u8) -> Option<String> {
        match self.codec_of(payload_type) {
            Some(Codec::H264) => {
                let format = self.h264_format(payload_type)?;
                let mode = format!("level-asymmetry-allowed=1;packetization-mode={}", format.mode.number());
                Some(format!("{mode};profile-level-id={:06x}", format.level_id))
            }
            Some(Codec::Vp9) => Some(format!("profile-id={}", self.vp9_profile(payload_type))),
            // The defaults (AV1 RTP specification §7.2.1): nothing is encoded here, so no level is too high for us.
            Some(Codec::Av1) => Some("level-idx=5;profile=0;tier=0".to_owned()),
            Some(Codec::Red) => {
                let blocks: Vec<&str> = self.parameters_of(payload_type).split('/').map(str::trim).collect();
                Some(blocks.join("/"))
            }
            Some(_) => None,
            None => self.primary_of(payload_type).map(|primary| format!("apt={primary}")),
        }
    }

    /// Where the client wants its encoder to start, of those payload types that say so.
    pub(super) fn start_bitrates(&self, payload_types: &[u8]) -> Vec<StartBitrate> {
        let start = |payload_type: &u8| {
            let kbps = parameter(self.parameters_of(*payload_type), START_BITRATE)?.parse().ok()?;
            Some(StartBitrate { payload_type: *payload_type, kbps })
        };
        payload_types.iter().filter_map(start).collect()
    }

    /// Codec of a payload type; `None` for RTX and what we do not know.
    pub(super) fn codec_of(&self, payload_type: u8) -> Option<Codec> {
        let codec = Codec::from_encoding_name(self.kind, self.name_of(payload_type)?)?;
        let clock_rate = self.map_of(payload_type).map_or("8000", |map| map.clock_rate);
        (clock_rate.parse() == Ok(codec.clock_rate_hz())).then_some(codec)
    }

    fn name_of(&self, payload_type: u8) -> Option<&'a str> {
        self.map_of(payload_type).map(|map| map.name).or_else(|| static_name(payload_type))
    }

    fn map_of(&self, payload_type: u8) -> Option<&RtpMap<'a>> {
        self.maps.iter().find(|map| map.payload_type == payload_type)
    }

    fn parameters_of(&self, payload_type: u8) -> &'a str {
        self.parameters
            .iter()
            .find(|(known, _)| *known == payload_type)
            .map_or("", |(_, parameters)| parameters)
    }

    fn has_usable_profile(&self, codec: Codec, payload_type: u8, h264: H264Choice) -> bool {
        let is_zero =
            |name| parameter(self.parameters_of(payload_type), name).is_none_or(|profile| profile == "0");
        match codec {
            Codec::Vp9 => self.is_best_vp9(payload_type),
            Codec::Av1 => is_zero("profile"),
            Codec::H264 => self.h264_format(payload_type).is_some_and(|format| h264.keeps(format)),
            _ => true,
        }
    }

    /// Profile 0 where there is one, else profile 2; the transport knows no other.
    fn is_best_vp9(&self, payload_type: u8) -> bool {
        let has = |profile| {
            let is_vp9 = |listed: &u8| self.codec_of(*listed) == Some(Codec::Vp9);
            self.listed.iter().any(|listed| is_vp9(listed) && self.vp9_profile(*listed) == profile)
        };
        match self.vp9_profile(payload_type) {
            "0" => true,
            "2" => !has("0"),
            _ => false,
        }
    }

    fn vp9_profile(&self, payload_type: u8) -> &'a str {
        parameter(self.parameters_of(payload_type), "profile-id").unwrap_or("0")
    }

    fn h264_format(&self, payload_type: u8) -> Option<H264Format> {
        let parameters = self.parameters_of(payload_type);
        let is_h264 = self.codec_of(payload_type) == Some(Codec::H264);
        let (mode, level_id) =
            (parameter(parameters, "packetization-mode"), parameter(parameters, "profile-level-id"));
        H264Format::read(mode, level_id).filter(|_| is_h264)
    }

    fn rtx_of(&self, primary: u8) -> Option<u8> {
        self.listed.iter().copied().find(|listed| {
            self.primary_of(*listed) == Some(primary)
                && self.name_of(*listed).is_some_and(|name| name.eq_ignore_ascii_case("rtx"))
        })
    }

    /// RED whose blocks are all the kept Opus (`a=fmtp:63 111/111`).
    fn red_over(&self, primaries: &[(u8, Codec)]) -> Option<u8> {
        let (opus, _) = primaries.iter().find(|(_, codec)| *codec == Codec::Opus)?;
        self.listed.iter().copied().find(|listed| {
            let mut blocks = self.parameters_of(*listed).split('/').map(parse_payload_type).peekable();
            let is_red = self.codec_of(*listed) == Some(Codec::Red);
            is_red && blocks.all(|block| block == Some(*opus))
        })
    }
}

impl CodecPolicy {
    /// Whether a codec may be used.
    #[must_use]
    pub fn allows(&self, codec: Codec) -> bool {
        self.mime_types.is_empty()
            || self.mime_types.iter().any(|mime_type| mime_type.eq_ignore_ascii_case(codec.mime_type()))
    }

    /// Where no codec of a kind is allowed: the one in which lines of that kind are accepted nevertheless, inactive.
    ///
    /// Were they refused, clients would stop them and use their places anew. The first place is that of the line whose
    /// transport all others share: with another in it, `libwebrtc` begins a transport anew, and the association ends.
    #[must_use]
    pub fn idle_codec(&self, kind: MediaKind) -> Option<Codec> {
        let carries = |codec: &Codec| codec.kind() == kind && *codec != Codec::Red && self.allows(*codec);
        let codec = match kind {
            MediaKind::Audio => Codec::Opus,
            MediaKind::Video => Codec::Vp8,
        };
        (!Codec::ALL.iter().any(carries)).then_some(codec)
    }
}

/// A payload type has seven bits.
pub(super) fn parse_payload_type(text: &str) -> Option<u8> {
    text.trim().parse().ok().filter(|payload_type| *payload_type < 128)
}

/// One `name=value` of a format's parameters; names are compared without case.
pub(super) fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    parameters
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// RFC 3551 §6, as far as we know the codec.
fn static_name(payload_type: u8) -> Option<&'static str> {
    match payload_type {
        0 => Some("PCMU"),
        8 => Some("PCMA"),
        _ => None,
    }
}

fn read_maps<'a>(section: &Section<'a>, listed: &[u8]) -> Result<Vec<RtpMap<'a>>, SdpError> {
    let mut maps: Vec<RtpMap<'a>> = Vec::new();
    for (line, value) in section.values("rtpmap") {
        let malformed = SdpError::Malformed { line: line.number };
        let (format, encoding) = value.split_once(' ').ok_or(malformed.clone())?;
        let payload_type = parse_payload_type(format).ok_or(malformed.clone())?;
        let (name, rest) = encoding.trim().split_once('/').ok_or(malformed)?;
        let clock_rate = rest.split('/').next().unwrap_or(rest);
        if maps.iter().any(|known| known.payload_type == payload_type) {
            return Err(SdpError::DuplicatePayloadType { payload_type });
        }
        if listed.contains(&payload_type) {
            maps.push(RtpMap { payload_type, name, clock_rate });
        }
    }
    Ok(maps)
}
