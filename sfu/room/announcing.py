"""Who is told what about whom: participant updates and room updates.

Owns their pace: important changes at once while they are few, else gathered so that each owner is told of once, as it
is by then; joins and leaves of mere subscribers gathered for longer; counts at most every few seconds (protocol.md
§3.2 rows 5 and 11). Never decides what changes.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from sfu.room.enums import ParticipantState
from sfu.room.messages import ParticipantUpdate, RoomUpdate
from sfu.room.pace import Pace
from sfu.room.timers import TimerKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sfu.ids import ParticipantId
    from sfu.room.participant import Participant
    from sfu.room.state import RoomState
    from sfu.room.views import ParticipantView

__all__ = ["Announcer"]

_VIEW_BYTES = 256
"""About what a participant or a track takes on the wire, texts not counted."""
_MESSAGE_BYTES = 2_000
"""What sending a message to one reader costs besides its bytes, in bytes."""


class Announcer:
    """Sends updates to everybody whom they concern. Hidden participants are told of to themselves only."""

    def __init__(self, state: RoomState) -> None:
        self._state = state
        limits, now_s = state.settings.updates, state.now.monotonic_s
        self._gathered: dict[str, Participant] = {}
        """By identity, so that a new life takes the place of the old one's end."""
        self._unseen: dict[ParticipantId, Participant] = {}
        """Hidden ones that are to be told of themselves."""
        self._flush_s = math.inf
        """When what was gathered is due."""
        wait_s = limits.longest_wait_s
        self._reader = Pace(limits.reader_bytes_per_s, limits.reader_burst_bytes, max_wait_s=wait_s, now_s=now_s)
        self._room = Pace(limits.room_bytes_per_s, limits.room_burst_bytes, max_wait_s=wait_s, now_s=now_s)
        self._tokens = float(state.settings.update_burst)
        self._tokens_at_s = state.now.monotonic_s
        self._counts_told = state.census.totals()
        self._counts_told_s: float | None = None

    # ------------------------------------------------------------ participants

    def changed(self, participant: Participant, *, to_itself: bool = True, at_once: bool = False) -> None:
        """An important change: told at once while there are few.

        Args:
            participant: Whose.
            to_itself: Whether it has to hear of it; it may in any case.
            at_once: However many there are: what is said next would mean nothing to who has not heard of this.
        """
        now_s, view = self._state.now.monotonic_s, participant.view()
        pace = self._pace_of(participant)
        if not (at_once or pace.is_open(now_s)):
            self._gather(participant, self._state.settings.updates.tick_s)
            return
        pace.take(1, now_s)
        if to_itself:
            self._state.send((participant,), ParticipantUpdate((view,)))
        if participant.hidden:
            return
        if at_once or (self._reader.is_open(now_s) and self._room.is_open(now_s)):
            self._take_place(participant)
            self._gathered.pop(participant.identity, None)
            self._tell_others(participant, view)
        else:
            self._gather(participant, self._state.settings.updates.tick_s)

    def is_told(self, participant: Participant) -> bool:
        """Whether the others have heard of its last change."""
        return participant.identity not in self._gathered

    def came_or_went(self, participant: Participant) -> None:
        """It joined, became active or left: told at once while such news are few, or when it publishes."""
        if participant.hidden:
            return
        if participant.state is ParticipantState.DISCONNECTED:
            self._note_departure(participant.view())
        if participant.is_publisher or self._may_pass():
            self.changed(participant, to_itself=False)
        else:
            self._gather(participant, self._state.settings.update_batch_s)

    def replaced(self, old: Participant, new: Participant) -> None:
        """`new` took over the identity of `old`, which has left.

        Who knows identity switches is told of the new sid only; the others hear of the end of the old one first.
        When the new one is hidden, its identity has left for everybody.
        """
        self._gathered.pop(old.identity, None)
        if old.hidden:
            return
        if new.hidden:
            self._note_departure(old.view())
            others = (p for p in self._state.participants.values() if p is not new)
            self._state.send(others, ParticipantUpdate((old.view(),)))
        else:
            self._tell_unaware(old, new)

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
        """The gathering time is over: as much is told as readers can be expected to take, the rest a little later."""
        self._flush_s = math.inf
        self._state.timers.cancel(TimerKind.UPDATES)
        present = self._state.participants
        for participant in self._unseen.values():
            if participant.id in present:
                self._state.send((participant,), ParticipantUpdate((participant.view(),)))
        self._unseen.clear()
        views = [participant.view() for participant in self._gathered.values()]
        for batch in _batches(views, self._state.settings.update_batch_bytes):
            if not self._reader.is_open(self._state.now.monotonic_s):
                break
            for view in batch:
                del self._gathered[view.identity]
            self._pay(sum(map(_size, batch)))
            self._state.send(present.values(), ParticipantUpdate(batch))
        if self._gathered:
            self._set_flush(self._state.settings.updates.tick_s)

    def _note_departure(self, view: ParticipantView) -> None:
        self._state.departures.note(view, self._state.now.monotonic_s)

    def _tell_unaware(self, old: Participant, new: Participant) -> None:
        others = (p for p in self._state.participants.values() if p is not new and not p.session.knows_identity_switch)
        self._state.send(others, ParticipantUpdate((old.view(),)))

    def _tell_others(self, participant: Participant, view: ParticipantView) -> None:
        self._pay(_size(view))
        others = (other for other in self._state.participants.values() if other is not participant)
        self._state.send(others, ParticipantUpdate((view,)))

    # ------------------------------------------------------------ pace

    def _pace_of(self, participant: Participant) -> Pace:
        if participant.change_pace is None:
            limits, now_s = self._state.settings.updates, self._state.now.monotonic_s
            wait_s = 1 / limits.owner_per_s  # a debt of one
            participant.change_pace = Pace(limits.owner_per_s, limits.owner_burst, max_wait_s=wait_s, now_s=now_s)
        return participant.change_pace

    def _pay(self, size: int) -> None:
        """An update of so many bytes goes to everybody."""
        now_s = self._state.now.monotonic_s
        self._reader.take(size, now_s)
        self._room.take((size + _MESSAGE_BYTES) * len(self._state.participants), now_s)

    def _gather(self, participant: Participant, within_s: float) -> None:
        if participant.hidden:
            self._unseen[participant.id] = participant
        else:
            self._take_place(participant)
            self._gathered[participant.identity] = participant
        self._set_flush(within_s)

    def _take_place(self, participant: Participant) -> None:
        """The end of an earlier one of that identity may not have been told yet."""
        old = self._gathered.get(participant.identity)
        if old is not None and old is not participant:
            self._tell_unaware(old, participant)

    def _set_flush(self, within_s: float) -> None:
        now_s = self._state.now.monotonic_s
        due_s = now_s + max(within_s, self._reader.wait_s(now_s), self._room.wait_s(now_s))
        if due_s < self._flush_s:
            self._flush_s = due_s
            self._state.timers.set(TimerKind.UPDATES, due_s)

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


def _size(view: ParticipantView) -> int:
    """About what it takes on the wire."""
    texts = len(view.metadata) + len(view.name) + sum(len(key) + len(value) for key, value in view.attributes.items())
    names = sum(len(track.name) for track in view.tracks) + sum(len(track.name) for track in view.data_tracks)
    return _VIEW_BYTES * (1 + len(view.tracks) + len(view.data_tracks)) + texts + names


def _batches(views: Sequence[ParticipantView], limit_bytes: int) -> Iterator[tuple[ParticipantView, ...]]:
    batch: list[ParticipantView] = []
    size = 0
    for view in views:
        view_size = _size(view)
        if batch and size + view_size > limit_bytes:
            yield tuple(batch)
            batch, size = [], 0
        batch.append(view)
        size += view_size
    if batch:
        yield tuple(batch)
