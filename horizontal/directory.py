"""Where servers are found when hosts come and go: they announce themselves in Redis, a horizontal follows.

Belongs to the event loop of whoever announces or follows. Redis holds one key for each server, which expires when it is
not written again, and one set with the names of all; it never sees media, workers or tokens. The directory says where
servers are; whether one lives its connection says, so trouble with Redis ends no call.
"""

import asyncio
import logging
from collections.abc import Callable
from enum import StrEnum
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from horizontal.manager import MediasoupHorizontal
from horizontal.pids import HOSTS
from horizontal.stats import load_of
from sfu_core.channel.place import PROTOCOL_VERSION
from sfu_core.errors import SfuError
from sfu_core.stats import capacity_of
from sfu_core.version import VERSION

EXPIRY: Final = 6.0
"""Seconds after which a server that was not heard of is forgotten; it announces itself three times as often."""

POLL: Final = 1.0
"""Seconds between looks at the directory."""

_REDIS_TIMEOUT: Final = 2.0
_log = logging.getLogger(__name__)


class State(StrEnum):
    """What a server wants."""

    SERVING = "serving"
    DRAINING = "draining"
    LEFT = "left"


class Announcement(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`url` names the server; `load` in percent of the host, `capacity` is how many workers it can carry."""

    url: str
    version: str = VERSION
    protocol: int = PROTOCOL_VERSION
    load: float = 0.0
    capacity: int = 1
    state: State = State.SERVING


class Directory:
    """The servers of one cluster, in Redis."""

    def __init__(self, redis: Any, *, name: str = "sfu", expiry: float = EXPIRY) -> None:
        """`redis`: an asyncio client of the `redis` package; `name` tells clusters in one Redis apart."""
        self.expiry = expiry
        self._redis = redis
        self._all = f"{name}:servers"
        self._one = f"{name}:server:"

    @classmethod
    def at(cls, url: str, *, name: str = "sfu", expiry: float = EXPIRY) -> Self:
        """In the Redis of that URL (`redis://`, `rediss://`, `unix://`)."""
        try:
            from redis.asyncio import Redis
        except ImportError:
            raise SfuError("a directory needs the package redis: pip install 'sfu-core[horizontal]'") from None
        client = Redis.from_url(url, socket_timeout=_REDIS_TIMEOUT, socket_connect_timeout=_REDIS_TIMEOUT)
        return cls(client, name=name, expiry=expiry)

    async def write(self, announcement: Announcement) -> None:
        """Announce a server, until it expires."""
        async with self._redis.pipeline(transaction=True) as writing:
            key = self._one + announcement.url
            writing.set(key, msgspec.json.encode(announcement), px=max(1, round(1000 * self.expiry)))
            writing.sadd(self._all, announcement.url)
            await writing.execute()

    async def read(self) -> dict[str, Announcement]:
        """Those that have not expired, by URL; names of the others are swept out."""
        names = await self._redis.smembers(self._all)
        urls = sorted(name.decode(errors="replace") for name in names)[: len(HOSTS)]
        texts = await self._redis.mget([self._one + url for url in urls]) if urls else []
        found = {url: each for url, text in zip(urls, texts, strict=True) if (each := _decoded(url, text)) is not None}
        if stale := [url for url, text in zip(urls, texts, strict=True) if text is None]:
            await self._redis.srem(self._all, *stale)
        return found

    async def close(self) -> None:
        """Give back the connections."""
        await self._redis.aclose()


class _Rounds:
    """Does something again and again for as long as it is open (`async with`)."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._rounds: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._rounds = asyncio.get_running_loop().create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rounds is not None:
            self._rounds.cancel()
            await asyncio.wait([self._rounds])  # until nothing is under way any more
        await self._leave()

    async def _work(self) -> None:
        """A round."""
        raise NotImplementedError

    def _failed(self, error: Exception) -> None:
        """A round has failed; told once, until one has worked again."""
        raise NotImplementedError

    async def _leave(self) -> None:
        """After the last round."""

    async def _run(self) -> None:
        works, task = True, asyncio.current_task()
        while True:
            failure = None
            try:
                await self._work()
            except Exception as error:
                failure = error
            if task is not None and task.cancelling():
                return  # the client of Redis kept it to itself
            if failure is not None and works:
                self._failed(failure)
            works = failure is None
            await asyncio.sleep(self._interval)


class Announcer(_Rounds):
    """Announces one server with its manager's figures, for as long as it is open (`async with`)."""

    def __init__(self, directory: Directory, url: str, manager: Any) -> None:
        """`url`: where clients reach the server. The directory stays its owner's."""
        super().__init__(directory.expiry / 3)
        self._directory = directory
        self._url = url
        self._manager = manager
        self._state = State.SERVING

    async def drain(self) -> None:
        """Say that no new workers are wanted; those there may go on."""
        self._state = State.DRAINING
        await self._work()

    async def _leave(self) -> None:
        self._state = State.LEFT
        try:
            await self._work()
        except Exception as failure:
            self._failed(failure)

    async def _work(self) -> None:
        stats = await self._manager.get_stats()
        await self._directory.write(
            Announcement(url=self._url, load=round(load_of(stats), 1), capacity=capacity_of(stats), state=self._state)
        )

    def _failed(self, error: Exception) -> None:
        _log.warning("%s is not announced: %s", self._url, error)


class Follower(_Rounds):
    """Keeps the members of a horizontal what the directory says, for as long as it is open (`async with`).

    A server that appears becomes a member. One that drains, or has left, gets nothing new and goes when its last worker
    has. One that has expired goes when it cannot be used either.
    """

    def __init__(
        self,
        directory: Directory,
        horizontal: MediasoupHorizontal,
        make_member: Callable[[str], Any],
        *,
        interval: float = POLL,
    ) -> None:
        """`make_member` makes the client for a URL; the horizontal owns it. The directory stays its owner's, and the
        members stay when it is closed.
        """
        super().__init__(interval)
        self._directory = directory
        self._horizontal = horizontal
        self._make_member = make_member
        self._members: dict[str, Any] = {}
        self._refused: set[str] = set()

    @property
    def members(self) -> dict[str, Any]:
        """Those that it has added, by URL."""
        return dict(self._members)

    async def _work(self) -> None:
        found = await self._directory.read()
        if self._horizontal.destroyed:
            return
        self._refused &= found.keys()
        for url, announcement in found.items():
            if announcement.state is State.SERVING and self._members.get(url) not in self._horizontal:
                self._join(url)
        for url, member in list(self._members.items()):
            self._keep(url, member, found[url].state if url in found else None)

    def _join(self, url: str) -> None:
        try:
            member = self._make_member(url)
            self._horizontal.add(member, own=True)
        except Exception as error:
            if url not in self._refused:  # told once, tried again
                self._failed(error)
            self._refused.add(url)
        else:
            self._refused.discard(url)
            self._members[url] = member

    def _keep(self, url: str, member: Any, state: State | None) -> None:
        """`state`: None if it has expired."""
        host = self._horizontal.host_of(member)
        if host is None:  # somebody else has removed it
            del self._members[url]
        elif state is State.SERVING:
            if host.draining:
                self._horizontal.add(member)
        elif not host.usable or (state is not None and host.empty):
            del self._members[url]
            self._horizontal.delete(member)
        elif state is not None and not host.draining:
            self._horizontal.drain(member)

    def _failed(self, error: Exception) -> None:
        if not self._horizontal.destroyed:
            self._horizontal.emit("error", error)


def _decoded(url: str, text: bytes | None) -> Announcement | None:
    if text is None:
        return None
    try:
        announcement = msgspec.json.decode(text, type=Announcement)
    except msgspec.DecodeError as error:
        _log.warning("the announcement of %s is none: %s", url, error)
        return None
    return announcement if announcement.url == url else None
