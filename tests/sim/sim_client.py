"""A client without a socket: a session of a room that writes down what it is told.

Owns one session's side of the conversation, in the domain's words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from auth.grants import Claims, VideoGrants
from sfu.control.requests import ClientAnswer, ClientOffer
from sfu.ids import SessionId, next_id
from sfu.room import messages as msg
from sfu.room.enums import TrackSource, TrackType
from sfu.room.inputs import AddTrack, ClientDescription, Join, Resume, SessionLost
from tests.sim.fake_engine import make_offer
from tests.sim.virtual_time import settle

if TYPE_CHECKING:
    from sfu.control.actor import RoomActor
    from sfu.control.sinks import Outgoing
    from tests.sim.fake_engine import FakeTransport
    from tests.sim.world import World

__all__ = ["SimClient", "join"]

M = TypeVar("M", bound=msg.Message)


class SimClient:
    """Implements `SignalSink` by remembering."""

    def __init__(self, world: World, actor: RoomActor, identity: str, *, single: bool) -> None:
        self.world = world
        self.actor = actor
        self.identity = identity
        self.single = single
        self.session = SessionId(next_id())
        self.messages: list[msg.Message] = []
        self.closed = False
        self._offer_id = 0

    # ------------------------------------------------------------ SignalSink

    def send(self, outgoing: Outgoing) -> None:
        """See `SignalSink`."""
        assert not self.closed, "told something after the end"
        self.messages.append(outgoing.message)

    def close(self, leave: msg.Leave | None) -> None:
        """See `SignalSink`."""
        assert not self.closed, "closed twice"
        if leave is not None:
            self.messages.append(leave)
        self.closed = True

    # ------------------------------------------------------------ what tests ask

    def told(self, kind: type[M]) -> list[M]:
        """Messages of one kind, in order."""
        return [message for message in self.messages if isinstance(message, kind)]

    def last(self, kind: type[M]) -> M:
        """The newest message of one kind."""
        found = self.told(kind)
        assert found, f"{self.identity} was told only {[type(message).__name__ for message in self.messages]}"
        return found[-1]

    def knows(self) -> set[str]:
        """Identities of the participants that it believes to be there, itself not counted."""
        joined = self.last(msg.Joined)
        known = {view.sid: view for view in joined.other_participants}
        for update in self.told(msg.ParticipantUpdate):
            for view in update.participants:
                if view.sid not in known or view.version >= known[view.sid].version:
                    known[view.sid] = view
        own = joined.participant.sid
        return {view.identity for view in known.values() if view.sid != own and view.state.name != "DISCONNECTED"}

    # ------------------------------------------------------------ what it does

    def transport(self, role: str) -> FakeTransport:
        """Its transport of a role in the engine."""
        peer = self.actor._runner.peer_of(self.session, takes_offers=role != "subscriber")
        assert peer is not None
        return self.world.engine.transports[peer.transport]

    async def connect(self) -> None:
        """Negotiates and connects its primary transport."""
        if self.single:
            await self.offer()
            self.world.engine.connect(self.transport("both").id)
        else:
            await self.answer()
            self.world.engine.connect(self.transport("subscriber").id)
        await settle()

    async def answer(self) -> None:
        """Answers the newest offer of ours."""
        offer = self.last(msg.Offer)
        assert self.actor.post(ClientAnswer(self.session, "v=0\r\nanswer", offer.id))
        await settle()

    async def offer(self, *lines: tuple[str, str, str]) -> msg.Answer:
        """Offers lines and returns the answer."""
        self._offer_id += 1
        assert self.actor.post(ClientOffer(self.session, make_offer(*lines), self._offer_id))
        await settle()
        return self.last(msg.Answer)

    async def publish(self, cid: str, *, audio: bool = True) -> msg.TrackPublished:
        """Announces and offers one track."""
        kind, source = (TrackType.AUDIO, TrackSource.MICROPHONE) if audio else (TrackType.VIDEO, TrackSource.CAMERA)
        assert self.actor.post(AddTrack(self.session, cid, kind, source))
        await settle()
        published = self.last(msg.TrackPublished)
        await self.offer(("audio" if audio else "video", "sendonly", cid))
        return published

    def drop(self) -> None:
        """See `SignalSink`."""
        self.close(None)

    async def resume(self) -> SimClient:
        """Comes back over a new connection; the client as it goes on."""
        back = SimClient(self.world, self.actor, self.identity, single=self.single)
        back._offer_id = self._offer_id
        video = VideoGrants(room_join=True, room="lobby")
        wanted = Resume(
            session=back.session,
            claims=Claims(api_key="APItest", identity=self.identity, video=video),
            client=ClientDescription(sdk="js", protocol=16),
            single_peer_connection=self.single,
            participant_sid=self.last(msg.Joined).participant.sid,
        )
        assert self.actor.join(wanted, back)
        await settle()
        return back

    async def vanish(self) -> None:
        """Its connection ends without a word."""
        self.actor.post_end(SessionLost(self.session))
        await settle()


async def join(
    world: World,
    identity: str,
    *,
    room: str = "lobby",
    single: bool = True,
    claims: dict[str, Any] | None = None,
    video: VideoGrants | None = None,
) -> SimClient:
    """A client that has joined."""
    actor = world.registry.get_or_create(room)
    client = SimClient(world, actor, identity, single=single)
    video = video or VideoGrants(room_join=True, room=room)
    wanted = Join(
        session=client.session,
        claims=Claims(api_key="APItest", identity=identity, video=video, **(claims or {})),
        client=ClientDescription(sdk="js", protocol=16),
        single_peer_connection=single,
    )
    assert actor.join(wanted, client)
    await settle()
    return client
