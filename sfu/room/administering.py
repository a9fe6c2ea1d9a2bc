"""What administrators ask of a room: each request is answered by exactly one `Reply` (protocol.md §6.1).

Owns the errors and their texts. Never checks grants: that is the edge.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from sfu.errors import ErrorCode, SfuError
from sfu.room.effects import Reply, SendEngineData
from sfu.room.enums import DisconnectReason
from sfu.room.inputs import (
    CloseRoom,
    GetParticipant,
    ListParticipants,
    MutePublishedTrack,
    RemoveParticipant,
    SendData,
    UpdateParticipant,
    UpdateRoomMetadata,
    UpdateSubscriptions,
)
from sfu.room.permissions import exceeded_limit

if TYPE_CHECKING:
    from sfu.ids import ParticipantId
    from sfu.room.participant import Participant
    from sfu.room.parts import Parts

__all__ = ["AdminRequest", "Administration"]

AdminRequest = (
    ListParticipants
    | GetParticipant
    | RemoveParticipant
    | MutePublishedTrack
    | UpdateParticipant
    | UpdateSubscriptions
    | SendData
    | UpdateRoomMetadata
    | CloseRoom
)

_NONCES = 100
_NONCE_BYTES = 16


class Administration:
    """An administrator's hand in the room."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._state = parts.state
        self._nonces: OrderedDict[bytes, None] = OrderedDict()

    def carry_out(self, request: AdminRequest) -> None:
        """Does what was asked and replies, once."""
        try:
            result = self._result_of(request)
        except SfuError as error:
            self._state.emit(Reply(request.request, error))
        else:
            self._state.emit(Reply(request.request, result))

    def _result_of(self, request: AdminRequest) -> object:
        match request:
            case ListParticipants():
                return tuple(participant.view() for participant in self._state.participants.values())
            case SendData():
                self._send_data(request)
                return None
            case UpdateRoomMetadata():
                return self._update_room_metadata(request.metadata)
            case CloseRoom():
                self._parts.membership.close(request.reason, come_back=request.come_back)
                return None
            case _:
                return self._concerning_one(request)

    def _concerning_one(
        self,
        request: GetParticipant | RemoveParticipant | MutePublishedTrack | UpdateParticipant | UpdateSubscriptions,
    ) -> object:
        participant = self._state.by_identity.get(request.identity)
        if participant is None:
            raise SfuError(ErrorCode.NOT_FOUND, "participant does not exist")
        match request:
            case GetParticipant():
                return participant.view()
            case RemoveParticipant():
                self._parts.membership.remove(participant, DisconnectReason.PARTICIPANT_REMOVED)
            case MutePublishedTrack():
                return self._mute(participant, request)
            case UpdateParticipant():
                limit = self._parts.permitting.update_by_admin(participant, request)
                if limit is not None:
                    raise SfuError(ErrorCode.INVALID_ARGUMENT, limit.admin_text)
                return participant.view()
            case UpdateSubscriptions():
                self._parts.subscribing.wish(participant, request.track_sids, subscribe=request.subscribe)
        return None

    def _mute(self, participant: Participant, request: MutePublishedTrack) -> object:
        if not request.muted and not self._state.settings.enable_remote_unmute:
            raise SfuError(ErrorCode.FAILED_PRECONDITION, "remote unmute not enabled")
        publication = participant.publications.get(request.track_sid)
        if publication is None:
            return None
        self._parts.publishing.mute_by_server(publication, muted=request.muted)
        return publication.view

    def _update_room_metadata(self, metadata: str) -> object:
        limit = exceeded_limit(self._state.settings, metadata=metadata)
        if limit is not None:
            raise SfuError(ErrorCode.INVALID_ARGUMENT, limit.admin_text)
        self._state.metadata = metadata
        self._parts.announcer.room_changed()
        return self._state.view()

    def _send_data(self, request: SendData) -> None:
        """A nonce that was seen among the last hundred is answered, but not sent again (protocol.md §2.10)."""
        if request.nonce and len(request.nonce) != _NONCE_BYTES:
            raise SfuError(ErrorCode.INVALID_ARGUMENT, f"nonce should be {_NONCE_BYTES} bytes or empty")
        if request.nonce and self._seen(request.nonce):
            return
        destinations = self._destinations(request)
        if destinations is None or destinations:
            self._state.emit(
                SendEngineData(
                    payload=request.payload,
                    reliable=request.reliable,
                    topic=request.topic,
                    destination_identities=request.destination_identities,
                    nonce=request.nonce,
                    destinations=destinations,
                )
            )

    def _seen(self, nonce: bytes) -> bool:
        if nonce in self._nonces:
            return True
        self._nonces[nonce] = None
        if len(self._nonces) > _NONCES:
            self._nonces.popitem(last=False)
        return False

    def _destinations(self, request: SendData) -> tuple[ParticipantId, ...] | None:
        """`None`: everybody; an empty tuple: none of those who were named is here."""
        if not request.destination_identities and not request.destination_sids:
            return None
        identities, sids = set(request.destination_identities), set(request.destination_sids)
        participants = self._state.participants.values()
        return tuple(p.id for p in participants if p.identity in identities or p.sid in sids)
