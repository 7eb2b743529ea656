"""The worker's end of a channel: takes requests, writes replies and notifications.

Runs in the control thread's event loop. Knows nothing of what the messages mean.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeAlias

from sfu_core import errors
from sfu_core.channel.channel import FrameSink
from sfu_core.channel.codec import (
    MAX_FRAME,
    Codec,
    NotificationFrame,
    ProtocolError,
    RequestFrame,
)
from sfu_core.channel.messages import Notification, Request, Response
from sfu_core.channel.msgpack import MessagePackCodec
from sfu_core.channel.stream import FrameStream
from sfu_core.errors import SfuError

Answer: TypeAlias = Response | None
Handler: TypeAlias = Callable[[Request[Any], str], Answer | Awaitable[Answer]]
NotificationHandler: TypeAlias = Callable[[Notification, str], None]

_EXPECTED: Final = (TypeError, SfuError)
_log = logging.getLogger(__name__)


class FrameServer:
    """Answers the requests of one peer, which come as frames.

    `handler(request, handler_id)` is called in order of arrival and returns the reply's body, or an
    awaitable of it; replies leave in order of completion. What it raises becomes the refusal: TypeError
    and SfuError by their class, anything else as a plain error that is also logged here.
    """

    def __init__(
        self, sink: FrameSink, handler: Handler, on_notification: NotificationHandler, codec: Codec | None = None
    ) -> None:
        """What leaves goes to `sink`; what the peer sent is given to `receive`."""
        self._sink = sink
        self._handler = handler
        self._on_notification = on_notification
        self._codec: Codec = codec or MessagePackCodec()
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self.media_dropped = 0
        """Packets not sent because the peer reads too slowly."""

    @property
    def at_work(self) -> int:
        """Requests that have not been answered yet."""
        return len(self._tasks)

    def notify(self, message: Notification, handler_id: str) -> None:
        """Tells the peer; a packet of media is dropped while the stream is congested."""
        if message.MEDIA and self._sink.congested:
            self.media_dropped += 1
        else:
            self._sink.write(self._codec.notification(message, handler_id), message.MEDIA)

    def log(self, text: str) -> None:
        """Sends a log line whose first character is its level: D, W, E or X. Cut if it is enormous."""
        self._sink.write(self._codec.log(text[: MAX_FRAME // 8]))

    async def stop(self) -> None:
        """Cancels handlers still at work and waits for them."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def receive(self, payloads: Iterable[bytes]) -> None:
        """Takes what the peer sent, without lengths; ProtocolError if no client would send that."""
        for payload in payloads:
            frame = self._codec.decode(payload)
            if isinstance(frame, RequestFrame):
                self._on_request(frame)
            elif isinstance(frame, NotificationFrame):
                self._on_notification_frame(frame)
            else:
                raise ProtocolError("a client sends only requests and notifications")

    def _on_request(self, frame: RequestFrame) -> None:
        if frame.id in self._tasks:
            raise ProtocolError(f"request {frame.id} is still being answered")
        try:
            message = self._codec.read_request(frame)
        except ProtocolError as error:
            self._refuse(frame.id, TypeError(str(error)))
            return
        try:
            answer = self._handler(message, frame.handler_id)
        except Exception as error:
            self._refuse(frame.id, error)
            return
        if isinstance(answer, Awaitable):
            self._tasks[frame.id] = self._loop.create_task(self._answer_later(frame.id, answer))
        else:
            self._answer(frame.id, answer)

    async def _answer_later(self, request_id: int, answer: Awaitable[Answer]) -> None:
        try:
            body = await answer
        except Exception as error:
            self._refuse(request_id, error)
        else:
            self._answer(request_id, body)
        finally:
            del self._tasks[request_id]

    def _answer(self, request_id: int, body: Answer) -> None:
        try:
            frame = self._codec.reply(request_id, body)
        except Exception as error:
            self._refuse(request_id, error)
        else:
            self._sink.write(frame)

    def _refuse(self, request_id: int, error: Exception) -> None:
        if not isinstance(error, _EXPECTED):
            _log.error("request %d failed", request_id, exc_info=error)
        self._sink.write(self._codec.failure(request_id, errors.name_of(error), str(error)))

    def _on_notification_frame(self, frame: NotificationFrame) -> None:
        try:
            self._on_notification(self._codec.read_notification(frame), frame.handler_id)
        except Exception as error:
            _log.error("notification %d to %r failed", frame.event, frame.handler_id, exc_info=error)


class ChannelServer(FrameServer):
    """Answers the requests of one peer over a connected stream socket."""

    def __init__(self, handler: Handler, on_notification: NotificationHandler, codec: Codec | None = None) -> None:
        self._stream = FrameStream(self.receive, self._on_lost)
        super().__init__(self._stream, handler, on_notification, codec)
        self._end: asyncio.Future[Exception | None] = self._loop.create_future()

    async def serve(self, sock: socket.socket) -> Exception | None:
        """Serves until either side closes; returns None if it was `close()`, else the reason.

        Takes over `sock`. Handlers still at work are cancelled at the end.
        """
        sock.setblocking(False)
        await self._loop.create_connection(lambda: self._stream, sock=sock)
        try:
            return await self._end
        finally:
            self._stream.close()
            await self.stop()

    def close(self) -> None:
        """Writes what is queued and ends `serve`."""
        self._stream.close()

    def abort(self, reason: Exception) -> None:
        """Ends `serve` at once: nobody is there to read what is queued."""
        self._stream.abort(reason)

    def _on_lost(self, reason: Exception | None) -> None:
        if not self._end.done():
            self._end.set_result(reason)
