"""Pipes on demand: each producer at most once on each member, for as long as somebody there consumes it.

Packets cross while one of those who consume it is not paused. A tree of depth two: on its own host a producer comes
straight from its home, to each other host it goes once, to the member that wants it first (the gateway), and from there
to the others. Belongs to the switch's event loop; knows when a pipe is wanted, not what it is made of
(`vertical.links`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias

from sfu_core.errors import NotFoundError
from vertical.links import Carried, Link
from vertical.members import Member
from vertical.rings import best_link
from vertical.tree import Producer, Router

MakeLink: TypeAlias = Callable[[Router, Member, Member], Link]
BringRouter: TypeAlias = Callable[[Router, Member], Awaitable[None]]
StartTask: TypeAlias = Callable[[Coroutine[Any, Any, Any]], "asyncio.Task[Any]"]


class _Held:
    """A link with the number of producers that it carries or will carry."""

    def __init__(self, key: frozenset[Member], link: Link, opening: "asyncio.Task[None]") -> None:
        self.key = key
        self.link = link
        self.opening = opening
        self.uses = 0


class Piped:
    """A producer on its way to a member, or there."""

    def __init__(self, producer: Producer, far: Member, via: "Piped | None") -> None:
        """`via`: how it gets to the gateway of the other member's host, from where it goes on."""
        self.producer = producer
        self.near: Member = producer.transport.member if via is None else via.far
        self.far: Member = far
        self.via = via
        self.users: dict[str | Piped, bool] = {}
        """Consumers by id and pipes that go on from here, and whether they want packets."""
        self.carried: Carried | None = None
        self.closed = False
        self.making: asyncio.Task[None]
        self.held: _Held
        self.changing = asyncio.Lock()

    @property
    def wanted(self) -> bool:
        """Whether anybody there wants packets."""
        return any(self.users.values())


