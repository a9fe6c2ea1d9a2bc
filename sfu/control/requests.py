"""What a client's session asks of the shell itself: negotiation of its peer connections.

Owns the shapes. Everything else that a client asks is a room input. Never reaches the room as it is: an offer becomes
`OfferReceived` once it is parsed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfu.ids import SessionId

__all__ = ["ClientAnswer", "ClientCandidate", "ClientOffer", "TransportRequest"]


@dataclass(frozen=True, slots=True)
class ClientOffer:
    """`offer`: for the publisher connection, or the only one."""

    session: SessionId
    sdp: str
    id: int


@dataclass(frozen=True, slots=True)
class ClientAnswer:
    """`answer` to an offer of ours (dual mode); ignored in single mode."""

    session: SessionId
    sdp: str
    id: int


@dataclass(frozen=True, slots=True)
class ClientCandidate:
    """`trickle`: `candidate` is the attribute value, never empty."""

    session: SessionId
    candidate: str
    subscriber: bool


TransportRequest = ClientOffer | ClientAnswer | ClientCandidate
