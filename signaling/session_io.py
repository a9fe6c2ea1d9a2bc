"""One client's WebSocket: its two directions, pings and liveness.

Owns the socket. A client that does not read is cut when its queue is full: it never makes anybody else wait. Never
interprets a message: frames come from the encoder and go to the session.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from aiohttp import WebSocketError, WSCloseCode, WSMsgType, web

from sfu.control.sinks import Outgoing
from sfu.room.enums import LeaveAction
from signaling.limits import Cap, TokenBucket
from signaling.send_queue import Ping, SendQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.room.messages import Leave
    from signaling.counters import SignalCounters
    from signaling.limits import SignalLimits
    from signaling.wire import WireEncoder

__all__ = ["CLOSE_TIMEOUT_S", "PING_INTERVAL_S", "SILENCE_S", "FrameTaker", "SessionIo"]

PING_INTERVAL_S = 10.0
"""From the last message or WebSocket ping to the next ping of ours: who speaks need not be asked, and an idle
participant is woken less often."""
SILENCE_S = 12.0
"""A client of which nothing at all arrives for so long is gone: every SDK pings each five seconds by itself, and
every WebSocket answers our pings."""
CLOSE_TIMEOUT_S = 1.0
"""For the client's side of the closing handshake."""
_FLUSH_TIMEOUT_S = 2.0
"""For what is still queued when we close."""

_COME_BACK = WSCloseCode.SERVICE_RESTART
"""Code 1000 is final for some clients; any other one makes them come back."""

_CONTROL = (WSMsgType.PING, WSMsgType.PONG)
_CONTROL_PER_S = 10.0
_OVER = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)


class FrameTaker(Protocol):
    """Who gets a client's frames."""

    def take_frame(self, frame: bytes | str) -> None:
        """Takes one frame; must neither raise nor wait."""


