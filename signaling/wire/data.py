"""Data that originates at the server, as `livekit.DataPacket` (protocol.md §2.10).

Owns the encoding. What participants send never comes here: the engine forwards it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from livekit.protocol import models

if TYPE_CHECKING:
    from sfu.room.effects import SendEngineData

__all__ = ["ProtobufDataEncoder"]


class ProtobufDataEncoder:
    """Implements `sfu.control.sinks.DataEncoder`."""

    def encode_data(self, effect: SendEngineData) -> bytes:
        """A packet without a sender, its destinations mirrored where old clients look for them."""
        user = models.UserPacket(
            payload=effect.payload, destination_identities=effect.destination_identities, nonce=effect.nonce
        )
        if effect.topic is not None:
            user.topic = effect.topic
        packet = models.DataPacket(
            kind=models.DataPacket.Kind.RELIABLE if effect.reliable else models.DataPacket.Kind.LOSSY,
            destination_identities=effect.destination_identities,
            user=user,
        )
        return packet.SerializeToString()
