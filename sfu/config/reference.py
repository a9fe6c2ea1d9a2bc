"""Every key of livekit-server's configuration, with its default, as models (protocol.md §10).

Owns names, defaults and documentation of the reference's keys. Where our default differs, the key's sentence says so
and why. A key without effect takes whatever the reference takes, so its type is wide. Subtrees that tune the
reference's own algorithms (`remote_bwe` and the like) are accepted whole and change nothing here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from sfu.config.base import (
    AnyDuration,
    Cidr,
    Duration,
    Int,
    Level,
    NodeIp,
    Port,
    PortRange,
    Section,
    ShortDuration,
    UInt,
    key,
)

__all__ = [
    "ALL_CODECS",
    "Agents",
    "Api",
    "Audio",
    "BatchIo",
    "CodecSpec",
    "CongestionControl",
    "DebugServer",
    "Filters",
    "ForwardStats",
    "Ingress",
    "IpFilters",
    "Limit",
    "Logging",
    "Metric",
    "NodeSelector",
    "NodeStats",
    "PlayoutDelay",
    "PliThrottle",
    "Prometheus",
    "Psrpc",
    "Redis",
    "RedisTls",
    "Region",
    "ResourceUrlNotifier",
    "Room",
    "Rtc",
    "SignalRelay",
    "Sip",
    "StreamAllocator",
    "Trace",
    "Turn",
    "TurnServer",
    "UrlNotifier",
    "Video",
    "Webhook",
    "WebhookFilter",
]

Tuning = dict[str, Any]


def _log_level(value: Any) -> Any:
    """As the reference's own reader: any case, and `warning` as its sample file calls it."""
    text = value.lower() if isinstance(value, str) else value
    return "warn" if text == "warning" else text


PlayoutMs = Annotated[UInt, Field(le=40_950)]
"""What the header extension can say: 12 bits of 10 ms."""

LogLevel = Annotated[Literal["", "debug", "info", "warn", "error"], BeforeValidator(_log_level)]


class Filters(Section):
    """Which names or networks count."""

    includes: list[str] = key([], "Only these count; empty: all.")
    excludes: list[str] = key([], "These never count, also when included.")


class IpFilters(Section):
    """Which addresses count."""

    includes: list[Cidr] = key([], "Only addresses in these networks count; empty: all.")
    excludes: list[Cidr] = key([], "Addresses in these networks never count, also when included.")


class TurnServer(Section):
    """A TURN server of somebody else, told to clients."""

    host: str = key("", "Name or address.")
    port: Int = key(0, "Port of the server.")
    protocol: str = key("", "`tls`, `tcp` or `udp`; empty: udp.")
    username: str = key("", "User name of fixed credentials.")
    credential: str = key("", "Password of fixed credentials.")
    secret: str = key("", "Shared secret (coturn's static-auth-secret): each client gets credentials of its own.")
    secret_file: str = key("", "File with the shared secret; others must have no access to it.")
    ttl: Int = key(14400, "Seconds for which such credentials are good.")


class PliThrottle(Section):
    """Least time between two key-frame requests to a publisher; a minute at most."""

    low_quality: ShortDuration = key("500ms", "For the lowest layer, and for tracks of one layer.")
    mid_quality: ShortDuration = key(
        "500ms", "For the middle layer. The reference waits 1s; so a late joiner waits less."
    )
    high_quality: ShortDuration = key("500ms", "For the highest layer. The reference waits 1s here, too.")


class StreamAllocator(Section):
    """How the bandwidth estimate is divided and tested."""

    probe_mode: str = key("padding", "How probes are sent.", effect=False)
    probe_overage_pct: Int = key(120, "Size of a probe, percent of the next layer's rate.", effect=False)
    probe_min_bps: Int = key(200_000, "Least rate of a probe, bits per second.", effect=False)
    paused_min_wait: AnyDuration = key("5s", "Wait before a paused track is probed for.", effect=False)
    min_channel_capacity: Int = key(0, "Estimate never falls below this, bits per second; 0: off.", effect=False)
    disable_etimation_unmanaged_tracks: bool = key(False, "Leave fixed-rate tracks out of the estimate.", effect=False)


