"""Pipes: made when somebody consumes, once for each producer and core, gone with the last one."""

import asyncio
import contextlib

import pytest
from fake_core import CODECS, FakeCore, House, recv_stream

from sfu_core.channel import messages as m
from sfu_core.channel.place import Place
from sfu_core.errors import NotFoundError, SfuError
from sfu_core.worker.events import EngineEvent
from vertical.rings import NEEDED


def producers_on(core):
    """How many producers the engine of a core has, at home there or piped."""
    return len(core.engine.live["producer"])


async def test_from_none_to_one_to_none(linked):
    producer, far = await linked.pair()
    assert linked.pipes.count == linked.pipes.links == 0
    consumer = await linked.consume(far, producer)
    assert linked.pipes.count == linked.pipes.links == 1
    stats = await linked.worker.get_core_stats()
    assert stats["pipes"] == stats["pipeLinks"] == 1
    assert [len(core.pipes()) for core in linked.cores] == [1, 1]
    consumer.close()
    await linked.quiet()
    assert linked.pipes.count == linked.pipes.links == 0
    assert [len(core.pipes()) for core in linked.cores] == [0, 0]
    assert [producers_on(core) for core in linked.cores] == [1, 0]


async def test_no_pipe_at_home(house):
    producer, _ = await house.pair()
    near = await house.plain()
    assert house.core_of(near) is house.cores[0]
    await house.consume(near, producer)
    assert house.pipes.count == 0
    assert house.cores[1].kinds(m.TransportConsume) == []


async def test_many_at_the_same_instant_share_one(linked):
    producer, far = await linked.pair()
    await asyncio.gather(*(linked.consume(far, producer) for _ in range(20)))
    assert linked.pipes.count == linked.pipes.links == 1
    home, away = linked.cores
    assert len(home.kinds(m.TransportConsume)) == 1
    assert len(away.kinds(m.TransportProduce)) == 1
    assert len(away.kinds(m.TransportConsume)) == 20


async def test_one_link_carries_all_producers_of_a_router_both_ways(linked):
    near, far = await linked.plain(), await linked.plain()
    here = [await linked.audio(near, ssrc) for ssrc in (1, 2)]
    there = await linked.audio(far, 3)
    await asyncio.gather(*(linked.consume(far, each) for each in here), linked.consume(near, there))
    assert (linked.pipes.count, linked.pipes.links) == (3, 1)
    assert [len(core.pipes()) for core in linked.cores] == [1, 1]
    ssrcs = [stream["ssrc"] for core in linked.cores for stream in core.engine.live["send"].values()]
    assert len(ssrcs) == len(set(ssrcs)) == 6


async def test_each_router_has_its_own_link(house):
    other = await house.worker.create_router(media_codecs=CODECS)
    for router in (house.router, other):
        producer = await house.audio(await house.plain(router))
        await house.consume(await house.plain(router), producer)
    assert (house.pipes.count, house.pipes.links) == (2, 2)
    other.close()
    await house.quiet()
    assert (house.pipes.count, house.pipes.links) == (1, 1)
    assert [len(core.pipes()) for core in house.cores] == [1, 1]


async def test_the_next_consumer_after_the_last_one(linked):
    """The pipe goes and comes again, in this order on both sides."""
    producer, far = await linked.pair()
    for _ in range(5):
        consumer = await linked.consume(far, producer)
        consumer.close()
    await linked.consume(far, producer)
    await linked.quiet()
    assert linked.pipes.count == 1
    assert [producers_on(core) for core in linked.cores] == [1, 1]


async def test_it_is_a_tree(runner):
    """On three cores: two pipes, both from the producer's home."""
    house = await House.open(3)
    transports = [await house.plain() for _ in range(3)]
    producer = await house.audio(transports[0])
    for transport in transports:
        await house.consume(transport, producer)
    assert (house.pipes.count, house.pipes.links) == (2, 2)
    assert [len(core.pipes()) for core in house.cores] == [2, 1, 1]
    await house.close()


