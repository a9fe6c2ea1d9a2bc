"""The configuration's words in the parts' settings, older names included."""

from __future__ import annotations

import pytest

from plenum.wiring import engine_config, name_limits, rate_feedback, room_settings, signal_limits
from sfu.addresses import MediaAddresses
from sfu.config import Config, ConfigError, load, scalar_keys
from sfu.room.settings import PlayoutDelay, RoomSettings
from signaling.admission import NameLimits
from signaling.limits import SignalLimits


def test_defaults_are_the_parts_own() -> None:
    settings = room_settings(Config())
    own = RoomSettings()
    assert settings.empty_timeout_s == own.empty_timeout_s
    assert settings.departure_timeout_s == own.departure_timeout_s
    assert settings.token_refresh_s == own.token_refresh_s
    assert (settings.answer_timeout_s, settings.playout_delay) == (own.answer_timeout_s, own.playout_delay)
    assert settings.max_metadata_bytes == own.max_metadata_bytes
    assert settings.max_attributes_bytes == own.max_attributes_bytes
    assert settings.speakers == own.speakers
    assert {codec.lower() for codec in own.enabled_codecs} <= {codec.lower() for codec in settings.enabled_codecs}
    assert name_limits(Config()) == NameLimits()
    assert signal_limits(Config()).max_offers_per_minute == SignalLimits().max_offers_per_minute


def test_room_settings() -> None:
    config = load(
        """
        region: eu
        room: {empty_timeout: 1, departure_timeout: 2, max_participants: 3, enable_remote_unmute: true}
        audio: {update_interval: 4, min_percentile: 5, smooth_intervals: 6}
        limit: {max_metadata_size: 7, max_attributes_size: 8, max_participant_name_length: 9}
        plenum: {token_refresh_interval: 10s, answer_timeout: 11s}
        """
    )
    settings = room_settings(config)
    assert (settings.empty_timeout_s, settings.departure_timeout_s, settings.max_participants) == (1, 2, 3)
    assert settings.enable_remote_unmute
    speakers = settings.speakers
    assert (speakers.update_interval_ms, speakers.min_percentile, speakers.smooth_intervals) == (4, 5, 6)
    assert (settings.max_metadata_bytes, settings.max_attributes_bytes, settings.max_name_length) == (7, 8, 9)
    assert (settings.token_refresh_s, settings.answer_timeout_s, settings.region) == (10.0, 11.0, "eu")


def test_a_playout_delay_counts_when_it_is_on() -> None:
    assert room_settings(load("room: {playout_delay: {min: 100, max: 200}}")).playout_delay is None
    delayed = load("room: {playout_delay: {enabled: true, min: 100, max: 200}}")
    assert room_settings(delayed).playout_delay == PlayoutDelay(100, 200)


def test_codecs_that_there_are_none_of_are_left_out() -> None:
    config = load("room: {enabled_codecs: [{mime: video/foo}, {mime: video/vp8}, {mime: audio/opus}]}")
    assert room_settings(config).enabled_codecs == ("video/vp8", "audio/opus")


def test_older_names_of_limits_count() -> None:
    config = load("room: {max_metadata_size: 1, max_room_name_length: 2, max_participant_identity_length: 3}")
    assert room_settings(config).max_metadata_bytes == 1
    assert name_limits(config) == NameLimits(max_identity_length=3, max_room_name_length=2)


def test_signal_limits() -> None:
    config = load(
        "plenum: {signal: {max_candidates_per_minute: 1, send_queue_bytes: 2, "
        "max_bytes_per_s: 4, max_tracks_per_s: 5}}\n"
        "limit: {signal_message_size_limit: 3}"
    )
    limits = signal_limits(config)
    assert (limits.max_candidates_per_minute, limits.send_queue_bytes, limits.max_frame_bytes) == (1, 2, 3)
    assert (limits.max_bytes_per_s, limits.max_tracks_per_s) == (4, 5)


def test_one_limit_is_for_tracks_of_both_kinds() -> None:
    settings = room_settings(load("plenum: {max_tracks_per_participant: 5}"))
    assert (settings.max_tracks, settings.data.max_tracks) == (5, 5)


def test_how_the_rate_is_estimated() -> None:
    def feedback(text: str) -> str:
        return rate_feedback(load(f"rtc: {{congestion_control: {{{text}}}}}").rtc.congestion_control)

    assert rate_feedback(Config().rtc.congestion_control) == "transport"
    assert feedback("use_send_side_bwe: false") == "receiver"
    assert feedback("enabled: false, use_send_side_bwe: true") == "off"


_EXTREMES = ("0", "1", "127", "65535", str(2**32), str(2**63 - 1), "1ns", "1ms", "1s", "61s", "8784h")
"""Least and most of what keys take, in the forms of whole numbers and of durations."""


@pytest.mark.parametrize("path", scalar_keys())
def test_what_the_configuration_takes_the_engine_takes(path: str) -> None:
    for value in _EXTREMES:
        try:
            config = load("", flags={path: value})
        except ConfigError:
            continue
        engine_config(config, MediaAddresses(udp=("127.0.0.1:0",), tcp=(), advertised=()))
