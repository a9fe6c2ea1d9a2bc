"""A room at work: one task, one bounded inbox; input -> room -> drain -> effects, in order.

Owns the turn of one room: what clients ask, what the engine tells, what administrators want and when a deadline is
due all go through its inbox one after the other. Never decides (the room does) and never does I/O itself. The only
place below the edges with `except Exception`: a fault in one room closes that room, the others live.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from sfu.control import requests as rq
from sfu.control.effect_runner import ControlServices, EffectRunner
from sfu.control.engine_port import (
    AnswerReady,
    DescriptionRefused,
    EngineTell,
    MediaSectionsRequired,
    NegotiationRefused,
    OfferReady,
    ShardFailed,
    TransportTell,
)
from sfu.control.inbox import Inbox
from sfu.control.peer import PeerConnection, RTCIceCandidate, RTCSessionDescription
from sfu.errors import ErrorCode, SfuError
from sfu.ids import RequestId, TransportId, next_id
from sfu.room import inputs
from sfu.room.enums import DisconnectReason, LeaveAction
from sfu.room.messages import Leave
from sfu.room.settings import Now

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.control.sinks import SignalSink
    from sfu.ids import RoomId
    from sfu.room.room import Room
    from sfu.room.views import RoomView

__all__ = ["RoomActor"]

_INBOX_LIMIT = 16_384
_BATCH = 128
"""Items in one turn; then the loop gets a chance to do something else."""

_COME_BACK = Leave(DisconnectReason.STATE_MISMATCH, LeaveAction.RECONNECT)
_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A session that wants in, with its connection."""

    join: inputs.Join | inputs.Resume
    sink: SignalSink


@dataclass(frozen=True, slots=True)
class _Question:
    """An administrator's request and who waits for the answer."""

    input: inputs.RoomInput
    request: RequestId
    answer: asyncio.Future[object]


_Item = _Arrival | _Question | EngineTell | rq.TransportRequest | inputs.RoomInput
_TRANSPORT_TELLS = (AnswerReady, OfferReady, MediaSectionsRequired, NegotiationRefused)
_SINK_GONE = (inputs.SessionLost, inputs.SessionFailed)


