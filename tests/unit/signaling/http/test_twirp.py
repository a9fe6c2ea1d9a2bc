"""Framing of the server API: routes, grants, decoding, encoding, errors (protocol.md §6)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol import agent_dispatch, egress, ingress, models, room, sip
from structlog.testing import capture_logs

from auth.grants import SipGrants
from sfu.control.registry import RoomOverrides
from signaling.http.twirp import to_json
from signaling.refusal import Refusal
from tests.unit.signaling.any_message import any_message
from tests.unit.signaling.http.conftest import Api

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor, MethodDescriptor

_DENIED = (401, "unauthenticated", "permissions denied")


@pytest.mark.parametrize(
    ("path", "method", "content_type", "message"),
    [
        ("/twirp/livekit.Nope/X", "POST", "application/json", 'no handler for path "/twirp/livekit.Nope/X"'),
        ("/twirp/livekit.RoomService/Nope", "POST", "application/json", None),
        ("/twirp/RoomService/ListRooms", "POST", "application/json", None),
        ("/twirp/livekit.PhoneNumberService/SearchPhoneNumbers", "POST", "application/json", None),
        ("/twirp/livekit.CloudAgent/ListAgents", "POST", "application/json", None),
        ("/twirp/", "POST", "application/json", None),
        (
            "/twirp/livekit.RoomService/ListRooms",
            "GET",
            "application/json",
            'unsupported method "GET" (only POST is allowed)',
        ),
        ("/twirp/livekit.RoomService/ListRooms", "POST", "text/plain", 'unexpected Content-Type: "text/plain"'),
    ],
)
async def test_bad_routes(api: Api, path: str, method: str, content_type: str, message: str | None) -> None:
    token = api.token(room_list=True)
    answer = await api.post(path, b"{}", token=token, method=method, content_type=content_type)
    assert answer.error[:2] == (404, "bad_route")
    assert message is None or answer.json["msg"] == message
    assert answer.content_type == "application/json"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{"),
        ("application/json", b"[]"),
        ("application/json", b'{"names": 5}'),
        ("application/json", b"\xff"),
        ("application/json", b'{"names": ' + b"[" * 5000 + b"]" * 5000 + b"}"),
        ("application/protobuf", b"\xff\xff\xff"),
    ],
)
async def test_malformed_bodies(api: Api, content_type: str, body: bytes) -> None:
    token = api.token(room_list=True)
    answer = await api.post("/twirp/livekit.RoomService/ListRooms", body, token=token, content_type=content_type)
    assert answer.error[:2] == (400, "malformed")


@pytest.mark.parametrize(
    "text", ["@@@", "a", "ab=", "abc==", "a===", "=", "ab+-", "ab cd", "ab\0=", "a=bc", "ü", "\ud800"]
)
@pytest.mark.parametrize("field", ["data", "nonce"])
async def test_bytes_that_are_no_base64_are_malformed(api: Api, field: str, text: str) -> None:
    api.rooms.create("r", RoomOverrides())
    answer = await api.call("RoomService/SendData", {"room": "r", field: text}, room_admin=True, room="r")
    assert answer.error == (400, "malformed", "the json request could not be decoded")


@pytest.mark.parametrize("text", ["", "+/+/", "-_-_", "YWI=", "YWI", "YQ==", "YQ", "YWJj\r\nYWJj"])
async def test_base64_is_read_in_all_its_forms(api: Api, text: str) -> None:
    api.rooms.create("r", RoomOverrides())
    assert (await api.call("RoomService/SendData", {"room": "r", "data": text}, room_admin=True, room="r")).json == {}


async def test_numbers_of_enums_are_open_as_in_the_reference(api: Api) -> None:
    api.rooms.create("r", RoomOverrides())
    assert (await api.call("RoomService/SendData", {"room": "r", "kind": 9}, room_admin=True, room="r")).json == {}


def test_no_request_has_bytes_further_inside() -> None:
    def bytes_inside(message: Descriptor, seen: set[str]) -> Iterator[str]:
        for field in message.fields:
            inner = field.message_type
            if inner is None or inner.full_name in seen:
                continue
            seen.add(inner.full_name)
            yield from (each.full_name for each in inner.fields if each.type == FieldDescriptor.TYPE_BYTES)
            yield from bytes_inside(inner, seen)

    schemas = (room, sip, egress, ingress, agent_dispatch)
    services = [service for schema in schemas for service in schema.DESCRIPTOR.services_by_name.values()]
    requests = [method.input_type for service in services for method in service.methods]
    assert [name for request in requests for name in bytes_inside(request, set())] == []


async def test_a_body_over_the_limit_is_refused(api: Api) -> None:
    token = api.token(room_list=True)
    answer = await api.post("/twirp/livekit.RoomService/ListRooms", b" " * (1 << 20) + b"{}", token=token)
    assert answer.error[:2] == (429, "resource_exhausted")


async def test_a_bad_token_is_refused_before_anything_else(api: Api) -> None:
    with pytest.raises(Refusal) as refusal:
        await api.post("/twirp/livekit.Nope/X", b"{", token="not-a-token")
    assert refusal.value.status == 401


async def test_grants_are_checked_before_bodies_and_limits(api: Api) -> None:
    answer = await api.post("/twirp/livekit.RoomService/CreateRoom", b"{", token=api.token(room_list=True))
    assert answer.error == _DENIED
    too_long = {"room": "r", "identity": "i", "metadata": "x" * 5000}
    assert (await api.call("RoomService/UpdateParticipant", too_long, room_admin=True, room="x")).error == _DENIED
    assert (await api.call("RoomService/CreateRoom", {"name": "x" * 300}, room_admin=True)).error == _DENIED
    assert api.rooms.asked == 0


async def test_protobuf_in_protobuf_out(api: Api) -> None:
    request = room.CreateRoomRequest(name="r", empty_timeout=60, metadata="m")
    answer = await api.call_protobuf("RoomService/CreateRoom", request, room_create=True)
    assert (answer.status, answer.content_type) == (200, "application/protobuf")
    made = models.Room.FromString(answer.body)
    assert (made.name, made.empty_timeout, made.metadata) == ("r", 60, "m")


@pytest.mark.parametrize("name", ["empty_timeout", "emptyTimeout"])
async def test_json_is_read_in_both_cases_and_unknown_fields_are_ignored(api: Api, name: str) -> None:
    answer = await api.call("RoomService/CreateRoom", {"name": "r", name: 60, "other": [1]}, room_create=True)
    assert answer.json["empty_timeout"] == 60


async def test_json_is_written_with_proto_names_and_all_fields(api: Api) -> None:
    answer = await api.call("RoomService/CreateRoom", {"name": "r"}, room_create=True)
    assert answer.content_type == "application/json"
    fields = answer.json
    assert set(fields) == {field.name for field in models.Room.DESCRIPTOR.fields}
    assert fields["creation_time_ms"] == "1800000000000", "64-bit integers are text"
    assert fields["num_participants"] == 0
    assert fields["active_recording"] is False
    assert fields["version"] is None


def test_absent_messages_are_null_except_in_a_choice() -> None:
    participant = models.ParticipantInfo(tracks=[models.TrackInfo(type=models.TrackType.VIDEO)], attributes={"a": "1"})
    printed = to_json(participant)
    assert printed["permission"] is None
    assert printed["tracks"][0]["version"] is None
    assert printed["tracks"][0]["type"] == "VIDEO"
    assert printed["attributes"] == {"a": "1"}
    assert "user" not in to_json(models.DataPacket())


async def test_calls_are_counted(api: Api) -> None:
    await api.call("RoomService/ListRooms", room_list=True)
    await api.call("RoomService/ListRooms")
    await api.call("Nope/X")
    assert dict(api.edge.answered) == {
        ("RoomService", "ListRooms", 200, ""): 1,
        ("RoomService", "ListRooms", 401, "unauthenticated"): 1,
        ("", "", 404, "bad_route"): 1,
    }


# ---------------------------------------------------------------- grants, call by call

_SCHEMAS = (room, egress, ingress, sip, agent_dispatch)
_METHODS = [
    (service.name, method.name)
    for schema in _SCHEMAS
    for service in schema.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
_ROOM = {"room": "r", "room_name": "r", "name": "r", "identity": "i", "destination_room": "elsewhere"}


_ADMIN = {"room_admin": True, "room": "r"}
_GRANTS: dict[str, dict[str, Any]] = {
    "Egress": {"room_record": True},
    "Ingress": {"ingress_admin": True},
    "SIP": {"sip": SipGrants(admin=True)},
    "CreateSIPParticipant": {"sip": SipGrants(call=True)},
    "TransferSIPParticipant": {"sip": SipGrants(call=True), **_ADMIN},
    "CreateRoom": {"room_create": True},
    "DeleteRoom": {"room_create": True},
    "ListRooms": {"room_list": True},
    "ForwardParticipant": {**_ADMIN, "destination_room": "elsewhere"},
    "MoveParticipant": {**_ADMIN, "destination_room": "elsewhere"},
}


def _grants_of(service: str, method: str) -> dict[str, Any]:
    return dict(_GRANTS.get(method) or _GRANTS.get(service) or _ADMIN)


@pytest.mark.parametrize(("service", "method"), _METHODS)
async def test_every_call_needs_its_grant(api: Api, service: str, method: str) -> None:
    api.rooms.create("r", RoomOverrides())
    name, right = f"{service}/{method}", _grants_of(service, method)
    flags = ("room_create", "room_list", "room_record", "ingress_admin", "room_join", "room_admin")
    everything_else: dict[str, Any] = {flag: True for flag in flags if flag == "room_admin" or flag not in right}
    everything_else |= {"room": "another", "destination_room": "another"}
    assert (await api.call(name, _ROOM)).error == _DENIED
    assert (await api.call(name, _ROOM, **everything_else)).error == _DENIED
    assert (await api.post(f"/twirp/livekit.{name}", json.dumps(_ROOM).encode())).error == _DENIED
    allowed = await api.call(name, _ROOM, **right)
    assert allowed.status not in (401, 403)
    if service != "RoomService":
        assert allowed.error == (501, "unimplemented", f"{service} is not implemented by this server")


async def test_an_administrator_of_one_room_is_none_of_another(api: Api) -> None:
    for service, method in _METHODS:
        grants = _grants_of(service, method)
        if grants.get("room") == "r":
            grants["room"] = "another"
            assert (await api.call(f"{service}/{method}", _ROOM, **grants)).error == _DENIED, method


async def test_calls_that_change_something_and_refusals_are_logged(api: Api) -> None:
    with capture_logs() as lines:
        await api.call("RoomService/CreateRoom", {"name": "lobby"}, room_create=True)
        await api.call("RoomService/ListRooms", room_list=True)
        await api.call("RoomService/ListRooms", room_create=True)
        await api.call("RoomService/DeleteRoom", {"room": "absent"}, room_create=True)
        await api.call("RoomService/RemoveParticipant", {"room": "a", "identity": "x"}, room_admin=True, room="b")
    shown = [
        (line["event"], line["method"], line["status"], line.get("room"), line.get("missing_grant")) for line in lines
    ]
    assert shown == [
        ("call", "CreateRoom", 200, "lobby", None),
        ("call refused", "ListRooms", 401, None, "roomList"),
        ("call refused", "DeleteRoom", 404, "absent", None),
        ("call refused", "RemoveParticipant", 401, "a", "roomAdmin of this room"),
    ]
    assert {line["api_key"] for line in lines} == {"key"}


async def test_a_refused_token_is_logged(api: Api) -> None:
    with capture_logs() as lines, pytest.raises(Refusal):
        await api.post("/twirp/livekit.RoomService/ListRooms", b"{}", token="no token")
    (line,) = lines
    assert (line["event"], line["status"]) == ("call refused", 401)
    assert "no token" not in str(line)


_BODIES = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=100).map(str.encode),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
)
_RPCS = room.DESCRIPTOR.services_by_name["RoomService"].methods
_ALL_GRANTS: dict[str, Any] = {"room_create": True, "room_list": True, "room_admin": True, "room": "r"}


@given(method=st.sampled_from([method.name for method in _RPCS]), is_json=st.booleans(), body=_BODIES)
async def test_any_body_gets_an_answer(method: str, is_json: bool, body: bytes) -> None:
    api = Api()
    path, token = f"/twirp/livekit.RoomService/{method}", api.token(**_ALL_GRANTS)
    content_type = "application/json" if is_json else "application/protobuf"
    answer = await api.post(path, body, token=token, content_type=content_type)
    assert answer.status == 200 or all(answer.error[1:])
    assert answer.status < 500 or answer.error[1] == "unimplemented", answer.body


@given(method=st.sampled_from(list(_RPCS)), is_json=st.booleans(), data=st.data())
async def test_any_request_that_decodes_gets_an_answer(
    method: MethodDescriptor, is_json: bool, data: st.DataObject
) -> None:
    texts = st.sampled_from(["r", "r", "alice", "", "TR_x", "ö😀", "\0", "y" * 2000])
    fields = data.draw(any_message(method.input_type, texts))
    api = Api()
    api.rooms.create("r", RoomOverrides())
    api.rooms.join("r", "alice")
    path, token = f"/twirp/livekit.RoomService/{method.name}", api.token(**_ALL_GRANTS, destination_room="r")
    if is_json:
        answer = await api.post(path, json.dumps(fields).encode(), token=token)
    else:
        body = json_format.ParseDict(fields, GetMessageClass(method.input_type)()).SerializeToString()
        answer = await api.post(path, body, token=token, content_type="application/protobuf")
    assert answer.status < 500 or answer.error[1] == "unimplemented", answer.body