class SessionIo:
    """Implements `sfu.control.sinks.SignalSink` over an upgraded request."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        encoder: WireEncoder,
        limits: SignalLimits,
        counters: SignalCounters,
        transport: asyncio.BaseTransport | None,
    ) -> None:
        self._socket = socket
        self._encoder = encoder
        self._counters = counters
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._queue = SendQueue(limits.send_queue_bytes, limits.send_queue_frames)
        self._wake = asyncio.Event()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._control = TokenBucket(_CONTROL_PER_S, _CONTROL_PER_S * 10)
        self._text = False
        self._closed = False
        self._close_code = WSCloseCode.OK
        self._lost = False
        self._cut: Cap | None = None
        self._unread_bytes = 0
        self._heard_s = self._loop.time()
        """When anything came last."""
        self._spoke_s = self._heard_s
        """When its last message came; pings and pongs are none."""

    @property
    def closed(self) -> bool:
        """Whether the room ended the session by `close`."""
        return self._closed

    @property
    def cut_for(self) -> Cap | None:
        """The cap for which the connection was ended, if it was."""
        return self._cut

    @property
    def unread_bytes(self) -> int:
        """What a client that was cut as a slow reader had left unread."""
        return self._unread_bytes

    # ------------------------------------------------------------ SignalSink

    def send(self, outgoing: Outgoing) -> None:
        """See `SignalSink`."""
        if self._over:
            return
        if self._queue.put(self._encoder.frame(outgoing, text=self._text)):
            self._wake.set()
        else:
            self._unread_bytes = self._queue.billed_bytes
            self.cut(Cap.SLOW_READER)

    def close(self, leave: Leave | None) -> None:
        """See `SignalSink`."""
        if self._over:
            return
        if leave is not None:
            self.send(Outgoing(leave))
            if leave.action is not LeaveAction.DISCONNECT:
                self._close_code = _COME_BACK
        self._closed = True
        self._wake.set()
        self._later("flush", _FLUSH_TIMEOUT_S, self._abort)

    def drop(self) -> None:
        """See `SignalSink`."""
        if self._over:
            return
        self._closed = True
        self._close_code = _COME_BACK
        self._wake.set()
        self._later("flush", _FLUSH_TIMEOUT_S, self._abort)

    def cut(self, cap: Cap) -> None:
        """Ends the connection because a cap was exceeded."""
        if self._over:
            return
        self._cut = cap
        self._counters.capped[cap] += 1
        self._queue.clear()
        self._wake.set()
        if cap is Cap.SLOW_READER:
            self._abort()  # it would not read the reason either
        else:
            self._later("flush", _FLUSH_TIMEOUT_S, self._abort)

    # ------------------------------------------------------------ the two directions

    async def run(self, taker: FrameTaker) -> None:
        """Reads and writes until the connection is over, whoever ended it."""
        self._heard_s = self._spoke_s = self._loop.time()
        self._later("ping", PING_INTERVAL_S, self._ping)
        self._later("silence", SILENCE_S, self._check_silence)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._write())
                await self._read(taker)
                self._lost = True
                self._wake.set()
        finally:
            for timer in self._timers.values():
                timer.cancel()

    @property
    def _over(self) -> bool:
        return self._closed or self._lost or self._cut is not None

    def _put_ping(self, answers: bytes | None) -> None:
        # At most one waits: to answer the newest ping is enough (RFC 6455 §5.5.3).
        if not self._queue.has_ping:
            self._queue.put_ping(Ping(answers))
            self._wake.set()

    async def _read(self, taker: FrameTaker) -> None:
        while True:
            message = await self._socket.receive()
            self._heard_s = self._loop.time()
            if message.type in _OVER:
                if isinstance(message.data, WebSocketError) and message.data.code == WSCloseCode.MESSAGE_TOO_BIG:
                    self.cut(Cap.FRAME_SIZE)
                return
            if message.type in _CONTROL and not self._control.take(1, self._heard_s):
                self.cut(Cap.MESSAGES)
            elif message.type is WSMsgType.PING:
                self._put_ping(message.data)
            elif message.type in {WSMsgType.BINARY, WSMsgType.TEXT} and not self._over:
                self._spoke_s = self._heard_s
                self._counters.frames_in += 1
                self._text = message.type is WSMsgType.TEXT
                taker.take_frame(message.data)

    async def _write(self) -> None:
        try:
            while True:
                while (taken := self._queue.take()) is not None:
                    await self._write_one(taken[0])
                    self._queue.leave(taken[1])
                if self._over:
                    break
                self._wake.clear()
                await self._wake.wait()
            if not self._lost:
                await self._close_socket()
        except (ConnectionError, RuntimeError):
            # The socket is gone; the reader sees it too and ends the session.
            self._abort()

    async def _write_one(self, item: bytes | str | Ping) -> None:
        if isinstance(item, Ping):
            await (self._socket.ping() if item.answers is None else self._socket.pong(item.answers))
            return
        if isinstance(item, str):
            await self._socket.send_str(item)
        else:
            await self._socket.send_bytes(item)
        self._counters.frames_out += 1

    async def _close_socket(self) -> None:
        if self._cut is None:
            await self._socket.close(code=self._close_code)
        elif self._cut is not Cap.SLOW_READER:
            await self._socket.close(code=WSCloseCode.POLICY_VIOLATION, message=f"limit: {self._cut.value}".encode())

    # ------------------------------------------------------------ liveness

    def _later(self, name: str, delay_s: float, callback: Callable[[], None]) -> None:
        self._timers[name] = self._loop.call_later(delay_s, callback)

    def _ping(self) -> None:
        remaining_s = self._spoke_s + PING_INTERVAL_S - self._loop.time()
        if remaining_s <= 0:
            remaining_s = PING_INTERVAL_S
            self._put_ping(None)
        self._later("ping", remaining_s, self._ping)

    def _check_silence(self) -> None:
        remaining_s = self._heard_s + SILENCE_S - self._loop.time()
        if remaining_s > 0:
            self._later("silence", remaining_s, self._check_silence)
        else:
            self._counters.vanished += 1
            self._abort()

    def _abort(self) -> None:
        # By name, not by type: uvloop's transports are not asyncio's.
        abort = getattr(self._transport, "abort", None)
        if abort is not None:
            abort()
