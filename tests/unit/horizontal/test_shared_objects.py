"""Clients of one named session have each other's objects: built, changed and ended as if it had been here."""

import asyncio

import pytest
from fake_hosts import CODECS, LOOPBACK
from sharing import ENDS, audio, furnished, gone, joined, plain, shown, two, until

from sfu_core.channel import messages as m
from sfu_core.errors import NotFoundError

FINGERPRINT = {"algorithm": "sha-256", "value": ":".join(["AB"] * 32)}


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


async def test_a_close_and_a_description_at_once():
    """What one has closed does not come back because another one describes it."""
    async with two() as (first, second, worker, _, _):
        for turns in range(8):
            router = await worker.create_router(media_codecs=CODECS)
            twin = await second.twin(router)
            twin.update_media_codecs(CODECS[:1])
            for _ in range(turns):
                await asyncio.sleep(0)
            router.close()
            await until(lambda twin=twin: twin.closed)
            await worker.dump()
            await second.worker.dump()
            for _ in range(10):
                await asyncio.sleep(0)
            for each in (first, second):
                assert all(thing.closed for thing in each.objects.values())


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


async def test_who_leaves_ends_nothing():
    """Neither what it has created nor what others have; closing a worker is something else."""
    async with two() as (first, second, worker, host, server):
        own = await second.client.mediasoup.create_worker()
        await until(lambda: first.worker.pid == own.pid)
        theirs, router = first.worker, await worker.create_router(media_codecs=CODECS)
        third = await joined(server)
        mine = await third.twin(router)
        producer = await audio(await plain(mine))
        twin = await first.twin(producer)
        await gone(second, third)
        assert own.closed and mine.closed and producer.closed
        assert not (worker.closed or theirs.closed or router.closed or twin.closed)
        assert (await twin.dump())["id"] == producer.id and len(server.workers) == 2
        await gone(first)
        await until(lambda: server.workers == [] and server.sessions == 0)
        assert all(core.closed for core in host.cores)


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
