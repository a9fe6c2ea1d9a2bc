"""How many subscriptions a participant may have at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livekit import rtc

from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.media import assert_tone, publish_bars, publish_tone, see
from tests.e2e.support.sdk_client import sdk
from tests.e2e.support.server import ServerSpec

if TYPE_CHECKING:
    from tests.e2e.support.browser import Browser

SERVER = ServerSpec(config={"limit": {"subscription_limit_video": 1}})


async def test_a_subscription_above_the_limit_waits_for_a_slot(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    """ADA11: of two cameras one comes, and all sound; once the first is not wanted any more the other comes."""
    room = unique("limit")
    async with (
        sdk(endpoint, "alice", room, path) as alice,
        publish_bars(alice.room, name="first") as (first, _),
        publish_bars(alice.room, name="second", source=rtc.TrackSource.SOURCE_SCREENSHARE) as (second, _),
        publish_tone(alice.room, 440),
        sdk(endpoint, "bob", room, path) as bob,
        chromium.client(endpoint, "web", room, path) as web,
    ):
        got = await bob.subscribed("alice", rtc.TrackSource.SOURCE_CAMERA)
        await assert_tone(await bob.subscribed("alice", rtc.TrackSource.SOURCE_MICROPHONE), 440)
        assert (await see(got)).moved
        seen = await web.see("alice", sid=first.sid)
        assert seen["moved"]
        for client, name in ((bob, "track_subscribed"), (web, "trackSubscribed")):
            assert len(client.journal.seen(name)) == 2, "one picture and the sound"
        publications = bob.remote("alice").track_publications
        publications[first.sid].set_subscribed(False)
        assert (await see(await bob.subscribed("alice", rtc.TrackSource.SOURCE_SCREENSHARE))).moved
        await web.run(
            "e2e.room.remoteParticipants.get('alice').trackPublications.get(sid).setSubscribed(false)", sid=first.sid
        )
        assert (await web.see("alice", sid=second.sid))["moved"]
