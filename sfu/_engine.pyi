"""Type stub of the packet engine's Python binding (`sfu/engine/crates/py`).

The extension owns the engine's threads and sockets. Commands go in (each call only queues; none waits for the packet
thread, and the interpreter lock is released meanwhile); events come out in batches, announced by an eventfd. No engine
thread ever takes the interpreter lock. Only `sfu.control.engine_client` imports this module.

Ids are unsigned 64-bit integers chosen by the caller, unique for the life of the process.
"""

from collections.abc import Sequence
from typing import Literal, Self, final

__all__ = [
    "Answer",
    "AudioLevels",
    "DownTrackBound",
    "DownTrackCodecUnsupported",
    "DownTrackPaused",
    "Engine",
    "EngineConfig",
    "EngineError",
    "Event",
    "LastSequence",
    "Logged",
    "MediaSectionsRequired",
    "NegotiationFailed",
    "Offer",
    "OfferedMedia",
    "PublishLine",
    "QualityChanged",
    "QueueFull",
    "RemoteOffer",
    "SdpError",
    "ShardFailed",
    "Snapshot",
    "TransportConnected",
    "TransportFailed",
    "UpTrackStarted",
    "build_profile",
]

_Kind = Literal["audio", "video"]
_Quality = Literal["lost", "poor", "good", "excellent"]
_Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
_Role = Literal["publisher", "subscriber", "both"]
_DataKind = Literal["reliable", "lossy"]

class EngineError(Exception):
    """The engine could not start or is gone (address in use, thread ended)."""

class SdpError(ValueError):
    """A session description was refused; the text says why and is fit for the peer that sent it."""

class QueueFull(Exception):
    """The bounded command queue is full: the shard is overloaded or stuck."""

@final
class EngineConfig:
    """Settings of all shards, fixed for the engine's life."""

    def __new__(
        cls,
        *,
        udp: Sequence[str],
        tcp: Sequence[str] = (),
        advertised: Sequence[tuple[str, str]] = (),
        advertise_internal: bool = False,
        ice_lite: bool = True,
        gather_ms: float = 3.0,
        socket_buffer_bytes: int = 8 * 1024 * 1024,
        video_cache_packets: int = 500,
        audio_cache_packets: int = 200,
        sctp_buffer_bytes: int = 2 * 1024 * 1024,
        data_track_latency_ms: int = 100,
        rate_feedback: Literal["off", "receiver", "transport"] = "receiver",
        audio_active_level: int = 35,
        audio_update_interval_ms: int = 400,
        quality_interval_ms: int = 5000,
        pli_throttle_ms: tuple[int, int, int] = (500, 1000, 1000),
        data_messages_per_s: int = 1000,
        data_bytes_per_s: int = 5_000_000,
        adds_redundancy: bool = False,
        reports_subscribers_loss: bool = True,
        seed: int | None = None,
    ) -> Self:
        """Collects settings.

        Args:
            udp: Local `ip:port` addresses to bind, one host candidate each (same port on each; 0: any, all the same).
            tcp: Local `ip:port` addresses for passive ICE-TCP.
            advertised: `(local ip, public ip)` pairs (1:1 NAT): candidates of the local address carry the public one.
            advertise_internal: Announce the local address beside the public one.
            ice_lite: Answer connectivity checks only (RFC 8445 §2.5).
            gather_ms: Longest time for which media to one subscriber is gathered before it is sent.
            socket_buffer_bytes: `SO_RCVBUF` and `SO_SNDBUF` asked for.
            video_cache_packets: Packets kept for retransmission per sending video stream, at most.
            audio_cache_packets: The same per sending audio stream without RED, for a second at most.
            sctp_buffer_bytes: Unacknowledged data per transport before its data queue grows; at least 256 kB.
            rate_feedback: By what the rate towards a subscriber is estimated: by nothing (everything is sent), by the
                receiver's own estimate (REMB) and its losses, or by the arrival of each packet (transport-cc).
            data_track_latency_ms: About how long a data track's frame may wait for a subscriber, at most a minute;
                0: for as long as it takes.
            audio_active_level: RFC 6464 level (−dBov) at or below which a packet counts as active.
            audio_update_interval_ms: Interval of `AudioLevels`, at most a minute.
            quality_interval_ms: Length of the windows by which connections are rated, at most a minute.
            pli_throttle_ms: Least time between two key-frame requests for one stream, at most a minute; of the smallest
                picture, the second, the third and above.
            data_messages_per_s: Data messages that one participant may send a second, averaged over two seconds;
                0: no limit. A sender above a limit is slowed down; nothing reliable is lost.
            data_bytes_per_s: The same in bytes; messages to many receivers count several times.
            adds_redundancy: Opus of publishers that send no RED (RFC 2198) gets it for subscribers that take it.
            reports_subscribers_loss: Publishers of audio are told of the worst loss among their subscribers, as if it
                were on their own way here, so that their encoders add redundancy (`protocol.md` §4.4).
            seed: Seed of every random choice that is not security relevant; `None`: from the system.

        Raises:
            ValueError: An address or a number is out of range.
        """

