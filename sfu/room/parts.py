"""The collaborators of one room, put together.

Owns nothing but the wiring: which part knows which. Arrows point one way: resuming and simulating →
membership → publishing → subscribing → dynacast, membership → data publishing → data subscribing, and all of them →
announcer → state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfu.room.announcing import Announcer
from sfu.room.data_blobs import DataBlobs
from sfu.room.data_publishing import DataPublishing
from sfu.room.data_subscribing import DataSubscribing
from sfu.room.dynacast import Dynacast
from sfu.room.membership import Membership
from sfu.room.permitting import Permitting, PermittingParts
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
    data_subscribing: DataSubscribing
    data_publishing: DataPublishing
    data_blobs: DataBlobs
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
    data_subscribing = DataSubscribing(state)
    data_publishing = DataPublishing(state, announcer, data_subscribing)
    membership = Membership(state, announcer, publishing, subscribing, data_publishing)
    return Parts(
        state=state,
        announcer=announcer,
        subscribing=subscribing,
        publishing=publishing,
        data_subscribing=data_subscribing,
        data_publishing=data_publishing,
        data_blobs=DataBlobs(state),
        membership=membership,
        permitting=Permitting(state, PermittingParts(announcer, publishing, subscribing, data_publishing, membership)),
        speakers=speakers,
        qualities=qualities,
        dynacast=dynacast,
        resuming=Resuming(
            state,
            ResumingParts(
                announcer, subscribing, data_publishing, data_subscribing, speakers, qualities, dynacast, membership
            ),
        ),
        simulating=Simulating(state, membership),
    )
