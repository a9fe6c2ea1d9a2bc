"""Who may do what: tokens and permissions translated into each other, subscription permissions, size limits.

Pure functions and values. Never applies a change: that is `permitting` and `membership`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from auth.grants import Claims, VideoGrants
from sfu.room.enums import ParticipantKind, TrackSource
from sfu.room.views import PermissionView

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sfu.ids import TrackSid
    from sfu.room.inputs import TrackPermission
    from sfu.room.settings import RoomSettings

__all__ = [
    "Allowance",
    "Limit",
    "claims_with",
    "exceeded_limit",
    "is_dependent",
    "kind_details_of",
    "kind_of",
    "merge_attributes",
    "permission_of",
    "utf8_bytes",
]

_SOURCES = {source.name.lower(): source for source in TrackSource if source is not TrackSource.UNKNOWN}
# livekit_models.proto, ParticipantInfo.KindDetail
_KIND_DETAILS = {
    "cloud_agent": 0,
    "forwarded": 1,
    "connector_whatsapp": 2,
    "connector_twilio": 3,
    "bridge_rtsp": 4,
    "simulation": 5,
}


def permission_of(grants: VideoGrants) -> PermissionView:
    """What the `video` claim allows (protocol.md §7).

    A list of sources in which no name is known allows nothing: an empty list would allow all.
    """
    sources = tuple(_SOURCES[name] for name in grants.can_publish_sources if name in _SOURCES)
    return PermissionView(
        can_subscribe=grants.may_subscribe,
        can_publish=grants.may_publish and (bool(sources) or not grants.can_publish_sources),
        can_publish_data=grants.may_publish_data,
        can_publish_sources=sources,
        hidden=grants.hidden,
        recorder=grants.recorder,
        can_update_metadata=grants.may_update_own_metadata,
        agent=grants.agent,
        can_subscribe_metrics=grants.can_subscribe_metrics is True,
        can_manage_agent_session=grants.can_manage_agent_session is True,
    )


def claims_with(
    claims: Claims, permission: PermissionView, *, name: str, metadata: str, attributes: Mapping[str, str]
) -> Claims:
    """The claims of a refreshed token: as they came, with what was changed since (protocol.md §5.5)."""
    video = replace(
        claims.video or VideoGrants(),
        can_subscribe=permission.can_subscribe,
        can_publish=permission.can_publish,
        can_publish_data=permission.can_publish_data,
        can_publish_sources=tuple(source.name.lower() for source in permission.can_publish_sources),
        hidden=permission.hidden,
        recorder=permission.recorder,
        agent=permission.agent,
        can_update_own_metadata=permission.can_update_metadata,
        can_subscribe_metrics=permission.can_subscribe_metrics,
        can_manage_agent_session=permission.can_manage_agent_session,
    )
    return replace(claims, video=video, name=name, metadata=metadata, attributes=dict(attributes))


def kind_of(claims: Claims) -> ParticipantKind:
    """The participant's kind; an unknown name is an ordinary participant."""
    return ParticipantKind.__members__.get(claims.kind.upper(), ParticipantKind.STANDARD)


def kind_details_of(claims: Claims) -> tuple[int, ...]:
    """`ParticipantInfo.KindDetail` numbers; unknown names are left out."""
    return tuple(_KIND_DETAILS[name.lower()] for name in claims.kind_details if name.lower() in _KIND_DETAILS)


def is_dependent(kind: ParticipantKind, permission: PermissionView) -> bool:
    """Agents, egress and recorders neither count nor keep a room open (protocol.md §5.1)."""
    return kind in (ParticipantKind.AGENT, ParticipantKind.EGRESS) or permission.recorder or permission.agent


_NONE: frozenset[TrackSid] = frozenset()


class Allowance:
    """A publisher's word on who may subscribe to its tracks (`subscription_permission`, protocol.md §4.11)."""

    __slots__ = ("_by_identity", "_by_sid", "_everybody")

    def __init__(self, *, everybody: bool = True, permissions: Sequence[TrackPermission] = ()) -> None:
        self._everybody = everybody
        # `None`: all tracks.
        self._by_identity: dict[str, frozenset[TrackSid] | None] = {}
        self._by_sid: dict[str, frozenset[TrackSid] | None] = {}
        for permission in permissions:
            tracks = None if permission.all_tracks else frozenset(permission.track_sids)
            if permission.participant_identity:
                self._by_identity[permission.participant_identity] = tracks
            elif permission.participant_sid:
                self._by_sid[permission.participant_sid] = tracks

    def allows(self, identity: str, sid: str, track_sid: TrackSid) -> bool:
        """Whether the participant may subscribe to that track."""
        if self._everybody:
            return True
        named = self._by_identity if identity in self._by_identity else self._by_sid
        tracks = named.get(identity if named is self._by_identity else sid, _NONE)
        return tracks is None or track_sid in tracks


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that was exceeded, in the words of client and administrator (protocol.md §3.1, §6.1)."""

    client_text: str
    admin_text: str


_NAME = Limit("exceeds name length limit", "name length exceeds limits")
_METADATA = Limit("exceeds metadata size limit", "metadata size exceeds limits")
_ATTRIBUTES = Limit("exceeds attributes size limit", "attributes size exceeds limits")


def exceeded_limit(
    settings: RoomSettings, *, name: str = "", metadata: str = "", attributes: Mapping[str, str] | None = None
) -> Limit | None:
    """The first limit that these values exceed, or `None`. Sizes are bytes of UTF-8."""
    if 0 < settings.max_name_length < utf8_bytes(name):
        return _NAME
    if 0 < settings.max_metadata_bytes < utf8_bytes(metadata):
        return _METADATA
    size = sum(utf8_bytes(key) + utf8_bytes(value) for key, value in (attributes or {}).items())
    return _ATTRIBUTES if 0 < settings.max_attributes_bytes < size else None


def merge_attributes(old: Mapping[str, str], changes: Mapping[str, str]) -> dict[str, str]:
    """`old` with the changes; an empty value deletes its key."""
    merged = {**old, **changes}
    return {key: value for key, value in merged.items() if value or key not in changes}


def utf8_bytes(text: str) -> int:
    """Length as the reference counts it."""
    # Lone surrogates can come from JSON frames; they must not raise here.
    return len(text.encode("utf-8", "surrogatepass"))
