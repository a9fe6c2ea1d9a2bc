"""A participant whose signalling connection broke comes back over a new one (protocol.md §5.3).

Owns the hand-over from the old session to the new one and what a client that was away must hear. The participant, its
transports, tracks and subscriptions stay as they are: the others see nothing. Where client and server cannot agree any
more, the client is asked to begin a new session instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfu.room.devices import disabled_codecs
from sfu.room.effects import (
    AskLastSequence,
    CloseSession,
    DropSession,
    Emit,
    MoveTransports,
    ParticipantResumed,
    ReplayData,
    RestartIce,
)
from sfu.room.enums import DisconnectReason, LeaveAction, ResumeFailure
from sfu.room.messages import Leave, Mute, Reconnected, RoomUpdate, SubscriptionPermissionUpdate, TrackPublished
from sfu.room.session import Session
from sfu.room.timers import TimerKind

if TYPE_CHECKING:
    from sfu.ids import ParticipantId, SessionId
    from sfu.room.announcing import Announcer
    from sfu.room.data_publishing import DataPublishing
    from sfu.room.data_subscribing import DataSubscribing
    from sfu.room.dynacast import Dynacast
    from sfu.room.inputs import Resume, SyncState
    from sfu.room.membership import Membership
    from sfu.room.participant import Participant
    from sfu.room.quality import Qualities
    from sfu.room.speakers import Speakers
    from sfu.room.state import RoomState
    from sfu.room.subscribing import Subscribing

__all__ = ["Resuming", "ResumingParts"]

_MISMATCH = Leave(DisconnectReason.STATE_MISMATCH, LeaveAction.RECONNECT)


@dataclass(frozen=True, slots=True)
class ResumingParts:
    """Whom a resume concerns."""

    announcer: Announcer
    subscribing: Subscribing
    data_publishing: DataPublishing
    data_subscribing: DataSubscribing
    speakers: Speakers
    qualities: Qualities
    dynacast: Dynacast
    membership: Membership


class Resuming:
    """All resumes of a room."""

    def __init__(self, state: RoomState, parts: ResumingParts) -> None:
        self._state = state
        self._parts = parts

    # ------------------------------------------------------------ the hand-over

    def begin(self, resume: Resume) -> None:
        """A client came back: it goes on, or is asked to begin anew."""
        state = self._state
        participant = state.by_identity.get(resume.claims.identity)
        if participant is None or not self._fits(participant, resume):
            state.emit(CloseSession(resume.session, _MISMATCH))
            return
        if participant.resume_failure is ResumeFailure.BEFORE_MESSAGES:
            participant.resume_failure = None
            state.emit(DropSession(resume.session))
            return
        earlier = state.returning.get(participant.id)
        if earlier is not None:
            state.emit(CloseSession(earlier.session, None))
        state.returning[participant.id] = resume
        state.timers.set(TimerKind.RESUME, state.now.monotonic_s + state.settings.resume_wait_s, participant.id)
        state.emit(AskLastSequence(participant.id))

    def complete(self, participant_id: ParticipantId, last_sequence: int = 0) -> None:
        """The engine has said what arrived last, or says nothing: the client is not kept waiting for it."""
        resume = self._state.returning.pop(participant_id, None)
        participant = self._state.participants.get(participant_id)
        if resume is None or participant is None:
            return
        self._state.timers.cancel(TimerKind.RESUME, participant_id)
        missed_s = self._missed_since_s(participant)
        if not self._fits(participant, resume) or self._state.departures.since(missed_s) is None:
            self._state.emit(CloseSession(resume.session, _MISMATCH))
            self._parts.membership.return_abandoned(participant)
            return
        self._take_over(participant, resume)
        self._tell(participant, last_sequence, missed_s)
        self._state.emit(Emit(ParticipantResumed(self._state.view(), participant.view())))
        if participant.resume_failure is ResumeFailure.AFTER_MESSAGES:
            participant.resume_failure = None
            self._parts.membership.drop(participant)

    def abandon(self, session: SessionId) -> None:
        """A connection was lost before its resume was done."""
        participant = self._returning_over(session)
        if participant is not None:
            del self._state.returning[participant.id]
            self._state.timers.cancel(TimerKind.RESUME, participant.id)
            self._parts.membership.return_abandoned(participant)

    def leave(self, session: SessionId, reason: DisconnectReason) -> None:
        """A client said `leave` before its resume was done: the participant leaves."""
        participant = self._returning_over(session)
        if participant is not None:
            self._parts.membership.leave(participant, reason)

    def _returning_over(self, session: SessionId) -> Participant | None:
        for participant, resume in self._state.returning.items():
            if resume.session == session:
                return self._state.participants[participant]
        return None

    def _fits(self, participant: Participant, resume: Resume) -> bool:
        """Whether what the client still has is what we still have."""
        transports = participant.transports.all()
        return (
            resume.participant_sid in {"", participant.sid}
            and resume.single_peer_connection is participant.single_peer_connection
            and resume.session not in self._state.by_session
            and all(self._state.by_transport.get(transport) is participant for transport in transports)
        )

    def _missed_since_s(self, participant: Participant) -> float:
        """From when on the client may have heard nothing: we notice only after a while that nobody listens."""
        noticed_s = min(participant.session.lost_at_s, self._state.now.monotonic_s)
        return max(noticed_s - self._state.settings.unnoticed_loss_s, participant.session.heard_until_s)

    def _take_over(self, participant: Participant, resume: Resume) -> None:
        state, old = self._state, participant.session
        if not old.lost:
            del state.by_session[old.id]
            state.emit(CloseSession(old.id, None))
        # A client that does not say again what it is has not changed.
        client = resume.client if resume.client.protocol else old.client
        participant.session = Session(
            resume.session,
            client,
            may_replay=True,
            began_at_s=state.now.monotonic_s,
            heard_until_s=old.heard_until_s,
        )
        participant.claims = resume.claims
        state.by_session[resume.session] = participant
        state.emit(MoveTransports(old.id, resume.session))

    # ------------------------------------------------------------ what the client must hear

    def _tell(self, participant: Participant, last_sequence: int, missed_s: float) -> None:
        """`reconnect` first; then everything that may have been said while nobody listened."""
        state, parts = self._state, self._parts
        state.send((participant,), Reconnected(last_sequence, disabled_codecs(participant.session.client)))
        if participant.session.knows_departures:
            left = state.departures.since(missed_s) or ()
            parts.announcer.tell(participant, [view for view in left if self._is_gone(view.identity)])
        self._tell_own_tracks(participant)
        parts.announcer.tell_everything(participant)
        state.send((participant,), RoomUpdate(state.view()))
        self._tell_permissions(participant)
        parts.subscribing.tell_returned(participant, missed_s)
        parts.data_publishing.remind(participant, missed_s)
        parts.speakers.tell_returned(participant)
        parts.qualities.tell_returned(participant)
        parts.dynacast.remind(participant)
        state.refresh_token(participant)
        self._restart(participant)

    def _restart(self, participant: Participant) -> None:
        """The client restarts the connection on which it offers; the other one is ours to restart, or to open."""
        subscriber = participant.transports.subscriber
        if self._parts.membership.open_subscriber(participant):
            self._parts.subscribing.rights_changed(participant)
        elif subscriber is not None and not participant.single_peer_connection:
            self._state.emit(RestartIce(subscriber))

    def _is_gone(self, identity: str) -> bool:
        present = self._state.by_identity.get(identity)
        return present is None or present.hidden

    def _tell_own_tracks(self, participant: Participant) -> None:
        """Answers to announcements, and mutes of ours: before the update, which the client compares with its own."""
        for publication in participant.pending.values():
            self._state.send((participant,), TrackPublished(publication.cid, publication.view))
        for publication in participant.publications.values():
            for codec in publication.codecs:
                if codec.expected:
                    self._state.send((participant,), TrackPublished(codec.cid, publication.view))
            if publication.muted_by_server:
                self._state.send((participant,), Mute(publication.sid, muted=True))

    def _tell_permissions(self, participant: Participant) -> None:
        for subscription in participant.subscriptions.values():
            publication = subscription.publication
            if publication is None or subscription.told_allowed is None or not subscription.was_forbidden:
                continue
            update = SubscriptionPermissionUpdate(publication.owner.sid, publication.sid, subscription.told_allowed)
            self._state.send((participant,), update)

    # ------------------------------------------------------------ what the client says

    def synchronise(self, participant: Participant, sync: SyncState) -> None:
        """Brings both sides into agreement; a publication that we do not know can only be published anew.

        Publications that the client does not list are not ended here: one that is just being published is not listed
        either. The offer that follows says by its lines what is still sent.
        """
        participant.session.heard_until_s = participant.session.began_at_s
        known = {*participant.publications, *(publication.sid for publication in participant.pending.values())}
        if not known.issuperset(sync.published) or not participant.data_publications.keys() >= {*sync.published_data}:
            self._parts.membership.remove(participant, DisconnectReason.STATE_MISMATCH)
            return
        self._parts.subscribing.wish(participant, sync.wished, subscribe=sync.subscribe)
        self._parts.subscribing.disable(participant, sync.disabled)
        self._parts.data_publishing.synchronise(participant, sync.published_data)
        self._parts.data_subscribing.wish(participant, sync.data_wishes)
        if sync.received and participant.session.may_replay:
            participant.session.may_replay = False
            self._state.emit(ReplayData(participant.id, sync.received))
