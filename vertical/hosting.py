"""Routers and WebRtcServers on the members: brought there when the first transport needs them.

Belongs to the switch's event loop. Knows where something may go and what must be there before; not what is created.
"""

import asyncio
from collections.abc import Iterable
from copy import deepcopy
from typing import Any, TypeVar

from sfu_core.channel import messages as m
from sfu_core.channel.place import Place, is_wildcard
from sfu_core.worker.binding import given_port
from vertical.links import ask
from vertical.members import Member, Pool
from vertical.pipes import StartTask
from vertical.tree import Router, Server

R = TypeVar("R")


class Hosting:
    """Of one logical worker."""

    def __init__(self, pool: Pool, start: StartTask) -> None:
        self._pool = pool
        self._start = start

    async def prepare(self, router: Router, server: Server | None, member: Member, message: m.Request[Any]) -> None:
        """Whatever the transport that `message` asks for needs is on `member`."""
        await self.router_on(router, member)
        if server is not None:
            await self.server_on(server, member)
        elif not leave_ports_open(_listen_infos(message)):
            await self._fence(member)

    async def place(self, router: Router, server: Server | None) -> Member:
        """Where a transport goes. A server that can be on one member only decides for all its transports."""
        ports = self._pool.ports
        if server is not None and server.port is not None and ports is not None:
            return await self._pool.choose(router.has_room_on, ports.has)
        if server is None or server.anywhere:
            return await self._pool.choose(router.has_room_on)
        if server.home is None or not server.home.alive:
            server.home = await self._pool.choose(router.has_room_on)
        return server.home

    async def open_server(self, server: Server) -> None:
        """On all members, which share its ports; where they cannot, on one now, so that errors show."""
        await self._pool.choose(lambda _: False)  # there is one
        ports = self._pool.ports
        if ports is not None and ports.can_share():
            await asyncio.gather(*(member.fence() for member in self._pool.members))  # who may hold the port still
            server.port = await ports.open(server.id, server.listen_infos, server.members)
        else:
            server.home = await self._pool.choose(lambda _: False)
            await self.server_on(server, server.home)

    def close_server(self, server: Server) -> None:
        """It has ended, and its members have been told."""
        if server.port is not None and self._pool.ports is not None:
            self._pool.ports.close(server.port)

    async def router_on(self, router: Router, member: Member) -> None:
        """Returns when the router is there."""
        if member not in router.members:
            message = m.WorkerCreateRouter(router_id=router.id)
            router.members[member] = self._start(self._make_on(router, member, message))
        await asyncio.shield(router.members[member])

    async def server_on(self, server: Server, member: Member) -> None:
        """Returns when the server is there; its error if it cannot be."""
        if server.port is not None and self._pool.ports is not None:
            return await self._pool.ports.ready(server.port, member)
        if member not in server.members:
            if not leave_ports_open(server.listen_infos):
                await self._fence(member)
            message = m.WorkerCreateWebRtcServer(web_rtc_server_id=server.id, listen_infos=server.listen_infos)
            if member not in server.members:
                server.members[member] = self._start(self._make_on(server, member, message))
        await asyncio.shield(server.members[member])

    async def _make_on(self, holder: Router | Server, member: Member, message: m.Request[None]) -> None:
        try:
            await ask(member, message)
        except BaseException as error:
            holder.members.pop(member, None)
            if isinstance(error, asyncio.CancelledError):  # it may be there, or about to be
                member.tell(close_request(holder))
            raise
        if holder.closed:  # too early for the member to have been told
            member.tell(close_request(holder))

    async def _fence(self, member: Member) -> None:
        """A given port may have just been let go of, by another member that has not carried it out yet."""
        await asyncio.gather(*(other.fence() for other in self._pool.members if other is not member))


def close_request(holder: Router | Server) -> m.Request[None]:
    """What ends it on a member."""
    if isinstance(holder, Router):
        return m.WorkerCloseRouter(router_id=holder.id)
    return m.WorkerWebRtcServerClose(web_rtc_server_id=holder.id)


def leave_ports_open(infos: Iterable[m.ListenInfo]) -> bool:
    """Whether each of several members can listen so."""
    return not any(map(given_port, infos))


def addressed(message: m.Request[R], place: Place) -> m.Request[R]:
    """`message` with the address of where it goes, instead of any host's (`Place.announced_addresses`)."""
    if not any(is_wildcard(info.announced_address) for info in _listen_infos(message)):
        return message
    message = deepcopy(message)
    for info in _listen_infos(message):
        if is_wildcard(info.announced_address):
            info.announced_address = place.address_like(info.announced_address)
    return message


def _listen_infos(message: Any) -> list[m.ListenInfo]:
    """Those of a request that creates a transport with sockets of its own."""
    match message:
        case m.RouterCreateWebRtcTransport(options=m.WebRtcTransportOptions(listen=m.ListenIndividual() as listen)):
            return listen.listen_infos
        case m.RouterCreatePlainTransport(options=options):
            return [info for info in (options.listen_info, options.rtcp_listen_info) if info is not None]
        case m.RouterCreatePipeTransport(options=options):
            return [options.listen_info]
        case _:
            return []
