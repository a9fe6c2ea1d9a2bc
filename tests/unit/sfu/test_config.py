"""Configuration: what is accepted, what is refused and in which words, and that the example says it all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.config import Config, ConfigError, boolean_keys, ineffective_keys, load, scalar_keys, unknown_variables
from sfu.config.example import render
from sfu.config.load import documented_keys, has_effect

ROOT = Path(__file__).parents[3]

# As an operator of livekit-server writes it.
LIVEKIT_YAML = """
port: 7880
bind_addresses: [""]
log_level: info
rtc:
  tcp_port: 7881
  udp_port: 7882-7892
  use_external_ip: true
  stun_servers: [stun.example.com:3478]
  turn_servers:
    - host: turn.example.com
      port: 443
      protocol: tls
      username: u
      credential: 01234
  pli_throttle: {low_quality: 250ms}
  congestion_control:
    send_side_bwe: {congestion_detector: {packet_group_max_age: 10s}}
redis:
  address: redis:6379
keys:
  key1: 0123456789
room:
  enabled_codecs:
    - mime: audio/opus
    - mime: video/vp8
limit:
  bytes_per_sec: 1_000_000_000
webhook:
  urls: ["https://example.com"]
logging:
  json: true
turn:
"""


def refusal(text: str, **more: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        load(text, **more)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_livekit_yaml_is_accepted() -> None:
    config = load(LIVEKIT_YAML)
    assert config.rtc.udp_port == (7882, 7892)
    assert config.rtc.pli_throttle.low_quality == 0.25
    assert config.keys == {"key1": "0123456789"}
    assert config.rtc.turn_servers[0].credential == "01234"
    assert [codec.mime for codec in config.room.enabled_codecs] == ["audio/opus", "video/vp8"]
    assert config.limit.bytes_per_sec == 1e9
    assert config.logging.json_lines
    assert config.turn == Config().turn


# Every key that the reference's sample file shows, commented ones too, with other values.
SAMPLE = """
port: 7900
redis: {address: "redis.internal:6379", db: 1, username: u, password: p}
rtc:
  port_range_start: 51000
  port_range_end: 52000
  tcp_port: 7901
  use_external_ip: true
  udp_port: 7902
  packet_buffer_size: 400
  stun_servers: [stun.internal]
  turn_servers: [{host: turn.internal, port: 443, protocol: tls, username: "", credential: ""}]
  congestion_control: {enabled: true, allow_pause: true}
  pli_throttle: {low_quality: 400ms, mid_quality: 2s, high_quality: 2s}
  interfaces: {includes: [eth0], excludes: [docker0]}
prometheus_port: 6790
keys: {first: 00000000000000000000000000000000, second: 11111111111111111111111111111111}
logging: {level: warning, pion_level: error, json: false, sample: false}
room:
  auto_create: false
  empty_timeout: 200
  max_participants: 0
  enabled_codecs: [{mime: audio/opus}, {mime: video/vp8}]
  enable_remote_unmute: true
  max_metadata_size: 0
webhook: {api_key: first, urls: ["https://example.com/events"]}
audio: {active_level: 30, min_percentile: 40, update_interval: 500, smooth_intervals: 4}
turn:
  enabled: false
  udp_port: 3478
  tls_port: 5349
  relay_range_start: 2000
  relay_range_end: 30000
  external_tls: true
  domain: turn.example.com
  cert_file: cert.pem
  key_file: key.pem
