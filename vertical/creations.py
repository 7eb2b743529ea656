"""What is being created: ids that are taken, news that wait, and closings that come too early.

Belongs to the switch's event loop. Objects enter the tree when their creation is confirmed; this is the time before.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from sfu_core.channel import messages as m
from sfu_core.errors import SfuError
from vertical.links import ask
from vertical.members import Member
from vertical.news import News
from vertical.placement import cost_of
from vertical.tree import Tree

R = TypeVar("R")


class Creations:
    """Of one logical worker."""

    def __init__(self, tree: Tree, news: News) -> None:
        self._tree = tree
        self._news = news
        self._creating: dict[str, asyncio.Event] = {}
        self._late_closes: set[asyncio.Event] = set()
        self._order = asyncio.Lock()

    @asynccontextmanager
    async def new(self, id: str) -> AsyncIterator[None]:
        """While it is being created its id is taken, and whoever wants to close it waits."""
        self._tree.check_free(id)
        if id in self._creating:
            raise SfuError(f"an object with the id {id!r} is being created")
        created = self._creating[id] = asyncio.Event()
        try:
            yield
        except BaseException:
            self._news.unwatch(id)
            raise
        finally:
            del self._creating[id]
            created.set()
        asyncio.get_running_loop().call_soon(self._news.release, id)

    async def create_on(self, member: Member, id: str, wire_id: str, message: m.Request[R], target_id: str) -> R:
        """Have a member create the object, whose news are its own from then on."""
        self._news.watch(id, member, wire_id)
        reply = await ask(member, message, target_id)
        member.predicted += cost_of(message)
        return reply

    async def turn(self) -> None:
        """Wait until requests that came earlier, and that later ones must not overtake, have been carried out."""
        async with self._order:  # who waits is not overtaken by those who need not wait any more
            while self._late_closes:
                await next(iter(self._late_closes)).wait()

    async def created(self, id: str) -> None:
        """To close an object that is still being created (nobody waits for it any more), wait until it is there."""
        if (created := self._creating.get(id)) is None:
            return
        closed = asyncio.Event()
        self._late_closes.add(closed)
        try:
            await created.wait()
        finally:
            self._late_closes.discard(closed)
            closed.set()  # who waits goes on in a later turn than the caller

    async def settle(self) -> None:
        """What was asked to be created before is there, or has failed."""
        for created in [*self._creating.values()]:
            await created.wait()
