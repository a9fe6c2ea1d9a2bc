"""Joining: both paths, who offers, falling back, what the first message holds, joining in crowds (protocol.md §2)."""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from aiortc.mediastreams import AudioStreamTrack
from livekit.protocol import models, rtc

from tests.e2e.support.api_client import get
from tests.e2e.support.browser import PageError
from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.media import assert_bars, assert_tone, publish_bars, publish_tone
from tests.e2e.support.peer_client import PeerClient
from tests.e2e.support.sdk_client import SdkClient, sdk
from tests.e2e.support.server import OWN, ServerSpec, started
from tests.e2e.support.wire_client import Refused, WireClient, join_request_in, wire

if TYPE_CHECKING:
    from livekit import rtc as sdk_rtc

    from tests.e2e.support.browser import Browser


async def test_browser_with_two_peer_connections(endpoint: Endpoint, chromium: Browser) -> None:
    async with chromium.client(endpoint, "web", unique("v0"), JoinPath.V0) as web:
        sockets, count, state = await web.run("return [e2e.sockets, e2e.connections.length, e2e.room.state]")
        assert urlsplit(sockets[-1]).path.lstrip("/") == "rtc"
        assert (count, state) == (2, "connected")


async def test_browser_with_one_peer_connection_brings_its_offer_along(endpoint: Endpoint, chromium: Browser) -> None:
    async with chromium.client(endpoint, "web", unique("v1"), JoinPath.V1) as web:
        sockets, count, state = await web.run("return [e2e.sockets, e2e.connections.length, e2e.room.state]")
        assert urlsplit(sockets[-1]).path.lstrip("/") == "rtc/v1"
        assert join_request_in(sockets[-1]).publisher_offer.sdp.startswith("v=0")
        assert (count, state) == (1, "connected")


async def test_publisher_that_may_not_subscribe(endpoint: Endpoint, chromium: Browser) -> None:
    """On the path with two connections the publishing one is primary, and nothing is ever offered (JOI02, SUB04)."""
    room = unique("pubonly")
    grants = {"canSubscribe": False}
    async with (
        chromium.client(endpoint, "web", room, JoinPath.V0, grants=grants) as web,
        sdk(endpoint, "py", room, JoinPath.V0) as py,
        publish_tone(py.room),
    ):
        await web.publish_tone(440)
        await assert_tone(await py.subscribed("web"), 440)
        assert not web.journal.seen("trackSubscribed")
    async with wire(endpoint, "bare", room, JoinPath.V0, grants=grants) as bare:
        assert not (await bare.response("join")).subscriber_primary
        await bare.journal.never("offer", since=0, window_s=1.0)
    async with wire(endpoint, "bare", room, JoinPath.V0) as bare:
        assert (await bare.response("join")).subscriber_primary
        await bare.response("offer")


@pytest.mark.skipif(not OWN, reason="turning /rtc/v1 off is a configuration key of this server")
async def test_clients_fall_back_when_v1_is_turned_off(chromium: Browser) -> None:
    async with started(ServerSpec(config={"plenum": {"disable_rtc_v1": True}})) as server:
        endpoint, room = server.endpoint, unique("fallback")
        client = WireClient("x")
        with pytest.raises(Refused) as refusal:
            await client.connect(endpoint, endpoint.token("x", room), JoinPath.V1)
        await client.close()
        assert refusal.value.status == 404
        async with (
            chromium.client(endpoint, "web", room, JoinPath.V1) as web,
            sdk(endpoint, "py", room, JoinPath.V1) as py,
        ):
            await web.remote_here("py")
            await py.remote_here("web")
            paths = [urlsplit(u).path.lstrip("/") for u in await web.run("return e2e.sockets")]
            assert paths == ["rtc/v1", "rtc"]


def _small_offer() -> str:
    """An offer for data channels alone, as small as they come; each join needs its own ICE credentials."""
    marker = base64.b32encode(str(time.monotonic_ns()).encode()).decode().strip("=")[:20]
    fingerprint = ":".join(["AB"] * 32)
    lines = [
        "v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0", "a=msid-semantic: WMS",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 0.0.0.0", f"a=ice-ufrag:{marker[-8:]}",
        f"a=ice-pwd:{marker}{'x' * 8}", "a=ice-options:trickle", f"a=fingerprint:sha-256 {fingerprint}",
        "a=setup:actpass", "a=mid:0", "a=sctp-port:5000", "a=max-message-size:262144",
    ]  # fmt: skip
    return "\r\n".join(lines) + "\r\n"


