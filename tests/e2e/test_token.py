"""Tokens and keys: every grant, leeway, several keys, keys from the environment (protocol.md §7)."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format
from livekit import api
from livekit.protocol import models

from tests.e2e.support.api_client import get, twirp
from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.media import publish_tone
from tests.e2e.support.sdk_client import sdk
from tests.e2e.support.server import API_KEY, API_SECRET, ServerSpec, started
from tests.e2e.support.wire_client import wire

if TYPE_CHECKING:
    from tests.e2e.support.browser import Browser


def _minted(endpoint: Endpoint, identity: str, room: str, **grants: Any) -> str:
    token = api.AccessToken(endpoint.key, endpoint.secret).with_identity(identity).with_name("A name")
    return token.with_grants(api.VideoGrants(room_join=True, room=room, **grants)).to_jwt()


@pytest.mark.parametrize(
    ("grants", "expected"),
    [
        ({}, {"can_publish": True, "can_subscribe": True, "can_publish_data": True, "can_update_metadata": False}),
        ({"can_publish": False}, {"can_publish": False, "can_subscribe": True}),
        ({"can_publish": False, "can_publish_data": True}, {"can_publish": False, "can_publish_data": True}),
        ({"can_publish_data": False}, {"can_publish": True, "can_publish_data": False}),
        ({"can_subscribe": False}, {"can_subscribe": False, "can_publish": True}),
        ({"can_update_own_metadata": True}, {"can_update_metadata": True}),
        ({"hidden": True}, {"hidden": True}),
        ({"recorder": True}, {"recorder": True}),
        ({"agent": True}, {"agent": True}),
        ({"can_subscribe_metrics": True}, {"can_subscribe_metrics": True, "can_manage_agent_session": False}),
        ({"can_manage_agent_session": True}, {"can_manage_agent_session": True, "can_subscribe_metrics": False}),
        (
            {"can_publish_sources": ["camera", "microphone"]},
            {"can_publish_sources": [models.CAMERA, models.MICROPHONE], "can_publish": True},
        ),
        (
            {"can_publish_sources": ["screen_share", "screen_share_audio"]},
            {"can_publish_sources": [models.SCREEN_SHARE, models.SCREEN_SHARE_AUDIO]},
        ),
    ],
    ids=lambda value: "+".join(value) or "defaults" if isinstance(value, dict) else None,
)
async def test_a_minted_grant_becomes_the_permission(
    endpoint: Endpoint, path: JoinPath, grants: dict[str, Any], expected: dict[str, Any]
) -> None:
    room = unique("grant")
    async with wire(endpoint, "alice", room, path, token=_minted(endpoint, "alice", room, **grants)) as client:
        participant = (await client.response("join")).participant
        assert (participant.identity, participant.name) == ("alice", "A name")
        got = {name: getattr(participant.permission, name) for name in expected}
        got = {name: value if isinstance(value, bool) else list(value) for name, value in got.items()}
        assert got == expected


async def test_metadata_attributes_and_kind_come_from_the_token(endpoint: Endpoint, path: JoinPath) -> None:
    room = unique("claims")
    token = api.AccessToken(endpoint.key, endpoint.secret).with_identity("alice").with_metadata("about me")
    token = token.with_attributes({"mood": "fine"}).with_kind("agent")
    jwt = token.with_grants(api.VideoGrants(room_join=True, room=room)).to_jwt()
    async with wire(endpoint, "alice", room, path, token=jwt) as client:
        participant = (await client.response("join")).participant
        assert participant.metadata == "about me"
        assert dict(participant.attributes) == {"mood": "fine"}
        assert participant.kind == models.ParticipantInfo.AGENT


async def _made_by_plenum(endpoint: Endpoint, *flags: str) -> str:
    """What `plenum token create` prints for these flags."""
    program = Path(sys.executable).with_name("plenum")
    pair = ("--api-key", endpoint.key, "--api-secret", endpoint.secret)
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(program, "token", "create", *pair, *flags, stdout=pipe, stderr=pipe)
    out, err = await asyncio.wait_for(child.communicate(), 30)
    assert child.returncode == 0, err.decode()
    return out.decode().strip()


async def test_plenum_makes_tokens_that_clients_join_with(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    """Every grant of a participant by its flag: what the command signs is what both SDKs may then do."""
    room = unique("made")
    alice_token, web_token, admin_token = await asyncio.gather(
        _made_by_plenum(
            endpoint, "--join", "--room", room, "--identity", "alice", "--name", "Alice A.", "--metadata", "about me",
            "--attribute", "mood=fine", "--kind", "sip", "--allow-source", "microphone", "--no-publish-data",
            "--allow-update-metadata", "--subscribe-metrics", "--manage-agent-session", "--valid-for", "5m",
        ),
        _made_by_plenum(
            endpoint, "--join", "-r", room, "-i", "web", "--no-publish", "--no-subscribe", "--publish-data"
        ),
        _made_by_plenum(endpoint, "--admin", "-r", room, "-i", "admin"),
    )  # fmt: skip
    async with (
        sdk(endpoint, "alice", room, path, token=alice_token) as alice,
        chromium.client(endpoint, "web", room, path, token=web_token) as web,
    ):
        await alice.remote_here("web")
        await web.remote_here("alice")
        told = await web.run("""const { name, metadata, attributes, kind } = e2e.room.remoteParticipants.get('alice');
            const { canPublish, canSubscribe, canPublishData } = e2e.room.localParticipant.permissions;
            return [name, metadata, attributes.mood, kind, canPublish, canSubscribe, canPublishData];""")
        assert told == ["Alice A.", "about me", "fine", models.ParticipantInfo.SIP, False, False, True]
        answer = await twirp(endpoint, "GetParticipant", {"room": room, "identity": "alice"}, token=admin_token)
        permission = json_format.ParseDict(answer.json, models.ParticipantInfo()).permission
        expected = models.ParticipantPermission(
            can_subscribe=True,
            can_publish=True,
            can_publish_data=False,
            can_publish_sources=[models.MICROPHONE],
            can_update_metadata=True,
            can_subscribe_metrics=True,
            can_manage_agent_session=True,
        )
        assert permission == expected
        await alice.local.set_name("Alice B.")
        await web.journal.wait("participantNameChanged", lambda name, _: name == "Alice B.")
        async with publish_tone(alice.room):
            await web.journal.wait("trackPublished")
        await web.run("await e2e.room.localParticipant.publishData(new TextEncoder().encode('hi'), { reliable: true })")
        await alice.journal.wait("data_received", lambda p: bytes(p.data) == b"hi")


async def test_identity_in_jti_and_legacy_claim_are_known(endpoint: Endpoint) -> None:
    claims = endpoint.claims("alice", unique("jti"))
    del claims["sub"]
    verdict = await get(endpoint, "/rtc/validate", access_token=endpoint.sign(claims | {"jti": "alice"}))
    assert verdict.status == 200


async def test_a_minute_of_leeway_and_not_two(endpoint: Endpoint) -> None:
    now = int(time.time())
    claims = endpoint.claims("alice", unique("late"))

    async def status(**times: int) -> int:
        return (await get(endpoint, "/rtc/validate", access_token=endpoint.sign(claims | times))).status

    assert await status(nbf=now - 600, exp=now - 30) == 200
    assert await status(nbf=now - 600, exp=now - 120) == 401
    assert await status(nbf=now + 30) == 200
    assert await status(nbf=now + 120) == 401


async def test_two_key_pairs_are_both_good() -> None:
    keys = {API_KEY: API_SECRET, "second": "the-second-secret-is-also-long-enough"}
    async with started(ServerSpec(config={"keys": keys})) as server:
        first = server.endpoint
        second = Endpoint(first.host, first.port, "second", keys["second"])
        room = unique("keys")
        async with (
            sdk(first, "alice", room, JoinPath.V0) as alice,
            sdk(second, "bob", room, JoinPath.V1),
        ):
            await alice.remote_here("bob")
        third = Endpoint(first.host, first.port, "third", keys["second"])
        verdict = await get(first, "/rtc/validate", access_token=third.token("x", room))
        assert verdict.status == 401
        assert verdict.text.startswith("invalid API key")


async def test_keys_come_from_the_environment() -> None:
    spec = ServerSpec(environment={"LIVEKIT_KEYS": f"{API_KEY}: {API_SECRET}"}, without_keys=True)
    async with started(spec) as server, sdk(server.endpoint, "alice", unique("env"), JoinPath.V1) as alice:
        assert alice.local.sid.startswith("PA_")
