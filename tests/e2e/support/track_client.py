"""A program by the Python SDK that publishes or watches a data track, to be run inside a network namespace.

`python -m tests.e2e.support.track_client publish|watch URL TOKEN [single]`. The publisher sends a small frame each
20 ms, which carries its number and the time. The watcher writes a line for each frame: its number, and how many
milliseconds it took. Both end with their standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import sys
import time

from livekit import rtc

NAME = "joints"
FRAME_BYTES = 200
GAP_S = 0.02
_HEAD = struct.Struct("!Qq")


async def publish(room: rtc.Room) -> None:
    """Sends frames until cancelled."""
    track = await room.local_participant.publish_data_track(name=NAME)
    begun, number = time.monotonic(), 0
    while True:
        payload = _HEAD.pack(number, time.time_ns()).ljust(FRAME_BYTES, b".")
        with contextlib.suppress(rtc.data_track.PushFrameError):
            track.try_push(rtc.DataTrackFrame(payload=payload))
            number += 1
        await asyncio.sleep(max(0.0, begun + number * GAP_S - time.monotonic()))


async def watch(found: asyncio.Future[rtc.RemoteDataTrack]) -> None:
    """Writes a line for each frame until cancelled."""
    stream = (await found).subscribe(buffer_size=1000)
    async for frame in stream:
        number, sent_ns = _HEAD.unpack_from(frame.payload)
        print(number, (time.time_ns() - sent_ns) // 1_000_000, flush=True)  # noqa: T201 - its output


async def main(role: str, url: str, token: str, *, single: bool) -> None:
    """Joins and works until standard input ends."""
    room = rtc.Room()
    found: asyncio.Future[rtc.RemoteDataTrack] = asyncio.get_running_loop().create_future()

    def find(track: rtc.RemoteDataTrack) -> None:
        if not found.done():
            found.set_result(track)

    room.on("data_track_published", find)
    await room.connect(url, token, rtc.RoomOptions(single_peer_connection=single))
    work = asyncio.create_task(publish(room) if role == "publish" else watch(found))
    end = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    await asyncio.wait({work, end}, return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        work.result()
    work.cancel()
    await room.disconnect()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4], single=len(sys.argv) > 4))
