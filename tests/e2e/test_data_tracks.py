"""Data tracks and data blobs (protocol.md §2.11): frames between SDKs, handles, the errors of requests, blobs."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest_asyncio
from livekit import api
from livekit import rtc as sdk_rtc
from livekit.protocol import models, rtc

from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.peer_client import PeerClient, peer
from tests.e2e.support.sdk_client import SdkClient, sdk
from tests.e2e.support.server import Server, ServerSpec, started
from tests.e2e.support.wire_client import WireClient, wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.support.browser import Browser, BrowserClient

SERVER = ServerSpec(config={"enable_participant_data_blob": True})
REASON = rtc.RequestResponse
FRAME_TIMEOUT_S = 15


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def plain_server() -> AsyncIterator[Server]:
    """One with the default settings: no data blobs."""
    async with started() as running:
        yield running


def _frame(payload: bytes, timestamp: int | None = None) -> sdk_rtc.DataTrackFrame:
    return sdk_rtc.DataTrackFrame(payload=payload, user_timestamp=timestamp)


async def _remote_track(client: SdkClient, name: str) -> sdk_rtc.RemoteDataTrack:
    entry = await client.journal.wait("data_track_published", lambda track: track.info.name == name)
    track: sdk_rtc.RemoteDataTrack = entry.args[0]
    return track


async def _carried(
    stream: sdk_rtc.DataTrackStream, track: sdk_rtc.LocalDataTrack, *frames: bytes, timestamp: int | None = None
) -> list[bytes]:
    """Pushes each frame until it arrives; what arrived, repetitions left out.

    A single push promises nothing: a subscription takes a moment, and the SDK keeps no more than one packet that has
    not left (of 1,400 packets in frames of seven 112 did not leave it on an idle machine), so that a large frame falls
    where its threads wait for a CPU.
    """
    got: list[bytes] = []
    reading = asyncio.ensure_future(anext(stream))
    try:
        async with asyncio.timeout(FRAME_TIMEOUT_S):
            for payload in frames:
                while payload not in got:
                    track.try_push(_frame(payload, timestamp=timestamp))
                    await asyncio.wait({reading}, timeout=0.1)
                    if reading.done():
                        frame = reading.result()
                        assert frame.user_timestamp == timestamp
                        if frame.payload not in got:
                            got.append(frame.payload)
                        reading = asyncio.ensure_future(anext(stream))
    finally:
        reading.cancel()
    return got


async def test_frames_pass_between_sdks_whole(endpoint: Endpoint, path: JoinPath) -> None:
    """DAT18: also one of many packets, with its time stamp; the end of the track is told."""
    room = unique("tracks")
    large = bytes(range(256)) * 400  # seven packets
    async with sdk(endpoint, "arm", room, path) as arm, sdk(endpoint, "desk", room, path) as desk:
        track = await arm.local.publish_data_track(name="joints")
        remote = await _remote_track(desk, "joints")
        assert (remote.publisher_identity, remote.info.uses_e2ee) == ("arm", False)
        assert remote.info.sid == track.info.sid
        assert track.info.sid.startswith("DTR_")
        stream = remote.subscribe()
        assert await _carried(stream, track, b"hello", large, b"\0", timestamp=7) == [b"hello", large, b"\0"]
        async with sdk(endpoint, "late", room, path) as late:
            again = (await _remote_track(late, "joints")).subscribe()
            assert await _carried(again, track, b"late") == [b"late"]
        await track.unpublish()
        await desk.journal.wait("data_track_unpublished", lambda sid: sid == track.info.sid)
        assert not remote.is_published()


async def _reaches(web: BrowserClient, track: sdk_rtc.LocalDataTrack, text: str) -> None:
    """Pushes frames of that text until the browser has read one of them."""
    hearing = asyncio.create_task(
        web.run(
            """const decoder = new TextDecoder();
            for (;;) {
                const { value } = await e2e.reader.read();
                if (decoder.decode(value.payload) === text) return true;
            }""",
            text=text,
        )
    )
    async with asyncio.timeout(FRAME_TIMEOUT_S):
        while not hearing.done():
            track.try_push(_frame(text.encode()))
            await asyncio.wait({hearing}, timeout=0.1)
    assert hearing.result()


async def _arrives(stream: sdk_rtc.DataTrackStream, payload: bytes) -> None:
    """Reads until that payload has come."""
    async with asyncio.timeout(FRAME_TIMEOUT_S):
        while (await anext(stream)).payload != payload:
            pass


async def test_frames_pass_between_browser_and_sdk(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """DAT18, in both directions, and on after the browser's session was resumed: tracks and handles are as before."""
    room = unique("tracks-web")
    async with chromium.client(endpoint, "web", room, path) as web, sdk(endpoint, "py", room, path) as py:
        await web.run("""e2e.mine = await e2e.room.localParticipant.publishDataTrack({ name: 'pad' });
            e2e.text = 'from the web';
            const push = () => e2e.mine.tryPush({ payload: new TextEncoder().encode(e2e.text) }).catch(() => {});
            setInterval(push, 100);""")
        stream = (await _remote_track(py, "pad")).subscribe(buffer_size=100)
        await _arrives(stream, b"from the web")
        track = await py.local.publish_data_track(name="echo")
        await web.run("""const participant = await e2e.until(() => e2e.room.remoteParticipants.get('py'), 'py');
            const track = await e2e.until(() => participant.dataTracks.get('echo'), 'track');
            e2e.reader = track.subscribe().getReader();""")
        await _reaches(web, track, "from python – ä")
        mark = web.journal.mark()
        await web.run("await e2e.room.simulateScenario('signal-reconnect');")
        await web.journal.wait("reconnected", since=mark, timeout_s=20)
        await web.run("e2e.text = 'after the resume';")
        await _arrives(stream, b"after the resume")
        await _reaches(web, track, "still from python")


