"""Identifiers: LiveKit's sids for the wire, integers for the engine.

Owns how both are made. Sids are a prefix and 12 characters of base57 (protocol.md §5.2); the Rust SDK insists on the
prefixes. Integers rise for the life of the process and are never used twice.
"""

from __future__ import annotations

import itertools
import secrets
from typing import NewType

__all__ = [
    "DataDownTrackId",
    "DataUpTrackId",
    "DownTrackId",
    "ParticipantId",
    "ParticipantSid",
    "RequestId",
    "RoomId",
    "RoomSid",
    "SessionId",
    "TrackSid",
    "TransportId",
    "UpTrackId",
    "next_id",
    "random_sid",
    "track_sid_prefix",
]

RoomSid = NewType("RoomSid", str)
ParticipantSid = NewType("ParticipantSid", str)
TrackSid = NewType("TrackSid", str)

RoomId = NewType("RoomId", int)
ParticipantId = NewType("ParticipantId", int)
SessionId = NewType("SessionId", int)
TransportId = NewType("TransportId", int)
UpTrackId = NewType("UpTrackId", int)
DownTrackId = NewType("DownTrackId", int)
DataUpTrackId = NewType("DataUpTrackId", int)
DataDownTrackId = NewType("DataDownTrackId", int)
RequestId = NewType("RequestId", int)

_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_SID_LENGTH = 12
_counter = itertools.count(1)


def random_sid(prefix: str) -> str:
    """A new sid; `prefix` includes the underscore or the track's letters, such as `RM_` or `TR_AM`."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_SID_LENGTH))


def next_id() -> int:
    """A new integer id, unique among all kinds for the life of the process."""
    return next(_counter)


def track_sid_prefix(*, audio: bool, source: int) -> str:
    """`TR_` with the kind's and the source's letter (`A`/`V`, then `C`, `M`, `S` or none), as the reference does."""
    letter = {1: "C", 2: "M", 3: "S", 4: "S"}.get(source, "")
    return f"TR_{'A' if audio else 'V'}{letter}"
