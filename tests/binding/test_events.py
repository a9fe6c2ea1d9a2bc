"""The event fd and batches of events."""

from __future__ import annotations

import asyncio

from sfu import _engine
from tests.binding.conftest import EventFeed

_ROOM, _PARTICIPANT = 1, 2
_COUNT = 50


def _open_many(engine: _engine.Engine) -> None:
    """Asks for `_COUNT` offers."""
    engine.add_participant(
        _ROOM, _PARTICIPANT, sid="PA_1", identity="ann", can_publish_data=True, hidden=False, agent=False
    )
    for transport in range(_COUNT):
        engine.open_transport(_PARTICIPANT, 10 + transport, "subscriber")


async def test_events_come_in_order_and_the_fd_goes_quiet(engine: _engine.Engine, events: EventFeed) -> None:
    _open_many(engine)
    offers = [await events.wait_for(_engine.Offer) for _ in range(_COUNT)]
    assert sorted(offer.transport for offer in offers) == list(range(10, 10 + _COUNT))
    # Once drained, the fd is not readable: the loop must not spin on it.
    before = events.wakes
    for _ in range(5):
        await asyncio.sleep(0)
    assert events.wakes == before


async def test_a_small_drain_leaves_the_fd_readable(engine: _engine.Engine) -> None:
    feed = EventFeed(engine, limit=1)
    loop = asyncio.get_running_loop()
    loop.add_reader(engine.event_fd, feed.read)
    _open_many(engine)
    for _ in range(_COUNT):
        await feed.wait_for(_engine.Offer)
    assert feed.wakes >= _COUNT
    loop.remove_reader(engine.event_fd)


async def test_events_tell_what_they_are(engine: _engine.Engine, events: EventFeed) -> None:
    _open_many(engine)
    offer = await events.wait_for(_engine.Offer)
    assert repr(offer).startswith(f"Offer(transport={offer.transport}, request={offer.request}, ")
