"""The way to a server: one socket at a time, for all clients of this process that want the same; opened anew when cut.

Belongs to the clients' event loop. Knows sockets, tries and times; what is said over them is the session's affair.
"""

import asyncio
import random
import ssl as tls
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidURI
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from horizontal.channel import RemoteChannel, RemoteSession
from horizontal.errors import SessionLostError
from horizontal.failures import explained, is_final
from horizontal.protocol import MAX_MESSAGE, SUBPROTOCOL, Close, Hello, Resume, Welcome, pack, read_welcome
from horizontal.wire import CLOSE_TIMEOUT, QUIET, ClientSocket, Wire, abort, goodbye
from sfu_core.channel.codec import ProtocolError
from sfu_core.errors import UnsupportedError
from sfu_core.version import VERSION

FIRST_TIMEOUT: Final = 10.0
"""Seconds for the first try to reach a server."""

TIMEOUT: Final = 2.0
"""Seconds for a try after a cut: what is sent into a broken network is best forgotten."""

DELAYS: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds between tries; the last one for ever."""

LASTING: Final = 1.0
"""Seconds after which a connection was worth its name: the next try begins with the first of the delays."""


@dataclass(frozen=True)
class Endpoint:
    """What clients must have in common to share a socket. A named session is never shared inside a process."""

    url: str = field(repr=False)
    token: str | None = field(repr=False)
    ssl: tls.SSLContext | None
    name: str | None
    silence: float
    timeout: float


class User(Protocol):
    """A client, as the connection sees it."""

    def websocket_opened(self) -> None: ...

    def greeted(self, session: RemoteSession) -> None: ...

    def cut(self, was_clean: bool) -> None: ...

    def lost(self) -> None: ...

    def failed(self, error: Exception, again: bool) -> None: ...

    def given_up(self) -> None: ...

    def worker_added(self, channel: RemoteChannel) -> None: ...

    def told(self, method: str, arguments: list[Any]) -> None: ...


_connections: WeakKeyDictionary[asyncio.AbstractEventLoop, "dict[Endpoint, Connection]"] = WeakKeyDictionary()


def shown(url: str) -> str:
    """For messages: without what may be secret, which is user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def checked_url(url: str, secured: bool) -> None:
    """TypeError for what is no WebSocket URL, or not for TLS where that is wanted."""
    try:
        parsed = parse_uri(url)
    except InvalidURI as error:
        raise TypeError(f"url: {error.msg}") from None
    if secured and not parsed.secure:
        raise TypeError("url: ssl was given, but it does not begin with wss:")


