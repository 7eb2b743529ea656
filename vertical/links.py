"""Ways between two members of one router, and producers carried over them.

A `Link` joins the same router on two members and carries producers in both directions; a `Carried` is one producer on
its way. What is behind these two nobody above knows: a pair of PipeTransports here, shared memory in `vertical.rings`.
Belongs to the switch's event loop.
"""

import asyncio
import secrets
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

from sfu_core.channel import messages as m
from sfu_core.channel.place import meeting_addresses, wildcard_for
from sfu_core.errors import NotFoundError, WorkerClosedError
from vertical.members import Member
from vertical.pipe_parameters import pipe_parameters, ssrc_count
from vertical.tree import Producer, Router

R = TypeVar("R")

_FIRST_SSRC, _SSRC_COUNT = 100_000_000, 4_000_000_000


class CoreGoneError(NotFoundError):
    """The core that was asked has ended, and with it the object."""


async def ask(member: Member, message: m.Request[R], target_id: str = "") -> R:
    """The member's answer. CoreGoneError if it ends: to the application only the object is gone, not the worker."""
    try:
        return await member.channel.request(message, target_id)
    except WorkerClosedError as error:
        raise CoreGoneError(f"the core has ended that had {target_id or 'it'}") from error


class Carried(Protocol):
    """A producer as it exists at the far end of a link."""

    @property
    def paused(self) -> bool:
        """Whether the far producer is."""
        ...

    @property
    def flowing(self) -> bool:
        """Whether packets cross; they do not when it is new."""
        ...

    async def set_paused(self, paused: bool) -> None:
        """Pause or resume the far producer; its consumers are told by their member."""
        ...

    async def set_flowing(self, flowing: bool) -> None:
        """Let packets cross or not. Video starts to flow with a key frame, which is asked for."""
        ...

    def stream_of(self, ssrc: int) -> int | None:
        """The index of the producer's encoding that has this SSRC on the link."""
        ...

    def close(self) -> None:
        """End both halves; consumers of the far one are told by their member."""
        ...


class Link(Protocol):
    """A way between a router's two members."""

    async def open(self) -> None:
        """Make it. On failure nothing is left."""
        ...

    async def carry(self, producer: Producer, near: Member, far: Member) -> Carried:
        """Make the producer, which is at the `near` end, exist at the `far` end. On failure nothing is left."""
        ...

    def close(self) -> None:
        """End it with all that it carries. What has ended with its router or member needs no telling."""
        ...


class PairLink(ABC, Generic[R]):
    """A transport on each member; `R` is what creating one replies, and what the other must know to connect."""

    def __init__(self, router: Router, first: Member, second: Member, rtx: bool = False) -> None:
        self._router = router
        self._ends = {first: str(uuid.uuid4()), second: str(uuid.uuid4())}
        self._rtx = rtx
        self._next_ssrc = secrets.randbelow(_SSRC_COUNT)

    @abstractmethod
    async def _requests(self) -> Sequence[m.Request[R]]:
        """Those that create the ends, in the order of `_ends`."""

    @abstractmethod
    def _connection(self, other: R) -> m.Request[Any]:
        """What tells an end of the other one."""

    async def open(self) -> None:
        creations = map(ask, self._ends, await self._requests(), [self._router.id] * 2)
        made = await asyncio.gather(*creations, return_exceptions=True)
        try:
            (first, here), (second, there) = zip(self._ends, successes(made), strict=True)
            await asyncio.gather(
                ask(first, self._connection(there), self._ends[first]),
                ask(second, self._connection(here), self._ends[second]),
            )
        except BaseException:
            for member, result in zip(self._ends, made, strict=True):
                if not isinstance(result, BaseException):
                    self._close_end(member)
            raise

    async def carry(self, producer: Producer, near: Member, far: Member) -> Carried:
        way = pipe_parameters(producer.request, self._take_ssrcs(producer.request), self._rtx)
        carried = _Pair(self._router, producer, near, self._ends[near], far, self._ends[far])
        consume = m.TransportConsume(
            consumer_id=carried.consumer_id,
            producer_id=producer.wire_id,
            kind=producer.request.kind,
            rtp_parameters=way.rtp_parameters,
            type=m.RtpType.PIPE,
            consumable_rtp_encodings=way.consumable_rtp_encodings,
            paused=True,
        )
        produce = m.TransportProduce(
            producer_id=producer.wire_id,
            kind=producer.request.kind,
            rtp_parameters=way.rtp_parameters,
            rtp_mapping=way.rtp_mapping,
            paused=producer.paused,
        )
        carried.paused = producer.paused
        carried.ssrcs = [encoding.ssrc or 0 for encoding in way.rtp_parameters.encodings]
        made = await asyncio.gather(
            ask(near, consume, self._ends[near]), ask(far, produce, self._ends[far]), return_exceptions=True
        )
        carried.near_made, carried.far_made = (not isinstance(result, BaseException) for result in made)
        try:
            successes([*made])
        except BaseException:
            carried.close()
            raise
        return carried

    def close(self) -> None:
        for member in self._ends:
            self._close_end(member)

    def _close_end(self, member: Member) -> None:
        if not self._router.closed:
            member.tell(m.RouterCloseTransport(transport_id=self._ends[member]), self._router.id)

    def _take_ssrcs(self, request: m.TransportProduce) -> int:
        """The first of as many SSRCs as it needs, none of which the link has used lately."""
        count = ssrc_count(request, self._rtx)
        if self._next_ssrc + count > _SSRC_COUNT:
            self._next_ssrc = 0
        first = _FIRST_SSRC + self._next_ssrc
        self._next_ssrc += count
        return first


