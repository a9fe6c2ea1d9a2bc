"""Participants: identity, attributes, kinds, permissions, why they went (protocol.md §5.2-5.5)."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from livekit import api, rtc
from livekit.protocol import models
from livekit.protocol import rtc as wire_rtc

from tests.e2e.support.api_client import get
from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.journal import eventually
from tests.e2e.support.peer_client import PeerClient, peer
from tests.e2e.support.sdk_client import SdkClient, sdk
from tests.e2e.support.server import OWN, ServerSpec, started
from tests.e2e.support.wire_client import WireClient, wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.support.browser import Browser


async def test_the_same_identity_puts_the_first_out(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    room = unique("twice")
    async with (
        sdk(endpoint, "bob", room, path) as bob,
        chromium.client(endpoint, "same", room, path) as first,
    ):
        await bob.remote_here("same")
        old_sid = bob.remote("same").sid
        async with chromium.client(endpoint, "same", room, path):
            reason = (await first.journal.wait("disconnected")).args[0]
            assert reason == models.DUPLICATE_IDENTITY
            await bob.journal.until(
                lambda: "same" in bob.room.remote_participants and bob.remote("same").sid != old_sid, "the new sid"
            )


async def test_attributes_metadata_and_name_travel(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    room, grants = unique("attr"), {"canUpdateOwnMetadata": True}
    async with (
        sdk(endpoint, "bob", room, path) as bob,
        chromium.client(endpoint, "web", room, path, grants=grants) as web,
    ):
        await bob.remote_here("web")
        await web.run("await e2e.room.localParticipant.setAttributes({a: '1', b: '2'})")
        await bob.journal.wait("participant_attributes_changed", lambda changed, p: p.attributes.get("a") == "1")
        await web.run("await e2e.room.localParticipant.setMetadata('about me')")
        await bob.journal.wait("participant_metadata_changed", lambda p, old, new: new == "about me")
        await web.run("await e2e.room.localParticipant.setName('Web W.')")
        await bob.journal.until(lambda: bob.remote("web").name == "Web W.", "the new name")
        await web.run("await e2e.room.localParticipant.setAttributes({a: ''})")
        await bob.journal.until(lambda: dict(bob.remote("web").attributes) == {"b": "2"}, "removal of an attribute")
        assert await web.run("return e2e.room.localParticipant.attributes") == {"b": "2"}
        assert bob.remote("web").metadata == "about me", "what was not mentioned stays"


async def test_sdk_updates_reach_the_browser(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    room, grants = unique("attr-py"), {"canUpdateOwnMetadata": True}
    async with (
        chromium.client(endpoint, "web", room, path) as web,
        sdk(endpoint, "py", room, path, grants=grants) as py,
    ):
        await web.remote_here("py")
        await py.local.set_attributes({"k": "v"})
        await web.journal.wait("participantAttributesChanged", lambda changed, p: changed == {"k": "v"})
        await py.local.set_name("Py P.")
        await web.journal.wait("participantNameChanged", lambda name, p: name == "Py P.")


async def test_updates_beyond_grant_and_limits_are_answered(endpoint: Endpoint, path: JoinPath) -> None:
    room, reasons = unique("limits"), wire_rtc.RequestResponse
    async with wire(endpoint, "poor", room, path) as poor:
        await poor.send(update_metadata=wire_rtc.UpdateParticipantMetadata(name="x", request_id=7))
        answer = await poor.response("request_response")
        assert (answer.request_id, answer.reason) == (7, reasons.NOT_ALLOWED)
        assert answer.message == "does not have permission to update own metadata"
    async with wire(endpoint, "rich", room, path, grants={"canUpdateOwnMetadata": True}) as rich:
        cases: list[tuple[dict[str, Any], str]] = [
            ({"metadata": "m" * 600_000}, "exceeds metadata size limit"),
            ({"name": "n" * 300}, "exceeds name length limit"),
            ({"attributes": {"a": "x" * 70_000}}, "exceeds attributes size limit"),
        ]
        for number, (fields, text) in enumerate(cases, start=1):
            await rich.send(update_metadata=wire_rtc.UpdateParticipantMetadata(request_id=number, **fields))
            answer = await rich.response("request_response", lambda r, n=number: r.request_id == n)
            assert (answer.reason, answer.message) == (reasons.LIMIT_EXCEEDED, text)
        await rich.send(update_metadata=wire_rtc.UpdateParticipantMetadata(request_id=9, metadata="fine"))
        answer = await rich.response("request_response", lambda r: r.request_id == 9)
        assert answer.reason == reasons.OK
        await rich.response(
            "update", lambda u: any(p.identity == "rich" and p.metadata == "fine" for p in u.participants)
        )


async def test_the_browser_is_told_of_the_limit(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    grants = {"canUpdateOwnMetadata": True}
    async with chromium.client(endpoint, "web", unique("limit"), path, grants=grants) as web:
        told = await web.run(
            """try { await e2e.room.localParticipant.setMetadata('x'.repeat(600000)); return 'accepted'; }
            catch (e) { return [e.name, e.reason, e.message]; }"""
        )
        assert told[0] == "SignalRequestError", told
        assert told[1] == wire_rtc.RequestResponse.LIMIT_EXCEEDED


async def test_a_hidden_participant_sees_and_is_not_seen(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    room = unique("hidden")
    async with (
        chromium.client(endpoint, "web", room, path) as web,
        sdk(endpoint, "ghost", room, path, grants={"hidden": True}) as ghost,
        sdk(endpoint, "bob", room, path) as bob,
    ):
        await web.remote_here("bob")
        await ghost.remote_here("web")
        await ghost.remote_here("bob")
        assert not web.journal.seen("participantConnected", lambda p: p["identity"] == "ghost")
        assert await web.run("return [...e2e.room.remoteParticipants.keys()]") == ["bob"]
        assert set(bob.room.remote_participants) == {"web"}


@pytest.mark.parametrize("kind", ["standard", "ingress", "egress", "sip", "agent"])
async def test_the_kind_is_known_to_all(endpoint: Endpoint, path: JoinPath, chromium: Browser, kind: str) -> None:
    room = unique("kind")
    token = endpoint.sign(endpoint.claims("x", room) | {"kind": kind})
    async with (
        chromium.client(endpoint, "web", room, path) as web,
        sdk(endpoint, "py", room, path) as py,
        sdk(endpoint, "x", room, path, token=token) as x,
    ):
        number = models.ParticipantInfo.Kind.Value(kind.upper())
        assert x.local.kind == number
        assert (await py.remote_here("x")).kind == number
        await web.remote_here("x")
        assert await web.run("return e2e.room.remoteParticipants.get('x').kind") == number


async def test_a_changed_permission_is_told_and_holds(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    room = unique("perm")
    async with (
        chromium.client(endpoint, "web", room, path) as web,
        sdk(endpoint, "bob", room, path) as bob,
        api.LiveKitAPI(endpoint.http_url, endpoint.key, endpoint.secret) as lk,
    ):
        await bob.remote_here("web")

        async def permit(can_publish: bool) -> None:
            permission = api.ParticipantPermission(can_subscribe=True, can_publish=can_publish, can_publish_data=True)
            await lk.room.update_participant(
                api.UpdateParticipantRequest(room=room, identity="web", permission=permission)
            )

        # By what holds and not by the event: those of its token are told as a change, too, when it joins.
        await permit(False)
        await web.run(
            "await e2e.until(() => e2e.room.localParticipant.permissions.canPublish === false, 'loss of that right')"
        )
        told = await web.run("try { await e2e.publishTone(); return 'published' } catch (e) { return e.name }")
        assert told != "published"
        since = web.journal.mark()
        await permit(True)
        await web.journal.wait("participantPermissionsChanged", since=since)
        await web.publish_tone(440)
        await bob.subscribed("web")


async def test_taking_the_right_to_subscribe_ends_subscriptions(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    room = unique("nosub")
    async with (
        chromium.client(endpoint, "web", room, path) as web,
        chromium.client(endpoint, "alice", room, path) as alice,
        api.LiveKitAPI(endpoint.http_url, endpoint.key, endpoint.secret) as lk,
    ):
        await alice.publish_tone(440)
        await web.hear("alice", 440)
        permission = api.ParticipantPermission(can_subscribe=False, can_publish=True, can_publish_data=True)
        await lk.room.update_participant(api.UpdateParticipantRequest(room=room, identity="web", permission=permission))
        await web.journal.wait("trackUnsubscribed")


class _Witnesses:
    """Those who stay and are told why others went: raw wire and the Python SDK."""

    def __init__(self, bare: WireClient, py: SdkClient) -> None:
        self._bare = bare
        self._py = py

    async def know(self, identity: str) -> None:
        """Wait until both know that `identity` is there."""
        await self._bare.journal.until(lambda: self._bare.participant(identity), f"word of {identity}")
        await self._py.remote_here(identity)

    async def told(self, identity: str, reason: models.DisconnectReason, *, timeout_s: float = 10.0) -> None:
        """Wait until both know that `identity` is gone, and that it was for this reason."""

        def gone(update: wire_rtc.ParticipantUpdate) -> list[int]:
            ended = [p for p in update.participants if p.state == models.ParticipantInfo.DISCONNECTED]
            return [p.disconnect_reason for p in ended if p.identity == identity]

        update = await self._bare.response("update", gone, timeout_s=timeout_s)
        assert gone(update) == [reason], models.DisconnectReason.Name(gone(update)[0])
        entry = await self._py.journal.wait("participant_disconnected", lambda p: p.identity == identity)
        assert entry.args[0].disconnect_reason == reason


@contextlib.asynccontextmanager
async def _witnesses(endpoint: Endpoint, room: str, path: JoinPath) -> AsyncIterator[_Witnesses]:
    async with wire(endpoint, "witness", room, path) as bare, sdk(endpoint, "py-witness", room, path) as py:
        yield _Witnesses(bare, py)


async def test_each_way_to_leave_has_its_reason(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    """PAR08: what both SDKs are told when they go, and what the others are told of it."""
    room, reasons = unique("reasons"), models.DisconnectReason
    async with (
        _witnesses(endpoint, room, path) as witnesses,
        api.LiveKitAPI(endpoint.http_url, endpoint.key, endpoint.secret) as lk,
        sdk(endpoint, "py-stays", room, path) as py,
        chromium.client(endpoint, "web-stays", room, path) as web,
    ):
        async with (
            sdk(endpoint, "py-leaves", room, path) as py_leaves,
            chromium.client(endpoint, "web-leaves", room, path) as web_leaves,
            sdk(endpoint, "py-removed", room, path) as py_removed,
            chromium.client(endpoint, "web-removed", room, path) as web_removed,
            sdk(endpoint, "py-twice", room, path) as py_twice,
        ):
            for client in (py_leaves, web_leaves, py_removed, web_removed, py_twice):
                await witnesses.know(client.identity)
            await py_leaves.close()
            await web_leaves.run("await e2e.room.disconnect()")
            for gone in (py_removed, web_removed):
                await lk.room.remove_participant(api.RoomParticipantIdentity(room=room, identity=gone.identity))
            async with sdk(endpoint, "py-twice", room, path):
                await py_twice.journal.wait("disconnected", lambda r: r == reasons.DUPLICATE_IDENTITY)
            # The SDK ends its own event stream when it leaves, at times before it has told itself the reason.
            await py_leaves.journal.wait(
                "connection_state_changed", lambda state: state == rtc.ConnectionState.CONN_DISCONNECTED
            )
            await witnesses.told(py_leaves.identity, reasons.CLIENT_INITIATED)
            for left, reason in (
                (web_leaves, reasons.CLIENT_INITIATED),
                (py_removed, reasons.PARTICIPANT_REMOVED),
                (web_removed, reasons.PARTICIPANT_REMOVED),
            ):
                assert (await left.journal.wait("disconnected")).args[0] == reason
                await witnesses.told(left.identity, reason)
        async with wire(endpoint, "bare-stays", room, path) as bare:
            await bare.response("join")
            await lk.room.delete_room(api.DeleteRoomRequest(room=room))
            for stays in (py, web):
                assert (await stays.journal.wait("disconnected")).args[0] == reasons.ROOM_DELETED
            leave = await bare.response("leave")
            assert (leave.reason, leave.action) == (reasons.ROOM_DELETED, wire_rtc.LeaveRequest.DISCONNECT)
            await bare.journal.wait("closed", lambda code: code == 1000)


async def test_the_others_are_told_why_somebody_went(endpoint: Endpoint, path: JoinPath) -> None:
    """PAR08: reasons that a client gives itself, and faults. `test_a_participant_that_vanishes` has the time-out."""
    room, reasons = unique("told"), models.DisconnectReason
    given = {
        "unavailable": (reasons.USER_UNAVAILABLE, reasons.USER_UNAVAILABLE),
        "rejects": (reasons.USER_REJECTED, reasons.USER_REJECTED),
        "broken-agent": (reasons.AGENT_ERROR, reasons.AGENT_ERROR),
        "boaster": (reasons.SERVER_SHUTDOWN, reasons.CLIENT_INITIATED),
    }
    async with _witnesses(endpoint, room, path) as witnesses:

        async def leaves(identity: str) -> None:
            said, told = given[identity]
            async with wire(endpoint, identity, room, path) as client:
                await witnesses.know(identity)
                await client.send(leave=wire_rtc.LeaveRequest(reason=said))
                await client.journal.wait("closed", lambda code: code == 1000)
            await witnesses.told(identity, told)

        async def hangs_up() -> None:
            async with wire(endpoint, "hangs-up", room, path):
                await witnesses.know("hangs-up")
            await witnesses.told("hangs-up", reasons.SIGNAL_CLOSE)

        async def closes_its_connections() -> None:
            async with peer(endpoint, "closes", room, path):
                await witnesses.know("closes")
            await witnesses.told("closes", reasons.SIGNAL_CLOSE)

        async def babbles() -> None:
            async with wire(endpoint, "babbles", room, path) as client:
                await witnesses.know("babbles")
                await client.send(offer=wire_rtc.SessionDescription(type="offer", sdp="v=0\r\nbabble", id=1))
                await _sent_back(client, reasons.STATE_MISMATCH)
            await witnesses.told("babbles", reasons.STATE_MISMATCH)

        async def has_another_certificate_than_it_says() -> None:
            liar = PeerClient("liar")
            try:
                await liar.connect(endpoint, endpoint.token("liar", room), path)
                await witnesses.know("liar")
                liar.follow()
                liar.open_channels()
                offer = await liar.make_offer()
                forged = ":".join(["AB"] * 32)
                offer.sdp = re.sub(r"(?m)^(a=fingerprint:\S+ )\S+", lambda m: m[1] + forged, offer.sdp)
                await liar.send(offer=offer)
                await liar.apply_answer(await liar.response("answer"))
                await _sent_back(liar, reasons.MEDIA_FAILURE)
                await witnesses.told("liar", reasons.MEDIA_FAILURE)
            finally:
                await liar.close()

        await asyncio.gather(
            *map(leaves, given), hangs_up(), closes_its_connections(), babbles(), has_another_certificate_than_it_says()
        )


async def _sent_back(client: WireClient, reason: models.DisconnectReason) -> None:
    """A fault: the client is asked to come back with a new session."""
    leave = await client.response("leave", timeout_s=15)
    assert (leave.reason, leave.action) == (reason, wire_rtc.LeaveRequest.RECONNECT)


async def _request(ghost: PeerClient, caller: str, method: str) -> str:
    """The id of a call that arrived."""

    def match(_: str, packet: models.DataPacket) -> bool:
        return packet.participant_identity == caller and packet.rpc_request.method == method

    entry = await ghost.journal.wait("packet", match)
    return str(entry.args[1].rpc_request.id)


async def test_a_participant_that_vanishes_is_gone_in_time(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    """No leave, no packet any more: gone for the others after about 15 s (the reference takes 22 s).

    DAT12: calls that wait for it end with 1501 when it never took them, with 1503 when it did.
    """
    room = unique("vanish")
    async with (
        _witnesses(endpoint, room, path) as witnesses,
        sdk(endpoint, "bob", room, path) as bob,
        chromium.client(endpoint, "web", room, path) as web,
    ):
        async with peer(endpoint, "ghost", room, path) as ghost:
            await bob.remote_here("ghost")
            await web.remote_here("ghost")

            async def by_python(method: str) -> int:
                with pytest.raises(rtc.RpcError) as caught:
                    await bob.local.perform_rpc(
                        destination_identity="ghost", method=method, payload="", response_timeout=40
                    )
                return int(caught.value.code)

            async def by_web(method: str) -> int:
                call = {"destinationIdentity": "ghost", "method": method, "payload": "", "responseTimeout": 40_000}
                body = """try { await e2e.room.localParticipant.performRpc(call); return 0; }
                    catch (e) { return e.code; }"""
                return int(await web.run(body, call=call, timeout_s=60))

            calls = [asyncio.ensure_future(by(method)) for by in (by_python, by_web) for method in ("lost", "taken")]
            for caller in ("bob", "web"):
                await _request(ghost, caller, "lost")
                ack = models.DataPacket(destination_identities=[caller])
                ack.rpc_ack.request_id = await _request(ghost, caller, "taken")
                ghost.send_packet(ack)
            # A reliable packet behind the last acknowledgement: once it is there, so are they.
            for client in (bob, web):
                ghost.send_packet(models.DataPacket(user=models.UserPacket(payload=b"bye")))
                name = "data_received" if client is bob else "dataReceived"
                await client.journal.wait(name)
            vanished = time.monotonic()
            transport = ghost.transport
            for connection in (ghost.publisher, ghost.subscriber):
                transports = {t.receiver.transport.transport for t in connection.getTransceivers()}
                transports |= {connection.sctp.transport.transport} if connection.sctp else set()
                for ice in transports:
                    await ice._connection.close()
            transport.abort()
            await bob.remote_gone("ghost", timeout_s=30)
            gone_s = time.monotonic() - vanished
        assert 5 < gone_s < (17 if OWN else 25), f"gone after {gone_s:.1f} s"
        await witnesses.told("ghost", models.CONNECTION_TIMEOUT)
        assert await asyncio.wait_for(asyncio.gather(*calls), 5) == [1501, 1503, 1501, 1503]


async def test_active_is_announced(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    room = unique("active")
    async with sdk(endpoint, "bob", room, path) as bob, chromium.client(endpoint, "web", room, path) as web:
        await bob.journal.wait("participant_active", lambda p: p.identity == "web")
        async with sdk(endpoint, "carol", room, path):
            await web.journal.wait("participantActive", lambda p: p["identity"] == "carol")


async def test_the_refreshed_token_is_good_for_a_join(endpoint: Endpoint, path: JoinPath) -> None:
    room = unique("refresh")
    claims = endpoint.claims("alice", room, ttl_s=30, canUpdateOwnMetadata=True)
    claims |= {"metadata": "m", "attributes": {"a": "1"}}
    async with wire(endpoint, "alice", room, path, token=endpoint.sign(claims)) as client:
        token = await client.response("refresh_token")
    got = jwt.decode(token, endpoint.secret, algorithms=["HS256"], options={"verify_nbf": False})
    assert got["exp"] - time.time() > 500, "at least ten minutes from now"
    assert (got["sub"], got["name"], got["metadata"]) == ("alice", "alice", "m")
    assert got["video"]["room"] == room
    assert got["video"]["canUpdateOwnMetadata"]
    async with wire(endpoint, "alice", room, path, token=token) as client:
        participant = (await client.response("join")).participant
        assert dict(participant.attributes) == {"a": "1"}


@pytest.mark.skipif(not OWN, reason="the reference has no setting for the time between fresh tokens")
async def test_fresh_tokens_keep_coming_and_let_both_sdks_back_in(path: JoinPath, chromium: Browser) -> None:
    """PAR11: joined with tokens in their last five seconds. When nobody may join with them any more, both come back."""
    spec = ServerSpec(config={"plenum": {"token_refresh_interval": "1s"}})
    async with started(spec) as server:
        endpoint, room = server.endpoint, unique("refresh")
        last = {"nbf": int(time.time()) - 600, "exp": int(time.time()) - 55}  # a minute of leeway
        old = {identity: endpoint.sign(endpoint.claims(identity, room) | last) for identity in ("py", "web")}
        async with (
            sdk(endpoint, "py", room, path, token=old["py"]) as py,
            chromium.client(endpoint, "web", room, path, token=old["web"]) as web,
        ):
            await py.journal.until(lambda: len(py.journal.seen("token_refreshed")) >= 3, "third fresh token")

            async def expired() -> bool:
                return (await get(endpoint, "/rtc/validate", access_token=old["web"])).status == 401

            await eventually(expired, "end of the first token", timeout_s=10)
            await py.room.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT)
            await web.run("e2e.room.simulateScenario('full-reconnect')")
            await py.journal.wait("reconnected", timeout_s=20)
            await web.journal.wait("reconnected", timeout_s=20)


async def test_a_reconnect_to_an_unknown_session_starts_anew(endpoint: Endpoint, path: JoinPath) -> None:
    """REC06 on the wire: the first and only answer is leave{STATE_MISMATCH, RECONNECT}."""
    room = unique("resume")
    request = wire_rtc.JoinRequest(reconnect=True, participant_sid="PA_unknown")
    options = {"request": request} if path.single else {"reconnect": "1", "sid": "PA_unknown"}
    async with wire(endpoint, "alice", room, path, **options) as client:
        leave = await client.response("leave")
        assert client.journal.entries[0].name == "leave"
        assert leave.reason == models.STATE_MISMATCH
        assert leave.action == wire_rtc.LeaveRequest.RECONNECT


async def test_sdks_come_back_when_their_session_cannot_be_resumed(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    """STATE_MISMATCH at a real client: it is told to reconnect, does so with a new session, and is never out."""
    room = unique("mismatch")
    async with (
        wire(endpoint, "witness", room, path) as witness,
        sdk(endpoint, "py", room, path) as py,
        chromium.client(endpoint, "web", room, path) as web,
    ):
        await py.remote_here("web")
        await web.remote_here("py")
        before = {"py": py.local.sid, "web": await web.run("return e2e.room.localParticipant.sid")}

        def fresh(identity: str) -> bool:
            known = witness.participant(identity)
            return known is not None and known.state != known.DISCONNECTED and known.sid != before[identity]

        await py.room.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_NODE_FAILURE)
        await web.run("e2e.room.simulateScenario('node-failure')")
        await py.journal.wait("reconnected", timeout_s=20)
        await web.journal.wait("reconnected", timeout_s=20)
        await witness.journal.until(lambda: fresh("py") and fresh("web"), "two new sessions")
        everybody = {"web", "witness"}
        await py.journal.until(lambda: set(py.room.remote_participants) == everybody, "all the others")
        for client in (py, web):
            assert not client.journal.seen("disconnected")


async def test_ten_participants_leave_at_once(endpoint: Endpoint) -> None:
    room = unique("exodus")
    clients = [SdkClient(f"p{n}") for n in range(10)]
    async with sdk(endpoint, "stays", room, JoinPath.V1) as stays:
        await asyncio.gather(*(c.connect(endpoint, endpoint.token(c.identity, room), JoinPath.V1) for c in clients))
        for client in clients:
            await stays.remote_here(client.identity)
        await asyncio.gather(*(c.close() for c in clients))
        await stays.journal.until(lambda: not stays.room.remote_participants, "empty room")
        assert stays.room.connection_state == rtc.ConnectionState.CONN_CONNECTED
