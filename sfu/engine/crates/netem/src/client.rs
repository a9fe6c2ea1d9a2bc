//! A client: one peer connection (single mode) or two (dual mode), each a real WebRTC stack in RTP mode.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use plenum_core::{MediaKind, RateFeedback, TransportId};
use str0m::bwe::Bitrate;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::config::DtlsCert;
use str0m::format::PayloadParams;
use str0m::media::{Direction, KeyframeRequestKind, Mid, Pt, Rid, Simulcast, SimulcastLayer};
use str0m::net::{Protocol, Receive, TcpType, Transmit};
use str0m::rtp::{AbsCaptureTime, Extension, ExtensionMap, ExtensionValues, RtpWrite, Ssrc};
use str0m::{Candidate, Event, Input, Output, Rtc};

use crate::raw::{RawExtensions, replace_extensions, to_client, to_server};
use crate::receiving::ReceiverEstimate;
use crate::repeating::Repeatable;

/// How often receivers that tell what they can receive report.
const REPORT_INTERVAL: Duration = Duration::from_millis(200);

/// Which signalling path a client joins by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `/rtc/v1`: one peer connection, the client offers.
    Single,
    /// `/rtc`: one connection each way.
    Dual,
}

/// A packet that reached a client.
#[derive(Debug, Clone)]
pub struct Received {
    /// When.
    pub at: Instant,
    /// Line.
    pub mid: String,
    /// SSRC.
    pub ssrc: u32,
    /// Extended sequence number.
    pub seq: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Payload type.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// Payload.
    pub payload: Arc<[u8]>,
    /// Header extensions.
    pub extensions: ExtensionValues,
}

/// A line on which a client sends.
#[derive(Debug, Clone)]
pub struct MediaLine {
    /// Mid.
    pub mid: String,
    /// Kind.
    pub kind: MediaKind,
    /// Restriction ids, lowest first; empty without simulcast.
    pub rids: Vec<String>,
}

/// One peer connection.
#[derive(Debug)]
pub(crate) struct PeerConnection {
    pub(crate) transport: TransportId,
    pub(crate) address: SocketAddr,
    pub(crate) rtc: Rtc,
    pub(crate) timeout: Instant,
    protocol: Protocol,
    pending: Option<PendingOffer>,
    receiving: Vec<Mid>,
    /// Lines on which it will not receive any more.
    withdrawn: Vec<Mid>,
    channels: BTreeMap<String, ChannelId>,
    sends: BTreeMap<(String, Option<String>), u64>,
    /// Values of its packets' extensions, when it chooses them.
    pub(crate) raw: Option<RawExtensions>,
    /// What it believes that it can receive, where it tells that.
    estimate: Option<ReceiverEstimate>,
    /// It asks for lost audio.
    asks_for_audio: bool,
    /// By the server's last description.
    repeatable: Repeatable,
}

/// How a connection differs from the usual.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not states of one machine")]
pub(crate) struct Ways {
    /// By TCP.
    pub(crate) tcp: bool,
    /// It chooses the values of header extensions.
    pub(crate) raw_extensions: bool,
    /// It knows RED.
    pub(crate) takes_red: bool,
    /// It asks for lost audio where the server's description says so.
    pub(crate) asks_for_audio: bool,
    /// What it says of the rate at which it can receive.
    pub(crate) feedback: RateFeedback,
}

struct PendingOffer(SdpPendingOffer);

impl std::fmt::Debug for PendingOffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PendingOffer")
    }
}

/// A client and what it saw.
#[derive(Debug)]
pub struct Client {
    /// How it joined.
    pub mode: Mode,
    /// Lines on which it publishes.
    pub lines: Vec<MediaLine>,
    /// Packets received, in order.
    pub received: Vec<Received>,
    /// Data messages received: label, bytes.
    pub messages: Vec<(String, Vec<u8>)>,
    /// Key-frame requests received: mid, rid.
    pub key_frame_requests: Vec<(Instant, String, Option<String>)>,
    /// Sender reports received: mid, NTP time, RTP timestamp.
    pub sender_reports: Vec<(String, SystemTime, u32)>,
    /// Receiver reports on what it sends: line, part that was lost, and whether a round trip could be told from it.
    pub reports: Vec<(String, f32, bool)>,
    /// Labels of open channels.
    pub open_channels: Vec<String>,
    /// mid → track of the last description from the server.
    pub mid_to_track: BTreeMap<String, String>,
    /// The last description from the server.
    pub last_description: String,
    /// Number of offers that it has made or answered.
    pub negotiations: usize,
    /// Lines that the server asked for, by request.
    pub requirements: Vec<(u32, u32)>,
    /// Answers nothing and offers nothing while true.
    pub is_silent: bool,
    /// Answers every media line as inactive.
    pub turns_media_down: bool,
    /// Peer connections have been closed by the server.
    pub closed: usize,
    pub(crate) connections: Vec<PeerConnection>,
}

