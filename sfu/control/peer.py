"""A client's peer connection, in aiortc's vocabulary, over one transport of the engine.

Owns one transport's negotiation: which offer is pending, which ids were used, which candidates wait, whether an answer
is overdue (protocol.md §2.7). Never parses or patches SDP (the engine does) and never decides what may be published
(the room does). Nothing here waits: the actor drives it, and everything that it wants said is returned.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sfu.control.engine_port import (
    AnswerReady,
    MediaSectionsRequired,
    NegotiationRefused,
    OfferReady,
    TransportTell,
)
from sfu.ids import RequestId, SessionId, TransportId, next_id
from sfu.room.inputs import NegotiationFailed
from sfu.room.messages import Answer, MediaSectionsRequirement, Message, Offer, Trickle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfu.control.engine_port import EnginePort, ParsedOffer
    from sfu.room.effects import OpenTransport, PublishLine

__all__ = ["PeerConnection", "RTCIceCandidate", "RTCSessionDescription"]

_MAX_QUEUED_CANDIDATES = 64
_UFRAG = re.compile(r"^a=ice-ufrag:(\S+)", re.MULTILINE)
_LINE = re.compile(r"^m=\S+ (\d+) .*?^a=mid:(\S+)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class RTCSessionDescription:
    """A description with LiveKit's id, by which offers and answers are matched."""

    sdp: str
    type: Literal["offer", "answer"]
    id: int = 0


@dataclass(frozen=True, slots=True)
class RTCIceCandidate:
    """A trickled candidate: the attribute's value, `candidate:…`."""

    candidate: str


@dataclass(frozen=True, slots=True)
class _Outstanding:
    """An offer of ours that was sent."""

    id: int
    request: RequestId
    sent_s: float


