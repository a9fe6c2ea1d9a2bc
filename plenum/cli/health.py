"""`plenum health`: asks a running server whether it takes sessions; for containers and scripts.

Owns the question and its exit code. Never starts anything.
"""

from __future__ import annotations

import http.client
import os
import ssl
from typing import TYPE_CHECKING

import typer

from plenum.cli.console import complain
from plenum.cli.serve import BindOption, BodyOption, ConfigOption, PortOption, read_flags
from plenum.startup import load_config
from sfu.addresses import host_port

if TYPE_CHECKING:
    from sfu.config import Config

__all__ = ["ask", "health"]

_TIMEOUT_S = 2.0
_OK = 200
_EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound


def health(
    context: typer.Context,
    config: ConfigOption = None,
    config_body: BodyOption = "",
    bind: BindOption = None,
    port: PortOption = None,
) -> None:
    """Ask the server on this machine whether it is well; code 0 if so, else 1."""
    flags = read_flags(context, {"port": port}, config=config, config_body=config_body, bind=bind)
    verdict = ask(load_config(flags, os.environ))
    if verdict is not None:
        complain(verdict)
        raise typer.Exit(1)
    typer.echo("OK")


def ask(config: Config) -> str | None:
    """What is wrong with the server that runs with `config`; `None` when nothing is."""
    address = config.bind_addresses[0] if config.bind_addresses else ""
    # A server may have only one of the two loopback addresses: where the first does not answer, the second is asked.
    hosts = ("127.0.0.1", "::1") if address in (*_EVERYWHERE, "localhost") else (address,)
    silent: list[str] = []
    for host in hosts:
        try:
            return _verdict(host, config)
        except (OSError, http.client.HTTPException) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
            silent.append(f"no answer from {host_port(host, config.port)}: {reason}")
    return silent[0]


def _verdict(host: str, config: Config) -> str | None:
    connection: http.client.HTTPConnection
    if config.plenum.tls_cert:
        # Our own server on our own machine: its certificate is for another name.
        connection = http.client.HTTPSConnection(host, config.port, timeout=_TIMEOUT_S, context=_unchecked())
    else:
        connection = http.client.HTTPConnection(host, config.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        body = response.read(100).decode(errors="replace").strip()
    finally:
        connection.close()
    return None if response.status == _OK else f"{response.status} {body}"


def _unchecked() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
