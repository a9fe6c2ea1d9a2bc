"""The command line: `plenum serve | dev | token | generate-keys | ports | health`.

Owns the program's entry; each command has a module of its own. Never contains logic that a test could not call
without a terminal.
"""

from __future__ import annotations

import signal

__all__ = ["main"]


def main() -> None:
    """The entry: a signal while the program still loads ends it silently (130 or 143), not with a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Imported here: loading takes longest of all that happens before the server watches for signals itself.
    from plenum.cli.main import main as run

    run()
