"""Connections that break and go on: the whole server but for its engine."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from livekit.protocol import models, rtc

from auth.grants import Claims, VideoGrants
from auth.tokens import issue
from sfu.control.requests import ClientAnswer, ClientOffer
from sfu.ids import TrackSid
from sfu.room import messages as msg
from sfu.room.enums import DisconnectReason, LeaveAction, Scenario
from sfu.room.inputs import LeaveRequested, RemoveParticipant, Simulate, SyncState, UpdateParticipant
from sfu.room.views import PermissionView
from tests.sim.fake_engine import CANDIDATES, make_offer
from tests.sim.raw_client import RawClient, connect, join_request, read_all
from tests.sim.sim_client import join
from tests.sim.virtual_time import VirtualClock, in_virtual_time, settle
from tests.sim.world import KEY, SECRET, make_token, open_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.sim.world import World


@in_virtual_time
async def test_a_single_client_goes_on_with_its_tracks() -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        ann, bob = await join(world, "ann"), await join(world, "bob")
        await ann.connect()
        await bob.connect()
        published = await ann.publish("mic")
        world.engine.last_sequence = 42
        transports, told = set(world.engine.transports), len(bob.messages)
        await ann.vanish()
        await asyncio.sleep(10)
        back = await ann.resume()
        assert back.messages[0] == msg.Reconnected(42)
        answer = await back.offer(("audio", "sendonly", "mic"))
        assert answer.id == ann.last(msg.Answer).id + 1
        assert set(world.engine.transports) == transports
        assert len(world.engine.up_tracks) == 1
        unrelated = {msg.RoomUpdate, msg.ConnectionQualityUpdate}
        assert {type(message) for message in bob.messages[told:]} <= unrelated, "nothing of it"
        own = [view for update in back.told(msg.ParticipantUpdate) for view in update.participants]
        assert published.track.sid in {track.sid for view in own for track in view.tracks}


@in_virtual_time
async def test_a_dual_client_is_offered_new_credentials_and_our_candidates_again() -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        ann = await join(world, "ann", single=False)
        await ann.connect()
        first = ann.last(msg.Offer)
        back = await ann.resume()
        assert ann.closed, "the old connection is closed without a leave"
        assert not ann.told(msg.Leave)
        offer = back.last(msg.Offer)
        assert offer.id == first.id + 1
        assert [trickle.candidate for trickle in back.told(msg.Trickle)] == list(CANDIDATES)
        await back.answer()
        assert len(back.transport("subscriber").answers) == 2
        assert back.transport("subscriber").restarts == 1


@in_virtual_time
async def test_late_requests_of_the_old_connection_are_ignored() -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        ann = await join(world, "ann", single=False)
        await ann.connect()
        back = await ann.resume()
        offer = back.last(msg.Offer)
        ann.actor.post(ClientAnswer(ann.session, "v=0\r\nlate", offer.id))
        ann.actor.post(ClientOffer(ann.session, make_offer(), 9))
        ann.actor.post_end(LeaveRequested(ann.session))
        await ann.vanish()
        assert back.transport("subscriber").answers == ["v=0\r\nanswer"]
        assert not back.closed
        assert not back.told(msg.Answer)


@in_virtual_time
async def test_an_answer_to_an_offer_of_the_old_connection_is_not_told_to_the_new_one() -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        ann = await join(world, "ann")
        await ann.connect()
        ann.actor.post(ClientOffer(ann.session, make_offer(), 5))
        back = await ann.resume()
        assert not back.told(msg.Answer)
        assert (await back.offer()).id == 2


@in_virtual_time
async def test_nobody_is_blamed_for_not_answering_while_away() -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        ann, bob = await join(world, "ann", single=False), await join(world, "bob")
        await ann.connect()
        await bob.connect()
        await ann.vanish()
        await bob.publish("mic")
        await asyncio.sleep(60)
        assert bob.knows() == {"ann"}
        back = await ann.resume()
        await back.answer()
        assert list(back.last(msg.Offer).mid_to_track.values()) == [bob.last(msg.TrackPublished).track.sid]
        await asyncio.sleep(60)
        assert not back.closed


@in_virtual_time
async def test_who_may_subscribe_since_it_was_away_is_offered_its_tracks() -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        grants = VideoGrants(room_join=True, room="lobby", can_subscribe=False)
        ann, bob = await join(world, "ann", single=False, video=grants), await join(world, "bob")
        await ann.offer()
        world.engine.connect(ann.transport("publisher").id)
        await bob.connect()
        published = await bob.publish("mic")
        await ann.vanish()
        await ann.actor.ask(lambda request: UpdateParticipant(request, "ann", permission=PermissionView()), timeout_s=5)
        back = await ann.resume()
        await back.answer()
        assert list(back.last(msg.Offer).mid_to_track.values()) == [published.track.sid]


@in_virtual_time
async def test_a_silent_engine_delays_a_resume_by_a_second_at_most() -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        ann = await join(world, "ann")
        await ann.connect()
        world.engine.ask_last_sequence = lambda participant: None  # type: ignore[method-assign]
        back = await ann.resume()
        assert back.messages == []
        await asyncio.sleep(1.1)
        assert back.messages[0] == msg.Reconnected(0)


@in_virtual_time
async def test_missed_data_is_sent_again_and_bogus_tracks_are_refused() -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        ann, bob = await join(world, "ann"), await join(world, "bob")
        await ann.connect()
        sid = bob.last(msg.Joined).participant.sid
        back = await ann.resume()
        back.actor.post(SyncState(back.session, received=((sid, 3),)))
        await settle()
        assert [received for _, received in world.engine.replayed] == [((sid, 3),)]
        back.actor.post(SyncState(back.session, published=(TrackSid("TR_bogus"),)))
        await settle()
        assert back.last(msg.Leave) == msg.Leave(DisconnectReason.STATE_MISMATCH, LeaveAction.RECONNECT)


@in_virtual_time
async def test_a_full_reconnect_is_one_leave_and_one_join_for_the_others() -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        ann, bob = await join(world, "ann"), await join(world, "bob")
        await ann.connect()
        await bob.connect()
        await ann.publish("mic")
        ann.actor.post(Simulate(ann.session, Scenario.LEAVE_REQUEST_FULL_RECONNECT))
        await settle()
        told = len(bob.told(msg.ParticipantUpdate))
        again = await join(world, "ann")
        await again.connect()
        await again.publish("mic")
        news = [v for update in bob.told(msg.ParticipantUpdate)[told:] for v in update.participants]
        assert {view.sid for view in news} == {again.last(msg.Joined).participant.sid}
        assert bob.knows() == {"ann"}


# ---------------------------------------------------------------- over real WebSockets


@contextlib.asynccontextmanager
async def joined(world: World, *, v1: bool) -> AsyncIterator[tuple[RawClient, str]]:
    """A connection that has joined and whose transport is up, and its participant's sid."""
    async with connect(world, v1=v1) as client:
        sid = (await client.next()).join.participant.sid
        transport = world.engine.transport_of("both" if v1 else "subscriber")
        world.engine.connect(transport.id)
        yield client, sid


