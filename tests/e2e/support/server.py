"""One media server as a child process: its configuration, its life, its log.

Owns ports, the configuration file, start, stop and the look into the log. Never talks the wire protocol. By default the
program is this project's own `plenum serve`; `PLENUM_E2E_SERVER` names another one that speaks the same protocol (its
arguments, to which `--config FILE` is added), which is how the tests themselves are tested.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import shlex
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.e2e.support.endpoint import Endpoint

__all__ = ["API_KEY", "API_SECRET", "OWN", "Server", "ServerSpec", "free_port", "started"]

API_KEY = "e2e-key"
API_SECRET = "e2e-secret-of-at-least-thirty-two-characters"

OWN = "PLENUM_E2E_SERVER" not in os.environ
"""True when the server under test is ours (some configuration keys exist only there)."""

_TROUBLE = re.compile(r"Traceback \(most recent call last\)|panicked at|panic: |Task exception was never retrieved")


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM, host: str = "127.0.0.1") -> int:
    """A port nobody uses now. Below the range of outgoing connections, or one of these takes it."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket(socket.AF_INET, kind) as probe, contextlib.suppress(OSError):
            probe.bind((host, port))
            return port


def _program() -> list[str]:
    foreign = os.environ.get("PLENUM_E2E_SERVER")
    if foreign:
        return shlex.split(foreign)
    beside = Path(sys.executable).with_name("plenum")
    return [str(beside), "serve"]


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return merged


@dataclass(frozen=True)
class ServerSpec:
    """How to start one: configuration on top of the defaults, extra arguments, environment, a command to run it by."""

    config: Mapping[str, Any] = field(default_factory=dict)
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    enter_command: Sequence[str] = ()
    host: str = "127.0.0.1"
    without_keys: bool = False
    program: Sequence[str] = ()
    """Another program than the one under test, and its first arguments."""


class Server:
    """A running server; `endpoint` says where, `log()` what it printed."""

    def __init__(self, spec: ServerSpec, folder: Path) -> None:
        self.spec = spec
        self.endpoint = Endpoint(spec.host, free_port(), API_KEY, API_SECRET)
        self.udp_port = free_port(socket.SOCK_DGRAM)
        self.tcp_port = free_port()
        self._config_path = folder / f"server-{self.endpoint.port}.yaml"
        self._log_path = folder / f"server-{self.endpoint.port}.log"
        self._child: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The process id of the server."""
        assert self._child is not None, "not started"
        return self._child.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs."""
        return self._child.returncode if self._child else None

    def config(self) -> dict[str, Any]:
        """The whole configuration, LiveKit's keys."""
        base: dict[str, Any] = {
            "port": self.endpoint.port,
            "bind_addresses": [self.spec.host],
            "rtc": {"udp_port": self.udp_port, "tcp_port": self.tcp_port, "node_ip": self.spec.host},
            "logging": {"level": "info"},
        }
        if self.spec.host.startswith("127."):
            base["rtc"] |= {"enable_loopback_candidate": True, "interfaces": {"includes": ["lo"]}}
        if not self.spec.without_keys:
            base["keys"] = {API_KEY: API_SECRET}
        return _merge(base, self.spec.config)

    async def start(self, *, timeout_s: float = 60.0) -> None:
        """Start and wait until the health check answers."""
        self._config_path.write_text(yaml.safe_dump(self.config()))
        command = [
            *self.spec.enter_command,
            *(self.spec.program or _program()),
            "--config",
            str(self._config_path),
            *self.spec.arguments,
        ]
        with self._log_path.open("ab") as log:
            self._child = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | self.spec.environment,
            )
        deadline = time.monotonic() + timeout_s
        async with aiohttp.ClientSession() as http:
            while not await self._healthy(http):
                if self.exit_status is not None or time.monotonic() > deadline:
                    raise AssertionError(
                        f"server did not come up (exit status {self.exit_status})\n{self.log()[-4000:]}"
                    )
                await asyncio.sleep(0.05)

    async def _healthy(self, http: aiohttp.ClientSession) -> bool:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with http.get(self.endpoint.http_url, timeout=aiohttp.ClientTimeout(total=2)) as answer:
                return answer.status == 200
        return False

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        assert self._child is not None, "not started"
        self._child.send_signal(number)

    async def wait(self, *, timeout_s: float) -> int:
        """Wait for the process to end by itself; its exit status."""
        assert self._child is not None, "not started"
        return await asyncio.wait_for(self._child.wait(), timeout_s)

    async def stop(self) -> None:
        """End it, with force when it does not go by itself; nothing happens when it is gone already."""
        if self._child is None or self._child.returncode is not None:
            return
        self._child.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._child.wait(), 6 if OWN else 0.2)
        except TimeoutError:
            self._child.kill()
            await self._child.wait()

    def log(self) -> str:
        """All it printed so far."""
        return self._log_path.read_text(errors="replace") if self._log_path.exists() else ""

    def trouble(self) -> list[str]:
        """Log lines that no input whatsoever may cause: tracebacks and panics, each with what follows."""
        log = self.log()
        return [log[m.start() : m.start() + 2000] for m in _TROUBLE.finditer(log)]

    def memory_bytes(self) -> int:
        """Resident memory of the process."""
        fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.asynccontextmanager
async def started(spec: ServerSpec | None = None) -> AsyncIterator[Server]:
    """A server for the time of the block. Its log is printed when the block fails; trouble in it fails the block."""
    with tempfile.TemporaryDirectory(prefix="plenum-e2e-") as folder:
        server = Server(spec or ServerSpec(), Path(folder))
        try:
            await server.start()
            yield server
        except BaseException:
            sys.stderr.write(f"\n--- server log ---\n{server.log()[-8000:]}\n")
            raise
        finally:
            await server.stop()
        assert not server.trouble(), f"the server log has {server.trouble()[0]}"
