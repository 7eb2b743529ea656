"""`pipe_to_router` between routers of the same cores: shown at once, piped when consumed, once for all routers."""

import asyncio
import contextlib

import pytest
from fake_core import CODECS, LOOPBACK, House, recv_stream

from sfu_core.channel import messages as m
from sfu_core.errors import NotFoundError, SfuError, UnsupportedError
from sfu_core.worker.events import EngineEvent
from vertical.tree import MirrorTransport


class Mirrored:
    """A producer on the first core, and what `pipe_to_router` made of it in a router of another logical worker."""

    @classmethod
    async def open(cls, house, same_worker=False, **options):
        self = cls()
        self.house = house
        self.worker = house.worker if same_worker else await house.mediasoup.create_worker()
        self.router = await self.worker.create_router(media_codecs=CODECS)
        self.producer = await house.audio(await house.plain())
        result = await house.router.pipe_to_router(
            producer_id=self.producer.id, router=self.router, keep_id=not same_worker, **options
        )
        self.feed, self.mirror = result.pipe_consumer, result.pipe_producer
        (self.near_end,) = [each for each in house.router._transports.values() if each.type == "pipe"]
        (self.far_end,) = [each for each in self.router._transports.values() if each.type == "pipe"]
        return self

    async def consumer(self, core=1, **options):
        """Of the mirror, on that core."""
        while True:
            transport = await self.house.plain(self.router)
            if self.house.core_of(transport) is self.house.cores[core]:
                return await self.house.consume(transport, self.mirror, **options)


@pytest.fixture
def mirrored(runner, house):
    return runner.run(Mirrored.open(house))


def pipes_made(house):
    return [len(core.kinds(m.RouterCreatePipeTransport, m.RouterCreateRingTransport)) for core in house.cores]


def sending(house, core=1):
    """Whether the send streams of a core do, in the order of their creation."""
    return [not stream["paused"] for stream in house.cores[core].engine.live["send"].values()]


def loans(house):
    return [[id for router in core.worker.routers.values() for id in router.loans] for core in house.cores]


async def nothing_left(house):
    """Of pipes and loans."""
    await house.quiet()
    assert house.pipes.count == house.pipes.links == 0
    assert loans(house) == [[], []]
    assert [core.pipes() for core in house.cores] == [[], []]
    assert all(core.refused == [] for core in house.cores)


@pytest.mark.parametrize("same_worker", [False, True], ids=["two workers", "one worker"])
async def test_nothing_happens_before_somebody_consumes(house, same_worker):
    mirrored = await Mirrored.open(house, same_worker)
    assert (mirrored.mirror.id == mirrored.producer.id) is not same_worker
    assert mirrored.mirror.kind == "audio" and mirrored.feed.type == "pipe"
    asked = [type(message) for core in house.cores for message, _ in core.asked]
    assert m.TransportConsume not in asked and pipes_made(house) == [0, 0]
    assert asked.count(m.TransportProduce) == 1 and house.pipes.count == 0
    consumer = await mirrored.consumer()
    assert house.pipes.count == 1 and sending(house) == [True]
    consumer.close()
    await nothing_left(house)


async def test_at_home_it_is_only_lent(house, mirrored):
    consumer = await mirrored.consumer(core=0)
    assert house.pipes.count == 0 and pipes_made(house) == [0, 0]
    assert [len(each) for each in loans(house)] == [1, 0]
    consumer.close()
    await nothing_left(house)


