"""RoomService: calls by livekit-api, JSON and protobuf by hand, error codes, grants (protocol.md §6)."""

from __future__ import annotations

from typing import Any

import pytest
from livekit import api
from livekit.protocol import models
from livekit.protocol import room as proto

from tests.e2e.support.api_client import Answer, get, twirp
from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.media import publish_tone
from tests.e2e.support.sdk_client import sdk
from tests.e2e.support.server import OWN


def _client(endpoint: Endpoint) -> api.LiveKitAPI:
    return api.LiveKitAPI(endpoint.http_url, endpoint.key, endpoint.secret)


def _error(answer: Answer) -> tuple[int, str]:
    assert answer.headers["content-type"].startswith("application/json")
    assert set(answer.json) >= {"code", "msg"}
    return answer.status, answer.json["code"]


async def test_create_list_delete(endpoint: Endpoint) -> None:
    name = unique("crud")
    async with _client(endpoint) as lk:
        request = api.CreateRoomRequest(
            name=name, metadata="m", max_participants=7, empty_timeout=99, departure_timeout=44
        )
        room = await lk.room.create_room(request)
        assert room.sid.startswith("RM_")
        assert (room.name, room.metadata, room.max_participants) == (name, "m", 7)
        assert (room.empty_timeout, room.departure_timeout) == (99, 44)
        assert room.creation_time > 1_700_000_000
        assert room.creation_time_ms // 1000 == room.creation_time
        again = await lk.room.create_room(api.CreateRoomRequest(name=name))
        assert again.sid == room.sid, "creating is idempotent"
        listed = await lk.room.list_rooms(api.ListRoomsRequest())
        assert name in [r.name for r in listed.rooms]
        only = await lk.room.list_rooms(api.ListRoomsRequest(names=[name, "absent"]))
        assert [r.sid for r in only.rooms] == [room.sid]
        await lk.room.delete_room(api.DeleteRoomRequest(room=name))
        gone = await lk.room.list_rooms(api.ListRoomsRequest(names=[name]))
        assert not gone.rooms


async def test_list_get_update_remove_participant(endpoint: Endpoint, path: JoinPath) -> None:
    room = unique("participants")
    async with (
        _client(endpoint) as lk,
        sdk(endpoint, "alice", room, path) as alice,
        sdk(endpoint, "bob", room, path) as bob,
    ):
        await bob.remote_here("alice")
        listed = await lk.room.list_participants(api.ListParticipantsRequest(room=room))
        assert {p.identity: p.sid for p in listed.participants} == {"alice": alice.local.sid, "bob": bob.local.sid}
        async with publish_tone(alice.room) as (publication, _):
            await bob.subscribed("alice")
            info = await lk.room.get_participant(api.RoomParticipantIdentity(room=room, identity="alice"))
            assert [t.sid for t in info.tracks] == [publication.sid]
            assert info.is_publisher
            assert info.state == models.ParticipantInfo.ACTIVE
        updated = await lk.room.update_participant(
            api.UpdateParticipantRequest(
                room=room, identity="alice", metadata="new", name="Alice A.", attributes={"k": "v"}
            )
        )
        assert (updated.metadata, updated.name, dict(updated.attributes)) == ("new", "Alice A.", {"k": "v"})
        await bob.journal.wait("participant_metadata_changed", lambda p, *_: p.identity == "alice")
        await bob.journal.until(lambda: bob.remote("alice").attributes == {"k": "v"}, "attributes of alice")
        await lk.room.remove_participant(api.RoomParticipantIdentity(room=room, identity="alice"))
        await alice.journal.wait("disconnected", lambda reason: reason == models.PARTICIPANT_REMOVED)
        await bob.remote_gone("alice")


async def test_json_in_both_spellings_and_snake_case_out(endpoint: Endpoint) -> None:
    name = unique("json")
    token = endpoint.admin(name)
    for spelling in ({"name": name, "emptyTimeout": 77}, {"name": unique("snake"), "empty_timeout": 77}):
        answer = await twirp(endpoint, "CreateRoom", spelling, token=token)
        assert answer.status == 200
        room = answer.json
        assert room["empty_timeout"] == 77
        assert room["num_participants"] == 0, "defaults are present"
        assert isinstance(room["creation_time"], str), "64-bit numbers are strings"
        assert isinstance(room["active_recording"], bool)
        assert room["metadata"] == ""


