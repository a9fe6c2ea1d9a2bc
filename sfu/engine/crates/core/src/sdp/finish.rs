//! The last patches to a description of ours before a client sees it.

use super::candidate::announce_line;
use super::codecs::{Formats, START_BITRATE, parse_payload_type};
use super::h264::H264Choice;
use super::offer::is_transport_cc;
use super::scan::{Description, Section, attribute_value};
use super::{CodecPolicy, StartBitrate};
use crate::command::{MediaKind, PublishLine};
use crate::rtp::Codec;
use crate::transport::LocalCandidate;

/// What the server does on a line of its own description.
#[derive(Debug, Clone, Copy)]
pub enum LineRole<'a> {
    /// Receives a publication.
    Receiving(&'a PublishLine),
    /// Sends a subscription.
    Sending {
        /// `msid` stream id, `PA_…|TR_…`; also the CNAME.
        stream_id: &'a str,
        /// `msid` track id, `TR_…`.
        track_sid: &'a str,
        /// `sprop-stereo=1` for Opus.
        stereo: bool,
        /// SSRCs of media and of its retransmissions.
        ssrcs: Option<(u32, Option<u32>)>,
        /// Estimated by transport-wide feedback, not by the receiver.
        transport_cc: bool,
    },
}

/// Role of one line; lines that are not named do neither.
#[derive(Debug, Clone, Copy)]
pub struct LocalLine<'a> {
    /// `a=mid`
    pub mid: &'a str,
    /// What we do on it.
    pub role: LineRole<'a>,
    /// Where the client wants its encoder to start, given back in an answer.
    pub start_bitrates: &'a [StartBitrate],
}

/// Patches an offer or answer that the transport wrote: msid and CNAME of sending lines, none on others, codec order,
/// Opus parameters, RED, start bit rates, transport-cc only where we receive, `nack` of audio only where we send,
/// `msid-semantic`, announced addresses. A line without a codec in common is refused (port 0); the first that is not
/// stands for all of the group (RFC 9143 §7.3.3), so it gets the candidates.
///
/// Text that does not scan is returned as it is: the transport wrote it, so that would be a fault of ours.
#[must_use]
pub fn finish_description(text: &str, lines: &[LocalLine<'_>], candidates: &[LocalCandidate]) -> String {
    let Ok(description) = Description::scan(text) else { return text.to_owned() };
    let sections: Vec<LocalSection<'_>> =
        description.sections.iter().map(|section| LocalSection::read(section, lines)).collect();
    let refused: Vec<&str> =
        sections.iter().filter(|section| section.is_refused).map(|section| section.mid).collect();
    let mut out = Output { text: String::with_capacity(text.len() + 512), candidates };
    for line in &description.session {
        out.session_line(line.text, &refused);
    }
    // The transport writes them into the very first line, but of a refused one nobody reads them: on `/rtc/v1` clients
    // begin with audio, and a room may have none.
    let candidates: Vec<&str> = sections.iter().flat_map(LocalSection::candidates).collect();
    let tagged = sections.iter().position(|section| !section.is_refused);
    for (index, section) in sections.iter().enumerate() {
        section.write(&mut out, if tagged == Some(index) { &candidates } else { &[] });
    }
    out.text
}

/// Text under construction.
struct Output<'a> {
    text: String,
    candidates: &'a [LocalCandidate],
}

impl Output<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push_str("\r\n");
    }

    fn session_line(&mut self, line: &str, refused: &[&str]) {
        if line.starts_with("a=msid-semantic") {
            self.line("a=msid-semantic: WMS *");
        } else if line.starts_with("a=group:BUNDLE") && !refused.is_empty() {
            let mids: Vec<&str> = line.split(' ').filter(|mid| !refused.contains(mid)).collect();
            self.line(&mids.join(" "));
        } else {
            self.plain(line);
        }
    }

    /// A line of no line role: only candidates change.
    fn plain(&mut self, line: &str) {
        match line.strip_prefix("a=").filter(|value| value.starts_with("candidate:")) {
            Some(candidate) => announce_line(candidate, self.candidates, |text| {
                self.text.push_str("a=");
                self.text.push_str(text);
                self.text.push_str("\r\n");
            }),
            None => self.line(line),
        }
    }
}

/// One m-line of ours with its role.
struct LocalSection<'a> {
    section: &'a Section<'a>,
    mid: &'a str,
    role: Option<LineRole<'a>>,
    /// Payload types in the order to write; `None` for an application line.
    payload_types: Option<Vec<u8>>,
    opus: Option<u8>,
    start_bitrates: &'a [StartBitrate],
    is_refused: bool,
    /// What the peer takes of it is known.
    is_answer: bool,
    /// Packets on it carry transport-wide sequence numbers.
    has_transport_cc: bool,
}