async def test_one_pipe_however_many_routers(linked):
    """EduMeet's way: a worker for each core, a router for each worker and room, all producers piped to all routers."""
    workers = [linked.worker, *[await linked.mediasoup.create_worker() for _ in range(3)]]
    routers = [linked.router, *[await worker.create_router(media_codecs=CODECS) for worker in workers[1:]]]
    transports = {router: [await linked.plain(router) for _ in range(2)] for router in routers}
    producers = [
        (router, await linked.audio(transport, ssrc))
        for router, pair in transports.items()
        for ssrc, transport in enumerate(pair, 1)
    ]
    for home, producer in producers:
        others = [router for router in routers if router is not home]
        await asyncio.gather(*(home.pipe_to_router(producer_id=producer.id, router=other) for other in others))
    assert len(producers) == 8 and pipes_made(linked) == [0, 0]
    assert [len(router._context.producers) for router in routers] == [8, 8, 8, 8]
    everywhere = [transport for pair in transports.values() for transport in pair]
    everybody = [(transport, producer) for transport in everywhere for _, producer in producers]
    await asyncio.gather(*(linked.consume(*each) for each in everybody))
    pipes = [worker.channel.pipes for worker in workers]
    mesh_producers, mesh_pairs = 8 * 3, 4 * 3 // 2
    assert sum(each.count for each in pipes) == 8 < mesh_producers  # each on the one core that it is not at home on
    assert sum(each.links for each in pipes) == 4 < mesh_pairs  # one for each router
    for worker in workers:
        worker.close()
    await linked.quiet()
    assert all(core.closed or core.engine.is_empty() for core in linked.source.cores)


async def test_many_at_the_same_instant(house, mirrored):
    here = await house.plain()
    there = [await house.plain(mirrored.router) for _ in range(4)]
    consumers = [house.consume(transport, mirrored.mirror) for transport in there for _ in range(5)]
    await asyncio.gather(*consumers, *(house.consume(here, mirrored.producer) for _ in range(3)))
    assert house.pipes.count == 1
    assert [len(core.kinds(m.RouterBorrowProducer)) for core in house.cores] == [1, 1]


async def test_the_next_consumer_after_the_last_one(house, mirrored):
    for _ in range(5):
        (await mirrored.consumer()).close()
    await mirrored.consumer()
    await house.quiet()
    assert house.pipes.count == 1 and [len(each) for each in loans(house)] == [0, 1]


# Pausing


async def test_the_original_pauses(house, mirrored):
    consumer = await mirrored.consumer()
    events = []
    for event in ("producerpause", "producerresume"):
        consumer.on(event, lambda event=event: events.append(event))
    await mirrored.producer.pause()
    await house.quiet()
    assert mirrored.feed.producer_paused and mirrored.mirror.paused and consumer.producer_paused
    assert sending(house) == [False]
    await mirrored.producer.resume()
    await house.quiet()
    assert not (mirrored.feed.producer_paused or mirrored.mirror.paused or consumer.producer_paused)
    assert sending(house) == [True] and events == ["producerpause", "producerresume"]


async def test_a_mirror_may_pause_alone(house, mirrored):
    """Those behind it are told and get nothing; if nobody else wants it, nothing is piped either."""
    consumer = await mirrored.consumer()
    await mirrored.mirror.pause()
    await house.quiet()
    assert consumer.producer_paused and sending(house) == [False] and sending(house, 0) == [False]
    assert not (mirrored.producer.paused or mirrored.feed.paused or mirrored.feed.producer_paused)
    local = await house.consume(await house.plain(), mirrored.producer)  # the first core again
    remote = await house.consume(await house.plain(), mirrored.producer)
    assert not (local.producer_paused or remote.producer_paused)
    assert sending(house) == [False, True] and sending(house, 0) == [True, True]
    late = await mirrored.consumer()
    assert late.producer_paused and sending(house) == [False, True, False]
    await mirrored.mirror.resume()
    await house.quiet()
    assert not (consumer.producer_paused or late.producer_paused) and sending(house) == [True, True, True]


async def test_the_near_end_pauses(house, mirrored):
    consumer = await mirrored.consumer()
    await mirrored.feed.pause()
    await house.quiet()
    assert mirrored.mirror.paused and consumer.producer_paused and sending(house, 0) == [False]
    await mirrored.feed.resume()
    await house.quiet()
    assert not mirrored.mirror.paused and not consumer.producer_paused and sending(house, 0) == [True]


async def test_paused_consumers_of_a_mirror_pipe_nothing(house, mirrored):
    consumer = await mirrored.consumer(paused=True)
    assert house.pipes.count == 1 and sending(house, 0) == [False] and sending(house) == [False]
    await consumer.resume()
    assert sending(house, 0) == [True] and sending(house) == [True]


