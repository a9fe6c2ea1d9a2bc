"""One peer connection's negotiation, without a room."""

from __future__ import annotations

from typing import Literal
from unittest.mock import Mock

import pytest

from sfu.control.engine_port import AnswerReady, EnginePort, MediaSectionsRequired, NegotiationRefused, OfferReady
from sfu.control.peer import PeerConnection, RTCIceCandidate, RTCSessionDescription
from sfu.ids import ParticipantId, RequestId, SessionId, TransportId
from sfu.room.effects import OpenTransport
from sfu.room.inputs import NegotiationFailed
from sfu.room.messages import Answer, MediaSectionsRequirement, Offer, Trickle

T = TransportId(5)
ANSWER_TIMEOUT_S = 4.0
SDP = "v=0\r\nm=audio 9 X 111\r\na=mid:abc\r\n"


def make_port(**attributes: object) -> Mock:
    """A port that takes everything."""
    values = {"candidates": ("candidate:1", "candidate:2"), "wants_remote_candidates": True, **attributes}
    return Mock(spec=EnginePort, **values)


def make_peer(
    port: Mock, role: Literal["publisher", "subscriber", "both"] = "both", *, full_ice: bool = False
) -> PeerConnection:
    """A peer of session 1 over transport 5."""
    opened = OpenTransport(
        SessionId(1), ParticipantId(2), T, role, (), answer_timeout_s=ANSWER_TIMEOUT_S, full_ice=full_ice
    )
    return PeerConnection(port, opened, first_offer_id=200)


def offer(peer: PeerConnection, offer_id: int) -> None:
    """The client offers, the room accepts."""
    assert peer.setRemoteDescription(RTCSessionDescription(SDP, "offer", offer_id)) is not None
    peer.createAnswer(offer_id, ())


def request_of(port: Mock) -> RequestId:
    """Request of the newest `accept_offer`."""
    request: RequestId = port.accept_offer.call_args.args[1]
    return request


def test_answers_carry_the_ids_of_their_offers_even_out_of_order() -> None:
    port = make_port()
    peer = make_peer(port)
    offer(peer, 0)
    first = request_of(port)
    offer(peer, 7)
    second = request_of(port)
    assert peer.hear(AnswerReady(T, second, SDP, {}), 0.0)[0] == Answer(SDP, 7, {})
    assert peer.hear(AnswerReady(T, first, SDP, {}), 0.0) == [Answer(SDP, 0, {})]
    assert peer.hear(AnswerReady(T, first, SDP, {}), 0.0) == []


def test_only_the_pending_offer_can_be_answered() -> None:
    port = make_port()
    peer = make_peer(port)
    peer.createAnswer(1, ())
    peer.setRemoteDescription(RTCSessionDescription(SDP, "offer", 1))
    peer.setRemoteDescription(RTCSessionDescription(SDP, "offer", 2))
    peer.createAnswer(1, ())
    port.accept_offer.assert_not_called()
    peer.createAnswer(2, ())
    port.accept_offer.assert_called_once()


def test_candidates_follow_the_first_description_and_name_its_first_line() -> None:
    port = make_port()
    peer = make_peer(port)
    offer(peer, 1)
    said = peer.hear(AnswerReady(T, request_of(port), SDP, {}), 0.0)
    assert said[1:] == [
        Trickle("candidate:1", subscriber=False, final=False, mid="abc"),
        Trickle("candidate:2", subscriber=False, final=True, mid="abc"),
    ]


def test_candidates_name_no_line_that_is_refused() -> None:
    port = make_port()
    peer = make_peer(port)
    offer(peer, 1)
    refused = "v=0\r\nm=audio 0 X 0\r\na=mid:0\r\nm=video 0 X 0\r\na=mid:1\r\n"
    answer = f"{refused}m=application 9 X webrtc-datachannel\r\na=sctp-port:5000\r\na=mid:2\r\n"
    said = peer.hear(AnswerReady(T, request_of(port), answer, {}), 0.0)
    assert [(one.mid, one.line) for one in said if isinstance(one, Trickle)] == [("2", 2), ("2", 2)]


def test_our_offers_have_rising_ids_and_take_only_their_answers() -> None:
    port = make_port()
    peer = make_peer(port, "subscriber")
    said = peer.hear(OfferReady(T, RequestId(1), SDP, {"abc": "TR_1"}), 0.0)
    assert said[0] == Offer(SDP, 200, {"abc": "TR_1"})
    assert all(isinstance(message, Trickle) and message.subscriber for message in said[1:])
    peer.setRemoteDescription(RTCSessionDescription("a", "answer", 199))
    port.accept_answer.assert_not_called()
    peer.setRemoteDescription(RTCSessionDescription("a", "answer", 200))
    port.accept_answer.assert_called_once_with(T, RequestId(1), "a")
    peer.setRemoteDescription(RTCSessionDescription("a", "answer", 200))
    port.accept_answer.assert_called_once()
    assert peer.hear(OfferReady(T, RequestId(2), SDP, {}), 0.0) == [Offer(SDP, 201, {})]
    peer.setRemoteDescription(RTCSessionDescription("b", "answer", 0))
    assert port.accept_answer.call_args.args == (T, RequestId(2), "b")


