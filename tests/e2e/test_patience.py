"""What shows only with time: idle connections, the limit on joining, silent sockets, who is given up and comes back.

Everything runs at once in one fixture, so that the module takes one minute and not four; each test looks at its part.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio
from livekit.protocol import models

from tests.e2e.support.api_client import twirp
from tests.e2e.support.browser import Browser, launched
from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.journal import eventually
from tests.e2e.support.media import assert_tone, publish_tone
from tests.e2e.support.netns import namespace
from tests.e2e.support.sdk_client import sdk
from tests.e2e.support.server import OWN, Server, ServerSpec, started
from tests.e2e.support.standing import standing
from tests.e2e.support.wire_client import join_request, wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

IDLE_S = 60.0


@dataclass
class Long:
    """The long scenarios, under way."""

    tasks: dict[tuple[str, JoinPath], asyncio.Task[None]]

    async def result(self, name: str, path: JoinPath) -> None:
        """Wait for one of them; its failure is raised."""
        await asyncio.wait_for(self.tasks[name, path], 120)


async def _idle(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """JOI08: a minute in which nobody does anything."""
    room = unique("idle")
    async with chromium.client(endpoint, "web", room, path) as web, sdk(endpoint, "py", room, path) as py:
        await web.remote_here("py")
        since_web, since_py = web.journal.mark(), py.journal.mark()

        async def quiet(journal: object, name: str, since: int) -> None:
            await journal.never(name, since=since, window_s=IDLE_S)  # type: ignore[attr-defined]

        await asyncio.gather(
            *(quiet(web.journal, n, since_web) for n in ("disconnected", "reconnecting", "signalReconnecting")),
            *(quiet(py.journal, n, since_py) for n in ("disconnected", "reconnecting")),
        )
        assert await web.run("return e2e.room.state") == "connected"


async def _never_active(endpoint: Endpoint, path: JoinPath, _: Browser) -> None:
    """JOI16: signalling without media ends after a minute with JOIN_FAILURE. It pings, so it is not a dead socket."""
    async with wire(endpoint, "never", unique("never"), path) as client:
        await client.response("join")
        begun = time.monotonic()

        async def keep_alive() -> None:
            while True:
                await client.send(ping=int(time.time() * 1000))
                await asyncio.sleep(5)

        pinging = asyncio.create_task(keep_alive())
        try:
            leave = await client.response("leave", timeout_s=90)
        finally:
            pinging.cancel()
        assert leave.reason == models.JOIN_FAILURE
        assert 50 < time.monotonic() - begun < 80


async def _pings(endpoint: Endpoint, path: JoinPath, _: Browser) -> None:
    """HTT13: the server pings the socket by itself, every 10 s."""
    token = endpoint.token("pinged", unique("ping"))
    query = {"access_token": token, "protocol": "17"} | ({"join_request": join_request()} if path.single else {})
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(endpoint.http_url + path.http_path, params=query, autoping=False) as ws,
    ):
        at_s: list[float] = []
        async with asyncio.timeout(40):
            while len(at_s) < 2:
                message = await ws.receive()
                if message.type is aiohttp.WSMsgType.PING:
                    at_s.append(time.monotonic())
                    await ws.pong(message.data)
        assert 9 < at_s[1] - at_s[0] < 12


async def _half_open(endpoint: Endpoint, path: JoinPath, _: Browser) -> None:
    """HTT13: a socket on which nothing ever comes, not even a pong, is dropped, and the participant with it."""
    room = unique("half-open")
    token = endpoint.token("dead", room)
    query = {"access_token": token, "protocol": "17"} | ({"join_request": join_request()} if path.single else {})
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(endpoint.http_url + path.http_path, params=query, autoping=False, autoclose=False) as ws,
    ):
        begun = time.monotonic()
        async with asyncio.timeout(45):
            while (await ws.receive()).type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.PING):
                pass
        assert 10 < time.monotonic() - begun < 20

    async def gone() -> bool:
        answer = await twirp(endpoint, "ListParticipants", {"room": room}, token=endpoint.admin(room))
        return not answer.json["participants"]

    await eventually(gone, "absence of the participant", timeout_s=2)


async def _given_up(_: Endpoint, path: JoinPath, __: Browser) -> None:
    """REC06: a browser and an SDK client, cut off until the others saw them leave, come back by themselves."""
    room = unique("given-up")
    with namespace() as cell:
        # The server is outside, on this machine's end of the link.
        async with (
            started(ServerSpec(host=cell.here)) as server,
            launched("chromium", enter_command=cell.enter_command) as browser,
            standing(
                server.endpoint, room, path, "reconnected", "disconnected", enter_command=cell.enter_command
            ) as far,
            sdk(server.endpoint, "py", room, path) as py,
            publish_tone(py.room, 660),
            browser.client(server.endpoint, "web", room, path) as web,
        ):
            await web.publish_tone(440)
            await assert_tone(await py.subscribed("web"), 440)
            await web.hear("py", 660)
            before = {who: (await py.remote_here(who)).sid for who in ("web", "far")}
            since_web, since_py = web.journal.mark(), py.journal.mark()
            cell.cut()
            await asyncio.gather(*(py.remote_gone(who, timeout_s=30) for who in before))
            cell.open()
            said, _entry = await asyncio.gather(
                far.until("reconnected", timeout_s=60),
                web.journal.wait("reconnected", since=since_web, timeout_s=60),
            )
            after = {who: (await py.remote_here(who)).sid for who in before}
            assert set(after.values()).isdisjoint(before.values()), (before, after)
            assert await web.run("return e2e.room.localParticipant.sid") == after["web"]
            await assert_tone(await py.subscribed("web", since=since_py, timeout_s=30), 440)
            await web.hear("py", 660)
            await py.local.publish_data("again", reliable=True)
            said += await far.until("again", timeout_s=20)
            assert said == ["reconnected", "again"]
            for client in (web, py):
                assert client.journal.seen("disconnected") == []


SCENARIOS: dict[str, Callable[[Endpoint, JoinPath, Browser], Coroutine[Any, Any, None]]] = {
    "idle": _idle,
    "never active": _never_active,
    "pings": _pings,
    "given up": _given_up,
}
if OWN:  # the reference notices a silent socket only when a write fails
    SCENARIOS["half-open"] = _half_open


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def under_way(chromium: Browser) -> AsyncIterator[Long]:
    """All scenarios on both paths, started together."""
    async with started(ServerSpec()) as server:
        tasks = {
            (name, path): asyncio.create_task(_started(scenario, server, path, chromium))
            for name, scenario in SCENARIOS.items()
            for path in JoinPath
        }
        yield Long(tasks)
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


async def _started(
    scenario: Callable[[Endpoint, JoinPath, Browser], Coroutine[Any, Any, None]],
    server: Server,
    path: JoinPath,
    chromium: Browser,
) -> None:
    await scenario(server.endpoint, path, chromium)


async def test_the_server_pings(under_way: Long, path: JoinPath) -> None:
    await under_way.result("pings", path)


@pytest.mark.skipif(not OWN, reason="the reference notices only when a write fails")
async def test_a_socket_that_answers_nothing_is_dropped(under_way: Long, path: JoinPath) -> None:
    await under_way.result("half-open", path)


async def test_an_idle_minute_disconnects_nobody(under_way: Long, path: JoinPath) -> None:
    await under_way.result("idle", path)


async def test_a_join_that_never_becomes_active_fails_after_a_minute(under_way: Long, path: JoinPath) -> None:
    await under_way.result("never active", path)


@pytest.mark.netns
async def test_who_was_given_up_comes_back(under_way: Long, path: JoinPath) -> None:
    await under_way.result("given up", path)
