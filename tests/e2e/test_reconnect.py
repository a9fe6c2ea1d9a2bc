"""Connections that break: sessions that go on, and clients that begin anew by themselves."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from livekit import rtc
from livekit.protocol import rtc as proto

from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.media import assert_bars, assert_tone, publish_bars, publish_tone, see
from tests.e2e.support.relay import relay
from tests.e2e.support.sdk_client import SdkClient, sdk
from tests.e2e.support.server import ServerSpec, started
from tests.e2e.support.wire_client import PROTOCOL, WireClient, wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.support.browser import Browser, BrowserClient

_SIGNAL_RECONNECT = rtc.SimulateScenarioKind.SIMULATE_SIGNAL_RECONNECT
_FULL_RECONNECT = rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT
_CAMERA = rtc.TrackSource.SOURCE_CAMERA
_MICROPHONE = rtc.TrackSource.SOURCE_MICROPHONE
_GONE = ("participant_disconnected", "track_unpublished", "track_unsubscribed")
"""What others see when a session does not go on."""
_GONE_WEB = ("participantDisconnected", "trackUnpublished", "trackUnsubscribed", "reconnecting")
_KEPT = """return {sid: e2e.room.localParticipant.sid,
    tracks: [...e2e.room.localParticipant.trackPublications.keys()], connections: e2e.connections.length}"""

_GENERATIONS = """const ufrag = (description) => /a=ice-ufrag:(.+)/.exec(description.sdp)[1].trim();
    return e2e.connections.map((c) => [ufrag(c.currentLocalDescription), ufrag(c.currentRemoteDescription)]);"""
"""ICE user name fragments of each peer connection: the client's and the server's."""

_LOSING = """const channel = RTCDataChannel.prototype;
    const own = Object.getOwnPropertyDescriptors(channel);
    Object.assign(e2e, { deaf: false, missed: 0, handed: 0, mute: false, swallowed: 0, swallowedBytes: 0 });
    Object.defineProperty(channel, 'onmessage', { ...own.onmessage, set(handler) {
        own.onmessage.set.call(this, handler && ((event) => {
            if (this.label === '_reliable' && e2e.deaf) { e2e.missed += 1; return; }
            if (this.label === '_reliable') e2e.handed += 1;
            handler.call(this, event);
        }));
    } });
    channel.send = function (data) {
        if (this.label !== '_reliable' || !e2e.mute) { own.send.value.call(this, data); return; }
        e2e.swallowed += 1;
        e2e.swallowedBytes += data.byteLength;
    };
    Object.defineProperty(channel, 'bufferedAmount', { ...own.bufferedAmount, get() {
        return own.bufferedAmount.get.call(this) + (this.label === '_reliable' ? e2e.swallowedBytes : 0);
    } });"""
"""Before the join: makes the browser lose reliable data, in a way that SCTP does not mend. While `e2e.deaf`,
livekit-client gets none of what comes; while `e2e.mute`, what it sends never leaves, but seems to wait for that."""

_LISTEN = """const track = e2e.remoteTrack(who, 'audio');
    const element = track.attach();
    element.muted = true;
    document.body.append(element);"""
_ARRIVED = """const all = [...(await e2e.remoteTrack(who, 'audio').receiver.getStats()).values()];
    const [s] = all.filter((r) => r.type === 'inbound-rtp');
    return [s.packetsReceived, s.totalSamplesReceived, s.concealedSamples];"""
"""Packets, samples played, and those among them that were made up, silence included: a tone has none."""


@contextlib.asynccontextmanager
async def pair(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> AsyncIterator[tuple[BrowserClient, SdkClient]]:
    """A browser and an SDK client that hear each other."""
    room = unique("reconnect")
    async with (
        chromium.client(endpoint, "web", room, path) as web,
        sdk(endpoint, "py", room, path) as py,
        publish_tone(py.room, 660),
    ):
        await web.publish_tone(440)
        track = await py.subscribed("web")
        await asyncio.gather(assert_tone(track, 440), web.hear("py", 660))
        yield web, py


async def talk(web: BrowserClient, py: SdkClient) -> None:
    """Both hear each other's tone and get each other's reliable data."""
    publications = py.remote("web").track_publications.values()
    (track,) = [p.track for p in publications if p.track and p.source == _MICROPHONE]
    await asyncio.gather(assert_tone(track, 440), web.hear("py", 660))
    word = unique("word")
    await web.run(
        "await e2e.room.localParticipant.publishData(new TextEncoder().encode(word), {reliable: true})", word=word
    )
    await py.journal.wait("data_received", lambda packet: packet.data == word.encode())
    await py.local.publish_data(word, reliable=True)
    await web.journal.wait("dataReceived", lambda data, *_: data == word)


def seen(client: BrowserClient | SdkClient, names: tuple[str, ...], since: int) -> list[Any]:
    """Entries of these names."""
    return [entry for name in names for entry in client.journal.seen(name, since=since)]


async def test_a_browser_goes_on_after_its_signalling_broke(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    """REC01: same sid, same tracks, same peer connections; the others see nothing. Twice, with words in between.

    SDP09: ICE of every peer connection begins anew, on both sides, both times.
    """
    async with pair(endpoint, path, chromium) as (web, py):
        kept, since_py, since_web = await web.run(_KEPT), py.journal.mark(), web.journal.mark()
        generations = [await web.run(_GENERATIONS)]
        for _ in range(2):
            since = web.journal.mark()
            await web.run("await e2e.room.simulateScenario('signal-reconnect')")
            await web.journal.wait("signalReconnecting", since=since)
            await web.journal.wait("reconnected", since=since, timeout_s=20)
            await talk(web, py)
            generations.append(await web.run(_GENERATIONS))
        assert [len(connections) for connections in generations] == [1 if path.single else 2] * 3
        for connection in zip(*generations, strict=True):
            ours, theirs = zip(*connection, strict=True)
            assert len(set(ours)) == len(set(theirs)) == 3, connection
        assert await web.run(_KEPT) == kept
        assert seen(web, _GONE_WEB, since_web) == []
        assert seen(py, _GONE, since_py) == []


async def test_a_browser_whose_answers_are_lost_begins_anew(chromium: Browser) -> None:
    """SDP10: an offer is not answered in time (here two seconds): full reconnect, then all is well."""
    room = unique("unanswered")
    async with (
        started(ServerSpec(config={"plenum": {"answer_timeout": "2s"}})) as server,
        chromium.page("web") as web,
        sdk(server.endpoint, "py", room, JoinPath.V1) as py,
    ):
        await web.run(
            """const send = WebSocket.prototype.send;
            const ANSWER = 2 << 3 | 2; // of the SignalRequest, in binary
            WebSocket.prototype.send = function (data) {
                if (e2e.swallows && new Uint8Array(data)[0] === ANSWER) { e2e.swallowed += 1; return; }
                send.call(this, data);
            };
            e2e.swallowed = 0;"""
        )
        await web.join(server.endpoint, server.endpoint.token("web", room), JoinPath.V0)
        sid = await web.run(
            """await e2e.until(() => e2e.connections[0].connectionState === 'connected', 'connection');
            e2e.room.once('reconnecting', () => { e2e.swallows = false; });
            e2e.swallows = true;
            return e2e.room.localParticipant.sid;"""
        )
        async with publish_tone(py.room, 660):
            await web.journal.wait("reconnecting", timeout_s=20)
            await web.journal.wait("reconnected", timeout_s=20)
            await web.hear("py", 660)
        assert await web.run("return [e2e.room.localParticipant.sid !== sid, e2e.swallowed > 0]", sid=sid) == [
            True,
            True,
        ]


async def test_the_python_sdk_goes_on_after_its_signalling_broke(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    """REC01, REC03: the Rust core resumes within five seconds."""
    async with pair(endpoint, path, chromium) as (web, py):
        sid, since_py, since_web = py.local.sid, py.journal.mark(), web.journal.mark()
        await py.room.simulate_scenario(_SIGNAL_RECONNECT)
        await py.journal.wait("reconnected", since=since_py, timeout_s=5)
        await talk(web, py)
        assert py.local.sid == sid
        assert seen(web, _GONE_WEB, since_web) == []
        assert seen(py, _GONE, since_py) == []


async def _packets_sent(client: SdkClient) -> int:
    stats = await client.room.get_rtc_stats()
    reports = [*stats.publisher_stats, *stats.subscriber_stats]
    return sum(r.outbound_rtp.sent.packets_sent for r in reports if r.HasField("outbound_rtp"))


async def test_media_go_on_while_the_signalling_line_is_cut(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    """REC09, REC08: twenty seconds without signalling, sound goes on both ways; then who left is gone, who came heard.

    Who comes meanwhile is the first to subscribe: the publisher hears that once, when it is back.
    """
    room, clock_s = unique("cut"), asyncio.get_running_loop().time
    async with (
        relay(endpoint) as line,
        sdk(endpoint, "other", room, path, auto_subscribe=False) as other,
        publish_tone(other.room, 550),
        sdk(endpoint, "leaver", room, path, auto_subscribe=False) as leaver,
        chromium.client(line.endpoint, "web", room, path) as web,
    ):
        await web.publish_tone(440)
        await web.remote_here("leaver")
        await web.hear("other", 550)
        await web.run(_LISTEN, who="other")
        since, before = web.journal.mark(), [*await web.run(_ARRIVED, who="other"), await _packets_sent(other)]
        line.cut()
        end_s = clock_s() + 20
        await web.journal.wait("signalReconnecting", since=since)
        async with sdk(endpoint, "py", room, path) as py, publish_tone(py.room, 660):
            track = await py.subscribed("web")
            since_py = py.journal.mark()
            await leaver.close()
            await py.remote_gone("leaver")
            while clock_s() < end_s:
                await assert_tone(track, 440)
            await web.hear("other", 550)
            sent = await _packets_sent(other)
            after = [*await web.run(_ARRIVED, who="other"), sent]
            packets, samples, made_up, sent = (b - a for a, b in zip(before, after, strict=True))
            assert sent > 15 * 50, f"only {sent} packets were sent in twenty seconds"
            assert packets > 0.95 * sent, f"{packets} of {sent} packets arrived"
            # On a quiet machine none; beside two busy processes 14 % was seen.
            assert made_up < 0.25 * samples, f"{made_up} of {samples} samples were made up"
            line.mend()
            await web.journal.wait("reconnected", since=since, timeout_s=40)
            await web.journal.wait("participantDisconnected", lambda who, *_: who["identity"] == "leaver", since=since)
            await web.hear("py", 660)
            assert [e for e in seen(py, _GONE, since_py) if "leaver" not in str(e)] == []
        assert len(web.journal.seen("localTrackSubscribed")) == 1
        assert web.journal.seen("reconnecting", since=since) == []


@pytest.mark.parametrize(
    "scenario",
    [
        "full-reconnect",
        "leave-full-reconnect",
        "node-failure",
        "migration",
        "force-tcp",
        "force-tls",
        "resume-reconnect",
    ],
)
async def test_a_browser_begins_anew_by_itself(
    endpoint: Endpoint, path: JoinPath, chromium: Browser, scenario: str
) -> None:
    """REC05, REC13: the others see one leave and one join, then all is as before, sound and picture."""
    async with pair(endpoint, path, chromium) as (web, py):
        await web.publish_bars()
        await py.subscribed("web", _CAMERA)
        sid, since_py, since_web = (
            await web.run("return e2e.room.localParticipant.sid"),
            py.journal.mark(),
            web.journal.mark(),
        )
        await web.run("await e2e.room.simulateScenario(scenario)", scenario=scenario)
        await web.journal.wait("reconnected", since=since_web, timeout_s=30)
        await py.subscribed("web", _MICROPHONE, since=since_py, timeout_s=30)
        picture = await see(await py.subscribed("web", _CAMERA, since=since_py), frames=5)
        assert_bars(picture.bars)
        assert picture.moved
        await talk(web, py)
        assert await web.run("return e2e.room.localParticipant.sid") != sid
        assert len(py.journal.seen("participant_connected", since=since_py)) == 1
        if scenario in {"force-tcp", "force-tls"}:
            pairs = await web.run(
                """const pairs = await e2e.stats('candidate-pair', (r) => r.state === 'succeeded' && r.nominated);
                const local = await e2e.stats('local-candidate');
                return pairs.map((p) => local.find((l) => l.id === p.localCandidateId)?.protocol)"""
            )
            assert set(pairs) == {"tcp"}


async def test_the_python_sdk_begins_anew_by_itself(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """REC05: the browser sees one leave and one join, then hears and sees it as before, and is heard by it."""
    async with pair(endpoint, path, chromium) as (web, py), publish_bars(py.room):
        old = await web.journal.wait("trackSubscribed", lambda track, *_: track["kind"] == "video")
        since_py, since_web = py.journal.mark(), web.journal.mark()
        await py.room.simulate_scenario(_FULL_RECONNECT)
        await py.journal.wait("reconnected", since=since_py, timeout_s=30)
        for kind in ("audio", "video"):
            await web.journal.wait(
                "trackSubscribed", lambda track, *_, kind=kind: track["kind"] == kind, since=since_web, timeout_s=30
            )
        await py.subscribed("web", since=since_py, timeout_s=30)
        picture = await web.see("py", frames=5)
        assert_bars(picture["bars"])
        assert picture["moved"]
        await talk(web, py)
        joins = [entry.args[0] for entry in web.journal.seen("participantConnected", since=since_web)]
        assert [who["identity"] for who in joins] == ["py"], joins
        assert joins[0]["sid"] != old.args[2]["sid"], "the session is another"


@pytest.mark.parametrize("scenario", ["disconnect-signal-on-resume", "disconnect-signal-on-resume-no-messages"])
async def test_a_resume_that_breaks_is_tried_again(
    endpoint: Endpoint, path: JoinPath, chromium: Browser, scenario: str
) -> None:
    """REC13."""
    async with pair(endpoint, path, chromium) as (web, py):
        since = web.journal.mark()
        await web.run("await e2e.room.simulateScenario(scenario)", scenario=scenario)
        await web.journal.wait("reconnected", since=since, timeout_s=30)
        await talk(web, py)


async def test_a_browser_asks_for_its_own_leave_and_for_speech(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    """REC13: `speaker` shows it speaking for three seconds, `server-leave` is final."""
    async with chromium.client(endpoint, "web", unique("own"), path) as web:
        since = web.journal.mark()
        await web.run("await e2e.room.simulateScenario('speaker')")
        await web.journal.wait("activeSpeakersChanged", lambda speakers: len(speakers) == 1, since=since)
        await web.journal.wait("activeSpeakersChanged", lambda speakers: speakers == [], since=since)
        await web.run("await e2e.room.simulateScenario('server-leave')")
        await web.journal.wait("disconnected", lambda reason: reason == 3, since=since)


async def test_a_browser_has_its_line_narrowed(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """REC13: `subscriber-bandwidth` pauses its video, and lets it go on; nobody else notices."""
    room = unique("narrowed")
    async with (
        chromium.client(endpoint, "alice", room, path) as alice,
        chromium.client(endpoint, "bob", room, path) as bob,
    ):
        sid = await alice.publish_bars(width=640, height=360, fps=15, videoCodec="vp8")
        await bob.see("alice")
        since = bob.journal.mark()
        for rate_bps, state in ((1_000, "paused"), (100_000_000, "active")):
            await bob.run("await e2e.room.simulateScenario('subscriber-bandwidth', rate)", rate=rate_bps)
            entry = await bob.journal.wait("trackStreamStateChanged", since=since, timeout_s=40)
            assert (entry.args[0]["publication"], entry.args[1]) == (sid, state)
            since = bob.journal.mark()
        await bob.see("alice")
        assert alice.journal.seen("trackStreamStateChanged") == []


@contextlib.asynccontextmanager
async def returning(endpoint: Endpoint, token: str, path: JoinPath, sid: str) -> AsyncIterator[WireClient]:
    """A bare client that wants to go on as `sid`."""
    client = WireClient("back")
    request = proto.JoinRequest(reconnect=True, participant_sid=sid)
    request.client_info.protocol = PROTOCOL
    try:
        if path.single:
            await client.connect(endpoint, token, path, request=request)
        else:
            await client.connect(endpoint, token, path, reconnect="1", sid=sid)
        yield client
    finally:
        await client.close()


async def test_the_first_message_of_a_resume_is_reconnect(endpoint: Endpoint, path: JoinPath) -> None:
    """REC03, PAR11: the refreshed token opens the door; then come the participants, the room and a fresh token."""
    room = unique("first")
    async with wire(endpoint, "ann", room, path) as ann:
        sid = (await ann.response("join")).participant.sid
        token = await ann.response("refresh_token")
        async with returning(endpoint, token, path, sid) as back:
            await back.response("refresh_token")
            names = [entry.name for entry in back.journal.entries]
            assert names[0] == "reconnect"
            assert (await back.response("reconnect")).server_info.version
            assert [who.sid for who in (await back.response("update")).participants] == [sid]
            assert (await back.response("room_update")).room.name == room
            if not path.single:
                assert "a=ice-ufrag:" in (await back.response("offer")).sdp
            await ann.journal.wait("closed")
            assert not ann.journal.seen("leave")


async def test_a_publication_that_the_server_does_not_know_needs_a_new_session(
    endpoint: Endpoint, path: JoinPath
) -> None:
    """REC04."""
    async with wire(endpoint, "ann", unique("bogus"), path) as ann:
        sid = (await ann.response("join")).participant.sid
        token = await ann.response("refresh_token")
        async with returning(endpoint, token, path, sid) as back:
            await back.response("reconnect")
            published = proto.TrackPublishedResponse(cid="x")
            published.track.sid = "TR_bogus"
            await back.send(sync_state=proto.SyncState(publish_tracks=[published]))
            leave = await back.response("leave")
            assert leave.action == proto.LeaveRequest.Action.RECONNECT
            assert leave.reason == 6  # STATE_MISMATCH


async def test_a_browser_with_a_publication_that_the_server_does_not_know_begins_anew(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    """REC04: its resume turns into a new session, in which the tone is published again and heard."""
    async with pair(endpoint, path, chromium) as (web, py):
        sid = await web.run(
            """const { client } = e2e.room.engine;
            const send = client.sendSyncState;
            client.sendSyncState = (sync) => {
                const bogus = sync.publishTracks[0].clone();
                bogus.track.sid = 'TR_bogus';
                sync.publishTracks.push(bogus);
                return send.call(client, sync);
            };
            return e2e.room.localParticipant.sid"""
        )
        since_py, since_web = py.journal.mark(), web.journal.mark()
        await web.run("await e2e.room.simulateScenario('signal-reconnect')")
        anew = await web.journal.wait("reconnecting", since=since_web, timeout_s=30)
        await web.journal.wait("reconnected", since=web.journal.entries.index(anew), timeout_s=30)
        await py.subscribed("web", since=since_py, timeout_s=30)
        await talk(web, py)
        assert await web.run("return e2e.room.localParticipant.sid") != sid
        assert len(py.journal.seen("participant_connected", since=since_py)) == 1


async def test_nothing_said_during_a_resume_is_lost(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """REC01: numbered messages in both directions, all the while the browser resumes: each once, in order."""
    async with pair(endpoint, path, chromium) as (web, py):
        since_py, since_web = py.journal.mark(), web.journal.mark()
        count = 150

        async def say() -> None:
            for number in range(count):
                await py.local.publish_data(f"n{number}", reliable=True)
                await asyncio.sleep(0.02)  # the pace of the sender

        saying = asyncio.create_task(say())
        await web.run(
            """(async () => { for (let n = 0; n < count; n += 1) {
                await e2e.room.localParticipant.publishData(new TextEncoder().encode(`w${n}`), {reliable: true});
                await new Promise((resolve) => { setTimeout(resolve, 20); });
            } })();
            await new Promise((resolve) => { setTimeout(resolve, 500); });
            await e2e.room.simulateScenario('signal-reconnect', 500)""",
            count=count,
        )
        await web.journal.wait("reconnected", since=since_web, timeout_s=20)
        await saying
        await web.journal.wait("dataReceived", lambda data, *_: data == f"n{count - 1}", since=since_web, timeout_s=15)
        last = f"w{count - 1}".encode()
        await py.journal.wait("data_received", lambda packet: packet.data == last, since=since_py, timeout_s=15)
        heard = [entry.args[0] for entry in web.journal.seen("dataReceived", since=since_web)]
        assert heard == [f"n{number}" for number in range(count)]
        got = [entry.args[0].data for entry in py.journal.seen("data_received", since=since_py)]
        assert got == [f"w{number}".encode() for number in range(count)]


async def test_what_was_lost_before_a_resume_is_sent_again(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    """DAT09, DAT10: twenty messages in each direction that SCTP takes for delivered, or will never send.

    Up, livekit-client sends again what came after `last_message_seq`; down, the server what came after the browser's
    `datachannel_receive_states`, and nothing before.
    """
    room = unique("again")
    async with chromium.page("web") as web, sdk(endpoint, "py", room, path) as py:
        await web.run(_LOSING)
        await web.join(endpoint, endpoint.token("web", room), path)
        await web.remote_here("py")
        await py.remote_here("web")

        async def say(*numbers: int) -> None:
            for number in numbers:
                await py.local.publish_data(f"n{number}", reliable=True)
            await web.run(
                """for (const number of numbers) {
                    await e2e.room.localParticipant.publishData(
                        new TextEncoder().encode(`w${number}`), {reliable: true});
                }""",
                numbers=numbers,
            )

        async def both_have(number: int) -> None:
            await web.journal.wait("dataReceived", lambda data, *_: data == f"n{number}", timeout_s=15)
            word = f"w{number}".encode()
            await py.journal.wait("data_received", lambda packet: packet.data == word, timeout_s=15)

        await say(*range(10))
        await both_have(9)
        await web.run("e2e.deaf = e2e.mute = true")
        await say(*range(10, 30))
        await web.run("await e2e.until(() => e2e.missed >= 20, 'loss of twenty messages')")
        assert await web.run("return [e2e.missed, e2e.swallowed]") == [20, 20]
        since = web.journal.mark()
        await web.run("e2e.deaf = e2e.mute = false; await e2e.room.simulateScenario('signal-reconnect')")
        await web.journal.wait("reconnected", since=since, timeout_s=20)
        await both_have(29)
        await say(30)
        await both_have(30)
        heard = [entry.args[0] for entry in web.journal.seen("dataReceived")]
        assert heard == [f"n{number}" for number in range(31)]
        got = [entry.args[0].data for entry in py.journal.seen("data_received")]
        assert got == [f"w{number}".encode() for number in range(31)]
        assert await web.run("return e2e.handed") == 31, "livekit-client would hide what comes twice"
