"""The logical worker as a Channel: to whom requests go, what comes back, in which order, and how it ends."""

import asyncio

import pytest
from fake_core import CODECS, LOOPBACK, House, certificate

from sfu_core.channel import messages as m
from sfu_core.errors import NotFoundError, SfuError, UnsupportedError, WorkerClosedError
from sfu_core.worker.events import EngineEvent
from vertical import names
from vertical.switch import FIRST_PID


async def test_a_router_is_where_its_transports_are(house):
    assert [core.worker.routers for core in house.cores] == [{}, {}]
    await house.plain()
    assert [len(core.worker.routers) for core in house.cores] == [1, 0]
    await house.plain()
    assert [list(core.worker.routers) for core in house.cores] == [[house.router.id]] * 2


async def test_many_first_transports_make_one_router(house):
    await asyncio.gather(*(house.plain() for _ in range(10)))
    assert [len(core.kinds(m.WorkerCreateRouter)) for core in house.cores] == [1, 1]
    assert [len(core.worker.routers[house.router.id].transports) for core in house.cores] == [5, 5]


async def test_requests_go_where_the_object_is(house):
    first, second = await house.plain(), await house.plain()
    producer = await house.audio(second)
    await second.set_max_incoming_bitrate(100_000)
    await producer.enable_trace_event(["rtp"])
    away, home = house.cores
    assert away.kinds(m.TransportSetMaxIncomingBitrate, m.ProducerEnableTraceEvent) == []
    assert len(home.kinds(m.TransportSetMaxIncomingBitrate, m.ProducerEnableTraceEvent)) == 2
    assert (await first.dump())["id"] == first.id


async def test_notifications_go_there_too(house):
    first, second = await house.direct(), await house.direct()
    producer = await house.audio(second)
    producer.send(bytes(20))
    first.send_rtcp(bytes.fromhex("80c90001") + bytes(4))
    await house.quiet()
    home, away = house.core_of(second), house.core_of(first)
    assert len(home.engine.called("inject_rtp")) == 1 and away.engine.called("inject_rtp") == []
    assert len(away.engine.called("send_rtcp")) == 1
    second.close()
    producer.send(bytes(20))  # nobody minds
    house.switch.notify(m.ProducerSend(data=b""), "nobody")


async def test_news_come_from_there(house):
    await house.plain()
    transport = await house.router.create_plain_transport(listen_info=LOOPBACK, comedia=True)
    seen = []
    transport.on("tuple", seen.append)
    core = house.core_of(transport)
    handle = core.worker.context.registry.get(transport.id).handle
    core.emit(EngineEvent.TUPLE, handle, 1, "127.0.0.1", 4000, "127.0.0.1", 5000)
    await house.quiet()
    assert [each["remotePort"] for each in seen] == [5000]


async def test_what_is_unknown(house):
    for message, target in (
        (m.TransportDump(), "nobody"),
        (m.RouterDump(), "nobody"),
        (m.ProducerPause(), "nobody"),
        (m.WorkerCloseRouter(router_id="nobody"), ""),
        (m.RouterCloseTransport(transport_id="nobody"), house.router.id),
    ):
        with pytest.raises(NotFoundError, match="nobody"):
            await house.switch.request(message, target)
    for message in (m.TransportDump(), m.ProducerPause(), m.ConsumerGetStats()):
        with pytest.raises(SfuError, match="Router"):
            await house.switch.request(message, house.router.id)
    transport = await house.plain()
    with pytest.raises(NotFoundError):
        await house.switch.request(m.TransportCloseProducer(producer_id="nobody"), transport.id)
    with pytest.raises(NotFoundError):
        await house.switch.request(m.RouterCloseTransport(transport_id=transport.id), "another")


async def test_what_needs_more_than_there_is(house):
    with pytest.raises(UnsupportedError, match="AudioLevelObserver"):
        await house.router.create_audio_level_observer()
    with pytest.raises(UnsupportedError, match="produceData"):
        await (await house.direct()).produce_data(label="x")


