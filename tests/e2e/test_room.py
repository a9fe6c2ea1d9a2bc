"""Rooms: made by joining, closed when empty, full, described, counted (protocol.md §5.1)."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest
from livekit import api, rtc
from livekit.protocol import models

from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.journal import eventually
from tests.e2e.support.sdk_client import SdkClient, sdk
from tests.e2e.support.server import OWN, ServerSpec, started
from tests.e2e.support.wire_client import Refused, WireClient, wire

if TYPE_CHECKING:
    from tests.e2e.support.browser import Browser


def _api(endpoint: Endpoint) -> api.LiveKitAPI:
    return api.LiveKitAPI(endpoint.http_url, endpoint.key, endpoint.secret)


async def _listed(lk: api.LiveKitAPI, name: str) -> models.Room | None:
    rooms = (await lk.room.list_rooms(api.ListRoomsRequest(names=[name]))).rooms
    return rooms[0] if rooms else None


async def test_the_first_join_makes_the_room(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    name = unique("auto")
    async with _api(endpoint) as lk:
        assert await _listed(lk, name) is None
        async with chromium.client(endpoint, "web", name, path) as web:
            room = await _listed(lk, name)
            assert room is not None
            assert room.sid == await web.run("return e2e.room.getSid()")


async def test_an_empty_room_closes_after_its_time(path: JoinPath) -> None:
    """ROO02, seen by ListRooms: never joined -> empty_timeout; left -> departure_timeout."""
    spec = ServerSpec(config={"room": {"empty_timeout": 300, "departure_timeout": 20}})
    async with started(spec) as server, _api(server.endpoint) as lk:
        names = {"never": unique("never"), "left": unique("left")}
        for name in names.values():
            await lk.room.create_room(api.CreateRoomRequest(name=name, empty_timeout=3, departure_timeout=2))
        created = time.monotonic()
        async with sdk(server.endpoint, "alice", names["left"], path):
            pass
        left = time.monotonic()

        async def gone(name: str) -> bool:
            return await _listed(lk, name) is None

        assert not await gone(names["left"]), "the room outlives the last participant by its departure_timeout"
        await eventually(lambda: gone(names["left"]), "end of the room that was left", timeout_s=8)
        left_s = time.monotonic() - left
        await eventually(lambda: gone(names["never"]), "end of the room never joined", timeout_s=8)
        never_s = time.monotonic() - created
        assert 1.0 <= left_s <= 6.0, left_s
        assert 2.0 <= never_s <= 8.0, never_s


async def test_a_room_in_use_stays(endpoint: Endpoint, path: JoinPath) -> None:
    name = unique("used")
    async with _api(endpoint) as lk:
        await lk.room.create_room(api.CreateRoomRequest(name=name, empty_timeout=1, departure_timeout=1))
        async with sdk(endpoint, "alice", name, path) as alice:
            await alice.journal.never("disconnected", since=0, window_s=4.0)
            assert await _listed(lk, name) is not None


async def test_a_full_room_refuses_but_admits_agents(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    name = unique("full")
    async with _api(endpoint) as lk:
        await lk.room.create_room(api.CreateRoomRequest(name=name, max_participants=2))
        async with sdk(endpoint, "a", name, path) as a, sdk(endpoint, "b", name, path):
            agent = endpoint.sign(endpoint.claims("robot", name, agent=True) | {"kind": "agent"})
            async with sdk(endpoint, "robot", name, path, token=agent):
                await a.remote_here("robot")
                if OWN:
                    await _refused_with_a_reason(endpoint, name, path)
                    await _sdks_report_the_reason(endpoint, name, path, chromium)
                else:
                    client = WireClient("third")
                    try:
                        await client.connect(endpoint, endpoint.token("third", name), path)
                        raise AssertionError("a third participant was admitted")
                    except Refused:
                        pass
                    finally:
                        await client.close()
            assert set(a.room.remote_participants) <= {"b", "robot"}


async def _refused_with_a_reason(endpoint: Endpoint, name: str, path: JoinPath) -> None:
    """Ours upgrades and says why, at once: leave{JOIN_FAILURE} comes first, then the end."""
    begun = time.monotonic()
    async with wire(endpoint, "third", name, path) as client:
        leave = await client.response("leave", timeout_s=3)
        assert client.journal.entries[0].name == "leave"
        assert leave.reason == models.JOIN_FAILURE
        await client.journal.wait("closed", timeout_s=3)
    assert time.monotonic() - begun < 3.0, "no retry delays"


async def _sdks_report_the_reason(endpoint: Endpoint, name: str, path: JoinPath, chromium: Browser) -> None:
    py = SdkClient("py")
    try:
        # Its Rust core reads no reason out of a first answer that is a `leave`: only that it may not join.
        with pytest.raises(rtc.ConnectError):
            await py.connect(endpoint, endpoint.token("py", name), path)
    finally:
        await py.close()
    async with chromium.page("web") as web:
        body = """const room = new LK.Room({ singlePeerConnection: single });
            try { await room.connect(url, token, { maxRetries: 0 }); return 'connected'; }
            catch (e) { return [LK.ConnectionErrorReason[e.reason], e.message]; }"""
        told = await web.run(body, single=path.single, url=endpoint.ws_url, token=endpoint.token("web", name))
        assert told[0] == "LeaveRequest", told
        assert "Received leave request" in told[1]


async def test_metadata_reaches_the_browser(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    name = unique("meta")
    async with _api(endpoint) as lk:
        await lk.room.create_room(api.CreateRoomRequest(name=name, metadata="before"))
        async with chromium.client(endpoint, "web", name, path) as web:
            assert await web.run("return e2e.room.metadata") == "before"
            await lk.room.update_room_metadata(api.UpdateRoomMetadataRequest(room=name, metadata="after"))
            await web.journal.wait("roomMetadataChanged", lambda value: value == "after")
            assert await web.run("return e2e.room.metadata") == "after"


async def test_participants_are_counted(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    name = unique("count")
    async with _api(endpoint) as lk, chromium.client(endpoint, "web", name, path) as web:
        async with sdk(endpoint, "alice", name, path):
            # The count travels at most every five seconds.
            await web.run("return e2e.until(() => e2e.room.numParticipants === 2, 'two participants', 12000)")

            async def two() -> bool:
                room = await _listed(lk, name)
                return room is not None and room.num_participants == 2

            await eventually(two, "num_participants 2 in ListRooms", timeout_s=12)
        await web.run("return e2e.until(() => e2e.room.numParticipants === 1, 'one participant', 12000)")


async def test_agents_do_not_keep_a_room_open(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    name = unique("dependent")

    def agent_token(identity: str) -> str:
        return endpoint.sign(endpoint.claims(identity, name, agent=True) | {"kind": "agent"})

    async with _api(endpoint) as lk, contextlib.AsyncExitStack() as agents:
        await lk.room.create_room(api.CreateRoomRequest(name=name, empty_timeout=1, departure_timeout=1))
        async with sdk(endpoint, "alice", name, path):
            robot = await agents.enter_async_context(sdk(endpoint, "py", name, path, token=agent_token("py")))
            web = await agents.enter_async_context(
                chromium.client(endpoint, "web", name, path, token=agent_token("web"))
            )
        for agent in (robot, web):
            assert (await agent.journal.wait("disconnected")).args[0] == rtc.DisconnectReason.ROOM_CLOSED
