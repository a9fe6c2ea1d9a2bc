"""What a subscriber behind a narrow line gets: less picture, all of the sound, and everything again on a wide one.

The servers (one for each kind of estimation) and their publisher share a namespace with the emulated link's far end;
the subscriber is at the near end. The publisher films what needs all the bits that a layer may use.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from bench.matrix.film import filmed
from tests.e2e.support.browser import Browser, BrowserClient, launched
from tests.e2e.support.endpoint import JoinPath, unique
from tests.e2e.support.netem import EmulatedLink, emulated_link
from tests.e2e.support.netns import namespace
from tests.e2e.support.server import Server, ServerSpec, started

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = [pytest.mark.netns, pytest.mark.browser, pytest.mark.alone]

_HZ = 440
_WIDTH, _HEIGHT, _FPS = 960, 540, 15
"""livekit-client makes three layers of this size, of at most 150, 450 and 800 kbit/s."""
_HELD_MS = 3000
"""What has been so for that long is no moment between two other things."""

_WHOLE = {"lost": 2, "invented": 20}
"""Percent of the sound. What is invented is also a matter of how the browser's machine keeps up."""

_WATCH = """
    e2e.pictures = async (sids) => {
        const reports = await e2e.stats('inbound-rtp', (r) => r.kind === 'video');
        return sids.map((sid) => {
            const track = e2e.remoteTrack('alice', 'video', undefined, sid)?.mediaStreamTrack;
            const report = reports.find((r) => r.trackIdentifier === track?.id);
            return { height: report?.frameHeight ?? 0, frames: report?.framesDecoded ?? 0 };
        });
    };
    // Parts of the sound, in percent, that were lost, and that the player had to invent, since the counters were so.
    e2e.sound = async (before) => {
        const [report] = await e2e.stats('inbound-rtp', (r) => r.kind === 'audio' && r.packetsReceived > 0);
        const now = { arrived: report.packetsReceived, lost: report.packetsLost, played: report.totalSamplesReceived,
            invented: report.concealedSamples - (report.silentConcealedSamples ?? 0) };
        const grown = (name) => now[name] - (before?.[name] ?? 0);
        const percent = (part, all) => (all > 0 ? 100 * part / all : 100);
        return { now, lost: percent(grown('lost'), grown('lost') + grown('arrived')),
            invented: percent(grown('invented'), grown('played')) };
    };
    // Until each video has been within its limits of height, and moving, for a while, and the sound (if any) whole.
    e2e.shown = async (sids, limits, sound, held, what, ms) => {
        let since, last, heard;
        const fits = ({ height }, i) => height >= limits[i][0] && height <= limits[i][1];
        try {
            await e2e.until(async () => {
                last = await e2e.pictures(sids);
                if (!last.every(fits)) { since = undefined; return false; }
                since ??= { at: performance.now(), frames: last.map(({ frames }) => frames),
                    sound: sound && (await e2e.sound()).now };
                const moving = last.every(({ frames }, i) => frames >= since.frames[i] + 5);
                if (!moving || performance.now() - since.at < held) return false;
                if (!sound) return true;
                heard = await e2e.sound(since.sound);
                if (heard.lost <= sound.lost && heard.invented <= sound.invented) return true;
                since = undefined;
                return false;
            }, what, ms);
        } catch (error) {
            throw new Error(`${error.message}; last ${JSON.stringify({ last, heard })}`);
        }
    };
"""


