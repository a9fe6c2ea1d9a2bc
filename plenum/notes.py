"""What the operator should know before anything is served: keys whose effect is missing, names that set nothing.

Owns the sentences. Never refuses: that is `plenum.startup`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu import config as configuration
from sfu.config.reference import ALL_CODECS
from sfu.room.codecs import canonical_mime

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sfu.config import Config

__all__ = ["NOT_YET", "codecs_left_out", "left_out", "unknown_names", "without_effect"]

_ONE_NODE = "one node only: rooms are not shared with other servers"
NOT_YET: Mapping[str, str] = {
    "redis.address": _ONE_NODE,
    "redis.sentinel_addresses": _ONE_NODE,
    "redis.cluster_addresses": _ONE_NODE,
    "turn.enabled": "no TURN server is started; clients whose network blocks UDP use rtc.tcp_port",
    "rtc.turn_servers": "clients are not told of TURN servers yet",
    "webhook.urls": "no webhooks are sent yet",
    "limit.num_tracks": "the number of tracks is not limited yet",
    "limit.bytes_per_sec": "the rate of this node is not limited yet",
}
"""Key -> what somebody who set it would otherwise find out later."""


def without_effect(given: Config) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """`(sentences, names)`: one sentence for each consequence, and the names of the other keys without effect."""
    names = configuration.ineffective_keys(given)
    sentences: dict[str, list[str]] = {}
    rest: list[str] = []
    for name in names:
        # Negative means "no limit", and there is none.
        unlimited = name.startswith("limit.") and _at(given, name) < 0
        if name in NOT_YET and not unlimited:
            sentences.setdefault(NOT_YET[name], []).append(name)
        elif not unlimited:
            rest.append(name)
    return tuple(f"{', '.join(keys)}: {text}" for text, keys in sentences.items()), tuple(rest)


def unknown_names(env: Mapping[str, str]) -> tuple[str, ...]:
    """One sentence for all variables that look like keys and are none."""
    names = configuration.unknown_variables(env)
    return (f"these environment variables are no keys and set nothing: {', '.join(names)}",) if names else ()


def codecs_left_out(config: Config) -> tuple[str, ...]:
    """Those of `room.enabled_codecs` that there are none of here, as they were written, each once."""
    mimes = dict.fromkeys(codec.mime for codec in config.room.enabled_codecs)
    return tuple(mime for mime in mimes if canonical_mime(mime) not in ALL_CODECS)


def left_out(config: Config) -> tuple[str, ...]:
    """One sentence for all codecs that are left out."""
    names = ", ".join(repr(mime) for mime in codecs_left_out(config))
    return (f"room.enabled_codecs: left out, for this server has no such codec: {names}",) if names else ()


def _at(config: Config, path: str) -> float:
    section, _, name = path.partition(".")
    value = getattr(getattr(config, section), name)
    return value if isinstance(value, int | float) else 0
