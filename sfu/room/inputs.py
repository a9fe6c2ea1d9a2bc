"""Everything that can happen to a room: its whole vocabulary in (protocol.md §3.1, §6.1).

Owns the shapes. Never acts. Inputs come from three sides: a client's session, the engine, an administrator.
Those with a `request` are answered by exactly one `effects.Reply`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from sfu.room.enums import ConnectionQuality, DisconnectReason, Scenario, TrackSource, TrackType, VideoQuality

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auth.grants import Claims
    from sfu.ids import (
        DownTrackId,
        ParticipantId,
        ParticipantSid,
        RequestId,
        SessionId,
        TrackSid,
        TransportId,
        UpTrackId,
    )
    from sfu.room.messages import RequestEcho
    from sfu.room.views import BlobKeyView, EncodingView, LayerView, PermissionView, SchemaView

__all__ = [
    "AddTrack",
    "AudioActivity",
    "AudioLevelsMeasured",
    "ClientDescription",
    "CloseRoom",
    "CodecOffered",
    "DataSubscriptionWish",
    "DownTrackBound",
    "DownTrackCodecUnsupported",
    "DownTrackPaused",
    "GetDataBlob",
    "GetParticipant",
    "Join",
    "LastSequenceKnown",
    "LeaveRequested",
    "ListParticipants",
    "MuteOwnTrack",
    "MutePublishedTrack",
    "NegotiationFailed",
    "OfferReceived",
    "OfferedMedia",
    "PublishDataTrack",
    "QualityChanged",
    "QualityRating",
    "RemoveParticipant",
    "Resume",
    "RoomInput",
    "SendData",
    "SessionFailed",
    "SessionLost",
    "SetSubscriptionPermission",
    "Simulate",
    "StoreDataBlob",
    "SyncState",
    "TrackPermission",
    "TransportConnected",
    "TransportFailed",
    "UnpublishDataTrack",
    "UpTrackStarted",
    "UpdateDataSubscription",
    "UpdateOwnAudioTrack",
    "UpdateOwnMetadata",
    "UpdateOwnVideoTrack",
    "UpdateParticipant",
    "UpdateRoomMetadata",
    "UpdateSubscription",
    "UpdateSubscriptions",
    "UpdateTrackSettings",
]


# ---------------------------------------------------------------- from a client's session


@dataclass(frozen=True, slots=True)
class ClientDescription:
    """`ClientInfo`: what the client says of itself; nothing here is trusted for permissions."""

    sdk: str = "unknown"
    """Lower-case name as in protocol.md §1.4: `js`, `python`, `rust`, `go` …"""
    version: str = ""
    protocol: int = 0
    client_protocol: int = 0
    os: str = ""
    os_version: str = ""
    browser: str = ""
    browser_version: str = ""
    device_model: str = ""
    network: str = ""
    address: str = ""
    capabilities: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CodecOffered:
    """`SimulcastCodec` of an `add_track`."""

    codec: str
    """As sent: `vp8`, `h264` … or empty."""
    cid: str = ""
    layers: tuple[LayerView, ...] = ()
    video_layer_mode: int = 0


@dataclass(frozen=True, slots=True)
class AddTrack:
    """`add_track`: announces a track that the next offer will carry."""

    session: SessionId
    cid: str
    type: TrackType
    source: TrackSource = TrackSource.UNKNOWN
    name: str = ""
    width: int = 0
    height: int = 0
    muted: bool = False
    disable_dtx: bool = False
    layers: tuple[LayerView, ...] = ()
    codecs: tuple[CodecOffered, ...] = ()
    sid: str = ""
    """Set when a backup codec is added to an existing track."""
    stereo: bool = False
    disable_red: bool = False
    encryption: int = 0
    stream: str = ""
    backup_codec_policy: int = 0
    audio_features: tuple[int, ...] = ()
    packet_trailer_features: tuple[int, ...] = ()
    echo: RequestEcho | None = None


@dataclass(frozen=True, slots=True)
class Join:
    """A verified client wants in. `add_tracks` (single mode, in the join request) are handled right after."""

    session: SessionId
    claims: Claims
    client: ClientDescription
    single_peer_connection: bool
    auto_subscribe: bool = True
    auto_subscribe_data: bool = False
    """The same for data tracks."""
    adaptive_stream: bool = False
    allow_pause: bool | None = None
    """Video may be paused when the path to it does not bear even the lowest layers; `None`: as the room has it."""
    full_ice: bool = False
    """`disable_ice_lite`"""
    metadata: str = ""
    """Overrides the token's when not empty; the signalling edge has checked that it may."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Override the token's key by key."""
    add_tracks: tuple[AddTrack, ...] = ()


@dataclass(frozen=True, slots=True)
class Resume:
    """A verified client lost its signalling connection and wants to go on with what it had (protocol.md §5.3)."""

    session: SessionId
    """The new connection's."""
    claims: Claims
    """Of the token that it came back with: a refreshed one will do after the first one's end."""
    client: ClientDescription
    single_peer_connection: bool
    participant_sid: str = ""
    """Whose session is to go on; empty: whoever has the identity."""


