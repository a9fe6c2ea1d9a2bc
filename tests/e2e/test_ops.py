"""Running the server: dev mode, one UDP port, stopping, coming back (protocol.md §11)."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING

import pytest
from livekit import rtc
from livekit.protocol import models
from livekit.protocol import rtc as wire_rtc

from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.media import assert_tone, publish_tone
from tests.e2e.support.sdk_client import SdkClient, sdk
from tests.e2e.support.server import OWN, ServerSpec, started
from tests.e2e.support.wire_client import wire

if TYPE_CHECKING:
    from tests.e2e.support.browser import Browser


async def test_dev_mode_knows_devkey(chromium: Browser) -> None:
    async with started(ServerSpec(arguments=("--dev",), without_keys=True)) as server:
        at = server.endpoint
        dev = Endpoint(at.host, at.port, "devkey", "secret")
        room = unique("dev")
        async with chromium.client(dev, "web", room, JoinPath.V1) as web, sdk(dev, "py", room, JoinPath.V0) as py:
            await web.publish_tone(440)
            await assert_tone(await py.subscribed("web"), 440)


async def test_sigterm_tells_everybody_and_ends(chromium: Browser) -> None:
    """OPS09: leave{SERVER_SHUTDOWN, DISCONNECT} to all, sockets closed, exit status 0 within 4 s of one SIGTERM."""
    async with started() as server:
        endpoint, room = server.endpoint, unique("stop")
        async with (
            chromium.client(endpoint, "web", room, JoinPath.V1) as web,
            sdk(endpoint, "py", room, JoinPath.V0) as py,
            wire(endpoint, "bare", room, JoinPath.V1) as bare,
        ):
            await bare.response("join")
            begun = time.monotonic()
            server.signal(signal.SIGTERM)
            if not OWN:
                server.signal(signal.SIGTERM)  # the reference waits for its participants until the second one
            leave = await bare.response("leave", timeout_s=6)
            assert leave.reason == models.SERVER_SHUTDOWN
            assert leave.action == wire_rtc.LeaveRequest.DISCONNECT
            await py.journal.wait("disconnected", lambda r: r == rtc.DisconnectReason.SERVER_SHUTDOWN)
            assert (await web.journal.wait("disconnected")).args[0] == models.SERVER_SHUTDOWN
            assert await server.wait(timeout_s=8) == 0
            if OWN:
                assert time.monotonic() - begun < 4.5


async def test_clients_come_back_after_a_restart(path: JoinPath, chromium: Browser) -> None:
    """REC06: the server dies without a word, another one starts on its ports: all meet in the new room, unreloaded."""
    async with started() as server:
        endpoint, room = server.endpoint, unique("restart")
        # The dead server's clients try again for a while; each is let to find the new one.
        async with chromium.client(endpoint, "web", room, path) as web, sdk(endpoint, "py", room, path) as py:
            await web.publish_tone(440)
            await assert_tone(await py.subscribed("web"), 440)
            old_room = await web.run("return e2e.room.getSid()")
            since_web, since_py = web.journal.mark(), py.journal.mark()
            server.signal(signal.SIGKILL)
            await server.wait(timeout_s=5)
            await server.start()
            await asyncio.gather(
                web.journal.wait("reconnected", since=since_web, timeout_s=60),
                py.journal.wait("reconnected", since=since_py, timeout_s=60),
            )
            assert await web.run("return e2e.room.getSid()") != old_room
            await py.remote_here("web", timeout_s=20)
            await assert_tone(await py.subscribed("web", since=since_py, timeout_s=30), 440)


@pytest.mark.skipif(not OWN, reason="the reference's status for this differs")
async def test_a_taken_port_is_one_line_and_status_2() -> None:
    async with started() as server:
        second = ServerSpec(config={"port": server.endpoint.port})
        with pytest.raises(AssertionError, match=r"exit status 2") as failure:
            async with started(second):
                pass
        text = str(failure.value).split("\n", 1)[1].strip()
        assert str(server.endpoint.port) in text
        assert "Traceback" not in text


@pytest.mark.skipif(not OWN, reason="the reference words it in its own way")
@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"roomm": {}}, ("roomm", "room")),
        ({"rtc": {"udp_prot": 1}}, ("udp_prot", "udp_port")),
        ({"port": 99_999}, ("port",)),
        ({"keys": {"k": "short"}}, ("generate-keys",)),
    ],
    ids=["section", "key", "value", "secret"],
)
async def test_a_wrong_configuration_is_explained(config: dict[str, object], words: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError, match=r"exit status 2") as failure:
        async with started(ServerSpec(config=config, without_keys="keys" in config)):
            pass
    text = str(failure.value)
    assert all(word in text for word in words), text
    assert "Traceback" not in text


async def test_sdks_survive_a_server_that_was_busy() -> None:
    """A stopped process (SIGSTOP for 3 s) is a hiccup, not an end: nobody is disconnected, sound goes on."""
    room = unique("hiccup")
    async with started() as server:
        alice = SdkClient("alice")
        try:
            await alice.connect(server.endpoint, server.endpoint.token("alice", room), JoinPath.V1)
            async with sdk(server.endpoint, "bob", room, JoinPath.V0) as bob, publish_tone(alice.room):
                track = await bob.subscribed("alice")
                since = alice.journal.mark()
                server.signal(signal.SIGSTOP)
                await alice.journal.never("disconnected", since=since, window_s=3.0)
                server.signal(signal.SIGCONT)
                await assert_tone(track, 440)
                assert not bob.journal.seen("disconnected")
        finally:
            server.signal(signal.SIGCONT)
            await alice.close()
