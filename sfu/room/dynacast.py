"""Tells publishers which of their layers somebody watches, so that they may pause the others (protocol.md §4.5), and
which of their codecs somebody needs, so that they begin to send it (§4.10).

Owns what each publisher was told last. Better is told at once, worse after a delay: people scroll. Never decides what
a subscriber gets: that is `subscribing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.room.enums import TrackType, VideoQuality
from sfu.room.layers import quality_of
from sfu.room.messages import SubscribedCodec, SubscribedQualityUpdate
from sfu.room.published_codec import QUALITIES, PublishedCodec
from sfu.room.timers import TimerKind

if TYPE_CHECKING:
    from sfu.ids import TrackSid
    from sfu.room.participant import Participant
    from sfu.room.publication import Publication
    from sfu.room.state import RoomState
    from sfu.room.subscription import Subscription

__all__ = ["Dynacast"]

_FIRST_S = 10.0
"""A publication that nobody ever watched is told so this long after it began."""
_AGAIN_S = 2.5
"""Wait, from the first media on, before a publisher hears once more what it heard before: livekit-client knows its
track only when it has taken our answer, and forgets what it was told of it earlier."""
_FIRST_ASK_S, _LAST_ASK_S = 0.5, 30.0
"""Wait before a publisher is asked again for a backup; doubles. Clients miss what is said before they published."""
_Watched = dict[PublishedCodec, VideoQuality]


class Dynacast:
    """The watched qualities of a room's video."""

    def __init__(self, state: RoomState) -> None:
        self._state = state

    def began(self, publication: Publication) -> None:
        """A publication went live: its publisher hears at the latest in ten seconds whether anybody watches."""
        if publication.type is TrackType.VIDEO:
            self._set_timer(publication, _FIRST_S)
            self._look(publication)

    def media_started(self, publication: Publication, codec: PublishedCodec) -> None:
        """First media of a codec: with its own one the publisher knows its track, and misses nothing from now on."""
        if publication.type is TrackType.VIDEO and codec is publication.codecs[0]:
            due_s = self._state.now.monotonic_s + _AGAIN_S
            self._state.timers.set(TimerKind.DYNACAST_AGAIN, due_s, publication.owner.id, publication.sid)

    def ended(self, publication: Publication) -> None:
        """A publication is no more."""
        for kind in (TimerKind.BACKUP, TimerKind.DYNACAST, TimerKind.DYNACAST_AGAIN):
            self._state.timers.cancel(kind, publication.owner.id, publication.sid)

    def changed(self, subscription: Subscription) -> None:
        """What one subscriber is to get may have changed."""
        publication = subscription.publication
        if publication is not None and publication.type is TrackType.VIDEO:
            _count(subscription, publication)
            self._look(publication)

    def layers_changed(self, publication: Publication) -> None:
        """The same quality may be another layer now, for all subscribers."""
        if publication.type is TrackType.VIDEO:
            for subscription in publication.subscriptions.values():
                _count(subscription, publication)
            self._look(publication)

    def _look(self, publication: Publication) -> None:
        """Tells the publisher what is news to it; nothing during its mute."""
        if publication.type is not TrackType.VIDEO or publication.view.muted or not publication.codecs:
            return
        told, watched = publication.told_qualities, _watched(publication)
        if any(_rank(quality) > _rank(told.get(codec, VideoQuality.OFF)) for codec, quality in watched.items()):
            self._tell(publication, watched)
        elif not told:
            return
        elif watched == told:
            self._cancel(publication)
        elif not self._state.timers.is_set(TimerKind.DYNACAST, publication.owner.id, publication.sid):
            self._set_timer(publication, self._state.settings.dynacast_pause_delay_s)

    def muted_changed(self, publication: Publication) -> None:
        """Unmuted, the publisher hears how things stand, also when that is what it heard before."""
        if publication.codecs and publication.type is TrackType.VIDEO and not publication.view.muted:
            self._tell(publication, _watched(publication))

    def remind(self, publisher: Participant) -> None:
        """The publisher may have missed something (it resumed): it hears how all of its tracks stand."""
        for publication in publisher.publications.values():
            if publication.told_qualities:
                self.muted_changed(publication)

    def expired(self, sid: TrackSid) -> None:
        """The delay is over: what is true now is told."""
        publication = self._state.publications.get(sid)
        if publication is None or publication.view.muted:
            return
        watched = _watched(publication)
        if publication.told_qualities != watched:
            self._tell(publication, watched)

    def _tell(self, publication: Publication, watched: _Watched) -> None:
        self._cancel(publication)
        publication.told_qualities = watched
        self._say(publication)
        missing = _missing(publication)
        if missing and not self._state.timers.is_set(TimerKind.BACKUP, publication.owner.id, publication.sid):
            delay_s = min(_FIRST_ASK_S * 2 ** min(codec.asked for codec in missing), _LAST_ASK_S)
            due_s = self._state.now.monotonic_s + delay_s
            self._state.timers.set(TimerKind.BACKUP, due_s, publication.owner.id, publication.sid)

    def again_expired(self, sid: TrackSid) -> None:
        """What a publisher was told may have come too early: it is said again, where it is not to send everything."""
        publication = self._state.publications.get(sid)
        if publication is None or publication.view.muted or not publication.told_qualities:
            return
        if publication.told_qualities[publication.codecs[0]] is not VideoQuality.HIGH:
            self._say(publication)

    def _say(self, publication: Publication) -> None:
        codecs = tuple(_subscribed(codec, quality) for codec, quality in publication.told_qualities.items())
        self._state.send((publication.owner,), SubscribedQualityUpdate(publication.sid, codecs))

    def backup_expired(self, sid: TrackSid) -> None:
        """A publisher was asked for a backup: if it does nothing, it is asked again."""
        publication = self._state.publications.get(sid)
        if publication is None or publication.view.muted:
            return
        missing = _missing(publication)
        for codec in missing:
            codec.asked += 1
        if missing:
            self._tell(publication, _watched(publication))

    def _set_timer(self, publication: Publication, delay_s: float) -> None:
        due_s = self._state.now.monotonic_s + delay_s
        self._state.timers.set(TimerKind.DYNACAST, due_s, publication.owner.id, publication.sid)

    def _cancel(self, publication: Publication) -> None:
        self._state.timers.cancel(TimerKind.DYNACAST, publication.owner.id, publication.sid)


