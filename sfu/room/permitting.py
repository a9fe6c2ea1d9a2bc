"""Changes of what a participant is called and may do, by itself or by an administrator (protocol.md §3.1 #15, §5.5).

Owns their consequences for tracks, subscriptions, engine and token. Never judges who may ask: grants are checked at
the edge, `canUpdateOwnMetadata` here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfu.room.effects import UpdateEngineParticipant
from sfu.room.enums import RequestReason
from sfu.room.messages import RequestResponse
from sfu.room.permissions import Limit, exceeded_limit, merge_attributes

if TYPE_CHECKING:
    from sfu.room.announcing import Announcer
    from sfu.room.data_publishing import DataPublishing
    from sfu.room.inputs import UpdateOwnMetadata, UpdateParticipant
    from sfu.room.membership import Membership
    from sfu.room.participant import Participant
    from sfu.room.publishing import Publishing
    from sfu.room.state import RoomState
    from sfu.room.subscribing import Subscribing
    from sfu.room.views import PermissionView

__all__ = ["Permitting", "PermittingParts"]


@dataclass(frozen=True, slots=True)
class PermittingParts:
    """Whom a change of names or permissions concerns."""

    announcer: Announcer
    publishing: Publishing
    subscribing: Subscribing
    data_publishing: DataPublishing
    membership: Membership


class Permitting:
    """Names, texts and permissions of the room's participants."""

    def __init__(self, state: RoomState, parts: PermittingParts) -> None:
        self._state = state
        self._announcer = parts.announcer
        self._publishing = parts.publishing
        self._subscribing = parts.subscribing
        self._data_publishing = parts.data_publishing
        self._membership = parts.membership

    def update_own(self, participant: Participant, request: UpdateOwnMetadata) -> None:
        """`update_metadata`: answered OK (level 15) and by the update itself, or refused with the reason."""
        if not participant.permission.can_update_metadata:
            reason, text = RequestReason.NOT_ALLOWED, "does not have permission to update own metadata"
            self._state.refuse(participant, reason, text, request.echo, request.request_id)
            return
        limit = self._exceeded(participant, request)
        if limit is not None:
            reason, text = RequestReason.LIMIT_EXCEEDED, limit.client_text
            self._state.refuse(participant, reason, text, request.echo, request.request_id)
            return
        if participant.session.knows_positive_response:
            response = RequestResponse(RequestReason.OK, "", request.request_id, request.echo)
            self._state.send((participant,), response)
        self._set_texts(participant, request)
        self._announcer.changed(participant)
        self._state.refresh_token(participant)

    def update_by_admin(self, participant: Participant, request: UpdateParticipant) -> Limit | None:
        """Texts and, when given, the whole set of permissions; returns the limit that forbids it, if one does."""
        limit = self._exceeded(participant, request)
        if limit is not None:
            return limit
        self._set_texts(participant, request)
        if request.permission is not None and request.permission != participant.permission:
            self._set_permission(participant, request.permission)
        self._announcer.changed(participant)
        self._state.refresh_token(participant)
        return None

    def _exceeded(self, participant: Participant, request: UpdateOwnMetadata | UpdateParticipant) -> Limit | None:
        attributes = merge_attributes(participant.attributes, request.attributes) if request.attributes else None
        return exceeded_limit(self._state.settings, name=request.name, metadata=request.metadata, attributes=attributes)

    @staticmethod
    def _set_texts(participant: Participant, request: UpdateOwnMetadata | UpdateParticipant) -> None:
        participant.name = request.name or participant.name
        participant.metadata = request.metadata or participant.metadata
        participant.attributes = merge_attributes(participant.attributes, request.attributes)
        participant.touch()

    def _set_permission(self, participant: Participant, permission: PermissionView) -> None:
        old, participant.permission = participant.permission, permission
        keeps_data = permission.can_publish_data and bool(participant.data_publications)
        participant.is_publisher = participant.is_publisher and (permission.can_publish or keeps_data)
        participant.touch()
        self._publishing.end_forbidden(participant)
        self._membership.open_subscriber(participant)
        if permission.hidden != old.hidden:
            self._announcer.hidden_changed(participant)
            self._subscribing.allowance_changed(participant)
            self._data_publishing.allowance_changed(participant)
        self._subscribing.rights_changed(participant)
        self._data_publishing.permission_changed(participant)
        self._state.census.note(participant)
        self._announcer.counted()
        self._membership.census_changed()
        self._state.emit(
            UpdateEngineParticipant(
                participant=participant.id,
                sid=participant.sid,
                identity=participant.identity,
                can_publish_data=permission.can_publish_data,
                hidden=permission.hidden,
                agent=participant.speaks_as_agent,
            )
        )
