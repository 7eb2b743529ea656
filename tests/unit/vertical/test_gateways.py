"""Members on several hosts: a producer crosses to each host once, and goes on from there."""

import asyncio
import contextlib

import pytest
from fake_core import CODECS, House

from sfu_core.channel import messages as m
from sfu_core.channel.place import Place, local_place
from sfu_core.errors import NotFoundError

HOSTS = "aabbbc"  # two cores, three, and one


def places(hosts=HOSTS):
    known = local_place().extensions
    return [Place(host_id=host, announced_addresses=("127.0.0.1",), extensions=known) for host in hosts]


@pytest.fixture
def hosts(runner):
    """A logical worker over six cores of three hosts, on which transports go round."""
    house = runner.run(House.open(len(HOSTS), places()))
    yield house
    runner.run(house.close())


async def spread(house):
    """A transport on each core; the producer is on the first one."""
    transports = [await house.plain() for _ in house.cores]
    assert [house.core_of(each) for each in transports] == house.cores
    return transports, await house.audio(transports[0])


def between_hosts(house):
    """Cores with ends of encrypted pipes."""
    return {
        core: sum(each.options.enable_srtp for each in core.kinds(m.RouterCreatePipeTransport)) for core in house.cores
    }


def fed(core):
    """What the core feeds into pipes: (consumers made on them) and whether they are paused."""
    return [each for each in core.kinds(m.TransportConsume) if each.type is m.RtpType.PIPE]


async def test_once_to_each_host(hosts):
    transports, producer = await spread(hosts)
    await asyncio.gather(*(hosts.consume(each, producer) for each in transports[1:]))
    home, beside, gateway, second, third, alone = hosts.cores
    assert hosts.pipes.count == hosts.pipes.links == 5
    assert [len(fed(core)) for core in hosts.cores] == [3, 0, 2, 0, 0, 0]
    assert between_hosts(hosts) == {home: 2, beside: 0, gateway: 1, second: 0, third: 0, alone: 1}
    assert not any(core.kinds(m.RouterCreatePipeTransport) for core in (beside, second, third))  # by ring


async def test_the_first_to_want_it_is_the_gateway(hosts):
    transports, producer = await spread(hosts)
    await hosts.consume(transports[4], producer)
    await hosts.consume(transports[2], producer)
    assert [len(fed(core)) for core in hosts.cores] == [1, 0, 0, 0, 1, 0]


async def test_the_gateway_stays_while_anybody_behind_it_needs_it(hosts):
    transports, producer = await spread(hosts)
    first = await hosts.consume(transports[2], producer)
    second = await hosts.consume(transports[3], producer)
    first.close()
    await hosts.quiet()
    assert hosts.pipes.count == 2 and not second.closed
    again = await hosts.consume(transports[2], producer)
    assert hosts.pipes.count == 2
    again.close()
    second.close()
    await hosts.quiet()
    assert hosts.pipes.count == hosts.pipes.links == 0
    assert [len(core.pipes()) for core in hosts.cores] == [0] * 6


async def test_packets_cross_only_if_somebody_wants_them(hosts):
    transports, producer = await spread(hosts)
    consumer = await hosts.consume(transports[2], producer, paused=True)
    behind = await hosts.consume(transports[3], producer, paused=True)

    def flowing():
        into_host, inside = producer_of(hosts, producer).piped.values()
        return into_host.carried.flowing, inside.carried.flowing

    assert flowing() == (False, False)
    await behind.resume()
    assert flowing() == (True, True)
    await consumer.resume()
    await behind.pause()
    assert flowing() == (True, False)
    await consumer.pause()
    assert flowing() == (False, False)
    await behind.resume()
    behind.close()
    await hosts.quiet()
    into_host, *others = producer_of(hosts, producer).piped.values()
    assert not into_host.carried.flowing and others == []


def producer_of(house, producer):
    return house.switch._operations.tree.objects[producer.id]


async def test_pauses_reach_everybody(hosts):
    transports, producer = await spread(hosts)
    consumers = await asyncio.gather(*(hosts.consume(each, producer) for each in transports[1:]))
    await producer.pause()
    await hosts.quiet()
    assert all(consumer.producer_paused for consumer in consumers)
    await producer.resume()
    await hosts.quiet()
    assert not any(consumer.producer_paused for consumer in consumers)


async def test_the_producer_closes(hosts):
    transports, producer = await spread(hosts)
    consumers = await asyncio.gather(*(hosts.consume(each, producer) for each in transports[1:]))
    heard = []
    for index, consumer in enumerate(consumers):
        consumer.on("producerclose", lambda index=index: heard.append(index))
    producer.close()
    await hosts.quiet()
    assert sorted(heard) == [0, 1, 2, 3, 4] and hosts.pipes.count == hosts.pipes.links == 0


async def test_the_gateway_dies(hosts):
    transports, producer = await spread(hosts)
    consumers = [await hosts.consume(each, producer) for each in transports[1:]]
    heard = []
    for index, consumer in enumerate(consumers):
        consumer.on("producerclose", lambda index=index: heard.append(index))
    gateway = hosts.core_of(transports[2])
    second, third = hosts.core_of(transports[3]), hosts.core_of(transports[4])
    gateway.kill()
    await hosts.quiet()
    assert heard == [2, 3]  # those behind it; its own have ended with their transport
    assert transports[2].closed and not (consumers[0].closed or consumers[4].closed or producer.closed)
    assert hosts.pipes.count == 2
    again = [await hosts.consume(transport, producer) for transport in transports[3:5]]
    assert not any(each.closed for each in again) and hosts.pipes.count == 4
    assert len(fed(second)) == 1 and fed(third) == []  # the next one is the gateway now