def reconnect_query(sid: str, *, v1: bool) -> dict[str, str]:
    """What a client adds to come back."""
    if v1:
        return {"join_request": join_request(reconnect=True, participant_sid=sid)}
    return {"reconnect": "1", "sid": sid}


async def check_resume(*, v1: bool) -> None:
    """A broken connection goes on, with a newer token too."""
    async with open_world() as world:
        async with joined(world, v1=v1) as (_, sid):
            pass
        newer = make_token(room_list=True)
        async with connect(world, v1=v1, token=newer, **reconnect_query(sid, v1=v1)) as back:
            first = await back.next()
            assert first.WhichOneof("message") == "reconnect"
            assert first.reconnect.server_info.version
            update = await back.until("update")
            assert [participant.sid for participant in update.update.participants] == [sid]
            assert (await back.until("room_update")).room_update.room.name == "lobby"
            assert (await back.until("refresh_token")).refresh_token


async def test_a_client_resumes_by_the_first_path() -> None:
    await check_resume(v1=False)


async def test_a_client_resumes_by_the_second_path() -> None:
    await check_resume(v1=True)


async def test_the_old_connection_is_closed_without_a_word() -> None:
    async with (
        open_world() as world,
        joined(world, v1=True) as (old, sid),
        connect(world, v1=True, **reconnect_query(sid, v1=True)) as back,
    ):
        await back.until("refresh_token")
        names, _ = await read_all(old)
        assert "leave" not in names
        await back.send(ping=1)
        await back.until("pong")


