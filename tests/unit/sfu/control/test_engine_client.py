"""The engine client round a stand-in for the extension: routing of events, the full queue, the engine's end."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import structlog.testing

from sfu import _engine
from sfu.control import command_backlog
from sfu.control import engine_client as module
from sfu.control.engine_client import EngineClient, EngineStartError
from sfu.control.engine_port import AnswerReady, DescriptionRefused, EngineTell, ShardFailed
from sfu.ids import DownTrackId, ParticipantId, RoomId, TrackSid, TransportId, UpTrackId
from sfu.room import inputs
from sfu.room.effects import AddDownTrack, AddEngineParticipant, OpenTransport, PublishLine
from sfu.room.enums import ConnectionQuality, TrackType

RED, BLUE = RoomId(1), RoomId(2)
ANN, PC, UP, DOWN = ParticipantId(11), TransportId(12), UpTrackId(13), DownTrackId(14)


class Listener:
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.tells: list[EngineTell] = []

    def hear(self, tell: EngineTell) -> None:
        """See `EngineConsumer`."""
        self.tells.append(tell)


class Bench:
    """A client, its stand-in engine and one listening room."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # Stands for the eventfd: readable once its other end has written.
        self.near, self.far = socket.socketpair()
        self.far.setblocking(False)
        self.read_fd = self.near.fileno()
        self.engine = Mock(event_fd=self.read_fd, candidates=["candidate:1"], udp_addresses=[], tcp_addresses=[])
        self.engine.drain.return_value = []
        monkeypatch.setattr(_engine, "Engine", lambda _config: self.engine)
        self.client = EngineClient(Mock())
        self.red = Listener()
        self.client.attach(RED, self.red)

    def tell(self, kind: str, **members: Any) -> None:
        """An event of this kind is drained."""
        event = SimpleNamespace(**members)
        self.engine.drain.return_value = [event]
        translated = module._TRANSLATE[getattr(_engine, kind)]
        module._TRANSLATE[SimpleNamespace] = translated
        try:
            self.client.drain()
        finally:
            del module._TRANSLATE[SimpleNamespace]

    def open_transport(self) -> None:
        """One participant with one transport, one track up and one down."""
        self.client.add_participant(RED, AddEngineParticipant(ANN, "PA_1", "ann", True, False, False))
        self.client.open_transport(RED, OpenTransport(sid_session(), ANN, PC, "both", ()))
        self.client._routes.adopt(UP, PC)
        self.client.add_down_track(
            RED, AddDownTrack(DOWN, PC, UP, TrackType.AUDIO, "PA_1|TR_1", TrackSid("TR_1"), False, True)
        )

    def close(self) -> None:
        """Frees the sockets."""
        self.near.close()
        self.far.close()