@final
class OfferedMedia:
    """One m-line of a client's offer, as far as the control plane needs it."""

    @property
    def mid(self) -> str: ...
    @property
    def kind(self) -> _Kind: ...
    @property
    def direction(self) -> _Direction:
        """From the client's point of view."""

    @property
    def stream_id(self) -> str:
        """First part of `a=msid`; empty when absent."""

    @property
    def track_id(self) -> str:
        """Second part of `a=msid`; empty when absent."""

    @property
    def rids(self) -> list[str]:
        """`a=rid:… send`, in the order of `a=simulcast`."""

    @property
    def mime_types(self) -> list[str]:
        """Codecs left after filtering, in the client's order, canonical case (`video/VP8`), without RTX."""

@final
class RemoteOffer:
    """A client's offer: parsed, checked and filtered once; to be used for one `accept_offer`."""

    def __new__(cls, sdp: str, mime_types: Sequence[str] = ()) -> Self:
        """Parses `sdp`; `mime_types` are the room's codecs (empty: all that the engine knows).

        Raises:
            SdpError: Not SDP, or something that would be unsafe (one payload type for two codecs …).
        """

    @property
    def media(self) -> list[OfferedMedia]:
        """Audio and video m-lines in order."""

    @property
    def has_data(self) -> bool:
        """Whether there is an application m-line."""

@final
class PublishLine:
    """How one sending m-line of an offer is bound to an up track and answered (see `command.rs`)."""

    def __new__(
        cls,
        *,
        mid: str,
        up_track: int,
        codec: str | None = None,
        codec_only: bool = False,
        dtx: bool = True,
        stereo: bool = False,
        red: bool = True,
        speaker: bool = False,
        muted: bool = False,
        trailer: bytes = b"",
    ) -> Self:
        """`trailer`: of a track that is encrypted end to end, ends the frames that the server makes; else empty."""

@final
class Answer:
    @property
    def transport(self) -> int: ...
    @property
    def request(self) -> int: ...
    @property
    def sdp(self) -> str: ...
    @property
    def mid_to_track(self) -> dict[str, str]: ...

@final
class Offer:
    @property
    def transport(self) -> int: ...
    @property
    def request(self) -> int: ...
    @property
    def sdp(self) -> str: ...
    @property
    def mid_to_track(self) -> dict[str, str]: ...

@final
class MediaSectionsRequired:
    @property
    def transport(self) -> int: ...
    @property
    def audio(self) -> int: ...
    @property
    def video(self) -> int: ...

@final
class NegotiationFailed:
    @property
    def transport(self) -> int: ...
    @property
    def request(self) -> int: ...
    @property
    def reason(self) -> str: ...

@final
class TransportConnected:
    @property
    def transport(self) -> int: ...
    @property
    def tcp(self) -> bool: ...

@final
class TransportFailed:
    @property
    def transport(self) -> int: ...
    @property
    def reason(self) -> Literal["ice_timeout", "dtls", "closed_by_peer", "fault"]: ...

