"""What a client wants when it connects: query parameters of `/rtc` and the `join_request` of `/rtc/v1`.

Owns parsing and the refusal texts of protocol.md §1.5. Never checks permissions: that is `signaling.admission`.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from livekit.protocol import models, rtc

from sfu.room.inputs import ClientDescription
from signaling.client_description import describe_client, sdk_name
from signaling.wire.list_limits import each_once

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["JoinWish", "WishRefused", "parse_join_request", "parse_query"]

_MAX_JOIN_REQUEST_BYTES = 1024 * 1024
"""Decompressed; the reference's limit."""
_GZIP_WBITS = 31
_MAX_TRACKS = 256
"""Each that a room does not take is answered by itself."""
_TRUE = frozenset({"1", "true"})


class WishRefused(Exception):
    """Status 400 with this text."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class JoinWish:
    """All that a client says about how it wants to join."""

    client: ClientDescription
    single_peer_connection: bool
    auto_subscribe: bool
    auto_subscribe_data: bool = False
    """The same for data tracks; both paths take silence for no."""
    adaptive_stream: bool = False
    allow_pause: bool | None = None
    """`subscriber_allow_pause`; `None`: it says nothing, so the configuration decides."""
    disable_ice_lite: bool = False
    reconnect: bool = False
    participant_sid: str = ""
    """Whose session is to go on, when it is to go on."""
    publish: str = ""
    """Suffix of a publish-only side connection's identity; empty: an ordinary one."""
    metadata: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    add_tracks: tuple[rtc.AddTrackRequest, ...] = ()
    offer: rtc.SessionDescription | None = None


def parse_query(query: Mapping[str, str], *, address: str, user_agent: str, strict: bool) -> JoinWish:
    """Reads the parameters of `/rtc` (protocol.md §1.4).

    Args:
        query: Decoded parameters.
        address: Of the client.
        user_agent: Header, for what the client does not say.
        strict: Whether attributes that cannot be read are an error (validation) or left out.

    Raises:
        WishRefused: `cannot decode attributes`.
    """
    auto_subscribe = query.get("auto_subscribe", "")
    allow_pause = query.get("subscriber_allow_pause", "")
    said = ClientDescription(
        sdk=sdk_name(query.get("sdk", "")),
        version=query.get("version", ""),
        protocol=_int(query.get("protocol", "")),
        client_protocol=_int(query.get("client_protocol", "")),
        os=query.get("os", ""),
        os_version=query.get("os_version", ""),
        browser=query.get("browser", ""),
        browser_version=query.get("browser_version", ""),
        device_model=query.get("device_model", ""),
        network=query.get("network", ""),
        address=address,
        capabilities=_capabilities(query.get("capabilities", "")),
    )
    return JoinWish(
        client=describe_client(said, user_agent),
        single_peer_connection=False,
        auto_subscribe=not auto_subscribe or auto_subscribe in _TRUE,
        auto_subscribe_data=query.get("auto_subscribe_data_track", "") in _TRUE,
        adaptive_stream=query.get("adaptive_stream", "") in _TRUE,
        allow_pause=allow_pause in _TRUE if allow_pause else None,
        disable_ice_lite=query.get("disable_ice_lite", "") in _TRUE,
        reconnect=query.get("reconnect", "") in _TRUE,
        participant_sid=query.get("sid", ""),
        publish=query.get("publish", ""),
        attributes=_attributes(query.get("attributes", ""), strict=strict),
    )


def parse_join_request(text: str, *, address: str, user_agent: str) -> JoinWish:
    """Reads `join_request`: base64url (padded or not) of `WrappedJoinRequest` (protocol.md §1.5).

    Raises:
        WishRefused: With the reference's text, where it has one.
    """
    request = _unwrap(text)
    info = request.client_info
    said = ClientDescription(
        sdk=sdk_name(models.ClientInfo.SDK.Name(info.sdk) if info.sdk in models.ClientInfo.SDK.values() else ""),
        version=info.version,
        protocol=info.protocol,
        client_protocol=info.client_protocol,
        os=info.os,
        os_version=info.os_version,
        browser=info.browser,
        browser_version=info.browser_version,
        device_model=info.device_model,
        network=info.network,
        address=address,
        capabilities=each_once(info.capabilities),
    )
    settings = request.connection_settings
    if len(request.add_track_requests) > _MAX_TRACKS:
        raise WishRefused(f"join request announces more than {_MAX_TRACKS} tracks")
    return JoinWish(
        client=describe_client(said, user_agent),
        single_peer_connection=True,
        # Absent means false here: clients of this path say what they want. The exception is pausing, of which most
        # clients say nothing; the reference never pauses for them, whatever its configuration says.
        auto_subscribe=settings.auto_subscribe,
        auto_subscribe_data=settings.auto_subscribe_data_track,
        adaptive_stream=settings.adaptive_stream,
        allow_pause=settings.subscriber_allow_pause if settings.HasField("subscriber_allow_pause") else None,
        disable_ice_lite=settings.disable_ice_lite,
        reconnect=request.reconnect,
        participant_sid=request.participant_sid,
        metadata=request.metadata,
        attributes=dict(request.participant_attributes),
        add_tracks=tuple(request.add_track_requests),
        offer=request.publisher_offer if request.HasField("publisher_offer") else None,
    )


def _unwrap(text: str) -> rtc.JoinRequest:
    try:
        # Strict: the decoder would otherwise skip foreign characters in silence.
        raw = base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise WishRefused("cannot base64 decode wrapped join request") from None
    try:
        wrapped = rtc.WrappedJoinRequest.FromString(raw)
    except DecodeError:
        raise WishRefused("cannot unmarshal wrapped join request") from None
    payload = wrapped.join_request
    if wrapped.compression == rtc.WrappedJoinRequest.Compression.GZIP:
        payload = _inflate(payload)
    elif len(payload) > _MAX_JOIN_REQUEST_BYTES:
        raise WishRefused("join request too large")
    try:
        return rtc.JoinRequest.FromString(payload)
    except DecodeError:
        raise WishRefused("cannot unmarshal join request") from None


def _inflate(payload: bytes) -> bytes:
    """Decompresses at most one byte more than is allowed, whatever the payload pretends to be."""
    inflater = zlib.decompressobj(_GZIP_WBITS)
    try:
        inflated = inflater.decompress(payload, _MAX_JOIN_REQUEST_BYTES + 1)
    except zlib.error:
        raise WishRefused("cannot read decompressed join request") from None
    if len(inflated) > _MAX_JOIN_REQUEST_BYTES:
        raise WishRefused("join request too large")
    if not inflater.eof:
        raise WishRefused("cannot read decompressed join request")
    return inflated


def _attributes(text: str, *, strict: bool) -> dict[str, str]:
    if not text:
        return {}
    try:
        decoded = json.loads(base64.urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)))
        if isinstance(decoded, dict) and all(isinstance(value, str) for value in decoded.values()):
            # An escape such as \ud800 may stand alone: no message could carry that text on.
            "".join((*decoded, *decoded.values())).encode()
            return decoded
    except (ValueError, RecursionError):
        pass
    if strict:
        raise WishRefused("cannot decode attributes")
    return {}


def _capabilities(text: str) -> tuple[int, ...]:
    known = dict(models.ClientInfo.Capability.items())
    names = (name.strip() for name in text.split(","))
    return tuple(known[name] for name in names if name in known)


def _int(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        return 0
    return value if -(2**31) <= value < 2**31 else 0
