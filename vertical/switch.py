"""A logical worker: a Channel over the Channels of its members.

Belongs to one event loop. Owns the way in and out: requests in order, each as a task that outlives its caller; news
back; the end. What a request means is `vertical.operations`' affair.
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from itertools import count
from typing import Any, Final, TypeAlias, TypeVar, cast

import msgspec

from sfu_core.channel import messages as m
from sfu_core.channel.channel import EndListener, Listener, LogListener
from sfu_core.channel.place import ANY, Place
from sfu_core.errors import UnsupportedError, WorkerClosedError
from vertical.members import Member, Pool
from vertical.mirrors import NEEDED, SERVED
from vertical.operations import Operations
from vertical.pipes import MakeLink
from vertical.rings import best_link
from vertical.tree import Producer, Transport

R = TypeVar("R")
Route: TypeAlias = Callable[[Operations, Any, str], Awaitable[Any]]

FIRST_PID: Final = 2**22 + 1
"""Above the largest pid that Linux gives: a logical worker's pid is never that of a process."""

_pids = count(FIRST_PID)


def next_pid() -> int:
    """For a logical worker that has no process to itself; never given twice in an application."""
    return next(_pids)


_log = logging.getLogger(__name__)


ROUTES: Final[dict[type[m.Request[Any]], Route]] = {
    m.WorkerDump: lambda on, r, id: on.dump_worker(),
    m.WorkerGetResourceUsage: lambda on, r, id: on.resource_usage(),
    m.WorkerGetCoreStats: lambda on, r, id: on.core_stats(),
    m.WorkerUpdateSettings: lambda on, r, id: on.pool.update(r),
    m.WorkerCreateWebRtcServer: lambda on, r, id: on.create_server(r),
    m.WorkerCreateRouter: lambda on, r, id: on.create_router(r),
    m.WorkerWebRtcServerClose: lambda on, r, id: on.close_server(r),
    m.WorkerCloseRouter: lambda on, r, id: on.close_router(r),
    m.WebRtcServerDump: lambda on, r, id: on.dump_server(id),
    m.RouterDump: lambda on, r, id: on.dump_router(id),
    m.RouterCreateWebRtcTransport: Operations.create_transport,
    m.RouterCreateWebRtcTransportWithServer: Operations.create_transport,
    m.RouterCreatePlainTransport: Operations.create_transport,
    m.RouterCreatePipeTransport: Operations.create_transport,
    m.RouterCreateDirectTransport: Operations.create_transport,
    m.RouterCloseTransport: Operations.close_transport,
    m.TransportProduce: Operations.produce,
    m.TransportConsume: Operations.consume,
    m.TransportCloseProducer: Operations.close_producer,
    m.TransportCloseConsumer: Operations.close_consumer,
    m.RouterCreateMirrorTransport: lambda on, r, id: on.mirrors.create_transport(r, id),
    m.MirrorTransportConnect: lambda on, r, id: on.mirrors.connect(r, id),
    m.ProducerPause: Operations.pause_producer,
    m.ProducerResume: Operations.pause_producer,
    m.ProducerEnableTraceEvent: Operations.trace_producer,
    m.ConsumerGetStats: Operations.consumer_stats,
    m.ConsumerPause: Operations.pause_consumer,
    m.ConsumerResume: Operations.pause_consumer,
}
"""Requests that mean something to the switch; all others go to where their object lives."""

FORWARDED: Final = frozenset((m.TransportGetDrops.METHOD, m.WorkerGetCoreStats.METHOD))
"""Extensions that a logical worker serves if all its members do."""

UNSUPPORTED: Final[dict[type[m.Request[Any]], str]] = {
    m.RouterCreateActiveSpeakerObserver: "ActiveSpeakerObserver",
    m.RouterCreateAudioLevelObserver: "AudioLevelObserver",
    m.TransportProduceData: "produceData",
    m.TransportConsumeData: "consumeData",
}
"""What needs more than one core to be told of it, which is not there yet."""


