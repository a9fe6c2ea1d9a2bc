//! One ICE + DTLS + SRTP + SCTP association of a participant, with its own socket.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use plenum_io::net::{ReceiveBatch, UdpPort};
use prost::Message as _;
use rustc_hash::FxHashMap;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpPacket;
use str0m::{Candidate, Event, Input, Output, Rtc};

use crate::error::LoadError;
use crate::publisher::{LARGEST_AUDIO_BYTES, VIDEO_MARK_OFFSET};
use crate::tally::Tally;
use crate::wire::DataPacket;

/// Room for what arrives while other participants get their turn.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Never: nothing is due.
const FAR: Duration = Duration::from_secs(3600);

pub(crate) const RELIABLE: &str = "_reliable";
pub(crate) const LOSSY: &str = "_lossy";

/// A line to be offered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewLine<'a> {
    pub(crate) kind: MediaKind,
    /// Track that is sent on it; `None`: a line to receive on.
    pub(crate) track: Option<&'a str>,
}

pub(crate) struct Association {
    rtc: Rtc,
    port: UdpPort,
    pending: Option<SdpPendingOffer>,
    mids: FxHashMap<String, Mid>,
    /// Lines on which we are ready to receive.
    receiving: Vec<Mid>,
    state: State,
}

/// What the association has told.
struct State {
    next: Instant,
    outgoing: Vec<(SocketAddr, Vec<u8>)>,
    channels: FxHashMap<ChannelId, String>,
    key_frame_wanted: bool,
    connected: bool,
    tally: Tally,
}

impl Association {
    /// One with a fresh socket on `ip`.
    pub(crate) fn new(ip: IpAddr, now: Instant) -> Result<Self, LoadError> {
        let port = UdpPort::bind(SocketAddr::new(ip, 0), SOCKET_BUFFER_BYTES)?;
        let mut rtc = Rtc::builder().set_rtp_mode(true).build(now);
        if let Ok(candidate) = Candidate::host(port.address(), "udp") {
            rtc.add_local_candidate(candidate);
        }
        Ok(Self {
            rtc,
            port,
            pending: None,
            mids: FxHashMap::default(),
            receiving: Vec::new(),
            state: State {
                next: now,
                outgoing: Vec::new(),
                channels: FxHashMap::default(),
                key_frame_wanted: false,
                connected: false,
                tally: Tally::default(),
            },
        })
    }

    pub(crate) fn next_timeout(&self) -> Instant {
        self.state.next
    }

    /// Answers an offer of the server.
    pub(crate) fn answer(&mut self, sdp: &str) -> Result<String, LoadError> {
        let offer = SdpOffer::from_sdp_string(sdp)?;
        self.pending = None;
        Ok(self.rtc.sdp_api().accept_offer(offer)?.to_sdp_string())
    }

    /// Offers further lines and, the first time, the data channels; without either, the lines as they are. `None` while
    /// another offer is under way, or when nothing is left to offer.
    pub(crate) fn offer(&mut self, lines: &[NewLine<'_>], channels: bool) -> Option<String> {
        if self.pending.is_some() {
            return None;
        }
        // Lines that the server left inactive stay so in this library; browsers offer them again as they were.
        let resting: Vec<Mid> = self.receiving.iter().copied().filter(|mid| self.is_resting(*mid)).collect();
        let mut changes = self.rtc.sdp_api();
        for mid in resting {
            changes.set_direction(mid, Direction::RecvOnly);
        }
        if channels {
            let unreliable = Reliability::MaxRetransmits { retransmits: 0 };
            for (label, ordered, reliability) in
                [(RELIABLE, true, Reliability::Reliable), (LOSSY, false, unreliable)]
            {
                let label = label.to_owned();
                changes.add_channel_with_config(ChannelConfig {
                    label,
                    ordered,
                    reliability,
                    ..ChannelConfig::default()
                });
            }
        }
        for line in lines {
            let stream = line.track.map(|_| "load".to_owned());
            let direction = if line.track.is_some() { Direction::SendOnly } else { Direction::RecvOnly };
            let mid = changes.add_media(line.kind, direction, stream, line.track.map(str::to_owned), None);
            match line.track {
                Some(track) => drop(self.mids.insert(track.to_owned(), mid)),
                None => self.receiving.push(mid),
            }
        }
        let (offer, pending) = changes.apply()?;
        self.pending = Some(pending);
        Some(offer.to_sdp_string())
    }

    fn is_resting(&self, mid: Mid) -> bool {
        self.rtc.media(mid).is_some_and(|line| !line.direction().is_receiving())
    }

    pub(crate) fn has_pending_offer(&self) -> bool {
        self.pending.is_some()
    }

    /// Takes the server's answer to the outstanding offer.
    pub(crate) fn take_answer(&mut self, sdp: &str) -> Result<(), LoadError> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let answer = SdpAnswer::from_sdp_string(sdp)?;
        Ok(self.rtc.sdp_api().accept_answer(pending, answer)?)
    }

