"""The pool of cores: start, samples, replacement, end."""

import asyncio
from types import SimpleNamespace

import pytest
from fake_core import FakeCore, House

from sfu_core.channel import messages as m
from sfu_core.channel.place import Place
from sfu_core.channel.settings import WorkerSettings
from sfu_core.errors import SfuError, WorkerClosedError
from vertical import members
from vertical.cluster import BaseWorkers, Cluster, OwnCores, with_defaults
from vertical.placement import fill_first
from waiting import until


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(members, "SAMPLE_INTERVAL", 0.02)
    monkeypatch.setattr(members, "RETRY_DELAYS", (0.005, 0.01))


async def busy(core, percent, stop):
    """A media thread at work for so much of its time."""
    loop = asyncio.get_running_loop()
    start, at = loop.time(), core.busy_ns
    while not stop.is_set():
        core.busy_ns = at + int((loop.time() - start) * percent * 1e7)
        await asyncio.sleep(0.001)


async def test_load_is_measured(house):
    stop = asyncio.Event()
    working = asyncio.ensure_future(busy(house.cores[0], 70, stop))
    first, second = house.cluster.members
    await until(lambda: first.full and 40 < first.measured < 100)
    assert not second.full and second.measured < 5
    stop.set()
    await working
    await until(lambda: not first.full and first.measured < 5)


async def test_predictions_last_until_they_are_measured(house):
    (first, *_), before = house.cluster.members, house.cluster.members[0].predicted
    await house.plain()
    assert first.predicted > before and first.load > first.measured
    await until(lambda: first.predicted == 0)


async def test_the_next_core_is_taken_at_the_watermark(runner):
    house = await House.open(2, policy=None, watermark=50)
    first, second = house.cluster.members
    await asyncio.gather(*(house.plain() for _ in range(3)))
    assert [member.transports for member in (first, second)] == [3, 0]
    first.measured = 55
    await house.plain()
    assert [member.transports for member in (first, second)] == [3, 1]
    for transport in list(house.router._transports.values()):
        transport.close()
    await house.quiet()
    assert [member.transports for member in (first, second)] == [0, 0]
    await house.close()


async def test_the_node_watermark_is_told_once_a_crossing(house):
    stop = asyncio.Event()
    working = [asyncio.ensure_future(busy(core, 130, stop)) for core in house.cores]
    await until(lambda: house.crowded)
    await asyncio.sleep(0.1)
    stop.set()
    await asyncio.gather(*working)
    assert len(house.crowded) == 1 and house.crowded[0] >= 90
    await until(lambda: all(member.measured < 5 for member in house.cluster.members))
    stop.clear()
    working = [asyncio.ensure_future(busy(core, 130, stop)) for core in house.cores]
    await until(lambda: len(house.crowded) == 2)
    stop.set()
    await asyncio.gather(*working)


async def test_a_dead_core_is_replaced(house):
    victim = house.cores[0]
    victim.kill()
    await until(lambda: len(house.cores) == 2)
    assert house.died == [victim.pid] and house.errors == []
    assert [member.index for member in house.cluster.members] == [0, 1]
    assert house.source.settings[0] == house.source.settings[-1]


async def test_a_replacement_that_cannot_be_started_is_tried_again(house):
    house.source.failure = SfuError("no more processes")
    house.cores[0].kill()
    await until(lambda: len(house.errors) >= 3)
    assert len(house.cluster.members) == 1 and len(house.died) == 1
    house.source.failure = None
    await until(lambda: len(house.cluster.members) == 2)


async def test_a_pool_that_cannot_be_started(runner):
    house = await House.open(2)
    house.source.failure = TypeError("wrong settings")
    with pytest.raises(TypeError, match="wrong settings"):
        await house.mediasoup.create_worker(rtc_min_port=2, rtc_max_port=3)
    house.source.failure = None
    worker = await house.mediasoup.create_worker(rtc_min_port=2, rtc_max_port=3)
    assert len(house.cores) == 4
    worker.close()
    await worker.wait_subprocess_closed()
    assert len(house.cores) == 2
    await house.close()


async def test_half_a_pool_is_not_left(runner):
    house = await House.open(2)
    spawn, calls = house.source.spawn, []

    async def flawed(index, settings):
        calls.append(index)
        if len(calls) == 2:
            raise SfuError("no")
        return await spawn(index, settings)

    house.source.spawn = flawed
    with pytest.raises(SfuError, match="no"):
        await house.mediasoup.create_worker(engine={"transports": 5})
    assert calls == [1, 2] and len(house.cores) == 2
    house.source.spawn = spawn
    await house.close()


