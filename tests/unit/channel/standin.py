"""Workers for tests: what a core process runs instead of the real worker. Each takes (sock_fd, settings)."""

import asyncio
import os
import signal
import socket
import sys
import time
from typing import Any

from sfu_core.channel import messages as m
from sfu_core.channel.server import ChannelServer
from sfu_core.channel.settings import WorkerSettings


def run(sock_fd: int, settings: WorkerSettings) -> None:
    """A worker that answers a few requests and ends when told to."""
    asyncio.run(_serve(sock_fd, settings))


async def _serve(sock_fd: int, settings: WorkerSettings) -> None:
    main = sys.modules["__main__"]

    def handle(request: m.Request[Any], handler_id: str) -> m.Response | None:
        if isinstance(request, m.WorkerDump):
            return m.WorkerDumpResponse(
                pid=os.getpid(),
                web_rtc_server_ids=[settings.log_level, *settings.log_tags],
                router_ids=[str(getattr(main, "APPLICATION", None)), *sorted(sys.modules)],
                channel_message_handlers=m.ChannelMessageHandlers(
                    channel_request_handlers=sorted(os.listdir("/proc/self/fd")),
                    channel_notification_handlers=[],
                ),
            )
        if isinstance(request, m.WorkerCreateRouter):
            os._exit(int(request.router_id))
        if isinstance(request, m.WorkerCloseRouter):
            time.sleep(3600)
        return None

    server = ChannelServer(handle, lambda notification, handler_id: server.close())
    loop = asyncio.get_running_loop()
    loop.call_soon(lambda: server.notify(m.WorkerRunning(), str(os.getpid())))
    await server.serve(socket.socket(fileno=sock_fd))


def refuse(sock_fd: int, settings: WorkerSettings) -> None:
    sys.exit(42)


def crash(sock_fd: int, settings: WorkerSettings) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave(sock_fd: int, settings: WorkerSettings) -> None:
    sys.exit(7)


def hang(sock_fd: int, settings: WorkerSettings) -> None:
    time.sleep(3600)


def deaf(sock_fd: int, settings: WorkerSettings) -> None:
    """Says that it runs, then closes the channel and stays."""
    with socket.socket(fileno=sock_fd) as sock:
        from sfu_core.channel.msgpack import MessagePackCodec

        sock.sendall(MessagePackCodec().notification(m.WorkerRunning(), str(os.getpid())))
        time.sleep(0.1)
    time.sleep(3600)
