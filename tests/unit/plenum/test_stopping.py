"""Which signals end the server for good, and which let its clients come back."""

from __future__ import annotations

import asyncio
import signal

import pytest

from plenum import server
from plenum.stopping import STOP_SIGNALS, StopRequest
from tests.sim.virtual_time import in_virtual_time

TERM, INT, QUIT = signal.SIGTERM, signal.SIGINT, signal.SIGQUIT


class Exits(list[int]):
    """Remembers instead of ending the test."""

    def __call__(self, status: int) -> None:
        self.append(status)


def verdict(*signals: signal.Signals, patience_s: float = 0.5) -> bool:
    """What is settled when these came in one go."""
    settled: list[bool] = []

    @in_virtual_time
    async def run() -> None:
        exits = Exits()
        stop = StopRequest(exits)
        for number in signals:
            stop.take(number)
        await stop.wait()
        settled.append(await stop.settle(patience_s))
        assert not exits

    run()
    return settled[0]


@pytest.mark.parametrize("patience_s", [0, 0.5])
def test_after_one_sigterm_clients_come_back(patience_s: float) -> None:
    assert verdict(TERM, patience_s=patience_s)


@pytest.mark.parametrize("patience_s", [0, 0.5])
@pytest.mark.parametrize("number", [INT, QUIT])
def test_who_presses_ctrl_c_means_the_end(number: signal.Signals, patience_s: float) -> None:
    assert not verdict(number, patience_s=patience_s)


@pytest.mark.parametrize("second", STOP_SIGNALS)
@pytest.mark.parametrize("first", STOP_SIGNALS)
def test_two_signals_are_the_end(first: signal.Signals, second: signal.Signals) -> None:
    assert not verdict(first, second)


@in_virtual_time
async def test_the_second_signal_has_a_moment_to_come() -> None:
    loop = asyncio.get_running_loop()
    for after_s, comes_back in ((0.4, False), (0.6, True)):
        exits = Exits()
        stop = StopRequest(exits)
        stop.take(TERM)
        late = loop.call_later(after_s, stop.take, TERM)
        begun_s = loop.time()
        assert await stop.settle(0.5) is comes_back
        assert loop.time() - begun_s == pytest.approx(0.5 if comes_back else after_s)
        late.cancel()
        assert not exits


@in_virtual_time
async def test_ctrl_c_does_not_wait() -> None:
    loop = asyncio.get_running_loop()
    stop = StopRequest(Exits())
    stop.take(INT)
    begun_s = loop.time()
    await stop.settle(0.5)
    assert loop.time() == begun_s


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_once_clients_were_told_one_more_ends_it_at_once(number: signal.Signals) -> None:
    @in_virtual_time
    async def run() -> None:
        exits = Exits()
        stop = StopRequest(exits)
        stop.take(TERM)
        assert await stop.settle(0.5)
        stop.take(number)
        assert exits == [1]

    run()


def test_a_stop_is_over_before_it_is_forced_however_long_each_step_takes() -> None:
    settled_s, rooms_s = server._SECOND_SIGNAL_S, server._ROOMS_DEADLINE_S
    connections_s = server._CONNECTIONS_DEADLINE_S + server._SCRAPES_DEADLINE_S
    # aiohttp waits twice: for a request to end, and for it to be cancelled.
    assert settled_s + rooms_s + 2 * connections_s <= server._STOP_DEADLINE_S - 0.1
    assert server._STOP_DEADLINE_S < 4, "the README's word"
