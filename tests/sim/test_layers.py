"""Layers on the whole server but for its engine, in virtual time: from the wish to the engine and to the publisher."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sfu.room import messages as msg
from sfu.room.enums import VideoQuality
from sfu.room.inputs import UpdateTrackSettings
from sfu.room.settings import RoomSettings
from tests.sim.sim_client import SimClient, join
from tests.sim.virtual_time import VirtualClock, in_virtual_time, settle
from tests.sim.world import World, open_world

if TYPE_CHECKING:
    from sfu.ids import TrackSid

_LOW, _MEDIUM, _HIGH = VideoQuality.LOW, VideoQuality.MEDIUM, VideoQuality.HIGH


async def _watched(world: World, *, single: bool) -> tuple[SimClient, SimClient, TrackSid]:
    ann, bob = await join(world, "ann"), await join(world, "bob", single=single)
    for client in (ann, bob):
        await client.connect()
    track = (await ann.publish("cam", audio=False)).track
    await settle()
    return ann, bob, track.sid


async def _set(client: SimClient, sid: TrackSid, *, disabled: bool = False, quality: VideoQuality = _HIGH) -> None:
    assert client.actor.post(UpdateTrackSettings(client.session, (sid,), disabled, quality))
    await settle()


def _told(client: SimClient) -> list[tuple[VideoQuality, ...]]:
    return [update.codecs[0].enabled for update in client.told(msg.SubscribedQualityUpdate)]


@in_virtual_time
async def test_a_wish_reaches_the_engine_on_both_paths() -> None:
    for single in (False, True):
        async with open_world(clock=VirtualClock(), serve=False) as world:
            _, bob, sid = await _watched(world, single=single)
            assert list(world.engine.down_track_layers.values()) == []
            await _set(bob, sid, quality=_LOW)
            assert list(world.engine.down_track_layers.values()) == [(0, 0)]
            await _set(bob, sid)
            assert list(world.engine.down_track_layers.values()) == [(255, 0)]


@in_virtual_time
async def test_the_publisher_hears_of_less_after_five_seconds_and_of_more_at_once() -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        ann, bob, sid = await _watched(world, single=True)
        everything = [(_LOW, _MEDIUM, _HIGH)]
        assert _told(ann) == everything
        await _set(bob, sid, disabled=True)
        await asyncio.sleep(4.9)
        assert _told(ann) == everything
        await asyncio.sleep(0.2)
        assert _told(ann) == [*everything, ()]
        await _set(bob, sid)
        assert _told(ann) == [*everything, (), *everything]


@in_virtual_time
async def test_a_pause_reaches_its_subscriber_and_leaves_the_publisher_alone() -> None:
    for single in (False, True):
        settings = RoomSettings(allow_pause=True)
        async with open_world(clock=VirtualClock(), serve=False, settings=settings) as world:
            ann, bob, sid = await _watched(world, single=single)
            (down_track,) = world.engine.down_track_enabled
            told = _told(ann)
            for paused in (True, False):
                world.engine.pause(down_track, paused=paused)
                await settle()
                (state,) = bob.last(msg.StreamStateUpdate).states
                assert (state.track_sid, state.paused) == (sid, paused)
            await asyncio.sleep(10)
            assert _told(ann) == told
            assert ann.told(msg.StreamStateUpdate) == []
