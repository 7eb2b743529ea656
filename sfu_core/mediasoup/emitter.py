"""Events: what every API object and every `observer` is.

Listeners are functions or coroutine functions. One that fails hurts nobody: its exception is re-emitted on
the same emitter as `listenererror` (event name, exception) and logged. Event loop thread only.
"""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from pyee.base import EventEmitter

from sfu_core.errors import SfuError

from .log import Logger

Listener = Callable[..., object]

_logger = Logger("EventEmitter")
_running: set[asyncio.Task[Any]] = set()  # the loop itself keeps only weak references to tasks


class Emitter(EventEmitter):
    """An event emitter with any number of listeners, whose `emit` never raises.

    `on`, `once`, `remove_listener`, `listeners` and the others are pyee's.
    """

    def emit(self, event: str, *args: Any, **kwargs: Any) -> bool:
        """Call the listeners of `event` in order; whether there were any."""
        if not self._events:
            return False
        return self._call_handlers(event, args, kwargs)

    def _call_handlers(self, event: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        listeners = list(self._events.get(event, {}).values())
        for listener in listeners:
            try:
                result = listener(*args, **kwargs)
            except Exception as error:
                self._failed(event, error)
            else:
                if inspect.iscoroutine(result):
                    self._start(event, result)
        return bool(listeners)

    def _start(self, event: str, coroutine: Coroutine[Any, Any, object]) -> None:
        task = asyncio.ensure_future(coroutine)
        _running.add(task)
        task.add_done_callback(lambda done: self._finished(event, done))

    def _finished(self, event: str, task: asyncio.Task[Any]) -> None:
        _running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(event, error)

    def _failed(self, event: str, error: BaseException) -> None:
        _logger.error("a listener of '%s' on %s failed: %r", event, type(self).__name__, error, error=error)
        if event != "listenererror":
            self.emit("listenererror", event, error)


async def once(emitter: EventEmitter, event: str) -> tuple[Any, ...]:
    """Wait for the next `event`; its arguments. If an `error` comes before it, its exception is raised, as in Node.

    Cancelling (also by `asyncio.timeout`) takes the listeners away again.
    """
    future: asyncio.Future[tuple[Any, ...]] = asyncio.get_running_loop().create_future()

    def resolve(*args: Any) -> None:
        if not future.done():
            future.set_result(args)

    def fail(error: Any = None, *_: Any) -> None:
        if not future.done():
            future.set_exception(error if isinstance(error, Exception) else SfuError(str(error)))

    listeners = {"error": fail, event: resolve}
    for name, listener in listeners.items():
        emitter.on(name, listener)
    try:
        return await future
    finally:
        for name, listener in listeners.items():
            if listener in emitter.listeners(name):
                emitter.remove_listener(name, listener)
