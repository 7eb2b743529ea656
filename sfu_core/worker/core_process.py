"""The control thread at work: an engine, an object tree and a channel, from the first word to the last.

Owns the order of starting and closing. Knows the media thread only as a thread that runs `engine.run`.
"""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from sfu_core.channel.body import close_on_signals, ignore_signals, watching_peer
from sfu_core.channel.messages import Notification, WorkerClose, WorkerRunning
from sfu_core.channel.server import ChannelServer
from sfu_core.channel.settings import WorkerSettings
from sfu_core.worker.context import Context
from sfu_core.worker.dispatch import Dispatch
from sfu_core.worker.executor import Executor
from sfu_core.worker.handshakes import Handshakes
from sfu_core.worker.logs import Logs
from sfu_core.worker.settings import EngineSettings
from sfu_core.worker.sockets import Sockets
from sfu_core.worker.worker import Worker

if TYPE_CHECKING:
    from sfu_core._engine import Engine
    from sfu_core.worker.certificate import Certificate

EVENTS_PER_TURN = 512
STOP_TIMEOUT = 2.0  # seconds that the media thread may take to notice


class MediaThread:
    """Runs the engine beside the control thread."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._thread = threading.Thread(target=engine.run, name="media", daemon=True)

    def start(self) -> None:
        """From now on packets flow. Signals are the control thread's affair."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def stop(self) -> bool:
        """Stop it and free the engine; False if it did not stop in time, and the process must just end."""
        with suppress(BufferError):  # it has not read its commands for so long that there is no room for one
            self._engine.stop()
        self._thread.join(STOP_TIMEOUT)
        if self._thread.is_alive():
            return False
        self._engine.close()
        return True


async def serve(
    engine: "Engine",
    sock: socket.socket,
    settings: WorkerSettings,
    own_settings: EngineSettings,
    certificate: Callable[[], "Certificate"],
) -> None:
    """Answer the channel until it closes, the worker is told to, or a signal asks for it; then close everything."""
    loop = asyncio.get_running_loop()
    server: ChannelServer  # known to the closures below before it exists

    def on_notification(message: Notification, handler_id: str) -> None:
        if isinstance(message, WorkerClose):
            server.close()
        else:
            executor.notification(message, handler_id)

    logs = Logs(lambda line: server.log(line), settings.log_level, settings.log_tags)
    context = Context(
        engine=engine,
        loop=loop,
        notify=lambda message, handler_id: server.notify(message, handler_id),
        logs=logs,
        sockets=Sockets(engine, logs, settings.rtc_min_port, settings.rtc_max_port),
        certificate=certificate,
        dispatch=Dispatch(),
        handshakes=Handshakes(loop),
        srtp_suites=own_settings.srtp_suites,
    )
    worker = Worker(context)
    executor = Executor(worker)
    server = ChannelServer(executor.request, on_notification)
    close_on_signals(loop, server.close)
    events = EventReader(engine, context)
    server.notify(WorkerRunning(), str(os.getpid()))
    try:
        with watching_peer(loop, sock, lambda: server.abort(ConnectionResetError("the application has ended"))):
            await server.serve(sock)
    finally:
        ignore_signals(loop)
        events.close()
        with suppress(BufferError):  # likewise; the process ends anyway
            worker.close()


class EventReader:
    """Takes the media thread's events whenever it rings."""

    def __init__(self, engine: "Engine", context: Context) -> None:
        self._engine = engine
        self._context = context
        self._closed = False
        context.loop.add_reader(engine.event_fd, self._read)

    def close(self) -> None:
        """No more events."""
        self._closed = True
        self._context.loop.remove_reader(self._engine.event_fd)

    def _read(self) -> None:
        if self._closed:
            return
        events = self._engine.poll(EVENTS_PER_TURN)
        for event in events:
            try:
                self._context.dispatch.deliver(event)
            except Exception as error:  # one bad event must not cost the others
                self._context.logs.error(f"event {event[0]!r}: {type(error).__name__}: {error}")
        if len(events) == EVENTS_PER_TURN:
            self._context.loop.call_soon(self._read)
