"""The packet engine as the control plane sees it: commands in, tells out to the room they concern.

Owns the extension object, the event fd's place in the loop, and what happens when the command queue is full or the
engine is gone. The only importer of `sfu._engine`. Never waits, never decides anything about rooms.

When the queue is full, commands wait here in order and are tried again every few milliseconds; meanwhile no new
session is accepted. When even this backlog overflows, or the engine is gone, every room hears `ShardFailed`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog

from sfu import _engine
from sfu.control.command_backlog import CommandBacklog
from sfu.control.engine_port import (
    AnswerReady,
    DescriptionRefused,
    EngineConsumer,
    EngineTell,
    MediaSectionsRequired,
    NegotiationRefused,
    OfferReady,
    ParsedOffer,
    ShardFailed,
)
from sfu.control.engine_routes import RouteTable
from sfu.ids import (
    DataDownTrackId,
    DataUpTrackId,
    DownTrackId,
    ParticipantId,
    ParticipantSid,
    RequestId,
    RoomId,
    TransportId,
    UpTrackId,
)
from sfu.room import inputs
from sfu.room.enums import ConnectionQuality, TrackType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sfu.room.effects import (
        AddDataDownTrack,
        AddDataUpTrack,
        AddDownTrack,
        AddEngineParticipant,
        AllowPause,
        OpenTransport,
        PublishLine,
        SetDataDownTrackRate,
        SetDownTrackLayers,
        SetDownTrackPriority,
        SimulateRate,
        UpdateEngineParticipant,
    )

__all__ = ["EngineClient", "EngineConfig", "EngineStartError"]

EngineConfig = _engine.EngineConfig

_DRAIN_LIMIT = 1024
_log = structlog.stdlib.get_logger(__name__)


class EngineStartError(Exception):
    """The engine could not start; the text names the address or the number that is at fault."""


class _ExtensionOffer:
    """A parsed offer with its lines in the domain's words."""

    __slots__ = ("media", "parsed")

    def __init__(self, parsed: _engine.RemoteOffer) -> None:
        self.parsed = parsed
        self.media = tuple(_offered(line) for line in parsed.media)


