"""RemoteMediasoupServer: lets clients on other hosts use workers of this one.

Belongs to the application's event loop. What it offers is any manager, so servers may stand in front of one core, all
cores, or other servers.
"""

import asyncio
import contextlib
import logging
import resource
import secrets
import ssl as tls
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self, cast

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response as HttpResponse
from websockets.typing import Subprotocol

from horizontal.admission import (
    Authenticate,
    Doorkeeper,
    Lobby,
    LobbySocket,
    Porch,
    TellingSSL,
    TooManyError,
    credentials_of,
)
from horizontal.errors import AuthenticationError
from horizontal.lifecycle import WORKER_END
from horizontal.protocol import (
    INTERNAL_ERROR,
    MAX_MESSAGE,
    MIN_SILENCE,
    SUBPROTOCOL,
    Close,
    Hello,
    Welcome,
    checked_token,
    pack,
    read_hello,
)
from horizontal.session import Method, Session, Space, Tell, Terms
from horizontal.wire import CLOSE_TIMEOUT, QUIET, Wire, goodbye
from sfu_core import mediasoup as local
from sfu_core.channel.codec import ProtocolError
from sfu_core.channel.settings import WorkerSettings
from sfu_core.errors import InvalidStateError, SfuError
from sfu_core.mediasoup import Emitter
from sfu_core.stats import StatsReader

OPEN_TIMEOUT: Final = 5.0
"""Seconds that a client may take to say who it is, and again to say what it wants."""

TRY_AGAIN_LATER: Final = 1013
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_log = logging.getLogger(__name__)


