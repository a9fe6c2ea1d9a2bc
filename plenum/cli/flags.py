"""Flags that are not declared one by one: every scalar key of the configuration, as `--rtc.tcp_port 7881`.

Owns their parsing; the reference has them too. Never interprets a value: the models do.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from plenum.startup import StartupError
from sfu.config import boolean_keys, scalar_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["parse_key_flags"]


def parse_key_flags(arguments: Sequence[str]) -> dict[str, str]:
    """Dotted key -> text of `--a.b value`, `--a.b=value` and, for switches, `--a.b`.

    Raises:
        StartupError: A flag that is no key, or one without its value.
    """
    known, switches = set(scalar_keys()), boolean_keys()
    values: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, has_value, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name not in known:
            raise StartupError(f"unknown argument {word!r}{_suggestion(name, known)}")
        if not has_value:
            if name in switches and (not rest or rest[0].startswith("--")):
                value = "true"
            elif rest:
                value = rest.pop(0)
            else:
                raise StartupError(f"--{name} needs a value")
        values[name] = value
    return values


def _suggestion(name: str, known: set[str]) -> str:
    found = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean --{found[0]}?" if found else "; see --help"
