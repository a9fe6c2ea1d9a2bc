"""`plenum generate-keys`: a new API key and its secret.

Owns the form, which is the reference's.
"""

from __future__ import annotations

import typer

from auth.keys import generate_key_pair

__all__ = ["generate_keys"]


def generate_keys() -> None:
    """Make a new API key and secret."""
    key, secret = generate_key_pair()
    typer.echo(f"API Key:     {key}\nAPI Secret:  {secret}")
