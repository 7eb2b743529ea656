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
    """One JSON request a connection: [method, arguments]."""

    def __init__(self, engines: list[Engine]) -> None:
        self._engines = engines
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(door_of(os.getpid()))
        self._socket.listen()

    def serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection, connection.makefile("rw") as stream:
                method, arguments = json.loads(stream.readline())
                print(json.dumps(getattr(self, method)(*arguments)), file=stream, flush=True)

    def hold_gil(self, seconds: float) -> tuple[float, float]:
        """No other thread of this process runs Python for so long; when it began and ended (monotonic)."""
        begun = time.monotonic()
        ctypes.PyDLL(None).usleep(int(seconds * 1e6))  # PyDLL, unlike CDLL, does not let go of the GIL
        return begun, time.monotonic()

    def slots_used(self) -> dict[str, int]:
        """What is taken of the engine's tables."""
        return self._engines[0].slots_used()

    def modules(self) -> list[str | None]:
        """The names of all modules, and the file of the main one first."""
        return [getattr(sys.modules["__main__"], "__file__", None), *sys.modules]
