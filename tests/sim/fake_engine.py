"""An engine in memory: takes the port's commands, tells what a healthy engine would, moves no packet.

Owns just enough behaviour for the control plane: offers are answered, our offers come one at a time, tracks are bound
when they are negotiated. Tells arrive later, in order, as from the real one. Tests make it connect, fail or refuse.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

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
from sfu.ids import RequestId, TransportId
from sfu.room import inputs
from sfu.room.enums import TrackType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfu.ids import DataDownTrackId, DataUpTrackId, DownTrackId, ParticipantId, ParticipantSid, RoomId, UpTrackId
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

__all__ = ["FakeEngine", "FakeTransport", "make_offer"]

CANDIDATES = (
    "candidate:1 1 udp 2130706431 127.0.0.1 7882 typ host",
    "candidate:2 1 tcp 1671430143 127.0.0.1 7881 typ host tcptype passive",
)


@dataclass(slots=True)
class FakeTransport:
    """One open transport."""

    id: TransportId
    room: RoomId
    participant: ParticipantId
    role: str
    requests: list[RequestId] = field(default_factory=list)
    """Of the offers that were told."""
    answers: list[str] = field(default_factory=list)
    candidates: list[str] = field(default_factory=list)
    down_tracks: dict[DownTrackId, AddDownTrack] = field(default_factory=dict)
    free_lines: int = 0
    connected: bool = False
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class _Parsed:
    media: tuple[inputs.OfferedMedia, ...]
    sdp: str


class FakeEngine:
    """Implements `EnginePort`."""

    def __init__(self) -> None:
        self.candidates: Sequence[str] = CANDIDATES
        self.wants_remote_candidates = True
        self.accepting = True
        self.consumers: dict[RoomId, EngineConsumer] = {}
        self.participants: dict[ParticipantId, RoomId] = {}
        self.transports: dict[TransportId, FakeTransport] = {}
        self.up_tracks: dict[UpTrackId, TransportId] = {}
        self.muted: dict[UpTrackId, bool] = {}
        self.down_track_enabled: dict[DownTrackId, bool] = {}
        self.down_track_layers: dict[DownTrackId, tuple[int, int]] = {}
        """`(max_spatial, max_fps)` of those that were limited."""
        self.down_track_priorities: dict[DownTrackId, int] = {}
        """Of those that have one."""
        self.pausable: set[TransportId] = set()
        self.data_up_tracks: dict[DataUpTrackId, AddDataUpTrack] = {}
        self.data_down_tracks: dict[DataDownTrackId, AddDataDownTrack] = {}
        self.sent_data: list[tuple[RoomId, bytes, bool, Sequence[ParticipantId] | None]] = []
        self.answers_offers = True
        self.offered: tuple[str, ...] = ("video/VP8", "video/H264")
        """Codecs on every video line that clients offer from now on."""
        self.taken: tuple[str, ...] = ()
        """Codecs that clients say they take from now on; empty: they say nothing."""
        self.last_sequence = 0
        self.replayed: list[tuple[ParticipantId, tuple[tuple[ParticipantSid, int], ...]]] = []
        self._tells: deque[tuple[RoomId, EngineTell]] = deque()

    # ------------------------------------------------------------ what tests make happen

    def connect(self, transport: TransportId) -> None:
        """ICE and DTLS are up."""
        self.transports[transport].connected = True
        self._tell(transport, inputs.TransportConnected(transport))

    def fail(self, transport: TransportId, reason: Any = "ice_timeout") -> None:
        """The transport ends by itself."""
        self._tell(transport, inputs.TransportFailed(transport, reason))
        del self.transports[transport]

    def start(self, up_track: UpTrackId, mime_type: str) -> None:
        """Media of an up track comes."""
        self._tell(self.up_tracks[up_track], inputs.UpTrackStarted(up_track, mime_type))

    def fail_shard(self) -> None:
        """Everything is lost."""
        for room in tuple(self.consumers):
            self._later(room, ShardFailed(0))

    def transport_of(self, participant_role: str, index: int = -1) -> FakeTransport:
        """The newest (or another) transport of a role."""
        return [transport for transport in self.transports.values() if transport.role == participant_role][index]

    # ------------------------------------------------------------ the port

    def attach(self, room: RoomId, consumer: EngineConsumer) -> None:
        """See `EnginePort`."""
        self.consumers[room] = consumer

    def detach(self, room: RoomId) -> None:
        """See `EnginePort`."""
        self.consumers.pop(room, None)

    def parse_offer(self, sdp: str, mime_types: Sequence[str]) -> ParsedOffer:
        """See `EnginePort`."""
        del mime_types
        if not sdp.startswith("v=0"):
            raise DescriptionRefused("not a session description")
        sections = [section for section in sdp.split("m=")[1:] if section[:5] in {"audio", "video"}]
        return _Parsed(tuple(_media(section, self.offered) for section in sections), sdp)

    def add_participant(self, room: RoomId, effect: AddEngineParticipant) -> None:
        """See `EnginePort`."""
        self.participants[effect.participant] = room

    def update_participant(self, effect: UpdateEngineParticipant) -> None:
        """See `EnginePort`."""
        assert effect.participant in self.participants

    def remove_participant(self, participant: ParticipantId) -> None:
        """See `EnginePort`."""
        del self.participants[participant]
        for transport in [t.id for t in self.transports.values() if t.participant == participant]:
            self.close_transport(transport)

    def open_transport(self, room: RoomId, effect: OpenTransport) -> None:
        """See `EnginePort`."""
        assert effect.participant in self.participants
        transport = FakeTransport(effect.transport, room, effect.participant, effect.role)
        self.transports[effect.transport] = transport
        if effect.role == "subscriber":
            self._offer(transport)

    def close_transport(self, transport: TransportId) -> None:
        """See `EnginePort`."""
        self.transports.pop(transport, None)
        for up_track in [up for up, owner in self.up_tracks.items() if owner == transport]:
            del self.up_tracks[up_track]

    def accept_offer(
        self, transport: TransportId, request: RequestId, offer: ParsedOffer, publish: Sequence[PublishLine]
    ) -> None:
        """See `EnginePort`."""
        if not self.answers_offers:
            self._tell(transport, NegotiationRefused(transport, request, "refused by the test"))
            return
        for line in publish:
            self.up_tracks[line.up_track] = transport
        assert isinstance(offer, _Parsed)
        state = self.transports[transport]
        state.free_lines = sum(not media.sends for media in offer.media)
        mids = {media.mid: track for media, track in zip(
            [media for media in offer.media if not media.sends],
            [effect.track_sid for effect in state.down_tracks.values()],
            strict=False,
        )}  # fmt: skip
        self._tell(transport, AnswerReady(transport, request, f"v=0\r\na=mid:0\r\nanswer to {request}", mids))
        for down_track in tuple(state.down_tracks)[: len(mids)]:
            self._tell(transport, inputs.DownTrackBound(down_track, self.taken))

    def accept_answer(self, transport: TransportId, request: RequestId, sdp: str) -> None:
        """See `EnginePort`."""
        state = self.transports[transport]
        if request == state.requests[-1]:
            state.answers.append(sdp)
            for down_track in state.down_tracks:
                self._tell(transport, inputs.DownTrackBound(down_track, self.taken))

    def add_remote_candidate(self, transport: TransportId, candidate: str) -> None:
        """See `EnginePort`."""
        self.transports[transport].candidates.append(candidate)

    def restart_ice(self, transport: TransportId) -> None:
        """See `EnginePort`."""
        state = self.transports[transport]
        assert state.role == "subscriber"
        state.restarts += 1
        self._offer(state)

    def ask_last_sequence(self, participant: ParticipantId) -> None:
        """See `EnginePort`."""
        self._later(self.participants[participant], inputs.LastSequenceKnown(participant, self.last_sequence))

    def replay_data(self, participant: ParticipantId, received: Sequence[tuple[ParticipantSid, int]]) -> None:
        """See `EnginePort`."""
        self.replayed.append((participant, tuple(received)))

    def mute_up_track(self, up_track: UpTrackId, *, muted: bool) -> None:
        """See `EnginePort`."""
        self.muted[up_track] = muted

    def close_up_track(self, up_track: UpTrackId) -> None:
        """See `EnginePort`."""
        self.up_tracks.pop(up_track, None)

    def add_down_track(self, room: RoomId, effect: AddDownTrack) -> None:
        """See `EnginePort`."""
        del room
        transport = self.transports[effect.transport]
        transport.down_tracks[effect.down_track] = effect
        self.down_track_enabled[effect.down_track] = effect.enabled
        if transport.role == "subscriber":
            self._offer(transport)
        else:
            audio = effect.type is TrackType.AUDIO
            self._tell(effect.transport, MediaSectionsRequired(effect.transport, int(audio), int(not audio)))

    def enable_down_track(self, down_track: DownTrackId, *, enabled: bool) -> None:
        """See `EnginePort`."""
        self.down_track_enabled[down_track] = enabled

    def set_down_track_layers(self, effect: SetDownTrackLayers) -> None:
        """See `EnginePort`."""
        self.down_track_layers[effect.down_track] = (effect.max_spatial, effect.max_fps)

    def set_down_track_priority(self, effect: SetDownTrackPriority) -> None:
        """See `EnginePort`."""
        self.down_track_priorities[effect.down_track] = effect.priority

    def allow_pause(self, effect: AllowPause) -> None:
        """See `EnginePort`."""
        assert effect.transport in self.transports
        self.pausable.add(effect.transport)

    def simulate_rate(self, effect: SimulateRate) -> None:
        """See `EnginePort`."""
        assert effect.transport in self.transports

    def pause(self, down_track: DownTrackId, *, paused: bool) -> None:
        """The path to a subscriber does not bear a track any more, or does again."""
        transport = next(t for t in self.transports.values() if down_track in t.down_tracks)
        assert transport.id in self.pausable
        self._tell(transport.id, inputs.DownTrackPaused(down_track, paused))

    def move_down_track(self, down_track: DownTrackId, up_track: UpTrackId) -> None:
        """See `EnginePort`."""
        for transport in self.transports.values():
            if down_track in transport.down_tracks:
                transport.down_tracks[down_track] = replace(transport.down_tracks[down_track], up_track=up_track)

    def remove_down_track(self, down_track: DownTrackId) -> None:
        """See `EnginePort`."""
        del self.down_track_enabled[down_track]
        self.down_track_layers.pop(down_track, None)
        self.down_track_priorities.pop(down_track, None)
        for transport in self.transports.values():
            transport.down_tracks.pop(down_track, None)

    def add_data_up_track(self, effect: AddDataUpTrack) -> None:
        """See `EnginePort`."""
        assert effect.participant in self.participants
        self.data_up_tracks[effect.data_up_track] = effect

    def close_data_up_track(self, data_up_track: DataUpTrackId) -> None:
        """See `EnginePort`."""
        del self.data_up_tracks[data_up_track]

    def add_data_down_track(self, effect: AddDataDownTrack) -> None:
        """See `EnginePort`."""
        assert effect.data_up_track in self.data_up_tracks
        assert effect.participant in self.participants
        self.data_down_tracks[effect.data_down_track] = effect

    def set_data_down_track_rate(self, effect: SetDataDownTrackRate) -> None:
        """See `EnginePort`."""
        known = self.data_down_tracks[effect.data_down_track]
        self.data_down_tracks[effect.data_down_track] = replace(known, frames_per_s=effect.frames_per_s)

    def remove_data_down_track(self, data_down_track: DataDownTrackId) -> None:
        """See `EnginePort`."""
        del self.data_down_tracks[data_down_track]

    def send_data(
        self, room: RoomId, payload: bytes, *, reliable: bool, destinations: Sequence[ParticipantId] | None
    ) -> None:
        """See `EnginePort`."""
        self.sent_data.append((room, payload, reliable, destinations))

    # ------------------------------------------------------------ tells

    def _offer(self, transport: FakeTransport) -> None:
        request = RequestId(len(transport.requests) + 1)
        transport.requests.append(request)
        mids = {str(index): effect.track_sid for index, effect in enumerate(transport.down_tracks.values())}
        self._tell(transport.id, OfferReady(transport.id, request, f"v=0\r\na=mid:0\r\noffer {request}", mids))

    def _tell(self, transport: TransportId, tell: EngineTell) -> None:
        self._later(self.transports[transport].room, tell)

    def _later(self, room: RoomId, tell: EngineTell) -> None:
        self._tells.append((room, tell))
        asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        room, tell = self._tells.popleft()
        consumer = self.consumers.get(room)
        if consumer is not None:
            consumer.hear(tell)


def make_offer(*lines: tuple[str, str, str]) -> str:
    """A description with `(kind, direction, track id)` lines, as short as the fake engine can read it."""
    sections = "".join(
        f"m={kind} 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:{mid}\r\na={direction}\r\na=msid:- {track}\r\n"
        for mid, (kind, direction, track) in enumerate(lines)
    )
    return f"v=0\r\n{sections}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:data\r\n"


def _media(section: str, video: tuple[str, ...]) -> inputs.OfferedMedia:
    mid = re.search(r"a=mid:(\S+)", section)
    msid = re.search(r"a=msid:(\S+) (\S*)", section)
    return inputs.OfferedMedia(
        mid=mid.group(1) if mid else "",
        type=TrackType.AUDIO if section.startswith("audio") else TrackType.VIDEO,
        sends="a=sendonly" in section or "a=sendrecv" in section,
        stream_id=msid.group(1) if msid else "",
        track_id=msid.group(2) if msid else "",
        mime_types=("audio/opus",) if section.startswith("audio") else video,
        receives="a=recvonly" in section or "a=sendrecv" in section,
    )
