"""Sound and pictures that can be recognised at the far end, for the Python SDK, and the measuring of what arrived.

Owns tones, colour bars and their analysis. A tone is known by its frequency (FFT peak), a picture by the mean colours
of its bars. Nothing here knows a server.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import numpy.typing as npt
from livekit import rtc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = [
    "BARS",
    "Picture",
    "assert_bars",
    "assert_silence",
    "assert_tone",
    "bars_of",
    "dominant_hz",
    "hear",
    "publish_bars",
    "publish_tone",
    "recorded_hz",
    "see",
]

RATE_HZ = 48_000
QUIET = 100
"""No sample of silence is above; a tone of these tests has thousands."""
BARS: tuple[tuple[int, int, int], ...] = ((220, 30, 30), (30, 200, 30), (30, 30, 220), (220, 220, 220))
"""Colours of the four upright bars, left to right, over the upper three quarters; below runs a moving block."""


def dominant_hz(samples: npt.NDArray[np.int16], rate_hz: int = RATE_HZ) -> float:
    """Frequency of the strongest partial; 0 for silence."""
    wave = np.asarray(samples, dtype=np.float64).reshape(-1)
    if not wave.size or not np.any(wave):
        return 0.0
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(wave.size)))
    return float(np.fft.rfftfreq(wave.size, 1 / rate_hz)[int(spectrum.argmax())])


def recorded_hz(file: bytes) -> float:
    """Frequency of the strongest partial in the second half of an audio file of any kind PyAV reads; 0 for silence."""
    with av.open(io.BytesIO(file), mode="r") as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
        frames = [part.to_ndarray().reshape(-1) for f in container.decode(audio=0) for part in resampler.resample(f)]
    wave = np.concatenate(frames) if frames else np.zeros(0, np.int16)
    return dominant_hz(wave[wave.size // 2 :].astype(np.int16))


@contextlib.asynccontextmanager
async def publish_tone(
    room: rtc.Room,
    hz: float = 440.0,
    *,
    name: str = "tone",
    source: Any = None,
    amplitude: float = 8000.0,
    rate_hz: int = RATE_HZ,
) -> AsyncIterator[tuple[rtc.LocalTrackPublication, rtc.LocalAudioTrack]]:
    """Publish an endless sine wave, by default as the microphone."""
    audio = rtc.AudioSource(rate_hz, 1)
    track = rtc.LocalAudioTrack.create_audio_track(name, audio)
    options = rtc.TrackPublishOptions(source=source or rtc.TrackSource.SOURCE_MICROPHONE)
    publication = await room.local_participant.publish_track(track, options)
    # One second holds a whole number of periods, so that it can be repeated without a click.
    wave = (amplitude * np.sin(2 * np.pi * hz * np.arange(rate_hz) / rate_hz)).astype(np.int16)

    async def feed() -> None:
        step = rate_hz // 100
        while True:
            for at in range(0, wave.size, step):
                await audio.capture_frame(rtc.AudioFrame(wave[at : at + step].tobytes(), rate_hz, 1, step))

    async with _fed(feed()):
        try:
            yield publication, track
        finally:
            with contextlib.suppress(Exception):
                await audio.aclose()


def _bars_frame(width: int, height: int, count: int) -> rtc.VideoFrame:
    image = np.zeros((height, width, 4), dtype=np.uint8)
    image[..., 3] = 255
    edge = height * 3 // 4
    for index, colour in enumerate(BARS):
        image[:edge, index * width // 4 : (index + 1) * width // 4, :3] = colour
    left = (count * 8) % max(1, width - width // 8)
    image[edge:, left : left + width // 8, :3] = 255
    return rtc.VideoFrame(width, height, rtc.VideoBufferType.RGBA, bytearray(image.tobytes()))


@contextlib.asynccontextmanager
async def publish_bars(
    room: rtc.Room, *, width: int = 320, height: int = 240, fps: int = 15, name: str = "bars", **options: Any
) -> AsyncIterator[tuple[rtc.LocalTrackPublication, rtc.LocalVideoTrack]]:
    """Publish colour bars with a moving block, by default as the camera; `options` are TrackPublishOptions."""
    video = rtc.VideoSource(width, height)
    track = rtc.LocalVideoTrack.create_video_track(name, video)
    options.setdefault("source", rtc.TrackSource.SOURCE_CAMERA)
    publication = await room.local_participant.publish_track(track, rtc.TrackPublishOptions(**options))

    async def feed() -> None:
        count = 0
        while True:  # a camera is a clock: the pace of frames is the input itself
            video.capture_frame(_bars_frame(width, height, count))
            count += 1
            await asyncio.sleep(1 / fps)

    async with _fed(feed()):
        try:
            yield publication, track
        finally:
            with contextlib.suppress(Exception):
                await video.aclose()


@contextlib.asynccontextmanager
async def _fed(coroutine: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(coroutine)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task


async def hear(track: rtc.Track, *, seconds: float = 1.0, timeout_s: float = 10.0) -> npt.NDArray[np.int16]:
    """That much sound of a subscribed track, leading silence dropped; AssertionError when it does not come in time."""
    stream = rtc.AudioStream(track, sample_rate=RATE_HZ, num_channels=1)
    wanted, parts = int(seconds * RATE_HZ), list[npt.NDArray[np.int16]]()
    try:
        async with asyncio.timeout(timeout_s):
            async for event in stream:
                data = np.frombuffer(event.frame.data, dtype=np.int16)
                if parts or np.abs(data.astype(np.int32)).max(initial=0) > 300:
                    parts.append(data.copy())
                if sum(p.size for p in parts) >= wanted:
                    break
    except TimeoutError:
        got_s = sum(p.size for p in parts) / RATE_HZ
        raise AssertionError(f"heard only {got_s:.2f} s of {seconds} s within {timeout_s} s") from None
    finally:
        await stream.aclose()
    return np.concatenate(parts)[:wanted]


async def assert_tone(track: rtc.Track, hz: float, *, timeout_s: float = 15.0) -> None:
    """The track carries that tone. The first second may still hold the rise of the jitter buffer, so it is dropped."""
    heard = (await hear(track, seconds=2.0, timeout_s=timeout_s))[RATE_HZ:]
    got = dominant_hz(heard)
    assert abs(got - hz) < 5, f"heard {got:.1f} Hz instead of {hz}"


async def assert_silence(track: rtc.Track, *, seconds: float = 1.0, timeout_s: float = 10.0) -> None:
    """The track becomes silent, and for that long not a sample of it is to be heard."""
    stream = rtc.AudioStream(track, sample_rate=RATE_HZ, num_channels=1)
    quiet, loudest = 0, 0
    try:
        async with asyncio.timeout(timeout_s):
            async for event in stream:
                data = np.frombuffer(event.frame.data, dtype=np.int16)
                loudest = int(np.abs(data.astype(np.int32)).max(initial=0))
                quiet = quiet + data.size if loudest < QUIET else 0
                if quiet >= seconds * RATE_HZ:
                    return
    except TimeoutError:
        raise AssertionError(f"no {seconds} s of silence within {timeout_s} s; last amplitude {loudest}") from None
    finally:
        await stream.aclose()


@dataclass(frozen=True)
class Picture:
    """What was seen: size of the last frame, mean colour of each bar, frames counted, whether the pixels changed."""

    width: int
    height: int
    bars: tuple[tuple[float, ...], ...]
    frames: int
    moved: bool


def bars_of(image: npt.NDArray[np.uint8]) -> tuple[tuple[float, ...], ...]:
    """Mean colour of the middle of each bar; `image` is height × width × (at least 3)."""
    height, width = image.shape[:2]
    rows = slice(height // 8, height * 5 // 8)
    means = []
    for index in range(len(BARS)):
        left = index * width // 4
        middle = image[rows, left + width // 16 : left + width * 3 // 16, :3]
        means.append(tuple(float(v) for v in middle.reshape(-1, 3).mean(axis=0)))
    return tuple(means)


async def see(track: rtc.Track, *, frames: int = 10, timeout_s: float = 15.0) -> Picture:
    """Look at a subscribed video track for that many frames."""
    stream, count, first, last = rtc.VideoStream(track, format=rtc.VideoBufferType.RGBA), 0, None, None
    try:
        async with asyncio.timeout(timeout_s):
            async for event in stream:
                frame = event.frame
                last = np.frombuffer(frame.data, dtype=np.uint8).reshape(frame.height, frame.width, 4).copy()
                first = last if first is None or first.shape != last.shape else first
                count += 1
                if count >= frames:
                    break
    except TimeoutError:
        raise AssertionError(f"saw only {count} of {frames} frames within {timeout_s} s") from None
    finally:
        await stream.aclose()
    assert last is not None
    assert first is not None
    floor = slice(last.shape[0] * 3 // 4, None)
    moved = bool(np.abs(last[floor].astype(int) - first[floor].astype(int)).max() > 60)
    return Picture(last.shape[1], last.shape[0], bars_of(last), count, moved)


def assert_bars(bars: Any, *, tolerance: float = 60) -> None:
    """The colours are those of `BARS`, losses of coding and of colour matrices allowed for."""
    for got, wanted in zip(bars, BARS, strict=True):
        assert max(abs(g - w) for g, w in zip(got, wanted, strict=True)) < tolerance, f"bars are {bars}, not {BARS}"
