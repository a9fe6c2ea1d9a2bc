"""What may wait for a client, and when its reader is too slow."""

from __future__ import annotations

from signaling.send_queue import Ping, SendQueue


def _drain(queue: SendQueue) -> list[bytes | str | Ping]:
    items = []
    while (taken := queue.take()) is not None:
        items.append(taken[0])
        queue.leave(taken[1])
    return items


def test_a_frame_larger_than_the_limit_goes_into_an_empty_queue_and_more_behind_it() -> None:
    queue = SendQueue(limit_bytes=100, limit_frames=10)
    assert queue.put(b"j" * 5_000)
    assert queue.put(b"u" * 5_000), "the reader has had no chance to read anything yet"
    assert queue.billed_bytes == 0
    taken = queue.take()
    assert taken is not None
    assert queue.put(b"x" * 100), "what it is being sent is not what it leaves unread"
    assert not queue.put(b"x")
    queue.leave(taken[1])
    assert len(_drain(queue)) == 2
    assert queue.billed_bytes == 0
    assert queue.put(b"y" * 5_000), "it has read everything"


def test_what_is_being_sent_stays_on_the_bill_until_it_has_left() -> None:
    queue = SendQueue(limit_bytes=100, limit_frames=10)
    queue.put(b"first")
    first = queue.take()
    queue.put(b"x" * 60)
    assert first is not None
    queue.leave(first[1])
    second = queue.take()
    assert second == (b"x" * 60, 60)
    assert not queue.put(b"y" * 60)
    queue.leave(60)
    assert queue.put(b"y" * 60)


def test_frames_are_limited_too_and_pings_are_not_frames() -> None:
    queue = SendQueue(limit_bytes=0, limit_frames=3)
    queue.put(b"first")
    assert queue.take() == (b"first", 0)
    assert [queue.put(b"x") for _ in range(4)] == [True, True, True, False]
    queue.put_ping(Ping(None))
    assert len(queue) == 4
    assert queue.has_ping
    queue.clear()
    assert (len(queue), queue.billed_bytes) == (0, 0)
    assert queue.put(b"x"), "nothing of what was forgotten is left on the bill"
