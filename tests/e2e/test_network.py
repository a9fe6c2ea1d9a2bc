"""Lossy, walled and translated networks, made of namespaces and nftables; and Firefox, which needs one.

The server lives in a namespace of its own, the clients outside reach it over a veth pair, so rules in the namespace hit
everything between them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from livekit import rtc

from tests.e2e.support.browser import Browser, launched
from tests.e2e.support.crowd import crowd
from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.media import assert_bars, assert_tone, publish_bars, publish_tone, see
from tests.e2e.support.netns import Namespace, joined_by, namespace
from tests.e2e.support.peer_client import PeerClient, peer
from tests.e2e.support.peer_media import ToneTrack
from tests.e2e.support.sdk_client import sdk
from tests.e2e.support.server import OWN, Server, ServerSpec, started
from tests.e2e.support.wire_client import join_request_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.netns

GONE_S = 17 if OWN else 25
"""Who says nothing any more is gone after 15 s, and the others know it soon."""


UDP_PORT = 7882
"""In a namespace of its own a server has all ports to itself: the ones that configurations usually name."""
PORTS = {"udp_port": f"{UDP_PORT}-{UDP_PORT + 10}", "port_range_start": 50_000, "port_range_end": 60_000}
SAFARI = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.4 Safari/605.1.15"
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def far() -> AsyncIterator[tuple[Namespace, Server]]:
    """A namespace and a server in it."""
    with namespace() as space:
        config = {"rtc": PORTS, "audio": {"active_red_encoding": True}}
        spec = ServerSpec(config=config, host=space.there, enter_command=space.enter_command)
        async with started(spec) as server:
            yield space, server


@pytest.fixture
def network(far: tuple[Namespace, Server]) -> Any:
    """The module's namespace, without rules after the test."""
    yield far[0]
    far[0].open()


@pytest.fixture
def endpoint(far: tuple[Namespace, Server]) -> Endpoint:
    """The server behind the link."""
    return far[1].endpoint


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def firefox(far: tuple[Namespace, Server]) -> AsyncIterator[Browser]:
    """Debian's Firefox inside the server's namespace: it uses no loopback and no network without a default route."""
    async with launched("firefox", enter_command=far[0].enter_command) as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def safari() -> AsyncIterator[Browser]:
    """A Chromium that says it is Safari, in its requests as in its pages."""
    async with launched("chromium", switches=[f"--user-agent={SAFARI}"]) as browser:
        yield browser


async def test_firefox_and_sdk_see_and_hear_each_other(endpoint: Endpoint, path: JoinPath, firefox: Browser) -> None:
    """JOI04, PUB07, SDP11, SDP13: Firefox joins /rtc/v1 without a bundled offer and rewrites track ids."""
    room = unique("firefox")
    async with firefox.client(endpoint, "fox", room, path) as fox, sdk(endpoint, "py", room, path) as py:
        await fox.publish_tone(440)
        await fox.publish_bars(width=640, height=480)
        async with publish_tone(py.room, 550), publish_bars(py.room):
            await assert_tone(await py.subscribed("fox", rtc.TrackSource.SOURCE_MICROPHONE), 440)
            await fox.hear("py", 550)
            picture = await see(await py.subscribed("fox", rtc.TrackSource.SOURCE_CAMERA))
            assert picture.moved
            assert_bars(picture.bars)
            seen = await fox.see("py")
            assert seen["moved"]
            assert_bars(seen["bars"])
        states, (url,), descriptions = await fox.run(
            """const c = e2e.connections;
            return [c.map((c) => c.connectionState), e2e.sockets, c.map((c) => c.remoteDescription.sdp)];"""
        )
        assert states == ["connected"] * (1 if path.single else 2)
        for description in descriptions:
            assert "a=ice-lite" in description.splitlines(), description
        if path.single:
            assert not join_request_in(url).HasField("publisher_offer"), "this browser's offer comes by a message"


async def test_firefox_and_chromium_meet(
    endpoint: Endpoint, path: JoinPath, firefox: Browser, chromium: Browser
) -> None:
    """JOI12, too: on Linux Firefox is told not to publish H264, and publishes VP8 instead."""
    room = unique("browsers")
    async with (
        firefox.client(endpoint, "fox", room, path) as fox,
        chromium.client(endpoint, "web", room, path) as web,
    ):
        await fox.publish_bars(simulcast=True, width=640, height=480, videoCodec="h264")
        await fox.publish_tone(440)
        await web.publish_bars(simulcast=True, width=640, height=480)
        await web.publish_tone(660)
        await web.hear("fox", 440)
        await fox.hear("web", 660)
        for seen in (await fox.see("web"), await web.see("fox")):
            assert seen["moved"]
            assert_bars(seen["bars"])
        sent = await fox.run("return e2e.codecs('outbound-rtp', 'video')")
        assert {mime for mime, _ in sent} == {"video/VP8"}, sent
        chosen = await fox.run(
            """const [publication] = e2e.room.localParticipant.videoTrackPublications.values();
            return publication.options.videoCodec;"""
        )
        assert chosen == "vp8", "the library has heard it and did not ask for H264"


