"""The meeting page against our own server, by what people do and see there."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.e2e.support.api_client import get, twirp
from tests.e2e.support.browser import Browser
from tests.e2e.support.endpoint import Endpoint, unique
from tests.e2e.support.server import OWN, ServerSpec, started
from tests.e2e.support.visitor import visiting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.skipif(not OWN, reason="the page is part of this project's server only")

DEV = ServerSpec(config={"development": True})
SERVER = DEV

# Chromium's fake camera: a bright green disc on this green.
FAKE_CAMERA_GREEN = (0, 136, 0)


def _is_green(corner: list[int]) -> bool:
    return all(abs(got - wanted) < 40 for got, wanted in zip(corner, FAKE_CAMERA_GREEN, strict=True))


def page(endpoint: Endpoint) -> str:
    """The address a person opens."""
    return endpoint.http_url + "/"


async def test_two_tabs_see_and_hear_each_other(endpoint: Endpoint, chromium: Browser) -> None:
    room = unique("meet")
    async with (
        visiting(chromium, page(endpoint), room=room, name="Ana") as ana,
        visiting(chromium, page(endpoint), room=room, name="Bo", width=360, height=740) as bo,
    ):
        await ana.join()
        await bo.join()
        for visitor, other in ((ana, "Bo"), (bo, "Ana")):
            seen = await visitor.watches(other)
            assert _is_green(seen["corner"]), seen
            await visitor.hears()
        await ana.finds("button", "Participants: 2")


async def test_whoever_is_alone_is_given_a_link_for_others(endpoint: Endpoint, chromium: Browser) -> None:
    room = unique("alone")
    async with visiting(chromium, page(endpoint), room=room, name="Ana") as ana:
        await ana.join()
        await ana.reads("You are alone here")
        await ana.reads(f"{page(endpoint)}?room={room}")
        async with visiting(chromium, page(endpoint), room=room, name="Bo") as bo:
            await bo.join()
            await ana.look("return !document.body.innerText.includes('You are alone')")
        await ana.reads("You are alone here")


async def test_a_room_name_is_refused_rather_than_cut(endpoint: Endpoint, chromium: Browser) -> None:
    async with visiting(chromium, page(endpoint), room="r" * 300, name="Ana") as ana:
        await ana.reads("Too long: 300 bytes, and 256 are allowed")
        await ana.look("return document.querySelector('button[type=submit]').disabled")
        await ana.fill("Room", "r" * 256)
        await ana.join()


async def test_chat_reaches_the_others_and_counts_what_is_unread(endpoint: Endpoint, chromium: Browser) -> None:
    room = unique("chat")
    async with (
        visiting(chromium, page(endpoint), room=room, name="Ana") as ana,
        visiting(chromium, page(endpoint), room=room, name="Bo") as bo,
    ):
        await ana.join()
        await bo.join()
        await ana.finds("button", "Participants: 2")
        await ana.click("Chat")
        await ana.fill("Message", "Hello Bo <b>& all</b>")
        await ana.press("Enter")
        await bo.click("Chat, 1 new")
        await bo.reads("Hello Bo <b>& all</b>")
        await bo.fill("Message", "Hello Ana")
        await bo.click("Send")
        await ana.reads("Hello Ana")


async def test_a_long_word_does_not_stop_the_page(endpoint: Endpoint, chromium: Browser) -> None:
    room = unique("word")
    async with (
        visiting(chromium, page(endpoint), room=room, name="Ana") as ana,
        visiting(chromium, page(endpoint), room=room, name="Bo") as bo,
    ):
        await ana.join()
        await bo.join()
        await ana.click("Chat")
        await bo.click("Chat")
        for index in range(3):
            await bo.fill("Message", chr(ord("W") + index) * 4000)
            await bo.press("Enter")
        await bo.fill("Message", "See https://a.example/x, and farewell")
        await bo.press("Enter")
        # Half a minute of work for what looked for links before.
        await ana.reads("farewell", timeout_s=10)
        await ana.look(
            "return document.querySelector('a[href=\"https://a.example/x\"][rel~=noopener]')?.target === '_blank'"
        )


async def test_mute_and_camera_off_are_seen_by_the_others(endpoint: Endpoint, chromium: Browser) -> None:
    room = unique("mute")
    async with (
        visiting(chromium, page(endpoint), room=room, name="Ana") as ana,
        visiting(chromium, page(endpoint), room=room, name="Bo") as bo,
    ):
        await ana.join()
        await bo.join()
        await bo.watches("Ana")
        await ana.click("Mute microphone")
        await ana.click("Turn camera off")
        await bo.finds("span", "Microphone off", within="Ana")
        await bo.look("return !document.querySelector('article[aria-label=Ana] video')")
        await ana.click("Turn camera on")
        await bo.watches("Ana")


async def test_a_shared_screen_is_seen_and_ends(endpoint: Endpoint, chromium: Browser) -> None:
    room = unique("screen")
    async with (
        visiting(chromium, page(endpoint), room=room, name="Ana") as ana,
        visiting(chromium, page(endpoint), room=room, name="Bo") as bo,
    ):
        await ana.join()
        await bo.join()
        await ana.click("Share screen")
        await bo.watches("Ana’s screen")
        await ana.reads("You are sharing your screen")
        await ana.look("return document.querySelectorAll('article').length === 2")
        await ana.click("Stop sharing")
        await ana.look("return !document.body.innerText.includes('You are sharing')")
        await bo.look("return !document.querySelector('[aria-label=\"Ana’s screen\"]')")


@contextlib.asynccontextmanager
async def running(kind: str) -> AsyncIterator[Browser]:
    """Another browser than the run's Chromium."""
    browser = Browser(kind)
    await browser.start()
    try:
        yield browser
    finally:
        await browser.stop()


