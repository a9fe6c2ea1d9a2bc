"""How participants come, become active and go, and when the room itself ends (protocol.md §2.3, §5.1–§5.4).

Owns the life of participants and of the room. Never touches tracks itself: `publishing` and `subscribing` do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from auth.grants import VideoGrants
from sfu.ids import ParticipantId, ParticipantSid, TransportId, next_id, random_sid
from sfu.room.codecs import publish_order
from sfu.room.devices import disabled_codecs
from sfu.room.effects import (
    AddEngineParticipant,
    AllowPause,
    CloseSession,
    DropSession,
    Emit,
    OpenTransport,
    ParticipantAborted,
    ParticipantJoined,
    ParticipantLeft,
    RemoveEngineParticipant,
    RoomFinished,
    Send,
)
from sfu.room.enums import DisconnectReason, LeaveAction, ParticipantState
from sfu.room.messages import Joined, Leave
from sfu.room.participant import Participant, Transports
from sfu.room.permissions import exceeded_limit, is_dependent, kind_details_of, kind_of, permission_of
from sfu.room.session import Session
from sfu.room.timers import TimerKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sfu.room.announcing import Announcer
    from sfu.room.data_publishing import DataPublishing
    from sfu.room.inputs import Join
    from sfu.room.publishing import Publishing
    from sfu.room.state import RoomState
    from sfu.room.subscribing import Subscribing
    from sfu.room.views import PermissionView

__all__ = ["Membership", "leave_for"]

_COME_BACK = frozenset(
    {
        DisconnectReason.STATE_MISMATCH,
        DisconnectReason.SIGNAL_CLOSE,
        DisconnectReason.CONNECTION_TIMEOUT,
        DisconnectReason.MEDIA_FAILURE,
        DisconnectReason.MIGRATION,
    }
)
_OWN_REASONS = frozenset(
    {
        DisconnectReason.CLIENT_INITIATED,
        DisconnectReason.USER_UNAVAILABLE,
        DisconnectReason.USER_REJECTED,
        DisconnectReason.AGENT_ERROR,
    }
)
_FAILURES = {
    "ice_timeout": DisconnectReason.CONNECTION_TIMEOUT,
    "dtls": DisconnectReason.MEDIA_FAILURE,
    "closed_by_peer": DisconnectReason.SIGNAL_CLOSE,
    "fault": DisconnectReason.MEDIA_FAILURE,
}

_PARTICIPANT_TIMERS = (
    TimerKind.JOIN,
    TimerKind.TOKEN,
    TimerKind.TRANSPORT_CLOSED,
    TimerKind.RESUME,
    TimerKind.SPEAKER,
)


def leave_for(reason: DisconnectReason) -> Leave:
    """The `leave` that fits: faults ask the client to come back with a new session, the rest is final."""
    return Leave(reason, LeaveAction.RECONNECT if reason in _COME_BACK else LeaveAction.DISCONNECT)


class Membership:
    """The participants of a room."""

    def __init__(
        self,
        state: RoomState,
        announcer: Announcer,
        publishing: Publishing,
        subscribing: Subscribing,
        data_publishing: DataPublishing,
    ) -> None:
        self._state = state
        self._announcer = announcer
        self._publishing = publishing
        self._subscribing = subscribing
        self._data_publishing = data_publishing
        self._anybody_joined = False
        self.closed = False
        self._watch_emptiness()

    # ------------------------------------------------------------ joining

    def join(self, join: Join) -> None:
        """Lets a client in, or refuses it with `leave{JOIN_FAILURE}` as its first message."""
        if join.session in self._state.by_session:
            return
        permission = permission_of(join.claims.video or VideoGrants())
        metadata = join.metadata or join.claims.metadata
        attributes = {**join.claims.attributes, **{key: value for key, value in join.attributes.items() if value}}
        if self._is_refused(join, permission, metadata, attributes):
            self._state.emit(CloseSession(join.session, Leave(DisconnectReason.JOIN_FAILURE, LeaveAction.DISCONNECT)))
            return
        old = self._state.by_identity.get(join.claims.identity)
        if old is not None:
            duplicate = DisconnectReason.DUPLICATE_IDENTITY
            self._part(old, duplicate, leave_for(duplicate), announce=False)
        participant = self._make(join, permission, metadata, attributes)
        self._add(participant)
        self._welcome(participant)
        if old is not None:
            self._announcer.replaced(old, participant)
        self._announcer.came_or_went(participant)
        self._announcer.counted()
        for request in join.add_tracks:
            self._publishing.announce(participant, request)
        self._subscribing.participant_joined(participant)
        self._data_publishing.participant_joined(participant)
        self._watch_emptiness()

    def _is_refused(self, join: Join, permission: PermissionView, metadata: str, attributes: Mapping[str, str]) -> bool:
        state, claims = self._state, join.claims
        if not claims.identity:
            return True
        if exceeded_limit(state.settings, name=claims.name, metadata=metadata, attributes=attributes) is not None:
            return True
        if state.settings.max_participants == 0 or is_dependent(kind_of(claims), permission):
            return False
        present = state.census.participants
        old = state.by_identity.get(claims.identity)
        if old is not None and state.census.counts(old):
            present -= 1
        return present >= state.settings.max_participants

    def _make(self, join: Join, permission: PermissionView, metadata: str, attributes: dict[str, str]) -> Participant:
        session = Session(join.session, join.client)
        return Participant(
            id=ParticipantId(next_id()),
            sid=ParticipantSid(random_sid("PA_")),
            claims=join.claims,
            session=session,
            transports=_plan_transports(join, permission, session),
            permission=permission,
            kind=kind_of(join.claims),
            name=join.claims.name,
            metadata=metadata,
            attributes=attributes,
            joined_at_ms=self._state.now.wall_ms,
            region=self._state.settings.region,
            kind_details=kind_details_of(join.claims),
            auto_subscribe=join.auto_subscribe,
            auto_subscribe_data=join.auto_subscribe_data,
            adaptive_stream=join.adaptive_stream,
            allow_pause=self._state.settings.allow_pause if join.allow_pause is None else join.allow_pause,
            single_peer_connection=join.single_peer_connection,
            full_ice=join.full_ice,
        )

    def _add(self, participant: Participant) -> None:
        state = self._state
        state.participants[participant.id] = participant
        state.by_identity[participant.identity] = participant
        state.by_session[participant.session.id] = participant
        for transport in participant.transports.all():
            state.by_transport[transport] = participant
        due_s = state.now.monotonic_s + state.settings.join_timeout_s
        state.timers.set(TimerKind.JOIN, due_s, participant.id)
        self._anybody_joined = self._anybody_joined or not participant.dependent

    def _welcome(self, participant: Participant) -> None:
        """`join` first, then the transports, then a fresh token."""
        state, session = self._state, participant.session.id
        state.emit(
            AddEngineParticipant(
                participant=participant.id,
                sid=participant.sid,
                identity=participant.identity,
                can_publish_data=participant.permission.can_publish_data,
                hidden=participant.hidden,
                agent=participant.speaks_as_agent,
            )
        )
        state.census.note(participant)
        transports = participant.transports
        others = state.participants.values()
        disabled = disabled_codecs(participant.session.client)
        joined = Joined(
            room=state.view(),
            participant=participant.view(),
            other_participants=tuple(p.view() for p in others if p is not participant and not p.hidden),
            subscriber_primary=transports.primary != transports.publisher,
            fast_publish=participant.permission.can_publish,
            sif_trailer=state.sif_trailer,
            enabled_publish_codecs=tuple(mime for mime in publish_order(state.enabled_codecs) if mime not in disabled),
            disabled_codecs=disabled,
        )
        state.emit(Send((session,), joined))
        for transport in transports.all():
            self.open_transport(participant, transport)
        state.refresh_token(participant)

    def open_transport(self, participant: Participant, transport: TransportId) -> None:
        """Lets the engine build one association of the participant."""
        transports = participant.transports
        role: Literal["publisher", "subscriber", "both"] = "both"
        if not participant.single_peer_connection:
            role = "publisher" if transport == transports.publisher else "subscriber"
        self._state.emit(
            OpenTransport(
                session=participant.session.id,
                participant=participant.id,
                transport=transport,
                role=role,
                mime_types=self._state.enabled_codecs,
                tcp_only=participant.identity in self._state.tcp_only,
                full_ice=participant.full_ice,
                playout_delay=self._state.settings.playout_delay,
                answer_timeout_s=self._state.settings.answer_timeout_s,
            )
        )
        if participant.allow_pause and transport == transports.subscriber:
            self._state.emit(AllowPause(transport))

    def open_subscriber(self, participant: Participant) -> bool:
        """One that joined without `canSubscribe`, and has it by now, has no connection to receive on yet (dual mode).

        Says whether one was opened. While nobody listens none is: `resuming` asks again.
        """
        transports = participant.transports
        if transports.subscriber is not None or not (participant.permission.can_subscribe and participant.reachable):
            return False
        transport = transports.subscriber = TransportId(next_id())
        self._state.by_transport[transport] = participant
        self.open_transport(participant, transport)
        return True

    # ------------------------------------------------------------ connection

    def transport_connected(self, transport: TransportId, *, tcp: bool = False) -> None:
        """The primary one makes the participant active."""
        participant = self._state.by_transport.get(transport)
        if participant is None or participant.was_active or transport != participant.transports.primary:
            return
        participant.was_active = True
        participant.state = ParticipantState.ACTIVE
        participant.touch()
        self._state.timers.cancel(TimerKind.JOIN, participant.id)
        self._announcer.came_or_went(participant)
        client = participant.session.client
        joined = ParticipantJoined(
            self._state.view(),
            participant.view(),
            sdk=client.sdk,
            version=client.version,
            single_peer_connection=participant.single_peer_connection,
            tcp=tcp,
        )
        self._state.emit(Emit(joined))

    def transport_failed(self, transport: TransportId, failure: str) -> None:
        """Without signalling the participant is gone at once; with it, the client is asked to come back.

        Clients say `leave` by signalling and close their transports at the same time: whichever is read first, a
        peer that closed gets a moment to give its reason.
        """
        participant = self._state.by_transport.pop(transport, None)
        if participant is None:
            return
        reason = _FAILURES.get(failure, DisconnectReason.MEDIA_FAILURE)
        if participant.reachable and failure == "closed_by_peer":
            due_s = self._state.now.monotonic_s + self._state.settings.transport_close_grace_s
            self._state.timers.set(TimerKind.TRANSPORT_CLOSED, due_s, participant.id)
        else:
            self.remove(participant, reason)

    def negotiation_failed(self, transport: TransportId) -> None:
        """Client and server disagree on the description: a new session mends it (STATE_MISMATCH)."""
        participant = self._state.by_transport.get(transport)
        if participant is not None:
            self.remove(participant, DisconnectReason.STATE_MISMATCH)

    def session_lost(self, participant: Participant) -> None:
        """The participant stays while its transports live; one that was never active goes unless it is coming back."""
        self._lose_session(participant)
        closed = self._state.timers.is_set(TimerKind.TRANSPORT_CLOSED, participant.id)
        if closed or not (participant.was_active or participant.id in self._state.returning):
            self.remove(participant, DisconnectReason.SIGNAL_CLOSE)

    def return_abandoned(self, participant: Participant) -> None:
        """It was coming back and is not any more; see `session_lost`."""
        if not (participant.reachable or participant.was_active):
            self.remove(participant, DisconnectReason.SIGNAL_CLOSE)

    def drop(self, participant: Participant) -> None:
        """Its connection is cut without a word; the participant stays, as after any lost connection."""
        if participant.reachable:
            self._state.emit(DropSession(participant.session.id))
            self._lose_session(participant)

    def _lose_session(self, participant: Participant) -> None:
        participant.session.lost = True
        participant.session.lost_at_s = self._state.now.monotonic_s
        del self._state.by_session[participant.session.id]
        self._state.timers.cancel(TimerKind.TOKEN, participant.id)

    # ------------------------------------------------------------ leaving

    def leave(self, participant: Participant, reason: DisconnectReason) -> None:
        """The client said `leave`; reasons that are not its to give are read as `CLIENT_INITIATED`."""
        own = reason if reason in _OWN_REASONS else DisconnectReason.CLIENT_INITIATED
        self._part(participant, own, None)
        self._watch_emptiness()

    def remove(self, participant: Participant, reason: DisconnectReason) -> None:
        """The server ends the participant's session."""
        self._part(participant, reason, leave_for(reason))
        self._watch_emptiness()

    def join_expired(self, owner: ParticipantId) -> None:
        """Never became active."""
        participant = self._state.participants.get(owner)
        if participant is not None:
            self.remove(participant, DisconnectReason.JOIN_FAILURE)

    def transport_close_expired(self, owner: ParticipantId) -> None:
        """A transport was closed and nothing was said: the client may still be there, and can come back."""
        participant = self._state.participants.get(owner)
        if participant is not None:
            self.remove(participant, DisconnectReason.CONNECTION_TIMEOUT)

    def _part(
        self, participant: Participant, reason: DisconnectReason, leave: Leave | None, *, announce: bool = True
    ) -> None:
        """The only end of a participant: tracks, session, engine, tables, news, life event.

        `leave` is what its client is told, if anything.
        """
        state = self._state
        self._subscribing.participant_left(participant)
        self._publishing.end_all(participant)
        self._data_publishing.participant_left(participant)
        state.data_blobs_bytes -= participant.data_blobs_bytes
        participant.state = ParticipantState.DISCONNECTED
        participant.disconnect_reason = reason
        participant.touch()
        if participant.reachable:
            state.emit(CloseSession(participant.session.id, leave))
            self._lose_session(participant)
        state.emit(RemoveEngineParticipant(participant.id))
        del state.participants[participant.id]
        del state.by_identity[participant.identity]
        for transport in participant.transports.all():
            state.by_transport.pop(transport, None)
        returning = state.returning.pop(participant.id, None)
        if returning is not None:
            # What is final is final for it too: who was removed must not come straight back.
            state.emit(CloseSession(returning.session, leave))
        for kind in _PARTICIPANT_TIMERS:
            state.timers.cancel(kind, participant.id)
        if announce:
            self._announcer.came_or_went(participant)
        state.census.forget(participant)
        self._announcer.counted()
        event = ParticipantLeft if participant.was_active else ParticipantAborted
        state.emit(Emit(event(state.view(), participant.view())))

    # ------------------------------------------------------------ the room's end

    def _watch_emptiness(self) -> None:
        """Starts or stops the deadline of a room in which nobody counts (protocol.md §5.1)."""
        state = self._state
        if state.census.participants > 0:
            state.timers.cancel(TimerKind.EMPTY)
        elif not state.timers.is_set(TimerKind.EMPTY):
            if self._anybody_joined:
                due_s = state.now.monotonic_s + state.settings.departure_timeout_s
            else:
                due_s = state.created_at.monotonic_s + state.settings.empty_timeout_s
            state.timers.set(TimerKind.EMPTY, due_s)

    def census_changed(self) -> None:
        """A participant became, or ceased to be, a dependent."""
        self._watch_emptiness()

    def close(self, reason: DisconnectReason, *, come_back: bool = False) -> None:
        """Everybody leaves with `reason`, to come back or for good; nothing happens in this room any more."""
        if self.closed:
            return
        self.closed = True
        leave = Leave(reason, LeaveAction.RECONNECT) if come_back else leave_for(reason)
        for participant in list(self._state.participants.values()):
            self._part(participant, reason, leave, announce=False)
        self._state.timers.clear()
        self._state.emit(Emit(RoomFinished(self._state.view(), reason)))


def _plan_transports(join: Join, permission: PermissionView, session: Session) -> Transports:
    """One for both ways in single mode; else a publisher, and a subscriber for those who may subscribe."""
    publisher = TransportId(next_id())
    if join.single_peer_connection:
        return Transports(publisher, publisher, publisher)
    if not permission.can_subscribe:
        return Transports(publisher, None, publisher)
    subscriber = TransportId(next_id())
    return Transports(publisher, subscriber, subscriber if session.knows_subscriber_primary else publisher)
