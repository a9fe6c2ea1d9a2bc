"""Data packets: bytes, order, addressing, truth about the sender; RPC and streams on top (protocol.md §2.10)."""

from __future__ import annotations

import asyncio
import hashlib
import random
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest
from livekit import api, rtc
from livekit.protocol import models

from tests.e2e.support.api_client import twirp
from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.peer_client import PeerClient, peer
from tests.e2e.support.sdk_client import SdkClient, sdk
from tests.e2e.support.wire_client import wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from aiortc import RTCDataChannel

    from tests.e2e.support.browser import Browser


def _user_packet(payload: bytes, **fields: Any) -> models.DataPacket:
    return models.DataPacket(user=models.UserPacket(payload=payload), **fields)


async def _ready(*clients: SdkClient | PeerClient) -> None:
    """All SDK clients know all others, so that a message to everyone is one to all of them."""
    for client in clients:
        for other in clients:
            if isinstance(client, SdkClient) and other is not client:
                await client.remote_here(other.identity)


@pytest.mark.parametrize("reliable", [True, False], ids=["reliable", "lossy"])
async def test_bytes_and_topic_pass_between_browser_and_sdk(
    endpoint: Endpoint, path: JoinPath, chromium: Browser, reliable: bool
) -> None:
    room = unique("data")
    async with chromium.client(endpoint, "web", room, path) as web, sdk(endpoint, "py", room, path) as py:
        await web.remote_here("py")
        await py.remote_here("web")
        body = """const bytes = new TextEncoder().encode(text);
            await e2e.room.localParticipant.publishData(bytes, { reliable, topic: 'chess' });"""
        await web.run(body, text="from the web – ä", reliable=reliable)
        packet = (await py.journal.wait("data_received")).args[0]
        assert bytes(packet.data) == "from the web – ä".encode()
        assert packet.topic == "chess"
        assert packet.participant.identity == "web"
        kind = rtc.DataPacketKind.KIND_RELIABLE if reliable else rtc.DataPacketKind.KIND_LOSSY
        assert packet.kind == kind
        await py.local.publish_data(b"from python", reliable=reliable, topic="go")
        heard = await web.journal.wait("dataReceived")
        assert heard.args[0] == "from python"
        assert heard.args[1]["identity"] == "py"
        assert heard.args[3] == "go"


async def test_only_the_named_destinations_receive(endpoint: Endpoint, path: JoinPath) -> None:
    room = unique("dest")
    async with (
        sdk(endpoint, "alice", room, path) as alice,
        sdk(endpoint, "bob", room, path) as bob,
        sdk(endpoint, "carol", room, path) as carol,
    ):
        await _ready(alice, bob, carol)
        await alice.local.publish_data(b"secret", destination_identities=["bob"])
        await alice.local.publish_data(b"all")
        assert bytes((await bob.journal.wait("data_received")).args[0].data) == b"secret"
        # The second message travelled behind the first one, so carol having it shows that she never gets the first.
        assert bytes((await carol.journal.wait("data_received")).args[0].data) == b"all"
        assert not alice.journal.seen("data_received"), "a message came back to its sender"


async def test_destination_by_sid_reaches_that_participant_only(endpoint: Endpoint, path: JoinPath) -> None:
    room = unique("dest-sid")
    async with (
        peer(endpoint, "old", room, path) as old,
        sdk(endpoint, "bob", room, path) as bob,
        sdk(endpoint, "carol", room, path) as carol,
    ):
        await _ready(bob, carol)
        packet = _user_packet(b"secret")
        packet.user.destination_sids.append(bob.local.sid)
        old.send_packet(packet)
        old.send_packet(_user_packet(b"all"))
        assert bytes((await bob.journal.wait("data_received")).args[0].data) == b"secret"
        assert bytes((await carol.journal.wait("data_received")).args[0].data) == b"all"


