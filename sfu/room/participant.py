"""One participant: who it is, what it may do, what it publishes and wants.

Owns the participant's state and its `ParticipantInfo`. Never sends and never reaches other participants.
"""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sfu.room.enums import DisconnectReason, ParticipantKind, ParticipantState, ResumeFailure, TrackType
from sfu.room.permissions import Allowance, claims_with, is_dependent
from sfu.room.views import ParticipantView, PermissionView

if TYPE_CHECKING:
    from collections import deque

    from auth.grants import Claims
    from sfu.ids import ParticipantId, ParticipantSid, SessionId, TrackSid, TransportId
    from sfu.room.data_publication import DataPublication, DataSubscription
    from sfu.room.inputs import AddTrack
    from sfu.room.messages import QualityView
    from sfu.room.pace import Pace
    from sfu.room.publication import Publication
    from sfu.room.session import Session
    from sfu.room.subscription import Subscription
    from sfu.room.views import BlobKeyView

__all__ = ["Participant", "Transports"]


@dataclass(slots=True)
class Transports:
    """Its associations; in single mode publisher and subscriber are the same one."""

    publisher: TransportId
    subscriber: TransportId | None
    primary: TransportId
    """The one whose connection makes the participant active."""

    def all(self) -> tuple[TransportId, ...]:
        """Each once."""
        if self.subscriber is None or self.subscriber == self.publisher:
            return (self.publisher,)
        return (self.subscriber, self.publisher)


@dataclass(slots=True, eq=False)
class Participant:
    """A participant from its join to its end."""

    id: ParticipantId
    sid: ParticipantSid
    claims: Claims
    session: Session
    transports: Transports
    permission: PermissionView
    kind: ParticipantKind
    name: str
    metadata: str
    attributes: dict[str, str]
    joined_at_ms: int
    region: str = ""
    kind_details: tuple[int, ...] = ()
    auto_subscribe: bool = True
    auto_subscribe_data: bool = False
    adaptive_stream: bool = False
    """It tells the size in which it shows each track; until then it gets the smallest."""
    allow_pause: bool = False
    """Its video may be paused when the path to it does not bear even the lowest layers."""
    single_peer_connection: bool = False
    full_ice: bool = False
    """It wants no ICE-lite agent."""
    state: ParticipantState = ParticipantState.JOINED
    is_publisher: bool = False
    was_active: bool = False
    disconnect_reason: DisconnectReason = DisconnectReason.UNKNOWN_REASON
    allowance: Allowance = field(default_factory=Allowance)
    publications: dict[TrackSid, Publication] = field(default_factory=dict)
    """Live ones."""
    pending: dict[str, Publication] = field(default_factory=dict)
    """Announced ones by client id, in order."""
    queued: dict[str, deque[AddTrack]] = field(default_factory=dict)
    """Announcements that wait for the end of the live publication with the same client id."""
    subscriptions: dict[TrackSid, Subscription] = field(default_factory=dict)
    bound_tracks: Counter[TrackType] = field(default_factory=Counter)
    """How many of the subscriptions the engine has, by kind."""
    quality: QualityView | None = None
    """How its connection is, as told last; `None`: nothing told yet."""
    decodes: frozenset[str] | None = None
    """Video codecs (MIME types) that it takes: as it offers (single mode), or as its first answer said (dual mode)."""
    data_publications: dict[TrackSid, DataPublication] = field(default_factory=dict)
    data_subscriptions: dict[TrackSid, DataSubscription] = field(default_factory=dict)
    data_handles: dict[int, DataSubscription] = field(default_factory=dict)
    """Those that the engine has, by handle."""
    last_data_handle: int = field(default_factory=lambda: secrets.randbelow(256))
    """The next subscription of a data track gets the next one that is free."""
    was_told_handles: bool = False
    """It knows of handles, though perhaps of none any more."""
    unheard_data: set[TrackSid] = field(default_factory=set)
    """Its data tracks whose answers may have been lost with its last session."""
    data_blobs: dict[BlobKeyView, bytes] = field(default_factory=dict)
    data_blobs_bytes: int = 0
    """Of their keys and contents."""
    change_pace: Pace | None = None
    """How often the others are told of its changes; `None`: it has had none."""
    resume_failure: ResumeFailure | None = None
    """What it asked its next resume to suffer."""
    _version: int = 1
    _view: ParticipantView | None = None

    @property
    def identity(self) -> str:
        """The user's name for it."""
        return self.claims.identity

    @property
    def reachable(self) -> bool:
        """Whether messages can be sent to it."""
        return not self.session.lost

    @property
    def hidden(self) -> bool:
        """Never told to others."""
        return self.permission.hidden

    @property
    def dependent(self) -> bool:
        """Neither counts nor keeps the room open."""
        return is_dependent(self.kind, self.permission)

    @property
    def recording(self) -> bool:
        """It makes `active_recording` true, and subscription permissions do not bind it."""
        return self.permission.recorder or self.kind is ParticipantKind.EGRESS

    @property
    def speaks_as_agent(self) -> bool:
        """May send transcriptions and text on behalf of others (protocol.md §2.10)."""
        return self.kind is ParticipantKind.AGENT or self.permission.agent

    def touch(self) -> None:
        """Something that `ParticipantInfo` tells has changed: a new version."""
        self._version += 1
        self._view = None

    def view(self) -> ParticipantView:
        """Its `ParticipantInfo`, as of this version."""
        if self._view is None:
            self._view = ParticipantView(
                sid=self.sid,
                identity=self.identity,
                state=self.state,
                version=self._version,
                name=self.name,
                metadata=self.metadata,
                attributes=dict(self.attributes),
                tracks=tuple(publication.view for publication in self.publications.values()),
                data_tracks=tuple(publication.view for publication in self.data_publications.values()),
                permission=self.permission,
                joined_at_ms=self.joined_at_ms,
                region=self.region,
                is_publisher=self.is_publisher,
                kind=self.kind,
                kind_details=self.kind_details,
                disconnect_reason=self.disconnect_reason,
                client_protocol=self.session.client.client_protocol,
                capabilities=self.session.client.capabilities,
            )
        return self._view

    def current_claims(self) -> Claims:
        """What a refreshed token says."""
        return claims_with(
            self.claims, self.permission, name=self.name, metadata=self.metadata, attributes=self.attributes
        )

    def session_ids(self) -> tuple[SessionId, ...]:
        """Its session as a list of receivers: empty when it is lost."""
        return () if self.session.lost else (self.session.id,)