class PeerConnection:
    """One transport's negotiation with one client."""

    def __init__(self, port: EnginePort, opened: OpenTransport, *, first_offer_id: int | None = None) -> None:
        self._port = port
        self._role = opened.role
        self._mime_types = opened.mime_types
        self.session: SessionId = opened.session
        self.participant = opened.participant
        self.transport: TransportId = opened.transport
        # A random start keeps answers to an earlier connection's offers from matching (protocol.md §2.7).
        self._next_offer_id = random.randint(1, 256) if first_offer_id is None else first_offer_id  # noqa: S311
        self._outstanding: _Outstanding | None = None
        self._pending: tuple[int, ParsedOffer] | None = None
        self._answering: dict[RequestId, int] = {}
        self._remote_known = False
        self._waiting_candidates: list[str] = []
        self._trickled = False
        self._tcp_only = opened.tcp_only and any(map(_is_tcp, port.candidates))
        self._wants_candidates = port.wants_remote_candidates or opened.full_ice
        self._answer_timeout_s = opened.answer_timeout_s
        self._remote_ufrag = ""
        self._reachable = True
        self.connected = False

    @property
    def takes_offers(self) -> bool:
        """Whether the client offers on this connection."""
        return self._role != "subscriber"

    @property
    def is_answered(self) -> bool:
        """Whether no offer of ours is out."""
        return self._outstanding is None

    @property
    def next_deadline_s(self) -> float | None:
        """When an overdue answer becomes a failure; monotonic."""
        if self._outstanding is None or not (self.connected and self._reachable):
            return None
        return self._outstanding.sent_s + self._answer_timeout_s

    # ------------------------------------------------------------ the session behind it

    def lose_session(self) -> None:
        """Nobody listens at the moment: no answer can be overdue."""
        self._reachable = False

    def move_to(self, session: SessionId) -> None:
        """The client goes on over another connection and knows nothing of what was under way."""
        self.session = session
        self._reachable = True
        self._pending = None
        self._answering.clear()
        self._outstanding = None

    def restartIce(self) -> None:
        """Has the engine offer with new ICE credentials; our candidates are told again with them."""
        self._trickled = False
        self._port.restart_ice(self.transport)

    # ------------------------------------------------------------ from the client

    def setRemoteDescription(self, description: RTCSessionDescription) -> ParsedOffer | None:
        """Takes the client's description.

        Returns:
            For an offer its parsed form: the room says by `createAnswer` what to make of it. `None` for an answer.

        Raises:
            DescriptionRefused: The offer is no good.
        """
        if description.type == "answer":
            self._take_answer(description)
            return None
        offer = self._port.parse_offer(description.sdp, self._mime_types)
        self._pending = (description.id, offer)
        self._note_ufrag(description.sdp)
        return offer

    def createAnswer(self, offer_id: int, publish: Sequence[PublishLine]) -> None:
        """Has the engine answer the pending offer; the answer comes back through `hear`."""
        if self._pending is None or self._pending[0] != offer_id:
            return
        _, offer = self._pending
        self._pending = None
        request = RequestId(next_id())
        self._answering[request] = offer_id
        self._port.accept_offer(self.transport, request, offer, publish)
        self._remote_described()

    def addIceCandidate(self, candidate: RTCIceCandidate) -> None:
        """Takes a trickled candidate; before the remote description is known it waits."""
        if not self._wants_candidates:
            return
        if self._remote_known:
            self._port.add_remote_candidate(self.transport, candidate.candidate)
        elif len(self._waiting_candidates) < _MAX_QUEUED_CANDIDATES:
            self._waiting_candidates.append(candidate.candidate)

    def _note_ufrag(self, sdp: str) -> None:
        """Another user name fragment than before is an ICE restart (RFC 8839 §4.4.1.1.1): our candidates go again."""
        found = _UFRAG.search(sdp)
        ufrag = found.group(1) if found else ""
        if ufrag != self._remote_ufrag:
            self._trickled = self._trickled and not self._remote_ufrag
            self._remote_ufrag = ufrag

    def _take_answer(self, description: RTCSessionDescription) -> None:
        outstanding = self._outstanding
        if outstanding is None or description.id not in {outstanding.id, 0}:
            return  # stale: it answers an offer that is no longer of interest (id 0: a client without ids)
        self._outstanding = None
        self._port.accept_answer(self.transport, outstanding.request, description.sdp)
        self._remote_described()

    def _remote_described(self) -> None:
        self._remote_known = True
        waiting, self._waiting_candidates = self._waiting_candidates, []
        for candidate in waiting:
            self._port.add_remote_candidate(self.transport, candidate)

    # ------------------------------------------------------------ from the engine

    def hear(self, tell: TransportTell, now_s: float) -> list[Message | NegotiationFailed]:
        """What the client is to be told, in order, or what the room has to hear."""
        match tell:
            case AnswerReady():
                offer_id = self._answering.pop(tell.request, None)
                if offer_id is None:
                    return []
                return [Answer(tell.sdp, offer_id, tell.mid_to_track), *self._trickle(tell.sdp)]
            case OfferReady():
                self._outstanding = _Outstanding(self._next_offer_id, tell.request, now_s)
                self._next_offer_id += 1
                return [Offer(tell.sdp, self._outstanding.id, tell.mid_to_track), *self._trickle(tell.sdp)]
            case MediaSectionsRequired():
                return [MediaSectionsRequirement(tell.audio, tell.video)]
            case NegotiationRefused():
                self._answering.pop(tell.request, None)
                return [NegotiationFailed(self.transport, tell.reason)]

    def expire(self, now_s: float) -> NegotiationFailed | None:
        """The failure that is due by now, once."""
        deadline_s = self.next_deadline_s
        if deadline_s is None or now_s < deadline_s:
            return None
        self._outstanding = None
        return NegotiationFailed(self.transport, "the offer was not answered in time")

    def _trickle(self, sdp: str) -> list[Message]:
        """Our candidates one by one, once: some clients read only these, others only the description's."""
        if self._trickled:
            return []
        self._trickled = True
        line, mid = _first_accepted(sdp)
        subscriber = self._role == "subscriber"
        candidates = [one for one in self._port.candidates if not self._tcp_only or _is_tcp(one)]
        last = len(candidates) - 1
        return [
            Trickle(candidate, subscriber=subscriber, final=index == last, mid=mid, line=line)
            for index, candidate in enumerate(candidates)
        ]

    def close(self) -> None:
        """Ends the transport."""
        self._port.close_transport(self.transport)


def _first_accepted(sdp: str) -> tuple[int, str]:
    """Index and mid of the first m-line that is not refused: it stands for all of the bundle (RFC 9143 §7.3.3)."""
    lines = enumerate(_LINE.findall(sdp))
    return next(((index, mid) for index, (port, mid) in lines if port != "0"), (0, ""))


def _is_tcp(candidate: str) -> bool:
    """`candidate:foundation component transport …` (RFC 8839 §5.1)."""
    fields = candidate.split(maxsplit=3)
    return len(fields) > 3 and fields[2].lower() == "tcp"
