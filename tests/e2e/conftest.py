"""Fixtures of the end-to-end tests: one server per module, both join paths, one browser of each kind per run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.e2e.support.browser import Browser, launched
from tests.e2e.support.endpoint import Endpoint, JoinPath
from tests.e2e.support.server import Server, ServerSpec, started
from tests.e2e.support.turns import turn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run every scenario in the loop of the session: browsers and servers outlive single tests."""
    for item in items:
        if "tests/e2e" not in item.path.as_posix():
            continue
        item.add_marker(pytest.mark.e2e)
        if pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a test that measures time run alone; waiting for that is no part of the test's own time."""
    with turn(alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.fixture(params=list(JoinPath), ids=lambda path: path.value)
def path(request: pytest.FixtureRequest) -> JoinPath:
    """The join path; a test that asks for it runs on both."""
    chosen: JoinPath = request.param
    return chosen


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    """The module's server. A module that needs other settings defines `SERVER = ServerSpec(...)`."""
    spec = getattr(request.module, "SERVER", ServerSpec())
    async with started(spec) as running:
        yield running


@pytest.fixture
def endpoint(server: Server) -> Endpoint:
    """Where the module's server is; a failing test prints the end of that server's log."""
    return server.endpoint


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """Debian's Chromium, started once per run."""
    async with launched("chromium") as browser:
        yield browser
