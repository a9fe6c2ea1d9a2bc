"""Where a room's effects leave the control plane: clients' connections, listeners of life events, and encoders.

Owns the interfaces that `signaling` (and whoever wants life events) implements, so that control imports neither
protobuf nor HTTP. Never encodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from auth.grants import Claims
    from sfu.room.effects import RoomEvent, SendEngineData
    from sfu.room.messages import Leave, Message

__all__ = ["DataEncoder", "EventSink", "Outgoing", "SignalSink", "TokenIssuer"]


class Outgoing:
    """One message on its way to one or many sessions.

    `frames` is the encoders' to fill: the message is encoded once for each frame format, however many sessions get it,
    and forgotten with this object.
    """

    __slots__ = ("frames", "message")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.frames: dict[bool, bytes | str] = {}
        """Is it a text frame -> encoded frame."""


class SignalSink(Protocol):
    """One client's signalling connection. No method raises or waits."""

    def send(self, outgoing: Outgoing) -> None:
        """Queues a message; one that cannot be queued ends the connection."""

    def close(self, leave: Leave | None) -> None:
        """Sends `leave` (when there is one) after everything queued, then closes. Once is enough.

        The code is 1000, which is final for some clients, unless `leave` asks the client to come back.
        """

    def drop(self) -> None:
        """Sends what is queued, then ends the connection so that the client takes it for broken and comes back."""


class EventSink(Protocol):
    """Listens to life events: logs, metrics, webhooks."""

    def emit(self, event: RoomEvent) -> None:
        """Takes an event; must neither raise nor wait."""


class DataEncoder(Protocol):
    """Makes the wire form of data that originates at the server."""

    def encode_data(self, effect: SendEngineData) -> bytes:
        """Encoded `livekit.DataPacket`."""


class TokenIssuer(Protocol):
    """Signs claims anew."""

    def refresh(self, claims: Claims) -> str | None:
        """A token with the same claims and key (protocol.md §5.5); `None` when its key is gone."""
