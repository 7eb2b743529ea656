"""What a logical worker does when asked: creates on a member, pipes where needed, closes everywhere.

Belongs to the switch's event loop. The tree says what exists; a creation is entered when it is confirmed, an end takes
effect at once and is told to the members in the same turn, so that each of them sees the order the application chose.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from msgspec.structs import replace

from sfu_core.channel import messages as m
from sfu_core.errors import NotFoundError, SfuError
from vertical import names, views
from vertical.hosting import Hosting, close_request, leave_ports_open
from vertical.links import CoreGoneError, ask
from vertical.members import Member, Pool
from vertical.news import News
from vertical.pipes import MakeLink, Pipes, StartTask
from vertical.placement import cost_of
from vertical.tree import Consumer, Producer, Record, Router, Server, Transport, Tree

R = TypeVar("R")


class Operations:
    """Of one logical worker."""

    def __init__(self, pool: Pool, pid: int, start: StartTask, make_link: MakeLink) -> None:
        self.pool = pool
        self.pid = pid
        self.tree = Tree()
        self.news = News(self.tree, self._end)
        self.pipes = Pipes(start, make_link)
        self._hosting = Hosting(pool, start)
        self._creating: dict[str, asyncio.Event] = {}
        self._late_closes: set[asyncio.Event] = set()

    # The worker

    async def dump_worker(self) -> m.WorkerDumpResponse:
        """WORKER_DUMP."""
        await self._settle()
        return views.worker_dump(self.pid, self.tree)

    async def resource_usage(self) -> m.WorkerGetResourceUsageResponse:
        """WORKER_GET_RESOURCE_USAGE."""
        return views.total_usage(await self.pool.ask_all(m.WorkerGetResourceUsage()))

    async def core_stats(self) -> m.Counters:
        """WORKER_GET_CORE_STATS."""
        total = views.total_counters(await self.pool.ask_all(m.WorkerGetCoreStats()))
        total.counters |= {"pipes": self.pipes.count, "pipeLinks": self.pipes.links}
        return total

    async def create_server(self, message: m.WorkerCreateWebRtcServer) -> None:
        """WORKER_CREATE_WEBRTCSERVER: on one member now, so that errors show; on others when they need it."""
        infos = message.listen_infos
        server = Server(message.web_rtc_server_id, infos, anywhere=leave_ports_open(infos))
        async with self._new(server.id):
            server.home = await self.pool.choose(lambda _: False)
            await self._hosting.server_on(server, server.home)
            self.tree.add(server)

    async def create_router(self, message: m.WorkerCreateRouter) -> None:
        """WORKER_CREATE_ROUTER: on no member yet."""
        async with self._new(message.router_id):
            self.tree.add(Router(message.router_id))

    async def close_server(self, message: m.WorkerWebRtcServerClose) -> None:
        """WORKER_WEBRTCSERVER_CLOSE."""
        await self._created(message.web_rtc_server_id)
        self._close(self.tree.get(message.web_rtc_server_id, Server))

    async def close_router(self, message: m.WorkerCloseRouter) -> None:
        """WORKER_CLOSE_ROUTER."""
        await self._created(message.router_id)
        self._close(self.tree.get(message.router_id, Router))

    def close_all(self) -> None:
        """The logical worker ends: so does all that it has on the members."""
        for holder in self._holders():
            self._close(holder)

    def member_gone(self, member: Member) -> None:
        """All that it carried has ended; the application is told of its transports, members of their consumers."""
        for transport in self.tree.all(Transport):
            if transport.member is member:
                self._end(transport)
                self.news.tell(transport.id, m.TransportCoreGone())
        for holder in self._holders():
            holder.members.pop(member, None)

    def _holders(self) -> list[Router | Server]:
        return [*self.tree.all(Router), *self.tree.all(Server)]

    # Routers and servers

    async def dump_server(self, server_id: str) -> m.WebRtcServerDumpResponse:
        """WEBRTCSERVER_DUMP."""
        server = self.tree.get(server_id, Server)
        dumps = await asyncio.gather(*(ask(member, m.WebRtcServerDump(), server_id) for member in server.members))
        return views.server_dump(dumps, server)

    async def dump_router(self, router_id: str) -> m.RouterDumpResponse:
        """ROUTER_DUMP."""
        await self._settle()
        return views.router_dump(self.tree.get(router_id, Router))

    async def create_transport(self, message: Any, router_id: str) -> Any:
        """ROUTER_CREATE_...TRANSPORT: placed here, for good. If its core dies meanwhile, on another one."""
        router, server = self.tree.get(router_id, Router), self._server_of(message)
        async with self._new(message.transport_id):
            while True:
                member = await self._hosting.place(router, server)
                transport = Transport(message.transport_id, router, member, server)
                try:
                    reply = await self._create_transport_on(transport, message)
                except CoreGoneError:
                    if not member.alive:
                        continue
                    raise
                self.tree.add(transport)
                return reply

    async def close_transport(self, message: m.RouterCloseTransport, router_id: str) -> None:
        """ROUTER_CLOSE_TRANSPORT."""
        await self._created(message.transport_id)
        transport = self.tree.get(message.transport_id, Transport)
        _check_parent(transport, transport.router.id, router_id)
        self._close(transport)

    # Producers and consumers

    async def produce(self, message: m.TransportProduce, transport_id: str) -> m.TransportProduceResponse:
        """TRANSPORT_PRODUCE."""
        transport = self.tree.get(transport_id, Transport)
        name = names.wire_id(message.producer_id)
        async with self._new(message.producer_id):
            request = replace(message, producer_id=name)
            reply = await self._create_on(transport.member, message.producer_id, name, request, transport_id)
            _check_open(transport)
            self.tree.add(Producer(message.producer_id, name, transport, message, message.paused))
            return reply

    async def consume(self, message: m.TransportConsume, transport_id: str) -> m.TransportConsumeResponse:
        """TRANSPORT_CONSUME: pipes the producer to the transport's member first, if it is not there."""
        transport = self.tree.get(transport_id, Transport)
        producer = transport.router.producers.get(message.producer_id)
        if producer is None:
            raise NotFoundError(f"no producer with the id {message.producer_id!r} in this router")
        member, id = transport.member, message.consumer_id
        remote = member is not producer.transport.member
        async with self._new(id):
            if remote:
                await self.pipes.connect(producer, member, id)
            try:
                request = replace(message, producer_id=producer.wire_id)
                reply = await self._create_on(member, id, id, request, transport_id)
                _check_open(transport)
            except BaseException:
                self.pipes.release_of(producer, member, id)
                raise
            if remote:
                reply.score = views.scores(reply.score, producer, message.type)
            if not producer.closed:  # else the consumer has just ended, and its member is saying so
                consumer = Consumer(id, transport, producer, message.type, reply.score, message.paused)
                self.tree.add(consumer)
                await self.pipes.want(consumer, not consumer.paused)
                _check_open(transport)
            return reply

    async def close_producer(self, message: m.TransportCloseProducer, transport_id: str) -> None:
        """TRANSPORT_CLOSE_PRODUCER."""
        await self._created(message.producer_id)
        producer = self.tree.get(message.producer_id, Producer)
        _check_parent(producer, producer.transport.id, transport_id)
        self._close(producer)

    async def close_consumer(self, message: m.TransportCloseConsumer, transport_id: str) -> None:
        """TRANSPORT_CLOSE_CONSUMER."""
        await self._created(message.consumer_id)
        consumer = self.tree.get(message.consumer_id, Consumer)
        _check_parent(consumer, consumer.transport.id, transport_id)
        self._close(consumer)

    async def pause_producer(self, message: m.ProducerPause | m.ProducerResume, producer_id: str) -> None:
        """PRODUCER_PAUSE and PRODUCER_RESUME: here and wherever it is piped to."""
        producer = self.tree.get(producer_id, Producer)
        await ask(producer.transport.member, message, producer.wire_id)
        producer.paused = isinstance(message, m.ProducerPause)
        await self.pipes.pause_changed(producer)

    async def pause_consumer(self, message: m.ConsumerPause | m.ConsumerResume, consumer_id: str) -> None:
        """CONSUMER_PAUSE and CONSUMER_RESUME: nothing is piped for those who are paused.

        The consumer first: so it is listening when the key frame comes that the pipe asks for.
        """
        consumer = self.tree.get(consumer_id, Consumer)
        await ask(consumer.transport.member, message, consumer_id)
        consumer.paused = isinstance(message, m.ConsumerPause)
        await self.pipes.want(consumer, not consumer.paused)

    async def consumer_stats(self, message: m.ConsumerGetStats, consumer_id: str) -> m.ConsumerGetStatsResponse:
        """CONSUMER_GET_STATS."""
        consumer = self.tree.get(consumer_id, Consumer)
        own = ask(consumer.transport.member, message, consumer_id)
        if not consumer.remote:
            return await own
        home = consumer.producer.transport.member
        source = ask(home, m.ProducerGetStats(), consumer.producer.wire_id)
        carried = self.pipes.carried(consumer)
        return views.consumer_stats(*await asyncio.gather(own, source), consumer, carried)

    # Everything that concerns one object only

    async def forward(self, message: m.Request[R], id: str) -> R:
        """To where the object lives."""
        member, wire_id = self._home(self.tree.find(id), message)
        return await ask(member, message, wire_id)

    def notify(self, message: m.Notification, id: str) -> None:
        """To where the object lives; nobody minds if it does not any more."""
        record = self.tree.objects.get(id)
        if isinstance(record, Transport | Producer | Consumer):
            member, wire_id = self._home(record, message)
            member.channel.notify(message, wire_id)

    def _home(self, record: Record, message: object) -> tuple[Member, str]:
        match record:
            case Transport():
                return record.member, record.id
            case Producer():
                return record.transport.member, record.wire_id
            case Consumer():
                return record.transport.member, record.id
            case _:
                raise SfuError(f"{type(record).__name__} does not understand {type(message).__name__}")

    # Creating

    @asynccontextmanager
    async def _new(self, id: str) -> AsyncIterator[None]:
        """While it is being created its id is taken, and whoever wants to close it waits."""
        self.tree.check_free(id)
        if id in self._creating:
            raise SfuError(f"an object with the id {id!r} is being created")
        created = self._creating[id] = asyncio.Event()
        try:
            yield
        except BaseException:
            self.news.unwatch(id)
            raise
        finally:
            del self._creating[id]
            created.set()
        asyncio.get_running_loop().call_soon(self.news.release, id)

    async def turn(self) -> None:
        """Wait until requests that came earlier, and that later ones must not overtake, have been carried out."""
        while self._late_closes:
            await next(iter(self._late_closes)).wait()

    async def _created(self, id: str) -> None:
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

    async def _settle(self) -> None:
        """What was asked to be created before is there, or has failed."""
        for created in [*self._creating.values()]:
            await created.wait()

    async def _create_on(self, member: Member, id: str, wire_id: str, message: m.Request[R], target_id: str) -> R:
        self.news.watch(id, member, wire_id)
        reply = await ask(member, message, target_id)
        member.predicted += cost_of(message)
        return reply

    async def _create_transport_on(self, transport: Transport, message: m.Request[R]) -> R:
        member, router, server = transport.member, transport.router, transport.server
        member.transports += 1
        member.predicted += (cost := cost_of(message))
        try:
            await self._hosting.prepare(router, server, member, message)
            _check_open(router, server)
            self.news.watch(transport.id, member, transport.id)
            reply = await ask(member, message, router.id)
            _check_open(router, server)
            return reply
        except BaseException:
            self.news.unwatch(transport.id)
            member.transports -= 1
            member.predicted = max(0.0, member.predicted - cost)
            raise

    def _server_of(self, message: object) -> Server | None:
        if not isinstance(message, m.RouterCreateWebRtcTransportWithServer):
            return None
        if not isinstance(message.options.listen, m.ListenServer):
            raise TypeError("options.listen: names no WebRtcServer")
        return self.tree.get(message.options.listen.web_rtc_server_id, Server)

    # Ending

    def _close(self, record: Record) -> None:
        """The application ends it: tell the members, then see to all that ends with it."""
        match record:
            case Router() | Server():
                for member, made in record.members.items():
                    if made.done():
                        member.tell(close_request(record))
            case Transport():
                record.member.tell(m.RouterCloseTransport(transport_id=record.id), record.router.id)
            case Producer(transport=transport):
                transport.member.tell(m.TransportCloseProducer(producer_id=record.wire_id), transport.id)
            case Consumer(transport=transport):
                transport.member.tell(m.TransportCloseConsumer(consumer_id=record.id), transport.id)
        self._end(record)

    def _end(self, record: Record) -> None:
        """It has ended, and whatever depends on it with it."""
        for each in self.tree.remove(record):
            match each:
                case Consumer():
                    self.pipes.release(each)
                    if each is record or each.transport.closed or not each.transport.member.alive:
                        self.news.unwatch(each.id)  # else its member is about to say so
                case Producer():
                    self.pipes.source_gone(each)
                    self.news.unwatch(each.id)
                case Transport():
                    each.member.transports -= 1
                    self.news.unwatch(each.id)
                case Router():
                    self.pipes.router_gone(each)
                case Server():
                    pass


def _check_open(*records: Record | None) -> None:
    """They may have ended while something was being created in them."""
    for record in records:
        if record is not None and record.closed:
            raise NotFoundError(f"{type(record).__name__} {record.id} is closed")


def _check_parent(record: Record, parent_id: str, asked_id: str) -> None:
    if parent_id != asked_id:
        raise NotFoundError(f"no {type(record).__name__.lower()} with the id {record.id!r} in {asked_id!r}")
