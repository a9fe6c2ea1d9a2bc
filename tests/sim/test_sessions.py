"""Sessions from join to leave on the whole server but for its engine, in virtual time."""

from __future__ import annotations

import asyncio

from sfu.control.requests import ClientAnswer, ClientCandidate, ClientOffer
from sfu.room import messages as msg
from sfu.room.enums import DisconnectReason, LeaveAction, ParticipantState
from sfu.room.inputs import LeaveRequested
from sfu.room.settings import RoomSettings
from tests.sim.fake_engine import CANDIDATES, make_offer
from tests.sim.sim_client import join
from tests.sim.virtual_time import VirtualClock, in_virtual_time, settle
from tests.sim.world import open_world


@in_virtual_time
async def test_join_comes_first_and_a_dual_client_gets_an_offer_with_candidates_after_it() -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        ann = await join(world, "ann", single=False)
        assert isinstance(ann.messages[0], msg.Joined)
        offer = ann.last(msg.Offer)
        assert 1 <= offer.id <= 256
        trickled = ann.told(msg.Trickle)
        assert [trickle.candidate for trickle in trickled] == list(CANDIDATES)
        assert [trickle.final for trickle in trickled] == [False, True]
        assert all(trickle.subscriber for trickle in trickled)
        assert ann.messages.index(offer) < ann.messages.index(trickled[0])


@in_virtual_time
async def test_a_single_client_is_answered_under_its_own_offer_id() -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        ann = await join(world, "ann")
        assert not ann.told(msg.Offer)
        for offer_id in (0, 7):
            ann.actor.post(ClientOffer(ann.session, make_offer(), offer_id))
            await settle()
            assert ann.last(msg.Answer).id == offer_id
        assert not any(trickle.subscriber for trickle in ann.told(msg.Trickle))
        assert len(ann.told(msg.Trickle)) == len(CANDIDATES)


@in_virtual_time
async def test_stale_answers_are_ignored_and_offer_ids_rise() -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        ann = await join(world, "ann", single=False)
        first = ann.last(msg.Offer)
        ann.actor.post(ClientAnswer(ann.session, "v=0\r\nstale", first.id + 5))
        await settle()
        assert ann.transport("subscriber").answers == []
        await ann.connect()
        bob = await join(world, "bob")
        await bob.connect()
        await bob.publish("mic")
        await settle()
        second = ann.last(msg.Offer)
        assert second.id == first.id + 1
        ann.actor.post(ClientAnswer(ann.session, "v=0\r\nlate", first.id))
        await settle()
        assert len(ann.transport("subscriber").answers) == 1


@in_virtual_time
async def test_candidates_before_the_description_wait_for_it() -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        ann = await join(world, "ann")
        ann.actor.post(ClientCandidate(ann.session, "candidate:9 1 udp 1 192.0.2.1 9 typ host", subscriber=False))
        await settle()
        assert ann.transport("both").candidates == []
        await ann.offer()
        assert len(ann.transport("both").candidates) == 1


@in_virtual_time
async def test_an_established_client_that_does_not_answer_has_to_come_back() -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        ann = await join(world, "ann", single=False)
        await ann.connect()
        bob = await join(world, "bob")
        await bob.connect()
        await bob.publish("mic")
        await asyncio.sleep(14)
        assert not ann.told(msg.Leave)
        await asyncio.sleep(2)
        await settle()
        assert ann.closed
        assert ann.last(msg.Leave).action is LeaveAction.RECONNECT


@in_virtual_time
async def test_who_never_connects_is_sent_away_after_a_minute() -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        ann = await join(world, "ann", single=False)
        await asyncio.sleep(59)
        assert not ann.closed
        await asyncio.sleep(2)
        assert ann.last(msg.Leave).reason is DisconnectReason.JOIN_FAILURE
        assert world.events.names()[-1] == "ParticipantAborted"


@in_virtual_time
async def test_media_is_announced_subscribed_and_bound_on_both_paths() -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        ann = await join(world, "ann", single=False)
        bob = await join(world, "bob")
        await ann.connect()
        await bob.connect()
        published = await bob.publish("mic")
        seen = ann.last(msg.ParticipantUpdate).participants
        assert [track.sid for view in seen for track in view.tracks] == [published.track.sid]
        await ann.answer()
        assert ann.last(msg.Offer).mid_to_track == {"0": published.track.sid}
        assert bob.last(msg.TrackSubscribed).track_sid == published.track.sid
        video = await ann.publish("cam", audio=False)
        assert bob.last(msg.MediaSectionsRequirement) == msg.MediaSectionsRequirement(0, 1)
        answer = await bob.offer(("audio", "sendonly", "mic"), ("video", "recvonly", ""))
        assert video.track.sid in answer.mid_to_track.values()


@in_virtual_time
async def test_leaving_frees_everything_in_the_engine_and_the_room_ends() -> None:
    async with open_world(clock=VirtualClock(), settings=RoomSettings(departure_timeout_s=20), serve=False) as world:
        ann, bob = await join(world, "ann", single=False), await join(world, "bob")
        await ann.connect()
        await bob.connect()
        await bob.publish("mic")
        bob.actor.post_end(LeaveRequested(bob.session))
        await settle()
        assert bob.closed
        assert ann.knows() == set()
        gone = ann.last(msg.ParticipantUpdate).participants[-1]
        assert (gone.state, gone.disconnect_reason) == (
            ParticipantState.DISCONNECTED,
            DisconnectReason.CLIENT_INITIATED,
        )
        assert world.engine.up_tracks == {}
        ann.actor.post_end(LeaveRequested(ann.session))
        await settle()
        assert (world.engine.participants, world.engine.transports) == ({}, {})
        await asyncio.sleep(25)
        assert world.registry.find("lobby") is None
        assert world.engine.consumers == {}
        assert len(world.registry) == 0
        assert world.events.names()[-1] == "RoomFinished"


@in_virtual_time
async def test_a_vanished_participant_is_gone_when_its_transport_fails() -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        ann, bob = await join(world, "ann"), await join(world, "bob")
        await ann.connect()
        await bob.connect()
        await bob.publish("mic")
        transport = bob.transport("both").id
        await bob.vanish()
        assert ann.knows() == {"bob"}
        world.engine.fail(transport)
        await settle()
        assert ann.knows() == set()


@in_virtual_time
async def test_fifty_joining_at_once_all_know_each_other() -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        names = {f"p{number}" for number in range(50)}
        clients = [await join(world, name, single=bool(index % 2)) for index, name in enumerate(sorted(names))]
        for client in clients:
            await client.connect()
        await asyncio.sleep(10)
        for client in clients:
            assert client.knows() == names - {client.identity}
