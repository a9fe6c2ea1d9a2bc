"""A refused join in the log: what an operator needs to find out why, and nothing that a stranger made up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import WSServerHandshakeError
from structlog.testing import capture_logs

from tests.sim.world import KEY, SECRET, make_token, open_world

if TYPE_CHECKING:
    from collections.abc import MutableMapping


async def refused_line(token: str, **query: str) -> MutableMapping[str, Any]:
    """The line of a join over `/rtc` that came through a proxy."""
    headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": "198.51.100.77, 10.0.0.1"}
    async with open_world() as world:
        assert world.http is not None
        with capture_logs() as lines, pytest.raises(WSServerHandshakeError):
            await world.http.ws_connect(f"{world.url}/rtc", params={"sdk": "python", **query}, headers=headers)
    (line,) = [line for line in lines if line["event"] == "join refused"]
    assert token not in str(line)
    return line


async def test_a_good_token_names_its_bearer_and_the_missing_grant() -> None:
    line = await refused_line(make_token("ann", "lobby", room_join=False), version="1.2")
    assert (line["room"], line["participant"], line["api_key"]) == ("lobby", "ann", KEY)
    assert (line["sdk"], line["version"], line["path"]) == ("python", "1.2", "/rtc")
    assert (line["status"], line["missing_grant"]) == (401, "roomJoin")
    assert repr(line["network"]) == "198.51.100.0/24"


async def test_a_forged_token_names_only_its_key() -> None:
    line = await refused_line(make_token("ann", "lobby", secret=SECRET + "x"))
    assert line["api_key"] == KEY
    assert "room" not in line
    assert "participant" not in line
