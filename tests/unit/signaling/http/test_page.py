"""The page's files and the token endpoint of dev mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from auth.grants import Claims, VideoGrants
from auth.keys import KeyRing, mapping_source
from auth.tokens import issue, verify
from sfu.clock import SystemClock
from signaling.http.app import route_of
from signaling.http.page import DevTokens, Page
from tests.sim.world import KEY, SECRET, World, open_world

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def page(tmp_path: Path) -> Page:
    """A built page, with a secret beside it."""
    (tmp_path / "site" / "assets").mkdir(parents=True)
    (tmp_path / "site" / "index.html").write_text("<title>Plenum</title>")
    (tmp_path / "site" / "assets" / "app-1a2b.js").write_text("run()")
    (tmp_path / "secret").write_text("secret")
    return Page(tmp_path / "site", version="1.2.3", dev=True)


def tokens(**options: Any) -> DevTokens:
    """The token endpoint."""
    return DevTokens(KEY, SECRET, SystemClock(), **options)


async def fetch(world: World, path: str, **headers: str) -> tuple[int, str, Any]:
    """Status, body and headers of a GET."""
    assert world.http is not None
    async with world.http.get(world.url + path, headers=headers) as response:
        return response.status, await response.text(), response.headers


async def ask(world: World, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
    """Status, body and headers of a request for a token."""
    assert world.http is not None
    wanted = {"room": "lobby", "name": "Ann Ö"} if body is None else body
    async with world.http.post(f"{world.url}/token", json=wanted, headers=headers) as response:
        payload = await response.json() if response.status == 200 else await response.text()
        return response.status, payload, response.headers


async def test_people_get_the_page_and_machines_the_health(page: Page) -> None:
    async with open_world(parts={"page": page}) as world:
        assert (await fetch(world, "/", Accept="text/html,*/*"))[:2] == (200, "<title>Plenum</title>")
        assert (await fetch(world, "/"))[:2] == (200, "OK")


@pytest.mark.parametrize("prefix", ["", "/base"])
async def test_assets_are_served_and_nothing_else(page: Page, prefix: str) -> None:
    async with open_world(parts={"page": page}) as world:
        status, body, headers = await fetch(world, f"{prefix}/assets/app-1a2b.js")
        assert (status, body) == (200, "run()")
        assert "immutable" in headers["Cache-Control"]
        for path in ("/assets/", "/assets/none.js", "/assets/%2e%2e/index.html", "/assets/..%2f..%2fsecret"):
            assert (await fetch(world, prefix + path))[0] == 404


async def test_the_page_asks_what_kind_of_server_this_is(page: Page) -> None:
    async with open_world(parts={"page": page}) as world:
        assert (await fetch(world, "/page.json"))[:2] == (200, '{"dev": true, "version": "1.2.3"}')


@pytest.fixture
def missing_page(tmp_path: Path) -> Page:
    """A page that nobody built."""
    return Page(tmp_path / "none", version="1", dev=False)


async def test_a_page_that_is_not_built_says_so(missing_page: Page) -> None:
    async with open_world(parts={"page": missing_page}) as world:
        status, text, _ = await fetch(world, "/", Accept="text/html")
        assert status == 404
        assert "make build" in text


async def test_without_the_page_there_is_no_trace_of_it() -> None:
    async with open_world() as world:
        for path in ("/page.json", "/assets/app.js", "/token"):
            assert (await fetch(world, path))[0] == 404
        assert (await ask(world))[0] == 404


@pytest.mark.parametrize("path", ["/agent", "//agent", "/base/agent"])
async def test_agent_workers_are_told_that_there_is_no_place_for_them_yet(path: str) -> None:
    worker = issue(Claims(KEY, video=VideoGrants(agent=True)), SECRET, now_s=SystemClock().wall_s())
    person = issue(Claims(KEY, video=VideoGrants(room_join=True)), SECRET, now_s=SystemClock().wall_s())
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    async with open_world() as world:
        for headers in ({}, upgrade):
            status, text, _ = await fetch(world, path, Authorization=f"Bearer {worker}", **headers)
            assert status == 501
            assert "/agent is not implemented" in text
            assert (await fetch(world, path, Authorization=f"Bearer {person}", **headers))[0] == 401
            assert (await fetch(world, path, **headers))[0] == 401


async def test_dev_tokens_let_one_join_and_are_nobody_elses_business() -> None:
    async with open_world(parts={"dev_tokens": tokens()}) as world:
        status, given, headers = await ask(world, Origin=world.url)
        assert status == 200
        claims = verify(given["token"], KeyRing(mapping_source({KEY: SECRET})), SystemClock().wall_s())
        assert claims.video is not None
        assert (claims.name, claims.identity, claims.video.room) == ("Ann Ö", given["identity"], "lobby")
        assert claims.video.room_join
        assert not claims.video.room_admin
        assert not [name for name in headers if name.lower().startswith("access-control")]
        assert (await ask(world))[1]["identity"] != given["identity"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Host": "rebound.example", "Origin": "http://rebound.example"},
    ],
    ids=["other origin", "opaque origin", "rebound host"],
)
async def test_pages_of_others_get_no_token(headers: dict[str, str]) -> None:
    async with open_world(parts={"dev_tokens": tokens()}) as world:
        assert (await ask(world, **headers))[0] == 403


async def test_a_host_may_be_named() -> None:
    async with open_world(parts={"dev_tokens": tokens(hosts=frozenset({"meet.local"}))}) as world:
        assert (await ask(world, Host="meet.local:7880", Origin="http://meet.local:7880"))[0] == 200


@pytest.mark.parametrize(
    "body",
    [[], {}, {"room": "r"}, {"room": 1, "name": "n"}, {"room": " ", "name": "n"}, {"room": "r" * 257, "name": "n"}],
)
async def test_requests_without_sense_are_refused(body: Any) -> None:
    async with open_world(parts={"dev_tokens": tokens()}) as world:
        assert (await ask(world, body))[0] == 400


@pytest.mark.parametrize("body", [{"room": "a", "name": "\ud800"}, {"room": "a\udc00", "name": "n"}])
async def test_half_a_character_is_refused(body: Any) -> None:
    async with open_world(parts={"dev_tokens": tokens()}) as world:
        assert (await ask(world, body))[:2] == (
            400,
            "room and name must be Unicode texts; one has half of a surrogate pair",
        )
        assert (await ask(world, {"room": "a", "name": "\U0001f600"}))[0] == 200


async def test_only_json_is_taken() -> None:
    async with open_world(parts={"dev_tokens": tokens()}) as world:
        assert world.http is not None
        async with world.http.post(f"{world.url}/token", data='{"room":"r","name":"n"}') as response:
            assert response.status == 400
        async with world.http.options(f"{world.url}/token") as response:
            assert response.status == 404
            assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize(
    ("path", "route", "rest"),
    [
        ("/", "/", "/"),
        ("//", "/", "/"),
        ("/rtc", "/rtc", "/rtc"),
        ("//rtc", "/rtc", "/rtc"),
        ("/base/rtc/v1/validate", "/rtc/v1/validate", "/rtc/v1/validate"),
        ("/base//twirp/livekit.RoomService/ListRooms", "/twirp/", "/twirp/livekit.RoomService/ListRooms"),
        ("/twirp/livekit.RoomService/rtc", "/twirp/", "/twirp/livekit.RoomService/rtc"),
        ("/xrtc", "", "/xrtc"),
        ("/rtc/v2", "", "/rtc/v2"),
        ("/rtc/", "", "/rtc/"),
    ],
)
def test_paths_lead_to_routes(path: str, route: str, rest: str) -> None:
    assert route_of(path) == (route, rest)
