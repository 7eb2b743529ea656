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
