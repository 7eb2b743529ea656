"""A TCP relay that can be cut, frozen and refused, between a client and a server of this machine.

Runs in the event loop of the test. It must not know what the bytes are.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

CHUNK = 65536


class TcpRelay:
    """Listens on a port of its own and passes everything on to `port`, until it is told otherwise."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._refusing = False
        self.accepted = 0

    @property
    def port(self) -> int:
        return int(self._server.sockets[0].getsockname()[1])

    def aim(self, port: int) -> None:
        """New connections go there."""
        self._target = port

    def cut(self) -> None:
        """Reset all connections, and refuse new ones until `mend`."""
        self._refusing = True
        self.reset()

    def reset(self) -> None:
        """Reset all connections; new ones are welcome."""
        for pair in list(self._pairs):
            for writer in pair:
                writer.transport.abort()

    def freeze(self) -> None:
        """Pass nothing on, as if the network were gone: nobody is told. New connections hang, too."""
        self._flowing.clear()

    def mend(self) -> None:
        """All is well again; what was held meanwhile goes on."""
        self._refusing = False
        self._flowing.set()

    async def __aenter__(self) -> TcpRelay:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await self._relay(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            return
        await self._flowing.wait()
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        pair = writer, far_writer
        self._pairs.add(pair)
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        finally:
            self._pairs.discard(pair)
            far_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
