"""A worker that a server has created for its clients, and their ways to it.

Belongs to the server's event loop. Needs only the worker's Channel, so what is behind it may be a core, all cores, or
other hosts.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

from horizontal.announce import announce
from horizontal.conversation import Conversation, Lane
from horizontal.objects import Objects
from sfu_core.channel import messages as m
from sfu_core.channel.codec import NotificationFrame
from sfu_core.channel.journal import created_by, undoing
from sfu_core.channel.place import Place
from sfu_core.channel.server import FrameServer

R = TypeVar("R")

LINGER: Final = 2.0
"""Seconds for which an object is listened to after its end, for its last words."""


class ServedWorker:
    """One worker; several relays if its session is shared."""

    def __init__(self, worker: Any, place: Place) -> None:
        """`worker`: an API object, new; `place`: its Channel's, as clients are to see it."""
        self.worker = worker
        self.place = place
        self._channel = worker.channel
        self._loop = asyncio.get_running_loop()
        self._objects = Objects()
        self._lingering: dict[str, asyncio.TimerHandle] = {}
        self._relays: list[Relay] = []
        self._channel.on_log(self._log)
        self._channel.on_end(self._worker_ended)

    @property
    def relays(self) -> "list[Relay]":
        """Those who have a way to it."""
        return list(self._relays)

    def join(self, relay: "Relay") -> None:
        """From now on `relay` hears what the worker tells."""
        self._relays.append(relay)

    def leave(self, relay: "Relay", end_owned: bool) -> None:
        """It hears nothing more; what it has created may end with that."""
        self._relays.remove(relay)
        relay.keeps = not end_owned
        if end_owned:
            for message in relay.owned.values():
                self._channel.post(message)
        relay.owned.clear()

    async def request(self, message: m.Request[R], handler_id: str, relay: "Relay") -> R:
        """Passes it on, and takes note of objects that come and go."""
        answer: R = await self._channel.request(message, handler_id)
        for ended in self._objects.closed(message):
            self._listen_no_more(ended)
            relay.owned.pop(ended, None)
        if (created := created_by(message)) is not None:
            self._listen(created)
            self._objects.add(created, message, handler_id)
            if not handler_id:
                self._own(created, message, relay)
        return answer

    def notify(self, message: m.Notification, handler_id: str) -> None:
        """Passes it on; WorkerClose ends the worker for all."""
        if isinstance(message, m.WorkerClose):
            self.worker.close()
        else:
            self._channel.notify(message, handler_id)

    def on_end(self, listener: Callable[[Exception | None], None]) -> None:
        """As `Channel.on_end`."""
        self._channel.on_end(listener)

    def close(self) -> None:
        """Ends the worker."""
        self.worker.close()

    def _own(self, created: str, message: m.Request[Any], relay: "Relay") -> None:
        """A router or server of that client; if it has left meanwhile, nobody's."""
        undo = undoing(message)
        if undo is None or relay.keeps:
            return
        if relay in self._relays:
            relay.owned[created] = undo
        else:
            self._channel.post(undo)

    # News

    def _listen(self, id: str) -> None:
        if (timer := self._lingering.pop(id, None)) is not None:  # the id is used again
            timer.cancel()
            self._channel.unsubscribe(id)
        if id not in self._objects:
            self._channel.subscribe(id, lambda news: self._tell(id, news))

    def _listen_no_more(self, id: str) -> None:
        if id not in self._lingering:
            self._lingering[id] = self._loop.call_later(LINGER, self._forget, id)

    def _forget(self, id: str) -> None:
        self._lingering.pop(id, None)
        self._channel.unsubscribe(id)

    def _tell(self, id: str, news: m.Notification) -> None:
        if isinstance(news, m.ConsumerProducerClose | m.DataConsumerDataProducerClose | m.TransportCoreGone):
            for ended in self._objects.gone(id):
                self._listen_no_more(ended)
        for relay in self._relays:
            relay.notify(news, id)

    def _log(self, line: str) -> None:
        for relay in self._relays:
            relay.log(line)

    def _worker_ended(self, reason: Exception | None) -> None:
        for timer in self._lingering.values():
            timer.cancel()
        self._lingering.clear()


class Answering(FrameServer):
    """For peers that nobody vouches for: what is no notification breaks the rules, and fills no log."""

    def _on_notification_frame(self, frame: NotificationFrame) -> None:
        self._on_notification(self._codec.read_notification(frame), frame.handler_id)


class Relay(Answering):
    """A client's way to a worker, under a number of its own."""

    def __init__(self, served: ServedWorker, conversation: Conversation, number: int, announced: str) -> None:
        """`announced`: the address that is told to peers of transports which listen on all addresses."""
        super().__init__(Lane(conversation, number), self._asked, self._told)
        self.served = served
        self.number = number
        self.owned: dict[str, m.Request[None]] = {}
        """What this client has created on the worker itself, with the request that ends it."""
        self.keeps = False
        """It has left, and what it has created stays."""
        self._announced = announced
        served.join(self)

    def _asked(self, message: m.Request[Any], handler_id: str) -> Any:
        announce(message, self._announced)
        return self.served.request(message, handler_id, self)

    def _told(self, message: m.Notification, handler_id: str) -> None:
        # Requests before it take a turn of the loop to get under way.
        self._loop.call_soon(self.served.notify, message, handler_id)