class RoomActor:
    """Drives one room."""

    def __init__(self, room: Room, room_id: RoomId, services: ControlServices) -> None:
        self._room = room
        self._room_id = room_id
        self._services = services
        self._clock = services.clock
        self._runner = EffectRunner(services, room_id)
        self._inbox: Inbox[_Item] = Inbox(_INBOX_LIMIT)
        # Peers with an offer that the client has not answered yet.
        self._unanswered: dict[TransportId, PeerConnection] = {}
        self._lost = False
        self._stopped = False
        self._log = _log.bind(room=room.view().name)
        services.engine.attach(room_id, self)

    # ------------------------------------------------------------ from outside; none of these waits but `ask`

    @property
    def closed(self) -> bool:
        """Whether the room is over; a new one of the same name may begin."""
        return self._lost or self._room.closed

    def view(self) -> RoomView:
        """The room as it is now."""
        return self._room.view()

    def join(self, join: inputs.Join | inputs.Resume, sink: SignalSink) -> bool:
        """Lets a session in line, be it a new one or one that goes on; False when the inbox is full."""
        return self._inbox.put(_Arrival(join, sink))

    def post(self, item: inputs.RoomInput | rq.TransportRequest) -> bool:
        """Hands in what a session asks; False when the inbox is full: then that session has to end."""
        return self._inbox.put(item)

    def post_end(self, item: inputs.SessionLost | inputs.SessionFailed | inputs.LeaveRequested) -> None:
        """A session's end, which is never refused."""
        self._inbox.put_always(item)

    def hear(self, tell: EngineTell) -> None:
        """What the engine tells is never refused: the engine bounds it."""
        self._inbox.put_always(tell)

    def stop(self) -> None:
        """Ends the room at its next turn, in whatever state it is."""
        self._stopped = True
        self._inbox.wake()

    async def ask(self, make_input: Callable[[RequestId], inputs.RoomInput], timeout_s: float) -> object:
        """Hands in a request and waits for its `Reply`.

        Raises:
            SfuError: What the room answered; DEADLINE_EXCEEDED after `timeout_s`; UNAVAILABLE when the inbox is full;
                NOT_FOUND when the room ended first.
        """
        if self.closed:
            raise _gone()
        request = RequestId(next_id())
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        if not self._inbox.put(_Question(make_input(request), request, answer)):
            raise SfuError(ErrorCode.UNAVAILABLE, "the room is overloaded")
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise SfuError(ErrorCode.DEADLINE_EXCEEDED, "the room did not answer in time") from None
        finally:
            self._runner.forget(request)

    # ------------------------------------------------------------ the task

    async def run(self) -> None:
        """Takes turns until the room is over. Raises nothing but cancellation."""
        try:
            while not (self.closed or self._stopped):
                await self._inbox.wait(self._wait_s())
                self._turn()
                await asyncio.sleep(0)
        except Exception:
            self._log.exception("room failed")
            self._abandon()
        finally:
            self._end()

    def _turn(self) -> None:
        now = self._now()
        for _ in range(_BATCH):
            item = self._inbox.pop()
            if item is None or self.closed:
                if item is not None:
                    self._turn_away(item)
                break
            self._take(item, now)
        self._expire(now)

    def _take(self, item: _Item, now: Now) -> None:
        match item:
            case _Arrival():
                self._runner.add_sink(item.join.session, item.sink)
                self._handle(item.join, now)
            case _Question():
                self._runner.expect(item.request, item.answer)
                self._handle(item.input, now)
            case rq.ClientOffer():
                self._client_offer(item, now)
            case rq.ClientAnswer() | rq.ClientCandidate():
                self._client_negotiation(item)
            case AnswerReady() | OfferReady() | MediaSectionsRequired() | NegotiationRefused():
                self._transport_tell(item, now)
            case ShardFailed():
                self._abandon()
            case _:
                self._plain_input(item, now)

    def _plain_input(self, item: inputs.RoomInput, now: Now) -> None:
        if isinstance(item, _SINK_GONE):
            self._runner.drop_sink(item.session)
        elif isinstance(item, inputs.TransportConnected):
            if (peer := self._runner.peer(item.transport)) is not None:
                peer.connected = True
        elif isinstance(item, inputs.TransportFailed):
            self._runner.drop_peer(item.transport)
            self._unanswered.pop(item.transport, None)
        self._handle(item, now)

    def _handle(self, item: inputs.RoomInput, now: Now) -> None:
        self._runner.run(self._room.handle(item, now))

    # ------------------------------------------------------------ negotiation

    def _client_offer(self, request: rq.ClientOffer, now: Now) -> None:
        peer = self._runner.peer_of(request.session, takes_offers=True)
        if peer is None:
            return
        try:
            offer = peer.setRemoteDescription(RTCSessionDescription(request.sdp, "offer", request.id))
        except DescriptionRefused as refusal:
            self._negotiation_failed(inputs.NegotiationFailed(peer.transport, str(refusal)), now)
            return
        if offer is not None:
            self._handle(inputs.OfferReceived(request.session, request.id, offer.media), now)

    def _client_negotiation(self, request: rq.ClientAnswer | rq.ClientCandidate) -> None:
        if isinstance(request, rq.ClientAnswer):
            peer = self._runner.peer_of(request.session, takes_offers=False)
            if peer is not None:
                peer.setRemoteDescription(RTCSessionDescription(request.sdp, "answer", request.id))
            return
        # In single mode every candidate is for the one connection, whatever target it names.
        peer = self._runner.peer_of(request.session, takes_offers=not request.subscriber) or self._runner.peer_of(
            request.session, takes_offers=True
        )
        if peer is not None:
            peer.addIceCandidate(RTCIceCandidate(request.candidate))

    def _transport_tell(self, tell: TransportTell, now: Now) -> None:
        peer = self._runner.peer(tell.transport)
        if peer is None:
            return
        if isinstance(tell, OfferReady):
            self._unanswered[tell.transport] = peer
        for said in peer.hear(tell, now.monotonic_s):
            if isinstance(said, inputs.NegotiationFailed):
                self._negotiation_failed(said, now)
            else:
                self._runner.tell(peer.session, said)

    def _negotiation_failed(self, failure: inputs.NegotiationFailed, now: Now) -> None:
        self._log.info("negotiation failed", transport=failure.transport, reason=failure.reason)
        self._handle(failure, now)

    # ------------------------------------------------------------ time

    def _now(self) -> Now:
        return Now(monotonic_s=self._clock.monotonic_s(), wall_s=self._clock.wall_s())

    def _wait_s(self) -> float | None:
        deadlines = [peer.next_deadline_s for peer in self._unanswered.values()]
        deadlines.append(self._room.next_deadline_s)
        due = min((deadline for deadline in deadlines if deadline is not None), default=None)
        return None if due is None else max(0.0, due - self._clock.monotonic_s())

    def _expire(self, now: Now) -> None:
        for transport, peer in tuple(self._unanswered.items()):
            if peer.is_answered or self._runner.peer(transport) is not peer:
                del self._unanswered[transport]
            elif (failure := peer.expire(now.monotonic_s)) is not None:
                del self._unanswered[transport]
                self._negotiation_failed(failure, now)
        deadline_s = self._room.next_deadline_s
        if deadline_s is not None and deadline_s <= now.monotonic_s and not self.closed:
            self._runner.run(self._room.handle_timeout(now))

    # ------------------------------------------------------------ the end

    def _abandon(self) -> None:
        """The room cannot go on, through no fault of its participants: they are told to come back."""
        self._lost = True
        self._runner.abandon(_COME_BACK)

    def _end(self) -> None:
        if not self.closed:  # stopped, or its task was cancelled
            self._abandon()
        self._lost = True
        self._services.engine.detach(self._room_id)
        while (item := self._inbox.pop()) is not None:
            self._turn_away(item)
        self._runner.close(_gone())

    def _turn_away(self, item: _Item) -> None:
        """An item that came too late: who wanted in is sent to the room's successor, who asked hears of the end."""
        if isinstance(item, _Arrival):
            item.sink.close(_COME_BACK)
        elif isinstance(item, _Question) and not item.answer.done():
            item.answer.set_exception(_gone())


def _gone() -> SfuError:
    return SfuError(ErrorCode.NOT_FOUND, "requested room does not exist")
