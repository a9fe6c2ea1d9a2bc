"""Offers in, answers out: with real clients' offers, and with aiortc as an independent peer."""

from __future__ import annotations

import asyncio
import select
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

from sfu import _engine

if TYPE_CHECKING:
    from tests.binding.conftest import EventFeed

_OFFERS = Path(__file__).parents[2] / "sfu/engine/crates/core/tests/offers"
_ROOM, _PARTICIPANT, _TRANSPORT, _UP_TRACK = 1, 2, 3, 4


def _offer_text(name: str) -> str:
    return (_OFFERS / name).read_text().replace("\r\n", "\n").replace("\n", "\r\n")


def _join(engine: _engine.Engine, role: _engine._Role = "both") -> None:
    engine.add_participant(
        _ROOM, _PARTICIPANT, sid="PA_1", identity="ann", can_publish_data=True, hidden=False, agent=False
    )
    engine.open_transport(_PARTICIPANT, _TRANSPORT, role)


@pytest.mark.parametrize("name", sorted(path.name for path in _OFFERS.glob("*.sdp")))
async def test_a_real_clients_offer_is_answered(engine: _engine.Engine, events: EventFeed, name: str) -> None:
    offer = _engine.RemoteOffer(_offer_text(name))
    _join(engine)
    engine.accept_offer(_TRANSPORT, 7, offer, [])
    answer = await events.wait_for(_engine.Answer)
    assert (answer.transport, answer.request, answer.mid_to_track) == (_TRANSPORT, 7, {})
    assert answer.sdp.startswith("v=0\r\n")
    assert answer.sdp.count("\r\nm=") == len(offer.media) + offer.has_data


def test_an_offers_lines_are_told() -> None:
    offer = _engine.RemoteOffer(_offer_text("chromium_publish_av1.sdp"))
    assert offer.has_data
    sending = [media for media in offer.media if media.direction in {"sendonly", "sendrecv"}]
    assert sending
    for media in sending:
        assert media.kind in {"audio", "video"}
        assert media.mid
        assert media.track_id
        assert media.mime_types
        assert all(mime.startswith(f"{media.kind}/") for mime in media.mime_types)


def test_a_rooms_codecs_are_all_that_is_left() -> None:
    offer = _engine.RemoteOffer(_offer_text("chromium_join_2.23.sdp"), ["audio/opus", "video/VP8"])
    assert {mime for media in offer.media for mime in media.mime_types} == {"audio/opus", "video/VP8"}


@pytest.mark.parametrize("mime_types", [["video/H264"], ["audio/PCMU"]])
async def test_lines_of_a_kind_without_codecs_stay(
    engine: _engine.Engine, events: EventFeed, mime_types: list[str]
) -> None:
    offer = _engine.RemoteOffer(_offer_text("chromium_join_2.23.sdp"), mime_types)
    assert {mime for media in offer.media for mime in media.mime_types} == set(mime_types)
    engine.add_participant(
        _ROOM, _PARTICIPANT, sid="PA_1", identity="ann", can_publish_data=True, hidden=False, agent=False
    )
    engine.open_transport(_PARTICIPANT, _TRANSPORT, "both", mime_types=mime_types)
    engine.accept_offer(_TRANSPORT, 7, offer, [])
    answer = await events.wait_for(_engine.Answer)
    assert [line.split()[1] for line in answer.sdp.splitlines() if line.startswith("m=")].count("0") == 0


@pytest.mark.parametrize("text", ["", "nonsense", "v=0\r\nm=", "\0" * 100, "v=0\r\n" + "a" * 5_000_000])
def test_what_is_no_description_is_refused(text: str) -> None:
    with pytest.raises(_engine.SdpError):
        _engine.RemoteOffer(text)


