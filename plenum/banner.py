"""What the operator sees when the server is up: address, join link, keys of dev mode, ports.

Owns the text. Never starts anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from plenum import __version__
from plenum.startup import DEV_KEY, DEV_SECRET
from sfu.addresses import host_port

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from plenum.startup import Startup

__all__ = ["Endpoints", "banner"]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What was bound."""

    http: tuple[tuple[str, int], ...]
    """`(address, port)`; the address is empty for all of the machine."""
    udp: tuple[str, ...]
    """`ip:port`, the same port on each."""
    tcp: tuple[str, ...]
    metrics_port: int | None
    secure: bool
    lan: tuple[str, ...]
    """This machine's addresses outside loopback, for a link that others can follow."""


def banner(startup: Startup, endpoints: Endpoints) -> RenderableType:
    """The panel of dev mode."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    address = base_url(endpoints)
    rows.add_row("Open", Text(f"{address}/?room=demo", style=f"bold cyan link {address}/?room=demo"))
    rows.add_row("SDKs", address.replace("http", "ws", 1))
    key, secret = startup.generated or (DEV_KEY, DEV_SECRET)
    if startup.generated or startup.keys.secret(DEV_KEY) == DEV_SECRET:
        rows.add_row("API key", key)
        rows.add_row("API secret", secret)
    rows.add_row("Ports", _ports(endpoints))
    if not startup.on_loopback_only:
        rows.add_row("Note", _notes(startup, endpoints))
    rows.add_row("Stop", "Ctrl+C")
    title = f"[bold]Plenum {__version__}[/] – dev mode, not for the public"
    return Panel.fit(rows, title=title, border_style="cyan", padding=(1, 2))


def base_url(endpoints: Endpoints) -> str:
    """The address to open, as `http://host:port`; one that others can reach where there is one."""
    address, port = _reachable(endpoints.http, endpoints.lan)
    return f"{'https' if endpoints.secure else 'http'}://{host_port(address, port)}"


def _reachable(bound: Sequence[tuple[str, int]], lan: Sequence[str]) -> tuple[str, int]:
    address, port = bound[0]
    if address in ("", "0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        return (lan[0] if lan else "127.0.0.1"), port
    return address, port


def _ports(endpoints: Endpoints) -> str:
    parts = [f"{endpoints.http[0][1]}/tcp web"]
    if endpoints.udp:
        parts.append(f"{_port(endpoints.udp)}/udp media")
    if endpoints.tcp:
        parts.append(f"{_port(endpoints.tcp)}/tcp media")
    if endpoints.metrics_port is not None:
        parts.append(f"{endpoints.metrics_port}/tcp metrics")
    return ", ".join(parts)


def _notes(startup: Startup, endpoints: Endpoints) -> Text:
    note = Text()
    if startup.open_to_others:
        note.append("REACHABLE FROM OTHER MACHINES: whoever opens the page may join", style="bold yellow")
    if not endpoints.secure:
        note.append("\n" if note else "")
        note.append("browsers on other machines give camera and microphone to HTTPS only: --tls-cert, --tls-key")
    return note


def _port(addresses: Sequence[str]) -> str:
    return addresses[0].rpartition(":")[2]
