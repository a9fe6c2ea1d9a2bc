//! Reads and filters what a client offers or answers.

use super::codecs::{Formats, Kept, parse_payload_type};
use super::h264::H264Choice;
use super::payload_types::PayloadTypes;
use super::scan::{Description, Line, Section, attribute_value};
use super::sources::Sources;
use super::{CodecPolicy, Direction, LineUse, OfferedMedia, RemoteAnswer, RemoteOffer, SdpError};
use crate::command::MediaKind;

/// URI of the transport-wide sequence number, the header extension behind transport-cc feedback.
pub(super) const TRANSPORT_CC_URI: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// Longest mid that survives the transport's fixed-size ids.
const MAX_MID_BYTES: usize = 16;
/// Restriction ids of one line that are read: more than there are streams of a track.
const MAX_RIDS: usize = 16;

/// One section after filtering.
#[derive(Debug, Clone, Default)]
pub(super) struct FilteredSection {
    /// All lines that do not depend on how the line is used, each with its end.
    text: String,
    /// The transport-cc header extension, likewise; empty when not offered.
    transport_cc: String,
    /// The streams that the client names; they mean something where it sends.
    sources: Sources,
    /// Index into the media list; `None` for an application line, whose direction means nothing.
    media: Option<usize>,
}

/// A description after filtering.
#[derive(Debug)]
struct Filtered {
    session: String,
    sections: Vec<FilteredSection>,
    media: Vec<OfferedMedia>,
    payload_types: PayloadTypes,
    ice_ufrag: String,
}

impl RemoteOffer {
    /// Parses and filters.
    ///
    /// # Errors
    /// [`SdpError`] when the text is no session description or would be unsafe.
    pub fn parse(sdp: &str, policy: &CodecPolicy) -> Result<Self, SdpError> {
        let Filtered { session, sections, media, payload_types, ice_ufrag } = Filtered::read(sdp, policy)?;
        let has_data = sections.iter().any(|section| section.media.is_none());
        Ok(Self { media, has_data, session, sections, payload_types, ice_ufrag })
    }

    /// The offer as the transport is to see it: filtered, with directions by use, with the transport-cc header
    /// extension wherever we do not send or estimate by it (else clients send REMB). Idle lines keep it: the transport
    /// fixes its table of extensions at the first offer, which on `/rtc/v1` has no other lines. Streams are named where
    /// the client sends.
    #[must_use]
    pub fn text_for(&self, lines: &LineUse<'_>) -> String {
        let mut text = self.session.clone();
        for section in &self.sections {
            text.push_str(&section.text);
            let Some(media) = section.media.and_then(|index| self.media.get(index)) else { continue };
            let direction = direction_for(media, lines);
            if direction != Direction::RecvOnly || lines.transport_cc {
                text.push_str(&section.transport_cc);
            }
            if direction == Direction::SendOnly && !lines.without_sources {
                text.push_str(section.sources.text());
            }
            text.push_str(direction.as_attribute());
            text.push_str("\r\n");
        }
        text
    }

    /// The streams that the client names for its published lines, in order.
    pub fn sources_of(&self, published: &[&str]) -> impl Iterator<Item = u32> + Clone {
        let is_published = move |section: &&FilteredSection| {
            let media = section.media.and_then(|index| self.media.get(index));
            media.is_some_and(|media| published.contains(&media.mid.as_str()))
        };
        self.sections.iter().filter(is_published).flat_map(|section| section.sources.ssrcs()).copied()
    }
}

