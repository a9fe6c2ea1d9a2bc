"""The domain's snapshots as LiveKit's models (livekit_models.proto), field by field.

Owns the mapping out. Never reads a model back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from livekit.protocol import models

if TYPE_CHECKING:
    from sfu.room.views import (
        BlobKeyView,
        CodecView,
        DataTrackView,
        EncodingView,
        LayerView,
        ParticipantView,
        PermissionView,
        RoomView,
        SchemaView,
        TrackView,
    )

__all__ = [
    "blob_key",
    "data_track_info",
    "participant_info",
    "permission_info",
    "room_info",
    "track_info",
    "wire_number",
]


def wire_number(value: int) -> Any:
    """An enumeration's number; protobuf's stubs want its own type, its constructors take any number."""
    return value


def room_info(view: RoomView) -> models.Room:
    """`Room`."""
    return models.Room(
        sid=view.sid,
        name=view.name,
        empty_timeout=view.empty_timeout_s,
        departure_timeout=view.departure_timeout_s,
        max_participants=view.max_participants,
        creation_time=view.creation_time_ms // 1000,
        creation_time_ms=view.creation_time_ms,
        enabled_codecs=[models.Codec(mime=mime) for mime in view.enabled_codecs],
        metadata=view.metadata,
        num_participants=view.num_participants,
        num_publishers=view.num_publishers,
        active_recording=view.active_recording,
    )


def participant_info(view: ParticipantView) -> models.ParticipantInfo:
    """`ParticipantInfo`."""
    return models.ParticipantInfo(
        sid=view.sid,
        identity=view.identity,
        state=wire_number(view.state),
        tracks=[track_info(track) for track in view.tracks],
        data_tracks=[data_track_info(track) for track in view.data_tracks],
        metadata=view.metadata,
        joined_at=view.joined_at_ms // 1000,
        joined_at_ms=view.joined_at_ms,
        name=view.name,
        version=view.version,
        permission=permission_info(view.permission),
        region=view.region,
        is_publisher=view.is_publisher,
        kind=wire_number(view.kind),
        attributes=view.attributes,
        disconnect_reason=wire_number(view.disconnect_reason),
        kind_details=map(wire_number, view.kind_details),
        client_protocol=view.client_protocol,
        capabilities=map(wire_number, view.capabilities),
    )


def permission_info(view: PermissionView) -> models.ParticipantPermission:
    """`ParticipantPermission`."""
    return models.ParticipantPermission(
        can_subscribe=view.can_subscribe,
        can_publish=view.can_publish,
        can_publish_data=view.can_publish_data,
        can_publish_sources=map(wire_number, view.can_publish_sources),
        hidden=view.hidden,
        recorder=view.recorder,
        can_update_metadata=view.can_update_metadata,
        agent=view.agent,
        can_subscribe_metrics=view.can_subscribe_metrics,
        can_manage_agent_session=view.can_manage_agent_session,
    )


def track_info(view: TrackView) -> models.TrackInfo:
    """`TrackInfo`."""
    return models.TrackInfo(
        sid=view.sid,
        type=wire_number(view.type),
        name=view.name,
        muted=view.muted,
        width=view.width,
        height=view.height,
        simulcast=view.simulcast,
        disable_dtx=view.disable_dtx,
        source=wire_number(view.source),
        layers=[_layer(layer) for layer in view.layers],
        mime_type=view.mime_type,
        mid=view.mid,
        codecs=[_codec(codec) for codec in view.codecs],
        stereo=view.stereo,
        disable_red=view.disable_red,
        encryption=wire_number(view.encryption),
        stream=view.stream,
        version=models.TimedVersion(unix_micro=view.version_us),
        audio_features=map(wire_number, view.audio_features),
        backup_codec_policy=wire_number(view.backup_codec_policy),
        packet_trailer_features=map(wire_number, view.packet_trailer_features),
    )


def _layer(view: LayerView) -> models.VideoLayer:
    return models.VideoLayer(
        quality=wire_number(view.quality),
        width=view.width,
        height=view.height,
        bitrate=view.bitrate_bps,
        ssrc=view.ssrc,
        spatial_layer=view.spatial_layer,
        rid=view.rid,
        repair_ssrc=view.repair_ssrc,
    )


def _codec(view: CodecView) -> models.SimulcastCodecInfo:
    return models.SimulcastCodecInfo(
        mime_type=view.mime_type,
        mid=view.mid,
        cid=view.cid,
        layers=[_layer(layer) for layer in view.layers],
        video_layer_mode=wire_number(view.video_layer_mode),
        sdp_cid=view.sdp_cid,
    )


def data_track_info(view: DataTrackView) -> models.DataTrackInfo:
    """`DataTrackInfo`."""
    encoding = view.frame_encoding
    return models.DataTrackInfo(
        pub_handle=view.handle,
        sid=view.sid,
        name=view.name,
        encryption=wire_number(view.encryption),
        frame_encoding=None if encoding is None else models.DataTrackFrameEncoding(**_encoding(encoding)),
        schema=None if view.schema is None else _schema(view.schema),
    )


def blob_key(view: BlobKeyView) -> models.DataBlobKey:
    """`DataBlobKey`."""
    if view.schema is not None:
        return models.DataBlobKey(schema_id=_schema(view.schema))
    return models.DataBlobKey(generic=view.generic)


def _schema(view: SchemaView) -> models.DataTrackSchemaId:
    encoding = None if view.encoding is None else models.DataTrackSchemaEncoding(**_encoding(view.encoding))
    return models.DataTrackSchemaId(name=view.name, encoding=encoding)


def _encoding(view: EncodingView) -> dict[str, Any]:
    """The fields of either encoding."""
    if view.custom is not None:
        return {"custom": view.custom}
    return {} if view.well_known is None else {"well_known": view.well_known}