async def test_firefox_and_chromium_meet(chromium: Browser) -> None:
    # Firefox does not reach loopback: the server must offer this machine's other addresses, as `make run` does.
    rtc = {"node_ip": "", "interfaces": {"includes": []}}
    room = unique("kinds")
    async with (
        started(ServerSpec(config={"development": True, "rtc": rtc})) as server,
        running("firefox") as firefox,
        visiting(chromium, page(server.endpoint), room=room, name="Ana") as ana,
        visiting(firefox, page(server.endpoint), room=room, name="Flo") as flo,
    ):
        await ana.join()
        await flo.join(timeout_s=40)
        await ana.watches("Flo")
        await ana.hears()
        seen = await flo.watches("Ana")
        assert _is_green(seen["corner"]), seen
        # A headless Firefox without a sound device measures nothing, but its player only goes on while sound arrives.
        await flo.look("return [...document.querySelectorAll('audio')].some((e) => !e.paused && e.currentTime > 1)")
        await flo.click("Chat")
        await flo.fill("Message", "Bonjour")
        await flo.press("Enter")
        await ana.click("Chat, 1 new")
        await ana.reads("Bonjour")


async def test_refused_devices_are_explained_and_do_not_keep_anyone_out(endpoint: Endpoint) -> None:
    room, url = unique("refused"), page(endpoint)
    async with running("chromium-refusing") as browser, visiting(browser, url, room=room, refuse_devices=True) as ana:
        await ana.fill("Your name", "Ana")
        await ana.reads("Your browser does not let this page use microphone and camera")
        await ana.join()
        await ana.reads("The others can neither hear nor see you")
        await ana.click("Close this message")
        await ana.look("return !document.body.innerText.includes('nor see you')")
        await ana.click("Turn camera on")
        await ana.reads("The others cannot see you")
        await ana.click("Close this message")
        await ana.look("return !document.body.innerText.includes('cannot see you')")


async def test_everything_fits_on_a_phone(endpoint: Endpoint, chromium: Browser) -> None:
    room = unique("phone")
    fits = """
        const out = [...document.querySelectorAll('button, input, video')].filter((e) => {
            const box = e.getBoundingClientRect();
            return box.width > 0 && (box.left < 0 || box.right > innerWidth);
        });
        return document.documentElement.scrollWidth <= innerWidth && out.length === 0;
    """
    async with visiting(chromium, page(endpoint), room=room, name="Ana", width=360, height=740) as ana:
        await ana.look(fits)
        await ana.join()
        await ana.look(fits)
        for panel in ("Chat", "Participants: 1"):
            await ana.click(panel)
            await ana.look(fits)


