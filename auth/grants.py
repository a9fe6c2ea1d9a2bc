"""What a token allows: LiveKit's claims as plain values (protocol.md §7).

Owns the meaning of unset grants. Never parses or signs a token: that is `auth.tokens`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AgentGrants", "Claims", "SipGrants", "VideoGrants"]


@dataclass(frozen=True, slots=True)
class VideoGrants:
    """The `video` claim. `None` means unset; `may_*` give the effective answer."""

    room_create: bool = False
    room_list: bool = False
    room_record: bool = False
    room_admin: bool = False
    room_join: bool = False
    room: str = ""
    ingress_admin: bool = False
    hidden: bool = False
    recorder: bool = False
    agent: bool = False
    destination_room: str = ""
    can_publish: bool | None = None
    can_subscribe: bool | None = None
    can_publish_data: bool | None = None
    can_publish_sources: tuple[str, ...] = ()
    """Lower-case wire names: `camera`, `microphone`, `screen_share`, `screen_share_audio`; empty: all."""
    can_update_own_metadata: bool | None = None
    can_subscribe_metrics: bool | None = None
    can_manage_agent_session: bool | None = None

    @property
    def may_publish(self) -> bool:
        """Unset means yes."""
        return self.can_publish is not False

    @property
    def may_subscribe(self) -> bool:
        """Unset means yes."""
        return self.can_subscribe is not False

    @property
    def may_publish_data(self) -> bool:
        """Unset means the same as publishing."""
        return self.may_publish if self.can_publish_data is None else self.can_publish_data

    @property
    def may_update_own_metadata(self) -> bool:
        """Unset means no."""
        return self.can_update_own_metadata is True

    def admits_admin_of(self, room: str) -> bool:
        """Whether the grant administers `room`."""
        return self.room_admin and self.room == room


@dataclass(frozen=True, slots=True)
class SipGrants:
    """The `sip` claim."""

    admin: bool = False
    call: bool = False


@dataclass(frozen=True, slots=True)
class AgentGrants:
    """The `agent` claim."""

    admin: bool = False
    simulation_admin: bool = False
    database_admin: bool = False
    dispatch_admin: bool = False


@dataclass(frozen=True, slots=True)
class Claims:
    """A verified token. Times are seconds since the epoch."""

    api_key: str
    identity: str = ""
    name: str = ""
    kind: str = "standard"
    """`standard`, `ingress`, `egress`, `sip`, `agent`, `connector` or `bridge`."""
    kind_details: tuple[str, ...] = ()
    metadata: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    video: VideoGrants | None = None
    sip: SipGrants | None = None
    agent: AgentGrants | None = None
    inference_perform: bool = False
    observability_write: bool = False
    room_config: Mapping[str, Any] | None = None
    """`roomConfig` as decoded JSON (protojson of `livekit.RoomConfiguration`)."""
    room_preset: str = ""
    sha256: str = ""
    not_before_s: float | None = None
    expires_at_s: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Claims and members of grants that we do not interpret, as decoded JSON: a refreshed token keeps them."""
