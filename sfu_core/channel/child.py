"""First code of a process of ours: settles signals and the channel's descriptor, then hands over to its target.

Runs in the child's main thread. Knows the target only by name, so that the parent need not import it.
"""

import os
import signal
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

WRONG_SETTINGS = 42
"""Exit code of a worker that refuses its settings."""

_IGNORED = (
    signal.SIGINT,  # Ctrl-C reaches the whole terminal; the parent decides and then closes the channel
    signal.SIGPIPE,
    signal.SIGHUP,
    signal.SIGALRM,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


def enter(name: str, target: str, sock_fd: int, settings: Any) -> None:
    """Calls `target` ("module:function") with the channel's descriptor and the settings.

    `name` is what process lists show.
    """
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    with suppress(OSError):
        Path("/proc/self/comm").write_text(name)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # the parent held it back until here
    os.set_inheritable(sock_fd, False)
    module, _, function = target.partition(":")
    getattr(import_module(module), function)(sock_fd, settings)
