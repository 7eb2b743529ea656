"""The host process of a vertical: its switches and pools of cores, apart from the application.

The body of a process of its own, on its main thread. The application has one Channel to it for what concerns the host,
and one to each logical worker, as if that were a core; the sockets of these come one by one over a socket of their own,
since descriptors do not travel on a Channel. No packet passes here but those of DirectTransports. Knows nothing
compiled and nothing of the API, so that it is there quickly.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

import msgspec
from multiprocess import current_process
from multiprocess.reduction import ForkingPickler

from sfu_core import errors
from sfu_core.channel import messages as m
from sfu_core.channel.body import calm_collector, close_on_signals, ignore_signals, watching_peer
from sfu_core.channel.process import CLOSE_TIMEOUT
from sfu_core.channel.server import ChannelServer
from sfu_core.channel.settings import WorkerSettings
from sfu_core.errors import SfuError, UnsupportedError
from vertical.cluster import Cluster, OwnCores
from vertical.members import FENCE_TIMEOUT
from vertical.switch import Switch

TARGET: Final = "vertical.host:run"

END_TIMEOUT: Final = FENCE_TIMEOUT + CLOSE_TIMEOUT + 1
"""Seconds after which it ends although some core has not."""

_NUMBER_BYTES: Final = 4
_LEVELS: Final = ((logging.ERROR, "E"), (logging.WARNING, "W"), (logging.NOTSET, "D"))


class HostSettings(msgspec.Struct, kw_only=True, frozen=True):
    """What a host process is told at its start."""

    control_fd: int
    """The socket over which those of logical workers come."""

    cpus: list[int]
    defaults: WorkerSettings
    watermark: float
    node_watermark: float
    functions: dict[str, bytes]
    """Arguments of `Cluster` that are functions, pickled."""


def run(sock_fd: int, settings: HostSettings) -> None:
    """Serve the channel on `sock_fd` until it ends."""
    current_process().daemon = False  # else it could have no children; they are told to end when it does
    sock = socket.socket(fileno=sock_fd)
    with socket.socket(fileno=settings.control_fd) as control:
        control.setblocking(False)
        os.set_inheritable(control.fileno(), False)
        calm_collector()
        asyncio.run(_serve(sock, control, settings))


async def _serve(sock: socket.socket, control: socket.socket, settings: HostSettings) -> None:
    host = Host(control, settings)
    logging.getLogger().addHandler(Forwarding(host.log))
    await host.serve(sock)


class Host:
    """Logical workers over own cores, for one application."""

    def __init__(self, control: socket.socket, settings: HostSettings) -> None:
        self._control = control
        self._server = ChannelServer(self._request, self._notification)
        self._pid_owner: int | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._cluster = Cluster(
            OwnCores(settings.cpus),
            len(settings.cpus),
            settings=settings.defaults,
            watermark=settings.watermark,
            node_watermark=settings.node_watermark,
            on_core_died=lambda pid, reason: self._tell(m.HostCoreDied(pid=pid, **_told(reason))),
            on_error=lambda error: self._tell(m.HostError(**_told(error))),
            on_crowded=lambda load: self._tell(m.HostCrowded(load=load)),
            **{name: ForkingPickler.loads(pickled) for name, pickled in settings.functions.items()},
        )

    async def serve(self, sock: socket.socket) -> None:
        """Until the application closes the channel or has ended, or SIGTERM asks for it; then close everything."""
        loop = asyncio.get_running_loop()
        close_on_signals(loop, self._server.close)
        self._tell(m.WorkerRunning(), str(os.getpid()))
        try:
            with watching_peer(loop, sock, lambda: self._server.abort(ConnectionResetError("the application ended"))):
                await self._server.serve(sock)
        finally:
            ignore_signals(loop)
            self._cluster.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(END_TIMEOUT):
                    await self._cluster.ended()
                    await asyncio.gather(*self._tasks)

    def log(self, line: str) -> None:
        """To the application; the first character is the level."""
        self._server.log(line)

    # What the application asks

    def _request(self, message: m.Request[Any], _: str) -> Coroutine[Any, Any, Any]:
        match message:
            case m.HostCreateWorker():
                return self._create_worker(message, self._take_socket(message.number))
            case m.HostGetCores():
                return self._get_cores()
            case m.HostGetCoreOf():
                return self._get_core_of(message.transport_id)
            case _:
                raise UnsupportedError(f"{message.NAME} is not for a host process")

    def _notification(self, message: m.Notification, _: str) -> None:
        if isinstance(message, m.WorkerClose):
            self._server.close()

    async def _create_worker(self, message: m.HostCreateWorker, sock: socket.socket) -> m.HostWorkerCreated:
        number = message.number
        try:
            switch = await self._cluster.spawn(message.settings, self._claim_pid(number))
        except BaseException:
            sock.close()
            self._give_up_pid(number)
            raise
        task = asyncio.get_running_loop().create_task(self._lend(switch, sock, number))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        place = switch.place
        return m.HostWorkerCreated(extensions=list(place.extensions), mirror_group=place.mirror_group)

    async def _get_cores(self) -> m.HostCores:
        return m.HostCores(cores=await self._cluster.cores())

    async def _get_core_of(self, transport_id: str) -> m.HostCoreOf:
        return m.HostCoreOf(pid=await self._cluster.core_of(transport_id) or 0)

    # Logical workers

    async def _lend(self, switch: Switch, sock: socket.socket, number: int) -> None:
        """Serve a logical worker until either side closes it; the application hears when nothing of it is left."""
        server = ChannelServer(switch.request, switch.notify)
        switch.relay(server.notify)
        switch.on_log(server.log)
        switch.on_end(lambda _: server.close())
        try:
            await server.serve(sock)
        finally:
            switch.close()
        await switch.ended()
        self._give_up_pid(number)
        self._tell(m.HostWorkerEnded(number=number))

    def _take_socket(self, number: int) -> socket.socket:
        """Sent before its request, so it is there; those of requests that were given up may be before it."""
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._control, _NUMBER_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                break
            if not descriptors:
                break
            sock = socket.socket(fileno=descriptors[0])
            if data == number_bytes(number):
                return sock
            sock.close()
        raise SfuError("the logical worker's socket did not come")

    def _claim_pid(self, number: int) -> int:
        """That of this process for the first logical worker that lives; for others a number that no process has."""
        if self._pid_owner is None:
            self._pid_owner = number
        return os.getpid() if self._pid_owner == number else number

    def _give_up_pid(self, number: int) -> None:
        if self._pid_owner == number:
            self._pid_owner = None

    def _tell(self, message: m.Notification, handler_id: str = "") -> None:
        self._server.notify(message, handler_id)


def number_bytes(number: int) -> bytes:
    """What comes with a logical worker's socket."""
    return number.to_bytes(_NUMBER_BYTES, "big")


def _told(error: Exception) -> dict[str, str]:
    return {"error": errors.name_of(error), "reason": str(error)}


class Forwarding(logging.Handler):
    """What is logged in this process goes to the application's log."""

    def __init__(self, log: Callable[[str], None]) -> None:
        super().__init__()
        self._log = log
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        letter = next(letter for level, letter in _LEVELS if record.levelno >= level)
        self._log(letter + self.format(record))
