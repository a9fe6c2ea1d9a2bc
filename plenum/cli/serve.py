"""`plenum serve`: runs the server as configured.

Owns the flags, which are the reference's. Never decides what they mean: `plenum.startup` does.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from plenum.cli.flags import parse_key_flags
from plenum.startup import Flags, prepare

__all__ = ["CONTEXT", "read_flags", "serve"]

# Every scalar key of the configuration is a flag as well; see `plenum.cli.flags`.
CONTEXT: dict[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True}

# Not `readable`: typer would refuse in a frame of its own; whoever reads the file says it in one line.
ConfigOption = Annotated[Path | None, typer.Option("--config", readable=False, help="Configuration file.")]
BodyOption = Annotated[str, typer.Option("--config-body", help="Configuration itself; or LIVEKIT_CONFIG.")]
KeysOption = Annotated[str, typer.Option("--keys", help="API keys, 'key: secret' a line; or LIVEKIT_KEYS.")]
KeyFileOption = Annotated[str, typer.Option("--key-file", help="File of 'key: secret' lines, mode 600.")]
BindOption = Annotated[list[str] | None, typer.Option("--bind", help="Address to listen on; repeat for several.")]
PortOption = Annotated[int | None, typer.Option("--port", help="HTTP port; 7880 if not given.")]
NodeIpOption = Annotated[str, typer.Option("--node-ip", envvar="NODE_IP", help="Public address told to clients.")]
UdpOption = Annotated[str, typer.Option("--udp-port", envvar="UDP_PORT", help="UDP port for media; 7882 if not given.")]
RegionOption = Annotated[str, typer.Option("--region", envvar="LIVEKIT_REGION", help="Name of this node's region.")]
CertOption = Annotated[str, typer.Option("--tls-cert", help="Certificate (PEM); browsers elsewhere need HTTPS.")]
TlsKeyOption = Annotated[str, typer.Option("--tls-key", help="Its key.")]
DevOption = Annotated[bool, typer.Option("--dev", help="Dev mode: devkey/secret on this machine. Never in public.")]


def serve(
    context: typer.Context,
    config: ConfigOption = None,
    config_body: BodyOption = "",
    keys: KeysOption = "",
    key_file: KeyFileOption = "",
    bind: BindOption = None,
    port: PortOption = None,
    node_ip: NodeIpOption = "",
    udp_port: UdpOption = "",
    region: RegionOption = "",
    tls_cert: CertOption = "",
    tls_key: TlsKeyOption = "",
    redis_host: Annotated[str, typer.Option(envvar="REDIS_HOST", hidden=True)] = "",
    redis_password: Annotated[str, typer.Option(envvar="REDIS_PASSWORD", hidden=True)] = "",
    turn_cert: Annotated[str, typer.Option(envvar="LIVEKIT_TURN_CERT", hidden=True)] = "",
    turn_key: Annotated[str, typer.Option(envvar="LIVEKIT_TURN_KEY", hidden=True)] = "",
    lenient: Annotated[bool, typer.Option("--disable-strict-config", hidden=True)] = False,
    dev: DevOption = False,
) -> None:
    """Run the server. Every key of the configuration is a flag too, such as --rtc.tcp_port 7881."""
    # Imported here: `plenum token` and the like start without loading the engine.
    from plenum.server import run

    named = {
        "key_file": key_file,
        "port": port,
        "rtc.node_ip": node_ip,
        "rtc.udp_port": udp_port,
        "region": region,
        "plenum.tls_cert": tls_cert,
        "plenum.tls_key": tls_key,
        "redis.address": redis_host,
        "redis.password": redis_password,
        "turn.cert_file": turn_cert,
        "turn.key_file": turn_key,
    }
    given = {"config": config, "config_body": config_body, "keys": keys, "dev": dev, "strict": not lenient}
    raise typer.Exit(run(prepare(read_flags(context, named, bind=bind, **given), os.environ)))


def read_flags(context: typer.Context, named: dict[str, Any], *, bind: list[str] | None = None, **rest: Any) -> Flags:
    """`Flags` of a command: its named flags (dotted key -> value, empty: not given) and the undeclared ones."""
    given = {path: value for path, value in named.items() if value not in ("", None)}
    return Flags(bind=tuple(bind or ()), values={**parse_key_flags(context.args), **given}, **rest)
