"""Subscribing: by itself, by wish, by permission, by the server, and what late joiners are told (protocol.md §4.11)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from livekit import api, rtc
from livekit.protocol import rtc as wire_rtc

from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.journal import eventually
from tests.e2e.support.media import assert_tone, publish_bars, publish_tone
from tests.e2e.support.sdk_client import SdkClient, sdk
from tests.e2e.support.wire_client import wire

if TYPE_CHECKING:
    from tests.e2e.support.browser import Browser


async def test_existing_and_new_tracks_come_by_themselves(endpoint: Endpoint, path: JoinPath) -> None:
    room = unique("auto")
    async with (
        sdk(endpoint, "alice", room, path) as alice,
        publish_tone(alice.room, 440) as (existing, _),
        sdk(endpoint, "bob", room, path) as bob,
    ):
        assert (await bob.subscribed("alice", rtc.TrackSource.SOURCE_MICROPHONE)).sid == existing.sid
        async with publish_bars(alice.room) as (new, _):
            assert (await bob.subscribed("alice", rtc.TrackSource.SOURCE_CAMERA)).sid == new.sid
        await assert_tone(await bob.subscribed("alice", rtc.TrackSource.SOURCE_MICROPHONE), 440)


async def test_unpublishing_unsubscribes(endpoint: Endpoint, path: JoinPath) -> None:
    room = unique("unpub")
    async with (
        sdk(endpoint, "alice", room, path) as alice,
        sdk(endpoint, "bob", room, path) as bob,
        publish_tone(alice.room) as (publication, _),
    ):
        await bob.subscribed("alice")
        await alice.local.unpublish_track(publication.sid)
        await bob.journal.wait("track_unsubscribed", lambda t, *_: t.sid == publication.sid)
        await bob.journal.wait("track_unpublished", lambda pub, _: pub.sid == publication.sid)


async def _packets_received(client: SdkClient) -> int:
    stats = await client.room.get_rtc_stats()
    reports = [*stats.publisher_stats, *stats.subscriber_stats]
    return sum(r.inbound_rtp.received.packets_received for r in reports if r.HasField("inbound_rtp"))


async def test_unsubscribe_and_subscribe_again(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    room = unique("sub")
    async with (
        sdk(endpoint, "py", room, path) as py,
        publish_tone(py.room, 440),
        chromium.client(endpoint, "web", room, path) as web,
        sdk(endpoint, "bob", room, path) as bob,
    ):
        await web.hear("py", 440)
        await bob.subscribed("py")
        choose = "[...e2e.room.remoteParticipants.get('py').trackPublications.values()][0].setSubscribed(on)"
        since_web, since_bob = web.journal.mark(), bob.journal.mark()
        publication = next(iter(bob.remote("py").track_publications.values()))
        publication.set_subscribed(False)
        await bob.journal.wait("track_unsubscribed", since=since_bob)
        await web.run(choose, on=False)
        await web.journal.wait("trackUnsubscribed", since=since_web)
        await web.run(choose, on=True)
        await web.journal.wait("trackSubscribed", since=since_web)
        await web.hear("py", 440)
        before = await _packets_received(bob)
        publication.set_subscribed(True)
        if path.single:
            await assert_tone(await bob.subscribed("py", since=since_bob), 440)

        # With two peer connections this SDK never forgets which stream it has reported in which section (with one it
        # does, when the stream is gone): a track back in its old section is not reported, though its packets come.
        async def flowing() -> bool:
            return await _packets_received(bob) > before + 50

        await eventually(flowing, "a second of packets")


async def test_a_track_may_go_and_come_back_at_once(endpoint: Endpoint, path: JoinPath) -> None:
    """An offer with one track on two lines ends this SDK's connection."""
    room = unique("flicker")
    async with (
        sdk(endpoint, "alice", room, path) as alice,
        publish_tone(alice.room, 440),
        publish_bars(alice.room),
        sdk(endpoint, "bob", room, path) as bob,
    ):
        await bob.subscribed("alice", rtc.TrackSource.SOURCE_MICROPHONE)
        await bob.subscribed("alice", rtc.TrackSource.SOURCE_CAMERA)

        def wish(subscribed: bool) -> None:
            for publication in bob.remote("alice").track_publications.values():
                publication.set_subscribed(subscribed)

        async def flowing() -> None:
            least = await _packets_received(bob)

            async def more() -> bool:
                nonlocal least
                received = await _packets_received(bob)
                least = min(least, received)  # streams that are gone count no more
                return received > least + 100

            await eventually(more, "a second of packets")

        for gap_s in (0, 0.01, 0.03):
            await flowing()
            for subscribed in (False, True, False, True):
                wish(subscribed)
                await asyncio.sleep(gap_s)  # while the last frames of the sound are sent
            # What is wished at once this SDK sends in any order: the last wish may not be the last that is heard.
            await asyncio.sleep(0.3)
            wish(True)
            await flowing()
            for allowed in (False, True):
                alice.local.set_track_subscription_permissions(allow_all_participants=allowed)
                await asyncio.sleep(gap_s)
            await asyncio.sleep(0.3)
            alice.local.set_track_subscription_permissions(allow_all_participants=True)
        await flowing()
        assert not bob.journal.seen("reconnecting")
        assert not bob.journal.seen("disconnected")