async def test_settings_decide_who_shares(house):
    same = await house.mediasoup.create_worker(log_level="debug", log_tags=["ice"])
    assert len(house.cores) == 2
    await house.quiet()
    other = await house.mediasoup.create_worker(rtc_min_port=20000)
    assert len(house.cores) == 4
    for worker in (same, other):
        worker.close()
        await worker.wait_subprocess_closed()
    assert len(house.cores) == 2


async def test_many_workers_at_once_share_one_start(runner):
    house = await House.open(2)
    workers = await asyncio.gather(*(house.mediasoup.create_worker(rtc_min_port=20000) for _ in range(5)))
    assert len(house.cores) == 4 and len({worker.pid for worker in workers}) == 5
    await house.close()
    assert all(worker.subprocess_closed for worker in workers)


async def test_a_pool_that_has_ended_is_started_again(runner):
    house = await House.open(2)
    house.worker.close()
    again = await house.mediasoup.create_worker()
    await house.worker.wait_subprocess_closed()
    assert len(house.cores) == 2 and not again.closed
    await house.close()


async def test_whoever_wanted_it_does_not_wait(runner):
    """Cores that nobody will use do not stay."""
    house = await House.open(2)
    patient = None
    for others in (0, 1):
        creating = asyncio.ensure_future(house.mediasoup.create_worker(rtc_min_port=20000 + others))
        if others:
            patient = asyncio.ensure_future(house.mediasoup.create_worker(rtc_min_port=20000 + others))
        await asyncio.sleep(0)
        creating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating
        await house.quiet()
    assert len(house.cores) == 4
    assert not (await patient).closed
    await house.close()


def refuse(core, kind, monkeypatch):
    """As a core on another host that does not answer in time."""
    request = core.request

    async def ask(message, handler_id=""):
        if isinstance(message, kind):
            raise SfuError("no answer")
        return await request(message, handler_id)

    monkeypatch.setattr(core, "request", ask)


async def test_a_logical_worker_that_could_not_be_set_up_is_not_left(house, monkeypatch):
    refuse(house.cores[1], m.WorkerUpdateSettings, monkeypatch)
    with pytest.raises(SfuError, match="no answer"):
        await house.mediasoup.create_worker(log_level="debug")
    monkeypatch.undo()
    house.cores[0].hold()
    creating = asyncio.ensure_future(house.mediasoup.create_worker(log_level="debug"))
    await asyncio.sleep(0.01)
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    house.cores[0].go()
    await house.quiet()
    assert [switch.pid for switch in house.cluster.switches] == [house.worker.pid]


async def test_a_core_that_does_not_answer_keeps_nobody_from_leaving(house, monkeypatch):
    await house.router.create_direct_transport()
    refuse(house.cores[0], m.WorkerGetResourceUsage, monkeypatch)
    house.worker.close()
    async with asyncio.timeout(5):
        await house.worker.wait_subprocess_closed()
    assert house.cores == []


async def test_after_destruction(house):
    house.cluster.close()
    with pytest.raises(WorkerClosedError, match="destroyed"):
        await house.mediasoup.create_worker()


def test_defaults():
    ours = WorkerSettings(rtc_min_port=30000, log_level="warn", engine={"transports": 7})
    assert with_defaults(WorkerSettings(), ours) == ours
    given = WorkerSettings(rtc_min_port=40000, log_tags=("ice",))
    mixed = with_defaults(given, ours)
    assert (mixed.rtc_min_port, mixed.log_level, mixed.log_tags) == (40000, "warn", ("ice",))


class Recorder:
    def __init__(self):
        self.settings = []

    async def spawn(self, settings):
        self.settings.append(settings)
        return FakeCore(77)


async def test_own_cores_are_pinned(runner):
    recorder = Recorder()
    source = OwnCores([3, 5], recorder)
    cores = [await source.spawn(index, WorkerSettings(engine={"transports": 9})) for index in (0, 1)]
    assert [settings.engine for settings in recorder.settings] == [
        {"transports": 9, "cpu": 3},
        {"transports": 9, "cpu": 5},
    ]
    with pytest.raises(TypeError, match="cpu"):
        await source.spawn(0, WorkerSettings(engine={"cpu": 1}))
    (alone, _) = await OwnCores([3], recorder).spawn(0, WorkerSettings())
    assert recorder.settings[-1].engine == {}
    for channel in (alone, *(channel for channel, _ in cores)):
        channel.close()


