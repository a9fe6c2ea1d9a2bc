//! What the control plane may ask of a shard. No logic.
//!
//! Commands are carried out in the order in which they were submitted. A command that names an unknown id is
//! counted and ignored: the thing ended while the command was under way.

use std::sync::Arc;

use crate::ids::{
    DataDownTrackId, DataUpTrackId, DownTrackId, ParticipantId, RequestId, RoomId, TransportId, UpTrackId,
};
use crate::sdp::RemoteOffer;
use crate::transport::TransportSeed;

/// Which way a transport's media flows, seen from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportRole {
    /// Receives what the participant publishes; the client offers (dual mode).
    Publisher,
    /// Sends what the participant subscribes to; the server offers (dual mode).
    Subscriber,
    /// Both on one association; the client offers (single mode).
    Both,
}

/// Kind of media of an m-line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// `m=audio`
    Audio,
    /// `m=video`
    Video,
}

/// Reliability class of a data packet: the data channel it travels on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataKind {
    /// `_reliable`: ordered, retransmitted.
    Reliable,
    /// `_lossy`: unordered, never retransmitted.
    Lossy,
}

/// What the data plane must know of a participant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataProfile {
    /// `PA_…`, stamped on every packet the participant sends.
    pub sid: Arc<str>,
    /// Identity, stamped likewise, and matched against `destination_identities`.
    pub identity: Arc<str>,
    /// Whether what the participant sends is forwarded at all (`canPublishData`).
    pub can_publish_data: bool,
    /// Hidden participants send with a blank sid and identity.
    pub hidden: bool,
    /// Agents may send transcriptions, and chat or text streams on behalf of others.
    pub agent: bool,
}

/// How one m-line of an offer is bound to an up track, and what its answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent flags of one m-line, as the client sets them")]
pub struct PublishLine {
    /// Mid of the client's sending m-line.
    pub mid: Box<str>,
    /// Up track that receives the media; created when it does not exist yet.
    pub up_track: UpTrackId,
    /// Codec to put first in the answer, as a MIME type (`video/VP8`); `None` leaves the order alone.
    pub codec: Option<Box<str>>,
    /// The answer names no other video codec: the client does not heed their order.
    pub codec_only: bool,
    /// `a=fmtp` of Opus gets `usedtx=1`.
    pub dtx: bool,
    /// `a=fmtp` of Opus gets `stereo=1;maxaveragebitrate=510000`.
    pub stereo: bool,
    /// Leave RED in the answer.
    pub red: bool,
    /// Whether audio levels count towards active speakers (microphones only).
    pub speaker: bool,
    /// The publisher has muted it: what still arrives is dropped.
    pub muted: bool,
    /// Of a track that is encrypted end to end: ends each frame that the server makes itself, so that receivers know
    /// those from the publisher's (`sif_trailer`). `None`: it is not encrypted.
    pub trailer: Option<Arc<[u8]>>,
}

