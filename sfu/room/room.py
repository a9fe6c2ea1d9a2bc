"""The room: takes `(input, now)`, changes once, returns everything that is to be done.

Owns the dispatch to its parts (`parts.py`) and the life of the deadlines. Never waits, never reads a clock, never
raises for bad input: a refused client request is a `RequestResponse`, a refused administrator's request a `Reply`.
Driven by `sfu.control.actor`: one input at a time, effects carried out in order, `handle_timeout` when
`next_deadline_s` has come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, assert_never

from sfu.errors import ErrorCode, SfuError
from sfu.ids import ParticipantId, RoomId, RoomSid, TrackSid
from sfu.room.administering import Administration, AdminRequest
from sfu.room.effects import CloseSession, Effect, Emit, Reply, RoomStarted
from sfu.room.enums import DisconnectReason, LeaveAction
from sfu.room.inputs import (
    AddTrack,
    AudioLevelsMeasured,
    DownTrackBound,
    DownTrackCodecUnsupported,
    DownTrackPaused,
    GetDataBlob,
    Join,
    LastSequenceKnown,
    LeaveRequested,
    MuteOwnTrack,
    NegotiationFailed,
    OfferReceived,
    PublishDataTrack,
    QualityChanged,
    Resume,
    RoomInput,
    SessionFailed,
    SessionLost,
    SetSubscriptionPermission,
    Simulate,
    StoreDataBlob,
    SyncState,
    TransportConnected,
    TransportFailed,
    UnpublishDataTrack,
    UpdateDataSubscription,
    UpdateOwnAudioTrack,
    UpdateOwnMetadata,
    UpdateOwnVideoTrack,
    UpdateSubscription,
    UpdateTrackSettings,
    UpTrackStarted,
)
from sfu.room.messages import Leave
from sfu.room.parts import assemble
from sfu.room.permissions import Allowance
from sfu.room.settings import Now, RoomSettings
from sfu.room.state import RoomState
from sfu.room.timers import TimerKey, TimerKind

if TYPE_CHECKING:
    from sfu.room.participant import Participant
    from sfu.room.views import RoomView

__all__ = ["Now", "Room", "RoomSettings"]

_SessionInput = (
    LeaveRequested
    | SessionLost
    | SessionFailed
    | AddTrack
    | OfferReceived
    | MuteOwnTrack
    | UpdateSubscription
    | UpdateTrackSettings
    | SetSubscriptionPermission
    | UpdateOwnMetadata
    | UpdateOwnAudioTrack
    | UpdateOwnVideoTrack
    | SyncState
    | Simulate
    | PublishDataTrack
    | UnpublishDataTrack
    | UpdateDataSubscription
    | StoreDataBlob
    | GetDataBlob
)
_EngineInput = (
    TransportConnected
    | TransportFailed
    | NegotiationFailed
    | LastSequenceKnown
    | UpTrackStarted
    | DownTrackBound
    | DownTrackCodecUnsupported
    | DownTrackPaused
    | AudioLevelsMeasured
    | QualityChanged
)

_ParticipantTimer = Literal[
    TimerKind.JOIN,
    TimerKind.TOKEN,
    TimerKind.RESUME,
    TimerKind.SPEAKER,
    TimerKind.TRANSPORT_CLOSED,
    TimerKind.UNKNOWN_TRACK,
    TimerKind.BINDING,
]


class Room:
    """One room, from its creation to its end."""

    def __init__(self, name: str, settings: RoomSettings, *, room_id: RoomId, now: Now, explicit: bool = False) -> None:
        """A new, empty room.

        Args:
            name: The users' name for it.
            settings: Fixed for its life.
            room_id: Its id in the engine.
            now: The time of its birth.
            explicit: Made by CreateRoom, not by a join. Both live by the same rules; it is told to nobody.
        """
        self._state = RoomState(name, settings, room_id, now)
        self._parts = assemble(self._state)
        self._administration = Administration(self._parts)
        self.explicit = explicit
        # Its first effect waits to be fetched, by an input or by this deadline.
        self._state.emit(Emit(RoomStarted(self._state.view())))
        self._state.timers.set(TimerKind.START, now.monotonic_s)

    @property
    def name(self) -> str:
        """The users' name for it."""
        return self._state.name

    @property
    def sid(self) -> RoomSid:
        """`RM_…`"""
        return self._state.sid

    @property
    def closed(self) -> bool:
        """Whether it has ended; a closed room refuses everything."""
        return self._parts.membership.closed

    def view(self) -> RoomView:
        """What the wire tells of it."""
        return self._state.view()

    @property
    def next_deadline_s(self) -> float | None:
        """When `handle_timeout` is due (monotonic seconds), or `None`."""
        return self._state.timers.next_s()

    # ------------------------------------------------------------ inputs

    def handle(self, event: RoomInput, now: Now) -> list[Effect]:
        """One input; the effects are to be carried out in order."""
        self._state.now = now
        if self.closed:
            return self._refuse(event)
        match event:
            case Join():
                self._parts.membership.join(event)
            case Resume():
                self._parts.resuming.begin(event)
            case (
                TransportConnected()
                | TransportFailed()
                | NegotiationFailed()
                | LastSequenceKnown()
                | UpTrackStarted()
                | DownTrackBound()
                | DownTrackCodecUnsupported()
                | DownTrackPaused()
                | AudioLevelsMeasured()
                | QualityChanged()
            ):
                self._hear_engine(event)
            case (
                LeaveRequested()
                | SessionLost()
                | SessionFailed()
                | AddTrack()
                | OfferReceived()
                | MuteOwnTrack()
                | UpdateSubscription()
                | UpdateTrackSettings()
                | SetSubscriptionPermission()
                | UpdateOwnMetadata()
                | UpdateOwnAudioTrack()
                | UpdateOwnVideoTrack()
                | SyncState()
                | Simulate()
                | PublishDataTrack()
                | UnpublishDataTrack()
                | UpdateDataSubscription()
                | StoreDataBlob()
                | GetDataBlob()
            ):
                participant = self._state.by_session.get(event.session)
                if participant is not None:
                    self._hear_session(participant, event)
                elif isinstance(event, LeaveRequested):
                    self._parts.resuming.leave(event.session, event.reason)
                elif isinstance(event, SessionLost | SessionFailed):
                    self._parts.resuming.abandon(event.session)
            case _:
                self._administration.carry_out(event)
        return self._state.drain()

    def handle_timeout(self, now: Now) -> list[Effect]:
        """Everything that is due; nothing when none is."""
        self._state.now = now
        while (key := self._state.timers.pop_due(now.monotonic_s)) is not None:
            self._expire(key)
        return self._state.drain()

    def _hear_session(self, participant: Participant, event: _SessionInput) -> None:
        parts = self._parts
        match event:
            case LeaveRequested() | SessionLost() | SessionFailed():
                self._hear_end(participant, event)
            case OfferReceived():
                parts.publishing.accept(participant, event)
            case UpdateSubscription():
                parts.subscribing.wish(participant, event.track_sids, subscribe=event.subscribe)
            case UpdateTrackSettings():
                parts.subscribing.configure(participant, event)
            case SetSubscriptionPermission():
                participant.allowance = Allowance(everybody=event.all_participants, permissions=event.permissions)
                parts.subscribing.allowance_changed(participant)
                parts.data_publishing.allowance_changed(participant)
            case UpdateOwnMetadata():
                parts.permitting.update_own(participant, event)
            case SyncState() | Simulate():
                self._hear_returned(participant, event)
            case PublishDataTrack() | UnpublishDataTrack() | UpdateDataSubscription() | StoreDataBlob() | GetDataBlob():
                self._hear_of_data(participant, event)
            case _:
                self._hear_publisher(participant, event)

    def _hear_end(self, participant: Participant, event: LeaveRequested | SessionLost | SessionFailed) -> None:
        membership = self._parts.membership
        match event:
            case LeaveRequested():
                membership.leave(participant, event.reason)
            case SessionLost():
                membership.session_lost(participant)
            case SessionFailed():
                membership.remove(participant, event.reason)
            case _:
                assert_never(event)

    def _hear_returned(self, participant: Participant, event: SyncState | Simulate) -> None:
        if isinstance(event, SyncState):
            self._parts.resuming.synchronise(participant, event)
        else:
            self._parts.simulating.play(participant, event)

    def _hear_of_data(
        self,
        participant: Participant,
        event: PublishDataTrack | UnpublishDataTrack | UpdateDataSubscription | StoreDataBlob | GetDataBlob,
    ) -> None:
        parts = self._parts
        match event:
            case PublishDataTrack():
                parts.data_publishing.publish(participant, event)
            case UnpublishDataTrack():
                parts.data_publishing.unpublish(participant, event)
            case UpdateDataSubscription():
                parts.data_subscribing.wish(participant, event.wishes)
            case StoreDataBlob():
                parts.data_blobs.store(participant, event)
            case GetDataBlob():
                parts.data_blobs.get(participant, event)
            case _:
                assert_never(event)

    def _hear_publisher(
        self, participant: Participant, event: AddTrack | MuteOwnTrack | UpdateOwnAudioTrack | UpdateOwnVideoTrack
    ) -> None:
        publishing = self._parts.publishing
        match event:
            case AddTrack():
                publishing.announce(participant, event)
            case MuteOwnTrack():
                publishing.mute_own(participant, event)
            case UpdateOwnAudioTrack():
                publishing.update_audio(participant, event)
            case UpdateOwnVideoTrack():
                publishing.update_video(participant, event)
            case _:
                assert_never(event)

    def _hear_engine(self, event: _EngineInput) -> None:
        parts = self._parts
        match event:
            case TransportConnected():
                parts.membership.transport_connected(event.transport, tcp=event.tcp)
                parts.qualities.connected(event.transport)
            case TransportFailed():
                parts.membership.transport_failed(event.transport, event.reason)
            case NegotiationFailed():
                parts.membership.negotiation_failed(event.transport)
            case LastSequenceKnown():
                parts.resuming.complete(event.participant, event.last_sequence)
            case UpTrackStarted():
                parts.publishing.media_started(event.up_track, event.mime_type)
            case DownTrackBound() | DownTrackCodecUnsupported() | DownTrackPaused():
                self._hear_of_down_track(event)
            case AudioLevelsMeasured() | QualityChanged():
                self._hear_measured(event)
            case _:
                assert_never(event)

    def _hear_of_down_track(self, event: DownTrackBound | DownTrackCodecUnsupported | DownTrackPaused) -> None:
        parts = self._parts
        match event:
            case DownTrackBound():
                subscription = parts.subscribing.bound(event.down_track, event.mime_types)
                if subscription is not None:
                    parts.speakers.tell_newcomer(subscription)
                    parts.qualities.tell_newcomer(subscription)
            case DownTrackCodecUnsupported():
                parts.subscribing.codec_unsupported(event.down_track, event.up_track)
            case DownTrackPaused():
                parts.subscribing.paused(event.down_track, paused=event.paused)
            case _:
                assert_never(event)

    def _hear_measured(self, event: AudioLevelsMeasured | QualityChanged) -> None:
        if isinstance(event, AudioLevelsMeasured):
            self._parts.speakers.measured(event.levels)
        else:
            self._parts.qualities.changed(event.ratings)

    def _expire(self, key: TimerKey) -> None:
        parts = self._parts
        match key.kind:
            case TimerKind.START:
                pass  # its effect waits in the state
            case TimerKind.DYNACAST:
                parts.dynacast.expired(TrackSid(key.sid))
            case TimerKind.DYNACAST_AGAIN:
                parts.dynacast.again_expired(TrackSid(key.sid))
            case TimerKind.BACKUP:
                parts.dynacast.backup_expired(TrackSid(key.sid))
            case TimerKind.UPDATES:
                parts.announcer.flush()
                parts.data_publishing.update_told()
            case TimerKind.HANDLES:
                parts.data_subscribing.flush()
            case TimerKind.COUNTS:
                parts.announcer.room_changed()
            case TimerKind.QUALITY:
                parts.qualities.window_ended()
            case TimerKind.EMPTY:
                parts.membership.close(DisconnectReason.ROOM_CLOSED)
            case _:
                self._expire_of_participant(key.kind, ParticipantId(key.owner), TrackSid(key.sid))

    def _expire_of_participant(self, kind: _ParticipantTimer, owner: ParticipantId, sid: TrackSid) -> None:
        parts = self._parts
        match kind:
            case TimerKind.JOIN:
                parts.membership.join_expired(owner)
            case TimerKind.TOKEN:
                self._refresh_token(owner)
            case TimerKind.RESUME:
                parts.resuming.complete(owner)
            case TimerKind.SPEAKER:
                parts.simulating.speech_ended(owner)
            case TimerKind.TRANSPORT_CLOSED:
                parts.membership.transport_close_expired(owner)
            case TimerKind.UNKNOWN_TRACK:
                parts.subscribing.unknown_expired(owner, sid)
            case TimerKind.BINDING:
                parts.subscribing.binding_expired(owner, sid)
            case _:
                assert_never(kind)

    def _refresh_token(self, owner: ParticipantId) -> None:
        participant = self._state.participants.get(owner)
        if participant is not None:
            self._state.refresh_token(participant)

    def _refuse(self, event: RoomInput) -> list[Effect]:
        """After the end: who asks is answered, the rest is late and means nothing."""
        if isinstance(event, Resume):
            return [CloseSession(event.session, Leave(DisconnectReason.STATE_MISMATCH, LeaveAction.RECONNECT))]
        if isinstance(event, Join):
            # Come back: the name may be taken by a new room.
            return [CloseSession(event.session, Leave(DisconnectReason.JOIN_FAILURE, LeaveAction.RECONNECT))]
        if isinstance(event, AdminRequest):
            return [Reply(event.request, SfuError(ErrorCode.NOT_FOUND, "requested room does not exist"))]
        return []
