"""Devices that cannot do what they say."""

from __future__ import annotations

import pytest

from sfu.room.inputs import ClientDescription
from sfu.room.quirks import Quirks, quirks_of


@pytest.mark.parametrize(
    ("client", "quirks"),
    [
        (ClientDescription(browser="Safari", browser_version="18.3.1", os="iOS"), Quirks(("video/AV1",))),
        (ClientDescription(browser="safari", browser_version="18.4"), Quirks(("video/AV1",), ("video/VP9",))),
        (ClientDescription(browser="Safari", browser_version="x"), Quirks(("video/AV1",))),
        (ClientDescription(browser="Safari", browser_version=""), Quirks(("video/AV1",))),
        (ClientDescription(browser="Firefox", os="Linux"), Quirks((), ("video/H264",))),
        (ClientDescription(browser="Firefox", os="Windows"), Quirks()),
        (ClientDescription(sdk="android", device_model="Xiaomi 2201117TI"), Quirks((), ("video/H264",))),
        (ClientDescription(browser="Chrome", os="Android"), Quirks()),
    ],
)
def test_known_devices(client: ClientDescription, quirks: Quirks) -> None:
    assert quirks_of(client) == quirks
    assert bool(quirks) == (quirks != Quirks())
