"""API keys and their secrets: where they come from, and which secret belongs to which key.

Owns parsing of `key: secret` texts and key files, the file's permission check, and reload (protocol.md §7). Never
logs or repeats a secret, not even in an error.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import yaml

__all__ = [
    "MIN_SECRET_LENGTH",
    "KeyProvider",
    "KeyRing",
    "KeySource",
    "KeysError",
    "generate_key_pair",
    "key_file_source",
    "mapping_source",
    "parse_keys",
]

MIN_SECRET_LENGTH = 32
"""Characters; RFC 7518 §3.2 asks for a key as long as the hash's output."""

KeySource = Callable[[], Mapping[str, str]]
"""Reads API key -> secret anew at each call; raises `KeysError`."""

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class KeysError(ValueError):
    """Keys could not be read; the text says why and names no secret."""


class KeyProvider(Protocol):
    """What verifying and issuing tokens needs to know of keys."""

    def secret(self, api_key: str) -> str | None:
        """The secret of `api_key`, or `None` when there is no such key."""


class KeyRing:
    """The keys of all sources together; a later source wins."""

    def __init__(self, *sources: KeySource) -> None:
        """Reads all `sources` at once.

        Raises:
            KeysError: A source cannot be read.
        """
        self._sources = sources
        self._secrets: Mapping[str, str] = {}
        self.reload()

    @property
    def api_keys(self) -> tuple[str, ...]:
        """All keys, in the order of their sources."""
        return tuple(self._secrets)

    def secret(self, api_key: str) -> str | None:
        """See `KeyProvider`."""
        return self._secrets.get(api_key)

    def reload(self) -> None:
        """Reads every source again: all or nothing.

        Raises:
            KeysError: A source cannot be read; the keys known so far stay.
        """
        merged: dict[str, str] = {}
        for source in self._sources:
            merged.update(source())
        self._secrets = merged

    def short_secrets(self) -> tuple[str, ...]:
        """Keys whose secret is shorter than `MIN_SECRET_LENGTH`."""
        return tuple(key for key, secret in self._secrets.items() if len(secret) < MIN_SECRET_LENGTH)


def parse_keys(text: str, origin: str = "keys") -> dict[str, str]:
    """Reads `key: secret` lines (a YAML mapping, so `{a: b, c: d}` works too).

    Args:
        text: What `LIVEKIT_KEYS`, `--keys` or a key file holds.
        origin: Name of the place, for the error.

    Raises:
        KeysError: Not a mapping of texts.
    """
    wanted = f'{origin} must be "key: secret", including the space, one pair a line'
    try:
        # BaseLoader keeps every scalar a text: a secret of digits stays as it was written.
        parsed = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - builds only str, list and dict
    except yaml.YAMLError:
        raise KeysError(wanted) from None
    if parsed is None:
        return {}
    if not isinstance(parsed, dict):
        raise KeysError(wanted)
    return checked_keys(parsed, wanted)


def checked_keys(pairs: Mapping[object, object], wanted: str) -> dict[str, str]:
    """`pairs` when all are non-empty texts; `KeysError(wanted)` otherwise."""
    keys: dict[str, str] = {}
    for key, secret in pairs.items():
        if not (isinstance(key, str) and isinstance(secret, str) and key and secret):
            raise KeysError(wanted)
        keys[key] = secret
    return keys


def mapping_source(pairs: Mapping[str, str]) -> KeySource:
    """A source that never changes."""
    fixed = dict(pairs)
    return lambda: fixed


def key_file_source(path: Path | str) -> KeySource:
    """A source that reads a key file, whose mode must give others nothing."""
    return lambda: _read_key_file(Path(path))


def _read_key_file(path: Path) -> dict[str, str]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with os.fdopen(descriptor, encoding="utf-8") as file:
            # The open file's own mode: what is checked is what is read.
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & stat.S_IRWXO:
                raise KeysError(f'key file "{path}" is open to others: set its mode to 600')
            text = file.read()
    except OSError as error:
        raise KeysError(f'key file "{path}" cannot be read: {error.strerror}') from error
    except UnicodeDecodeError:
        raise KeysError(f'key file "{path}" is not UTF-8 text') from None
    return parse_keys(text, origin=f'key file "{path}"')


def generate_key_pair() -> tuple[str, str]:
    """A new `(API key, secret)`: `API` and 12 characters; 43 characters, which is 256 bits."""
    key = "API" + "".join(secrets.choice(_BASE62) for _ in range(12))
    return key, "".join(secrets.choice(_BASE62) for _ in range(43))