@final
class LastSequence:
    """Answer to `ask_last_sequence`."""

    @property
    def participant(self) -> int: ...
    @property
    def sequence(self) -> int:
        """Of the last reliable packet that it sent; 0 when there was none."""

@final
class UpTrackStarted:
    @property
    def up_track(self) -> int: ...
    @property
    def mime_type(self) -> str: ...

@final
class DownTrackBound:
    @property
    def down_track(self) -> int: ...
    @property
    def mime_types(self) -> list[str]:
        """Codecs that the subscriber takes on that line, in no order, without RTX."""

@final
class DownTrackCodecUnsupported:
    @property
    def down_track(self) -> int: ...
    @property
    def up_track(self) -> int:
        """Which it was fed by."""

@final
class DownTrackPaused:
    """The subscriber cannot be sent that much: its packets stop, or go on after that."""

    @property
    def down_track(self) -> int: ...
    @property
    def paused(self) -> bool: ...

@final
class AudioLevels:
    @property
    def room(self) -> int: ...
    @property
    def levels(self) -> list[tuple[int, int, int]]:
        """`(up track, loudest RFC 6464 level of the interval, active milliseconds)`."""

@final
class QualityChanged:
    @property
    def room(self) -> int: ...
    @property
    def changed(self) -> list[tuple[int, _Quality, float]]:
        """`(participant, quality, mean opinion score)` of those with another quality than before; all are excellent at
        first."""

@final
class Snapshot:
    @property
    def request(self) -> int: ...
    @property
    def json(self) -> str: ...

@final
class Logged:
    """A line for the log: something that an operator can act on, or a bug of the engine."""

    @property
    def shard(self) -> int: ...
    @property
    def level(self) -> Literal["warning", "error"]: ...
    @property
    def text(self) -> str:
        """What happened, with its circumstances as `name=value`."""

@final
class ShardFailed:
    @property
    def shard(self) -> int: ...

Event = (
    Answer
    | Offer
    | MediaSectionsRequired
    | NegotiationFailed
    | TransportConnected
    | TransportFailed
    | LastSequence
    | UpTrackStarted
    | DownTrackBound
    | DownTrackCodecUnsupported
    | DownTrackPaused
    | AudioLevels
    | QualityChanged
    | Snapshot
    | Logged
    | ShardFailed
)

