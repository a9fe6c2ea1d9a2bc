"""Connection quality: what clients show of each other's lines while these get worse and better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import pytest_asyncio
from livekit.rtc import ConnectionQuality

from tests.e2e.support.browser import Browser, launched
from tests.e2e.support.endpoint import JoinPath, unique
from tests.e2e.support.media import publish_tone
from tests.e2e.support.netns import Namespace, namespace
from tests.e2e.support.sdk_client import sdk
from tests.e2e.support.server import OWN, Server, ServerSpec, started

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.netns

_WINDOW: dict[str, Any] = {"plenum": {"connection_quality_interval": "1s"}} if OWN else {}
_PATIENCE_S = 60
"""Some windows of the default length, on a slow machine."""
_NAMES = {
    "excellent": ConnectionQuality.QUALITY_EXCELLENT,
    "good": ConnectionQuality.QUALITY_GOOD,
    "poor": ConnectionQuality.QUALITY_POOR,
    "lost": ConnectionQuality.QUALITY_LOST,
}


def _shows(identity: str, quality: str) -> Callable[[Any, Any], bool]:
    return lambda participant, now: participant.identity == identity and now == _NAMES[quality]


class Abroad(NamedTuple):
    """A browser in a namespace of its own, and the server outside of it."""

    cell: Namespace
    server: Server
    browser: Browser


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def abroad() -> AsyncIterator[Abroad]:
    with namespace() as cell:
        async with (
            started(ServerSpec(host=cell.here, config=_WINDOW)) as server,
            launched("chromium", enter_command=cell.enter_command) as browser,
        ):
            yield Abroad(cell, server, browser)


async def test_quality_falls_with_the_line_and_comes_back(abroad: Abroad, path: JoinPath) -> None:
    """ADA12: excellent, under some loss good, under more poor, without UDP lost, excellent again; both are told."""
    room, endpoint = unique("quality"), abroad.server.endpoint
    async with (
        abroad.browser.client(endpoint, "web", room, path) as web,
        sdk(endpoint, "py", room, path) as py,
        publish_tone(py.room, 660),
    ):
        await web.publish_tone(440)
        await py.subscribed("web")

        async def both_show(quality: str, since: tuple[int, int]) -> tuple[int, int]:
            await py.journal.wait(
                "connection_quality_changed", _shows("web", quality), since=since[1], timeout_s=_PATIENCE_S
            )
            await web.journal.wait(
                "connectionQualityChanged",
                lambda now, who: (now, who["identity"]) == (quality, "web"),
                since=since[0],
                timeout_s=_PATIENCE_S,
            )
            return web.journal.mark(), py.journal.mark()

        marks = await both_show("excellent", (0, 0))
        abroad.cell.lose(10)
        marks = await both_show("good", marks)
        abroad.cell.lose(40)
        marks = await both_show("poor", marks)
        async with sdk(endpoint, "late", room, path) as late:
            await late.journal.wait("connection_quality_changed", _shows("web", "poor"), timeout_s=_PATIENCE_S)
        abroad.cell.block_udp()
        marks = await both_show("lost", marks)
        abroad.cell.open()
        await both_show("excellent", marks)
        own = py.journal.seen("connection_quality_changed", lambda who, _: who.identity == "py")
        assert [entry.args[1] for entry in own] == [_NAMES["excellent"]], "its own line was good all the time"
