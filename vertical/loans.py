"""Producers of one router lent to another one, on the members where both are.

Belongs to the event loop of the switches. On its way from core to core a producer belongs to one router; consumers of
others take it from there, so however many routers it is mirrored in, it crosses once. A loan lasts from the first
consumer to the last, like a pipe, and not longer than the producer or either router.
"""

import asyncio

from sfu_core.channel import messages as m
from sfu_core.errors import NotFoundError
from vertical import names
from vertical.links import ask
from vertical.members import Member
from vertical.pipes import StartTask
from vertical.tree import Mirror, check_open


class Loan:
    """A mirrored producer on one member."""

    def __init__(self, mirror: Mirror, member: Member) -> None:
        self.mirror = mirror
        self.member = member
        self.name = names.wire_id(mirror.id)
        self.users: set[str] = set()
        self.paused = mirror.held
        self.made = False
        self.closed = False
        self.lost = False
        self.making: asyncio.Task[None]
        self.changing = asyncio.Lock()

    def lose(self) -> None:
        """What it was lent from has ended on that member, and the member has ended it with that."""
        self.closed = self.lost = True
        del self.mirror.loans[self.member]


class Loans:
    """To the routers of one logical worker."""

    def __init__(self, start: StartTask) -> None:
        self._start = start

    async def connect(self, mirror: Mirror, member: Member, consumer_id: str) -> str:
        """What to call the producer on `member`, when it is there, until `release`. Its source is there already."""
        check_open(mirror)
        loan = mirror.loans.get(member)
        if loan is None:
            loan = mirror.loans[member] = Loan(mirror, member)
            loan.making = self._start(self._make(loan))
        loan.users.add(consumer_id)
        try:
            await asyncio.shield(loan.making)
            await self._synchronise(loan)
        except BaseException:
            self._release(loan, consumer_id)
            raise
        return loan.name

    def release(self, mirror: Mirror, member: Member, consumer_id: str) -> None:
        """It does not consume any more; the last one takes the loan along."""
        loan = mirror.loans.get(member)
        if loan is not None:
            self._release(loan, consumer_id)

    async def pause_changed(self, mirror: Mirror) -> None:
        """Returns when it is paused or not everywhere as the application says."""
        await asyncio.gather(*(self._synchronise(loan) for loan in list(mirror.loans.values())))

    def mirror_gone(self, mirror: Mirror) -> None:
        """Its consumers hear of it from their members."""
        for loan in list(mirror.loans.values()):
            self._close(loan)

    # Inside

    async def _make(self, loan: Loan) -> None:
        mirror = loan.mirror
        request = m.RouterBorrowProducer(
            loan_id=loan.name,
            producer_id=mirror.source.wire_id,
            mapped_ssrcs=[encoding.mapped_ssrc for encoding in mirror.request.rtp_mapping.encodings],
            paused=loan.paused,
        )
        try:
            await ask(loan.member, request, mirror.transport.router.id)
        except BaseException:
            self._close(loan)
            raise
        loan.made = True
        if loan.closed:
            self._give_back(loan)
            raise NotFoundError(f"producer {mirror.id!r} was closed, or nobody wants it any more")

    async def _synchronise(self, loan: Loan) -> None:
        async with loan.changing:
            while loan.made and not loan.closed and loan.paused != loan.mirror.held:
                paused = loan.mirror.held
                try:
                    await ask(loan.member, m.ProducerPause() if paused else m.ProducerResume(), loan.name)
                except NotFoundError:  # it has just ended; whoever depends on it will hear
                    return
                loan.paused = paused

    def _release(self, loan: Loan, consumer_id: str) -> None:
        loan.users.discard(consumer_id)
        if not loan.users:
            self._close(loan)

    def _close(self, loan: Loan) -> None:
        if loan.closed:
            return
        loan.closed = True
        if loan.mirror.loans.get(loan.member) is loan:
            del loan.mirror.loans[loan.member]
        if loan.made:
            self._give_back(loan)

    def _give_back(self, loan: Loan) -> None:
        """Unless it has ended with the producer or with its router."""
        router = loan.mirror.transport.router
        if not (loan.lost or loan.mirror.source.closed or router.closed):
            loan.member.tell(m.RouterReturnProducer(loan_id=loan.name), router.id)
