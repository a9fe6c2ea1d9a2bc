"""Which room hears what the engine tells about a participant, a transport or a track.

Owns the table. Ids are unique among all kinds (`sfu.ids.next_id`) and form a tree: room, participant, transport,
track. Cutting an id cuts everything below it, so nothing is left of what ended.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfu.control.engine_port import EngineConsumer

__all__ = ["RouteTable"]


@dataclass(slots=True, eq=False)
class _Route:
    consumer: EngineConsumer
    parent: int | None
    children: set[int] = field(default_factory=set)


class RouteTable:
    """Id -> who hears of it."""

    def __init__(self) -> None:
        self._routes: dict[int, _Route] = {}

    def __len__(self) -> int:
        return len(self._routes)

    def plant(self, room: int, consumer: EngineConsumer) -> None:
        """A new root."""
        self._routes[room] = _Route(consumer, None)

    def adopt(self, child: int, parent: int) -> None:
        """`child` belongs to `parent`; one that is known stays where it is, an orphan is not taken."""
        route = self._routes.get(parent)
        if route is None:
            return
        route.children.add(child)
        self._routes.setdefault(child, _Route(route.consumer, parent))

    def cut(self, subject: int) -> None:
        """Forgets an id and all below it."""
        route = self._routes.pop(subject, None)
        if route is None:
            return
        if route.parent is not None and (parent := self._routes.get(route.parent)) is not None:
            parent.children.discard(subject)
        for child in tuple(route.children):
            self.cut(child)

    def find(self, subject: int) -> EngineConsumer | None:
        """Who hears of it."""
        route = self._routes.get(subject)
        return None if route is None else route.consumer

    def roots(self) -> list[EngineConsumer]:
        """Every room's."""
        return [route.consumer for route in self._routes.values() if route.parent is None]