impl<'a> LocalSection<'a> {
    fn read(section: &'a Section<'a>, lines: &[LocalLine<'a>]) -> Self {
        let mid = section.values("mid").next().map_or("", |(_, mid)| mid);
        let line = lines.iter().find(|line| line.mid == mid);
        let role = line.map(|line| line.role);
        let start_bitrates = line.map_or(&[][..], |line| line.start_bitrates);
        let kind = [("m=audio", MediaKind::Audio), ("m=video", MediaKind::Video)]
            .into_iter()
            .find(|(prefix, _)| section.media.text.starts_with(prefix))
            .map(|(_, kind)| kind);
        let formats = kind.and_then(|kind| Formats::read(kind, section).ok());
        let is_refused = formats.as_ref().is_some_and(|formats| !formats.has_maps());
        let payload_types = formats.as_ref().filter(|_| !is_refused).map(|formats| order(formats, role));
        let opus = formats.as_ref().and_then(|formats| formats.payload_type_of(Codec::Opus));
        let is_answer = section.values("setup").all(|(_, setup)| setup != "actpass");
        let has_transport_cc = section.lines.iter().any(|line| is_transport_cc(line.text));
        Self {
            section,
            mid,
            role,
            payload_types,
            opus,
            start_bitrates,
            is_refused,
            is_answer,
            has_transport_cc,
        }
    }

    /// The lines of its candidates.
    fn candidates(&self) -> impl Iterator<Item = &'a str> {
        self.section.lines.iter().map(|line| line.text).filter(|line| is_candidate(line))
    }

    fn write(&self, out: &mut Output<'_>, candidates: &[&str]) {
        self.write_media_line(out);
        let mut with_parameters = Vec::new();
        for line in &self.section.lines {
            if self.is_dropped(line.text) || is_candidate(line.text) {
                continue;
            }
            match self.patched(line.text) {
                Some(patched) => out.line(&patched),
                None => out.plain(line.text),
            }
            with_parameters.extend(payload_type_of_parameters(line.text));
        }
        for payload_type in self.payload_types.iter().flatten() {
            if !with_parameters.contains(payload_type)
                && let Some(parameters) = self.more_parameters(*payload_type).strip_prefix(';')
            {
                out.line(&format!("a=fmtp:{payload_type} {parameters}"));
            }
        }
        for candidate in candidates {
            out.plain(candidate);
        }
        self.write_sources(out);
    }

    fn write_media_line(&self, out: &mut Output<'_>) {
        let words: Vec<&str> = self.section.media.text.splitn(4, ' ').collect();
        match (words.as_slice(), &self.payload_types) {
            ([media, _, protocol, ..], _) if self.is_refused => out.line(&format!("{media} 0 {protocol} 0")),
            ([media, port, protocol, ..], Some(payload_types)) => {
                let formats: Vec<String> = payload_types.iter().map(u8::to_string).collect();
                out.line(&format!("{media} {port} {protocol} {}", formats.join(" ")));
            }
            _ => out.line(self.section.media.text),
        }
    }

    fn is_sending(&self) -> bool {
        matches!(self.role, Some(LineRole::Sending { .. }))
    }

    /// Lines that the client must not see in this role.
    fn is_dropped(&self, line: &str) -> bool {
        let Some(payload_types) = &self.payload_types else { return false };
        if let Some(format) =
            ["rtpmap", "fmtp", "rtcp-fb"].iter().find_map(|name| attribute_value(line, name))
        {
            let payload_type = format.split(' ').next().and_then(parse_payload_type);
            let is_listed = payload_type.is_some_and(|payload_type| payload_types.contains(&payload_type));
            return !is_listed || self.is_other_feedback(line) || self.is_nack_of_audio_received(line);
        }
        if is_transport_cc(line) {
            // An idle line keeps it: Chromium never again offers an extension that its first answer leaves out of all
            // lines, and on `/rtc/v1` that answer comes before anything is published.
            return self.is_receiving_audio() || self.is_sending() && !self.is_sending_with_transport_cc();
        }
        let is_source = ["a=msid:", "a=ssrc:", "a=ssrc-group:"].iter().any(|prefix| line.starts_with(prefix));
        // Those of the transport are not those under which we send; ours are written instead.
        is_source && !(self.is_sending() && line.starts_with("a=msid:"))
    }

    /// Whether a line promises a feedback on the rate that we do not go by. An offer leaves peers without transport-cc
    /// the other one; who has both goes by our packets.
    fn is_other_feedback(&self, line: &str) -> bool {
        if !line.starts_with("a=rtcp-fb:") {
            return false;
        }
        let goes_by_arrivals = self.is_sending_with_transport_cc();
        let is_measured = goes_by_arrivals || self.is_receiving() && !self.is_receiving_audio();
        let is_other_estimate = goes_by_arrivals && self.is_answer && self.has_transport_cc;
        line.ends_with(" transport-cc") && !is_measured || line.ends_with(" goog-remb") && is_other_estimate
    }

