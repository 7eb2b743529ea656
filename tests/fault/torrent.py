"""A flow of SRTP packets at a steady rate over the sockets of clients, from a thread, so that the loop stays free."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from .peer import Peer

TICK = 0.001  # seconds


class Torrent:
    """`with` begins it. What is sent was encrypted before."""

    def __init__(self, peers: Sequence[Peer], rate: int, seconds: float) -> None:
        """`rate` in packets per second, of all together."""
        each = int(rate * seconds / len(peers))
        self._turns = list(zip(*([peer.packet() for _ in range(each)] for peer in peers), strict=True))
        self._peers = peers
        self._rate = rate
        self._thread = threading.Thread(target=self._run)
        self.over = False
        self.sent = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over = True
        self._thread.join()

    def _run(self) -> None:
        begun, turn = time.monotonic(), 0
        while turn < len(self._turns) and not self.over:
            due = (time.monotonic() - begun) * self._rate / len(self._peers)
            while turn < min(due, len(self._turns)):
                for peer, packet in zip(self._peers, self._turns[turn], strict=True):
                    peer.send_raw(packet)
                turn += 1
                self.sent = turn
            time.sleep(TICK)
        self.over = True