async def test_a_paused_producer_is_mirrored_paused(house):
    producer = await house.audio(await house.plain(), paused=True)
    other = await (await house.mediasoup.create_worker()).create_router(media_codecs=CODECS)
    result = await house.router.pipe_to_router(producer_id=producer.id, router=other)
    assert result.pipe_consumer.producer_paused and result.pipe_producer.paused
    consumer = await house.consume(await house.plain(other), result.pipe_producer)
    assert consumer.producer_paused


# Ending

ENDS = {
    "producer": lambda each: each.producer.close(),
    "its transport": lambda each: next(iter(each.house.router._transports.values())).close(),
    "mirror": lambda each: each.mirror.close(),
    "feed": lambda each: each.feed.close(),
    "near end": lambda each: each.near_end.close(),
    "far end": lambda each: each.far_end.close(),
    "near router": lambda each: each.house.router.close(),
    "near worker": lambda each: each.house.worker.close(),
}


@pytest.mark.parametrize("core", [0, 1])
@pytest.mark.parametrize("end", ENDS)
async def test_ends(house, mirrored, end, core):
    """Those who consume it hear of it, once, and nothing is left."""
    consumer = await mirrored.consumer(core)
    events = []
    consumer.on("producerclose", lambda: events.append("producerclose"))
    ENDS[end](mirrored)
    await house.quiet()
    assert mirrored.mirror.closed and mirrored.feed.closed and consumer.closed
    assert events == ["producerclose"] and not mirrored.router.closed
    assert mirrored.producer.closed is (end in ("producer", "its transport", "near router", "near worker"))
    await nothing_left(house)
    dump = await mirrored.router.dump()
    assert dump["mapProducerIdConsumerIds"] == dump["mapConsumerIdProducerId"] == []


@pytest.mark.parametrize("end", ["router", "worker"])
async def test_the_far_one_ends(house, mirrored, end):
    consumer = await mirrored.consumer()
    getattr(mirrored, end).close()
    await house.quiet()
    assert mirrored.mirror.closed and mirrored.feed.closed and consumer.closed and not mirrored.producer.closed
    await nothing_left(house)
    again = await house.mediasoup.create_worker()
    router = await again.create_router(media_codecs=CODECS)
    await house.router.pipe_to_router(producer_id=mirrored.producer.id, router=router)


RACES = {**ENDS, "far router": lambda each: each.router.close(), "far worker": lambda each: each.worker.close()}


@pytest.mark.parametrize("turns", range(0, 40, 3))
@pytest.mark.parametrize("end", RACES)
async def test_ends_while_somebody_consumes(house, mirrored, end, turns):
    transports = [await house.plain(mirrored.router) for _ in range(2)]
    consuming = [asyncio.ensure_future(house.consume(each, mirrored.mirror)) for each in transports]
    for _ in range(turns):
        await asyncio.sleep(0)
    RACES[end](mirrored)
    for each in consuming:
        with contextlib.suppress(SfuError):
            consumer = await each
            await house.quiet()
            assert consumer.closed
    await nothing_left(house)


async def test_it_ends_when_the_core_has_made_the_consumer_and_not_said_so(house, mirrored):
    first = await mirrored.consumer()
    transport = list(mirrored.router._transports.values())[-1]
    house.cores[1].hold()
    consuming = asyncio.ensure_future(house.consume(transport, mirrored.mirror))
    await house.quiet()
    mirrored.mirror.close()
    await house.quiet()
    house.cores[1].go()
    await nothing_left(house)
    assert first.closed and consuming.result().closed


@pytest.mark.parametrize("turns", range(0, 40, 3))
async def test_whoever_consumes_is_cancelled(house, mirrored, turns):
    transport = [await house.plain(mirrored.router) for _ in range(2)][-1]
    consuming = asyncio.ensure_future(house.consume(transport, mirrored.mirror))
    for _ in range(turns):
        await asyncio.sleep(0)
    if consuming.cancel():
        with contextlib.suppress(asyncio.CancelledError):
            await consuming
    else:
        consuming.result().close()
    await nothing_left(house)


