"""Logs: structured lines on standard output, readable text in dev mode, JSON in production.

Owns the pipeline and redaction: a token or an address is logged only as `Redacted`, which prints without its secret
part; bare strings that look like a JWT are cut too, as a second net. Never decides what is worth a line.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import sys
from typing import TYPE_CHECKING, Any, TextIO

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = ["LEVELS", "RedactedAddress", "RedactedToken", "configure_logging"]

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}

_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")
_CUT_TOKEN = "<token>"  # noqa: S105 - what stands in a token's place
_OF_MANY_LINES = ("exception", "stack")
_PREFIX_LENGTHS = {4: 24, 6: 48}


class RedactedToken:
    """A token as it may be logged: not at all."""

    __slots__ = ()

    def __init__(self, _token: str) -> None: ...

    def __repr__(self) -> str:
        return _CUT_TOKEN


class RedactedAddress:
    """An IP address as it may be logged: its network, /24 or /48."""

    __slots__ = ("_shown",)

    def __init__(self, address: str) -> None:
        try:
            ip = ipaddress.ip_address(address.strip("[]"))
        except ValueError:
            self._shown = "<address>"
            return
        network = ipaddress.ip_network((ip, _PREFIX_LENGTHS[ip.version]), strict=False)
        self._shown = str(ip) if ip.is_loopback else str(network)

    def __repr__(self) -> str:
        return self._shown


def configure_logging(level: str, *, json_lines: bool, stream: TextIO | None = None) -> None:
    """Sends structlog and the standard library's logging through one pipeline.

    Args:
        level: Key of `LEVELS`.
        json_lines: One JSON object a line; otherwise text, coloured on a terminal.
        stream: Where to; default standard output.
    """
    out = stream or sys.stdout
    renderer: structlog.typing.Processor
    if json_lines:
        renderer = structlog.processors.JSONRenderer(default=_json_default)
    else:
        # Plain tracebacks: rich ones print local variables, secrets among them.
        renderer = structlog.dev.ConsoleRenderer(
            colors=out.isatty(), pad_event_to=30, exception_formatter=structlog.dev.plain_traceback
        )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _cut_tokens,
    ]
    formatted: list[structlog.typing.Processor]
    formatted = [structlog.processors.format_exc_info] if json_lines else [_escape_texts]
    structlog.configure(
        processors=[*shared, *formatted, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    _route_standard_logging(level, [*shared, *formatted], renderer, out)


def _route_standard_logging(
    level: str, shared: list[structlog.typing.Processor], renderer: structlog.typing.Processor, out: TextIO
) -> None:
    """Libraries (aiohttp, asyncio) log through the standard library; their lines get the same form."""
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    # A library's debug lines are its authors' business, not an operator's.
    root.setLevel(max(LEVELS[level], logging.INFO))


def _cut_tokens(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if isinstance(value, str) and "eyJ" in value:
            event[name] = _JWT.sub(_CUT_TOKEN, value)
    return event


class _Escaped:
    """A text that the renderer would write as it is, and a terminal would obey."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return repr(self._text)


def _escape_texts(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Control characters, lone surrogates and the like: the renderer itself escapes only what has a space in it."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable() and name not in _OF_MANY_LINES:
            event[name] = repr(value)[1:-1] if name == "event" else _Escaped(value)
    return event


def _json_default(value: object) -> str:
    return repr(value) if isinstance(value, RedactedToken | RedactedAddress) else str(value)
