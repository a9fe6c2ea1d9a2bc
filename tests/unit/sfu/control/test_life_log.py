"""Life events in the log: one line each, with what an operator looks for."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from sfu.control.life_log import LifeLog
from sfu.ids import ParticipantSid, RoomSid
from sfu.room import effects as fx
from sfu.room.enums import ParticipantState
from sfu.room.views import ParticipantView, RoomView

ROOM = RoomView(RoomSid("RM_1"), "lobby", 300, 20, 0, 0)
ANN = ParticipantView(ParticipantSid("PA_1"), "ann", ParticipantState.ACTIVE, 1)


@pytest.mark.parametrize(
    ("single", "tcp", "path", "media"), [(True, False, "/rtc/v1", "udp"), (False, True, "/rtc", "tcp")]
)
def test_who_joined_with_what_and_over_which_way(*, single: bool, tcp: bool, path: str, media: str) -> None:
    event = fx.ParticipantJoined(ROOM, ANN, sdk="js", version="2.1", single_peer_connection=single, tcp=tcp)
    with capture_logs() as lines:
        LifeLog().emit(event)
    (line,) = lines
    assert line["event"] == "participant joined"
    assert (line["room"], line["participant"]) == ("lobby", "ann")
    assert (line["sdk"], line["version"], line["path"], line["media"]) == ("js", "2.1", path, media)
