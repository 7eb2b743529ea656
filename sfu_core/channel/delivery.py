"""Hands notifications to their listeners: in order, and late enough for the listeners to exist.

Runs in the event loop of the channel's user. Knows ids and callables only.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from sfu_core.channel.codec import NotificationFrame

DELIVERY_TURNS: Final = 4
"""Turns of the loop by which a notification is put off.

A reply needs one turn to reach the task that awaits it, and up to three more to reach whoever awaits
that task through gather or wait_for. A notification written right after the reply must find their
listeners in place.
"""

FrameListener = Callable[[NotificationFrame], None]


class Deliveries:
    """Listeners by object id, and the notifications on their way to them."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._listeners: dict[str, FrameListener] = {}
        self._waiting: deque[tuple[int, NotificationFrame]] = deque()
        self._turn = 0
        self.fallback: FrameListener | None = None
        """Hears what concerns objects that have no listener of their own."""

    def subscribe(self, target_id: str, listener: FrameListener) -> None:
        if target_id in self._listeners:
            raise ValueError(f"{target_id} already has a listener")
        self._listeners[target_id] = listener

    def unsubscribe(self, target_id: str) -> None:
        self._listeners.pop(target_id, None)

    def put(self, frame: NotificationFrame) -> None:
        if not self._waiting:
            self._loop.call_soon(self._advance)
        self._waiting.append((self._turn + DELIVERY_TURNS, frame))

    def clear(self) -> None:
        """Forgets listeners and what was on its way."""
        self._listeners.clear()
        self._waiting.clear()

    def _advance(self) -> None:
        self._turn += 1
        waiting = self._waiting
        while waiting and waiting[0][0] <= self._turn:
            _, frame = waiting.popleft()
            self._deliver(frame)
        if waiting:
            self._loop.call_soon(self._advance)

    def _deliver(self, frame: NotificationFrame) -> None:
        listener = self._listeners.get(frame.handler_id, self.fallback)
        if listener is None:
            return
        try:
            listener(frame)
        except Exception as error:
            self._loop.call_exception_handler(
                {"message": f"listener of {frame.handler_id} failed", "exception": error}
            )
