"""What goes with pictures: key-frame requests, capture times, playout delay, packet trailers, end-to-end encryption."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from livekit import api, rtc

from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.media import assert_bars
from tests.e2e.support.sdk_client import sdk
from tests.e2e.support.server import ServerSpec

if TYPE_CHECKING:
    from tests.e2e.support.browser import Browser, BrowserClient

SERVER = ServerSpec(config={"rtc": {"pli_throttle": {"low_quality": "500ms", "mid_quality": "1s"}}})

_QUALITIES = {"LOW": 0, "HIGH": 2}

_ASK = "[...e2e.room.remoteParticipants.get(who).videoTrackPublications.values()][0].setVideoQuality(quality);"


async def test_fifty_who_join_cost_the_publisher_few_key_frames(endpoint: Endpoint, chromium: Browser) -> None:
    """VID07: requests of fifty joiners are gathered by each layer's throttle; each joiner has its first picture."""
    room = unique("storm")
    async with chromium.client(endpoint, "alice", room, JoinPath.V1) as alice:
        await alice.publish_bars(width=480, height=270, fps=8, simulcast=True)
        counts = """const sent = await e2e.until(async () => {
                const found = await e2e.stats('outbound-rtp', (s) => s.kind === 'video' && s.keyFramesEncoded > 0);
                return found.length > 1 && found;
            }, 'streams');
            const of = (s) => [s.rid, [s.pliCount + s.firCount, s.keyFramesEncoded]];
            return [performance.now() / 1000, Object.fromEntries(sent.map(of))];"""
        before = await alice.run(counts)

        async def join(number: int) -> None:
            path = JoinPath.V1 if number % 2 else JoinPath.V0
            async with sdk(endpoint, f"late{number}", room, path, connect_timeout=60.0) as late:
                track = await late.subscribed("alice", timeout_s=60)
                stream = rtc.VideoStream(track)
                try:
                    async with asyncio.timeout(30):
                        await anext(aiter(stream))
                finally:
                    await stream.aclose()

        async with asyncio.TaskGroup() as joining:
            for number in range(50):
                joining.create_task(join(number))
        after = await alice.run(counts)
        took_s = after[0] - before[0]
        layers = {
            rid: [n - was for n, was in zip(after[1][rid], counted, strict=True)] for rid, counted in before[1].items()
        }
        seen = f"requests and key frames by layer: {layers}, in {took_s:.1f} s"
        assert set(layers) == {"q", "h"}, seen
        asked = {rid: requests for rid, (requests, _) in layers.items()}
        assert asked["q"] <= 2 * took_s + 2, seen
        assert asked["h"] <= took_s + 2, seen
        assert 1 <= sum(asked.values()) < 50, seen
        # One encoder makes all layers: a key frame of one is a key frame of each.
        assert max(frames for _, frames in layers.values()) <= sum(asked.values()) + 2, seen


_CAPTURE_TIMES = """
    const uri = 'http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time';
    for (const name of ['createOffer', 'createAnswer']) {
        const native = RTCPeerConnection.prototype[name];
        RTCPeerConnection.prototype[name] = function (...args) {
            for (const transceiver of this.getTransceivers()) {
                const extensions = transceiver.getHeaderExtensionsToNegotiate();
                for (const extension of extensions) if (extension.uri === uri) extension.direction = 'sendrecv';
                transceiver.setHeaderExtensionsToNegotiate(extensions);
            }
            return native.apply(this, args);
        };
    }
"""
"""Lets a page negotiate capture times, which Chromium can do but does not offer by itself."""