async def test_protobuf_in_and_out(endpoint: Endpoint) -> None:
    name = unique("pb")
    body = proto.CreateRoomRequest(name=name).SerializeToString()
    answer = await twirp(endpoint, "CreateRoom", body, token=endpoint.admin(name))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/protobuf"
    assert models.Room.FromString(answer.body).name == name


async def test_errors_have_code_text_and_status(endpoint: Endpoint) -> None:
    room = unique("errors")
    token = endpoint.admin(room)
    assert _error(await twirp(endpoint, "DeleteRoom", {"room": "absent"}, token=token)) == (404, "not_found")
    absent = {"room": room, "identity": "nobody"}
    assert _error(await twirp(endpoint, "GetParticipant", absent, token=token)) == (404, "not_found")
    assert _error(await twirp(endpoint, "NoSuchCall", {}, token=token)) == (404, "bad_route")
    assert (await twirp(endpoint, "ListRooms", {}, service="NoSuchService", token=token)).status == 404
    assert _error(await twirp(endpoint, "ListRooms", b"\xff\xff", token=token)) == (400, "malformed")
    assert (await get(endpoint, "/twirp/livekit.RoomService/ListRooms")).status in (404, 405)
    assert _error(await twirp(endpoint, "ListRooms", {})) == (401, "unauthenticated")
    long_name = {"name": "r" * 257}
    assert _error(await twirp(endpoint, "CreateRoom", long_name, token=token)) == (400, "invalid_argument")
    metadata = {"name": room, "metadata": "m" * 600_000}
    assert _error(await twirp(endpoint, "CreateRoom", metadata, token=token)) == (400, "invalid_argument")


async def test_a_participant_that_is_not_there_is_not_found(endpoint: Endpoint, path: JoinPath) -> None:
    room = unique("absent")
    async with sdk(endpoint, "alice", room, path):
        for call, body in (
            ("RemoveParticipant", {}),
            ("UpdateParticipant", {"metadata": "x"}),
            ("GetParticipant", {}),
        ):
            body |= {"room": room, "identity": "nobody"}
            answer = await twirp(endpoint, call, body, token=endpoint.admin(room))
            status, code = _error(answer)
            if OWN:
                assert (status, code) == (404, "not_found"), call
            else:
                assert status in (404, 503), call


_CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "CreateRoom": ("roomCreate", {"name": "g-room"}),
    "ListRooms": ("roomList", {}),
    "DeleteRoom": ("roomCreate", {"room": "g-room"}),
    "ListParticipants": ("roomAdmin", {"room": "g-room"}),
    "GetParticipant": ("roomAdmin", {"room": "g-room", "identity": "x"}),
    "RemoveParticipant": ("roomAdmin", {"room": "g-room", "identity": "x"}),
    "MutePublishedTrack": ("roomAdmin", {"room": "g-room", "identity": "x", "track_sid": "TR_x", "muted": True}),
    "UpdateParticipant": ("roomAdmin", {"room": "g-room", "identity": "x", "metadata": "m"}),
    "UpdateSubscriptions": ("roomAdmin", {"room": "g-room", "identity": "x", "track_sids": ["TR_x"]}),
    "SendData": ("roomAdmin", {"room": "g-room", "data": "aGk="}),
    "UpdateRoomMetadata": ("roomAdmin", {"room": "g-room", "metadata": "m"}),
}


@pytest.mark.parametrize("call", sorted(_CALLS))
async def test_each_call_needs_its_grant(endpoint: Endpoint, call: str) -> None:
    needed, body = _CALLS[call]
    every: dict[str, Any] = {
        "roomCreate": True,
        "roomList": True,
        "roomAdmin": True,
        "roomJoin": True,
        "roomRecord": True,
    }
    lacking = endpoint.token("admin", "g-room", **(every | {needed: None}))
    assert _error(await twirp(endpoint, call, body, token=lacking)) == (401, "unauthenticated")
    if needed == "roomAdmin":
        elsewhere = endpoint.token("admin", "another-room", roomAdmin=True)
        assert _error(await twirp(endpoint, call, body, token=elsewhere)) == (401, "unauthenticated")
    joiner = endpoint.token("user", "g-room")
    assert _error(await twirp(endpoint, call, body, token=joiner)) == (401, "unauthenticated")