class CongestionControl(Section):
    """Bandwidth estimation towards subscribers."""

    enabled: bool = key(True, "Estimate bandwidth and choose layers by it; without it everything is sent.")
    allow_pause: bool = key(
        False, "Pause video when not even the lowest layers fit; clients can say otherwise for themselves."
    )
    use_send_side_bwe: bool = key(
        True, "Estimate by transport-wide feedback instead of REMB and loss. The reference's default is false."
    )
    use_send_side_bwe_interceptor: bool = key(False, "The reference's older sender-side estimator.", effect=False)
    send_side_bwe_pacer: str = key("no-queue", "Pacer used with the sender-side estimator.", effect=False)
    stream_allocator: StreamAllocator = key(StreamAllocator(), "")
    remote_bwe: Tuning = key({}, "Tuning of the reference's REMB estimator; accepted whole.", effect=False)
    send_side_bwe: Tuning = key({}, "Tuning of the reference's TWCC estimator; accepted whole.", effect=False)


class BatchIo(Section):
    """How sends are gathered."""

    batch_size: Int = key(0, "Packets per system call; the engine chooses by itself.", effect=False)
    max_flush_interval: Annotated[Duration, Field(le=0.1)] = key(
        "3ms",
        "Longest time for which media to one subscriber is gathered before it is sent; 2–5 ms cost least CPU, 100ms is "
        "the most. The reference's default is 0: it gathers nothing.",
    )


class ForwardStats(Section):
    """Statistics on forwarding latency."""

    summary_interval: AnyDuration = key("0", "Time between summaries; 0: off.", effect=False)
    report_interval: AnyDuration = key("0", "Time between reports; 0: off.", effect=False)
    report_window: AnyDuration = key("0", "Time that a report covers.", effect=False)


class Rtc(Section):
    """Media: ports, addresses, ICE."""

    udp_port: PortRange = key(
        (7882, 7882),
        "The one UDP port for all media. Of a range such as 7882-7892 the first is used: one port serves all threads."
        " The reference uses 50000-60000 unless this is set.",
    )
    tcp_port: Port = key(7881, "Port for media over TCP, for clients whose network blocks UDP; 0: none.")
    port_range_start: Int = key(0, "First of the reference's many UDP ports; here udp_port serves all.", effect=False)
    port_range_end: Int = key(0, "Last of the reference's many UDP ports.", effect=False)
    force_tcp: bool = key(False, "Offer no UDP candidates; for tests.")
    use_stun_port_as_ice: bool = key(False, "Advertise the port that STUN saw.", effect=False)
    use_external_ip: bool = key(
        False, "Ask stun_servers for the public address and advertise it; for machines behind 1:1 NAT (most clouds)."
    )
    node_ip: NodeIp = key(
        "", "Public address to advertise instead of the local ones: `v4`, `v6` or `v4,v6`; empty: found by itself."
    )
    external_ip_only: bool = key(False, "With use_external_ip: never fall back to local addresses.")
    advertise_internal_ip: bool = key(False, "With a public address: advertise the local one beside it.")
    skip_external_ip_validation: bool = key(
        False, "Plenum does not send itself a packet to check the public address.", effect=False
    )
    interfaces: Filters = key(Filters(), "Network interfaces, by name or pattern (`eth*`).")
    ips: IpFilters = key(IpFilters(), "Local addresses, by network.")
    enable_loopback_candidate: bool = key(False, "Offer 127.0.0.1 too, for clients on the same machine.")
    host_acceptance_min_wait: AnyDuration = key(
        "0s", "Wait before a pair of local candidates is taken; here the client chooses the pair.", effect=False
    )
    srflx_acceptance_min_wait: AnyDuration = key("0s", "The same for addresses that STUN saw.", effect=False)
    prflx_acceptance_min_wait: AnyDuration = key("0s", "The same for addresses that checks came from.", effect=False)
    relay_acceptance_min_wait: AnyDuration = key("0s", "The same for relays.", effect=False)
    use_mdns: bool = key(False, "Resolve mDNS candidates of clients; peers are found without.", effect=False)
    use_ice_lite: bool = key(
        True, "Only answer connectivity checks; costs least and suits a server. The reference's default is false."
    )
    stun_servers: list[str] = key(
        [], "`host:port` each: told to clients, asked by use_external_ip; empty: it asks well-known public ones."
    )
    turn_servers: list[TurnServer] = key([], "TURN servers of your own, told to clients.", effect=False)
    packet_buffer_size: Int = key(500, "Older name of packet_buffer_size_video.", effect=False)
    packet_buffer_size_video: UInt = key(
        500, "Packets kept per sent video stream for retransmission, at most; fewer on a short path."
    )
    packet_buffer_size_audio: UInt = key(
        200, "The same for audio that is sent without RED; kept for a second at most. 0: no audio is resent."
    )
    pli_throttle: PliThrottle = key(PliThrottle(), "")
    congestion_control: CongestionControl = key(CongestionControl(), "")
    allow_tcp_fallback: bool = key(True, "Let clients move to TCP when UDP fails.", effect=False)
    tcp_fallback_rtt_threshold: Int = key(0, "Signal round trip below which TCP is tried, ms; 0: always.", effect=False)
    allow_udp_unstable_fallback: bool = key(False, "Move lossy UDP connections to TCP.", effect=False)
    reconnect_on_publication_error: bool = key(False, "Make clients reconnect when publishing fails.", effect=False)
    reconnect_on_subscription_error: bool = key(False, "Make clients reconnect when subscribing fails.", effect=False)
    reconnect_on_data_channel_error: bool = key(False, "Make clients reconnect when data fails.", effect=False)
    batch_io: BatchIo = key(BatchIo(), "")
    sctp_min_cwnd: Int = key(0, "Least SCTP congestion window, bytes; 0: the library's.", effect=False)
    sctp_fast_rtx_wnd: Int = key(0, "SCTP fast retransmission window, bytes.", effect=False)
    sctp_cwnd_ca_step: Int = key(0, "SCTP congestion avoidance step, bytes.", effect=False)
    datachannel_slow_threshold: Int = key(0, "Bytes per second below which a data channel is slow.", effect=False)
    datachannel_lossy_target_latency: AnyDuration = key("0", "Drop lossy data older than this; 0: off.", effect=False)
    datachannel_data_track_target_latency: ShortDuration = key(
        "100ms", "Skip frames of data tracks that would wait longer for a subscriber, a minute at most; 0: off."
    )
    data_channel_max_buffered_amount: Int = key(0, "Deprecated in the reference.", effect=False)
    forward_stats: ForwardStats = key(ForwardStats(), "")
    enable_rtp_stream_restart_detection: bool = key(False, "Detect restarted RTP streams.", effect=False)
    enable_warp: bool = key(False, "Faster DTLS and SCTP start; experimental in the reference.", effect=False)
    strict_acks: bool = key(False, "Deprecated in the reference.", effect=False)


