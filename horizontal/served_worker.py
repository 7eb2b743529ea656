"""A worker that a server has created for its clients, and their ways to it.

Belongs to the server's event loop. Needs only the worker's Channel, so what is behind it may be a core, all cores, or
other hosts.
"""

import asyncio
import math
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from horizontal.announce import announce
from horizontal.conversation import Conversation, Lane
from sfu_core.channel import messages as m
from sfu_core.channel.codec import NotificationFrame
from sfu_core.channel.journal import Entry, Journal, Told, closed_by, created_by, is_shared, peer_done
from sfu_core.channel.place import Place
from sfu_core.channel.server import FrameServer
from sfu_core.errors import NotFoundError

LINGER: Final = 2.0
"""Seconds for which an object is listened to after its end, for its last words."""

Ended = Callable[["Relay", Exception | None], None]

NOTHING: Final = -1.0
EVERYTHING: Final = math.inf
"""What a relay knows of the objects that others have made, before it asks for them and after it has been told."""


class ServedWorker:
    """One worker; several relays if its session is shared."""

    def __init__(self, worker: Any, place: Place, shared: bool) -> None:
        """`worker`: an API object, new; `place`: its Channel's, as clients are to see it; `shared`: by several."""
        self.worker = worker
        extensions = place.extensions | m.SHARING if shared else place.extensions - m.SHARING
        self.place = msgspec.structs.replace(place, extensions=extensions)
        self._shared = shared
        self._channel = worker.channel
        self._loop = asyncio.get_running_loop()
        self._journal = Journal()
        self._lingering: dict[str, asyncio.TimerHandle] = {}
        self._relays: list[Relay] = []
        self._last_serial = 0
        self._channel.on_log(self._log)
        self._channel.on_end(self._worker_ended)

    @property
    def relays(self) -> "list[Relay]":
        """Those who have a way to it."""
        return list(self._relays)

    def join(self, relay: "Relay") -> int:
        """From now on `relay` hears what the worker tells. The number by which it is known here."""
        self._relays.append(relay)
        self._last_serial += 1
        return self._last_serial

    def leave(self, relay: "Relay") -> None:
        """It hears nothing more. What it has created belongs to the session, and stays."""
        if relay in self._relays:
            self._relays.remove(relay)

    async def request(self, message: m.Request[Any], handler_id: str, relay: "Relay") -> Any:
        """Passes it on, and takes note of objects that come, change and go."""
        if self._shared and isinstance(message, m.WorkerFollowPeers):
            await self._follow(relay)
            return None
        answer = await self._ask(message, handler_id)
        told = (peer_done(message, answer), handler_id) if self._shared and is_shared(message) else None
        self._note(message, handler_id, told, relay)
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

    # Objects

    async def _ask(self, message: m.Request[Any], handler_id: str) -> Any:
        if self._shared and isinstance(message, m.WorkerDescribeRouter):
            return None
        try:
            return await self._channel.request(message, handler_id)
        except NotFoundError:
            if not self._shared or closed_by(message) is None:
                raise
            return None  # another client has closed it: that is what this one wants

    def _note(self, message: m.Request[Any], handler_id: str, told: Told | None, relay: "Relay") -> None:
        """It was accepted; `told`: what the others are told of it."""
        if (id := created_by(message)) is not None:
            self._ended(self._journal.forget(id))  # if the worker has an id again, the former object was gone
            entry = self._journal.created(message, handler_id, told, relay.serial)
            if entry is not None:
                self._listen(id)
                self._tell_peers(entry, told, relay)
        elif closed_by(message) is not None:
            if ended := self._journal.closed(message):
                self._ended(ended)
                self._tell_peers(ended[0], told, relay)
        elif told is not None:
            entry = self._journal.changed(message, handler_id, told)
            if entry is not None:
                # Who asked hears it, too: two may have asked at once, and the last one counts for both.
                self._tell_peers(entry, told, None)

    def _tell_peers(self, entry: Entry, told: Told | None, asked: "Relay | None") -> None:
        if told is None:  # it has no peers
            return
        for relay in self._relays:
            if relay is not asked and relay.has(entry):
                relay.notify(*told)

    async def _follow(self, relay: "Relay") -> None:
        """Tells it of what is there, as fast as it takes it. What comes to be meanwhile comes at the end."""
        if relay.knows != NOTHING:
            return
        relay.knows = 0
        while missing := [entry for entry in self._journal if entry.serial > relay.knows]:
            for entry in missing:
                if self._journal.get(entry.id) is entry and entry.creator != relay.serial:
                    for told in entry.told():
                        relay.notify(*told)
                relay.knows = entry.serial
                await relay.drained()
                if relay not in self._relays:
                    return
        relay.knows = EVERYTHING

    # News

    def _listen(self, id: str) -> None:
        if (timer := self._lingering.pop(id, None)) is not None:  # the id is used again
            timer.cancel()
            self._channel.unsubscribe(id)
        self._channel.subscribe(id, lambda news: self._tell(id, news))

    def _ended(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if entry.id not in self._lingering:
                self._lingering[entry.id] = self._loop.call_later(LINGER, self._forget, entry.id)

    def _forget(self, id: str) -> None:
        self._lingering.pop(id, None)
        self._channel.unsubscribe(id)

    def _tell(self, id: str, news: m.Notification) -> None:
        if isinstance(news, m.ConsumerProducerClose | m.DataConsumerDataProducerClose | m.TransportCoreGone):
            self._ended(self._journal.forget(id))
        elif self._shared:
            self._journal.changed(news, id, (news, id))
        for relay in self._relays:
            relay.notify(news, id)

    def _log(self, line: str) -> None:
        for relay in self._relays:
            relay.log(line)

    def _worker_ended(self, reason: Exception | None) -> None:
        for timer in self._lingering.values():
            timer.cancel()
        self._lingering.clear()
        relays, self._relays = self._relays, []
        for relay in relays:
            relay.ended(relay, reason)


class Answering(FrameServer):
    """For peers that nobody vouches for: what is no notification breaks the rules, and fills no log."""

    def _on_notification_frame(self, frame: NotificationFrame) -> None:
        self._on_notification(self._codec.read_notification(frame), frame.handler_id)


class Relay(Answering):
    """A client's way to a worker, under a number of its own."""

    def __init__(
        self, served: ServedWorker, conversation: Conversation, number: int, announced: str, ended: Ended
    ) -> None:
        """`announced`: the address that is told to peers of transports which listen on all addresses.

        `ended` is called if the worker ends before the client has left it.
        """
        super().__init__(Lane(conversation, number), self._asked, self._told)
        self.ended = ended
        self.served = served
        self.number = number
        self.knows = NOTHING
        """The `serial` of the last object that it has been told of, if it follows its peers."""
        self._announced = announced
        self.serial = served.join(self)

    def has(self, entry: Entry) -> bool:
        """Whether it follows its peers, and has been told of the object or has created it."""
        return self.knows != NOTHING and (entry.serial <= self.knows or entry.creator == self.serial)

    async def drained(self) -> None:
        """Waits until the client has taken most of what it was told, or is gone."""
        if self._sink.congested:
            await self._sink.drained()

    def _asked(self, message: m.Request[Any], handler_id: str) -> Any:
        announce(message, self._announced)
        return self.served.request(message, handler_id, self)

    def _told(self, message: m.Notification, handler_id: str) -> None:
        # Requests before it take a turn of the loop to get under way.
        self._loop.call_soon(self.served.notify, message, handler_id)
