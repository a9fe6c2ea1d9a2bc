"""Small texts and bytes that participants keep for the others, such as schemas of data tracks (protocol.md §2.11).

Owns what is kept, within its limits. Never interprets contents. A participant's blobs end with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.room.enums import RequestReason
from sfu.room.messages import DataBlobFound, DataBlobStored
from sfu.room.permissions import utf8_bytes

if TYPE_CHECKING:
    from sfu.room.inputs import GetDataBlob, StoreDataBlob
    from sfu.room.participant import Participant
    from sfu.room.state import RoomState
    from sfu.room.views import BlobKeyView

__all__ = ["DataBlobs"]


class DataBlobs:
    """The data blobs of a room's participants."""

    def __init__(self, state: RoomState) -> None:
        self._state = state

    def store(self, participant: Participant, request: StoreDataBlob) -> None:
        """`store_data_blob_request`: a blob under a key that is taken replaces the one before."""
        refusal = self._store_refusal(participant, request)
        if refusal is not None or request.key is None:
            reason, text = refusal or (RequestReason.INVALID_REQUEST, "data blob is invalid")
            self._state.refuse(participant, reason, text, None, request.request_id)
            return
        growth = _growth(participant, request.key, request.contents)
        participant.data_blobs[request.key] = request.contents
        participant.data_blobs_bytes += growth
        self._state.data_blobs_bytes += growth
        self._state.send((participant,), DataBlobStored(request.request_id, request.key))

    def _store_refusal(self, participant: Participant, request: StoreDataBlob) -> tuple[RequestReason, str] | None:
        settings, key = self._state.settings.data, request.key
        if not settings.blobs_enabled:
            return RequestReason.NOT_ALLOWED, "data blob not enabled"
        if not participant.permission.can_publish_data:
            return RequestReason.NOT_ALLOWED, "does not have permission to publish data"
        if key is None or not settings.takes_blob_key(_key_bytes(key)):
            return RequestReason.INVALID_REQUEST, "data blob is invalid"
        if key.schema is not None and not settings.takes_encoding(key.schema.encoding):
            return RequestReason.INVALID_REQUEST, "encoding identifier is empty or exceeds the maximum length"
        if not request.contents:
            return RequestReason.INVALID_REQUEST, "data blob is empty"
        text = self._limit_text(participant, key, request.contents)
        return (RequestReason.LIMIT_EXCEEDED, text) if text else None

    def _limit_text(self, participant: Participant, key: BlobKeyView, contents: bytes) -> str:
        """Which limit the blob would exceed; empty: none."""
        settings, growth = self._state.settings.data, _growth(participant, key, contents)
        if key not in participant.data_blobs and len(participant.data_blobs) >= settings.max_blobs:
            return "too many data blobs"
        if 0 < settings.max_blobs_bytes < participant.data_blobs_bytes + growth:
            return "data blobs exceed their size limit"
        if 0 < settings.max_room_blobs_bytes < self._state.data_blobs_bytes + growth:
            return "data blobs of the room exceed their size limit"
        return ""

    def get(self, participant: Participant, request: GetDataBlob) -> None:
        """`get_data_blob_request`: of oneself or of anybody whom the participant can see."""
        owner = self._state.by_identity.get(request.identity)
        if owner is not None and owner.hidden and owner is not participant:
            owner = None
        contents = owner.data_blobs.get(request.key) if owner is not None and request.key is not None else None
        if not self._state.settings.data.blobs_enabled:
            reason, text = RequestReason.NOT_ALLOWED, "data blob not enabled"
        elif request.key is None:
            reason, text = RequestReason.INVALID_REQUEST, "data blob key is required"
        elif owner is None:
            reason, text = RequestReason.NOT_FOUND, "participant not found"
        elif contents is None:
            reason, text = RequestReason.NOT_FOUND, "data blob not found"
        else:
            self._state.send((participant,), DataBlobFound(request.request_id, request.key, contents))
            return
        self._state.refuse(participant, reason, text, None, request.request_id)


def _growth(participant: Participant, key: BlobKeyView, contents: bytes) -> int:
    """By how many bytes a participant's blobs grow with this one, in place of the one under the same key."""
    replaced = participant.data_blobs.get(key)
    return len(contents) - len(replaced) if replaced is not None else _key_bytes(key) + len(contents)


def _key_bytes(key: BlobKeyView) -> int:
    """What a key counts: its texts, in UTF-8."""
    if key.schema is None:
        return utf8_bytes(key.generic)
    encoding = key.schema.encoding
    custom = "" if encoding is None else encoding.custom or ""
    return utf8_bytes(key.schema.name) + utf8_bytes(custom)
