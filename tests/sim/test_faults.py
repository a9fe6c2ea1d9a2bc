"""What goes wrong in one place stays there: refused descriptions, broken rooms, a lost shard, a full inbox."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sfu.control import actor as actor_module
from sfu.control.requests import ClientOffer
from sfu.errors import ErrorCode, SfuError
from sfu.ids import TrackSid
from sfu.room import messages as msg
from sfu.room.enums import DisconnectReason, LeaveAction
from sfu.room.inputs import CloseRoom, ListParticipants, MuteOwnTrack
from tests.sim.sim_client import join
from tests.sim.virtual_time import VirtualClock, in_virtual_time, settle
from tests.sim.world import open_world

COME_BACK = msg.Leave(DisconnectReason.STATE_MISMATCH, LeaveAction.RECONNECT)


@in_virtual_time
async def test_a_refused_description_ends_only_its_sender() -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        ann, bob = await join(world, "ann"), await join(world, "bob")
        await ann.connect()
        await bob.connect()
        bob.actor.post(ClientOffer(bob.session, "nonsense", 9))
        await settle()
        assert bob.last(msg.Leave).action is LeaveAction.RECONNECT
        assert not ann.closed
        world.engine.answers_offers = False
        carl = await join(world, "carl")
        carl.actor.post(ClientOffer(carl.session, "v=0\r\n", 1))
        await settle()
        assert carl.last(msg.Leave).action is LeaveAction.RECONNECT
        assert not ann.closed


@in_virtual_time
async def test_a_fault_in_one_room_closes_that_room_and_no_other() -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        ann = await join(world, "ann", room="red")
        bob = await join(world, "bob", room="blue")
        await ann.connect()
        await bob.connect()
        broken = ann.actor._room

        def explode(*_: Any) -> Any:
            raise ZeroDivisionError

        broken.__dict__["handle"] = explode
        answer = asyncio.ensure_future(ann.actor.ask(ListParticipants, timeout_s=5))
        await settle()
        assert ann.messages[-1] == COME_BACK
        assert ann.closed
        with pytest.raises(SfuError) as caught:
            await answer
        assert caught.value.code in {ErrorCode.UNAVAILABLE, ErrorCode.NOT_FOUND}
        assert not bob.closed
        assert list(world.engine.participants.values()) == [bob.actor._room_id]
        again = await join(world, "ann", room="red")
        assert again.last(msg.Joined).room.sid != ann.last(msg.Joined).room.sid


@in_virtual_time
async def test_a_lost_shard_sends_everybody_back_to_new_rooms() -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        ann = await join(world, "ann", room="red")
        bob = await join(world, "bob", room="blue", single=False)
        world.engine.fail_shard()
        await settle()
        assert ann.messages[-1] == bob.messages[-1] == COME_BACK
        assert len(world.registry) == 0
        again = await join(world, "ann", room="red")
        assert again.told(msg.Joined)


@in_virtual_time
async def test_a_session_learns_that_the_inbox_is_full() -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        ann = await join(world, "ann")
        request = MuteOwnTrack(ann.session, TrackSid("TR_x"), muted=True)
        taken = 0
        while ann.actor.post(request):
            taken += 1
        assert taken == actor_module._INBOX_LIMIT
        with pytest.raises(SfuError) as caught:
            await ann.actor.ask(ListParticipants, timeout_s=5)
        assert caught.value.code is ErrorCode.UNAVAILABLE
        await ann.vanish()  # an end is never refused


@in_virtual_time
async def test_an_arrival_at_a_room_that_ends_is_sent_to_its_successor() -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        ann = await join(world, "ann")
        closing = asyncio.ensure_future(
            ann.actor.ask(lambda request: CloseRoom(request, DisconnectReason.ROOM_DELETED), timeout_s=5)
        )
        late = await join(world, "bob")
        await closing
        assert ann.last(msg.Leave).reason is DisconnectReason.ROOM_DELETED
        assert late.messages == [COME_BACK] or late.told(msg.Joined)
        assert (await join(world, "carl")).told(msg.Joined)


@in_virtual_time
async def test_an_unanswered_question_ends_at_its_deadline() -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        ann = await join(world, "ann")
        ann.actor._room.__dict__["handle"] = lambda *_: []
        with pytest.raises(SfuError) as caught:
            await ann.actor.ask(ListParticipants, timeout_s=3)
        assert caught.value.code is ErrorCode.DEADLINE_EXCEEDED
        assert ann.actor._runner._asked == {}


@in_virtual_time
async def test_shutdown_tells_everybody_and_takes_nobody_else() -> None:
    await _shut_down(LeaveAction.DISCONNECT)


@in_virtual_time
async def test_shutdown_for_a_restart_asks_everybody_to_come_back() -> None:
    await _shut_down(LeaveAction.RECONNECT)


async def _shut_down(action: LeaveAction) -> None:
    async with open_world(clock=VirtualClock(), serve=False) as world:
        clients = [await join(world, name, room=name) for name in ("ann", "bob")]
        await world.registry.shutdown(DisconnectReason.SERVER_SHUTDOWN, come_back=action is LeaveAction.RECONNECT)
        await settle()
        expected = msg.Leave(DisconnectReason.SERVER_SHUTDOWN, action)
        assert [client.messages[-1] for client in clients] == [expected, expected]
        assert not world.registry.accepting
        with pytest.raises(SfuError) as caught:
            world.registry.get_or_create("late")
        assert caught.value.code is ErrorCode.UNAVAILABLE
        assert world.engine.participants == {}
