"""A channel and a channel server on the two ends of a socket pair, for the tests of this folder."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from sfu_core.channel import messages as m
from sfu_core.channel.channel import StreamChannel
from sfu_core.channel.msgpack import MessagePackCodec
from sfu_core.channel.place import Place
from sfu_core.channel.server import Answer, ChannelServer

CODEC = MessagePackCodec()
LAYERS = m.ConsumerLayers(spatial_layer=1)


class Worker:
    """The far end: records what it is told, answers with `answer`."""

    def __init__(self) -> None:
        self.requests: list[tuple[m.Request[Any], str]] = []
        self.notifications: list[tuple[m.Notification, str]] = []
        self.answer: Callable[[m.Request[Any]], Answer | Awaitable[Answer]] = lambda request: None
        self.server = ChannelServer(self.handle, self.on_notification)

    def handle(self, request: m.Request[Any], handler_id: str) -> Answer | Awaitable[Answer]:
        self.requests.append((request, handler_id))
        return self.answer(request)

    def on_notification(self, notification: m.Notification, handler_id: str) -> None:
        self.notifications.append((notification, handler_id))


@asynccontextmanager
async def connected(place: Place | None = None) -> AsyncIterator[tuple[StreamChannel, Worker]]:
    ours, theirs = socket.socketpair()
    worker = Worker()
    serving = asyncio.create_task(worker.server.serve(theirs))
    channel = await StreamChannel.connect(ours, place)
    try:
        yield channel, worker
    finally:
        channel.close()
        await channel.ended()
        await serving


@asynccontextmanager
async def raw() -> AsyncIterator[tuple[StreamChannel, socket.socket]]:
    """A channel whose far end is a bare socket."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    channel = await StreamChannel.connect(ours)
    with theirs:
        yield channel, theirs
        channel.close()
    await channel.ended()


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