@dataclass(frozen=True, slots=True)
class SyncState:
    """`sync_state`: what a client that came back believes to be the case."""

    session: SessionId
    published: tuple[TrackSid, ...] = ()
    """Its own live publications."""
    wished: tuple[TrackSid, ...] = ()
    """Tracks that it subscribes to otherwise than by default …"""
    subscribe: bool = False
    """… namely so."""
    disabled: tuple[TrackSid, ...] = ()
    """Subscribed tracks whose packets it does not want now."""
    received: tuple[tuple[ParticipantSid, int], ...] = ()
    """Last reliable data packet by its sender."""
    published_data: tuple[TrackSid, ...] = ()
    """Its own data tracks."""
    data_wishes: tuple[DataSubscriptionWish, ...] = ()
    """What it wants of the others'."""


@dataclass(frozen=True, slots=True)
class Simulate:
    """`simulate`: a test of the client itself; concerns nobody but the client."""

    session: SessionId
    scenario: Scenario
    value: int = 0


@dataclass(frozen=True, slots=True)
class LeaveRequested:
    """`leave` from the client."""

    session: SessionId
    reason: DisconnectReason = DisconnectReason.CLIENT_INITIATED


@dataclass(frozen=True, slots=True)
class SessionLost:
    """The signalling connection ended without a word. The participant stays while its transports live."""

    session: SessionId


@dataclass(frozen=True, slots=True)
class SessionFailed:
    """The session broke a rule (flood, unreadable frames, too slow a reader): it ends now, with this reason."""

    session: SessionId
    reason: DisconnectReason


@dataclass(frozen=True, slots=True)
class OfferedMedia:
    """One audio or video m-line of a client's offer."""

    mid: str
    type: TrackType
    sends: bool
    """`sendonly` or `sendrecv`."""
    stream_id: str = ""
    track_id: str = ""
    rids: tuple[str, ...] = ()
    mime_types: tuple[str, ...] = ()
    receives: bool = False
    """`recvonly` or `sendrecv`."""


@dataclass(frozen=True, slots=True)
class OfferReceived:
    """An offer for the client's publisher (or only) connection, parsed by the engine; `AcceptOffer` follows."""

    session: SessionId
    offer_id: int
    media: tuple[OfferedMedia, ...]


@dataclass(frozen=True, slots=True)
class MuteOwnTrack:
    """`mute`."""

    session: SessionId
    track_sid: TrackSid
    muted: bool
    echo: RequestEcho | None = None


@dataclass(frozen=True, slots=True)
class UpdateSubscription:
    """`subscription`: by track sids, whoever owns them."""

    session: SessionId
    track_sids: tuple[TrackSid, ...]
    subscribe: bool


@dataclass(frozen=True, slots=True)
class UpdateTrackSettings:
    """`track_setting`."""

    session: SessionId
    track_sids: tuple[TrackSid, ...]
    disabled: bool
    quality: VideoQuality = VideoQuality.HIGH
    width: int = 0
    height: int = 0
    fps: int = 0
    priority: int = 0
    """1 comes first, 0: none given."""


@dataclass(frozen=True, slots=True)
class TrackPermission:
    """Whom a publisher allows, and what."""

    participant_sid: str = ""
    participant_identity: str = ""
    all_tracks: bool = False
    track_sids: tuple[TrackSid, ...] = ()


