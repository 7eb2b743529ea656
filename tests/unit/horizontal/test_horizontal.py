"""MediasoupHorizontal as a manager and as a set: readiness, members that come and go, workers on them."""

import asyncio
import contextlib
from types import SimpleNamespace

import pytest
from fake_hosts import FakeHost, News, quiet

from horizontal import MediasoupHorizontal, RemoteMediasoupClientMock
from horizontal.host import check_version
from horizontal.pids import HOSTS, split_pid
from sfu_core.errors import SfuError
from sfu_core.mediasoup.extras import enhanced_once as once
from sfu_core.stats import capacity_of
from sfu_core.version import VERSION


async def opened(*hosts, **options):
    horizontal = MediasoupHorizontal(hosts, **options)
    news = News(horizontal)
    await quiet()
    return horizontal, news


# Readiness


async def test_ready_with_the_first_member():
    a, b = FakeHost("a", ready=False), FakeHost("b", ready=False)
    horizontal, news = await opened(a, b)
    assert horizontal.mediasoup is None and horizontal.ready_state == 0 and news.log == []
    b.appear()
    assert (await once(horizontal, "mediasoup"))[0] is horizontal.mediasoup is not None
    await quiet()
    assert horizontal.ready_state == 4
    a.appear()
    await quiet()
    assert [each[0] for each in news.log] == ["hostjoin", "mediasoup", "connected", "hostjoin"]
    horizontal.destroy()


async def test_ready_with_more_members():
    a, b = FakeHost("a"), FakeHost("b", ready=False)
    horizontal, news = await opened(a, b, min_members=2)
    assert horizontal.mediasoup is None and horizontal.ready_state == 0
    b.appear()
    await quiet()
    assert horizontal.mediasoup is not None
    a.crash()
    await quiet()
    assert horizontal.mediasoup is not None  # what the others have goes on
    b.crash()
    await quiet()
    assert horizontal.mediasoup is None
    assert news.of("mediasoup", "disconnected")[1:] == [("mediasoup", None), ("disconnected",)]
    horizontal.destroy()


async def test_an_error_before_it_is_ready():
    host = FakeHost(ready=False)
    horizontal, news = await opened(host)
    host.emit("error", OSError("refused"))
    assert [str(error) for _, error in news.log] == ["refused"] and horizontal.mediasoup is None
    horizontal.destroy()


async def test_without_members():
    async with MediasoupHorizontal() as horizontal:
        assert horizontal and len(horizontal) == 0 and horizontal.mediasoup is None and horizontal.ready_state == 3
        assert (await horizontal.get_stats())["pidusages"] is None


# The set


async def test_it_is_a_set():
    a, b, c = map(FakeHost, "abc")
    horizontal, news = await opened(a, b)
    assert a in horizontal and horizontal.has(b) and c not in horizontal and list(horizontal) == [a, b]
    assert horizontal.add(c) is horizontal and horizontal.add(a) is horizontal
    assert len(horizontal) == 3
    assert horizontal.delete(a) is True and horizontal.delete(a) is False and horizontal.discard(b) is True
    assert list(horizontal) == [c]
    horizontal.clear()
    assert len(horizontal) == 0 and horizontal.mediasoup is None
    await quiet()
    assert [each[1] for each in news.of("hostleave")] == [a, b, c]
    for host in (a, b, c):
        assert not any(host.listeners(event) for event in ("mediasoup", "error", "destroy", "connected"))
        assert not host.destroyed
    horizontal.destroy()
    with pytest.raises(SfuError, match="destroyed"):
        horizontal.add(a)


async def test_any_object_with_the_two_parts_is_a_member():
    inner = FakeHost()
    plain = SimpleNamespace(mediasoup=inner.api, get_stats=inner.get_stats)
    horizontal, _ = await opened(plain)
    worker = await horizontal.mediasoup.create_worker()
    assert split_pid(worker.pid)[1] == inner.cores[0].pid
    async with horizontal:
        pass
    assert inner.cores[0].closed
    with pytest.raises(TypeError, match="member"):
        MediasoupHorizontal([{"mediasoup": None}])


async def test_own_members_are_destroyed():
    a, b, c = map(FakeHost, "abc")
    horizontal, _ = await opened(a, b, own=True)
    horizontal.add(c, own=False)
    horizontal.delete(a)
    assert a.destroyed and not b.destroyed
    horizontal.destroy()
    assert b.destroyed and not c.destroyed


async def test_the_end_of_own_members_is_waited_for():
    client = RemoteMediasoupClientMock("ws://nowhere")
    closed = []
    client.on("close", lambda: closed.append(True))
    async with MediasoupHorizontal([client], own=True) as horizontal:
        await horizontal.ready()
    assert closed == [True]


@pytest.mark.parametrize(
    "options",
    [{"min_members": 0}, {"min_members": 1.5}, {"watermark_node": 0}, {"watermark_node": 101}, {"patience": "soon"}],
    ids=str,
)
async def test_wrong_options(options):
    (name,) = options
    with pytest.raises(TypeError, match=name):
        MediasoupHorizontal([FakeHost()], **options)


async def test_members_that_are_none_leave_nothing():
    a = FakeHost()
    with pytest.raises(TypeError, match="member"):
        MediasoupHorizontal([a, object()])
    assert not a.listeners("mediasoup")


async def test_a_member_added_under_way_gets_the_next_worker():
    a, b = FakeHost("a"), FakeHost("b")
    horizontal, _ = await opened(a)
    await horizontal.mediasoup.create_worker()
    horizontal.add(b)
    await quiet()
    await horizontal.mediasoup.create_worker()
    assert len(a.cores) == len(b.cores) == 1
    horizontal.destroy()


async def test_removing_a_member_closes_its_workers():
    a, b = FakeHost("a"), FakeHost("b")
    horizontal, news = await opened(a, b)
    first, second = [await horizontal.mediasoup.create_worker() for _ in range(2)]
    horizontal.delete(a)
    await first.wait_subprocess_closed()
    assert first.closed and not first.died and not second.closed
    assert a.cores[0].closed and not b.cores[0].closed
    assert news.of("workerdied", "hostlost") == []
    horizontal.destroy()


async def test_a_member_that_its_owner_destroys():
    a, b = FakeHost("a"), FakeHost("b")
    horizontal, news = await opened(a, b)
    first, second = [await horizontal.mediasoup.create_worker() for _ in range(2)]
    a.destroy()
    await quiet()
    assert list(horizontal) == [b] and first.closed and not first.died and not second.closed
    assert news.of("hostleave", "hostlost", "workerdied", "error") == [("hostleave", a)]
    horizontal.destroy()


async def test_a_member_that_its_owner_closes():
    """And opens again."""
    a, b = FakeHost("a"), FakeHost("b")
    horizontal, news = await opened(a, b)
    first, second = [await horizontal.mediasoup.create_worker() for _ in range(2)]
    a.close()
    await quiet()
    assert a in horizontal and first.closed and not first.died and not second.closed
    assert news.of("hostleave", "hostlost", "workerdied", "error") == [("hostleave", a)]
    a.appear()
    await quiet()
    assert len(news.of("hostjoin")) == 3
    assert (await horizontal.mediasoup.create_worker()).channel.place.host_id == "a"
    horizontal.destroy()


async def test_a_seed_of_an_application_ends():
    """It destroys the clients first, then the horizontal."""
    hosts = [FakeHost(name) for name in "abc"]
    horizontal, news = await opened(*hosts, listen_worker_died=False)
    await asyncio.gather(*(horizontal.mediasoup.create_worker() for _ in range(6)))
    for host in hosts:
        host.destroy()
    horizontal.destroy()
    horizontal.destroy()
    await horizontal.wait_destroyed()
    assert news.of("destroy") == [("destroy",)] and news.of("error", "workerdied", "hostlost") == []
    assert news.of("mediasoup")[1:] == [("mediasoup", None)]


# Versions


@pytest.mark.parametrize(
    ("version", "fits"), [(VERSION, True), ("0.1.99", True), ("0.2.0", False), ("1.0.0", False), ("", False)]
)
def test_versions(version, fits):
    if fits:
        check_version(version)
    else:
        with pytest.raises(SfuError, match="version"):
            check_version(version)


async def test_a_member_of_another_version_is_not_used():
    strange, good = FakeHost("a", version="99.0"), FakeHost("b")
    horizontal, news = await opened(strange, good)
    assert ["version 99.0" in str(error) for _, error in news.of("error")] == [True]
    assert news.of("hostjoin") == [("hostjoin", good)]
    for _ in range(3):
        await horizontal.mediasoup.create_worker()
    assert strange.cores == [] and len(good.cores) == 3
    horizontal.destroy()


async def test_workers_of_another_protocol_are_not_used():
    strange, good = FakeHost("a"), FakeHost("b", cores=1)
    strange.place = type(strange.place)(host_id="a", protocol_version=99)
    horizontal, news = await opened(strange, good)
    worker = await horizontal.mediasoup.create_worker()
    assert worker.channel.place.host_id == "b" and strange.cores[0].closed
    assert ["protocol 99" in str(error) for _, error in news.of("error")] == [True]
    horizontal.delete(good)
    with pytest.raises(SfuError, match="protocol 99"):
        await horizontal.mediasoup.create_worker()
    horizontal.destroy()


# Workers


async def test_workers_spread_and_their_pids_say_where():
    a, b = FakeHost("a"), FakeHost("b")
    horizontal, _ = await opened(a, b)
    workers = await asyncio.gather(*(horizontal.mediasoup.create_worker() for _ in range(4)))
    assert len(a.cores) == len(b.cores) == 2
    assert len({worker.pid for worker in workers}) == 4
    found = [horizontal.locate(worker.pid) for worker in workers]
    assert sorted((member.name, pid) for member, pid in found) == [("a", 100), ("a", 101), ("b", 100), ("b", 101)]
    for worker in workers:
        assert (await worker.dump())["pid"] == worker.pid
    with pytest.raises(ValueError, match="no member"):
        horizontal.locate(workers[0].pid + (9 << 22))
    horizontal.destroy()


async def test_numbers_of_hosts_are_used_again_as_late_as_possible():
    horizontal, _ = await opened()
    seen = []
    for _ in range(len(HOSTS) + 2):
        host = FakeHost()
        horizontal.add(host)
        seen.append(horizontal.host_of(host).pids.host)
        horizontal.delete(host)
    assert seen == [*HOSTS, *HOSTS[:2]]
    kept = FakeHost()
    horizontal.add(kept)
    horizontal._last_number = HOSTS[1]
    another = FakeHost()
    horizontal.add(another)
    assert horizontal.host_of(another).pids.host == horizontal.host_of(kept).pids.host + 1
    horizontal.destroy()


async def test_load_decides():
    a, b = FakeHost("a"), FakeHost("b")
    a.usages = {7: {"pid": 7, "cpu": 120.0, "memory": 10}}
    horizontal, _ = await opened(a, b)
    for _ in range(2):
        await horizontal.mediasoup.create_worker()
    assert len(a.cores) == 0 and len(b.cores) == 2
    horizontal.destroy()


async def test_settings_reach_the_host():
    a = FakeHost()
    horizontal, _ = await opened(a)
    await horizontal.mediasoup.create_worker(rtc_min_port=2000, rtc_max_port=2100, log_level="warn", engine={"x": 1})
    settings = a.cores[0].settings
    assert (settings.rtc_min_port, settings.rtc_max_port, settings.log_level) == (2000, 2100, "warn")
    assert settings.engine == {"x": 1}
    horizontal.destroy()


async def test_a_host_that_cannot_start_workers():
    a, b = FakeHost("a"), FakeHost("b")
    horizontal, news = await opened(a, b)
    a.failure = SfuError("no memory")
    worker = await horizontal.mediasoup.create_worker()
    assert worker.channel.place.host_id == "b" and [str(error) for _, error in news.of("error")] == ["no memory"]
    b.failure = SfuError("nor here")
    with pytest.raises(SfuError, match="no"):
        await horizontal.mediasoup.create_worker()
    a.failure = TypeError("wrong settings")
    b.failure = TypeError("wrong settings")
    with pytest.raises(TypeError, match="settings"):
        await horizontal.mediasoup.create_worker()
    horizontal.destroy()


async def test_no_host():
    a = FakeHost()
    horizontal, _ = await opened(a)
    mediasoup = horizontal.mediasoup
    a.crash()
    await quiet()
    with pytest.raises(SfuError, match="no host"):
        await mediasoup.create_worker()
    horizontal.destroy()


# Statistics


async def test_statistics_are_sums():
    a, b = FakeHost("a", cores=2), FakeHost("b", cores=6)
    horizontal, _ = await opened(a, b)
    worker = await horizontal.mediasoup.create_worker()
    host = horizontal.locate(worker.pid)[0]
    host.usages = {worker_pid: {"pid": worker_pid, "cpu": 1.0} for worker_pid in (host.cores[0].pid, 55)}
    stats = await horizontal.get_stats()
    assert stats["os"] == {
        "availableParallelism": 8,
        "loadavg": [2.0, 4.0, 6.0],
        "uptime": 50,
        "cpus": ["x", "x"],
    }
    assert stats["process"]["cpuUsage"] == {"user": 6, "system": 8}
    assert worker.pid in stats["pidusages"] and len(stats["pidusages"]) == 2
    assert all(pid == usage["pid"] for pid, usage in stats["pidusages"].items())
    assert {split_pid(pid)[1] for pid in stats["pidusages"]} == {55, host.cores[0].pid}
    horizontal.destroy()


async def test_the_node_watermark():
    a, b = FakeHost("a"), FakeHost("b")
    horizontal, news = await opened(a, b)
    for host, cpu in ((a, 200.0), (b, 190.0), (a, 198.0), (b, 0.0), (b, 200.0)):
        host.usages = {7: {"pid": 7, "cpu": cpu}}
        for _ in range(8):  # a short burst is no load
            for each in horizontal.hosts:
                await each._sample()
    assert [90 <= load <= 100 for _, load in news.of("nodewatermark")] == [True, True]
    horizontal.destroy()


async def test_statistics_that_cannot_be_read():
    a, b = FakeHost("a"), FakeHost("b")

    async def failing():
        raise SfuError("no figures")

    a.get_stats = failing
    horizontal, news = await opened(a, b)
    assert [str(error) for _, error in news.of("error")] == ["no figures"]
    assert (await horizontal.get_stats())["os"]["availableParallelism"] == 2
    await horizontal.mediasoup.create_worker()
    horizontal.destroy()


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        [],
        {"os": 7},
        {"pidusages": {"x": {}}},
        {"pidusages": 5},
        {"pidusages": {"7": 3}},
        {"os": {"loadavg": 3, "availableParallelism": "2", "cpus": 5, "uptime": {}}},
        {"pidusages": {"7": {"cpu": float("nan")}}},
        {"capacity": float("inf")},
        {"capacity": 10**9},
    ],
    ids=str,
)
async def test_a_member_that_says_nonsense_of_itself(nonsense):
    """It hurts neither the sums nor the placement."""
    a, b = FakeHost("a"), FakeHost("b")

    async def get_stats():
        return nonsense

    a.get_stats = get_stats
    horizontal, _ = await opened(a, b)
    stats = await horizontal.get_stats()
    assert stats["os"]["loadavg"] == [1.0, 2.0, 3.0] and stats["os"]["availableParallelism"] == 2
    assert 2 <= stats["capacity"] <= 2000
    for host in horizontal.hosts:
        with contextlib.suppress(Exception):
            await host._sample()
    assert not (await horizontal.mediasoup.create_worker()).closed
    horizontal.destroy()


async def test_draining_all_leaves_no_capacity():
    """One on top, or the directory, must not take the number of processors for it."""
    a = FakeHost("a", cores=8)
    horizontal, _ = await opened(a)
    horizontal.drain(a)
    stats = await horizontal.get_stats()
    assert stats["capacity"] == 0 and capacity_of(stats) == 1
    horizontal.destroy()


async def test_capacity_is_told_when_it_changes():
    a, b = FakeHost("a", cores=2), FakeHost("b", cores=6, ready=False)
    horizontal, _ = await opened(a, b)
    told = []
    horizontal.on("capacity", told.append)
    assert horizontal.capacity == 2
    b.appear()
    await quiet()
    assert (await horizontal.get_stats())["capacity"] == 8
    horizontal.drain(b)
    horizontal.add(b)
    b.crash()
    horizontal.delete(a)
    assert told == [8, 2, 8, 2, 0]
    horizontal.destroy()


async def test_a_member_may_say_how_many_workers_make_sense():
    """One of a vertical spans all cores."""
    a, b = FakeHost("a", cores=16), FakeHost("b", cores=2)
    inner = a.get_stats

    async def get_stats():
        return await inner() | {"capacity": 1}

    a.get_stats = get_stats
    horizontal, _ = await opened(a, b)
    assert horizontal.capacity == 3
    for _ in range(3):
        await horizontal.mediasoup.create_worker()
    assert (len(a.cores), len(b.cores)) == (1, 2)
    horizontal.destroy()
