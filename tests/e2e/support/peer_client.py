"""A wire client with real peer connections by aiortc: an implementation of WebRTC that no SDK of LiveKit contains.

Owns the peer connections of one participant: one on `/rtc/v1`, two on `/rtc`. It publishes what a test puts into it,
opens the three data channels, and lets tests send any DataPacket, lies included. Received packets are in the journal as
`packet` (label, DataPacket).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack
from aiortc.sdp import candidate_from_sdp
from livekit.protocol import models, rtc

from tests.e2e.support.wire_client import WireClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from aiortc import RTCRtpCodecCapability

    from tests.e2e.support.endpoint import Endpoint, JoinPath
    from tests.e2e.support.journal import Entry

__all__ = ["PeerClient", "peer"]

_CHANNELS: dict[str, dict[str, Any]] = {
    "_reliable": {"ordered": True},
    "_lossy": {"ordered": False, "maxRetransmits": 0},
    "_data_track": {"ordered": False, "maxRetransmits": 0},
}


class PeerClient(WireClient):
    """One participant with media; `publisher` sends (on `/rtc/v1` it receives too), `subscriber` receives on `/rtc`."""

    def __init__(self, identity: str) -> None:
        super().__init__(identity)
        self._tasks: set[asyncio.Task[None]] = set()
        self._at_work = asyncio.Lock()
        """Held while a description is made: cancelling aiortc as it gathers candidates leaves open sockets behind."""
        self.publisher = self._connection("publisher")
        self.subscriber = self._connection("subscriber")
        self.channels: dict[str, RTCDataChannel] = {}
        self._offer_id = 0
        self._early: list[tuple[RTCPeerConnection, str]] = []

    def _connection(self, role: str) -> RTCPeerConnection:
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))

        @connection.on("connectionstatechange")
        def _state() -> None:
            self.journal.record(f"{role}_{connection.connectionState}")

        @connection.on("track")
        def _track(track: MediaStreamTrack) -> None:
            self.journal.record("track", track)

        @connection.on("datachannel")
        def _channel(channel: RTCDataChannel) -> None:
            self._listen(channel)

        return connection

    def _listen(self, channel: RTCDataChannel) -> None:
        @channel.on("message")
        def _message(data: bytes) -> None:
            packet = models.DataPacket.FromString(data) if channel.label in ("_reliable", "_lossy") else data
            self.journal.record("packet", channel.label, packet)

    def open_channels(self) -> None:
        """Create the three data channels on the publishing connection."""
        for label, options in _CHANNELS.items():
            channel = self.publisher.createDataChannel(label, **options)
            self._listen(channel)
            self.channels[label] = channel

    async def make_offer(self) -> rtc.SessionDescription:
        """A new local description of the publishing connection, with all candidates in it."""
        await self.publisher.setLocalDescription(await self.publisher.createOffer())
        self._offer_id += 1
        return rtc.SessionDescription(type="offer", sdp=self.publisher.localDescription.sdp, id=self._offer_id)

    async def negotiate(self, *, timeout_s: float = 10.0) -> rtc.SessionDescription:
        """Offer, wait for the answer to exactly this offer, apply it."""
        offer = await self.make_offer()
        await self.send(offer=offer)
        answer = await self.response("answer", lambda a: a.id == offer.id, timeout_s=timeout_s)
        await self.apply_answer(answer)
        return answer  # type: ignore[no-any-return]

    async def apply_answer(self, answer: rtc.SessionDescription) -> None:
        """Set the server's answer on the publishing connection."""
        await self.publisher.setRemoteDescription(RTCSessionDescription(answer.sdp, "answer"))
        early, self._early = self._early, []
        for connection, text in early:
            await self._candidate(connection, text)

    async def _candidate(self, connection: RTCPeerConnection, text: str) -> None:
        described: RTCSessionDescription | None = connection.remoteDescription
        if described is None:
            self._early.append((connection, text))
            return
        init = json.loads(text)
        if not init["candidate"]:
            return
        candidate = candidate_from_sdp(init["candidate"].removeprefix("candidate:"))
        candidate.sdpMid, candidate.sdpMLineIndex = init.get("sdpMid"), init.get("sdpMLineIndex")
        if candidate.protocol == "udp":
            await connection.addIceCandidate(candidate)

    def follow(self) -> None:
        """From now on do what an SDK does by itself: add candidates, answer offers, re-offer when asked."""
        self._tasks.add(asyncio.create_task(self._follow()))

    async def _follow(self) -> None:
        index = 0
        while True:
            entry = await self.journal.at(index, timeout_s=3600)
            index += 1
            async with self._at_work:
                await self._obey(entry)

    async def _obey(self, entry: Entry) -> None:
        if entry.name == "trickle":
            trickle = entry.args[0]
            of_subscriber = trickle.target == rtc.SignalTarget.SUBSCRIBER
            await self._candidate(self.subscriber if of_subscriber else self.publisher, trickle.candidateInit)
        elif entry.name == "offer":
            await self._answer(entry.args[0])
        elif entry.name == "media_sections_requirement":
            self._reoffer(entry.args[0])

    def _reoffer(self, requirement: Any) -> None:
        for kind, count in (("audio", requirement.num_audios), ("video", requirement.num_videos)):
            for _ in range(count):
                self.publisher.addTransceiver(kind, direction="recvonly")
        task = asyncio.create_task(self._negotiate_quietly())
        self._tasks.add(task)

    async def _negotiate_quietly(self) -> None:
        async with self._at_work:
            await self.negotiate()

    async def _answer(self, offer: rtc.SessionDescription) -> None:
        await self.subscriber.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        await self.subscriber.setLocalDescription(await self.subscriber.createAnswer())
        answer = rtc.SessionDescription(type="answer", sdp=self.subscriber.localDescription.sdp, id=offer.id)
        await self.send(answer=answer)
        for connection, text in [e for e in self._early if e[0] is self.subscriber]:
            self._early.remove((connection, text))
            await self._candidate(connection, text)

    async def connected(self, *, timeout_s: float = 15.0) -> None:
        """Wait for ICE and DTLS of the publishing connection and for its open data channels."""
        await self.journal.wait("publisher_connected", timeout_s=timeout_s)
        for channel in self.channels.values():
            opened = asyncio.Event()
            channel.on("open", opened.set)
            if channel.readyState != "open":
                await asyncio.wait_for(opened.wait(), timeout_s)

    def send_packet(self, packet: models.DataPacket, *, label: str = "_reliable") -> None:
        """Send a DataPacket as it is."""
        self.channels[label].send(packet.SerializeToString())

    async def publish_audio(
        self, track: MediaStreamTrack | None = None, *, codecs: Sequence[RTCRtpCodecCapability] = (), **fields: Any
    ) -> models.TrackInfo:
        """Announce and negotiate an audio track (silence by default), in these codecs only, if any are given.

        `fields` are those of AddTrackRequest.
        """
        track = track or AudioStreamTrack()
        values: dict[str, Any] = {"cid": track.id, "name": "peer", "type": models.AUDIO, "source": models.MICROPHONE}
        request = rtc.AddTrackRequest(**(values | fields))
        await self.send(add_track=request)
        published = await self.response("track_published", lambda p: p.cid == request.cid)
        sender = self.publisher.addTrack(track)
        if codecs:
            transceivers = self.publisher.getTransceivers()
            next(t for t in transceivers if t.sender is sender).setCodecPreferences(list(codecs))
        await self.negotiate()
        return published.track  # type: ignore[no-any-return]

    async def close(self) -> None:
        """Drop everything; never fails."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._at_work.acquire(), 3)
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
        for connection in (self.publisher, self.subscriber):
            with contextlib.suppress(Exception):
                await connection.close()
        await super().close()


@contextlib.asynccontextmanager
async def peer(
    endpoint: Endpoint, identity: str, room: str, path: JoinPath, *, token: str | None = None, **options: Any
) -> AsyncIterator[PeerClient]:
    """A peer client whose connection and data channels are up; grants go into `grants={...}`."""
    grants = options.pop("grants", {})
    client = PeerClient(identity)
    try:
        await client.connect(endpoint, token or endpoint.token(identity, room, **grants), path, **options)
        client.follow()
        client.open_channels()
        await client.negotiate()
        await client.connected()
        yield client
    finally:
        await client.close()
