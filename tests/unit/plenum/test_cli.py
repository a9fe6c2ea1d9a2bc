"""The command line: tokens with every grant, flags for every key, and errors in one line with code 2."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from auth.grants import AgentGrants, SipGrants, VideoGrants
from auth.keys import KeyRing, mapping_source
from auth.tokens import verify
from plenum import __version__
from plenum.cli.flags import parse_key_flags
from plenum.cli.main import app, main
from plenum.startup import StartupError

if TYPE_CHECKING:
    from pathlib import Path

    from auth.grants import Claims
    from plenum.startup import Startup

SECRET = "x" * 32
SIGN = ("token", "create", "--api-key", "k", "--api-secret", SECRET)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET", "LIVEKIT_KEYS", "LIVEKIT_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def output(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output.strip()


def claims(*arguments: str) -> Claims:
    return verify(output(*SIGN, *arguments), KeyRing(mapping_source({"k": SECRET})), time.time())


def refusal(*arguments: str) -> str:
    with pytest.raises(StartupError) as refused:
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    return str(refused.value)


def test_join_token() -> None:
    read = claims("--join", "--room", "r", "--identity", "ann", "--name", "Ann", "--valid-for", "5m")
    assert (read.identity, read.name) == ("ann", "Ann")
    assert read.video == VideoGrants(room_join=True, room="r")
    assert read.expires_at_s is not None
    assert read.not_before_s is not None
    assert read.expires_at_s - read.not_before_s == 300


def test_every_grant_has_a_flag() -> None:
    read = claims(
        *("--join", "--create", "--list", "--admin", "--record", "--ingress", "--hidden", "--recorder", "--agent"),
        *("--no-publish", "--no-subscribe", "--no-publish-data", "--allow-source", "camera"),
        *("--allow-source", "microphone", "--allow-update-metadata", "--subscribe-metrics"),
        *("--manage-agent-session", "--destination-room", "d", "-r", "r", "-i", "ann", "--kind", "agent"),
        *("--sip-admin", "--sip-call", "--agent-admin", "--inference", "--observability", "--metadata", "m"),
        *("--attribute", "a=1", "--attribute", "b=x=y", "--room-preset", "p", "--sha256", "h"),
        *("--room-configuration", '{"maxParticipants": 3}'),
    )
    assert read.video == VideoGrants(
        room_create=True,
        room_list=True,
        room_record=True,
        room_admin=True,
        room_join=True,
        room="r",
        ingress_admin=True,
        hidden=True,
        recorder=True,
        agent=True,
        destination_room="d",
        can_publish=False,
        can_subscribe=False,
        can_publish_data=False,
        can_publish_sources=("camera", "microphone"),
        can_update_own_metadata=True,
        can_subscribe_metrics=True,
        can_manage_agent_session=True,
    )
    assert read.sip == SipGrants(admin=True, call=True)
    assert read.agent == AgentGrants(admin=True)
    assert (read.inference_perform, read.observability_write) == (True, True)
    assert (read.kind, read.metadata, read.room_preset, read.sha256) == ("agent", "m", "p", "h")
    assert read.attributes == {"a": "1", "b": "x=y"}
    assert read.room_config == {"maxParticipants": 3}


def test_grants_as_json_and_attributes_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "attributes.json"
    path.write_text('{"a": "1", "b": 2}')
    read = claims("--grant", '{"roomJoin": true, "room": "r"}', "--attribute-file", str(path), "--attribute", "a=3")
    assert read.video == VideoGrants(room_join=True, room="r")
    assert read.attributes == {"a": "3", "b": "2"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--join", "--room", "r"), "--join needs --identity and --room"),
        (("--valid-for", "soon"), "--valid-for 'soon' should be a duration"),
        (("--kind", "robot"), "--kind 'robot' should be one of standard, "),
        (("--allow-source", "mic"), "--allow-source 'mic' should be one of camera, "),
        (("--attribute", "a"), "--attribute 'a' should be key=value"),
        (("--grant", "{"), "--grant is not JSON"),
        (("--grant", "[]"), "--grant should be a JSON object"),
        (("--grant", '{"roomJoin": 1}'), "invalid token, error: the claim video.roomJoin has the wrong type"),
    ],
)
def test_wrong_flags_are_explained(arguments: tuple[str, ...], message: str) -> None:
    assert refusal(*SIGN, *arguments).startswith(message)


def test_key_to_sign_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal("token", "create").startswith("no key to sign with")
    path = tmp_path / "livekit.yaml"
    path.write_text(f"keys: {{k: {SECRET}, l: {SECRET}}}")
    ring = KeyRing(mapping_source({"k": SECRET, "l": SECRET, "devkey": "secret"}))

    def key(*arguments: str) -> str:
        return verify(output("token", "create", *arguments), ring, time.time()).api_key

    assert key("--config", str(path)) == "k"
    assert key("--config", str(path), "--api-key", "l") == "l"
    assert key("--dev") == "devkey"
    monkeypatch.setenv("LIVEKIT_KEYS", f"l: {SECRET}")
    assert key() == "l"


def test_generated_keys_are_printed_as_the_reference_does() -> None:
    lines = output("generate-keys").splitlines()
    assert lines[0].startswith("API Key:")
    assert lines[1].startswith("API Secret:")
    assert len(lines[1].split()[-1]) == 43


def test_version() -> None:
    assert output("--version") == f"plenum {__version__}"


def test_ports() -> None:
    text = output("ports", "--config-body", "port: 1\nrtc: {udp_port: 2, tcp_port: 3}\nprometheus: {port: 4}")
    assert [line.split()[0] for line in text.splitlines()[1:]] == ["1/tcp", "2/udp", "3/tcp", "4/tcp"]
    text = output("ports", "--rtc.force_tcp", "--rtc.tcp_port=5")
    assert [line.split()[0] for line in text.splitlines()[1:]] == ["7880/tcp", "5/tcp"]


def test_every_scalar_key_is_a_flag() -> None:
    arguments = ["--rtc.tcp_port", "1", "--rtc.use_ice_lite", "--logging.json=false", "--room.auto_create", "false"]
    assert parse_key_flags(arguments) == {
        "rtc.tcp_port": "1",
        "rtc.use_ice_lite": "true",
        "logging.json": "false",
        "room.auto_create": "false",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rtc.tpc_port", "1"], "unknown argument '--rtc.tpc_port'; did you mean --rtc.tcp_port?"),
        (["--zzz"], "unknown argument '--zzz'; see --help"),
        (["livekit.yaml"], "unknown argument 'livekit.yaml'; see --help"),
        (["--rtc.tcp_port"], "--rtc.tcp_port needs a value"),
    ],
)
def test_unknown_flags_are_explained(arguments: list[str], message: str) -> None:
    with pytest.raises(StartupError) as refused:
        parse_key_flags(arguments)
    assert str(refused.value) == message


def test_an_error_is_one_line_and_code_2(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["plenum", "ports", "--config-body", "prot: [1]"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    shown = capfd.readouterr()
    assert shown.err == 'error: configuration: unknown key "prot"; did you mean "port"?\n'
    assert shown.out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("frobnicate",), "error: No such command 'frobnicate'; see --help\n"),
        (("serve", "--port", "x"), "error: Invalid value for '--port': "),
    ],
)
def test_a_wrong_command_line_is_one_plain_line(
    arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["plenum", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    shown = capfd.readouterr().err
    assert shown.startswith(message)
    assert shown.count("\n") == 1


def test_the_code_of_a_command_is_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["plenum", "health", "--bind", "127.0.0.1", "--port", str(_free_port())])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_loading_ends_silently(number: signal.Signals) -> None:
    """The import of the commands stands for all of the loading: the signal comes from inside of it."""
    program = (
        "import os, sys, plenum.cli\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == 'plenum.cli.main': os.kill(os.getpid(), {int(number)})\n"
        "sys.meta_path.insert(0, Finder())\n"
        "plenum.cli.main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert ended.returncode == -number
    assert ended.stderr == b""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.mark.parametrize(("host", "bind"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::1", "0.0.0.0")])
def test_health_asks_where_the_server_is(host: str, bind: str) -> None:
    def answer_once() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        server.settimeout(10)
        thread = threading.Thread(target=answer_once)
        thread.start()
        result = CliRunner().invoke(app, ["health", "--bind", bind, "--port", str(server.getsockname()[1])])
        thread.join()
    assert (result.exit_code, result.output) == (0, "OK\n")


def test_serve_takes_certificates_by_their_short_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Startup] = []

    def run(startup: Startup) -> int:
        started.append(startup)
        return 0

    monkeypatch.setattr("plenum.server.run", run)
    output("serve", "--dev", "--tls-cert", "c.pem", "--tls-key", "k.pem")
    (startup,) = started
    assert (startup.config.plenum.tls_cert, startup.config.plenum.tls_key) == ("c.pem", "k.pem")


def test_no_command_shows_the_help_and_no_error(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["plenum"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    shown = capfd.readouterr()
    assert "Usage: plenum" in shown.out + shown.err
    assert "error" not in shown.err


def test_health_of_a_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    result = CliRunner().invoke(app, ["health", "--port", str(port)])
    assert result.exit_code == 1
    assert result.output == f"error: no answer from 127.0.0.1:{port}: Connection refused\n"
