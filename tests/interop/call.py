"""What every test call shares: the codecs, the addresses, and waiting for something to become true.

Real peers on a small machine are slow and irregular, so nothing here sleeps for a fixed time and then counts:
:func:`until` polls, and tests set lower bounds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")
Stats = dict[str, Any]

LOOPBACK = "127.0.0.1"
RELAY = "127.0.0.2"

UDP = {"protocol": "udp", "ip": LOOPBACK}
TCP = {"protocol": "tcp", "ip": LOOPBACK}
UDP_BEHIND_RELAY = {"protocol": "udp", "ip": LOOPBACK, "announcedAddress": RELAY}

OPUS: dict[str, Any] = {"kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2}

VIDEO_CODECS: dict[str, dict[str, Any]] = {
    "VP8": {"kind": "video", "mimeType": "video/VP8", "clockRate": 90000},
    "VP9": {"kind": "video", "mimeType": "video/VP9", "clockRate": 90000, "parameters": {"profile-id": 0}},
    "H264": {
        "kind": "video",
        "mimeType": "video/H264",
        "clockRate": 90000,
        "parameters": {
            "packetization-mode": 1,
            "profile-level-id": "42e01f",
            "level-asymmetry-allowed": 1,
        },
    },
    "AV1": {"kind": "video", "mimeType": "video/AV1", "clockRate": 90000},
}


async def until(
    probe: Callable[[], Awaitable[T]], holds: Callable[[T], object], *, within: float = 20.0
) -> T:
    """Asks ``probe`` again and again until ``holds`` of its answer; returns that answer.

    Raises:
        AssertionError: it did not hold within the time (seconds); the message shows the last answer.
    """
    deadline = time.monotonic() + within
    while not holds(answer := await probe()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not true within {within} s; last seen: {answer!r}")
        await asyncio.sleep(0.05)
    return answer


def only(stats: Iterable[Stats], **wanted: Any) -> Stats:
    """The one dictionary whose entries equal ``wanted``: ``only(stats, type="inbound-rtp")``."""
    found = [entry for entry in stats if all(entry.get(key) == value for key, value in wanted.items())]
    assert len(found) == 1, f"{len(found)} of {wanted} in {list(stats)}"
    return found[0]


async def standstill(frames: Callable[[], Awaitable[int]], *, within: float = 10.0) -> int:
    """Waits until no new frame has come for half a second; returns how many there are."""
    last = await frames()

    async def new_frames() -> int:
        nonlocal last
        before = last
        await asyncio.sleep(0.5)
        last = await frames()
        return last - before

    await until(new_frames, lambda count: count == 0, within=within)
    return last


async def longest_freeze(frames: Callable[[], Awaitable[int]], seconds: float) -> tuple[float, int]:
    """Watches for ``seconds``; returns the longest time without a new frame (s), and the number of new frames."""
    first = last = await frames()
    longest, fresh_at = 0.0, time.monotonic()
    deadline = fresh_at + seconds
    while time.monotonic() < deadline:
        await asyncio.sleep(0.05)
        count = await frames()
        now = time.monotonic()
        longest = max(longest, now - fresh_at)
        if count > last:
            last, fresh_at = count, now
    return longest, last - first