async def test_capture_times_arrive(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """VID12: the subscriber is told when each picture was taken, by the server's clock; here it is everybody's."""
    room = unique("capture")
    async with chromium.page("alice") as alice, chromium.page("bob") as bob:
        for client in (alice, bob):
            await client.run(_CAPTURE_TIMES)
            await client.join(endpoint, endpoint.token(client.identity, room), path)
        await alice.publish_tone(440)
        await alice.publish_bars()
        await bob.hear("alice", 440)
        await bob.see("alice")
        ages = await bob.run(
            """const receivers = e2e.connections.flatMap((c) => c.getReceivers()).filter((r) => r.track);
            const ages = {};
            await e2e.until(() => {
                for (const receiver of receivers) {
                    const [source] = receiver.getSynchronizationSources();
                    if (source?.captureTimestamp) {
                        ages[receiver.track.kind] = Date.now() + 2208988800000 - source.captureTimestamp;
                    }
                }
                return ages.audio !== undefined && ages.video !== undefined;
            }, 'capture times of sound and picture', 20000).catch((error) => {
                const seen = receivers.map((r) => JSON.stringify(r.getSynchronizationSources()));
                throw new Error(`${error.message}: ${seen}`);
            });
            return ages;"""
        )
        assert -50 < ages["audio"] < 5000, ages
        assert -50 < ages["video"] < 5000, ages


_SLOW_TO_APPLY = """const connection = RTCPeerConnection.prototype;
    const apply = connection.setRemoteDescription;
    connection.setRemoteDescription = async function (description) {
        await new Promise((done) => setTimeout(done, 700));
        return apply.call(this, description);
    };"""
"""As a busy browser: pictures come before it knows what their header extensions are."""


async def test_a_room_asks_for_its_playout_delay(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """VID13: a room made with a delay of 1.2 s at least, 2 s at most: the jitter buffer aims at that; else at less."""
    async with api.LiveKitAPI(endpoint.http_url, endpoint.key, endpoint.secret) as lk:
        delayed, plain = unique("delayed"), unique("plain")
        await lk.room.create_room(api.CreateRoomRequest(name=delayed, min_playout_delay=1_200, max_playout_delay=2_000))
        for room in (delayed, plain):
            async with (
                chromium.client(endpoint, "alice", room, path) as alice,
                chromium.page("bob") as bob,
            ):
                await bob.run(_SLOW_TO_APPLY)
                await bob.join(endpoint, endpoint.token("bob", room), path)
                await alice.publish_bars()
                await bob.see("alice")
                low_s, high_s = (1.15, 2.0) if room == delayed else (0.0, 0.8)
                await bob.run(
                    """const total = async () => {
                        const [s] = await e2e.stats('inbound-rtp', (s) => s.kind === 'video');
                        return [s.jitterBufferTargetDelay, s.jitterBufferEmittedCount];
                    };
                    let [delay, count] = await total();
                    let target;
                    await e2e.until(async () => {
                        const now = await total();
                        if (now[1] < count + 20) return false;
                        target = (now[0] - delay) / (now[1] - count);
                        [delay, count] = now;
                        return low <= target && target <= high;
                    }, 'twenty pictures with the delay', 15000).catch((error) => {
                        throw new Error(`${error.message}: ${target} s`);
                    });""",
                    low=low_s,
                    high=high_s,
                )


_TAILS = """
    e2e.tails = [];
    e2e.onTrack = (track) => {
        const { readable, writable } = track.receiver.createEncodedStreams();
        readable.pipeThrough(new TransformStream({ transform(frame, controller) {
            e2e.tails.push(String.fromCharCode(...new Uint8Array(frame.data).slice(-4)));
            controller.enqueue(frame);
        }})).pipeTo(writable);
    };
"""
"""Collects the last four bytes of each encoded frame that a page receives in `e2e.tails`."""
_ENCODED_STREAMS = {"rtcConfig": {"encodedInsertableStreams": True}}


@pytest.mark.parametrize("codec", ["vp8", "h264"])
async def test_packet_trailers_reach_those_who_know_them(
    endpoint: Endpoint, path: JoinPath, chromium: Browser, codec: str
) -> None:
    """VID17: who knows packet trailers has the frames' numbers; who does not gets frames that end without."""
    room = unique("trailer")
    metadata = """// livekit-client tells nothing of itself on the path with two connections; other SDKs do.
        const Socket = window.WebSocket;
        window.WebSocket = class extends Socket {
            constructor(url, ...more) { super(single ? url : `${url}&capabilities=CAP_PACKET_TRAILER`, ...more); }
        };
        const frameMetadata = { worker: new Worker('/livekit-metadata.js') };
        await e2e.join(url, token, { singlePeerConnection: single, frameMetadata });"""
    async with (
        chromium.page("alice") as alice,
        chromium.page("bob") as bob,
        chromium.page("carol") as carol,
    ):
        for client in (alice, bob):
            token = endpoint.token(client.identity, room)
            await client.run(metadata, url=endpoint.ws_url, token=token, single=path.single)
        await carol.run(_TAILS)
        await carol.join(endpoint, endpoint.token("carol", room), path, connect_options=_ENCODED_STREAMS)
        await alice.publish_bars(videoCodec=codec, frameMetadata={"timestamp": True, "frameId": True})
        for client in (bob, carol):
            assert_bars((await client.see("alice"))["bars"])
        numbers = await bob.run(
            """const track = e2e.remoteTrack('alice', 'video');
            const numbers = [];
            await e2e.until(() => {
                const [source] = track.receiver.getSynchronizationSources();
                const found = source && track.lookupFrameMetadata({ rtpTimestamp: source.rtpTimestamp });
                if (found) numbers.push(found.frameId);
                return numbers.length >= 5;
            }, 'numbers of frames');
            return numbers;"""
        )
        assert numbers == sorted(numbers), numbers
        assert min(numbers) > 0
        tails = await carol.run(
            "await e2e.until(() => e2e.tails.length >= 20, 'twenty frames'); return e2e.tails.slice(-20);"
        )
        assert "LKTS" not in tails


_ENCRYPTED = """const keys = new LK.ExternalE2EEKeyProvider();
    await keys.setKey(secret);
    const worker = new Worker('/livekit-e2ee.js');
    await e2e.join(url, token, { singlePeerConnection: single, encryption: { keyProvider: keys, worker } });
    await e2e.room.setE2EEEnabled(true);"""


async def _join_encrypted(client: BrowserClient, endpoint: Endpoint, room: str, path: JoinPath) -> None:
    token = endpoint.token(client.identity, room)
    await client.run(_ENCRYPTED, url=endpoint.ws_url, token=token, single=path.single, secret="shared secret")


@pytest.mark.parametrize("codec", ["vp8", "h264"])
async def test_encrypted_pictures_pass_in_both_directions(
    endpoint: Endpoint, path: JoinPath, chromium: Browser, codec: str
) -> None:
    """VID18: encrypted pictures, in layers too: they begin, switch, and begin for a late joiner."""
    room = unique("e2ee")
    async with chromium.page("alice") as alice, chromium.page("bob") as bob, chromium.page("carol") as carol:
        for client in (alice, bob):
            await _join_encrypted(client, endpoint, room, path)
        await alice.publish_bars(width=640, height=360, simulcast=True, videoCodec=codec)
        await bob.publish_bars(videoCodec=codec)
        assert_bars((await bob.see("alice", minWidth=500))["bars"])
        assert_bars((await alice.see("bob"))["bars"])
        codecs = await bob.run("return e2e.codecs('inbound-rtp', 'video')")
        assert {mime.lower() for mime, _ in codecs} == {f"video/{codec}"}
        await bob.run(_ASK, who="alice", quality=_QUALITIES["LOW"])
        await bob.run(
            """await e2e.until(async () => {
                const [s] = await e2e.stats('inbound-rtp', (s) => s.kind === 'video');
                return s.frameWidth < 400;
            }, 'the smallest layer', 20000);"""
        )
        assert_bars((await bob.see("alice"))["bars"])
        await _join_encrypted(carol, endpoint, room, path)
        assert_bars((await carol.see("alice"))["bars"])
