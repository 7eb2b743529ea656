"""A worker: the process (or what behaves like one) that carries the media."""

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from ..channel import messages as m
from ..channel.channel import Channel
from ..channel.messages import Request
from . import ortc, peers
from .convert import api
from .convert.arguments import choice_of
from .convert.network import listen_infos_to_wire
from .entity import Parent, checked_app_data, new_id
from .log import Logger
from .router import Router
from .types import LogLevel, RtpCapabilities, RtpCodecCapability, TransportListenInfo
from .webrtc_server import WebRtcServer

LOG_LEVELS = ("debug", "warn", "error", "none")

_logger = Logger("Channel")


class Worker(Parent):
    """Routers and WebRTC servers belong to a worker and end with it.

    Events: `died` (exception; the process ended unasked), `subprocessclose` (the process has ended). Observer:
    `close`, `newrouter` (Router), `newwebrtcserver` (WebRtcServer). `async with` closes the worker and waits for
    the end of its process.
    """

    _CHILDREN_HEAR = "workerclose"

    def __init__(self, channel: Channel, pid: int, app_data: Any = None, listen_died: bool = True) -> None:
        super().__init__(channel, "", app_data)  # requests without an id are the worker's
        self._pid = pid
        self._listen_died = listen_died
        self._died = False
        self._subprocess_closed = False
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._routers: dict[str, Router] = {}
        self._webrtc_servers: dict[str, WebRtcServer] = {}
        self._undescribed: set[str] = set()  # routers of peers of which more is to come
        channel.on_log(_log)
        channel.on_end(self._channel_ended)

    @property
    def channel(self) -> Channel:
        """The way to the worker (not in mediasoup), for what is built on top of it."""
        return self._channel

    @property
    def pid(self) -> int:
        """The process id."""
        return self._pid

    @property
    def died(self) -> bool:
        """Whether the process ended unasked."""
        return self._died

    @property
    def subprocess_closed(self) -> bool:
        """Whether the process has ended."""
        return self._subprocess_closed

    def __repr__(self) -> str:
        return f"<Worker {self._pid}{' closed' if self._closed else ''}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        await self.wait_subprocess_closed()

    # Ending

    def close(self) -> None:
        """End the worker and all that belongs to it; the process ends soon after (`subprocessclose`)."""
        if self._begin_end():
            self._end_children()
            self._channel.close()
            self._finish_end()

    async def wait_subprocess_closed(self) -> None:
        """Wait until the process has ended."""
        await asyncio.shield(self._ended)

    def _channel_ended(self, reason: Exception | None) -> None:
        self._subprocess_closed = True
        if not self._closed:
            self._died = reason is not None
            self._begin_end()
            self._end_children()
            if reason is None or not self._listen_died:  # another owner closed the channel, or tells of its end
                self._finish_end()
            else:
                _logger.error("worker process %d died: %s", self._pid, reason)
                self._finish_end("died", reason)
        self.emit("subprocessclose")
        self._ended.set_result(None)

    def _tables(self) -> tuple[dict[str, Any], ...]:
        return self._routers, self._webrtc_servers

    # Peers

    def _follow_peers(self) -> None:
        """Share objects with other clients of the worker, if there can be any: those that are there, and later ones.

        Each comes with the events that tell of new objects (not in mediasoup).
        """
        if peers.are_there(self._channel):
            self._listen()
            self._channel.post(m.WorkerFollowPeers())

    def _done(self, message: Request[Any], answer: Any) -> None:
        if isinstance(message, m.WorkerDescribeRouter):
            self._described(message.router_id, ortc.validate_rtp_capabilities(message.rtp_capabilities))
            return
        if isinstance(message, m.WorkerCloseRouter):
            self._undescribed.discard(message.router_id)
        super()._done(message, answer)

    def _add(self, message: Request[Any], answer: Any) -> None:
        if isinstance(message, m.WorkerCreateRouter):
            self._undescribed.add(message.router_id)
        elif isinstance(message, m.WorkerCreateWebRtcServer):
            self._add_webrtc_server(message.web_rtc_server_id)

    def _described(self, router_id: str, capabilities: RtpCapabilities) -> None:
        """A peer's router can be used, or has other capabilities; one that was closed here stays closed."""
        router = self._routers.get(router_id)
        if router is not None:
            router._context.rtp_capabilities = capabilities
        elif router_id in self._undescribed:
            self._undescribed.discard(router_id)
            self._add_router(router_id, capabilities)

    # Requests

    async def dump(self) -> dict[str, Any]:
        """The ids of what is there."""
        return api.fields(await self._request(m.WorkerDump()))

    async def get_resource_usage(self) -> dict[str, int]:
        """getrusage(2) of the process: `ru_utime` and `ru_stime` in milliseconds, `ru_maxrss` in kB, …"""
        return api.resource_usage(await self._request(m.WorkerGetResourceUsage()))

    async def get_core_stats(self) -> dict[str, int]:
        """Counters of the media loop since its start (not in mediasoup): wakes, packets, sends, drops by reason."""
        return (await self._request_extension(m.WorkerGetCoreStats())).counters

    async def update_settings(
        self, *, log_level: LogLevel | None = None, log_tags: Iterable[str] | None = None
    ) -> None:
        """Change what is logged; tags given replace all former ones."""
        level = None if log_level is None else choice_of(log_level, LOG_LEVELS, "log_level")
        await self._request(m.WorkerUpdateSettings(log_level=level, log_tags=tags_argument(log_tags)))

    async def create_webrtc_server(
        self, *, listen_infos: list[TransportListenInfo], app_data: Any = None
    ) -> WebRtcServer:
        """Ports that many WebRTC transports share."""
        app_data = checked_app_data(app_data)
        request = m.WorkerCreateWebRtcServer(
            web_rtc_server_id=new_id(), listen_infos=listen_infos_to_wire(listen_infos, "listen_infos")
        )
        await self._create(request, m.WorkerWebRtcServerClose(web_rtc_server_id=request.web_rtc_server_id))
        return self._add_webrtc_server(request.web_rtc_server_id, app_data)

    def _add_webrtc_server(self, id: str, app_data: Any = None) -> WebRtcServer:
        return self._adopt(WebRtcServer(self._channel, id, app_data), "newwebrtcserver", self._webrtc_servers)

    async def create_router(
        self, *, media_codecs: list[RtpCodecCapability] | None = None, app_data: Any = None
    ) -> Router:
        """A room whose members use `media_codecs` (payload types are optional)."""
        app_data = checked_app_data(app_data)
        capabilities = ortc.generate_router_rtp_capabilities(media_codecs)
        request = m.WorkerCreateRouter(router_id=new_id())
        await self._create(request, m.WorkerCloseRouter(router_id=request.router_id))
        peers.describe(self._channel, request.router_id, capabilities)
        return self._add_router(request.router_id, capabilities, app_data)

    def _add_router(self, id: str, capabilities: RtpCapabilities, app_data: Any = None) -> Router:
        router = Router(self._channel, id, capabilities, app_data, self._webrtc_servers)
        return self._adopt(router, "newrouter", self._routers)


def tags_argument(tags: Iterable[str] | None) -> list[str] | None:
    """A list of log tags."""
    if tags is None:
        return None
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise TypeError("log_tags is not an array of strings")
    names = list(tags)
    if not all(isinstance(name, str) for name in names):
        raise TypeError("log_tags is not an array of strings")
    return names


def _log(line: str) -> None:
    """A line of the worker's log; its first character is the level."""
    level, text = line[:1], line[1:]
    if level == "E":
        _logger.error("%s", text)
    elif level == "W":
        _logger.warn("%s", text)
    else:
        _logger.debug("%s", text)