class EngineClient:
    """The real engine behind the port."""

    def __init__(self, config: _engine.EngineConfig, *, ice_lite: bool = True) -> None:
        """Binds the sockets and starts the engine's threads.

        Raises:
            EngineStartError: An address cannot be bound.
        """
        try:
            self._engine = _engine.Engine(config)
        except _engine.EngineError as error:
            raise EngineStartError(str(error)) from error
        self.wants_remote_candidates = not ice_lite
        self.candidates: Sequence[str] = tuple(self._engine.candidates)
        self.unrouted_tells = 0
        self._routes = RouteTable()
        self._commands = CommandBacklog(_engine.QueueFull, _engine.EngineError, self._fail)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failed = False

    # ------------------------------------------------------------ life

    def start(self) -> None:
        """Begins to listen for tells in the running loop."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._engine.event_fd, self.drain)

    def stop(self) -> None:
        """Closes every transport and ends the engine's threads. Idempotent."""
        if self._loop is not None:
            self._loop.remove_reader(self._engine.event_fd)
            self._loop = None
        self._commands.close()
        self._failed = True
        self._engine.stop()

    @property
    def accepting(self) -> bool:
        """See `EnginePort`."""
        return not self._failed and not self._commands

    @property
    def udp_addresses(self) -> Sequence[str]:
        """Bound `ip:port`."""
        return self._engine.udp_addresses

    @property
    def tcp_addresses(self) -> Sequence[str]:
        """Bound `ip:port`."""
        return self._engine.tcp_addresses

    def counters(self) -> Mapping[str, int]:
        """The engine's totals since its start, by the names in `_engine.pyi`, and this client's own."""
        totals = self._engine.counters()
        totals["queue_full"] = self._commands.full_total
        totals["tells_unrouted"] = self.unrouted_tells
        return totals

    # ------------------------------------------------------------ tells

    def attach(self, room: RoomId, consumer: EngineConsumer) -> None:
        """See `EnginePort`."""
        self._routes.plant(room, consumer)

    def detach(self, room: RoomId) -> None:
        """See `EnginePort`."""
        self._routes.cut(room)

    def drain(self) -> None:
        """Takes what waits in the engine and hands it on; at most one batch, so that the loop stays fair."""
        for event in self._engine.drain(_DRAIN_LIMIT):
            translate = _TRANSLATE.get(type(event))
            if translate is None:
                if isinstance(event, _engine.Logged):
                    _note(event)
                continue
            subject, tell = translate(event)
            if isinstance(tell, ShardFailed):
                self._tell_all(tell)
                continue
            consumer = self._routes.find(subject)
            if consumer is None:
                # The thing ended while the tell was under way.
                self.unrouted_tells += 1
                continue
            consumer.hear(tell)
            if isinstance(tell, inputs.TransportFailed):
                self._routes.cut(subject)

    def _tell_all(self, tell: ShardFailed) -> None:
        _log.error("shard failed", shard=tell.shard)
        for consumer in self._routes.roots():
            consumer.hear(tell)

    # ------------------------------------------------------------ commands

    def parse_offer(self, sdp: str, mime_types: Sequence[str]) -> ParsedOffer:
        """See `EnginePort`."""
        try:
            return _ExtensionOffer(_engine.RemoteOffer(sdp, mime_types))
        except _engine.SdpError as error:
            raise DescriptionRefused(str(error)) from error

    def add_participant(self, room: RoomId, effect: AddEngineParticipant) -> None:
        """See `EnginePort`."""
        self._routes.adopt(effect.participant, room)
        self._commands.submit(
            self._engine.add_participant,
            room,
            effect.participant,
            sid=effect.sid,
            identity=effect.identity,
            can_publish_data=effect.can_publish_data,
            hidden=effect.hidden,
            agent=effect.agent,
        )

    def update_participant(self, effect: UpdateEngineParticipant) -> None:
        """See `EnginePort`."""
        self._commands.submit(
            self._engine.update_participant,
            effect.participant,
            sid=effect.sid,
            identity=effect.identity,
            can_publish_data=effect.can_publish_data,
            hidden=effect.hidden,
            agent=effect.agent,
        )

    def remove_participant(self, participant: ParticipantId) -> None:
        """See `EnginePort`."""
        self._routes.cut(participant)
        self._commands.submit(self._engine.remove_participant, participant)

    def open_transport(self, room: RoomId, effect: OpenTransport) -> None:
        """See `EnginePort`."""
        self._routes.adopt(effect.transport, effect.participant)
        delay = effect.playout_delay
        self._commands.submit(
            self._engine.open_transport,
            effect.participant,
            effect.transport,
            effect.role,
            mime_types=effect.mime_types,
            tcp_only=effect.tcp_only and bool(self._engine.tcp_addresses),
            ice_lite=False if effect.full_ice else None,
            playout_delay_ms=None if delay is None else (delay.min_ms, delay.max_ms),
        )

    def close_transport(self, transport: TransportId) -> None:
        """See `EnginePort`."""
        self._routes.cut(transport)
        self._commands.submit(self._engine.close_transport, transport)

    def accept_offer(
        self, transport: TransportId, request: RequestId, offer: ParsedOffer, publish: Sequence[PublishLine]
    ) -> None:
        """See `EnginePort`."""
        if not isinstance(offer, _ExtensionOffer):
            raise TypeError("an offer of another port")
        for line in publish:
            self._routes.adopt(line.up_track, transport)
        lines = [_publish_line(line) for line in publish]
        self._commands.submit(self._engine.accept_offer, transport, request, offer.parsed, lines)

    def accept_answer(self, transport: TransportId, request: RequestId, sdp: str) -> None:
        """See `EnginePort`."""
        self._commands.submit(self._engine.accept_answer, transport, request, sdp)

    def add_remote_candidate(self, transport: TransportId, candidate: str) -> None:
        """See `EnginePort`."""
        self._commands.submit(self._engine.add_remote_candidate, transport, candidate)

    def restart_ice(self, transport: TransportId) -> None:
        """See `EnginePort`."""
        self._commands.submit(self._engine.restart_ice, transport)

    def ask_last_sequence(self, participant: ParticipantId) -> None:
        """See `EnginePort`."""
        self._commands.submit(self._engine.ask_last_sequence, participant)

    def replay_data(self, participant: ParticipantId, received: Sequence[tuple[ParticipantSid, int]]) -> None:
        """See `EnginePort`."""
        self._commands.submit(self._engine.replay_data, participant, received)

    def mute_up_track(self, up_track: UpTrackId, *, muted: bool) -> None:
        """See `EnginePort`."""
        self._commands.submit(self._engine.mute_up_track, up_track, muted)

    def close_up_track(self, up_track: UpTrackId) -> None:
        """See `EnginePort`."""
        self._routes.cut(up_track)
        self._commands.submit(self._engine.close_up_track, up_track)

    def add_down_track(self, room: RoomId, effect: AddDownTrack) -> None:
        """See `EnginePort`."""
        self._routes.adopt(effect.down_track, effect.transport)
        self._commands.submit(
            self._engine.add_down_track,
            effect.down_track,
            effect.transport,
            effect.up_track,
            "audio" if effect.type is TrackType.AUDIO else "video",
            stream_id=effect.stream_id,
            track_sid=effect.track_sid,
            stereo=effect.stereo,
            enabled=effect.enabled,
            strip_trailer=effect.strip_trailer,
        )

    def enable_down_track(self, down_track: DownTrackId, *, enabled: bool) -> None:
        """See `EnginePort`."""
        self._commands.submit(self._engine.enable_down_track, down_track, enabled)

    def set_down_track_layers(self, effect: SetDownTrackLayers) -> None:
        """See `EnginePort`."""
        self._commands.submit(self._engine.set_down_track_layers, effect.down_track, effect.max_spatial, effect.max_fps)

    def set_down_track_priority(self, effect: SetDownTrackPriority) -> None:
        """See `EnginePort`."""
        self._commands.submit(self._engine.set_down_track_priority, effect.down_track, effect.priority)

    def allow_pause(self, effect: AllowPause) -> None:
        """See `EnginePort`."""
        self._commands.submit(self._engine.allow_pause, effect.transport, True)

    def simulate_rate(self, effect: SimulateRate) -> None:
        """See `EnginePort`."""
        self._commands.submit(self._engine.simulate_rate, effect.transport, effect.rate_bps)

    def move_down_track(self, down_track: DownTrackId, up_track: UpTrackId) -> None:
        """See `EnginePort`."""
        self._commands.submit(self._engine.move_down_track, down_track, up_track)

    def remove_down_track(self, down_track: DownTrackId) -> None:
        """See `EnginePort`."""
        self._routes.cut(down_track)
        self._commands.submit(self._engine.remove_down_track, down_track)

    def add_data_up_track(self, effect: AddDataUpTrack) -> None:
        """See `EnginePort`."""
        self._commands.submit(self._engine.add_data_up_track, effect.data_up_track, effect.participant, effect.handle)

    def close_data_up_track(self, data_up_track: DataUpTrackId) -> None:
        """See `EnginePort`."""
        self._commands.submit(self._engine.close_data_up_track, data_up_track)

    def add_data_down_track(self, effect: AddDataDownTrack) -> None:
        """See `EnginePort`."""
        self._commands.submit(
            self._engine.add_data_down_track,
            effect.data_down_track,
            effect.data_up_track,
            effect.participant,
            effect.handle,
            frames_per_s=effect.frames_per_s,
        )

    def set_data_down_track_rate(self, effect: SetDataDownTrackRate) -> None:
        """See `EnginePort`."""
        self._commands.submit(self._engine.set_data_down_track_rate, effect.data_down_track, effect.frames_per_s)

    def remove_data_down_track(self, data_down_track: DataDownTrackId) -> None:
        """See `EnginePort`."""
        self._commands.submit(self._engine.remove_data_down_track, data_down_track)

    def send_data(
        self, room: RoomId, payload: bytes, *, reliable: bool, destinations: Sequence[ParticipantId] | None
    ) -> None:
        """See `EnginePort`."""
        self._commands.submit(self._engine.send_data, room, "reliable" if reliable else "lossy", payload, destinations)

    def _fail(self, reason: str) -> None:
        self._failed = True
        _log.error("engine failed", reason=reason)
        # Later, not now: the caller is in the middle of a room's effects.
        asyncio.get_running_loop().call_soon(self._tell_all, ShardFailed(0))


