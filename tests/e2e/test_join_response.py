"""The join response, field by field: what protocol.md §2.4 wants of each, and no field that is not judged here."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from google.protobuf import json_format
from livekit.protocol import models, rtc

from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.media import publish_tone
from tests.e2e.support.sdk_client import sdk
from tests.e2e.support.server import OWN, ServerSpec
from tests.e2e.support.wire_client import wire

SERVER = ServerSpec(config={"region": "eu-test", "rtc": {"stun_servers": ["stun.test:3478", "other.test:3479"]}})


def _room(join: rtc.JoinResponse, name: str) -> None:
    room = join.room
    assert re.fullmatch(r"RM_\w{12}", room.sid)
    assert (room.name, room.empty_timeout, room.departure_timeout, room.max_participants) == (name, 300, 20, 0)
    assert abs(room.creation_time - time.time()) < 60
    assert room.creation_time_ms // 1000 == room.creation_time
    assert (room.metadata, room.active_recording) == ("", False)
    assert (room.num_participants, room.num_publishers) == (3, 1), "the joiner, and who is hidden, count"
    mimes = {codec.mime.lower() for codec in room.enabled_codecs}
    assert {"audio/opus", "audio/red", "video/vp8", "video/h264", "video/vp9", "video/av1"} <= mimes


def _participant(join: rtc.JoinResponse) -> None:
    own = join.participant
    assert re.fullmatch(r"PA_\w{12}", own.sid)
    assert (own.identity, own.name, own.region) == ("w", "w", "eu-test")
    assert own.state in (models.ParticipantInfo.JOINING, models.ParticipantInfo.JOINED)
    assert abs(own.joined_at - time.time()) < 60
    assert own.joined_at_ms // 1000 == own.joined_at
    assert own.version >= 0
    assert not own.tracks
    expected = models.ParticipantPermission(can_subscribe=True, can_publish=True, can_publish_data=True)
    assert own.permission == expected


def _other_participants(join: rtc.JoinResponse) -> None:
    assert [p.identity for p in join.other_participants] == ["py"], "neither oneself nor who is hidden"
    other = join.other_participants[0]
    assert other.state == models.ParticipantInfo.ACTIVE
    assert other.is_publisher
    assert [(t.source, t.mime_type.lower()) for t in other.tracks] in (
        [(models.MICROPHONE, "audio/opus")],
        [(models.MICROPHONE, "audio/red")],
    )


def _server(join: rtc.JoinResponse) -> None:
    info = join.server_info
    assert re.fullmatch(r"\d+\.\d+\.\d+", join.server_version)
    assert tuple(map(int, join.server_version.split("."))) >= (1, 8, 0)
    assert (info.version, info.edition, info.protocol) == (join.server_version, models.ServerInfo.Standard, 17)
    assert (info.region, info.agent_protocol, info.debug_info) == ("eu-test", 1, "")
    assert re.fullmatch(r"ND_\w{12}", info.node_id)
    assert join.server_region == "eu-test"


def _connection(join: rtc.JoinResponse, path: JoinPath) -> None:
    assert join.subscriber_primary == (not path.single)
    assert (join.ping_interval, join.ping_timeout) == (5, 10 if OWN else 15)
    urls = [url for server in join.ice_servers for url in server.urls]
    assert urls == ["stun:stun.test:3478", "stun:other.test:3479"]
    assert all((server.username, server.credential) == ("", "") for server in join.ice_servers)
    assert join.alternative_url == "", "of LiveKit's cloud only"
    assert not join.HasField("client_configuration"), "nothing is known against this client"


def _publishing(join: rtc.JoinResponse) -> None:
    mimes = [codec.mime.lower() for codec in join.enabled_publish_codecs]
    assert mimes[:2] == ["video/vp8", "video/h264"]
    kinds = [mime.split("/")[0] for mime in mimes]
    assert kinds == sorted(kinds, reverse=True), "video, then audio"
    assert {"video/vp9", "video/av1", "audio/opus", "audio/red"} <= set(mimes)
    assert "video/rtx" not in mimes
    assert join.fast_publish
    assert len(join.sif_trailer) >= 8


async def test_every_field_of_the_join_response(endpoint: Endpoint, path: JoinPath) -> None:
    name = unique("complete")
    async with (
        sdk(endpoint, "py", name, path) as py,
        sdk(endpoint, "ghost", name, path, grants={"hidden": True}) as ghost,
        publish_tone(py.room),
    ):
        await ghost.subscribed("py")
        async with wire(endpoint, "w", name, path) as client:
            join = await client.response("join")
    judged = {
        "room", "participant", "other_participants", "server_version", "ice_servers", "subscriber_primary",
        "alternative_url", "client_configuration", "server_region", "ping_timeout", "ping_interval", "server_info",
        "sif_trailer", "enabled_publish_codecs", "fast_publish",
    }  # fmt: skip
    assert {field.name for field in rtc.JoinResponse.DESCRIPTOR.fields} == judged
    _room(join, name)
    _participant(join)
    _other_participants(join)
    _server(join)
    _connection(join, path)
    _publishing(join)


async def test_who_may_not_publish_or_subscribe_is_told_so(endpoint: Endpoint, path: JoinPath) -> None:
    grants = {"canPublish": False, "canSubscribe": False, "hidden": True, "canUpdateOwnMetadata": True}
    async with wire(endpoint, "w", unique("poor"), path, grants=grants) as client:
        join = await client.response("join")
    assert join.participant.permission == models.ParticipantPermission(hidden=True, can_update_metadata=True)
    assert not join.fast_publish
    assert not join.subscriber_primary


@pytest.mark.parametrize(
    ("client", "everywhere", "publish"),
    [
        ({"browser": "Firefox", "os": "Linux"}, [], ["video/h264"]),
        ({"browser": "Safari", "browser_version": "17.6"}, ["video/av1"], []),
        ({"browser": "Safari", "browser_version": "18.4"}, ["video/av1"], ["video/vp9"]),
    ],
    ids=["firefox-linux", "safari-17", "safari-18.4"],
)
@pytest.mark.skipif(not OWN, reason="the reference lists more rules than protocol.md §4.1")
async def test_some_browsers_are_told_to_do_without_a_codec(
    endpoint: Endpoint, path: JoinPath, client: dict[str, str], everywhere: list[str], publish: list[str]
) -> None:
    options: dict[str, Any] = {"sdk": "js"} | client
    if path.single:
        info = json_format.ParseDict({"sdk": "JS"} | client, models.ClientInfo())
        options = {"request": rtc.JoinRequest(client_info=info)}
    async with wire(endpoint, "w", unique("device"), path, **options) as joiner:
        join = await joiner.response("join")
    disabled = join.client_configuration.disabled_codecs
    assert [codec.mime.lower() for codec in disabled.codecs] == everywhere
    assert [codec.mime.lower() for codec in disabled.publish] == publish
    allowed = {codec.mime.lower() for codec in join.enabled_publish_codecs}
    assert not allowed & {*everywhere, *publish}
    assert "video/vp8" in allowed
