"""Start-up: dev mode's defaults, which keys count, and every refusal in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from plenum.startup import Flags, Startup, StartupError, prepare

if TYPE_CHECKING:
    from pathlib import Path

LONG = "x" * 32


def started(body: str = "", env: dict[str, str] | None = None, **flags: Any) -> Startup:
    return prepare(Flags(config_body=body, **flags), env or {})


def refusal(body: str = "", env: dict[str, str] | None = None, **flags: Any) -> str:
    with pytest.raises(StartupError) as refused:
        started(body, env, **flags)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_dev_mode_is_on_loopback_with_the_key_that_everybody_knows() -> None:
    startup = started(dev=True)
    assert startup.config.bind_addresses == ["127.0.0.1", "::1"]
    assert startup.keys.secret("devkey") == "secret"
    assert startup.config.rtc.enable_loopback_candidate
    assert startup.generated is None
    assert startup.on_loopback_only


@pytest.mark.parametrize("bind", ["0.0.0.0", "192.0.2.5", "::", "example.com"])
def test_dev_mode_elsewhere_makes_a_key(bind: str) -> None:
    startup = started(dev=True, bind=(bind,))
    assert startup.generated is not None
    key, secret = startup.generated
    assert startup.keys.secret(key) == secret
    assert startup.keys.secret("devkey") is None
    assert len(secret) >= 32
    assert not startup.on_loopback_only


def test_dev_mode_keeps_media_to_the_networks_that_http_is_bound_to() -> None:
    assert started(dev=True, bind=("192.0.2.5",)).config.rtc.ips.includes == ["192.0.2.0/24"]
    assert started(dev=True, bind=("0.0.0.0",)).config.rtc.ips.includes == []
    given = started("rtc: {ips: {includes: [10.0.0.0/8]}}", dev=True, bind=("192.0.2.5",))
    assert given.config.rtc.ips.includes == ["10.0.0.0/8"]


def test_dev_mode_leaves_what_was_given() -> None:
    startup = started(
        "keys: {a: short}\nrtc: {enable_loopback_candidate: false}\nroom: {departure_timeout: 3}", dev=True
    )
    assert startup.config.bind_addresses == []
    assert not startup.config.rtc.enable_loopback_candidate
    assert startup.config.room.departure_timeout == 3
    assert startup.keys.api_keys == ("a",)


def test_dev_mode_by_configuration() -> None:
    assert started("development: true").keys.api_keys == ("devkey",)


def test_the_key_file_counts_before_texts_and_texts_before_the_mapping(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"file: {LONG}")
    path.chmod(0o600)
    body = f"keys: {{mapping: {LONG}}}"
    text = f"text: {LONG}"
    assert started(body).keys.api_keys == ("mapping",)
    assert started(body, {"LIVEKIT_KEYS": text}).keys.api_keys == ("text",)
    assert started(body, {"LIVEKIT_KEYS": f"env: {LONG}"}, keys=text).keys.api_keys == ("text",)
    assert started(f"key_file: {path}\n{body}", {"LIVEKIT_KEYS": text}).keys.api_keys == ("file",)


def test_several_keys_in_the_environment() -> None:
    startup = started(env={"LIVEKIT_KEYS": f"a: {LONG}\nb: {LONG}"})
    assert startup.keys.api_keys == ("a", "b")


def test_the_whole_configuration_in_the_environment(tmp_path: Path) -> None:
    env = {"LIVEKIT_CONFIG": f"port: 1\nkeys: {{a: {LONG}}}"}
    assert prepare(Flags(), env).config.port == 1
    path = tmp_path / "livekit.yaml"
    path.write_text(f"port: 2\nkeys: {{a: {LONG}}}")
    assert prepare(Flags(config=path), {}).config.port == 2


def test_short_secrets_are_refused_outside_dev_mode() -> None:
    message = refusal("keys: {devkey: secret}")
    assert "'devkey' is shorter than 32 characters" in message
    assert "plenum generate-keys" in message
    assert "secret'" not in message
    assert started("keys: {devkey: secret}", dev=True).keys.api_keys == ("devkey",)


def test_no_keys_are_refused_with_the_way_out() -> None:
    assert "plenum generate-keys" in refusal()
    assert "plenum generate-keys" in refusal(env={"LIVEKIT_KEYS": "# none"})


def test_unreadable_things_are_named(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    assert refusal(config=absent) == f'configuration "{absent}" cannot be read: No such file or directory'
    assert refusal(config=tmp_path).endswith("Is a directory")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff")
    assert refusal(config=binary).endswith("is not UTF-8 text")
    assert "cannot be read" in refusal(f"key_file: {absent}")


def test_wrong_keys_and_values_are_named() -> None:
    assert refusal("prot: 1").startswith('configuration: unknown key "prot"; did you mean "port"?')
    assert refusal(values={"port": "x"}).startswith("configuration: port: ")
    assert refusal(env={"LIVEKIT_KEYS": "a:b"}).startswith('LIVEKIT_KEYS must be "key: secret", including the space')


def test_an_error_names_the_file_it_is_in(tmp_path: Path) -> None:
    path = tmp_path / "livekit.yaml"
    path.write_text("port: x")
    assert refusal(config=path).startswith(f'configuration "{path}": port: ')
    path.write_text("port: 1")
    assert refusal(config=path, values={"port": "x"}).startswith("configuration: port: ")
    assert refusal(env={"LIVEKIT_CONFIG": "port: x"}).startswith('configuration "LIVEKIT_CONFIG": port: ')


def test_keys_without_effect_are_carried() -> None:
    assert started("redis: {db: 1}", dev=True).ineffective == ("redis.db",)
    assert started(dev=True).ineffective == ()
    assert started(dev=True).notes == ()


@pytest.mark.parametrize(
    ("body", "note"),
    [
        ("redis: {address: 'r:1'}", "redis.address: one node only: rooms are not shared with other servers"),
        ("turn: {enabled: true}", "turn.enabled: no TURN server is started"),
        ("webhook: {urls: ['https://example.com']}", "webhook.urls: no webhooks are sent yet"),
    ],
)
def test_what_is_missing_is_said_by_its_consequence(body: str, note: str) -> None:
    startup = started(body, dev=True)
    assert len(startup.notes) == 1
    assert startup.notes[0].startswith(note)
    assert startup.ineffective == ()


def test_codecs_that_are_left_out_are_named() -> None:
    body = "room: {enabled_codecs: [{mime: VIDEO/vp8}, {mime: video/hevc}, {mime: video/foo}, {mime: audio/G722}]}"
    assert started(body, dev=True).notes == (
        "room.enabled_codecs: left out, for this server has no such codec: 'video/foo', 'audio/G722'",
    )
    assert refusal("room: {enabled_codecs: [{mime: vp8}]}", dev=True) == (
        "room.enabled_codecs: this server has none of these codecs: vp8"
    )


@pytest.mark.parametrize(
    ("mimes", "named"),
    [
        (["audio/red"], "audio/red"),
        (["VIDEO/RTX", "audio/red"], "VIDEO/RTX, audio/red"),
        (["video/foo", "video/rtx"], "video/rtx"),
    ],
)
def test_codecs_that_only_repair_others_are_not_enough(mimes: list[str], named: str) -> None:
    body = f"room: {{enabled_codecs: [{', '.join(f'{{mime: {mime}}}' for mime in mimes)}]}}"
    assert refusal(body, dev=True) == f"room.enabled_codecs: none of these carries audio or video by itself: {named}"


@pytest.mark.parametrize("mime", ["audio/PCMU", "video/vp8"])
def test_one_codec_is_enough(mime: str) -> None:
    assert started(f"room: {{enabled_codecs: [{{mime: {mime}}}]}}", dev=True).notes == ()


def test_what_was_switched_off_anyway_is_not_missed() -> None:
    body = "limit: {num_tracks: -1, bytes_per_sec: -1}"
    startup = started(body, dev=True)
    assert (startup.notes, startup.ineffective) == ((), ())


def test_a_file_that_is_not_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "livekit.yaml"
    startup = started(env={"LIVEKIT_CONFIG": "port: 1"}, config=path, dev=True)
    assert startup.notes == (f'LIVEKIT_CONFIG is set, so the file "{path}" is not read',)
    assert (startup.config.port, startup.origin) == (1, "LIVEKIT_CONFIG")


def test_variables_that_set_nothing_are_told() -> None:
    (note,) = started(env={"LIVEKIT_RTC_TPC_PORT": "1"}, dev=True).notes
    assert note.endswith("LIVEKIT_RTC_TPC_PORT")


@pytest.mark.parametrize(("given", "missing"), [("username", "password"), ("password", "username")])
def test_half_a_password_for_metrics_is_refused(given: str, missing: str) -> None:
    assert refusal(f"prometheus: {{port: 6789, {given}: x}}", dev=True).startswith(f"prometheus.{missing} is missing")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("port: 7001\nprometheus: {port: 7001}", "port and prometheus.port are both 7001"),
        ("port: 7001\nprometheus_port: 7001", "port and prometheus_port are both 7001"),
        (f"port: 7881\nkeys: {{a: {LONG}}}", "port and rtc.tcp_port are both 7881"),
    ],
)
def test_own_ports_that_clash_are_both_named(body: str, message: str) -> None:
    assert refusal(body, dev=True).startswith(message)


def test_free_ports_and_ports_of_other_addresses_do_not_clash() -> None:
    assert started("port: 0\nprometheus: {port: 0}\nrtc: {tcp_port: 0}", dev=True).config.port == 0
    assert started("port: 7881", dev=True).config.port == 7881


def test_dev_mode_is_open_to_others_only_off_loopback() -> None:
    assert not started(dev=True).open_to_others
    assert started(dev=True, bind=("0.0.0.0",)).open_to_others
    assert started(f"keys: {{a: {LONG}}}", dev=True).open_to_others
    assert not started(f"keys: {{a: {LONG}}}").open_to_others
