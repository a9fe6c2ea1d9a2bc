"""The command line: `plenum serve | dev | token | generate-keys | ports | health`.

Owns the program's entry; each command has a module of its own. Never contains logic that a test could not call
without a terminal.
"""

from plenum.cli.main import main

__all__ = ["main"]
