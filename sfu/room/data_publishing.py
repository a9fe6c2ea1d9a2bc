"""Data tracks from the publisher's request to their end (protocol.md §2.11).

Owns which data tracks there are. Never touches subscriptions itself: `data_subscribing` does. What befalls a
participant (it joins, leaves, comes back, may more or less) reaches its data tracks through here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.ids import DataUpTrackId, TrackSid, next_id, random_sid
from sfu.room.data_publication import DataPublication
from sfu.room.effects import AddDataUpTrack, CloseDataUpTrack
from sfu.room.enums import RequestReason
from sfu.room.messages import DataTrackPublished, DataTrackUnpublished
from sfu.room.permissions import utf8_bytes
from sfu.room.views import DataTrackView

if TYPE_CHECKING:
    from collections.abc import Collection

    from sfu.room.announcing import Announcer
    from sfu.room.data_subscribing import DataSubscribing
    from sfu.room.inputs import PublishDataTrack, UnpublishDataTrack
    from sfu.room.participant import Participant
    from sfu.room.state import RoomState

__all__ = ["DataPublishing"]

_MAX_HANDLE = 0xFFFF
_MAX_NAME_BYTES = 256


class DataPublishing:
    """All data tracks of a room."""

    def __init__(self, state: RoomState, announcer: Announcer, subscribing: DataSubscribing) -> None:
        self._state = state
        self._announcer = announcer
        self._subscribing = subscribing
        self._untold: list[DataPublication] = []
        """The others have not heard of them yet: handles for them would mean nothing."""

    # ------------------------------------------------------------ requests

    def publish(self, participant: Participant, request: PublishDataTrack) -> None:
        """`publish_data_track_request`: answered by `publish_data_track_response` or by the reason why not."""
        refusal = self._refusal(participant, request)
        if refusal is not None:
            self._state.refuse(participant, refusal[0], refusal[1], request.echo)
            return
        view = DataTrackView(
            sid=TrackSid(random_sid("DTR_")),
            handle=request.handle,
            name=request.name,
            encryption=request.encryption,
            frame_encoding=request.frame_encoding,
            schema=request.schema,
        )
        up_track = DataUpTrackId(next_id())
        publication = DataPublication(participant, view, up_track, self._state.now.monotonic_s)
        participant.data_publications[view.sid] = publication
        self._state.data_publications[view.sid] = publication
        participant.is_publisher = True
        participant.touch()
        self._state.emit(AddDataUpTrack(up_track, participant.id, view.handle))
        self._state.send((participant,), DataTrackPublished(view))
        self._state.census.note(participant)
        self._announcer.counted()
        self._announcer.changed(participant, to_itself=False)
        self._untold.append(publication)
        self.update_told()

    def _refusal(self, participant: Participant, request: PublishDataTrack) -> tuple[RequestReason, str] | None:
        """In the reference's order, which clients' tests know."""
        settings = self._state.settings.data
        if not participant.permission.can_publish_data or not settings.tracks_enabled:
            return RequestReason.NOT_ALLOWED, "does not have permission to publish data"
        if not 0 < request.handle <= _MAX_HANDLE:
            return RequestReason.INVALID_HANDLE, "handle should be > 0 AND < 65536"
        if not 0 < utf8_bytes(request.name) <= _MAX_NAME_BYTES:
            return RequestReason.INVALID_NAME, "name should not be empty and should not exceed 256 characters"
        schema = request.schema
        encodings = (request.frame_encoding, schema.encoding if schema is not None else None)
        if not all(settings.takes_encoding(encoding) for encoding in encodings):
            return RequestReason.INVALID_REQUEST, "encoding identifier is empty or exceeds the maximum length"
        if schema is not None and utf8_bytes(schema.name) > _MAX_NAME_BYTES:
            return RequestReason.INVALID_REQUEST, "schema name exceeds 256 characters"
        return self._conflict(participant, request)

    def _conflict(self, participant: Participant, request: PublishDataTrack) -> tuple[RequestReason, str] | None:
        """With the data tracks that the participant has."""
        present = participant.data_publications.values()
        for publication in present:
            if publication.view.handle == request.handle:
                return RequestReason.DUPLICATE_HANDLE, "a data track with same handle already exists"
            if publication.view.name == request.name:
                return RequestReason.DUPLICATE_NAME, "a data track with same name already exists"
        if 0 < self._state.settings.data.max_tracks <= len(present):
            return RequestReason.LIMIT_EXCEEDED, "too many data tracks"
        return None

    def unpublish(self, participant: Participant, request: UnpublishDataTrack) -> None:
        """`unpublish_data_track_request`: answered by `unpublish_data_track_response`, or NOT_FOUND."""
        publications = participant.data_publications.values()
        publication = next((p for p in publications if p.view.handle == request.handle), None)
        if publication is None:
            self._state.refuse(participant, RequestReason.NOT_FOUND, "the data track does not exist", request.echo)
        else:
            self._retract(publication)

    def update_told(self) -> None:
        """Participant updates have gone out: of whom the others have heard, the data tracks can be subscribed to."""
        waiting, self._untold = self._untold, []
        for publication in waiting:
            if publication.sid not in self._state.data_publications:
                continue
            if self._announcer.is_told(publication.owner):
                self._subscribing.published(publication)
            else:
                self._untold.append(publication)

    # ------------------------------------------------------------ what befalls a participant

    def participant_joined(self, participant: Participant) -> None:
        """It may want all there is."""
        self._subscribing.participant_joined(participant)

    def participant_left(self, participant: Participant) -> None:
        """All that it gets and offers ends."""
        self._subscribing.participant_left(participant)
        for publication in list(participant.data_publications.values()):
            self._end(publication)

    def permission_changed(self, participant: Participant) -> None:
        """What it may no longer publish ends, what it may no longer get, too (protocol.md §5.5)."""
        if not participant.permission.can_publish_data:
            for publication in list(participant.data_publications.values()):
                self._retract(publication)
        self._subscribing.rights_changed(participant)

    def allowance_changed(self, publisher: Participant) -> None:
        """The publisher has changed its mind on who may subscribe, or has become (in)visible."""
        self._subscribing.allowance_changed(publisher)

    def remind(self, participant: Participant, since_s: float) -> None:
        """It came back and may have heard nothing since then: of its handles, and answers to its requests."""
        published = participant.data_publications.values()
        participant.unheard_data = {p.sid for p in published if p.began_at_s >= since_s}
        self._subscribing.remind(participant)

    def synchronise(self, participant: Participant, known: Collection[TrackSid]) -> None:
        """It knows of these data tracks of its own, so that the answers for others were lost.

        Only those are repeated: SDKs take a second answer for a fault and forget the track (livekit-client 2.23).
        """
        for sid in participant.unheard_data.difference(known):
            publication = participant.data_publications.get(sid)
            if publication is not None:
                self._state.send((participant,), DataTrackPublished(publication.view))
        participant.unheard_data.clear()

    # ------------------------------------------------------------ ends

    def _retract(self, publication: DataPublication) -> None:
        self._end(publication)
        self._state.send((publication.owner,), DataTrackUnpublished(publication.view))
        self._announcer.changed(publication.owner, to_itself=False)

    def _end(self, publication: DataPublication) -> None:
        owner = publication.owner
        self._subscribing.ended(publication)
        del owner.data_publications[publication.sid]
        del self._state.data_publications[publication.sid]
        self._state.emit(CloseDataUpTrack(publication.up_track))
        owner.touch()
