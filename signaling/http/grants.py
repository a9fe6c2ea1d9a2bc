"""Which grant a call of the server API needs (protocol.md §6).

Pure predicates over claims. Never reads a token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from auth.grants import Claims

__all__ = [
    "administers",
    "administers_ingress",
    "administers_sip",
    "anything",
    "calls_sip",
    "creates",
    "grant_name",
    "lists",
    "of_room",
    "records",
    "transfers_sip",
]


def creates(claims: Claims) -> bool:
    """`roomCreate`."""
    return claims.video is not None and claims.video.room_create


def lists(claims: Claims) -> bool:
    """`roomList`."""
    return claims.video is not None and claims.video.room_list


def records(claims: Claims) -> bool:
    """`roomRecord`."""
    return claims.video is not None and claims.video.room_record


def administers(claims: Claims) -> bool:
    """`roomAdmin`, of whichever room: `of_room` tells whether it is the right one."""
    return claims.video is not None and claims.video.room_admin


def administers_ingress(claims: Claims) -> bool:
    """`ingressAdmin`."""
    return claims.video is not None and claims.video.ingress_admin


def administers_sip(claims: Claims) -> bool:
    """`sip.admin`."""
    return claims.sip is not None and claims.sip.admin


def calls_sip(claims: Claims) -> bool:
    """`sip.call`."""
    return claims.sip is not None and claims.sip.call


def transfers_sip(claims: Claims) -> bool:
    """`sip.call` and `roomAdmin`."""
    return calls_sip(claims) and administers(claims)


def anything(_: Claims, __: Any) -> bool:
    """For calls whose grant is not bound to a room."""
    return True


def of_room(claims: Claims, request: Any) -> bool:
    """Whether the grant administers the room of the request: its `room`, or `room_name` where it is called so."""
    room = getattr(request, "room", None)
    if room is None:
        room = request.room_name
    return claims.video is not None and claims.video.admits_admin_of(room)


_NAMES: dict[Callable[[Claims], bool], str] = {
    creates: "roomCreate",
    lists: "roomList",
    records: "roomRecord",
    administers: "roomAdmin",
    administers_ingress: "ingressAdmin",
    administers_sip: "sip.admin",
    calls_sip: "sip.call",
    transfers_sip: "sip.call and roomAdmin",
}


def grant_name(grant: Callable[[Claims], bool]) -> str:
    """What a token would have to hold for `grant`, as tokens write it; for the log."""
    return _NAMES.get(grant, "another grant")