async def test_200_joins_at_once_have_their_first_answer_within_5_s(endpoint: Endpoint, path: JoinPath) -> None:
    rooms = [unique("crowd") for _ in range(10)]
    clients = [WireClient(f"c{n}") for n in range(200)]

    async def join(number: int, client: WireClient) -> float:
        begun = time.monotonic()
        token = endpoint.token(client.identity, rooms[number % 10])
        request = rtc.JoinRequest()
        request.connection_settings.auto_subscribe = True
        request.publisher_offer.CopyFrom(rtc.SessionDescription(type="offer", sdp=_small_offer(), id=1))
        await client.connect(endpoint, token, path, request=request if path.single else None)
        entry = await client.journal.wait("join", timeout_s=15)
        first_s = entry.at_s - begun
        await client.journal.wait("answer" if path.single else "offer", timeout_s=15)
        assert client.journal.entries[0].name == "join", "nothing comes before the join response"
        return first_s

    try:
        async with asyncio.timeout(60):
            waits_s = await asyncio.gather(*(join(n, c) for n, c in enumerate(clients)))
    finally:
        await asyncio.gather(*(c.close() for c in clients))
    assert max(waits_s) < 5.0, f"slowest first answer after {max(waits_s):.2f} s"


async def test_the_join_response_is_complete(endpoint: Endpoint, path: JoinPath) -> None:
    room = unique("complete")
    async with (
        sdk(endpoint, "py", room, path) as py,
        sdk(endpoint, "seen", room, path) as witness,
        publish_tone(py.room),
    ):
        await witness.subscribed("py")
        async with wire(endpoint, "w", room, path) as client:
            _assert_complete(await client.response("join"), room, path)
            assert client.journal.entries[0].name == "join"
            refreshed = await client.response("refresh_token")
            assert refreshed.count(".") == 2


def _assert_complete(join: rtc.JoinResponse, room: str, path: JoinPath) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", join.server_version)
    assert tuple(map(int, join.server_version.split("."))) >= (1, 8, 0)
    info = join.server_info
    assert (info.version, info.edition, info.agent_protocol) == (join.server_version, 0, 1)
    assert info.protocol >= 16
    assert info.node_id.startswith("ND_")
    assert (join.ping_interval, join.ping_timeout) == (5, 10 if OWN else 15)
    assert len(join.sif_trailer) >= 8
    assert join.fast_publish
    assert join.room.sid.startswith("RM_")
    assert (join.room.name, join.room.empty_timeout, join.room.departure_timeout) == (room, 300, 20)
    assert join.participant.sid.startswith("PA_")
    assert join.participant.state in (models.ParticipantInfo.JOINING, models.ParticipantInfo.JOINED)
    assert join.participant.HasField("permission")
    others = {p.identity: p for p in join.other_participants}
    assert set(others) == {"py", "seen"}
    assert [t.source for t in others["py"].tracks] == [models.MICROPHONE]
    mimes = [c.mime.lower() for c in join.enabled_publish_codecs]
    assert mimes[:2] == ["video/vp8", "video/h264"]
    assert "audio/opus" in mimes
    assert not any("rtx" in m for m in mimes)
    assert join.subscriber_primary == (not path.single)


async def test_rooms_have_their_own_trailer(endpoint: Endpoint) -> None:
    trailers = set()
    for _ in range(2):
        async with wire(endpoint, "w", unique("sif"), JoinPath.V1) as client:
            trailers.add((await client.response("join")).sif_trailer)
    assert len(trailers) == 2


