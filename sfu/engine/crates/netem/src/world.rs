//! The shard, its clients and the links between them, driven by one virtual clock.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use plenum_core::sdp::{CodecPolicy, Direction, RemoteOffer};
use plenum_core::uptrack::PliThrottle;
use plenum_core::{
    Carrier, Certificate, Command, DataKind, DataLimits, DataProfile, Datagram, DownTrackId, Event,
    LocalCandidate, MediaKind, ParticipantId, Path, PlayoutLimits, PublishLine, RateFeedback, RequestId,
    RoomId, Shard, ShardConfig, TimeOfDay, TransportId, TransportOptions, TransportRole, TransportSeed,
    UpTrackId,
};
use str0m::Input;
use str0m::config::DtlsCert;
use str0m::crypto::from_feature_flags;

use crate::client::{Client, MediaLine, Mode, OutPacket, PeerConnection, Ways};
use crate::link::{Link, LinkConfig, Packet};
use crate::raw::RawExtensions;

/// Index of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub usize);

/// Settings of a world.
#[derive(Debug, Clone)]
pub struct WorldConfig {
    /// Seed of every choice.
    pub seed: u64,
    /// Server answers connectivity checks only.
    pub ice_lite: bool,
    /// Delay at which subscribers are asked to play video.
    pub playout: Option<PlayoutLimits>,
    /// Behaviour of every link at first.
    pub link: LinkConfig,
    /// The shard's settings.
    pub shard: ShardConfig,
    /// Lines with which a single-mode client joins.
    pub first_lines: (u32, u32),
    /// Server and clients have TCP only.
    pub tcp: bool,
    /// Unacknowledged data per transport.
    pub sctp_buffer_bytes: usize,
    /// By what the server estimates the rate towards clients.
    pub rate_feedback: RateFeedback,
    /// Clients choose the bytes of header extensions; only in single mode.
    pub raw_extensions: bool,
    /// Packets kept per audio stream to a client.
    pub audio_cache_packets: usize,
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            ice_lite: true,
            playout: None,
            link: LinkConfig::default(),
            shard: ShardConfig {
                index: 0,
                gather: Duration::from_millis(3),
                audio_active_level: 35,
                audio_update_interval: Duration::from_millis(400),
                quality_interval: Duration::from_secs(5),
                pli_throttle: PliThrottle::default(),
                time_of_day: TimeOfDay::new(start_of_time(), SystemTime::UNIX_EPOCH),
                data_limits: DataLimits::default(),
                adds_redundancy: false,
                reports_subscribers_loss: true,
            },
            first_lines: (3, 3),
            tcp: false,
            sctp_buffer_bytes: 2 * 1024 * 1024,
            rate_feedback: RateFeedback::default(),
            raw_extensions: false,
            audio_cache_packets: 200,
        }
    }
}

/// A datagram between a client and the server; on a link it is as large as with its IPv4 and UDP headers.
#[derive(Debug, Clone)]
pub struct Carried {
    source: SocketAddr,
    destination: SocketAddr,
    payload: Vec<u8>,
}

const HEADER_BYTES: usize = 28;

impl Packet for Carried {
    fn bytes(&self) -> usize {
        self.payload.len() + HEADER_BYTES
    }

    /// Damage to a header would only lose it: it always falls on the payload.
    fn damage(&mut self, position: usize, change: u8) {
        let position = position % self.payload.len().max(1);
        self.payload.damage(position, change);
    }
}

/// A room server and its clients.
#[derive(Debug)]
pub struct World {
    /// Virtual time.
    pub now: Instant,
    /// The engine under test.
    pub shard: Shard,
    /// Clients by id.
    pub clients: Vec<Client>,
    /// Events of the shard that are not negotiation, in order.
    pub events: Vec<Event>,
    /// Links from clients to the server.
    pub uplinks: Vec<Link<Carried>>,
    /// Links from the server to clients.
    pub downlinks: Vec<Link<Carried>>,
    /// Whether clients that join from now on know RED.
    pub clients_take_red: bool,
    /// Whether clients that join from now on ask for lost audio.
    pub clients_ask_for_audio: bool,
    /// What clients that join from now on say of the rate at which they can receive.
    pub clients_feedback: RateFeedback,
    /// Ends the server's own frames of tracks that are published from now on, which are encrypted then.
    pub trailer: Option<Arc<[u8]>>,
    /// Which time of day publishers give their packets as that of their capture.
    pub capture_time: Option<SystemTime>,
    config: WorldConfig,
    options: TransportOptions,
    client_certificate: DtlsCert,
    server: SocketAddr,
    next_id: u64,
    /// Published lines: up track by client and mid.
    ups: BTreeMap<(ClientId, String), PublishLine>,
    waiting_publish: BTreeMap<(ClientId, usize), UpTrackId>,
}

