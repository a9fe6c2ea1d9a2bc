"""Signalling over WebSockets: `/rtc`, `/rtc/v1` and their `validate` twins (protocol.md §1.3 to §1.7).

Owns the way from an HTTP request to a session in a room's inbox, and what a session's frames turn into. What can be
refused by looking at the request is refused before the upgrade; what only the room knows, by `leave` as the first
message. Never decides what a participant may do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from sfu.control.registry import overrides_from_config
from sfu.control.requests import ClientOffer
from sfu.control.sinks import Outgoing
from sfu.errors import SfuError
from sfu.ids import SessionId, next_id
from sfu.log import RedactedAddress
from sfu.room.enums import DisconnectReason, LeaveAction
from sfu.room.inputs import Join, LeaveRequested, Resume, SessionFailed, SessionLost
from sfu.room.messages import Leave
from signaling.client_description import client_address
from signaling.join_request import JoinWish, WishRefused, parse_join_request, parse_query
from signaling.limits import Cap, SignalMeter
from signaling.refusal import Refusal
from signaling.session_io import CLOSE_TIMEOUT_S, SessionIo
from signaling.wire import BadFrame, ReplyNow, parse_frame, to_add_track, translate

if TYPE_CHECKING:
    from auth.grants import Claims
    from sfu.clock import Clock
    from sfu.control.actor import RoomActor
    from sfu.control.registry import RoomRegistry
    from signaling.admission import Admission
    from signaling.counters import SignalCounters
    from signaling.limits import SignalLimits
    from signaling.wire import WireEncoder

__all__ = ["SignalEdge"]

_STATE_MISMATCH = Leave(DisconnectReason.STATE_MISMATCH, LeaveAction.RECONNECT)
_JOIN_FAILURE = Leave(DisconnectReason.JOIN_FAILURE, LeaveAction.DISCONNECT)
_TRY_AGAIN = Leave(DisconnectReason.JOIN_FAILURE, LeaveAction.RECONNECT)
_MAX_SHOWN = 32
_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SignalEdge:
    """Serves signalling; made once by the composition root."""

    admission: Admission
    registry: RoomRegistry
    clock: Clock
    encoder: WireEncoder
    limits: SignalLimits
    counters: SignalCounters
    rtc_v1: bool = True

    # ------------------------------------------------------------ routes

    async def connect(self, request: web.Request, *, v1: bool) -> web.StreamResponse:
        """`/rtc` and `/rtc/v1`: 404 unless it is an upgrade; a refusal or a whole session."""
        if v1 and not self.rtc_v1:
            return web.Response(status=404)
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.Response(status=404)
        try:
            claims, wish = self._admit(request, v1=v1, strict=False)
        except Refusal as refusal:
            self.counters.refused[refusal.status] += 1
            _log_refusal(request, refusal, v1=v1)
            raise
        return await self._serve(request, claims, wish)

    async def validate(self, request: web.Request, *, v1: bool) -> web.StreamResponse:
        """`/rtc/validate` and `/rtc/v1/validate`: the verdict of `connect` without the session."""
        if v1 and not self.rtc_v1:
            return web.Response(status=404)
        self._admit(request, v1=v1, strict=True)
        return web.Response(text="success")

    def _admit(self, request: web.Request, *, v1: bool, strict: bool) -> tuple[Claims, JoinWish]:
        """Checks the token first: who has none learns nothing about parameters."""
        claims = self.admission.claims(request.headers, request.query)
        if claims is None or claims.video is None:
            missing = "a token" if claims is None else "video"
            raise Refusal(401, "no permissions to access the room", {"missing_grant": missing})
        about = {"room": claims.video.room, "participant": claims.identity, "api_key": claims.api_key}
        try:
            wish = _wish(request, v1=v1, strict=strict)
            about |= {"sdk": wish.client.sdk, "version": wish.client.version}
            return self.admission.admit(claims, wish), wish
        except WishRefused as refusal:
            raise Refusal(400, refusal.message, about) from None
        except Refusal as refusal:
            refusal.about = {**about, **refusal.about}
            raise

    # ------------------------------------------------------------ sessions

    async def _serve(self, request: web.Request, claims: Claims, wish: JoinWish) -> web.StreamResponse:
        # No permessage-deflate: its state costs more memory than a whole idle session, and media is not here.
        socket = web.WebSocketResponse(
            timeout=CLOSE_TIMEOUT_S, autoping=False, compress=False, max_msg_size=self.limits.max_frame_bytes
        )
        await socket.prepare(request)
        io = SessionIo(socket, self.encoder, self.limits, self.counters, request.transport)
        self.counters.sessions += 1
        try:
            actor, failure = self._actor(claims, wish)
            if actor is None:
                self.counters.turned_away += 1
                io.close(failure)
                await io.run(_Nobody())
            else:
                await self._session(actor, io, claims, wish)
        finally:
            self.counters.sessions -= 1
        return socket

    def _actor(self, claims: Claims, wish: JoinWish) -> tuple[RoomActor | None, Leave]:
        """The room to enter, or what to say instead."""
        video = claims.video
        if wish.reconnect:
            # Where there is nothing to go on with, the client is to begin anew, which SDKs do by themselves.
            return self.registry.find(video.room) if video else None, _STATE_MISMATCH
        if video is None:
            return None, _JOIN_FAILURE
        if not self.registry.accepting:
            return None, _TRY_AGAIN
        try:
            overrides = overrides_from_config(claims.room_config)
            return self.registry.get_or_create(video.room, may_create=video.room_create, overrides=overrides), (
                _JOIN_FAILURE
            )
        except SfuError as error:
            _log.info(
                "join refused",
                reason=error.message,
                room=video.room,
                participant=claims.identity,
                sdk=wish.client.sdk,
                version=wish.client.version,
                network=_network(wish.client.address),
            )
            return None, _JOIN_FAILURE

    async def _session(self, actor: RoomActor, io: SessionIo, claims: Claims, wish: JoinWish) -> None:
        session = SessionId(next_id())
        wanted = _resume(session, claims, wish) if wish.reconnect else _join(session, claims, wish)
        if not actor.join(wanted, io):
            io.cut(Cap.ROOM_OVERLOAD)
        elif wish.offer is not None and not wish.reconnect:
            actor.post(ClientOffer(session, wish.offer.sdp, wish.offer.id))
        try:
            await io.run(_Session(session, actor, io, self))
        finally:
            if io.cut_for is Cap.SLOW_READER:
                # Its line is what is bad, not the client: it may come back over a better one.
                _log.warning("slow reader cut", session=session, unread_bytes=io.unread_bytes, **_who(claims))
                actor.post_end(SessionLost(session))
            elif io.cut_for is not None:
                _log.warning("session cut", session=session, cap=io.cut_for.value, **_who(claims))
                actor.post_end(SessionFailed(session, DisconnectReason.SIGNAL_CLOSE))
            elif not io.closed:
                actor.post_end(SessionLost(session))


def _who(claims: Claims) -> dict[str, str]:
    return {"room": claims.video.room if claims.video else "", "participant": claims.identity}


def _log_refusal(request: web.Request, refusal: Refusal, *, v1: bool) -> None:
    # What the query says of the SDK stands in where the request was not read that far.
    said = {name: request.query[name][:_MAX_SHOWN] for name in ("sdk", "version") if name in request.query}
    _log.info(
        "join refused",
        status=refusal.status,
        reason=refusal.text,
        path=_path(v1=v1),
        network=_network(client_address(request.headers, request.remote)),
        **{**said, **refusal.about},
    )


def _network(address: str) -> RedactedAddress:
    """Of the client; behind several proxies the first of the addresses is its own."""
    return RedactedAddress(address.partition(",")[0].strip())


def _path(*, v1: bool) -> str:
    return "/rtc/v1" if v1 else "/rtc"


def _wish(request: web.Request, *, v1: bool, strict: bool) -> JoinWish:
    address = client_address(request.headers, request.remote)
    user_agent = request.headers.get("User-Agent", "")
    packed = request.query.get("join_request", "")
    if packed:
        return parse_join_request(packed, address=address, user_agent=user_agent)
    if v1:
        raise WishRefused("join_request is required")
    return parse_query(request.query, address=address, user_agent=user_agent, strict=strict)


class _Session:
    """What one client's frames turn into."""

    __slots__ = ("_actor", "_edge", "_io", "_meter", "_session")

    def __init__(self, session: SessionId, actor: RoomActor, io: SessionIo, edge: SignalEdge) -> None:
        self._session = session
        self._actor = actor
        self._io = io
        self._edge = edge
        self._meter = SignalMeter(edge.limits)

    def take_frame(self, frame: bytes | str) -> None:
        """See `FrameTaker`."""
        cap = self._meter.frame(len(frame), self._edge.clock.monotonic_s()) or self._act(frame)
        if cap is not None:
            self._io.cut(cap)

    def _act(self, frame: bytes | str) -> Cap | None:
        clock = self._edge.clock
        try:
            request = parse_frame(frame)
        except BadFrame:
            self._edge.counters.bad_frames += 1
            return self._meter.bad_frame()
        asked = translate(self._session, request, int(clock.wall_s() * 1000))
        cap = self._meter.request(asked, clock.monotonic_s())
        if cap is not None or asked is None:
            return cap
        if isinstance(asked, ReplyNow):
            self._io.send(Outgoing(asked.message))
        elif isinstance(asked, LeaveRequested):
            self._actor.post_end(asked)
        elif not self._actor.post(asked):
            return Cap.ROOM_OVERLOAD
        return None


class _Nobody:
    """Takes the frames of a client that was turned away."""

    def take_frame(self, frame: bytes | str) -> None:
        """See `FrameTaker`."""


def _resume(session: SessionId, claims: Claims, wish: JoinWish) -> Resume:
    return Resume(
        session=session,
        claims=claims,
        client=wish.client,
        single_peer_connection=wish.single_peer_connection,
        participant_sid=wish.participant_sid,
    )


def _join(session: SessionId, claims: Claims, wish: JoinWish) -> Join:
    return Join(
        session=session,
        claims=claims,
        client=wish.client,
        single_peer_connection=wish.single_peer_connection,
        auto_subscribe=wish.auto_subscribe,
        auto_subscribe_data=wish.auto_subscribe_data,
        adaptive_stream=wish.adaptive_stream,
        allow_pause=wish.allow_pause,
        full_ice=wish.disable_ice_lite,
        metadata=wish.metadata,
        # Joining adds and overrides; only `update_metadata` deletes (protocol.md §1.5).
        attributes={key: value for key, value in wish.attributes.items() if value},
        add_tracks=tuple(to_add_track(session, track) for track in wish.add_tracks),
    )