impl PeerConnection {
    pub(crate) fn new(
        now: Instant,
        transport: TransportId,
        address: SocketAddr,
        certificate: &DtlsCert,
        ways: Ways,
    ) -> Self {
        let Ways { tcp, raw_extensions, takes_red, asks_for_audio, feedback } = ways;
        let mut builder = Rtc::builder()
            .set_rtp_mode(true)
            .set_dtls_cert(certificate.clone())
            .clear_codecs()
            .enable_opus(true, takes_red)
            .enable_pcmu(true, false)
            .enable_pcma(true, false)
            .enable_vp8(true)
            .enable_h264(true)
            .enable_h265(true)
            .set_stats_interval(Some(Duration::from_secs(1)));
        if feedback == RateFeedback::Receiver {
            // What it can receive goes out with its reports; browsers tell it at once.
            builder = builder
                .set_rtcp_report_interval_audio(REPORT_INTERVAL)
                .set_rtcp_report_interval_video(REPORT_INTERVAL);
        }
        let extensions = builder.extension_map();
        if feedback != RateFeedback::TransportWide {
            *extensions = without_transport_cc(extensions);
        }
        extensions.set(5, Extension::PlayoutDelay);
        extensions.set(6, Extension::AbsoluteCaptureTime);
        if raw_extensions {
            replace_extensions(extensions);
        }
        let mut rtc = builder.build(now);
        let candidate = if tcp {
            Candidate::builder().tcp().host(address).tcptype(TcpType::Active).build()
        } else {
            Candidate::host(address, "udp")
        };
        rtc.add_local_candidate(candidate.expect("a host candidate"));
        Self {
            transport,
            address,
            rtc,
            timeout: now,
            protocol: if tcp { Protocol::Tcp } else { Protocol::Udp },
            pending: None,
            receiving: Vec::new(),
            withdrawn: Vec::new(),
            channels: BTreeMap::new(),
            sends: BTreeMap::new(),
            raw: raw_extensions.then(RawExtensions::default),
            estimate: (feedback == RateFeedback::Receiver).then(ReceiverEstimate::default),
            asks_for_audio,
            repeatable: Repeatable::default(),
        }
    }

    /// The next offer: with `audio` and `video` more receiving lines, and with `publish` as new sending lines.
    pub(crate) fn offer(
        &mut self,
        more: (u32, u32),
        publish: &mut [MediaLine],
        restart_ice: bool,
    ) -> Option<String> {
        let mut api = self.rtc.sdp_api();
        if self.channels.is_empty() {
            for (label, reliable) in [("_reliable", true), ("_lossy", false), ("_data_track", false)] {
                let id = api.add_channel_with_config(channel(label, reliable));
                self.channels.insert(label.to_owned(), id);
            }
        }
        for line in publish.iter_mut().filter(|line| line.mid.is_empty()) {
            let simulcast = (!line.rids.is_empty()).then(|| {
                let mut simulcast = Simulcast::new();
                line.rids.iter().for_each(|rid| simulcast.add_send_layer(SimulcastLayer::new(rid)));
                simulcast
            });
            let mid = api.add_media(kind_of(line.kind), Direction::SendOnly, None, None, simulcast);
            line.mid = mid.to_string();
        }
        // Toggled so that there is something to negotiate even when nothing has changed; the text says recvonly.
        for mid in &self.receiving {
            api.set_direction(*mid, Direction::Inactive);
            api.set_direction(*mid, Direction::RecvOnly);
        }
        for mid in self.withdrawn.drain(..) {
            api.set_direction(mid, Direction::Inactive);
        }
        for (kind, count) in [(MediaKind::Audio, more.0), (MediaKind::Video, more.1)] {
            for _ in 0..count {
                self.receiving.push(api.add_media(kind_of(kind), Direction::RecvOnly, None, None, None));
            }
        }
        if restart_ice {
            api.ice_restart(true);
        }
        let (offer, pending) = api.apply()?;
        self.pending = Some(PendingOffer(pending));
        let sdp = offer.to_sdp_string();
        Some(if self.raw.is_some() { to_server(&sdp) } else { sdp })
    }