async def test_pipes_do_not_show(house):
    producer, far = await house.pair()
    consumer = await house.consume(far, producer)
    dump = await house.router.dump()
    assert len(dump["transportIds"]) == 2 and far.id in dump["transportIds"]
    assert dump["mapProducerIdConsumerIds"] == [{"key": producer.id, "values": [consumer.id]}]
    assert dump["mapConsumerIdProducerId"] == [{"key": consumer.id, "value": producer.id}]
    handlers = (await house.worker.dump())["channelMessageHandlers"]
    assert len(handlers["channelRequestHandlers"]) == 5  # router, two transports, producer, consumer


async def test_pauses_cross(house):
    producer, far = await house.pair()
    consumer = await house.consume(far, producer)
    await producer.pause()
    (piped,) = house.cores[1].engine.live["producer"].values()
    assert piped["paused"]
    await house.quiet()
    assert consumer.producer_paused
    await producer.resume()
    await house.quiet()
    assert not consumer.producer_paused and not piped["paused"]


async def test_a_pause_that_is_not_answered_in_time(house, monkeypatch):
    """The far host is out of reach: the call fails, but what was asked is done when it is back, and must be undone."""
    producer, far = await house.pair()
    consumer = await house.consume(far, producer)
    core, late = house.cores[1], []

    async def request(message, handler_id=""):
        late.append(asyncio.ensure_future(FakeCore.request(core, message, handler_id)))
        raise SfuError("no answer")

    monkeypatch.setattr(core, "request", request)
    with pytest.raises(SfuError, match="no answer"):
        await producer.pause()
    monkeypatch.undo()
    await asyncio.gather(*late)
    await producer.resume()
    await house.quiet()
    (piped,) = core.engine.live["producer"].values()
    assert not piped["paused"] and not consumer.producer_paused


async def test_a_paused_producer_arrives_paused(house):
    producer, far = await house.pair()
    await producer.pause()
    consumer = await house.consume(far, producer)
    assert consumer.producer_paused
    (piped,) = house.cores[1].engine.live["producer"].values()
    assert piped["paused"]


# Paused consumers


def flowing(house):
    """Whether the near half of the only pipe sends, as the engine of the first core sees it."""
    registry = house.cores[0].worker.context.registry
    ids = [id for id, each in registry.items() if getattr(each, "type", None) is m.RtpType.PIPE]
    (stream,) = registry.get(ids[0]).streams
    return not house.cores[0].engine.live["send"][stream.handle]["paused"]


async def test_nothing_is_piped_for_paused_consumers(linked):
    producer, far = await linked.pair()
    first = await linked.consume(far, producer, paused=True)
    assert linked.pipes.count == 1 and not flowing(linked)
    second = await linked.consume(far, producer, paused=True)
    assert not flowing(linked)
    await first.resume()
    assert flowing(linked)
    await second.resume()
    await first.pause()
    assert flowing(linked)
    await second.pause()
    assert not flowing(linked)
    third = await linked.consume(far, producer)
    assert flowing(linked)
    third.close()
    await linked.quiet()
    assert not flowing(linked)
    assert len(linked.cores[0].kinds(m.TransportConsume)) == 1


async def test_who_resumes_listens_before_the_pipe_asks_for_a_key_frame(linked):
    producer, far = await linked.pair()
    consumer = await linked.consume(far, producer, paused=True)
    home, away = linked.cores
    away.hold()
    resuming = asyncio.ensure_future(consumer.resume())
    await linked.quiet()
    assert home.kinds(m.ConsumerResume) == [] and not resuming.done()
    away.go()
    await resuming
    assert len(away.kinds(m.ConsumerResume)) == len(home.kinds(m.ConsumerResume)) == 1


