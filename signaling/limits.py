"""What one signalling connection may ask of the server.

Owns the numbers and the counting against them. Never closes anything: it says which cap was exceeded.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfu.control.requests import ClientCandidate, ClientOffer
from sfu.room.inputs import (
    SetSubscriptionPermission,
    StoreDataBlob,
    SyncState,
    UpdateDataSubscription,
    UpdateOwnMetadata,
    UpdateSubscription,
    UpdateTrackSettings,
)

if TYPE_CHECKING:
    from signaling.wire import Translated

__all__ = ["Cap", "SignalLimits", "SignalMeter", "TokenBucket"]


class Cap(enum.Enum):
    """What a connection was closed for; also the label of the counter."""

    MESSAGES = "messages"
    BYTES = "bytes"
    OFFERS = "offers"
    CANDIDATES = "candidates"
    METADATA = "metadata"
    TRACKS = "tracks"
    FRAME_SIZE = "frame_size"
    BAD_FRAMES = "bad_frames"
    SLOW_READER = "slow_reader"
    ROOM_OVERLOAD = "room_overload"


@dataclass(frozen=True, slots=True)
class SignalLimits:
    """Caps of one connection; 0 switches a rate off."""

    max_messages_per_s: float = 100
    """Averaged over ten seconds."""
    max_bytes_per_s: float = 1024 * 1024
    """Averaged over ten seconds: a description with a thousand lines takes a megabyte."""
    max_offers_per_minute: float = 600
    """A subscriber with one peer connection offers again whenever its set of tracks changes."""
    max_candidates_per_minute: float = 3000
    """libwebrtc lists its TCP ports over and over until it is connected: on a busy machine 500 in four seconds."""
    max_metadata_bytes_per_s: float = 256 * 1024
    """Averaged over ten seconds: several whole metadata at once are fine."""
    max_tracks_per_s: float = 2_000
    """Named in subscriptions, settings and permissions, averaged over ten seconds: each is work for room and engine."""
    max_frame_bytes: int = 1024 * 1024
    max_bad_frames: int = 5
    """Frames that are no signal request; the reference tolerates any number of them."""
    send_queue_bytes: int = 4 * 1024 * 1024
    send_queue_frames: int = 8192


class TokenBucket:
    """Allows `rate` units a second on average and `burst` at once."""

    __slots__ = ("_burst", "_filled_s", "_level", "_rate")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._filled_s: float | None = None

    def take(self, amount: float, now_s: float) -> bool:
        """Takes `amount` units when they are there; `now_s` never goes back."""
        if self._rate <= 0:
            return True
        if self._filled_s is not None:
            self._level = min(self._burst, self._level + (now_s - self._filled_s) * self._rate)
        self._filled_s = now_s
        if amount > self._level:
            return False
        self._level -= amount
        return True


class SignalMeter:
    """Counts one connection's requests against the limits."""

    def __init__(self, limits: SignalLimits) -> None:
        self._limits = limits
        self._messages = TokenBucket(limits.max_messages_per_s, limits.max_messages_per_s * 10)
        self._bytes = TokenBucket(limits.max_bytes_per_s, limits.max_bytes_per_s * 10)
        self._offers = TokenBucket(limits.max_offers_per_minute / 60, limits.max_offers_per_minute)
        self._metadata = TokenBucket(limits.max_metadata_bytes_per_s, limits.max_metadata_bytes_per_s * 10)
        self._tracks = TokenBucket(limits.max_tracks_per_s, limits.max_tracks_per_s * 10)
        self._candidates = TokenBucket(limits.max_candidates_per_minute / 60, limits.max_candidates_per_minute)
        self._bad_frames = 0

    def frame(self, length: int, now_s: float) -> Cap | None:
        """Counts one frame, before it is read."""
        if not self._messages.take(1, now_s):
            return Cap.MESSAGES
        return None if self._bytes.take(length, now_s) else Cap.BYTES

    def bad_frame(self) -> Cap | None:
        """Counts one frame that was no request."""
        self._bad_frames += 1
        return Cap.BAD_FRAMES if self._bad_frames >= self._limits.max_bad_frames else None

    def request(self, request: Translated, now_s: float) -> Cap | None:
        """Counts what a frame asked for."""
        if isinstance(request, ClientOffer):
            return None if self._offers.take(1, now_s) else Cap.OFFERS
        if isinstance(request, ClientCandidate):
            return None if self._candidates.take(1, now_s) else Cap.CANDIDATES
        if isinstance(request, UpdateOwnMetadata):
            attributes = sum(len(key) + len(value) for key, value in request.attributes.items())
            amount = len(request.metadata) + len(request.name) + attributes
            return None if self._metadata.take(amount, now_s) else Cap.METADATA
        if isinstance(request, StoreDataBlob):
            return None if self._metadata.take(len(request.contents), now_s) else Cap.METADATA
        return None if self._tracks.take(_tracks_in(request), now_s) else Cap.TRACKS


def _tracks_in(request: Translated) -> int:
    """How many tracks a request names."""
    match request:
        case UpdateSubscription() | UpdateTrackSettings():
            return len(request.track_sids)
        case UpdateDataSubscription():
            return len(request.wishes)
        case SetSubscriptionPermission():
            return sum(1 + len(permission.track_sids) for permission in request.permissions)
        case SyncState():
            return len(request.wished) + len(request.disabled) + len(request.data_wishes)
        case _:
            return 0