@dataclass(frozen=True, slots=True)
class SetSubscriptionPermission:
    """`subscription_permission`: replaces what the publisher said before."""

    session: SessionId
    all_participants: bool
    permissions: tuple[TrackPermission, ...]


@dataclass(frozen=True, slots=True)
class UpdateOwnMetadata:
    """`update_metadata`; empty strings mean unchanged, an empty attribute value deletes the key."""

    session: SessionId
    metadata: str = ""
    name: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    request_id: int = 0
    echo: RequestEcho | None = None


@dataclass(frozen=True, slots=True)
class UpdateOwnAudioTrack:
    """`update_audio_track`."""

    session: SessionId
    track_sid: TrackSid
    features: tuple[int, ...]
    echo: RequestEcho | None = None


@dataclass(frozen=True, slots=True)
class UpdateOwnVideoTrack:
    """`update_video_track`."""

    session: SessionId
    track_sid: TrackSid
    width: int
    height: int
    echo: RequestEcho | None = None


@dataclass(frozen=True, slots=True)
class PublishDataTrack:
    """`publish_data_track_request`."""

    session: SessionId
    handle: int
    """The publisher's own name for it in packets; must not be 0."""
    name: str
    encryption: int = 0
    frame_encoding: EncodingView | None = None
    schema: SchemaView | None = None
    echo: RequestEcho | None = None


@dataclass(frozen=True, slots=True)
class UnpublishDataTrack:
    """`unpublish_data_track_request`."""

    session: SessionId
    handle: int
    echo: RequestEcho | None = None


@dataclass(frozen=True, slots=True)
class DataSubscriptionWish:
    """What a subscriber wants of one data track."""

    track_sid: TrackSid
    subscribe: bool
    frames_per_s: int | None = None
    """About that many at most; `None`: all."""


@dataclass(frozen=True, slots=True)
class UpdateDataSubscription:
    """`update_data_subscription`."""

    session: SessionId
    wishes: tuple[DataSubscriptionWish, ...]


@dataclass(frozen=True, slots=True)
class StoreDataBlob:
    """`store_data_blob_request`."""

    session: SessionId
    request_id: int
    key: BlobKeyView | None
    """`None`: it had none."""
    contents: bytes


@dataclass(frozen=True, slots=True)
class GetDataBlob:
    """`get_data_blob_request`: what the participant `identity` keeps under `key`."""

    session: SessionId
    request_id: int
    identity: str
    key: BlobKeyView | None


# ---------------------------------------------------------------- from the engine


@dataclass(frozen=True, slots=True)
class TransportConnected:
    """ICE and DTLS are up."""

    transport: TransportId
    tcp: bool = False
    """Whether packets go over TCP."""


@dataclass(frozen=True, slots=True)
class TransportFailed:
    """The transport ended by itself and is gone from the engine."""

    transport: TransportId
    reason: Literal["ice_timeout", "dtls", "closed_by_peer", "fault"]


@dataclass(frozen=True, slots=True)
class NegotiationFailed:
    """The client's offer or answer was refused by the engine, or an answer never came."""

    transport: TransportId
    reason: str


@dataclass(frozen=True, slots=True)
class LastSequenceKnown:
    """Answer to `effects.AskLastSequence`."""

    participant: ParticipantId
    last_sequence: int
    """Of the last reliable data packet that it sent; 0 when there was none."""


@dataclass(frozen=True, slots=True)
class UpTrackStarted:
    """First media of a publication arrived, in this codec."""

    up_track: UpTrackId
    mime_type: str


@dataclass(frozen=True, slots=True)
class DownTrackBound:
    """A subscription is negotiated."""

    down_track: DownTrackId
    mime_types: tuple[str, ...] = ()
    """What the subscriber takes on that line; empty: not known."""


@dataclass(frozen=True, slots=True)
class DownTrackCodecUnsupported:
    """The subscriber cannot take what the publication sends."""

    down_track: DownTrackId
    up_track: UpTrackId | None = None
    """What it was fed by then; `None`: what it is fed by now."""


@dataclass(frozen=True, slots=True)
class DownTrackPaused:
    """The subscriber cannot be sent that much: the subscription's packets stop, or go on after that."""

    down_track: DownTrackId
    paused: bool


