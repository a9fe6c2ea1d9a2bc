"""A room on a stage: virtual time, clients by name, and a ledger that checks every effect."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from auth.grants import Claims, VideoGrants
from sfu.ids import DownTrackId, RequestId, RoomId, SessionId, TransportId, next_id
from sfu.room import effects as fx
from sfu.room import inputs, messages
from sfu.room.enums import DisconnectReason, TrackSource, TrackType
from sfu.room.room import Now, Room, RoomSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sfu.room.messages import Message
    from sfu.room.views import ParticipantView, TrackView

_M = TypeVar("_M")
_START_S = 1_000.0
_WALL_OFFSET_S = 1_800_000_000.0


class Ledger:
    """What is alive according to the effects; any effect for something dead, or twice, is a failure."""

    def __init__(self) -> None:
        self.sessions: set[SessionId] = set()
        self.greeted: set[SessionId] = set()
        self.participants: dict[int, set[TransportId]] = {}
        self.up_tracks: set[int] = set()
        self.closed_up_tracks: set[int] = set()
        self.down_tracks: dict[DownTrackId, tuple[TransportId, int]] = {}
        self.data_up_tracks: dict[int, fx.AddDataUpTrack] = {}
        self.data_down_tracks: dict[int, fx.AddDataDownTrack] = {}
        self.questions: set[RequestId] = set()
        self.versions: dict[tuple[SessionId, str], int] = {}
        self.finished = False

    @property
    def transports(self) -> set[TransportId]:
        """All open ones."""
        return {transport for owned in self.participants.values() for transport in owned}

    def note(self, effect: fx.Effect) -> None:
        """Enters one effect."""
        match effect:
            case fx.Send():
                for session in effect.sessions:
                    self._note_message(session, effect.message)
            case fx.CloseSession() | fx.DropSession() | fx.RefreshToken():
                assert effect.session in self.sessions, effect
                if not isinstance(effect, fx.RefreshToken):
                    self.sessions.discard(effect.session)
            case fx.MoveTransports():
                assert effect.new in self.sessions, effect
                assert effect.old not in self.sessions, effect
            case fx.Reply():
                assert effect.request in self.questions, effect
                self.questions.remove(effect.request)
            case fx.Emit():
                assert not self.finished
                self.finished = isinstance(effect.event, fx.RoomFinished)
            case fx.SendEngineData():
                assert set(effect.destinations or ()) <= set(self.participants)
            case _:
                self._note_engine(effect)

    def _note_message(self, session: SessionId, message: Message) -> None:
        assert session in self.sessions, f"{message} to a dead session"
        assert (session in self.greeted) is not isinstance(message, messages.Joined | messages.Reconnected), message
        self.greeted.add(session)
        views: Iterable[ParticipantView] = ()
        if isinstance(message, messages.Joined):
            views = (message.participant, *message.other_participants)
        elif isinstance(message, messages.ParticipantUpdate):
            views = message.participants
        for view in views:
            assert view.version >= self.versions.get((session, view.sid), 0), "versions never fall"
            self.versions[session, view.sid] = view.version

    def _note_engine(self, effect: fx.Effect) -> None:
        match effect:
            case fx.AddEngineParticipant():
                assert effect.participant not in self.participants
                self.participants[effect.participant] = set()
            case fx.UpdateEngineParticipant() | fx.AskLastSequence() | fx.ReplayData():
                assert effect.participant in self.participants
            case fx.RemoveEngineParticipant():
                owned = self.participants.pop(effect.participant)
                assert not [d for d, (transport, _) in self.down_tracks.items() if transport in owned]
                assert effect.participant not in {e.participant for e in self.data_up_tracks.values()}
                assert effect.participant not in {e.participant for e in self.data_down_tracks.values()}
            case fx.OpenTransport():
                assert effect.transport not in self.transports
                assert effect.session in self.sessions
                self.participants[effect.participant].add(effect.transport)
            case _:
                self._note_track(effect)

    def _note_track(self, effect: fx.Effect) -> None:
        match effect:
            case fx.RestartIce() | fx.AllowPause() | fx.SimulateRate():
                assert effect.transport in self.transports
            case fx.AcceptOffer():
                assert effect.transport in self.transports
                self.up_tracks.update(line.up_track for line in effect.publish)
            case fx.MuteUpTrack():
                assert effect.up_track in self.up_tracks
            case fx.CloseUpTrack():
                self.up_tracks.remove(effect.up_track)
                self.closed_up_tracks.add(effect.up_track)
                assert effect.up_track not in {up_track for _, up_track in self.down_tracks.values()}
            case fx.AddDownTrack():
                assert effect.transport in self.transports
                assert effect.up_track not in self.closed_up_tracks, "a backup may be still to come, but not be gone"
                assert effect.down_track not in self.down_tracks
                self.down_tracks[effect.down_track] = (effect.transport, effect.up_track)
            case fx.MoveDownTrack():
                transport, before = self.down_tracks[effect.down_track]
                assert effect.up_track not in self.closed_up_tracks | {before}
                self.down_tracks[effect.down_track] = (transport, effect.up_track)
            case fx.EnableDownTrack() | fx.SetDownTrackLayers() | fx.SetDownTrackPriority():
                assert effect.down_track in self.down_tracks
            case fx.RemoveDownTrack():
                del self.down_tracks[effect.down_track]
            case _:
                self._note_data_track(effect)

    def _note_data_track(self, effect: fx.Effect) -> None:
        match effect:
            case fx.AddDataUpTrack():
                assert effect.participant in self.participants
                assert effect.data_up_track not in self.data_up_tracks
                names = {(e.participant, e.handle) for e in self.data_up_tracks.values()}
                assert (effect.participant, effect.handle) not in names
                self.data_up_tracks[effect.data_up_track] = effect
            case fx.CloseDataUpTrack():
                del self.data_up_tracks[effect.data_up_track]
                assert effect.data_up_track not in {e.data_up_track for e in self.data_down_tracks.values()}
            case fx.AddDataDownTrack():
                assert effect.participant in self.participants
                assert effect.data_up_track in self.data_up_tracks
                names = {(e.participant, e.handle) for e in self.data_down_tracks.values()}
                assert (effect.participant, effect.handle) not in names
                self.data_down_tracks[effect.data_down_track] = effect
            case fx.SetDataDownTrackRate():
                assert effect.data_down_track in self.data_down_tracks
            case fx.RemoveDataDownTrack():
                del self.data_down_tracks[effect.data_down_track]
            case _:
                raise AssertionError(f"unexpected {effect}")


class Stage:
    """Drives one room."""

    def __init__(self, settings: RoomSettings | None = None) -> None:
        self.at_s = _START_S
        self.ledger = Ledger()
        self.sent: dict[SessionId, list[Message]] = defaultdict(list)
        self.emitted: list[fx.RoomEvent] = []
        self.engine_data: list[fx.SendEngineData] = []
        self.room = Room("lobby", settings or RoomSettings(), room_id=RoomId(next_id()), now=self.now())

    def now(self) -> Now:
        """The virtual time."""
        return Now(monotonic_s=self.at_s, wall_s=self.at_s + _WALL_OFFSET_S)

    def do(self, event: inputs.RoomInput) -> list[fx.Effect]:
        """One input, with everything that is due at once after it, as the actor does."""
        if isinstance(event, inputs.Join | inputs.Resume):
            self.ledger.sessions.add(event.session)
        elif isinstance(event, inputs.SessionLost):
            self.ledger.sessions.discard(event.session)
        request = getattr(event, "request", None)
        if request is not None:
            self.ledger.questions.add(request)
        effects = self._note(self.room.handle(event, self.now()))
        return effects + self._fire()

    def wait(self, seconds: float) -> list[fx.Effect]:
        """Lets virtual time pass; deadlines fire when they are due."""
        end_s = self.at_s + seconds
        effects = self._fire()
        while (due_s := self.room.next_deadline_s) is not None and due_s <= end_s:
            self.at_s = max(self.at_s, due_s)
            effects += self._fire()
        self.at_s = end_s
        return effects

    def ask(self, make: Callable[[RequestId], inputs.RoomInput]) -> object:
        """An administrator's request; returns its result or error."""
        request = RequestId(next_id())
        replies = [e for e in self.do(make(request)) if isinstance(e, fx.Reply) and e.request == request]
        assert len(replies) == 1
        return replies[0].result

    def join(self, identity: str, **options: Any) -> Client:
        """A client that joined and was let in."""
        client = self.try_join(identity, **options)
        assert client.joined is not None, f"{identity} was refused"
        return client

    def try_join(self, identity: str, **options: Any) -> Client:
        """A client that asked to join. Options: fields of `VideoGrants`, `Claims`, `ClientDescription` and `Join`."""
        grants = _take(options, VideoGrants)
        description = inputs.ClientDescription(
            **{"sdk": "js", "protocol": 16, **_take(options, inputs.ClientDescription)}
        )
        claims = Claims(
            api_key="key",
            identity=identity,
            video=VideoGrants(room_join=True, room="lobby", **grants),
            **{name: options.pop("token_" + name) for name in ("metadata", "attributes") if "token_" + name in options},
            **{name: options.pop(name) for name in ("name", "kind", "kind_details") if name in options},
        )
        options.setdefault("single_peer_connection", True)
        session = SessionId(next_id())
        client = Client(self, session, identity)
        client.seen = self.do(inputs.Join(session=session, claims=claims, client=description, **options))
        client.transports = {
            e.role: e.transport for e in client.seen if isinstance(e, fx.OpenTransport) and e.session == session
        }
        return client

    def active(self, identity: str, **options: Any) -> Client:
        """A client that joined and connected."""
        client = self.join(identity, **options)
        client.connect()
        return client

    def bind_all(self) -> None:
        """The engine has negotiated every down track."""
        for down_track in list(self.ledger.down_tracks):
            self.do(inputs.DownTrackBound(down_track))

    def clear(self) -> None:
        """Forgets what was sent and emitted so far."""
        self.sent.clear()
        self.emitted.clear()

    def _fire(self) -> list[fx.Effect]:
        due_s = self.room.next_deadline_s
        if due_s is None or due_s > self.at_s:
            return []
        return self._note(self.room.handle_timeout(self.now()))

    def _note(self, effects: list[fx.Effect]) -> list[fx.Effect]:
        for effect in effects:
            self.ledger.note(effect)
            if isinstance(effect, fx.Send):
                for session in effect.sessions:
                    self.sent[session].append(effect.message)
            elif isinstance(effect, fx.CloseSession) and effect.leave is not None:
                self.sent[effect.session].append(effect.leave)
            elif isinstance(effect, fx.Emit):
                self.emitted.append(effect.event)
            elif isinstance(effect, fx.SendEngineData):
                self.engine_data.append(effect)
        return effects


