"""Snapshots of the domain: immutable values that leave the room (in messages, replies and events).

Owns their shapes, which follow LiveKit's messages field by field (livekit_models.proto) without being them.
Never changes anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sfu.room.enums import DisconnectReason, ParticipantKind, ParticipantState, TrackSource, TrackType, VideoQuality

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sfu.ids import ParticipantSid, RoomSid, TrackSid

__all__ = [
    "BlobKeyView",
    "CodecView",
    "DataTrackView",
    "EncodingView",
    "LayerView",
    "ParticipantView",
    "PermissionView",
    "RoomView",
    "SchemaView",
    "TrackView",
]


@dataclass(frozen=True, slots=True)
class LayerView:
    """`VideoLayer`: one encoding that a publisher announced."""

    quality: VideoQuality
    width: int = 0
    height: int = 0
    bitrate_bps: int = 0
    ssrc: int = 0
    spatial_layer: int = 0
    rid: str = ""
    repair_ssrc: int = 0


@dataclass(frozen=True, slots=True)
class CodecView:
    """`SimulcastCodecInfo`: one codec of a publication."""

    mime_type: str
    mid: str = ""
    cid: str = ""
    layers: tuple[LayerView, ...] = ()
    video_layer_mode: int = 0
    sdp_cid: str = ""


@dataclass(frozen=True, slots=True)
class TrackView:
    """`TrackInfo`."""

    sid: TrackSid
    type: TrackType
    source: TrackSource
    name: str = ""
    muted: bool = False
    width: int = 0
    height: int = 0
    simulcast: bool = False
    disable_dtx: bool = False
    layers: tuple[LayerView, ...] = ()
    mime_type: str = ""
    mid: str = ""
    codecs: tuple[CodecView, ...] = ()
    stereo: bool = False
    disable_red: bool = False
    encryption: int = 0
    stream: str = ""
    version_us: int = 0
    """Microseconds since the epoch of the last change (`TimedVersion.unix_micro`)."""
    audio_features: tuple[int, ...] = ()
    backup_codec_policy: int = 0
    packet_trailer_features: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class EncodingView:
    """`DataTrackFrameEncoding` and `DataTrackSchemaEncoding`: one of the two, or neither."""

    well_known: int | None = None
    """The enumeration's number."""
    custom: str | None = None


@dataclass(frozen=True, slots=True)
class SchemaView:
    """`DataTrackSchemaId`."""

    name: str = ""
    encoding: EncodingView | None = None


@dataclass(frozen=True, slots=True)
class DataTrackView:
    """`DataTrackInfo`."""

    sid: TrackSid
    handle: int
    """The publisher's own name for it in packets."""
    name: str
    encryption: int = 0
    frame_encoding: EncodingView | None = None
    schema: SchemaView | None = None


@dataclass(frozen=True, slots=True)
class BlobKeyView:
    """`DataBlobKey`: a text of the application, or a schema."""

    generic: str = ""
    schema: SchemaView | None = None


@dataclass(frozen=True, slots=True)
class PermissionView:
    """`ParticipantPermission`: what a participant may do now."""

    can_subscribe: bool = True
    can_publish: bool = True
    can_publish_data: bool = True
    can_publish_sources: tuple[TrackSource, ...] = ()
    hidden: bool = False
    recorder: bool = False
    can_update_metadata: bool = False
    agent: bool = False
    can_subscribe_metrics: bool = False
    can_manage_agent_session: bool = False

    def may_publish(self, source: TrackSource) -> bool:
        """Whether a track of this source may be published; an empty list of sources means all."""
        return self.can_publish and (not self.can_publish_sources or source in self.can_publish_sources)


@dataclass(frozen=True, slots=True)
class ParticipantView:
    """`ParticipantInfo`. `version` rises with each change of the same sid."""

    sid: ParticipantSid
    identity: str
    state: ParticipantState
    version: int
    name: str = ""
    metadata: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    tracks: tuple[TrackView, ...] = ()
    data_tracks: tuple[DataTrackView, ...] = ()
    permission: PermissionView = PermissionView()
    joined_at_ms: int = 0
    region: str = ""
    is_publisher: bool = False
    kind: ParticipantKind = ParticipantKind.STANDARD
    kind_details: tuple[int, ...] = ()
    disconnect_reason: DisconnectReason = DisconnectReason.UNKNOWN_REASON
    client_protocol: int = 0
    capabilities: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RoomView:
    """`Room`."""

    sid: RoomSid
    name: str
    empty_timeout_s: int
    departure_timeout_s: int
    max_participants: int
    creation_time_ms: int
    enabled_codecs: tuple[str, ...] = ()
    """MIME types."""
    metadata: str = ""
    num_participants: int = 0
    num_publishers: int = 0
    active_recording: bool = False
