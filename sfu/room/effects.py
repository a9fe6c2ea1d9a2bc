"""Everything that a room can want done: its whole vocabulary out.

Owns the shapes. The shell carries effects out in the order in which they were returned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from auth.grants import Claims
    from sfu.errors import SfuError
    from sfu.ids import (
        DataDownTrackId,
        DataUpTrackId,
        DownTrackId,
        ParticipantId,
        ParticipantSid,
        RequestId,
        SessionId,
        TrackSid,
        TransportId,
        UpTrackId,
    )
    from sfu.room.enums import DisconnectReason, TrackType
    from sfu.room.messages import Leave, Message
    from sfu.room.settings import PlayoutDelay
    from sfu.room.views import ParticipantView, RoomView, TrackView

__all__ = [
    "AcceptOffer",
    "AddDataDownTrack",
    "AddDataUpTrack",
    "AddDownTrack",
    "AddEngineParticipant",
    "AllowPause",
    "AskLastSequence",
    "CloseDataUpTrack",
    "CloseSession",
    "CloseTransport",
    "CloseUpTrack",
    "DropSession",
    "Effect",
    "Emit",
    "EnableDownTrack",
    "MoveDownTrack",
    "MoveTransports",
    "MuteUpTrack",
    "OpenTransport",
    "ParticipantAborted",
    "ParticipantJoined",
    "ParticipantLeft",
    "ParticipantResumed",
    "PublishLine",
    "RefreshToken",
    "RemoveDataDownTrack",
    "RemoveDownTrack",
    "RemoveEngineParticipant",
    "ReplayData",
    "Reply",
    "RestartIce",
    "RoomEvent",
    "RoomFinished",
    "RoomStarted",
    "Send",
    "SendEngineData",
    "SetDataDownTrackRate",
    "SetDownTrackLayers",
    "SetDownTrackPriority",
    "SimulateRate",
    "TrackPublishedEvent",
    "TrackUnpublishedEvent",
    "UpdateEngineParticipant",
]


# ---------------------------------------------------------------- towards clients


@dataclass(frozen=True, slots=True)
class Send:
    """One message to one or many sessions, in this order. Sessions that are lost meanwhile are skipped."""

    sessions: tuple[SessionId, ...]
    message: Message


@dataclass(frozen=True, slots=True)
class CloseSession:
    """Sends `leave` (when there is one), then closes the signalling connection. The session id is dead after it."""

    session: SessionId
    leave: Leave | None


@dataclass(frozen=True, slots=True)
class DropSession:
    """Ends the signalling connection without a word, as a broken network would. The session id is dead after it."""

    session: SessionId


@dataclass(frozen=True, slots=True)
class MoveTransports:
    """The transports of session `old` belong to `new` from now on; what `old` was still asked or told is void."""

    old: SessionId
    new: SessionId


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """Sign these claims anew (same key, `auth.tokens`) and send them as `refresh_token`."""

    session: SessionId
    claims: Claims


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer to the input with this request: its result, or why not."""

    request: RequestId
    result: object | SfuError


# ---------------------------------------------------------------- towards the engine (see `_engine.pyi`)


@dataclass(frozen=True, slots=True)
class AddEngineParticipant:
    """Makes a participant known to the data plane."""

    participant: ParticipantId
    sid: str
    identity: str
    can_publish_data: bool
    hidden: bool
    agent: bool


@dataclass(frozen=True, slots=True)
class UpdateEngineParticipant:
    """Its permissions changed."""

    participant: ParticipantId
    sid: str
    identity: str
    can_publish_data: bool
    hidden: bool
    agent: bool


@dataclass(frozen=True, slots=True)
class RemoveEngineParticipant:
    """Closes all its transports and tracks in the engine."""

    participant: ParticipantId


@dataclass(frozen=True, slots=True)
class OpenTransport:
    """A new peer connection for the session of `session`."""

    session: SessionId
    participant: ParticipantId
    transport: TransportId
    role: Literal["publisher", "subscriber", "both"]
    mime_types: tuple[str, ...]
    """The room's codecs; empty: all."""
    tcp_only: bool = False
    """Offer no UDP candidates; without any TCP candidate this says nothing."""
    full_ice: bool = False
    """Check connectivity ourselves too, even where the server is otherwise an ICE-lite agent."""
    playout_delay: PlayoutDelay | None = None
    """What subscribers are asked for."""
    answer_timeout_s: float = 15.0
    """How long the client may take to answer an offer of ours."""