async def test_ids_are_unique_in_a_logical_worker(house):
    first, second = await house.plain(), await house.plain()
    await house.audio(first, id="mine")
    with pytest.raises(SfuError, match="mine"):
        await house.audio(second, id="mine")
    again = [house.audio(first, 5, id="same"), house.audio(second, 6, id="same")]
    results = await asyncio.gather(*again, return_exceptions=True)
    assert sorted(isinstance(result, SfuError) for result in results) == [False, True]


async def test_logical_workers_share_cores_and_no_names(house):
    other = await house.mediasoup.create_worker()
    assert len(house.cores) == 2
    assert other.pid != house.worker.pid and min(other.pid, house.worker.pid) >= FIRST_PID
    router = await other.create_router(media_codecs=CODECS)
    here, there = await house.plain(), await house.plain(router)
    mine, theirs = await house.audio(here, id="same"), await house.audio(there, id="same")
    assert (await here.dump())["producerIds"] == (await there.dump())["producerIds"] == ["same"]
    assert (await mine.dump())["id"] == (await theirs.dump())["id"] == "same"
    assert (await house.worker.dump())["routerIds"] == [house.router.id]
    other.close()
    await other.wait_subprocess_closed()
    assert len(house.cores) == 2 and not mine.closed and theirs.closed
    assert router.id not in [id for core in house.cores for id in core.worker.routers]


async def test_names_do_not_show(house):
    producer, far = await house.pair()
    consumer = await house.consume(far, producer)
    near = next(t for t in house.router._transports.values() if t is not far)
    dump = await near.dump()
    assert dump["producerIds"] == [producer.id]
    assert dump["rtpListener"]["ssrcTable"] == [{"key": 1111, "value": producer.id}]
    assert (await consumer.dump())["producerId"] == producer.id
    assert names.producer_id(names.wire_id("a@b")) == "a@b" and names.wire_id("x") != names.wire_id("x")


async def test_sums(house):
    usages = [core.worker.resource_usage() for core in house.cores]
    total = await house.worker.get_resource_usage()
    assert total["ru_maxrss"] >= sum(usage.ru_maxrss for usage in usages) > 0
    for core in house.cores:
        core.busy_ns = 7
    assert (await house.worker.get_core_stats())["busyNs"] == 14


async def test_settings_reach_all_cores_and_those_to_come(house):
    await house.worker.update_settings(log_level="warn")
    await house.worker.update_settings(log_tags=["ice"])
    house.cores[0].kill()
    while len(house.cores) < 2:
        await asyncio.sleep(0.01)
    await house.quiet()
    (update,) = house.cores[-1].kinds(m.WorkerUpdateSettings)
    assert (update.log_level, update.log_tags) == ("warn", ["ice"])
    assert len(house.cores[0].kinds(m.WorkerUpdateSettings)) == 2


async def test_log_lines_come_once(house):
    lines = []
    other = await house.mediasoup.create_worker()
    for worker in (house.worker, other):
        worker.channel.on_log(lines.append)
    house.cores[1].log("Wwatch out")
    assert lines == ["Wwatch out"]
    house.worker.close()
    await house.worker.wait_subprocess_closed()
    house.cores[0].log("Dnow here")
    assert lines == ["Wwatch out", "Dnow here"]


# Order


async def test_closing_is_before_what_is_asked_later(house):
    transport = await house.plain()
    producer = await house.audio(transport, id="p")
    producer.close()
    again = await house.audio(transport, id="p")
    assert (await transport.dump())["producerIds"] == ["p"] and not again.closed
    transport.close()
    assert (await house.router.dump())["transportIds"] == []


async def test_a_port_is_free_again_on_every_core(house):
    """The core that has it may be slow to let go."""
    first = await house.plain()
    info = LOOPBACK | {"port": first.tuple["localPort"]}
    slow = house.core_of(first)
    slow.hold()
    first.close()
    making = asyncio.ensure_future(house.router.create_plain_transport(listen_info=info))
    await house.quiet()
    assert not making.done()
    slow.go()
    second = await making
    assert second.tuple["localPort"] == info["port"]


