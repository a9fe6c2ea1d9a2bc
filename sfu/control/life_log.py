"""One line in the log for each life event of rooms, participants and tracks.

Owns the wording. `participant joined` is when media is connected; a refused join is logged at the edge. Never decides
what an event is: rooms emit them. `EventFan` hands one event to several listeners.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from sfu.room import effects as fx

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfu.control.sinks import EventSink

__all__ = ["EventFan", "LifeLog"]

_log = structlog.stdlib.get_logger("plenum.life")

_PHRASES: dict[type[fx.RoomEvent], str] = {
    fx.RoomStarted: "room started",
    fx.RoomFinished: "room finished",
    fx.ParticipantJoined: "participant joined",
    fx.ParticipantResumed: "participant resumed",
    fx.ParticipantLeft: "participant left",
    fx.ParticipantAborted: "participant gave up joining",
    fx.TrackPublishedEvent: "track published",
    fx.TrackUnpublishedEvent: "track unpublished",
}


class LifeLog:
    """Writes them down."""

    def emit(self, event: fx.RoomEvent) -> None:
        """See `EventSink`."""
        bound: dict[str, object] = {"room": event.room.name, "room_sid": event.room.sid}
        match event:
            case fx.RoomStarted():
                pass
            case fx.RoomFinished():
                bound["reason"] = event.reason.name
            case fx.TrackPublishedEvent() | fx.TrackUnpublishedEvent():
                track = event.track
                bound.update(participant=event.participant.identity, participant_sid=event.participant.sid)
                bound.update(track=track.sid, type=track.type.name, source=track.source.name, mime_type=track.mime_type)
            case fx.ParticipantJoined():
                bound.update(participant=event.participant.identity, participant_sid=event.participant.sid)
                bound.update(kind=event.participant.kind.name, sdk=event.sdk, version=event.version)
                bound["path"] = "/rtc/v1" if event.single_peer_connection else "/rtc"
                bound["media"] = "tcp" if event.tcp else "udp"
            case fx.ParticipantResumed():
                bound.update(participant=event.participant.identity, participant_sid=event.participant.sid)
            case fx.ParticipantLeft() | fx.ParticipantAborted():
                bound.update(participant=event.participant.identity, participant_sid=event.participant.sid)
                bound["reason"] = event.participant.disconnect_reason.name
        _log.info(_PHRASES[type(event)], **bound)


class EventFan:
    """Several listeners as one, in order."""

    def __init__(self, sinks: Sequence[EventSink]) -> None:
        self._sinks = tuple(sinks)

    def emit(self, event: fx.RoomEvent) -> None:
        """See `EventSink`."""
        for sink in self._sinks:
            sink.emit(event)