@dataclass
class Client:
    """One client of the stage."""

    stage: Stage
    session: SessionId
    identity: str
    seen: list[fx.Effect] = field(default_factory=list)
    transports: dict[str, TransportId] = field(default_factory=dict)
    lines: list[inputs.OfferedMedia] = field(default_factory=list)
    offers: int = 0
    earlier: tuple[SessionId, ...] = ()
    """Its sessions before this one, by which it has resumed."""

    @property
    def joined(self) -> messages.Joined | None:
        """Its `join` message, which the first of its sessions got."""
        first = (*self.earlier, self.session)[0]
        return next((message for message in self.stage.sent[first] if isinstance(message, messages.Joined)), None)

    @property
    def sid(self) -> str:
        """`PA_…`"""
        assert self.joined is not None
        return self.joined.participant.sid

    @property
    def primary(self) -> TransportId:
        """The transport that makes it active."""
        return self.transports.get("subscriber") or self.transports.get("both") or self.transports["publisher"]

    def got(self, kind: type[_M]) -> list[_M]:
        """Messages of one kind it was sent."""
        return [message for message in self.stage.sent[self.session] if isinstance(message, kind)]

    def told_of(self, identity: str) -> list[ParticipantView]:
        """All it was told of a participant after its join, in order."""
        return [
            v for update in self.got(messages.ParticipantUpdate) for v in update.participants if v.identity == identity
        ]

    def connect(self) -> list[fx.Effect]:
        """Its primary transport connects."""
        return self.stage.do(inputs.TransportConnected(self.primary))

    def resume(self, *, answered: bool = True, **options: Any) -> Client:
        """Comes back over a new connection; the client as it goes on. `options`: fields of `Resume`."""
        earlier = (*self.earlier, self.session)
        client = replace(self, session=SessionId(next_id()), seen=[], earlier=earlier)
        options.setdefault("participant_sid", self.sid)
        options.setdefault("single_peer_connection", "both" in self.transports)
        options.setdefault("client", inputs.ClientDescription(sdk="js", protocol=16))
        video = VideoGrants(room_join=True, room="lobby")
        options.setdefault("claims", Claims(api_key="newer", identity=self.identity, video=video))
        client.seen = self.stage.do(inputs.Resume(session=client.session, **options))
        asked = [effect for effect in client.seen if isinstance(effect, fx.AskLastSequence)]
        if asked and answered:
            client.seen += self.stage.do(inputs.LastSequenceKnown(asked[0].participant, 7))
        return client

    def leave(self, reason: DisconnectReason = DisconnectReason.CLIENT_INITIATED) -> list[fx.Effect]:
        """Says `leave`."""
        return self.stage.do(inputs.LeaveRequested(self.session, reason))

    def lose(self) -> list[fx.Effect]:
        """Its signalling connection ends without a word."""
        return self.stage.do(inputs.SessionLost(self.session))

    def announce(self, cid: str, source: TrackSource = TrackSource.MICROPHONE, **fields: Any) -> TrackView:
        """`add_track`, accepted."""
        self.try_announce(cid, source, **fields)
        published = [message for message in self.got(messages.TrackPublished) if message.cid == cid]
        return published[-1].track

    def try_announce(self, cid: str, source: TrackSource = TrackSource.MICROPHONE, **fields: Any) -> list[fx.Effect]:
        """`add_track`."""
        audio = source in (TrackSource.MICROPHONE, TrackSource.SCREEN_SHARE_AUDIO)
        fields.setdefault("type", TrackType.AUDIO if audio else TrackType.VIDEO)
        fields.setdefault("echo", messages.RequestEcho("add_track", cid))
        return self.stage.do(inputs.AddTrack(self.session, cid, source=source, **fields))

    def offer(self) -> list[fx.Effect]:
        """Offers its present lines."""
        self.offers += 1
        return self.stage.do(inputs.OfferReceived(self.session, self.offers, tuple(self.lines)))

    def add_line(self, track_id: str, type_: TrackType, **fields: Any) -> str:
        """A new sending line in the next offers; returns its mid."""
        mid = str(len(self.lines))
        mimes = ("audio/red", "audio/opus") if type_ is TrackType.AUDIO else ("video/VP8", "video/H264", "video/VP9")
        fields.setdefault("mime_types", mimes)
        fields.setdefault("sends", True)
        self.lines.append(inputs.OfferedMedia(mid, type_, track_id=track_id, stream_id="stream", **fields))
        return mid

    def change_line(self, mid: str, **fields: Any) -> None:
        """Changes a line in the next offers."""
        self.lines[int(mid)] = replace(self.lines[int(mid)], **fields)

    def publish(self, cid: str, source: TrackSource = TrackSource.MICROPHONE, **fields: Any) -> TrackView:
        """Announces a track and offers it."""
        track = self.announce(cid, source, **fields)
        self.add_line(cid, track.type)
        self.offer()
        return track


def _take(options: dict[str, Any], kind: type[VideoGrants | inputs.ClientDescription]) -> dict[str, Any]:
    names = {f.name for f in fields(kind)} - {"name", "room"}
    return {name: options.pop(name) for name in names if name in options}


@pytest.fixture
def stage() -> Stage:
    """A room with the default settings."""
    return Stage()


@pytest.fixture
def stage_with() -> Callable[..., Stage]:
    """Makes a room with some settings changed."""
    return lambda **settings: Stage(RoomSettings(**settings))