async def test_who_comes_as_safari_publishes_neither_vp9_nor_av1(
    endpoint: Endpoint, path: JoinPath, safari: Browser, chromium: Browser
) -> None:
    """JOI12: it is told not to, and what it publishes instead is seen.

    Of AV1 livekit-client knows by itself that Safari has none: for that track the page calls itself Chrome.
    """
    room = unique("safari")
    async with safari.client(endpoint, "mac", room, path) as mac, chromium.client(endpoint, "web", room, path) as web:
        for codec, source, name in (("vp9", "camera", "Safari"), ("av1", "screen_share", "Chrome")):
            agent = SAFARI if name == "Safari" else "Chrome/140.0.0.0"
            await mac.run(
                "Object.defineProperty(navigator, 'userAgent', { value: agent, configurable: true })", agent=agent
            )
            sid = await mac.publish_bars(videoCodec=codec, source=source, backupCodec=False)
            seen = await web.see("mac", sid=sid)
            assert seen["moved"]
            assert_bars(seen["bars"])
        sent = await mac.run("return e2e.codecs('outbound-rtp', 'video')")
        assert [mime for mime, _ in sent] == ["video/VP8"] * 2, sent


async def test_media_pass_over_tcp_when_udp_is_blocked(
    endpoint: Endpoint, path: JoinPath, network: Namespace, chromium: Browser
) -> None:
    network.block_udp()
    room = unique("tcp")
    async with (
        chromium.client(endpoint, "web", room, path) as web,
        sdk(endpoint, "py", room, path) as py,
    ):
        await web.publish_tone(440)
        async with publish_tone(py.room, 660), publish_bars(py.room):
            await assert_tone(await py.subscribed("web"), 440)
            await web.hear("py", 660)
            assert_bars((await web.see("py"))["bars"])
        used = await web.run(
            """const pairs = await e2e.stats('candidate-pair', (p) => p.nominated && p.state === 'succeeded');
            const remotes = await e2e.stats('remote-candidate');
            return pairs.map((p) => remotes.find((r) => r.id === p.remoteCandidateId)?.protocol);"""
        )
        assert used
        assert set(used) == {"tcp"}


async def test_video_survives_five_percent_loss(
    endpoint: Endpoint, path: JoinPath, network: Namespace, chromium: Browser
) -> None:
    """VID08 and VID09: what is lost in either direction is sent again, on its own SSRC, and little freezes."""
    room = unique("loss")
    async with (
        chromium.client(endpoint, "alice", room, path) as alice,
        chromium.client(endpoint, "bob", room, path) as bob,
    ):
        await alice.publish_bars(width=640, height=480, fps=20)
        await bob.see("alice")
        network.lose(5)
        read = """const r = (await e2e.stats('inbound-rtp', (s) => s.kind === 'video'))[0];
            return [r.framesDecoded, r.freezeCount, r.retransmittedPacketsReceived ?? 0, r.rtxSsrc ?? 0,
                r.nackCount];"""
        frames, freezes, *_ = await bob.run(read)
        await bob.run(
            """const read = async () => (await e2e.stats('inbound-rtp', (s) => s.kind === 'video'))[0].framesDecoded;
            return e2e.until(async () => await read() > goal, `${goal} frames`, 30000);""",
            goal=frames + 200, timeout_s=35,
        )  # fmt: skip
        after, freezes_after, resent, rtx_ssrc, nacks = await bob.run(read)
        assert after > frames + 199
        assert nacks > 0
        assert resent > 0, "the server sends again what its subscriber misses"
        assert rtx_ssrc > 0, "on an SSRC of its own"
        assert freezes_after - freezes <= 4, "10 s at 5 % loss"
        upstream = await alice.run(
            """const r = (await e2e.stats('outbound-rtp', (s) => s.kind === 'video'))[0];
            return [r.nackCount, r.retransmittedPacketsSent, r.rtxSsrc];"""
        )
        assert all(value > 0 for value in upstream), f"the server asks its publisher again: {upstream}"
        assert_bars((await bob.see("alice"))["bars"])


