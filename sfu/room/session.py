"""One signalling life of a participant.

Owns whether messages can still reach the client. Never sends: that is `state.RoomState`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfu.ids import SessionId
    from sfu.room.inputs import ClientDescription

__all__ = ["Session"]


@dataclass(slots=True)
class Session:
    """The connection of `id`; once lost it never comes back."""

    id: SessionId
    client: ClientDescription
    lost: bool = False

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