class Connection:
    """To one server, while anybody uses it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._users: list[User] = []
        self._loop = asyncio.get_running_loop()
        self._wire: Wire | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.session: RemoteSession | None = None
        self.open = False
        self._failing = False
        self._task = self._loop.create_task(self._run())

    @classmethod
    def to(cls, endpoint: Endpoint) -> "Connection":
        """The one there is, or a new one."""
        mine = _connections.setdefault(asyncio.get_running_loop(), {})
        found = mine.get(endpoint) if endpoint.name is None else None
        if found is None:
            found = cls(endpoint)
            if endpoint.name is None:
                mine[endpoint] = found
        return found

    def join(self, user: User) -> None:
        """From now on `user` hears what happens, and first what has happened already."""
        self._users.append(user)
        if self.open:
            self._loop.call_soon(self._inform, user)

    async def leave(self, user: User) -> None:
        """The last to leave closes it."""
        self._users.remove(user)
        if not self._users:
            self._forget()
            await self._close()

    def _inform(self, user: User) -> None:
        if self.open and self.session is not None and user in self._users:
            user.websocket_opened()
            user.greeted(self.session)

    def _forget(self) -> None:
        """Who comes now gets a new one."""
        mine = _connections.get(self._loop, {})
        if mine.get(self._endpoint) is self:
            del mine[self._endpoint]

    async def _close(self) -> None:
        wire = self._wire
        if wire is not None:
            if self.session is not None:
                self.session.conversation.flush()
            await wire.close(Close.DONE)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._lose(None)

    # The life of it

    async def _run(self) -> None:
        tries = 0
        while self._users:
            try:
                socket, welcome = await self._reach()
            except Exception as error:
                if self._missed(explained(error, shown(self._endpoint.url))):
                    return
            else:
                began = self._loop.time()
                if not await self._carry(socket, welcome):
                    return
                if self._loop.time() - began > LASTING:
                    tries = 0
            await asyncio.sleep(DELAYS[min(tries, len(DELAYS) - 1)] * random.uniform(0.75, 1.25))
            tries += 1

    def _missed(self, failure: Exception) -> bool:
        """A try has failed; whether it was the last one."""
        final = is_final(failure)
        self._failed(failure, again=not final and (self._failing or self.session is not None))
        self._failing = True
        if final:
            self._give_up(failure)
        return final

    async def _reach(self) -> tuple[ClientSocket, Welcome]:
        """Opens a socket and exchanges greetings."""
        async with asyncio.timeout(FIRST_TIMEOUT if self.session is None else TIMEOUT):
            socket = await _open(self._endpoint)
            try:
                self._each(lambda user: user.websocket_opened())
                hello = self._hello()
                await socket.send(pack(hello))
                return socket, read_welcome(await socket.recv(), hello)
            except BaseException as error:
                if isinstance(error, ProtocolError):
                    await goodbye(socket, Close.PROTOCOL_ERROR, str(error))
                elif not self._users:  # a session may have begun
                    await goodbye(socket, Close.DONE)
                abort(socket)
                self._each(lambda user: user.cut(False))
                raise

    def _hello(self) -> Hello:
        session = self.session
        return Hello(
            client=f"sfu-core {VERSION}",
            silence=self._endpoint.silence,
            name=self._endpoint.name,
            resume=None if session is None else Resume(session.id, session.conversation.received),
        )

    async def _carry(self, socket: ClientSocket, welcome: Welcome) -> bool:
        """Until the socket ends; whether there is to be another one."""
        if welcome.resumed and self.session is None:  # given up while the greetings were under way
            await goodbye(socket, Close.DONE)
            self._each(lambda user: user.cut(True))
            return True
        self._failing = False
        session = self._session_of(welcome)
        wire = self._wire = Wire(socket, session.conversation, welcome.silence)
        self.open = True
        self._each(lambda user: user.greeted(session))
        await wire.run(welcome.received if welcome.resumed else 0)
        self.open, self._wire = False, None
        if not self._users:  # closed by us
            self._lose(None)
            return False
        error = wire.error if isinstance(wire.error, ProtocolError) else None
        if wire.said(Close.PROTOCOL_ERROR) or wire.said(Close.NOT_TEXT) or wire.said(Close.TOO_BIG):
            error = error or ProtocolError(wire.reason)
        if error is not None or wire.ends_session or wire.said(Close.REPLACED):
            self._lose(error or SessionLostError(wire.reason))
        else:
            self._timer = self._loop.call_later(session.grace, self._lose, _too_long(session.grace))
        self._each(lambda user: user.cut(wire.was_clean))
        if wire.said(Close.SESSION_ENDED) or wire.said(Close.REPLACED):
            self._failed(SessionLostError(wire.reason))
        if error is not None:
            self._failed(error)
        if error is not None or wire.said(Close.REPLACED):
            self._give_up(error or SessionLostError(wire.reason))
            return False
        return True

    def _session_of(self, welcome: Welcome) -> RemoteSession:
        """The one we had, if it goes on; else a new one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        former = self.session
        if former is not None and welcome.resumed:
            return former
        if former is not None:
            restarted = welcome.instance != former.instance
            self._lose(SessionLostError("the server was restarted" if restarted else "the server has given us up"))
        self.session = RemoteSession(welcome, self._added, self._told, self._endpoint.timeout)
        return self.session

    def _lose(self, reason: Exception | None) -> None:
        """What belonged to us at the server is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        session, self.session = self.session, None
        if session is not None:
            session.lose(reason)
            self._each(lambda user: user.lost())

    def _failed(self, error: Exception, again: bool = False) -> None:
        self._each(lambda user: user.failed(error, again))

    def _give_up(self, reason: Exception) -> None:
        self._forget()
        self._lose(reason)
        self._each(lambda user: user.given_up())

    def _added(self, channel: RemoteChannel) -> None:
        self._each(lambda user: user.worker_added(channel))

    def _told(self, method: str, arguments: list[Any]) -> None:
        self._each(lambda user: user.told(method, arguments))

    def _each(self, tell: Callable[[User], None]) -> None:
        for user in list(self._users):
            tell(user)


class _Connect(connect):
    """The library's, which would follow redirections, and take the token there."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def _open(endpoint: Endpoint) -> ClientSocket:
    headers = {} if endpoint.token is None else {"Authorization": f"Bearer {endpoint.token}"}
    options: dict[str, Any] = {} if endpoint.ssl is None else {"ssl": endpoint.ssl}
    if endpoint.url.startswith("wss:"):
        options["ssl_shutdown_timeout"] = CLOSE_TIMEOUT
    made: list[ClientSocket] = []

    def make(*args: Any, **more: Any) -> ClientSocket:
        made.append(ClientSocket(*args, **more))
        return made[-1]

    connecting = _Connect(
        endpoint.url,
        subprotocols=[Subprotocol(SUBPROTOCOL)],
        compression=None,
        additional_headers=headers,
        proxy=None,
        open_timeout=None,
        ping_interval=None,
        close_timeout=CLOSE_TIMEOUT,
        max_size=MAX_MESSAGE,
        logger=QUIET,
        create_connection=cast(type[ClientSocket], make),
        **options,
    )
    try:
        socket = await connecting
    except InvalidHandshake as error:
        await made[-1].wait_closed()
        if made[-1].lost is not None:
            raise error from made[-1].lost
        raise
    if socket.subprotocol != SUBPROTOCOL:
        abort(socket)
        raise UnsupportedError(f"the server does not speak {SUBPROTOCOL}")
    return cast(ClientSocket, socket)


def _too_long(grace: float) -> SessionLostError:
    return SessionLostError(f"the server was out of reach for {grace:g} s")