impl World {
    /// An empty room server.
    #[must_use]
    pub fn new(config: WorldConfig) -> Self {
        let now = start_of_time();
        let server: SocketAddr = "192.0.2.1:7882".parse().expect("an address");
        let options = TransportOptions {
            candidates: vec![LocalCandidate { local: server, advertised: Vec::new(), tcp: config.tcp }],
            ice_lite: config.ice_lite,
            video_cache_packets: 300,
            audio_cache_packets: config.audio_cache_packets,
            playout: config.playout,
            sctp_buffer_bytes: config.sctp_buffer_bytes,
            rate_feedback: config.rate_feedback,
            data_track_latency: Duration::from_millis(100),
            codecs: CodecPolicy::default(),
            certificate: Certificate::generate().expect("a certificate"),
        };
        Self {
            now,
            shard: Shard::new(config.shard.clone(), config.seed, now),
            clients: Vec::new(),
            capture_time: None,
            events: Vec::new(),
            uplinks: Vec::new(),
            downlinks: Vec::new(),
            clients_take_red: true,
            clients_ask_for_audio: false,
            clients_feedback: RateFeedback::TransportWide,
            trailer: None,
            config,
            options,
            client_certificate: from_feature_flags()
                .dtls_provider
                .generate_certificate()
                .expect("a certificate"),
            server,
            next_id: 1,
            ups: BTreeMap::new(),
            waiting_publish: BTreeMap::new(),
        }
    }

    /// The server's address.
    #[must_use]
    pub const fn server(&self) -> SocketAddr {
        self.server
    }

    /// A new id.
    pub fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Carries out a command now.
    pub fn command(&mut self, command: Command) {
        self.shard.handle_command(self.now, command);
        self.settle();
    }

    /// The participant id of a client.
    #[must_use]
    pub const fn participant(client: ClientId) -> ParticipantId {
        ParticipantId(client.0 as u64 + 1)
    }

    /// Adds a participant to room 1 with its peer connections; it is not connected yet.
    pub fn join(&mut self, mode: Mode) -> ClientId {
        let id = ClientId(self.clients.len());
        let participant = Self::participant(id);
        self.command(Command::AddParticipant { room: RoomId(1), participant, profile: profile(id) });
        self.clients.push(Client::new(mode));
        let seed = self.config.seed.wrapping_mul(1_000).wrapping_add(id.0 as u64 * 2 + 7);
        self.uplinks.push(Link::new(self.config.link, seed));
        self.downlinks.push(Link::new(self.config.link, seed + 1));
        let roles: &[TransportRole] = match mode {
            Mode::Single => &[TransportRole::Both],
            Mode::Dual => &[TransportRole::Publisher, TransportRole::Subscriber],
        };
        for (index, role) in roles.iter().enumerate() {
            let transport = TransportId(self.fresh_id());
            let port = u16::try_from(1_000 + id.0 * 2 + index).expect("few clients");
            let address = SocketAddr::from(([198, 51, 100, 7], port));
            let ways = Ways {
                tcp: self.config.tcp,
                raw_extensions: self.config.raw_extensions,
                takes_red: self.clients_take_red,
                asks_for_audio: self.clients_ask_for_audio,
                feedback: self.clients_feedback,
            };
            let connection =
                PeerConnection::new(self.now, transport, address, &self.client_certificate, ways);
            self.clients[id.0].connections.push(connection);
            self.open_as(participant, transport, *role);
        }
        let lines = if mode == Mode::Single { self.config.first_lines } else { (0, 0) };
        self.offer(id, lines, false);
        id
    }