class RedisTls(Section):
    """TLS towards Redis."""

    enabled: bool = key(False, "Use TLS.", effect=False)
    insecure: bool = key(False, "Do not check the server's certificate.", effect=False)
    server_name: str = key("", "Name to check it against.", effect=False)
    ca_cert_file: str = key("", "Trusted roots.", effect=False)
    client_cert_file: str = key("", "Our certificate.", effect=False)
    client_key_file: str = key("", "Its key.", effect=False)


class Redis(Section):
    """Shared state of several nodes; one node needs none."""

    address: str = key("", "`host:port`.", effect=False)
    db: Int = key(0, "Database number.", effect=False)
    username: str = key("", "User.", effect=False)
    password: str = key("", "Password.", effect=False)
    use_tls: bool = key(False, "Older form of tls.enabled.", effect=False)
    tls: RedisTls = key(RedisTls(), "")
    sentinel_master_name: str = key("", "Master set, with Sentinel.", effect=False)
    sentinel_username: str = key("", "User at the sentinels.", effect=False)
    sentinel_password: str = key("", "Password at the sentinels.", effect=False)
    sentinel_addresses: list[str] = key([], "Sentinels, `host:port` each.", effect=False)
    cluster_addresses: list[str] = key([], "Cluster nodes, `host:port` each.", effect=False)
    dial_timeout: Int = key(0, "Milliseconds; 0: the client's default.", effect=False)
    read_timeout: Int = key(0, "Milliseconds.", effect=False)
    write_timeout: Int = key(0, "Milliseconds.", effect=False)
    max_redirects: Int = key(0, "Redirections followed in a cluster.", effect=False)
    pool_timeout: AnyDuration = key("0", "Wait for a free connection.", effect=False)
    pool_size: Int = key(0, "Connections kept.", effect=False)


