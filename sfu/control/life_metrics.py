"""Life events as metrics: how many rooms, participants and tracks there are and were.

Owns the counting. Never names a metric: that is `sfu.metrics`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu import metrics as names
from sfu.room import effects as fx
from sfu.room.enums import TrackType

if TYPE_CHECKING:
    from sfu.clock import Clock
    from sfu.metrics import Metrics

__all__ = ["LifeMetrics"]

_KINDS = {TrackType.AUDIO: "AUDIO", TrackType.VIDEO: "VIDEO"}


class LifeMetrics:
    """Counts them; an `EventSink`."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock

    def emit(self, event: fx.RoomEvent) -> None:
        """See `EventSink`."""
        add = self._metrics.add
        match event:
            case fx.RoomStarted():
                add(names.ROOMS)
            case fx.RoomFinished():
                add(names.ROOMS, by=-1)
                self._metrics.observe_room_duration(max(0.0, self._clock.wall_s() - event.room.creation_time_ms / 1000))
            case fx.ParticipantJoined():
                add(names.PARTICIPANTS)
                add(names.PARTICIPANT_JOIN, "rtc_active", "")
            case fx.ParticipantLeft():
                add(names.PARTICIPANTS, by=-1)
            case fx.ParticipantAborted():
                add(names.PARTICIPANT_JOIN, "rtc_canceled", "")
            case fx.TrackPublishedEvent():
                kind = _KINDS.get(event.track.type, "DATA")
                add(names.TRACKS_PUBLISHED, kind)
                add(names.TRACK_PUBLISH, kind, "success")
            case fx.TrackUnpublishedEvent():
                add(names.TRACKS_PUBLISHED, _KINDS.get(event.track.type, "DATA"), by=-1)