class RemoteMediasoupServer(Emitter):
    """Offers a manager, or a mediasoup object, to clients.

    Events: `session` (id of the client's name, number of sessions), `close`. `async with` starts it, and closes it at
    the end.
    """

    def __init__(
        self,
        manager: Any = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tokens: Iterable[str] | None = None,
        authenticate: Authenticate | None = None,
        ssl: tls.SSLContext | None = None,
        allow_anonymous: bool = False,
        allow_files: bool = False,
        announced_addresses: Iterable[str] = (),
        grace: float = 30.0,
        silence: float = 1.5,
        close_own_workers: bool = True,
        max_sessions: int = 1000,
        max_workers: int = 1024,
        max_backlog: int = 32 * 2**20,
        extra_connection_payload: Callable[[], Mapping[str, Any]] = dict,
        extra_methods_factory: Callable[[Tell], Mapping[str, Method]] = lambda tell: {},
    ) -> None:
        """`manager`: what has `mediasoup` and `get_stats`, or a mediasoup object; default: core processes of this host.

        Clients show one of `tokens`, a certificate that `ssl` asks for, or what `authenticate` accepts. Without any
        of these only a loopback address can be listened on, unless `allow_anonymous`. `allow_files`: whether clients
        may name files of this host (`dtls_certificate_file`, `dtls_private_key_file`). `announced_addresses`: where
        peers reach this host, best first; default: the address that the client has reached it by. `grace`: seconds
        for which a client that was cut may come back. `silence`: seconds after which one that says nothing counts as
        cut. `close_own_workers`: whether workers end with the client that wanted them. `max_backlog`: bytes that a
        client may leave untaken. The extras are merged into the greeting, and callable by clients.
        """
        super().__init__()
        self._mediasoup, self._get_stats = _parts_of(manager)
        self._stats = StatsReader()
        anonymous = tokens is None and authenticate is None and (ssl is None or ssl.verify_mode != tls.CERT_REQUIRED)
        if anonymous and not allow_anonymous and host not in _LOOPBACK:
            raise TypeError("tokens: none, and no other way to know clients, needs allow_anonymous")
        self._listen = (host, port)
        self._ssl = ssl
        if ssl is not None:
            ssl.sslobject_class = TellingSSL
        self._credentials = (None if tokens is None else [checked_token(each) for each in tokens], authenticate)
        self._allow_files = allow_files
        self._addresses = tuple(announced_addresses)
        self._terms = Terms(grace=grace, backlog=max_backlog, close_own_workers=close_own_workers)
        self._silence = silence
        self._max_sessions = max_sessions
        self._max_workers = max_workers
        self._extra_payload = extra_connection_payload
        self._extra_methods = extra_methods_factory
        self._instance = secrets.token_hex(8)
        self._sessions: dict[str, Session] = {}
        self._spaces: dict[tuple[str, str], Space] = {}
        self._starting: set[asyncio.Future[Any]] = set()
        self._running: dict[Any, None] = {}  # workers, oldest first, with those whose session has ended
        self._server: Server | None = None
        self._closing: asyncio.Task[None] | None = None

    # What applications use

    async def listen(self) -> Self:
        """Starts to serve, once; OSError if it cannot listen there."""
        if self._server is not None or self._closing is not None:
            raise InvalidStateError("it listens already, or was closed")
        self._door = Doorkeeper(*self._credentials)
        limit = _lobby_limit()
        self._lobby = Lobby(limit)
        host, port = self._listen
        self._server = await serve(
            self._serve,  # type: ignore[arg-type]
            host,
            port,
            backlog=min(100, limit // 4),  # asyncio accepts as many in a turn, and it takes some to push others out
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            process_request=self._admit,  # type: ignore[arg-type]
            server_header=None,
            open_timeout=OPEN_TIMEOUT,
            ping_interval=None,
            close_timeout=CLOSE_TIMEOUT,
            max_size=MAX_MESSAGE,
            logger=QUIET,
            create_connection=cast(type[ServerConnection], self._accepted),
        )
        return self

    @property
    def port(self) -> int:
        """Where it listens."""
        if self._server is None:
            raise SfuError("the server does not listen")
        return int(next(iter(self._server.sockets)).getsockname()[1])

    @property
    def url(self) -> str:
        """What clients of this host connect to."""
        host = f"[{self._listen[0]}]" if ":" in self._listen[0] else self._listen[0]
        return f"{'ws' if self._ssl is None else 'wss'}://{host}:{self.port}"

    @property
    def sessions(self) -> int:
        """How many clients there are, with those that are cut and may come back."""
        return len(self._sessions)

    @property
    def workers(self) -> list[Any]:
        """What clients have created, as API objects."""
        return [worker for worker in self._running if not worker.closed]

    def close(self) -> None:
        """Ends all sessions, and the workers unless they are kept. May be repeated."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())

    async def wait_closed(self) -> None:
        """After `close()`: wait for the end of everything."""
        if self._closing is not None:
            await asyncio.shield(self._closing)

    async def __aenter__(self) -> Self:
        return await self.listen()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        await self.wait_closed()

    # For its sessions

    async def create_worker(self, settings: WorkerSettings) -> Any:
        """A new worker of the manager."""
        files = (settings.dtls_certificate_file, settings.dtls_private_key_file)
        if files != (None, None) and not self._allow_files:
            raise TypeError("wrong settings: dtlsCertificateFile: the server does not let clients name its files")
        mediasoup = self._mediasoup()
        if mediasoup is None:
            raise SfuError("the server has no workers to offer now")
        if len(self._running) + len(self._starting) >= self._max_workers:
            raise SfuError("the server has as many workers as it may have")
        starting = asyncio.ensure_future(mediasoup.create_worker(**msgspec.structs.asdict(settings)))
        self._starting.add(starting)
        try:
            worker = await starting
        finally:
            self._starting.discard(starting)
        self._running[worker] = None
        worker.channel.on_end(lambda _: self._running.pop(worker))
        return worker

    async def get_stats(self) -> Any:
        """Those of the manager."""
        if self._get_stats is not None:
            return await self._get_stats()
        return self._stats.read([worker.pid for worker in self._running])

    def methods(self, tell: Tell) -> Mapping[str, Method]:
        """What the operator has added, for one session."""
        return self._extra_methods(tell)

    # Inside

    def _accepted(self, *args: Any, **options: Any) -> asyncio.Protocol:
        """What takes care of a connection: the library's, behind TLS if there is to be any."""
        socket = LobbySocket(self._lobby, *args, **options)
        return socket if self._ssl is None else Porch(self._lobby, self._ssl, OPEN_TIMEOUT, socket)

    async def _admit(self, socket: LobbySocket, request: HttpRequest) -> HttpResponse | None:
        """The answer to whoever may not come in."""
        try:
            socket.identity = await self._door.admit(credentials_of(socket, request))
        except TooManyError as error:
            return socket.respond(HTTPStatus.TOO_MANY_REQUESTS, f"{error}\n")
        except AuthenticationError as error:
            response = socket.respond(HTTPStatus.UNAUTHORIZED, f"{error}\n")
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        except Exception:
            _log.exception("a client could not be let in")
            return socket.respond(HTTPStatus.INTERNAL_SERVER_ERROR, "the server failed to look at you\n")
        return None

    async def _serve(self, socket: LobbySocket) -> None:
        """One socket, from the greeting to its end."""
        try:
            async with asyncio.timeout(OPEN_TIMEOUT):
                hello = read_hello(await socket.recv())
        except (ProtocolError, TimeoutError) as error:
            await goodbye(socket, Close.PROTOCOL_ERROR, str(error) or "no hello came")
            return
        except ConnectionClosed:
            return
        finally:
            socket.admitted()
        try:
            extra = msgspec.to_builtins(dict(self._extra_payload()), builtin_types=(bytes,))
            session, resumed = self._session_for(hello, socket)
        except Exception:
            _log.exception("a client could not be greeted")
            await goodbye(socket, INTERNAL_ERROR, "the server failed to greet you")
            return
        if session is None:
            await goodbye(socket, TRY_AGAIN_LATER, "the server is full")
            return
        silence = max(MIN_SILENCE, min(self._silence, hello.silence or self._silence))
        with contextlib.suppress(ConnectionClosed):
            await socket.send(pack(self._welcome(session, resumed, silence, extra)))
        if not resumed:
            session.greet()
        arrived = hello.resume.received if hello.resume is not None and resumed else 0
        await session.run(Wire(socket, session.conversation, silence), arrived)

    def _session_for(self, hello: Hello, socket: LobbySocket) -> tuple[Session | None, bool]:
        """The session that the client wants to go on with, if it is there and its own; else a new one."""
        if hello.resume is not None:
            former = self._sessions.get(hello.resume.session)
            if former is not None and former.identity == socket.identity:
                former.supersede()
                return former, True
        if len(self._sessions) >= self._max_sessions or self._closing is not None:
            return None, False
        addresses = self._addresses or _address_of(socket)
        space = self._space(socket.identity, hello.name)
        session = Session(self, self._terms, space, socket.identity, addresses, lambda: self._ended(session))
        self._sessions[session.id] = session
        self.emit("session", len(self._sessions))
        return session, False

    def _space(self, identity: str, name: str | None) -> Space:
        if name is not None:
            return self._spaces.setdefault((identity, name), Space(self._terms.close_own_workers, shared=True))
        return Space(self._terms.close_own_workers, shared=False)

    def _ended(self, session: Session) -> None:
        del self._sessions[session.id]
        self._spaces = {key: each for key, each in self._spaces.items() if each.alive}
        self.emit("session", len(self._sessions))

    def _welcome(self, session: Session, resumed: bool, silence: float, extra: dict[str, Any]) -> Welcome:
        return Welcome(
            session=session.id,
            instance=self._instance,
            resumed=resumed,
            received=session.conversation.received,
            grace=self._terms.grace,
            silence=silence,
            version=getattr(self._mediasoup(), "version", local.version),
            extra=extra,
        )

    async def _close(self) -> None:
        if self._server is None:
            return
        sessions = list(self._sessions.values())
        await asyncio.gather(*(session.refuse(Close.GOING_AWAY, "the server stops") for session in sessions))
        if self._starting:
            await asyncio.wait(self._starting)
            await asyncio.sleep(0)  # who waited for them has closed them
        if self._terms.close_own_workers:
            workers = list(self._running)
            for worker in workers:
                worker.close()
            with contextlib.suppress(TimeoutError):  # those of a server that is out of reach end when it is given up
                async with asyncio.timeout(WORKER_END):
                    await asyncio.gather(*(worker.channel.ended() for worker in workers))
        self._lobby.close()
        self._server.close()
        await self._server.wait_closed()
        self.emit("close")


def _parts_of(manager: Any) -> tuple[Callable[[], Any], Callable[[], Any] | None]:
    """How to get at its API and at its figures."""
    if manager is None:
        return (lambda: local), None
    if hasattr(manager, "create_worker"):
        return (lambda: manager), None
    if not hasattr(manager, "mediasoup"):
        raise TypeError("manager: has neither mediasoup nor create_worker")
    return (lambda: manager.mediasoup), getattr(manager, "get_stats", None)


def _address_of(socket: LobbySocket) -> tuple[str, ...]:
    """The local address by which the client has reached us."""
    local_name = socket.transport.get_extra_info("sockname")
    return (str(local_name[0]),) if local_name else ()


def _lobby_limit() -> int:
    """A quarter of the descriptors that this process may have, at most 1024."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1024 if soft == resource.RLIM_INFINITY else max(16, min(1024, soft // 4))
