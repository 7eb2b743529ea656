"""Ports that all cores of a pool listen on: bound here, handed to the cores, held while a core is being replaced.

For each listen info each core has a socket of its own on the one port (SO_REUSEPORT); the kernel deals datagrams and
connections out among them, and a core hands over what is another one's. The descriptors stay here as well, so the
sockets outlive a core: a neighbour reads those of a dead one until its successor does. Belongs to the pool's loop.
"""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sfu_core.channel import messages as m
from sfu_core.channel.place import host_id
from sfu_core.errors import NotFoundError, SfuError
from sfu_core.worker.binding import A_MOMENT, bind, bind_beside, naps, set_options
from vertical import rings
from vertical.links import CoreGoneError, ask
from vertical.members import Member

if TYPE_CHECKING:
    from sfu_core.worker.door import Door

NEEDED: Final = rings.NEEDED | {
    kind.METHOD
    for kind in (m.WorkerShareWebRtcServer, m.WorkerSetNeighbour, m.WorkerAdoptSockets, m.WorkerReleaseSockets)
}
"""What every member must serve."""

MAX_CORES: Final = 256
LET_GO: Final = 1.0
"""Seconds that cores may take to close a port after they were told to."""

Members: TypeAlias = "dict[Member, asyncio.Future[None]]"
Start: TypeAlias = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]

_log = logging.getLogger(__name__)


class Port:
    """The ports of one WebRtcServer: for each core its sockets, in the order of the listen infos."""

    def __init__(self, server_id: str, infos: list[m.ListenInfo], members: Members, number: int) -> None:
        self.server_id = server_id
        self.infos = infos
        self.members = members
        """Where the server is, or is being made: the tree's own book."""
        self.number = number
        self.secret = secrets.token_bytes(32)
        self.sockets: dict[int, list[socket.socket]] = {}
        """Of each core that there has been, by its index."""
        self.first: list[socket.socket] = []
        self.table = -1
        self.tokens: set[bytes] = set()
        """Of copies that were offered, and perhaps not fetched yet."""
        self.adopted: dict[int, tuple[Member, asyncio.Task[None]]] = {}
        """Cores that are dead, and who reads for them."""
        self.closed = False

    def bind(self, default_range: tuple[int, int], indices: Sequence[int]) -> None:
        """For these cores. All, or none and an error: a port must have been free, whoever else would share it."""
        if not indices:
            raise CoreGoneError("all cores have just ended")
        from sfu_core._flows import new_table  # not before: who controls other hosts only has nothing compiled

        try:
            for info in self.infos:
                self.first.append(bind(info, default_range, shared=True, patience=0)[1])
                set_options(self.first[-1], info)
            self.sockets[indices[0]] = self.first
            for index in indices[1:]:
                self._bind_beside(index)
            self.table = new_table(MAX_CORES)
        except BaseException:
            self._let_go()
            raise

    def _bind_beside(self, index: int) -> None:
        sockets: list[socket.socket] = []
        try:
            for info, first in zip(self.infos, self.first, strict=True):
                sockets.append(bind_beside(info, first))
                set_options(sockets[-1], info)
        except BaseException:
            for bound in sockets:
                bound.close()
            raise
        self.sockets[index] = sockets

    def descriptors(self, index: int) -> list[int]:
        """Copies of what the core of that index needs: the table of flows, then its sockets. May be an OSError."""
        if index not in self.sockets:
            self._bind_beside(index)
        copies: list[int] = []
        try:
            for descriptor in (self.table, *(bound.fileno() for bound in self.sockets[index])):
                copies.append(os.dup(descriptor))
        except OSError:
            for copy in copies:
                os.close(copy)
            raise
        return copies

    def close(self) -> None:
        """The cores have their own descriptors, and are told by whoever closes the server."""
        self.closed = True
        self._let_go()

    def _let_go(self) -> None:
        for bound in [bound for sockets in self.sockets.values() for bound in sockets]:
            bound.close()
        for bound in self.first:
            bound.close()
        self.first = []
        self.sockets.clear()
        if self.table >= 0:
            os.close(self.table)
            self.table = -1