def _note(line: _engine.Logged) -> None:
    write = _log.error if line.level == "error" else _log.warning
    write("engine reported", shard=line.shard, text=line.text)


def _offered(line: _engine.OfferedMedia) -> inputs.OfferedMedia:
    return inputs.OfferedMedia(
        mid=line.mid,
        type=TrackType.AUDIO if line.kind == "audio" else TrackType.VIDEO,
        sends=line.direction in {"sendonly", "sendrecv"},
        stream_id=line.stream_id,
        track_id=line.track_id,
        rids=tuple(line.rids),
        mime_types=tuple(line.mime_types),
        receives=line.direction in {"recvonly", "sendrecv"},
    )


def _publish_line(line: PublishLine) -> _engine.PublishLine:
    return _engine.PublishLine(
        mid=line.mid,
        up_track=line.up_track,
        codec=line.codec,
        codec_only=line.codec_only,
        dtx=line.dtx,
        stereo=line.stereo,
        red=line.red,
        speaker=line.speaker,
        muted=line.muted,
        trailer=line.trailer,
    )


def _answer(event: _engine.Answer) -> tuple[int, EngineTell]:
    transport = TransportId(event.transport)
    return transport, AnswerReady(transport, RequestId(event.request), event.sdp, event.mid_to_track)


