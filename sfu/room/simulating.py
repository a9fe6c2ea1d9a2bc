"""`simulate`: tests that a client makes of itself (protocol.md §3.1 row 13).

Owns what each scenario does. Never touches anybody but the client that asked, a short show of speaking excepted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.room.effects import SimulateRate
from sfu.room.enums import DisconnectReason, ResumeFailure, Scenario
from sfu.room.messages import SpeakersChanged, SpeakerView
from sfu.room.timers import TimerKind

if TYPE_CHECKING:
    from sfu.ids import ParticipantId
    from sfu.room.inputs import Simulate
    from sfu.room.membership import Membership
    from sfu.room.participant import Participant
    from sfu.room.state import RoomState

__all__ = ["Simulating"]

_LEVEL = 0.9
_MAX_SPEECH_S = 60
_MAX_TCP_ONLY = 256
_LEAVES = {
    Scenario.SERVER_LEAVE: DisconnectReason.SERVER_SHUTDOWN,
    Scenario.LEAVE_REQUEST_FULL_RECONNECT: DisconnectReason.STATE_MISMATCH,
}
_RESUME_FAILURES = {
    Scenario.DISCONNECT_SIGNAL_ON_RESUME: ResumeFailure.AFTER_MESSAGES,
    Scenario.DISCONNECT_SIGNAL_ON_RESUME_NO_MESSAGES: ResumeFailure.BEFORE_MESSAGES,
}


class Simulating:
    """The scenarios of one room."""

    def __init__(self, state: RoomState, membership: Membership) -> None:
        self._state = state
        self._membership = membership

    def play(self, participant: Participant, request: Simulate) -> None:
        """Does what the scenario says."""
        scenario = request.scenario
        if scenario in _LEAVES:
            self._membership.remove(participant, _LEAVES[scenario])
        elif scenario in _RESUME_FAILURES:
            participant.resume_failure = _RESUME_FAILURES[scenario]
        elif scenario in {Scenario.NODE_FAILURE, Scenario.MIGRATION}:
            # A node that is lost says nothing; there is none to migrate to.
            self._membership.drop(participant)
            self._membership.remove(participant, DisconnectReason.MIGRATION)
        elif scenario is Scenario.SWITCH_CANDIDATE_PROTOCOL:
            # 0: UDP, 1: TCP, 2: TLS. Holds from the next session on, which the client begins by itself.
            self._switch(participant.identity, tcp_only=bool(request.value))
        elif scenario is Scenario.SPEAKER_UPDATE:
            self._speak(participant, request.value)
        else:  # SUBSCRIBER_BANDWIDTH
            self._narrow(participant, request.value)

    def speech_ended(self, owner: ParticipantId) -> None:
        """A simulated speaker falls silent."""
        participant = self._state.participants.get(owner)
        if participant is not None:
            self._tell(participant, 0.0)

    def _switch(self, identity: str, *, tcp_only: bool) -> None:
        wishes = self._state.tcp_only
        wishes.pop(identity, None)
        if tcp_only:
            wishes[identity] = None
        if len(wishes) > _MAX_TCP_ONLY:
            del wishes[next(iter(wishes))]

    def _narrow(self, participant: Participant, rate_bps: int) -> None:
        """As if the path to the client bore no more than that; 0: what it bears counts again."""
        transport = participant.transports.subscriber
        if transport is not None:
            self._state.emit(SimulateRate(transport, rate_bps if rate_bps > 0 else None))

    def _speak(self, participant: Participant, duration_s: int) -> None:
        if participant.hidden or duration_s <= 0:
            return
        self._tell(participant, _LEVEL)
        due_s = self._state.now.monotonic_s + min(duration_s, _MAX_SPEECH_S)
        self._state.timers.set(TimerKind.SPEAKER, due_s, participant.id)

    def _tell(self, participant: Participant, level: float) -> None:
        speaker = SpeakerView(participant.sid, level, active=level > 0)
        self._state.send(self._state.participants.values(), SpeakersChanged((speaker,)))