impl RemoteAnswer {
    /// Checks an answer by the same rules as an offer. Streams that it names mean nothing: we offer lines to send on.
    ///
    /// # Errors
    /// [`SdpError`] when the text is no session description or would be unsafe.
    pub fn parse(sdp: &str, policy: &CodecPolicy) -> Result<Self, SdpError> {
        let filtered = Filtered::read(sdp, policy)?;
        let mut text = filtered.session;
        for section in &filtered.sections {
            text.push_str(&section.text);
            if let Some(media) = section.media.and_then(|index| filtered.media.get(index)) {
                // Only where our offer had it.
                text.push_str(&section.transport_cc);
                text.push_str(media.direction.as_attribute());
                text.push_str("\r\n");
            }
        }
        let mids = filtered.media.into_iter().map(|media| media.mid).collect();
        Ok(Self { text, mids, payload_types: filtered.payload_types })
    }
}

impl Direction {
    const ALL: [Self; 4] = [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive];

    pub(super) const fn as_attribute(self) -> &'static str {
        match self {
            Self::SendRecv => "a=sendrecv",
            Self::SendOnly => "a=sendonly",
            Self::RecvOnly => "a=recvonly",
            Self::Inactive => "a=inactive",
        }
    }

    fn from_attribute(line: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|direction| direction.as_attribute() == line)
    }
}

/// Only what is used keeps its direction: the transport's answer is always the exact inverse of the offer.
fn direction_for(media: &OfferedMedia, lines: &LineUse<'_>) -> Direction {
    let (sends, receives) = match media.direction {
        Direction::SendRecv => (true, true),
        Direction::SendOnly => (true, false),
        Direction::RecvOnly => (false, true),
        Direction::Inactive => (false, false),
    };
    if media.mime_types.is_empty() {
        Direction::Inactive
    } else if sends && lines.published.contains(&media.mid.as_str()) {
        Direction::SendOnly
    } else if receives && lines.assigned.contains(&media.mid.as_str()) {
        Direction::RecvOnly
    } else {
        Direction::Inactive
    }
}

impl Filtered {
    fn read(sdp: &str, policy: &CodecPolicy) -> Result<Self, SdpError> {
        let description = Description::scan(sdp)?;
        let formats: Vec<Option<Formats<'_>>> =
            description.sections.iter().map(read_formats).collect::<Result<_, _>>()?;
        let h264 = H264Choice::among(formats.iter().flatten().flat_map(Formats::h264));
        let mut filtered = Self {
            session: join(&description.session),
            sections: Vec::with_capacity(description.sections.len()),
            media: Vec::new(),
            payload_types: PayloadTypes::default(),
            ice_ufrag: first_ice_ufrag(&description).to_owned(),
        };
        let bundled: Vec<&str> = description.bundled().collect();
        let mut mids: Vec<&str> = Vec::with_capacity(description.sections.len());
        for (section, formats) in description.sections.iter().zip(&formats) {
            let mid = read_mid(section)?;
            if mids.contains(&mid) {
                return Err(SdpError::BadMid { line: section.media.number });
            }
            mids.push(mid);
            if let Some(formats) = formats {
                let kept = formats.keep(policy, h264);
                filtered.add_media(section, formats, kept, formats.idle(policy))?;
                filtered.media.last_mut().into_iter().for_each(|media| {
                    mid.clone_into(&mut media.mid);
                    // Port 0 means rejected, unless the line is bundled (RFC 9143 §7.2.1: `bundle-only`).
                    if section.media.text.split(' ').nth(1) == Some("0") && !bundled.contains(&mid) {
                        media.direction = Direction::Inactive;
                    }
                });
            } else {
                let text = format!("{}\r\n{}", section.media.text, join(&section.lines));
                filtered.sections.push(FilteredSection { text, ..FilteredSection::default() });
            }
        }
        Ok(filtered)
    }

