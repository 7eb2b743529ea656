"""What one client has at a server, which outlives its sockets; and what clients of a named session share.

Belongs to the server's event loop. Knows frames and workers; sockets only as wires that come and go.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from horizontal.announce import announced
from horizontal.conversation import Conversation, Lane
from horizontal.protocol import (
    SERVER,
    SERVER_CODEC,
    Call,
    Close,
    CreateWorker,
    Entry,
    GetStats,
    Told,
    WorkerAdded,
    WorkerCreated,
    WorkerEnded,
)
from horizontal.served_worker import Answering, Relay, ServedWorker
from horizontal.wire import Wire
from sfu_core import errors
from sfu_core.channel.codec import ProtocolError
from sfu_core.channel.messages import Notification, Request
from sfu_core.channel.settings import WorkerSettings
from sfu_core.errors import NotFoundError, SfuError

MAX_AT_WORK: Final = 1024
"""Requests of one client under way; more are not read from its socket."""

EARLY: Final = 16
"""Frames that may come for a worker before it exists."""

_log = logging.getLogger(__name__)

Method = Callable[..., Any]
Tell = Callable[..., None]


@dataclass(frozen=True)
class Terms:
    """What a server grants its clients; `grace` in seconds, `backlog` in bytes that a client may leave untaken."""

    grace: float
    backlog: int
    close_own_workers: bool


class Offer(Protocol):
    """What sessions need of the server."""

    async def create_worker(self, settings: WorkerSettings) -> Any: ...

    async def get_stats(self) -> Any: ...

    def methods(self, tell: Tell) -> Mapping[str, Method]: ...


class Space:
    """The workers of a session, or of all sessions of one name."""

    def __init__(self, close_own_workers: bool, shared: bool) -> None:
        self._close_own_workers = close_own_workers
        self.shared = shared
        self.sessions: list[Session] = []
        self.workers: list[ServedWorker] = []

    @property
    def alive(self) -> bool:
        """Somebody is in it, or may find workers in it that were kept."""
        return bool(self.sessions or (self.workers and not self._close_own_workers))

    def add(self, served: ServedWorker, creator: "Session") -> None:
        """A new worker; all others of the space are told."""
        self.workers.append(served)
        served.on_end(lambda _: self.workers.remove(served))
        for session in self.sessions:
            if session is not creator:
                session.offer(served)

    def leave(self, session: "Session") -> None:
        """Its last session takes the workers along, if the server does not keep them."""
        self.sessions.remove(session)
        if not self.sessions and self._close_own_workers:
            self.close()

    def close(self) -> None:
        """Ends all workers."""
        for served in list(self.workers):
            served.close()


class Session:
    """One client, as long as it is here or may come back."""

    def __init__(
        self,
        offer: Offer,
        terms: Terms,
        space: Space,
        identity: str,
        addresses: tuple[str, ...],
        ended: Callable[[], None],
    ) -> None:
        """`addresses`: where workers of this host can be reached from the client; `ended` is called at the end."""
        self.id = secrets.token_urlsafe(24)
        self.identity = identity
        self.wire: Wire | None = None
        self.conversation = Conversation(self._on_entry, self._overflow, terms.backlog)
        self._offer = offer
        self._terms = terms
        self._space = space
        self._addresses = addresses
        self._on_ended = ended
        self._control = Answering(Lane(self.conversation, SERVER), self._asked, _ignore, SERVER_CODEC)
        self._methods = offer.methods(self._tell)
        self._relays: dict[int, Relay] = {}
        self._early: dict[int, list[Entry]] = {}
        self._next_number = 2
        self._timer: asyncio.TimerHandle | None = None
        self._farewell: asyncio.Future[None] | None = None
        self.over = False
        space.sessions.append(self)

    def greet(self) -> None:
        """Tells of the workers that the others of the space have. To be called when the client can hear it."""
        for served in self._space.workers:
            if all(relay.served is not served for relay in self._relays.values()):
                self.offer(served)

    def supersede(self) -> None:
        """Another connection has come: what still comes over the present one does not count any more."""
        former, self.wire = self.wire, None
        if former is not None:
            former.abandon()
            self._farewell = asyncio.ensure_future(former.close(Close.REPLACED, "replaced by a newer connection"))

    async def run(self, wire: Wire, arrived: int) -> None:
        """Goes on over `wire` until it is cut; then the time of grace begins, or the session ends."""
        if self._timer is not None:
            self._timer.cancel()
        self.supersede()
        self.wire = wire
        await wire.run(arrived, self._hold)
        if self.wire is not wire:
            return
        self.wire = None
        if wire.ends_session:
            self.end()
        elif not self.over:
            self._timer = asyncio.get_running_loop().call_later(self._terms.grace, self.end)

    def end(self) -> None:
        """Gives up what belongs to the client. May be repeated."""
        if self.over:
            return
        self.over = True
        if self._timer is not None:
            self._timer.cancel()
        relays, self._relays = self._relays, {}
        self._space.leave(self)
        for relay in relays.values():
            relay.served.leave(relay)
        self.conversation.close()
        self._on_ended()

    async def refuse(self, code: Close, reason: str) -> None:
        """Ends it, and says why to the client, if it can hear."""
        wire, self.wire = self.wire, None
        self.end()
        if wire is not None:
            await wire.close(code, reason)

    def offer(self, served: ServedWorker) -> None:
        """A worker that somebody else has created."""
        number, self._next_number = self._next_number, self._next_number + 2
        self._control.notify(WorkerAdded(worker=number, place=served.place), "")
        self._join(served, number)

    # Frames

    @property
    def _at_work(self) -> int:
        return self._control.at_work + sum(relay.at_work for relay in self._relays.values())

    def _hold(self) -> Awaitable[None] | None:
        return self._room() if self._at_work > MAX_AT_WORK else None

    async def _room(self) -> None:
        while self._at_work > MAX_AT_WORK // 2:
            await asyncio.sleep(0.002)

    def _on_entry(self, entry: Entry) -> None:
        if entry.worker == SERVER:
            self._control.receive((entry.frame,))
        elif (relay := self._relays.get(entry.worker)) is not None:
            relay.receive((entry.frame,))
        elif (early := self._early.get(entry.worker)) is not None:
            if len(early) == EARLY:
                raise ProtocolError(f"too many frames for worker {entry.worker}, which is not there yet")
            early.append(entry)
        # else the client has not yet heard that the worker has ended

    def _overflow(self) -> None:
        _log.warning("a client takes nothing any more; its session is ended")
        wire, self.wire = self.wire, None
        self.end()
        if wire is not None:
            self._farewell = asyncio.ensure_future(wire.close(Close.SESSION_ENDED, "you take nothing any more"))

    # Requests to the server itself

    def _asked(self, message: Request[Any], _: str) -> Any:
        match message:
            case CreateWorker():
                return self._create(message.worker, message.settings)
            case GetStats():
                return self._offer.get_stats()
            case Call():
                return self._call(message.method, message.arguments)
        raise AssertionError(message)

    def _create(self, number: int, settings: WorkerSettings) -> Awaitable[WorkerCreated]:
        """From now on frames for it are kept: the next one may be in the same envelope."""
        if number % 2 == 0 or number in self._relays or number in self._early:
            raise TypeError(f"worker: {number} is even, or in use")
        self._early[number] = []
        return self._start(number, settings)

    async def _start(self, number: int, settings: WorkerSettings) -> WorkerCreated:
        try:
            worker = await self._offer.create_worker(settings)
            place = announced(worker.channel.place, self._addresses)
            served = ServedWorker(worker, place, self._space.shared)
            if self.over:
                served.close()
                raise SfuError("the session has ended")
            relay = self._join(served, number)
        finally:
            early = self._early.pop(number)
        self._space.add(served, self)
        relay.receive([each.frame for each in early])
        return WorkerCreated(place=served.place)

    def _join(self, served: ServedWorker, number: int) -> Relay:
        address = next(iter(served.place.announced_addresses), "")
        relay = self._relays[number] = Relay(served, self.conversation, number, address, self._worker_ended)
        return relay

    def _worker_ended(self, relay: Relay, reason: Exception | None) -> None:
        if self._relays.pop(relay.number, None) is None:
            return
        ended = WorkerEnded(worker=relay.number)
        if reason is not None:
            ended.error, ended.reason = errors.name_of(reason), str(reason)
        self._control.notify(ended, "")

    def _call(self, name: str, arguments: list[Any]) -> Any:
        method = self._methods.get(name)
        if method is None:
            raise NotFoundError(f"method: there is no {name}")
        return method(*arguments)

    def _tell(self, method: str, *arguments: Any) -> None:
        self._control.notify(Told(method=method, arguments=list(arguments)), "")


def _ignore(_: Notification, __: str) -> None:
    """Clients tell the server itself nothing."""
