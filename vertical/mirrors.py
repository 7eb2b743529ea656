"""What `pipeToRouter` makes between two routers of the same members: it looks like a pipe and is none.

Both ends of a pair, what is consumed at one and produced at the other are records; nothing of it is on a member. The
producer at the far end, a *mirror*, is consumed as if the original were in its router (`vertical.consuming`). Each
logical worker has its own routers and all have the members in common, so the ends may be in different ones. Belongs to
the event loop of the switches.
"""

from typing import Any, Final, TypeAlias

from sfu_core.channel import messages as m
from sfu_core.errors import NotFoundError, SfuError, UnsupportedError
from sfu_core.worker.validation import check_consume, check_produce
from vertical import mirror_views as views
from vertical.consuming import Consuming
from vertical.creations import Creations
from vertical.links import ask
from vertical.members import Pool
from vertical.news import News
from vertical.tree import (
    AnyProducer,
    Consumer,
    Mirror,
    MirrorTransport,
    PipeConsumer,
    Router,
    Tree,
    check_open,
    not_understood,
)

AnyMirror: TypeAlias = MirrorTransport | Mirror | PipeConsumer

NEEDED: Final = frozenset((m.RouterBorrowProducer.METHOD, m.RouterReturnProducer.METHOD))
"""What all members must serve."""

SERVED: Final = frozenset((m.RouterCreateMirrorTransport.METHOD, m.MirrorTransportConnect.METHOD))
"""What a logical worker serves then."""


class Mirrors:
    """Of one logical worker."""

    def __init__(self, tree: Tree, news: News, creations: Creations, consuming: Consuming, pool: Pool) -> None:
        self._tree = tree
        self._news = news
        self._creations = creations
        self._consuming = consuming
        self._ends = pool.mirror_ends

    # Making

    async def create_transport(self, message: m.RouterCreateMirrorTransport, id: str) -> m.PipeTransportDumpResponse:
        """ROUTER_CREATE_MIRRORTRANSPORT."""
        router = self._tree.get(id, Router)
        async with self._creations.new(message.transport_id):
            transport = MirrorTransport(id=message.transport_id, router=router, options=message.options)
            self._tree.add(transport)
            self._ends[transport.id] = transport
            return views.transport_dump(transport)

    async def connect(self, message: m.MirrorTransportConnect, id: str) -> m.PipeTransportConnectResponse:
        """MIRRORTRANSPORT_CONNECT."""
        transport = self._tree.get(id, MirrorTransport)
        if transport.other is not None:
            raise SfuError("connect() has been called already")
        if (other := self._ends.get(message.transport_id)) is None:
            raise NotFoundError(f"no transport to mirror with the id {message.transport_id!r}")
        transport.other = other
        return m.PipeTransportConnectResponse(tuple=views.transport_tuple(transport))

    async def consume(self, message: m.TransportConsume, transport: MirrorTransport) -> m.TransportConsumeResponse:
        """TRANSPORT_CONSUME at the near end."""
        producer, id = transport.router.producer(message.producer_id), message.consumer_id
        check_open(producer.source)
        check_consume(message)
        async with self._creations.new(id):
            self._news.hold(id)
            paused = message.paused
            self._tree.add(
                PipeConsumer(id=id, transport=transport, producer=producer, paused=paused, request=message)
            )
            return m.TransportConsumeResponse(
                paused=paused, producer_paused=producer.paused, score=views.pipe_scores(producer)
            )

    async def produce(self, message: m.TransportProduce, transport: MirrorTransport) -> m.TransportProduceResponse:
        """TRANSPORT_PRODUCE at the far end: what is consumed at the near one under the same SSRCs."""
        type = check_produce(message)
        if any(codec.payload_type != codec.mapped_payload_type for codec in message.rtp_mapping.codecs):
            raise UnsupportedError("the two routers have different payload types for the same codec")
        async with self._creations.new(message.producer_id):
            feed = _feed(transport, message.rtp_parameters)
            self._news.hold(message.producer_id)
            mirror = feed.mirror = Mirror(
                id=message.producer_id,
                transport=transport,
                request=message,
                paused=message.paused,
                feed=feed,
                news=self._news,
            )
            self._tree.add(mirror)
            source = mirror.source
            source.mirrors.append(mirror)
            if source.scores:
                self._news.tell(mirror.id, views.producer_score([*source.scores.values()], mirror))
            return m.TransportProduceResponse(type=type)

    # Pausing

    async def pause_producer(self, message: m.ProducerPause | m.ProducerResume, mirror: Mirror) -> None:
        """PRODUCER_PAUSE and PRODUCER_RESUME of this one; the original goes on."""
        self.producer_paused(mirror, isinstance(message, m.ProducerPause))
        await self._consuming.mirror_paused(mirror)

    def producer_paused(self, producer: AnyProducer, paused: bool) -> None:
        """It is or it is not; what mirrors it is told, and acts as the application says."""
        if producer.paused == paused:
            return
        producer.paused = paused
        for consumer in producer.consumers.values():
            if isinstance(consumer, PipeConsumer):
                self._news.tell(consumer.id, m.ConsumerProducerPause() if paused else m.ConsumerProducerResume())

    async def pause_consumer(self, message: m.ConsumerPause | m.ConsumerResume, feed: PipeConsumer) -> None:
        """CONSUMER_PAUSE and CONSUMER_RESUME: also at the far end, though its producer does not say so."""
        feed.paused = isinstance(message, m.ConsumerPause)
        if feed.mirror is not None:
            await self._consuming.mirror_paused(feed.mirror)

    # The rest that they understand

    async def answer(self, message: m.Request[Any], record: AnyMirror) -> Any:
        """What a transport, producer or consumer is asked that is on no member."""
        match record, message:
            case MirrorTransport(), _:
                return _answer_of_transport(record, message)
            case Mirror(), m.ProducerDump():
                return views.producer_dump(record, await _ask_source(record, m.ProducerDump()))
            case Mirror(), m.ProducerGetStats():
                return views.producer_stats(record, await _ask_source(record, m.ProducerGetStats()))
            case PipeConsumer(), m.ConsumerGetStats():
                return views.consumer_stats(record, await _ask_source(record, m.ProducerGetStats()))
            case PipeConsumer(), m.ConsumerRequestKeyFrame():
                return await _request_key_frame(record)
            case PipeConsumer(), _:
                return _answer_of_consumer(record, message)
        raise not_understood(record, message)

    # Ending

    def ended(self, record: AnyMirror, told: bool) -> None:
        """It has left the tree; `told`: the application knows already."""
        match record:
            case MirrorTransport():
                del self._ends[record.id]
                if record.other is not None:
                    record.other.other = None
            case Mirror():
                record.feed.mirror = None
                record.source.mirrors.remove(record)
                self._consuming.mirror_gone(record)
                if record.traced and not record.source.closed:
                    record.source.transport.member.channel.post(views.tracing(record.source), record.source.wire_id)
            case PipeConsumer():
                if not told:
                    self._news.tell(record.id, m.ConsumerProducerClose())
                    return
        self._news.unwatch(record.id)


