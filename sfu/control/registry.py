"""The rooms of this node: name -> actor.

Owns which rooms exist, how they come into being (a join, `CreateRoom`), their tasks and their end. Never looks into a
room beyond its view. One loop, no locks: every method but those that wait is atomic.
"""

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sfu.control.actor import RoomActor
from sfu.errors import ErrorCode, SfuError
from sfu.ids import RequestId, RoomId, next_id
from sfu.room.inputs import CloseRoom, RoomInput
from sfu.room.room import Room
from sfu.room.settings import Now, PlayoutDelay, RoomSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from types import TracebackType

    from sfu.control.effect_runner import ControlServices
    from sfu.room.enums import DisconnectReason
    from sfu.room.views import RoomView

__all__ = ["RoomOverrides", "RoomRegistry", "overrides_from_config", "playout_delay"]

_ASK_TIMEOUT_S = 2.0
"""As the reference's `api.execution_timeout`."""


@dataclass(frozen=True, slots=True)
class RoomOverrides:
    """What one room has otherwise than the configuration says; `None` and 0 leave the default, as on the wire."""

    empty_timeout_s: int | None = None
    departure_timeout_s: int | None = None
    max_participants: int | None = None
    metadata: str | None = None
    playout_delay: PlayoutDelay | None = None

    def applied_to(self, settings: RoomSettings) -> RoomSettings:
        """`settings` with these changes."""
        changes = {name: value for name in self.__slots__ if (value := getattr(self, name))}
        return dataclasses.replace(settings, **changes) if changes else settings


