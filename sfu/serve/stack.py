"""What a server offers: one core process a worker, all cores, another server, many servers, or all cores of these.

Belongs to the server's event loop. Makes managers and ends them again; knows nothing of clients.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from horizontal import MediasoupHorizontal, ReadyState, RemoteMediasoupClient
from horizontal.connection import shown
from horizontal.directory import Directory, Follower
from sfu.serve import certificates
from sfu.serve.options import Options, blaming
from sfu_core import mediasoup as local
from sfu_core.errors import SfuError
from sfu_core.stats import get_stats_factory
from vertical import MediasoupVertical

PATIENCE: Final = 2.0
"""Seconds for what somebody else must answer before it is done without."""

AGAIN: Final = 10.0
"""Seconds until a server below is asked again that has refused us; one that is out of reach is tried at once."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stack:
    """The managers, and a word for the whole."""

    name: str
    manager: Any
    vertical: MediasoupVertical | None = None
    horizontal: MediasoupHorizontal | None = None
    client: RemoteMediasoupClient | None = None

    @property
    def reachable(self) -> bool:
        """Whether those below can be asked for workers at this moment, if there are any below."""
        if self.horizontal is not None:
            return any(host.open for host in self.horizontal.hosts)
        return self.client is None or self.client.ready_state is ReadyState.CONNECTED


class Local:
    """A manager of core processes of this host, one a worker."""

    def __init__(self) -> None:
        self.mediasoup = local
        self._stats = get_stats_factory(local)

    async def get_stats(self) -> Any:
        """Of the host, of this process and of the workers."""
        return await self._stats.get_stats()

    def close(self) -> None:
        """Workers are no longer counted."""
        self._stats.close()


class Front:
    """The manager that clients get their workers from: what the stack has, but nothing new while draining."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.draining = False

    @property
    def mediasoup(self) -> Any:
        """The API; None while draining, and while there is none below."""
        return None if self.draining else self._stack.manager.mediasoup

    @property
    def ready(self) -> bool:
        """Whether workers can be created now; while those below are out of reach, who asks has to wait."""
        return self.mediasoup is not None and self._stack.reachable

    async def get_stats(self) -> Any:
        """Those of the manager."""
        return await self._stack.manager.get_stats()


class LastKnown:
    """Figures for the directory, which is to hear that we drain or leave also if nobody gives new ones."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._figures: Any = None

    async def get_stats(self) -> Any:
        """Those of now, or of before; SfuError if there were none yet."""
        async with patiently():
            self._figures = await self._front.get_stats() or self._figures
        if self._figures is None:
            raise SfuError("it has nothing to offer yet")
        return self._figures


@contextlib.asynccontextmanager
async def patiently() -> AsyncIterator[None]:
    """What somebody else does not say in time, or at all, is left out."""
    with contextlib.suppress(SfuError, TimeoutError):
        async with asyncio.timeout(PATIENCE):
            yield


@contextlib.asynccontextmanager
async def managed(options: Options, directory: Directory | None) -> AsyncIterator[Stack]:
    """What the options ask for; all of it has ended after the block. Other servers need not be there yet."""
    async with contextlib.AsyncExitStack() as ends:
        above = await ends.enter_async_context(contextlib.AsyncExitStack())
        client = await _proxied(options, ends)
        horizontal = await _clustered(options, directory, ends)
        base = client or horizontal
        name = "proxy" if client is not None else "plain" if horizontal is None else "cluster"
        if not options.vertical:
            manager = base or Local()
            if isinstance(manager, Local):
                ends.callback(manager.close)
            else:
                _log_errors(name, manager)
            yield Stack(name, manager, None, horizontal, client)
            return
        vertical = MediasoupVertical(base, max_workers=options.cores, watermark_worker=options.watermark)
        name = "vertical" if base is None else f"vertical {name}"
        _log_errors(name, vertical)
        vertical.on("coredied", lambda pid, reason: _log.error("core %s died: %s", pid, reason))
        above.push_async_exit(vertical)  # destroyed by what is below it, whose end does not wait for lost servers
        yield Stack(name, vertical, vertical, horizontal, client)


def _log_errors(name: str, manager: RemoteMediasoupClient | MediasoupHorizontal | MediasoupVertical) -> None:
    """Its own, and those of what it is built on."""
    manager.on("error", lambda error: _log.error("%s: %s", name, error))


async def _proxied(options: Options, ends: contextlib.AsyncExitStack) -> RemoteMediasoupClient | None:
    if options.proxy is None:
        return None
    client = _client(options, options.proxy)
    ends.push_async_exit(client)
    return client


async def _clustered(
    options: Options, directory: Directory | None, ends: contextlib.AsyncExitStack
) -> MediasoupHorizontal | None:
    if options.cluster is None:
        return None
    horizontal = MediasoupHorizontal((_client(options, url) for url in options.cluster), own=True)
    horizontal.on("hostlost", lambda member, reason: _log.error("%s is lost: %s", shown(member.url), reason))
    ends.push_async_exit(horizontal)
    if directory is not None:
        await ends.enter_async_context(Follower(directory, horizontal, lambda url: _client(options, url)))
    return horizontal


def _client(options: Options, url: str) -> RemoteMediasoupClient:
    context = certificates.for_servers(options) if url.startswith("wss:") else None
    with blaming("--cluster" if options.proxy is None else "--proxy"):
        client = RemoteMediasoupClient(
            url, token=options.upstream_token, ssl=context, listen_worker_died=options.cluster is None
        )
    loop = asyncio.get_running_loop()
    client.on("close", lambda: loop.call_later(AGAIN, _open_again, client))
    return client


def _open_again(client: RemoteMediasoupClient) -> None:
    """It has given up: tokens and versions change while servers are replaced one after the other."""
    if not client.destroyed:
        client.open()
