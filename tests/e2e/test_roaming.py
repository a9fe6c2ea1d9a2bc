"""Networks that change under a call: another address, no UDP any more, a client that stands still for a while."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from functools import partial

import pytest
from livekit import rtc

from tests.e2e.support.browser import Browser, launched
from tests.e2e.support.endpoint import JoinPath, unique
from tests.e2e.support.journal import eventually
from tests.e2e.support.media import assert_tone, publish_tone
from tests.e2e.support.netns import namespace
from tests.e2e.support.sdk_client import SdkClient, sdk
from tests.e2e.support.server import ServerSpec, started
from tests.e2e.support.standing import standing

pytestmark = pytest.mark.netns

_GONE = ("participant_disconnected", "track_unpublished", "track_unsubscribed")
_USED = """const pairs = await e2e.stats('candidate-pair', (p) => p.nominated && p.state === 'succeeded');
    const remotes = await e2e.stats('remote-candidate');
    return pairs.map((p) => remotes.find((r) => r.id === p.remoteCandidateId)?.protocol);"""
_ALL_TCP = f"""const used = async () => {{ {_USED} }};
    await e2e.until(async () => {{ const all = await used(); return all.length && all.every((p) => p === 'tcp'); }},
        'call over TCP', 60000);"""
_SAY_HERE = "await e2e.room.localParticipant.publishData(new TextEncoder().encode('here'), {reliable: true})"
_SAY_MANY = """(async () => { for (let n = 0; n < count; n += 1) {
    await e2e.room.localParticipant.publishData(new TextEncoder().encode(`w${n}`), {reliable: true});
    await new Promise((resolve) => { setTimeout(resolve, 40); });
} })();"""


async def test_a_client_that_changes_its_address_goes_on(path: JoinPath) -> None:
    """REC02: ICE restarts, same sid, sound in both directions; the others see nothing."""
    room = unique("roam")
    with namespace() as cell:
        # The server is outside, on this machine's end of the link.
        async with (
            started(ServerSpec(host=cell.here)) as server,
            launched("chromium", enter_command=cell.enter_command) as browser,
            browser.client(server.endpoint, "web", room, path) as web,
            sdk(server.endpoint, "py", room, path) as py,
            publish_tone(py.room, 660),
        ):
            await web.publish_tone(440)
            track = await py.subscribed("web")
            await assert_tone(track, 440)
            await web.hear("py", 660)
            sid = await web.run("return e2e.room.localParticipant.sid")
            since, since_py = web.journal.mark(), py.journal.mark()
            cell.move()
            await web.journal.wait("reconnected", since=since, timeout_s=30)
            await assert_tone(track, 440)
            await web.hear("py", 660)
            assert await web.run("return e2e.room.localParticipant.sid") == sid
            assert [entry for name in _GONE for entry in py.journal.seen(name, since=since_py)] == []
            await web.run(_SAY_HERE)
            await py.journal.wait("data_received", lambda packet: packet.data == b"here", since=since_py)


async def test_data_lose_nothing_when_the_line_was_cut(path: JoinPath) -> None:
    """DAT09, DAT10: signalling and UDP are cut for three seconds, then the browser resumes: no gap in any direction."""
    room, count = unique("gaps"), 120
    with namespace() as cell:
        async with (
            started(ServerSpec(host=cell.here)) as server,
            launched("chromium", enter_command=cell.enter_command) as browser,
            browser.client(server.endpoint, "web", room, path) as web,
            sdk(server.endpoint, "py", room, path) as py,
        ):
            await web.remote_here("py")
            await py.remote_here("web")
            since, since_py = web.journal.mark(), py.journal.mark()
            await web.run(_SAY_MANY, count=count)
            for number in range(count):
                if number == count // 4:
                    cell.cut()
                await py.local.publish_data(f"n{number}", reliable=True)
                await asyncio.sleep(0.04)  # the pace of the sender: the cut lasts three seconds and more
            cell.open()
            await web.run("await e2e.room.simulateScenario('signal-reconnect')")
            await web.journal.wait("reconnected", since=since, timeout_s=30)
            last = f"w{count - 1}".encode()
            await py.journal.wait("data_received", lambda p: p.data == last, since=since_py, timeout_s=30)
            end = f"n{count - 1}"
            await web.journal.wait("dataReceived", lambda data, *_: data == end, since=since, timeout_s=30)
            heard = [entry.args[0] for entry in web.journal.seen("dataReceived", since=since)]
            assert heard == [f"n{number}" for number in range(count)]
            got = [entry.args[0].data for entry in py.journal.seen("data_received", since=since_py)]
            assert got == [f"w{number}".encode() for number in range(count)]


async def _used_by(client: SdkClient) -> set[str]:
    """As `_USED`."""
    stats = await client.room.get_rtc_stats()
    reports = [*stats.publisher_stats, *stats.subscriber_stats]
    remotes = {r.remote_candidate.rtc.id: r.remote_candidate.candidate.protocol for r in reports}
    pairs = [r.candidate_pair.candidate_pair for r in reports if r.HasField("candidate_pair")]
    used = [pair for pair in pairs if pair.nominated and pair.state == rtc.stats.PAIR_SUCCEEDED]
    return {remotes[pair.remote_candidate_id] for pair in used}


async def _hears(client: SdkClient, identity: str, hz: float) -> bool:
    """Whether the track there is now of that participant carries the tone: who begins anew has another one."""
    others = [who for who in client.room.remote_participants.values() if who.identity == identity]
    for track in [p.track for who in others for p in who.track_publications.values() if p.track]:
        with contextlib.suppress(AssertionError):
            await assert_tone(track, hz, timeout_s=5)
            return True
    return False


async def test_a_call_goes_on_over_tcp_when_udp_dies(path: JoinPath, chromium: Browser) -> None:
    """REC12: the wall comes up in the middle of the call; soon all of it is over TCP, and heard."""
    room = unique("wall")
    with namespace() as space:
        async with (
            started(ServerSpec(host=space.there, enter_command=space.enter_command)) as server,
            chromium.client(server.endpoint, "web", room, path) as web,
            chromium.client(server.endpoint, "eve", room, path) as eve,
            sdk(server.endpoint, "py", room, path) as py,
        ):
            await web.publish_tone(440)
            await asyncio.gather(eve.hear("web", 440), eventually(partial(_hears, py, "web", 440), "tone"))
            for used in (await web.run(_USED), await eve.run(_USED), await _used_by(py)):
                assert set(used) == {"udp"}

            async def over_tcp() -> bool:
                return await _used_by(py) == {"tcp"}

            begun_s = time.monotonic()
            space.block_udp()
            await asyncio.gather(
                web.run(_ALL_TCP, timeout_s=70),
                eve.run(_ALL_TCP, timeout_s=70),
                eventually(over_tcp, "call of the SDK over TCP", timeout_s=60),
            )
            await asyncio.gather(
                eve.hear("web", 440, timeout_s=60),
                eventually(partial(_hears, py, "web", 440), "tone", timeout_s=60),
            )
            silent_s = time.monotonic() - begun_s
            assert silent_s < 30, f"{silent_s:.1f} s until all was heard again"


async def test_a_client_that_stands_still_for_eight_seconds_is_not_gone(path: JoinPath) -> None:
    """REC07; what was said to it meanwhile is there afterwards."""
    room = unique("still")
    async with (
        started() as server,
        sdk(server.endpoint, "bob", room, path) as bob,
        standing(server.endpoint, room, path) as far,
    ):
        await bob.remote_here("far")
        since = bob.journal.mark()
        os.kill(far.pid, signal.SIGSTOP)
        await bob.local.publish_data("meanwhile", reliable=True)
        await bob.journal.never("participant_disconnected", since=since, window_s=8)
        os.kill(far.pid, signal.SIGCONT)
        # SCTP asks again after 1, 3, 7, 15 and 31 seconds, or somewhat later.
        assert await far.until("meanwhile", timeout_s=40) == ["meanwhile"]
        await bob.journal.never("participant_disconnected", since=since, window_s=5)