def _count(subscription: Subscription, publication: Publication) -> None:
    """Counted and never searched for: in a large room everybody watches everybody."""
    gets = VideoQuality.OFF
    if subscription.down_track is not None and subscription.enabled:
        gets = quality_of(subscription.layered_view(publication), subscription.limit())
    for codec, quality, change in ((subscription.counted, subscription.gets, -1), (subscription.codec, gets, +1)):
        if codec is not None and quality is not VideoQuality.OFF:
            codec.watchers[quality] += change
    subscription.counted, subscription.gets = subscription.codec, gets


def _watched(publication: Publication) -> _Watched:
    """What is watched of each codec; of a backup only once it was."""
    own, *backups = publication.codecs
    watched = {own: own.watched_quality()}
    for codec in backups:
        quality = codec.watched_quality()
        if quality is not VideoQuality.OFF or codec in publication.told_qualities:
            watched[codec] = quality
    return watched


def _missing(publication: Publication) -> list[PublishedCodec]:
    """Backups that its publisher was asked for, and of which it has said nothing."""
    told = publication.told_qualities.items()
    return [c for c, quality in told if quality is not VideoQuality.OFF and not c.live and not c.expected]


def _subscribed(codec: PublishedCodec, watched: VideoQuality) -> SubscribedCodec:
    enabled = tuple(quality for quality in QUALITIES if _rank(quality) <= _rank(watched))
    return SubscribedCodec(codec.mime_type.partition("/")[2].lower(), enabled)


def _rank(quality: VideoQuality) -> int:
    return -1 if quality is VideoQuality.OFF else int(quality)
