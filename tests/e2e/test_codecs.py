"""Which codec each client gets, when publishers send more than one, and what happens when none fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.support.endpoint import Endpoint, JoinPath, unique
from tests.e2e.support.media import assert_bars

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.e2e.support.browser import Browser, BrowserClient

_LIMIT = """
    const wanted = RTCRtpReceiver.getCapabilities('video').codecs
        .filter(({ mimeType }) => codecs.includes(mimeType) || mimeType === 'video/rtx');
    for (const name of ['createOffer', 'createAnswer']) {
        const original = RTCPeerConnection.prototype[name];
        RTCPeerConnection.prototype[name] = function (...args) {
            for (const transceiver of this.getTransceivers()) {
                if (transceiver.receiver.track.kind === 'video') transceiver.setCodecPreferences(wanted);
            }
            return original.apply(this, args);
        };
    }"""
"""A page that can decode these codecs only, as far as anybody can tell."""

_DECODING = """
    let last;
    try {
        return await e2e.until(async () => {
            const rtp = (await e2e.stats('inbound-rtp', (r) => r.kind === 'video' && r.framesDecoded > 0))
                .sort((a, b) => b.lastPacketReceivedTimestamp - a.lastPacketReceivedTimestamp)[0];
            const all = await e2e.stats('codec');
            const before = last;
            last = rtp && { codec: all.find((c) => c.id === rtp.codecId)?.mimeType, frames: rtp.framesDecoded,
                            freezes: rtp.freezeCount, plis: rtp.pliCount, ssrc: rtp.ssrc };
            return last?.codec === codec && before?.codec === codec && last.frames > before.frames && last;
        }, `pictures in ${codec}`, ms);
    } catch (error) {
        throw new Error(`${error.message}; last ${JSON.stringify(last)}`);
    }"""


async def _publish(client: BrowserClient, codec: str, backup: str, policy: int = 0) -> str:
    return await client.publish_bars(
        width=640, height=360, fps=15, videoCodec=codec, backupCodec={"codec": backup}, backupCodecPolicy=policy
    )


async def _decodes(client: BrowserClient, codec: str, *, timeout_s: float = 30.0) -> dict[str, Any]:
    """Wait until the one video that arrives comes in this codec and is decoded."""
    found: dict[str, Any] = await client.run(_DECODING, codec=codec, ms=timeout_s * 1000, timeout_s=timeout_s + 5)
    return found


async def _join_limited(
    client: BrowserClient, endpoint: Endpoint, room: str, path: JoinPath, codecs: Sequence[str]
) -> None:
    await client.run(_LIMIT, codecs=list(codecs))
    await client.join(endpoint, endpoint.token(client.identity, room), path)


async def _codecs_of(client: BrowserClient, identity: str) -> list[tuple[str, bool]]:
    """Codecs of the other's video as `TrackInfo` tells them, each with whether a line carries it."""
    told = await client.run(
        """const [publication] = e2e.room.remoteParticipants.get(who).videoTrackPublications.values();
        return publication.trackInfo.codecs.map(({ mimeType, mid }) => [mimeType, mid !== '']);""",
        who=identity,
    )
    return [(mime, live) for mime, live in told]


@pytest.mark.parametrize("codec", ["vp9", "av1"])
async def test_who_cannot_decode_a_codec_gets_the_backup(
    endpoint: Endpoint, path: JoinPath, chromium: Browser, codec: str
) -> None:
    """VID14: the publisher sends the backup only when asked for it; the others keep the better codec."""
    room = unique("backup")
    own = f"video/{codec.upper()}"
    async with (
        chromium.client(endpoint, "alice", room, path) as alice,
        chromium.client(endpoint, "bob", room, path) as bob,
        chromium.page("carol") as carol,
    ):
        await _publish(alice, codec, "vp8", _SIMULCAST)
        await bob.see("alice")
        await _decodes(bob, own)
        assert await _codecs_of(bob, "alice") == [(own, True), ("video/VP8", False)]
        await _join_limited(carol, endpoint, room, path, ["video/VP8"])
        assert_bars((await carol.see("alice", timeout_s=30))["bars"])
        await _decodes(carol, "video/VP8")
        await _decodes(bob, own)
        assert await _codecs_of(carol, "alice") == [(own, True), ("video/VP8", True)]
        sent = {mime for mime, _ in await alice.run("return e2e.codecs('outbound-rtp', 'video')")}
        assert sent == {own, "video/VP8"}


_PREFER_REGRESSION, _SIMULCAST, _REGRESSION = 0, 1, 2
