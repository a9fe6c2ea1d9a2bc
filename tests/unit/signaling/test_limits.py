"""Counting what a connection asks against its caps."""

from __future__ import annotations

import pytest

from sfu.control.requests import ClientCandidate, ClientOffer
from sfu.ids import SessionId, TrackSid
from sfu.room import inputs
from sfu.room.inputs import UpdateOwnMetadata
from signaling.limits import Cap, SignalLimits, SignalMeter, TokenBucket

SESSION = SessionId(1)


def test_a_bucket_allows_its_burst_then_its_rate() -> None:
    bucket = TokenBucket(rate=2, burst=4)
    assert [bucket.take(1, 10.0) for _ in range(5)] == [True] * 4 + [False]
    assert not bucket.take(1, 10.4)
    assert bucket.take(1, 10.5)
    assert [bucket.take(1, 100.0) for _ in range(5)] == [True] * 4 + [False]


def test_a_rate_of_zero_is_no_limit() -> None:
    bucket = TokenBucket(rate=0, burst=0)
    assert all(bucket.take(1_000_000, 0.0) for _ in range(10))


def test_messages_are_capped_over_ten_seconds() -> None:
    meter = SignalMeter(SignalLimits(max_messages_per_s=10))
    assert [meter.frame(1, 0.0) for _ in range(101)] == [None] * 100 + [Cap.MESSAGES]
    assert meter.frame(1, 0.2) is None


def test_bytes_are_capped_over_ten_seconds_whatever_they_ask() -> None:
    meter = SignalMeter(SignalLimits(max_bytes_per_s=1_000))
    assert [meter.frame(4_000, 0.0) for _ in range(3)] == [None, None, Cap.BYTES]
    assert meter.frame(4_000, 1.0) is Cap.BYTES
    assert meter.frame(4_000, 3.0) is None


def test_the_descriptions_of_a_large_room_are_no_flood() -> None:
    """Two hundred lines, and the set of them changes five times a second for a while."""
    meter = SignalMeter(SignalLimits())
    offer = ClientOffer(SESSION, "v=0", 1)
    told = [meter.frame(300_000, at / 5) or meter.request(offer, at / 5) for at in range(40)]
    assert not any(told)


def test_offers_are_capped_over_a_minute() -> None:
    meter = SignalMeter(SignalLimits(max_offers_per_minute=6))
    offer = ClientOffer(SESSION, "v=0", 1)
    assert [meter.request(offer, 0.0) for _ in range(7)] == [None] * 6 + [Cap.OFFERS]
    assert meter.request(offer, 10.0) is None


def test_candidates_are_capped_over_a_minute() -> None:
    meter = SignalMeter(SignalLimits(max_candidates_per_minute=6))
    candidate = ClientCandidate(SESSION, "candidate:1", subscriber=False)
    assert [meter.request(candidate, 0.0) for _ in range(7)] == [None] * 6 + [Cap.CANDIDATES]
    assert meter.request(candidate, 10.0) is None


def test_what_libwebrtc_sends_on_a_busy_machine_is_no_flood() -> None:
    """The Python SDK with one peer connection, slow to connect: its TCP ports again and again."""
    meter = SignalMeter(SignalLimits())
    candidate = ClientCandidate(SESSION, "candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype passive", subscriber=False)
    told = [meter.frame(120, at / 150) or meter.request(candidate, at / 150) for at in range(900)]
    assert not any(told)


def test_one_oversize_metadata_reaches_the_room_but_not_a_stream_of_them() -> None:
    meter = SignalMeter(SignalLimits())
    update = UpdateOwnMetadata(SESSION, metadata="x" * 600_000)
    verdicts = [meter.request(update, 0.0) for _ in range(10)]
    assert verdicts[0] is None
    assert verdicts[-1] is Cap.METADATA


def test_a_few_bad_frames_are_tolerated() -> None:
    meter = SignalMeter(SignalLimits(max_bad_frames=3))
    assert [meter.bad_frame() for _ in range(3)] == [None, None, Cap.BAD_FRAMES]


_SIDS = tuple(TrackSid(f"TR_{number}") for number in range(100))


@pytest.mark.parametrize(
    "request_",
    [
        inputs.UpdateSubscription(SESSION, _SIDS, subscribe=True),
        inputs.UpdateTrackSettings(SESSION, _SIDS, disabled=True),
        inputs.UpdateDataSubscription(
            SESSION, tuple(inputs.DataSubscriptionWish(sid, subscribe=True) for sid in _SIDS)
        ),
        inputs.SetSubscriptionPermission(
            SESSION, all_participants=False, permissions=(inputs.TrackPermission(track_sids=_SIDS[1:]),)
        ),
        inputs.SyncState(SESSION, wished=_SIDS[:50], disabled=_SIDS[50:]),
    ],
    ids=lambda request: type(request).__name__,
)
def test_tracks_that_are_named_are_capped_over_ten_seconds(request_: inputs.RoomInput) -> None:
    meter = SignalMeter(SignalLimits(max_tracks_per_s=50))
    assert [meter.request(request_, 0.0) for _ in range(6)] == [None] * 5 + [Cap.TRACKS]
    assert meter.request(request_, 2.0) is None


def test_who_comes_into_the_largest_of_rooms_may_name_all_its_tracks() -> None:
    meter = SignalMeter(SignalLimits())
    sids = tuple(TrackSid(f"TR_{number}") for number in range(15_000))
    assert meter.request(inputs.UpdateSubscription(SESSION, sids, subscribe=True), 0.0) is None