async def test_who_was_behind_a_dead_gateway_consumes_again_at_once(hosts):
    """From within `producerclose`: one of them is the next gateway, and in the end nothing is left."""
    transports, producer = await spread(hosts)
    consumers = [await hosts.consume(each, producer) for each in transports[1:]]
    gateway, second, third = (hosts.core_of(each) for each in transports[2:5])
    heard, again = [], []

    def consume_again(index):
        heard.append(index)
        again.append(asyncio.ensure_future(hosts.consume(transports[1 + index], producer)))

    for index, consumer in enumerate(consumers):
        consumer.on("producerclose", lambda index=index: consume_again(index))
    gateway.kill()
    await hosts.quiet()
    fresh = await asyncio.gather(*again)
    await hosts.quiet()
    assert heard == [2, 3] and not any(consumer.closed for consumer in fresh)
    assert hosts.pipes.count == hosts.pipes.links == 4
    entered = {core: count for core, count in between_hosts(hosts).items() if core in (second, third)}
    assert sorted(entered.values()) == [0, 1]  # it crosses to that host once, as before
    for consumer in (consumers[0], consumers[4], *fresh):
        consumer.close()
    await hosts.quiet()
    assert hosts.pipes.count == hosts.pipes.links == 0
    assert [len(core.pipes()) for core in hosts.cores] == [0] * 6
    assert not producer_of(hosts, producer).piped and not producer_of(hosts, producer).consumers


@pytest.mark.parametrize("turns", range(10))
async def test_the_gateway_of_a_mirrored_producer_dies(hosts, turns):
    """Whoever consumes again at once does not get what ended with the gateway."""
    _, producer = await spread(hosts)
    router = await (await hosts.mediasoup.create_worker()).create_router(media_codecs=CODECS)
    mirror = (await hosts.router.pipe_to_router(producer_id=producer.id, router=router)).pipe_producer
    transports = [await hosts.plain(router) for _ in hosts.cores]
    consumers = [await hosts.consume(transports[index], mirror) for index in (2, 3, 3)]
    hosts.core_of(transports[2]).kill()
    for _ in range(turns):
        await asyncio.sleep(0)
    again = await hosts.consume(transports[3], mirror)
    await hosts.quiet()
    assert all(each.closed for each in consumers) and not again.closed
    again.close()
    await hosts.quiet()
    assert hosts.pipes.count == hosts.pipes.links == 0


async def test_the_gateway_dies_while_others_wait_for_it(hosts):
    transports, producer = await spread(hosts)
    gateway, second = hosts.core_of(transports[2]), hosts.core_of(transports[3])
    gateway.hold()
    through = asyncio.ensure_future(hosts.consume(transports[2], producer))
    behind = asyncio.ensure_future(hosts.consume(transports[3], producer))
    await hosts.quiet()
    assert not (through.done() or behind.done())
    gateway.kill()
    consumer = await behind
    with pytest.raises(NotFoundError):
        await through
    assert not consumer.closed and len(between_hosts(hosts)) and fed(second) == []
    assert hosts.pipes.count == 1


async def test_the_home_dies(hosts):
    transports, producer = await spread(hosts)
    consumers = await asyncio.gather(*(hosts.consume(each, producer) for each in transports[1:]))
    hosts.core_of(transports[0]).kill()
    await hosts.quiet()
    assert producer.closed and all(consumer.closed for consumer in consumers)
    assert hosts.pipes.count == hosts.pipes.links == 0


async def test_a_way_that_cannot_be_made(runner):
    """A host without an address: those who wait behind the gateway hear why, too."""
    there = [*places("a"), *(Place(host_id="b", extensions=local_place().extensions) for _ in range(2))]
    house = await House.open(3, there)
    transports, producer = await spread(house)
    tries = await asyncio.gather(*(house.consume(each, producer) for each in transports[1:]), return_exceptions=True)
    assert ["announces no address" in str(each) for each in tries] == [True, True]
    assert house.pipes.count == house.pipes.links == 0
    await house.close()


async def test_consumers_that_come_and_go(hosts):
    """In any order, some cancelled: at the end nothing is left."""
    transports, producer = await spread(hosts)

    async def visit(index):
        consuming = asyncio.ensure_future(hosts.consume(transports[1 + index % 5], producer, paused=index % 2 == 0))
        for _ in range(index % 7):
            await asyncio.sleep(0)
        if index % 3 == 0:
            consuming.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            (await consuming).close()

    await asyncio.gather(*(visit(index) for index in range(60)))
    await hosts.quiet()
    assert hosts.pipes.count == hosts.pipes.links == 0
    assert [len(core.pipes()) for core in hosts.cores] == [0] * 6


async def test_what_is_announced_is_the_address_of_where_it_goes(runner):
    there = [Place(host_id=host, announced_addresses=(f"10.0.0.{index}",)) for index, host in enumerate("ab")]
    house = await House.open(2, there)
    assert house.switch.place.announced_addresses == ("0.0.0.0",)
    for index in range(2):
        transport = await house.router.create_pipe_transport(
            listen_info={"protocol": "udp", "ip": "0.0.0.0", "announcedAddress": "0.0.0.0"}
        )
        assert transport.tuple["localAddress"] == f"10.0.0.{index}"
    await house.close()