@pytest.mark.parametrize("turns", [0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 100])
@pytest.mark.parametrize("victim", [0, 1])
async def test_a_core_dies(linked, victim, turns):
    mirrored = await Mirrored.open(linked)
    transports = [await linked.plain(mirrored.router) for _ in range(2)]
    if linked.core_of(transports[0]) is linked.cores[1]:
        transports.reverse()
    consuming = [asyncio.ensure_future(linked.consume(each, mirrored.mirror)) for each in transports]
    for _ in range(turns):
        await asyncio.sleep(0)
    linked.cores[victim].kill()
    await linked.quiet()
    results = await asyncio.gather(*consuming, return_exceptions=True)
    assert mirrored.producer.closed is mirrored.mirror.closed is mirrored.feed.closed is (victim == 0)
    assert [each.closed for each in transports] == [victim == 0, victim == 1]
    for core, result in enumerate(results):
        found = isinstance(result, NotFoundError)
        assert found or result.closed is (victim in (0, core)), result
    assert linked.pipes.count == linked.pipes.links == 0
    assert all(not core.pipes() for core in linked.cores)
    if victim == 1:  # and it goes on
        await mirrored.consumer(core=0)


# What it shows


async def test_scores_are_those_of_the_sender(house, mirrored):
    consumers = [await mirrored.consumer(core) for core in (0, 1)]
    seen = {each: [] for each in (mirrored.mirror, *consumers)}
    for each, log in seen.items():
        each.on("score", log.append)
    home = house.cores[0]
    stream = recv_stream(home, next(iter(house.router._transports.values())))
    home.emit(EngineEvent.NEW_STREAM, stream, 1111)
    home.emit(EngineEvent.RECV_SCORE, stream, 4)
    await house.quiet()
    ssrc = mirrored.mirror.rtp_parameters["encodings"][0]["ssrc"]
    assert seen[mirrored.mirror][-1] == [{"encodingIdx": 0, "ssrc": ssrc, "score": 4}] == mirrored.mirror.score
    for consumer in consumers:
        assert seen[consumer][-1] == {"score": 10, "producerScore": 4, "producerScores": [4]} == consumer.score
    third = await (await house.mediasoup.create_worker()).create_router(media_codecs=CODECS)
    result = await house.router.pipe_to_router(producer_id=mirrored.producer.id, router=third)
    await house.quiet()
    assert [each["score"] for each in result.pipe_producer.score] == [4]


async def test_stats_are_those_of_the_sender(house, mirrored):
    consumer = await mirrored.consumer()
    home = house.cores[0]
    home.emit(EngineEvent.NEW_STREAM, recv_stream(home, next(iter(house.router._transports.values()))), 1111)
    (stream,) = home.engine.live["recv"].values()
    stream["stats"] = {"ssrc": 1111, "packet_count": 50}
    await house.quiet()
    ssrc = mirrored.feed.rtp_parameters["encodings"][0]["ssrc"]
    (received,) = await mirrored.mirror.get_stats()
    (sent,) = await mirrored.feed.get_stats()
    assert (received["type"], received["ssrc"], received["packetCount"]) == ("inbound-rtp", ssrc, 50)
    assert (sent["type"], sent["ssrc"], sent["packetCount"]) == ("outbound-rtp", ssrc, 50)
    own, behind = await consumer.get_stats()
    assert (own["type"], behind["type"], behind["ssrc"]) == ("outbound-rtp", "inbound-rtp", 1111)