def sid_session() -> Any:
    """Some session."""
    return 10


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A fresh bench."""
    made = Bench(monkeypatch)
    yield made
    made.close()


def test_a_start_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_config: object) -> None:
        raise _engine.EngineError("address in use: 127.0.0.1:7882")

    monkeypatch.setattr(_engine, "Engine", refuse)
    with pytest.raises(EngineStartError, match=r"127\.0\.0\.1:7882"):
        EngineClient(Mock())


def test_events_reach_the_room_of_their_subject(bench: Bench) -> None:
    bench.open_transport()
    bench.tell("TransportConnected", transport=PC, tcp=True)
    bench.tell("Answer", transport=PC, request=3, sdp="v=0", mid_to_track={})
    bench.tell("UpTrackStarted", up_track=UP, mime_type="audio/opus")
    bench.tell("DownTrackBound", down_track=DOWN, mime_types=["video/VP8"])
    bench.tell("DownTrackPaused", down_track=DOWN, paused=True)
    bench.tell("QualityChanged", room=RED, changed=[(ANN, "lost", 1.5)])
    bench.tell("AudioLevels", room=RED, levels=[(UP, 20, 300)])
    assert [type(tell) for tell in bench.red.tells] == [
        inputs.TransportConnected,
        AnswerReady,
        inputs.UpTrackStarted,
        inputs.DownTrackBound,
        inputs.DownTrackPaused,
        inputs.QualityChanged,
        inputs.AudioLevelsMeasured,
    ]
    assert bench.red.tells[0] == inputs.TransportConnected(PC, tcp=True)
    assert bench.red.tells[-3] == inputs.DownTrackPaused(DOWN, paused=True)
    assert bench.red.tells[-1] == inputs.AudioLevelsMeasured((inputs.AudioActivity(UP, 20, 300),))
    lost = inputs.QualityRating(ANN, ConnectionQuality.LOST, 1.5)
    assert bench.red.tells[-2] == inputs.QualityChanged((lost,))
    assert bench.client.unrouted_tells == 0


class Line:
    """Stands for a line for the log."""

    shard = 2

    def __init__(self, level: str, text: str) -> None:
        self.level, self.text = level, text


def test_what_the_engine_has_for_the_log_is_logged(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_engine, "Logged", Line)
    bench.engine.drain.return_value = [Line("warning", "accepting paused"), Line("error", "panicked")]
    with structlog.testing.capture_logs() as logged:
        bench.client.drain()
    assert logged == [
        {"log_level": level, "event": "engine reported", "shard": 2, "text": text}
        for level, text in (("warning", "accepting paused"), ("error", "panicked"))
    ]
    assert bench.red.tells == []
    assert bench.client.unrouted_tells == 0


def test_what_ended_is_told_to_nobody_but_counted(bench: Bench) -> None:
    bench.open_transport()
    bench.tell("TransportFailed", transport=PC, reason="dtls")
    bench.tell("DownTrackBound", down_track=DOWN, mime_types=["video/VP8"])
    bench.tell("TransportConnected", transport=PC, tcp=False)
    assert bench.red.tells == [inputs.TransportFailed(PC, "dtls")]
    assert bench.client.unrouted_tells == 2


def test_closing_a_room_forgets_everything_below_it(bench: Bench) -> None:
    bench.open_transport()
    bench.client.remove_participant(ANN)
    assert len(bench.client._routes) == 1
    bench.open_transport()
    bench.client.detach(RED)
    assert len(bench.client._routes) == 0


def test_a_lost_shard_is_told_to_every_room(bench: Bench) -> None:
    blue = Listener()
    bench.client.attach(BLUE, blue)
    bench.open_transport()
    bench.tell("ShardFailed", shard=0)
    assert bench.red.tells == blue.tells == [ShardFailed(0)]


def test_refused_descriptions_are_the_peers_fault(bench: Bench) -> None:
    with pytest.raises(DescriptionRefused):
        bench.client.parse_offer("nonsense", ())


async def test_commands_wait_in_order_while_the_queue_is_full(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_backlog, "_RETRY_S", 0.0)
    bench.client.start()
    done = asyncio.Event()
    calls: list[int] = []

    def take(track: int) -> None:
        calls.append(track)
        if len(calls) == 1:
            raise _engine.QueueFull
        if len(calls) == 4:
            done.set()

    bench.engine.close_up_track.side_effect = take
    for track in (101, 102, 103):
        bench.client.close_up_track(UpTrackId(track))
    assert calls == [101]
    accepting = [bench.client.accepting]
    await asyncio.wait_for(done.wait(), 5)
    assert calls == [101, 101, 102, 103]
    accepting.append(bench.client.accepting)
    assert accepting == [False, True]
    assert bench.client._commands.full_total == 1
    bench.client.stop()


async def test_a_queue_that_stays_full_is_a_lost_shard(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_backlog, "_MAX_WAITING", 3)
    bench.engine.close_up_track.side_effect = _engine.QueueFull
    for track in range(100, 105):
        bench.client.close_up_track(UpTrackId(track))
    await asyncio.sleep(0)
    assert bench.red.tells == [ShardFailed(0)]
    assert not bench.client.accepting
    bench.client.close_up_track(UpTrackId(9))  # goes nowhere, harms nobody


async def test_an_engine_that_goes_while_commands_wait_is_a_lost_shard(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_backlog, "_RETRY_S", 0.0)
    told = asyncio.Event()
    monkeypatch.setattr(bench.red, "hear", lambda _tell: told.set())
    bench.engine.close_up_track.side_effect = [_engine.QueueFull, _engine.EngineError("the thread ended")]
    bench.client.close_up_track(UpTrackId(101))
    bench.client.close_up_track(UpTrackId(102))
    await asyncio.wait_for(told.wait(), 5)
    assert bench.engine.close_up_track.call_count == 2


async def test_an_engine_that_is_gone_is_a_lost_shard(bench: Bench) -> None:
    bench.engine.close_transport.side_effect = _engine.EngineError("the thread ended")
    bench.client.close_transport(PC)
    await asyncio.sleep(0)
    assert bench.red.tells == [ShardFailed(0)]


async def test_the_event_fd_wakes_the_client(bench: Bench) -> None:
    bench.client.start()
    woken = asyncio.Event()

    def drain(_limit: int) -> list[object]:
        asyncio.get_running_loop().remove_reader(bench.read_fd)
        woken.set()
        return []

    bench.engine.drain.side_effect = drain
    bench.far.send(b"x")
    await asyncio.wait_for(woken.wait(), 5)
    bench.client.stop()
    bench.client.stop()
    assert bench.engine.stop.called


def test_publish_lines_are_handed_over_whole(bench: Bench) -> None:
    line = PublishLine("0", UP, "video/VP8", dtx=False, stereo=True, red=False, speaker=True, muted=True)
    made = module._publish_line(line)
    assert isinstance(made, _engine.PublishLine)
    with pytest.raises(TypeError):
        bench.client.accept_offer(PC, 1, Mock(), [line])  # type: ignore[arg-type]
