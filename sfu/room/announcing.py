"""Who is told what about whom: participant updates and room updates.

Owns their pace: important changes at once, joins and leaves of mere subscribers gathered when there are many, counts
at most every few seconds (protocol.md §3.2 rows 5 and 11). Never decides what changes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sfu.room.enums import ParticipantState
from sfu.room.messages import ParticipantUpdate, RoomUpdate
from sfu.room.timers import TimerKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sfu.room.participant import Participant
    from sfu.room.state import RoomState
    from sfu.room.views import ParticipantView

__all__ = ["Announcer"]

_VIEW_BYTES = 256
"""About what a participant or a track takes on the wire, texts not counted."""


class Announcer:
    """Sends updates to everybody whom they concern. Hidden participants are told of to themselves only."""

    def __init__(self, state: RoomState) -> None:
        self._state = state
        self._gathered: dict[str, ParticipantView] = {}
        """By identity, so that a new life takes the place of the old one's end."""
        self._tokens = float(state.settings.update_burst)
        self._tokens_at_s = state.now.monotonic_s
        self._counts_told = state.census.totals()
        self._counts_told_s: float | None = None

    # ------------------------------------------------------------ participants

    def changed(self, participant: Participant, *, to_itself: bool = True) -> None:
        """An important change: told at once."""
        if to_itself:
            self._state.send((participant,), ParticipantUpdate((participant.view(),)))
        if not participant.hidden:
            self._gathered.pop(participant.identity, None)
            self._tell_others(participant, participant.view())

    def came_or_went(self, participant: Participant) -> None:
        """It joined, became active or left: told at once while such news are few, or when it publishes."""
        if participant.hidden:
            return
        if participant.state is ParticipantState.DISCONNECTED:
            self._note_departure(participant.view())
        if participant.is_publisher or self._may_pass():
            self.changed(participant, to_itself=False)
            return
        self._gathered[participant.identity] = participant.view()
        if not self._state.timers.is_set(TimerKind.UPDATES):
            due_s = self._state.now.monotonic_s + self._state.settings.update_batch_s
            self._state.timers.set(TimerKind.UPDATES, due_s)

    def replaced(self, old: Participant, new: Participant) -> None:
        """`new` took over the identity of `old`, which has left.

        Who knows identity switches is told of the new sid only; the others hear of the end of the old one first.
        When the new one is hidden, its identity has left for everybody.
        """
        self._gathered.pop(old.identity, None)
        if old.hidden:
            return
        others = [p for p in self._state.participants.values() if p is not new]
        if new.hidden:
            self._note_departure(old.view())
        else:
            others = [p for p in others if not p.session.knows_identity_switch]
        self._state.send(others, ParticipantUpdate((old.view(),)))

    def hidden_changed(self, participant: Participant) -> None:
        """Its `hidden` permission was switched: it appears or disappears for the others."""
        if participant.hidden:
            self._gathered.pop(participant.identity, None)
            gone = replace(participant.view(), state=ParticipantState.DISCONNECTED, tracks=(), data_tracks=())
            self._note_departure(gone)
            self._tell_others(participant, gone)
        else:
            self._tell_others(participant, participant.view())

    def tell_everything(self, participant: Participant) -> None:
        """One participant hears of all that are there and of itself."""
        present = self._state.participants.values()
        self.tell(participant, [other.view() for other in present if other is participant or not other.hidden])

    def tell(self, participant: Participant, views: Sequence[ParticipantView]) -> None:
        """One participant hears these views."""
        for batch in _batches(views, self._state.settings.update_batch_bytes):
            self._state.send((participant,), ParticipantUpdate(batch))

    def flush(self) -> None:
        """The gathering time is over."""
        self._state.timers.cancel(TimerKind.UPDATES)
        views = list(self._gathered.values())
        self._gathered.clear()
        for batch in _batches(views, self._state.settings.update_batch_bytes):
            self._state.send(self._state.participants.values(), ParticipantUpdate(batch))

    def _note_departure(self, view: ParticipantView) -> None:
        self._state.departures.note(view, self._state.now.monotonic_s)

    def _tell_others(self, participant: Participant, view: ParticipantView) -> None:
        others = (other for other in self._state.participants.values() if other is not participant)
        self._state.send(others, ParticipantUpdate((view,)))

    def _may_pass(self) -> bool:
        """A token bucket; while updates are gathered nothing overtakes them."""
        now_s, burst = self._state.now.monotonic_s, self._state.settings.update_burst
        self._tokens = min(float(burst), self._tokens + max(0.0, now_s - self._tokens_at_s))
        self._tokens_at_s = now_s
        if self._gathered or self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    # ------------------------------------------------------------ room

    def room_changed(self) -> None:
        """Metadata or recording changed: told at once, counts along with it."""
        self._counts_told_s = self._state.now.monotonic_s
        self._counts_told = self._state.census.totals()
        self._state.timers.cancel(TimerKind.COUNTS)
        self._state.send(self._state.participants.values(), RoomUpdate(self._state.view()))

    def counted(self) -> None:
        """The census may have changed: recording is told at once, counts when it is time."""
        totals, told = self._state.census.totals(), self._counts_told
        if totals.recording != told.recording:
            self.room_changed()
        elif totals != told and not self._state.timers.is_set(TimerKind.COUNTS):
            now_s, told_s = self._state.now.monotonic_s, self._counts_told_s
            due_s = now_s if told_s is None else max(now_s, told_s + self._state.settings.count_update_s)
            self._state.timers.set(TimerKind.COUNTS, due_s)


def _batches(views: Sequence[ParticipantView], limit_bytes: int) -> Iterator[tuple[ParticipantView, ...]]:
    batch: list[ParticipantView] = []
    size = 0
    for view in views:
        texts = len(view.metadata) + sum(len(key) + len(value) for key, value in view.attributes.items())
        view_size = _VIEW_BYTES * (1 + len(view.tracks) + len(view.data_tracks)) + texts
        if batch and size + view_size > limit_bytes:
            yield tuple(batch)
            batch, size = [], 0
        batch.append(view)
        size += view_size
    if batch:
        yield tuple(batch)
