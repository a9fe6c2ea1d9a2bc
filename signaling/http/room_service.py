"""`livekit.RoomService`: rooms and participants for administrators (protocol.md §6.1).

Owns grants, requests -> room inputs and results -> messages. Never decides: the room does. Talks to rooms through the
registry only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from livekit.protocol import room as schema

from sfu.control.registry import RoomOverrides, playout_delay
from sfu.errors import ErrorCode, SfuError
from sfu.ids import ParticipantSid, RequestId, TrackSid
from sfu.room import inputs
from sfu.room.enums import DisconnectReason, TrackSource
from sfu.room.views import PermissionView
from signaling.http.grants import administers, anything, creates, lists, of_room
from signaling.http.twirp import Rpc, Service
from signaling.wire.views import participant_info, room_info, track_info

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.message import Message
    from livekit.protocol import models

    from auth.grants import Claims
    from sfu.control.registry import RoomRegistry
    from sfu.room.views import ParticipantView, RoomView, TrackView
    from signaling.http.twirp import Call

__all__ = ["RoomService", "room_service"]

_MAX_DATA_BYTES = 64_000
"""What fits one message of a data channel with its envelope (protocol.md §2.9)."""
_NO_PARTICIPANT = SfuError(ErrorCode.NOT_FOUND, "participant does not exist")
_SOURCES = {source.value: source for source in TrackSource}


class RoomService:
    """The calls, one method each."""

    def __init__(self, registry: RoomRegistry, *, max_room_name_length: int = 256, max_metadata_bytes: int = 0) -> None:
        """Limits are bytes of UTF-8; 0: none."""
        self._registry = registry
        self._max_room_name_length = max_room_name_length
        self._max_metadata_bytes = max_metadata_bytes

    # ------------------------------------------------------------ rooms

    async def create_room(self, call: Call) -> Message:
        """A room that exists is returned unchanged, whatever else the request says."""
        request: schema.CreateRoomRequest = call.request
        if self._registry.find(request.name) is None:
            self._check_new_room(request)
        overrides = RoomOverrides(
            empty_timeout_s=request.empty_timeout,
            departure_timeout_s=request.departure_timeout,
            max_participants=request.max_participants,
            metadata=request.metadata,
            playout_delay=playout_delay(request.min_playout_delay, request.max_playout_delay),
        )
        return room_info(self._registry.create(request.name, overrides))

    def _check_new_room(self, request: schema.CreateRoomRequest) -> None:
        limit = self._max_room_name_length
        if not request.name:
            raise _invalid("no room name")
        if 0 < limit < len(request.name.encode()):
            raise _invalid(f"room name length exceeds limits: max length {limit}")
        if 0 < self._max_metadata_bytes < len(request.metadata.encode()):
            raise _invalid("metadata size exceeds limits")
        if request.room_preset:
            raise _invalid("unknown room configuration in create room request")
        if request.HasField("egress"):
            raise SfuError(ErrorCode.UNIMPLEMENTED, "egress is not implemented by this server")

    async def list_rooms(self, call: Call) -> Message:
        """All rooms, or those with the given names."""
        views = self._registry.list(tuple(call.request.names))
        return schema.ListRoomsResponse(rooms=map(room_info, views))

    async def delete_room(self, call: Call) -> Message:
        """Everybody leaves with ROOM_DELETED."""
        await self._registry.delete(call.request.room, DisconnectReason.ROOM_DELETED)
        return schema.DeleteRoomResponse()

    async def update_room_metadata(self, call: Call) -> Message:
        """Returns the room with its new metadata."""
        view = await self._registry.ask(
            call.request.room, lambda request: inputs.UpdateRoomMetadata(request, call.request.metadata)
        )
        return room_info(cast("RoomView", view))

    async def send_data(self, call: Call) -> Message:
        """Data without a sender."""
        asked: schema.SendDataRequest = call.request
        if len(asked.data) > _MAX_DATA_BYTES:
            raise _invalid(f"data has more than {_MAX_DATA_BYTES} bytes")
        await self._registry.ask(
            asked.room,
            lambda request: inputs.SendData(
                request=request,
                payload=asked.data,
                reliable=asked.kind == 0,
                topic=asked.topic if asked.HasField("topic") else None,
                destination_identities=tuple(asked.destination_identities),
                destination_sids=tuple(map(ParticipantSid, asked.destination_sids)),
                nonce=asked.nonce,
            ),
        )
        return schema.SendDataResponse()

    # ------------------------------------------------------------ participants

    async def list_participants(self, call: Call) -> Message:
        """An unknown room has no participants."""
        if self._registry.find(call.request.room) is None:
            return schema.ListParticipantsResponse()
        views = await self._registry.ask(call.request.room, inputs.ListParticipants)
        views = cast("tuple[ParticipantView, ...]", views)
        return schema.ListParticipantsResponse(participants=map(participant_info, views))

    async def get_participant(self, call: Call) -> Message:
        """NOT_FOUND, in an unknown room too."""
        view = await self._ask_one(call, lambda r: inputs.GetParticipant(r, call.request.identity))
        return participant_info(cast("ParticipantView", view))

    async def remove_participant(self, call: Call) -> Message:
        """It hears PARTICIPANT_REMOVED; its token stays valid."""
        await self._ask_one(call, lambda r: inputs.RemoveParticipant(r, call.request.identity))
        return schema.RemoveParticipantResponse()

    async def mute_published_track(self, call: Call) -> Message:
        """An unknown track is answered without one."""
        asked: schema.MuteRoomTrackRequest = call.request
        view = await self._ask_one(
            call, lambda r: inputs.MutePublishedTrack(r, asked.identity, TrackSid(asked.track_sid), asked.muted)
        )
        track = None if view is None else track_info(cast("TrackView", view))
        return schema.MuteRoomTrackResponse(track=track)

    async def update_participant(self, call: Call) -> Message:
        """Empty texts mean unchanged; a permission replaces the whole set."""
        asked: schema.UpdateParticipantRequest = call.request
        permission = _permission(asked.permission) if asked.HasField("permission") else None
        view = await self._ask_one(
            call,
            lambda request: inputs.UpdateParticipant(
                request=request,
                identity=asked.identity,
                metadata=asked.metadata,
                name=asked.name,
                attributes=dict(asked.attributes),
                permission=permission,
            ),
        )
        return participant_info(cast("ParticipantView", view))

    async def update_subscriptions(self, call: Call) -> Message:
        """Subscribes or unsubscribes for the participant."""
        asked: schema.UpdateSubscriptionsRequest = call.request
        sids = [*asked.track_sids]
        for tracks in asked.participant_tracks:
            sids.extend(tracks.track_sids)
        wanted = tuple(map(TrackSid, dict.fromkeys(sids)))
        await self._ask_one(call, lambda r: inputs.UpdateSubscriptions(r, asked.identity, wanted, asked.subscribe))
        return schema.UpdateSubscriptionsResponse()

    async def _ask_one(self, call: Call, make_input: Callable[[RequestId], inputs.RoomInput]) -> object:
        """In an unknown room every participant is unknown."""
        if not call.request.identity:
            raise _invalid("identity cannot be empty")
        if self._registry.find(call.request.room) is None:
            raise _NO_PARTICIPANT
        return await self._registry.ask(call.request.room, make_input)

    # ------------------------------------------------------------ not built

    async def perform_rpc(self, call: Call) -> Message:
        """Not built."""
        raise _unimplemented("PerformRpc")

    async def forward_participant(self, call: Call) -> Message:
        """Not built."""
        raise _elsewhere(call, "ForwardParticipant")

    async def move_participant(self, call: Call) -> Message:
        """Not built."""
        raise _elsewhere(call, "MoveParticipant")


def room_service(service: RoomService) -> Service:
    """The table of the service's calls."""

    def admin(action: Callable[[Call], Awaitable[Message]], *, quiet: bool = False) -> Rpc:
        return Rpc(administers, of_room, action, quiet)

    return Service(
        schema.DESCRIPTOR.services_by_name["RoomService"],
        {
            "CreateRoom": Rpc(creates, anything, service.create_room),
            "ListRooms": Rpc(lists, anything, service.list_rooms, quiet=True),
            "DeleteRoom": Rpc(creates, anything, service.delete_room),
            "ListParticipants": admin(service.list_participants, quiet=True),
            "GetParticipant": admin(service.get_participant, quiet=True),
            "RemoveParticipant": admin(service.remove_participant),
            "MutePublishedTrack": admin(service.mute_published_track),
            "UpdateParticipant": admin(service.update_participant),
            "UpdateSubscriptions": admin(service.update_subscriptions),
            "SendData": admin(service.send_data, quiet=True),
            "UpdateRoomMetadata": admin(service.update_room_metadata),
            "PerformRpc": admin(service.perform_rpc, quiet=True),
            "ForwardParticipant": Rpc(administers, _may_send_elsewhere, service.forward_participant),
            "MoveParticipant": Rpc(administers, _may_send_elsewhere, service.move_participant),
        },
    )


