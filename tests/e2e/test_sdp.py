"""Offers and answers: ids, track tables, candidates, growth and reuse of sections (protocol.md §2.5-2.7)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from livekit import rtc as sdk_rtc
from livekit.protocol import rtc

from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.media import assert_tone, publish_tone
from tests.e2e.support.peer_client import PeerClient, peer
from tests.e2e.support.sdk_client import SdkClient, sdk
from tests.e2e.support.server import ServerSpec, started
from tests.e2e.support.wire_client import wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.support.browser import Browser, BrowserClient

# Counts what is negotiated in a page: set before the page joins.
_COUNT = """const P = RTCPeerConnection.prototype;
    const set = P.setRemoteDescription;
    e2e.applied = [];
    P.setRemoteDescription = function (d) { e2e.applied.push(d.type); return set.call(this, d); };"""


async def test_no_answer_is_ever_ignored(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    room = unique("ids")
    async with chromium.page("web") as web, sdk(endpoint, "py", room, path) as py:
        await web.run("LK.setLogLevel('debug')")
        await web.join(endpoint, endpoint.token("web", room), path)
        await web.publish_tone(440)
        await web.publish_bars()
        async with publish_tone(py.room):
            await web.hear("py", 440)
        lines = [str(e.args[1]).lower() for e in web.journal.seen("console")]
        assert any("answer" in line for line in lines), "the log says nothing of answers, so it proves nothing"
        assert not [line for line in lines if "ignoring" in line and "answer" in line]


async def test_answers_carry_the_id_of_the_offer(endpoint: Endpoint, path: JoinPath) -> None:
    async with peer(endpoint, "alice", unique("answer-id"), path) as alice:
        first = alice.journal.seen("answer")[0].args[0]
        assert first.id == 1
        second = await alice.negotiate()
        assert second.id == 2


async def test_a_stale_answer_is_ignored(endpoint: Endpoint) -> None:
    async with wire(endpoint, "w", unique("stale"), JoinPath.V0) as client:
        offer = await client.response("offer")
        assert offer.id > 0
        stale = rtc.SessionDescription(type="answer", sdp="v=0\r\nrubbish", id=offer.id + 1000)
        await client.send(answer=stale)
        await client.send(ping=1)
        await client.response("pong")
        assert not client.journal.seen("leave")
        assert not client.journal.seen("closed")


def _sending_sections(sdp: str) -> dict[str, str]:
    """mid -> msid line of each section by which the server sends a track."""
    found = {}
    for section in re.split(r"(?m)^(?=m=)", sdp)[1:]:
        mid = re.search(r"(?m)^a=mid:(\S+)", section)
        msid = re.search(r"(?m)^a=msid:(.+?)\r?$", section)
        if mid and msid and re.search(r"(?m)^a=send(only|recv)", section) and not section.startswith("m=application"):
            found[mid.group(1)] = msid.group(1)
    return found


async def test_sections_and_streams_name_their_tracks(endpoint: Endpoint, path: JoinPath) -> None:
    """SDP02 and SDP03: `mid_to_track_id` and msid `PA_x|TR_y` agree and are those of the publisher."""
    room = unique("mids")
    async with (
        sdk(endpoint, "py", room, path) as py,
        publish_tone(py.room, 440, name="one") as (one, _),
        publish_tone(py.room, 550, name="two", source=sdk_rtc.TrackSource.SOURCE_SCREENSHARE_AUDIO) as (two, _),
        peer(endpoint, "tap", room, path) as tap,
    ):
        wanted = {one.sid, two.sid}
        variant = "answer" if path.single else "offer"
        described = await tap.response(variant, lambda d: set(d.mid_to_track_id.values()) >= wanted)
        sections = _sending_sections(described.sdp)
        for mid, sid in described.mid_to_track_id.items():
            stream, track = sections[mid].split()
            assert stream == f"{py.local.sid}|{sid}"
            assert track == sid


async def test_tracks_are_attributed_to_their_publisher(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    room = unique("whose")
    async with (
        sdk(endpoint, "a", room, path) as a,
        sdk(endpoint, "b", room, path) as b,
        publish_tone(a.room, 440),
        publish_tone(b.room, 660),
        chromium.client(endpoint, "web", room, path) as web,
    ):
        await web.hear("a", 440)
        await web.hear("b", 660)


async def test_candidates_trickle_with_target_and_end(endpoint: Endpoint, path: JoinPath) -> None:
    """SDP04: the server's candidates come by trickle for the right connection and the last one says so."""
    async with peer(endpoint, "alice", unique("trickle"), path) as alice:
        targets = {rtc.SignalTarget.PUBLISHER} | (set() if path.single else {rtc.SignalTarget.SUBSCRIBER})
        for target in targets:
            await alice.response("trickle", lambda t, want=target: t.target == want and t.final)
            inits = [
                json.loads(e.args[0].candidateInit)
                for e in alice.journal.seen("trickle", lambda t, w=target: t.target == w)
            ]
            texts = [i["candidate"] for i in inits if i["candidate"]]
            assert any(" udp " in t.lower() for t in texts)
            assert all("typ host" in t for t in texts)
            assert all({"sdpMid", "sdpMLineIndex"} & set(i) for i in inits)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def full_ice() -> AsyncIterator[Endpoint]:
    """A server that checks connectivity by itself: with the default, ICE lite, clients' candidates do not matter."""
    async with started(ServerSpec(config={"rtc": {"use_ice_lite": False}})) as server:
        yield server.endpoint


