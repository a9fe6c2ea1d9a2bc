"""What is heard and seen: content, not counters."""

from __future__ import annotations

from tests.e2e.support.browser import Browser
from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.media import assert_bars, assert_tone, publish_bars, publish_tone, see
from tests.e2e.support.sdk_client import sdk


async def test_two_browsers_see_and_hear_each_other(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    room = unique("two")
    async with (
        chromium.client(endpoint, "alice", room, path) as alice,
        chromium.client(endpoint, "bob", room, path) as bob,
    ):
        await alice.publish_tone(440)
        await alice.publish_bars()
        await bob.publish_tone(660)
        await bob.publish_bars()
        await bob.hear("alice", 440)
        await alice.hear("bob", 660)
        for seen in (await bob.see("alice"), await alice.see("bob")):
            assert_bars(seen["bars"])
            assert seen["moved"]


async def test_browser_and_sdk_see_and_hear_each_other(endpoint: Endpoint, path: JoinPath, chromium: Browser) -> None:
    room = unique("mix")
    async with chromium.client(endpoint, "web", room, path) as web, sdk(endpoint, "py", room, path) as py:
        await web.publish_tone(440)
        await web.publish_bars()
        async with publish_tone(py.room, 550), publish_bars(py.room):
            await assert_tone(await py.subscribed("web", 2), 440)
            await web.hear("py", 550)
            picture = await see(await py.subscribed("web", 1))
            assert picture.moved
            assert_bars(picture.bars)
            seen = await web.see("py")
            assert seen["moved"]
            assert_bars(seen["bars"])