class Ports:
    """Of one pool."""

    def __init__(self, default_range: tuple[int, int], start: Start) -> None:
        """`start` runs a coroutine as a task that ends with the pool."""
        self._default_range = default_range
        self._start = start
        self._door: Door | None = None
        self._members: dict[int, Member] = {}
        """Those that can share."""
        self._strangers: set[Member] = set()
        """Those on other hosts, or that do not know how."""
        self._ports: list[Port] = []
        self._numbers = count(1)
        self._met: dict[frozenset[Member], asyncio.Future[None]] = {}
        self._last_close = -LET_GO

    def can_share(self) -> bool:
        """Whether all members are on this host and know how."""
        return bool(self._members) and not self._strangers

    def has(self, member: Member) -> bool:
        """Whether it has, or can have, a part of each port."""
        return member not in self._strangers

    async def open(self, server_id: str, infos: list[m.ListenInfo], members: Members) -> Port:
        """Returns when all members listen; the error if the port cannot be bound, or a member cannot have it."""
        port = Port(server_id, infos, members, next(self._numbers))
        if not infos:
            raise TypeError("listenInfos is empty")
        await self._bind(port)
        self._ports.append(port)
        try:
            await asyncio.gather(*(self._unless_gone(port, member) for member in self._alive()))
        except BaseException:
            for member, made in port.members.items():
                if made.done():
                    _close_on(member, port)
            self.close(port)
            raise
        return port

    def close(self, port: Port) -> None:
        """The server has ended, and the members have been told."""
        if port in self._ports:
            self._ports.remove(port)
            self._last_close = asyncio.get_running_loop().time()
        if self._door is not None:
            self._door.withdraw(port.tokens)
        port.close()

    def close_all(self) -> None:
        """With the pool."""
        for port in list(self._ports):
            self.close(port)
        if self._door is not None:
            self._door.close()

    # Members come and go

    def arrived(self, member: Member) -> None:
        """A core has started. It gets its sockets; if it is a successor, whoever has read for it stops."""
        if not _can_share(member):
            self._strangers.add(member)
            return
        self._members[member.index] = member
        for port in self._ports:
            self._start(self._succeed(port, member))

    def gone(self, member: Member) -> None:
        """A core has died. The next one reads its sockets, and those that it had adopted."""
        if member in self._strangers:
            self._strangers.remove(member)
            return
        self._members.pop(member.index, None)
        self._met = {pair: met for pair, met in self._met.items() if member not in pair}
        for port in self._ports:
            port.members.pop(member, None)
            port.adopted = {index: adopted for index, adopted in port.adopted.items() if adopted[0] is not member}
            self._find_readers(port)

    def _find_readers(self, port: Port) -> None:
        """Of each dead core's sockets: the next one that lives."""
        others = [other for other in self._alive() if other in port.members]
        for index in port.sockets if others else ():
            if index not in self._members and index not in port.adopted:
                adopter = next((other for other in others if other.index > index), others[0])
                port.adopted[index] = adopter, self._start(self._adopt_on(port, index, adopter))

    async def _adopt_on(self, port: Port, index: int, adopter: Member) -> None:
        try:
            await self.ready(port, adopter)
            message = m.WorkerAdoptSockets(
                web_rtc_server_id=port.server_id, core=index, door=self._offer(port, index)
            )
            await ask(adopter, message)
        except (SfuError, OSError) as error:
            if adopter.alive and not port.closed:
                _log.warning("%r does not read for core %d: %s", adopter, index, error)

    async def _succeed(self, port: Port, member: Member) -> None:
        try:
            await self.ready(port, member)
        except SfuError as error:
            if member.alive and not port.closed:
                _log.warning("%r has no part of a shared port: %s", member, error)
            return
        if (adopted := port.adopted.get(member.index)) is not None:
            adopter, adopting = adopted
            await asyncio.wait([adopting])
            if member.alive and not port.closed and port.adopted.get(member.index) is adopted:
                del port.adopted[member.index]
                adopter.tell(m.WorkerReleaseSockets(web_rtc_server_id=port.server_id, core=member.index))
        self._find_readers(port)

    # A server on a member

    async def ready(self, port: Port, member: Member) -> None:
        """Returns when the server is on the member; its error if it cannot be."""
        if member not in port.members:
            port.members[member] = self._start(self._make_on(port, member))
        await asyncio.shield(port.members[member])

    async def _unless_gone(self, port: Port, member: Member) -> None:
        with suppress(CoreGoneError):  # then its successor will have it
            await self.ready(port, member)

    async def _make_on(self, port: Port, member: Member) -> None:
        try:
            await asyncio.gather(*(self._meet(member, other) for other in self._alive() if other is not member))
            message = m.WorkerShareWebRtcServer(
                web_rtc_server_id=port.server_id,
                listen_infos=port.infos,
                door=self._offer(port, member.index),
                number=port.number,
                secret=port.secret,
                core=member.index,
            )
            await ask(member, message)
        except BaseException:
            port.members.pop(member, None)
            raise
        if port.closed:  # too early for the member to have been told
            _close_on(member, port)

    async def _meet(self, member: Member, other: Member) -> None:
        """Both know the ring to each other and each other's door: before they read what may be the other one's."""
        pair = frozenset((member, other))
        if pair not in self._met:
            self._met[pair] = self._start(self._introduce(member, other))
        try:
            await asyncio.shield(self._met[pair])
        except SfuError:
            if member.alive and other.alive:
                raise

    async def _introduce(self, first: Member, second: Member) -> None:
        try:
            ring_id = await rings.ring_between(first, second)
            address = ""
            for member, other in ((first, second), (second, first), (first, second)):
                message = m.WorkerSetNeighbour(core=other.index, ring_id=ring_id, address=address)
                address = (await ask(member, message)).address
        except BaseException:
            self._met.pop(frozenset((first, second)), None)
            raise

    # Inside

    async def _bind(self, port: Port) -> None:
        """Without blocking the loop."""
        left = self._last_close + LET_GO - asyncio.get_running_loop().time()
        for nap in naps(max(left, A_MOMENT)):
            with suppress(SfuError):
                return self._try(port)
            await asyncio.sleep(nap)
        return self._try(port)

    def _try(self, port: Port) -> None:
        port.bind(self._default_range, [member.index for member in self._alive()])

    def _offer(self, port: Port, index: int) -> m.DoorKey:
        from sfu_core.worker.door import Door

        if port.closed:
            raise NotFoundError(f"WebRtcServer {port.server_id!r} is closed")
        self._door = self._door or Door(asyncio.get_running_loop())
        try:
            address, token = self._door.offer(port.descriptors(index))
        except OSError as error:
            raise SfuError(f"core {index} cannot have a socket of its own: {error}") from error
        port.tokens.add(token)
        return m.DoorKey(address=address, token=token)

    def _alive(self) -> Sequence[Member]:
        return [member for _, member in sorted(self._members.items()) if member.alive]


def _can_share(member: Member) -> bool:
    place = member.place
    return place.host_id == host_id() and place.extensions >= NEEDED and member.index < MAX_CORES


def _close_on(member: Member, port: Port) -> None:
    member.tell(m.WorkerWebRtcServerClose(web_rtc_server_id=port.server_id))