class CodecSpec(Section):
    """One codec that clients may use."""

    mime: str = key("", "Such as `audio/opus` or `video/VP8`; case does not matter.")
    fmtp_line: str = key("", "Format parameters; the engine chooses its own.", effect=False)


class PlayoutDelay(Section):
    """Playout delay that subscribers are asked for."""

    enabled: bool = key(False, "Ask for it.")
    min: PlayoutMs = key(0, "Least, milliseconds; at most 40950.")
    max: PlayoutMs = key(0, "Most, milliseconds; at most 40950, and not below min. 0: ten seconds.")

    @field_validator("max")
    @classmethod
    def _not_below_min(cls, value: int, info: ValidationInfo) -> int:
        least = info.data.get("min", 0)
        if 0 < value < least:
            raise ValueError(f"should not be below room.playout_delay.min, which is {least}")
        return value


ALL_CODECS = (
    "audio/PCMU",
    "audio/PCMA",
    "audio/opus",
    "audio/red",
    "video/VP8",
    "video/H264",
    "video/VP9",
    "video/AV1",
    "video/H265",
    "video/rtx",
)


class Room(Section):
    """What rooms are like unless CreateRoom says otherwise."""

    auto_create: bool = key(True, "Create a room when its first participant joins.")
    empty_timeout: UInt = key(300, "Seconds that a room is kept which nobody ever joined.")
    departure_timeout: UInt = key(20, "Seconds that a room is kept after the last participant left.")
    max_participants: UInt = key(0, "Most participants of a room, agents and recorders not counted; 0: no limit.")
    enabled_codecs: list[CodecSpec] = key(
        [{"mime": mime} for mime in ALL_CODECS],
        "Codecs that clients may use; those that the engine lacks are left out.",
    )
    enable_remote_unmute: bool = key(False, "Let RoomService unmute participants.")
    playout_delay: PlayoutDelay = key(PlayoutDelay(), "")
    sync_streams: bool = key(False, "Ask subscribers to play a participant's tracks in step.", effect=False)
    create_room_timeout: AnyDuration = key("10s", "Deadline of creating a room on another node.", effect=False)
    create_room_attempts: Int = key(3, "Attempts at that.", effect=False)
    enable_full_room_in_webhooks: bool = key(False, "Webhooks about tracks carry the whole room.", effect=False)
    update_batch_target_size: UInt = key(131_072, "Bytes of participant updates put into one message.")
    max_metadata_size: UInt = key(0, "Older name of limit.max_metadata_size; counts when it is not 0.")
    max_room_name_length: UInt = key(0, "Older name of limit.max_room_name_length; counts when it is not 0.")
    max_participant_identity_length: UInt = key(0, "Older name of the key in limit; counts when it is not 0.")
    room_configurations: dict[str, Tuning] = key({}, "Named presets (`roomPreset` of tokens).", effect=False)

    @field_validator("enabled_codecs")
    @classmethod
    def _some_codec(cls, value: list[CodecSpec]) -> list[CodecSpec]:
        if not any(codec.mime.strip() for codec in value):
            raise ValueError("should name a codec; all are enabled when the key is not given")
        return value


class Audio(Section):
    """Who is speaking."""

    active_level: Level = key(35, "Level at or below which audio counts as speech, −dBov; lower is louder.")
    min_percentile: UInt = key(40, "Percent of an interval that must be speech.")
    update_interval: Annotated[UInt, Field(ge=1, le=60_000)] = key(
        400, "Milliseconds between speaker updates; 1 to 60000."
    )
    smooth_intervals: UInt = key(2, "Intervals that a level is smoothed over.")
    active_red_encoding: bool = key(False, "Add redundancy to Opus of publishers that send none.")
    enable_loss_proxying: bool = key(
        True,
        "Tell publishers of audio of the worst loss among their subscribers, so that their encoders add redundancy. "
        "The reference's default is false; ours is true: what is sent again of Opus may come too late.",
    )


class Video(Section):
    """Video layers."""

    dynacast_pause_delay: Duration = key("5s", "Wait before an unwatched layer is paused.")
    codec_regression_threshold: Int = key(
        5, "Rooms smaller than that move to a backup codec as a whole once one client needs it; 0: all rooms."
    )
    stream_tracker_manager: Tuning = key({}, "Tuning of the reference's layer detection; accepted whole.", effect=False)


