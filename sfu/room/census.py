"""How many participants count, publish and record, kept up to date in constant time.

Owns the totals. Never announces them: that is `announcing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sfu.ids import ParticipantId
    from sfu.room.participant import Participant

__all__ = ["Census", "Totals"]


class _Share(NamedTuple):
    counts: bool
    publishes: bool
    records: bool


class Totals(NamedTuple):
    """What `Room` tells of a room's participants."""

    participants: int
    publishers: int
    recording: bool


_NOTHING = _Share(counts=False, publishes=False, records=False)


class Census:
    """Totals over a room; dependents do not count (protocol.md §5.1)."""

    def __init__(self) -> None:
        self._shares: dict[ParticipantId, _Share] = {}
        self.participants = 0
        """Those that count."""
        self._publishers = 0
        self._recorders = 0

    def totals(self) -> Totals:
        """As of now."""
        return Totals(self.participants, self._publishers, self._recorders > 0)

    def note(self, participant: Participant) -> None:
        """Takes a new or changed participant into account."""
        counts = not participant.dependent
        self._replace(participant.id, _Share(counts, counts and participant.is_publisher, participant.recording))

    def forget(self, participant: Participant) -> None:
        """Takes one that left out of account."""
        self._replace(participant.id, _NOTHING)
        del self._shares[participant.id]

    def counts(self, participant: Participant) -> bool:
        """Whether this one was counted."""
        return self._shares.get(participant.id, _NOTHING).counts

    def _replace(self, participant: ParticipantId, share: _Share) -> None:
        old = self._shares.get(participant, _NOTHING)
        self._shares[participant] = share
        self.participants += share.counts - old.counts
        self._publishers += share.publishes - old.publishes
        self._recorders += share.records - old.records