    /// Joins and runs until every connection is up.
    pub fn join_connected(&mut self, mode: Mode) -> ClientId {
        let id = self.join(mode);
        let connected = |world: &Self| {
            world.clients[id.0].connections.iter().all(|connection| connection.rtc.is_connected())
        };
        assert!(self.run_until(Duration::from_secs(20), connected), "client {id:?} did not connect");
        id
    }

    /// Transport ids of a client, the publishing one first.
    #[must_use]
    pub fn transports(&self, client: ClientId) -> Vec<TransportId> {
        self.clients[client.0].connections.iter().map(|connection| connection.transport).collect()
    }

    /// Publishes a track; ready when the offer is answered.
    pub fn publish(&mut self, client: ClientId, kind: MediaKind, rids: &[&str]) -> UpTrackId {
        let up_track = UpTrackId(self.fresh_id());
        let rids = rids.iter().map(|rid| (*rid).to_owned()).collect();
        let position = self.clients[client.0].lines.len();
        self.clients[client.0].lines.push(MediaLine { mid: String::new(), kind, rids });
        self.waiting_publish.insert((client, position), up_track);
        self.offer(client, (0, 0), false);
        up_track
    }

    /// Subscribes a client to an up track under a track sid.
    pub fn subscribe(
        &mut self,
        client: ClientId,
        up_track: UpTrackId,
        kind: MediaKind,
        track: &str,
    ) -> DownTrackId {
        let down_track = DownTrackId(self.fresh_id());
        let transport = *self.transports(client).last().expect("a transport");
        self.command(Command::AddDownTrack {
            down_track,
            transport,
            up_track,
            kind,
            stream_id: format!("PA_x|{track}").into(),
            track_sid: track.into(),
            stereo: false,
            enabled: true,
            strip_trailer: false,
        });
        down_track
    }

    /// Lets a client restart ICE on the connection that it offers.
    pub fn restart_ice(&mut self, client: ClientId) {
        self.offer(client, (0, 0), true);
    }

    fn offer(&mut self, id: ClientId, more: (u32, u32), restart_ice: bool) {
        let client = &mut self.clients[id.0];
        let mut lines = std::mem::take(&mut client.lines);
        let offer = client.publisher().offer(more, &mut lines, restart_ice);
        client.lines = lines;
        let Some(sdp) = offer else { return };
        client.negotiations += 1;
        let transport = client.publisher().transport;
        self.name_published_lines(id);
        let offer = RemoteOffer::parse(&sdp, &CodecPolicy::default()).expect("the client's offer is fine");
        let publish = offer
            .media
            .iter()
            .filter(|media| media.direction == Direction::SendOnly)
            .filter_map(|media| self.ups.get(&(id, media.mid.clone())).cloned())
            .collect();
        let request = RequestId(self.fresh_id());
        self.command(Command::AcceptOffer { transport, request, offer: Box::new(offer), publish });
    }

    fn name_published_lines(&mut self, id: ClientId) {
        for (position, line) in self.clients[id.0].lines.iter().enumerate() {
            if let Some(up_track) = self.waiting_publish.remove(&(id, position)) {
                let publish = PublishLine {
                    mid: line.mid.as_str().into(),
                    up_track,
                    codec: None,
                    codec_only: false,
                    dtx: true,
                    stereo: false,
                    red: true,
                    speaker: true,
                    muted: false,
                    trailer: self.trailer.clone(),
                };
                self.ups.insert((id, line.mid.clone()), publish);
            }
        }
    }

    /// Sends a feedback message of the client's own kind (RTCP APP-specific, of which the server knows nothing) on each
    /// of its connections.
    pub fn send_feedback(&mut self, client: ClientId, payload: &[u8]) {
        for connection in &mut self.clients[client.0].connections {
            connection.rtc.direct_api().send_app_specific_feedback(7.into(), 7.into(), payload);
        }
    }

    /// What the extensions of a client's next packets hold; nothing in a world without raw extensions.
    pub fn set_raw_extensions(&mut self, client: ClientId, values: RawExtensions) {
        if let Some(raw) = &mut self.clients[client.0].publisher().raw {
            *raw = values;
        }
    }

    /// Sends one packet of Opus (or RED) audio on a client's line.
    pub fn send_audio(&mut self, client: ClientId, line: usize, timestamp: u32, payload: &[u8]) {
        let payload_type = self.clients[client.0].publisher().payload_type(str0m::format::Codec::Opus);
        self.send(client, line, None, payload_type, timestamp, payload);
    }