class Turn(Section):
    """The embedded TURN server."""

    enabled: bool = key(False, "Run it.", effect=False)
    domain: str = key("", "Name that its certificate is for.", effect=False)
    cert_file: str = key("", "Certificate.", effect=False)
    key_file: str = key("", "Its key.", effect=False)
    tls_port: Int = key(0, "Port for TURN over TLS.", effect=False)
    udp_port: Int = key(0, "Port for TURN over UDP.", effect=False)
    external_tls: bool = key(False, "TLS ends before us.", effect=False)
    relay_range_start: Int = key(0, "First relay port.", effect=False)
    relay_range_end: Int = key(0, "Last relay port.", effect=False)
    bind_addresses: list[str] = key(["0.0.0.0"], "Addresses to bind.", effect=False)  # noqa: S104 - the default of both
    per_user_relay_allocation_limit: int = key(12, "Relays of one participant at a time.", effect=False)
    ttl_seconds: int = key(300, "Seconds for which credentials are good.", effect=False)
    allow_restricted_peer_cidrs: list[str] = key([], "Private networks that may be relayed to.", effect=False)
    deny_peer_cidrs: list[str] = key([], "Networks that may not.", effect=False)


class Limit(Section):
    """What one node, room or participant may use; 0 (or below, where the reference takes that): no limit."""

    num_tracks: Int = key(0, "Tracks on this node; joins above it are refused.", effect=False)
    bytes_per_sec: float = key(0.0, "Bytes per second on this node.", effect=False)
    subscription_limit_video: Int = key(0, "Video that one participant gets at once; further subscriptions wait.")
    subscription_limit_audio: Int = key(0, "Audio that one participant gets at once; further subscriptions wait.")
    max_metadata_size: UInt = key(524_288, "Bytes of metadata of a participant or a room.")
    max_attributes_size: UInt = key(65_536, "Bytes of all attributes of a participant, names included.")
    max_room_name_length: UInt = key(256, "Bytes of a room's name.")
    max_participant_identity_length: UInt = key(256, "Bytes of an identity.")
    max_participant_name_length: UInt = key(256, "Bytes of a participant's name.")
    max_data_blob_key_length: UInt = key(256, "Bytes of a data blob's key.")
    max_data_blobs_size: UInt = key(64_000, "Bytes of all data blobs of a participant, keys included.")
    max_data_track_custom_encoding_length: UInt = key(32, "Bytes of a data track's own encoding name.")
    signal_message_size_limit: UInt = key(2_097_152, "Bytes of one signal message; larger ones end the connection.")
    agent_signal_message_size_limit: Int = key(2_097_152, "The same for agent workers.", effect=False)
    max_api_request_body_size: UInt = key(10_485_760, "Bytes of one API request.")


class SignalRelay(Section):
    """Signalling between nodes."""

    retry_timeout: AnyDuration = key("7.5s", "Deadline of delivery.", effect=False)
    min_retry_interval: AnyDuration = key("500ms", "First wait between attempts.", effect=False)
    max_retry_interval: AnyDuration = key("4s", "Longest wait.", effect=False)
    stream_buffer_size: Int = key(1000, "Messages kept.", effect=False)
    connect_attempts: Int = key(3, "Attempts to connect.", effect=False)


class Psrpc(Section):
    """Calls between nodes."""

    max_attempts: Int = key(3, "Attempts.", effect=False)
    timeout: AnyDuration = key("3s", "Deadline of each.", effect=False)
    backoff: AnyDuration = key("2s", "Wait between them.", effect=False)
    buffer_size: Int = key(1000, "Messages kept.", effect=False)


class Region(Section):
    """Where a region is."""

    name: str = key("", "Name.", effect=False)
    lat: float = key(0.0, "Latitude.", effect=False)
    lon: float = key(0.0, "Longitude.", effect=False)


class NodeSelector(Section):
    """Which node gets a new room."""

    kind: str = key("any", "`any`, `cpuload`, `sysload` or `regionaware`.", effect=False)
    sort_by: str = key("random", "`random`, `cpuload`, `sysload`, `rooms`, `clients`, `tracks` …", effect=False)
    algorithm: str = key("lowest", "`lowest` or `twochoice`.", effect=False)
    sysload_limit: float = key(0.9, "System load above which a node gets no rooms.", effect=False)
    cpu_load_limit: float = key(0.9, "CPU use above which a node gets no rooms.", effect=False)
    regions: list[Region] = key([], "Known regions.", effect=False)