@final
class Engine:
    """All shards of this process."""

    def __new__(cls, config: EngineConfig) -> Self:
        """Binds the sockets and starts the threads.

        Raises:
            EngineError: An address cannot be bound; the text names it.
        """

    @property
    def event_fd(self) -> int:
        """Readable while events wait; hand it to `loop.add_reader`."""

    @property
    def udp_addresses(self) -> list[str]:
        """Bound `ip:port`."""

    @property
    def tcp_addresses(self) -> list[str]: ...
    @property
    def candidates(self) -> list[str]:
        """`candidate:…` attribute values of every transport, in the order of preference."""

    def drain(self, limit: int = 1024) -> list[Event]:
        """Takes at most `limit` waiting events; clears the event fd when none is left."""

    def counters(self) -> dict[str, int]:
        """Totals since the start: `packets_in`, `packets_out`, `bytes_in`, `bytes_out`, `nacks`, `plis`, `firs`,
        `retransmitted`, `paced`, `probes`, `padding_bytes`, `rate_changes`, `congestions`, `data_messages_in`,
        `data_messages_out`, `transports`, `up_tracks`, `down_tracks`, `paused_down_tracks`, `allocations`,
        `events_lost`, `shard_cpu_us`, `dropped.<reason>` …"""

    def add_participant(
        self,
        room: int,
        participant: int,
        *,
        sid: str,
        identity: str,
        can_publish_data: bool,
        hidden: bool,
        agent: bool,
    ) -> None: ...
    def update_participant(
        self, participant: int, *, sid: str, identity: str, can_publish_data: bool, hidden: bool, agent: bool
    ) -> None: ...
    def remove_participant(self, participant: int) -> None: ...
    def open_transport(
        self,
        participant: int,
        transport: int,
        role: _Role,
        *,
        tcp_only: bool = False,
        mime_types: Sequence[str] = (),
        ice_lite: bool | None = None,
        playout_delay_ms: tuple[int, int] | None = None,
    ) -> None:
        """Builds a transport.

        Args:
            participant: Owner.
            transport: Its id.
            role: Which way media flows.
            tcp_only: Offer no UDP candidates.
            mime_types: The room's codecs; empty: all.
            ice_lite: Otherwise than the engine's setting.
            playout_delay_ms: Least and most delay at which subscribers are asked to play video (most 0 beside a least:
                no limit); `None`: they are not asked.
        """

    def close_transport(self, transport: int) -> None: ...
    def accept_offer(
        self, transport: int, request: int, offer: RemoteOffer, publish: Sequence[PublishLine]
    ) -> None: ...
    def accept_answer(self, transport: int, request: int, sdp: str) -> None: ...
    def add_remote_candidate(self, transport: int, candidate: str) -> None: ...
    def restart_ice(self, transport: int) -> None: ...
    def ask_last_sequence(self, participant: int) -> None: ...
    def replay_data(self, participant: int, received: Sequence[tuple[str, int]]) -> None:
        """Sends it again the reliable data that it has missed.

        Args:
            participant: The receiver.
            received: `(sid, sequence)` of the last packet that it has, by sender. Of a sender that is not listed it
                gets all that is kept (some twenty seconds).
        """
    def mute_up_track(self, up_track: int, muted: bool) -> None: ...
    def close_up_track(self, up_track: int) -> None: ...
    def add_down_track(
        self,
        down_track: int,
        transport: int,
        up_track: int,
        kind: _Kind,
        *,
        stream_id: str,
        track_sid: str,
        stereo: bool = False,
        enabled: bool = True,
        strip_trailer: bool = False,
    ) -> None:
        """Forwards an up track; `strip_trailer` cuts packet trailers off the ends of frames."""

    def enable_down_track(self, down_track: int, enabled: bool) -> None: ...
    def set_down_track_layers(self, down_track: int, max_spatial: int, max_fps: int) -> None:
        """Limits what a subscription gets (everything at first); simulcast streams are spatial layers, `max_fps` 0
        means all pictures."""

    def set_down_track_priority(self, down_track: int, priority: int) -> None:
        """Which video is served first when not everything can be sent: lower; 65,535 at first."""

    def allow_pause(self, transport: int, allowed: bool) -> None:
        """Whether video may be paused when not even its lowest layers can be sent; at first it may not."""

    def simulate_rate(self, transport: int, rate_bps: int | None) -> None:
        """Treats a peer as if its path bore no more than that; `None`: as what it bears. For tests of clients."""

    def move_down_track(self, down_track: int, up_track: int) -> None:
        """Feeds a down track by another up track (another codec), published or not yet, without negotiation."""

    def remove_down_track(self, down_track: int) -> None: ...
    def add_data_up_track(self, data_up_track: int, participant: int, handle: int) -> None:
        """Forwards what the participant sends on `_data_track` under `handle`, its own name for the track."""

    def close_data_up_track(self, data_up_track: int) -> None: ...
    def add_data_down_track(
        self,
        data_down_track: int,
        data_up_track: int,
        participant: int,
        handle: int,
        *,
        frames_per_s: int | None = None,
    ) -> None:
        """Forwards a data track to a participant, whose packets name it `handle`; `frames_per_s`: at most so many."""

    def set_data_down_track_rate(self, data_down_track: int, frames_per_s: int | None) -> None: ...
    def remove_data_down_track(self, data_down_track: int) -> None: ...
    def send_data(
        self, room: int, kind: _DataKind, payload: bytes, destinations: Sequence[int] | None = None
    ) -> None: ...
    def snapshot(self, request: int, transport: int) -> None: ...
    def stop(self) -> None:
        """Closes every transport (close alerts sent), ends the threads, joins them. Idempotent."""

def build_profile() -> str:
    """`release` or `debug`, so that a slow build in production is visible."""
