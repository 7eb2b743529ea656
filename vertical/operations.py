"""What a logical worker does when asked: creates on a member, pipes where needed, closes everywhere.

Belongs to the switch's event loop. The tree says what exists; a creation is entered when it is confirmed, an end takes
effect at once and is told to the members in the same turn, so that each of them sees the order the application chose.
"""

import asyncio
from typing import Any, TypeVar, cast

from msgspec.structs import replace

from sfu_core.channel import messages as m
from sfu_core.errors import NotFoundError
from vertical import mirror_views, names, views
from vertical.consuming import Consuming
from vertical.creations import Creations
from vertical.hosting import Hosting, addressed, close_request, leave_ports_open
from vertical.links import CoreGoneError, ask, successes
from vertical.members import Member, Pool
from vertical.mirrors import Mirrors
from vertical.news import News
from vertical.pipes import MakeLink, Pipes, StartTask
from vertical.placement import cost_of
from vertical.tree import (
    AnyConsumer,
    AnyProducer,
    AnyTransport,
    Consumer,
    Mirror,
    MirrorTransport,
    PipeConsumer,
    Producer,
    Record,
    Router,
    Server,
    Transport,
    Tree,
    check_open,
    not_understood,
)

R = TypeVar("R")


class Operations:
    """Of one logical worker."""

    def __init__(self, pool: Pool, pid: int, start: StartTask, make_link: MakeLink) -> None:
        self.pool = pool
        self.pid = pid
        self.tree = Tree()
        self.news = News(self.tree, self._end)
        self.creations = Creations(self.tree, self.news)
        self._hosting = Hosting(pool, start)
        self.pipes = Pipes(start, self._hosting.router_on, make_link)
        self._consuming = Consuming(self.tree, self.creations, start)
        self.mirrors = Mirrors(self.tree, self.news, self.creations, self._consuming, pool)

    # The worker

    async def dump_worker(self) -> m.WorkerDumpResponse:
        """WORKER_DUMP."""
        await self.creations.settle()
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
        """WORKER_CREATE_WEBRTCSERVER."""
        infos = message.listen_infos
        server = Server(message.web_rtc_server_id, infos, anywhere=leave_ports_open(infos))
        async with self.creations.new(server.id):
            await self._hosting.open_server(server)
            self.tree.add(server)

    async def create_router(self, message: m.WorkerCreateRouter) -> None:
        """WORKER_CREATE_ROUTER: on no member yet."""
        async with self.creations.new(message.router_id):
            self.tree.add(Router(message.router_id))

    async def close_server(self, message: m.WorkerWebRtcServerClose) -> None:
        """WORKER_WEBRTCSERVER_CLOSE."""
        await self.creations.created(message.web_rtc_server_id)
        self._close(self.tree.get(message.web_rtc_server_id, Server))

    async def close_router(self, message: m.WorkerCloseRouter) -> None:
        """WORKER_CLOSE_ROUTER."""
        await self.creations.created(message.router_id)
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
        for producer in self.tree.all(Producer):
            self.pipes.member_gone(producer, member)
        for holder in self._holders():
            holder.members.pop(member, None)

    def _holders(self) -> list[Router | Server]:
        return [*self.tree.all(Router), *self.tree.all(Server)]

    # Routers and servers

    async def dump_server(self, server_id: str) -> m.WebRtcServerDumpResponse:
        """WEBRTCSERVER_DUMP."""
        server = self.tree.get(server_id, Server)
        members = [member for member, made in server.members.items() if made.done()]
        asked = (ask(member, m.WebRtcServerDump(), server_id) for member in members)
        dumps = await asyncio.gather(*asked, return_exceptions=True)
        return views.server_dump(successes(dumps, but=CoreGoneError), server)

    async def dump_router(self, router_id: str) -> m.RouterDumpResponse:
        """ROUTER_DUMP."""
        await self.creations.settle()
        return views.router_dump(self.tree.get(router_id, Router))

    async def create_transport(self, message: Any, router_id: str) -> Any:
        """ROUTER_CREATE_...TRANSPORT: placed here, for good. If its core dies meanwhile, on another one."""
        router, server = self.tree.get(router_id, Router), self._server_of(message)
        async with self.creations.new(message.transport_id):
            while True:
                member = await self._hosting.place(router, server)
                transport = Transport(id=message.transport_id, router=router, member=member, server=server)
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
        await self.creations.created(message.transport_id)
        transport = self.tree.get(message.transport_id, AnyTransport)
        _check_parent(transport, transport.router.id, router_id)
        self._close(transport)

    # Producers and consumers

    async def produce(self, message: m.TransportProduce, transport_id: str) -> m.TransportProduceResponse:
        """TRANSPORT_PRODUCE."""
        transport = self.tree.get(transport_id, AnyTransport)
        if isinstance(transport, MirrorTransport):
            return await self.mirrors.produce(message, transport)
        transport = self.tree.get(transport_id, Transport)
        name = names.wire_id(message.producer_id)
        async with self.creations.new(message.producer_id):
            request = replace(message, producer_id=name)
            member, id = transport.member, message.producer_id
            reply = await self.creations.create_on(member, id, name, request, transport_id)
            check_open(transport)
            producer = Producer(
                id=id,
                wire_id=name,
                transport=transport,
                request=message,
                paused=message.paused,
                pipes=self.pipes,
            )
            self.tree.add(producer)
            return reply

    async def consume(self, message: m.TransportConsume, transport_id: str) -> m.TransportConsumeResponse:
        """TRANSPORT_CONSUME: brings the producer to the transport's member first, if it is not there."""
        transport = self.tree.get(transport_id, AnyTransport)
        if isinstance(transport, MirrorTransport):
            return await self.mirrors.consume(message, transport)
        return await self._consuming.consume(message, self.tree.get(transport_id, Transport))

    async def close_producer(self, message: m.TransportCloseProducer, transport_id: str) -> None:
        """TRANSPORT_CLOSE_PRODUCER."""
        await self.creations.created(message.producer_id)
        producer = self.tree.get(message.producer_id, AnyProducer)
        _check_parent(producer, producer.transport.id, transport_id)
        self._close(producer)

    async def close_consumer(self, message: m.TransportCloseConsumer, transport_id: str) -> None:
        """TRANSPORT_CLOSE_CONSUMER."""
        await self.creations.created(message.consumer_id)
        consumer = self.tree.get(message.consumer_id, AnyConsumer)
        _check_parent(consumer, consumer.transport.id, transport_id)
        self._close(consumer)

    async def pause_producer(self, message: m.ProducerPause | m.ProducerResume, producer_id: str) -> None:
        """PRODUCER_PAUSE and PRODUCER_RESUME: here and wherever it is piped to."""
        producer = self.tree.get(producer_id, AnyProducer)
        if isinstance(producer, Mirror):
            return await self.mirrors.pause_producer(message, producer)
        producer = self.tree.get(producer_id, Producer)
        await ask(producer.transport.member, message, producer.wire_id)
        self.mirrors.producer_paused(producer, isinstance(message, m.ProducerPause))
        await self.pipes.pause_changed(producer)

    async def trace_producer(self, message: m.ProducerEnableTraceEvent, producer_id: str) -> None:
        """PRODUCER_ENABLE_TRACE_EVENT: the original traces what one of its viewers wants to see."""
        producer = self.tree.get(producer_id, AnyProducer)
        producer.traced = sorted(set(message.events))
        source = producer.source
        await ask(source.transport.member, mirror_views.tracing(source), source.wire_id)

    async def pause_consumer(self, message: m.ConsumerPause | m.ConsumerResume, consumer_id: str) -> None:
        """CONSUMER_PAUSE and CONSUMER_RESUME."""
        consumer = self.tree.get(consumer_id, AnyConsumer)
        if isinstance(consumer, PipeConsumer):
            return await self.mirrors.pause_consumer(message, consumer)
        return await self._consuming.pause(message, self.tree.get(consumer_id, Consumer))

    async def consumer_stats(self, message: m.ConsumerGetStats, consumer_id: str) -> m.ConsumerGetStatsResponse:
        """CONSUMER_GET_STATS."""
        consumer = self.tree.get(consumer_id, AnyConsumer)
        if isinstance(consumer, PipeConsumer):
            return await self.forward(message, consumer_id)
        return await self._consuming.stats(message, self.tree.get(consumer_id, Consumer))

    # Everything that concerns one object only

    async def forward(self, message: m.Request[R], id: str) -> R:
        """To where the object lives."""
        record = self.tree.find(id)
        if isinstance(record, MirrorTransport | Mirror | PipeConsumer):
            return cast(R, await self.mirrors.answer(message, record))
        member, wire_id = self._home(record, message)
        reply = names.read(await ask(member, message, wire_id))
        if isinstance(reply, m.ProducerDumpResponse) and isinstance(record, Producer):
            reply.trace_event_types = record.traced  # not what others want to see
        return reply

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
                raise not_understood(record, message)

    # Creating

    async def _create_transport_on(self, transport: Transport, message: m.Request[R]) -> R:
        member, router, server = transport.member, transport.router, transport.server
        member.transports += 1
        member.predicted += (cost := cost_of(message))
        try:
            await self._hosting.prepare(router, server, member, message)
            check_open(router, server)
            self.news.watch(transport.id, member, transport.id)
            reply = await ask(member, addressed(message, member.place), router.id)
            check_open(router, server)
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
            case Consumer(transport=transport, producer=producer) if not producer.source.closed:  # else it has ended
                transport.member.tell(m.TransportCloseConsumer(consumer_id=record.id), transport.id)
        self._end(record)

    def _end(self, record: Record) -> None:
        """It has ended, and whatever depends on it with it."""
        for each in self.tree.remove(record):
            match each:
                case Consumer():
                    self._consuming.ended(each)
                    if each is record or each.transport.closed or not each.transport.member.alive:
                        self.news.unwatch(each.id)  # else its member is about to say so
                case Producer():
                    self.pipes.source_gone(each)
                    self.news.unwatch(each.id)
                case Transport():
                    each.member.transports -= 1
                    self.news.unwatch(each.id)
                case Mirror() | PipeConsumer():
                    self.mirrors.ended(each, told=each is record or each.transport.closed)
                case MirrorTransport():
                    self.mirrors.ended(each, told=True)
                case Router():
                    self.pipes.router_gone(each)
                case Server():
                    self._hosting.close_server(each)


def _check_parent(record: Record, parent_id: str, asked_id: str) -> None:
    if parent_id != asked_id:
        raise NotFoundError(f"no {type(record).__name__.lower()} with the id {record.id!r} in {asked_id!r}")
