"""Bad input from the network: its sender gets the documented error or nothing, and nobody else notices.

Every test has bystanders: participants whose sound and pictures must go on while the attack runs. At the end the server
must have given back its memory and its log must hold no traceback (the `server` fixture looks).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import socket
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio
from livekit.protocol import models, rtc

from tests.e2e.support.api_client import get, twirp
from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.journal import eventually
from tests.e2e.support.peer_client import PeerClient, peer
from tests.e2e.support.server import OWN, Server
from tests.e2e.support.wire_client import Refused, WireClient, join_request, wire
from tests.e2e.support.witness import HZ, Witnesses, witnesses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# What the witnesses hear and see is timed.
pytestmark = pytest.mark.alone

STALL_S = 0.3
"""A longer gap in sound or pictures is a stall, in this house."""
OVER_THE_CAP = (aiohttp.WSCloseCode.POLICY_VIOLATION, aiohttp.WSCloseCode.ABNORMAL_CLOSURE)
"""Closed with a reason; unread input makes the kernel reset the connection, which can overtake the close frame."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def watching(server: Server) -> AsyncIterator[Witnesses]:
    """The witnesses' process."""
    async with witnesses(server.endpoint, unique("witness")) as process:
        yield process


@pytest_asyncio.fixture(loop_scope="session")
async def bystanders(watching: Witnesses) -> AsyncIterator[str]:
    """Participants who hear and see each other through the whole test; yields their room. A stall fails the test."""
    await watching.ask("begin")
    yield watching.room
    reports = await watching.ask("end")
    clock = reports.pop("clock")
    for listener, report in reports.items():
        for kind in ("sound_gap_s", "video_gap_s"):
            stall_s, gap_s = report[kind]
            assert stall_s < STALL_S, f"{listener}: {kind} is {gap_s:.2f} ({stall_s:.2f} not its own); clock {clock}"
        assert abs(report["hz"] - HZ) < 5, f"{listener} hears {report['hz']:.0f} Hz"
        assert not report["trouble"]


@pytest.mark.usefixtures("bystanders")
async def test_random_bytes_on_the_websocket(endpoint: Endpoint, path: JoinPath) -> None:
    dice = random.Random(11)
    for size in (0, 1, 7, 100, 5000, 100_000):
        async with wire(endpoint, f"noise{size}", unique("noise"), path) as client:
            await client.response("join")
            with contextlib.suppress(ConnectionError, aiohttp.ClientError):
                for _ in range(20):
                    await client.send_bytes(dice.randbytes(size))
                assert client.ws is not None
                await client.ws.send_str("{not json")
                await client.ws.send_str('{"noSuchField": 1}')
            if OWN and size:  # nothing at all is a request without a message
                await client.journal.wait("closed", lambda code: code in OVER_THE_CAP)


@pytest.mark.usefixtures("bystanders")
async def test_frames_over_the_limit(endpoint: Endpoint, path: JoinPath) -> None:
    """A frame of 16 MB ends its own connection."""
    async with wire(endpoint, "fat", unique("fat"), path) as client:
        await client.response("join")
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            await client.send_bytes(bytes(16 * 2**20))
        if OWN:
            wanted = (aiohttp.WSCloseCode.MESSAGE_TOO_BIG, aiohttp.WSCloseCode.ABNORMAL_CLOSURE)
            await client.journal.wait("closed", lambda code: code in wanted)


@pytest.mark.usefixtures("bystanders")
async def test_random_bytes_on_the_udp_port(server: Server) -> None:
    dice = random.Random(12)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noise:
        target = (server.endpoint.host, server.udp_port)
        for number in range(5000):
            first = bytes([dice.choice((0, 1, 20, 22, 23, 63, 128, 129, 200, 255))])
            noise.sendto(first + dice.randbytes(dice.randrange(0, 1400)), target)
            if number % 100 == 0:
                await asyncio.sleep(0)
        stun = b"\0\1\0\x08\x21\x12\xa4\x42" + dice.randbytes(12) + b"\0\6\0\4abcd"
        for _ in range(200):
            noise.sendto(stun, target)


