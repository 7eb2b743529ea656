"""From the media thread's events to the objects they are about.

Control thread only. An event for an object that has been closed meanwhile finds nobody and is dropped.
"""

import os
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from sfu_core.worker.events import EngineEvent

Event = tuple[Any, ...]
Listener = Callable[[Event], None]


class Slab(Enum):
    """The tables of the engine; a handle means something only together with its table."""

    CORE = auto()  # one record, 0
    TRANSPORT = auto()
    PRODUCER = auto()
    RECV_STREAM = auto()
    SEND_STREAM = auto()


_SLAB_OF = {
    EngineEvent.CONNECTION: Slab.CORE,
    EngineEvent.ICE_STATE: Slab.TRANSPORT,
    EngineEvent.ICE_TUPLE: Slab.TRANSPORT,
    EngineEvent.DATAGRAM: Slab.TRANSPORT,
    EngineEvent.TUPLE: Slab.TRANSPORT,
    EngineEvent.RTCP_TUPLE: Slab.TRANSPORT,
    EngineEvent.RTCP: Slab.TRANSPORT,
    EngineEvent.NEW_STREAM: Slab.RECV_STREAM,
    EngineEvent.NEW_RTX_STREAM: Slab.RECV_STREAM,
    EngineEvent.RECV_SCORE: Slab.RECV_STREAM,
    EngineEvent.ORIENTATION: Slab.RECV_STREAM,
    EngineEvent.SEND_SCORE: Slab.SEND_STREAM,
    EngineEvent.RTP: Slab.SEND_STREAM,
    EngineEvent.CONSUMER_TRACE: Slab.SEND_STREAM,
    EngineEvent.PRODUCER_TRACE: Slab.PRODUCER,
}


class Dispatch:
    """Who listens for which handle."""

    def __init__(self) -> None:
        self._listeners: dict[Slab, dict[int, Listener]] = {slab: {} for slab in Slab}

    def add(self, slab: Slab, handle: int, listener: Listener) -> None:
        """From now on `listener` gets the events of this handle."""
        self._listeners[slab][handle] = listener

    def remove(self, slab: Slab, handle: int) -> None:
        """No more events."""
        self._listeners[slab].pop(handle, None)

    def deliver(self, event: Event) -> None:
        """Give `event` to whom it is about, if anybody."""
        slab = _SLAB_OF.get(event[0])
        listener = self._listeners[slab].get(event[1]) if slab is not None else None
        if listener is not None:
            listener(event)
        elif event[0] == EngineEvent.CONNECTION:
            os.close(event[5])

    def __len__(self) -> int:
        """Those of objects that come and go."""
        return sum(len(listeners) for slab, listeners in self._listeners.items() if slab is not Slab.CORE)
