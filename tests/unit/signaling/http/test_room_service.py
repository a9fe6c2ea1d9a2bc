"""`RoomService`, call by call, with real rooms (protocol.md §6.1)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from sfu.ids import TrackSid
from sfu.room import effects as fx
from sfu.room import inputs, messages
from sfu.room.enums import DisconnectReason, TrackSource, TrackType

if TYPE_CHECKING:
    from tests.unit.signaling.http.conftest import Answer, Api

_NO_PARTICIPANT = (404, "not_found", "participant does not exist")
_NO_ROOM = (404, "not_found", "requested room does not exist")


@pytest.fixture
async def room(api: Api) -> Api:
    """A room `r` with alice, who publishes a microphone, and bob."""
    await api.call("RoomService/CreateRoom", {"name": "r"}, room_create=True)
    session = api.rooms.join("r", "alice")
    api.rooms.join("r", "bob")
    api.rooms.do("r", inputs.AddTrack(session, "mic", TrackType.AUDIO, TrackSource.MICROPHONE))
    line = inputs.OfferedMedia("0", TrackType.AUDIO, sends=True, track_id="mic", mime_types=("audio/opus",))
    api.rooms.do("r", inputs.OfferReceived(session, 1, (line,)))
    return api


async def _admin(api: Api, rpc: str, /, **body: Any) -> Answer:
    return await api.call(f"RoomService/{rpc}", {"room": "r", **body}, room_admin=True, room="r")


def _left(api: Api, reason: DisconnectReason) -> list[str]:
    return [
        effect.event.participant.identity
        for effect in api.rooms.effects
        if isinstance(effect, fx.Emit)
        and isinstance(effect.event, fx.ParticipantLeft)
        and effect.event.participant.disconnect_reason is reason
    ]


# ---------------------------------------------------------------- rooms


async def test_create_room_with_settings(api: Api) -> None:
    settings = {"empty_timeout": 1, "departure_timeout": 2, "max_participants": 3, "metadata": "m"}
    answer = await api.call("RoomService/CreateRoom", {"name": "r", **settings}, room_create=True)
    assert answer.json | settings == answer.json
    assert answer.json["sid"].startswith("RM_")


async def test_unset_settings_take_the_defaults(api: Api) -> None:
    answer = await api.call("RoomService/CreateRoom", {"name": "r"}, room_create=True)
    assert (answer.json["empty_timeout"], answer.json["departure_timeout"]) == (300, 20)


async def test_creating_a_room_again_returns_it_unchanged(api: Api) -> None:
    first = await api.call("RoomService/CreateRoom", {"name": "r"}, room_create=True)
    again = {"name": "r", "metadata": "other", "room_preset": "unknown", "max_participants": 7}
    assert (await api.call("RoomService/CreateRoom", again, room_create=True)).json == first.json


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, (400, "invalid_argument", "no room name")),
        ({"name": "x" * 257}, (400, "invalid_argument", "room name length exceeds limits: max length 256")),
        ({"name": "ä" * 129}, (400, "invalid_argument", "room name length exceeds limits: max length 256")),
        ({"name": "r", "metadata": "x" * 1001}, (400, "invalid_argument", "metadata size exceeds limits")),
        (
            {"name": "r", "room_preset": "p"},
            (400, "invalid_argument", "unknown room configuration in create room request"),
        ),
        ({"name": "r", "egress": {}}, (501, "unimplemented", "egress is not implemented by this server")),
    ],
)
async def test_rooms_that_cannot_be_created(api: Api, body: dict[str, Any], error: tuple[int, str, str]) -> None:
    assert (await api.call("RoomService/CreateRoom", body, room_create=True)).error == error
    assert not api.rooms.rooms


async def test_list_rooms(api: Api) -> None:
    for name in ("a", "b", "c"):
        await api.call("RoomService/CreateRoom", {"name": name}, room_create=True)
    everything = await api.call("RoomService/ListRooms", room_list=True)
    assert [room["name"] for room in everything.json["rooms"]] == ["a", "b", "c"]
    some = await api.call("RoomService/ListRooms", {"names": ["b", "unknown"]}, room_list=True)
    assert [room["name"] for room in some.json["rooms"]] == ["b"]


async def test_delete_room(room: Api) -> None:
    answer = await room.call("RoomService/DeleteRoom", {"room": "r"}, room_create=True)
    assert (answer.status, answer.json) == (200, {})
    assert sorted(_left(room, DisconnectReason.ROOM_DELETED)) == ["alice", "bob"]
    assert (await room.call("RoomService/DeleteRoom", {"room": "r"}, room_create=True)).error == _NO_ROOM


async def test_update_room_metadata(room: Api) -> None:
    assert (await _admin(room, "UpdateRoomMetadata", metadata="m")).json["metadata"] == "m"
    answer = await room.call("RoomService/UpdateRoomMetadata", {"room": "x"}, room_admin=True, room="x")
    assert answer.error == _NO_ROOM


# ---------------------------------------------------------------- participants


async def test_list_and_get_participants(room: Api) -> None:
    listed = (await _admin(room, "ListParticipants")).json["participants"]
    assert [p["identity"] for p in listed] == ["alice", "bob"]
    assert listed[0]["tracks"][0]["source"] == "MICROPHONE"
    assert (await _admin(room, "GetParticipant", identity="alice")).json == listed[0]


async def test_an_unknown_room_has_no_participants(api: Api) -> None:
    assert (await _admin(api, "ListParticipants")).json == {"participants": []}


@pytest.mark.parametrize(
    "method", ["GetParticipant", "RemoveParticipant", "MutePublishedTrack", "UpdateParticipant", "UpdateSubscriptions"]
)
async def test_unknown_participants(room: Api, method: str) -> None:
    assert (await _admin(room, method, identity="nobody", muted=True)).error == _NO_PARTICIPANT
    elsewhere = await room.call(f"RoomService/{method}", {"room": "x", "identity": "a"}, room_admin=True, room="x")
    assert elsewhere.error == _NO_PARTICIPANT
    assert (await _admin(room, method)).error == (400, "invalid_argument", "identity cannot be empty")


async def test_remove_participant(room: Api) -> None:
    assert (await _admin(room, "RemoveParticipant", identity="alice")).json == {}
    assert _left(room, DisconnectReason.PARTICIPANT_REMOVED) == ["alice"]


async def test_mute_published_track(room: Api) -> None:
    sid = TrackSid((await _admin(room, "GetParticipant", identity="alice")).json["tracks"][0]["sid"])
    answer = await _admin(room, "MutePublishedTrack", identity="alice", track_sid=sid, muted=True)
    assert answer.json["track"]["muted"] is True
    sent = [effect.message for effect in room.rooms.effects if isinstance(effect, fx.Send)]
    assert messages.Mute(sid, muted=True) in sent
    unmute = await _admin(room, "MutePublishedTrack", identity="alice", track_sid=sid, muted=False)
    assert unmute.error == (412, "failed_precondition", "remote unmute not enabled")
    unknown = await _admin(room, "MutePublishedTrack", identity="alice", track_sid="TR_x", muted=True)
    assert unknown.json == {"track": None}


async def test_update_participant(room: Api) -> None:
    answer = await _admin(room, "UpdateParticipant", identity="alice", name="n", metadata="m", attributes={"a": "1"})
    assert (answer.json["name"], answer.json["metadata"], answer.json["attributes"]) == ("n", "m", {"a": "1"})
    assert answer.json["permission"]["can_publish"] is True, "no permission given: unchanged"
    permission = {"can_subscribe": True, "can_publish": True, "can_publish_sources": ["CAMERA"]}
    answer = await _admin(room, "UpdateParticipant", identity="alice", permission=permission)
    assert answer.json["permission"]["can_publish_sources"] == ["CAMERA"]
    assert answer.json["permission"]["can_publish_data"] is False
    assert answer.json["tracks"] == []
    assert answer.json["name"] == "n"


async def test_unknown_sources_allow_nothing(room: Api) -> None:
    permission = {"can_publish": True, "can_publish_sources": [99]}
    answer = await _admin(room, "UpdateParticipant", identity="alice", permission=permission)
    assert answer.json["permission"]["can_publish"] is False


async def test_update_participant_over_a_limit(room: Api) -> None:
    answer = await _admin(room, "UpdateParticipant", identity="alice", name="x" * 300)
    assert answer.error == (400, "invalid_argument", "name length exceeds limits")


@pytest.mark.parametrize("by_participant", [True, False])
async def test_update_subscriptions(room: Api, by_participant: bool) -> None:
    sid = (await _admin(room, "GetParticipant", identity="alice")).json["tracks"][0]["sid"]
    tracks = {"participant_tracks": [{"track_sids": [sid]}]} if by_participant else {"track_sids": [sid, sid]}
    await _admin(room, "UpdateSubscriptions", identity="bob", subscribe=False, **tracks)
    assert [type(e) for e in room.rooms.effects if not isinstance(e, fx.Reply)] == [fx.RemoveDownTrack]
    await _admin(room, "UpdateSubscriptions", identity="bob", subscribe=True, **tracks)
    assert [type(e) for e in room.rooms.effects if isinstance(e, fx.AddDownTrack)] == [fx.AddDownTrack]


# ---------------------------------------------------------------- data and what is not built


async def test_send_data(room: Api) -> None:
    payload = base64.b64encode(b"\x00data").decode()
    nonce = base64.b64encode(bytes(16)).decode()
    body = {"data": payload, "kind": "LOSSY", "topic": "t", "destination_identities": ["bob"], "nonce": nonce}
    assert (await _admin(room, "SendData", **body)).json == {}
    (sent,) = [effect for effect in room.rooms.effects if isinstance(effect, fx.SendEngineData)]
    assert (sent.payload, sent.reliable, sent.topic, sent.nonce) == (b"\x00data", False, "t", bytes(16))
    assert len(sent.destinations or ()) == 1
    await _admin(room, "SendData", **body)
    assert not [effect for effect in room.rooms.effects if isinstance(effect, fx.SendEngineData)]
    await _admin(room, "SendData", data=payload)
    (sent,) = [effect for effect in room.rooms.effects if isinstance(effect, fx.SendEngineData)]
    assert (sent.reliable, sent.topic, sent.destinations) == (True, None, None)


async def test_data_that_cannot_be_sent(room: Api) -> None:
    too_big = base64.b64encode(bytes(64_001)).decode()
    assert (await _admin(room, "SendData", data=too_big)).error[:2] == (400, "invalid_argument")
    short = base64.b64encode(b"short").decode()
    assert (await _admin(room, "SendData", nonce=short)).error[:2] == (400, "invalid_argument")
    answer = await room.call("RoomService/SendData", {"room": "x"}, room_admin=True, room="x")
    assert answer.error == _NO_ROOM


@pytest.mark.parametrize("method", ["ForwardParticipant", "MoveParticipant"])
async def test_moving_participants(room: Api, method: str) -> None:
    grants: dict[str, Any] = {"room_admin": True, "room": "r"}
    body = {"room": "r", "identity": "alice", "destination_room": "elsewhere"}
    answer = await room.call(f"RoomService/{method}", body, **grants, destination_room="elsewhere")
    assert answer.error == (501, "unimplemented", f"{method} is not implemented by this server")
    body["destination_room"] = "r"
    answer = await room.call(f"RoomService/{method}", body, **grants, destination_room="r")
    assert answer.error == (400, "invalid_argument", "destination room cannot be the same as source room")


async def test_perform_rpc_is_not_built(room: Api) -> None:
    answer = await _admin(room, "PerformRpc", destination_identity="bob", method="m")
    assert answer.error == (501, "unimplemented", "PerformRpc is not implemented by this server")