@dataclass(frozen=True)
class Line:
    """A server for each kind of estimation, a browser that publishes, and one behind a line that can be narrowed."""

    link: EmulatedLink
    servers: dict[str, Server]
    publishing: Browser
    watching: Browser

    @contextlib.asynccontextmanager
    async def call(self, path: JoinPath, kind: str = "transport") -> AsyncIterator[tuple[BrowserClient, BrowserClient]]:
        """Alice, and bob behind the line, which is wide at first and at the end."""
        room, endpoint = unique("narrow"), self.servers[kind].endpoint
        async with (
            self.publishing.client(endpoint, "alice", room, path) as alice,
            self.watching.client(endpoint, "bob", room, path) as bob,
        ):
            await bob.run(_WATCH)
            try:
                yield alice, bob
            finally:
                await self.narrow(0)

    async def narrow(self, kbps: int) -> None:
        """What passes towards the browser that watches; 0: everything."""
        await self.link.tell(down={"rate_bps": kbps * 1000, "queue_ms": 300})


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def line() -> AsyncIterator[Line]:
    with filmed(_WIDTH, _HEIGHT, _FPS) as film, namespace() as far:
        async with emulated_link("--seed", "5", far_space=far) as link:
            link.near.run("ip", "route", "add", "default", "dev", link.near_device)

            def spec(wide: bool) -> ServerSpec:
                config = {"rtc": {"congestion_control": {"allow_pause": True, "use_send_side_bwe": wide}}}
                return ServerSpec(config=config, host=far.there, enter_command=far.enter_command)

            switches = [f"--use-file-for-fake-video-capture={film}"]
            async with (
                started(spec(True)) as transport,
                started(spec(False)) as receiver,
                launched("chromium", enter_command=far.enter_command, switches=switches) as publishing,
                launched("chromium", enter_command=link.near.enter_command) as watching,
            ):
                await link.tell(both={"delay_ms": 10})
                yield Line(link, {"transport": transport, "receiver": receiver}, publishing, watching)


_PLAIN: dict[str, Any] = {"red": False, "dtx": False, "audioPreset": {"maxBitrate": 24_000}}
"""Sound that passes each of the lines: of few bits, without a copy in each packet."""
_RED: dict[str, Any] = {}
"""Sound as livekit-client sends it by default: in RED, and of twice the bits."""


async def _speak(alice: BrowserClient, bob: BrowserClient, sound: dict[str, Any]) -> None:
    """Publish a tone with these options; bob plays it."""
    await alice.publish_tone(_HZ, **sound)
    mime_type = await bob.run(
        """const track = await e2e.until(() => e2e.remoteTrack('alice', 'audio'), 'sound');
        const element = track.attach();
        element.muted = true;
        document.body.append(element);
        const [publication] = [...e2e.room.remoteParticipants.get('alice').audioTrackPublications.values()];
        return publication.mimeType;"""
    )
    assert mime_type == ("audio/opus" if sound is _PLAIN else "audio/red")


async def _film(alice: BrowserClient, name: str) -> str:
    """Publish the film in three layers; a slow machine makes fewer pictures, not smaller ones. The track's sid."""
    sid = await alice.run(
        """const track = await LK.createLocalVideoTrack({ resolution: { width, height, frameRate } });
        const publication = await e2e.room.localParticipant.publishTrack(track, { source: 'camera', name,
            videoCodec: 'vp8', simulcast: true, backupCodec: false, degradationPreference: 'maintain-resolution' });
        return publication.trackSid;""",
        name=name,
        width=_WIDTH,
        height=_HEIGHT,
        frameRate=_FPS,
    )
    return str(sid)


async def _layers(alice: BrowserClient) -> tuple[int, int, int]:
    """Heights of a picture's layers, lowest first."""
    heights = await alice.run(
        """const [publication] = [...e2e.room.localParticipant.videoTrackPublications.values()];
        return publication.trackInfo.layers.map((layer) => layer.height).sort((a, b) => a - b);"""
    )
    low, medium, high = (int(height) for height in heights)
    return low, medium, high


async def _shown(
    bob: BrowserClient,
    limits: dict[str, tuple[int, int]],
    what: str,
    *,
    sound: dict[str, int] | None = None,
    held_ms: int = 0,
    timeout_s: int = 60,
) -> None:
    """Wait until each video has been within its limits of height for a while, and the sound in its own (percent)."""
    await bob.run(
        "return e2e.shown(sids, limits, sound, held, what, ms)",
        sids=list(limits),
        limits=list(limits.values()),
        sound=sound,
        held=held_ms,
        what=what,
        ms=timeout_s * 1000,
        timeout_s=timeout_s + 15,
    )


