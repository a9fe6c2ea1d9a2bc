"""The configuration as a whole: the reference's sections and ours, `plenum:`.

Owns our own keys and the root model. Never reads a file or the environment: that is `sfu.config.load`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sfu.config import reference
from sfu.config.base import CountPerSecond, Duration, Port, Section, UInt, key

__all__ = ["Config", "Plenum", "SignalCaps"]


class SignalCaps(Section):
    """What one signalling connection may ask of the server; above it, it is closed with a reason and counted."""

    max_messages_per_s: UInt = key(100, "Signal messages a second, averaged over ten seconds; 0: no limit.")
    max_bytes_per_s: UInt = key(1_048_576, "Bytes of signal messages a second, averaged over ten seconds; 0: no limit.")
    max_offers_per_minute: UInt = key(600, "Session descriptions a minute; each costs CPU. 0: no limit.")
    max_candidates_per_minute: UInt = key(3000, "ICE candidates a minute and connection; 0: no limit.")
    max_metadata_bytes_per_s: UInt = key(
        262_144, "Metadata, names and attributes a second, bytes, averaged over ten seconds; 0: no limit."
    )
    max_tracks_per_s: UInt = key(
        2_000,
        "Tracks that subscriptions, settings and permissions name a second, averaged over ten seconds; 0: no limit.",
    )
    send_queue_bytes: UInt = key(
        4_194_304,
        "Unsent bytes kept for a client that does not read, besides what it is told first; above it the client is cut, "
        "and may come back.",
    )


class Plenum(Section):
    """What the reference does not have."""

    web: bool = key(True, "Serve the meeting page at /.")
    disable_rtc_v1: bool = key(
        False,
        "Answer 404 on /rtc/v1, so that clients fall back to two peer connections; to rule out a path in trouble.",
    )
    signal: SignalCaps = key(SignalCaps(), "")
    max_tracks_per_participant: UInt = key(
        256,
        "Tracks that one participant may publish at once, and as many data tracks: everybody is told of all of them at "
        "each change. 0: no limit.",
    )
    data_messages_per_s: CountPerSecond = key(
        1_000, "Data messages that one participant may send a second, averaged over two seconds; 0: no limit."
    )
    data_bytes_per_s: CountPerSecond = key(
        5_000_000,
        "Data that one participant may send a second, bytes, averaged over two seconds; messages to more than eight "
        "receivers count several times. Above it the sender is slowed down, and nothing reliable is lost. 0: no limit.",
    )
    room_data_blobs_bytes: UInt = key(
        16_777_216,
        "Bytes of all data blobs of a room, keys included, beside limit.max_data_blobs_size for each participant; "
        "0: no limit.",
    )
    answer_timeout: Duration = key(
        "15s", "How long a connected client may take to answer an offer; then it is told to begin anew."
    )
    token_refresh_interval: Duration = key("5m", "Time between fresh tokens sent to connected clients.")
    connection_quality_interval: Annotated[Duration, Field(ge=0.5, le=60)] = key(
        "5s", "Length of the windows by which connections are rated and clients told; 500ms to 1m."
    )
    tls_cert: str = key("", "Certificate (PEM) for HTTPS and WSS on port; empty: a proxy in front does TLS.")
    tls_key: str = key("", "Its key.")


class Config(Section):
    """All of it."""

    port: Port = key(7880, "HTTP and WebSocket port: signalling, API and page; 0: any free one.")
    bind_addresses: list[str] = key(
        [], "Addresses that HTTP and metrics bind; empty: all. Media has rtc.interfaces and rtc.ips."
    )
    prometheus_port: Port = key(0, "Older name of prometheus.port.")
    prometheus: reference.Prometheus = key(reference.Prometheus(), "")
    debug_handler: reference.DebugServer = key(reference.DebugServer(), "")
    rtc: reference.Rtc = key(reference.Rtc(), "")
    redis: reference.Redis = key(reference.Redis(), "")
    audio: reference.Audio = key(reference.Audio(), "")
    video: reference.Video = key(reference.Video(), "")
    room: reference.Room = key(reference.Room(), "")
    turn: reference.Turn = key(reference.Turn(), "")
    ingress: reference.Ingress = key(reference.Ingress(), "")
    sip: reference.Sip = key(reference.Sip(), "")
    webhook: reference.Webhook = key(reference.Webhook(), "")
    node_selector: reference.NodeSelector = key(reference.NodeSelector(), "")
    key_file: str = key("", "File of `key: secret` lines; others must have no access to it. Counts instead of keys.")
    keys: dict[str, str] = key({}, "API key: secret, at least 32 characters; `plenum generate-keys` makes a pair.")
    region: str = key("", "Name of this node's region, told to clients.")
    signal_relay: reference.SignalRelay = key(reference.SignalRelay(), "")
    psrpc: reference.Psrpc = key(reference.Psrpc(), "")
    log_level: reference.LogLevel = key("", "Older name of logging.level.")
    logging: reference.Logging = key(reference.Logging(), "")
    limit: reference.Limit = key(reference.Limit(), "")
    agents: reference.Agents = key(reference.Agents(), "")
    development: bool = key(False, "Dev mode: short secrets allowed, tokens for the page. Never in public.")
    metric: reference.Metric = key(reference.Metric(), "")
    trace: reference.Trace = key(reference.Trace(), "")
    node_stats: reference.NodeStats = key(reference.NodeStats(), "")
    enable_data_tracks: bool = key(True, "Allow data tracks.")
    enable_participant_data_blob: bool = key(False, "Allow data blobs.")
    api: reference.Api = key(reference.Api(), "")
    plenum: Plenum = key(Plenum(), "")
