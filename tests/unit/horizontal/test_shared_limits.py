"""Who is told in a named session and who is not; late clients, servers that lie, what is stacked on top of it."""

import asyncio

import pytest
from fake_hosts import CODECS
from sharing import audio, furnished, gone, joined, plain, shown, two, until

from horizontal import MediasoupHorizontal, RemoteMediasoupClient, RemoteMediasoupServer
from sfu_core.channel import messages as m
from sfu_core.errors import SfuError, UnsupportedError
from sfu_core.mediasoup.extras import enhanced_once as once


async def test_strangers_and_the_unnamed_hear_nothing():
    async with two() as (_, second, worker, _, server):
        other, alone = await joined(server, "other"), await joined(server, None)
        lonely = await alone.client.mediasoup.create_worker()
        router = await worker.create_router(media_codecs=CODECS)
        own = await lonely.create_router(media_codecs=CODECS)
        await second.twin(router)
        assert not other.objects and list(alone.objects) == [own.id] and other.worker is None
        assert not m.SHARING & lonely.channel.place.extensions and worker.channel.place.extensions >= m.SHARING
        with pytest.raises(UnsupportedError):
            await lonely.channel.request(m.WorkerFollowPeers())
        await worker.channel.request(m.WorkerDescribeRouter(router_id="gone", rtp_capabilities={}))
        await gone(other, alone)


async def test_who_comes_late_is_told_as_fast_as_it_reads(monkeypatch):
    """What others do meanwhile comes in its place."""
    monkeypatch.setattr("horizontal.conversation.HIGH_WATER", 8192)
    async with two(silence=0.25) as (first, _, worker, _, server):
        router = await worker.create_router(media_codecs=CODECS)
        sends = await plain(router)
        made = [await audio(sends, 1000 + index) for index in range(300)]
        waiting = []
        real = server._session_for

        def watched(*arguments):
            session, resumed = real(*arguments)
            dispatch = session.conversation._dispatch

            def measured(*more):
                dispatch(*more)
                waiting.append(session.conversation.waiting)

            session.conversation._dispatch = measured
            return session, resumed

        server._session_for = watched
        late = await joined(server)
        await late.twin(made[0])
        assert made[-1] not in late, "it is under way"
        made[0].close()
        made[-1].close()
        made[-2].close()
        own = await plain(late.objects[router.id])
        last = await audio(sends, 5000)
        await (await first.twin(own)).connect(ip="127.0.0.1", port=4567)
        await made[1].pause()
        twin = await late.twin(last)
        await until(lambda: late.objects[made[1].id].paused and late.objects[made[0].id].closed)
        assert made[-1] not in late and made[-2] not in late and not twin.closed
        await until(lambda: own.tuple.get("remotePort") == 4567)
        living = [each for each in late.objects.values() if not each.closed]
        assert {each.id for each in living} == {each.id for each in [router, sends, own, *made[1:-2], last]}
        assert max(waiting[2:]) < 12000, "after the answer to what is asked first"
        await gone(late)