async def test_a_new_consumer_exists_before_anything_flows(linked):
    producer, far = await linked.pair()
    await linked.consume(far, producer, paused=True)
    linked.cores[1].hold()
    consuming = asyncio.ensure_future(linked.consume(far, producer))
    await linked.quiet()
    assert not flowing(linked)
    linked.cores[1].go()
    await consuming
    assert flowing(linked)


async def test_quick_changes_of_mind(linked):
    """Whatever the order of answers, the pipe ends up as the last request says."""
    producer, far = await linked.pair()
    consumers = [await linked.consume(far, producer, paused=True) for _ in range(3)]
    for last in (True, False):
        changes = []
        for _ in range(4):
            changes += [change() for each in consumers for change in (each.resume, each.pause)]
        if last:
            changes.append(consumers[1].resume())
        await asyncio.gather(*changes)
        assert flowing(linked) is last
        assert [each.paused for each in consumers] == [True, not last, True]


@pytest.mark.parametrize("turns", range(0, 24, 3))
async def test_a_pause_while_it_is_made(house, turns):
    """Whenever it comes, the consumer ends up knowing."""
    producer, far = await house.pair()
    consuming = asyncio.ensure_future(house.consume(far, producer))
    for _ in range(turns):
        await asyncio.sleep(0)
    await producer.pause()
    consumer = await consuming
    await house.quiet()
    assert consumer.producer_paused
    assert all(each["paused"] for core in house.cores for each in core.engine.live["producer"].values())


@pytest.mark.parametrize("turns", range(0, 30, 3))
async def test_the_producer_closes_while_it_is_made(linked, turns):
    """Either there is no consumer, or it hears of the end; nothing is left of the pipe."""
    producer, far = await linked.pair()
    consuming = asyncio.ensure_future(linked.consume(far, producer))
    for _ in range(turns):
        await asyncio.sleep(0)
    producer.close()
    try:
        consumer = await consuming
    except NotFoundError:
        pass
    else:
        await linked.quiet()
        assert consumer.closed
    await linked.quiet()
    assert linked.pipes.count == linked.pipes.links == 0
    assert [producers_on(core) for core in linked.cores] == [0, 0]
    assert [len(core.pipes()) for core in linked.cores] == [0, 0]


@pytest.mark.parametrize("turns", range(0, 30, 3))
async def test_the_consumers_transport_closes_while_it_is_made(house, turns):
    producer, far = await house.pair()
    consuming = asyncio.ensure_future(house.consume(far, producer))
    for _ in range(turns):
        await asyncio.sleep(0)
    far.close()
    with contextlib.suppress(NotFoundError):
        assert (await consuming).closed
    await house.quiet()
    assert house.pipes.count == house.pipes.links == 0
    assert [producers_on(core) for core in house.cores] == [1, 0]


@pytest.mark.parametrize("turns", range(0, 30, 3))
async def test_whoever_consumes_is_cancelled(house, turns):
    producer, far = await house.pair()
    consuming = asyncio.ensure_future(house.consume(far, producer))
    for _ in range(turns):
        await asyncio.sleep(0)
    if consuming.cancel():
        with pytest.raises(asyncio.CancelledError):
            await consuming
    await house.quiet()
    assert house.pipes.count in (0, 1) and house.pipes.count == len((await far.dump())["consumerIds"])


@pytest.mark.parametrize("turns", range(0, 30, 3))
@pytest.mark.parametrize("victim", [0, 1])
async def test_a_core_dies_while_it_is_made(linked, turns, victim):
    producer, far = await linked.pair()
    consuming = asyncio.ensure_future(linked.consume(far, producer))
    for _ in range(turns):
        await asyncio.sleep(0)
    linked.cores[victim].kill()
    try:
        consumer = await consuming
    except NotFoundError:
        pass
    else:
        await linked.quiet()
        assert consumer.closed
    await linked.quiet()
    assert (producer.closed, far.closed) == (victim == 0, victim == 1)
    assert linked.pipes.count == linked.pipes.links == 0
    assert all(not core.pipes() for core in linked.cores)


