"""What every configuration section is made of: strict models, documented keys, value types.

Owns the base class, `key` (a field with its sentence of documentation) and the types that YAML texts become. Never
knows a key: those are in `reference` and `ours`. YAML scalars arrive here as texts and are converted by type, so that
a secret of digits stays as it was written.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

__all__ = [
    "AnyDuration",
    "Cidr",
    "CountPerSecond",
    "Duration",
    "Int",
    "Level",
    "NodeIp",
    "Port",
    "PortRange",
    "Section",
    "ShortDuration",
    "UInt",
    "key",
]

_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_MAX_PORT = 65535
_NODE_IPS = 2


class Section(BaseModel):
    """A mapping of the configuration: its keys are fixed, its values do not change after the start."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)


def key(default: Any, text: str, *, effect: bool = True, alias: str | None = None) -> Any:
    """A key with its default and one sentence: meaning, unit and reason.

    Args:
        default: Used when the key is absent.
        text: Documentation; goes to config.example.yaml.
        effect: False for a key of the reference that changes nothing here yet: it is named at start when set.
        alias: Name in the configuration where a model cannot use it.
    """
    return Field(default, alias=alias, description=text, json_schema_extra={"effect": effect})


def _duration_s(value: Any) -> Any:
    """Seconds of a Go duration such as `1m30s`, `500ms` or `0`."""
    if isinstance(value, int | float):
        return value
    text = value.strip() if isinstance(value, str) else ""
    if text == "0":
        return 0.0
    if not text or _DURATION_PART.sub("", text):
        raise ValueError("should be a duration with its unit, such as 500ms, 20s or 1m30s")
    return sum(float(number) * _UNIT_S[unit] for number, unit in _DURATION_PART.findall(text))


def _any_duration_s(value: Any) -> Any:
    """The same, and what Go's YAML reader takes besides: a sign, or a bare number of nanoseconds."""
    if not isinstance(value, str):
        return _duration_s(value)
    text = value.strip()
    sign = -1.0 if text.startswith("-") else 1.0
    text = text.lstrip("+-").replace("_", "")
    return sign * (int(text) * 1e-9 if text.isdecimal() else _duration_s(text))


def _port_range(value: Any) -> Any:
    """`(first, last)` of `7882` or `7882-7892`."""
    if isinstance(value, tuple):
        return value
    first, dash, last = str(value).partition("-")
    try:
        ports = (int(first), int(last) if dash else int(first))
    except ValueError:
        raise ValueError("should be a port or a range such as 7882-7892") from None
    if not 0 <= ports[0] <= ports[1] <= _MAX_PORT:
        raise ValueError(f"should be within 0 and {_MAX_PORT}, the first port not above the last")
    return ports


def _node_ip(value: str) -> str:
    """Checks `v4`, `v6` or `v4,v6`."""
    parts = [part.strip() for part in value.split(",")] if value else []
    versions = [_ip_version(part) for part in parts]
    if len(parts) > _NODE_IPS or len(set(versions)) != len(versions):
        raise ValueError("should be one IPv4 address, one IPv6 address or both with a comma between them")
    return ",".join(parts)


def _ip_version(text: str) -> int:
    try:
        return ipaddress.ip_address(text).version
    except ValueError:
        raise ValueError("should be an IP address, or an IPv4 and an IPv6 address with a comma between them") from None


def _cidr(value: str) -> str:
    """Checks `10.0.0.0/8`; a bare address is a network of one."""
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError("should be a network such as 10.0.0.0/8") from None
    return value


def _not_bool(value: Any) -> Any:
    if isinstance(value, bool):
        # Only from Python: YAML scalars arrive as texts.
        raise ValueError("should be a number")  # noqa: TRY004 - pydantic reports ValueErrors
    return value


UInt = Annotated[int, BeforeValidator(_not_bool), Field(ge=0, le=2**63 - 1)]
"""A count or a size; 0 and above."""

CountPerSecond = Annotated[UInt, Field(le=2**32 - 1)]
"""A rate that the engine holds everybody to."""

Port = Annotated[int, BeforeValidator(_not_bool), Field(ge=0, le=_MAX_PORT)]
"""A TCP or UDP port; what 0 means is said at the key."""

Int = Annotated[int, BeforeValidator(_not_bool), Field(ge=-(2**63), le=2**64 - 1)]
"""Any whole number that the reference can hold; for keys without effect, where a negative one often means "off"."""

Level = Annotated[int, Field(ge=0, le=127)]
"""RFC 6464 level: −dBov, so 0 is loudest and 127 silence."""

Duration = Annotated[float, BeforeValidator(_duration_s), Field(ge=0, le=366 * 86400)]
"""Seconds; written as in Go, `1m30s`."""

ShortDuration = Annotated[Duration, Field(le=60)]
"""The same, a minute at most: the longest interval of the engine."""

AnyDuration = Annotated[float, BeforeValidator(_any_duration_s)]
"""Seconds, also negative; for keys without effect."""

PortRange = Annotated[tuple[Port, Port], BeforeValidator(_port_range)]
"""First and last port; `(0, 0)` means unset."""

NodeIp = Annotated[str, AfterValidator(_node_ip)]
Cidr = Annotated[str, AfterValidator(_cidr)]
