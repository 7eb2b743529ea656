"""Handshakes of many transports share the control thread: a few steps a turn of the loop.

A step of a handshake is a signature or two, up to a few milliseconds. A thousand joins at once then delay other
requests by little, and leave the processor to the media thread in between.
"""

from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable

STEPS_PER_TURN = 4

Step = Callable[[], None]


class Handshakes:
    """A queue of steps, in order; one that raises does not stop the others."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._steps: deque[Step] = deque()
        self._scheduled = False

    def add(self, step: Step) -> None:
        """Run `step` on one of the next turns of the loop."""
        self._steps.append(step)
        self._schedule()

    def __len__(self) -> int:
        return len(self._steps)

    def _schedule(self) -> None:
        if self._steps and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        try:
            for _ in range(min(STEPS_PER_TURN, len(self._steps))):
                self._steps.popleft()()
        finally:
            self._schedule()
