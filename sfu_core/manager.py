"""What all managers have in common: the API that they hand out, the wait for it, their end.

Belongs to the application's event loop. Knows neither where workers come from nor when there is an API.
"""

from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from sfu_core.errors import InvalidStateError
from sfu_core.mediasoup import Emitter, Mediasoup
from sfu_core.mediasoup.emitter import once


class Manager(Emitter):
    """What applications are handed: `mediasoup` is the API, while there is one.

    Events of all: `mediasoup` (the API, or None when it has gone), `error` (exception), `destroy`, upon which whatever
    is built on top of it ends with it. `async with` destroys it at the end and waits for that.
    """

    def __init__(self) -> None:
        super().__init__()
        self._destroyed = False

    @property
    def mediasoup(self) -> Mediasoup | None:
        """The API; None while there is none."""
        raise NotImplementedError

    @property
    def destroyed(self) -> bool:
        """Whether `destroy()` was called."""
        return self._destroyed

    async def ready(self) -> Mediasoup:
        """Wait until there is an API; it. InvalidStateError if the manager is destroyed before."""
        while (mediasoup := self.mediasoup) is None:
            if self._destroyed:
                raise InvalidStateError("it was destroyed")
            with suppress(Exception):  # it may get ready yet: another host, another try
                await once(self, "mediasoup")
        return mediasoup

    def destroy(self) -> None:
        """End all that belongs to it. May be repeated."""
        if self._destroyed:
            return
        self._destroyed = True
        self.emit("destroy")
        self._end()

    async def wait_destroyed(self) -> None:
        """After `destroy()`: wait until all has ended."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._destroyed:
            self.destroy()
        await self.wait_destroyed()

    # For those who are one

    def _end(self) -> None:
        """What `destroy()` does; those on top have heard. The last one to be told is `mediasoup` (None)."""
        raise NotImplementedError

    def _tell(self, event: str, *args: Any) -> None:
        """Emit, unless it was destroyed: then nothing is news."""
        if not self._destroyed:
            self.emit(event, *args)


def check_manager(manager: object, name: str) -> None:
    """TypeError if it cannot be used as one: any object with an API and figures will do."""
    if not hasattr(manager, "mediasoup") or not hasattr(manager, "get_stats"):
        raise TypeError(f"{name}: needs mediasoup and get_stats")


def check_percentage(mark: object, name: str) -> None:
    """TypeError if it is none above 0."""
    if type(mark) not in (int, float) or not 0 < mark <= 100:  # type: ignore[operator]
        raise TypeError(f"{name} is not a percentage")
