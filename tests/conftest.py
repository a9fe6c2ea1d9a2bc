"""What every kind of test has: hypothesis profiles, plain logs, and no blocking call inside an event loop.

Owns nothing else; fixtures for one kind of tests are with them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import structlog
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

# Deadlines are a real clock's; the machine may be busy.
settings.register_profile("fast", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("fast"), max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(scope="session", autouse=True)
def _blocking_calls_fail() -> Iterator[None]:
    """A blocking call made by our code while a loop runs raises `BlockingError`."""
    with blockbuster_ctx(scanned_modules=["auth", "sfu", "signaling", "plenum"]) as blocking:
        for function in blocking.functions.values():
            # A traceback is written with its source lines: a fault may cost that.
            function.can_block_in("linecache.py", {"checkcache", "updatecache", "getlines"})
        yield


@pytest.fixture(scope="session", autouse=True)
def _plain_logs() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["level", "event"]),
        ],
        cache_logger_on_first_use=False,
    )
