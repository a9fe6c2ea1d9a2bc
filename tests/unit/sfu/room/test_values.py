"""The room's pure functions and small parts: codecs, timers, permissions."""

from __future__ import annotations

import pytest

from auth.grants import Claims, VideoGrants
from sfu.room.codecs import canonical_mime, canonical_mimes, choose_video, mime_of, publish_order
from sfu.room.devices import DisabledCodecs, disabled_codecs
from sfu.room.enums import TrackSource, TrackType
from sfu.room.inputs import ClientDescription
from sfu.room.permissions import claims_with, merge_attributes, permission_of
from sfu.room.timers import TimerKey, TimerKind, Timers


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("VIDEO/vp8", "video/VP8"),
        ("video/h264", "video/H264"),
        ("video/HEVC", "video/H265"),
        ("audio/OPUS", "audio/opus"),
        ("AUDIO/RED", "audio/red"),
        (" video/av1 ", "video/AV1"),
        ("video/Unheard", "video/Unheard"),
        ("", ""),
    ],
)
def test_mime_types_have_one_case(name: str, canonical: str) -> None:
    assert canonical_mime(name) == canonical


def test_a_list_of_mime_types_names_each_once() -> None:
    assert canonical_mimes(["video/vp8", "", "VIDEO/VP8", "audio/opus"]) == ("video/VP8", "audio/opus")


def test_clients_name_codecs_with_and_without_kind() -> None:
    assert mime_of(TrackType.VIDEO, "vp9") == mime_of(TrackType.VIDEO, "video/vp9") == "video/VP9"
    assert mime_of(TrackType.AUDIO, "red") == "audio/red"
    assert mime_of(TrackType.AUDIO, "") == ""


def test_publish_order_is_video_first_without_rtx() -> None:
    enabled = ("audio/opus", "video/AV1", "video/rtx", "video/H264", "audio/red", "video/VP8")
    assert publish_order(enabled) == ("video/VP8", "video/H264", "video/AV1", "audio/opus", "audio/red")


def test_a_codec_is_chosen_among_the_enabled() -> None:
    assert choose_video("video/VP9", ("video/H264", "video/VP9")) == "video/VP9"
    assert choose_video("video/AV1", ("video/VP9", "video/H264")) == "video/H264"
    assert choose_video("video/AV1", ("audio/opus",)) == ""
    assert choose_video("", ("video/VP8",)) == ""


def test_timers_come_due_in_order_and_can_be_moved() -> None:
    timers = Timers()
    timers.set(TimerKind.EMPTY, 5.0)
    timers.set(TimerKind.JOIN, 3.0, 1)
    timers.set(TimerKind.JOIN, 4.0, 2)
    timers.set(TimerKind.JOIN, 9.0, 1)
    timers.cancel(TimerKind.JOIN, 2)
    timers.cancel(TimerKind.JOIN, 7)
    assert timers.next_s() == 5.0
    assert timers.pop_due(4.9) is None
    assert timers.pop_due(9.0) == TimerKey(TimerKind.EMPTY)
    assert timers.pop_due(9.0) == TimerKey(TimerKind.JOIN, 1)
    assert timers.pop_due(9.0) is None
    assert timers.next_s() is None


def test_moving_a_timer_back_and_forth_fires_it_once() -> None:
    timers = Timers()
    for at_s in (5.0, 6.0, 5.0):
        timers.set(TimerKind.EMPTY, at_s)
    assert [timers.pop_due(10.0), timers.pop_due(10.0)] == [TimerKey(TimerKind.EMPTY), None]


def test_deadlines_that_are_moved_or_cancelled_do_not_pile_up() -> None:
    timers = Timers()
    for owner in range(100):
        timers.set(TimerKind.TOKEN, 5_000.0, owner)
    for moved in range(10_000):
        timers.set(TimerKind.JOIN, 9_000.0 - moved, 1)
        timers.set(TimerKind.BACKUP, 8_000.0 + moved, 2)
        timers.cancel(TimerKind.BACKUP, 2)
        assert len(timers._heap) <= 64 + 2 * 102
    for owner in range(100):
        timers.cancel(TimerKind.TOKEN, owner)
    assert len(timers._heap) <= 64 + 2
    timers.set(TimerKind.COUNTS, 9_000.0)
    timers.set(TimerKind.JOIN, 9_500.0, 1)
    assert [timers.pop_due(10_000.0) for _ in range(3)] == [
        TimerKey(TimerKind.COUNTS),
        TimerKey(TimerKind.JOIN, 1),
        None,
    ]


@pytest.mark.parametrize(
    ("grants", "publish", "sources"),
    [
        (VideoGrants(), True, ()),
        (VideoGrants(can_publish=False), False, ()),
        (VideoGrants(can_publish_sources=("camera", "x")), True, (TrackSource.CAMERA,)),
        (VideoGrants(can_publish_sources=("x",)), False, ()),
        (VideoGrants(can_publish=False, can_publish_sources=("camera",)), False, (TrackSource.CAMERA,)),
    ],
)
def test_permissions_come_from_the_grants(grants: VideoGrants, publish: bool, sources: tuple[TrackSource, ...]) -> None:
    permission = permission_of(grants)
    assert (permission.can_publish, permission.can_publish_sources) == (publish, sources)
    assert permission.can_publish_data is grants.may_publish_data
    assert not permission.can_update_metadata


def test_a_refreshed_token_keeps_what_was_not_changed() -> None:
    grants = VideoGrants(room_join=True, room="r", room_admin=True, can_publish_sources=("camera",))
    claims = Claims("key", "alice", video=grants, kind="agent", room_preset="p")
    fresh = claims_with(claims, permission_of(grants), name="n", metadata="m", attributes={"a": "1"})
    assert (fresh.api_key, fresh.identity, fresh.kind, fresh.room_preset) == ("key", "alice", "agent", "p")
    assert fresh.video is not None
    assert (fresh.video.room, fresh.video.room_admin) == ("r", True)
    assert permission_of(fresh.video) == permission_of(grants)


def test_attributes_merge_key_by_key() -> None:
    assert merge_attributes({"a": "1", "b": "2", "c": ""}, {"b": "", "d": "4", "e": ""}) == {
        "a": "1",
        "c": "",
        "d": "4",
    }


_NO_H264 = DisabledCodecs(publish=("video/H264",))


@pytest.mark.parametrize(
    ("client", "disabled"),
    [
        (ClientDescription(), DisabledCodecs()),
        (ClientDescription(browser="Chrome", os="Linux"), DisabledCodecs()),
        (ClientDescription(browser="Firefox", os="Linux"), _NO_H264),
        (ClientDescription(browser="firefox", os="android"), _NO_H264),
        (ClientDescription(browser="Firefox", os="Windows"), DisabledCodecs()),
        (ClientDescription(device_model="Xiaomi 2201117TI", os="Android"), _NO_H264),
        (ClientDescription(device_model="Xiaomi 2201117TI"), DisabledCodecs()),
        (ClientDescription(browser="Firefox Mobile", os="Android"), _NO_H264),
        (ClientDescription(browser="Safari", browser_version="18.3"), DisabledCodecs(("video/AV1",))),
        (ClientDescription(browser="Safari", browser_version="17.6"), DisabledCodecs(("video/AV1",))),
        (ClientDescription(browser="Safari", browser_version="18.3.1"), DisabledCodecs(("video/AV1",), ("video/VP9",))),
        (ClientDescription(browser="Safari", browser_version="18.4"), DisabledCodecs(("video/AV1",), ("video/VP9",))),
        (ClientDescription(browser="Safari", browser_version="next"), DisabledCodecs(("video/AV1",))),
    ],
)
def test_some_clients_are_told_to_do_without_a_codec(client: ClientDescription, disabled: DisabledCodecs) -> None:
    assert disabled_codecs(client) == disabled
