"""Backup codecs on the whole server but for its engine, in virtual time: from what a subscriber takes to what plays."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sfu.room import messages as msg
from sfu.room.enums import BackupCodecPolicy, SubscriptionError, TrackSource, TrackType
from sfu.room.inputs import AddTrack, CodecOffered
from tests.sim.sim_client import SimClient, join
from tests.sim.virtual_time import VirtualClock, in_virtual_time, settle
from tests.sim.world import World, open_world

if TYPE_CHECKING:
    from sfu.ids import UpTrackId
    from sfu.room.views import TrackView

_PLAIN = ("video/VP8",)
_EVERYTHING = ("video/VP9", "video/VP8")


async def _publish(client: SimClient, world: World, policy: BackupCodecPolicy) -> TrackView:
    world.engine.offered = _EVERYTHING
    codecs = (CodecOffered("vp9", "cam"), CodecOffered("vp8"))
    request = AddTrack(
        client.session,
        "cam",
        TrackType.VIDEO,
        TrackSource.CAMERA,
        codecs=codecs,
        backup_codec_policy=int(policy),
    )
    assert client.actor.post(request)
    await settle()
    await client.offer(("video", "sendonly", "cam"))
    return client.last(msg.TrackPublished).track


async def _back(client: SimClient, track: TrackView) -> None:
    codecs = (CodecOffered("vp8", "backup"),)
    request = AddTrack(client.session, "backup", TrackType.VIDEO, TrackSource.CAMERA, codecs=codecs, sid=track.sid)
    assert client.actor.post(request)
    await settle()
    assert client.last(msg.TrackPublished).cid == "backup"
    await client.offer(("video", "sendonly", "cam"), ("video", "sendonly", "backup"))


async def _watch(client: SimClient, world: World, takes: tuple[str, ...]) -> None:
    """Negotiates its subscriptions on a connection that takes these codecs."""
    world.engine.taken = takes
    await (client.offer(("video", "recvonly", "")) if client.single else client.answer())


def _fed_by(client: SimClient) -> UpTrackId:
    (down_track,) = client.transport("both" if client.single else "subscriber").down_tracks.values()
    return down_track.up_track


def _asked(client: SimClient) -> list[dict[str, bool]]:
    updates = client.told(msg.SubscribedQualityUpdate)
    return [{codec.codec: bool(codec.enabled) for codec in update.codecs} for update in updates]


async def _through_a_backup(policy: BackupCodecPolicy, *, single: bool) -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        ann, bob, carol = [await join(world, name, single=single) for name in ("ann", "bob", "carol")]
        for client in (ann, bob, carol):
            await client.connect()
        track = await _publish(ann, world, policy)
        await _watch(bob, world, _EVERYTHING)
        assert _asked(ann) == [{"vp9": True}]
        await _watch(carol, world, _PLAIN)
        assert _asked(ann)[-1] == {"vp9": True, "vp8": True}
        own, backup = _fed_by(bob), _fed_by(carol)
        assert own in world.engine.up_tracks
        assert backup not in world.engine.up_tracks, "it waits for it"
        await _back(ann, track)
        assert backup in world.engine.up_tracks
        assert _fed_by(bob) == own, "until its media is there"
        world.engine.start(backup, "video/VP8")
        await settle()
        regresses = policy is BackupCodecPolicy.PREFER_REGRESSION
        assert _fed_by(bob) == (backup if regresses else own)
        await asyncio.sleep(6)
        assert _asked(ann)[-1] == {"vp9": not regresses, "vp8": True}
        assert not bob.told(msg.SubscriptionResponse) + carol.told(msg.SubscriptionResponse)


@in_virtual_time
async def test_a_backup_is_asked_for_published_and_played_on_both_paths() -> None:
    for single in (False, True):
        await _through_a_backup(BackupCodecPolicy.SIMULCAST, single=single)


@in_virtual_time
async def test_a_small_room_regresses_on_both_paths() -> None:
    for single in (False, True):
        await _through_a_backup(BackupCodecPolicy.PREFER_REGRESSION, single=single)


@in_virtual_time
async def test_who_takes_nothing_of_a_track_is_told_and_its_line_is_free_again() -> None:
    for single in (False, True):
        async with open_world(clock=VirtualClock(), serve=False) as world:
            ann, bob = [await join(world, name, single=single) for name in ("ann", "bob")]
            for client in (ann, bob):
                await client.connect()
            track = await _publish(ann, world, BackupCodecPolicy.SIMULCAST)
            await _watch(bob, world, ("video/H264",))
            failure = msg.SubscriptionResponse(track.sid, SubscriptionError.CODEC_UNSUPPORTED)
            assert bob.told(msg.SubscriptionResponse) == [failure]
            assert not bob.transport("both" if single else "subscriber").down_tracks
            assert not ann.told(msg.TrackSubscribed)
