"""A room's settings and its clock reading.

Owns the values that are fixed when a room is made. Never reads a configuration file: that is `sfu.config`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfu.room.permissions import utf8_bytes

if TYPE_CHECKING:
    from sfu.room.views import EncodingView

__all__ = ["DataSettings", "Now", "PlayoutDelay", "RoomSettings", "SpeakerSettings", "UpdateLimits"]


@dataclass(frozen=True, slots=True)
class Now:
    """One reading of both clocks; every change of a room happens at one."""

    monotonic_s: float
    """For deadlines and intervals."""
    wall_s: float
    """Seconds since the epoch, for what people and the wire see."""

    @property
    def wall_ms(self) -> int:
        """Milliseconds since the epoch."""
        return int(self.wall_s * 1_000)

    @property
    def wall_us(self) -> int:
        """Microseconds since the epoch."""
        return int(self.wall_s * 1_000_000)


@dataclass(frozen=True, slots=True)
class SpeakerSettings:
    """How audio levels become active speakers (`audio.*` of the configuration, protocol.md §4.8)."""

    update_interval_ms: int = 400
    """Length of the window that one `AudioLevelsMeasured` speaks of."""
    min_percentile: int = 40
    """Share of the window, in percent, that must be active."""
    smooth_intervals: int = 2
    """Windows over which the level is smoothed; 0 and 1: not at all."""


@dataclass(frozen=True, slots=True)
class DataSettings:
    """Data tracks and data blobs (protocol.md §2.11). Zero means no limit for what the configuration can set."""

    tracks_enabled: bool = True
    max_tracks: int = 256
    """Of one participant: each is told to everybody with every change of the participant."""
    max_subscriptions: int = 8_192
    """Of one participant: all of its handles are told at each change of one."""
    max_custom_encoding_bytes: int = 32
    blobs_enabled: bool = False
    max_blob_key_bytes: int = 256
    max_blobs: int = 1_000
    """Of one participant: each costs more memory than its bytes."""
    max_blobs_bytes: int = 64_000
    """Keys and contents of one participant's blobs together."""
    max_room_blobs_bytes: int = 16 * 1024 * 1024
    """The same for all participants together."""

    def takes_encoding(self, encoding: EncodingView | None) -> bool:
        """Whether an encoding's own name, if it has one, is of a length that is allowed."""
        if encoding is None or encoding.custom is None:
            return True
        length = utf8_bytes(encoding.custom)
        return length > 0 and not 0 < self.max_custom_encoding_bytes < length

    def takes_blob_key(self, length: int) -> bool:
        """Whether a key of so many bytes is allowed."""
        return length > 0 and not 0 < self.max_blob_key_bytes < length


@dataclass(frozen=True, slots=True)
class UpdateLimits:
    """How often everybody is told of changes. Above that they are gathered, and only the newest state is told."""

    tick_s: float = 0.2
    """Gathered changes wait that long, and longer the more they cost …"""
    longest_wait_s: float = 3.0
    """… but not longer than this: clients wait five seconds to see their own changes."""
    owner_per_s: float = 5.0
    """Changes of one participant."""
    owner_burst: float = 16.0
    reader_bytes_per_s: float = 1024 * 1024
    """Of updates to each participant."""
    reader_burst_bytes: float = 2 * 1024 * 1024
    """To be far less than what the queue of a connection bears."""
    room_bytes_per_s: float = 20e6
    """Of updates to all participants together."""
    room_burst_bytes: float = 40e6
    handles_per_s: float = 30_000.0
    """Entries of the maps that tell subscribers their handles of data tracks; each map is told as a whole."""


@dataclass(frozen=True, slots=True)
class PlayoutDelay:
    """At which delay subscribers are asked to play video (playout-delay header extension, protocol.md §4.1)."""

    min_ms: int = 0
    max_ms: int = 0
    """0 beside a least one: no limit."""


@dataclass(frozen=True, slots=True)
class RoomSettings:
    """Everything that is fixed when a room is made. Zero means no limit for `max_*`."""

    empty_timeout_s: int = 300
    """Life of a room that nobody (but dependents) ever joined."""
    departure_timeout_s: int = 20
    """Life of a room after the last participant left."""
    max_participants: int = 0
    enabled_codecs: tuple[str, ...] = (
        "audio/opus",
        "audio/red",
        "video/VP8",
        "video/H264",
        "video/VP9",
        "video/AV1",
    )
    """MIME types in the order of preference; any case is accepted."""
    metadata: str = ""
    enable_remote_unmute: bool = False
    max_metadata_bytes: int = 512 * 1024
    max_attributes_bytes: int = 64 * 1024
    max_name_length: int = 256
    """Bytes of UTF-8, as the reference counts."""
    region: str = ""
    """Told in `ParticipantInfo.region`."""
    playout_delay: PlayoutDelay | None = None
    """`None`: subscribers are asked for none."""
    join_timeout_s: float = 60.0
    """For reaching ACTIVE."""
    answer_timeout_s: float = 15.0
    """For answering an offer; a client that takes longer has lost its way (protocol.md §2.7)."""
    token_refresh_s: float = 300.0
    update_batch_s: float = 3.0
    """Joins and leaves of mere subscribers are gathered this long once there are many."""
    update_burst: int = 10
    """That many of them pass at once before gathering starts; one is regained a second."""
    update_batch_bytes: int = 128 * 1024
    """Aim for the size of one message of gathered updates."""
    updates: UpdateLimits = UpdateLimits()
    count_update_s: float = 5.0
    """Least time between two `room_update` for changed counts."""
    unknown_track_s: float = 60.0
    """How long a subscription to an unknown track stays desired."""
    binding_timeout_s: float = 15.0
    """A subscription that cannot be sent for so long is told as failed, and stays desired."""
    transport_close_grace_s: float = 2.0
    """A peer that closed its transport has this long to say `leave`."""
    quality_interval_s: float = 5.0
    """Length of the windows by which connections are rated."""
    dynacast_pause_delay_s: float = 5.0
    """Wait before a publisher hears that a layer is watched no more."""
    codec_regression_threshold: int = 5
    """With fewer participants than that a publisher's choice of regression is taken; 0: with any number."""
    resume_wait_s: float = 1.0
    """How long a client that came back waits for the engine to say what arrived from it."""
    unnoticed_loss_s: float = 30.0
    """A lost connection is noticed within that time: what was said before has arrived."""
    max_tracks: int = 256
    """Live ones and announced ones of one participant."""
    max_pending_tracks: int = 64
    """Announced but not yet offered tracks of one participant."""
    max_video_subscriptions: int = 0
    """Of one participant at once; further ones wait for a slot."""
    max_audio_subscriptions: int = 0
    allow_pause: bool = False
    """Video may be paused for want of bandwidth, where a participant does not say otherwise."""
    max_unknown_tracks: int = 512
    """Unknown tracks that one participant may desire at once."""
    speakers: SpeakerSettings = SpeakerSettings()
    data: DataSettings = DataSettings()
