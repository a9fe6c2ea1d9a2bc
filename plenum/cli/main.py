"""The program's entry: the table of commands, `--version`, and how errors end it (one line, exit code 2).

Owns nothing else; each command is in its module.
"""

from __future__ import annotations

from typing import Annotated

import typer

from plenum import __version__
from plenum.cli import dev, health, keys, ports, serve, token
from plenum.cli.console import complain
from plenum.startup import StartupError

__all__ = ["app", "main"]

_INTERRUPTED = 130

app = typer.Typer(
    name="plenum",
    help="A self-hosted media server (SFU) that speaks the LiveKit protocol.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve", context_settings=serve.CONTEXT)(serve.serve)
app.command("dev", context_settings=serve.CONTEXT)(dev.dev)
app.command("generate-keys")(keys.generate_keys)
app.command("ports", context_settings=serve.CONTEXT)(ports.ports)
app.command("health", context_settings=serve.CONTEXT)(health.health)
app.add_typer(token.app, name="token")


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"plenum {__version__}")
        raise typer.Exit


@app.callback()
def plenum(
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """A self-hosted media server (SFU) that speaks the LiveKit protocol."""


def main() -> None:
    """Runs the program; what the operator can mend ends it with one line and code 2."""
    try:
        # Not standalone: typer would draw a frame around what is wrong.
        code = app(standalone_mode=False)
    except StartupError as error:
        complain(str(error))
        raise SystemExit(2) from None
    except typer.TyperException as error:
        if text := _plain(error):
            complain(f"{text}; see --help")
        raise SystemExit(2) from None
    except typer.Abort:
        raise SystemExit(_INTERRUPTED) from None
    if code:
        raise SystemExit(code)


def _plain(error: typer.TyperException) -> str:
    """Its sentence; empty when the help was shown instead."""
    format_message = getattr(error, "format_message", None)
    text = str(format_message() if format_message else error)
    return " ".join(text.split()).rstrip(".")