def _offer(event: _engine.Offer) -> tuple[int, EngineTell]:
    transport = TransportId(event.transport)
    return transport, OfferReady(transport, RequestId(event.request), event.sdp, event.mid_to_track)


def _sections(event: _engine.MediaSectionsRequired) -> tuple[int, EngineTell]:
    transport = TransportId(event.transport)
    return transport, MediaSectionsRequired(transport, event.audio, event.video)


def _refused(event: _engine.NegotiationFailed) -> tuple[int, EngineTell]:
    transport = TransportId(event.transport)
    return transport, NegotiationRefused(transport, RequestId(event.request), event.reason)


def _connected(event: _engine.TransportConnected) -> tuple[int, EngineTell]:
    transport = TransportId(event.transport)
    return transport, inputs.TransportConnected(transport, event.tcp)


def _failed(event: _engine.TransportFailed) -> tuple[int, EngineTell]:
    transport = TransportId(event.transport)
    return transport, inputs.TransportFailed(transport, event.reason)


def _sequence(event: _engine.LastSequence) -> tuple[int, EngineTell]:
    participant = ParticipantId(event.participant)
    return participant, inputs.LastSequenceKnown(participant, event.sequence)


def _started(event: _engine.UpTrackStarted) -> tuple[int, EngineTell]:
    up_track = UpTrackId(event.up_track)
    return up_track, inputs.UpTrackStarted(up_track, event.mime_type)


def _bound(event: _engine.DownTrackBound) -> tuple[int, EngineTell]:
    down_track = DownTrackId(event.down_track)
    return down_track, inputs.DownTrackBound(down_track, tuple(event.mime_types))


def _unsupported(event: _engine.DownTrackCodecUnsupported) -> tuple[int, EngineTell]:
    down_track = DownTrackId(event.down_track)
    return down_track, inputs.DownTrackCodecUnsupported(down_track, UpTrackId(event.up_track))


def _paused(event: _engine.DownTrackPaused) -> tuple[int, EngineTell]:
    down_track = DownTrackId(event.down_track)
    return down_track, inputs.DownTrackPaused(down_track, event.paused)


def _levels(event: _engine.AudioLevels) -> tuple[int, EngineTell]:
    levels = (
        inputs.AudioActivity(UpTrackId(up_track), level, active_ms) for up_track, level, active_ms in event.levels
    )
    return event.room, inputs.AudioLevelsMeasured(tuple(levels))


def _qualities(event: _engine.QualityChanged) -> tuple[int, EngineTell]:
    ratings = (
        inputs.QualityRating(ParticipantId(participant), ConnectionQuality[quality.upper()], score)
        for participant, quality, score in event.changed
    )
    return event.room, inputs.QualityChanged(tuple(ratings))


def _shard_failed(event: _engine.ShardFailed) -> tuple[int, EngineTell]:
    return 0, ShardFailed(event.shard)


_TRANSLATE: dict[type, Callable[[Any], tuple[int, EngineTell]]] = {
    _engine.Answer: _answer,
    _engine.Offer: _offer,
    _engine.MediaSectionsRequired: _sections,
    _engine.NegotiationFailed: _refused,
    _engine.TransportConnected: _connected,
    _engine.TransportFailed: _failed,
    _engine.LastSequence: _sequence,
    _engine.UpTrackStarted: _started,
    _engine.DownTrackBound: _bound,
    _engine.DownTrackCodecUnsupported: _unsupported,
    _engine.DownTrackPaused: _paused,
    _engine.AudioLevels: _levels,
    _engine.QualityChanged: _qualities,
    _engine.ShardFailed: _shard_failed,
}