    pub(crate) fn accept_answer(&mut self, sdp: &str) {
        let Some(PendingOffer(pending)) = self.pending.take() else { panic!("an answer to no offer") };
        self.repeatable = Repeatable::read(sdp);
        let sdp = if self.raw.is_some() { to_client(sdp) } else { sdp.to_owned() };
        let answer = SdpAnswer::from_sdp_string(&sdp).expect("the server's answer parses");
        self.rtc.sdp_api().accept_answer(pending, answer).expect("the server's answer fits");
    }

    pub(crate) fn forget_offer(&mut self) {
        self.pending = None;
    }

    pub(crate) fn accept_offer(&mut self, sdp: &str) -> String {
        self.repeatable = Repeatable::read(sdp);
        let offer = SdpOffer::from_sdp_string(sdp).expect("the server's offer parses");
        self.rtc.sdp_api().accept_offer(offer).expect("the server's offer fits").to_sdp_string()
    }

    pub(crate) fn receive(&mut self, now: Instant, source: SocketAddr, payload: &[u8]) {
        if let Some(estimate) = self.estimate.as_mut().filter(|_| is_rtp(payload)) {
            estimate.note(now, payload.len());
        }
        let Ok(receive) = Receive::new(self.protocol, source, self.address, payload) else { return };
        let _ = self.rtc.handle_input(Input::Receive(now, receive));
    }

    /// Asks for what is lost of a stream from now on, where the server repeats it.
    fn note_format(&mut self, ssrc: Ssrc, payload_type: Pt) {
        if !self.asks_for_audio {
            return;
        }
        let mut api = self.rtc.direct_api();
        let Some(stream) = api.stream_rx(&ssrc) else { return };
        if stream.rtx().is_none() {
            let is_repeatable = self.repeatable.has(&stream.mid(), *payload_type);
            stream.suppress_nack(!is_repeatable);
        }
    }

    /// Tells what can be received, where that is due.
    fn note_sent_at(&mut self, now: Instant, ssrc: Ssrc, sent_at: Option<Instant>) {
        let (Some(estimate), Some(sent_at)) = (&mut self.estimate, sent_at) else { return };
        estimate.note_sent_at(now, sent_at);
        let Some(rate_bps) = estimate.poll(now) else { return };
        if let Some(stream) = self.rtc.direct_api().stream_rx(&ssrc) {
            stream.request_remb(Bitrate::from(rate_bps));
        }
    }

    /// Writes a packet on a sending line.
    pub(crate) fn send_rtp(
        &mut self,
        now: Instant,
        mid: &str,
        rid: Option<&str>,
        packet: &OutPacket,
    ) -> bool {
        let sends = self.sends.entry((mid.to_owned(), rid.map(str::to_owned))).or_insert(packet.first_seq);
        *sends += 1;
        let seq = *sends;
        let mut api = self.rtc.direct_api();
        let Some(stream) = api.stream_tx_by_mid(Mid::from(mid), rid.map(Rid::from)) else { return false };
        let mut extensions = ExtensionValues::default();
        if let Some(raw) = &self.raw {
            extensions.user_values.set(raw.clone());
        } else if let Some(level) = packet.audio_level {
            extensions.audio_level = Some(level);
            extensions.voice_activity = Some(true);
        }
        extensions.rid = rid.map(Rid::from);
        extensions.abs_capture_time =
            packet.capture_time.map(|capture_time| AbsCaptureTime { capture_time, clock_offset: None });
        stream.write_rtp(
            RtpWrite::new(
                Pt::from(packet.payload_type),
                seq.into(),
                packet.timestamp,
                now,
                packet.payload.clone(),
            )
            .marker(packet.marker)
            .nackable(packet.nackable)
            .ext_vals(extensions),
        );
        true
    }

