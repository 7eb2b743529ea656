"""What the body of each of our processes does around its event loop: signals, the end of whoever started it, garbage.

Runs in the child's main thread. Knows no messages and nothing of what the process is for.
"""

import asyncio
import gc
import os
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid, gid


def calm_collector() -> None:
    """What is here now stays: no collection looks at it again. Later ones are rare."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def close_on_signals(loop: asyncio.AbstractEventLoop, close: Callable[[], None]) -> None:
    """SIGTERM and, unless whoever started us chose to ignore it, SIGINT."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, close)


def ignore_signals(loop: asyncio.AbstractEventLoop) -> None:
    """From here on it ends by itself, and a signal would find the loop half closed."""
    for number in (signal.SIGTERM, signal.SIGINT):
        if loop.remove_signal_handler(number):
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def watching_peer(loop: asyncio.AbstractEventLoop, sock: socket.socket, on_end: Callable[[], None]) -> Iterator[None]:
    """Call `on_end` when the process that made the channel has ended. The channel itself does not end with it if a
    child that it forked is still there, since that one has its descriptors too."""
    pid, _, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        loop.call_soon(on_end)
        yield
        return
    except OSError:  # a process that we cannot see: then the end of the channel must do
        yield
        return
    loop.add_reader(pidfd, on_end)
    try:
        yield
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