async def test_made_redundancy_hides_loss(
    endpoint: Endpoint, path: JoinPath, network: Namespace, chromium: Browser
) -> None:
    """AUD03: who publishes sends no redundancy; on the way to the browser 15 % is lost, and little has to be made up.

    Nothing that is lost comes again, or less than that would be missing: it is the redundancy that helps.
    """
    room = unique("redundancy")
    async with peer(endpoint, "old", room, path) as old, chromium.client(endpoint, "web", room, path) as web:
        await old.publish_audio(ToneTrack(550))
        await web.hear("old", 550)
        network.rules(
            "table inet loss {\n chain out { type filter hook output priority 0; "
            "oifname != lo meta l4proto udp numgen random mod 100 < 15 drop; }\n}\n"
        )
        heard = await web.run(
            """const element = e2e.remoteTrack('old', 'audio').attach();
            element.muted = true;
            document.body.append(element);
            const read = async () => (await e2e.stats('inbound-rtp', (s) => s.kind === 'audio'))[0];
            const sent = (s) => s.packetsReceived + s.packetsLost;
            const madeUp = (s) => s.concealedSamples - s.silentConcealedSamples;
            const first = await read();
            const last = await e2e.until(async () => {
                const now = await read();
                return sent(now) >= sent(first) + 400 && now;
            }, '400 packets', 20000);
            const grown = (of) => of(last) - of(first);
            return { sent: grown(sent), lost: grown((s) => s.packetsLost) / grown(sent),
                madeUp: grown(madeUp) / grown((s) => s.totalSamplesReceived) };""",
            timeout_s=25,
        )
        assert heard["lost"] > 0.08, heard
        assert heard["madeUp"] < heard["lost"] / 2, heard
        await web.hear("old", 550)


async def test_ten_thousand_reliable_messages_under_loss(
    endpoint: Endpoint, path: JoinPath, network: Namespace, chromium: Browser
) -> None:
    """DAT06."""
    room, count = unique("ordered"), 10_000
    async with chromium.client(endpoint, "web", room, path) as web, sdk(endpoint, "py", room, path) as py:
        await web.remote_here("py")
        await py.remote_here("web")
        network.lose(3)
        await web.run(
            """for (let i = 1; i <= count; i += 1) {
                await e2e.room.localParticipant.publishData(new TextEncoder().encode(String(i)), { reliable: true });
            }""",
            count=count, timeout_s=60,
        )  # fmt: skip
        await py.journal.until(
            lambda: len(py.journal.seen("data_received")) >= count, f"{count} messages", timeout_s=60
        )
        got = [int(bytes(e.args[0].data)) for e in py.journal.seen("data_received")]
        assert got == list(range(1, count + 1))


_STUN = """
import socket, struct, sys
# A STUN server of thirty lines: answers binding requests with the address it sees (RFC 8489, 14.2).
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 3478))
print("ready", flush=True)
while True:
    data, (host, port) = s.recvfrom(2048)
    if len(data) < 20 or data[:2] != b"\\0\\1":
        continue
    cookie = 0x2112A442
    ip = struct.unpack("!I", socket.inet_aton(host))[0]
    value = struct.pack("!BBHI", 0, 1, port ^ (cookie >> 16), ip ^ cookie)
    body = struct.pack("!HH", 0x20, 8) + value
    s.sendto(struct.pack("!HHI", 0x101, len(body), cookie) + data[8:20] + body, (host, port))
"""


