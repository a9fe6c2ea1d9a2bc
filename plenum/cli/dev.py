"""`plenum dev`: a server to try things with, on this machine, without any configuration.

Owns its flags. Never meant for the public: the key of dev mode is known to everybody.
"""

from __future__ import annotations

import os

import typer

from plenum.cli.serve import BindOption, CertOption, ConfigOption, PortOption, TlsKeyOption, read_flags
from plenum.startup import prepare

__all__ = ["dev"]


def dev(
    context: typer.Context,
    bind: BindOption = None,
    port: PortOption = None,
    tls_cert: CertOption = "",
    tls_key: TlsKeyOption = "",
    config: ConfigOption = None,
) -> None:
    """Try it: devkey/secret on 127.0.0.1 and [::1]; with --bind elsewhere a random key is made and shown."""
    from plenum.server import run

    named = {"port": port, "plenum.tls_cert": tls_cert, "plenum.tls_key": tls_key}
    flags = read_flags(context, named, config=config, bind=bind, dev=True)
    raise typer.Exit(run(prepare(flags, os.environ)))