@pytest.mark.parametrize("connected", [False, True])
def test_only_an_established_client_can_be_late_with_its_answer(*, connected: bool) -> None:
    peer = make_peer(make_port(), "subscriber")
    peer.connected = connected
    peer.hear(OfferReady(T, RequestId(1), SDP, {}), 10.0)
    assert peer.next_deadline_s == (10.0 + ANSWER_TIMEOUT_S if connected else None)
    assert peer.expire(10.0 + ANSWER_TIMEOUT_S - 0.1) is None
    failure = peer.expire(10.0 + ANSWER_TIMEOUT_S)
    assert (failure is not None) is connected
    assert peer.expire(100.0) is None


def test_remote_candidates_wait_for_the_description_and_are_bounded() -> None:
    port = make_port()
    peer = make_peer(port)
    for number in range(1000):
        peer.addIceCandidate(RTCIceCandidate(f"candidate:{number}"))
    port.add_remote_candidate.assert_not_called()
    offer(peer, 1)
    assert port.add_remote_candidate.call_count == 64
    peer.addIceCandidate(RTCIceCandidate("candidate:late"))
    assert port.add_remote_candidate.call_args.args == (T, "candidate:late")


def test_an_ice_lite_engine_is_not_bothered_with_candidates() -> None:
    port = make_port(wants_remote_candidates=False)
    peer = make_peer(port)
    peer.addIceCandidate(RTCIceCandidate("candidate:1"))
    offer(peer, 1)
    port.add_remote_candidate.assert_not_called()


def test_a_client_that_wants_full_ice_is_reached_by_its_candidates() -> None:
    port = make_port(wants_remote_candidates=False)
    peer = make_peer(port, full_ice=True)
    peer.addIceCandidate(RTCIceCandidate("candidate:1"))
    offer(peer, 1)
    port.add_remote_candidate.assert_called_once_with(T, "candidate:1")


def test_the_engines_other_tells() -> None:
    peer = make_peer(make_port())
    assert peer.hear(MediaSectionsRequired(T, 1, 2), 0.0) == [MediaSectionsRequirement(1, 2)]
    refused = NegotiationRefused(T, RequestId(1), "no")
    assert peer.hear(refused, 0.0) == [NegotiationFailed(T, "no")]


def test_closing_ends_the_transport() -> None:
    port = make_port()
    make_peer(port).close()
    port.close_transport.assert_called_once_with(T)


def test_a_client_that_restarts_ice_gets_our_candidates_again() -> None:
    port = make_port()
    peer = make_peer(port)
    trickled = []
    for offer_id, ufrag in enumerate(("abcd", "abcd", "efgh")):
        assert peer.setRemoteDescription(RTCSessionDescription(f"{SDP}a=ice-ufrag:{ufrag}\r\n", "offer", offer_id))
        peer.createAnswer(offer_id, ())
        trickled.append(len(peer.hear(AnswerReady(T, request_of(port), SDP, {}), 0.0)) - 1)
    assert trickled == [2, 0, 2]


def test_our_own_restart_tells_the_candidates_again() -> None:
    port = make_port()
    peer = make_peer(port, "subscriber")
    peer.hear(OfferReady(T, RequestId(1), SDP, {}), 0.0)
    peer.restartIce()
    port.restart_ice.assert_called_once_with(T)
    assert [type(said) for said in peer.hear(OfferReady(T, RequestId(2), SDP, {}), 0.0)] == [Offer, Trickle, Trickle]


def test_nothing_of_the_old_session_reaches_the_new_one() -> None:
    port = make_port()
    peer = make_peer(port)
    offer(peer, 7)
    peer.setRemoteDescription(RTCSessionDescription(SDP, "offer", 8))
    peer.move_to(SessionId(2))
    assert peer.session == SessionId(2)
    assert peer.hear(AnswerReady(T, request_of(port), SDP, {}), 0.0) == []
    peer.createAnswer(8, ())
    assert port.accept_offer.call_count == 1


def test_an_answer_is_not_overdue_while_nobody_listens() -> None:
    peer = make_peer(make_port(), "subscriber")
    peer.connected = True
    peer.hear(OfferReady(T, RequestId(1), SDP, {}), 0.0)
    peer.lose_session()
    assert peer.expire(ANSWER_TIMEOUT_S + 1) is None
    peer.move_to(SessionId(2))
    peer.hear(OfferReady(T, RequestId(2), SDP, {}), 100.0)
    assert peer.expire(100 + ANSWER_TIMEOUT_S) is not None


UDP, TCP = "candidate:1 1 udp 1 192.0.2.1 7882 typ host", "candidate:2 1 TCP 1 192.0.2.1 7881 typ host tcptype passive"


@pytest.mark.parametrize(("candidates", "told"), [((UDP, TCP), [(TCP, True)]), ((UDP,), [(UDP, True)])])
def test_one_that_wants_no_udp_hears_of_tcp_only_where_there_is_any(
    candidates: tuple[str, ...], told: list[tuple[str, bool]]
) -> None:
    opened = OpenTransport(SessionId(1), ParticipantId(2), T, "subscriber", (), tcp_only=True)
    peer = PeerConnection(make_port(candidates=candidates), opened)
    said = peer.hear(OfferReady(T, RequestId(1), SDP, {}), 0.0)
    assert [(one.candidate, one.final) for one in said if isinstance(one, Trickle)] == told
