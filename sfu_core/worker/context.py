"""What all objects of a core process share: the engine, the way up, the tables of who is who.

Control thread only. Knows nothing of what the objects do.
"""

from asyncio import AbstractEventLoop
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sfu_core.channel.messages import Notification, SrtpCryptoSuite
from sfu_core.errors import NotFoundError, SfuError
from sfu_core.worker.dispatch import Dispatch
from sfu_core.worker.handshakes import Handshakes
from sfu_core.worker.logs import Logs
from sfu_core.worker.sockets import Sockets

if TYPE_CHECKING:
    from sfu_core._engine import Engine
    from sfu_core.worker.certificate import Certificate


class Registry:
    """The objects that requests can address, by id."""

    def __init__(self) -> None:
        self._objects: dict[str, Any] = {}

    def check_free(self, id: str) -> None:
        """SfuError if an object of that id exists."""
        if id in self._objects:
            raise SfuError(f"an object with the id {id!r} exists already")

    def add(self, id: str, target: object) -> None:
        """Make `target` addressable."""
        self.check_free(id)
        self._objects[id] = target

    def remove(self, id: str) -> None:
        """Forget it; unknown ids are ignored."""
        self._objects.pop(id, None)

    def get(self, id: str) -> Any:
        """NotFoundError if there is none."""
        try:
            return self._objects[id]
        except KeyError:
            raise NotFoundError(f"no object with the id {id!r}") from None

    def items(self) -> list[tuple[str, Any]]:
        """Oldest first."""
        return list(self._objects.items())


@dataclass(slots=True)
class Context:
    """One per core process."""

    engine: "Engine"
    loop: AbstractEventLoop
    notify: Callable[[Notification, str], None]  # the message and the id of the object it is about
    logs: Logs
    sockets: Sockets
    certificate: Callable[[], "Certificate"]  # made when first needed
    dispatch: Dispatch
    handshakes: Handshakes
    registry: Registry = field(default_factory=Registry)
    srtp_suites: tuple[SrtpCryptoSuite, ...] | None = None  # for DTLS; None: all that we know
