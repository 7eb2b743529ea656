"""The WebRTC client of `peer` over TCP: each datagram behind its length (RFC 4571)."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from sfu.bench.joiner import RETRY

from .peer import Peer


class Frames:
    """A connection that looks like the datagram socket of the client."""

    def __init__(self, recv_buffer: int, family: socket.AddressFamily) -> None:
        self.raw = socket.socket(family, socket.SOCK_STREAM)
        if recv_buffer:
            self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, recv_buffer)

        self._connected = False

    def connect(self, address: tuple[str, int]) -> None:
        if not self._connected:
            self.raw.connect(address)
            self.raw.setblocking(False)
            self._connected = True

    def getsockname(self) -> tuple[str, int]:
        name: tuple[str, int] = self.raw.getsockname()
        return name

    def send(self, data: bytes) -> None:
        self.raw.send(len(data).to_bytes(2, "big") + data)

    def close(self) -> None:
        self.raw.close()


class TcpPeer(Peer):
    """Reads only while it waits for an answer, so that it is a slow reader by nature."""

    protocol = "tcp"

    def __init__(self, family: socket.AddressFamily = socket.AF_INET, recv_buffer: int = 0) -> None:
        super().__init__()
        self._socket.close()
        self._socket: Any = Frames(recv_buffer, family)
        self._read = b""

    async def _receive(self) -> bytes | None:
        """The next datagram, as soon as it is whole."""
        try:
            async with asyncio.timeout(RETRY):
                while len(self._read) < 2 or len(self._read) < 2 + self._length():
                    data = await asyncio.get_running_loop().sock_recv(self._socket.raw, 65536)
                    if not data:
                        raise ConnectionResetError("the server has closed the connection")
                    self._read += data
        except TimeoutError:
            return None
        end = 2 + self._length()
        datagram, self._read = self._read[2:end], self._read[end:]
        return datagram

    def _length(self) -> int:
        return int.from_bytes(self._read[:2], "big")


async def connections(address: tuple[str, int], count: int) -> list[socket.socket]:
    """So many, that say nothing."""
    opened = []
    for _ in range(count):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
        opened.append(sock)
    return opened


def closed_by_server(sock: socket.socket) -> bool:
    try:
        return sock.recv(4096, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