async def test_workers_of_another_manager(house):
    """A vertical over a vertical, if only for once."""

    async def get_stats():
        return {"os": {"availableParallelism": 2}}

    source = BaseWorkers(SimpleNamespace(mediasoup=house.mediasoup, get_stats=get_stats))
    upper = Cluster(source, policy=fill_first)
    channel = await upper.spawn(WorkerSettings())
    assert len(upper.members) == 2 and len(house.cluster.switches) == 3
    upper.close()
    await channel.ended()
    await house.quiet()
    assert len(house.cluster.switches) == 1


async def test_a_host_that_is_to_be_left(runner):
    """Nothing new goes there; when it is empty its cores are closed, and nobody calls that a death."""
    house = await House.open(4, [Place(host_id=host, announced_addresses=("127.0.0.1",)) for host in "aabb"])
    transports = [await house.plain() for _ in range(4)]
    leaving = house.cores[2:]
    house.source.refusing = {core.pid for core in leaving}
    fresh = [await house.plain() for _ in range(4)]
    assert {house.core_of(each) for each in fresh} == {*house.cores[:2]}
    house.cluster.resize(2)
    transports[2].close()
    await asyncio.sleep(0.1)
    assert not any(core.closed for core in leaving)  # the other one of that host is in use
    transports[3].close()
    await until(lambda: all(core.closed for core in leaving))
    await asyncio.sleep(0.05)
    assert house.died == [] and len(house.cluster.members) == 2 and len(house.source.cores) == 4
    assert not any(each.closed for each in (*transports[:2], *fresh))
    house.source.refusing = set()
    house.cluster.resize(3)  # it is wanted again
    await until(lambda: len(house.cluster.members) == 3)
    await house.close()


async def test_a_host_that_is_lost_is_not_left(runner):
    """Its cores have died, also if they are being asked for their load when it happens."""
    house = await House.open(2, [Place(host_id=host, announced_addresses=("127.0.0.1",)) for host in "ab"])
    transports = [await house.plain() for _ in range(2)]
    lost = house.cores[1]
    house.source.refusing = {lost.pid}
    lost.hold()
    await asyncio.sleep(0.1)  # the sample is under way
    house.cluster.resize(1)
    lost.kill()
    await asyncio.sleep(0.05)
    assert len(house.died) == 1 and transports[1].closed and not transports[0].closed
    await house.close()


async def test_the_last_host_goes(runner):
    """Nobody waits for what will not come; when there is a host again, all goes on."""
    house = await House.open(1)
    first = await house.plain()
    house.source.failure = SfuError("not now")
    house.cores[0].kill()
    waiting = asyncio.ensure_future(house.plain())
    await asyncio.sleep(0.02)
    assert first.closed and not waiting.done()  # a replacement may come yet
    house.cluster.resize(0)
    with pytest.raises(SfuError, match="no host"):
        await waiting
    with pytest.raises(SfuError, match="no host"):
        await house.plain()
    house.source.failure = None
    house.cluster.resize(1)
    assert not (await house.plain()).closed
    await house.close()


async def test_a_host_out_of_reach_keeps_what_it_has(runner):
    house = await House.open(2, [Place(host_id=host, announced_addresses=("127.0.0.1",)) for host in "ab"])
    house.source.refusing = {house.cores[1].pid}
    await asyncio.sleep(0.1)
    assert len(house.cores) == 2
    house.source.refusing = {core.pid for core in house.cores}  # all are: any is better than none
    assert not (await house.plain()).closed
    await house.close()


@pytest.mark.parametrize("dies", [True, False])
async def test_only_a_core_that_lives_is_said_not_to_be_watched(house, monkeypatch, caplog, dies):
    async def memory_of(core):
        if dies:
            core.kill()
        raise SfuError("no answer")

    monkeypatch.setattr(members, "ProcessChannel", FakeCore)
    monkeypatch.setattr(members, "memory_of", memory_of)
    monkeypatch.setattr(members, "END_NOTICED", 0.02)
    member, pool = house.cluster.members[0], house.switch._pool
    pool._adopt(9, member.channel, member.pid)
    await asyncio.sleep(0.1)
    assert ("nobody sees it hang" in caplog.text) is not dies