class Switch:
    """See `sfu_core.channel.channel.Channel`."""

    def __init__(self, pool: Pool, make_link: MakeLink = best_link, pid: int | None = None) -> None:
        """Over the members of `pool`, which it joins until it is closed."""
        self.pid = next_pid() if pid is None else pid
        self._loop = asyncio.get_running_loop()
        self._pool = pool
        self._place = _place_of(pool)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._answers: set[asyncio.Future[Any]] = set()
        self._log_listeners: list[LogListener] = []
        self._end: asyncio.Future[Exception | None] = self._loop.create_future()
        self._closed = False
        self._operations = Operations(pool, self.pid, self._start, make_link)
        self.pipes = self._operations.pipes
        pool.join(self)

    @property
    def place(self) -> Place:
        return self._place

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def members(self) -> list[Member]:
        """The cores it runs on now."""
        return self._pool.members

    def member_of(self, transport_id: str) -> Member | None:
        """Where a transport is; None if it is none of its."""
        record = self._operations.tree.objects.get(transport_id)
        return record.member if isinstance(record, Transport) else None

    def producers_on(self, member: Member) -> int:
        """How many are at home there."""
        return sum(len(transport.producers) for transport in self._transports_on(member))

    def consumers_on(self, member: Member) -> int:
        """How many of the application's are there."""
        return sum(len(transport.consumers) for transport in self._transports_on(member))

    def piped_to(self, member: Member) -> int:
        """How many producers of other cores are piped there."""
        return sum(member in producer.piped for producer in self._operations.tree.all(Producer))

    async def request(self, message: m.Request[R], handler_id: str = "") -> R:
        return cast(R, await self._ask(message, handler_id))

    def post(self, message: m.Request[Any], handler_id: str = "") -> None:
        if not self._closed:
            what = f"{message.NAME} to {handler_id or 'worker'}"
            self._ask(message, handler_id).add_done_callback(lambda answer: _log_refusal(what, answer))

    def notify(self, message: m.Notification, handler_id: str = "") -> None:
        if isinstance(message, m.WorkerClose):
            self.close()
        elif not self._closed:
            self._operations.notify(message, handler_id)

    def subscribe(self, target_id: str, listener: Listener) -> None:
        self._operations.news.subscribe(target_id, listener)

    def unsubscribe(self, target_id: str) -> None:
        self._operations.news.unsubscribe(target_id)

    def relay(self, listener: Callable[[m.Notification, str], None]) -> None:
        """All news go to one listener, with the object's id, instead of those who subscribe."""
        self._operations.news.relay(listener)

    def on_log(self, listener: LogListener) -> None:
        self._log_listeners.append(listener)

    def on_end(self, listener: EndListener) -> None:
        self._end.add_done_callback(lambda end: listener(end.result()))

    async def ended(self) -> Exception | None:
        return await asyncio.shield(self._end)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for answer in self._answers:
            if not answer.done():
                answer.set_exception(WorkerClosedError("the worker was closed"))
        for task in self._tasks:
            task.cancel()
        self._operations.close_all()
        self._operations.news.close()
        self._start(self._leave())

    # As a tenant of its members

    def core_died(self, member: Member) -> None:
        self._operations.member_gone(member)

    def log(self, line: str) -> None:
        for listener in self._log_listeners:
            listener(line)

    # Inside

    def _transports_on(self, member: Member) -> Iterator[Transport]:
        return (transport for transport in self._operations.tree.all(Transport) if transport.member is member)

    def _ask(self, message: m.Request[Any], handler_id: str) -> asyncio.Future[Any]:
        """The answer to be. The request goes on if nobody waits for it any more, as it would in a worker."""
        if self._closed:
            raise WorkerClosedError("the worker is closed")
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._answers.add(answer)
        answer.add_done_callback(self._answers.discard)
        self._start(self._perform(message, handler_id, answer))
        return answer

    async def _perform(self, message: m.Request[Any], handler_id: str, answer: asyncio.Future[Any]) -> None:
        try:
            await self._operations.creations.turn()
            result = await self._route(message, handler_id)
        except Exception as error:
            if not answer.done():
                answer.set_exception(error)
        else:
            if not answer.done():
                answer.set_result(result)

    def _route(self, message: m.Request[Any], handler_id: str) -> Awaitable[Any]:
        kind = type(message)
        if kind.METHOD >= m.FIRST_EXTENSION and kind.METHOD not in self._place.extensions:
            raise UnsupportedError(f"{kind.NAME} is not served by this worker")
        if kind in UNSUPPORTED:
            raise UnsupportedError(f"{UNSUPPORTED[kind]} is not supported on several cores yet")
        route = ROUTES.get(kind)
        if route is not None:
            return route(self._operations, message, handler_id)
        return self._operations.forward(message, handler_id)

    def _start(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited has it; often nobody does any more

    async def _leave(self) -> None:
        """What it had on the members is gone before anybody hears of the end."""
        await asyncio.gather(*(member.fence() for member in self._pool.members))
        await self._pool.leave(self)
        if not self._end.done():
            self._end.set_result(None)


def _place_of(pool: Pool) -> Place:
    """Where members of one host are; those of several hosts are nobody's neighbours together, and at any address."""
    members = pool.members
    first = members[0].place
    extensions = frozenset.intersection(*(member.place.extensions for member in members))
    served = (extensions & FORWARDED) | {m.TransportCoreGone.EVENT}
    mirrors = extensions >= NEEDED
    place = msgspec.structs.replace(
        first,
        extensions=(served | SERVED) if mirrors else served,
        mirror_group=pool.mirror_group if mirrors else "",
    )
    if all(member.place.shares_host_with(first) for member in members):
        return place
    anywhere = tuple(each for each in ANY if all(member.place.has_address_like(each) for member in members))
    return msgspec.structs.replace(place, host_id=uuid.uuid4().hex, announced_addresses=anywhere)


def _log_refusal(what: str, answer: asyncio.Future[Any]) -> None:
    if not answer.cancelled() and (error := answer.exception()) is not None:
        level = logging.DEBUG if isinstance(error, WorkerClosedError) else logging.WARNING
        _log.log(level, "%s: %s", what, error)
