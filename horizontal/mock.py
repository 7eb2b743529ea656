"""RemoteMediasoupClientMock: what the remote client is, over processes of this host; for development and tests.

Belongs to the application's event loop. There is no server, so nothing can be lost.
"""

import asyncio
from typing import Any

from horizontal.lifecycle import ConnectingManager
from sfu_core.channel.channel import Channel
from sfu_core.channel.process import ProcessSpawner
from sfu_core.channel.settings import WorkerSettings
from sfu_core.channel.spawner import Spawner
from sfu_core.errors import InvalidStateError
from sfu_core.mediasoup import Mediasoup
from sfu_core.stats import GetStats, get_stats_factory


class RemoteMediasoupClientMock(ConnectingManager):
    """A manager with the life of `RemoteMediasoupClient`; the URL is not used, nor are other options."""

    def __init__(self, url: str | None = None, *, listen_worker_died: bool = True, **options: Any) -> None:
        """`options`: whatever the remote client takes."""
        self._spawner: Spawner = ProcessSpawner()
        self._api = self._new_mediasoup(Mediasoup(self, listen_worker_died=listen_worker_died))
        self._stats: GetStats | None = None
        self._connecting: asyncio.Task[None] | None = None
        super().__init__(url)

    async def get_stats(self) -> Any:
        """The figures of this host, this process and its workers; None while not connected."""
        return None if self._stats is None else await self._stats.get_stats()

    async def spawn(self, settings: WorkerSettings) -> Channel:
        """A new process (see `sfu_core.channel.spawner.Spawner`)."""
        self._check()
        if self._mediasoup is None:
            raise InvalidStateError("there is no connection to a server")
        return await self._spawner.spawn(settings)

    def _connect(self, url: str) -> None:
        self._connecting = asyncio.ensure_future(self._open())

    async def _open(self) -> None:
        await asyncio.sleep(0)  # as late as with a server, so that listeners can be added
        self._stats = get_stats_factory(self._api)
        self.websocket_opened()
        self.connected(self._api)

    async def _disconnect(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        if self._stats is not None:
            self._stats.close()
            self._stats = None