async def test_a_link_that_cannot_be_made(house):
    """Whoever waits hears why; the next one tries anew."""
    producer, far = await house.pair()
    with no_room(house.cores[1], "add_link_transport"):
        results = await asyncio.gather(*(house.consume(far, producer) for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [SfuError] * 3
    assert house.pipes.count == house.pipes.links == 0
    await house.quiet()
    assert [len(core.pipes()) for core in house.cores] == [0, 0]
    await house.consume(far, producer)
    assert house.pipes.count == 1


@contextlib.contextmanager
def no_room(core, method):
    """Its engine refuses."""

    def refuse(*args, **options):
        raise BufferError("no room for a transport")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(core.engine, method, refuse)
        yield


@pytest.mark.parametrize("failing", ["add_producer", "add_send_stream"])
async def test_a_half_that_cannot_be_made_takes_the_other_along(linked, failing):
    producer, far = await linked.pair()
    core = linked.cores[1 if failing == "add_producer" else 0]
    with no_room(core, failing), pytest.raises(SfuError, match="no room"):
        await linked.consume(far, producer)
    await linked.quiet()
    assert [producers_on(core) for core in linked.cores] == [1, 0]
    assert [len(core.engine.live["send"]) for core in linked.cores] == [0, 0]
    await linked.consume(far, producer)


async def test_a_consumer_that_is_refused_leaves_no_pipe(house):
    producer, far = await house.pair()
    with no_room(house.cores[1], "add_send_stream"), pytest.raises(SfuError, match="no room"):
        await house.consume(far, producer)
    await house.quiet()
    assert house.pipes.count == house.pipes.links == 0


async def test_scores_are_those_of_the_sender(house):
    producer, far = await house.pair()
    consumer = await house.consume(far, producer)
    home, away = house.cores
    seen = []
    consumer.on("score", seen.append)
    stream = recv_stream(home, _transport(house, producer))
    home.emit(EngineEvent.NEW_STREAM, stream, 1111)
    await house.quiet()
    assert seen == [{"score": 10, "producerScore": 10, "producerScores": [10]}] == [consumer.score]
    home.emit(EngineEvent.RECV_SCORE, stream, 4)
    await house.quiet()
    assert producer.score[0]["score"] == 4
    assert seen[1:] == [{"score": 10, "producerScore": 4, "producerScores": [4]}]
    (piped,) = away.engine.live["recv"]
    away.emit(EngineEvent.NEW_STREAM, piped, 999)  # the way itself is nobody's affair
    away.emit(EngineEvent.RECV_SCORE, piped, 9)
    await house.quiet()
    assert len(seen) == 2
    (own,) = _own_streams(house, far)
    away.emit(EngineEvent.SEND_SCORE, own, 7)
    await house.quiet()
    assert seen[2:] == [{"score": 7, "producerScore": 4, "producerScores": [4]}]
    late = await house.consume(far, producer)
    assert late.score == {"score": 10, "producerScore": 4, "producerScores": [4]}


async def test_stats_show_the_sender_not_the_pipe(house):
    producer, far = await house.pair()
    consumer = await house.consume(far, producer)
    home, away = house.cores
    home.emit(EngineEvent.NEW_STREAM, recv_stream(home, _transport(house, producer)), 1111)
    (stream,) = home.engine.live["recv"].values()
    stream["stats"] = {"ssrc": 1111, "packet_count": 50}
    (piped,) = away.engine.live["recv"]
    away.emit(EngineEvent.NEW_STREAM, piped, 999)
    sent, received = await consumer.get_stats()
    assert (sent["type"], received["type"]) == ("outbound-rtp", "inbound-rtp")
    assert (received["ssrc"], received["packetCount"]) == (1111, 50)
    assert sent["ssrc"] == consumer.rtp_parameters["encodings"][0]["ssrc"]


def _transport(house, producer):
    return next(t for t in house.router._transports.values() if producer.id in t._producers)


def _own_streams(house, transport):
    core = house.core_of(transport)
    consumers = core.worker.context.registry.get(transport.id).consumers.values()
    return [stream.handle for consumer in consumers for stream in consumer.streams]


@pytest.mark.parametrize("shared", [True, False], ids=["one host", "two hosts"])
async def test_between_hosts_it_is_encrypted_and_repaired(runner, shared):
    places = [
        Place(host_id="a" if shared else str(index), announced_addresses=("127.0.0.1",), extensions=frozenset())
        for index in range(2)
    ]
    house = await House.open(2, places)
    producer, far = await house.pair()
    await house.consume(far, producer)
    for core in house.cores:
        (request,) = core.kinds(m.RouterCreatePipeTransport)
        options, info = request.options, request.options.listen_info
        assert (options.enable_rtx, options.enable_srtp) == (not shared, not shared)
        assert (info.ip, info.announced_address) == (("127.0.0.1", None) if shared else ("0.0.0.0", "127.0.0.1"))
        (connect,) = core.kinds(m.PipeTransportConnect)
        assert (connect.srtp_parameters is None) == shared
    assert house.switch.place.shares_host_with(places[0]) is shared
    await house.close()


async def test_a_host_without_an_address(runner):
    house = await House.open(2, [Place(host_id=name) for name in "ab"])
    producer, far = await house.pair()
    with pytest.raises(SfuError, match="announces no address"):
        await house.consume(far, producer)
    assert house.pipes.count == house.pipes.links == 0
    await house.close()


# Rings


async def test_neighbours_share_one_ring(house):
    """All routers, also of other logical workers, while both cores live."""
    other = await (await house.mediasoup.create_worker()).create_router(media_codecs=CODECS)
    for router in (house.router, other, other):
        near, far = await house.plain(router), await house.plain(router)
        await house.consume(far, await house.audio(near))
    (ring,) = [message.ring_id for core in house.cores for message in core.kinds(m.WorkerOpenRing)]
    assert [message.ring_id for core in house.cores for message in core.kinds(m.WorkerJoinRing)] == [ring]
    assert [len(core.engine.live["link"]) for core in house.cores] == [1, 1]
    assert [len(core.pipes()) for core in house.cores] == [2, 2]
    tags = [transport["tag"] for core in house.cores for transport in core.pipes()]
    assert sorted(tags) == sorted(handle for core in house.cores for handle in core.engine.live["transport"]
                                  if core.engine.live["transport"][handle]["kind"] == "link")  # fmt: skip


async def test_the_ring_of_a_dead_core_is_given_up(house):
    producer, far = await house.pair()
    await house.consume(far, producer)
    dead, alive = house.cores
    dead.kill()
    await house.quiet()
    while alive.engine.live["link"]:
        await asyncio.sleep(0.01)
    again = [await house.plain(), await house.plain()]
    if house.core_of(again[0]) is alive:
        again.reverse()
    await house.consume(far, await house.audio(again[0]))
    assert len(alive.engine.live["link"]) == 1


async def test_a_ring_that_cannot_be_joined(house):
    producer, far = await house.pair()
    with no_room(house.cores[1], "add_link"), pytest.raises(SfuError, match="no room"):
        await house.consume(far, producer)
    await house.quiet()
    assert [len(core.engine.live["link"]) for core in house.cores] == [0, 0]
    await house.consume(far, producer)


async def test_who_has_no_rings_uses_the_network(runner):
    places = [Place(host_id="a"), Place(host_id="a", extensions=NEEDED)]
    house = await House.open(2, places)
    producer, far = await house.pair()
    await house.consume(far, producer)
    assert [len(core.kinds(m.RouterCreatePipeTransport)) for core in house.cores] == [1, 1]
    assert not house.switch.place.extensions & NEEDED
    await house.close()