async def test_what_nobody_waits_for_is_closed(house):
    """And it is gone before anything that is asked after it."""
    transport = await house.plain()
    core = house.core_of(transport)
    core.hold()
    asked = asyncio.ensure_future(house.audio(transport, id="p"))
    await house.quiet()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    again = asyncio.ensure_future(house.audio(transport, id="p"))  # the same SSRC, too
    await house.quiet()
    core.go()
    producer = await again
    assert (await transport.dump())["producerIds"] == ["p"] and not producer.closed


async def test_dumps_wait_for_what_was_asked_before(house):
    making = asyncio.ensure_future(house.plain())
    await asyncio.sleep(0)
    dumps = await asyncio.gather(house.router.dump(), house.worker.dump())
    transport = await making
    assert dumps[0]["transportIds"] == [transport.id]
    assert transport.id in dumps[1]["channelMessageHandlers"]["channelRequestHandlers"]


async def test_a_router_closes_while_it_comes_to_a_core(house):
    core = house.cores[0]
    core.hold()
    making = asyncio.ensure_future(house.plain())
    await house.quiet()
    house.router.close()
    core.go()
    with pytest.raises(NotFoundError):
        await making
    await house.quiet()
    assert core.worker.routers == {} and (await house.worker.dump())["routerIds"] == []


# Servers


@pytest.mark.parametrize(
    ("info", "cores"),
    [({}, 2), ({"portRange": {"min": 45000, "max": 45050}}, 2), ({"port": 45100}, 1)],
    ids=["any port", "range", "one port"],
)
async def test_servers_are_where_ports_allow_if_cores_cannot_share_them(lonely, info, cores):
    house = lonely
    server = await house.worker.create_webrtc_server(listen_infos=[LOOPBACK | info])
    assert [len(core.worker.servers) for core in house.cores] == [1, 0]
    for core in house.cores:
        core.context.certificate = certificate
    transports = [await house.router.create_webrtc_transport(webrtc_server=server) for _ in range(4)]
    assert len({house.core_of(transport) for transport in transports}) == cores
    dump = await server.dump()
    assert dump["webRtcTransportIds"] == [transport.id for transport in transports]
    assert len(dump["localIceUsernameFragments"]) == 4 and len(dump["udpSockets"]) == cores
    server.close()
    assert all(transport.closed for transport in transports)
    assert (await house.router.dump())["transportIds"] == []
    await house.quiet()
    assert [core.worker.servers for core in house.cores] == [{}, {}]


async def test_a_server_with_one_port_moves_when_its_core_dies_if_cores_cannot_share_it(lonely):
    house = lonely
    server = await house.worker.create_webrtc_server(listen_infos=[LOOPBACK | {"port": 45200}])
    for core in house.cores:
        core.context.certificate = certificate
    before = await house.router.create_webrtc_transport(webrtc_server=server)
    house.core_of(before).kill()
    await house.quiet()
    assert before.closed and not server.closed
    for core in house.cores:
        core.context.certificate = certificate
    make = house.router.create_webrtc_transport
    for after in await asyncio.gather(*(make(webrtc_server=server) for _ in range(3))):
        assert after.ice_candidates[0]["port"] == 45200
    server.close()


async def test_a_server_that_cannot_be(house):
    taken = await house.plain()
    info = LOOPBACK | {"port": taken.tuple["localPort"]}
    with pytest.raises(SfuError, match="bind"):
        await house.worker.create_webrtc_server(listen_infos=[info])
    assert (await house.worker.dump())["webRtcServerIds"] == []
    with pytest.raises(NotFoundError):
        await house.switch.request(m.WebRtcServerDump(), "nobody")


# Ends


async def test_closing(house):
    transport = await house.plain()
    asked = asyncio.ensure_future(transport.dump())
    await asyncio.sleep(0)
    house.switch.close()
    house.switch.close()
    assert house.switch.closed
    with pytest.raises(WorkerClosedError):
        await asked
    with pytest.raises(WorkerClosedError):
        await house.switch.request(m.WorkerDump())
    house.switch.post(m.WorkerDump())
    assert await house.switch.ended() is None
    assert house.cores == [] and house.worker.closed and house.worker.subprocess_closed


