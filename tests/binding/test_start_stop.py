"""Start, stop and what goes wrong at the start."""

from __future__ import annotations

import re
import select
import socket
import threading
from pathlib import Path

import pytest

from sfu import _engine


def _start(**settings: object) -> _engine.Engine:
    return _engine.Engine(_engine.EngineConfig(**{"udp": ["127.0.0.1:0"], **settings}))  # type: ignore[arg-type]


def test_port_zero_is_one_port_for_all_addresses() -> None:
    engine = _start(udp=["127.0.0.1:0", "127.0.0.2:0"], tcp=["127.0.0.1:0", "127.0.0.2:0"])
    for addresses in (engine.udp_addresses, engine.tcp_addresses):
        hosts, ports = zip(*(address.rsplit(":", 1) for address in addresses), strict=True)
        assert hosts == ("127.0.0.1", "127.0.0.2")
        assert len(set(ports)) == 1
        assert int(ports[0]) > 0
    engine.stop()


def test_candidates_are_in_the_order_of_preference() -> None:
    engine = _start(tcp=["127.0.0.1:0"], advertised=[("127.0.0.1", "203.0.113.7")], advertise_internal=True)
    udp_port, tcp_port = (a[0].rsplit(":", 1)[1] for a in (engine.udp_addresses, engine.tcp_addresses))
    found = [
        re.fullmatch(r"candidate:\S+ 1 (udp|tcp) \d+ (\S+) (\d+) typ host.*", c, re.IGNORECASE)
        for c in engine.candidates
    ]
    assert [match.groups() for match in found if match] == [
        ("udp", "203.0.113.7", udp_port),
        ("udp", "127.0.0.1", udp_port),
        ("tcp", "203.0.113.7", tcp_port),
        ("tcp", "127.0.0.1", tcp_port),
    ]
    engine.stop()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"udp": ["nonsense"]}, "'nonsense'|\"nonsense\""),
        ({"udp": ["127.0.0.1"]}, "127.0.0.1"),
        ({"tcp": ["127.0.0.1:99999"]}, "99999"),
        ({"advertised": [("127.0.0.1", "example.org")]}, "example.org"),
        ({"gather_ms": -1.0}, "gather_ms"),
        ({"gather_ms": float("nan")}, "gather_ms"),
        ({"audio_active_level": 128}, "audio_active_level"),
        ({"audio_update_interval_ms": 0}, "audio_update_interval_ms"),
        ({"audio_update_interval_ms": 2**63}, "audio_update_interval_ms"),
        ({"pli_throttle_ms": (500, 1000, 60_001)}, "pli_throttle_ms"),
        ({"sctp_buffer_bytes": 65_536}, "sctp_buffer_bytes"),
        ({"data_messages_per_s": 2**32}, "data_messages_per_s"),
        ({"data_bytes_per_s": 2**32}, "data_bytes_per_s"),
    ],
)
def test_bad_settings_are_value_errors_that_name_the_culprit(settings: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        _start(**settings)


@pytest.mark.parametrize("settings", [{"udp": []}, {"udp": ["0.0.0.0:0"]}, {"udp": ["192.0.2.77:0"]}])
def test_unusable_addresses_are_engine_errors(settings: dict[str, object]) -> None:
    with pytest.raises(_engine.EngineError):
        _start(**settings)


def test_a_taken_port_is_named() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(_engine.EngineError, match=f"UDP {address}"):
            _start(udp=[address])


def test_stop_is_idempotent_frees_the_ports_and_refuses_commands() -> None:
    engine = _start(tcp=["127.0.0.1:0"])
    udp, tcp = engine.udp_addresses, engine.tcp_addresses
    threads = [threading.Thread(target=engine.stop) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(_engine.EngineError, match="stopped"):
        engine.close_transport(1)
    again = _start(udp=udp, tcp=tcp)
    assert again.udp_addresses == udp
    again.stop()


def test_dropping_the_object_ends_the_threads() -> None:
    before = _thread_count()
    engine = _start()
    assert _thread_count() == before + 1
    del engine
    assert _thread_count() == before


def test_counters_have_their_names() -> None:
    engine = _start()
    counters = engine.counters()
    documented = {
        *("packets_in", "packets_out", "bytes_in", "bytes_out", "nacks", "plis", "firs", "retransmitted"),
        *("paced", "probes", "padding_bytes", "resends_refused", "rate_changes", "congestions"),
        *("data_messages_in", "data_messages_out", "transports", "up_tracks", "down_tracks"),
        *("events_lost", "shard_cpu_us", "dropped.unknown_source", "dropped.send_buffer_full"),
    }
    assert documented <= counters.keys()
    assert counters["transports"] == 0
    engine.stop()


def test_random_bytes_are_counted_and_answered_by_nothing() -> None:
    engine = _start(tcp=["127.0.0.1:0"])
    host, port = engine.udp_addresses[0].rsplit(":", 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect((host, int(port)))
        for payload in (b"", b"\x00", b"\xff" * 100, b"\x80" * 50, b"\x16\xfe\xfd" + b"a" * 60, b"x" * 9000):
            sender.send(payload)
    with socket.create_connection(engine.tcp_addresses[0].rsplit(":", 1)) as stranger:  # type: ignore[arg-type]
        stranger.sendall(b"\xff\xff")
        assert stranger.recv(1) == b"", "a frame of 65,535 bytes is refused"
    # Stopping publishes the last counters.
    engine.stop()
    counters = engine.counters()
    assert sum(count for name, count in counters.items() if name.startswith("dropped.")) == 6
    assert counters["dropped.oversized"] == 1
    assert counters["shard_failures"] == 0
    readable, _, _ = select.select([engine.event_fd], [], [], 0)
    assert readable == []


def test_the_build_profile_is_known() -> None:
    assert _engine.build_profile() in {"debug", "release"}


def _thread_count() -> int:
    return sum(1 for _ in Path("/proc/self/task").iterdir())