@pytest.mark.usefixtures("bystanders")
async def test_random_bytes_on_the_tcp_port(server: Server) -> None:
    dice = random.Random(13)
    for size in (0, 2, 10, 3000):
        with contextlib.suppress(ConnectionError):
            reader, writer = await asyncio.open_connection(server.endpoint.host, server.tcp_port)
            writer.write(dice.randbytes(size))
            await writer.drain()
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            del reader


@pytest.mark.usefixtures("bystanders")
async def test_expired_and_forged_tokens(endpoint: Endpoint, path: JoinPath) -> None:
    claims = endpoint.claims("x", unique("bad"))
    for token in (
        endpoint.sign(claims | {"exp": int(time.time()) - 900, "nbf": 0}),
        endpoint.sign(claims, secret="y" * 40),
        endpoint.sign(claims)[:-4],
        "a.b.c",
        "",
    ):
        client = WireClient("x")
        with pytest.raises(Refused) as refusal:
            await client.connect(endpoint, token, path)
        await client.close()
        assert refusal.value.status == 401


@pytest.mark.usefixtures("bystanders")
async def test_a_gzip_bomb(server: Server) -> None:
    endpoint = server.endpoint
    before = server.memory_bytes()
    bomb = join_request(bytes(10 * 2**20), compress=True)
    query: dict[str, Any] = {"access_token": endpoint.token("x", unique("bomb")), "join_request": bomb}
    for _ in range(30):
        verdict = await get(endpoint, "/rtc/v1/validate", **query)
        assert (verdict.status, verdict.text[:22]) == (400, "join request too large")
    assert server.memory_bytes() - before < 60 * 2**20


@pytest.mark.usefixtures("bystanders")
async def test_an_offer_that_uses_a_payload_type_twice(endpoint: Endpoint, path: JoinPath) -> None:
    client = PeerClient("twice")
    try:
        await client.connect(endpoint, endpoint.token("twice", unique("twice")), path)
        client.publisher.addTransceiver("audio")
        client.publisher.addTransceiver("video")
        offer = await client.make_offer()
        lines = offer.sdp.replace("\r\n", "\n").split("\n")
        number = next(m.group(1) for line in lines if (m := re.match(r"a=rtpmap:(\d+) VP8", line)))
        at = next(i for i, line in enumerate(lines) if line.startswith(f"a=rtpmap:{number} "))
        lines.insert(at + 1, f"a=rtpmap:{number} H264/90000")
        lines = [line + f" {number}" if line.startswith("m=video") else line for line in lines]
        offer.sdp = "\r\n".join(lines)
        await client.send(offer=offer)
        await _sent_away(client)
    finally:
        await client.close()


async def _sent_away(client: WireClient) -> None:
    """What cannot be negotiated ends the session, with the advice to begin a new one."""
    leave = await client.response("leave")
    assert (leave.reason, leave.action) == (models.STATE_MISMATCH, rtc.LeaveRequest.RECONNECT)
    assert not client.journal.seen("answer")
    # Never 1000, which clients take for final.
    await client.journal.wait("closed", lambda code: code == aiohttp.WSCloseCode.SERVICE_RESTART)


@pytest.mark.usefixtures("bystanders")
@pytest.mark.parametrize("text", ["", "v=0\r\n", "v=0\r\nm=audio", "\0" * 100, "m=" * 20_000], ids=range(5))
async def test_descriptions_that_are_none(endpoint: Endpoint, path: JoinPath, text: str) -> None:
    async with wire(endpoint, "odd", unique("odd"), path) as client:
        await client.response("join")
        await client.send(offer=rtc.SessionDescription(type="offer", sdp=text, id=1))
        await _sent_away(client)
    if not path.single:
        async with wire(endpoint, "odd", unique("odd"), path) as client:
            offer = await client.response("offer")
            await client.send(answer=rtc.SessionDescription(type="answer", sdp=text, id=offer.id))
            await _sent_away(client)