def _packet(handle: int, frame: int, payload: bytes) -> bytes:
    """A frame of one packet (S and F set)."""
    return b"\x18\0" + handle.to_bytes(2, "big") + b"\0\0" + frame.to_bytes(2, "big") + b"\0\0\0\0" + payload


async def _publish(client: WireClient, handle: int, name: str) -> models.DataTrackInfo:
    await client.send(publish_data_track_request=rtc.PublishDataTrackRequest(pub_handle=handle, name=name))
    answer = await client.response("publish_data_track_response", lambda r: r.info.pub_handle == handle)
    return answer.info  # type: ignore[no-any-return]


def _update(sid: str, *, subscribe: bool, target_fps: int | None = None) -> rtc.UpdateDataSubscription:
    options = models.DataTrackSubscriptionOptions(target_fps=target_fps)
    return rtc.UpdateDataSubscription(updates=[{"track_sid": sid, "subscribe": subscribe, "options": options}])


async def _packet_until(sender: PeerClient, receiver: PeerClient, packet: bytes, *, since: int) -> bytes:
    """Sends a packet until one comes out at the other end, which is what came."""
    async with asyncio.timeout(FRAME_TIMEOUT_S):
        while True:
            sender.channels["_data_track"].send(packet)
            try:
                entry = await receiver.journal.wait(
                    "packet",
                    lambda label, data: label == "_data_track" and data[12:] == packet[12:],
                    since=since,
                    timeout_s=0.3,
                )
            except AssertionError:
                continue
            return bytes(entry.args[1])


async def test_handles_are_the_subscribers_own(endpoint: Endpoint, path: JoinPath) -> None:
    """DAT19: two publishers with the same handle; the map is whole each time; only the handle is rewritten."""
    room = unique("handles")
    async with (
        peer(endpoint, "left", room, path) as left,
        peer(endpoint, "right", room, path) as right,
        peer(endpoint, "both", room, path) as both,
    ):
        tracks = {who: await _publish(who, 1, "pose") for who in (left, right)}
        handles: dict[str, int] = {}
        for who, info in tracks.items():
            await both.send(update_data_subscription=_update(info.sid, subscribe=True))
            wanted = {*handles, info.sid}
            told = await both.response(
                "data_track_subscriber_handles",
                lambda m, wanted=wanted: {t.track_sid for t in m.sub_handles.values()} == wanted,
            )
            handles = {track.track_sid: handle for handle, track in told.sub_handles.items()}
            entry = told.sub_handles[handles[info.sid]]
            own = (await who.response("join")).participant
            assert (entry.publisher_identity, entry.publisher_sid) == (who.identity, own.sid)
        assert len(set(handles.values())) == 2
        mark = both.journal.mark()
        for who, info in tracks.items():
            sent = _packet(1, 5, who.identity.encode())
            got = await _packet_until(who, both, sent, since=mark)
            assert got == _packet(handles[info.sid], 5, who.identity.encode())
        gone, stays = tracks[left].sid, tracks[right].sid
        await both.send(update_data_subscription=_update(gone, subscribe=False))
        await both.response(
            "data_track_subscriber_handles",
            lambda m: [t.track_sid for t in m.sub_handles.values()] == [stays],
            since=mark,
        )
        await right.close()
        await both.response("data_track_subscriber_handles", lambda m: not m.sub_handles, since=mark)