async def test_the_worker_close_notification(house):
    house.switch.notify(m.WorkerClose())
    assert house.switch.closed and await house.switch.ended() is None


@pytest.mark.parametrize("turns", range(12))
async def test_closing_while_something_is_created(house, turns):
    """One of two logical workers: nothing of it stays on the cores."""
    other = await house.mediasoup.create_worker()
    router = await other.create_router(media_codecs=CODECS)
    producer = asyncio.ensure_future(_populate(house, router))
    for _ in range(turns):
        await asyncio.sleep(0)
    other.close()
    await other.wait_subprocess_closed()
    with pytest.raises(SfuError):
        await producer
    await house.quiet()
    for core in house.cores:
        assert core.worker.routers == {} and core.engine.is_empty()
        core.refused.clear()  # a core may be told to close what it has never heard of


async def _populate(house, router):
    while True:
        near, far = await asyncio.gather(house.plain(router), house.plain(router))
        producer = await house.audio(near)
        await asyncio.gather(*(house.consume(far, producer) for _ in range(3)))


async def test_a_core_dies(house):
    """What it carried has ended; consumers elsewhere hear of their producers; the rest goes on."""
    near, far = await house.plain(), await house.plain()
    mine, theirs = await house.audio(near), await house.audio(far)
    crossing, staying = await house.consume(far, mine), await house.consume(far, theirs)
    gone = await house.consume(near, theirs)
    log = []
    for name, entity in {"near": near, "mine": mine, "crossing": crossing, "gone": gone}.items():
        for event in ("routerclose", "transportclose", "producerclose"):
            entity.on(event, lambda name=name, event=event: log.append(f"{name} {event}"))
    dead = house.core_of(near)
    dead.kill()
    await house.quiet()
    assert sorted(log) == ["crossing producerclose", "gone transportclose", "mine transportclose", "near routerclose"]
    assert house.died == [dead.pid]
    assert near.closed and not (far.closed or staying.closed or house.worker.closed or house.router.closed)
    assert house.pipes.count == house.pipes.links == 0
    dump = await house.router.dump()
    assert dump["transportIds"] == [far.id]
    assert dump["mapProducerIdConsumerIds"] == [{"key": theirs.id, "values": [staying.id]}]
    await house.plain()
    await house.quiet()
    assert len(house.cores) == 2
    await asyncio.gather(*(house.plain() for _ in range(4)))
    assert [len(core.engine.live["transport"]) for core in house.cores] == [3, 3]


async def test_all_cores_die(house):
    """Whoever asks waits for a replacement."""
    transport = await house.plain()
    for core in house.cores:
        core.kill()
    await asyncio.sleep(0)
    again = await house.plain()
    assert transport.closed and not again.closed and len(house.died) == 2


async def test_a_transport_finds_another_core(house):
    victim = house.cores[0]
    victim.hold()
    making = asyncio.ensure_future(house.plain())
    await house.quiet()
    victim.kill()
    transport = await making
    assert house.core_of(transport) is not victim


async def test_requests_under_way_when_a_core_dies(house):
    transport = await house.plain()
    core = house.core_of(transport)
    core.hold()
    asked = asyncio.ensure_future(transport.dump())
    await house.quiet()
    core.kill()
    with pytest.raises(NotFoundError):
        await asked
    assert not house.worker.closed


async def test_it_is_like_one_core_with_one(runner):
    house = await House.open(1)
    producer, far = await house.pair()
    await house.consume(far, producer)
    assert house.pipes.count == 0
    await house.close()


@pytest.mark.parametrize("turns", range(20, 70))
async def test_what_waited_its_turn_is_not_overtaken(house, turns):
    """A call that waits for a late close and is cancelled at that moment: its own close comes after it."""
    producer, far = await house.pair()
    first = asyncio.ensure_future(house.consume(far, producer))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    second = asyncio.ensure_future(house.consume(far, producer))
    for _ in range(turns):
        await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    await house.quiet()
    left = (await far.dump())["consumerIds"]
    assert left == ([] if second.cancelled() else [second.result().id])
