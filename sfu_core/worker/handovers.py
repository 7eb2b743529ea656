"""TCP connections that came to another core than their own: taken to the owner's door, and taken in at ours.

Control thread only. The media thread reports a connection whose first request names another core; descriptor and bytes
go through that core's door, under the secret that all cores of the shared server know.
"""

import asyncio
import contextlib
import os
import socket
import stat
import struct

from sfu_core.worker.context import Context
from sfu_core.worker.dispatch import Event, Slab
from sfu_core.worker.door import Door, deposit
from sfu_core.worker.shared_port import SharedPort

TIMEOUT = 2.0  # seconds that a connection may be under way

_LISTENER = struct.Struct("<I")


class Handovers:
    """Of one core process."""

    def __init__(self, context: Context, door: Door) -> None:
        self.neighbours: dict[int, str] = {}
        """The doors of the cores that share ports with us, by number."""
        self._context = context
        self._door = door
        self._ports: dict[int, tuple[SharedPort, bytes]] = {}
        self._under_way: set[asyncio.Task[None]] = set()
        context.dispatch.add(Slab.CORE, 0, self._on_event)

    def add(self, port: SharedPort, secret: bytes) -> None:
        """From now on connections of that port come and go."""
        self._ports[port.number] = port, secret
        self._door.expect(secret, lambda data, fd: self._take_in(port, data, fd))

    def remove(self, port: SharedPort) -> None:
        """Not any more."""
        _, secret = self._ports.pop(port.number)
        self._door.refuse(secret)

    def close(self) -> None:
        """What is under way is closed."""
        self._context.dispatch.remove(Slab.CORE, 0)
        for task in self._under_way:
            task.cancel()

    def _on_event(self, event: Event) -> None:
        _, _, number, listener, owner, fd, data = event
        port, secret = self._ports.get(number, (None, b""))
        address = self.neighbours.get(owner)
        if port is None or address is None:
            self._left(fd)
        else:
            work = self._take_out(address, secret, _LISTENER.pack(listener) + data, fd)
            task = self._context.loop.create_task(work)
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            task.add_done_callback(lambda _: self._left(fd))  # also if it is cancelled before it has begun

    async def _take_out(self, address: str, secret: bytes, data: bytes, fd: int) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(TIMEOUT):
                await deposit(self._context.loop, address, secret, data, fd)

    def _left(self, fd: int) -> None:
        os.close(fd)
        with contextlib.suppress(LookupError):  # the engine is closed
            self._context.engine.connection_left()

    def _take_in(self, port: SharedPort, data: bytes, fd: int) -> None:
        """The door gives the descriptor away."""
        try:
            handle = port.tcp_listener(_LISTENER.unpack_from(data)[0])
            if handle is None or not _is_stream(fd):
                raise ValueError("no connection of ours")
            self._context.engine.add_connection(handle, fd, data[_LISTENER.size :])
        except (OSError, ValueError, TypeError, LookupError, BufferError, struct.error) as error:
            os.close(fd)
            self._context.logs.debug("ice", f"a connection that a neighbour has brought was refused: {error}")


def _is_stream(fd: int) -> bool:
    if not stat.S_ISSOCK(os.fstat(fd).st_mode):
        return False
    with socket.socket(fileno=os.dup(fd)) as sock:
        return sock.type == socket.SOCK_STREAM and sock.family in (socket.AF_INET, socket.AF_INET6)
