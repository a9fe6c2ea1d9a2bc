"""What the control plane asks of the packet engine and hears from it, without naming the engine.

Owns the port: an interface with room-sized commands, and the tells that are not room inputs by themselves. Never
imports the extension: `engine_client` implements this port over it, the tests implement it in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sfu.room.inputs import (
    AudioLevelsMeasured,
    DownTrackBound,
    DownTrackCodecUnsupported,
    DownTrackPaused,
    LastSequenceKnown,
    QualityChanged,
    TransportConnected,
    TransportFailed,
    UpTrackStarted,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    from sfu.room.inputs import OfferedMedia

__all__ = [
    "AnswerReady",
    "DescriptionRefused",
    "EngineConsumer",
    "EnginePort",
    "EngineTell",
    "MediaSectionsRequired",
    "NegotiationRefused",
    "OfferReady",
    "ParsedOffer",
    "ShardFailed",
    "TransportTell",
]


class DescriptionRefused(Exception):
    """A session description that the engine will not take; the text is fit for the peer that sent it."""


class ParsedOffer(Protocol):
    """A client's offer, parsed, checked and filtered once; good for one `accept_offer`."""

    @property
    def media(self) -> tuple[OfferedMedia, ...]:
        """Audio and video m-lines in order."""


# ---------------------------------------------------------------- tells about one transport's negotiation


@dataclass(frozen=True, slots=True)
class AnswerReady:
    """Answer to `accept_offer(request)`."""

    transport: TransportId
    request: RequestId
    sdp: str
    mid_to_track: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class OfferReady:
    """An offer of ours; `request` is to be echoed in `accept_answer`."""

    transport: TransportId
    request: RequestId
    sdp: str
    mid_to_track: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MediaSectionsRequired:
    """The client must offer again with that many more `recvonly` lines (0, 0: as it is)."""

    transport: TransportId
    audio: int
    video: int


@dataclass(frozen=True, slots=True)
class NegotiationRefused:
    """An offer or an answer was not taken; the transport stays as it was."""

    transport: TransportId
    request: RequestId
    reason: str


@dataclass(frozen=True, slots=True)
class ShardFailed:
    """The shard of this room lost everything: its transports are gone."""

    shard: int


TransportTell = AnswerReady | OfferReady | MediaSectionsRequired | NegotiationRefused

EngineTell = (
    TransportTell
    | ShardFailed
    | TransportConnected
    | TransportFailed
    | LastSequenceKnown
    | UpTrackStarted
    | DownTrackBound
    | DownTrackCodecUnsupported
    | DownTrackPaused
    | AudioLevelsMeasured
    | QualityChanged
)
"""The last eight are room inputs as they are."""


class EngineConsumer(Protocol):
    """Who hears what the engine tells about one room."""

    def hear(self, tell: EngineTell) -> None:
        """Takes a tell; must neither raise nor wait."""


class EnginePort(Protocol):
    """Commands to the engine. None of them waits; each belongs to a room that was attached before."""

    @property
    def candidates(self) -> Sequence[str]:
        """`candidate:…` of every transport, in order of preference."""

    @property
    def wants_remote_candidates(self) -> bool:
        """Whether clients' candidates are of use; an ICE-lite agent only answers checks (RFC 8445 §2.5)."""

    @property
    def accepting(self) -> bool:
        """False while the engine is overloaded or gone: new sessions are refused then."""

    def attach(self, room: RoomId, consumer: EngineConsumer) -> None:
        """Routes everything about `room` to `consumer` from now on."""

    def detach(self, room: RoomId) -> None:
        """Forgets the room: what is still told about it is counted and dropped."""

    def parse_offer(self, sdp: str, mime_types: Sequence[str]) -> ParsedOffer:
        """Parses and checks a client's offer; `mime_types` are the room's codecs, empty means all.

        Raises:
            DescriptionRefused: Not SDP, or something that would be unsafe.
        """

    def add_participant(self, room: RoomId, effect: AddEngineParticipant) -> None:
        """Makes a participant known to the room's data plane."""

    def update_participant(self, effect: UpdateEngineParticipant) -> None:
        """Replaces what the data plane knows of it."""

    def remove_participant(self, participant: ParticipantId) -> None:
        """Closes all its transports and tracks."""

    def open_transport(self, room: RoomId, effect: OpenTransport) -> None:
        """A new transport; one with the role `subscriber` tells `OfferReady` at once."""

    def close_transport(self, transport: TransportId) -> None:
        """Ends it."""

    def accept_offer(
        self, transport: TransportId, request: RequestId, offer: ParsedOffer, publish: Sequence[PublishLine]
    ) -> None:
        """Answers an offer: `AnswerReady` or `NegotiationRefused` follows."""

    def accept_answer(self, transport: TransportId, request: RequestId, sdp: str) -> None:
        """Applies a client's answer; `NegotiationRefused` may follow."""

    def add_remote_candidate(self, transport: TransportId, candidate: str) -> None:
        """One trickled candidate; bad ones are ignored."""

    def restart_ice(self, transport: TransportId) -> None:
        """New credentials for a transport on which we offer: `OfferReady` follows; an offer that is out is void."""

    def ask_last_sequence(self, participant: ParticipantId) -> None:
        """`LastSequenceKnown` follows."""

    def replay_data(self, participant: ParticipantId, received: Sequence[tuple[ParticipantSid, int]]) -> None:
        """Sends it again the reliable data it has missed: what came after these sequence numbers, by sender."""

    def mute_up_track(self, up_track: UpTrackId, *, muted: bool) -> None:
        """Drops (or lets through again) what arrives."""

    def close_up_track(self, up_track: UpTrackId) -> None:
        """The publication ended."""

    def add_down_track(self, room: RoomId, effect: AddDownTrack) -> None:
        """Forwards an up track to a transport."""

    def enable_down_track(self, down_track: DownTrackId, *, enabled: bool) -> None:
        """Starts or stops its packets."""

    def set_down_track_layers(self, effect: SetDownTrackLayers) -> None:
        """Limits what a subscription gets."""

    def set_down_track_priority(self, effect: SetDownTrackPriority) -> None:
        """Says which video is served first when not everything can be sent."""

    def allow_pause(self, effect: AllowPause) -> None:
        """Lets video be paused when not even its lowest layers can be sent."""

    def simulate_rate(self, effect: SimulateRate) -> None:
        """Treats a peer as if its path bore no more than a rate."""

    def move_down_track(self, down_track: DownTrackId, up_track: UpTrackId) -> None:
        """Feeds a subscription by another up track, which may not be published yet; no negotiation."""

    def remove_down_track(self, down_track: DownTrackId) -> None:
        """Ends a subscription."""

    def add_data_up_track(self, effect: AddDataUpTrack) -> None:
        """Forwards what a participant sends under a handle of its own."""

    def close_data_up_track(self, data_up_track: DataUpTrackId) -> None:
        """The data track ended, and its subscriptions with it."""

    def add_data_down_track(self, effect: AddDataDownTrack) -> None:
        """Forwards a data track to a participant under a handle of this subscriber."""

    def set_data_down_track_rate(self, effect: SetDataDownTrackRate) -> None:
        """Changes how many frames a subscriber gets."""

    def remove_data_down_track(self, data_down_track: DataDownTrackId) -> None:
        """Ends a subscription of a data track."""

    def send_data(
        self, room: RoomId, payload: bytes, *, reliable: bool, destinations: Sequence[ParticipantId] | None
    ) -> None:
        """An encoded `livekit.DataPacket` of the server's own; `None` means everybody."""