    /// Sends one packet of RED audio on a client's line.
    pub fn send_red(&mut self, client: ClientId, line: usize, timestamp: u32, payload: &[u8]) {
        let payload_type = self.clients[client.0].publisher().red_payload_type();
        self.send(client, line, None, payload_type, timestamp, payload);
    }

    /// Sends one packet of another codec on a client's audio line.
    pub fn send_audio_of(
        &mut self,
        client: ClientId,
        line: usize,
        codec: str0m::format::Codec,
        timestamp: u32,
        payload: &[u8],
    ) {
        let payload_type = self.clients[client.0].publisher().payload_type(codec);
        self.send(client, line, None, payload_type, timestamp, payload);
    }

    /// Sends one packet of VP8 video on a client's line; an empty payload is padding.
    pub fn send_video(
        &mut self,
        client: ClientId,
        line: usize,
        rid: Option<&str>,
        timestamp: u32,
        payload: &[u8],
    ) {
        let payload_type = self.clients[client.0].publisher().payload_type(str0m::format::Codec::Vp8);
        self.send(client, line, rid, payload_type, timestamp, payload);
    }

    /// Sends one packet of H.265 video on a client's line.
    pub fn send_h265(
        &mut self,
        client: ClientId,
        line: usize,
        rid: Option<&str>,
        timestamp: u32,
        payload: &[u8],
    ) {
        let payload_type = self.clients[client.0].publisher().payload_type(str0m::format::Codec::H265);
        self.send(client, line, rid, payload_type, timestamp, payload);
    }

    fn send(
        &mut self,
        id: ClientId,
        line: usize,
        rid: Option<&str>,
        payload_type: Option<u8>,
        timestamp: u32,
        payload: &[u8],
    ) {
        let now = self.now;
        let client = &mut self.clients[id.0];
        let media = client.lines[line].clone();
        let is_video = media.kind == MediaKind::Video;
        let packet = OutPacket {
            payload_type: payload_type.expect("a negotiated payload type"),
            timestamp,
            marker: true,
            nackable: is_video,
            audio_level: (!is_video).then_some(-20),
            capture_time: self.capture_time,
            first_seq: 100 + 1_000 * line as u64,
            payload: payload.into(),
        };
        assert!(client.publisher().send_rtp(now, &media.mid, rid, &packet), "no stream to send on");
        self.run_connection(id, 0);
    }

    /// Lets a single-mode client offer not to receive on a line any more.
    pub fn withdraw(&mut self, client: ClientId, mid: &str) {
        self.clients[client.0].publisher().withdraw(mid);
        self.offer(client, (0, 0), false);
    }

    /// Lets a client go on with the sequence number after this one on a line.
    pub fn go_on_after(&mut self, client: ClientId, line: usize, seq: u64) {
        let mid = self.clients[client.0].lines[line].mid.clone();
        self.clients[client.0].publisher().go_on_after(&mid, seq);
    }

    /// Lets a client go on with another SSRC on a line.
    pub fn renew_ssrc(&mut self, client: ClientId, line: usize) {
        let mid = self.clients[client.0].lines[line].mid.clone();
        self.clients[client.0].publisher().renew_ssrc(&mid);
    }

    /// Sends a data message.
    pub fn send_message(&mut self, client: ClientId, label: &str, payload: &[u8]) -> bool {
        let sent = self.clients[client.0].publisher().send_message(label, payload);
        self.run_connection(client, 0);
        sent
    }

    /// Opens another data channel.
    pub fn open_channel(&mut self, client: ClientId, label: &str, reliable: bool) {
        self.clients[client.0].publisher().open_channel(label, reliable);
        self.run_connection(client, 0);
    }

    /// Lets a client ask for a key frame of a track.
    pub fn request_key_frame(&mut self, client: ClientId, track: &str) {
        let mids = &self.clients[client.0].mid_to_track;
        let Some(mid) = mids.iter().find(|(_, of)| *of == track).map(|(mid, _)| mid.clone()) else { return };
        self.clients[client.0].subscriber().request_key_frame(&mid);
        let index = self.clients[client.0].connections.len() - 1;
        self.run_connection(client, index);
    }

