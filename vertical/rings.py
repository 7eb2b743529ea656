"""Links through shared memory, between members of one host.

Two members share one ring for all routers and all logical workers, from the first link on while both live. Each router
has a transport at either end of it. Belongs to the switch's event loop; no packet passes here.
"""

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any, Final

from sfu_core.channel import messages as m
from vertical.links import CoreGoneError, Link, PairLink, UdpLink, ask
from vertical.members import Member
from vertical.tree import Router

NEEDED: Final = frozenset(
    kind.METHOD
    for kind in (
        m.WorkerOpenRing,
        m.WorkerJoinRing,
        m.WorkerCloseRing,
        m.RouterCreateRingTransport,
        m.RingTransportConnect,
    )
)
"""What both members must serve."""


def best_link(router: Router, first: Member, second: Member) -> Link:
    """Through shared memory where that is possible, else over the network."""
    served = first.place.extensions & second.place.extensions
    if first.place.shares_host_with(second.place) and served >= NEEDED:
        return RingLink(router, first, second)
    return UdpLink(router, first, second)


class RingLink(PairLink[m.RingTransportCreated]):
    """A pair of transports on the ring that the members share."""

    async def _requests(self) -> Sequence[m.Request[m.RingTransportCreated]]:
        ring_id = await ring_between(*self._ends)
        return [m.RouterCreateRingTransport(transport_id=id, ring_id=ring_id) for id in self._ends.values()]

    def _connection(self, other: m.RingTransportCreated) -> m.Request[Any]:
        return m.RingTransportConnect(tag=other.tag)


async def ring_between(first: Member, second: Member) -> str:
    """The id of their ring, made now unless there is one or somebody is making it."""
    making = first.rings.get(second)
    if making is None:
        making = asyncio.ensure_future(_make_ring(first, second))
        first.rings[second] = second.rings[first] = making
    return await asyncio.shield(making)


async def _check_alive(member: Member) -> None:
    """CoreGoneError if the member has ended, or is found to have ended a moment from now."""
    for _ in range(10):
        if not member.alive:
            raise CoreGoneError("the core has ended whose ring was wanted")
        await asyncio.sleep(0.01)


async def _make_ring(first: Member, second: Member) -> str:
    ring_id = str(uuid.uuid4())
    try:
        door = await ask(first, m.WorkerOpenRing(ring_id=ring_id))
        try:
            await ask(second, m.WorkerJoinRing(ring_id=ring_id, door=door))
        except BaseException:
            first.tell(m.WorkerCloseRing(ring_id=ring_id))
            await _check_alive(first)
            raise
    except BaseException:
        first.rings.pop(second, None)
        second.rings.pop(first, None)
        raise
    return ring_id
