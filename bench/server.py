"""The server under test: one of ours, started with its own configuration on free ports, or another one that runs."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Server", "ServerError", "start_server"]

_START_TIMEOUT_S = 30.0
_KEY, _SECRET = "bench", "a-secret-of-the-benchmark-long-enough"

_CONFIG = """\
port: {http}
bind_addresses: ["127.0.0.1"]
rtc:
  udp_port: {udp}
  tcp_port: {tcp}
  enable_loopback_candidate: true
  congestion_control:
    use_send_side_bwe: {estimates}
  ips:
    includes: ["127.0.0.1/32"]
keys:
  {key}: {secret}
logging:
  level: warn
"""


class ServerError(Exception):
    """The server did not start; the text is the end of its log."""


@dataclass(frozen=True)
class Server:
    """Where it is and who it is."""

    url: str
    pid: int
    key: str
    secret: str

    def load_arguments(self) -> list[str]:
        """Arguments by which the load client finds it."""
        return ["--url", self.url, "--key", self.key, "--secret", self.secret]


@contextlib.asynccontextmanager
async def start_server(*, estimates: bool = False) -> AsyncIterator[Server]:
    """Starts `plenum serve`, with send-side estimation or without, and ends it.

    Raises:
        ServerError: It ended or did not answer in time.
    """
    with tempfile.TemporaryDirectory(prefix="plenum-bench-") as directory:
        http, udp, tcp = _free_ports(3)
        config, log = Path(directory) / "bench.yaml", Path(directory) / "server.log"
        config.write_text(
            _CONFIG.format(http=http, udp=udp, tcp=tcp, key=_KEY, secret=_SECRET, estimates=str(estimates).lower())
        )
        program = Path(sys.executable).parent / "plenum"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                program, "serve", "--config", str(config), stdout=output, stderr=asyncio.subprocess.STDOUT
            )
        try:
            await _wait_until_it_answers(process, http, log)
            yield Server(f"ws://127.0.0.1:{http}", process.pid, _KEY, _SECRET)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _wait_until_it_answers(process: asyncio.subprocess.Process, port: int, log: Path) -> None:
    try:
        async with asyncio.timeout(_START_TIMEOUT_S), aiohttp.ClientSession() as session:
            while process.returncode is None:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"http://127.0.0.1:{port}/") as response:
                        if response.status == 200:
                            return
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise ServerError(f"no answer after {_START_TIMEOUT_S:.0f} s: {_tail(log)}") from None
    raise ServerError(_tail(log))


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:].strip()


def _free_ports(count: int) -> list[int]:
    """Ports that nobody uses right now, all different, for UDP and TCP alike."""
    with contextlib.ExitStack() as stack:
        ports: list[int] = []
        while len(ports) < count:
            tcp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            tcp.bind(("127.0.0.1", 0))
            port = tcp.getsockname()[1]
            with contextlib.suppress(OSError):
                udp.bind(("127.0.0.1", port))
                ports.append(port)
        return ports