@dataclass(frozen=True, slots=True)
class CloseTransport:
    """One transport ends; the participant stays."""

    transport: TransportId


@dataclass(frozen=True, slots=True)
class RestartIce:
    """New ICE credentials for a transport on which we offer: an offer follows."""

    transport: TransportId


@dataclass(frozen=True, slots=True)
class AskLastSequence:
    """Which reliable data packet of the participant was the last: `inputs.LastSequenceKnown` follows."""

    participant: ParticipantId


@dataclass(frozen=True, slots=True)
class ReplayData:
    """Send again what reliable data the participant has missed.

    Of each sender that is listed what came after that sequence number, of the others all that is kept.
    """

    participant: ParticipantId
    received: tuple[tuple[ParticipantSid, int], ...]


@dataclass(frozen=True, slots=True)
class PublishLine:
    """How one sending m-line is bound and answered."""

    mid: str
    up_track: UpTrackId
    codec: str | None
    dtx: bool
    stereo: bool
    red: bool
    speaker: bool
    muted: bool
    codec_only: bool = False
    """The answer names no other: the client would not heed their order."""
    trailer: bytes = b""
    """Ends the frames that the server makes for a track that is encrypted end to end; empty: it is not."""


@dataclass(frozen=True, slots=True)
class AcceptOffer:
    """Answer the offer that `OfferReceived` announced."""

    session: SessionId
    transport: TransportId
    offer_id: int
    publish: tuple[PublishLine, ...]


@dataclass(frozen=True, slots=True)
class MuteUpTrack:
    """Drop (or let through again) what arrives for a publication."""

    up_track: UpTrackId
    muted: bool


@dataclass(frozen=True, slots=True)
class CloseUpTrack:
    """The publication ended."""

    up_track: UpTrackId


@dataclass(frozen=True, slots=True)
class AddDownTrack:
    """Forward a publication to a subscriber."""

    down_track: DownTrackId
    transport: TransportId
    up_track: UpTrackId
    type: TrackType
    stream_id: str
    """`PA_…|TR_…`"""
    track_sid: TrackSid
    stereo: bool
    enabled: bool
    strip_trailer: bool = False
    """Cut packet trailers off: the subscriber does not know them."""


@dataclass(frozen=True, slots=True)
class EnableDownTrack:
    """Start or stop its packets without negotiation."""

    down_track: DownTrackId
    enabled: bool


@dataclass(frozen=True, slots=True)
class SetDownTrackLayers:
    """Limit what a subscription gets; everything at first."""

    down_track: DownTrackId
    max_spatial: int
    """0: the smallest picture. Simulcast streams count as spatial layers."""
    max_fps: int
    """Pictures a second, up to 65,535; 0: all of them."""


@dataclass(frozen=True, slots=True)
class SetDownTrackPriority:
    """Which subscription is served first when the path to the subscriber does not bear all of them."""

    down_track: DownTrackId
    priority: int
    """Lower comes first, 0 to 65,535; the last at first."""


@dataclass(frozen=True, slots=True)
class AllowPause:
    """Video over this transport may be paused when the path does not bear even its lowest layers."""

    transport: TransportId


@dataclass(frozen=True, slots=True)
class SimulateRate:
    """Treat the peer of a transport as if its path bore no more than this, sound aside, and pause video that does not
    fit, allowed otherwise or not; for tests of clients."""

    transport: TransportId
    rate_bps: int | None
    """`None`: what the path bears counts again."""


@dataclass(frozen=True, slots=True)
class MoveDownTrack:
    """Feed a subscription by another up track of its publication, without negotiation.

    It begins with the next key frame there; the up track may be one that nobody has published yet.
    """

    down_track: DownTrackId
    up_track: UpTrackId


@dataclass(frozen=True, slots=True)
class RemoveDownTrack:
    """End of a subscription."""

    down_track: DownTrackId


