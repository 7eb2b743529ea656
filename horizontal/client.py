"""RemoteMediasoupClient: the API of mediasoup over workers of another host.

Belongs to the application's event loop. Connects by `horizontal.connection`, which clients of one URL share.
"""

import asyncio
import ssl as tls
from typing import Any, Final

from horizontal.channel import RemoteChannel, RemoteSession
from horizontal.connection import Connection, Endpoint, checked_url
from horizontal.lifecycle import ConnectingManager
from horizontal.protocol import Call, GetStats, checked_token
from sfu_core.channel.channel import Channel
from sfu_core.channel.settings import WorkerSettings
from sfu_core.errors import InvalidStateError, SfuError
from sfu_core.mediasoup import Mediasoup, Worker

REQUEST_TIMEOUT: Final = 30.0
SILENCE: Final = 1.5


class RemoteMediasoupClient(ConnectingManager):
    """A manager: `mediasoup` is the API, whose workers are at the server. Events: see `ConnectingManager`.

    And `told` (method, *arguments), from what the server's operator has added.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        ssl: tls.SSLContext | None = None,
        session: str | None = None,
        listen_worker_died: bool = True,
        request_timeout: float = REQUEST_TIMEOUT,
        silence: float = SILENCE,
    ) -> None:
        """Connects to `url` (ws: or wss:), or to what `open()` is given.

        `token`: what the server knows us by; `ssl`: whom we trust, and the certificate that we show. Clients with the
        same `session` name and the same token share their workers and all that is in them. `listen_worker_died`:
        whether workers emit `died`. `request_timeout`: seconds after which a call fails that is not answered, also
        while the server is out of reach. `silence`: seconds after which a server that says nothing counts as lost.
        """
        self._token = None if token is None else checked_token(token)
        self._ssl = ssl
        self._name = session
        self._timeout = request_timeout
        self._silence = silence
        self._api = self._new_mediasoup(Mediasoup(self, listen_worker_died=listen_worker_died))
        self._connection: Connection | None = None
        self._adopting: set[asyncio.Future[Any]] = set()
        super().__init__(url)

    @property
    def extra(self) -> dict[str, Any]:
        """What the server's operator has put into its greeting."""
        session = self._session
        return {} if session is None else session.extra

    async def get_stats(self) -> Any:
        """The figures of what the server offers; None while not connected."""
        session = self._session
        return None if session is None else await session.ask(GetStats(), self._timeout)

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call what the server's operator has added; NotFoundError if there is no such method."""
        return await self._reachable().ask(Call(method=method, arguments=list(arguments)), self._timeout)

    async def spawn(self, settings: WorkerSettings) -> Channel:
        """A new worker at the server (see `sfu_core.channel.spawner.Spawner`)."""
        return await self._reachable().create_worker(settings, self._timeout)

    # As the user of a connection

    def greeted(self, session: RemoteSession) -> None:
        """The server is there, and so is the API."""
        self._api.version = session.version
        self.connected(self._api)

    def worker_added(self, channel: RemoteChannel) -> None:
        """Somebody else of the same named session has a worker."""
        task = asyncio.ensure_future(self._adopt(channel))
        self._adopting.add(task)
        task.add_done_callback(self._adopting.discard)

    def told(self, method: str, arguments: list[Any]) -> None:
        """From the methods that the server's operator has added."""
        self.emit("told", method, *arguments)

    # Inside

    @property
    def _session(self) -> RemoteSession | None:
        return None if self._connection is None or self._mediasoup is None else self._connection.session

    def _reachable(self) -> RemoteSession:
        self._check()
        session = self._session
        if session is None:
            raise InvalidStateError("there is no connection to a server")
        return session

    async def _adopt(self, channel: RemoteChannel) -> None:
        try:
            await self._api.adopt(channel)
        except SfuError:  # it has ended already
            channel.end(None)

    def _connect(self, url: str) -> None:
        checked_url(url, self._ssl is not None)
        endpoint = Endpoint(url, self._token, self._ssl, self._name, self._silence, self._timeout)
        self._connection = Connection.to(endpoint)
        self._connection.join(self)

    def _end_worker(self, worker: Worker) -> None:
        """Those of a named session belong to the others, too, and end with its last client."""
        if self._name is not None and isinstance(worker.channel, RemoteChannel):
            worker.channel.end(None)
        worker.close()

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.leave(self)
