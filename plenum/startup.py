"""From command line and environment to what the server starts with: configuration, keys, bind addresses.

Owns the rules that need all three at once: dev mode's defaults, which source of keys counts, the refusal of short
secrets. Never starts anything.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auth.keys import (
    MIN_SECRET_LENGTH,
    KeyRing,
    KeysError,
    KeySource,
    generate_key_pair,
    key_file_source,
    mapping_source,
    parse_keys,
)
from plenum.notes import codecs_left_out, left_out, unknown_names, without_effect
from sfu import config as configuration
from sfu.config import Config, ConfigError
from sfu.room.codecs import canonical_mime, carries_media

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEV_KEY", "DEV_SECRET", "Flags", "Startup", "StartupError", "load_config", "prepare"]

DEV_KEY = "devkey"
DEV_SECRET = "secret"  # noqa: S105 - public on purpose: every LiveKit tool knows it
_LOOPBACK = ("127.0.0.1", "::1")


class StartupError(Exception):
    """The server cannot start as it was told to; the text is one line for the operator (exit code 2)."""


@dataclass(frozen=True, slots=True)
class Flags:
    """What the command line said; empty means not said."""

    config: Path | None = None
    config_body: str = ""
    keys: str = ""
    bind: tuple[str, ...] = ()
    dev: bool = False
    strict: bool = True
    """Whether unknown keys of the file are refused."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Dotted key -> value."""


@dataclass(frozen=True, slots=True)
class Startup:
    """Everything that `plenum.server` needs."""

    config: Config
    keys: KeyRing
    ineffective: tuple[str, ...]
    """Keys that were set but change nothing yet, those left out that `notes` speaks of."""
    notes: tuple[str, ...] = ()
    """What the operator should know, one sentence each."""
    origin: str = ""
    """Where the configuration came from: a path, `LIVEKIT_CONFIG`, or empty."""
    generated: tuple[str, str] | None = None
    """`(API key, secret)` made for this run, to be shown."""

    @property
    def on_loopback_only(self) -> bool:
        """Whether nobody outside this machine can reach HTTP."""
        addresses = self.config.bind_addresses
        return bool(addresses) and all(_is_loopback(address) for address in addresses)

    @property
    def open_to_others(self) -> bool:
        """Whether anybody on the network gets a token from the page: dev mode outside loopback."""
        return self.config.development and self.config.plenum.web and not self.on_loopback_only


def prepare(flags: Flags, env: Mapping[str, str]) -> Startup:
    """Reads and checks everything.

    Raises:
        StartupError: Anything is unreadable, unknown, impossible or unsafe.
    """
    given = load_config(flags, env)
    config = _with_dev_defaults(given) if given.development else given
    keys_text = flags.keys or env.get("LIVEKIT_KEYS", "")
    generated = None
    try:
        source = _key_source(config, keys_text)
        if source is None and config.development:
            pair = _dev_pair(config)
            generated = None if pair[0] == DEV_KEY else pair
            source = mapping_source(dict([pair]))
        if source is None:
            raise StartupError(
                "no API keys: set keys or key_file in the configuration or LIVEKIT_KEYS='key: secret';"
                " `plenum generate-keys` makes a pair"
            )
        ring = KeyRing(source)
    except KeysError as error:
        raise StartupError(str(error)) from None
    _check_keys(ring, config)
    _check_ports(config)
    _check_metrics_password(config)
    _check_codecs(config)
    sentences, others = without_effect(given)
    notes = (*_overruled(flags, env), *unknown_names(env), *left_out(given), *sentences)
    return Startup(config, ring, others, notes, _origin(flags, env), generated)


def load_config(flags: Flags, env: Mapping[str, str]) -> Config:
    """The configuration alone, as it was given.

    Raises:
        StartupError: It is unreadable, or has an unknown key or an impossible value.
    """
    try:
        return configuration.load(_config_text(flags, env), env=env, flags=_flag_values(flags), strict=flags.strict)
    except ConfigError as error:
        origin = _origin(flags, env) if error.in_text and not flags.config_body else ""
        raise StartupError(f'configuration "{origin}": {error}' if origin else f"configuration: {error}") from None


def _origin(flags: Flags, env: Mapping[str, str]) -> str:
    if flags.config_body:
        return "--config-body"
    if env.get("LIVEKIT_CONFIG"):
        return "LIVEKIT_CONFIG"
    return str(flags.config or "")


def _overruled(flags: Flags, env: Mapping[str, str]) -> tuple[str, ...]:
    """As in the reference, a text counts instead of the file; nobody who gave both expects that."""
    origin = _origin(flags, env)
    if flags.config is None or origin == str(flags.config):
        return ()
    return (f'{origin} is set, so the file "{flags.config}" is not read',)