@dataclass(frozen=True, slots=True)
class AddDataUpTrack:
    """A participant publishes a data track: what it sends under `handle` is forwarded."""

    data_up_track: DataUpTrackId
    participant: ParticipantId
    handle: int


@dataclass(frozen=True, slots=True)
class CloseDataUpTrack:
    """The data track ended."""

    data_up_track: DataUpTrackId


@dataclass(frozen=True, slots=True)
class AddDataDownTrack:
    """Forward a data track to a participant, under a handle of this subscriber."""

    data_down_track: DataDownTrackId
    data_up_track: DataUpTrackId
    participant: ParticipantId
    handle: int
    frames_per_s: int | None
    """About that many at most; `None`: all."""


@dataclass(frozen=True, slots=True)
class SetDataDownTrackRate:
    """Changes how many frames of a data track a subscriber gets."""

    data_down_track: DataDownTrackId
    frames_per_s: int | None


@dataclass(frozen=True, slots=True)
class RemoveDataDownTrack:
    """End of a subscription of a data track."""

    data_down_track: DataDownTrackId


@dataclass(frozen=True, slots=True)
class SendEngineData:
    """User data that originates at the server; the shell encodes it as `livekit.DataPacket`."""

    payload: bytes
    reliable: bool
    topic: str | None
    destination_identities: tuple[str, ...]
    nonce: bytes
    destinations: tuple[ParticipantId, ...] | None
    """`None`: everybody."""


# ---------------------------------------------------------------- towards logs, metrics and webhooks


@dataclass(frozen=True, slots=True)
class RoomStarted:
    """`room_started`."""

    room: RoomView


@dataclass(frozen=True, slots=True)
class RoomFinished:
    """`room_finished`: the actor ends after the effects of this change."""

    room: RoomView
    reason: DisconnectReason


@dataclass(frozen=True, slots=True)
class ParticipantJoined:
    """`participant_joined`: it reached ACTIVE for the first time, so its media is connected."""

    room: RoomView
    participant: ParticipantView
    sdk: str = "unknown"
    """What the client says of itself, as `version`."""
    version: str = ""
    single_peer_connection: bool = False
    tcp: bool = False
    """Whether its media goes over TCP."""


@dataclass(frozen=True, slots=True)
class ParticipantResumed:
    """Its session goes on over a new signalling connection; no webhook tells of it."""

    room: RoomView
    participant: ParticipantView


@dataclass(frozen=True, slots=True)
class ParticipantLeft:
    """`participant_left`, after having been active."""

    room: RoomView
    participant: ParticipantView


@dataclass(frozen=True, slots=True)
class ParticipantAborted:
    """`participant_connection_aborted`: it left without ever being active."""

    room: RoomView
    participant: ParticipantView


@dataclass(frozen=True, slots=True)
class TrackPublishedEvent:
    """`track_published`."""

    room: RoomView
    participant: ParticipantView
    track: TrackView


@dataclass(frozen=True, slots=True)
class TrackUnpublishedEvent:
    """`track_unpublished`."""

    room: RoomView
    participant: ParticipantView
    track: TrackView


RoomEvent = (
    RoomStarted
    | RoomFinished
    | ParticipantJoined
    | ParticipantResumed
    | ParticipantLeft
    | ParticipantAborted
    | TrackPublishedEvent
    | TrackUnpublishedEvent
)


@dataclass(frozen=True, slots=True)
class Emit:
    """A life event, for whoever listens."""

    event: RoomEvent


Effect = (
    Send
    | CloseSession
    | DropSession
    | MoveTransports
    | RefreshToken
    | Reply
    | AddEngineParticipant
    | UpdateEngineParticipant
    | RemoveEngineParticipant
    | OpenTransport
    | CloseTransport
    | RestartIce
    | AskLastSequence
    | ReplayData
    | AcceptOffer
    | MuteUpTrack
    | CloseUpTrack
    | AddDownTrack
    | EnableDownTrack
    | SetDownTrackLayers
    | SetDownTrackPriority
    | AllowPause
    | SimulateRate
    | MoveDownTrack
    | RemoveDownTrack
    | AddDataUpTrack
    | CloseDataUpTrack
    | AddDataDownTrack
    | SetDataDownTrackRate
    | RemoveDataDownTrack
    | SendEngineData
    | Emit
)
