"""Data tracks through the whole server but for its engine: what the engine is told, and what a return leaves alone."""

from __future__ import annotations

import asyncio

import pytest

from sfu.room import messages as msg
from sfu.room.inputs import (
    DataSubscriptionWish,
    LeaveRequested,
    PublishDataTrack,
    SyncState,
    UnpublishDataTrack,
    UpdateDataSubscription,
)
from tests.sim.sim_client import SimClient, join
from tests.sim.virtual_time import VirtualClock, in_virtual_time, settle
from tests.sim.world import open_world


async def _publish(client: SimClient, handle: int) -> msg.DataTrackPublished:
    assert client.actor.post(PublishDataTrack(client.session, handle, "pose"))
    await settle()
    return client.last(msg.DataTrackPublished)


@pytest.mark.parametrize("single", [True, False])
def test_the_engine_forwards_what_is_published_and_wanted(single: bool) -> None:
    in_virtual_time(lambda: _forwarding(single=single))()


async def _forwarding(*, single: bool) -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        ann, bob, carol = [await join(world, name, single=single) for name in ("ann", "bob", "carol")]
        for client in (ann, bob, carol):
            await client.connect()
        tracks = [(await _publish(client, 1)).track for client in (ann, bob)]
        wishes = tuple(DataSubscriptionWish(track.sid, subscribe=True, frames_per_s=9) for track in tracks)
        assert carol.actor.post(UpdateDataSubscription(carol.session, wishes))
        await settle()
        ups, downs = world.engine.data_up_tracks, world.engine.data_down_tracks
        assert [up.handle for up in ups.values()] == [1, 1]
        told = carol.last(msg.DataTrackHandles).handles
        assert {down.handle: down.frames_per_s for down in downs.values()} == dict.fromkeys(told, 9)
        assert [told[down.handle].publisher_identity for down in downs.values()] == ["ann", "bob"]
        before = dict(downs)
        await ann.vanish()
        await carol.vanish()
        await asyncio.sleep(5)
        ann, carol = await ann.resume(), await carol.resume()
        assert ann.actor.post(SyncState(ann.session, published_data=(tracks[0].sid,)))
        await settle()
        assert carol.last(msg.DataTrackHandles).handles == told
        assert (dict(downs), len(ups)) == (before, 2)
        assert ann.actor.post(UnpublishDataTrack(ann.session, 1))
        assert bob.actor.post(LeaveRequested(bob.session))
        await settle()
        assert ann.last(msg.DataTrackUnpublished).track == tracks[0]
        assert carol.last(msg.DataTrackHandles).handles == {}
        assert not ups
        assert not downs
