"""Carries out what a room wants done: to clients, to the engine, to those who asked and to those who listen.

Owns one room's sinks by session, peer connections by transport, and open questions by request. Never decides: every
effect is done as it says, in the order in which the room returned it; what ended meanwhile is skipped. Driven by the
room's actor only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sfu.control.peer import PeerConnection
from sfu.control.sinks import Outgoing
from sfu.errors import ErrorCode, SfuError
from sfu.room import effects as fx
from sfu.room.messages import Leave, RefreshedToken

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Mapping

    from sfu.clock import Clock
    from sfu.control.engine_port import EnginePort
    from sfu.control.sinks import DataEncoder, EventSink, SignalSink, TokenIssuer
    from sfu.ids import ParticipantId, RequestId, RoomId, SessionId, TransportId
    from sfu.room.messages import Message

__all__ = ["ControlServices", "EffectRunner"]


@dataclass(frozen=True, slots=True)
class ControlServices:
    """What every room's shell works with; made once by the composition root."""

    engine: EnginePort
    clock: Clock
    events: EventSink
    encoder: DataEncoder
    tokens: TokenIssuer


class EffectRunner:
    """One room's hands."""

    def __init__(self, services: ControlServices, room: RoomId) -> None:
        self._services = services
        self._engine = services.engine
        self._room = room
        self._sinks: dict[SessionId, SignalSink] = {}
        self._peers: dict[TransportId, PeerConnection] = {}
        self._peers_of: dict[SessionId, list[PeerConnection]] = {}
        self._participants: dict[ParticipantId, set[TransportId]] = {}
        self._asked: dict[RequestId, asyncio.Future[object]] = {}
        self._perform: Mapping[type, Callable[[Any], None]] = {
            fx.Send: self._send,
            fx.CloseSession: self._close_session,
            fx.DropSession: self._drop_session,
            fx.MoveTransports: self._move_transports,
            fx.RefreshToken: self._refresh_token,
            fx.Reply: self._reply,
            fx.AddEngineParticipant: self._add_participant,
            fx.UpdateEngineParticipant: self._engine.update_participant,
            fx.RemoveEngineParticipant: self._remove_participant,
            fx.OpenTransport: self._open_transport,
            fx.CloseTransport: self._close_transport,
            fx.RestartIce: self._restart_ice,
            fx.AskLastSequence: lambda e: self._engine.ask_last_sequence(e.participant),
            fx.ReplayData: lambda e: self._engine.replay_data(e.participant, e.received),
            fx.AcceptOffer: self._accept_offer,
            fx.MuteUpTrack: lambda e: self._engine.mute_up_track(e.up_track, muted=e.muted),
            fx.CloseUpTrack: lambda e: self._engine.close_up_track(e.up_track),
            fx.AddDownTrack: lambda e: self._engine.add_down_track(self._room, e),
            fx.EnableDownTrack: lambda e: self._engine.enable_down_track(e.down_track, enabled=e.enabled),
            fx.SetDownTrackLayers: self._engine.set_down_track_layers,
            fx.SetDownTrackPriority: self._engine.set_down_track_priority,
            fx.AllowPause: self._engine.allow_pause,
            fx.SimulateRate: self._engine.simulate_rate,
            fx.MoveDownTrack: lambda e: self._engine.move_down_track(e.down_track, e.up_track),
            fx.RemoveDownTrack: lambda e: self._engine.remove_down_track(e.down_track),
            fx.AddDataUpTrack: self._engine.add_data_up_track,
            fx.CloseDataUpTrack: lambda e: self._engine.close_data_up_track(e.data_up_track),
            fx.AddDataDownTrack: self._engine.add_data_down_track,
            fx.SetDataDownTrackRate: self._engine.set_data_down_track_rate,
            fx.RemoveDataDownTrack: lambda e: self._engine.remove_data_down_track(e.data_down_track),
            fx.SendEngineData: self._send_data,
            fx.Emit: lambda e: self._services.events.emit(e.event),
        }

    def run(self, effects: Iterable[fx.Effect]) -> None:
        """Carries out `effects` in order."""
        for effect in effects:
            self._perform[type(effect)](effect)

    # ------------------------------------------------------------ sessions and questions

    def add_sink(self, session: SessionId, sink: SignalSink) -> None:
        """A session's connection, before its `Join` reaches the room."""
        self._sinks[session] = sink

    def drop_sink(self, session: SessionId) -> None:
        """The session's connection is gone; what is still sent to it is skipped."""
        self._sinks.pop(session, None)
        for peer in self._peers_of.get(session, ()):
            peer.lose_session()

    def tell(self, session: SessionId, message: Message) -> None:
        """One message to one session, if it is still there."""
        sink = self._sinks.get(session)
        if sink is not None:
            sink.send(Outgoing(message))

    def expect(self, request: RequestId, answer: asyncio.Future[object]) -> None:
        """`answer` gets the result of `request`."""
        self._asked[request] = answer

    def forget(self, request: RequestId) -> None:
        """Nobody waits for `request` any more."""
        self._asked.pop(request, None)

    # ------------------------------------------------------------ peers

    def peer(self, transport: TransportId) -> PeerConnection | None:
        """The connection over `transport`."""
        return self._peers.get(transport)

    def peer_of(self, session: SessionId, *, takes_offers: bool) -> PeerConnection | None:
        """The session's connection on which the client offers, or on which we do."""
        for peer in self._peers_of.get(session, ()):
            if peer.takes_offers is takes_offers:
                return peer
        return None

    def drop_peer(self, transport: TransportId) -> None:
        """The transport ended."""
        peer = self._peers.pop(transport, None)
        if peer is None:
            return
        self._participants.get(peer.participant, set()).discard(transport)
        siblings = self._peers_of[peer.session]
        siblings.remove(peer)
        if not siblings:
            del self._peers_of[peer.session]

    # ------------------------------------------------------------ the end

    def abandon(self, leave: Leave) -> None:
        """The room is lost: everybody is told `leave`, everything of it in the engine is closed."""
        for sink in self._sinks.values():
            sink.close(leave)
        self._sinks.clear()
        for participant in tuple(self._participants):
            self._engine.remove_participant(participant)
        self._participants.clear()
        self._peers.clear()
        self._peers_of.clear()
        self.close(SfuError(ErrorCode.UNAVAILABLE, "the room was lost"))

    def close(self, error: SfuError) -> None:
        """No more effects will come: whoever still waits for an answer gets `error`."""
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(error)
        self._asked.clear()

    # ------------------------------------------------------------ towards clients

    def _send(self, effect: fx.Send) -> None:
        outgoing = Outgoing(effect.message)
        for session in effect.sessions:
            sink = self._sinks.get(session)
            if sink is not None:
                sink.send(outgoing)

    def _close_session(self, effect: fx.CloseSession) -> None:
        sink = self._sinks.pop(effect.session, None)
        if sink is not None:
            sink.close(effect.leave)

    def _drop_session(self, effect: fx.DropSession) -> None:
        sink = self._sinks.get(effect.session)
        self.drop_sink(effect.session)
        if sink is not None:
            sink.drop()

    def _move_transports(self, effect: fx.MoveTransports) -> None:
        peers = self._peers_of.pop(effect.old, [])
        if peers:
            self._peers_of[effect.new] = peers
        for peer in peers:
            peer.move_to(effect.new)
        if effect.new not in self._sinks:  # lost again before it was its turn
            self.drop_sink(effect.new)

    def _refresh_token(self, effect: fx.RefreshToken) -> None:
        token = self._services.tokens.refresh(effect.claims)
        if token is not None:
            self.tell(effect.session, RefreshedToken(token))

    def _reply(self, effect: fx.Reply) -> None:
        answer = self._asked.pop(effect.request, None)
        if answer is None or answer.done():
            return
        if isinstance(effect.result, SfuError):
            answer.set_exception(effect.result)
        else:
            answer.set_result(effect.result)

    # ------------------------------------------------------------ towards the engine

    def _add_participant(self, effect: fx.AddEngineParticipant) -> None:
        self._participants[effect.participant] = set()
        self._engine.add_participant(self._room, effect)

    def _remove_participant(self, effect: fx.RemoveEngineParticipant) -> None:
        for transport in self._participants.pop(effect.participant, ()):
            self.drop_peer(transport)
        self._engine.remove_participant(effect.participant)

    def _open_transport(self, effect: fx.OpenTransport) -> None:
        peer = PeerConnection(self._engine, effect)
        self._peers[effect.transport] = peer
        self._peers_of.setdefault(effect.session, []).append(peer)
        self._participants.setdefault(effect.participant, set()).add(effect.transport)
        self._engine.open_transport(self._room, effect)

    def _close_transport(self, effect: fx.CloseTransport) -> None:
        peer = self._peers.get(effect.transport)
        if peer is not None:
            self.drop_peer(effect.transport)
            peer.close()

    def _restart_ice(self, effect: fx.RestartIce) -> None:
        peer = self._peers.get(effect.transport)
        if peer is not None:
            peer.restartIce()

    def _accept_offer(self, effect: fx.AcceptOffer) -> None:
        peer = self._peers.get(effect.transport)
        if peer is not None:
            peer.createAnswer(effect.offer_id, effect.publish)

    def _send_data(self, effect: fx.SendEngineData) -> None:
        payload = self._services.encoder.encode_data(effect)
        self._engine.send_data(self._room, payload, reliable=effect.reliable, destinations=effect.destinations)