async def test_publishers_with_one_handle_are_told_apart(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """DAT19: two SDKs chose the same handle for their tracks; an SDK and a browser read each track's own frames."""
    room, names, count = unique("one-handle"), ("left", "right"), 5
    async with (
        sdk(endpoint, "left", room, path) as left,
        sdk(endpoint, "right", room, path) as right,
        sdk(endpoint, "desk", room, path) as desk,
        chromium.client(endpoint, "web", room, path) as web,
    ):
        clients = {"left": left, "right": right}
        tracks = {name: await clients[name].local.publish_data_track(name=name) for name in names}
        streams = {name: (await _remote_track(desk, name)).subscribe() for name in names}
        handles = await web.run(
            """e2e.tracks = await Promise.all(names.map((name) => e2e.until(
                () => e2e.room.remoteParticipants.get(name)?.dataTracks.get(name), `track of ${name}`)));
            return e2e.tracks.map((track) => track.info.pubHandle);""",
            names=names,
        )
        assert len(set(handles)) == 1, handles

        async def read_by_sdk(name: str) -> list[str]:
            return [(await anext(streams[name])).payload.decode() for _ in range(count)]

        reading = asyncio.gather(
            *map(read_by_sdk, names),
            web.run(
                """const read = async (reader) => new TextDecoder().decode((await reader.read()).value.payload);
                return Promise.all(e2e.tracks.map(async (track) => {
                    const [reader, texts] = [track.subscribe().getReader(), []];
                    while (texts.length < count) texts.push(await read(reader));
                    return texts;
                }));""",
                count=count,
            ),
        )
        async with asyncio.timeout(FRAME_TIMEOUT_S):
            while not reading.done():
                for name, track in tracks.items():
                    track.try_push(_frame(name.encode()))
                await asyncio.wait({reading}, timeout=0.05)
        of_left, of_right, of_both = reading.result()
        assert [of_left, of_right] == of_both == [[name] * count for name in names]


def _texts(client: PeerClient, *, since: int) -> list[bytes]:
    return [e.args[1][12:] for e in client.journal.seen("packet", lambda label, _: label == "_data_track", since=since)]


async def test_a_subscriber_may_want_fewer_frames(endpoint: Endpoint, path: JoinPath) -> None:
    """DAT18, `target_fps`: it gets about so many of the frames a second, the other one all; without it, all again."""
    room, interval_s = unique("frames"), 0.025
    async with (
        peer(endpoint, "arm", room, path) as arm,
        peer(endpoint, "some", room, path) as some,
        peer(endpoint, "all", room, path) as whole,
    ):
        info = await _publish(arm, 1, "joints")

        async def sent_s(marks: dict[PeerClient, int], first: int, count: int) -> float:
            """Sends so many frames in turn; how long that took, when the last ones have arrived."""
            begin_s = time.monotonic()
            for number in range(first, first + count):
                arm.channels["_data_track"].send(_packet(1, number, b"%d" % number))
                await asyncio.sleep(interval_s)
            took_s = time.monotonic() - begin_s
            for client, mark in marks.items():
                await _packet_until(arm, client, _packet(1, first + count, b"end of %d" % first), since=mark)
            return took_s

        for client, fps in ((some, 8), (whole, None)):
            await client.send(update_data_subscription=_update(info.sid, subscribe=True, target_fps=fps))
            await client.response("data_track_subscriber_handles")
            await _packet_until(arm, client, _packet(1, 1, b"begin"), since=0)
        marks = {client: client.journal.mark() for client in (some, whole)}
        took_s = await sent_s(marks, 10, 120)
        got = _texts(some, since=marks[some])
        got = got[: got.index(b"end of 10")]
        assert 0.7 * 8 * took_s < len(got) < 1.3 * 8 * took_s, (took_s, got)
        # The channel may lose one and promises no order.
        numbers = {b"%d" % number for number in range(10, 130)}
        assert len(numbers & set(_texts(whole, since=marks[whole]))) > 110

        await some.send(update_data_subscription=_update(info.sid, subscribe=True))
        await _packet_until(arm, some, _packet(1, 500, b"asked"), since=0)
        mark = some.journal.mark()
        await sent_s({some: mark}, 600, 60)
        numbers = {b"%d" % number for number in range(600, 660)}
        assert len(numbers & set(_texts(some, since=mark))) > 50


async def _refused(client: WireClient, **request: Any) -> rtc.RequestResponse:
    mark = client.journal.mark()
    await client.send(**request)
    return await client.response("request_response", since=mark)  # type: ignore[no-any-return]


async def test_requests_that_cannot_be_met_say_why(endpoint: Endpoint, path: JoinPath) -> None:
    """DAT18: every reason, with the request echoed; what was published is told to all and taken back with the right."""
    room = unique("reasons")
    async with wire(endpoint, "ann", room, path) as ann, wire(endpoint, "bob", room, path) as bob:
        await ann.response("join")
        await bob.response("join")
        info = await _publish(ann, 3, "map")
        for reason, fields in {
            REASON.INVALID_HANDLE: {"pub_handle": 0, "name": "x"},
            REASON.INVALID_NAME: {"pub_handle": 4, "name": ""},
            REASON.INVALID_REQUEST: {"pub_handle": 4, "name": "x", "frame_encoding": {"custom": "c" * 33}},
            REASON.DUPLICATE_HANDLE: {"pub_handle": 3, "name": "x"},
            REASON.DUPLICATE_NAME: {"pub_handle": 4, "name": "map"},
        }.items():
            request = rtc.PublishDataTrackRequest(**fields)  # type: ignore[arg-type] # of several kinds
            refusal = await _refused(ann, publish_data_track_request=request)
            assert (refusal.reason, refusal.publish_data_track) == (reason, request)
        refusal = await _refused(ann, unpublish_data_track_request=rtc.UnpublishDataTrackRequest(pub_handle=9))
        assert (refusal.reason, refusal.unpublish_data_track.pub_handle) == (REASON.NOT_FOUND, 9)
        await bob.journal.until(lambda: _tracks(bob, "ann") == [info], "data track of ann")
        async with api.LiveKitAPI(endpoint.http_url, endpoint.key, endpoint.secret) as lk:
            permission = models.ParticipantPermission(can_subscribe=True, can_publish=True)
            await lk.room.update_participant(
                api.UpdateParticipantRequest(room=room, identity="ann", permission=permission)
            )
        assert (await ann.response("unpublish_data_track_response")).info == info
        await bob.journal.until(lambda: _tracks(bob, "ann") == [], "no data track of ann")
        request = rtc.PublishDataTrackRequest(pub_handle=3, name="map")
        assert (await _refused(ann, publish_data_track_request=request)).reason == REASON.NOT_ALLOWED


def _tracks(client: WireClient, identity: str) -> list[models.DataTrackInfo]:
    known = client.participant(identity)
    return list(known.data_tracks) if known is not None else []


async def test_blobs_are_kept_for_the_others(endpoint: Endpoint, plain_server: Server, path: JoinPath) -> None:
    """DAT21"""
    room = unique("blobs")
    key = models.DataBlobKey(schema_id={"name": "pose", "encoding": {"custom": "proto"}})
    blob = models.DataBlob(key=key, contents=b"\0schema\xff")
    store = rtc.StoreDataBlobRequest(request_id=4, blob=blob)
    get = rtc.GetDataBlobRequest(request_id=5, participant_identity="ann", key=key)
    async with wire(endpoint, "ann", room, path) as ann, wire(endpoint, "bob", room, path) as bob:
        await ann.send(store_data_blob_request=store)
        stored = await ann.response("store_data_blob_response")
        assert (stored.request_id, stored.key) == (4, key)
        await bob.send(get_data_blob_request=get)
        found = await bob.response("get_data_blob_response")
        assert (found.request_id, found.blob) == (5, blob)
        missing = rtc.GetDataBlobRequest(request_id=6, participant_identity="ann", key={"generic": "other"})
        nobody = rtc.GetDataBlobRequest(request_id=7, participant_identity="nobody", key=key)
        for request in (missing, nobody):
            refusal = await _refused(bob, get_data_blob_request=request)
            assert (refusal.request_id, refusal.reason) == (request.request_id, REASON.NOT_FOUND)
        for reason, fields in (
            (REASON.LIMIT_EXCEEDED, {"key": {"generic": "k"}, "contents": bytes(64_000)}),
            (REASON.INVALID_REQUEST, {"key": {"generic": "k" * 257}, "contents": b"x"}),
            (REASON.INVALID_REQUEST, {"key": {"generic": "k"}}),
            (REASON.INVALID_REQUEST, {"contents": b"x"}),
        ):
            bad = rtc.StoreDataBlobRequest(request_id=8, blob=fields)
            refusal = await _refused(ann, store_data_blob_request=bad)
            assert (refusal.request_id, refusal.reason) == (8, reason)
    async with wire(plain_server.endpoint, "ann", room, path) as ann:
        assert (await _refused(ann, store_data_blob_request=store)).reason == REASON.NOT_ALLOWED
        assert (await _refused(ann, get_data_blob_request=get)).reason == REASON.NOT_ALLOWED
