"""The figures that managers exchange."""

import os
import subprocess
import sys

import pytest

from sfu_core.mediasoup import Emitter
from sfu_core.stats import StatsReader, get_stats_factory, host, this_process


class Worker:
    def __init__(self, pid):
        self.pid = pid
        self.observer = Emitter()


class Mediasoup:
    def __init__(self):
        self.observer = Emitter()


def test_host():
    figures = host()
    assert figures.keys() == {"availableParallelism", "cpus", "freemem", "totalmem", "loadavg", "uptime"}
    assert 0 < figures["availableParallelism"] <= len(figures["cpus"]) == os.cpu_count()
    for cpu in figures["cpus"]:
        assert cpu.keys() == {"model", "speed", "times"}
        assert cpu["times"].keys() == {"user", "nice", "sys", "idle", "irq"}
        assert cpu["times"]["idle"] >= 0
    assert 0 < figures["freemem"] < figures["totalmem"]
    assert len(figures["loadavg"]) == 3 and figures["uptime"] > 1


def test_this_process():
    figures = this_process()
    assert figures.keys() == {
        "availableMemory", "constrainedMemory", "cpuUsage", "hrtime", "memoryUsage", "resourceUsage", "uptime",
    }  # fmt: skip
    assert figures["cpuUsage"]["user"] > 1000 and figures["cpuUsage"].keys() == {"user", "system"}
    assert figures["memoryUsage"].keys() == {"rss"} and figures["memoryUsage"]["rss"] > 2**20
    assert this_process(True)["memoryUsage"].keys() > {"rss"}
    assert figures["resourceUsage"]["maxRSS"] > 1000 and len(figures["resourceUsage"]) == 16
    assert 0 < figures["uptime"] < host()["uptime"]
    assert this_process()["hrtime"] > figures["hrtime"]
    assert figures["availableMemory"] > 0


def test_a_busy_process_shows():
    """A process that does nothing else takes all it gets; one that sleeps takes nothing."""
    busy, idle = (
        subprocess.Popen([sys.executable, "-c", code]) for code in ("while True: pass", "import time; time.sleep(60)")
    )
    try:
        reader, pids = StatsReader(), [busy.pid, idle.pid, 2**22 + 1]
        first = reader.read(pids)["pidusages"]
        assert first.keys() == {busy.pid, idle.pid}
        while (usage := reader.read(pids)["pidusages"])[busy.pid]["ctime"] < 100:
            pass
        assert usage[busy.pid].keys() == {"cpu", "memory", "ppid", "pid", "ctime", "elapsed", "timestamp"}
        assert usage[busy.pid]["ppid"] == os.getpid() and usage[busy.pid]["pid"] == busy.pid
        assert usage[busy.pid]["elapsed"] >= usage[busy.pid]["ctime"] - 20
        assert usage[busy.pid]["memory"] > 2**20
        before = reader.read(pids)["pidusages"]
        while (now := reader.read(pids)["pidusages"])[busy.pid]["ctime"] < before[busy.pid]["ctime"] + 50:
            pass
        assert now[idle.pid]["ctime"] - before[idle.pid]["ctime"] <= 20
    finally:
        for process in (busy, idle):
            process.kill()
            process.wait()
    assert reader.read(pids)["pidusages"] is None


async def test_workers_are_followed():
    mediasoup = Mediasoup()
    early = Worker(os.getpid())
    mediasoup.observer.emit("newworker", early)  # before anybody asked
    stats = get_stats_factory(mediasoup)
    assert (await stats.get_stats())["pidusages"] is None
    worker = Worker(os.getpid())
    mediasoup.observer.emit("newworker", worker)
    assert list((await stats.get_stats())["pidusages"]) == [os.getpid()]
    worker.observer.emit("close")
    assert (await stats.get_stats())["pidusages"] is None
    mediasoup.observer.emit("newworker", worker)
    stats.close()
    stats.close()
    assert (await stats.get_stats())["pidusages"] is None
    assert mediasoup.observer.listeners("newworker") == []
    full = await stats.get_stats(True)
    assert full.keys() == {"os", "pidusages", "process"} and len(full["process"]["memoryUsage"]) > 1


@pytest.mark.parametrize("pid", [0, 2**31 - 1])
def test_pids_that_are_none(pid):
    assert StatsReader().read([pid])["pidusages"] is None
