"""From `add_track` to the end of a publication (protocol.md §2.8).

Owns pending, queued and live publications, the mapping of offered m-lines to them, and mute. Never touches
subscriptions itself: `subscribing` does.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from sfu.ids import TrackSid, UpTrackId, random_sid, track_sid_prefix
from sfu.room.codecs import has_codec_for, mime_of
from sfu.room.devices import disabled_codecs
from sfu.room.effects import (
    AcceptOffer,
    CloseUpTrack,
    Emit,
    MuteUpTrack,
    TrackPublishedEvent,
    TrackUnpublishedEvent,
)
from sfu.room.enums import AudioFeature, RequestReason, TrackType
from sfu.room.line_matching import carries_another, match_lines
from sfu.room.messages import Mute, TrackPublished, TrackUnpublished
from sfu.room.publication import Publication, announced
from sfu.room.texts import MAX_TEXT_BYTES, overlong_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    from sfu.room.line_matching import Announced
    from sfu.room.messages import RequestEcho
    from sfu.room.participant import Participant
    from sfu.room.published_codec import PublishedCodec
    from sfu.room.speakers import Speakers
    from sfu.room.state import RoomState
    from sfu.room.subscribing import Subscribing
    from sfu.room.views import LayerView

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
        elif request.sid:
            self._expect_backup(participant, request)
        elif any(p.is_known_as(request.cid) for p in participant.publications.values()):
            participant.queued.setdefault(request.cid, deque()).append(request)
            self._state.refuse(participant, RequestReason.QUEUED, "", request.echo)
        else:
            self._add_pending(participant, request)

    def _refusal(self, participant: Participant, request: AddTrack) -> tuple[RequestReason, str] | None:
        if (text := overlong_text(request)) is not None:
            return RequestReason.LIMIT_EXCEEDED, f"{text} exceeds {MAX_TEXT_BYTES} bytes"
        if request.sid:
            return self._refusal_of_backup(participant, request)
        if request.type not in (TrackType.AUDIO, TrackType.VIDEO):
            return RequestReason.UNSUPPORTED_TYPE, "only audio and video tracks are published this way"
        if not participant.permission.may_publish(request.source):
            return RequestReason.NOT_ALLOWED, "does not have permission to publish this source"
        if not has_codec_for(request.type, self._state.enabled_codecs):
            return RequestReason.UNSUPPORTED_TYPE, f"no {request.type.name.lower()} codec is enabled in this room"
        waiting = len(participant.pending) + sum(len(queue) for queue in participant.queued.values())
        if waiting >= self._state.settings.max_pending_tracks:
            return RequestReason.LIMIT_EXCEEDED, "too many announced tracks wait for an offer"
        if 0 < self._state.settings.max_tracks <= waiting + len(participant.publications):
            return RequestReason.LIMIT_EXCEEDED, "too many tracks"
        return None

    def _refusal_of_backup(self, participant: Participant, request: AddTrack) -> tuple[RequestReason, str] | None:
        publication = participant.publications.get(TrackSid(request.sid))
        if publication is None:
            return RequestReason.NOT_FOUND, "the track does not exist"
        if not _backups_named(publication, request):
            return RequestReason.UNSUPPORTED_TYPE, "the track was not announced with this codec as a backup"
        return None

    def _expect_backup(self, participant: Participant, request: AddTrack) -> None:
        """`add_track` with a sid: the next offer carries a live publication in another codec, too."""
        publication = participant.publications[TrackSid(request.sid)]
        expected = [backup for backup in _backups_named(publication, request) if not backup[0].live]
        for codec, cid, layers in expected:
            publication.expect(codec, cid, layers, self._state.now)
        self._state.send((participant,), TrackPublished(request.cid, publication.view))
        if expected:
            self._announcer.changed(participant, to_itself=False)

    def _add_pending(self, participant: Participant, request: AddTrack) -> None:
        """A second announcement of a client id that no offer has carried yet replaces the first one."""
        prefix = track_sid_prefix(audio=request.type is TrackType.AUDIO, source=request.source)
        sid = TrackSid(random_sid(prefix))
        publication = announced(participant, request, sid, self._enabled(participant), self._state.now)
        participant.pending.pop(request.cid, None)
        participant.pending[request.cid] = publication
        self._state.send((participant,), TrackPublished(request.cid, publication.view))

    # ------------------------------------------------------------ offers

    def accept(self, participant: Participant, offer: OfferReceived) -> None:
        """Maps the sending m-lines to publications, ends those that are gone, and lets the engine answer."""
        self._subscribing.codecs_offered(participant, offer.media)
        sending = {media.mid: media for media in offer.media if media.sends and media.mime_types}
        ended = self._end_unsent(participant, sending)
        taken = {codec.mid for publication in participant.publications.values() for codec in publication.live_codecs()}
        free = [media for mid, media in sending.items() if mid not in taken]
        started: list[Publication] = []
        has_backup = False
        for media, found in match_lines(free, _announced(participant)):
            if isinstance(found, Publication):
                self._go_live(found, media)
                started.append(found)
            else:
                self._carry(participant, found, media)
                has_backup = True
        own, trailer = participant.publications.values(), self._state.sif_trailer
        lines = tuple(line for publication in own for line in publication.lines(sending, trailer))
        self._state.emit(AcceptOffer(participant.session.id, participant.transports.publisher, offer.offer_id, lines))
        self._refuse_unusable(participant, offer)
        self._tell_started(participant, started)
        if (has_backup or ended) and not started:
            self._announcer.changed(participant)

    def _refuse_unusable(self, participant: Participant, offer: OfferReceived) -> None:
        """Lines without any codec that the room allows: what they were to carry is not published, and that is said."""
        for media in offer.media:
            for publication in list(participant.pending.values()):
                is_named = publication.is_known_as(media.track_id) or publication.is_known_as(media.stream_id)
                if media.sends and not media.mime_types and is_named:
                    del participant.pending[publication.cid]
                    self._state.send((participant,), TrackUnpublished(publication.sid))

    def _end_unsent(self, participant: Participant, sending: Mapping[str, OfferedMedia]) -> bool:
        """Ends what its line carries no more: publications, and backups of those that stay. Whether a backup ended."""
        has_ended = False
        announced = _announced(participant)
        for publication in list(participant.publications.values()):
            own, *backups = publication.codecs
            if _is_gone(own, sending, announced):
                self.end(publication)
                continue
            for codec in backups:
                if codec.live and _is_gone(codec, sending, announced):
                    self._end_backup(publication, codec)
                    has_ended = True
        return has_ended

    def _end_backup(self, publication: Publication, codec: PublishedCodec) -> None:
        closed = publication.drop(codec, self._state.now)
        del self._state.up_tracks[closed]
        self._subscribing.codec_ended(publication, codec)
        self._state.emit(CloseUpTrack(closed))

    def _enabled(self, owner: Participant) -> tuple[str, ...]:
        """The room's codecs, without those that this client shall not publish."""
        disabled = disabled_codecs(owner.session.client)
        return tuple(mime for mime in self._state.enabled_codecs if mime not in disabled)

    def _go_live(self, publication: Publication, media: OfferedMedia) -> None:
        owner = publication.owner
        del owner.pending[publication.cid]
        owner.publications[publication.sid] = publication
        owner.is_publisher = True
        publication.go_live(media, self._enabled(owner), self._state.now)
        self._state.publications[publication.sid] = publication
        self._state.up_tracks[publication.codecs[0].up_track] = publication

    def _carry(self, owner: Participant, codec: PublishedCodec, media: OfferedMedia) -> None:
        """A backup that was asked for has its line."""
        publication = next(p for p in owner.publications.values() if codec in p.codecs)
        publication.carry(codec, media, self._state.now)
        self._state.up_tracks[codec.up_track] = publication

    def _tell_started(self, owner: Participant, started: Sequence[Publication]) -> None:
        if not started:
            return
        self._state.census.note(owner)
        self._announcer.counted()
        self._announcer.changed(owner, at_once=True)  # clients drop media of whom they do not know
        for publication in started:
            self._subscribing.publication_went_live(publication)
            self._dynacast.began(publication)
            self._state.emit(Emit(TrackPublishedEvent(self._state.view(), owner.view(), publication.view)))

    def media_started(self, up_track: UpTrackId, mime_type: str) -> None:
        """First media: when its codec is not the announced one, what is told of the track is corrected."""
        publication = self._state.up_tracks.get(up_track)
        codec = next((c for c in publication.codecs if c.up_track == up_track), None) if publication else None
        if publication is None or codec is None:
            return
        if publication.view_of(codec).mime_type != mime_type:
            codec.mime_type = mime_type
            publication.change_codec(codec, self._state.now, mime_type=mime_type)
            self._announcer.changed(publication.owner)
            self._subscribing.codecs_changed(publication)
        self._subscribing.codec_started(publication, codec)
        self._dynacast.media_started(publication, codec)

    # ------------------------------------------------------------ ends

    def end(self, publication: Publication, *, announce: bool = True) -> None:
        """A live publication ends: its m-line stopped sending, or `retract` and `end_all` end it."""
        owner = publication.owner
        if publication.sid not in owner.publications:
            return
        self._speakers.microphone_stopped(publication)
        del owner.publications[publication.sid]
        self._subscribing.publication_ended(publication)
        self._dynacast.ended(publication)
        del self._state.publications[publication.sid]
        for codec in publication.live_codecs():
            del self._state.up_tracks[codec.up_track]
            self._state.emit(CloseUpTrack(codec.up_track))
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
        if publication.codecs:
            for codec in publication.live_codecs():
                self._state.emit(MuteUpTrack(codec.up_track, muted))
            if muted:
                self._speakers.microphone_stopped(publication)
            else:
                self._subscribing.unmuted(publication)
            self._dynacast.muted_changed(publication)
        self._tell_changed(publication)

    def _tell_changed(self, publication: Publication) -> None:
        if publication.codecs:
            self._announcer.changed(publication.owner)


def _announced(participant: Participant) -> list[Publication | PublishedCodec]:
    """What the lines of its next offer may carry: backups that it was asked for, and pending publications."""
    backups = [codec for p in participant.publications.values() for codec in p.codecs if codec.expected]
    return [*backups, *participant.pending.values()]


def _is_gone(codec: PublishedCodec, sending: Mapping[str, OfferedMedia], announced: Sequence[Announced]) -> bool:
    """Whether its line carries it no more."""
    media = sending.get(codec.mid)
    return media is None or carries_another(codec, media, announced)


def _backups_named(
    publication: Publication, request: AddTrack
) -> list[tuple[PublishedCodec, str, tuple[LayerView, ...]]]:
    """Which of the publication's backups an `add_track` is about, each with the client's name and its layers."""
    named = {mime_of(request.type, offered.codec): offered for offered in request.codecs}
    found = ((codec, named[codec.mime_type]) for codec in publication.codecs[1:] if codec.mime_type in named)
    return [(codec, offered.cid or request.cid, offered.layers or request.layers) for codec, offered in found]
