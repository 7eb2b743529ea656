"""The door of a core process: an abstract Unix socket where a neighbour fetches descriptors.

Descriptors cannot travel on a Channel. Whoever knocks must belong to the same user and show a token that was given
out over the Channel; it is good once and for a short time. Control thread only.
"""

import asyncio
import contextlib
import hmac
import os
import secrets
import socket
import struct
from collections.abc import Callable, Iterable, Sequence

TOKEN_BYTES = 32
LIFETIME = 10.0  # seconds that an offer waits, and that a visitor may take to show a token
MAX_DESCRIPTORS = 64
MAX_DEPOSIT = 8192  # bytes
MAX_VISITORS = 256  # one for each core of a large host

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


class Door:
    """Listens from the first offer on."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._listener: socket.socket | None = None
        self._offers: dict[bytes, tuple[list[int], asyncio.TimerHandle]] = {}
        self._expected: dict[bytes, Callable[[bytes, int], None]] = {}
        self._visits: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def address(self) -> str:
        """Its name among the abstract sockets; from the first look on it listens."""
        return self._listen()

    def offer(self, descriptors: Sequence[int]) -> tuple[str, bytes]:
        """Hold these for one visitor: the door's address, and the token to show. They are the door's in any case.

        OSError if it cannot listen, or is closed.
        """
        try:
            address = self._listen()
        except BaseException:
            _close_all(descriptors)
            raise
        token = secrets.token_bytes(TOKEN_BYTES)
        expiry = self._loop.call_later(LIFETIME, self._expire, token)
        self._offers[token] = (list(descriptors), expiry)
        return address, token

    def withdraw(self, tokens: Iterable[bytes]) -> None:
        """Close what is still held for them."""
        for token in self._offers.keys() & tokens:
            self._expire(token)

    def expect(self, secret: bytes, take: Callable[[bytes, int], None]) -> None:
        """Whoever shows this may leave a descriptor and some bytes, until `refuse`; they are `take`'s from then on."""
        self._expected[secret] = take

    def refuse(self, secret: bytes) -> None:
        """Nothing is left under it any more."""
        self._expected.pop(secret, None)

    def close(self) -> None:
        """Nobody is let in any more; what was not fetched is closed."""
        self._closed = True
        self._expected.clear()
        for token in list(self._offers):
            self._expire(token)
        for visit in self._visits:
            visit.cancel()
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _listen(self) -> str:
        if self._closed:
            raise ConnectionError("the door is closed")
        if self._listener is None:
            name = f"sfu-core-{secrets.token_hex(16)}"
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            self._listener.bind("\0" + name)
            self._listener.listen(MAX_VISITORS)
            self._loop.add_reader(self._listener, self._accept)
        return str(self._listener.getsockname()[1:].decode())

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            visitor, _ = self._listener.accept()
        except OSError:
            return
        if len(self._visits) >= MAX_VISITORS or not _same_user(visitor):
            visitor.close()
            return
        visitor.setblocking(False)
        visit = self._loop.create_task(self._serve(visitor))
        self._visits.add(visit)
        visit.add_done_callback(self._visits.discard)
        visit.add_done_callback(lambda _: visitor.close())  # also if it was cancelled before it began

    async def _serve(self, visitor: socket.socket) -> None:
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            token = await asyncio.wait_for(_receive(self._loop, visitor), LIFETIME)
            descriptors = self._take(token)
            take = self._expecting(token)
            if take is not None:
                data, descriptor = await asyncio.wait_for(_accept_deposit(self._loop, visitor), LIFETIME)
                take(data, descriptor)
            elif descriptors:
                _give(visitor, descriptors)

    def _take(self, shown: bytes) -> list[int]:
        for token in self._offers:
            if hmac.compare_digest(token, shown):
                descriptors, expiry = self._offers.pop(token)
                expiry.cancel()
                return descriptors
        return []

    def _expecting(self, shown: bytes) -> Callable[[bytes, int], None] | None:
        return next((take for secret, take in self._expected.items() if hmac.compare_digest(secret, shown)), None)

    def _expire(self, token: bytes) -> None:
        descriptors, expiry = self._offers.pop(token)
        expiry.cancel()
        _close_all(descriptors)


async def fetch(loop: asyncio.AbstractEventLoop, address: str, token: bytes) -> list[int]:
    """The descriptors that a neighbour holds for the token. ConnectionError if it does not give them."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
        await loop.sock_connect(sock, "\0" + address)
        await loop.sock_sendall(sock, token)
        await asyncio.wait_for(_readable(loop, sock), LIFETIME)
        data, descriptors, _, _ = socket.recv_fds(sock, 1, MAX_DESCRIPTORS)
    if not data or not descriptors:
        _close_all(descriptors)
        raise ConnectionError("the neighbour's door stayed shut")
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return descriptors


async def deposit(loop: asyncio.AbstractEventLoop, address: str, secret: bytes, data: bytes, descriptor: int) -> None:
    """Leave a copy of the descriptor, and at most MAX_DEPOSIT bytes, at a neighbour's door. OSError if it is shut."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
        await loop.sock_connect(sock, "\0" + address)
        await loop.sock_sendall(sock, secret)
        socket.send_fds(sock, [b"!"], [descriptor])  # never together with other bytes: they might be read apart
        await loop.sock_sendall(sock, data)


async def _accept_deposit(loop: asyncio.AbstractEventLoop, visitor: socket.socket) -> tuple[bytes, int]:
    await _readable(loop, visitor)
    _, descriptors, _, _ = socket.recv_fds(visitor, 1, MAX_DESCRIPTORS)
    try:
        if len(descriptors) != 1:
            raise ConnectionError("a deposit is one descriptor")
        data = b""
        while more := await loop.sock_recv(visitor, MAX_DEPOSIT + 1 - len(data)):
            data += more
            if len(data) > MAX_DEPOSIT:
                raise ConnectionError("a deposit is too long")
        os.set_inheritable(descriptors[0], False)
    except BaseException:
        _close_all(descriptors)
        raise
    return data, descriptors[0]


async def _receive(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> bytes:
    data = b""
    while len(data) < TOKEN_BYTES:
        more = await loop.sock_recv(sock, TOKEN_BYTES - len(data))
        if not more:
            break
        data += more
    return data


async def _readable(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    ready = asyncio.Event()
    loop.add_reader(sock, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sock)


def _same_user(visitor: socket.socket) -> bool:
    raw = visitor.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[1]) == os.getuid()


def _give(visitor: socket.socket, descriptors: Sequence[int]) -> None:
    """Who does not wait for them has left them behind: they are closed here in any case."""
    try:
        socket.send_fds(visitor, [b"!"], descriptors)
    finally:
        _close_all(descriptors)


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
