"""Hosts that fail, come back, or are to be emptied: told once, and nobody else notices."""

import asyncio

import pytest
from fake_hosts import CODECS, LOOPBACK, FakeHost, News, quiet

from horizontal import MediasoupHorizontal
from sfu_core.errors import SfuError


async def busy(*hosts, **options):
    """A worker with a router and a transport on each host, by its name."""
    horizontal = MediasoupHorizontal(hosts, **options)
    news = News(horizontal)
    await quiet()
    workers = {}
    for _ in hosts:
        worker = await horizontal.mediasoup.create_worker()
        worker.router = await worker.create_router(media_codecs=CODECS)
        worker.transport = await worker.router.create_plain_transport(listen_info=LOOPBACK)
        worker.heard = []
        worker.on("died", lambda error, worker=worker: worker.heard.append(error))
        workers[worker.channel.place.host_id] = worker
    return horizontal, news, workers


async def test_a_worker_dies():
    a, b = FakeHost("a"), FakeHost("b")
    horizontal, news, workers = await busy(a, b)
    a.cores[0].kill()
    await quiet()
    assert [each[:2] for each in news.of("workerdied", "hostlost")] == [("workerdied", workers["a"].pid)]
    assert len(workers["a"].heard) == 1 and workers["a"].transport.closed
    assert not workers["b"].closed and not workers["b"].transport.closed
    again = [await horizontal.mediasoup.create_worker() for _ in range(2)]
    assert "a" in [worker.channel.place.host_id for worker in again]
    horizontal.destroy()


async def test_workers_that_die_below_another_layer():
    """With `listen_worker_died` off only the top layer reports it."""
    a = FakeHost("a")
    horizontal, news, workers = await busy(a, listen_worker_died=False)
    a.cores[0].kill()
    await quiet()
    assert news.of("workerdied") == workers["a"].heard == [] and workers["a"].closed and workers["a"].died
    horizontal.destroy()


async def test_a_host_is_lost():
    a, b = FakeHost("a"), FakeHost("b")
    horizontal, news, workers = await busy(a, b)
    a.crash()
    await quiet()
    told = news.of("hostlost", "workerdied", "hostleave", "disconnected")
    assert [each[:2] for each in told] == [("hostlost", a), ("workerdied", workers["a"].pid)] or [
        each[:2] for each in told
    ] == [("workerdied", workers["a"].pid), ("hostlost", a)]
    assert len(workers["a"].heard) == 1 and workers["a"].router.closed
    assert not workers["b"].closed and (await workers["b"].router.dump())["transportIds"] == [workers["b"].transport.id]
    assert a in horizontal and horizontal.hosts[0].workers == set()
    worker = await horizontal.mediasoup.create_worker()
    assert worker.channel.place.host_id == "b"
    a.appear()
    await quiet()
    assert news.of("hostjoin")[2:] == [("hostjoin", a)] and len(news.of("mediasoup")) == 1
    horizontal.destroy()


async def test_a_cut_that_is_mended_is_no_loss():
    a, b = FakeHost("a"), FakeHost("b")
    horizontal, news, workers = await busy(a, b, patience=0.2)
    a.cut()
    for _ in range(2):
        worker = await horizontal.mediasoup.create_worker()
        assert worker.channel.place.host_id == "b"  # nothing new while it is away
    await asyncio.sleep(0.1)
    a.mend()
    await asyncio.sleep(0.2)
    assert news.of("hostlost", "workerdied") == [] and not workers["a"].closed
    assert (await horizontal.mediasoup.create_worker()).channel.place.host_id == "a"
    horizontal.destroy()


async def test_a_cut_that_lasts():
    a, b = FakeHost("a"), FakeHost("b")
    horizontal, news, workers = await busy(a, b, patience=0.05)
    a.cores[0].hold()
    asking = asyncio.ensure_future(workers["a"].dump())
    a.cut()
    await asyncio.sleep(0.1)
    with pytest.raises(SfuError):
        await asking
    assert [each[:2] for each in news.of("hostlost", "workerdied")] == [
        ("hostlost", a),
        ("workerdied", workers["a"].pid),
    ]
    assert len(workers["a"].heard) == 1 and not workers["b"].closed
    assert a.cores[0].closed  # told to end, should it still be there
    a.mend()
    await quiet()
    assert news.of("hostjoin")[2:] == [("hostjoin", a)]
    horizontal.destroy()


async def test_the_host_goes_while_a_worker_starts():
    a = FakeHost("a")
    horizontal, _, _ = await busy(a)
    starting = asyncio.ensure_future(horizontal.mediasoup.create_worker())
    await asyncio.sleep(0)
    horizontal.delete(a)
    with pytest.raises(SfuError):
        await starting
    await quiet()
    assert all(core.closed for core in a.cores)
    await horizontal.wait_destroyed()
    horizontal.destroy()


