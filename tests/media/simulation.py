"""A virtual clock and a seeded network for bytes-only scenarios: no socket, no thread, no waiting.

What an endpoint is, and what the bytes are, it does not know. The same seed gives the same run.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from tests.network.relay import PERFECT, Impairment, Link, LinkStats

MS = 1_000_000
SECOND = 1_000_000_000


class Simulation:
    """Time that jumps from one thing to do to the next."""

    def __init__(self, start_ns: int = 1000 * SECOND) -> None:
        self.now_ns = start_ns
        self._order = 0
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []

    def at(self, when_ns: int, action: Callable[[], None]) -> None:
        """Do it then, or as soon as possible; what is due together happens in the order of asking."""
        self._order += 1
        heapq.heappush(self._agenda, (max(when_ns, self.now_ns), self._order, action))

    def every(self, period_ns: int, action: Callable[[], None]) -> None:
        """Do it after each period, for ever."""

        def again() -> None:
            action()
            self.at(self.now_ns + period_ns, again)

        self.at(self.now_ns + period_ns, again)

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end_ns = self.now_ns + round(seconds * SECOND)
        while self._agenda and self._agenda[0][0] <= end_ns:
            self.now_ns, _, action = heapq.heappop(self._agenda)
            action()
        self.now_ns = end_ns


class Alarm:
    """One action at the earliest of the times asked for; it asks again itself if it wants more."""

    def __init__(self, simulation: Simulation, action: Callable[[], None]) -> None:
        self._simulation = simulation
        self._action = action
        self._due_ns: int | None = None

    def want(self, when_ns: int) -> None:
        if self._due_ns is None or when_ns < self._due_ns:
            self._due_ns = when_ns
            self._simulation.at(when_ns, lambda: self._ring(when_ns))

    def _ring(self, when_ns: int) -> None:
        if self._due_ns == when_ns:
            self._due_ns = None
            self._action()


class Wire:
    """One direction of a path: bytes go in, and come out later, in another order, twice or not at all."""

    def __init__(
        self,
        simulation: Simulation,
        deliver: Callable[[bytes], None],
        impairment: Impairment = PERFECT,
        seed: int | str = 0,
    ) -> None:
        self._simulation = simulation
        self._deliver = deliver
        self._link = Link(impairment, seed)
        self.cut = False

    @property
    def stats(self) -> LinkStats:
        return self._link.stats

    def impair(self, impairment: Impairment) -> None:
        self._link.impairment = impairment

    def send(self, data: bytes) -> None:
        """Drops everything while `cut`."""
        if self.cut:
            return
        for due in self._link.schedule(self._simulation.now_ns / SECOND, len(data)):
            self._simulation.at(round(due * SECOND), lambda: self._deliver(data))
