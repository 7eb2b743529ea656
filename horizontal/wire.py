"""One WebSocket: moves the messages of a conversation, notices silence.

Belongs to the event loop of the client or server. The same for both sides once the handshake is done.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.connection import Connection, broadcast
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from horizontal.conversation import HIGH_WATER, Conversation
from horizontal.protocol import BEATS, ENDS_SESSION, INTERNAL_ERROR, Close
from sfu_core.channel.codec import ProtocolError
from sfu_core.errors import SfuError

CLOSE_TIMEOUT: Final = 1.0
"""Seconds for the closing handshake, once its first half could be sent."""

QUIET: Final = logging.getLogger("sfu.websocket")
"""For the library, which would log headers (they hold tokens) and a line for everybody who knocks."""
QUIET.setLevel(logging.CRITICAL)

_log = logging.getLogger(__name__)


class SilenceError(SfuError):
    """The other side has said nothing for too long."""


class _Hearing(Connection):
    """Remembers that something has come in, if only a part of a message."""

    heard = True
    room = HIGH_WATER
    """Bytes that may wait for the other side to take them: who pings and does not read is answered no further."""

    def data_received(self, data: bytes) -> None:
        self.heard = True
        super().data_received(data)
        if self.paused and self.transport.get_write_buffer_size() > self.room:
            abort(self)


class ClientSocket(_Hearing, ClientConnection):
    """The library's connection, at the client. A server refuses certificates only after the TLS handshake."""

    lost: Exception | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = exc
        super().connection_lost(exc)


class ServerSocket(_Hearing, ServerConnection):
    """The library's connection, at the server."""


def abort(websocket: Connection) -> None:
    """Closes it without another word."""
    if websocket.state is not State.CLOSED:  # asyncio: what has closed by itself may not be aborted any more
        websocket.transport.abort()


async def goodbye(websocket: Connection, code: int, reason: str = "") -> None:
    """Closes it; gives up after a moment if the other side does not answer, or does not even read."""
    if websocket.state is State.CLOSED:
        return
    try:
        async with asyncio.timeout(2 * CLOSE_TIMEOUT):
            await websocket.close(code, reason.encode()[:120].decode(errors="ignore"))
    except TimeoutError:
        abort(websocket)
    except AttributeError:  # asyncio: the library aborts what has just closed by itself
        pass


class Wire:
    """Carries a conversation until either side closes it or falls silent."""

    def __init__(self, websocket: ClientSocket | ServerSocket, conversation: Conversation, silence: float) -> None:
        """`silence`: seconds without a byte after which the other side is given up."""
        self._websocket = websocket
        self._conversation = conversation
        self._beat = silence / BEATS
        websocket.room = conversation.limit + HIGH_WATER
        self._loop = asyncio.get_running_loop()
        self._silent = 0
        self._holding = False
        self._abandoned = False
        self._codes: set[int] = set()
        self.error: Exception | None = None
        """Why this side has closed it, if it has."""
        self.reason = ""
        """Why it was closed, in words."""
        self.was_clean = False
        """Whether both sides have said goodbye."""

    async def run(self, arrived: int, hold: Callable[[], Awaitable[None] | None] = lambda: None) -> None:
        """Goes on with the conversation, whose other side has got everything up to `arrived`; returns at the end.

        `hold` is asked after each message for what to wait for before the next one is read.
        """
        self._timer = self._loop.call_later(self._beat, self._tick)
        try:
            self._conversation.attach(self._send, self._unsent, arrived)
            while True:
                message = await self._websocket.recv()
                if self._abandoned:  # it will come again over the other one
                    continue
                self._conversation.receive(message)
                if (waiting := hold()) is not None:
                    self._holding = True
                    await waiting
                    self._holding = False
        except ConnectionClosed as closed:
            frames = [frame for frame in (closed.rcvd, closed.sent) if frame is not None]
            self._codes |= {frame.code for frame in frames}
            self.was_clean = len(frames) == 2
            self.reason = next((frame.reason for frame in frames if frame.reason), "")
        except ProtocolError as error:
            self.abandon()
            self.error = error
            await self.close(Close.PROTOCOL_ERROR, str(error))
        except Exception as error:  # ours; the session can go on, and must not be left without anybody who carries it
            _log.exception("a message could not be taken in")
            self.abandon()
            self.error = error
            await self.close(INTERNAL_ERROR, "failed inside")
        finally:
            self._timer.cancel()
            self.abandon()
            self.reason = str(self.error or self.reason or "the connection was lost")

    @property
    def ends_session(self) -> bool:
        """Whether the way it was closed means that nobody will go on."""
        return not self._codes.isdisjoint(ENDS_SESSION)

    def said(self, code: int) -> bool:
        """Whether it was closed with that code, by either side."""
        return code in self._codes

    async def close(self, code: int, reason: str = "") -> None:
        """Says goodbye."""
        self._codes.add(code)
        await goodbye(self._websocket, code, reason)

    def abort(self, error: Exception | None = None) -> None:
        """Closes without another word."""
        self.error = self.error or error
        self.abandon()
        abort(self._websocket)

    def abandon(self) -> None:
        """The conversation is not ours any more: it ends, or goes on over another wire."""
        self._abandoned = True
        self._conversation.detach(self._send)

    def _send(self, message: bytes) -> None:
        broadcast((self._websocket,), message)

    def _unsent(self) -> int:
        return self._websocket.transport.get_write_buffer_size()

    def _tick(self) -> None:
        """Counts beats, not seconds: a loop that was held up itself has not listened meanwhile."""
        self._timer = self._loop.call_later(self._beat, self._tick)
        self._silent = 0 if self._websocket.heard or self._holding else self._silent + 1
        self._websocket.heard = False
        if self._silent >= BEATS:
            self.abort(SilenceError("the other side has fallen silent"))
        else:
            self._conversation.beat()
