"""What the core processes of these tests run: the real worker, with a door through which a test can look and meddle.

The door is a thread of the core process behind an abstract Unix socket named after its pid. It is Python, so it is
stopped like all others while one thread holds the GIL; only the media thread must not be.
"""

import ctypes
import json
import os
import socket
import sys
import threading
import time
from typing import Any

from sfu_core._engine import Engine
from sfu_core.channel.settings import WorkerSettings
from sfu_core.worker import main


def run(sock_fd: int, settings: WorkerSettings) -> None:
    """The worker as it is, with a door."""
    engines: list[Engine] = []

    def remembered(**arguments: Any) -> Engine:
        engines.append(Engine(**arguments))
        return engines[-1]

    main.Engine = remembered  # type: ignore[assignment,misc]
    threading.Thread(target=Door(engines).serve, name="door", daemon=True).start()
    main.run(sock_fd, settings)


def stand_still(sock_fd: int, settings: WorkerSettings) -> None:
    """A worker whose media thread is caught somewhere, from the beginning."""

    class Caught(Engine):
        def run(self) -> None:
            time.sleep(3600)

    main.Engine = Caught  # type: ignore[misc]
    main.run(sock_fd, settings)


def hang(sock_fd: int, settings: WorkerSettings) -> None:
    """Never becomes a worker."""
    time.sleep(3600)


def leave(sock_fd: int, settings: WorkerSettings) -> None:
    """Ends before it has become a worker."""
    sys.exit(7)


def door_of(pid: int) -> str:
    """The address of that process's door."""
    return f"\0sfu-core-fault-{pid}"


class Door:
    """A connection is one request: a line with its name, answered with a line of JSON."""

    def __init__(self, engines: list[Engine]) -> None:
        self._engines = engines
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(door_of(os.getpid()))
        self._socket.listen()

    def serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection, connection.makefile("rw") as stream:
                method = stream.readline().strip()
                if method == "hold_gil":
                    hold_gil(connection)
                else:
                    print(json.dumps(getattr(self, method)()), file=stream, flush=True)

    def slots_used(self) -> dict[str, int]:
        """What is taken of the engine's tables."""
        return self._engines[0].slots_used()

    def modules(self) -> list[str | None]:
        """The names of all modules, and the file of the main one first."""
        return [getattr(sys.modules["__main__"], "__file__", None), *sys.modules]


def hold_gil(connection: socket.socket) -> None:
    """From "held" until the other end closes, no other thread of this process runs Python."""
    libc = ctypes.PyDLL(None)  # PyDLL, unlike CDLL, does not let go of the GIL for a call
    interval = sys.getswitchinterval()
    sys.setswitchinterval(3600)  # and nobody may ask for it between the two
    libc.send(connection.fileno(), b"held\n", 5, 0)
    libc.recv(connection.fileno(), ctypes.create_string_buffer(1), 1, 0)
    sys.setswitchinterval(interval)