@contextlib.asynccontextmanager
async def _stun_server(space: Namespace, address: str) -> AsyncIterator[None]:
    child = await asyncio.create_subprocess_exec(
        *space.enter_command, sys.executable, "-c", _STUN, address, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        assert await asyncio.wait_for(child.stdout.readline(), 10) == b"ready\n"
        yield
    finally:
        child.terminate()
        await child.wait()


async def _candidates(endpoint: Endpoint, path: JoinPath) -> list[str]:
    """The candidates a client is told, by trickle or in the description."""
    client = PeerClient("probe")
    try:
        await client.connect(endpoint, endpoint.token("probe", unique("nat")), path)
        client.open_channels()
        await client.send(offer=await client.make_offer())
        answer = await client.response("answer")
        await client.response("trickle", lambda t: t.final)
        told = [line[2:] for line in answer.sdp.splitlines() if line.startswith("a=candidate:")]
        told += [json.loads(e.args[0].candidateInit)["candidate"] for e in client.journal.seen("trickle")]
        return [t for t in told if t]
    finally:
        await client.close()


async def test_the_public_address_is_found_by_stun_behind_nat(path: JoinPath) -> None:
    """OPS08: the server is behind a masquerading router and asks a STUN server beyond it."""
    public, config = "198.51.100.1", {"rtc": {"use_external_ip": True, "node_ip": "", "stun_servers": []}}
    with (
        namespace() as inner,
        namespace() as router,
        namespace() as outer,
        joined_by(inner, router, "10.77.1") as (_, gateway),
        joined_by(router, outer, "198.51.100") as (_, beyond),
    ):
        inner.run("ip", "route", "add", "198.51.100.0/24", "via", gateway)
        router.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        router.rules(
            "table ip nat {\n chain out {\n  type nat hook postrouting priority 100;\n"
            "  ip daddr 198.51.100.0/24 ip saddr 10.77.1.0/24 masquerade\n }\n}\n"
        )
        async with _stun_server(outer, beyond):
            config["rtc"]["stun_servers"] = [f"{beyond}:3478"]
            if not OWN:
                config["rtc"]["skip_external_ip_validation"] = True
            spec = ServerSpec(config=config, host=inner.there, enter_command=inner.enter_command)
            async with started(spec) as server:
                told = await _candidates(server.endpoint, path)
                assert any(f" {public} " in c for c in told), told
            fixed = {"rtc": {"use_external_ip": False, "node_ip": "203.0.113.7", "stun_servers": []}}
            async with started(ServerSpec(config=fixed, host=inner.there, enter_command=inner.enter_command)) as server:
                told = await _candidates(server.endpoint, path)
                assert told
                assert all(" 203.0.113.7 " in c for c in told if " udp " in c.lower()), told


async def test_a_client_cut_off_from_the_network_is_gone_in_time(
    endpoint: Endpoint, path: JoinPath, network: Namespace
) -> None:
    """A client inside a namespace that loses its link: no close, no packet; 15 s later it is gone for the others."""
    room = unique("cut")
    async with sdk(endpoint, "bob", room, path) as bob:
        with namespace() as cell, _routing():
            program = (
                "import asyncio, sys\nfrom livekit import rtc\n"
                "async def main():\n room = rtc.Room()\n"
                " options = rtc.RoomOptions(single_peer_connection=sys.argv[3] == '1')\n"
                " await room.connect(sys.argv[1], sys.argv[2], options)\n"
                " print('in', flush=True)\n await asyncio.Event().wait()\n"
                "asyncio.run(main())\n"
            )
            child = await asyncio.create_subprocess_exec(
                *cell.enter_command, sys.executable, "-c", program, endpoint.ws_url, endpoint.token("far", room),
                "1" if path.single else "0", stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            try:
                assert child.stdout is not None
                assert await asyncio.wait_for(child.stdout.readline(), 20) == b"in\n"
                await bob.remote_here("far")
                begun = asyncio.get_running_loop().time()
                cell.cut()
                await bob.remote_gone("far", timeout_s=30)
                gone_s = asyncio.get_running_loop().time() - begun
                assert 8 < gone_s < GONE_S, gone_s
            finally:
                child.kill()
                await child.wait()


@contextlib.contextmanager
def _routing() -> Iterator[None]:
    """This machine routes between the namespaces' links for the time of the block; then it does as before."""
    setting = Path("/proc/sys/net/ipv4/ip_forward")
    before = setting.read_text()
    setting.write_text("1")
    try:
        yield
    finally:
        setting.write_text(before)


async def test_many_clients_share_the_one_udp_port(far: tuple[Namespace, Server], endpoint: Endpoint) -> None:
    """OPS07: 200 connected clients, two ranges of ports: the server has one UDP port, the first of `udp_port`."""
    space, server = far
    rooms, paths = [unique("mux") for _ in range(20)], list(JoinPath)
    joins = [(endpoint.token(f"c{n}", rooms[n % 20]), paths[n % 2]) for n in range(200)]
    async with crowd(endpoint, joins) as clients:
        listed = await asyncio.create_subprocess_exec(
            *space.enter_command, "ss", "-Huanp", stdout=asyncio.subprocess.PIPE
        )
        out, _ = await listed.communicate()
        ours = [line.split()[3] for line in out.decode().splitlines() if f"pid={server.pid}," in line]
        assert ours, out.decode()
        assert {address.rsplit(":", 1)[1] for address in ours} == {str(UDP_PORT)}
        if OWN:
            (warning,) = (line for line in server.log().splitlines() if "port_range_start" in line)
            assert "warning" in warning
            assert "rtc.port_range_end" in warning
        told = await clients.states()
        assert len(told) == 200
        assert [client for client in told if client[1:] != ("CONN_CONNECTED", [])] == []