async def test_a_host_is_lost_while_a_worker_starts_there():
    """The worker goes to another one at once, not when the call's own time has run out."""
    a, b = FakeHost("a"), FakeHost("b")
    horizontal, news, workers = await busy(a, b, patience=0.05)
    workers["b"].router.close()
    a.stuck = asyncio.get_running_loop().create_future()
    starting = asyncio.ensure_future(horizontal.mediasoup.create_worker())
    await quiet()
    assert horizontal.host_of(a).candidate().workers == 2
    a.cut()
    async with asyncio.timeout(1):
        assert (await starting).channel.place.host_id == "b"
    assert horizontal.host_of(a).empty and len(a.cores) == 1
    assert [str(each[1]) for each in news.of("error")] == ["the host has gone meanwhile"]
    horizontal.destroy()


async def test_a_call_that_is_cancelled_while_a_worker_starts():
    a = FakeHost("a")
    horizontal, news, _ = await busy(a)
    a.stuck = asyncio.get_running_loop().create_future()
    starting = asyncio.ensure_future(horizontal.mediasoup.create_worker())
    await quiet()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert horizontal.host_of(a).candidate().workers == 1 and news.of("error") == []
    horizontal.destroy()


async def test_a_member_that_is_cut_off_when_it_is_added():
    """It joins when it can be reached."""
    a, b = FakeHost("a"), FakeHost("b")
    a.cut()
    horizontal = MediasoupHorizontal([a, b])
    news = News(horizontal)
    await quiet()
    assert news.of("hostjoin") == [("hostjoin", b)]
    assert (await horizontal.mediasoup.create_worker()).channel.place.host_id == "b"
    a.mend()
    await quiet()
    assert news.of("hostjoin")[1:] == [("hostjoin", a)]
    assert (await horizontal.mediasoup.create_worker()).channel.place.host_id == "a"
    horizontal.destroy()


async def test_nobody_waits_for_a_host_that_is_cut_off():
    """Neither for its figures nor for the end of what it has."""
    a, b = FakeHost("a"), FakeHost("b")
    horizontal, news, workers = await busy(a, b)
    a.cut()
    a.get_stats = asyncio.get_running_loop().create_future  # never
    a.cores[0].close = lambda: None
    async with asyncio.timeout(1):
        assert (await horizontal.get_stats())["os"]["availableParallelism"] == 2
        horizontal.destroy()
        await horizontal.wait_destroyed()
    assert workers["a"].closed and not workers["a"].heard and news.of("hostlost", "workerdied") == []


async def test_a_host_that_comes_back_with_another_version():
    a, b = FakeHost("a"), FakeHost("b")
    horizontal, news, _ = await busy(a, b)
    a.crash()
    a.api.version = "99.0"
    a.appear()
    await quiet()
    assert ["version 99.0" in str(error) for _, error in news.of("error")] == [True]
    assert (await horizontal.mediasoup.create_worker()).channel.place.host_id == "b"
    horizontal.destroy()


async def test_a_host_is_lost_while_it_drains():
    a, b = FakeHost("a"), FakeHost("b")
    horizontal, news, workers = await busy(a, b)
    horizontal.drain(a)
    a.crash()
    await quiet()
    assert [each[:2] for each in news.of("hostlost", "workerdied", "hostdrained")] == [
        ("hostlost", a),
        ("workerdied", workers["a"].pid),
        ("hostdrained", a),
    ]
    horizontal.destroy()


async def test_draining():
    a, b = FakeHost("a"), FakeHost("b")
    horizontal, news, workers = await busy(a, b)
    horizontal.drain(a)
    for _ in range(3):
        assert (await horizontal.mediasoup.create_worker()).channel.place.host_id == "b"
    assert news.of("hostdrained") == [] and not workers["a"].closed
    workers["a"].close()
    await quiet()
    assert news.of("hostdrained") == [("hostdrained", a)]
    horizontal.add(a)
    assert (await horizontal.mediasoup.create_worker()).channel.place.host_id == "a"
    horizontal.drain(a)
    a.cores[-1].kill()
    await quiet()
    assert len(news.of("hostdrained")) == 2
    horizontal.drain(a)  # empty already
    await quiet()
    assert len(news.of("hostdrained")) == 3
    with pytest.raises(SfuError, match="member"):
        horizontal.drain(object())
    horizontal.destroy()


async def test_destroying_leaves_nothing():
    a, b = FakeHost("a"), FakeHost("b")
    horizontal, _, workers = await busy(a, b)
    before = asyncio.all_tasks()
    horizontal.destroy()
    await horizontal.wait_destroyed()
    await quiet()
    assert all(core.closed and core.engine.is_empty() for host in (a, b) for core in host.cores)
    assert all(worker.closed and not worker.heard for worker in workers.values())
    assert asyncio.all_tasks() <= before
