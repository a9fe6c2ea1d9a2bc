"""A participant by the published Python SDK (PyPI `livekit`), its events in a journal.

Owns one `rtc.Room`. Never changes the SDK's behaviour: what a test sees is what a user's program sees.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from livekit import rtc

from tests.e2e.support.journal import Journal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.support.endpoint import Endpoint, JoinPath

__all__ = ["SdkClient", "sdk"]

_EVENTS = [
    "participant_connected",
    "participant_disconnected",
    "participant_active",
    "local_track_published",
    "local_track_unpublished",
    "local_track_subscribed",
    "track_published",
    "track_unpublished",
    "track_subscribed",
    "track_unsubscribed",
    "track_subscription_failed",
    "track_muted",
    "track_unmuted",
    "active_speakers_changed",
    "room_metadata_changed",
    "participant_metadata_changed",
    "participant_name_changed",
    "participant_attributes_changed",
    "participant_permissions_changed",
    "data_received",
    "data_track_published",
    "data_track_unpublished",
    "sip_dtmf_received",
    "connection_quality_changed",
    "connection_state_changed",
    "connected",
    "disconnected",
    "reconnecting",
    "reconnected",
    "room_updated",
    "token_refreshed",
]


class SdkClient:
    """One room connection of the Python SDK."""

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.journal = Journal(f"sdk:{identity}")
        self.room = rtc.Room()
        for name in _EVENTS:
            self.room.on(name, self._recorder(name))  # type: ignore[arg-type] # a name of the list it wants

    def _recorder(self, name: str) -> Any:
        def record(*args: Any) -> None:
            self.journal.record(name, *args)

        return record

    @property
    def local(self) -> rtc.LocalParticipant:
        """The own participant."""
        return self.room.local_participant

    async def connect(self, endpoint: Endpoint, token: str, path: JoinPath, **options: Any) -> None:
        """Join; `options` are those of `rtc.RoomOptions`."""
        options.setdefault("single_peer_connection", path.single)
        options.setdefault("connect_timeout", 5.0)
        await self.room.connect(endpoint.ws_url, token, rtc.RoomOptions(**options))

    async def close(self) -> None:
        """Leave; never fails."""
        with contextlib.suppress(Exception):
            await self.room.disconnect()

    def remote(self, identity: str) -> rtc.RemoteParticipant:
        """The other participant of that identity; KeyError when it is not there."""
        return self.room.remote_participants[identity]

    async def remote_here(self, identity: str, *, timeout_s: float = 10.0) -> rtc.RemoteParticipant:
        """The other participant, once this client knows it."""
        await self.journal.until(
            lambda: identity in self.room.remote_participants, f"participant {identity!r}", timeout_s=timeout_s
        )
        return self.remote(identity)

    async def remote_gone(self, identity: str, *, timeout_s: float = 10.0) -> None:
        """Wait until this client knows that the other has left."""
        await self.journal.until(
            lambda: identity not in self.room.remote_participants, f"absence of {identity!r}", timeout_s=timeout_s
        )

    async def subscribed(self, identity: str, source: Any = None, *, since: int = 0, timeout_s: float = 15.0) -> Any:
        """The first track subscribed from `identity` (of that source)."""
        entry = await self.journal.wait(
            "track_subscribed",
            lambda _, pub, who: who.identity == identity and source in (None, pub.source),
            since=since,
            timeout_s=timeout_s,
        )
        return entry.args[0]


@contextlib.asynccontextmanager
async def sdk(
    endpoint: Endpoint, identity: str, room: str, path: JoinPath, *, token: str | None = None, **options: Any
) -> AsyncIterator[SdkClient]:
    """A joined SDK client for the time of the block; grants go into `grants={...}`."""
    grants = options.pop("grants", {})
    client = SdkClient(identity)
    try:
        await client.connect(endpoint, token or endpoint.token(identity, room, **grants), path, **options)
        yield client
    finally:
        await client.close()
