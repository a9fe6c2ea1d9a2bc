"""Signalling over real HTTP and WebSockets, with the engine replaced by a fake."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import Any

import pytest
from aiohttp import WSCloseCode, WSMsgType, WSServerHandshakeError
from google.protobuf import json_format
from livekit.protocol import models, rtc

from auth.grants import Claims, VideoGrants
from auth.tokens import issue
from sfu.room.enums import DisconnectReason
from sfu.room.settings import RoomSettings
from signaling import session_io
from signaling.limits import Cap, SignalLimits
from tests.sim.fake_engine import make_offer
from tests.sim.raw_client import connect, join_request, read_all
from tests.sim.world import KEY, SECRET, World, make_token, open_world

LIMIT_S = 5
pytestmark = pytest.mark.timeout(60)


async def status_of(world: World, path: str, token: str | None = None, **query: str) -> tuple[int, str]:
    """Status and body of a GET."""
    assert world.http is not None
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with world.http.get(world.url + path, params=query, headers=headers) as response:
        return response.status, await response.text()


# ---------------------------------------------------------------- joining


@pytest.mark.parametrize("v1", [False, True])
async def test_join_is_the_first_message_then_a_fresh_token(*, v1: bool) -> None:
    async with open_world() as world, connect(world, v1=v1) as ann:
        first = await ann.next()
        assert first.join.participant.identity == "ann"
        assert first.join.subscriber_primary is not v1
        assert (await ann.until("refresh_token")).refresh_token


async def test_the_offer_in_the_join_request_is_answered_under_its_id() -> None:
    offer = rtc.SessionDescription(type="offer", sdp=make_offer(("audio", "sendonly", "c1")), id=9)
    tracks = [rtc.AddTrackRequest(cid="c1", type=models.TrackType.AUDIO)]
    request = join_request(publisher_offer=offer, add_track_requests=tracks)
    async with open_world() as world, connect(world, v1=True, join_request=request) as ann:
        names = []
        while "answer" not in names:
            names.append(str((await ann.next()).WhichOneof("message")))
        assert names[0] == "join"
        assert "track_published" in names


async def test_answers_carry_the_id_of_their_offer() -> None:
    offer = rtc.SessionDescription(type="offer", sdp=make_offer(), id=9)
    async with open_world() as world, connect(world, v1=True, join_request=join_request(publisher_offer=offer)) as ann:
        assert (await ann.until("answer")).answer.id == 9
        await ann.send(offer=rtc.SessionDescription(type="offer", sdp=make_offer(), id=0))
        assert (await ann.until("answer")).answer.id == 0


async def test_join_request_on_the_older_path_means_one_peer_connection() -> None:
    async with open_world() as world, connect(world, join_request=join_request()) as ann:
        assert not (await ann.next()).join.subscriber_primary


async def test_json_frames_are_answered_by_json_frames() -> None:
    async with open_world() as world, connect(world) as ann:
        await ann.socket.send_str('{"pingReq": {"timestamp": "5"}}')
        while (message := await ann.socket.receive()).type is WSMsgType.BINARY:
            pass
        assert message.type is WSMsgType.TEXT
        assert json_format.Parse(message.data, rtc.SignalResponse()).pong_resp.last_ping_timestamp == 5


async def test_a_reconnect_is_sent_to_a_full_one() -> None:
    async with open_world() as world:
        for v1, query in ((False, {"reconnect": "1"}), (True, {"join_request": join_request(reconnect=True)})):
            async with connect(world, v1=v1, **query) as ann:
                leave = (await ann.next()).leave
                assert leave.reason == models.DisconnectReason.STATE_MISMATCH
                assert leave.action == rtc.LeaveRequest.Action.RECONNECT
                assert await read_all(ann) == ([], WSCloseCode.SERVICE_RESTART)
        assert len(world.registry) == 0


async def test_a_full_room_says_so_at_once() -> None:
    async with open_world(settings=RoomSettings(max_participants=1)) as world, connect(world) as ann:
        await ann.next()
        for v1 in (False, True):
            async with connect(world, v1=v1, token=make_token("bob")) as bob:
                leave = (await bob.next()).leave
                assert leave.reason == models.DisconnectReason.JOIN_FAILURE
                assert leave.action == rtc.LeaveRequest.Action.DISCONNECT
                assert await read_all(bob) == ([], 1000)


async def test_an_overloaded_engine_takes_no_session() -> None:
    async with open_world() as world:
        world.engine.accepting = False
        async with connect(world) as ann:
            leave = (await ann.next()).leave
            assert leave.reason == models.DisconnectReason.JOIN_FAILURE
            assert leave.action == rtc.LeaveRequest.Action.RECONNECT
        assert world.counters.turned_away == 1
        assert await status_of(world, "/") == (406, "Not Ready")


async def test_a_side_connection_publishes_only() -> None:
    async with open_world() as world, connect(world, publish="screen") as ann:
        join = (await ann.next()).join
        assert join.participant.identity == "ann#screen"
        assert not join.participant.permission.can_subscribe
        assert not join.subscriber_primary


async def test_attributes_of_the_join_override_the_tokens_but_delete_nothing() -> None:
    video = VideoGrants(room_join=True, room="lobby", can_update_own_metadata=True)
    claims = Claims(KEY, identity="ann", metadata="old", attributes={"a": "1", "b": "2"}, video=video)
    token = issue(claims, SECRET, now_s=time.time())
    request = join_request(metadata="new", participant_attributes={"a": "9", "b": "", "c": "3"})
    async with open_world() as world, connect(world, v1=True, token=token, join_request=request) as ann:
        participant = (await ann.next()).join.participant
        assert dict(participant.attributes) == {"a": "9", "b": "2", "c": "3"}
        assert participant.metadata == "new"


async def test_leaving_closes_with_code_1000() -> None:
    async with open_world() as world, connect(world) as ann:
        await ann.next()
        await ann.send(leave=rtc.LeaveRequest())
        _, code = await read_all(ann)
        assert code == 1000
        assert world.events.names()[-1] == "ParticipantAborted"


@pytest.mark.parametrize("come_back", [False, True])
async def test_only_a_final_shutdown_closes_with_code_1000(*, come_back: bool) -> None:
    async with (
        open_world() as world,
        connect(world) as ann,
        connect(world, protocol="12", token=make_token("bob")) as bob,
    ):
        await ann.next()
        await bob.next()
        await world.registry.shutdown(DisconnectReason.SERVER_SHUTDOWN, come_back=come_back)
        for client in (ann, bob):
            leave = (await client.until("leave")).leave
            assert leave.reason == models.DisconnectReason.SERVER_SHUTDOWN
            # Clients older than protocol 13 read the flag, the others the action.
            assert leave.can_reconnect == come_back
            assert leave.action == (
                rtc.LeaveRequest.Action.RECONNECT if come_back else rtc.LeaveRequest.Action.DISCONNECT
            )
            _, code = await read_all(client)
            assert code == (WSCloseCode.SERVICE_RESTART if come_back else WSCloseCode.OK)


# ---------------------------------------------------------------- tracks


@pytest.mark.parametrize("v1", [False, True])
async def test_who_makes_no_room_for_a_track_hears_so_and_gets_it_when_it_does(*, v1: bool) -> None:
    offer = rtc.SessionDescription(type="offer", sdp=make_offer(("audio", "sendonly", "c1")), id=1)
    tracks = [rtc.AddTrackRequest(cid="c1", type=models.TrackType.AUDIO)]
    publishes = join_request(publisher_offer=offer, add_track_requests=tracks)
    everything = rtc.ConnectionSettings(auto_subscribe=True)
    wants = {"join_request": join_request(connection_settings=everything)} if v1 else {}
    async with (
        open_world(settings=RoomSettings(binding_timeout_s=0.05)) as world,
        connect(world, v1=v1, token=make_token("bob"), **wants) as bob,
        connect(world, v1=True, join_request=publishes) as ann,
    ):
        sid = (await ann.until("track_published")).track_published.track.sid
        offered = 0
        while (message := await bob.next()).WhichOneof("message") != "subscription_response":
            offered = max(offered, message.offer.id)
        told = message.subscription_response
        assert (told.track_sid, told.err) == (sid, models.SubscriptionError.SE_UNKNOWN)
        if v1:
            await bob.send(offer=rtc.SessionDescription(type="offer", sdp=make_offer(("audio", "recvonly", "")), id=1))
        else:
            await bob.send(answer=rtc.SessionDescription(type="answer", sdp="v=0\r\n", id=offered))
        assert (await ann.until("track_subscribed")).track_subscribed.track_sid == sid


# ---------------------------------------------------------------- refusals before the upgrade


NO_ACCESS = "no permissions to access the room"
REFUSALS = {
    "no token": (None, {}, 401, NO_ACCESS),
    "garbage": ("garbage", {}, 401, "invalid authorization token"),
    "no grants": (issue(Claims(KEY, identity="ann"), SECRET, now_s=time.time()), {}, 401, NO_ACCESS),
    "unknown key": (issue(Claims("nobody"), SECRET, now_s=time.time()), {}, 401, "invalid API key: nobody"),
    "no roomJoin": (make_token(room_join=False), {}, 401, "permissions denied"),
    "empty identity": (make_token(""), {}, 400, "identity cannot be empty"),
    "fine": (make_token(), {}, 200, "success"),
    "long identity": (make_token("x" * 257), {}, 400, "participant identity length exceeds limits: max length 256"),
    "no room": (make_token(room=""), {}, 400, "no room name"),
    "long room": (make_token(room="x" * 257), {}, 400, "room name length exceeds limits: max length 256"),
    "publish": (make_token(can_publish=False), {"publish": "x"}, 401, NO_ACCESS),
    "attributes": (make_token(), {"attributes": "eyJhIjoiMSJ9"}, 401, NO_ACCESS),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_validate_tells_the_verdict_of_the_upgrade(case: str) -> None:
    token, query, status, text = REFUSALS[case]
    async with open_world() as world:
        assert world.http is not None
        assert await status_of(world, "/rtc/validate", token, **query) == (status, text)
        if status == 200:
            return
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with pytest.raises(WSServerHandshakeError) as caught:
            await world.http.ws_connect(f"{world.url}/rtc", params=query, headers=headers)
        assert caught.value.status == status
        assert world.counters.refused[status] == 1


async def test_no_refusal_repeats_the_token() -> None:
    token = make_token(secret=SECRET + "x")
    async with open_world() as world:
        for path in ("/rtc/validate", "/nowhere"):
            status, text = await status_of(world, path, token)
            assert status == 401
            assert text.startswith("invalid token")
            assert token not in text


async def test_a_header_must_be_a_bearers() -> None:
    async with open_world() as world:
        assert world.http is not None
        async with world.http.get(f"{world.url}/rtc/validate", headers={"Authorization": "Basic x"}) as response:
            assert response.status == 401
            assert await response.text() == "invalid authorization header. Must start with Bearer "


async def test_rooms_that_are_not_made_by_joining() -> None:
    async with open_world(auto_create=False) as world:
        missing = (404, "requested room does not exist")
        assert await status_of(world, "/rtc/validate", make_token()) == missing
        assert await status_of(world, "/rtc/validate", make_token(room_create=True)) == (200, "success")
        world.registry.create("lobby")
        assert await status_of(world, "/rtc/validate", make_token()) == (200, "success")


async def test_v1_can_be_turned_off() -> None:
    async with open_world(rtc_v1=False) as world:
        assert await status_of(world, "/rtc/v1/validate", make_token(), join_request=join_request()) == (404, "")
        with pytest.raises(WSServerHandshakeError) as caught:
            async with connect(world, v1=True):
                pass
        assert caught.value.status == 404


async def test_v1_needs_its_parameter() -> None:
    async with open_world() as world:
        assert await status_of(world, "/rtc/v1/validate", make_token()) == (400, "join_request is required")


@pytest.mark.parametrize("path", ["/rtc", "/rtc/v1"])
async def test_signalling_without_an_upgrade_is_an_empty_404(path: str) -> None:
    async with open_world() as world:
        assert await status_of(world, path, make_token()) == (404, "")


# ---------------------------------------------------------------- paths and headers


@pytest.mark.parametrize("path", ["//rtc/validate", "/base/rtc/validate", "/a/b//rtc/validate"])
async def test_routes_are_found_under_base_paths_and_double_slashes(path: str) -> None:
    async with open_world() as world:
        assert await status_of(world, path, make_token()) == (200, "success")


async def test_health_does_not_mind_a_stale_token_and_unknown_paths_are_404() -> None:
    async with open_world() as world:
        assert await status_of(world, "/", "stale") == (200, "OK")
        assert (await status_of(world, "/nowhere"))[0] == 404
        assert (await status_of(world, "/xrtc/validatex"))[0] == 404
        # Known but not built (HTT01): 501 for those who may register, and nothing for others.
        assert (await status_of(world, "/agent", make_token()))[0] == 401
        assert (await status_of(world, "/agent", make_token(agent=True)))[0] == 501


async def test_every_answer_may_be_read_by_any_page() -> None:
    async with open_world() as world:
        assert world.http is not None
        for path in ("/", "/rtc/validate", "/nowhere"):
            async with world.http.get(world.url + path, headers={"Origin": "https://elsewhere"}) as response:
                assert response.headers["Access-Control-Allow-Origin"] == "*"
        wanted = {"Origin": "https://elsewhere", "Access-Control-Request-Headers": "authorization"}
        async with world.http.options(f"{world.url}/twirp/x", headers=wanted) as response:
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Headers"] == "authorization"
            assert "POST" in response.headers["Access-Control-Allow-Methods"]


async def test_long_request_lines_are_read() -> None:
    async with open_world() as world:
        padding = rtc.SessionDescription(type="offer", sdp="x" * 60_000)
        text = join_request(publisher_offer=padding)
        assert len(text) > 64 * 1024
        assert await status_of(world, "/rtc/v1/validate", make_token(), join_request=text) == (200, "success")


# ---------------------------------------------------------------- bad clients


async def close_of(client: Any) -> int | None:
    """The close code with which the server ends the connection."""
    async with asyncio.timeout(LIMIT_S):
        return (await read_all(client))[1]


async def test_a_flood_of_messages_ends_its_sender_and_nobody_else() -> None:
    limits = SignalLimits(max_messages_per_s=20)
    async with open_world(limits=limits) as world, connect(world, token=make_token("bob")) as bob:
        await bob.next()
        async with connect(world) as ann:
            for _ in range(300):
                await ann.send(mute=rtc.MuteTrackRequest(sid="TR_x"))
            assert await close_of(ann) == 1008
        assert world.counters.capped[Cap.MESSAGES] == 1
        await bob.send(ping=1)
        assert (await bob.until("pong")).pong > 0
        assert [view.num_participants for view in world.registry.list()] == [1]


async def test_a_flood_of_websocket_pings_ends_its_sender() -> None:
    async with open_world() as world, connect(world) as ann:
        for _ in range(300):
            await ann.socket.ping()
        assert await close_of(ann) == 1008
        assert world.counters.capped[Cap.MESSAGES] == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00" + bytes(range(256)),
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"x" * 300_000 + b" HTTP/1.1\r\n\r\n",
    ],
    ids=["no http", "no version", "long line"],
)
async def test_what_is_no_http_gets_a_400_and_leaves_no_trace(garbage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with open_world() as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(world.url.rsplit(":", 1)[1]))
        writer.write(garbage)
        assert b" 400 " in await reader.readline()
        writer.close()
    assert caplog.records == []


async def test_random_bytes_are_tolerated_a_few_times() -> None:
    async with open_world(limits=SignalLimits(max_bad_frames=3)) as world, connect(world) as ann:
        for _ in range(2):
            await ann.socket.send_bytes(b"\xff\xfe\xfd")
        await ann.send(ping=1)
        await ann.until("pong")
        await ann.socket.send_str("{nonsense")
        assert await close_of(ann) == 1008
        assert world.counters.bad_frames == 3


async def test_an_oversize_frame_ends_its_sender() -> None:
    async with open_world(limits=SignalLimits(max_frame_bytes=4096)) as world, connect(world) as ann:
        await ann.socket.send_bytes(bytes(5000))
        assert await close_of(ann) == 1009
    assert world.counters.capped[Cap.FRAME_SIZE] == 1


@pytest.mark.parametrize(
    ("limits", "request_", "cap"),
    [
        (SignalLimits(max_offers_per_minute=3), {"offer": rtc.SessionDescription(sdp="v=0\r\n", id=1)}, Cap.OFFERS),
        (
            SignalLimits(max_candidates_per_minute=3),
            {"trickle": rtc.TrickleRequest(candidateInit='{"candidate":"candidate:1"}')},
            Cap.CANDIDATES,
        ),
        (
            SignalLimits(max_bytes_per_s=1_000),
            {"subscription": rtc.UpdateSubscription(track_sids=["TR_x" * 600])},
            Cap.BYTES,
        ),
        (
            SignalLimits(max_metadata_bytes_per_s=10),
            {"update_metadata": rtc.UpdateParticipantMetadata(metadata="x" * 40)},
            Cap.METADATA,
        ),
    ],
    ids=["offers", "candidates", "bytes", "metadata"],
)
async def test_each_cap_ends_its_sender(limits: SignalLimits, request_: dict[str, Any], cap: Cap) -> None:
    async with open_world(limits=limits) as world, connect(world) as ann:
        for _ in range(5):
            await ann.send(**request_)
        assert await close_of(ann) == 1008
        assert world.counters.capped[cap] == 1


async def test_a_client_that_stops_reading_is_cut_may_come_back_and_others_go_on() -> None:
    limits = SignalLimits(send_queue_bytes=1024 * 1024, max_messages_per_s=0, max_metadata_bytes_per_s=0)
    token = make_token("ann", can_update_own_metadata=True)
    async with asyncio.timeout(30), open_world(limits=limits) as world, connect(world, token=token) as ann:
        with contextlib.closing(_deaf(world)):
            while (await ann.until("update")).update.participants[0].identity != "deaf":
                pass
            world.engine.connect(world.engine.transport_of("subscriber").id)
            number = 0
            while not world.counters.capped[Cap.SLOW_READER]:
                number += 1
                metadata = str(number) + "x" * 200_000
                await ann.send(update_metadata=rtc.UpdateParticipantMetadata(metadata=metadata))
                while (await ann.until("update")).update.participants[0].metadata != metadata:
                    pass
            await ann.send(ping=1)
            assert (await ann.until("pong")).pong > 0
            async with connect(world, token=make_token("deaf"), reconnect="1") as back:
                assert (await back.next()).WhichOneof("message") == "reconnect"


def _deaf(world: World) -> socket.socket:
    """A client that joins and never reads."""
    connection = socket.create_connection(("127.0.0.1", int(world.url.rsplit(":", 1)[1])))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    upgrade = (
        f"GET /rtc?protocol=16&access_token={make_token('deaf')} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    connection.sendall(upgrade.encode())
    return connection


async def test_a_join_larger_than_the_queue_reaches_its_reader() -> None:
    """As in a room of thousands: what the queue bears is no measure for what a client has to hear first."""
    limits = SignalLimits(send_queue_bytes=64 * 1024, max_metadata_bytes_per_s=0)
    async with open_world(limits=limits) as world, contextlib.AsyncExitStack() as stack:
        token = make_token("ann", can_update_own_metadata=True)
        ann = await stack.enter_async_context(connect(world, token=token))
        await ann.send(update_metadata=rtc.UpdateParticipantMetadata(metadata="m" * 300_000))
        while not (await ann.until("update")).update.participants[0].metadata:
            pass
        late = await stack.enter_async_context(connect(world, token=make_token("late")))
        joined = (await late.until("join")).join
        assert [len(participant.metadata) for participant in joined.other_participants] == [300_000]
        await late.until("refresh_token")
        await late.send(ping=1)
        await late.until("pong")
        assert not world.counters.capped


async def test_a_silent_client_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_io, "SILENCE_S", 0.2)
    async with open_world() as world:
        async with connect(world) as ann:
            assert await close_of(ann) == 1006
        assert world.counters.vanished == 1


async def test_pings_are_sent_and_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_io, "PING_INTERVAL_S", 0.05)
    monkeypatch.setattr(session_io, "SILENCE_S", 0.3)
    async with open_world() as world:
        assert world.http is not None
        headers = {"Authorization": f"Bearer {make_token()}"}
        async with world.http.ws_connect(f"{world.url}/rtc", headers=headers, autoping=False) as client:
            await client.ping(b"mine")
            seen: set[Any] = set()
            while not {WSMsgType.PING, WSMsgType.PONG} <= seen:
                message = await client.receive()
                seen.add(message.type)
                if message.type is WSMsgType.PING:
                    await client.pong(message.data)
                if message.type is WSMsgType.PONG:
                    assert message.data == b"mine"
        assert world.counters.vanished == 0