async def test_of_two_that_come_back_at_once_the_later_one_goes_on() -> None:
    async with open_world() as world, joined(world, v1=True) as (old, sid):
        query = reconnect_query(sid, v1=True)
        ask, asked = world.engine.ask_last_sequence, asyncio.Event()
        world.engine.ask_last_sequence = lambda participant: asked.set()  # type: ignore[method-assign]
        async with connect(world, v1=True, **query) as first:
            await asked.wait()
            world.engine.ask_last_sequence = ask  # type: ignore[method-assign]
            async with connect(world, v1=True, **query) as second:
                await second.until("refresh_token")
                assert await read_all(first) == ([], 1000)
                names, _ = await read_all(old)
                assert "leave" not in names
                await second.send(ping=1)
                await second.until("pong")


async def test_a_removal_reaches_who_is_just_coming_back() -> None:
    async with open_world() as world:
        async with joined(world, v1=True) as (_, sid):
            pass
        asked = asyncio.Event()
        world.engine.ask_last_sequence = lambda participant: asked.set()  # type: ignore[method-assign]
        async with connect(world, v1=True, **reconnect_query(sid, v1=True)) as back:
            await asked.wait()
            actor = world.registry.find("lobby")
            assert actor is not None
            await actor.ask(lambda request: RemoveParticipant(request, "ann"), 5)
            leave = (await back.next()).leave
            assert leave.action == rtc.LeaveRequest.Action.DISCONNECT
            assert leave.reason == models.DisconnectReason.PARTICIPANT_REMOVED


async def test_an_unknown_sid_and_an_unknown_room_have_to_begin_anew() -> None:
    async with open_world() as world, joined(world, v1=False):
        for room, sid in (("lobby", "PA_unknown"), ("elsewhere", "PA_unknown")):
            token = make_token(room=room)
            async with connect(world, token=token, reconnect="1", sid=sid) as back:
                leave = (await back.next()).leave
                assert leave.action == rtc.LeaveRequest.Action.RECONNECT
                assert leave.reason == models.DisconnectReason.STATE_MISMATCH


async def test_who_comes_back_needs_a_token_that_holds() -> None:
    async with open_world() as world, joined(world, v1=False) as (_, sid):
        assert world.http is not None
        video = VideoGrants(room_join=True, room="lobby")
        ended = issue(Claims(api_key=KEY, identity="ann", video=video), SECRET, now_s=time.time() - 1e6)
        headers = {"Authorization": f"Bearer {ended}", "Upgrade": "websocket", "Connection": "Upgrade"}
        async with world.http.get(f"{world.url}/rtc?reconnect=1&sid={sid}", headers=headers) as answer:
            assert answer.status == 401


async def test_sync_state_is_read_from_the_wire() -> None:
    async with (
        open_world() as world,
        joined(world, v1=True) as (_, sid),
        connect(world, v1=True, **reconnect_query(sid, v1=True)) as back,
    ):
        await back.until("refresh_token")
        states = [rtc.DataChannelReceiveState(publisher_sid="PA_bob", last_seq=9)]
        await back.send(sync_state=rtc.SyncState(datachannel_receive_states=states))
        bogus = [rtc.TrackPublishedResponse(cid="x", track=models.TrackInfo(sid="TR_bogus"))]
        await back.send(sync_state=rtc.SyncState(publish_tracks=bogus))
        assert (await back.until("leave")).leave.action == rtc.LeaveRequest.Action.RECONNECT
        assert [received for _, received in world.engine.replayed] == [(("PA_bob", 9),)]


async def test_a_simulated_failure_never_shows_as_a_normal_close() -> None:
    async with open_world() as world, joined(world, v1=True) as (client, _):
        await client.send(simulate=rtc.SimulateScenario(node_failure=True))
        names, code = await read_all(client)
        assert "leave" not in names
        assert code != 1000


async def test_an_empty_simulation_is_ignored() -> None:
    async with open_world() as world, joined(world, v1=True) as (client, _):
        await client.send(simulate=rtc.SimulateScenario())
        await client.send(ping=1)
        await client.until("pong")