@dataclass(frozen=True, slots=True)
class AudioActivity:
    """One track's activity in one interval; `level` is RFC 6464 (0 loudest, 127 silent)."""

    up_track: UpTrackId
    level: int
    active_ms: int


@dataclass(frozen=True, slots=True)
class AudioLevelsMeasured:
    """Every `audio.update_interval` while anybody is heard, and once, empty, when all fell silent."""

    levels: tuple[AudioActivity, ...]


@dataclass(frozen=True, slots=True)
class QualityRating:
    """How well media gets through to and from a participant; `score` is a mean opinion score, 1 to 4.5."""

    participant: ParticipantId
    quality: ConnectionQuality
    score: float


@dataclass(frozen=True, slots=True)
class QualityChanged:
    """Those whose connection is rated otherwise than before; all are EXCELLENT at first."""

    ratings: tuple[QualityRating, ...]


# ---------------------------------------------------------------- from an administrator


@dataclass(frozen=True, slots=True)
class ListParticipants:
    """Reply: `tuple[ParticipantView, ...]`."""

    request: RequestId


@dataclass(frozen=True, slots=True)
class GetParticipant:
    """Reply: `ParticipantView`, or NOT_FOUND."""

    request: RequestId
    identity: str


@dataclass(frozen=True, slots=True)
class RemoveParticipant:
    """Reply: `None`, or NOT_FOUND."""

    request: RequestId
    identity: str


@dataclass(frozen=True, slots=True)
class MutePublishedTrack:
    """Reply: `TrackView`, or `None` for an unknown track; NOT_FOUND, FAILED_PRECONDITION (remote unmute is off)."""

    request: RequestId
    identity: str
    track_sid: TrackSid
    muted: bool


@dataclass(frozen=True, slots=True)
class UpdateParticipant:
    """Reply: `ParticipantView`, or NOT_FOUND, INVALID_ARGUMENT. `permission` replaces the whole set."""

    request: RequestId
    identity: str
    metadata: str = ""
    name: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    permission: PermissionView | None = None


@dataclass(frozen=True, slots=True)
class UpdateSubscriptions:
    """Reply: `None`, or NOT_FOUND."""

    request: RequestId
    identity: str
    track_sids: tuple[TrackSid, ...]
    subscribe: bool


@dataclass(frozen=True, slots=True)
class SendData:
    """Reply: `None`. `payload` is the user's bytes; both lists empty: everybody."""

    request: RequestId
    payload: bytes
    reliable: bool
    topic: str | None = None
    destination_identities: tuple[str, ...] = ()
    destination_sids: tuple[ParticipantSid, ...] = ()
    nonce: bytes = b""


@dataclass(frozen=True, slots=True)
class UpdateRoomMetadata:
    """Reply: `RoomView`, or INVALID_ARGUMENT."""

    request: RequestId
    metadata: str


@dataclass(frozen=True, slots=True)
class CloseRoom:
    """Everybody leaves with `reason` (`ROOM_DELETED`, `SERVER_SHUTDOWN`). Reply: `None`."""

    request: RequestId
    reason: DisconnectReason
    come_back: bool = False
    """Clients are asked to begin anew, by themselves, at the same URL: it is the server that ends, not their call."""


RoomInput = (
    Join
    | Resume
    | SyncState
    | Simulate
    | LeaveRequested
    | SessionLost
    | SessionFailed
    | AddTrack
    | OfferReceived
    | MuteOwnTrack
    | UpdateSubscription
    | UpdateTrackSettings
    | SetSubscriptionPermission
    | UpdateOwnMetadata
    | UpdateOwnAudioTrack
    | UpdateOwnVideoTrack
    | PublishDataTrack
    | UnpublishDataTrack
    | UpdateDataSubscription
    | StoreDataBlob
    | GetDataBlob
    | TransportConnected
    | TransportFailed
    | NegotiationFailed
    | LastSequenceKnown
    | UpTrackStarted
    | DownTrackBound
    | DownTrackCodecUnsupported
    | DownTrackPaused
    | AudioLevelsMeasured
    | QualityChanged
    | ListParticipants
    | GetParticipant
    | RemoveParticipant
    | MutePublishedTrack
    | UpdateParticipant
    | UpdateSubscriptions
    | SendData
    | UpdateRoomMetadata
    | CloseRoom
)