async def test_a_forged_sender_is_overwritten(endpoint: Endpoint, path: JoinPath) -> None:
    room = unique("forge")
    async with (
        peer(endpoint, "mallory", room, path) as mallory,
        sdk(endpoint, "bob", room, path) as bob,
        peer(endpoint, "wiretap", room, path) as tap,
    ):
        await bob.remote_here("mallory")
        packet = _user_packet(b"trust me", participant_identity="bob", participant_sid="PA_forged")
        packet.user.participant_identity = "bob"
        packet.user.participant_sid = bob.local.sid
        packet.kind = models.DataPacket.LOSSY
        mallory.send_packet(packet)
        assert (await bob.journal.wait("data_received")).args[0].participant.identity == "mallory"
        _, raw = (await tap.journal.wait("packet")).args
        own = (await mallory.response("join")).participant
        assert (raw.participant_identity, raw.participant_sid) == ("mallory", own.sid)
        assert raw.user.participant_identity in ("", "mallory")
        assert raw.user.participant_sid in ("", own.sid)
        assert raw.kind == models.DataPacket.RELIABLE


async def test_a_hidden_sender_stays_nameless(endpoint: Endpoint, path: JoinPath) -> None:
    room = unique("hidden-data")
    async with (
        peer(endpoint, "ghost", room, path, grants={"hidden": True}) as ghost,
        peer(endpoint, "bob", room, path) as bob,
    ):
        ghost.send_packet(_user_packet(b"boo"))
        _, raw = (await bob.journal.wait("packet")).args
        assert raw.user.payload == b"boo"
        assert raw.participant_identity == ""


async def test_without_the_grant_data_is_dropped_and_the_sender_stays(endpoint: Endpoint, path: JoinPath) -> None:
    room = unique("nodata")
    async with (
        peer(endpoint, "mute", room, path, grants={"canPublishData": False}) as mute,
        sdk(endpoint, "talker", room, path) as talker,
        sdk(endpoint, "bob", room, path) as bob,
    ):
        await _ready(talker, bob)
        since = bob.journal.mark()
        mute.send_packet(_user_packet(b"not allowed"))
        await bob.journal.never("data_received", lambda p: bytes(p.data) == b"not allowed", since=since, window_s=1.0)
        await talker.local.publish_data(b"allowed")
        await bob.journal.wait("data_received", lambda p: bytes(p.data) == b"allowed")
        assert not mute.journal.seen("leave")
        assert not mute.journal.seen("closed")


async def test_a_repeated_sequence_number_is_delivered_once(endpoint: Endpoint, path: JoinPath) -> None:
    room = unique("dedup")
    async with peer(endpoint, "alice", room, path) as alice, peer(endpoint, "bob", room, path) as bob:
        for sequence, payload in ((1, b"one"), (2, b"two"), (1, b"one"), (2, b"two"), (3, b"three")):
            alice.send_packet(_user_packet(payload, sequence=sequence))
        await bob.journal.wait("packet", lambda _, p: p.user.payload == b"three")
        got = [e.args[1].user.payload for e in bob.journal.seen("packet")]
        assert got == [b"one", b"two", b"three"]