async def test_the_publisher_chooses_who_may_subscribe(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    room = unique("permit")
    async with (
        chromium.client(endpoint, "alice", room, path) as alice,
        chromium.client(endpoint, "carol", room, path) as carol,
        chromium.client(endpoint, "bob", room, path) as bob,
    ):
        for other in ("bob", "carol"):
            await alice.remote_here(other)
        permit = "e2e.room.localParticipant.setTrackSubscriptionPermissions(all, list)"
        carol_sid = await carol.run("return e2e.room.localParticipant.sid")
        await alice.run(permit, all=False, list=[{"participantIdentity": "bob", "allowAll": True}])
        await alice.publish_tone(440)
        await bob.hear("alice", 440)
        await carol.journal.never("trackSubscribed", since=0, window_s=1.5)
        await carol.journal.wait(
            "trackSubscriptionPermissionChanged", lambda _pub, status, _who: status == "not_allowed"
        )
        since = bob.journal.mark()
        await alice.run(permit, all=False, list=[{"participantSid": carol_sid, "allowAll": True}])
        await bob.journal.wait("trackUnsubscribed", since=since)
        await carol.journal.wait("trackSubscribed")
        await carol.hear("alice", 440)
        assert not bob.journal.seen("trackSubscribed", since=since)
        since = carol.journal.mark()
        await alice.run(permit, all=False, list=[])
        await carol.journal.wait("trackUnsubscribed", since=since)
        await alice.run(permit, all=True, list=[])
        await carol.journal.wait("trackSubscribed", since=since)
        await bob.hear("alice", 440)


async def test_permission_by_track_and_before_anyone_is_there(endpoint: Endpoint, path: JoinPath) -> None:
    room = unique("permit-track")
    async with (
        sdk(endpoint, "alice", room, path) as alice,
        publish_tone(alice.room, 440) as (open_to_bob, _),
        publish_tone(alice.room, 550, source=rtc.TrackSource.SOURCE_SCREENSHARE_AUDIO) as (closed, _),
    ):
        alice.local.set_track_subscription_permissions(
            allow_all_participants=False,
            participant_permissions=[
                rtc.ParticipantTrackPermission(
                    participant_identity="bob", allow_all=False, allowed_track_sids=[open_to_bob.sid]
                )
            ],
        )
        async with sdk(endpoint, "bob", room, path) as bob:
            await assert_tone(await bob.subscribed("alice", rtc.TrackSource.SOURCE_MICROPHONE), 440)
            assert not bob.journal.seen("track_subscribed", lambda t, *_: t.sid == closed.sid)


async def test_without_the_grant_nothing_is_subscribed(endpoint: Endpoint, path: JoinPath) -> None:
    room, grants = unique("nosub"), {"canSubscribe": False}
    async with (
        sdk(endpoint, "alice", room, path) as alice,
        publish_tone(alice.room),
        sdk(endpoint, "bob", room, path, grants=grants) as bob,
    ):
        await bob.remote_here("alice")
        await bob.journal.never("track_subscribed", since=0, window_s=1.5)


async def test_the_server_subscribes_and_unsubscribes_for_others(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    room = unique("force")
    async with (
        sdk(endpoint, "alice", room, path) as alice,
        publish_tone(alice.room, 440) as (publication, _),
        chromium.client(endpoint, "web", room, path, connect_options={"autoSubscribe": False}) as web,
        api.LiveKitAPI(endpoint.http_url, endpoint.key, endpoint.secret) as lk,
    ):

        async def force(subscribe: bool) -> None:
            await lk.room.update_subscriptions(
                api.UpdateSubscriptionsRequest(
                    room=room, identity="web", track_sids=[publication.sid], subscribe=subscribe
                )
            )

        await web.remote_here("alice")
        assert not web.journal.seen("trackSubscribed")
        await force(True)
        await web.hear("alice", 440)
        # What was forced stays when others come and go, but what the publisher allows counts.
        async with sdk(endpoint, "carol", room, path) as carol, publish_tone(carol.room, 660):
            await web.remote_here("carol")
            await web.hear("alice", 440)
        assert {who["identity"] for _, _, who in (e.args for e in web.journal.seen("trackSubscribed"))} == {"alice"}
        alice.local.set_track_subscription_permissions(allow_all_participants=False, participant_permissions=[])
        await web.journal.wait("trackUnsubscribed")
        since = web.journal.mark()
        await force(True)
        alice.local.set_track_subscription_permissions(allow_all_participants=True)
        await web.hear("alice", 440)
        assert len(web.journal.seen("trackSubscribed", since=since)) == 1
        await force(False)
        await web.journal.wait("trackUnsubscribed", since=since)


async def test_the_publisher_hears_of_its_first_subscriber(endpoint: Endpoint, path: JoinPath) -> None:
    room = unique("first")
    async with sdk(endpoint, "alice", room, path) as alice, publish_tone(alice.room) as (publication, _):
        await alice.journal.never("local_track_subscribed", since=0, window_s=0.5)
        async with sdk(endpoint, "bob", room, path):
            await asyncio.wait_for(publication.wait_for_subscription(), 10)
            await alice.journal.wait("local_track_subscribed")


async def test_a_late_joiner_knows_what_is_muted(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    room = unique("late")
    async with (
        sdk(endpoint, "alice", room, path) as alice,
        sdk(endpoint, "early", room, path) as early,
        publish_tone(alice.room, 440) as (publication, track),
    ):
        await early.subscribed("alice")
        track.mute()
        await early.journal.wait("track_muted")
        async with chromium.client(endpoint, "web", room, path) as web:
            muted = await web.run(
                "return [...e2e.room.remoteParticipants.get('alice').trackPublications.values()].map((p) => p.isMuted)"
            )
            assert muted == [True]
            await web.journal.wait("trackSubscribed")
            track.unmute()
            await web.journal.wait("trackUnmuted", lambda pub, _: pub["publication"] == publication.sid)
            await web.hear("alice", 440)


async def test_wishes_for_unknown_tracks_harm_nobody(endpoint: Endpoint, path: JoinPath) -> None:

    async with wire(endpoint, "w", unique("wish"), path) as client:
        await client.response("join")
        await client.send(subscription=wire_rtc.UpdateSubscription(track_sids=["TR_nothing"], subscribe=True))
        await client.send(track_setting=wire_rtc.UpdateTrackSettings(track_sids=["TR_nothing"], disabled=True))
        await client.send(ping=1)
        await client.response("pong")
        assert not client.journal.seen("leave")


async def test_a_disabled_track_sends_nothing_until_enabled(
    endpoint: Endpoint, path: JoinPath, chromium: Browser
) -> None:
    """SUB07: a disabled track is silent, and stays so while others come and go, until it is enabled."""
    room = unique("disable")
    async with (
        sdk(endpoint, "py", room, path) as py,
        publish_bars(py.room),
        chromium.client(endpoint, "web", room, path) as web,
    ):
        await web.see("py")
        count = """const r = await e2e.stats('inbound-rtp', (s) => s.kind === 'video');
            return r.reduce((n, s) => n + s.packetsReceived, 0);"""
        publication = "[...e2e.room.remoteParticipants.get('py').trackPublications.values()][0]"
        await web.run(f"{publication}.setEnabled(false)")
        stopped = await web.run(
            f"""const count = async () => {{ {count} }};
            let last = await count();
            return e2e.until(async () => {{
                await new Promise((r) => setTimeout(r, 700));
                const now = await count();
                const still = now - last <= 2;
                last = now;
                return still;
            }}, 'standstill of the packets');"""
        )
        assert stopped
        before = await web.run(count)
        async with publish_tone(py.room, 440) as (tone, _):
            await web.hear("py", 440)
            await web.run(
                "e2e.room.remoteParticipants.get('py').trackPublications.get(sid).setSubscribed(false)", sid=tone.sid
            )
            await web.journal.wait("trackUnsubscribed")
        assert await web.run(count) <= before + 2, "what was negotiated since has not turned it on"
        await web.run(f"{publication}.setEnabled(true)")
        assert (await web.see("py"))["moved"]
