"""What a client is: from what it says, and from its headers where it says nothing.

Owns the names of SDKs and a modest reading of User-Agent headers. Nothing here decides permissions.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sfu.room.inputs import ClientDescription

__all__ = ["client_address", "describe_client", "sdk_name"]

_SDK_NAMES = frozenset({
    "js", "swift", "android", "flutter", "go", "unity", "reactnative", "rust", "python", "cpp", "unityweb", "node",
    "unreal", "esp32", "dotnet",
})  # fmt: skip
_BROWSER_SDKS = frozenset({"js", "reactnative", "flutter", "unity", "unknown"})

# First match wins: Edge and Opera also say Chrome, Chrome also says Safari.
_BROWSERS = (
    ("Edge", re.compile(r"Edg(?:e|A|iOS)?/([\d.]+)")),
    ("Opera", re.compile(r"OPR/([\d.]+)")),
    ("Firefox", re.compile(r"(?:Firefox|FxiOS)/([\d.]+)")),
    ("Chrome", re.compile(r"(?:HeadlessChrome|Chrome|CriOS)/([\d.]+)")),
    ("Safari", re.compile(r"Version/([\d.]+).*Safari/")),
)
_SYSTEMS = (
    ("iOS", re.compile(r"(?:iPhone|iPad).*? OS ([\d_]+)")),
    ("Android", re.compile(r"Android ([\d.]+)")),
    ("Mac OS X", re.compile(r"Mac OS X ([\d_.]+)")),
    ("Windows", re.compile(r"Windows NT ([\d.]+)")),
    ("Chrome OS", re.compile(r"CrOS \S+ ([\d.]+)")),
    ("Linux", re.compile(r"Linux()")),
)
_ADDRESS_HEADERS = ("CF-Connecting-IP", "X-Forwarded-For", "X-Real-IP")
_MAX_USER_AGENT = 512
_MAX_SAID = 256
"""Characters."""


def sdk_name(text: str) -> str:
    """The lower-case name of an SDK as `ClientDescription` has it; takes parameter values and enum names."""
    name = text.lower().replace("_", "")
    if name == "ios":
        return "swift"
    return name if name in _SDK_NAMES else "unknown"


def client_address(headers: Mapping[str, str], peer: str | None) -> str:
    """The client's address, through the proxies that the reference knows (protocol.md §1.4)."""
    for name in _ADDRESS_HEADERS:
        value = headers.get(name)
        if value:
            return value
    return peer or ""


def describe_client(said: ClientDescription, user_agent: str) -> ClientDescription:
    """Fills in browser and system from the header where a client that runs in browsers left them out; cuts long texts,
    which are for logs and quirks only."""
    said = _cut(said)
    if said.sdk not in _BROWSER_SDKS or (said.browser and said.os) or not user_agent:
        return said
    header = user_agent[:_MAX_USER_AGENT]
    if not said.browser:
        browser, version = _first(_BROWSERS, header)
        said = dataclasses.replace(said, browser=browser, browser_version=version)
    if not said.os:
        system, version = _first(_SYSTEMS, header)
        said = dataclasses.replace(said, os=system, os_version=version)
    return said


def _cut(said: ClientDescription) -> ClientDescription:
    texts: dict[str, Any] = {field.name: getattr(said, field.name) for field in dataclasses.fields(said)}
    long: dict[str, Any] = {
        name: text[:_MAX_SAID] for name, text in texts.items() if isinstance(text, str) and len(text) > _MAX_SAID
    }
    return dataclasses.replace(said, **long) if long else said


def _first(patterns: tuple[tuple[str, re.Pattern[str]], ...], header: str) -> tuple[str, str]:
    for name, pattern in patterns:
        found = pattern.search(header)
        if found:
            return name, found.group(1).replace("_", ".")
    return "", ""