    pub(crate) fn payload_type(&self, codec: str0m::format::Codec) -> Option<u8> {
        self.rtc.codec_config().iter().find(|params| params.spec().codec == codec).map(|params| *params.pt())
    }

    pub(crate) fn red_payload_type(&self) -> Option<u8> {
        self.rtc.codec_config().iter().find_map(PayloadParams::red).map(|pt| *pt)
    }

    /// Goes on with another SSRC on a sending line, as after the sender was made anew.
    pub(crate) fn renew_ssrc(&mut self, mid: &str) {
        let mid = Mid::from(mid);
        let mut api = self.rtc.direct_api();
        let Some(old) = api.stream_tx_by_mid(mid, None).map(|stream| (stream.ssrc(), stream.rtx())) else {
            return;
        };
        api.remove_stream_tx(old.0);
        let (ssrc, resend) = (api.new_ssrc(), old.1.map(|_| api.new_ssrc()));
        api.declare_stream_tx(ssrc, resend, mid, None);
        self.sends.insert((mid.to_string(), None), 40_000);
    }

    /// From the next offer on it does not receive on a line any more.
    pub(crate) fn withdraw(&mut self, mid: &str) {
        self.receiving.retain(|receiving| **receiving != *mid);
        self.withdrawn.push(Mid::from(mid));
    }

    /// Goes on with the sequence number after this one on a sending line.
    pub(crate) fn go_on_after(&mut self, mid: &str, seq: u64) {
        self.sends.insert((mid.to_owned(), None), seq);
    }

    pub(crate) fn request_key_frame(&mut self, mid: &str) {
        if let Some(stream) = self.rtc.direct_api().stream_rx_by_mid(Mid::from(mid), None) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
    }

    pub(crate) fn send_message(&mut self, label: &str, payload: &[u8]) -> bool {
        let Some(mut channel) = self.channels.get(label).and_then(|id| self.rtc.channel(*id)) else {
            return false;
        };
        channel.write(true, payload).unwrap_or(false)
    }

    pub(crate) fn open_channel(&mut self, label: &str, reliable: bool) {
        let mut api = self.rtc.sdp_api();
        let id = api.add_channel_with_config(channel(label, reliable));
        let _ = api.apply();
        self.channels.insert(label.to_owned(), id);
    }

    pub(crate) fn note_channel(&mut self, label: &str, id: ChannelId) {
        self.channels.insert(label.to_owned(), id);
    }

    pub(crate) fn label_of(&self, id: ChannelId) -> String {
        self.channels
            .iter()
            .find(|(_, known)| **known == id)
            .map(|(label, _)| label.clone())
            .unwrap_or_default()
    }
}

/// A packet for a client to send.
#[derive(Debug, Clone)]
pub(crate) struct OutPacket {
    pub(crate) payload_type: u8,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) nackable: bool,
    pub(crate) audio_level: Option<i8>,
    pub(crate) capture_time: Option<SystemTime>,
    pub(crate) first_seq: u64,
    pub(crate) payload: Arc<[u8]>,
}

impl Client {
    pub(crate) const fn new(mode: Mode) -> Self {
        Self {
            mode,
            lines: Vec::new(),
            received: Vec::new(),
            messages: Vec::new(),
            key_frame_requests: Vec::new(),
            sender_reports: Vec::new(),
            reports: Vec::new(),
            open_channels: Vec::new(),
            mid_to_track: BTreeMap::new(),
            last_description: String::new(),
            negotiations: 0,
            requirements: Vec::new(),
            is_silent: false,
            turns_media_down: false,
            closed: 0,
            connections: Vec::new(),
        }
    }

    /// The connection on which it publishes.
    pub(crate) fn publisher(&mut self) -> &mut PeerConnection {
        &mut self.connections[0]
    }

    /// The connection on which it receives.
    pub(crate) fn subscriber(&mut self) -> &mut PeerConnection {
        self.connections.last_mut().expect("a connection")
    }

