"""`plenum ports`: what a firewall has to let in, for a given configuration.

Owns the table. Never binds anything.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from plenum.cli.console import out
from plenum.cli.serve import BodyOption, ConfigOption, read_flags
from plenum.startup import load_config

if TYPE_CHECKING:
    from sfu.config import Config

__all__ = ["port_rows", "ports"]


def ports(context: typer.Context, config: ConfigOption = None, config_body: BodyOption = "") -> None:
    """Show the ports that the server uses."""
    settings = load_config(read_flags(context, {}, config=config, config_body=config_body), os.environ)
    table = Table("Port", "For", "Open to", box=None, pad_edge=False)
    for row in port_rows(settings):
        table.add_row(*row)
    out.print(table)


def port_rows(config: Config) -> list[tuple[str, str, str]]:
    """`(port, use, who must reach it)`."""
    secure = "HTTPS, WSS" if config.plenum.tls_cert else "HTTP, WebSocket"
    rows = [(f"{config.port}/tcp", f"{secure}: signalling, API, page", "clients, or your TLS proxy")]
    if not config.rtc.force_tcp:
        rows.append((f"{config.rtc.udp_port[0]}/udp", "media", "clients"))
    if config.rtc.tcp_port:
        rows.append((f"{config.rtc.tcp_port}/tcp", "media, where UDP is blocked", "clients"))
    metrics_port = config.prometheus.port or config.prometheus_port
    if metrics_port:
        rows.append((f"{metrics_port}/tcp", "metrics", "your monitoring only"))
    return rows