class Pipes:
    """Of one logical worker."""

    def __init__(self, start: StartTask, bring_router: BringRouter, make_link: MakeLink = best_link) -> None:
        """`start` runs a coroutine as a task that ends with the logical worker."""
        self._start = start
        self._bring_router = bring_router
        self._make_link = make_link
        self._links: dict[Router, dict[frozenset[Member], _Held]] = {}
        self.count = 0
        """Producers piped, or being piped."""

    @property
    def links(self) -> int:
        """Pairs of members that are joined for some router."""
        return sum(map(len, self._links.values()))

    def links_of(self, member: Member) -> int:
        """Those that end at it."""
        return sum(member in ends for links in self._links.values() for ends in links)

    async def connect(self, producer: Producer, far: Member, consumer_id: str) -> None:
        """Returns when the producer is on `far`, paused or not as at home. It stays until `release`.

        For the new consumer nothing flows yet: it must exist before it can take the key frame it begins with.
        """
        while True:
            piped = producer.piped.get(far)
            if piped is None:
                piped = self._pipe(producer, far)
            piped.users[consumer_id] = False
            try:
                await _made(piped)
                return await self._synchronise(piped)
            except BaseException as error:
                self._release(piped, consumer_id)
                if not (isinstance(error, NotFoundError) and _lost_gateway(piped)):
                    raise

    async def want(self, producer: Producer, far: Member, consumer_id: str, wanted: bool) -> None:
        """Returns when packets cross for all who want them, and for nobody else."""
        piped = producer.piped.get(far)
        if piped is not None and consumer_id in piped.users:
            piped.users[consumer_id] = wanted
            await self._synchronise(piped)

    def release(self, producer: Producer, far: Member, consumer_id: str) -> None:
        """It does not consume any more; the last one takes the pipe along."""
        piped = producer.piped.get(far)
        if piped is not None:
            self._release(piped, consumer_id)

    async def pause_changed(self, producer: Producer) -> None:
        """Returns when the producer is paused or not everywhere as it is at home."""
        await asyncio.gather(*(self._synchronise(piped) for piped in list(producer.piped.values())))

    def source_gone(self, producer: Producer) -> None:
        """Consumers elsewhere hear of it from their members."""
        for piped in list(producer.piped.values()):
            self._close(piped)

    def member_gone(self, producer: Producer, member: Member) -> None:
        """What went on from there ends: its consumers hear of it. Whoever comes next gets another gateway."""
        gateway = producer.piped.get(member)
        if gateway is not None:
            self._close(gateway)

    def router_gone(self, router: Router) -> None:
        """Its links end with it."""
        self._links.pop(router, None)

    def carried(self, producer: Producer, far: Member) -> Carried | None:
        """What brings the producer to that member."""
        piped = producer.piped.get(far)
        return piped.carried if piped is not None else None

    # Making

    def _pipe(self, producer: Producer, far: Member) -> Piped:
        via = _gateway_to(producer, far)
        piped = producer.piped[far] = Piped(producer, far, via)
        if via is not None:
            via.users[piped] = False
        self.count += 1
        piped.held = self._hold(producer.transport.router, piped.near, far)
        piped.making = self._start(self._make(piped))
        return piped

    async def _make(self, piped: Piped) -> None:
        try:
            await asyncio.shield(piped.held.opening)
            if piped.via is not None:
                await _made(piped.via)
            self._check(piped)
            piped.carried = await piped.held.link.carry(piped.producer, piped.near, piped.far)
            self._check(piped)
        except BaseException:
            self._close(piped)
            self._drop(piped)
            raise

    def _check(self, piped: Piped) -> None:
        if piped.closed:
            raise NotFoundError(f"producer {piped.producer.id!r} was closed, or nobody wants it any more")

    def _hold(self, router: Router, near: Member, far: Member) -> _Held:
        links = self._links.setdefault(router, {})
        key = frozenset((near, far))
        held = links.get(key)
        if held is None or _failed(held.opening):
            link = self._make_link(router, near, far)
            held = links[key] = _Held(key, link, self._start(self._open(link, router, near, far)))
        held.uses += 1
        return held

    async def _open(self, link: Link, router: Router, near: Member, far: Member) -> None:
        """Whoever consumes over there may be in another router."""
        await self._bring_router(router, near)
        await self._bring_router(router, far)
        await link.open()

    async def _synchronise(self, piped: Piped) -> None:
        """First here, then on the way to here, so that a key frame that is asked for there passes."""
        await self._adjust(piped)
        if piped.via is not None and piped in piped.via.users:
            piped.via.users[piped] = piped.wanted
            await self._adjust(piped.via)

    async def _adjust(self, piped: Piped) -> None:
        async with piped.changing:
            while (carried := piped.carried) is not None and not piped.closed:
                try:
                    if carried.paused != piped.producer.paused:
                        await carried.set_paused(piped.producer.paused)
                    elif carried.flowing != piped.wanted:
                        await carried.set_flowing(piped.wanted)
                    else:
                        return
                except NotFoundError:  # it has just ended; whoever depends on it will hear
                    return

    # Ending

    def _release(self, piped: Piped, user: str | Piped) -> None:
        piped.users.pop(user, None)
        if not piped.users:
            self._close(piped)
        elif piped.carried is not None and piped.carried.flowing and not piped.wanted:
            self._start(self._synchronise(piped))

    def _close(self, piped: Piped) -> None:
        if piped.closed:
            return
        piped.closed = True
        self.count -= 1
        if piped.producer.piped.get(piped.far) is piped:
            del piped.producer.piped[piped.far]
        for mirror in piped.producer.mirrors:  # who was here last has given it back, unless the gateway is lost
            if (loan := mirror.loans.get(piped.far)) is not None:
                loan.lose()
        for user in list(piped.users):
            if isinstance(user, Piped):
                self._close(user)
        if piped.carried is not None:
            self._drop(piped)
        if piped.via is not None:
            self._release(piped.via, piped)

    def _drop(self, piped: Piped) -> None:
        """Give back what it has: its halves, then its part in the link."""
        if piped.carried is not None:
            piped.carried.close()
            piped.carried = None
        held, router = piped.held, piped.producer.transport.router
        held.uses -= 1
        links = self._links.get(router, {})
        if held.uses == 0 and links.get(held.key) is held:
            del links[held.key]
            if not links:
                del self._links[router]
            if not _failed(held.opening):
                held.link.close()


async def _made(piped: Piped) -> None:
    """Wait for it. NotFoundError if it ended with its own logical worker, which need not be the one that waits."""
    try:
        await asyncio.shield(piped.making)
    except asyncio.CancelledError:
        if piped.making.cancelled():
            raise NotFoundError(f"producer {piped.producer.id!r} was closed") from None
        raise


def _gateway_to(producer: Producer, far: Member) -> Piped | None:
    """Where it enters the host of `far`, if that is another one than its home's; None: it is to come from its home."""
    if far.place.shares_host_with(producer.transport.member.place):
        return None
    for piped in producer.piped.values():
        if piped.via is None and piped.far.alive and piped.far.place.shares_host_with(far.place):
            return piped
    return None


def _lost_gateway(piped: Piped) -> bool:
    """Whether it failed for no other reason."""
    ends = (piped.producer.transport.member, piped.far)
    lost = piped.via is not None and not piped.via.far.alive
    return lost and not piped.producer.closed and all(end.alive for end in ends)


def _failed(task: "asyncio.Task[None]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