def _feed(transport: MirrorTransport, parameters: m.RtpParameters) -> PipeConsumer:
    """What comes from the other end under these SSRCs."""
    ssrcs = _ssrcs(parameters)
    for consumer in transport.other.consumers.values() if transport.other is not None else ():
        if isinstance(consumer, PipeConsumer) and _ssrcs(consumer.request.rtp_parameters) == ssrcs:
            if consumer.mirror is not None:
                raise SfuError(f"ssrc {ssrcs[0]} is used by a producer of this transport already")
            check_open(consumer.producer.source)
            return consumer
    raise NotFoundError("nothing is consumed under these SSRCs at the other end")


def _ssrcs(parameters: m.RtpParameters) -> list[int | None]:
    return [encoding.ssrc for encoding in parameters.encodings]


async def _ask_source(record: Mirror | PipeConsumer, message: m.Request[m.R]) -> m.R:
    source = record.source if isinstance(record, Mirror) else record.producer.source
    return await ask(source.transport.member, message, source.wire_id)


async def _request_key_frame(feed: PipeConsumer) -> None:
    """On behalf of those who would get it."""
    for consumer in feed.mirror.consumers.values() if feed.mirror is not None else ():
        if isinstance(consumer, Consumer) and not consumer.paused:
            return await ask(consumer.transport.member, m.ConsumerRequestKeyFrame(), consumer.id)


def _answer_of_transport(transport: MirrorTransport, message: m.Request[Any]) -> Any:
    match message:
        case m.TransportDump():
            return views.transport_dump(transport)
        case m.TransportGetStats():
            return views.transport_stats(transport)
        case m.TransportGetDrops():
            return m.Counters(counters={})
        case m.TransportSetMaxIncomingBitrate(max_incoming_bitrate=bitrate):
            transport.limits["max_incoming_bitrate"] = bitrate
        case m.TransportSetMaxOutgoingBitrate(max_outgoing_bitrate=bitrate):
            transport.limits["max_outgoing_bitrate"] = bitrate
        case m.TransportSetMinOutgoingBitrate(min_outgoing_bitrate=bitrate):
            transport.limits["min_outgoing_bitrate"] = bitrate
        case m.TransportEnableTraceEvent(events=events):
            transport.traced = sorted(set(events))
        case m.PipeTransportConnect():
            raise SfuError("connect() has been called already")
        case _:
            raise not_understood(transport, message)
    return None


def _answer_of_consumer(consumer: PipeConsumer, message: m.Request[Any]) -> Any:
    match message:
        case m.ConsumerDump():
            return views.consumer_dump(consumer)
        case m.ConsumerSetPreferredLayers():
            return m.ConsumerSetPreferredLayersResponse()
        case m.ConsumerSetPriority(priority=priority):
            consumer.priority = priority
            return m.ConsumerSetPriorityResponse(priority=priority)
        case m.ConsumerEnableTraceEvent(events=events):
            consumer.traced = sorted(set(events))
            return None
        case _:
            raise not_understood(consumer, message)
