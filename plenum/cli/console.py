"""What the commands print: one look for errors, panels and tables.

Owns the two consoles. Never prints a secret that was not made for being shown.
"""

from __future__ import annotations

from rich.console import Console

__all__ = ["complain", "errors", "out"]

out = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def complain(text: str) -> None:
    """One line about what is wrong, on standard error."""
    errors.print("[bold red]error:[/]", end=" ")
    errors.print(text, markup=False)