def _config_text(flags: Flags, env: Mapping[str, str]) -> str:
    body = flags.config_body or env.get("LIVEKIT_CONFIG", "")
    if body or flags.config is None:
        return body
    try:
        return flags.config.read_text(encoding="utf-8")
    except OSError as error:
        raise StartupError(f'configuration "{flags.config}" cannot be read: {error.strerror}') from None
    except UnicodeDecodeError:
        raise StartupError(f'configuration "{flags.config}" is not UTF-8 text') from None


def _flag_values(flags: Flags) -> dict[str, Any]:
    values = dict(flags.values)
    if flags.bind:
        values["bind_addresses"] = list(flags.bind)
    if flags.dev:
        values["development"] = True
    return values


def _with_dev_defaults(config: Config) -> Config:
    """Loopback unless told otherwise, and media that reaches browsers on this machine (engine.md §7)."""
    changes: dict[str, Any] = {}
    has_keys = bool(config.keys or config.key_file)
    if not config.bind_addresses and not has_keys:
        changes["bind_addresses"] = list(_LOOPBACK)
    rtc: dict[str, Any] = {}
    if "enable_loopback_candidate" not in config.rtc.model_fields_set:
        rtc["enable_loopback_candidate"] = True
    outside = [address for address in config.bind_addresses if _is_one_outside_address(address)]
    if outside and not config.rtc.ips.includes:
        # As the reference: media keeps to the networks that HTTP was bound to.
        networks = [str(ipaddress.ip_network(f"{address}/{_prefix(address)}", strict=False)) for address in outside]
        rtc["ips"] = config.rtc.ips.model_copy(update={"includes": networks})
    if rtc:
        changes["rtc"] = config.rtc.model_copy(update=rtc)
    return config.model_copy(update=changes)


def _key_source(config: Config, keys_text: str) -> KeySource | None:
    """As in the reference: the key file counts before `--keys` and LIVEKIT_KEYS, these before `keys:`."""
    if config.key_file:
        return key_file_source(Path(config.key_file).expanduser())
    if keys_text:
        return mapping_source(parse_keys(keys_text, "LIVEKIT_KEYS"))
    return mapping_source(config.keys) if config.keys else None


def _dev_pair(config: Config) -> tuple[str, str]:
    if all(_is_loopback(address) for address in config.bind_addresses):
        return DEV_KEY, DEV_SECRET
    # Others can reach us: a secret that everybody knows would let them in.
    return generate_key_pair()


def _check_keys(ring: KeyRing, config: Config) -> None:
    if not ring.api_keys:
        raise StartupError("no API keys: the key source is empty; `plenum generate-keys` makes a pair")
    short = ring.short_secrets()
    if short and not config.development:
        raise StartupError(
            f"the secret of API key {short[0]!r} is shorter than {MIN_SECRET_LENGTH} characters, which can be guessed;"
            " make a new pair with `plenum generate-keys`"
        )


def _check_ports(config: Config) -> None:
    """Ports of our own that exclude each other; 0 is any free one, or none."""
    ports = {"port": config.port}
    if config.prometheus.port or config.prometheus_port:
        name = "prometheus.port" if config.prometheus.port else "prometheus_port"
        ports[name] = config.prometheus.port or config.prometheus_port
    if all(_is_everywhere(address) for address in config.bind_addresses):
        # Otherwise media and HTTP may have the same port on different addresses.
        ports["rtc.tcp_port"] = config.rtc.tcp_port
    owners: dict[int, str] = {}
    for name, port in ports.items():
        if port in owners:
            raise StartupError(f"{owners[port]} and {name} are both {port}: each needs a port of its own")
        if port:
            owners[port] = name


def _check_metrics_password(config: Config) -> None:
    if bool(config.prometheus.username) != bool(config.prometheus.password):
        missing = "password" if config.prometheus.username else "username"
        raise StartupError(
            f"prometheus.{missing} is missing: username and password go together, otherwise metrics are open to all"
        )


def _check_codecs(config: Config) -> None:
    missing = codecs_left_out(config)
    if all(codec.mime in missing for codec in config.room.enabled_codecs):
        raise StartupError(f"room.enabled_codecs: this server has none of these codecs: {', '.join(missing)}")
    known = [codec.mime for codec in config.room.enabled_codecs if codec.mime not in missing]
    if not any(carries_media(canonical_mime(mime)) for mime in known):
        raise StartupError(f"room.enabled_codecs: none of these carries audio or video by itself: {', '.join(known)}")


def _is_everywhere(address: str) -> bool:
    return address in ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound


def _is_loopback(address: str) -> bool:
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _is_one_outside_address(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not (ip.is_loopback or ip.is_unspecified)


def _prefix(address: str) -> int:
    return 24 if ipaddress.ip_address(address).version == 4 else 64