_CANDIDATES = re.compile(r"(?m)^a=(candidate:.+?|end-of-candidates)\r?\n")


@pytest.mark.parametrize("early", [True, False], ids=["before the offer", "after the answer"])
async def test_trickled_candidates_are_all_the_server_has(full_ice: Endpoint, path: JoinPath, early: bool) -> None:
    """SDP04 and SDP05: the client knows no address of the server's, so the server has to use the client's candidates.

    These come by trickle alone, before the client's description or only after the answer, and none of them is `final`.
    """
    await _reached_by_its_candidates(full_ice, path, early=early)


async def test_who_wants_full_ice_gets_it(endpoint: Endpoint, path: JoinPath) -> None:
    """SDP11: the server is an ICE-lite agent, but for those who ask for none: to them it sends checks of its own."""
    async with wire(endpoint, "lite", unique("lite"), JoinPath.V0) as lite:
        assert "a=ice-lite" in (await lite.response("offer")).sdp
    request = rtc.JoinRequest()
    request.connection_settings.disable_ice_lite = True
    wanting: dict[str, Any] = {"request": request} if path.single else {"disable_ice_lite": "1"}
    answer = await _reached_by_its_candidates(endpoint, path, early=True, **wanting)
    assert "a=ice-lite" not in answer.sdp


async def _reached_by_its_candidates(
    endpoint: Endpoint, path: JoinPath, *, early: bool, **options: Any
) -> rtc.SessionDescription:
    """A client that can be reached by the candidates that it trickles, and by nothing else."""
    client, room = PeerClient("early"), unique("early")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        try:
            await client.connect(endpoint, endpoint.token("early", room), path, **options)
            client.open_channels()
            offer = await client.make_offer()
            lines = re.findall(r"(?m)^a=(candidate:.+?)\r?$", offer.sdp)
            assert lines

            async def trickle() -> None:
                for line in lines:
                    init = json.dumps({"candidate": line, "sdpMid": "0", "sdpMLineIndex": 0})
                    target = rtc.SignalTarget.PUBLISHER
                    await client.send(trickle=rtc.TrickleRequest(candidateInit=init, target=target))

            if early:
                await trickle()
            offer.sdp = _CANDIDATES.sub("", offer.sdp)
            await client.send(offer=offer)
            answer = await client.response("answer")
            dead_end = f"a=candidate:1 1 udp 1 127.0.0.1 {nobody.getsockname()[1]} typ host\r\n"
            answer.sdp = _CANDIDATES.sub("", answer.sdp) + dead_end
            await client.apply_answer(answer)
            if not early:
                assert not client.journal.seen("publisher_connected")
                await trickle()
            await client.connected()
        finally:
            await client.close()
    return answer  # type: ignore[no-any-return]


