"""Participants: identity, attributes, kinds, permissions, why they went (protocol.md §5.2-5.5)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from livekit import api, rtc
from livekit.protocol import models
from livekit.protocol import rtc as wire_rtc

from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.peer_client import peer
from tests.e2e.support.sdk_client import SdkClient, sdk
from tests.e2e.support.server import OWN
from tests.e2e.support.wire_client import wire

if TYPE_CHECKING:
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

        await permit(False)
        await web.journal.wait("participantPermissionsChanged")
        assert await web.run("return e2e.room.localParticipant.permissions.canPublish") is False
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


async def test_each_way_to_leave_has_its_reason(endpoint: Endpoint, path: JoinPath) -> None:
    """PAR08: what the one who goes is told, and what the others are told (`disconnect_reason`)."""
    room, reasons = unique("reasons"), models.DisconnectReason
    async with (
        wire(endpoint, "witness", room, path) as witness,
        sdk(endpoint, "py", room, path) as py,
        api.LiveKitAPI(endpoint.http_url, endpoint.key, endpoint.secret) as lk,
    ):

        async def told_of(identity: str, reason: int) -> None:
            def match(update: wire_rtc.ParticipantUpdate) -> bool:
                gone = [p for p in update.participants if p.state == models.ParticipantInfo.DISCONNECTED]
                return any(p.identity == identity and p.disconnect_reason == reason for p in gone)

            await witness.response("update", match)

        async with sdk(endpoint, "leaver", room, path):
            await py.remote_here("leaver")
        await told_of("leaver", reasons.CLIENT_INITIATED)
        async with sdk(endpoint, "removed", room, path) as removed:
            await py.remote_here("removed")
            await lk.room.remove_participant(api.RoomParticipantIdentity(room=room, identity="removed"))
            await removed.journal.wait("disconnected", lambda r: r == reasons.PARTICIPANT_REMOVED)
            await told_of("removed", reasons.PARTICIPANT_REMOVED)
        async with sdk(endpoint, "twice", room, path) as first, sdk(endpoint, "twice", room, path):
            await first.journal.wait("disconnected", lambda r: r == reasons.DUPLICATE_IDENTITY)
        await lk.room.delete_room(api.DeleteRoomRequest(room=room))
        await py.journal.wait("disconnected", lambda r: r == reasons.ROOM_DELETED)
        leave = await witness.response("leave")
        assert (leave.reason, leave.action) == (reasons.ROOM_DELETED, wire_rtc.LeaveRequest.DISCONNECT)
        await witness.journal.wait("closed", lambda code: code == 1000)


async def test_a_participant_that_vanishes_is_gone_in_time(endpoint: Endpoint, path: JoinPath) -> None:
    """No leave, no packet any more: gone for the others after about 15 s (the reference takes 22 s)."""
    room = unique("vanish")
    async with sdk(endpoint, "bob", room, path) as bob:
        async with peer(endpoint, "ghost", room, path) as ghost:
            await bob.remote_here("ghost")
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


async def test_the_sdk_hears_of_the_refresh(endpoint: Endpoint, path: JoinPath) -> None:
    async with sdk(endpoint, "alice", unique("refresh"), path) as alice:
        await alice.journal.wait("token_refreshed")


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