    fn add_media(
        &mut self,
        section: &Section<'_>,
        formats: &Formats<'_>,
        kept: Kept,
        idle: Option<u8>,
    ) -> Result<(), SdpError> {
        let mut payload_types = kept.payload_types;
        payload_types.extend(idle);
        for payload_type in &payload_types {
            if let Some(binding) = formats.binding(*payload_type) {
                self.payload_types.bind(binding)?;
            }
        }
        let mut filtered = filter_lines(section, formats, &payload_types);
        if payload_types.is_empty() {
            // A line needs a format to be well-formed; this one must mean nothing to the transport.
            let malformed = SdpError::Malformed { line: section.media.number };
            let placeholder = formats.placeholder().ok_or(malformed)?.to_string();
            let (head, rest) = filtered.text.split_once("\r\n").unwrap_or((&filtered.text, ""));
            filtered.text = format!("{head} {placeholder}\r\n{rest}a=rtpmap:{placeholder} unused/90000\r\n");
        }
        self.sections.push(FilteredSection { media: Some(self.media.len()), ..filtered });
        let (stream_id, track_id) = read_msid(section);
        self.media.push(OfferedMedia {
            mid: String::new(),
            kind: formats.kind(),
            direction: read_direction(section),
            stream_id,
            track_id,
            rids: read_rids(section),
            mime_types: kept.codecs.iter().map(|codec| codec.mime_type().to_owned()).collect(),
            start_bitrates: formats.start_bitrates(&payload_types),
        });
        Ok(())
    }
}

/// Formats of an audio or video line; `None` for an application line.
fn read_formats<'a>(section: &Section<'a>) -> Result<Option<Formats<'a>>, SdpError> {
    let media = section.media.text.strip_prefix("m=").unwrap_or_default();
    match media.split(' ').next() {
        Some("audio") => Formats::read(MediaKind::Audio, section).map(Some),
        Some("video") => Formats::read(MediaKind::Video, section).map(Some),
        Some("application") => Ok(None),
        _ => Err(SdpError::Malformed { line: section.media.number }),
    }
}

/// The section's lines for the transport; those that depend on how the line is used, apart.
fn filter_lines(section: &Section<'_>, formats: &Formats<'_>, payload_types: &[u8]) -> FilteredSection {
    let mut text = String::with_capacity(1024);
    let (mut transport_cc, mut sources) = (String::new(), Sources::default());
    let head: Vec<&str> = section.media.text.splitn(4, ' ').take(3).collect();
    text.push_str(&head.join(" "));
    for payload_type in payload_types {
        text.push(' ');
        text.push_str(&payload_type.to_string());
    }
    text.push_str("\r\n");
    let decisive: Vec<(u8, String)> = payload_types
        .iter()
        .filter_map(|payload_type| Some((*payload_type, formats.decisive_parameters(*payload_type)?)))
        .collect();
    for line in &section.lines {
        let target = match line_fate(line.text, payload_types) {
            LineFate::Keep => &mut text,
            LineFate::TransportCc => &mut transport_cc,
            LineFate::Source => {
                sources.take(line.text);
                continue;
            }
            LineFate::Drop => continue,
        };
        if decides(line.text, &decisive) {
            continue;
        }
        target.push_str(line.text);
        target.push_str("\r\n");
    }
    for (payload_type, parameters) in decisive {
        text = text + "a=fmtp:" + &payload_type.to_string() + " " + &parameters + "\r\n";
    }
    FilteredSection { text, transport_cc, sources, media: None }
}

/// Whether a line holds parameters that are written anew.
fn decides(line: &str, decisive: &[(u8, String)]) -> bool {
    let format = attribute_value(line, "fmtp").and_then(|value| value.split(' ').next());
    let payload_type = format.and_then(parse_payload_type);
    payload_type.is_some_and(|payload_type| decisive.iter().any(|(written, _)| *written == payload_type))
}

enum LineFate {
    Keep,
    TransportCc,
    Source,
    Drop,
}

