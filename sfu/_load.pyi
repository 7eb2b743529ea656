"""Paced RTP source, counting sink and bare relay (compiled; each call blocks its thread without the GIL)."""

import socket
from collections.abc import Sequence
from typing import TypedDict

class Sent(TypedDict):
    packets: int
    bytes: int
    sends: int
    failed: int
    latest: int

class Received(TypedDict):
    packets: int
    bytes: int
    rtcp: int
    missing: int
    streams: int

class Run(TypedDict):
    cpu_ns: int
    sent: Sent | None
    received: Received | None

class Source:
    """Sends the steps of a cycle, over and over, each at its time and to every destination."""

    def __init__(
        self,
        steps: Sequence[tuple[int, int, bytes] | tuple[int, int, bytes, int]],
        period_ns: int,
        rtp_period: int,
        sockets: Sequence[socket.socket],
        destinations: Sequence[tuple[str, int]],
        *,
        ssrc: int = 1,
        gso: bool = False,
        stamped: bool = False,
    ) -> None: ...
    def counters(self) -> Sent: ...

class Sink:
    """Counts RTP packets and bytes, RTCP packets, and holes in each SSRC's sequence numbers."""

    def __init__(self, sockets: Sequence[socket.socket], epoll: int = -1, timed: bool = False) -> None: ...
    def delays(self) -> list[tuple[int, int]]: ...
    def counters(self) -> Received: ...
    def finish(self) -> None: ...

def run(
    source: Source | None,
    sink: Sink | None,
    seconds: float,
    settle: float = 0.2,
    polling: bool = False,
    tick: float = 0,
) -> Run: ...
def relay(sock: socket.socket, destinations: list[tuple[str, int]]) -> int: ...
def address_bytes(ip: str, port: int) -> bytes: ...
