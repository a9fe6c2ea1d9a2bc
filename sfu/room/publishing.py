"""From `add_track` to the end of a publication (protocol.md §2.8).

Owns pending, queued and live publications, the mapping of offered m-lines to them, and mute. Never touches
subscriptions itself: `subscribing` does.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from sfu.ids import TrackSid, UpTrackId, next_id, random_sid, track_sid_prefix
from sfu.room.effects import (
    AcceptOffer,
    CloseUpTrack,
    Emit,
    MuteUpTrack,
    TrackPublishedEvent,
    TrackUnpublishedEvent,
)
from sfu.room.enums import AudioFeature, RequestReason, TrackType
from sfu.room.messages import Mute, TrackPublished, TrackUnpublished
from sfu.room.publication import announced

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sfu.room.announcing import Announcer
    from sfu.room.dynacast import Dynacast
    from sfu.room.inputs import (
        AddTrack,
        MuteOwnTrack,
        OfferedMedia,
        OfferReceived,
        UpdateOwnAudioTrack,
        UpdateOwnVideoTrack,
    )
    from sfu.room.messages import RequestEcho
    from sfu.room.participant import Participant
    from sfu.room.publication import Publication
    from sfu.room.speakers import Speakers
    from sfu.room.state import RoomState
    from sfu.room.subscribing import Subscribing

__all__ = ["Publishing"]


class Publishing:
    """All publications of a room."""

    def __init__(
        self,
        state: RoomState,
        announcer: Announcer,
        subscribing: Subscribing,
        speakers: Speakers,
        dynacast: Dynacast,
    ) -> None:
        self._state = state
        self._announcer = announcer
        self._subscribing = subscribing
        self._speakers = speakers
        self._dynacast = dynacast

    # ------------------------------------------------------------ announcements

    def announce(self, participant: Participant, request: AddTrack) -> None:
        """`add_track`: answered at once by `track_published`, or by a refusal."""
        refusal = self._refusal(participant, request)
        if refusal is not None:
            self._state.refuse(participant, refusal[0], refusal[1], request.echo)
        elif any(p.is_known_as(request.cid) for p in participant.publications.values()):
            participant.queued.setdefault(request.cid, deque()).append(request)
            self._state.refuse(participant, RequestReason.QUEUED, "", request.echo)
        else:
            self._add_pending(participant, request)

    def _refusal(self, participant: Participant, request: AddTrack) -> tuple[RequestReason, str] | None:
        if request.sid:
            if request.sid not in participant.publications:
                return RequestReason.NOT_FOUND, "the track does not exist"
            return RequestReason.UNSUPPORTED_TYPE, "backup codecs are not supported"
        if request.type not in (TrackType.AUDIO, TrackType.VIDEO):
            return RequestReason.UNSUPPORTED_TYPE, "only audio and video tracks are published this way"
        if not participant.permission.may_publish(request.source):
            return RequestReason.NOT_ALLOWED, "does not have permission to publish this source"
        waiting = len(participant.pending) + sum(len(queue) for queue in participant.queued.values())
        if waiting >= self._state.settings.max_pending_tracks:
            return RequestReason.LIMIT_EXCEEDED, "too many announced tracks wait for an offer"
        return None

    def _add_pending(self, participant: Participant, request: AddTrack) -> None:
        """A second announcement of a client id that no offer has carried yet replaces the first one."""
        prefix = track_sid_prefix(audio=request.type is TrackType.AUDIO, source=request.source)
        sid = TrackSid(random_sid(prefix))
        publication = announced(participant, request, sid, self._state.enabled_codecs, self._state.now)
        participant.pending.pop(request.cid, None)
        participant.pending[request.cid] = publication
        self._state.send((participant,), TrackPublished(request.cid, publication.view))

    # ------------------------------------------------------------ offers

    def accept(self, participant: Participant, offer: OfferReceived) -> None:
        """Maps the sending m-lines to publications, ends those that are gone, and lets the engine answer."""
        sending = {media.mid: media for media in offer.media if media.sends and media.mime_types}
        pending = list(participant.pending.values())
        started: list[Publication] = []
        for publication in list(participant.publications.values()):
            media = sending.get(publication.mid)
            if media is None or _carries_another(publication, media, pending):
                self.end(publication)
        taken = {publication.mid for publication in participant.publications.values()}
        free = [media for mid, media in sending.items() if mid not in taken]
        for media, publication in _match(free, list(participant.pending.values())):
            self._go_live(publication, media)
            started.append(publication)
        trailer = self._state.sif_trailer
        lines = tuple(p.line(sending[p.mid], trailer) for p in participant.publications.values())
        self._state.emit(AcceptOffer(participant.session.id, participant.transports.publisher, offer.offer_id, lines))
        self._tell_started(participant, started)

    def _go_live(self, publication: Publication, media: OfferedMedia) -> None:
        up_track = UpTrackId(next_id())
        owner = publication.owner
        del owner.pending[publication.cid]
        owner.publications[publication.sid] = publication
        owner.is_publisher = True
        publication.go_live(up_track, media, self._state.enabled_codecs, self._state.now)
        self._state.publications[publication.sid] = publication
        self._state.up_tracks[up_track] = publication

    def _tell_started(self, owner: Participant, started: Sequence[Publication]) -> None:
        if not started:
            return
        self._state.census.note(owner)
        self._announcer.counted()
        self._announcer.changed(owner)
        for publication in started:
            self._subscribing.publication_went_live(publication)
            self._dynacast.began(publication)
            self._state.emit(Emit(TrackPublishedEvent(self._state.view(), owner.view(), publication.view)))

    def media_started(self, up_track: UpTrackId, mime_type: str) -> None:
        """First media: when its codec is not the announced one, what is told of the track is corrected."""
        publication = self._state.up_tracks.get(up_track)
        if publication is not None and publication.view.mime_type != mime_type:
            publication.change(self._state.now, mime_type=mime_type)
            self._announcer.changed(publication.owner)

    # ------------------------------------------------------------ ends

    def end(self, publication: Publication, *, announce: bool = True) -> None:
        """A live publication ends: its m-line stopped sending, or `retract` and `end_all` end it."""
        owner = publication.owner
        if publication.up_track is None or publication.sid not in owner.publications:
            return
        self._speakers.microphone_stopped(publication)
        del owner.publications[publication.sid]
        self._subscribing.publication_ended(publication)
        self._dynacast.ended(publication)
        del self._state.publications[publication.sid]
        del self._state.up_tracks[publication.up_track]
        self._state.emit(CloseUpTrack(publication.up_track))
        owner.touch()
        self._state.emit(Emit(TrackUnpublishedEvent(self._state.view(), owner.view(), publication.view)))
        if announce:
            self._announcer.changed(owner, to_itself=False)
            self._announce_queued(owner, publication)

    def retract(self, participant: Participant, publication: Publication) -> None:
        """The server ends a publication; the client hears `track_unpublished`."""
        self.end(publication)
        self._state.send((participant,), TrackUnpublished(publication.sid))

    def end_forbidden(self, participant: Participant) -> None:
        """Permissions were taken: everything that may no longer be published ends (protocol.md §5.5)."""
        may = participant.permission.may_publish
        participant.queued = {
            cid: kept for cid, queue in participant.queued.items() if (kept := deque(r for r in queue if may(r.source)))
        }
        for cid, publication in list(participant.pending.items()):
            if not may(publication.view.source):
                del participant.pending[cid]
                self._state.send((participant,), TrackUnpublished(publication.sid))
        for publication in list(participant.publications.values()):
            if not may(publication.view.source):
                self.retract(participant, publication)

    def end_all(self, participant: Participant) -> None:
        """The participant leaves."""
        participant.pending.clear()
        participant.queued.clear()
        for publication in list(participant.publications.values()):
            self.end(publication, announce=False)

    def _announce_queued(self, owner: Participant, ended: Publication) -> None:
        for cid in [cid for cid in owner.queued if ended.is_known_as(cid)]:
            queue = owner.queued[cid]
            self._add_pending(owner, queue.popleft())
            if not queue:
                del owner.queued[cid]

    # ------------------------------------------------------------ changes of a track

    def mute_own(self, participant: Participant, request: MuteOwnTrack) -> None:
        """`mute` from the publisher; announced tracks count too."""
        publication = self._own(participant, request.track_sid)
        if publication is None:
            self._not_found(participant, request.echo)
        else:
            publication.muted_by_server = False
            self._set_muted(publication, muted=request.muted)

    def mute_by_server(self, publication: Publication, *, muted: bool) -> None:
        """An administrator mutes or unmutes: the client is told to follow."""
        if publication.view.muted != muted:
            self._state.send((publication.owner,), Mute(publication.sid, muted))
            publication.muted_by_server = muted
            self._set_muted(publication, muted=muted)

    def update_audio(self, participant: Participant, request: UpdateOwnAudioTrack) -> None:
        """`update_audio_track`: the features replace those before."""
        publication = self._own(participant, request.track_sid)
        if publication is None or publication.type is not TrackType.AUDIO:
            self._not_found(participant, request.echo)
            return
        features = tuple(sorted(set(request.features)))
        publication.change(
            self._state.now,
            audio_features=features,
            stereo=int(AudioFeature.STEREO) in features,
            disable_dtx=int(AudioFeature.NO_DTX) in features,
        )
        self._tell_changed(publication)

    def update_video(self, participant: Participant, request: UpdateOwnVideoTrack) -> None:
        """`update_video_track`: new dimensions."""
        publication = self._own(participant, request.track_sid)
        if publication is None or publication.type is not TrackType.VIDEO:
            self._not_found(participant, request.echo)
            return
        publication.change(self._state.now, width=request.width, height=request.height)
        self._subscribing.layers_changed(publication)
        self._tell_changed(publication)

    def _own(self, participant: Participant, sid: TrackSid) -> Publication | None:
        live = participant.publications.get(sid)
        return live or next((p for p in participant.pending.values() if p.sid == sid), None)

    def _not_found(self, participant: Participant, echo: RequestEcho | None) -> None:
        self._state.refuse(participant, RequestReason.NOT_FOUND, "the track does not exist", echo)

    def _set_muted(self, publication: Publication, *, muted: bool) -> None:
        if publication.view.muted == muted:
            return
        publication.change(self._state.now, muted=muted)
        if publication.up_track is not None:
            self._state.emit(MuteUpTrack(publication.up_track, muted))
            if muted:
                self._speakers.microphone_stopped(publication)
            self._dynacast.muted_changed(publication)
        self._tell_changed(publication)

    def _tell_changed(self, publication: Publication) -> None:
        if publication.up_track is not None:
            self._announcer.changed(publication.owner)


def _carries_another(publication: Publication, media: OfferedMedia, pending: Iterable[Publication]) -> bool:
    """Whether the line was given to another announced track without having been idle in between."""
    if media.type is not publication.type:
        return True
    if not media.track_id or media.track_id == publication.sdp_track_id:
        return False
    return any(p.is_known_as(media.track_id) or p.is_known_as(media.stream_id) for p in pending)


def _match(free: Sequence[OfferedMedia], pending: Sequence[Publication]) -> list[tuple[OfferedMedia, Publication]]:
    """Lines and the announced tracks they carry: by the client's names first, in the order of offer and announcement
    for the lines whose names a browser has rewritten (protocol.md §2.8)."""
    left = list(pending)
    matches: dict[str, tuple[OfferedMedia, Publication]] = {}
    for name_of in (lambda media: media.track_id, lambda media: media.stream_id, lambda _: None):
        for media in free:
            if media.mid in matches:
                continue
            name = name_of(media)
            found = next((p for p in left if p.type is media.type and (name is None or p.is_known_as(name))), None)
            if found is not None:
                left.remove(found)
                matches[media.mid] = (media, found)
    return [matches[media.mid] for media in free if media.mid in matches]
