"""The collaborators of one room, put together.

Owns nothing but the wiring: which part knows which. Arrows point one way: resuming and simulating →
membership → publishing → subscribing → dynacast, and all of them → announcer → state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfu.room.announcing import Announcer
from sfu.room.dynacast import Dynacast
from sfu.room.membership import Membership
from sfu.room.permitting import Permitting
from sfu.room.publishing import Publishing
from sfu.room.quality import Qualities
from sfu.room.resuming import Resuming, ResumingParts
from sfu.room.simulating import Simulating
from sfu.room.speakers import Speakers
from sfu.room.subscribing import Subscribing

if TYPE_CHECKING:
    from sfu.room.state import RoomState

__all__ = ["Parts", "assemble"]


@dataclass(frozen=True, slots=True)
class Parts:
    """Who does what in a room."""

    state: RoomState
    announcer: Announcer
    subscribing: Subscribing
    publishing: Publishing
    membership: Membership
    permitting: Permitting
    speakers: Speakers
    qualities: Qualities
    dynacast: Dynacast
    resuming: Resuming
    simulating: Simulating


def assemble(state: RoomState) -> Parts:
    """All parts round one state."""
    announcer = Announcer(state)
    dynacast = Dynacast(state)
    subscribing = Subscribing(state, dynacast)
    speakers = Speakers(state)
    qualities = Qualities(state)
    publishing = Publishing(state, announcer, subscribing, speakers, dynacast)
    membership = Membership(state, announcer, publishing, subscribing)
    return Parts(
        state=state,
        announcer=announcer,
        subscribing=subscribing,
        publishing=publishing,
        membership=membership,
        permitting=Permitting(state, announcer, publishing, subscribing, membership),
        speakers=speakers,
        qualities=qualities,
        dynacast=dynacast,
        resuming=Resuming(state, ResumingParts(announcer, subscribing, speakers, qualities, dynacast, membership)),
        simulating=Simulating(state, membership),
    )
