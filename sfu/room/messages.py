"""What the server tells a client: LiveKit's signal responses as plain values (protocol.md §3.2).

Owns the vocabulary. Never encodes: that is `signaling.wire`. One message object may go to many sessions; it is
encoded once per frame format.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sfu.room.devices import DisabledCodecs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sfu.ids import ParticipantSid, TrackSid
    from sfu.room.enums import (
        ConnectionQuality,
        DisconnectReason,
        LeaveAction,
        RequestReason,
        SubscriptionError,
        VideoQuality,
    )
    from sfu.room.views import BlobKeyView, DataTrackView, ParticipantView, RoomView, TrackView

__all__ = [
    "Answer",
    "ConnectionQualityUpdate",
    "DataBlobFound",
    "DataBlobStored",
    "DataTrackHandle",
    "DataTrackHandles",
    "DataTrackPublished",
    "DataTrackUnpublished",
    "Joined",
    "Leave",
    "MediaSectionsRequirement",
    "Message",
    "Mute",
    "Offer",
    "ParticipantUpdate",
    "Pong",
    "PongResponse",
    "QualityView",
    "Reconnected",
    "RefreshedToken",
    "RequestEcho",
    "RequestResponse",
    "RoomUpdate",
    "SpeakerView",
    "SpeakersChanged",
    "StreamState",
    "StreamStateUpdate",
    "SubscribedCodec",
    "SubscribedQualityUpdate",
    "SubscriptionPermissionUpdate",
    "SubscriptionResponse",
    "TrackPublished",
    "TrackSubscribed",
    "TrackUnpublished",
    "Trickle",
]


@dataclass(frozen=True, slots=True)
class Joined:
    """`join`: always the first message of a new session. Server-wide fields are added by `signaling.wire`."""

    room: RoomView
    participant: ParticipantView
    other_participants: tuple[ParticipantView, ...]
    subscriber_primary: bool
    fast_publish: bool
    sif_trailer: bytes
    enabled_publish_codecs: tuple[str, ...]
    """MIME types, video first."""
    disabled_codecs: DisabledCodecs
    """Of this client."""


@dataclass(frozen=True, slots=True)
class Reconnected:
    """`reconnect`: always the first message of a session that goes on over a new connection."""

    last_message_seq: int = 0
    """Of the last reliable data packet that arrived from the client: what came after it is to be sent again."""
    disabled_codecs: DisabledCodecs = field(default_factory=DisabledCodecs)
    """Of this client."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`answer` to the client's offer `id`."""

    sdp: str
    id: int
    mid_to_track: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Offer:
    """`offer` for the subscriber connection (dual mode)."""

    sdp: str
    id: int
    mid_to_track: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Trickle:
    """`trickle`: one candidate of ours; `subscriber` names the connection it belongs to."""

    candidate: str
    """`candidate:…`"""
    subscriber: bool
    final: bool
    mid: str = ""
    """Of the first accepted m-line of our description: browsers want one that exists and has a transport."""
    line: int = 0
    """Its index."""


@dataclass(frozen=True, slots=True)
class ParticipantUpdate:
    """`update`."""

    participants: tuple[ParticipantView, ...]


@dataclass(frozen=True, slots=True)
class TrackPublished:
    """`track_published`: reply to `add_track`."""

    cid: str
    track: TrackView


@dataclass(frozen=True, slots=True)
class TrackUnpublished:
    """`track_unpublished`: the server removed the client's own track."""

    track_sid: TrackSid


@dataclass(frozen=True, slots=True)
class TrackSubscribed:
    """`track_subscribed`: the client's own track has its first subscriber."""

    track_sid: TrackSid


@dataclass(frozen=True, slots=True)
class SubscribedCodec:
    """Which qualities of one codec of a track somebody watches."""

    codec: str
    """As clients name it: `vp8`."""
    enabled: tuple[VideoQuality, ...]
    """Empty: nobody watches."""


@dataclass(frozen=True, slots=True)
class SubscribedQualityUpdate:
    """`subscribed_quality_update`: what its publisher may pause; the first codec is the track's own."""

    track_sid: TrackSid
    codecs: tuple[SubscribedCodec, ...]


@dataclass(frozen=True, slots=True)
class StreamState:
    """`StreamStateInfo` of one subscribed track."""

    participant_sid: ParticipantSid
    track_sid: TrackSid
    paused: bool


@dataclass(frozen=True, slots=True)
class StreamStateUpdate:
    """`stream_state_update`: tracks are paused because the path to this subscriber does not bear them, or go on."""

    states: tuple[StreamState, ...]