    pub(crate) fn add_remote_candidate(&mut self, candidate: &str) {
        if let Ok(candidate) = Candidate::from_sdp_string(candidate)
            && candidate.proto() == Protocol::Udp
        {
            self.rtc.add_remote_candidate(candidate);
            // The library's own timer does not know of it yet.
            self.state.next = Instant::now();
        }
    }

    /// Reads everything that waits at the socket.
    pub(crate) fn receive(&mut self, now: Instant, batch: &mut ReceiveBatch) -> Result<(), LoadError> {
        loop {
            // A pending ICMP error is reported once and is no reason to stop.
            let received = self.port.receive(batch).unwrap_or(0);
            let destination = self.port.address();
            for (source, payload) in batch.datagrams() {
                let Some(payload) = payload else { continue };
                if let Ok(receive) = Receive::new(Protocol::Udp, source, destination, payload) {
                    self.rtc.handle_input(Input::Receive(now, receive))?;
                    self.state.drain(&mut self.rtc, now)?;
                }
            }
            if received < ReceiveBatch::CAPACITY {
                break;
            }
        }
        self.send();
        Ok(())
    }

    /// Takes everything that waits at the socket without opening it; returns how many datagrams.
    pub(crate) fn discard(&self, batch: &mut ReceiveBatch) -> u64 {
        let mut all = 0;
        loop {
            let received = self.port.receive(batch).unwrap_or(0);
            all += received as u64;
            if received < ReceiveBatch::CAPACITY {
                return all;
            }
        }
    }

    /// Runs timers and sends what waits; also to be called after each of the other calls.
    pub(crate) fn run(&mut self, now: Instant) -> Result<(), LoadError> {
        self.rtc.handle_input(Input::Timeout(now))?;
        self.state.drain(&mut self.rtc, now)?;
        if !self.rtc.is_alive() {
            self.state.next = now + FAR;
        }
        self.send();
        Ok(())
    }

    /// Whether a subscriber has asked for a key frame since the last call.
    pub(crate) fn take_key_frame_request(&mut self) -> bool {
        std::mem::take(&mut self.state.key_frame_wanted)
    }

    /// The mid of the line on which we send `track`.
    pub(crate) fn mid_of(&self, track: &str) -> Option<Mid> {
        self.mids.get(track).copied()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.state.connected
    }

    pub(crate) fn tally(&mut self) -> &mut Tally {
        &mut self.state.tally
    }

    pub(crate) fn rtc(&mut self) -> &mut Rtc {
        &mut self.rtc
    }

    /// Writes one message to a channel; false when it is not open or its buffer is full.
    pub(crate) fn write_message(&mut self, label: &str, bytes: &[u8]) -> bool {
        let found = self.state.channels.iter().find(|(_, name)| *name == label).map(|(&id, _)| id);
        let Some(mut channel) = found.and_then(|id| self.rtc.channel(id)) else { return false };
        channel.write(true, bytes).unwrap_or(false)
    }

    pub(crate) fn has_channel(&self, label: &str) -> bool {
        self.state.channels.values().any(|name| name == label)
    }

    /// Ends the association; the close alert is sent.
    pub(crate) fn close(&mut self, now: Instant) {
        // An error means that it was over already.
        let _ = self.rtc.close();
        let _ = self.run(now);
    }

    fn send(&mut self) {
        if !self.state.outgoing.is_empty() {
            self.port.send(Instant::now(), &self.state.outgoing[..]);
            self.state.outgoing.clear();
        }
    }
}

impl AsFd for Association {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.port.as_fd()
    }
}

impl State {
    /// Takes everything that the association wants to say.
    fn drain(&mut self, rtc: &mut Rtc, now: Instant) -> Result<(), LoadError> {
        loop {
            match rtc.poll_output()? {
                Output::Timeout(next) => {
                    self.next = next;
                    return Ok(());
                }
                Output::Transmit(transmit) => {
                    self.outgoing.push((transmit.destination, transmit.contents.into()));
                }
                Output::Event(event) => self.take_event(event, now),
            }
        }
    }

    fn take_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Connected => self.connected = true,
            Event::ChannelOpen(id, label) => {
                self.channels.insert(id, label);
            }
            Event::ChannelClose(id) => {
                self.channels.remove(&id);
            }
            Event::ChannelData(data) => {
                if let Ok(DataPacket { user: Some(user) }) = DataPacket::decode(data.data.as_slice()) {
                    self.tally.add_message(&user.payload, now);
                }
            }
            Event::KeyframeRequest(_) => self.key_frame_wanted = true,
            Event::RtpPacket(packet) => self.take_packet(&packet, now),
            _ => {}
        }
    }

    fn take_packet(&mut self, packet: &RtpPacket, now: Instant) {
        // Both kinds of our payloads carry their mark: video behind its codec headers, audio in front.
        let is_video = packet.payload.len() > LARGEST_AUDIO_BYTES;
        let marked = packet.payload.get(if is_video { VIDEO_MARK_OFFSET } else { 0 }..).unwrap_or_default();
        self.tally.add_packet(*packet.header.ssrc, *packet.seq_no, &packet.payload, marked, now);
    }
}
