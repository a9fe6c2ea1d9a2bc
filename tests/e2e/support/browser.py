"""Participants in real browsers: npm `livekit-client` in Chromium or Firefox, one browser per run, one page per client.

Owns the Node driver process (`js/driver.mjs`) and the exchange of JSON lines with it. A test sends the body of an async
JavaScript function; room events come back into the client's journal, as plain data under livekit-client's event names.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.e2e.support.journal import Journal, eventually
from tests.e2e.support.media import recorded_hz

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from tests.e2e.support.endpoint import Endpoint, JoinPath

__all__ = ["Browser", "BrowserClient", "PageError", "launched", "stalls"]

FIREFOX_HZ = 440
"""The pitch of Firefox's fake microphone, set in `driver.mjs`."""

_SAME_STALL_MS = 250
"""Pages that were not run at times so near to each other waited for the same thing."""

_JS = Path(__file__).parent.parent / "js"


class PageError(Exception):
    """The page's JavaScript threw; the text is its message."""


class Browser:
    """A running browser with its driver."""

    def __init__(self, kind: str, enter_command: Sequence[str] = (), switches: Sequence[str] = ()) -> None:
        self.kind = kind
        self._switches = switches
        self.version = ""
        self._wrapper = enter_command
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._journals: dict[str, Journal] = {}
        self._child: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The process id of the driver, whose children are the browser's processes."""
        assert self._child is not None, "not started"
        return self._child.pid

    async def start(self) -> None:
        """Start the driver and its browser; AssertionError with what it printed when it does not come up."""
        assert (_JS / "node_modules").is_dir(), f"run `npm ci` in {_JS.relative_to(_JS.parents[2])} first"
        self._child = await asyncio.create_subprocess_exec(
            *self._wrapper,
            "node",
            str(_JS / "driver.mjs"),
            self.kind,
            *self._switches,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**24,
        )
        assert self._child.stdout is not None
        first = await asyncio.wait_for(self._child.stdout.readline(), 60)
        assert first, f"the driver of {self.kind} ended at once; its message is above"
        self.version = json.loads(first)["ready"]
        self._reader = asyncio.create_task(self._read(self._child.stdout))

    async def _read(self, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            message = json.loads(line)
            if "event" in message:
                journal = self._journals.get(message["page"])
                if journal is not None:
                    journal.record(message["event"], *message["args"])
                continue
            answer = self._answers.pop(message["id"], None)
            if answer is None or answer.done():
                continue
            if "error" in message:
                answer.set_exception(PageError(message["error"]))
            else:
                answer.set_result(message["value"])

    async def ask(self, verb: str, *, timeout_s: float = 30.0, **fields: Any) -> Any:
        """Give the driver a command and wait for its answer."""
        assert self._child is not None, "not started"
        assert self._child.stdin is not None
        number = next(self._ids)
        answer = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        self._child.stdin.write(json.dumps({"id": number, "do": verb, **fields}).encode() + b"\n")
        await self._child.stdin.drain()
        try:
            return await asyncio.wait_for(answer, timeout_s)
        except TimeoutError:
            raise AssertionError(f"{self.kind}: no answer to {verb} within {timeout_s} s: {fields}") from None

    @contextlib.asynccontextmanager
    async def page(self, who: str) -> AsyncIterator[BrowserClient]:
        """A fresh page, not yet in a room."""
        name = f"{who}-{next(self._ids)}"
        client = BrowserClient(self, name, who)
        with self.listening(name, client.journal):
            await self.ask("open", page=name)
            try:
                yield client
            finally:
                with contextlib.suppress(PageError, AssertionError):
                    await client.run("if (e2e.room) await e2e.room.disconnect()", timeout_s=5)
                with contextlib.suppress(PageError, AssertionError):
                    await self.ask("close", page=name, timeout_s=10)

    @contextlib.contextmanager
    def listening(self, name: str, journal: Journal) -> Iterator[None]:
        """Record the events of the page of that name."""
        self._journals[name] = journal
        try:
            yield
        finally:
            del self._journals[name]

    @contextlib.asynccontextmanager
    async def client(
        self, endpoint: Endpoint, identity: str, room: str, path: JoinPath, *, token: str | None = None, **options: Any
    ) -> AsyncIterator[BrowserClient]:
        """A page that has joined; `grants={…}`, `room_options={…}` and `connect_options={…}` as in livekit-client."""
        grants = options.pop("grants", {})
        async with self.page(identity) as client:
            await client.join(endpoint, token or endpoint.token(identity, room, **grants), path, **options)
            yield client

    async def stop(self) -> None:
        """End browser and driver."""
        if self._child is None:
            return
        with contextlib.suppress(Exception):
            await self.ask("quit", timeout_s=10)
        if self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._child.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._child.wait(), 10)
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader


class BrowserClient:
    """One page; `journal` holds what its room emitted."""

    def __init__(self, browser: Browser, name: str, identity: str) -> None:
        self.identity = identity
        self.journal = Journal(f"{browser.kind}:{identity}")
        self._browser = browser
        self._name = name

    async def run(self, body: str, *, timeout_s: float = 30.0, **args: Any) -> Any:
        """Run the body of an async function in the page; it sees `e2e`, `LK`, `args`. PageError if it throws."""
        return await self._browser.ask("run", page=self._name, body=body, args=args, timeout_s=timeout_s)

    async def join(
        self,
        endpoint: Endpoint,
        token: str,
        path: JoinPath,
        *,
        room_options: dict[str, Any] | None = None,
        connect_options: dict[str, Any] | None = None,
    ) -> None:
        """Connect the page's room."""
        options = {"singlePeerConnection": path.single} | (room_options or {})
        await self.run(
            "return e2e.join(url, token, options, connect)",
            url=endpoint.ws_url,
            token=token,
            options=options,
            connect=connect_options or {},
        )

    async def remote_here(self, identity: str, *, timeout_s: float = 10.0) -> None:
        """Wait until this client knows the other participant."""
        await self.run(
            "await e2e.until(() => e2e.room.remoteParticipants.has(who), `participant ${who}`, ms)",
            who=identity,
            ms=timeout_s * 1000,
        )

    async def publish_tone(self, hz: float = 440, **options: Any) -> str:
        """Publish a sine wave as the microphone; the track's sid. Firefox has its own fake microphone, of 440 Hz."""
        if self._browser.kind == "firefox":
            assert hz == FIREFOX_HZ, "the pitch of Firefox's fake microphone is set in driver.mjs"
            publish = "return (await e2e.room.localParticipant.setMicrophoneEnabled(true)).trackSid"
            return str(await self.run(publish))
        return str(await self.run("return e2e.publishTone(hz, options)", hz=hz, options=options))

    async def publish_bars(self, **options: Any) -> str:
        """Publish colour bars as the camera (`width height fps snow`, and TrackPublishOptions); the track's sid."""
        return str(await self.run("return e2e.publishBars(options)", options=options))

    async def hear(self, identity: str, hz: float, *, timeout_s: float = 20.0) -> None:
        """Wait until that tone is what arrives from `identity`."""
        if self._browser.kind == "firefox":
            await self._hear_recorded(identity, hz, timeout_s)
            return
        await self.run(
            "return e2e.hear(who, {hz, ms})", who=identity, hz=hz, ms=timeout_s * 1000, timeout_s=timeout_s + 5
        )

    async def _hear_recorded(self, identity: str, hz: float, timeout_s: float) -> None:
        """As `hear`, by recording: a headless Firefox without a sound device never starts an AudioContext."""

        async def heard() -> bool:
            file = b64decode(await self.run("return e2e.record(who, 1500)", who=identity))
            return abs(recorded_hz(file) - hz) < 8

        await eventually(heard, f"tone of {hz} Hz in what Firefox recorded", timeout_s=timeout_s)

    async def see(self, identity: str, *, timeout_s: float = 20.0, **options: Any) -> dict[str, Any]:
        """Look at the video of `identity`: `width height bars frames moved`."""
        seen: dict[str, Any] = await self.run(
            "return e2e.see(who, options)",
            who=identity,
            options={"ms": timeout_s * 1000} | options,
            timeout_s=2 * timeout_s + 5,
        )
        return seen


async def stalls(*clients: BrowserClient) -> int:
    """How often pages were not run for a tenth of a second; what several had at the same time counts once. A picture
    that stood still meanwhile is no server's doing."""
    times: list[int] = sorted([at for client in clients for at in await client.run("return e2e.stalls")])
    return sum(later - earlier > _SAME_STALL_MS for earlier, later in itertools.pairwise([-_SAME_STALL_MS - 1, *times]))


@contextlib.asynccontextmanager
async def launched(
    kind: str, *, enter_command: Sequence[str] = (), switches: Sequence[str] = ()
) -> AsyncIterator[Browser]:
    """A browser of its own for as long as the block lasts; `switches` are of Chromium's command line."""
    browser = Browser(kind, enter_command=enter_command, switches=switches)
    await browser.start()
    try:
        yield browser
    finally:
        await browser.stop()
