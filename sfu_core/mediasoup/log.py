"""Where the API's own log lines go: Python's `logging`, under `mediasoup.<Class>`, and optional callbacks.

The callbacks get mediasoup's namespaces: `mediasoup:Class`, `mediasoup:WARN:Class`, `mediasoup:ERROR:Class`.
"""

import logging
from collections.abc import Callable
from typing import Any

LogListener = Callable[[str, str], object]
ErrorListener = Callable[[str, str, BaseException | None], object]


class _Listeners:
    debug: LogListener | None = None
    warn: LogListener | None = None
    error: ErrorListener | None = None


def set_log_event_listeners(
    *,
    ondebug: LogListener | None = None,
    onwarn: LogListener | None = None,
    onerror: ErrorListener | None = None,
) -> None:
    """Call these with each line of their level: (namespace, line), for errors (namespace, line, exception).

    A callback left out is removed.
    """
    _Listeners.debug = ondebug
    _Listeners.warn = onwarn
    _Listeners.error = onerror


class Logger:
    """The log of one class."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._log = logging.getLogger(f"mediasoup.{name}")

    def debug(self, line: str, *args: Any) -> None:
        """What happens; `args` fill the line as in `logging`."""
        self._log.debug(line, *args)
        if _Listeners.debug is not None:
            _Listeners.debug(f"mediasoup:{self._name}", line % args if args else line)

    def warn(self, line: str, *args: Any) -> None:
        """What is odd but handled."""
        self._log.warning(line, *args)
        if _Listeners.warn is not None:
            _Listeners.warn(f"mediasoup:WARN:{self._name}", line % args if args else line)

    def error(self, line: str, *args: Any, error: BaseException | None = None) -> None:
        """What went wrong, with the exception that tells why."""
        self._log.error(line, *args, exc_info=error)
        if _Listeners.error is not None:
            _Listeners.error(f"mediasoup:ERROR:{self._name}", line % args if args else line, error)