    /// Packets that arrived on the line of a track.
    #[must_use]
    pub fn packets_of(&self, track: &str) -> Vec<&Received> {
        let mid = self.mid_to_track.iter().find(|(_, of)| *of == track).map(|(mid, _)| mid);
        self.received.iter().filter(|packet| Some(&packet.mid) == mid).collect()
    }

    /// Number of `m=audio` and `m=video` lines in the server's last description.
    #[must_use]
    pub fn media_lines(&self) -> usize {
        self.last_description
            .lines()
            .filter(|line| line.starts_with("m=audio") || line.starts_with("m=video"))
            .count()
    }

    /// Runs one connection until it has nothing more to say; gives what it sends.
    pub(crate) fn drain(&mut self, now: Instant, index: usize) -> Vec<Transmit> {
        let mut transmits = Vec::new();
        loop {
            match self.connections[index].rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.connections[index].timeout = at;
                    return transmits;
                }
                Ok(Output::Transmit(transmit)) => transmits.push(transmit),
                Ok(Output::Event(event)) => self.note(now, index, event),
                Err(_) => {
                    self.connections[index].timeout = now + Duration::from_secs(3_600);
                    return transmits;
                }
            }
        }
    }

    fn note(&mut self, now: Instant, index: usize, event: Event) {
        match event {
            Event::RtpPacket(packet) => {
                let header = &packet.header;
                self.connections[index].note_sent_at(now, header.ssrc, header.ext_vals.abs_send_time);
                self.connections[index].note_format(header.ssrc, header.payload_type);
                let mut api = self.connections[index].rtc.direct_api();
                let mid = api.stream_rx(&packet.header.ssrc).map(|stream| stream.mid().to_string());
                self.received.push(Received {
                    at: now,
                    mid: mid.unwrap_or_default(),
                    ssrc: *packet.header.ssrc,
                    seq: *packet.seq_no,
                    timestamp: packet.header.timestamp,
                    payload_type: *packet.header.payload_type,
                    marker: packet.header.marker,
                    payload: packet.payload,
                    extensions: packet.header.ext_vals,
                });
            }
            Event::KeyframeRequest(request) => {
                let rid = request.rid.map(|rid| rid.to_string());
                self.key_frame_requests.push((now, request.mid.to_string(), rid));
            }
            Event::SenderFeedback(feedback) => {
                let report = feedback.sender_info;
                #[expect(clippy::cast_possible_truncation, reason = "an RTP timestamp has 32 bits")]
                let timestamp = report.rtp_time.numer() as u32;
                self.sender_reports.push((feedback.mid.to_string(), report.ntp_time, timestamp));
            }
            Event::ChannelOpen(id, label) => {
                self.connections[index].note_channel(&label, id);
                self.open_channels.push(label);
            }
            Event::ChannelData(data) => {
                let label = self.connections[index].label_of(data.id);
                self.messages.push((label, data.data));
            }
            Event::Closed => self.closed += 1,
            Event::MediaEgressStats(stats) if stats.remote.is_some() => {
                let loss = stats.loss.unwrap_or_default();
                self.reports.push((stats.mid.to_string(), loss, stats.rtt.is_some()));
            }
            _ => {}
        }
    }
}

/// RFC 5761 §4, RFC 7983 §7.
const fn is_rtp(payload: &[u8]) -> bool {
    matches!(payload, [128..=191, 0..=191 | 224..=255, ..])
}

fn without_transport_cc(extensions: &ExtensionMap) -> ExtensionMap {
    let mut others = ExtensionMap::empty();
    for (id, extension) in extensions.iter().filter(|(_, it)| **it != Extension::TransportSequenceNumber) {
        others.set(id, extension.clone());
    }
    others
}

fn channel(label: &str, reliable: bool) -> ChannelConfig {
    let mut config = ChannelConfig { label: label.to_owned(), ..ChannelConfig::default() };
    if !reliable {
        config.ordered = false;
        config.reliability = Reliability::MaxRetransmits { retransmits: 0 };
    }
    config
}

const fn kind_of(kind: MediaKind) -> str0m::media::MediaKind {
    match kind {
        MediaKind::Audio => str0m::media::MediaKind::Audio,
        MediaKind::Video => str0m::media::MediaKind::Video,
    }
}
