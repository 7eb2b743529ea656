"""Consumers: whatever is needed for a producer to be where it is consumed, and no longer than that.

Belongs to the switch's event loop. A producer is at home on the consumer's member, or piped there; if it is one of
another router, it is lent as well.
"""

import asyncio

from msgspec.structs import replace

from sfu_core.channel import messages as m
from vertical import views
from vertical.creations import Creations
from vertical.links import ask
from vertical.loans import Loans
from vertical.members import Member
from vertical.pipes import StartTask
from vertical.tree import AnyProducer, Consumer, Mirror, Producer, Transport, Tree, check_open


class Consuming:
    """Of one logical worker."""

    def __init__(self, tree: Tree, creations: Creations, start: StartTask) -> None:
        self._tree = tree
        self._creations = creations
        self._loans = Loans(start)

    async def consume(self, message: m.TransportConsume, transport: Transport) -> m.TransportConsumeResponse:
        """TRANSPORT_CONSUME."""
        producer, member, id = transport.router.producer(message.producer_id), transport.member, message.consumer_id
        async with self._creations.new(id):
            name = await self._bring(producer, member, id)
            try:
                request = replace(message, producer_id=name)
                reply = await self._creations.create_on(member, id, id, request, transport.id)
                check_open(transport)
            except BaseException:
                self._release(producer, member, id)
                raise
            if member is not producer.source.transport.member:
                reply.score = views.scores(reply.score, producer.source, message.type)
            if producer.closed or producer.source.closed:  # its member is saying that it has just ended
                self._release(producer, member, id)
                return reply
            consumer = Consumer(
                id=id,
                transport=transport,
                producer=producer,
                paused=message.paused,
                type=message.type,
                score=reply.score,
            )
            self._tree.add(consumer)
            await self._want(consumer)
            check_open(transport)
            return reply

    async def pause(self, message: m.ConsumerPause | m.ConsumerResume, consumer: Consumer) -> None:
        """CONSUMER_PAUSE and CONSUMER_RESUME: nothing is piped for those who are paused.

        The consumer first: so it is listening when the key frame comes that the pipe asks for.
        """
        await ask(consumer.transport.member, message, consumer.id)
        consumer.paused = isinstance(message, m.ConsumerPause)
        await self._want(consumer)

    async def stats(self, message: m.ConsumerGetStats, consumer: Consumer) -> m.ConsumerGetStatsResponse:
        """CONSUMER_GET_STATS."""
        own = ask(consumer.transport.member, message, consumer.id)
        if not consumer.remote:
            return await own
        source = consumer.producer.source
        received = ask(source.transport.member, m.ProducerGetStats(), source.wire_id)
        carried = source.pipes.carried(source, consumer.transport.member)
        return views.consumer_stats(*await asyncio.gather(own, received), consumer, carried)

    async def mirror_paused(self, mirror: Mirror) -> None:
        """Returns when its consumers know whether it is, and nothing is piped for them alone if it is."""
        await self._loans.pause_changed(mirror)
        consumers = [each for each in mirror.consumers.values() if isinstance(each, Consumer)]
        await asyncio.gather(*map(self._want, consumers))

    def mirror_gone(self, mirror: Mirror) -> None:
        """Its consumers hear of it from their members."""
        self._loans.mirror_gone(mirror)

    def ended(self, consumer: Consumer) -> None:
        """It does not consume any more; the last one takes loan and pipe along."""
        self._release(consumer.producer, consumer.transport.member, consumer.id)

    async def _bring(self, producer: AnyProducer, member: Member, consumer_id: str) -> str:
        """What the producer is called on `member`, when it is there for the consumer."""
        source = producer.source
        check_open(source)
        if member is not source.transport.member:
            await source.pipes.connect(source, member, consumer_id)
        if not isinstance(producer, Mirror):
            return source.wire_id
        try:
            return await self._loans.connect(producer, member, consumer_id)
        except BaseException:
            source.pipes.release(source, member, consumer_id)
            raise

    def _release(self, producer: AnyProducer, member: Member, consumer_id: str) -> None:
        """First what was lent, then what it was lent from."""
        if isinstance(producer, Mirror):
            self._loans.release(producer, member, consumer_id)
        source: Producer = producer.source
        source.pipes.release(source, member, consumer_id)

    async def _want(self, consumer: Consumer) -> None:
        held = isinstance(consumer.producer, Mirror) and consumer.producer.held
        source = consumer.producer.source
        wanted = not (consumer.paused or held)
        await source.pipes.want(source, consumer.transport.member, consumer.id, wanted)
