"""The stacks that a conformance test runs on: each gives the same API over another arrangement of workers."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

_verticals: list[Any] = []
"""Those that are open."""

Stack = Callable[[], AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def core() -> AsyncIterator[Any]:
    """One core process for each worker, on this machine."""
    from sfu_core import mediasoup

    yield mediasoup


@asynccontextmanager
async def vertical() -> AsyncIterator[Any]:
    """All workers over the same two cores; transports alternate, so most consumers are not where their producer is."""
    from vertical import MediasoupVertical, spread

    async with MediasoupVertical(max_workers=2, placement=spread) as manager:
        _verticals.append(manager)
        yield manager.mediasoup
        _verticals.remove(manager)


@asynccontextmanager
async def horizontal() -> AsyncIterator[Any]:
    """Workers alternate between two hosts, so most pipes are encrypted."""
    async with hosts() as manager:
        yield manager.mediasoup


@asynccontextmanager
async def vertical_over_horizontal() -> AsyncIterator[Any]:
    """All workers over the same two cores of two hosts; transports alternate."""
    from vertical import MediasoupVertical, spread

    async with hosts() as base, MediasoupVertical(base, max_workers=2, placement=spread) as manager:
        _verticals.append(manager)
        yield manager.mediasoup
        _verticals.remove(manager)


@asynccontextmanager
async def cluster() -> AsyncIterator[Any]:
    """A client of a server that stands in front of those of two hosts."""
    from horizontal import RemoteMediasoupClient, RemoteMediasoupServer

    async with hosts() as base, RemoteMediasoupServer(base) as server, RemoteMediasoupClient(server.url) as client:
        yield client.mediasoup


@asynccontextmanager
async def hosts() -> AsyncIterator[Any]:
    """A horizontal over clients of the servers of two hosts: this machine under two names."""
    from horizontal import MediasoupHorizontal, RemoteMediasoupClient, RemoteMediasoupServer

    async with RemoteMediasoupServer(host("first")) as first, RemoteMediasoupServer(host("second")) as second:
        clients = [RemoteMediasoupClient(server.url, listen_worker_died=False) for server in (first, second)]
        async with MediasoupHorizontal(clients, own=True, min_members=2) as manager:
            await manager.ready()
            yield manager


def host(name: str) -> Any:
    """A manager whose workers are processes here, but say that they are on a host of that name."""
    from sfu_core.channel.process import ProcessSpawner
    from sfu_core.mediasoup import Mediasoup
    from sfu_core.stats import get_stats_factory

    spawner = ProcessSpawner(announced_addresses=("127.0.0.1",))
    spawner._place = msgspec.structs.replace(spawner._place, host_id=name)
    mediasoup = Mediasoup(spawner)
    return SimpleNamespace(mediasoup=mediasoup, get_stats=get_stats_factory(mediasoup).get_stats)


@asynccontextmanager
async def remote() -> AsyncIterator[Any]:
    """A client of a server of this process, over loopback; core processes behind it."""
    from horizontal import RemoteMediasoupClient, RemoteMediasoupServer

    async with RemoteMediasoupServer() as server, RemoteMediasoupClient(server.url) as client:
        yield client.mediasoup


@asynccontextmanager
async def remote_vertical() -> AsyncIterator[Any]:
    """A client of a server that offers two cores as one."""
    from horizontal import RemoteMediasoupClient, RemoteMediasoupServer
    from vertical import MediasoupVertical, spread

    async with (
        MediasoupVertical(max_workers=2, placement=spread) as manager,
        RemoteMediasoupServer(manager) as server,
        RemoteMediasoupClient(server.url) as client,
    ):
        _verticals.append(manager)
        yield client.mediasoup
        _verticals.remove(manager)


STACKS: dict[str, Stack] = {
    "core": core,
    "vertical": vertical,
    "remote": remote,
    "remote vertical": remote_vertical,
    "horizontal": horizontal,
    "vertical over horizontal": vertical_over_horizontal,
    "cluster": cluster,
}
"""A test that passes on one of them must pass on all."""


async def processes(worker: Any) -> list[int]:
    """The pids of what carries a worker: one core, or several."""
    for vertical in _verticals:
        if pids := [own_pid(core.pid) for core in await vertical.cores() if worker.pid in core.workers]:
            return pids
    return [own_pid(member.pid) for member in getattr(worker.channel, "members", None) or [worker]]


def own_pid(pid: int) -> int:
    """That of the process on its host."""
    from horizontal.pids import HOSTS, split_pid

    return split_pid(pid)[1] if pid >> 22 in HOSTS else pid


def is_ours(pid: int) -> bool:
    """Whether that is a process which this library has started."""
    try:
        return b"multiprocess" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
