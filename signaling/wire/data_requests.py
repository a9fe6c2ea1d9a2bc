"""Requests about data tracks and data blobs, in the domain's words (protocol.md §2.11, §3.1 19–23).

Owns the mapping in. Trusts nothing and decides nothing: what is wrong with a request is the room's to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.ids import TrackSid
from sfu.room import inputs
from sfu.room.messages import RequestEcho
from sfu.room.views import BlobKeyView, EncodingView, SchemaView

if TYPE_CHECKING:
    from livekit.protocol import models, rtc

    from sfu.ids import SessionId

__all__ = ["get_blob", "publish", "store_blob", "unpublish", "update_subscription", "wishes"]


def publish(session: SessionId, request: rtc.PublishDataTrackRequest) -> inputs.PublishDataTrack:
    """`publish_data_track_request`."""
    return inputs.PublishDataTrack(
        session=session,
        handle=request.pub_handle,
        name=request.name,
        encryption=request.encryption,
        frame_encoding=_encoding(request.frame_encoding) if request.HasField("frame_encoding") else None,
        schema=_schema(request.schema) if request.HasField("schema") else None,
        echo=RequestEcho("publish_data_track", request),
    )


def unpublish(session: SessionId, request: rtc.UnpublishDataTrackRequest) -> inputs.UnpublishDataTrack:
    """`unpublish_data_track_request`."""
    return inputs.UnpublishDataTrack(session, request.pub_handle, RequestEcho("unpublish_data_track", request))


def update_subscription(session: SessionId, request: rtc.UpdateDataSubscription) -> inputs.UpdateDataSubscription:
    """`update_data_subscription`."""
    return inputs.UpdateDataSubscription(session, wishes(request))


def wishes(request: rtc.UpdateDataSubscription) -> tuple[inputs.DataSubscriptionWish, ...]:
    """One for each track, the last that was said; a rate of 0 is none."""
    last = {update.track_sid: update for update in request.updates}
    return tuple(
        inputs.DataSubscriptionWish(TrackSid(sid), update.subscribe, update.options.target_fps or None)
        for sid, update in last.items()
    )


def store_blob(session: SessionId, request: rtc.StoreDataBlobRequest) -> inputs.StoreDataBlob:
    """`store_data_blob_request`."""
    return inputs.StoreDataBlob(session, request.request_id, _key(request.blob.key), request.blob.contents)


def get_blob(session: SessionId, request: rtc.GetDataBlobRequest) -> inputs.GetDataBlob:
    """`get_data_blob_request`."""
    return inputs.GetDataBlob(session, request.request_id, request.participant_identity, _key(request.key))


def _key(key: models.DataBlobKey) -> BlobKeyView | None:
    match key.WhichOneof("key"):
        case "generic":
            return BlobKeyView(generic=key.generic)
        case "schema_id":
            return BlobKeyView(schema=_schema(key.schema_id))
        case _:
            return None


def _schema(schema: models.DataTrackSchemaId) -> SchemaView:
    return SchemaView(schema.name, _encoding(schema.encoding) if schema.HasField("encoding") else None)


def _encoding(encoding: models.DataTrackFrameEncoding | models.DataTrackSchemaEncoding) -> EncodingView:
    match encoding.WhichOneof("value"):
        case "well_known":
            return EncodingView(well_known=encoding.well_known)
        case "custom":
            return EncodingView(custom=encoding.custom)
        case _:
            return EncodingView()
