"""Joining: both paths, refusals, falling back, what the first message holds."""

from __future__ import annotations

from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.sdk_client import sdk
from tests.e2e.support.wire_client import wire
from tests.e2e.support.media import publish_tone, assert_tone, publish_bars, see, assert_bars


async def test_two_sdk_clients_meet(endpoint: Endpoint, path: JoinPath) -> None:
    room = unique("meet")
    async with sdk(endpoint, "alice", room, path) as alice, sdk(endpoint, "bob", room, path) as bob:
        await alice.remote_here("bob")
        await bob.remote_here("alice")
        async with publish_tone(alice.room), publish_bars(bob.room):
            await assert_tone(await bob.subscribed("alice"), 440)
            p = await see(await alice.subscribed("bob"))
            assert_bars(p.bars)
            assert p.moved

async def test_wire(endpoint: Endpoint, path: JoinPath) -> None:
    async with wire(endpoint, "w", unique("wire"), path) as w:
        join = await w.response("join")
        assert join.participant.sid.startswith("PA_")
