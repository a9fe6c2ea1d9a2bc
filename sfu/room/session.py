"""One signalling life of a participant.

Owns whether messages can still reach the client. Never sends: that is `state.RoomState`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfu.ids import SessionId
    from sfu.room.inputs import ClientDescription

__all__ = ["Session"]

PACKET_TRAILER = 1
"""`ClientInfo.Capability.CAP_PACKET_TRAILER`."""


@dataclass(slots=True)
class Session:
    """The connection of `id`; once lost it never comes back: who resumes gets another one."""

    id: SessionId
    client: ClientDescription
    may_replay: bool = False
    """It goes on where another one broke: once it may ask for the data that it has missed."""
    began_at_s: float = -math.inf
    """When it took over from another one (monotonic)."""
    heard_until_s: float = -math.inf
    """What the client was told before that has arrived: it has answered since (monotonic)."""
    lost: bool = False
    lost_at_s: float = math.inf
    """When that was noticed (monotonic)."""

    @property
    def knows_packet_trailers(self) -> bool:
        """Takes packet trailers off by itself (`CAP_PACKET_TRAILER`)."""
        return PACKET_TRAILER in self.client.capabilities

    @property
    def knows_departures(self) -> bool:
        """Wants to hear on resume who left meanwhile (level 9)."""
        return self.client.protocol >= 9

    @property
    def knows_identity_switch(self) -> bool:
        """Takes a new sid under a known identity as a replacement (protocol.md §5.2, level 12)."""
        return self.client.protocol >= 12

    @property
    def knows_positive_response(self) -> bool:
        """Understands a `request_response` that says OK (level 15)."""
        return self.client.protocol >= 15

    @property
    def knows_subscriber_primary(self) -> bool:
        """May wait for the subscriber connection first (level 3)."""
        return self.client.protocol >= 3