@dataclass(frozen=True, slots=True)
class Leave:
    """`leave`: the session ends; the connection is closed after it."""

    reason: DisconnectReason
    action: LeaveAction


@dataclass(frozen=True, slots=True)
class Mute:
    """`mute`: the server muted the client's own track."""

    track_sid: TrackSid
    muted: bool


@dataclass(frozen=True, slots=True)
class SpeakerView:
    """`SpeakerInfo`; `level` 0 to 1."""

    sid: ParticipantSid
    level: float
    active: bool


@dataclass(frozen=True, slots=True)
class SpeakersChanged:
    """`speakers_changed`: deltas, loudest first."""

    speakers: tuple[SpeakerView, ...]


@dataclass(frozen=True, slots=True)
class QualityView:
    """`ConnectionQualityInfo`; `score` is a mean opinion score, 1 to 4.5."""

    sid: ParticipantSid
    quality: ConnectionQuality
    score: float


@dataclass(frozen=True, slots=True)
class ConnectionQualityUpdate:
    """`connection_quality`: deltas."""

    connections: tuple[QualityView, ...]


@dataclass(frozen=True, slots=True)
class RoomUpdate:
    """`room_update`."""

    room: RoomView


@dataclass(frozen=True, slots=True)
class SubscriptionPermissionUpdate:
    """`subscription_permission_update`: the publisher allows or forbids this subscriber."""

    participant_sid: ParticipantSid
    track_sid: TrackSid
    allowed: bool


@dataclass(frozen=True, slots=True)
class SubscriptionResponse:
    """`subscription_response`: a subscription failed for good."""

    track_sid: TrackSid
    error: SubscriptionError


@dataclass(frozen=True, slots=True)
class RequestEcho:
    """Which request a `request_response` speaks of: the name of its oneof and the request as decoded by the wire."""

    name: str
    request: object


@dataclass(frozen=True, slots=True)
class RequestResponse:
    """`request_response`."""

    reason: RequestReason
    message: str = ""
    request_id: int = 0
    echo: RequestEcho | None = None


@dataclass(frozen=True, slots=True)
class RefreshedToken:
    """`refresh_token`."""

    token: str


@dataclass(frozen=True, slots=True)
class MediaSectionsRequirement:
    """`media_sections_requirement`: offer again with that many more `recvonly` lines (single mode)."""

    num_audios: int
    num_videos: int


@dataclass(frozen=True, slots=True)
class Pong:
    """`pong`: reply to `ping`; milliseconds since the epoch."""

    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class PongResponse:
    """`pong_resp`: reply to `ping_req`; milliseconds since the epoch."""

    last_ping_timestamp_ms: int
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class DataTrackPublished:
    """`publish_data_track_response`."""

    track: DataTrackView


@dataclass(frozen=True, slots=True)
class DataTrackUnpublished:
    """`unpublish_data_track_response`: the client asked for it, or the server did it by itself."""

    track: DataTrackView


@dataclass(frozen=True, slots=True)
class DataTrackHandle:
    """Which data track a handle stands for at a subscriber."""

    publisher_identity: str
    publisher_sid: ParticipantSid
    track_sid: TrackSid


@dataclass(frozen=True, slots=True)
class DataTrackHandles:
    """`data_track_subscriber_handles`: all of the subscriber's handles."""

    handles: Mapping[int, DataTrackHandle]


@dataclass(frozen=True, slots=True)
class DataBlobStored:
    """`store_data_blob_response`."""

    request_id: int
    key: BlobKeyView


@dataclass(frozen=True, slots=True)
class DataBlobFound:
    """`get_data_blob_response`."""

    request_id: int
    key: BlobKeyView
    contents: bytes


Message = (
    Joined
    | Reconnected
    | Answer
    | Offer
    | Trickle
    | ParticipantUpdate
    | TrackPublished
    | TrackUnpublished
    | TrackSubscribed
    | Leave
    | Mute
    | SpeakersChanged
    | ConnectionQualityUpdate
    | RoomUpdate
    | SubscribedQualityUpdate
    | StreamStateUpdate
    | SubscriptionPermissionUpdate
    | SubscriptionResponse
    | RequestResponse
    | RefreshedToken
    | MediaSectionsRequirement
    | DataTrackPublished
    | DataTrackUnpublished
    | DataTrackHandles
    | DataBlobStored
    | DataBlobFound
    | Pong
    | PongResponse
)
