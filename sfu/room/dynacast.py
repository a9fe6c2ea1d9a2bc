"""Tells publishers which of their layers somebody watches, so that they may pause the others (protocol.md §4.5).

Owns what each publisher was told last. Better is told at once, worse after a delay: people scroll. Never decides what
a subscriber gets: that is `subscribing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.room.enums import TrackType, VideoQuality
from sfu.room.layers import quality_of
from sfu.room.messages import SubscribedCodec, SubscribedQualityUpdate
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
_QUALITIES = (VideoQuality.LOW, VideoQuality.MEDIUM, VideoQuality.HIGH)


class Dynacast:
    """The watched qualities of a room's video."""

    def __init__(self, state: RoomState) -> None:
        self._state = state

    def began(self, publication: Publication) -> None:
        """A publication went live: its publisher hears at the latest in ten seconds whether anybody watches."""
        if publication.type is TrackType.VIDEO:
            self._set_timer(publication, _FIRST_S)
            self._look(publication)

    def ended(self, publication: Publication) -> None:
        """A publication is no more."""
        self._state.timers.cancel(TimerKind.DYNACAST, publication.owner.id, publication.sid)

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
        if publication.type is not TrackType.VIDEO or publication.view.muted or publication.up_track is None:
            return
        told, watched = publication.told_quality, watched_quality(publication)
        if told is None:
            if watched is not VideoQuality.OFF:
                self._tell(publication, watched)
        elif _rank(watched) > _rank(told):
            self._tell(publication, watched)
        elif watched is told:
            self._cancel(publication)
        elif not self._state.timers.is_set(TimerKind.DYNACAST, publication.owner.id, publication.sid):
            self._set_timer(publication, self._state.settings.dynacast_pause_delay_s)

    def muted_changed(self, publication: Publication) -> None:
        """Unmuted, the publisher hears how things stand, also when that is what it heard before."""
        if publication.up_track is not None and publication.type is TrackType.VIDEO and not publication.view.muted:
            self._tell(publication, watched_quality(publication))

    def remind(self, publisher: Participant) -> None:
        """The publisher may have missed something (it resumed): it hears how all of its tracks stand."""
        for publication in publisher.publications.values():
            if publication.told_quality is not None:
                self.muted_changed(publication)

    def expired(self, sid: TrackSid) -> None:
        """The delay is over: what is true now is told."""
        publication = self._state.publications.get(sid)
        if publication is None or publication.view.muted:
            return
        watched = watched_quality(publication)
        if publication.told_quality is not watched:
            self._tell(publication, watched)

    def _tell(self, publication: Publication, watched: VideoQuality) -> None:
        self._cancel(publication)
        publication.told_quality = watched
        enabled = tuple(quality for quality in _QUALITIES if quality <= watched) if _rank(watched) >= 0 else ()
        codec = publication.view.mime_type.partition("/")[2].lower()
        update = SubscribedQualityUpdate(publication.sid, (SubscribedCodec(codec, enabled),))
        self._state.send((publication.owner,), update)

    def _set_timer(self, publication: Publication, delay_s: float) -> None:
        due_s = self._state.now.monotonic_s + delay_s
        self._state.timers.set(TimerKind.DYNACAST, due_s, publication.owner.id, publication.sid)

    def _cancel(self, publication: Publication) -> None:
        self._state.timers.cancel(TimerKind.DYNACAST, publication.owner.id, publication.sid)


def _count(subscription: Subscription, publication: Publication) -> None:
    """Counted and never searched for: in a large room everybody watches everybody."""
    gets = VideoQuality.OFF
    if subscription.down_track is not None and subscription.enabled:
        gets = quality_of(publication.view, subscription.limit())
    for quality, change in ((subscription.gets, -1), (gets, +1)):
        if quality is not VideoQuality.OFF:
            publication.watchers[quality] += change
    subscription.gets = gets


def watched_quality(publication: Publication) -> VideoQuality:
    """The best quality that any subscriber is to get; `OFF` when none gets anything."""
    watched = (quality for quality in reversed(_QUALITIES) if publication.watchers[quality] > 0)
    return next(watched, VideoQuality.OFF)


def _rank(quality: VideoQuality) -> int:
    return -1 if quality is VideoQuality.OFF else int(quality)
