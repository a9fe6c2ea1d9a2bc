"""LiveKit's enumerations, with the numbers of the wire so that conversion is free (livekit_models.proto)."""

from __future__ import annotations

import enum

__all__ = [
    "AudioFeature",
    "BackupCodecPolicy",
    "ConnectionQuality",
    "DisconnectReason",
    "LeaveAction",
    "ParticipantKind",
    "ParticipantState",
    "RequestReason",
    "ResumeFailure",
    "Scenario",
    "SubscriptionError",
    "TrackSource",
    "TrackType",
    "VideoQuality",
]


class TrackType(enum.IntEnum):
    """`livekit.TrackType`."""

    AUDIO = 0
    VIDEO = 1
    DATA = 2


class TrackSource(enum.IntEnum):
    """`livekit.TrackSource`."""

    UNKNOWN = 0
    CAMERA = 1
    MICROPHONE = 2
    SCREEN_SHARE = 3
    SCREEN_SHARE_AUDIO = 4


class VideoQuality(enum.IntEnum):
    """`livekit.VideoQuality`."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2
    OFF = 3


class ConnectionQuality(enum.IntEnum):
    """`livekit.ConnectionQuality`."""

    POOR = 0
    GOOD = 1
    EXCELLENT = 2
    LOST = 3


class ParticipantState(enum.IntEnum):
    """`livekit.ParticipantInfo.State`."""

    JOINING = 0
    JOINED = 1
    ACTIVE = 2
    DISCONNECTED = 3


class ParticipantKind(enum.IntEnum):
    """`livekit.ParticipantInfo.Kind`."""

    STANDARD = 0
    INGRESS = 1
    EGRESS = 2
    SIP = 3
    AGENT = 4
    CONNECTOR = 7
    BRIDGE = 8


class AudioFeature(enum.IntEnum):
    """`livekit.AudioTrackFeature`; only those that the server acts on."""

    STEREO = 0
    NO_DTX = 1


class DisconnectReason(enum.IntEnum):
    """`livekit.DisconnectReason`."""

    UNKNOWN_REASON = 0
    CLIENT_INITIATED = 1
    DUPLICATE_IDENTITY = 2
    SERVER_SHUTDOWN = 3
    PARTICIPANT_REMOVED = 4
    ROOM_DELETED = 5
    STATE_MISMATCH = 6
    JOIN_FAILURE = 7
    MIGRATION = 8
    SIGNAL_CLOSE = 9
    ROOM_CLOSED = 10
    USER_UNAVAILABLE = 11
    USER_REJECTED = 12
    SIP_TRUNK_FAILURE = 13
    CONNECTION_TIMEOUT = 14
    MEDIA_FAILURE = 15
    AGENT_ERROR = 16


class LeaveAction(enum.IntEnum):
    """`livekit.LeaveRequest.Action`."""

    DISCONNECT = 0
    RESUME = 1
    RECONNECT = 2


class RequestReason(enum.IntEnum):
    """`livekit.RequestResponse.Reason`."""

    OK = 0
    NOT_FOUND = 1
    NOT_ALLOWED = 2
    LIMIT_EXCEEDED = 3
    QUEUED = 4
    UNSUPPORTED_TYPE = 5
    UNCLASSIFIED_ERROR = 6
    INVALID_HANDLE = 7
    INVALID_NAME = 8
    DUPLICATE_HANDLE = 9
    DUPLICATE_NAME = 10
    INVALID_REQUEST = 11


class BackupCodecPolicy(enum.IntEnum):
    """`livekit.BackupCodecPolicy`: what a second codec of a publication is for."""

    PREFER_REGRESSION = 0
    """As `REGRESSION` in a small room, else as `SIMULCAST`."""
    SIMULCAST = 1
    """For those who cannot take the first one."""
    REGRESSION = 2
    """For everybody, once anybody needs it."""


class SubscriptionError(enum.IntEnum):
    """`livekit.SubscriptionError`."""

    UNKNOWN = 0
    CODEC_UNSUPPORTED = 1
    TRACK_NOT_FOUND = 2


class ResumeFailure(enum.Enum):
    """How the next resume of a participant is to fail, because it asked for that."""

    BEFORE_MESSAGES = enum.auto()
    AFTER_MESSAGES = enum.auto()


class Scenario(enum.Enum):
    """What `simulate` can ask for (protocol.md §3.1 row 13), by the name of its oneof."""

    SPEAKER_UPDATE = "speaker_update"
    NODE_FAILURE = "node_failure"
    MIGRATION = "migration"
    SERVER_LEAVE = "server_leave"
    SWITCH_CANDIDATE_PROTOCOL = "switch_candidate_protocol"
    SUBSCRIBER_BANDWIDTH = "subscriber_bandwidth"
    DISCONNECT_SIGNAL_ON_RESUME = "disconnect_signal_on_resume"
    DISCONNECT_SIGNAL_ON_RESUME_NO_MESSAGES = "disconnect_signal_on_resume_no_messages"
    LEAVE_REQUEST_FULL_RECONNECT = "leave_request_full_reconnect"