region: north
node_selector: {kind: sysload, sort_by: sysload, sysload_limit: 0.7, regions: [{name: north, lat: 44.2, lon: -123.1}]}
limit: {num_tracks: -1, bytes_per_sec: 1_000_000}
"""


def test_every_key_of_the_references_sample_is_accepted() -> None:
    config = load(SAMPLE)
    assert config.limit.num_tracks == -1
    assert config.limit.bytes_per_sec == 1e6
    assert config.node_selector.regions[0].lon == -123.1
    assert config.logging.level == "warn"


@pytest.mark.parametrize(
    "text",
    [
        "limit: {num_tracks: -1, bytes_per_sec: -1, subscription_limit_video: -1, subscription_limit_audio: -1}",
        "turn: {ttl_seconds: -1, udp_port: -1, allow_restricted_peer_cidrs: [x]}",
        "redis: {db: -1, dial_timeout: -1, pool_timeout: -5s}",
        "node_stats: {stats_max_delay: 30000000000}",
        "rtc: {turn_servers: [{protocol: udp4, port: -1}]}",
        "agents: {target_load: 1.5}",
    ],
)
def test_a_key_without_effect_refuses_nothing_that_the_reference_takes(text: str) -> None:
    assert load(text) != Config()


def test_variables_that_look_like_keys_but_are_none_are_found() -> None:
    env = {"LIVEKIT_RTC_TPC_PORT": "1", "LIVEKIT_RTC_TCP_PORT": "1", "LIVEKIT_API_KEY": "k", "LIVEKIT_URL": "ws://h"}
    assert unknown_variables(env) == ["LIVEKIT_RTC_TPC_PORT"]


def test_an_error_knows_whether_it_is_in_the_file() -> None:
    elsewhere: list[dict[str, Any]] = [{"flags": {"port": "x"}}, {"env": {"LIVEKIT_PORT": "x"}}]
    for more in (*elsewhere, {}):
        with pytest.raises(ConfigError) as refused:
            load("port: y", **more)
        assert refused.value.in_text is not bool(more)


def test_keys_without_effect_are_named() -> None:
    assert set(ineffective_keys(load(LIVEKIT_YAML))) == {
        "rtc.turn_servers",
        "rtc.congestion_control.send_side_bwe",
        "redis.address",
        "webhook.urls",
        "limit.bytes_per_sec",
    }
    assert ineffective_keys(load("redis: {db: 0}")) == []


def test_nothing_gives_the_defaults() -> None:
    for empty in ("", "# only a comment", "rtc:", "keys: {}", "null"):
        assert load(empty) == Config()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rtc: {tpc_port: 1}", 'unknown key "rtc.tpc_port"; did you mean "rtc.tcp_port"?'),
        ("prot: 1\nrtc: {zzz: 2}", 'unknown keys "prot" (did you mean "port"?), "rtc.zzz"'),
        ("rtc: {udp_prot: 1}", 'unknown key "rtc.udp_prot"; did you mean "rtc.udp_port"?'),
        ("tcp_port: 1", 'unknown key "tcp_port"; did you mean "rtc.tcp_port"?'),
        ("prot: 1", 'unknown key "prot"; did you mean "port"?'),
        ("debug_handler_port: 1", 'unknown key "debug_handler_port"; did you mean "debug_handler.port"?'),
        ("rtc: {turn_servers: [{hots: a}]}", 'unknown key "rtc.turn_servers.0.hots"'),
        ("rtc: 5", '"rtc" must be a section with keys of its own'),
        ("port: 65536", "port: should be at most 65535 (is '65536')"),
        ("port: -1", "port: should be at least 0 (is '-1')"),
        ("rtc: {udp_port: 9-8}", "rtc.udp_port: should be within 0 and 65535, the first port not above the last"),
        ("rtc: {udp_port: many}", "rtc.udp_port: should be a port or a range such as 7882-7892"),
        ("rtc: {udp_port: [1, 2]}", "rtc.udp_port: should be a port or a range such as 7882-7892"),
        ("rtc: {node_ip: 1.2.3}", "rtc.node_ip: should be an IP address, or an IPv4 and an IPv6 address"),
        ("rtc: {node_ip: '1.1.1.1,2.2.2.2'}", "rtc.node_ip: should be one IPv4 address, one IPv6 address or both"),
        (
            "rtc: {ips: {includes: [10.0.0.0/33]}}",
            "rtc.ips.includes.0: should be a network such as 10.0.0.0/8 (is '10.0.0.0/33')",
        ),
        ("rtc: {use_external_ip: maybe}", "rtc.use_external_ip: should be true or false (is 'maybe')"),
        ("rtc: {pli_throttle: {low_quality: 5}}", "rtc.pli_throttle.low_quality: should be a duration with its unit"),
        ("room: {empty_timeout: 5m}", "room.empty_timeout: should be a whole number (is '5m')"),
        ("plenum: {connection_quality_interval: 1h}", "plenum.connection_quality_interval: should be at most 60s"),
        ("plenum: {answer_timeout: [1s]}", "plenum.answer_timeout: should be a duration with its unit"),
        (
            "rtc: {batch_io: {max_flush_interval: 101ms}}",
            "rtc.batch_io.max_flush_interval: should be at most 0.1s (is '101ms')",
        ),
        (
            "rtc: {datachannel_data_track_target_latency: 61s}",
            "rtc.datachannel_data_track_target_latency: should be at most 60s (is '61s')",
        ),
        ("rtc: {pli_throttle: {low_quality: 2m}}", "rtc.pli_throttle.low_quality: should be at most 60s (is '2m')"),
        ("rtc: {pli_throttle: {mid_quality: 2m}}", "rtc.pli_throttle.mid_quality: should be at most 60s (is '2m')"),
        ("rtc: {pli_throttle: {high_quality: 2m}}", "rtc.pli_throttle.high_quality: should be at most 60s (is '2m')"),
        ("audio: {update_interval: 0}", "audio.update_interval: should be at least 1 (is '0')"),
        ("audio: {update_interval: 60001}", "audio.update_interval: should be at most 60000 (is '60001')"),
        (
            "plenum: {data_messages_per_s: 4294967296}",
            "plenum.data_messages_per_s: should be at most 4294967295 (is '4294967296')",
        ),
        (
            "plenum: {data_bytes_per_s: 4294967296}",
            "plenum.data_bytes_per_s: should be at most 4294967295 (is '4294967296')",
        ),
        ("audio: {active_level: 128}", "audio.active_level: should be at most 127 (is '128')"),
        ("limit: {bytes_per_sec: .inf}", "limit.bytes_per_sec: should be a number (is '.inf')"),
        ("logging: {level: loud}", "logging.level: should be '', 'debug', 'info', 'warn' or 'error'"),
        ("port: [1]", "port: should be a whole number (is a list)"),
        ("region: {a: b}", "region: should be a text (is a section)"),
        ("bind_addresses: a", "bind_addresses: should be a list (is 'a')"),
        ("keys: [a]", "keys: should be a section with keys of its own"),
        (
            "room: {enabled_codecs: [opus]}",
            "room.enabled_codecs.0: should be a section with keys of its own (is 'opus')",
        ),
        ("room: {enabled_codecs: []}", "room.enabled_codecs: should name a codec; all are enabled when"),
        ("room: {enabled_codecs: [{}]}", "room.enabled_codecs: should name a codec; all are enabled when"),
        ("room: {playout_delay: {min: 40951}}", "room.playout_delay.min: should be at most 40950 (is '40951')"),
        ("room: {playout_delay: {max: 99999}}", "room.playout_delay.max: should be at most 40950 (is '99999')"),
        (
            "room: {playout_delay: {min: 200, max: 100}}",
            "room.playout_delay.max: should not be below room.playout_delay.min, which is 200 (is '100')",
        ),
        ("a: b: c", "line 1 is not YAML"),
        ("port: 1\nport: 2", 'line 2: the key "port" is given twice'),
        ("[1]: 2", "line 1: a key must be a text"),
        ("- a", 'not a configuration: it must be lines of "key: value"'),
        ("\0", "not YAML"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


@pytest.mark.parametrize("given", [["x"], {"x": "y"}, [], "x"])
def test_no_key_is_refused_in_the_words_of_a_library(given: object) -> None:
    for path, _ in documented_keys():
        try:
            load("", flags={path: given})
        except ConfigError as error:
            words = str(error).replace(path, "")
            assert not re.search(r"valid|instance|dict|str\b|int\b|tuple|\[|_|Input|Value error", words), error  # noqa: PT017


def test_a_playout_delay_may_lack_its_upper_limit() -> None:
    delay = load("room: {playout_delay: {enabled: true, min: 40950}}").room.playout_delay
    assert (delay.min, delay.max) == (40950, 0)


def test_unknown_keys_are_left_out_when_asked() -> None:
    config = load("prot: 1\nport: 2\nrtc: {tpc_port: 3, tcp_port: 4}", strict=False)
    assert (config.port, config.rtc.tcp_port) == (2, 4)
    assert refusal("rtc: 5", strict=False).startswith("rtc: ")


@pytest.mark.parametrize("text", ["keys: {a: [topsecret]}", "redis: {password: {topsecret: 1}}"])
def test_secrets_are_not_repeated(text: str) -> None:
    assert "topsecret" not in refusal(text)


def test_every_scalar_key_is_an_environment_variable() -> None:
    env = {"LIVEKIT_RTC_TCP_PORT": "1", "LIVEKIT_LOGGING_JSON": "true", "LIVEKIT_ROOM_MAX_PARTICIPANTS": "7"}
    config = load("rtc: {tcp_port: 2}", env={**env, "LIVEKIT_URL": "ws://h", "LIVEKIT_PORT": ""})
    assert (config.rtc.tcp_port, config.logging.json_lines, config.room.max_participants) == (1, True, 7)
    assert config.port == 7880


def test_flags_win_over_the_environment() -> None:
    assert load("port: 1", env={"LIVEKIT_PORT": "2"}, flags={"port": 3}).port == 3
    assert refusal("", flags={"rtc.tcp_port": "x"}).startswith("rtc.tcp_port: should be a whole number")
    assert refusal("", env={"LIVEKIT_PORT": "x"}).startswith("port: should be a whole number")


def test_switches_are_scalars() -> None:
    assert boolean_keys() < set(scalar_keys())
    assert "rtc.use_ice_lite" in boolean_keys()
    assert {"keys", "bind_addresses", "rtc.turn_servers"}.isdisjoint(scalar_keys())


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0.0), ("500ms", 0.5), ("1m30s", 90.0), ("1.5h", 5400.0), ("10us", 1e-5)]
)
def test_durations_are_written_as_in_go(text: str, seconds: float) -> None:
    assert load(f"plenum: {{token_refresh_interval: {text}}}").plenum.token_refresh_interval == pytest.approx(seconds)


def test_the_example_is_what_the_models_say() -> None:
    text = (ROOT / "config.example.yaml").read_text()
    assert text == render(), "run: python -m sfu.config.example > config.example.yaml"
    assert load(text) == Config()


def test_every_key_of_the_example_is_documented() -> None:
    for path, field in documented_keys():
        assert field.description, path
    text = render()
    for name in {path.rpartition(".")[2] for path, _ in documented_keys()}:
        assert re.search(rf"^ *{name}:", text, re.MULTILINE), name


def test_keys_said_to_have_an_effect_are_read_somewhere() -> None:
    sources = "".join(path.read_text() for folder in ("plenum", "sfu") for path in (ROOT / folder).rglob("*.py"))
    for path, field in documented_keys():
        name = path.rpartition(".")[2].replace("json", "json_lines")
        if has_effect(field):
            # An attribute's use; TURN servers' members come with `rtc.turn_servers`, which says for itself.
            assert re.search(rf"\.{name}\b", sources), f"{path} is said to have an effect, but nobody reads it"


yaml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        load(text)
    except ConfigError as error:
        assert "\n" not in str(error)  # noqa: PT017 - both outcomes are right


@given(st.sampled_from(scalar_keys()), st.text(max_size=12))
def test_any_value_of_any_key_is_read_or_refused(path: str, value: str) -> None:
    try:
        load("", flags={path: value})
    except ConfigError as error:
        assert str(error).startswith(path)  # noqa: PT017 - both outcomes are right
