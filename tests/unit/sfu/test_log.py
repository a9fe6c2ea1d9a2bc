"""Logs: both forms, levels, and that tokens and addresses do not get in."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING

import pytest
import structlog

from sfu.log import RedactedAddress, RedactedToken, configure_logging

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configuration = structlog.get_config()
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**configuration)


def test_json_lines(stream: io.StringIO) -> None:
    configure_logging("info", json_lines=True, stream=stream)
    structlog.get_logger().bind(room="r").info("participant joined", participant="ann")
    line = json.loads(stream.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "participant joined", "level": "info", "room": "r", "participant": "ann"}


@pytest.mark.parametrize("json_lines", [True, False])
def test_tokens_and_addresses_are_cut(stream: io.StringIO, json_lines: bool) -> None:
    configure_logging("info", json_lines=json_lines, stream=stream)
    log = structlog.get_logger()
    log.info("asked", token=RedactedToken(TOKEN), url=f"ws://h/rtc?access_token={TOKEN}&a=1")
    log.info("from", v4=RedactedAddress("203.0.113.77"), v6=RedactedAddress("2001:db8:1:2::3"))
    logging.getLogger("aiohttp.server").error("bad request %s", TOKEN)
    text = stream.getvalue()
    assert TOKEN not in text
    assert text.count("<token>") == 3
    assert "203.0.113.0/24" in text
    assert "2001:db8:1::/48" in text
    assert "203.0.113.77" not in text


@pytest.mark.parametrize("text", ["a\0b", "a\nb", "\x1b[31m", "\x9b31m", "\u202ea", "\u2028", "\x7f", "\ud800", "a \0"])
def test_what_a_terminal_would_obey_is_escaped(stream: io.StringIO, text: str) -> None:
    configure_logging("info", json_lines=False, stream=stream)
    structlog.get_logger().info("joined", participant=text, all=[text])
    logging.getLogger("x").error("odd %s", text)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert f"participant={text!r}" in lines[0]
    assert f"all=[{text!r}]" in lines[0]
    assert f"odd {repr(text)[1:-1]}" in lines[1]
    assert all(line.isprintable() for line in lines)


def test_what_can_be_shown_is_shown_as_it_is(stream: io.StringIO) -> None:
    configure_logging("info", json_lines=False, stream=stream)
    structlog.get_logger().info("joined", participant="Ann-Ö-😀")
    assert "participant=Ann-Ö-😀" in stream.getvalue()


def test_below_the_level_nothing_is_written(stream: io.StringIO) -> None:
    configure_logging("warn", json_lines=True, stream=stream)
    structlog.get_logger().info("unseen")
    logging.getLogger("x").info("unseen")
    assert stream.getvalue() == ""


def test_a_traceback_stays_one_json_line_and_shows_no_variables(stream: io.StringIO) -> None:
    configure_logging("info", json_lines=False, stream=stream)
    hidden = "sosecret" + "value"
    try:
        int(hidden[:0])
    except ValueError:
        structlog.get_logger().exception("room failed")
    assert "ValueError: invalid literal" in stream.getvalue()
    assert hidden not in stream.getvalue()


def test_what_is_no_address_is_not_shown() -> None:
    assert repr(RedactedAddress("somebody")) == "<address>"
    assert repr(RedactedAddress("127.0.0.1")) == "127.0.0.1"
