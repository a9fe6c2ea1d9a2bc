"""What clients say when they connect: parameters, join requests, and hostile ones."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol import models, rtc

from signaling.join_request import JoinWish, WishRefused, parse_join_request, parse_query

GZIP = rtc.WrappedJoinRequest.Compression.GZIP
_MEASURED = """
import sys, tracemalloc
from signaling.join_request import WishRefused, parse_join_request
text = sys.stdin.read()
tracemalloc.start()
try:
    parse_join_request(text, address="192.0.2.1", user_agent="")
except WishRefused as refused:
    print(refused.message, tracemalloc.get_traced_memory()[1], sep="\\n")
"""


def wrap(request: rtc.JoinRequest, *, packed: bool = False, padded: bool = True) -> str:
    """`join_request` as SDKs make it."""
    body = request.SerializeToString()
    wrapped = (
        rtc.WrappedJoinRequest(compression=GZIP, join_request=gzip.compress(body))
        if packed
        else rtc.WrappedJoinRequest(join_request=body)
    )
    text = base64.urlsafe_b64encode(wrapped.SerializeToString()).decode()
    return text if padded else text.rstrip("=")


def read(text: str) -> JoinWish:
    """Parses without headers."""
    return parse_join_request(text, address="192.0.2.1", user_agent="")


def refusal(text: str) -> str:
    """The text with which it is refused."""
    with pytest.raises(WishRefused) as caught:
        read(text)
    return caught.value.message


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_every_field_of_a_join_request_arrives(*, packed: bool, padded: bool) -> None:
    request = rtc.JoinRequest(
        client_info=models.ClientInfo(sdk=models.ClientInfo.SDK.REACT_NATIVE, version="2.1", protocol=16, os="ios"),
        connection_settings=rtc.ConnectionSettings(
            auto_subscribe=True,
            adaptive_stream=True,
            subscriber_allow_pause=True,
            disable_ice_lite=True,
            auto_subscribe_data_track=True,
        ),
        metadata="m",
        participant_attributes={"a": "1"},
        add_track_requests=[rtc.AddTrackRequest(cid="c")],
        publisher_offer=rtc.SessionDescription(type="offer", sdp="v=0", id=4),
    )
    wish = read(wrap(request, packed=packed, padded=padded))
    assert wish.single_peer_connection
    assert (wish.auto_subscribe, wish.adaptive_stream, wish.reconnect) == (True, True, False)
    assert wish.allow_pause is True
    assert wish.disable_ice_lite
    assert wish.auto_subscribe_data
    assert (wish.metadata, dict(wish.attributes)) == ("m", {"a": "1"})
    assert [track.cid for track in wish.add_tracks] == ["c"]
    assert wish.offer is not None
    assert (wish.offer.sdp, wish.offer.id) == ("v=0", 4)
    assert (wish.client.sdk, wish.client.version, wish.client.address) == ("reactnative", "2.1", "192.0.2.1")


def test_absent_settings_are_false_and_an_absent_offer_is_none() -> None:
    wish = read(wrap(rtc.JoinRequest()))
    assert (wish.auto_subscribe, wish.adaptive_stream, wish.offer) == (False, False, None)
    assert not wish.auto_subscribe_data
    assert wish.client.sdk == "unknown"
    assert wish.allow_pause is None, "but for this one, which is up to the configuration"


def test_refusals_have_the_references_texts() -> None:
    assert refusal("!!!") == "cannot base64 decode wrapped join request"
    assert refusal(base64.urlsafe_b64encode(b"\xff\xff").decode()) == "cannot unmarshal wrapped join request"
    broken = rtc.WrappedJoinRequest(join_request=b"\xff\xff").SerializeToString()
    assert refusal(base64.urlsafe_b64encode(broken).decode()) == "cannot unmarshal join request"
    no_gzip = rtc.WrappedJoinRequest(compression=GZIP, join_request=b"not gzip").SerializeToString()
    assert refusal(base64.urlsafe_b64encode(no_gzip).decode()) == "cannot read decompressed join request"
    cut = rtc.WrappedJoinRequest(compression=GZIP, join_request=gzip.compress(bytes(4096))[:-12]).SerializeToString()
    assert refusal(base64.urlsafe_b64encode(cut).decode()) == "cannot read decompressed join request"
    long = rtc.WrappedJoinRequest(join_request=bytes(1024 * 1024 + 1)).SerializeToString()
    assert refusal(base64.urlsafe_b64encode(long).decode()) == "join request too large"


def test_what_a_client_says_of_itself_is_bounded() -> None:
    """Numbers are told to everybody in the room, texts go to the log."""
    numbers = [models.ClientInfo.Capability.CAP_PACKET_TRAILER, models.ClientInfo.Capability.CAP_UNUSED] * 1000
    info = models.ClientInfo(version="1" * 100_000, os="o" * 257, capabilities=numbers)
    wish = read(wrap(rtc.JoinRequest(client_info=info)))
    assert (wish.client.version, wish.client.os) == ("1" * 256, "o" * 256)
    assert wish.client.capabilities == (1, 0)
    many = [rtc.AddTrackRequest(cid=str(number)) for number in range(257)]
    assert len(read(wrap(rtc.JoinRequest(add_track_requests=many[1:]))).add_tracks) == 256
    assert refusal(wrap(rtc.JoinRequest(add_track_requests=many))) == "join request announces more than 256 tracks"


def test_a_bomb_is_not_inflated() -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024), 9)
    wrapped = rtc.WrappedJoinRequest(compression=GZIP, join_request=bomb).SerializeToString()
    refused, peak_bytes = _read_elsewhere(base64.urlsafe_b64encode(wrapped).decode())
    assert refused == "join request too large"
    assert int(peak_bytes) < 8 * 1024 * 1024


def _read_elsewhere(text: str) -> list[str]:
    """The refusal, and the bytes that reading took at most, as another process measures them.

    Not this one: in Python 3.11 `tracemalloc.stop()` crashes beside an SDK's threads (CPython issue 128679).
    """
    return subprocess.run(
        [sys.executable, "-c", _MEASURED], input=text, capture_output=True, text=True, check=True
    ).stdout.splitlines()


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_whatever_comes_is_read_or_refused(text: str) -> None:
    try:
        assert isinstance(read(text), JoinWish)
    except WishRefused as refused:
        assert refused.message  # noqa: PT017 - either way is fine, nothing else is


def ask(query: dict[str, str], *, strict: bool = False, user_agent: str = "") -> JoinWish:
    """Parses parameters of `/rtc`."""
    return parse_query(query, address="", user_agent=user_agent, strict=strict)


def test_parameters_of_the_older_path() -> None:
    attributes = base64.urlsafe_b64encode(json.dumps({"a": "ü"}).encode()).decode()
    wish = ask(
        {
            "auto_subscribe": "0",
            "adaptive_stream": "true",
            "auto_subscribe_data_track": "1",
            "reconnect": "1",
            "disable_ice_lite": "1",
            "publish": "screen",
            "attributes": attributes,
            "protocol": "16",
            "sdk": "ios",
            "capabilities": "CAP_PACKET_TRAILER, nonsense",
        }
    )
    assert not wish.single_peer_connection
    assert (wish.auto_subscribe, wish.adaptive_stream, wish.reconnect) == (False, True, True)
    assert wish.disable_ice_lite
    assert wish.auto_subscribe_data
    assert (wish.publish, dict(wish.attributes)) == ("screen", {"a": "ü"})
    assert (wish.client.sdk, wish.client.protocol, wish.client.capabilities) == ("swift", 16, (1,))


@pytest.mark.parametrize(("said", "meant"), [("1", True), ("true", True), ("0", False), ("", None)])
def test_pausing_is_up_to_the_configuration_unless_the_client_says_so(said: str, meant: bool | None) -> None:
    assert ask({"subscriber_allow_pause": said}).allow_pause is meant


def test_defaults_of_the_older_path() -> None:
    wish = ask({"protocol": "many", "sdk": "toaster"})
    assert wish.auto_subscribe
    assert not wish.disable_ice_lite
    assert (wish.client.protocol, wish.client.sdk) == (0, "unknown")


_HALF_A_CHARACTER = base64.urlsafe_b64encode(b'{"a": "\\ud800"}').decode()


@pytest.mark.parametrize("text", ["###", base64.urlsafe_b64encode(b"[1]").decode(), "e30"[:2], _HALF_A_CHARACTER])
def test_attributes_that_cannot_be_read(text: str) -> None:
    assert ask({"attributes": text}).attributes == {}
    with pytest.raises(WishRefused, match="cannot decode attributes"):
        ask({"attributes": text}, strict=True)


CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.1 Safari/537.36"


@pytest.mark.parametrize(
    ("user_agent", "browser", "system"),
    [
        (CHROME, ("Chrome", "156.0.1"), ("Linux", "")),
        (CHROME + " Edg/156.0.2", ("Edge", "156.0.2"), ("Linux", "")),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605 Version/18.3 Safari/605",
            ("Safari", "18.3"),
            ("Mac OS X", "10.15.7"),
        ),
        ("Mozilla/5.0 (Windows NT 10.0; rv:153.0) Gecko/1 Firefox/153.0", ("Firefox", "153.0"), ("Windows", "10.0")),
        ("curl/8", ("", ""), ("", "")),
    ],
)  # fmt: skip
def test_browsers_are_known_by_their_header(user_agent: str, browser: tuple[str, str], system: tuple[str, str]) -> None:
    client = ask({"sdk": "js"}, user_agent=user_agent).client
    assert (client.browser, client.browser_version) == browser
    assert (client.os, client.os_version) == system


def test_what_a_client_says_counts_more_than_its_header() -> None:
    client = ask({"sdk": "js", "browser": "Mine", "os": "Ours"}, user_agent=CHROME).client
    assert (client.browser, client.os) == ("Mine", "Ours")
    assert ask({"sdk": "python"}, user_agent=CHROME).client.browser == ""
