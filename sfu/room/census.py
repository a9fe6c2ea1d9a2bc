"""How many participants count, publish and record, kept up to date in constant time.

Owns the totals. Never announces them: that is `announcing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sfu.ids import ParticipantId
    from sfu.room.participant import Participant

__all__ = ["Census"]


class _Share(NamedTuple):
    counts: bool
    publishes: bool
    records: bool


_NOTHING = _Share(counts=False, publishes=False, records=False)


class Census:
    """Totals over a room; dependents do not count (protocol.md §5.1)."""

    def __init__(self) -> None:
        self._shares: dict[ParticipantId, _Share] = {}
        self.participants = 0
        self.publishers = 0
        self.recorders = 0

    def note(self, participant: Participant) -> bool:
        """Takes a new or changed participant into account; true when a total changed."""
        counts = not participant.dependent
        share = _Share(counts, counts and participant.is_publisher, participant.recording)
        return self._replace(participant.id, share)

    def forget(self, participant: Participant) -> bool:
        """Takes one that left out of account; true when a total changed."""
        changed = self._replace(participant.id, _NOTHING)
        self._shares.pop(participant.id, None)
        return changed

    def counts(self, participant: Participant) -> bool:
        """Whether this one was counted."""
        return self._shares.get(participant.id, _NOTHING).counts

    def _replace(self, participant: ParticipantId, share: _Share) -> bool:
        old = self._shares.get(participant, _NOTHING)
        self._shares[participant] = share
        self.participants += share.counts - old.counts
        self.publishers += share.publishes - old.publishes
        self.recorders += share.records - old.records
        return share != old