class RoomRegistry:
    """All rooms; an asynchronous context whose end waits for their tasks."""

    def __init__(
        self,
        services: ControlServices,
        settings: RoomSettings,
        *,
        auto_create: bool = True,
        ask_timeout_s: float = _ASK_TIMEOUT_S,
    ) -> None:
        self._services = services
        self._settings = settings
        self._auto_create = auto_create
        self._ask_timeout_s = ask_timeout_s
        self._rooms: dict[str, RoomActor] = {}
        self._tasks = asyncio.TaskGroup()
        self._closing = False

    async def __aenter__(self) -> RoomRegistry:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Rooms end at their next turn; an error of the body passes as it is, not wrapped into the tasks' group.
        self.stop()
        await self._tasks.__aexit__(None, None, None)

    @property
    def accepting(self) -> bool:
        """Whether sessions may begin now: the engine can take them and the server is not closing."""
        return not self._closing and self._services.engine.accepting

    def __len__(self) -> int:
        return len(self._rooms)

    # ------------------------------------------------------------ look-up

    def find(self, name: str) -> RoomActor | None:
        """The living room of this name."""
        actor = self._rooms.get(name)
        return None if actor is None or actor.closed else actor

    def list(self, names: Collection[str] = ()) -> list[RoomView]:
        """Views of the rooms with these names; of all without."""
        if names:
            found = (self.find(name) for name in dict.fromkeys(names))
            return [actor.view() for actor in found if actor is not None]
        return [actor.view() for actor in self._rooms.values() if not actor.closed]

    def check_may_enter(self, name: str, *, may_create: bool = False) -> None:
        """Whether a join of `name` would find or make a room.

        Raises:
            SfuError: NOT_FOUND: rooms are not made by joining, and this one does not exist.
        """
        if self.find(name) is None and not (self._auto_create or may_create):
            raise SfuError(ErrorCode.NOT_FOUND, "requested room does not exist")

    # ------------------------------------------------------------ life

    def get_or_create(
        self, name: str, *, may_create: bool = False, overrides: RoomOverrides | None = None
    ) -> RoomActor:
        """The room that a join of `name` enters.

        Raises:
            SfuError: NOT_FOUND as in `check_may_enter`; UNAVAILABLE while the server is closing.
        """
        actor = self.find(name)
        if actor is not None:
            return actor
        self.check_may_enter(name, may_create=may_create)
        return self._start(name, overrides, explicit=False)

    def create(self, name: str, overrides: RoomOverrides | None = None) -> RoomView:
        """Makes a room on request; one that exists is returned unchanged (protocol.md §6.1).

        Raises:
            SfuError: UNAVAILABLE while the server is closing.
        """
        actor = self.find(name)
        if actor is None:
            actor = self._start(name, overrides, explicit=True)
        return actor.view()

    async def delete(self, name: str, reason: DisconnectReason) -> None:
        """Closes a room: everybody leaves with `reason`.

        Raises:
            SfuError: NOT_FOUND, or as `RoomActor.ask`.
        """
        await self.ask(name, lambda request: CloseRoom(request, reason))

    async def ask(self, name: str, make_input: Callable[[RequestId], RoomInput]) -> object:
        """Puts an administrator's request to a room and waits for its answer.

        Raises:
            SfuError: NOT_FOUND when there is no such room; else as `RoomActor.ask`.
        """
        actor = self.find(name)
        if actor is None:
            raise SfuError(ErrorCode.NOT_FOUND, "requested room does not exist")
        return await actor.ask(make_input, self._ask_timeout_s)

    async def shutdown(self, reason: DisconnectReason, timeout_s: float = 2.0, *, come_back: bool = False) -> None:
        """Takes no more sessions and closes every room with `reason`; a room that does not answer is left behind.

        `come_back`: clients are asked to begin anew by themselves, as this server or another one will be there soon.
        """
        self._closing = True
        actors = [actor for actor in self._rooms.values() if not actor.closed]
        await asyncio.gather(
            *(actor.ask(lambda request: CloseRoom(request, reason, come_back), timeout_s) for actor in actors),
            return_exceptions=True,
        )
        self.stop()

    def stop(self) -> None:
        """Ends whatever room is left, at its next turn; participants are told to come back."""
        self._closing = True
        for actor in self._rooms.values():
            actor.stop()

    def _start(self, name: str, overrides: RoomOverrides | None, *, explicit: bool) -> RoomActor:
        if self._closing:
            raise SfuError(ErrorCode.UNAVAILABLE, "the server is shutting down")
        settings = self._settings if overrides is None else overrides.applied_to(self._settings)
        clock = self._services.clock
        now = Now(monotonic_s=clock.monotonic_s(), wall_s=clock.wall_s())
        room_id = RoomId(next_id())
        room = Room(name, settings, room_id=room_id, now=now, explicit=explicit)
        actor = RoomActor(room, room_id, self._services)
        self._rooms[name] = actor
        self._tasks.create_task(self._run(name, actor), name=f"room {name}")
        return actor

    async def _run(self, name: str, actor: RoomActor) -> None:
        try:
            await actor.run()
        finally:
            # A successor of the same name may have begun already.
            if self._rooms.get(name) is actor:
                del self._rooms[name]


def playout_delay(min_ms: int, max_ms: int) -> PlayoutDelay | None:
    """What a request for a room says of it; two zeros say nothing, as on the wire."""
    return PlayoutDelay(min_ms, max_ms) if min_ms or max_ms else None


def overrides_from_config(config: Mapping[str, Any] | None) -> RoomOverrides | None:
    """Reads a token's `roomConfig` (protojson of `livekit.RoomConfiguration`); what has the wrong type is left out."""
    if not config:
        return None
    return RoomOverrides(
        empty_timeout_s=_count(config, "emptyTimeout", "empty_timeout"),
        departure_timeout_s=_count(config, "departureTimeout", "departure_timeout"),
        max_participants=_count(config, "maxParticipants", "max_participants"),
        metadata=config["metadata"] if isinstance(config.get("metadata"), str) else None,
        playout_delay=playout_delay(
            _count(config, "minPlayoutDelay", "min_playout_delay") or 0,
            _count(config, "maxPlayoutDelay", "max_playout_delay") or 0,
        ),
    )


def _count(config: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = config.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32:
            return value
    return None
