"""MediasoupVertical: all cores as one worker, behind mediasoup's API.

Belongs to the application's event loop. The cores are processes of their own, and the switch is in a host process
beside them (`vertical.host_process`); or they are the workers of another manager, and the switch runs here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from sfu_core.channel import messages as m
from sfu_core.channel.settings import LOG_LEVELS, WorkerSettings
from sfu_core.cores import usable_cpus
from sfu_core.manager import Manager, check_manager, check_percentage
from sfu_core.mediasoup import Mediasoup
from sfu_core.mediasoup.types import LogLevel
from sfu_core.stats import StatsReader
from vertical.cluster import BaseWorkers, Cluster
from vertical.host_process import HostProcessCluster
from vertical.pipes import MakeLink
from vertical.placement import NODE_WATERMARK, WATERMARK, Policy

GetStats = Callable[[], Awaitable[Any]]


class MediasoupVertical(Manager):
    """A manager: `mediasoup` is the API, whose workers each span all cores.

    Events: `mediasoup` (the API, or None when a base manager has lost its own), `error` (exception; a core could not
    be replaced, or an error of the base), `coredied` (pid, exception), `nodewatermark` (load in percent of the host,
    when it passes the mark; another host is wanted), `destroy` (what is built on top of it ends with it). `async with`
    destroys it at the end and waits for it.
    """

    def __init__(
        self,
        manager: Any = None,
        *,
        mediasoup: Any = None,
        get_stats: GetStats | None = None,
        max_workers: int | None = None,
        watermark_worker: float = WATERMARK,
        watermark_node: float = NODE_WATERMARK,
        rtc_min_port: int = 10000,
        rtc_max_port: int = 59999,
        log_level: LogLevel = "error",
        log_tags: Iterable[str] = (),
        dtls_certificate_file: str | None = None,
        dtls_private_key_file: str | None = None,
        placement: Policy | None = None,
        make_link: MakeLink | None = None,
        app_data: Any = None,
    ) -> None:
        """Over processes of its own, over the workers of `manager`, or over those of `mediasoup` with its `get_stats`.

        One core for each processor that this process may use and no other application has, or as many as the base can
        carry; at most `max_workers`, at least one.
        Watermarks in percent: of a core, above which it gets nothing new, and of the host. Ports, logs and certificate
        are for workers whose creator leaves mediasoup's defaults. `placement` and `make_link` replace how transports
        are placed and members joined. Over own processes they run in the host process: each is pickled when the manager
        is made (by dill, so it may be a lambda, or from the main module), and shares nothing with the application;
        TypeError if it cannot be.
        """
        super().__init__()
        _check(max_workers, watermark_worker, watermark_node, log_level)
        self.app_data = {} if app_data is None else app_data
        self._base = _base_of(manager, mediasoup, get_stats)
        cpus = usable_cpus()
        options: dict[str, Any] = {
            "settings": WorkerSettings(
                log_level=log_level,
                log_tags=tuple(log_tags),
                rtc_min_port=rtc_min_port,
                rtc_max_port=rtc_max_port,
                dtls_certificate_file=dtls_certificate_file,
                dtls_private_key_file=dtls_private_key_file,
            ),
            "watermark": watermark_worker,
            "node_watermark": watermark_node,
            "policy": placement,
            "make_link": make_link,
            "on_core_died": lambda pid, reason: self._tell("coredied", pid, reason),
            "on_error": lambda error: self._tell("error", error),
            "on_crowded": lambda load: self._tell("nodewatermark", load),
        }
        self._cluster: Cluster | HostProcessCluster
        if self._base is None:
            self._cluster = HostProcessCluster(cpus, max_workers or len(cpus), **options)
        else:
            self._cluster = Cluster(BaseWorkers(self._base), max_workers, **options)
        self._mediasoup = Mediasoup(self._cluster)
        self._stats = StatsReader()
        self._announced = False  # that there is an API
        self._listen_to_base()

    # What applications use

    @property
    def mediasoup(self) -> Mediasoup | None:
        """The API; None while the base manager has none, and after `destroy()`."""
        if self._destroyed or (self._base is not None and self._base.mediasoup is None):
            return None
        return self._mediasoup

    async def cores(self) -> list[m.CoreInfo]:
        """The cores there are: process, load, transports, pipes, and which workers use them."""
        return await self._cluster.cores()

    async def core_of(self, transport_id: str) -> int | None:
        """The pid of the core that carries a transport; None if there is no such transport."""
        return await self._cluster.core_of(transport_id)

    @property
    def host_pid(self) -> int | None:
        """The pid of the host process; None while there is none, and over another manager."""
        return self._cluster.host_pid

    async def get_stats(self) -> Any:
        """Of the host, of this process, and of the host process and its cores; those of the base, if there is one.

        `capacity`: how many workers make sense, which is one, since it spans all cores.
        """
        if self._base is not None:
            stats = await self._base.get_stats()
        else:
            cores = await self.cores()
            stats = self._stats.read([pid for pid in (self.host_pid, *(core.pid for core in cores)) if pid is not None])
        return stats | {"capacity": 1} if isinstance(stats, dict) else stats

    async def wait_destroyed(self) -> None:
        """After `destroy()`: wait until all processes have ended."""
        await self._cluster.ended()

    def _end(self) -> None:
        """All workers and all cores; a base manager stays."""
        self._stop_listening()
        self._cluster.close()
        if self._announced:
            self.emit("mediasoup", None)

    # Towards the base

    def _listen_to_base(self) -> None:
        self._listeners: dict[str, Callable[..., None]] = {
            "mediasoup": lambda *_: self._tell_mediasoup(),
            "error": lambda error: self._tell("error", error),
            "capacity": self._base_resized,
            "destroy": lambda *_: self.destroy(),
        }
        if hasattr(self._base, "on"):
            for event, listener in self._listeners.items():
                self._base.on(event, listener)
        if self.mediasoup is not None:
            self._announce()

    def _base_resized(self, capacity: int) -> None:
        if isinstance(self._cluster, Cluster):
            self._cluster.resize(capacity)

    def _stop_listening(self) -> None:
        if hasattr(self._base, "remove_listener"):
            for event, listener in self._listeners.items():
                self._base.remove_listener(event, listener)

    def _announce(self) -> None:
        """There at once; for those who wait for the event nevertheless, as they must with a remote base."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        loop.call_soon(self._tell_mediasoup)

    def _tell_mediasoup(self) -> None:
        mediasoup = self.mediasoup
        self._announced = mediasoup is not None
        self._tell("mediasoup", mediasoup)


class _Base:
    """A manager made of the two things that are needed of one."""

    def __init__(self, mediasoup: Any, get_stats: GetStats) -> None:
        self.mediasoup = mediasoup
        self.get_stats = get_stats


def _base_of(manager: Any, mediasoup: Any, get_stats: GetStats | None) -> Any:
    if manager is not None:
        if mediasoup is not None or get_stats is not None:
            raise TypeError("manager: not together with mediasoup or get_stats")
        check_manager(manager, "manager")
        return manager
    if (mediasoup is None) != (get_stats is None):
        raise TypeError("mediasoup and get_stats: one without the other")
    return None if mediasoup is None or get_stats is None else _Base(mediasoup, get_stats)


def _check(max_workers: object, watermark_worker: object, watermark_node: object, log_level: object) -> None:
    if max_workers is not None and (type(max_workers) is not int or max_workers < 1):
        raise TypeError("max_workers is not a positive number")
    check_percentage(watermark_worker, "watermark_worker")
    check_percentage(watermark_node, "watermark_node")
    if log_level not in LOG_LEVELS:
        raise TypeError("log_level is none of " + ", ".join(LOG_LEVELS))