async def test_encrypted_room_carries_sound_and_picture(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """JOI11: end-to-end encrypted media pass; who has the key hears what was sent, who has none does not."""
    room = unique("e2ee")
    connect = """const keys = new LK.ExternalE2EEKeyProvider();
        await keys.setKey(secret);
        const worker = new Worker('/livekit-e2ee.js');
        await e2e.join(url, token, { singlePeerConnection: single, encryption: { keyProvider: keys, worker } });
        await e2e.room.setE2EEEnabled(true);"""
    async with (
        chromium.page("alice") as alice,
        chromium.page("bob") as bob,
        chromium.client(endpoint, "eve", room, path) as eve,
    ):
        for client in (alice, bob):
            token = endpoint.token(client.identity, room)
            await client.run(connect, url=endpoint.ws_url, token=token, single=path.single, secret="shared secret")
        await alice.publish_tone(440)
        await alice.publish_bars()
        await bob.hear("alice", 440)
        assert_bars((await bob.see("alice"))["bars"])
        with pytest.raises(PageError, match="no tone of 440 Hz"):
            await eve.hear("alice", 440, timeout_s=2)
        sound, pictures = await eve.run(
            """const of = async (kind) => (await e2e.stats('inbound-rtp', (s) => s.kind === kind))[0];
            const [sound, pictures] = [await of('audio'), await of('video')];
            return [sound.packetsReceived, [pictures.packetsReceived, pictures.framesDecoded]];"""
        )
        # A second of the server's own silence: bob knows it by its trailer, and misses no key for it.
        received = """const [s] = await e2e.stats('inbound-rtp', (s) => s.kind === 'audio');
            return e2e.until(async () => {
                const [now] = await e2e.stats('inbound-rtp', (s) => s.kind === 'audio');
                return now.packetsReceived - s.packetsReceived >= 45 && now.packetsReceived;
            }, 'a second of silence');"""
        await alice.run("await e2e.room.localParticipant.setMicrophoneEnabled(false)")
        await bob.run(received)
        await alice.run("await e2e.room.localParticipant.setMicrophoneEnabled(true)")
        await bob.hear("alice", 440)
        assert not bob.journal.seen("encryptionError")
        assert sound > 50, "eve gets the packets, only she cannot read them"
        assert pictures[0] > 20
        assert pictures[1] == 0


async def test_rpc_needs_the_server_version(endpoint: Endpoint, path: JoinPath) -> None:
    room = unique("semver")
    async with sdk(endpoint, "alice", room, path) as alice, sdk(endpoint, "bob", room, path) as bob:
        await alice.remote_here("bob")
        await bob.remote_here("alice")

        async def ping(_: sdk_rtc.RpcInvocationData) -> str:
            return "pong"

        bob.local.register_rpc_method("ping", ping)
        assert await alice.local.perform_rpc(destination_identity="bob", method="ping", payload="") == "pong"


async def test_both_kinds_of_ping_are_answered(endpoint: Endpoint, path: JoinPath) -> None:
    async with wire(endpoint, "w", unique("ping"), path) as client:
        now_ms = int(time.time() * 1000)
        await client.send(ping=now_ms)
        assert abs(await client.response("pong") - now_ms) < 10_000
        await client.send(ping_req=rtc.Ping(timestamp=now_ms, rtt=3))
        pong = await client.response("pong_resp")
        assert pong.last_ping_timestamp == now_ms
        assert abs(pong.timestamp - now_ms) < 10_000


def _known_to(client: SdkClient | WireClient) -> set[str]:
    """Whom a client knows besides itself: what the SDK lists, or what the raw messages add up to."""
    if isinstance(client, SdkClient):
        return set(client.room.remote_participants)
    known: dict[str, str] = {}
    for entry in client.journal.entries:
        if entry.name == "join":
            known |= {p.sid: p.identity for p in entry.args[0].other_participants}
        elif entry.name == "update":
            for p in entry.args[0].participants:
                known[p.sid] = p.identity
                if p.state == models.ParticipantInfo.DISCONNECTED:
                    del known[p.sid]
    assert len(set(known.values())) == len(known), "an identity twice is a ghost"
    return set(known.values()) - {client.identity}


async def test_a_hundred_at_once_know_exactly_each_other(endpoint: Endpoint, path: JoinPath) -> None:
    """JOI13 with 40 SDK clients and 60 bare ones: nobody is missing, nobody is a ghost, also after half have left."""
    room = unique("ghosts")
    clients: list[SdkClient | WireClient] = [SdkClient(f"s{n}") for n in range(40)]
    clients += [WireClient(f"w{n}") for n in range(60)]

    async def join(client: SdkClient | WireClient) -> None:
        token = endpoint.token(client.identity, room)
        if isinstance(client, SdkClient):
            await client.connect(endpoint, token, path, connect_timeout=20.0)
        else:
            await client.connect(endpoint, token, path)

    async def know(present: list[SdkClient | WireClient]) -> None:
        everyone = {client.identity for client in present}
        for client in present:
            others = everyone - {client.identity}
            await client.journal.until(
                functools.partial(_knows, client, others), f"knowledge of all {len(others)}", timeout_s=20
            )

    try:
        await asyncio.gather(*map(join, clients))
        await know(clients)
        await asyncio.gather(*(client.close() for client in clients[::2]))
        await know(clients[1::2])
    finally:
        await asyncio.gather(*(client.close() for client in clients))


def _knows(client: SdkClient | WireClient, others: set[str]) -> bool:
    return _known_to(client) == others


async def test_join_with_attributes_and_metadata(endpoint: Endpoint, path: JoinPath) -> None:
    room = unique("attributes")
    request = rtc.JoinRequest(metadata="from the request", participant_attributes={"mood": "fine"})
    packed = base64.urlsafe_b64encode(json.dumps({"mood": "fine"}).encode()).decode()
    query: dict[str, Any] = {} if path.single else {"attributes": packed}
    options: dict[str, Any] = {"request": request} if path.single else {}
    grants = {"canUpdateOwnMetadata": True}
    async with wire(endpoint, "alice", room, path, grants=grants, **options, **query) as client:
        participant = (await client.response("join")).participant
        assert dict(participant.attributes) == {"mood": "fine"}
        if path.single:
            assert participant.metadata == "from the request"
    client = WireClient("bob")
    with pytest.raises(Refused) as refusal:
        await client.connect(endpoint, endpoint.token("bob", room), path, **options, **query)
    await client.close()
    assert refusal.value.status == 401


async def test_undecodable_attributes_are_400_on_validate(endpoint: Endpoint) -> None:
    token = endpoint.token("alice", unique("room"), canUpdateOwnMetadata=True)
    verdict = await get(endpoint, "/rtc/validate", access_token=token, attributes="!!!")
    assert verdict.status == 400
    assert verdict.text.startswith("cannot decode attributes")


async def test_without_auto_subscribe_nothing_comes_by_itself(endpoint: Endpoint, path: JoinPath) -> None:
    room = unique("manual")
    async with (
        sdk(endpoint, "alice", room, path) as alice,
        publish_tone(alice.room),
        sdk(endpoint, "bob", room, path, auto_subscribe=False) as bob,
    ):
        await bob.journal.until(
            lambda: "alice" in bob.room.remote_participants and bob.remote("alice").track_publications, "the track"
        )
        await bob.journal.never("track_subscribed", since=0, window_s=1.5)
        for publication in bob.remote("alice").track_publications.values():
            publication.set_subscribed(True)
        await assert_tone(await bob.subscribed("alice"), 440)


async def test_tracks_announced_in_the_join_request_are_published(endpoint: Endpoint) -> None:
    """JOI17: the offer and its AddTrackRequest come with the join; the track is there without another message."""
    room = unique("bundled")
    async with sdk(endpoint, "bob", room, JoinPath.V1) as bob:
        alice = PeerClient("alice")
        try:
            track = AudioStreamTrack()
            alice.open_channels()
            alice.publisher.addTrack(track)
            request = rtc.JoinRequest()
            request.connection_settings.auto_subscribe = True
            request.add_track_requests.add(cid=track.id, name="early", type=models.AUDIO, source=models.MICROPHONE)
            request.publisher_offer.CopyFrom(await alice.make_offer())
            await alice.connect(endpoint, endpoint.token("alice", room), JoinPath.V1, request=request)
            alice.follow()
            published = await alice.response("track_published")
            assert published.cid == track.id
            await alice.apply_answer(await alice.response("answer", lambda a: a.id == request.publisher_offer.id))
            await alice.connected()
            subscribed = await bob.subscribed("alice")
            assert subscribed.sid == published.track.sid
            order = [e.name for e in alice.journal.entries]
            assert order.index("track_published") < order.index("answer")
        finally:
            await alice.close()


async def test_sdk_joins_and_publishes_on_both_paths_into_one_room(endpoint: Endpoint) -> None:
    room = unique("mixed")
    async with (
        sdk(endpoint, "two", room, JoinPath.V0) as two,
        sdk(endpoint, "one", room, JoinPath.V1) as one,
        publish_tone(two.room, 440),
        publish_bars(one.room),
    ):
        await assert_tone(await one.subscribed("two"), 440)
        await two.subscribed("one")


async def test_a_browser_publishes_in_the_only_codec_of_the_room(path: JoinPath, chromium: Browser) -> None:
    """JOI10."""
    codecs = [{"mime": "audio/opus"}, {"mime": "video/h264"}]
    async with started(ServerSpec(config={"room": {"enabled_codecs": codecs}})) as server:
        room = unique("h264")
        async with (
            sdk(server.endpoint, "bob", room, path) as bob,
            chromium.client(server.endpoint, "web", room, path) as web,
        ):
            await web.publish_bars()
            await bob.subscribed("web")
            publication = next(iter(bob.remote("web").track_publications.values()))
            assert publication.mime_type.lower() == "video/h264"


async def test_a_device_is_told_what_it_cannot_do(endpoint: Endpoint, path: JoinPath) -> None:
    """JOI12: Safari is to leave AV1 alone, whether it says its name or its header does; Chrome hears nothing."""
    safari = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/17.6 Safari/605.1.15"
    for browser, header, disabled in (("Safari", "", ["video/av1"]), ("", safari, ["video/av1"]), ("Chrome", "", [])):
        request = rtc.JoinRequest()
        request.client_info.sdk = models.ClientInfo.SDK.JS
        request.client_info.browser = browser
        query = {} if path.single else {"sdk": "js", "browser": browser}
        client = WireClient("device")
        try:
            token = endpoint.token("device", unique("device"))
            await client.connect(
                endpoint, token, path, request=request, headers={"User-Agent": header} if header else None, **query
            )
            configuration = (await client.response("join")).client_configuration
            assert [codec.mime.lower() for codec in configuration.disabled_codecs.codecs] == disabled
        finally:
            await client.close()