async def test_the_servers_trickled_candidates_are_enough(endpoint: Endpoint, path: JoinPath) -> None:
    """SDP04: a client that takes no candidate from a description connects by those that come one by one."""
    client, room = PeerClient("apart"), unique("apart")
    try:
        await client.connect(endpoint, endpoint.token("apart", room), path)
        client.open_channels()
        await client.send(offer=await client.make_offer())
        answer = await client.response("answer")
        answer.sdp = _CANDIDATES.sub("", answer.sdp)
        await client.journal.wait("trickle", lambda t: t.final and t.target == rtc.SignalTarget.PUBLISHER)
        client.follow()
        await client.apply_answer(answer)
        await client.connected()
    finally:
        await client.close()


async def test_a_bad_candidate_is_answered_not_fatal(endpoint: Endpoint, path: JoinPath) -> None:
    async with wire(endpoint, "w", unique("badcand"), path) as client:
        await client.response("join")
        await client.send(trickle=rtc.TrickleRequest(candidateInit="{not json", target=rtc.SignalTarget.PUBLISHER))
        answer = await client.response("request_response")
        assert answer.reason == rtc.RequestResponse.UNCLASSIFIED_ERROR
        assert answer.HasField("trickle")


async def _publish_many(client: SdkClient, count: int) -> list[str]:
    """Announce and negotiate many tracks; their sids. Video without a frame costs nothing, where silence is encoded."""
    options = sdk_rtc.TrackPublishOptions(source=sdk_rtc.TrackSource.SOURCE_CAMERA, simulcast=False)
    tracks = [sdk_rtc.LocalVideoTrack.create_video_track(f"t{n}", sdk_rtc.VideoSource(160, 120)) for n in range(count)]
    published = await asyncio.gather(*(client.local.publish_track(t, options) for t in tracks))
    return [p.sid for p in published]


async def _sections(web: BrowserClient) -> int:
    return int(
        await web.run(
            "return Math.max(...e2e.connections.map((c) => (c.remoteDescription?.sdp.match(/^m=/gm) ?? []).length))"
        )
    )