class NodeStats(Section):
    """What nodes tell each other."""

    stats_update_interval: AnyDuration = key("2s", "Time between reports.", effect=False)
    stats_rate_measurement_intervals: list[AnyDuration] = key(["10s"], "Windows of rates.", effect=False)
    stats_max_delay: AnyDuration = key("30s", "Age at which a node counts as gone.", effect=False)


class Agents(Section):
    """Agent workers."""

    target_load: float = key(0.7, "Load up to which a worker gets jobs.", effect=False)
    enable_user_data_recording: bool = key(False, "Let agents record user data.", effect=False)
    enable_user_data_redaction: bool = key(False, "Redact it.", effect=False)


class Api(Section):
    """RoomService."""

    execution_timeout: Duration = key("2s", "Deadline of a call; then `deadline_exceeded`.")
    check_interval: AnyDuration = key("100ms", "The reference polls for completion; we wait for it.", effect=False)
    max_check_interval: AnyDuration = key("300s", "Longest wait between such polls.", effect=False)
    enable_psrpc_for_get_list_participants: bool = key(False, "Compatibility switch of the reference.", effect=False)


class Logging(Section):
    """Logs go to standard output, one line per event."""

    level: LogLevel = key("", "`debug`, `info`, `warn` or `error`; empty: info.")
    json_lines: bool = key(False, "One JSON object a line instead of text.", alias="json")
    sample: bool = key(False, "Log only a sample of repeated events.", effect=False)
    sample_initial: Int = key(0, "Events before sampling starts.", effect=False)
    sample_interval: Int = key(0, "Then one in so many.", effect=False)
    item_sample_seconds: Int = key(0, "Window of sampling.", effect=False)
    item_sample_initial: Int = key(0, "Events before sampling starts, per item.", effect=False)
    item_sample_interval: Int = key(0, "Then one in so many.", effect=False)
    pion_level: str = key("error", "Level of the reference's WebRTC library.", effect=False)
    component_levels: dict[str, str] = key({}, "Levels of the reference's components.", effect=False)


class Prometheus(Section):
    """Metrics."""

    port: Port = key(0, "Port that serves /metrics; 0: off. Keep it inside your network.")
    username: str = key("", "Basic authentication, together with password.")
    password: str = key("", "Basic authentication, together with username.")


class DebugServer(Section):
    """The reference's Go profiler."""

    port: Int = key(0, "Port of it.", effect=False)


class Ingress(Section):
    """The reference's ingress service."""

    rtmp_base_url: str = key("", "Where it takes RTMP.", effect=False)
    whip_base_url: str = key("", "Where it takes WHIP.", effect=False)


class Sip(Section):
    """The reference's SIP service; it has no keys."""


class UrlNotifier(Section):
    """Delivery to one URL."""

    num_workers: Int = key(10, "Deliveries at a time.", effect=False)
    queue_size: Int = key(100, "Events kept.", effect=False)


class ResourceUrlNotifier(Section):
    """Delivery in order per room."""

    max_age: AnyDuration = key("30s", "Age at which an event is dropped.", effect=False)
    max_depth: Int = key(200, "Events kept per room.", effect=False)


class WebhookFilter(Section):
    """Which events are sent."""

    include_events: list[str] = key([], "Only these; empty: all.", effect=False)
    exclude_events: list[str] = key([], "Not these.", effect=False)


class Webhook(Section):
    """Events sent to URLs of yours."""

    urls: list[str] = key([], "Receivers.", effect=False)
    api_key: str = key("", "Key whose secret signs them.", effect=False)
    url_notifier: UrlNotifier = key(UrlNotifier(), "")
    resource_url_notifier: ResourceUrlNotifier = key(ResourceUrlNotifier(), "")
    filter_params: WebhookFilter = key(WebhookFilter(), "")


class Trace(Section):
    """Tracing."""

    jaeger_url: str = key("", "Jaeger collector.", effect=False)


class Metric(Section):
    """The reference's metric pipeline; accepted whole."""

    timestamper_config: Tuning = key({}, "Accepted whole.", effect=False)
    collector: Tuning = key({}, "Accepted whole.", effect=False)
    reporter: Tuning = key({}, "Accepted whole.", effect=False)