class UdpLink(PairLink[m.PipeTransportDumpResponse]):
    """A pair of PipeTransports: clear over loopback between neighbours, SRTP and RTX between strangers."""

    def __init__(self, router: Router, first: Member, second: Member) -> None:
        super().__init__(router, first, second, rtx=not first.place.shares_host_with(second.place))

    async def _requests(self) -> Sequence[m.Request[m.PipeTransportDumpResponse]]:
        first, second = (member.place for member in self._ends)
        neighbours = first.shares_host_with(second)
        addresses = (None, None) if neighbours else meeting_addresses(first, second)
        return [
            m.RouterCreatePipeTransport(transport_id=id, options=pipe_options(address))
            for id, address in zip(self._ends.values(), addresses, strict=True)
        ]

    def _connection(self, other: m.PipeTransportDumpResponse) -> m.Request[Any]:
        return m.PipeTransportConnect(
            ip=other.tuple.local_address, port=other.tuple.local_port, srtp_parameters=other.srtp_parameters
        )


class _Pair:
    """A pipe consumer at the near end, and a producer of the original's name at the far one."""

    def __init__(
        self, router: Router, producer: Producer, near: Member, near_end: str, far: Member, far_end: str
    ) -> None:
        self.consumer_id = str(uuid.uuid4())
        self.paused = False
        self.flowing = False
        self.ssrcs: list[int] = []
        self.near_made = False
        self.far_made = False
        self._router = router
        self._producer = producer
        self._near, self._near_end = near, near_end
        self._far, self._far_end = far, far_end

    async def set_paused(self, paused: bool) -> None:
        message: m.Request[None] = m.ProducerPause() if paused else m.ProducerResume()
        self.paused = paused  # sooner or later: what is not answered in time is carried out nevertheless
        await ask(self._far, message, self._producer.wire_id)

    async def set_flowing(self, flowing: bool) -> None:
        message: m.Request[None] = m.ConsumerResume() if flowing else m.ConsumerPause()
        self.flowing = flowing
        await ask(self._near, message, self.consumer_id)

    def stream_of(self, ssrc: int) -> int | None:
        return self.ssrcs.index(ssrc) if ssrc in self.ssrcs else None

    def close(self) -> None:
        if self._router.closed:
            return
        if self.far_made:
            self._far.tell(m.TransportCloseProducer(producer_id=self._producer.wire_id), self._far_end)
        if self.near_made and not self._producer.closed:  # else it has ended with the producer
            self._near.tell(m.TransportCloseConsumer(consumer_id=self.consumer_id), self._near_end)


def pipe_options(address: str | None) -> m.PipeTransportOptions:
    """How an end listens: for a member on another host, at an address that this one announces; else None."""
    info = m.ListenInfo(
        ip="127.0.0.1" if address is None else wildcard_for(address),
        announced_address=address,
        expose_internal_ip=False,
        port_range=m.PortRange(),
        flags=m.SocketFlags(),
    )
    abroad = address is not None
    return m.PipeTransportOptions(
        base=m.TransportOptions(), listen_info=info, enable_rtx=abroad, enable_srtp=abroad
    )


def successes(results: Sequence[R | BaseException], but: type[Exception] | tuple[()] = ()) -> list[R]:
    """The results; the first failure is raised, except those of class `but`, which are left out."""
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, but):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]
