"""Sound for and from aiortc's peer connections: a tone to publish, and an ear that also sees the RTP packets.

Owns what aiortc's API does not offer: the packets of a receiver as they come, and losing some of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError

from tests.e2e.support.media import dominant_hz

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiortc.mediastreams import MediaStreamTrack
    from aiortc.rtp import RtpPacket
    from av.audio.frame import AudioFrame

    from tests.e2e.support.peer_client import PeerClient

__all__ = ["Ear", "ToneTrack", "listening"]


class ToneTrack(AudioStreamTrack):
    """An endless sine wave at the pace of aiortc's own silence."""

    def __init__(self, hz: float) -> None:
        super().__init__()
        self._hz = hz

    async def recv(self) -> AudioFrame:
        """The next twenty milliseconds."""
        frame: Any = await super().recv()
        times = (np.arange(frame.samples) + frame.pts) / frame.sample_rate
        wave = (8000 * np.sin(2 * np.pi * self._hz * times)).astype(np.int16)
        frame.planes[0].update(wave.tobytes())
        return cast("AudioFrame", frame)


class Ear:
    """What one receiver gets: `packets` as they came, and the sound of the last second."""

    def __init__(self, receiver: Any) -> None:
        """`receiver` is an `RTCRtpReceiver`, of which more is used than it declares."""
        self.packets: list[RtpPacket] = []
        self.lose: Callable[[RtpPacket], bool] = lambda _: False
        """Which packets are lost on the last metre."""
        self._sound: list[Any] = []
        self._rate_hz = 48_000
        self._news = asyncio.Event()
        self._receiver = receiver
        self._pass_on = receiver._handle_rtp_packet
        receiver._handle_rtp_packet = self._take

    async def _take(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        if not self.lose(packet):
            self.packets.append(packet)
            self._news.set()
            await self._pass_on(packet, arrival_time_ms)

    @property
    def codec(self) -> str:
        """MIME type of the last packet."""
        last = self.packets[-1].payload_type
        codecs = self._receiver._RTCRtpReceiver__codecs  # aiortc tells it to nobody else
        return str(codecs[last].mimeType)

    async def follow(self, track: MediaStreamTrack) -> None:
        """Decodes what comes until the track ends."""
        with contextlib.suppress(MediaStreamError):
            while True:
                frame: Any = await track.recv()
                self._rate_hz = frame.sample_rate
                self._sound.append(frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0])
                del self._sound[:-50]
                self._news.set()

    async def hear(self, hz: float, *, timeout_s: float = 20.0) -> None:
        """Wait until the last second of sound is that tone."""

        def heard() -> bool:
            wave = np.concatenate(self._sound) if len(self._sound) == 50 else np.zeros(0, np.int16)
            return abs(dominant_hz(wave, self._rate_hz) - hz) < 5

        await self.until(heard, f"tone of {hz} Hz", timeout_s=timeout_s)

    async def until(self, predicate: Callable[[], bool], what: str, *, timeout_s: float = 20.0) -> None:
        """Wait for something that packets bring about."""
        try:
            async with asyncio.timeout(timeout_s):
                while not predicate():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"no {what} within {timeout_s} s; {len(self.packets)} packets") from None


@contextlib.asynccontextmanager
async def listening(client: PeerClient, *, timeout_s: float = 15.0) -> AsyncIterator[Ear]:
    """An ear on the first audio track that `client` is sent."""
    entry = await client.journal.wait("track", lambda track: track.kind == "audio", timeout_s=timeout_s)
    track = entry.args[0]
    connections = (client.publisher, client.subscriber)
    transceivers = [t for connection in connections for t in connection.getTransceivers()]
    ear = Ear(next(t.receiver for t in transceivers if t.receiver.track is track))
    task = asyncio.create_task(ear.follow(track))
    try:
        yield ear
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
