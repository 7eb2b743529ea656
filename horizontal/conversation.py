"""Frames between a client and a server: each exactly once and in order, over one socket after another.

Both sides have one. Frames of a turn of the loop leave together, as one numbered message; it is kept until the other
side says that it has arrived, and sent again over the next socket if it has not. Media is not numbered: it gets lost
with the socket, as on a network. Knows the envelope, not what is in it; sockets and time are others' affair.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from horizontal.protocol import BATCH, MAX_ENTRIES, Entry, Envelope, entry, pack, read_envelope
from sfu_core.channel.codec import ProtocolError

HIGH_WATER: Final = 1 << 20
"""Bytes not known to have arrived above which a conversation is congested."""

ACK_AFTER: Final = 32
"""Numbered messages that may come in before the other side is told, if there is nothing else to tell it."""

Send = Callable[[bytes], None]
Receiver = Callable[[Entry], None]
Frame = bytes | bytearray


class Conversation:
    """One side of it."""

    def __init__(self, on_entry: Receiver, on_overflow: Callable[[], None], limit: int) -> None:
        """`on_entry` gets each frame; a ProtocolError from it passes through `receive`.

        `on_overflow` is called, once, when more than `limit` bytes wait to be taken by the other side.
        """
        self._on_entry = on_entry
        self._on_overflow = on_overflow
        self.limit = limit
        """Bytes."""
        self._loop = asyncio.get_running_loop()
        self._send: Send | None = None
        self._unsent: Callable[[], int] = lambda: 0
        self._queue: list[tuple[int, Frame, bool]] = []
        self._queued = 0
        self._sent = 0  # number of the last message
        self._kept: deque[tuple[int, bytes]] = deque()
        self._kept_bytes = 0
        self._received = 0  # number of the last message from the other side
        self._told = 0  # what the other side was told of that
        self._relief = asyncio.Event()
        self._said = False
        self.media_dropped = 0
        self.closed = False

    @property
    def received(self) -> int:
        """The number of the last message that has arrived."""
        return self._received

    @property
    def waiting(self) -> int:
        """Bytes that the other side is not known to have."""
        return self._kept_bytes + self._queued

    @property
    def congested(self) -> bool:
        """More is waiting than should be."""
        return self._kept_bytes + self._queued > HIGH_WATER

    def write(self, worker: int, frame: Frame, media: bool = False) -> None:
        """Queues a frame for this turn's message. Media is dropped where nobody would take it now."""
        if self.closed:
            return
        if media and (self._send is None or self.congested or self._unsent() > HIGH_WATER):
            self.media_dropped += 1
            return
        if not self._queue:
            self._loop.call_soon(self._flush)
        self._queue.append((worker, frame, media))
        self._queued += len(frame)

    async def drained(self) -> None:
        """Waits until no longer congested, or closed."""
        while self.congested and not self.closed:
            self._relief.clear()
            await self._relief.wait()

    def attach(self, send: Send, unsent: Callable[[], int], arrived: int) -> None:
        """Goes on over a new socket, whose other side has got everything up to number `arrived`.

        `send` takes whole messages and never fails; `unsent` tells the bytes that wait in the socket.
        """
        if not self._sent - len(self._kept) <= arrived <= self._sent:
            raise ProtocolError(f"message {arrived} cannot be the last that arrived")
        self._arrived(arrived)
        self._send, self._unsent = send, unsent
        for _, message in self._kept:
            send(message)

    def detach(self, send: Send) -> None:
        """The socket of `send` is gone; nothing happens if another one has taken its place."""
        if self._send == send:
            self._send = None

    def receive(self, data: bytes | str) -> None:
        """Takes a message; ProtocolError if it breaks the rules."""
        if self.closed:
            return
        envelope = read_envelope(data)
        if envelope.received > self._sent:
            raise ProtocolError(f"message {envelope.received} has not been sent yet")
        self._arrived(envelope.received)
        if envelope.number:
            if envelope.number != self._received + 1:
                raise ProtocolError(f"message {envelope.number} after {self._received}")
            self._received += 1
        for each in envelope.entries:
            self._on_entry(each)
        if self._received - self._told >= ACK_AFTER and not self._queue:
            self._say([])

    def beat(self) -> None:
        """Says something if nothing was said since the last beat."""
        if not self._said and self._send is not None:
            self._say([])
        self._said = False

    def flush(self) -> None:
        """Sends what is queued now, not at the end of the turn."""
        self._flush()

    def close(self) -> None:
        """Forgets everything; nothing more goes out."""
        self.closed = True
        self._send = None
        self._queue.clear()
        self._kept.clear()
        self._queued = self._kept_bytes = 0
        self._relief.set()

    # Out

    def _flush(self) -> None:
        queue, self._queue, self._queued = self._queue, [], 0
        batch: list[Entry] = []
        size, numbered = 0, False
        for worker, frame, media in queue:
            if batch and (size + len(frame) > BATCH or len(batch) == MAX_ENTRIES or media is numbered):
                self._dispatch(batch, numbered)
                batch, size = [], 0
            batch.append(entry(worker, frame))
            size, numbered = size + len(frame), not media
        if batch:
            self._dispatch(batch, numbered)
        self._check()

    def _dispatch(self, batch: list[Entry], numbered: bool) -> None:
        if not numbered:
            self._say(batch)
            return
        self._sent += 1
        message = pack(Envelope(self._sent, self._received, batch))
        self._kept.append((self._sent, message))
        self._kept_bytes += len(message)
        self._transmit(message)

    def _say(self, batch: list[Entry]) -> None:
        """What need not arrive."""
        self._transmit(pack(Envelope(0, self._received, batch)))

    def _transmit(self, message: bytes) -> None:
        self._told = self._received
        self._said = True
        if self._send is not None:
            self._send(message)

    def _check(self) -> None:
        if self._kept_bytes > self.limit and not self.closed:
            self._on_overflow()

    def _arrived(self, number: int) -> None:
        kept = self._kept
        if not kept or kept[0][0] > number:
            return
        while kept and kept[0][0] <= number:
            self._kept_bytes -= len(kept.popleft()[1])
        if not self.congested:
            self._relief.set()


class Lane:
    """The share of one worker in a conversation: a `sfu_core.channel.channel.FrameSink`."""

    def __init__(self, conversation: Conversation, worker: int) -> None:
        self._conversation = conversation
        self._worker = worker
        self._closed = False

    @property
    def congested(self) -> bool:
        return self._conversation.congested

    def write(self, frame: Frame, media: bool = False) -> None:
        if not self._closed:
            self._conversation.write(self._worker, frame, media)

    async def drained(self) -> None:
        await self._conversation.drained()

    def close(self) -> None:
        self._closed = True