    /// Whether a line asks a publisher to repeat audio, which has no stream of its own for that. `libwebrtc` then seals a
    /// packet again under its number, but with the time of now in its header (abs-send-time): with AES-GCM, two texts under
    /// one nonce give away the key that authenticates (RFC 7714 §8). RED and the FEC of Opus repair it instead.
    fn is_nack_of_audio_received(&self, line: &str) -> bool {
        let is_audio = self.section.media.text.starts_with("m=audio");
        is_audio && !self.is_sending() && line.starts_with("a=rtcp-fb:") && line.ends_with(" nack")
    }

    fn is_sending_with_transport_cc(&self) -> bool {
        matches!(self.role, Some(LineRole::Sending { transport_cc: true, .. }))
    }

    fn is_receiving(&self) -> bool {
        matches!(self.role, Some(LineRole::Receiving(_)))
    }

    /// Audio of a publisher is left out of the feedback on its rate, as the reference leaves it out. Clients divide what
    /// they estimate among audio at its nominal rate and video; what RED adds to audio they do not count. Were audio
    /// part of the estimate, they would fill a narrow path and its queue, and half of the audio would be lost there.
    fn is_receiving_audio(&self) -> bool {
        self.is_receiving() && self.section.media.text.starts_with("m=audio")
    }

    /// A line with our values in it; `None` when it stays.
    fn patched(&self, line: &str) -> Option<String> {
        if let Some(payload_type) = payload_type_of_parameters(line) {
            return Some(format!("{line}{}", self.more_parameters(payload_type)));
        }
        let Some(LineRole::Sending { stream_id, track_sid, .. }) = self.role else { return None };
        line.starts_with("a=msid:").then(|| format!("a=msid:{stream_id} {track_sid}"))
    }

    /// The streams under which we send (RFC 5576).
    fn write_sources(&self, out: &mut Output<'_>) {
        let Some(LineRole::Sending { stream_id, track_sid, ssrcs: Some((media, resend)), .. }) = self.role
        else {
            return;
        };
        if let Some(resend) = resend {
            out.line(&format!("a=ssrc-group:FID {media} {resend}"));
        }
        for ssrc in std::iter::once(media).chain(resend) {
            out.line(&format!("a=ssrc:{ssrc} cname:{stream_id}"));
            out.line(&format!("a=ssrc:{ssrc} msid:{stream_id} {track_sid}"));
        }
    }

    /// What to append to the parameters of a format, each with a leading semicolon.
    fn more_parameters(&self, payload_type: u8) -> String {
        if self.opus == Some(payload_type) {
            return self.opus_parameters();
        }
        let start = self.start_bitrates.iter().find(|start| start.payload_type == payload_type);
        start.map(|start| format!(";{START_BITRATE}={}", start.kbps)).unwrap_or_default()
    }

    /// What to append to the parameters of Opus, each with a leading semicolon.
    fn opus_parameters(&self) -> String {
        let mut parameters = String::new();
        match self.role {
            Some(LineRole::Receiving(line)) => {
                if line.dtx {
                    parameters.push_str(";usedtx=1");
                }
                if line.stereo {
                    parameters.push_str(";stereo=1;maxaveragebitrate=510000");
                }
            }
            Some(LineRole::Sending { stereo: true, .. }) => parameters.push_str(";sprop-stereo=1"),
            _ => {}
        }
        parameters
    }
}

fn is_candidate(line: &str) -> bool {
    line.starts_with("a=candidate:")
}

/// The format that an `a=fmtp` line is about.
fn payload_type_of_parameters(line: &str) -> Option<u8> {
    attribute_value(line, "fmtp")?.split(' ').next().and_then(parse_payload_type)
}

/// Payload types with the publication's codec first, each primary followed by its RTX, without RED where the
/// publication does not use it. Clients take the first codec of the answer; those that do not get no other.
///
/// What we would not take of a client (further profiles of a codec) we do not offer either.
fn order(formats: &Formats<'_>, role: Option<LineRole<'_>>) -> Vec<u8> {
    let kept = formats.keep(&CodecPolicy::default(), H264Choice::among(formats.h264())).payload_types;
    let listed = if kept.is_empty() { formats.listed().to_vec() } else { kept };
    let Some(LineRole::Receiving(line)) = role else { return listed };
    let wanted = line.codec.as_deref().and_then(Codec::from_mime_type);
    let rank = |payload_type: u8| {
        let primary = formats.primary_of(payload_type).unwrap_or(payload_type);
        let codec = formats.codec_of(primary);
        let is_wanted = codec.is_some()
            && (codec == wanted || (codec == Some(Codec::Red) && wanted == Some(Codec::Opus)));
        let position = listed.iter().position(|known| *known == primary).unwrap_or(listed.len());
        (!is_wanted, formats.h264_mode(primary).filter(|_| is_wanted), position, primary != payload_type)
    };
    let mut ordered: Vec<u8> = listed
        .iter()
        .copied()
        .filter(|listed| line.red || formats.codec_of(*listed) != Some(Codec::Red))
        .collect();
    if line.codec_only && ordered.iter().any(|listed| !rank(*listed).0) {
        ordered.retain(|listed| !rank(*listed).0);
    }
    ordered.sort_by_key(|payload_type| rank(*payload_type));
    ordered
}