def _is(state: str, sid: str) -> Callable[..., bool]:
    def matches(publication: dict[str, Any], told: str, *_: Any) -> bool:
        return told == state and publication["publication"] == sid

    return matches


@pytest.mark.parametrize(
    ("path", "kind", "sound"),
    [
        pytest.param(JoinPath.V0, "transport", _RED, id="rtc-red"),
        pytest.param(JoinPath.V1, "transport", _PLAIN, id="rtc-v1"),
        pytest.param(JoinPath.V1, "receiver", _PLAIN, id="rtc-v1-remb"),
    ],
)
async def test_less_picture_and_all_of_the_sound_then_everything_again(
    line: Line, path: JoinPath, kind: str, sound: dict[str, Any]
) -> None:
    """ADA05, ADA06: at 300 kbit/s LOW and all sound, and it is not paused; then HIGH again within half a minute, which
    a browser's own estimate may take longer for: it grows slowly."""
    async with line.call(path, kind) as (alice, bob):
        await _speak(alice, bob, sound)
        sid = await _film(alice, "camera")
        low, _, high = await _layers(alice)
        await _shown(bob, {sid: (high - 4, high + 4)}, "HIGH at first")
        await line.narrow(300)
        await _shown(bob, {sid: (low - 4, low + 4)}, "LOW and all sound", sound=_WHOLE, held_ms=_HELD_MS)
        await bob.hear("alice", _HZ)
        assert bob.journal.seen("trackStreamStateChanged") == [], "less is not paused"
        if kind == "transport":
            await line.narrow(0)
            await _shown(bob, {sid: (high - 4, high + 4)}, "HIGH within 30 s", timeout_s=30)


async def test_what_does_not_fit_at_all_is_paused_and_told_so(line: Line, path: JoinPath) -> None:
    """ADA07: with `allow_pause` the subscriber is told "paused" and hears all, then "active" and sees a picture."""
    async with line.call(path) as (alice, bob):
        await _speak(alice, bob, _PLAIN)
        sid = await _film(alice, "camera")
        low, _, high = await _layers(alice)
        await _shown(bob, {sid: (1, high + 4)}, "a picture")
        await line.narrow(90)
        await bob.journal.wait("trackStreamStateChanged", _is("paused", sid), timeout_s=60)
        paused = bob.journal.mark()
        await bob.hear("alice", _HZ)
        await line.narrow(0)
        await bob.journal.wait("trackStreamStateChanged", _is("active", sid), since=paused, timeout_s=60)
        await _shown(bob, {sid: (low - 4, high + 4)}, "a picture again")
        assert alice.journal.seen("trackStreamStateChanged") == [], "only who gets less is told"


async def test_what_matters_most_keeps_the_better_picture(line: Line, path: JoinPath) -> None:
    """ADA08: on a line for one good picture the track of higher priority is it, the other one when it is told so."""
    async with line.call(path) as (alice, bob):
        sids = [await _film(alice, name) for name in ("one", "two")]
        low, medium, high = await _layers(alice)
        small, large = (1, low + 4), (medium - 4, high + 4)
        await _shown(bob, dict.fromkeys(sids, large), "both at first")
        await line.narrow(850)
        for first, second in (sids, sids[::-1]):
            for sid, priority in ((first, 1), (second, 2)):
                await bob.run(
                    """e2e.room.engine.client.sendUpdateTrackSettings(
                        { trackSids: [sid], disabled: false, quality: 2, priority });""",
                    sid=sid,
                    priority=priority,
                )
            await _shown(
                bob, {first: large, second: small}, "more of what matters most", held_ms=_HELD_MS, timeout_s=45
            )