fn line_fate(line: &str, payload_types: &[u8]) -> LineFate {
    let format = ["rtpmap", "fmtp", "rtcp-fb"].iter().find_map(|name| attribute_value(line, name));
    if let Some(format) = format {
        let payload_type = format.split(' ').next().and_then(parse_payload_type);
        let is_kept = payload_type.is_some_and(|payload_type| payload_types.contains(&payload_type));
        return if is_kept { LineFate::Keep } else { LineFate::Drop };
    }
    let is_rtcp = ["a=rtcp:", "a=rtcp-rsize", "a=rtcp-xr"].iter().any(|prefix| line.starts_with(prefix));
    if is_rtcp || Direction::from_attribute(line).is_some() {
        LineFate::Drop
    } else if is_transport_cc(line) {
        LineFate::TransportCc
    } else if Sources::are_in(line) {
        LineFate::Source
    } else {
        LineFate::Keep
    }
}

/// Whether a line is the `a=extmap` of transport-wide sequence numbers.
pub(super) fn is_transport_cc(line: &str) -> bool {
    attribute_value(line, "extmap").and_then(|value| value.split(' ').nth(1)) == Some(TRANSPORT_CC_URI)
}

/// A mid that the transport's fixed-size ids can hold unchanged.
fn read_mid<'a>(section: &Section<'a>) -> Result<&'a str, SdpError> {
    let mut mids = section.values("mid");
    let is_usable = |mid: &str| {
        (1..=MAX_MID_BYTES).contains(&mid.len())
            && mid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    match (mids.next(), mids.next()) {
        (Some((_, mid)), None) if is_usable(mid) => Ok(mid),
        (Some((line, _)), _) => Err(SdpError::BadMid { line: line.number }),
        _ => Err(SdpError::BadMid { line: section.media.number }),
    }
}

fn read_direction(section: &Section<'_>) -> Direction {
    section.lines.iter().find_map(|line| Direction::from_attribute(line.text)).unwrap_or(Direction::SendRecv)
}

/// `a=msid:<stream> <track>`, where `-` means no stream; else the older `a=ssrc:<ssrc> msid:…`.
fn read_msid(section: &Section<'_>) -> (String, String) {
    let by_ssrc =
        || section.values("ssrc").find_map(|(_, value)| value.split_once(" msid:").map(|(_, msid)| msid));
    let msid = section.values("msid").next().map(|(_, msid)| msid).or_else(by_ssrc).unwrap_or_default();
    let (stream, track) = msid.split_once(' ').unwrap_or((msid, ""));
    (if stream == "-" { String::new() } else { stream.to_owned() }, track.trim().to_owned())
}

/// Restriction ids that the client sends: in the order of `a=simulcast`, else of their own lines.
fn read_rids(section: &Section<'_>) -> Vec<String> {
    let declared: Vec<&str> = section
        .values("rid")
        .filter_map(|(_, value)| value.split_once(' '))
        .filter(|(_, rest)| rest.split(' ').next() == Some("send"))
        .map(|(rid, _)| rid)
        .take(MAX_RIDS)
        .collect();
    let simulcast = section.values("simulcast").find_map(|(_, value)| {
        let mut words = value.trim().split(' ');
        words.by_ref().find(|word| *word == "send")?;
        words.next()
    });
    let ordered: Vec<&str> = simulcast
        .into_iter()
        .flat_map(|streams| streams.split(';').take(MAX_RIDS))
        .filter_map(|alternatives| alternatives.split(',').next())
        .map(|rid| rid.trim_start_matches('~'))
        .filter(|rid| declared.contains(rid))
        .collect();
    let rids = if ordered.is_empty() { declared } else { ordered };
    rids.into_iter().map(str::to_owned).collect()
}

fn first_ice_ufrag<'a>(description: &Description<'a>) -> &'a str {
    let session = description.session.iter();
    let sections = description.sections.iter().flat_map(|section| &section.lines);
    session.chain(sections).find_map(|line| attribute_value(line.text, "ice-ufrag")).unwrap_or_default()
}

fn join(lines: &[Line<'_>]) -> String {
    lines.iter().fold(String::new(), |text, line| text + line.text + "\r\n")
}
