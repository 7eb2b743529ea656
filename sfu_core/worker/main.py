"""The body of a core process.

Runs in its main thread, which becomes the control thread; `sfu_core.channel.child` calls it in a fresh interpreter.
"""

import asyncio
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from sfu_core._engine import Engine
from sfu_core.channel.body import calm_collector
from sfu_core.channel.msgpack import MessagePackCodec
from sfu_core.channel.settings import WorkerSettings
from sfu_core.worker.core_process import MediaThread, serve
from sfu_core.worker.settings import EngineSettings, check

if TYPE_CHECKING:
    from sfu_core.worker.certificate import Certificate

WRONG_SETTINGS = 42
CONTROL_NICE = 5  # of the control thread, so that the media thread goes first

_IGNORED = (signal.SIGPIPE, signal.SIGHUP, signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2)


def run(sock_fd: int, settings: WorkerSettings) -> None:
    """Serve the channel on `sock_fd` until it ends. Exits with 42 if the settings will not do, and says why."""
    sock = socket.socket(fileno=sock_fd)
    try:
        own_settings = check(settings)
        certificate = _certificate(settings)
    except TypeError as error:
        sock.sendall(MessagePackCodec().log(f"Ewrong settings: {error}"))
        sys.exit(WRONG_SETTINGS)
    engine = _prepare(own_settings)
    media = MediaThread(engine)
    media.start()
    _be_nice()
    try:
        asyncio.run(serve(engine, sock, settings, own_settings, certificate))
    finally:
        if not media.stop():
            os._exit(0)  # no finalisation while a thread still works on what it would take down


def _prepare(settings: EngineSettings) -> Engine:
    if threading.current_thread() is threading.main_thread():
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # the usual 1024 are fewer than our TCP connections
    if settings.cpu is not None:
        os.sched_setaffinity(0, {settings.cpu})  # the media thread inherits it
    engine = Engine(**settings.engine_arguments())
    calm_collector()
    return engine


def _be_nice() -> None:
    """This thread only; on Linux a nice value belongs to a thread."""
    own = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, own, os.getpriority(os.PRIO_PROCESS, own) + CONTROL_NICE)


def _certificate(settings: WorkerSettings) -> Callable[[], "Certificate"]:
    """Read now, so that wrong files are noticed; made when first needed, since not every process needs one."""
    if settings.dtls_certificate_file is None or settings.dtls_private_key_file is None:
        return _generate
    from sfu_core.worker.certificate import Certificate

    loaded = Certificate.load(settings.dtls_certificate_file, settings.dtls_private_key_file)
    return lambda: loaded


@cache
def _generate() -> "Certificate":
    from sfu_core.worker.certificate import Certificate  # a tenth of a second, for those who need it

    return Certificate.generate()