def _may_send_elsewhere(claims: Claims, request: Any) -> bool:
    video = claims.video
    return of_room(claims, request) and video is not None and video.destination_room == request.destination_room


def _permission(asked: models.ParticipantPermission) -> PermissionView:
    sources = tuple(_SOURCES[number] for number in asked.can_publish_sources if number in _SOURCES)
    return PermissionView(
        can_subscribe=asked.can_subscribe,
        # Only unknown sources: an empty list would allow all.
        can_publish=asked.can_publish and (bool(sources) or not asked.can_publish_sources),
        can_publish_data=asked.can_publish_data,
        can_publish_sources=sources,
        hidden=asked.hidden,
        recorder=asked.recorder,
        can_update_metadata=asked.can_update_metadata,
        agent=asked.agent,
        can_subscribe_metrics=asked.can_subscribe_metrics,
        can_manage_agent_session=asked.can_manage_agent_session,
    )


def _invalid(message: str) -> SfuError:
    return SfuError(ErrorCode.INVALID_ARGUMENT, message)


def _unimplemented(method: str) -> SfuError:
    return SfuError(ErrorCode.UNIMPLEMENTED, f"{method} is not implemented by this server")


def _elsewhere(call: Call, method: str) -> SfuError:
    if call.request.room == call.request.destination_room:
        return _invalid("destination room cannot be the same as source room")
    return _unimplemented(method)
