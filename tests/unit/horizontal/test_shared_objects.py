"""Clients of one named session have each other's objects: built, changed and ended as if it had been here."""

import asyncio
import inspect
from contextlib import asynccontextmanager

import pytest
from fake_core import certificate
from fake_hosts import CODECS, LOOPBACK, FakeHost

from horizontal import MediasoupHorizontal, RemoteMediasoupClient, RemoteMediasoupServer
from sfu_core.channel import messages as m
from sfu_core.errors import NotFoundError, SfuError, UnsupportedError
from sfu_core.mediasoup.extras import enhanced_once as once

OPUS = {"mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2, "parameters": {"usedtx": 1}}
VP8 = {
    "mimeType": "video/VP8",
    "payloadType": 96,
    "clockRate": 90000,
    "rtcpFeedback": [{"type": "nack"}, {"type": "nack", "parameter": "pli"}],
}
RTX = {"mimeType": "video/rtx", "payloadType": 97, "clockRate": 90000, "parameters": {"apt": 96}}
FINGERPRINT = {"algorithm": "sha-256", "value": ":".join(["AB"] * 32)}
NEWS = ["newrouter", "newwebrtcserver", "newtransport", "newrtpobserver", "newproducer", "newconsumer"]
ENDS = ["workerclose", "routerclose", "listenserverclose", "transportclose", "producerclose", "peerclose"]
CHANGES = ("pause", "resume")
PRIVATE = {"app_data", "observer", "channel", "closed"}


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


class Seen:
    """What a client's application hears of: objects by their ids, and events in order."""

    def __init__(self, client):
        self.client = client
        self.worker = None
        self.objects = {}
        self.log = []
        client.mediasoup.observer.on("newworker", self._worker)

    def _worker(self, worker):
        self.worker = worker
        self._watch(worker)

    def _watch(self, thing):
        for event in NEWS:
            thing.observer.on(event, lambda new, event=event: self._new(event, new))
        for event in ENDS:
            thing.on(event, lambda *_, event=event: self.log.append((event, thing.id)))
        for event in ("close", *CHANGES):
            thing.observer.on(event, lambda *_, event=event: self.log.append((f"observer {event}", thing.id)))

    def _new(self, event, new):
        self.objects[new.id] = new
        self.log.append((event, new.id))
        self._watch(new)

    def __contains__(self, thing):
        return thing.id in self.objects

    async def twin(self, thing):
        await until(lambda: thing in self)
        return self.objects[thing.id]

    async def heard(self, *news):
        await until(lambda: news in self.log)


def shown(thing):
    """All that an application can read of an object."""
    names = [name for name, each in inspect.getmembers(type(thing)) if isinstance(each, property)]
    values = {name: getattr(thing, name) for name in names if name not in PRIVATE}
    for encoding in values.get("rtp_parameters", {}).get("encodings", ()):
        encoding.setdefault("dtx", False)
    return values


async def joined(server, name="room"):
    client = RemoteMediasoupClient(server.url, session=name)
    await client.ready()
    return Seen(client)


async def gone(*clients):
    for each in clients:
        each.client.close()
        await each.client.wait_closed()


@asynccontextmanager
async def two(**options):
    """Two clients of a session and a worker that the first of them has created."""
    host = FakeHost()
    async with RemoteMediasoupServer(host, **options) as server:
        first, second = await joined(server), await joined(server)
        worker = await first.client.mediasoup.create_worker()
        await until(lambda: second.worker is not None)
        host.cores[0].context.certificate = certificate
        yield first, second, worker, host, server
        await gone(first, second)


async def audio(transport, ssrc=1111, **more):
    parameters = {"codecs": [OPUS], "encodings": [{"ssrc": ssrc}], "rtcp": {"cname": "c"}}
    return await transport.produce(kind="audio", rtp_parameters=parameters, **more)


async def video(transport):
    parameters = {"codecs": [VP8, RTX], "encodings": [{"ssrc": 22, "rtx": {"ssrc": 23}}]}
    return await transport.produce(kind="video", rtp_parameters=parameters)


async def plain(router, **more):
    return await router.create_plain_transport(listen_info=LOOPBACK, **more)


async def furnished(worker):
    """One of everything that there is; the objects in the order of their creation."""
    server = await worker.create_webrtc_server(listen_infos=[LOOPBACK])
    router = await worker.create_router(media_codecs=CODECS, app_data={"mine": True})
    browser = await router.create_webrtc_transport(webrtc_server=server)
    alone = await router.create_webrtc_transport(listen_infos=[LOOPBACK])
    rtp = await plain(router, enable_srtp=True)
    pipe = await router.create_pipe_transport(listen_info=LOOPBACK, enable_rtx=True)
    direct = await router.create_direct_transport()
    sound, picture = await audio(rtp), await video(browser)
    hears = await alone.consume(producer_id=sound.id, rtp_capabilities=router.rtp_capabilities)
    sees = await alone.consume(producer_id=picture.id, rtp_capabilities=router.rtp_capabilities, paused=True)
    piped = await pipe.consume(producer_id=picture.id)
    return [server, router, browser, alone, rtp, pipe, direct, sound, picture, hears, sees, piped]


async def test_everything_comes_to_the_others():
    async with two() as (first, second, worker, host, _):
        made = await furnished(worker)
        await second.twin(made[-1])
        assert [id for event, id in second.log if event.startswith("new")] == [each.id for each in made]
        for mine in made:
            theirs = second.objects[mine.id]
            assert type(theirs) is type(mine) and shown(theirs) == shown(mine), mine
            assert theirs is not mine and theirs.app_data == {}
        assert [each for each in first.log if each[0] == "newrouter"] == [("newrouter", made[1].id)], "only once"
        assert len(host.cores[0].kinds(m.WorkerCreateRouter)) == 1


async def test_who_comes_late_finds_everything_as_it_is():
    async with two() as (_, second, worker, _, server):
        made = await furnished(worker)
        _, router, browser, alone, rtp, pipe, _, sound, _, hears, sees, piped = made
        fingerprints = {"role": "server", "fingerprints": [FINGERPRINT]}
        await browser.connect(dtls_parameters=fingerprints)
        await alone.restart_ice()
        await pipe.connect(ip="127.0.0.1", port=4567)
        await sound.pause()
        await sees.set_priority(7)
        await sees.resume()
        await until(lambda: hears.producer_paused)
        gone_ = await audio(rtp, 4711)
        gone_.close()
        left = await plain(router)
        left.close()
        router.update_media_codecs([*CODECS, {"kind": "video", "mimeType": "video/H264", "clockRate": 90000}])
        late = await joined(server)
        await late.twin(piped)
        await until(lambda: shown(late.objects[piped.id]) == shown(piped))
        assert [id for event, id in late.log if event.startswith("new")] == [each.id for each in made]
        for mine in made:
            assert shown(late.objects[mine.id]) == shown(mine), mine
            assert shown(second.objects[mine.id]) == shown(mine), mine
        assert len(router.rtp_capabilities["codecs"]) > 3
        await gone(late)


async def test_an_end_is_told_as_if_it_had_been_here():
    async with two() as (first, second, worker, host, _):
        router = await worker.create_router(media_codecs=CODECS)
        sends, receives = await plain(router), await plain(router)
        producer = await audio(sends)
        consumer = await receives.consume(producer_id=producer.id, rtp_capabilities=router.rtp_capabilities)
        (await second.twin(producer)).close()
        await first.heard("producerclose", consumer.id)
        assert producer.closed and consumer.closed
        assert ("peerclose", producer.id) in first.log and ("observer close", producer.id) in first.log
        await second.heard("producerclose", consumer.id)
        again = await audio(sends)
        (await second.twin(again)).close()
        third = await audio(receives)
        await second.twin(third)
        first.log.clear()
        second.log.clear()
        second.objects[router.id].close()
        await first.heard("peerclose", router.id)
        children = [(event, id) for event, id in first.log if event in ENDS]
        assert children == [
            ("routerclose", sends.id), ("transportclose", third.id), ("routerclose", receives.id),
            ("peerclose", router.id),
        ]  # fmt: skip
        assert [event for event, id in second.log if id == router.id] == ["observer close"], "its own doing is no news"
        with pytest.raises(NotFoundError):
            await router.dump()
        with pytest.raises(NotFoundError):
            await plain(router)
        core = host.cores[0]
        closed = core.kinds(m.WorkerCloseRouter, m.TransportCloseProducer, m.RouterCloseTransport)
        assert [type(each) for each in closed] == [m.TransportCloseProducer] * 2 + [m.WorkerCloseRouter]
        assert (await worker.dump())["routerIds"] == []


async def test_a_webrtc_server_and_what_is_on_it():
    async with two() as (first, second, worker, _, server):
        made = await furnished(worker)
        ports, browser = made[0], made[2]
        (await second.twin(ports)).close()
        await first.heard("peerclose", ports.id)
        assert browser.closed and ("listenserverclose", browser.id) in first.log
        assert ("listenserverclose", browser.id) in second.log
        later = await made[1].create_webrtc_transport(listen_infos=[LOOPBACK])
        late = await joined(server)
        await late.twin(later)
        assert ports not in late and browser not in late and made[8] not in late
        await gone(late)


async def test_changes_are_seen():
    async with two() as (first, second, worker, _, _):
        made = await furnished(worker)
        await second.twin(made[-1])
        sound, hears = made[7], made[9]
        theirs = second.objects
        await theirs[sound.id].pause()
        await first.heard("observer pause", sound.id)
        assert sound.paused
        await until(lambda: hears.producer_paused and theirs[hears.id].producer_paused)
        await sound.resume()
        await second.heard("observer resume", sound.id)
        for each in (first, second):
            assert each.log.count(("observer pause", sound.id)) == 1, "it is told once"


async def test_two_at_once_agree_in_the_end():
    """Whatever the order in which answers and news arrive."""
    async with two() as (_, second, worker, host, _):
        router = await worker.create_router(media_codecs=CODECS)
        mine = await audio(await plain(router))
        theirs = await second.twin(mine)
        for turn in range(40):
            one, other = (mine, theirs) if turn % 2 else (theirs, mine)
            last = turn % 4 < 2
            host.cores[0].hold()
            async with asyncio.TaskGroup() as group:
                group.create_task(one.resume() if last else one.pause())
                for _ in range(turn % 7):
                    await asyncio.sleep(0)
                group.create_task(other.pause() if last else other.resume())
                await asyncio.sleep(0.005)
                host.cores[0].go()
            await worker.dump()
            await second.worker.dump()
            for _ in range(10):
                await asyncio.sleep(0)
            there = (await mine.dump())["paused"]
            assert mine.paused is theirs.paused is there, turn


async def test_both_close_it_at_once(caplog):
    async with two() as (first, second, worker, _, _):
        for _ in range(5):
            router = await worker.create_router(media_codecs=CODECS)
            producer = await audio(await plain(router))
            twin = await second.twin(producer)
            for mine, theirs in ((producer, twin), (router, second.objects[router.id])):
                mine.close()
                theirs.close()
            await worker.dump()
            await second.worker.dump()
            assert ("peerclose", router.id) not in first.log + second.log
        assert (await worker.dump())["routerIds"] == []
        assert not caplog.records


async def test_a_close_and_a_creation_at_once():
    """Nothing is born into what somebody else has closed, on either side."""
    async with two() as (first, second, worker, _, server):
        for turns in range(12):
            router = await worker.create_router(media_codecs=CODECS)
            twin = await second.twin(router)
            creating = asyncio.ensure_future(plain(router))
            for _ in range(turns):
                await asyncio.sleep(0)
            twin.close()
            try:
                transport = await creating
            except NotFoundError:
                pass
            else:
                await until(lambda transport=transport: transport.closed)
            await until(lambda router=router: router.closed)
            for each in (first, second):
                assert all(thing.closed for thing in each.objects.values())
        (served,) = next(iter(server._spaces.values())).workers
        assert len(served._journal) == 0


async def test_one_transport_for_two():
    """What is numbered in a transport does not collide, also if both ask at once."""
    async with two() as (_, second, worker, _, _):
        router = await worker.create_router(media_codecs=CODECS)
        browser = await router.create_webrtc_transport(listen_infos=[LOOPBACK])
        producer = await audio(await plain(router))
        twin = await second.twin(browser)
        await second.twin(producer)
        options = {"producer_id": producer.id, "rtp_capabilities": router.rtp_capabilities}
        consumers = await asyncio.gather(*(each.consume(**options) for each in (browser, twin) * 10))
        mids = {each.rtp_parameters["mid"] for each in consumers}
        assert len(mids) == 20 and max(map(len, mids)) <= 8


async def test_who_creates_and_is_lost_leaves_it_to_the_others():
    async with two(grace=0.05) as (first, second, worker, _, server):
        router = await worker.create_router(media_codecs=CODECS)
        producer = await audio(await plain(router))
        theirs = await second.twin(producer)
        first.client._connection._wire.abort()
        first.client._connection._task.cancel()
        await until(lambda: server.sessions == 1)
        assert not theirs.closed and (await theirs.dump())["id"] == producer.id
        receives = await plain(second.objects[router.id])
        consumer = await receives.consume(producer_id=producer.id, rtp_capabilities=router.rtp_capabilities)
        theirs.close()
        await until(lambda: consumer.closed)
        second.objects[router.id].close()
        assert (await second.worker.dump())["routerIds"] == []
        await gone(second)
        await until(lambda: server.workers == [])


async def test_who_was_lost_and_comes_back_finds_it_all(monkeypatch):
    """It has a session anew, with objects anew; the others have noticed nothing."""
    monkeypatch.setattr("horizontal.connection.DELAYS", (0.3,))
    async with two(grace=0.05) as (first, second, worker, _, server):
        router = await worker.create_router(media_codecs=CODECS)
        producer = await audio(await plain(router))
        lost, former = await second.twin(producer), second.worker
        second.objects.clear()
        second.client._connection._wire.abort()
        await second.heard("workerclose", router.id)
        again = await second.twin(producer)
        assert lost.closed and former.died and not again.closed and again is not lost
        again.close()
        await first.heard("peerclose", producer.id)
        await until(lambda: server.sessions == 2)
        assert not worker.closed and not router.closed


async def test_what_happened_during_a_cut_is_told_after_it():
    async with two() as (_, second, worker, _, server):
        router = await worker.create_router(media_codecs=CODECS)
        sends = await plain(router)
        producer = await audio(sends)
        await second.twin(producer)
        second.client._connection._wire.abort()
        await producer.pause()
        more = await audio(sends, 2222)
        producer.close()
        await second.heard("observer close", producer.id)
        twin = await second.twin(more)
        news = [each for each in second.log if each[1] in (producer.id, more.id)]
        assert news == [
            ("newproducer", producer.id), ("observer pause", producer.id), ("newproducer", more.id),
            ("peerclose", producer.id), ("observer close", producer.id),
        ]  # fmt: skip
        assert not twin.closed and server.sessions == 2


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
        with pytest.raises(NotFoundError):
            await worker.channel.request(m.WorkerDescribeRouter(router_id="none", rtp_capabilities={}))
        await gone(other, alone)


async def test_who_comes_late_is_told_as_fast_as_it_reads(monkeypatch):
    """What others do meanwhile comes in its place."""
    monkeypatch.setattr("horizontal.conversation.HIGH_WATER", 8192)
    async with two(silence=0.25) as (_, _, worker, _, server):
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
        last = await audio(sends, 5000)
        await made[1].pause()
        twin = await late.twin(last)
        await until(lambda: late.objects[made[1].id].paused and late.objects[made[0].id].closed)
        assert made[-1] not in late and made[-2] not in late and not twin.closed
        living = [each for each in late.objects.values() if not each.closed]
        assert {each.id for each in living} == {each.id for each in [router, sends, *made[1:-2], last]}
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
