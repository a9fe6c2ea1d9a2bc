"""Tests in several processes: most run beside each other, those that measure time run alone.

Owns the lock that the processes of one run share; which test is marked `alone` is the test's own affair.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["WORKER_NUMBER", "turn"]

# pytest-xdist names its processes gw0, gw1 …
WORKER_NUMBER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


@contextlib.contextmanager
def turn(*, alone: bool) -> Iterator[None]:
    """Wait until this test may run: beside others, or with no other beside it.

    Whoever waits to be alone holds the door: nobody else goes in before.
    """
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is None:
        yield
        return
    folder = Path(tempfile.gettempdir())
    with (folder / f"plenum-{run}.door").open("w") as door, (folder / f"plenum-{run}.room").open("w") as room:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield
