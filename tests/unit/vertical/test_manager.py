"""MediasoupVertical: what it is made of, what it hands out, what it says."""

import asyncio

import pytest
from fake_core import CODECS, LOOPBACK, FakeSource

from sfu_core.errors import SfuError, WorkerClosedError
from sfu_core.mediasoup import Emitter, Mediasoup
from vertical import MediasoupVertical, manager, spread
from vertical.cluster import Cluster
from waiting import until


@pytest.fixture
def source(monkeypatch):
    """Its own cores are no processes."""
    source = FakeSource()

    def cluster(cpus, most, **options):
        source.cpus = cpus
        return Cluster(source, min(most, len(cpus)), **options)

    monkeypatch.setattr(manager, "HostProcessCluster", cluster)
    monkeypatch.setattr(manager, "usable_cpus", lambda: [0, 1, 2, 3])
    return source


STATS = {"os": {"availableParallelism": 2}, "of": "the base"}


class Base(Emitter):
    """Another manager, perhaps not ready yet."""

    def __init__(self, ready=True):
        super().__init__()
        self.source = FakeSource()
        self.cluster = Cluster(self.source, 1)
        self.mediasoup = Mediasoup(self.cluster) if ready else None

    async def get_stats(self):
        return STATS


async def test_own_cores(runner, source):
    async with MediasoupVertical() as vertical:
        worker = await vertical.mediasoup.create_worker()
        assert len(source.cores) == 4 and source.cpus == [0, 1, 2, 3]
        assert vertical.mediasoup.version.count(".") == 2
        router = await worker.create_router(media_codecs=CODECS)
        await router.create_plain_transport(listen_info=LOOPBACK)
        assert [core.pid for core in await vertical.cores()] == [core.pid for core in source.cores]
        stats = await vertical.get_stats()
        assert stats.keys() == {"os", "pidusages", "process", "capacity"}
    assert worker.closed and router.closed and vertical.destroyed
    assert all(core.closed for core in source.cores)


async def test_nothing_runs_before_it_is_needed(runner, source):
    vertical = MediasoupVertical()
    assert vertical.mediasoup is not None and source.cores == []
    vertical.destroy()
    await vertical.wait_destroyed()


async def test_options(runner, source):
    async with MediasoupVertical(
        max_workers=2,
        rtc_min_port=30000,
        rtc_max_port=30100,
        log_level="warn",
        log_tags=["ice"],
        app_data={"mine": 1},
        placement=spread,
    ) as vertical:
        worker = await vertical.mediasoup.create_worker()
        assert len(source.cores) == 2 and vertical.app_data == {"mine": 1}
        settings = source.settings[0]
        assert (settings.rtc_min_port, settings.rtc_max_port) == (30000, 30100)
        assert (settings.log_level, settings.log_tags) == ("warn", ("ice",))
        await vertical.mediasoup.create_worker(rtc_min_port=30050)
        assert source.settings[-1].rtc_min_port == 30050
        router = await worker.create_router()
        await asyncio.gather(*(router.create_plain_transport(listen_info=LOOPBACK) for _ in range(4)))
        assert [len(core.engine.live["transport"]) for core in source.cores[:2]] == [2, 2]


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"max_workers": 0}, "max_workers"),
        ({"max_workers": "4"}, "max_workers"),
        ({"watermark_worker": 0}, "watermark_worker"),
        ({"watermark_node": 101}, "watermark_node"),
        ({"watermark_node": None}, "watermark_node"),
        ({"log_level": "loud"}, "log_level"),
        ({"mediasoup": object()}, "get_stats"),
        ({"get_stats": object()}, "mediasoup"),
        ({"manager": object()}, "manager"),
        ({"manager": Base, "mediasoup": object()}, "manager"),
    ],
)
async def test_wrong_options(runner, source, options, argument):
    if options.get("manager") is Base:
        options = options | {"manager": Base()}
    with pytest.raises(TypeError, match=argument):
        MediasoupVertical(**options)