async def test_removal_is_explained_and_can_be_followed_by_a_return(endpoint: Endpoint, chromium: Browser) -> None:
    room = unique("removed")
    async with visiting(chromium, page(endpoint), room=room, name="Ana") as ana:
        await ana.join()
        listed = await twirp(endpoint, "ListParticipants", {"room": room}, token=endpoint.admin(room))
        [participant] = listed.json["participants"]
        body = {"room": room, "identity": participant["identity"]}
        await twirp(endpoint, "RemoveParticipant", body, token=endpoint.admin(room))
        await ana.reads("You were removed from the room")
        await ana.click("Rejoin")
        await ana.finds("nav", "Meeting controls")
        await twirp(endpoint, "DeleteRoom", {"room": room}, token=endpoint.admin(room))
        await ana.reads("The meeting was ended")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        pytest.param(signal.SIGTERM, "The connection to the server was interrupted", id="asked-to-come-back"),
        pytest.param(signal.SIGINT, "The server was stopped or restarts", id="sent-away"),
    ],
)
async def test_a_restarted_server_finds_its_visitors_again(
    chromium: Browser, number: signal.Signals, words: str
) -> None:
    room = unique("restart")
    async with started(DEV) as server:
        url = page(server.endpoint)
        async with (
            visiting(chromium, url, room=room, name="Ana") as ana,
            visiting(chromium, url, room=room, name="Bo") as bo,
        ):
            await ana.join()
            await bo.join()
            await ana.watches("Bo")
            await ana.look("return (window.sameDocument = true)")
            server.signal(number)
            assert await server.wait(timeout_s=10) == 0
            await ana.reads(words)
            await ana.look("return !/You are alone here|Bo left/.test(document.body.innerText)")
            await server.start()
            await ana.watches("Bo", timeout_s=60)
            await bo.watches("Ana", timeout_s=60)
            await ana.look("return window.sameDocument")


async def test_without_dev_mode_the_page_wants_a_token(chromium: Browser) -> None:
    async with started(ServerSpec()) as server:
        endpoint, room = server.endpoint, unique("token")
        facts = await get(endpoint, "/page.json")
        assert facts.json["dev"] is False
        assert (await get(endpoint, "/token", method="POST")).status == 404
        async with visiting(chromium, page(endpoint), token=endpoint.token("ana", room)) as ana:
            await ana.look("return location.hash === '' && !location.href.includes('token')")
            await ana.reads(room)
            await ana.join()
            async with visiting(chromium, page(endpoint), token=endpoint.token("ana", room)) as twin:
                await twin.join()
                await ana.reads("You joined from somewhere else")
        async with visiting(chromium, page(endpoint)) as bo:
            await bo.fill("Access token", endpoint.token("bo", room, ttl_s=-3600))
            await bo.click("Join")
            await bo.reads("Your token has expired")
            wrong = endpoint.sign(endpoint.claims("bo", room), secret="another secret of thirty-two characters")
            await bo.fill("Access token", wrong)
            await bo.click("Join")
            await bo.reads("The server refused your token")


async def test_a_full_room_says_so(chromium: Browser) -> None:
    async with started(ServerSpec(config={"development": True, "room": {"max_participants": 1}})) as server:
        room, url = unique("full"), page(server.endpoint)
        async with visiting(chromium, url, room=room, name="Ana") as ana:
            await ana.join()
            async with visiting(chromium, url, room=room, name="Bo") as bo:
                await bo.click("Join")
                await bo.reads("The room did not let you in")


async def test_a_blocked_media_path_names_the_ports(endpoint: Endpoint, chromium: Browser) -> None:
    room = unique("blocked")
    async with visiting(chromium, page(endpoint), room=room, name="Ana", block_media=True) as ana:
        await ana.click("Join")
        await ana.reads("Opening the way for sound and picture")
        await ana.reads("Sound and picture cannot get through", timeout_s=30)
        await ana.reads("7882/udp and 7881/tcp")


async def test_an_unreachable_server_is_named_as_the_reason(chromium: Browser) -> None:
    async with (
        started(DEV) as server,
        visiting(chromium, page(server.endpoint), room=unique("gone"), name="Ana") as ana,
    ):
        await ana.look("return !document.querySelector('button[type=submit]').disabled")
        await server.stop()
        await ana.click("Join")
        await ana.reads("The server cannot be reached")
        await server.start()
        await ana.join()


async def test_the_token_endpoint_is_for_the_own_page_only(endpoint: Endpoint) -> None:
    url, body = f"{endpoint.http_url}/token", {"room": "r", "name": "Ana"}
    own = {"Origin": endpoint.http_url}
    async with aiohttp.ClientSession() as http:
        async with http.post(url, json=body, headers=own) as answer:
            assert answer.status == 200
            assert set(await answer.json()) == {"token", "identity", "room"}
            assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
        for headers in ({"Origin": "http://elsewhere.example"}, {"Origin": "null"}, {"Host": "rebound.example"}):
            async with http.post(url, json=body, headers=headers) as answer:
                assert answer.status == 403, headers
        async with http.post(url, data=b'{"room": "r", "name": "Ana"}', headers=own) as answer:
            assert answer.status == 400