async def test_one_message_of_60000_bytes(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    room = unique("large")
    payload = random.Random(7).randbytes(60_000)
    async with chromium.client(endpoint, "web", room, path) as web, sdk(endpoint, "py", room, path) as py:
        await web.remote_here("py")
        await py.remote_here("web")
        body = """const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
            await e2e.room.localParticipant.publishData(bytes, { reliable: true });"""
        await web.run(body, text=b64encode(payload).decode())
        packet = (await py.journal.wait("data_received")).args[0]
        assert hashlib.sha256(bytes(packet.data)).digest() == hashlib.sha256(payload).digest()


async def test_a_subscriber_that_stops_reading_delays_nobody(endpoint: Endpoint, path: JoinPath) -> None:
    """4 MB pass a participant that takes nothing any more; the other one gets all of it, in order."""
    room = unique("slow")
    async with (
        sdk(endpoint, "alice", room, path) as alice,
        sdk(endpoint, "bob", room, path) as bob,
        peer(endpoint, "stuck", room, path) as stuck,
    ):
        await _ready(alice, bob)
        await alice.remote_here("stuck")
        # Closing the UDP sockets without a word is what a suspended phone looks like.
        for connection in (stuck.publisher, stuck.subscriber):
            transports = {t.receiver.transport.transport for t in connection.getTransceivers()}
            transports |= {connection.sctp.transport.transport} if connection.sctp else set()
            for transport in transports:
                await transport._connection.close()
        count = 400
        for number in range(count):
            await alice.local.publish_data(number.to_bytes(4) + bytes(10_000))
        await bob.journal.until(
            lambda: len(bob.journal.seen("data_received")) == count, f"{count} messages", timeout_s=30
        )
        order = [int.from_bytes(bytes(e.args[0].data)[:4]) for e in bob.journal.seen("data_received")]
        assert order == list(range(count))


async def test_rpc_between_browser_and_sdk(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    room = unique("rpc")
    async with chromium.client(endpoint, "web", room, path) as web, sdk(endpoint, "py", room, path) as py:
        await web.remote_here("py")
        await py.remote_here("web")

        async def greet(data: rtc.RpcInvocationData) -> str:
            return f"hello {data.payload} from {data.caller_identity}"

        py.local.register_rpc_method("greet", greet)
        await web.run("e2e.room.registerRpcMethod('double', async (d) => String(2 * Number(d.payload)))")
        call = (
            "return e2e.room.localParticipant.performRpc({destinationIdentity: 'py', method: 'greet', payload: 'you'})"
        )
        assert await web.run(call) == "hello you from web"
        assert await py.local.perform_rpc(destination_identity="web", method="double", payload="21") == "42"


class _Callee:
    """An RPC method that raises, and one that hangs; `rung` is set when the latter was called."""

    def __init__(self, client: SdkClient) -> None:
        self.rung = asyncio.Event()
        client.local.register_rpc_method("fail", self._fail)
        client.local.register_rpc_method("hang", self._hang)

    async def _fail(self, _: rtc.RpcInvocationData) -> str:
        raise ValueError("no")

    async def _hang(self, _: rtc.RpcInvocationData) -> str:
        self.rung.set()
        await asyncio.Event().wait()
        return ""


async def test_rpc_errors_carry_their_codes(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """Between Python and browser, both ways. `test_participant.py` has the peer that vanishes without a word."""
    room = unique("rpc-errors")
    async with chromium.client(endpoint, "web", room, path) as web, sdk(endpoint, "py", room, path) as py:
        await web.remote_here("py")
        await py.remote_here("web")
        _Callee(py)
        await web.run("""e2e.room.registerRpcMethod('fail', async () => { throw new Error('no'); });
            e2e.room.registerRpcMethod('hang', () => new Promise(() => {}));""")

        async def by_python(method: str, to: str = "web", timeout_s: float | None = None) -> int:
            with pytest.raises(rtc.RpcError) as caught:
                await py.local.perform_rpc(
                    destination_identity=to, method=method, payload="", response_timeout=timeout_s
                )
            return int(caught.value.code)

        async def by_web(method: str, to: str = "py", timeout_s: float | None = None) -> int:
            body = """try { await e2e.room.localParticipant.performRpc(call); return 'no error'; }
                catch (e) { return e.code; }"""
            call = {"destinationIdentity": to, "method": method, "payload": ""}
            return int(await web.run(body, call=call | ({"responseTimeout": timeout_s * 1000} if timeout_s else {})))

        async def left_in_mid_call(code: Callable[..., Awaitable[int]], callee: str) -> int:
            async with sdk(endpoint, callee, room, path) as leaver:
                await py.remote_here(callee)
                await web.remote_here(callee)
                await leaver.remote_here("web")
                await leaver.remote_here("py")
                rung = _Callee(leaver).rung
                call = asyncio.ensure_future(code("hang", to=callee))
                await asyncio.wait_for(rung.wait(), 10)
            return await call

        async def codes(code: Callable[..., Awaitable[int]], callee: str) -> list[int]:
            calls = [code("nothing-here"), code("fail"), code("hang", timeout_s=2), code("greet", to="nobody")]
            return list(await asyncio.gather(*calls, left_in_mid_call(code, callee)))

        expected = [1400, 1500, 1502, 1501, 1503]
        by_both = await asyncio.gather(codes(by_python, "a"), codes(by_web, "b"))
        assert list(by_both) == [expected, expected]


_READ_TEXT = """e2e.room.registerTextStreamHandler(topic, async (reader, who) => {
    e2e.notify('opened', reader.info.attributes.n ?? '');
    const text = await reader.readAll();
    e2e.notify('text', who.identity, reader.info.attributes.n ?? '', await e2e.digest(new TextEncoder().encode(text)));
})"""


class _Reader:
    """Reads whole text streams of a topic: `opened` and `text` (sender, attribute `n`, digest) go into the journal."""

    def __init__(self, client: SdkClient, topic: str) -> None:
        self._journal = client.journal
        self._tasks: list[asyncio.Task[None]] = []
        client.room.register_text_stream_handler(topic, self._opened)

    def _opened(self, reader: rtc.TextStreamReader, who: str) -> None:
        number = (reader.info.attributes or {}).get("n", "")
        self._journal.record("opened", number)
        self._tasks.append(asyncio.get_running_loop().create_task(self._read(reader, who, number)))

    async def _read(self, reader: rtc.TextStreamReader, who: str, number: str) -> None:
        text = await reader.read_all()
        self._journal.record("text", who, number, _digest(text))


def _digest(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


async def test_text_streams_at_once_both_ways(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """Three streams of either side, of 40,000 letters and more, interleaved; none loses or mixes a letter."""
    room = unique("streams")
    draw = random.Random(3)
    texts = {str(n): "".join(draw.choices("abcdefghij äöü€", k=40_000 + 20_000 * n)) for n in range(3)}
    async with chromium.client(endpoint, "web", room, path) as web, sdk(endpoint, "py", room, path) as py:
        await web.remote_here("py")
        await py.remote_here("web")
        _Reader(py, "chat")
        await web.run(_READ_TEXT, topic="chat")
        send = """await Promise.all(Object.entries(texts).map(([n, text]) =>
            e2e.room.localParticipant.sendText(text, { topic: 'chat', attributes: { n } })));"""
        await asyncio.gather(
            web.run(send, texts=texts),
            *(py.local.send_text(text, topic="chat", attributes={"n": n}) for n, text in texts.items()),
        )
        for client, sender in ((py, "web"), (web, "py")):
            for n, text in texts.items():
                arrived = await client.journal.wait("text", lambda _, number, __, n=n: number == n, timeout_s=20)
                assert arrived.args == (sender, n, _digest(text))


async def test_who_joins_in_the_middle_of_a_stream_gets_the_next_one(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    """Streams have no history: chunks without their header open nothing, at neither SDK, and break nothing."""
    room = unique("mid-stream")
    async with sdk(endpoint, "py", room, path) as py, sdk(endpoint, "early", room, path) as early:
        await _ready(py, early)
        _Reader(early, "chat")
        writer = await py.local.stream_text(topic="chat", attributes={"n": "first"})
        await writer.write("before, ")
        await early.journal.wait("opened", lambda number: number == "first")
        async with chromium.client(endpoint, "web", room, path) as web, sdk(endpoint, "late", room, path) as late:
            _Reader(late, "chat")
            await web.run(_READ_TEXT, topic="chat")
            await py.remote_here("web")
            await py.remote_here("late")
            await py.journal.wait("participant_active", lambda p: p.identity == "web")
            await py.journal.wait("participant_active", lambda p: p.identity == "late")
            await writer.write("after")
            await writer.aclose()
            await early.journal.wait("text", lambda *got: got == ("py", "first", _digest("before, after")))
            # The next stream travels behind the rest of the first, in order: who has it has seen all of the first.
            await py.local.send_text("all of it", topic="chat", attributes={"n": "second"})
            for client in (early, late, web):
                await client.journal.wait("text", lambda *got: got == ("py", "second", _digest("all of it")))
            for client in (late, web):
                assert [e.args[0] for e in client.journal.seen("opened")] == ["second"]


async def test_byte_streams_carry_files_both_ways(
    endpoint: Endpoint, path: JoinPath, chromium: Browser, tmp_path: Path
) -> None:
    room = unique("files")
    async with chromium.client(endpoint, "web", room, path) as web, sdk(endpoint, "py", room, path) as py:
        await web.remote_here("py")
        await py.remote_here("web")
        loop = asyncio.get_running_loop()
        tasks = []

        async def read(reader: rtc.ByteStreamReader, who: str) -> None:
            content = b"".join([chunk async for chunk in reader])
            py.journal.record("file", who, reader.info.name, reader.info.mime_type, _digest(content))

        py.room.register_byte_stream_handler("file", lambda r, who: tasks.append(loop.create_task(read(r, who))))
        await web.run("""e2e.room.registerByteStreamHandler('file', async (reader, who) => {
                const bytes = new Uint8Array(await new Blob(await reader.readAll()).arrayBuffer());
                e2e.notify('file', who.identity, reader.info.name, reader.info.mimeType, await e2e.digest(bytes));
            })""")
        digest = await web.run("""const bytes = new Uint8Array(200_000);
            for (let i = 0; i < bytes.length; i += 65536) crypto.getRandomValues(bytes.subarray(i, i + 65536));
            const file = new File([bytes], 'x.bin', { type: 'application/x-thing' });
            await e2e.room.localParticipant.sendFile(file, { topic: 'file', mimeType: 'application/x-thing' });
            return e2e.digest(bytes);""")
        assert (await py.journal.wait("file", timeout_s=15)).args == ("web", "x.bin", "application/x-thing", digest)
        content = random.Random(5).randbytes(200_000)
        path_out = tmp_path / "y.bin"
        path_out.write_bytes(content)
        await py.local.send_file(str(path_out), topic="file")
        who, name, _mime, digest = (await web.journal.wait("file", timeout_s=15)).args
        assert (who, name, digest) == ("py", "y.bin", _digest(content))
        writer = await py.local.stream_bytes("z.bin", topic="file", mime_type="application/x-parts")
        for start in range(0, len(content), 30_000):
            await writer.write(content[start : start + 30_000])
        await writer.aclose()
        written = await web.journal.wait("file", lambda _, name, *__: name == "z.bin", timeout_s=15)
        assert written.args == ("py", "z.bin", "application/x-parts", _digest(content))


async def test_an_agent_speaks_for_somebody_else(endpoint: Endpoint, path: JoinPath) -> None:
    """A text stream in the name of a user keeps that name when an agent sends it, and is marked as generated."""
    room = unique("agent-text")
    agent_token = endpoint.sign(endpoint.claims("robot", room, agent=True) | {"kind": "agent"})
    async with (
        peer(endpoint, "robot", room, path, token=agent_token) as robot,
        peer(endpoint, "mallory", room, path) as mallory,
        peer(endpoint, "bob", room, path) as bob,
        sdk(endpoint, "user", room, path),
    ):
        for sender in (robot, mallory):
            packet = models.DataPacket(participant_identity="user")
            packet.stream_header.stream_id = f"s-{sender.identity}"
            packet.stream_header.topic = "lk.transcription"
            packet.stream_header.text_header.SetInParent()
            sender.send_packet(packet)
        by_agent = (await bob.journal.wait("packet", lambda _, p: p.stream_header.stream_id == "s-robot")).args[1]
        assert by_agent.participant_identity == "user"
        assert by_agent.stream_header.text_header.generated
        forged = (await bob.journal.wait("packet", lambda _, p: p.stream_header.stream_id == "s-mallory")).args[1]
        assert forged.participant_identity == "mallory"
        assert not forged.stream_header.text_header.generated


async def test_digits_pass_between_browser_and_sdk(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """DAT15: a dialled digit (DTMF) arrives with its code and its sender, both ways."""
    room = unique("dtmf")
    async with chromium.client(endpoint, "web", room, path) as web, sdk(endpoint, "py", room, path) as py:
        await web.remote_here("py")
        await py.remote_here("web")
        await web.run("await e2e.room.localParticipant.publishDtmf(1, '1')")
        heard = (await py.journal.wait("sip_dtmf_received")).args[0]
        assert (heard.code, heard.digit, heard.participant.identity) == (1, "1", "web")
        await web.run("e2e.room.on('sipDTMFReceived', ({ code, digit }, who) => { e2e.dialled = [code, digit, who]; })")
        await py.local.publish_dtmf(code=11, digit="#")
        code, digit, sender = await web.run("return e2e.until(() => e2e.dialled, 'a digit')")
        assert (code, digit, sender["identity"]) == (11, "#", "py")


async def test_encrypted_data_passes_unread(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """DAT16: who has the key reads it; to anybody else it is opaque but for its sender, which is the server's word."""
    room = unique("secret")
    join = """const keys = new LK.ExternalE2EEKeyProvider();
        await keys.setKey(secret);
        const worker = new Worker('/livekit-e2ee.js');
        await e2e.join(url, token, { singlePeerConnection: single, encryption: { keyProvider: keys, worker } });
        await e2e.room.setE2EEEnabled(true);"""
    async with (
        chromium.page("alice") as alice,
        chromium.page("bob") as bob,
        peer(endpoint, "eve", room, path) as eve,
    ):
        for client in (alice, bob):
            token = endpoint.token(client.identity, room)
            await client.run(join, url=endpoint.ws_url, token=token, single=path.single, secret="shared secret")
        await alice.remote_here("bob")
        await alice.remote_here("eve")
        await alice.run(
            """const bytes = new TextEncoder().encode('meet me at noon');
            await e2e.room.localParticipant.publishData(bytes, { reliable: true, topic: 'plans' });"""
        )
        said = (await bob.journal.wait("dataReceived")).args
        assert (said[0], said[1]["identity"]) == ("meet me at noon", "alice")
        opaque = (await eve.journal.wait("packet", lambda _, p: p.HasField("encrypted_packet"))).args[1]
        assert opaque.participant_identity == "alice"
        assert opaque.encrypted_packet.encrypted_value
        assert b"noon" not in opaque.SerializeToString()
        assert b"plans" not in opaque.SerializeToString()


async def test_transcriptions_pass_from_agents_only(endpoint: Endpoint, path: JoinPath) -> None:
    room = unique("transcription")
    agent_token = endpoint.sign(endpoint.claims("robot", room, agent=True) | {"kind": "agent"})
    async with (
        peer(endpoint, "robot", room, path, token=agent_token) as robot,
        peer(endpoint, "mallory", room, path) as mallory,
        peer(endpoint, "bob", room, path) as bob,
    ):
        for sender in (mallory, robot):
            packet = models.DataPacket()
            packet.transcription.transcribed_participant_identity = "bob"
            packet.transcription.segments.add(id=sender.identity, text="hello", final=True)
            sender.send_packet(packet)
            sender.send_packet(_user_packet(sender.identity.encode()))
        for sender in (mallory, robot):
            await bob.journal.wait("packet", lambda _, p, who=sender.identity: p.user.payload == who.encode())
        said = [
            e.args[1].transcription.segments[0].id
            for e in bob.journal.seen("packet")
            if e.args[1].HasField("transcription")
        ]
        assert said == ["robot"]


async def test_send_data_from_the_server_api_once_per_nonce(endpoint: Endpoint, path: JoinPath) -> None:
    room = unique("api-data")
    async with (
        sdk(endpoint, "alice", room, path) as alice,
        sdk(endpoint, "bob", room, path) as bob,
        api.LiveKitAPI(endpoint.http_url, endpoint.key, endpoint.secret) as lk,
    ):
        await _ready(alice, bob)
        # The API client invents a nonce for each call, so the repetition is made by hand.
        news = {"room": room, "data": b64encode(b"news").decode(), "kind": "RELIABLE", "topic": "radio"}
        news["nonce"] = b64encode(bytes(range(16))).decode()
        for _ in range(2):
            assert (await twirp(endpoint, "SendData", news, token=endpoint.admin(room))).status == 200
        only_bob = api.SendDataRequest(
            room=room, data=b"last", kind=models.DataPacket.RELIABLE, destination_identities=["bob"]
        )
        await lk.room.send_data(only_bob)
        await bob.journal.wait("data_received", lambda p: bytes(p.data) == b"last")
        packets = [e.args[0] for e in bob.journal.seen("data_received")]
        assert [bytes(p.data) for p in packets] == [b"news", b"last"]
        assert packets[0].participant is None
        assert packets[0].topic == "radio"
        await alice.journal.wait("data_received", lambda p: bytes(p.data) == b"news")
        assert len(alice.journal.seen("data_received")) == 1


async def _opened(channel: RTCDataChannel) -> RTCDataChannel:
    opened = asyncio.Event()
    channel.on("open", opened.set)
    if channel.readyState != "open":
        await asyncio.wait_for(opened.wait(), 10)
    return channel


async def test_other_channels_carry_raw_bytes_to_everybody(endpoint: Endpoint, path: JoinPath) -> None:
    """A channel of any other label, or of none, carries bytes without a DataPacket: they arrive as user packets."""
    room = unique("raw")
    async with (
        peer(endpoint, "alice", room, path) as alice,
        peer(endpoint, "tap", room, path) as tap,
        peer(endpoint, "mute", room, path, grants={"canPublishData": False}) as mute,
        sdk(endpoint, "bob", room, path) as bob,
    ):
        await bob.remote_here("alice")
        (await _opened(mute.publisher.createDataChannel("telemetry"))).send(b"not allowed")
        unlabelled = await _opened(alice.publisher.createDataChannel(""))
        lossy = await _opened(alice.publisher.createDataChannel("app", ordered=False, maxRetransmits=0))
        for channel, payload, kind in (
            (unlabelled, b"\x00\xff raw", rtc.DataPacketKind.KIND_RELIABLE),
            (lossy, b"\xfe lossy", rtc.DataPacketKind.KIND_LOSSY),
        ):
            channel.send(payload)
            packet = (await bob.journal.wait("data_received", lambda p, w=payload: bytes(p.data) == w)).args[0]
            assert (packet.participant.identity, packet.kind, packet.topic or "") == ("alice", kind, "")
        label, raw = (await tap.journal.wait("packet", lambda _, p: p.user.payload == b"\x00\xff raw")).args
        assert (label, raw.participant_identity, raw.kind) == ("_reliable", "alice", models.DataPacket.RELIABLE)
        assert not bob.journal.seen("data_received", lambda p: bytes(p.data) == b"not allowed")
        assert not alice.journal.seen("packet"), "bytes came back to their sender"
        assert not mute.journal.seen("leave")


async def test_what_is_no_data_packet_harms_nobody(endpoint: Endpoint, path: JoinPath) -> None:
    room = unique("odd")
    async with peer(endpoint, "alice", room, path) as alice, peer(endpoint, "bob", room, path) as bob:
        alice.channels["_reliable"].send(b"\xff\xff\xff not protobuf")
        alice.channels["_reliable"].send(b"")
        alice.send_packet(models.DataPacket())
        alice.send_packet(_user_packet(b"still here"))
        await bob.journal.wait("packet", lambda _, p: p.user.payload == b"still here")
        assert not alice.journal.seen("leave")


async def test_the_wire_client_sees_who_may_send(endpoint: Endpoint, path: JoinPath) -> None:
    grants = {"canPublish": False}
    async with wire(endpoint, "w", unique("perm"), path, grants=grants) as client:
        permission = (await client.response("join")).participant.permission
        assert not permission.can_publish
        assert not permission.can_publish_data, "unset canPublishData follows canPublish"