async def test_traces_go_to_those_who_asked(house, mirrored):
    home = house.cores[0]
    seen = {each: [] for each in (mirrored.producer, mirrored.mirror)}
    for each, log in seen.items():
        each.on("trace", lambda trace, log=log: log.append(trace["type"]))
    (handle,) = home.engine.live["producer"]
    masks = []
    await mirrored.mirror.enable_trace_event(["pli"])
    masks.append(home.engine.live["producer"][handle]["trace"])
    await mirrored.producer.enable_trace_event(["fir"])
    masks.append(home.engine.live["producer"][handle]["trace"])
    pli, fir = m.ProducerTraceEventType.PLI, m.ProducerTraceEventType.FIR
    assert masks == [1 << pli, 1 << pli | 1 << fir]
    for type in (pli, fir):
        home.emit(EngineEvent.PRODUCER_TRACE, handle, int(type), 5, 0, (1111,))
    await house.quiet()
    assert seen == {mirrored.producer: ["fir"], mirrored.mirror: ["pli"]}
    assert (await mirrored.mirror.dump())["traceEventTypes"] == ["pli"]
    assert (await mirrored.producer.dump())["traceEventTypes"] == ["fir"]
    mirrored.mirror.close()
    await house.quiet()
    assert home.engine.live["producer"][handle]["trace"] == 1 << fir


async def test_the_camera_is_turned(house, mirrored):
    seen = []
    mirrored.mirror.on("videoorientationchange", seen.append)
    home = house.cores[0]
    home.emit(EngineEvent.ORIENTATION, recv_stream(home, next(iter(house.router._transports.values()))), 1)
    await house.quiet()
    assert [each["rotation"] for each in seen] == [90]


async def test_key_frames_are_asked_for_on_behalf_of_those_behind(house, mirrored):
    await mirrored.feed.request_key_frame()
    await mirrored.consumer(paused=True)
    await mirrored.consumer()
    await mirrored.feed.request_key_frame()
    assert len(house.cores[1].engine.called("request_key_frame")) == 1


async def test_dumps_look_like_those_of_a_pipe(house, mirrored):
    consumer = await mirrored.consumer()
    dump = await mirrored.mirror.dump()
    assert (dump["id"], dump["type"], dump["paused"]) == (mirrored.mirror.id, "simple", False)
    ssrc = mirrored.feed.rtp_parameters["encodings"][0]["ssrc"]
    assert dump["rtpParameters"]["encodings"][0]["ssrc"] == ssrc != 1111
    dump = await mirrored.feed.dump()
    assert (dump["type"], dump["producerId"], len(dump["rtpStreams"])) == ("pipe", mirrored.producer.id, 1)
    dump = await consumer.dump()
    assert dump["producerId"] == mirrored.mirror.id and dump["consumableRtpEncodings"][0]["ssrc"] != ssrc
    near, far = await mirrored.near_end.dump(), await mirrored.far_end.dump()
    assert near["consumerIds"] == [mirrored.feed.id] and far["producerIds"] == [mirrored.mirror.id]
    assert near["mapSsrcConsumerId"] == [{"key": ssrc, "value": mirrored.feed.id}]
    assert far["rtpListener"]["ssrcTable"] == [{"key": ssrc, "value": mirrored.mirror.id}]
    router = await mirrored.router.dump()
    assert router["mapConsumerIdProducerId"] == [{"key": consumer.id, "value": mirrored.mirror.id}]
    assert mirrored.far_end.id in router["transportIds"]
    (stats,) = await mirrored.far_end.get_stats()
    assert stats["type"] == "pipe-transport" and stats["bytesReceived"] == 0
    await mirrored.far_end.set_max_incoming_bitrate(1_000_000)
    (stats,) = await mirrored.far_end.get_stats()
    assert stats["maxIncomingBitrate"] == 1_000_000
    await mirrored.feed.set_priority(7)
    assert mirrored.feed.priority == (await mirrored.feed.dump())["priority"] == 7


async def test_a_mirror_of_a_mirror(house, mirrored):
    """Still one pipe, from the original's home; it ends and pauses with what it shows."""
    third = await (await house.mediasoup.create_worker()).create_router(media_codecs=CODECS)
    result = await mirrored.router.pipe_to_router(producer_id=mirrored.mirror.id, router=third)
    transports = [await house.plain(third) for _ in range(2)]
    consumers = [await house.consume(each, result.pipe_producer) for each in transports]
    await mirrored.consumer()
    assert house.pipes.count == 1
    await mirrored.mirror.pause()
    await house.quiet()
    assert result.pipe_producer.paused and all(each.producer_paused for each in consumers)
    mirrored.mirror.close()
    await house.quiet()
    assert result.pipe_producer.closed and all(each.closed for each in consumers) and not mirrored.producer.closed
    await nothing_left(house)