async def test_a_core_that_dies_is_told(runner, source):
    async with MediasoupVertical(max_workers=2) as vertical:
        await vertical.mediasoup.create_worker()
        told = []
        vertical.on("coredied", lambda *args: told.append(args))
        source.cores[1].kill()
        await asyncio.sleep(0.01)
        ((pid, reason),) = told
        assert pid == source.cores[1].pid and isinstance(reason, SfuError)


async def test_what_cannot_be_replaced_is_an_error(runner, source):
    async with MediasoupVertical(max_workers=2) as vertical:
        await vertical.mediasoup.create_worker()
        errors = []
        vertical.on("error", errors.append)
        source.failure = SfuError("no more")
        source.cores[1].kill()
        await asyncio.sleep(0.02)
        assert errors and errors[0] is source.failure


async def test_ready_at_once_and_told(runner, source):
    vertical = MediasoupVertical()
    told = []
    vertical.on("mediasoup", told.append)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert told == [vertical.mediasoup]
    vertical.destroy()
    vertical.destroy()
    assert told[1:] == [None] and vertical.mediasoup is None


async def test_destruction_rejects_what_is_under_way(runner, source):
    vertical = MediasoupVertical(max_workers=1)
    mediasoup = vertical.mediasoup
    creating = asyncio.ensure_future(mediasoup.create_worker())
    await asyncio.sleep(0)
    vertical.destroy()
    with pytest.raises(WorkerClosedError):
        await creating
    await vertical.wait_destroyed()
    assert all(core.closed for core in source.cores)


async def test_over_another_manager(runner):
    base = Base()
    vertical = MediasoupVertical(base, max_workers=2)
    assert await vertical.get_stats() == STATS | {"capacity": 1}
    worker = await vertical.mediasoup.create_worker(rtc_min_port=20000)
    assert len(base.cluster.switches) == 2
    assert {settings.rtc_min_port for settings in base.source.settings} == {20000}
    base.emit("destroy")
    assert vertical.destroyed
    await vertical.wait_destroyed()
    await asyncio.sleep(0.01)
    assert worker.closed
    assert base.cluster.switches == [] and base.listeners("error") == []


async def test_over_a_module_and_its_stats(runner):
    base = Base()
    vertical = MediasoupVertical(mediasoup=base.mediasoup, get_stats=base.get_stats, max_workers=1)
    seen = []
    base.mediasoup.observer.on("newworker", seen.append)
    await vertical.mediasoup.create_worker()
    assert len(seen) == 1 and await vertical.get_stats() == STATS | {"capacity": 1}
    vertical.destroy()
    await vertical.wait_destroyed()


async def test_a_base_that_is_not_ready(runner):
    base = Base(ready=False)
    vertical = MediasoupVertical(base)
    told, errors = [], []
    vertical.on("mediasoup", told.append)
    vertical.on("error", errors.append)
    assert vertical.mediasoup is None
    base.emit("error", SfuError("refused"))
    base.mediasoup = Mediasoup(base.cluster)
    base.emit("mediasoup", base.mediasoup)
    assert told == [vertical.mediasoup] != [None] and len(errors) == 1
    base.mediasoup = None
    base.emit("mediasoup")
    assert told[1:] == [None] and vertical.mediasoup is None
    vertical.destroy()


async def test_as_many_cores_as_the_base_can_carry_now(runner):
    base = Base()
    vertical = MediasoupVertical(base, max_workers=4)
    await vertical.mediasoup.create_worker()
    assert len(await vertical.cores()) == 2
    base.emit("capacity", 3)
    await until(lambda: len(base.cluster.switches) == 3)
    base.emit("capacity", 9)
    await until(lambda: len(base.cluster.switches) == 4)  # at most `max_workers`
    base.emit("capacity", 2)
    for switch in base.cluster.switches[:3]:
        switch.close()  # as if they had died
    await until(lambda: len(vertical._cluster.members) == 2)
    await asyncio.sleep(0.1)
    assert len(base.cluster.switches) == len(vertical._cluster.members) == 2
    vertical.destroy()
    await vertical.wait_destroyed()
    assert base.cluster.switches == []
