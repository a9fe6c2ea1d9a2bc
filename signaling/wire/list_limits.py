"""How much one request may list: a list is work for the room at each of its entries.

Owns the numbers. Never drops entries in silence where a client waits for what it asked: it says which list is too long.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["MAX_FEATURES", "MAX_NAMED", "each_once", "too_long"]

MAX_NAMED = 20_000
"""Tracks, participants and attributes that a request may name: more than the largest rooms have of them."""
MAX_FEATURES = 32
"""Numbers of an enumeration; the largest of them has ten."""


def too_long(name: str, request: Any) -> str | None:
    """What is wrong with a request's lists, or `None`. `name` is its field of `SignalRequest`."""
    count = _COUNTS.get(name)
    if count is None or count(request) <= MAX_NAMED:
        return None
    return f"{name} lists more than {MAX_NAMED} entries"


def each_once(numbers: Iterable[int]) -> tuple[int, ...]:
    """Numbers of an enumeration, which everybody in the room is told: each once, and no more than can be meant."""
    return tuple(dict.fromkeys(islice(numbers, MAX_FEATURES)))


def _subscription(request: Any) -> int:
    return len(request.track_sids) + sum(1 + len(tracks.track_sids) for tracks in request.participant_tracks)


def _sync_state(request: Any) -> int:
    lists = (
        request.publish_tracks,
        request.publish_data_tracks,
        request.track_sids_disabled,
        request.datachannel_receive_states,
        request.data_subscription.updates,
    )
    return _subscription(request.subscription) + sum(map(len, lists))


_COUNTS: Mapping[str, Callable[[Any], int]] = {
    "subscription": _subscription,
    "track_setting": lambda request: len(request.track_sids),
    "subscription_permission": lambda request: sum(1 + len(one.track_sids) for one in request.track_permissions),
    "sync_state": _sync_state,
    "update_metadata": lambda request: len(request.attributes),
    "update_data_subscription": lambda request: len(request.updates),
}
