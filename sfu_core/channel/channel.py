"""The seam: everything that behaves like a worker is a Channel.

Runs in the application's event loop. `Channel` is what the layers above and beside see. `FrameChannel` is one that
exchanges frames with a single worker, by whatever way; `StreamChannel` does so over a socket.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, TypeVar, cast

from sfu_core import errors
from sfu_core.channel.codec import Codec, LogFrame, NotificationFrame, ProtocolError, ReplyFrame
from sfu_core.channel.delivery import Deliveries
from sfu_core.channel.messages import FIRST_EXTENSION, Notification, Request, WorkerClose
from sfu_core.channel.msgpack import MessagePackCodec
from sfu_core.channel.place import Place, local_place
from sfu_core.channel.stream import FrameStream
from sfu_core.errors import UnsupportedError, WorkerClosedError

R = TypeVar("R")
Listener = Callable[[Notification], None]
LogListener = Callable[[str], None]
EndListener = Callable[[Exception | None], None]

_LAST_ID: Final = 2**32 - 1
_log = logging.getLogger(__name__)


class Channel(Protocol):
    """A worker, as seen from above. All methods belong to one event loop."""

    @property
    def place(self) -> Place:
        """Where the worker runs."""
        ...

    @property
    def closed(self) -> bool:
        """No more requests are possible."""
        ...

    async def request(self, message: Request[R], handler_id: str = "") -> R:
        """Asks and waits for the answer.

        `handler_id` names the object asked (empty: the worker). Raises the worker's refusal (TypeError,
        SfuError and its kinds), or WorkerClosedError if there is no worker to answer.
        """
        ...

    def post(self, message: Request[Any], handler_id: str = "") -> None:
        """Asks at once, without waiting; a refusal is logged. For closing what the caller has let go."""
        ...

    def notify(self, message: Notification, handler_id: str = "") -> None:
        """Tells. Ignored when closed; media is dropped while the channel is congested."""
        ...

    def subscribe(self, target_id: str, listener: Listener) -> None:
        """Calls `listener` with each notification of that object; one listener an object."""
        ...

    def unsubscribe(self, target_id: str) -> None:
        """Also drops what has arrived but was not yet delivered. Unknown ids are ignored."""
        ...

    def on_log(self, listener: LogListener) -> None:
        """Calls `listener` with each log line; its first character is the level (D, W, E, X)."""
        ...

    def on_end(self, listener: EndListener) -> None:
        """Calls `listener` once, when the worker is gone: with None after `close()`, else with the reason.

        A listener added after the end is called on the next turn of the loop.
        """
        ...

    async def ended(self) -> Exception | None:
        """Waits for the end and returns its reason (None after `close()`)."""
        ...

    def close(self) -> None:
        """Tells the worker to close; pending requests fail with WorkerClosedError. May be repeated."""
        ...


class FrameSink(Protocol):
    """Where frames go: a stream, or a share of one."""

    @property
    def congested(self) -> bool:
        """More is waiting to be written than should be."""
        ...

    def write(self, frame: bytes | bytearray, media: bool = False) -> None:
        """Queues a frame, length included; `media` may get lost on the way. Ignored once closed."""
        ...

    async def drained(self) -> None:
        """Waits until it is no longer congested, or closed."""
        ...

    def close(self) -> None:
        """Nothing more will be written."""
        ...


class FrameChannel:
    """A Channel to one worker that takes and gives frames."""

    def __init__(self, sink: FrameSink, place: Place | None = None, codec: Codec | None = None) -> None:
        """Frames go to `sink`; those of the worker are given to `receive`. Needs a running event loop."""
        self._place = place or local_place()
        self._codec: Codec = codec or MessagePackCodec()
        self._loop = asyncio.get_running_loop()
        self._sink = sink
        self._pending: dict[int, tuple[type[Request[Any]], asyncio.Future[Any]]] = {}
        self._last_id = 0
        self._deliveries = Deliveries()
        self._log_listeners: list[LogListener] = []
        self._end: asyncio.Future[Exception | None] = self._loop.create_future()
        self._closed = False

    @property
    def place(self) -> Place:
        return self._place

    @property
    def closed(self) -> bool:
        return self._closed

    async def request(self, message: Request[R], handler_id: str = "") -> R:
        if self._sink.congested:
            await self._sink.drained()
        return cast(R, await self._ask(message, handler_id))

    def post(self, message: Request[Any], handler_id: str = "") -> None:
        if not self._closed:
            self._ask(message, handler_id).add_done_callback(
                lambda future: _log_refusal(f"{message.NAME} to {handler_id or 'worker'}", future)
            )

    def notify(self, message: Notification, handler_id: str = "") -> None:
        if self._closed or (message.MEDIA and self._sink.congested):
            return
        self._sink.write(self._codec.notification(message, handler_id), message.MEDIA)

    def subscribe(self, target_id: str, listener: Listener) -> None:
        self._deliveries.subscribe(
            target_id, lambda frame: listener(self._codec.read_notification(frame))
        )

    def unsubscribe(self, target_id: str) -> None:
        self._deliveries.unsubscribe(target_id)

    def on_log(self, listener: LogListener) -> None:
        self._log_listeners.append(listener)

    def on_end(self, listener: EndListener) -> None:
        self._end.add_done_callback(lambda end: listener(end.result()))

    async def ended(self) -> Exception | None:
        return await asyncio.shield(self._end)

    def close(self) -> None:
        if not self._closed:
            self.notify(WorkerClose())
            self._sink.close()
            self._shut("the worker was closed")

    def _ask(self, message: Request[Any], handler_id: str) -> asyncio.Future[Any]:
        if self._closed:
            raise WorkerClosedError("the worker is closed")
        if message.METHOD >= FIRST_EXTENSION and message.METHOD not in self._place.extensions:
            raise UnsupportedError(f"{message.NAME} is not served by this worker")
        request_id = self._next_id()
        frame = self._codec.request(request_id, message, handler_id)
        future: asyncio.Future[Any] = self._loop.create_future()
        self._pending[request_id] = type(message), future
        self._sink.write(frame)
        return future

    def _next_id(self) -> int:
        """1 to 2**32 - 1 and round again, past those still pending."""
        while True:
            self._last_id = self._last_id % _LAST_ID + 1
            if self._last_id not in self._pending:
                return self._last_id

    def receive(self, payloads: Iterable[bytes]) -> None:
        """Takes what the worker sent, without lengths; ProtocolError if no worker would send that."""
        for payload in payloads:
            frame = self._codec.decode(payload)
            if isinstance(frame, ReplyFrame):
                self._on_reply(frame)
            elif isinstance(frame, NotificationFrame):
                self._on_notification(frame)
            elif isinstance(frame, LogFrame):
                for listener in self._log_listeners:
                    listener(frame.text)
            else:
                raise ProtocolError("a worker sends no requests")

    def _on_notification(self, frame: NotificationFrame) -> None:
        self._deliveries.put(frame)

    def _on_reply(self, frame: ReplyFrame) -> None:
        kind, future = self._pending.pop(frame.id, (None, None))
        if kind is None or future is None:
            raise ProtocolError(f"reply to request {frame.id}, which is not pending")
        if future.done():  # who asked has been cancelled
            return
        if not frame.accepted:
            future.set_exception(errors.from_name(frame.error or "Error", frame.reason or ""))
            return
        try:
            future.set_result(self._codec.read_reply(frame, kind))
        except ProtocolError as error:
            future.set_exception(error)

    def _shut(self, text: str) -> None:
        """No more requests, replies or notifications."""
        self._closed = True
        self._deliveries.clear()
        pending, self._pending = self._pending, {}
        for _, future in pending.values():
            if not future.done():
                future.set_exception(WorkerClosedError(text))

    def _finish(self, reason: Exception | None) -> None:
        if not self._end.done():
            self._end.set_result(reason)


class StreamChannel(FrameChannel):
    """A Channel to one worker over a connected stream socket."""

    def __init__(self, place: Place | None = None, codec: Codec | None = None) -> None:
        """To be connected next, with `open`; needs a running event loop."""
        self._stream = FrameStream(self.receive, self._on_lost)
        super().__init__(self._stream, place, codec)

    @classmethod
    async def connect(cls, sock: socket.socket, place: Place | None = None) -> "StreamChannel":
        """A channel over `sock` (connected, Unix or TCP), which it takes over."""
        channel = cls(place)
        await channel.open(sock)
        return channel

    async def open(self, sock: socket.socket) -> None:
        """Starts reading from `sock`, which the channel takes over."""
        sock.setblocking(False)
        await self._loop.create_connection(lambda: self._stream, sock=sock)

    def _on_lost(self, reason: Exception | None) -> None:
        """The stream has ended, for whatever reason; called once."""
        self._shut(f"the worker is gone: {reason}" if reason else "the worker was closed")
        self._finish(reason)


def _log_refusal(what: str, future: asyncio.Future[Any]) -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        level = logging.DEBUG if isinstance(error, WorkerClosedError) else logging.WARNING
        _log.log(level, "%s: %s", what, error)