    /// Hands raw bytes to the server as if they came from `source`.
    pub fn inject(&mut self, source: SocketAddr, payload: &[u8]) {
        let carrier = if self.config.tcp { Carrier::Tcp } else { Carrier::Udp };
        let datagram = Datagram { carrier, source, destination: self.server, payload };
        self.shard.handle_datagram(self.now, datagram);
        self.settle();
    }

    /// Takes what is on its way to the server, for a benchmark that delivers it itself.
    pub fn take_uplink(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let arrivals = self.uplinks.iter_mut().flat_map(Link::take_all);
        let mut arrivals: Vec<_> = arrivals.collect();
        arrivals.sort_by_key(|arrival| arrival.due);
        arrivals.into_iter().map(|arrival| (arrival.packet.source, arrival.packet.payload)).collect()
    }

    /// Address of a client's connection.
    #[must_use]
    pub fn address(&self, client: ClientId, connection: usize) -> SocketAddr {
        self.clients[client.0].connections[connection].address
    }

    /// Gives a client's connection another address, as when it moves to another network.
    pub fn move_to(&mut self, client: ClientId, connection: usize, address: SocketAddr) {
        self.clients[client.0].connections[connection].address = address;
    }

    /// Opens a transport behind which there is no client.
    pub fn open_transport(&mut self, participant: ParticipantId, role: TransportRole) -> TransportId {
        let transport = TransportId(self.fresh_id());
        self.open_as(participant, transport, role);
        transport
    }

    fn open_as(&mut self, participant: ParticipantId, transport: TransportId, role: TransportRole) {
        let seed = TransportSeed::build(transport, role, &self.options, self.now);
        self.command(Command::OpenTransport { participant, seed: Box::new(seed) });
    }

    /// Forgets the connections of a client that has left.
    pub fn forget(&mut self, client: ClientId) {
        self.clients[client.0].connections.clear();
    }