# When it is not one


async def test_routers_that_number_codecs_differently_are_piped(house):
    producer = await house.audio(await house.plain())
    codecs = [CODECS[0] | {"preferredPayloadType": 109}]
    other = await (await house.mediasoup.create_worker()).create_router(media_codecs=codecs)
    await house.router.pipe_to_router(producer_id=producer.id, router=other)
    assert [len(core.kinds(m.RouterCreatePipeTransport)) for core in house.cores] == [1, 1]


async def test_other_cores_are_reached_by_a_pipe(house):
    """Workers with other settings have cores of their own."""
    other = await house.mediasoup.create_worker(rtc_min_port=20000, rtc_max_port=21000)
    router = await other.create_router(media_codecs=CODECS)
    assert other.channel.place.mirror_group != house.worker.channel.place.mirror_group != ""
    producer = await house.audio(await house.plain())
    await house.router.pipe_to_router(producer_id=producer.id, router=router)
    kinds = [core.kinds(m.RouterCreatePipeTransport) for core in house.source.cores]
    assert sum(map(len, kinds)) == 2


async def test_cores_that_cannot_lend(runner):
    from sfu_core.channel.place import Place

    house = await House.open(2, [Place(host_id="a") for _ in range(2)])
    assert house.switch.place.mirror_group == ""
    producer = await house.audio(await house.plain())
    other = await house.worker.create_router(media_codecs=CODECS)
    await house.router.pipe_to_router(producer_id=producer.id, router=other, keep_id=False)
    assert pipes_made(house) == [2, 2]  # between the routers, and between the cores
    await house.close()


async def test_the_same_id_twice_in_one_worker(house):
    producer = await house.audio(await house.plain())
    other = await house.worker.create_router(media_codecs=CODECS)
    with pytest.raises(SfuError):
        await house.router.pipe_to_router(producer_id=producer.id, router=other)
    await house.quiet()
    assert (await house.router.dump())["mapProducerIdConsumerIds"] == [{"key": producer.id, "values": []}]


async def test_wrong_use(house, mirrored):
    with pytest.raises(SfuError):
        await mirrored.near_end.connect(ip="127.0.0.1", port=5000)
    codec = {"mimeType": "audio/opus", "payloadType": 100, "clockRate": 48000, "channels": 2}
    parameters = {"codecs": [codec], "encodings": [{"ssrc": 5}]}
    with pytest.raises(NotFoundError):  # nobody sends that
        await mirrored.far_end.produce(kind="audio", rtp_parameters=parameters)
    other = parameters | {"codecs": [codec | {"payloadType": 101}]}
    with pytest.raises(UnsupportedError):
        await mirrored.far_end.produce(kind="audio", rtp_parameters=other)
    with pytest.raises(SfuError):  # they come from there already
        await mirrored.far_end.produce(kind="audio", rtp_parameters=mirrored.feed.rtp_parameters)
    channel = house.worker.channel
    (end,) = [each for each in channel._operations.tree.objects.values() if isinstance(each, MirrorTransport)]
    with pytest.raises(SfuError):
        await channel.request(m.MirrorTransportConnect(transport_id=mirrored.far_end.id), end.id)
    with pytest.raises(SfuError, match="understand"):
        await channel.request(m.TransportRestartIce(), end.id)
    alone = m.RouterCreateMirrorTransport(transport_id="x", options=end.options)
    await channel.request(alone, house.router.id)
    with pytest.raises(NotFoundError):
        await channel.request(m.MirrorTransportConnect(transport_id="nobody"), "x")
    await channel.request(m.RouterCloseTransport(transport_id="x"), house.router.id)
    with pytest.raises(TypeError):
        await Mirrored.open(house, listen_info=LOOPBACK | {"protocol": "tcp"})
