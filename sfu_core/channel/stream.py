"""Frames over a stream socket: coalesced writes, bounded buffers, one report of the end.

Runs in the event loop of whoever owns it (application or control thread). Knows framing, not messages.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from sfu_core.channel.codec import FrameSplitter, ProtocolError
from sfu_core.errors import SfuError

HIGH_WATER: Final = 1 << 20
"""Bytes waiting to be written above which `congested` is set."""

HARD_LIMIT: Final = 64 << 20
"""Bytes waiting to be written above which the peer is given up: it has stopped reading."""

Buffer = bytes | bytearray
Receiver = Callable[[list[bytes]], None]
"""Takes the payloads that one read has completed; a ProtocolError ends the stream."""

_log = logging.getLogger(__name__)


class FrameStream(asyncio.Protocol):
    """One end of a framed stream; `on_end` is called once, with None if this side closed it."""

    def __init__(self, on_payloads: Receiver, on_end: Callable[[Exception | None], None]) -> None:
        self._on_payloads = on_payloads
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._splitter = FrameSplitter()
        self._queue: list[Buffer] = []
        self._queued = 0
        self._paused = False
        self._relief = asyncio.Event()
        self._reason: Exception | None = None
        self.closed = False

    @property
    def congested(self) -> bool:
        """More is waiting to be written than should be."""
        return self._paused or self._queued > HIGH_WATER

    def write(self, frame: Buffer, media: bool = False) -> None:
        """Queues a frame; all frames of one turn of the loop leave in one write. Ignored once closed.

        Nothing gets lost here, so media is treated like everything else.
        """
        if self.closed:
            return
        if not self._queue:
            self._loop.call_soon(self._flush)
        self._queue.append(frame)
        self._queued += len(frame)
        if self._queued + self._unsent() > HARD_LIMIT:
            self.abort(SfuError("the peer has stopped reading"))

    async def drained(self) -> None:
        """Waits until the stream is no longer congested, or closed."""
        while self.congested and not self.closed:
            self._relief.clear()
            await self._relief.wait()

    def close(self) -> None:
        """Writes what is queued, then closes."""
        if not self.closed:
            self._flush()
            self._finish()
            if self._transport is not None:
                self._transport.close()

    def abort(self, reason: Exception) -> None:
        """Closes at once, dropping what is queued; `reason` is what `on_end` is told."""
        if not self.closed:
            self._reason = reason
            self._finish()
            if self._transport is not None:
                self._transport.abort()

    def _finish(self) -> None:
        self.closed = True
        self._queue.clear()
        self._queued = 0
        self._relief.set()

    def _unsent(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def _flush(self) -> None:
        if self._transport is None or not self._queue:
            return
        self._transport.write(self._queue[0] if len(self._queue) == 1 else b"".join(self._queue))
        self._queue.clear()
        self._queued = 0
        if not self._paused:
            self._relief.set()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=HIGH_WATER)
        self._transport = transport
        if self.closed:  # before it was open
            transport.abort()
        self._flush()

    def data_received(self, data: bytes) -> None:
        if self.closed:
            return
        try:
            payloads = self._splitter.feed(data)
            if payloads:
                self._on_payloads(payloads)
        except ProtocolError as error:
            _log.error("channel closed: %s", error)
            self.abort(error)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._relief.set()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed:
            self._reason = error or ConnectionResetError("the peer closed the channel")
            self._finish()
        self._on_end(self._reason)