/// A request to a shard.
#[derive(Debug)]
#[non_exhaustive]
pub enum Command {
    /// Makes a participant known to the room's data plane. Must precede its transports.
    AddParticipant {
        /// Room it belongs to; created with its first participant.
        room: RoomId,
        /// Its id.
        participant: ParticipantId,
        /// What the data plane needs.
        profile: DataProfile,
    },
    /// Replaces the profile (permissions changed).
    UpdateParticipant {
        /// Whose.
        participant: ParticipantId,
        /// The whole new profile.
        profile: DataProfile,
    },
    /// Closes all its transports, up tracks and down tracks; the room goes with its last participant.
    RemoveParticipant {
        /// Who.
        participant: ParticipantId,
    },
    /// Adds a transport that was built outside of the shard's thread (building one costs about a millisecond).
    /// A `Subscriber` transport answers with `Event::Offer` at once.
    OpenTransport {
        /// Owner.
        participant: ParticipantId,
        /// The association, ready to run.
        seed: Box<TransportSeed>,
    },
    /// Closes one transport (DTLS close alert sent), its tracks included.
    CloseTransport {
        /// Which.
        transport: TransportId,
    },
    /// Applies a client's offer; answered by `Event::Answer` or `Event::NegotiationFailed`.
    AcceptOffer {
        /// Which.
        transport: TransportId,
        /// Echoed in the event.
        request: RequestId,
        /// Parsed and checked offer.
        offer: Box<RemoteOffer>,
        /// The sending lines that belong to publications; other sending lines are answered `inactive`.
        publish: Vec<PublishLine>,
    },
    /// Applies a client's answer to the outstanding `Event::Offer`; `Event::NegotiationFailed` on error.
    AcceptAnswer {
        /// Which.
        transport: TransportId,
        /// The `request` of that offer; another one is stale and ignored.
        request: RequestId,
        /// SDP text as received.
        sdp: String,
    },
    /// A trickled candidate (`candidate:…`, without `a=`). Bad and unusable ones are counted and ignored.
    AddRemoteCandidate {
        /// Which.
        transport: TransportId,
        /// Candidate attribute value.
        candidate: String,
    },
    /// Restarts ICE on a `Subscriber` transport: the next `Event::Offer` carries new credentials.
    RestartIce {
        /// Which.
        transport: TransportId,
    },
    /// The publisher muted or unmuted: muted, its packets are dropped at the source.
    MuteUpTrack {
        /// Which.
        up_track: UpTrackId,
        /// New state.
        muted: bool,
    },
    /// The publication ended; its down tracks are closed too.
    CloseUpTrack {
        /// Which.
        up_track: UpTrackId,
    },
    /// Forwards an up track to a transport. The m-line is found or asked for by the engine itself:
    /// a free `recvonly` line of the client in single mode, a reused or new line of ours in dual mode.
    AddDownTrack {
        /// Its id.
        down_track: DownTrackId,
        /// Destination.
        transport: TransportId,
        /// Source.
        up_track: UpTrackId,
        /// Kind of media.
        kind: MediaKind,
        /// `msid` stream id, `PA_…|TR_…`.
        stream_id: Box<str>,
        /// `msid` track id and the value in `mid_to_track_id`, `TR_…`.
        track_sid: Box<str>,
        /// `sprop-stereo=1` in our offer or answer.
        stereo: bool,
        /// False: bound, but no packet is sent (`UpdateTrackSettings.disabled`).
        enabled: bool,
        /// The publisher ends frames with a packet trailer that this subscriber does not know: it is cut off.
        strip_trailer: bool,
    },
    /// Switches forwarding on or off without negotiation.
    EnableDownTrack {
        /// Which.
        down_track: DownTrackId,
        /// New state.
        enabled: bool,
    },
    /// Limits what a subscription gets; everything at first. Simulcast streams count as spatial layers. Less comes with
    /// the next frame that allows it, more at the next key frame, which is asked for where one is needed. The temporal
    /// layer follows the rates at which pictures come: all of them do until those are known.
    SetDownTrackLayers {
        /// Which.
        down_track: DownTrackId,
        /// Highest spatial layer, 0 the smallest picture.
        max_spatial: u8,
        /// Pictures a second that are enough; 0: all of them.
        max_fps: u16,
    },
    /// How much a subscription matters to its subscriber when not everything can be sent. Only video is ever cut.
    SetDownTrackPriority {
        /// Which.
        down_track: DownTrackId,
        /// Lower is served first; `u16::MAX` at first.
        priority: u16,
    },
    /// Whether video may be paused on a transport when not even its lowest layers can be sent; at first it may not.
    AllowPause {
        /// Which.
        transport: TransportId,
        /// New state.
        allowed: bool,
    },
    /// Treats a peer as if it could be sent no more than that, sound aside, whatever its path bears; meanwhile its video
    /// may be paused. For tests of clients; counts from the first estimate on.
    SimulateRate {
        /// Which.
        transport: TransportId,
        /// Bits per second; `None`: what the path bears counts again.
        rate_bps: Option<u64>,
    },
    /// Feeds a down track by another up track (another codec of the same publication) from its next key frame on, without
    /// negotiation: line, SSRC and numbers go on.
    MoveDownTrack {
        /// Which.
        down_track: DownTrackId,
        /// Source from now on; it may be one that nobody has published yet.
        up_track: UpTrackId,
    },
    /// Ends a subscription: stops at once, frees the m-line.
    RemoveDownTrack {
        /// Which.
        down_track: DownTrackId,
    },
    /// Sends a data packet that originates at the server.
    SendData {
        /// To whom.
        room: RoomId,
        /// Channel.
        kind: DataKind,
        /// Encoded `livekit.DataPacket`, sent as it is.
        payload: Arc<[u8]>,
        /// Receivers; `None` means everybody in the room.
        destinations: Option<Vec<ParticipantId>>,
    },
    /// The participant publishes a data track: what it sends under `handle` is forwarded from now on.
    AddDataUpTrack {
        /// Its id.
        data_up_track: DataUpTrackId,
        /// The publisher.
        participant: ParticipantId,
        /// The publisher's own name for it, not 0.
        handle: u16,
    },
    /// A data track ends with its subscriptions.
    CloseDataUpTrack {
        /// Which.
        data_up_track: DataUpTrackId,
    },
    /// Forwards a data track to a participant.
    AddDataDownTrack {
        /// Its id.
        data_down_track: DataDownTrackId,
        /// Source.
        data_up_track: DataUpTrackId,
        /// The subscriber.
        participant: ParticipantId,
        /// The name of the track in the packets that the subscriber gets.
        handle: u16,
        /// About how many frames a second at most; `None`: all.
        frames_per_s: Option<u32>,
    },
    /// Changes how many frames of a data track a subscriber gets.
    SetDataDownTrackRate {
        /// Which.
        data_down_track: DataDownTrackId,
        /// About how many frames a second at most; `None`: all.
        frames_per_s: Option<u32>,
    },
    /// Ends a subscription of a data track.
    RemoveDataDownTrack {
        /// Which.
        data_down_track: DataDownTrackId,
    },
    /// Which reliable packet of the participant arrived last: answered by `Event::LastSequence`.
    AskLastSequence {
        /// Whose.
        participant: ParticipantId,
    },
    /// Sends a participant that came back the reliable packets that it has missed.
    ReplayData {
        /// The receiver.
        participant: ParticipantId,
        /// Sid of a sender, and the sequence number of the last packet that the receiver has of it. Of a sender that
        /// is not named it gets all that is kept.
        received: Vec<(Box<str>, u32)>,
    },
    /// Answered by `Event::Snapshot` (a diagnosis, not for the hot path).
    Snapshot {
        /// Echoed.
        request: RequestId,
        /// Which.
        transport: TransportId,
    },
}
