"""Ports that all cores of a host listen on: this core's part of one WebRtcServer's.

Control thread only. Whoever starts the cores has bound a socket of each port for each core; ours are fetched through
his door, and so are those of a core that died, until it has a successor. The media thread reads them and hands over
what is another core's.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sfu_core.channel.messages import DoorKey, ListenInfo, TransportProtocol
from sfu_core.errors import NotFoundError, SfuError
from sfu_core.worker.binding import parse_ip
from sfu_core.worker.context import Context
from sfu_core.worker.door import fetch
from sfu_core.worker.sockets import Listener

if TYPE_CHECKING:
    from sfu_core._engine import Engine


class SharedPort:
    """A share of the engine, and all sockets in it that are not the server's own listeners."""

    def __init__(self, context: Context, number: int, core: int, memfd: int) -> None:
        """`memfd` is the table of flows; it stays the caller's."""
        self.number = number
        self.core = core
        self._tcp: dict[int, int] = {}
        self._sockets = context.sockets
        self._engine: Engine = context.engine
        self._handle = context.engine.add_share(memfd, number, core)
        self._adopted: dict[int, list[Listener]] = {}

    def listen(self, infos: Sequence[ListenInfo], bound: Sequence[socket.socket], group: int) -> list[Listener]:
        """Take over a socket for each listen info; all of them, or none and an error."""
        taken: list[Listener] = []
        try:
            for number, (info, sock) in enumerate(zip(infos, bound, strict=True)):
                ip = parse_ip(info.ip)[0]
                taken.append(self._sockets.take(sock, info, group, ip=ip, share=self._handle, number=number))
        except BaseException:
            self._sockets.close(taken)
            raise
        return taken

    def begin(self, listeners: Sequence[Listener]) -> None:
        """These are the server's own."""
        tcp = TransportProtocol.TCP
        self._tcp = {number: each.handle for number, each in enumerate(listeners) if each.protocol is tcp}

    def tcp_listener(self, number: int) -> int | None:
        """The handle of our own TCP socket of that listen info, if it is one."""
        return self._tcp.get(number)

    def adopt(self, core: int, infos: Sequence[ListenInfo], bound: Sequence[socket.socket], group: int) -> None:
        """Read the sockets of a core that died, beside our own."""
        if core in self._adopted:
            raise SfuError(f"the sockets of core {core} have been adopted already")
        self._adopted[core] = self.listen(infos, bound, group)

    def release(self, core: int) -> None:
        """Its successor reads them. NotFoundError if they are not here."""
        if core not in self._adopted:
            raise NotFoundError(f"no adopted sockets of core {core}")
        self._sockets.close(self._adopted.pop(core))

    def close(self) -> None:
        """The server's transports and listeners are closed."""
        for core in list(self._adopted):
            self.release(core)
        self._engine.close_share(self._handle)


class Fetched:
    """What lies behind a door: a table of flows, and bound sockets. Closes, in the end, what nobody has taken."""

    def __init__(self, descriptors: list[int]) -> None:
        """They are ours in any case. OSError if one that should be a socket is none."""
        self.memfd = descriptors[0]
        self.sockets: list[socket.socket] = []
        try:
            for descriptor in descriptors[1:]:
                self.sockets.append(socket.socket(fileno=descriptor))
        except OSError:
            self.close()
            for descriptor in descriptors[1 + len(self.sockets) :]:
                os.close(descriptor)
            raise

    def __enter__(self) -> "Fetched":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """What nobody has taken."""
        os.close(self.memfd)
        for sock in self.sockets:
            sock.close()


async def fetch_port(door: DoorKey) -> Fetched:
    """SfuError if the door stays shut."""
    try:
        return Fetched(await fetch(asyncio.get_running_loop(), door.address, door.token))
    except (OSError, ValueError, TimeoutError) as error:
        raise SfuError(f"the sockets of the shared port could not be fetched: {error}") from error