async def test_update_room_metadata_is_seen_by_all(endpoint: Endpoint, path: JoinPath) -> None:
    room = unique("meta")
    async with _client(endpoint) as lk, sdk(endpoint, "alice", room, path) as alice:
        answer = await lk.room.update_room_metadata(api.UpdateRoomMetadataRequest(room=room, metadata="changed"))
        assert answer.metadata == "changed"
        await alice.journal.wait("room_metadata_changed", lambda _, new: new == "changed")
        listed = await lk.room.list_rooms(api.ListRoomsRequest(names=[room]))
        assert listed.rooms[0].metadata == "changed"


async def test_mute_by_the_server(endpoint: Endpoint, path: JoinPath) -> None:
    room = unique("mute")
    async with (
        _client(endpoint) as lk,
        sdk(endpoint, "alice", room, path) as alice,
        sdk(endpoint, "bob", room, path) as bob,
        publish_tone(alice.room) as (publication, _),
    ):
        await bob.subscribed("alice")
        request = api.MuteRoomTrackRequest(room=room, identity="alice", track_sid=publication.sid, muted=True)
        answer = await lk.room.mute_published_track(request)
        assert answer.track.muted
        await bob.journal.wait("track_muted", lambda who, pub: pub.sid == publication.sid)
        await alice.journal.wait("track_muted", lambda who, pub: pub.sid == publication.sid)
        refused = await twirp(
            endpoint,
            "MutePublishedTrack",
            {"room": room, "identity": "alice", "track_sid": publication.sid, "muted": False},
            token=endpoint.admin(room),
        )
        assert _error(refused) == (412, "failed_precondition")


_SIP_CALL = {"sip": {"call": True}}
_ELSEWHERE = {"room": "r", "identity": "i", "destination_room": "elsewhere"}
_ADMIN = {"roomAdmin": True, "room": "r"}
# Service, call, body, the `video` grant and the other claims that it needs.
_UNBUILT: list[tuple[str, str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("Egress", "ListEgress", {}, {"roomRecord": True}, {}),
    ("Ingress", "ListIngress", {}, {"ingressAdmin": True}, {}),
    ("AgentDispatchService", "ListDispatch", {"room": "r"}, _ADMIN, {}),
    ("SIP", "ListSIPInboundTrunk", {}, {}, {"sip": {"admin": True}}),
    ("SIP", "CreateSIPParticipant", {"room_name": "r"}, {}, _SIP_CALL),
    ("SIP", "TransferSIPParticipant", {"room_name": "r", "participant_identity": "i"}, _ADMIN, _SIP_CALL),
    ("RoomService", "PerformRpc", {"room": "r", "destination_identity": "i", "method": "m"}, _ADMIN, {}),
    ("RoomService", "ForwardParticipant", _ELSEWHERE, _ADMIN | {"destinationRoom": "elsewhere"}, {}),
    ("RoomService", "MoveParticipant", _ELSEWHERE, _ADMIN | {"destinationRoom": "elsewhere"}, {}),
]


@pytest.mark.skipif(not OWN, reason="what is not built yet is a matter of this server")
@pytest.mark.parametrize(("service", "call", "body", "video", "claims"), _UNBUILT, ids=[row[1] for row in _UNBUILT])
async def test_what_is_not_built_checks_its_grant_first(
    endpoint: Endpoint, service: str, call: str, body: dict[str, Any], video: dict[str, Any], claims: dict[str, Any]
) -> None:
    """401 without the grant, with every part of it missing in turn, and with that of another room; 501 with it."""
    right = endpoint.claims("admin", "", roomJoin=None) | claims

    async def answer(video: dict[str, Any], **over: Any) -> tuple[int, str]:
        token = endpoint.sign(right | {"video": video} | over)
        return _error(await twirp(endpoint, call, body, service=service, token=token))

    assert await answer(video) == (501, "unimplemented")
    denied = (401, "unauthenticated")
    assert _error(await twirp(endpoint, call, body, service=service)) == denied
    assert await answer({"roomJoin": True, "room": "r"}, **{name: {} for name in claims}) == denied
    for missing in video:
        assert await answer({name: value for name, value in video.items() if name != missing}) == denied, missing
    for missing in claims:
        assert await answer(video, **{missing: {}}) == denied, missing
    for elsewhere in {"room", "destinationRoom"} & set(video):
        assert await answer(video | {elsewhere: "another"}) == denied, elsewhere
