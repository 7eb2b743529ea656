"""The remote protocol: whatever comes, either side goes on or says ProtocolError; what it takes it reads as written."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from horizontal.channel import RemoteChannel, RemoteSession
from horizontal.protocol import (
    SERVER,
    SERVER_CODEC,
    Call,
    CreateWorker,
    Envelope,
    GetStats,
    Hello,
    Resume,
    Told,
    Welcome,
    WorkerAdded,
    WorkerEnded,
    entry,
    pack,
    read_envelope,
    read_hello,
    read_welcome,
)
from horizontal.session import Session, Space, Terms
from sfu_core.channel import messages as m
from sfu_core.channel.codec import ProtocolError
from sfu_core.channel.delivery import DELIVERY_TURNS
from sfu_core.channel.msgpack import MessagePackCodec
from sfu_core.channel.place import Place
from sfu_core.channel.settings import WorkerSettings
from sfu_core.errors import NotFoundError, SfuError

CODEC = MessagePackCodec()
WELCOME = Welcome("s", "i", False, 0, 30.0, 1.5, "0.1.0", {"a": 1})
PLACE = Place(host_id="h", announced_addresses=("192.0.2.1",), extensions=frozenset((200, 201)))
OBJECT = "o"
NEWS = m.ProducerScore(scores=[m.ProducerStreamScore(encoding_idx=0, ssrc=1, rid=None, score=10)])
DUMP = m.WorkerDumpResponse(
    pid=1,
    web_rtc_server_ids=[],
    router_ids=["r"],
    channel_message_handlers=m.ChannelMessageHandlers(
        channel_request_handlers=["r"], channel_notification_handlers=["r"]
    ),
)
LOOP = asyncio.new_event_loop()


class Faults(logging.Handler):
    """What a server writes down when a request fails by its own fault."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(self.format(record))


FAULTS = Faults()
logging.getLogger("sfu_core.channel.server").addHandler(FAULTS)


def seeds() -> list[bytes]:
    asked = (CreateWorker(worker=1, settings=WorkerSettings()), GetStats(), Call(method="x", arguments=[1]))
    told = (WorkerEnded(worker=1, error="Error"), WorkerAdded(worker=2, place=PLACE), Told(method="x"))
    frames = [entry(SERVER, SERVER_CODEC.request(number, each, "")) for number, each in enumerate(asked)]
    frames += [entry(SERVER, SERVER_CODEC.notification(each, "")) for each in told]
    frames += [entry(1, CODEC.request(4, m.WorkerDump(), "")), entry(1, CODEC.notification(m.WorkerClose(), ""))]
    frames += [entry(1, CODEC.request(5, each, "")) for each in asked_of_worker()]
    frames += [entry(1, CODEC.request(6, m.TransportDump(), id)) for id in (OBJECT, "nobody")]
    frames += [entry(SERVER, CODEC.reply(1, None)), entry(SERVER, CODEC.failure(2, "TypeError", "no"))]
    frames += [entry(1, CODEC.reply(1, DUMP)), entry(1, CODEC.log("Dtext")), entry(1, CODEC.notification(NEWS, OBJECT))]
    greetings = [pack(Hello("c", 1.5, "n", Resume("s", 3))), pack(Hello()), pack(WELCOME)]
    return greetings + [pack(Envelope(1, 0, [each])) for each in frames] + [pack(Envelope(0, 0, frames))]


def asked_of_worker() -> list[m.Request[Any]]:
    made = [m.WorkerCreateRouter(router_id="r"), m.WorkerCloseRouter(router_id="r"), m.WorkerFollowPeers()]
    return [*made, m.WorkerDescribeRouter(router_id="r", rtp_capabilities={"codecs": []})]


SEEDS = seeds()


class Core:
    """A worker, and its channel, that says no to some things."""

    def __init__(self) -> None:
        self.channel, self.place = self, PLACE

    async def request(self, message: m.Request[Any], handler_id: str = "") -> Any:
        if handler_id not in ("", OBJECT):
            raise NotFoundError("handlerId")

    def ignore(self, *_: Any) -> None: ...

    notify = subscribe = unsubscribe = on_log = on_end = close = ignore


class Offer:
    """A server that has one worker to offer."""

    def __init__(self) -> None:
        self._left = [Core()]

    async def create_worker(self, settings: WorkerSettings) -> Any:
        if not self._left:
            raise SfuError("none")
        return self._left.pop()

    async def get_stats(self) -> Any:
        return {}

    def methods(self, tell: Any) -> Mapping[str, Any]:
        return {"x": lambda number: number}


def fuzz_one(data: bytes) -> None:
    for read in (read_hello, read_welcome, read_envelope):
        try:
            content: Any = read(data)
        except ProtocolError:
            continue
        again = read(pack(content))
        assert repr(plain(again)) == repr(plain(content))
    LOOP.run_until_complete(both_sides(data))


def plain(content: Any) -> Any:
    return (
        msgspec.to_builtins(content, builtin_types=(msgspec.Raw,))
        if not isinstance(content, Envelope)
        else [
            content.number,
            content.received,
            [(each.worker, bytes(each.frame)) for each in content.entries],
        ]
    )


async def both_sides(data: bytes) -> None:
    """As the first message to a server, and to a client that waits for answers and listens; both know a worker."""
    server = Session(Offer(), Terms(1, 1 << 20, True), Space(True, shared=True), "", (), lambda: None)
    await server._create(1, WorkerSettings())
    client = RemoteSession(WELCOME, lambda channel: None, lambda method, arguments: None, 1.0)
    worker = client._channels[1] = RemoteChannel(client.conversation, 1, 1.0)
    worker.settle(PLACE)
    worker.subscribe(OBJECT, lambda news: None)
    worker.on_log(lambda line: None)
    asking: list[asyncio.Future[Any]] = [asyncio.ensure_future(client.ask(GetStats(), 1.0)) for _ in range(3)]
    asking += [asyncio.ensure_future(worker.request(m.WorkerDump()))]
    unseen: list[dict[str, Any]] = []
    LOOP.set_exception_handler(lambda _, context: unseen.append(context))
    await asyncio.sleep(0)
    for side in (server, client):
        with contextlib.suppress(ProtocolError):
            side.conversation.receive(data)
    for _ in range(DELIVERY_TURNS + 1):
        await asyncio.sleep(0)
    server.end()
    client.lose(SfuError("over"))
    for answer in await asyncio.gather(*asking, return_exceptions=True):
        assert not isinstance(answer, BaseException) or isinstance(answer, SfuError | TypeError), answer
    await server._control.stop()
    # a listener that could not be told: only because the other side has told nonsense
    assert all(isinstance(each.get("exception"), ProtocolError) for each in unseen), unseen
    assert not FAULTS.seen, FAULTS.seen[0]