@contextlib.asynccontextmanager
async def _unlimited(endpoint: Endpoint, identity: str, room: str, path: JoinPath) -> AsyncIterator[PeerClient]:
    """A client that sends data messages of any size. (aiortc keeps to the server's limit, so it is told of none.)"""
    async with peer(endpoint, identity, room, path) as client:
        sctp = client.publisher.sctp
        assert sctp is not None
        assert sctp._remote_max_message_size == 65_535
        sctp._remote_max_message_size = 0
        yield client


def _received_sizes(client: PeerClient) -> list[int]:
    return [len(packet.user.payload) for _, packet in (entry.args for entry in client.journal.seen("packet"))]


async def test_data_packets_over_the_limit(endpoint: Endpoint, path: JoinPath, bystanders: str) -> None:
    """A packet that is too big to be passed on is dropped; one that is too big to be sent at all ends its session."""
    async with (
        _unlimited(endpoint, "large", bystanders, path) as large,
        _unlimited(endpoint, "larger", bystanders, path) as larger,
        _unlimited(endpoint, "largest", bystanders, path) as largest,
        peer(endpoint, "bob", bystanders, path) as bob,
    ):
        # 65,500 bytes fit into a message; with the sender's identity, which the server adds, they do not.
        for size in (60_000, 65_500, 5):
            large.send_packet(models.DataPacket(user=models.UserPacket(payload=bytes(size))))
        for client, size in ((larger, 65_536), (largest, 200_000)):
            client.send_packet(models.DataPacket(user=models.UserPacket(payload=bytes(size))))
            client.send_packet(models.DataPacket(user=models.UserPacket(payload=b"after")))
        for client in (larger, largest):
            leave = await client.response("leave")
            assert leave.action == rtc.LeaveRequest.RECONNECT
            await client.journal.wait("closed")
        await bob.journal.until(lambda: 5 in _received_sizes(bob), "the packet after the one that was too big")
        assert _received_sizes(bob) == [60_000, 5]
        assert not large.journal.seen("leave")


async def test_a_token_without_grants_can_do_nothing(endpoint: Endpoint, path: JoinPath, bystanders: str) -> None:
    grants = {"canPublish": False, "canSubscribe": False, "canPublishData": False}
    async with wire(endpoint, "nobody", bystanders, path, grants=grants) as client:
        await client.response("join")
        since = client.journal.mark()
        await client.send(add_track=rtc.AddTrackRequest(cid="c", type=models.AUDIO, source=models.MICROPHONE))
        answer = await client.response("request_response", since=since)
        assert answer.reason == rtc.RequestResponse.NOT_ALLOWED
        await client.send(update_metadata=rtc.UpdateParticipantMetadata(request_id=5, metadata="x"))
        answer = await client.response("request_response", lambda r: r.request_id == 5)
        assert answer.reason == rtc.RequestResponse.NOT_ALLOWED
        speaker = client.participant("speaker")
        assert speaker is not None
        await client.send(
            subscription=rtc.UpdateSubscription(track_sids=[t.sid for t in speaker.tracks], subscribe=True)
        )
        assert not client.journal.seen("track_published")
    for call in ("ListParticipants", "DeleteRoom", "SendData"):
        body = {"room": bystanders}
        answer = await twirp(endpoint, call, body, token=endpoint.token("nobody", bystanders, **grants))
        assert answer.status == 401


