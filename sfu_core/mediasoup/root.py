"""The root of the API over anything that can start workers."""

import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from .. import errors
from ..channel import messages as m
from ..channel.channel import Channel
from ..channel.settings import WorkerSettings
from ..channel.spawner import Spawner
from ..version import VERSION
from . import extras, ortc, types
from .capabilities import get_supported_rtp_capabilities
from .convert.arguments import choice_of, number_argument, string_argument
from .emitter import Emitter
from .entity import checked_app_data
from .log import ErrorListener, LogListener, set_log_event_listeners
from .scalability import parse_scalability_mode
from .types import LogLevel, RtpCapabilities, ScalabilityMode
from .worker import LOG_LEVELS, Worker, tags_argument

_MAX_PORT = 65535


class Mediasoup:
    """mediasoup's module as an object: what managers hand out as `.mediasoup`.

    `observer` emits `newworker` (Worker).
    """

    version: str = VERSION
    ortc: ModuleType = ortc
    errors: ModuleType = errors
    types: ModuleType = types
    extras: ModuleType = extras
    worker_bin: str = sys.executable

    def __init__(self, spawner: Spawner, *, listen_worker_died: bool = True) -> None:
        """`listen_worker_died`: whether workers emit `died`; not where another API on top of this one does."""
        self._spawner = spawner
        self._listen_worker_died = listen_worker_died
        self.observer = Emitter()

    async def create_worker(
        self,
        *,
        log_level: LogLevel = "error",
        log_tags: Iterable[str] | None = None,
        rtc_min_port: int = 10000,
        rtc_max_port: int = 59999,
        dtls_certificate_file: str | None = None,
        dtls_private_key_file: str | None = None,
        engine: dict[str, Any] | None = None,
        app_data: Any = None,
    ) -> Worker:
        """Start a worker.

        Sockets whose listen info names no port take one of `rtc_min_port`..`rtc_max_port`. Certificate and key
        are PEM paths, both or neither. `engine` holds settings that mediasoup has no word for.
        """
        app_data = checked_app_data(app_data)
        settings = WorkerSettings(
            log_level=choice_of(log_level, LOG_LEVELS, "log_level"),
            log_tags=tuple(tags_argument(log_tags) or ()),
            rtc_min_port=number_argument(rtc_min_port, "rtc_min_port", 0, _MAX_PORT),
            rtc_max_port=number_argument(rtc_max_port, "rtc_max_port", 0, _MAX_PORT),
            dtls_certificate_file=_path(dtls_certificate_file, "dtls_certificate_file"),
            dtls_private_key_file=_path(dtls_private_key_file, "dtls_private_key_file"),
            engine=dict(engine or {}),
        )
        if rtc_max_port < rtc_min_port:
            raise TypeError("rtc_max_port is below rtc_min_port")
        channel = await self._spawner.spawn(settings)
        try:
            return await self.adopt(channel, app_data)
        except BaseException:
            channel.close()
            raise

    async def adopt(self, channel: Channel, app_data: Any = None) -> Worker:
        """A worker that has been started already (not in mediasoup)."""
        pid = (await channel.request(m.WorkerDump())).pid
        worker = Worker(channel, pid, app_data, self._listen_worker_died)
        self.observer.emit("newworker", worker)
        worker._follow_peers()
        return worker

    def get_supported_rtp_capabilities(self) -> RtpCapabilities:
        """All codecs and header extensions a router can have."""
        return get_supported_rtp_capabilities()

    def parse_scalability_mode(self, mode: str | None) -> ScalabilityMode:
        """The layers that a scalability mode such as `L3T3_KEY` names."""
        return parse_scalability_mode(mode)

    def set_log_event_listeners(
        self,
        *,
        ondebug: LogListener | None = None,
        onwarn: LogListener | None = None,
        onerror: ErrorListener | None = None,
    ) -> None:
        """Call these with each log line of the API; a callback left out is removed."""
        set_log_event_listeners(ondebug=ondebug, onwarn=onwarn, onerror=onerror)


def _path(value: object | None, name: str) -> str | None:
    return None if value is None else string_argument(value, name)
