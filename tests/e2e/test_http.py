"""The HTTP surface before any session: paths, refusals with their texts, CORS, long lines, bombs (protocol.md §1)."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import gzip
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from livekit import api
from livekit import rtc as sdk_rtc
from livekit.protocol import rtc

from tests.e2e.support.api_client import Answer, get, twirp
from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.relay import relay
from tests.e2e.support.sdk_client import SdkClient, sdk
from tests.e2e.support.server import OWN, ServerSpec, started
from tests.e2e.support.wire_client import join_request, join_request_in, wire

if TYPE_CHECKING:
    from tests.e2e.support.browser import Browser

VALIDATE = {JoinPath.V0: "/rtc/validate", JoinPath.V1: "/rtc/v1/validate"}


def _query(path: JoinPath, token: str | None) -> dict[str, Any]:
    query: dict[str, Any] = {"access_token": token} if token else {}
    return query | ({"join_request": join_request()} if path.single else {"protocol": "17"})


async def _upgrade(endpoint: Endpoint, token: str, path: JoinPath) -> Answer:
    """What the server says to an upgrade that it refuses; WebSocket clients hide the text."""
    key = base64.b64encode(bytes(16)).decode()
    asks = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key}
    return await get(endpoint, path.http_path, headers=asks, **_query(path, token))


async def test_health_is_ok_and_unknown_paths_are_404(endpoint: Endpoint) -> None:
    health = await get(endpoint, "/")
    assert (health.status, health.text) == (200, "OK")
    assert (await get(endpoint, "/no/such/path")).status == 404
    assert (await get(endpoint, "/settings/regions")).status == 404


async def test_sdk_joins_by_a_url_that_ends_in_a_slash(endpoint: Endpoint, path: JoinPath) -> None:
    client, room = SdkClient("alice"), unique("slash")
    options = sdk_rtc.RoomOptions(single_peer_connection=path.single, connect_timeout=5)
    try:
        await client.room.connect(endpoint.ws_url + "/", endpoint.token("alice", room), options)
        assert client.room.name == room
    finally:
        await client.close()


async def test_a_doubled_slash_reaches_signalling_and_api(endpoint: Endpoint, path: JoinPath) -> None:
    room = unique("doubled")
    doubled = dataclasses.replace(endpoint, base_path="/")
    async with wire(doubled, "alice", room, path) as client:
        assert (await client.response("join")).room.name == room
        answer = await twirp(doubled, "ListParticipants", {"room": room}, token=endpoint.admin(room))
        assert [p["identity"] for p in answer.json["participants"]] == ["alice"]
    verdict = await get(doubled, VALIDATE[path], **_query(path, endpoint.token("alice", room)))
    assert (verdict.status, verdict.text) == (200, "success")


@pytest.mark.skipif(not OWN, reason="the reference is put under a base path by a proxy that takes it off again")
@pytest.mark.parametrize("base", ["/base", "/a/longer/base/"])
async def test_sdks_and_api_find_the_server_under_a_base_path(
    endpoint: Endpoint, path: JoinPath, chromium: Browser, base: str
) -> None:
    room, mounted = unique("base"), dataclasses.replace(endpoint, base_path=base)
    async with chromium.client(mounted, "web", room, path) as web, sdk(mounted, "py", room, path) as py:
        await web.remote_here("py")
        await py.remote_here("web")
        opened = [urlsplit(url).path for url in await web.run("return e2e.sockets")]
        assert opened == [base.rstrip("/") + path.http_path]
        async with api.LiveKitAPI(mounted.http_url, endpoint.key, endpoint.secret) as lk:
            listed = await lk.room.list_participants(api.ListParticipantsRequest(room=room))
            assert {p.identity for p in listed.participants} == {"web", "py"}


async def test_browser_sends_the_token_in_the_query_and_sdk_in_the_header(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    """HTT04 and HTT05, as the requests arrive at the server."""
    room = unique("where")
    async with (
        relay(endpoint) as of_web,
        relay(endpoint) as of_py,
        chromium.client(of_web.endpoint, "web", room, path) as web,
        sdk(of_py.endpoint, "py", room, path) as py,
    ):
        await py.remote_here("web")
        await web.remote_here("py")
        (by_web,), (by_py,) = of_web.heads, of_py.heads
        for head in (by_web, by_py):
            assert urlsplit(head.split()[1]).path == path.http_path
        assert re.match(r"GET \S+[?&]access_token=ey", by_web)
        assert "authorization:" not in by_web.lower()
        assert "access_token" not in by_py
        assert re.search(r"(?mi)^authorization: Bearer ey", by_py)
    assert (await get(endpoint, VALIDATE[path], **_query(path, None))).status == 401, "no token in either"


# The text of a token that is well-formed but not good; a newer reference server than the documented one has another.
NOT_GOOD = "invalid token" if OWN else "invalid authorization token"


def _not_good(why: str) -> str:
    return f"{NOT_GOOD}, error: {why}" if OWN else NOT_GOOD


def _faulty_tokens(endpoint: Endpoint) -> dict[str, tuple[str, int, str]]:
    room, now = "some-room", int(time.time())
    claims = endpoint.claims("alice", room)

    def without(name: str) -> dict[str, Any]:
        return {k: v for k, v in claims.items() if k != name}

    return {
        "expired": (
            endpoint.sign(claims | {"nbf": now - 900, "exp": now - 300}),
            401,
            _not_good("token is expired (exp)"),
        ),
        "not yet valid": (endpoint.sign(claims | {"nbf": now + 300}), 401, _not_good("token not valid yet (nbf)")),
        "bad signature": (
            endpoint.sign(claims, secret="x" * 40),
            401,
            _not_good("the signature does not match the API key's secret"),
        ),
        "unknown key": (
            endpoint.sign(claims | {"iss": "nobody"}),
            401,
            "invalid API key: nobody" if OWN else "invalid API key",
        ),
        "no JWT": ("garbage", 401, "invalid authorization token"),
        "no video grant": (endpoint.sign(without("video")), 401, "no permissions to access the room"),
        "no roomJoin": (endpoint.token("alice", room, roomJoin=None), 401, "permissions denied"),
        "no identity": (endpoint.sign(without("sub")), 400, "identity cannot be empty"),
        "no room": (endpoint.sign(claims | {"video": {"roomJoin": True}}), 400, "no room name"),
        "long identity": (
            endpoint.token("i" * 257, room),
            400,
            "participant identity length exceeds limits: max length 256",
        ),
        "long room": (endpoint.token("alice", "r" * 257), 400, "room name length exceeds limits: max length 256"),
    }


FAULTS = sorted(_faulty_tokens(Endpoint("h", 1, "k", "s" * 32)))


@pytest.mark.parametrize("fault", FAULTS)
async def test_validate_and_upgrade_refuse_alike(endpoint: Endpoint, path: JoinPath, fault: str) -> None:
    token, status, text = _faulty_tokens(endpoint)[fault]
    verdict = await get(endpoint, VALIDATE[path], **_query(path, token))
    assert verdict.status == status
    assert verdict.text == text if OWN else verdict.text.startswith(text)
    refusal = await _upgrade(endpoint, token, path)
    assert (refusal.status, refusal.body) == (verdict.status, verdict.body)


async def test_no_token_at_all_is_401(endpoint: Endpoint, path: JoinPath) -> None:
    verdict = await get(endpoint, VALIDATE[path], **_query(path, None))
    assert (verdict.status, verdict.text) == (401, "no permissions to access the room")


async def test_a_header_that_is_not_bearer_is_401(endpoint: Endpoint) -> None:
    verdict = await get(endpoint, "/rtc/validate", headers={"Authorization": "Basic abc"})
    assert verdict.status == 401
    assert verdict.text.startswith("invalid authorization header")


async def test_sdks_report_a_refused_token_as_such(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """HTT06: expired, early, forged, of an unknown key."""
    faults = _faulty_tokens(endpoint)
    async with chromium.page("web") as web:
        for fault in ("expired", "not yet valid", "bad signature", "unknown key"):
            token, _, text = faults[fault]
            client = SdkClient("alice")
            with pytest.raises(sdk_rtc.ConnectError, match=re.escape(text)):
                await client.connect(endpoint, token, path)
            body = """const room = new LK.Room({ singlePeerConnection: single });
                try { await room.connect(url, token); return 'connected'; }
                catch (e) { return [e.name, e.reason === LK.ConnectionErrorReason.NotAllowed, e.status, e.message]; }"""
            told = await web.run(body, single=path.single, url=endpoint.ws_url, token=token)
            assert told[:3] == ["ConnectionError", True, 401], fault
            assert text in told[3]


async def test_good_tokens_validate(endpoint: Endpoint, path: JoinPath) -> None:
    verdict = await get(endpoint, VALIDATE[path], **_query(path, endpoint.token("alice", unique("room"))))
    assert (verdict.status, verdict.text) == (200, "success")


async def test_signalling_without_an_upgrade_is_an_empty_404(endpoint: Endpoint, path: JoinPath) -> None:
    answer = await get(endpoint, path.http_path, **_query(path, endpoint.token("alice", unique("room"))))
    assert (answer.status, answer.body) == (404, b"")


async def test_a_page_of_another_origin_may_ask(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    async with chromium.page("web") as web:
        url = f"{endpoint.http_url}{VALIDATE[path]}"
        told = await web.run(
            "const r = await fetch(`${url}?${new URLSearchParams(query)}`); return [r.status, await r.text()]",
            url=url,
            query=_query(path, endpoint.token("alice", unique("room"))),
        )
        assert told == [200, "success"]
        refused = await web.run("const r = await fetch(url); return [r.status, await r.text()]", url=url)
        assert refused[0] in (400, 401)
        health = await web.run("return (await fetch(url)).status", url=endpoint.http_url + "/")
        assert health == 200


async def test_preflights_are_answered_on_every_path(endpoint: Endpoint) -> None:
    asks = {
        "Origin": "https://elsewhere.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    for path in ("/twirp/livekit.RoomService/ListRooms", "/rtc/validate", "/rtc/v1/validate", "/"):
        answer = await get(endpoint, path, method="OPTIONS", headers=asks)
        assert answer.status in (200, 204), path
        assert answer.headers["access-control-allow-origin"] in ("*", "https://elsewhere.example"), path
        assert (
            "authorization" in answer.headers["access-control-allow-headers"].lower()
            or "*" in answer.headers["access-control-allow-headers"]
        ), path
        assert int(answer.headers["access-control-max-age"]) == 86400, path


async def test_without_auto_create_an_unknown_room_is_404_and_the_browser_does_not_try_again(chromium: Browser) -> None:
    async with started(ServerSpec(config={"room": {"auto_create": False}})) as server:
        endpoint = server.endpoint
        for path in JoinPath:
            verdict = await get(endpoint, VALIDATE[path], **_query(path, endpoint.token("alice", "absent")))
            assert (verdict.status, verdict.text) == (404, "requested room does not exist")
            creator = endpoint.token("alice", unique("mine"), roomCreate=True)
            assert (await get(endpoint, VALIDATE[path], **_query(path, creator))).status == 200
        async with chromium.page("web") as web:
            body = """const room = new LK.Room();
                try { await room.connect(url, token); return 'connected'; }
                catch (e) { return [e.reason === LK.ConnectionErrorReason.NotAllowed, e2e.sockets.length]; }"""
            told = await web.run(body, url=endpoint.ws_url, token=endpoint.token("alice", "absent"))
            assert told == [True, 1], "one attempt, no fall-back to /rtc"


async def test_a_request_line_of_32_kb_is_read(endpoint: Endpoint) -> None:
    request = rtc.JoinRequest()
    request.connection_settings.auto_subscribe = True
    request.client_info.device_model = "m" * 24_000  # 32 kB once in base64
    token = endpoint.token("alice", unique("long"))
    verdict = await get(endpoint, "/rtc/v1/validate", access_token=token, join_request=join_request(request))
    assert (verdict.status, verdict.text) == (200, "success")
    async with wire(endpoint, "alice", unique("long"), JoinPath.V1, request=request) as client:
        await client.response("join")


# For a page: first offers of 20 sections more.
_MANY_SECTIONS = """const P = RTCPeerConnection.prototype, create = P.createOffer;
    P.createOffer = function (...args) {
        while (this.getTransceivers().length < 20) {
            this.addTransceiver(this.getTransceivers().length % 3 ? 'audio' : 'video', { direction: 'recvonly' });
        }
        return create.apply(this, args);
    };"""
# For a page: a gzip that only packs (blocks of type 0, RFC 1951 §3.2.4).
_PACKING_GZIP = """
    const crc32 = (bytes) => {
        let crc = -1;
        for (const byte of bytes) {
            crc ^= byte;
            for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
        }
        return ~crc;
    };
    const low = (value, count) => Array.from({ length: count }, (_, i) => (value >>> (8 * i)) & 255);
    window.CompressionStream = class {
        constructor() {
            const all = [];
            return new TransformStream({
                transform(chunk) { all.push(...chunk); },
                flush(out) {
                    out.enqueue(Uint8Array.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]));
                    for (let at = 0; at < all.length; at += 65535) {
                        const part = all.slice(at, at + 65535);
                        const last = Number(at + 65535 >= all.length);
                        out.enqueue(Uint8Array.from([last, ...low(part.length, 2), ...low(~part.length, 2), ...part]));
                    }
                    out.enqueue(Uint8Array.from([...low(crc32(all), 4), ...low(all.length, 4)]));
                },
            });
        }
    };"""


@pytest.mark.parametrize("packed", [True, False], ids=["gzipped", "over 32 kB"])
async def test_browser_joins_with_many_sections_in_its_first_offer(
    endpoint: Endpoint, chromium: Browser, packed: bool
) -> None:
    """HTT11: over 20 sections; where gzip does not compress, over 32 kB in the request line."""
    async with chromium.page("web") as web:
        await web.run(_MANY_SECTIONS if packed else _MANY_SECTIONS + _PACKING_GZIP)
        await web.join(endpoint, endpoint.token("web", unique("line")), JoinPath.V1)
        (url,) = await web.run("return e2e.sockets")
        assert len(re.findall("(?m)^m=", join_request_in(url).publisher_offer.sdp)) > 20
        assert packed or len(url) > 32 * 1024
        assert await web.run("return [e2e.room.state, e2e.connections.length]") == ["connected", 1]


@pytest.mark.parametrize("compress", [False, True], ids=["none", "gzip"])
async def test_join_requests_come_plain_and_compressed(endpoint: Endpoint, compress: bool) -> None:
    room = unique("zip")
    request = rtc.JoinRequest(metadata="packed")
    parameter = join_request(request, compress=compress)
    grants = {"canUpdateOwnMetadata": True}
    async with wire(endpoint, "alice", room, JoinPath.V1, grants=grants, join_request=parameter) as client:
        assert (await client.response("join")).participant.metadata == "packed"


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        (None, "join_request is required"),
        ("!!!", "cannot base64 decode wrapped join request"),
        ("_____w==", "cannot unmarshal wrapped join request"),
    ],
    ids=["absent", "no base64", "no protobuf"],
)
async def test_faulty_join_requests_are_400_with_the_reason(
    endpoint: Endpoint, parameter: str | None, text: str
) -> None:
    query: dict[str, Any] = {"access_token": endpoint.token("alice", unique("room"))}
    if parameter is not None:
        query["join_request"] = parameter
    verdict = await get(endpoint, "/rtc/v1/validate", **query)
    assert verdict.status == 400
    assert verdict.text.startswith(text)


async def test_a_gzip_bomb_is_400_and_costs_nothing(endpoint: Endpoint) -> None:
    bomb = join_request(bytes(10 * 2**20), compress=True)
    assert len(bomb) < 20_000, "10 MB of zeros pack to about 10 kB"
    token = endpoint.token("alice", unique("bomb"))
    verdict = await get(endpoint, "/rtc/v1/validate", access_token=token, join_request=bomb)
    assert verdict.status == 400
    assert verdict.text.startswith("join request too large")


async def test_a_truncated_gzip_is_400(endpoint: Endpoint) -> None:
    wrapped = rtc.WrappedJoinRequest(
        compression=rtc.WrappedJoinRequest.GZIP, join_request=gzip.compress(b"x" * 100)[:20]
    )
    parameter = base64.urlsafe_b64encode(wrapped.SerializeToString()).decode()
    token = endpoint.token("alice", unique("cut"))
    verdict = await get(endpoint, "/rtc/v1/validate", access_token=token, join_request=parameter)
    assert verdict.status == 400
    assert verdict.text.startswith("cannot read decompressed join request")


async def test_json_frames_are_spoken_too(endpoint: Endpoint) -> None:
    token = endpoint.token("alice", unique("json"))
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{endpoint.http_url}/rtc", params={"access_token": token, "protocol": "17"}) as ws,
    ):
        first = await ws.receive(timeout=5)
        assert rtc.SignalResponse.FromString(first.data).HasField("join")
        await ws.send_str('{"pingReq": {"timestamp": "7", "rtt": "0"}}')
        async with asyncio.timeout(5):
            while True:
                message = await ws.receive()
                if message.type is aiohttp.WSMsgType.TEXT and "pong" in message.data.lower():
                    break