@pytest.mark.usefixtures("bystanders")
async def test_a_client_that_stops_reading(server: Server, path: JoinPath) -> None:
    """It is sent megabytes of signalling that it never takes: put out when its queue is full; its memory returns.

    Who is beside it in the room gets all of them. The witnesses are in another room: what they were sent of this would
    keep their own SDK from its media.
    """
    endpoint, room = server.endpoint, unique("stuck")
    admin, before = endpoint.admin(room), server.memory_bytes()

    async def known() -> set[str]:
        answer = await twirp(endpoint, "ListParticipants", {"room": room}, token=admin)
        return {participant["identity"] for participant in answer.json["participants"]}

    stuck = WireClient("stuck")
    async with wire(endpoint, "beside", room, path) as beside:
        await beside.response("join")
        try:
            await stuck.connect(endpoint, endpoint.token("stuck", room), path)
            await stuck.response("join")
            assert "stuck" in await known()
            stuck.transport.pause_reading()
            sent = 0
            while "stuck" in await known():
                sent += 400_000
                assert sent < 40_000_000, "still not put out"
                body = {"room": room, "metadata": f"{sent:09}" + "m" * 399_991}
                assert (await twirp(endpoint, "UpdateRoomMetadata", body, token=admin)).status == 200
            grown = server.memory_bytes() - before
            assert grown < 16 * 2**20, f"memory grew by {grown >> 20} MB for one client that does not read"
            await twirp(endpoint, "UpdateRoomMetadata", {"room": room, "metadata": "the last"}, token=admin)
            await beside.response("room_update", lambda update: update.room.metadata == "the last")
        finally:
            stuck.transport.abort()  # a closing handshake would wait for what is not read
            await stuck.close()
        came = beside.journal.seen("room_update", lambda update: len(update.room.metadata) == 400_000)
        assert len(came) == sent // 400_000

    async def returned() -> bool:
        return server.memory_bytes() - before < 8 * 2**20

    await eventually(returned, "memory given back")


async def test_a_flood_of_signal_messages(endpoint: Endpoint, path: JoinPath, bystanders: str) -> None:
    """20,000 messages as fast as they go: closed with a reason or served, and the others do not notice."""
    flooder = WireClient("flood")
    try:
        await flooder.connect(endpoint, endpoint.token("flood", bystanders, canUpdateOwnMetadata=True), path)
        await flooder.response("join")
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            for number in range(20_000):
                if number % 4 == 0:
                    await flooder.send(
                        update_metadata=rtc.UpdateParticipantMetadata(request_id=number, metadata=f"m{number}")
                    )
                elif number % 4 == 1:
                    await flooder.send(subscription=rtc.UpdateSubscription(track_sids=[f"TR_{number}"], subscribe=True))
                elif number % 4 == 2:
                    line = f"candidate:1 1 udp 1 192.0.2.1 {number % 60000} typ host"
                    init = json.dumps({"candidate": line, "sdpMid": "0"})
                    await flooder.send(trickle=rtc.TrickleRequest(candidateInit=init))
                else:
                    await flooder.send(ping=number)
                if number % 200 == 0:
                    await asyncio.sleep(0)
        if OWN:
            code = (await flooder.journal.wait("closed", timeout_s=20)).args[0]
            assert code in OVER_THE_CAP
    finally:
        await flooder.close()


@pytest.mark.usefixtures("bystanders")
async def test_connections_that_say_nothing(server: Server) -> None:
    """100 TCP connections to the HTTP port that never finish a request."""
    writers = []
    for _ in range(100):
        _, writer = await asyncio.open_connection(server.endpoint.host, server.endpoint.port)
        writer.write(b"GET /rtc?access_token=")
        writers.append(writer)
    assert (await get(server.endpoint, "/")).status == 200
    for writer in writers:
        writer.close()


async def test_memory_returns_after_a_hundred_sessions(server: Server) -> None:
    """Sessions that came and went leave little behind."""

    async def wave(number: int) -> None:
        names = [unique("gone") for _ in range(10)]

        async def one(index: int) -> None:
            async with wire(server.endpoint, f"w{number}-{index}", names[index % 10], JoinPath.V1) as client:
                await client.response("join")
                await client.send(leave=rtc.LeaveRequest(reason=models.CLIENT_INITIATED))
                await client.journal.wait("closed")

        await asyncio.gather(*(one(i) for i in range(50)))

    await wave(0)
    before = server.memory_bytes()
    for number in range(1, 4):
        await wave(number)
    grown = server.memory_bytes() - before
    assert grown < 25 * 2**20, f"150 sessions left {grown >> 20} MB"
