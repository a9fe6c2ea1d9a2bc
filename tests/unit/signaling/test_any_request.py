"""Whatever a client asks for in a frame that decodes: the room takes or refuses it, and what it says can be sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast, get_args

from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol import rtc

from sfu.control.requests import TransportRequest
from sfu.control.sinks import Outgoing
from sfu.room import inputs
from sfu.room.enums import TrackSource
from signaling.wire import ProtobufDataEncoder, ReplyNow, ServerFacts, WireEncoder, parse_frame, translate
from tests.unit.sfu.room.conftest import Client, Stage
from tests.unit.signaling.any_message import any_message

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

_ENCODER = WireEncoder(ServerFacts(version="0", region="", node_id="ND_1", ice_servers=()))
_SIDS = 4
_TEXTS = st.sampled_from(
    [
        *(f"%{index}" for index in range(_SIDS)),
        *("", "alice", "bob", "nobody", "cam", "vp8", "video/H264", "q", "ö😀", "\0", "x" * 3000),
        *('{"candidate": "candidate:1 1 udp 1 192.0.2.2 5 typ host"}', '{"candidate": 5}', "[]"),
    ]
)
_REQUEST = any_message(cast("Descriptor", rtc.SignalRequest.DESCRIPTOR), _TEXTS)


def _cast() -> tuple[Stage, list[Client], list[str]]:
    """Alice publishes, Bob watches on two transports; their sids."""
    stage = Stage()
    alice = stage.active("alice")
    bob = stage.active("bob", single_peer_connection=False)
    camera = alice.publish("cam", TrackSource.CAMERA, width=1280, height=720)
    microphone = alice.publish("mic")
    stage.bind_all()
    return stage, [alice, bob], [alice.sid, bob.sid, camera.sid, microphone.sid]


def _ask(stage: Stage, client: Client, request: rtc.SignalRequest) -> None:
    translated = translate(client.session, request, 0)
    if isinstance(translated, ReplyNow):
        _encode(translated.message)
    elif translated is not None and not isinstance(translated, get_args(TransportRequest)):
        assert isinstance(translated, get_args(inputs.RoomInput)), translated
        stage.do(translated)


def _encode(message: Any) -> None:
    outgoing = Outgoing(message)
    binary, text = _ENCODER.frame(outgoing, text=False), _ENCODER.frame(outgoing, text=True)
    assert isinstance(binary, bytes)
    assert rtc.SignalResponse.FromString(binary).WhichOneof("message")
    assert json.loads(text)


@given(st.lists(st.tuples(st.integers(0, 1), st.booleans(), _REQUEST), max_size=6))
def test_any_requests_are_taken_or_refused(asked: list[tuple[int, bool, Any]]) -> None:
    stage, clients, sids = _cast()
    for index, is_text, fields in asked:
        frame = json.dumps(fields)
        for number, sid in enumerate(sids):
            frame = frame.replace(f'"%{number}"', json.dumps(sid))
        request = parse_frame(frame)
        client = clients[index]
        if client.session in stage.ledger.sessions:
            _ask(stage, client, request if is_text else parse_frame(request.SerializeToString()))
    stage.wait(30)
    for messages in stage.sent.values():
        for message in messages:
            _encode(message)
    for effect in stage.engine_data:
        assert ProtobufDataEncoder().encode_data(effect)