    /// Runs for a span of virtual time.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.step(end) {}
        self.now = end;
        self.settle();
    }

    /// Runs until a condition holds; false when it did not within `limit`.
    pub fn run_until(&mut self, limit: Duration, mut condition: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if condition(self) {
                return true;
            }
            if !self.step(end) {
                self.now = end;
                return condition(self);
            }
        }
    }

    /// Advances to the next thing that happens; false when that is after `end`.
    fn step(&mut self, end: Instant) -> bool {
        let connections = self.clients.iter().flat_map(|client| client.connections.iter());
        let clients = connections.map(|connection| connection.timeout).min();
        let flight = self.uplinks.iter().chain(&self.downlinks).filter_map(Link::next_timeout).min();
        let next = [clients, flight, self.shard.next_timeout()].into_iter().flatten().min();
        let Some(next) = next.filter(|next| *next <= end) else { return false };
        // Timers that are due again at once still let time pass.
        self.now = next.max(self.now + Duration::from_micros(100)).min(end.max(self.now));
        self.deliver();
        self.shard.handle_timeout(self.now);
        self.settle();
        for id in 0..self.clients.len() {
            for index in 0..self.clients[id].connections.len() {
                if self.clients[id].connections[index].timeout <= self.now {
                    self.run_connection(ClientId(id), index);
                }
            }
        }
        self.now < end
    }

    /// Hands over all that has arrived, also what arrives at once in answer.
    fn deliver(&mut self) {
        let mut is_quiet = false;
        while !is_quiet {
            is_quiet = true;
            for id in 0..self.clients.len() {
                while let Some(arrival) = self.uplinks[id].poll(self.now) {
                    is_quiet = false;
                    self.arrive_at_server(&arrival.packet);
                }
                while let Some(arrival) = self.downlinks[id].poll(self.now) {
                    is_quiet = false;
                    self.arrive_at_client(ClientId(id), &arrival.packet);
                }
            }
        }
    }

    fn arrive_at_server(&mut self, datagram: &Carried) {
        if datagram.destination == self.server {
            self.inject(datagram.source, &datagram.payload);
        }
    }

    fn arrive_at_client(&mut self, id: ClientId, datagram: &Carried) {
        let connections = &mut self.clients[id.0].connections;
        if let Some(index) = connections.iter().position(|c| c.address == datagram.destination) {
            connections[index].receive(self.now, datagram.source, &datagram.payload);
            self.run_connection(id, index);
        }
    }

    /// Runs one connection of a client and puts what it sends on its way.
    fn run_connection(&mut self, id: ClientId, index: usize) {
        let now = self.now;
        let client = &mut self.clients[id.0];
        let _ = client.connections[index].rtc.handle_input(Input::Timeout(now));
        let source = client.connections[index].address;
        for transmit in client.drain(now, index) {
            let payload = transmit.contents.to_vec();
            self.uplinks[id.0].push(now, Carried { source, destination: transmit.destination, payload });
        }
    }

    /// Takes everything from the shard and acts on it.
    fn settle(&mut self) {
        if self.shard.flush_deadline().is_some_and(|due| due <= self.now) {
            self.shard.flush(self.now);
        }
        let mut sent: Vec<(Path, Vec<u8>)> = Vec::new();
        sent.extend(
            self.shard.transmits().iter().map(|transmit| (transmit.path, transmit.contents.to_vec())),
        );
        self.shard.transmits().clear();
        for (path, contents) in sent {
            let target = self.clients.iter().position(|client| {
                client.connections.iter().any(|connection| connection.address == path.destination)
            });
            if let Some(id) = target {
                let carried =
                    Carried { source: path.source, destination: path.destination, payload: contents };
                self.downlinks[id].push(self.now, carried);
            }
        }
        while let Some(event) = self.shard.poll_event() {
            self.react(event);
        }
    }

    fn react(&mut self, event: Event) {
        match event {
            Event::Answer { transport, sdp, mid_to_track, .. } => {
                let Some((id, index)) = self.owner(transport) else { return };
                let client = &mut self.clients[id.0];
                client.mid_to_track.extend(mid_to_track);
                client.connections[index].accept_answer(&sdp);
                client.last_description = sdp;
                self.run_connection(id, index);
            }
            Event::Offer { transport, request, sdp, mid_to_track } => {
                let Some((id, index)) = self.owner(transport) else { return };
                let client = &mut self.clients[id.0];
                if client.is_silent {
                    self.events.push(Event::Offer { transport, request, sdp, mid_to_track });
                    return;
                }
                client.negotiations += 1;
                client.mid_to_track = mid_to_track.into_iter().collect();
                let mut answer = client.connections[index].accept_offer(&sdp);
                if client.turns_media_down {
                    answer = answer.replace("a=recvonly", "a=inactive");
                }
                client.last_description = sdp;
                self.run_connection(id, index);
                self.command(Command::AcceptAnswer { transport, request, sdp: answer });
            }
            Event::MediaSectionsRequired { transport, audio, video } => {
                let Some((id, _)) = self.owner(transport) else { return };
                self.clients[id.0].requirements.push((audio, video));
                if !self.clients[id.0].is_silent {
                    self.offer(id, (audio, video), false);
                }
            }
            Event::NegotiationFailed { transport, .. } => {
                if let Some((id, index)) = self.owner(transport) {
                    self.clients[id.0].connections[index].forget_offer();
                }
                self.events.push(event);
            }
            other => self.events.push(other),
        }
    }

    fn owner(&self, transport: TransportId) -> Option<(ClientId, usize)> {
        self.clients.iter().enumerate().find_map(|(id, client)| {
            let index = client.connections.iter().position(|connection| connection.transport == transport)?;
            Some((ClientId(id), index))
        })
    }

    /// Sends a data packet of the server's own to everybody.
    pub fn server_data(&mut self, kind: DataKind, payload: &[u8]) {
        let payload: Arc<[u8]> = payload.into();
        self.command(Command::SendData { room: RoomId(1), kind, payload, destinations: None });
    }
}

/// Data profile of a client: sid `PA_<n>`, identity `user-<n>`.
#[must_use]
fn profile(client: ClientId) -> DataProfile {
    DataProfile {
        sid: format!("PA_{}", client.0).into(),
        identity: format!("user-{}", client.0).into(),
        can_publish_data: true,
        hidden: false,
        agent: false,
    }
}

/// The one look at the real clock: `Instant` has no other beginning.
fn start_of_time() -> Instant {
    Instant::now()
}