def test_a_payload_type_with_two_meanings_is_refused() -> None:
    text = _offer_text("chromium_join_2.23.sdp")
    hostile = text.replace("UDP/TLS/RTP/SAVPF 111 ", "UDP/TLS/RTP/SAVPF 96 ").replace("a=rtpmap:111 ", "a=rtpmap:96 ")
    assert hostile != text
    with pytest.raises(_engine.SdpError, match="96"):
        _engine.RemoteOffer(hostile)


async def test_a_subscriber_transport_offers_at_once(engine: _engine.Engine, events: EventFeed) -> None:
    _join(engine, "subscriber")
    offer = await events.wait_for(_engine.Offer)
    assert offer.transport == _TRANSPORT
    assert "m=application" in offer.sdp


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda engine: engine.open_transport(1, 2, "sideways"), "role"),
        (lambda engine: engine.send_data(1, "carrier pigeon", b""), "kind"),
        (lambda engine: engine.add_down_track(1, 2, 3, "smell", stream_id="", track_sid=""), "kind"),
    ],
)
def test_unknown_words_are_value_errors(engine: _engine.Engine, call: object, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call(engine)  # type: ignore[operator]


def test_a_full_command_queue_is_an_exception_and_loses_nothing(engine: _engine.Engine) -> None:
    # Nobody drains: when the event ring is full the shard takes no more commands, and then their queue fills.
    _join(engine)
    accepted = 0
    with pytest.raises(_engine.QueueFull):  # noqa: PT012 - which of them fails is not known
        for accepted in range(100_000):
            engine.snapshot(accepted, _TRANSPORT)
    answered: list[int] = []
    while len(answered) < accepted:
        readable, _, _ = select.select([engine.event_fd], [], [], 10)
        assert readable, f"{len(answered)} of {accepted} answers"
        answered += [event.request for event in engine.drain() if isinstance(event, _engine.Snapshot)]
    assert answered == list(range(accepted))
    assert engine.counters()["events_lost"] == 0


async def test_aiortc_connects_and_publishes(engine: _engine.Engine, events: EventFeed) -> None:
    peer = RTCPeerConnection()
    try:
        channel = peer.createDataChannel("_reliable")
        opened = asyncio.Event()
        channel.on("open", opened.set)
        peer.addTrack(AudioStreamTrack())
        await peer.setLocalDescription(await peer.createOffer())
        offer = _engine.RemoteOffer(peer.localDescription.sdp)
        [audio] = offer.media
        _join(engine)
        line = _engine.PublishLine(mid=audio.mid, up_track=_UP_TRACK)
        engine.accept_offer(_TRANSPORT, 1, offer, [line])
        answer = await events.wait_for(_engine.Answer)
        sdp = _with_candidates(answer.sdp, engine.candidates)
        await peer.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        connected = await events.wait_for(_engine.TransportConnected)
        assert (connected.transport, connected.tcp) == (_TRANSPORT, False)
        started = await events.wait_for(_engine.UpTrackStarted)
        assert (started.up_track, started.mime_type) == (_UP_TRACK, "audio/opus")
        async with asyncio.timeout(10):
            await opened.wait()
        engine.snapshot(9, _TRANSPORT)
        assert (await events.wait_for(_engine.Snapshot)).request == 9
        engine.close_transport(_TRANSPORT)
    finally:
        await peer.close()
    engine.stop()
    assert engine.counters()["packets_in"] > 0


def _with_candidates(sdp: str, candidates: list[str]) -> str:
    """The answer with our candidates, in case it leaves them to be trickled."""
    if "a=candidate:" in sdp:
        return sdp
    lines = "".join(f"a={candidate}\r\n" for candidate in candidates)
    return sdp.replace("a=mid:", f"{lines}a=mid:", 1)


def test_the_engine_does_not_need_ipv4() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.fail("the tests need ::1")
    engine = _engine.Engine(_engine.EngineConfig(udp=["[::1]:0"], tcp=["[::1]:0"]))
    assert engine.udp_addresses[0].startswith("[::1]:")
    engine.stop()
