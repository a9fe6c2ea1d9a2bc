"""An actor's inbox."""

from __future__ import annotations

import asyncio

from sfu.control.inbox import Inbox


def test_order_and_bound() -> None:
    inbox: Inbox[int] = Inbox(2)
    assert [inbox.put(1), inbox.put(2), inbox.put(3)] == [True, True, False]
    inbox.put_always(4)
    assert len(inbox) == 3
    assert [inbox.pop() for _ in range(4)] == [1, 2, 4, None]


async def test_waiting_ends_with_an_item_a_wake_or_the_deadline() -> None:
    inbox: Inbox[int] = Inbox(2)
    for act in (lambda: inbox.put(1), inbox.wake):
        waiting = asyncio.ensure_future(inbox.wait(None))
        await asyncio.sleep(0)
        assert not waiting.done()
        act()
        await waiting
        inbox.pop()
    await inbox.wait(0.0)


async def test_an_item_that_is_there_needs_no_waiting() -> None:
    inbox: Inbox[int] = Inbox(2)
    inbox.put(1)
    await inbox.wait(None)
