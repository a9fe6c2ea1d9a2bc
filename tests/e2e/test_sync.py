"""Sound and picture in step: what happens at one moment at the publisher is heard and seen at one moment elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from livekit import rtc

from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.journal import Journal
from tests.e2e.support.sdk_client import SdkClient, sdk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.alone

FPS = 20
RATE_HZ = 48_000
ONE_LAYER, THREE_LAYERS = (320, 240), (960, 540)
"""Sizes of the picture."""
ON_FRAMES, PERIOD_FRAMES = FPS // 4, FPS
"""A quarter of a second on, three off."""
MAX_SKEW_S = 0.2
MAX_SWITCHING_SKEW_S = 0.4
"""Three layers cost the publisher more than one, and each switch a key frame."""
FLASHES = 5
"""That many are judged, after a first one that the jitter buffers may still be settling in."""


@contextlib.asynccontextmanager
async def _flashing_and_beeping(room: rtc.Room, size: tuple[int, int]) -> AsyncIterator[None]:
    """Publish white and 1 kHz together, then black and silence, and so on."""
    width, height = size
    audio_source = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=50)
    video_source = rtc.VideoSource(width, height)
    for track, options in (
        (
            rtc.LocalVideoTrack.create_video_track("flash", video_source),
            rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA, simulcast=size == THREE_LAYERS),
        ),
        (
            rtc.LocalAudioTrack.create_audio_track("beep", audio_source),
            rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE),
        ),
    ):
        await room.local_participant.publish_track(track, options)
    in_step = rtc.AVSynchronizer(audio_source=audio_source, video_source=video_source, video_fps=FPS)
    samples = RATE_HZ // FPS
    beep = (9000 * np.sin(2 * np.pi * 1000 * np.arange(samples) / RATE_HZ)).astype(np.int16).tobytes()
    quiet = bytes(2 * samples)
    white = bytearray(b"\xff" * (4 * width * height))
    black = bytearray(b"\x00\x00\x00\xff" * (width * height))

    async def feed() -> None:
        count = 0
        while True:  # `push` keeps the pace
            on = count % PERIOD_FRAMES < ON_FRAMES
            picture = rtc.VideoFrame(width, height, rtc.VideoBufferType.RGBA, white if on else black)
            await in_step.push(picture)
            await in_step.push(rtc.AudioFrame(beep if on else quiet, RATE_HZ, 1, samples))
            count += 1

    feeding = asyncio.create_task(feed())
    try:
        yield
    finally:
        await _ended(feeding)
        await in_step.aclose()


async def _ended(task: asyncio.Task[Any]) -> None:
    """Cancel it; what it failed of before is raised."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _watch(track: rtc.Track, journal: Journal) -> None:
    """Record `flash` with the picture's width whenever it turns from dark to bright."""
    was_bright = True
    stream = rtc.VideoStream(track, format=rtc.VideoBufferType.RGBA)
    try:
        async for event in stream:
            bright = bool(np.frombuffer(event.frame.data, dtype=np.uint8)[::401].mean() > 150)
            if bright and not was_bright:
                journal.record("flash", event.frame.width)
            was_bright = bright
    finally:
        await stream.aclose()


async def _listen(track: rtc.Track, journal: Journal) -> None:
    """Record `beep` whenever sound begins after a quarter of a second of silence: concealment may tear a beep."""
    silent_since = None
    stream = rtc.AudioStream(track, sample_rate=RATE_HZ, num_channels=1)
    try:
        async for event in stream:
            loud = bool(np.abs(np.frombuffer(event.frame.data, dtype=np.int16).astype(np.int32)).max(initial=0) > 2000)
            now_s = time.monotonic()
            if loud and silent_since is not None and now_s - silent_since > 0.25:
                journal.record("beep")
            if loud:
                silent_since = None
            elif silent_since is None:
                silent_since = now_s
    finally:
        await stream.aclose()


async def _switch(client: SdkClient, journal: Journal) -> None:
    """Behind each flash ask for the other layer."""
    (publication,) = (
        p for p in client.remote("alice").track_publications.values() if p.kind == rtc.TrackKind.KIND_VIDEO
    )
    qualities = itertools.cycle((rtc.VideoQuality.VIDEO_QUALITY_LOW, rtc.VideoQuality.VIDEO_QUALITY_HIGH))
    for count, quality in enumerate(qualities, 1):
        await journal.until(lambda n=count: len(journal.seen("flash")) >= n, f"{count} flashes", timeout_s=30)  # type: ignore[misc]
        publication.set_video_quality(quality)


@pytest.mark.parametrize("switching", [False, True], ids=["one layer", "switching layers"])
async def test_a_flash_and_a_beep_arrive_together(endpoint: Endpoint, path: JoinPath, *, switching: bool) -> None:
    """Each flash has its beep within 200 ms, before or after; VID11: within 400 when layers change behind each."""
    room = unique("sync")
    async with (
        sdk(endpoint, "alice", room, path) as alice,
        sdk(endpoint, "bob", room, path) as bob,
        _flashing_and_beeping(alice.room, THREE_LAYERS if switching else ONE_LAYER),
    ):
        picture = await bob.subscribed("alice", rtc.TrackSource.SOURCE_CAMERA)
        sound = await bob.subscribed("alice", rtc.TrackSource.SOURCE_MICROPHONE)
        journal = Journal("bob's eyes and ears")
        tasks = [asyncio.create_task(_watch(picture, journal)), asyncio.create_task(_listen(sound, journal))]
        if switching:
            tasks.append(asyncio.create_task(_switch(bob, journal)))
        try:
            wanted = FLASHES + 1
            await journal.until(
                lambda: min(len(journal.seen("flash")), len(journal.seen("beep"))) > wanted,
                f"{wanted} flashes and beeps, and one more of each",
                timeout_s=2 * PERIOD_FRAMES / FPS * (wanted + 1),
            )
        finally:
            for task in tasks:
                await _ended(task)
        widths = {entry.args[0] for entry in journal.seen("flash")}
        assert len(widths) == 1 + switching, f"flashes in widths {widths}"
        flashes = [entry.at_s for entry in journal.seen("flash")]
        beeps = [entry.at_s for entry in journal.seen("beep")]
        skews_s = [min((beep - flash for beep in beeps), key=abs) for flash in flashes[1 : FLASHES + 1]]
        limit_s = MAX_SWITCHING_SKEW_S if switching else MAX_SKEW_S
        assert max(map(abs, skews_s)) <= limit_s, f"sound less picture: {[round(s, 3) for s in skews_s]} s"