async def test_twenty_tracks_in_one_peer_connection(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """SDP06: more tracks than sections offered: the server asks for more and gets them."""
    room = unique("twenty")
    async with chromium.client(endpoint, "web", room, path) as web, sdk(endpoint, "py", room, path) as py:
        sids = await _publish_many(py, 19)
        async with publish_tone(py.room, 440, source=sdk_rtc.TrackSource.SOURCE_SCREENSHARE_AUDIO):
            await web.journal.until(
                lambda: {e.args[1]["publication"] for e in web.journal.seen("trackSubscribed")} >= set(sids),
                "all tracks", timeout_s=20,
            )  # fmt: skip
            await web.run("return e2e.hear('py', {hz: 440, source: 'screen_share_audio'})")
        assert await _sections(web) >= 20


async def test_joining_a_room_of_fifty_tracks_takes_few_offers(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    room = unique("fifty")
    async with contextlib.AsyncExitStack() as stack:
        web = await stack.enter_async_context(chromium.page("web"))
        publishers = [await stack.enter_async_context(sdk(endpoint, f"py{n}", room, path)) for n in range(5)]
        sids = [sid for many in await asyncio.gather(*(_publish_many(p, 10) for p in publishers)) for sid in many]
        assert len(set(sids)) == 50
        await publishers[0].journal.until(
            lambda: sum(len(p.track_publications) for p in publishers[0].room.remote_participants.values()) == 40,
            "the tracks of the others", timeout_s=20,
        )  # fmt: skip
        await web.run(_COUNT)
        await web.join(endpoint, endpoint.token("web", room), path)
        await web.journal.until(
            lambda: {e.args[1]["publication"] for e in web.journal.seen("trackSubscribed")} >= set(sids),
            "all tracks", timeout_s=30,
        )  # fmt: skip
        rounds = len(await web.run("return e2e.applied"))
        assert 1 <= rounds <= 8, f"{rounds} descriptions were exchanged for 50 tracks"


async def test_sections_are_reused(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """SDP08: unsubscribing and subscribing 100 times, five tracks at once, leaves the description as long as before."""
    room = unique("toggle")
    async with (
        sdk(endpoint, "py", room, path) as py,
        publish_tone(py.room, 440),
        chromium.client(endpoint, "web", room, path) as web,
    ):
        await _publish_many(py, 4)
        await web.journal.until(lambda: len(web.journal.seen("trackSubscribed")) == 5, "five tracks")
        await web.hear("py", 440)
        toggle = """const all = [...e2e.room.remoteParticipants.get('py').trackPublications.values()];
            const turn = (name, on) => new Promise((resolve) => {
                const open = new Set(all.map((p) => p.trackSid));
                const note = (_, publication) => {
                    open.delete(publication.trackSid);
                    if (open.size === 0) { e2e.room.off(name, note); resolve(); }
                };
                e2e.room.on(name, note);
                for (const publication of all) publication.setSubscribed(on);
            });
            for (let i = 0; i < rounds; i += 1) {
                await turn('trackUnsubscribed', false);
                await turn('trackSubscribed', true);
            }
            return all.length;"""
        assert await web.run(toggle, rounds=1) == 5
        before = await _sections(web)
        await web.run(toggle, rounds=19)
        await web.hear("py", 440)
        assert await _sections(web) == before


@pytest.mark.parametrize(
    ("path", "side"),
    [(JoinPath.V0, "answer"), (JoinPath.V0, "offer"), (JoinPath.V1, "answer")],
    ids=lambda part: part.value if isinstance(part, JoinPath) else part,
)
async def test_descriptions_are_bundled_and_name_one_certificate(
    endpoint: Endpoint, path: JoinPath, chromium: Browser, side: str
) -> None:
    room = unique("shape")
    async with (
        sdk(endpoint, "py", room, path) as py,
        publish_tone(py.room, 440),
        chromium.client(endpoint, "web", room, path) as web,
    ):
        await web.hear("py", 440)
        await web.publish_bars()
        texts = await web.run(
            "return e2e.connections.map((c) => c.remoteDescription).filter((d) => d?.type === side).map((d) => d.sdp)",
            side=side,
        )
        assert texts
        for text in texts:
            head, *sections = re.split(r"(?m)^(?=m=)", text)
            live = [s for s in sections if not re.match(r"m=\w+ 0 ", s)]
            bundled = re.search(r"(?m)^a=group:BUNDLE(.*?)\r?$", head)
            assert bundled
            mids = [m.group(1) for s in live if (m := re.search(r"(?m)^a=mid:(\S+)", s))]
            assert set(bundled.group(1).split()) == set(mids)
            assert len(set(re.findall(r"(?m)^a=fingerprint:(.+?)\r?$", text))) == 1
            assert all("a=rtcp-mux" in s for s in live if not s.startswith("m=application"))
            application = [s for s in live if s.startswith("m=application")]
            assert len(application) == 1
        limits = await web.run("return e2e.connections.filter((c) => c.sctp).map((c) => c.sctp.maxMessageSize)")
        assert limits
        assert all(limit == 65535 for limit in limits)


async def test_two_parties_renegotiating_at_once_lose_nothing(endpoint: Endpoint, path: JoinPath) -> None:
    """Both publish at the same moment, then both take that back and publish something else at the same moment."""
    room = unique("glare")
    pitches = {"a": (440, 550), "b": (660, 770)}
    async with sdk(endpoint, "a", room, path) as a, sdk(endpoint, "b", room, path) as b:
        await asyncio.gather(a.remote_here("b"), b.remote_here("a"))
        for turn in range(2):
            since = {"a": a.journal.mark(), "b": b.journal.mark()}
            async with contextlib.AsyncExitStack() as stack:
                tones = [publish_tone(x.room, pitches[x.identity][turn]) for x in (a, b)]
                published = await asyncio.gather(*map(stack.enter_async_context, tones))
                await asyncio.gather(
                    assert_tone(await a.subscribed("b", since=since["a"]), pitches["b"][turn]),
                    assert_tone(await b.subscribed("a", since=since["b"]), pitches["a"][turn]),
                )
                await asyncio.gather(
                    *(x.local.unpublish_track(p.sid) for x, (p, _) in zip((a, b), published, strict=True))
                )
