"""From the configuration's words to those of each part: room settings, signal limits, engine settings.

Owns the mapping and nothing else; every function is pure. Never reads a file or opens a socket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from plenum.notes import codecs_left_out
from sfu.control.engine_client import EngineConfig
from sfu.room.settings import DataSettings, PlayoutDelay, RoomSettings, SpeakerSettings
from signaling.admission import NameLimits
from signaling.limits import SignalLimits

if TYPE_CHECKING:
    from sfu.addresses import MediaAddresses
    from sfu.config import Config
    from sfu.config.reference import CongestionControl

__all__ = ["engine_config", "name_limits", "rate_feedback", "room_settings", "signal_limits"]


def room_settings(config: Config) -> RoomSettings:
    """What rooms are made with."""
    room, limit, audio, delay = config.room, config.limit, config.audio, config.room.playout_delay
    missing = codecs_left_out(config)
    return RoomSettings(
        empty_timeout_s=room.empty_timeout,
        departure_timeout_s=room.departure_timeout,
        max_participants=room.max_participants,
        enabled_codecs=tuple(codec.mime for codec in room.enabled_codecs if codec.mime not in missing),
        enable_remote_unmute=room.enable_remote_unmute,
        max_metadata_bytes=room.max_metadata_size or limit.max_metadata_size,
        max_attributes_bytes=limit.max_attributes_size,
        max_name_length=limit.max_participant_name_length,
        region=config.region,
        playout_delay=PlayoutDelay(delay.min, delay.max) if delay.enabled else None,
        answer_timeout_s=config.plenum.answer_timeout,
        token_refresh_s=config.plenum.token_refresh_interval,
        update_batch_bytes=room.update_batch_target_size,
        max_tracks=config.plenum.max_tracks_per_participant,
        max_video_subscriptions=limit.subscription_limit_video,
        max_audio_subscriptions=limit.subscription_limit_audio,
        allow_pause=config.rtc.congestion_control.allow_pause,
        quality_interval_s=config.plenum.connection_quality_interval,
        dynacast_pause_delay_s=config.video.dynacast_pause_delay,
        codec_regression_threshold=config.video.codec_regression_threshold,
        data=DataSettings(
            tracks_enabled=config.enable_data_tracks,
            max_tracks=config.plenum.max_tracks_per_participant,
            max_custom_encoding_bytes=limit.max_data_track_custom_encoding_length,
            blobs_enabled=config.enable_participant_data_blob,
            max_blob_key_bytes=limit.max_data_blob_key_length,
            max_blobs_bytes=limit.max_data_blobs_size,
            max_room_blobs_bytes=config.plenum.room_data_blobs_bytes,
        ),
        speakers=SpeakerSettings(
            update_interval_ms=audio.update_interval,
            min_percentile=audio.min_percentile,
            smooth_intervals=audio.smooth_intervals,
        ),
    )


def name_limits(config: Config) -> NameLimits:
    """What is checked before a client is let in."""
    room, limit = config.room, config.limit
    return NameLimits(
        max_identity_length=room.max_participant_identity_length or limit.max_participant_identity_length,
        max_room_name_length=room.max_room_name_length or limit.max_room_name_length,
    )


def signal_limits(config: Config) -> SignalLimits:
    """What one connection may ask."""
    caps = config.plenum.signal
    return SignalLimits(
        max_messages_per_s=caps.max_messages_per_s,
        max_bytes_per_s=caps.max_bytes_per_s,
        max_offers_per_minute=caps.max_offers_per_minute,
        max_candidates_per_minute=caps.max_candidates_per_minute,
        max_metadata_bytes_per_s=caps.max_metadata_bytes_per_s,
        max_tracks_per_s=caps.max_tracks_per_s,
        max_frame_bytes=config.limit.signal_message_size_limit,
        send_queue_bytes=caps.send_queue_bytes,
    )


def rate_feedback(control: CongestionControl) -> Literal["off", "receiver", "transport"]:
    """By what the rate towards subscribers is estimated."""
    if not control.enabled:
        return "off"
    return "transport" if control.use_send_side_bwe else "receiver"


def engine_config(config: Config, addresses: MediaAddresses) -> EngineConfig:
    """What the engine is started with.

    Raises:
        ValueError: The engine cannot use an address or a number; the text says which.
    """
    rtc, audio, pli = config.rtc, config.audio, config.rtc.pli_throttle
    return EngineConfig(
        udp=addresses.udp,
        tcp=addresses.tcp,
        advertised=addresses.advertised,
        advertise_internal=rtc.advertise_internal_ip,
        ice_lite=rtc.use_ice_lite,
        gather_ms=rtc.batch_io.max_flush_interval * 1000,
        video_cache_packets=rtc.packet_buffer_size_video,
        audio_cache_packets=rtc.packet_buffer_size_audio,
        rate_feedback=rate_feedback(rtc.congestion_control),
        data_track_latency_ms=round(rtc.datachannel_data_track_target_latency * 1000),
        audio_active_level=audio.active_level,
        audio_update_interval_ms=audio.update_interval,
        quality_interval_ms=round(config.plenum.connection_quality_interval * 1000),
        pli_throttle_ms=(round(pli.low_quality * 1000), round(pli.mid_quality * 1000), round(pli.high_quality * 1000)),
        data_messages_per_s=config.plenum.data_messages_per_s,
        data_bytes_per_s=config.plenum.data_bytes_per_s,
        adds_redundancy=audio.active_red_encoding,
        reports_subscribers_loss=audio.enable_loss_proxying,
    )
