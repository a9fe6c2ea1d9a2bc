"""What all parts of a room share: its tables, its deadlines and the effects of the change under way.

Owns lookup and the order of effects. Never decides: the collaborators do (`membership`, `publishing`, `subscribing` …).
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from sfu.ids import DownTrackId, ParticipantId, RoomId, RoomSid, SessionId, TrackSid, TransportId, UpTrackId, random_sid
from sfu.room.census import Census
from sfu.room.codecs import canonical_mimes
from sfu.room.departures import Departures
from sfu.room.effects import Effect, RefreshToken, Send
from sfu.room.messages import Message, RequestEcho, RequestResponse
from sfu.room.timers import TimerKind, Timers
from sfu.room.views import RoomView

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sfu.room.data_publication import DataPublication
    from sfu.room.enums import RequestReason
    from sfu.room.inputs import Resume
    from sfu.room.participant import Participant
    from sfu.room.publication import Publication
    from sfu.room.settings import Now, RoomSettings
    from sfu.room.subscription import Subscription

__all__ = ["RoomState"]

_SIF_TRAILER_BYTES = 16


class RoomState:
    """Tables of one room, and the list of effects that the change under way has produced."""

    def __init__(self, name: str, settings: RoomSettings, room_id: RoomId, now: Now) -> None:
        self.name = name
        self.id = room_id
        self.sid = RoomSid(random_sid("RM_"))
        self.settings = settings
        self.enabled_codecs = canonical_mimes(settings.enabled_codecs)
        self.metadata = settings.metadata
        self.sif_trailer = secrets.token_bytes(_SIF_TRAILER_BYTES)
        """Ends frames that the server injects, so that clients with end-to-end encryption drop them."""
        self.created_at = now
        self.now = now
        self.timers = Timers()
        self.census = Census()
        self.departures = Departures()
        self.participants: dict[ParticipantId, Participant] = {}
        self.by_identity: dict[str, Participant] = {}
        self.by_session: dict[SessionId, Participant] = {}
        self.by_transport: dict[TransportId, Participant] = {}
        self.publications: dict[TrackSid, Publication] = {}
        """Live ones."""
        self.up_tracks: dict[UpTrackId, Publication] = {}
        self.down_tracks: dict[DownTrackId, Subscription] = {}
        self.data_publications: dict[TrackSid, DataPublication] = {}
        self.data_blobs_bytes = 0
        """Keys and contents of all blobs of those who are here."""
        self.returning: dict[ParticipantId, Resume] = {}
        """Clients that came back, until the engine has said what they need not send again."""
        self.tcp_only: dict[str, None] = {}
        """Identities that want no UDP, the last ones to say so; in the order in which they did."""
        self._effects: list[Effect] = []

    # ------------------------------------------------------------ effects

    def emit(self, effect: Effect) -> None:
        """Adds to what the change under way wants done."""
        self._effects.append(effect)

    def drain(self) -> list[Effect]:
        """Takes all effects, in order."""
        effects, self._effects = self._effects, []
        return effects

    def send(self, receivers: Iterable[Participant], message: Message) -> None:
        """One message to those of the receivers that can be reached."""
        sessions = tuple(receiver.session.id for receiver in receivers if not receiver.session.lost)
        if sessions:
            self.emit(Send(sessions, message))

    def refuse(
        self,
        participant: Participant,
        reason: RequestReason,
        message: str,
        echo: RequestEcho | None,
        request_id: int = 0,
    ) -> None:
        """Tells a client why its request was not carried out."""
        self.send((participant,), RequestResponse(reason, message, request_id, echo))

    def refresh_token(self, participant: Participant) -> None:
        """A new token with the current claims, and a deadline for the next one."""
        if not participant.reachable:
            return
        self.emit(RefreshToken(participant.session.id, participant.current_claims()))
        if self.settings.token_refresh_s > 0:
            due_s = self.now.monotonic_s + self.settings.token_refresh_s
            self.timers.set(TimerKind.TOKEN, due_s, participant.id)

    # ------------------------------------------------------------ views

    def view(self) -> RoomView:
        """The room's `Room`."""
        totals = self.census.totals()
        return RoomView(
            sid=self.sid,
            name=self.name,
            empty_timeout_s=self.settings.empty_timeout_s,
            departure_timeout_s=self.settings.departure_timeout_s,
            max_participants=self.settings.max_participants,
            creation_time_ms=self.created_at.wall_ms,
            enabled_codecs=self.enabled_codecs,
            metadata=self.metadata,
            num_participants=totals.participants,
            num_publishers=totals.publishers,
            active_recording=totals.recording,
        )
