"""A person at the meeting page in a real browser: opens an address, clicks, types, looks.

Owns the words of these actions. Elements are named as a screen reader would name them. Never uses the page's inner
workings: what a person cannot see, a visitor cannot either.
"""

from __future__ import annotations

import contextlib
import itertools
import urllib.parse
from typing import TYPE_CHECKING, Any

from tests.e2e.support.browser import Browser, PageError
from tests.e2e.support.journal import Journal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Visitor", "visiting"]

_numbers = itertools.count(1)

# The picture of a tile: it plays, and differs from how it was at the first look (Firefox's fake camera changes slowly).
_WATCH = """
    const tile = [...document.querySelectorAll('article')].find((e) => e.ariaLabel === label);
    const video = tile?.querySelector('video');
    if (!video?.videoWidth) return null;
    const pen = new OffscreenCanvas(64, 36).getContext('2d', {willReadFrequently: true});
    pen.drawImage(video, 0, 0, 64, 36);
    const pixels = pen.getImageData(0, 0, 64, 36).data;
    window.visitorSeen ??= {};
    const first = (window.visitorSeen[label] ??= {pixels, time: video.currentTime, video});
    if (first.video !== video) return delete window.visitorSeen[label] && null;
    const changed = pixels.some((value, i) => Math.abs(value - first.pixels[i]) > 40);
    if (!changed || video.currentTime <= first.time) return null;
    delete window.visitorSeen[label];
    const left = 64 * 4 * 10;
    return {width: video.videoWidth, height: video.videoHeight, corner: [...pixels.slice(left, left + 3)]};
"""

# Sound that is not silence in any of the page's players.
_LISTEN = """
    const players = [...document.querySelectorAll('audio')].filter((e) => e.srcObject?.getAudioTracks().length);
    if (players.length === 0) return null;
    window.visitorEar ??= new AudioContext();
    await window.visitorEar.resume();
    let loudest = 0;
    for (const player of players) {
        const source = window.visitorEar.createMediaStreamSource(player.srcObject);
        const analyser = new AnalyserNode(window.visitorEar, {fftSize: 32768});
        source.connect(analyser);
        await new Promise((resolve) => { setTimeout(resolve, 700); });
        const wave = new Float32Array(analyser.fftSize);
        analyser.getFloatTimeDomainData(wave);
        source.disconnect();
        loudest = Math.max(loudest, ...wave.map(Math.abs));
    }
    return loudest > 0.01 ? loudest : null;
"""


class Visitor:
    """One person with one page; `journal` holds the page's uncaught errors."""

    def __init__(self, browser: Browser, name: str) -> None:
        self.journal = Journal(f"visitor {name}")
        self._browser = browser
        self._name = name

    async def click(self, what: str) -> None:
        """Click the element of that accessible name, as soon as it can be clicked."""
        await self._browser.ask("click", page=self._name, selector=f"aria/{what}")

    async def fill(self, field: str, text: str) -> None:
        """Replace what is in a field."""
        await self._browser.ask("fill", page=self._name, selector=f"aria/{field}", text=text)

    async def press(self, key: str) -> None:
        """Press a key where the focus is."""
        await self._browser.ask("press", page=self._name, key=key)

    async def look(self, body: str, *, timeout_s: float = 20.0, **args: Any) -> Any:
        """The first true value of an async JavaScript function body; PageError with the page's text if none comes."""
        ms = timeout_s * 1000
        return await self._browser.ask("look", page=self._name, body=body, args=args, ms=ms, timeout_s=timeout_s + 10)

    async def reads(self, text: str, *, timeout_s: float = 20.0) -> None:
        """Wait until the page shows that text."""
        await self.look("return document.body.innerText.includes(text)", text=text, timeout_s=timeout_s)

    async def finds(self, tag: str, label: str, within: str = "", *, timeout_s: float = 20.0) -> None:
        """Wait until there is an element of that tag and accessible label (or title), `within` one of another label."""
        await self.look(
            """
            const named = (label) => (e) => e.ariaLabel === label || e.title === label;
            const scope = within ? [...document.querySelectorAll('[aria-label]')].find(named(within)) : document;
            return [...(scope?.querySelectorAll(tag) ?? [])].some(named(label));
            """,
            tag=tag,
            label=label,
            within=within,
            timeout_s=timeout_s,
        )

    async def join(self, *, timeout_s: float = 20.0) -> None:
        """Click Join and wait for the meeting."""
        await self.click("Join")
        await self.finds("nav", "Meeting controls", timeout_s=timeout_s)

    async def watches(self, label: str, *, timeout_s: float = 30.0) -> dict[str, Any]:
        """Wait until the tile of that label shows a moving picture: `width height corner`."""
        seen: dict[str, Any] = await self.look(_WATCH, label=label, timeout_s=timeout_s)
        return seen

    async def hears(self, *, timeout_s: float = 30.0) -> None:
        """Wait until something is to be heard."""
        await self.look(_LISTEN, timeout_s=timeout_s)


@contextlib.asynccontextmanager
async def visiting(browser: Browser, url: str, *, token: str | None = None, **options: Any) -> AsyncIterator[Visitor]:
    """A fresh visitor at `url`; options: `room name` for the query, `width height refuse_devices block_media`.

    An error that the page did not catch fails the block.
    """
    query: dict[str, str] = {key: options.pop(key) for key in ("room", "name") if key in options}
    address = url + ("?" + urllib.parse.urlencode(query) if query else "") + (f"#token={token}" if token else "")
    name = f"visitor-{next(_numbers)}"
    visitor = Visitor(browser, name)
    for ours, theirs in (("refuse_devices", "refuseDevices"), ("block_media", "blockMedia")):
        if ours in options:
            options[theirs] = options.pop(ours)
    with browser.listening(name, visitor.journal):
        try:
            await browser.ask("visit", page=name, url=address, timeout_s=60, **options)
            yield visitor
        finally:
            with contextlib.suppress(PageError, AssertionError):
                await browser.ask("depart", page=name, timeout_s=10)
    assert visitor.journal.seen("pageerror") == [], visitor.journal.tail()