async def test_what_a_server_says_that_cannot_be():
    async with two() as (_, second, worker, _, _):
        made = await furnished(worker)
        await second.twin(made[-1])
        before = {id: shown(each) for id, each in second.objects.items()}
        channel = second.worker.channel
        router, transport, producer, consumer = made[1], made[2], made[8], made[9]
        answered = {"id": "x", "type": 0, "label": "", "protocol": "", "paused": False}
        lies = [
            ("", 9999, {}, None),
            ("", m.WorkerDescribeRouter.METHOD, {"routerId": "x", "rtpCapabilities": {"codecs": 3}}, None),
            ("", m.WorkerDescribeRouter.METHOD, {"routerId": transport.id, "rtpCapabilities": {}}, None),
            ("", m.WorkerCreateWebRtcServer.METHOD, {"webRtcServerId": transport.id}, None),
            ("", m.WorkerCloseRouter.METHOD, {"routerId": "none"}, None),
            (router.id, m.RouterCreateWebRtcTransport.METHOD, {"transportId": "x"}, {}),
            (router.id, m.RouterCreateRingTransport.METHOD, {"transportId": "x", "ringId": "r"}, {}),
            (transport.id, m.TransportProduce.METHOD, {"producerId": "x"}, {"type": 0}),
            (transport.id, m.TransportProduceData.METHOD, {"dataProducerId": "y", "type": 0}, answered),
            (transport.id, m.TransportCloseConsumer.METHOD, {}, None),
            (transport.id, m.WebRtcTransportConnect.METHOD, {"dtlsParameters": 1}, None),
            (producer.id, m.ProducerPause.METHOD, [1], None),
            (producer.id, m.TransportConsume.METHOD, {}, None),
            (consumer.id, m.ConsumerSetPriority.METHOD, {"priority": 1}, {"priority": 1000}),
            ("nobody", m.ProducerPause.METHOD, {}, None),
        ]
        for handler, method, body, answer in lies:
            news = m.PeerDone(method=method, body=body, answer=answer)
            channel.receive([bytes(channel._codec.notification(news, handler))[4:]])
        await second.worker.dump()
        for _ in range(10):
            await asyncio.sleep(0)
        assert {id: shown(each) for id, each in second.objects.items()} == before
        assert "x" not in channel._deliveries._listeners and "y" not in channel._deliveries._listeners
        await producer.pause()
        await second.heard("observer pause", producer.id)


async def test_a_proxy_keeps_the_sessions_of_its_clients_apart():
    """What it shares with others of the server above it is no business of its own clients."""
    async with (
        two() as (first, second, _, _, _),
        RemoteMediasoupServer(second.client) as proxy,
        RemoteMediasoupClient(proxy.url) as below,
    ):
        mine = await below.mediasoup.create_worker()
        assert not m.SHARING & mine.channel.place.extensions
        router = await mine.create_router(media_codecs=CODECS)
        transport = await plain(router)
        assert (await transport.dump())["id"] == transport.id
        assert router not in first, "nobody has described it there"
        router.close()
        with pytest.raises(SfuError):
            await router.dump()


async def test_a_worker_is_everybodys():
    async with two() as (_, second, worker, _, server):
        router = await worker.create_router(media_codecs=CODECS)
        twin = await second.twin(router)
        closed = asyncio.ensure_future(once(twin, "workerclose"))
        await asyncio.sleep(0)
        worker.close()
        await closed
        await until(lambda: server.workers == [])


async def test_a_member_of_a_horizontal_may_be_in_a_session():
    """The session is the member's; what is made through the horizontal comes to the others only as workers."""
    async with two() as (first, second, _, _, _), MediasoupHorizontal([second.client]) as hosts:
        await hosts.ready()
        before = second.worker
        worker = await hosts.mediasoup.create_worker()
        router = await worker.create_router(media_codecs=CODECS)
        await plain(router)
        await until(lambda: first.worker is not None and first.worker.pid != before.pid)
        assert router not in first and not m.SHARING & worker.channel.place.extensions
        worker.close()
        await until(lambda: first.worker.closed)


async def test_pipes_of_one_between_routers_of_the_other():
    """Who pipes keeps the halves in step; the others have them like anything else."""
    async with two() as (first, second, worker, _, _):
        near, far = [await worker.create_router(media_codecs=CODECS) for _ in range(2)]
        producer = await audio(await plain(near))
        await second.twin(producer)
        twins = [second.objects[each.id] for each in (near, far)]
        piped = await twins[0].pipe_to_router(router=twins[1], producer_id=producer.id, keep_id=False)
        mirrored = await first.twin(piped.pipe_producer)
        assert far.can_consume(producer_id=mirrored.id, rtp_capabilities=near.rtp_capabilities)
        await producer.pause()
        await until(lambda: mirrored.paused)
        producer.close()
        await until(lambda: mirrored.closed and piped.pipe_producer.closed)
        await until(lambda: all(each.closed for each in first.objects.values() if hasattr(each, "producer_id")))
