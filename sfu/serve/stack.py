"""What a server offers: one core process a worker, all cores, another server, many servers, or all cores of these.

Belongs to the server's event loop. Makes managers and ends them again; knows nothing of clients.
"""

from __future__ import annotations

import contextlib
import logging
import ssl as tls
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from horizontal import MediasoupHorizontal, RemoteMediasoupClient
from horizontal.directory import Directory, Follower
from sfu.serve.options import Options
from sfu_core import mediasoup as local
from sfu_core.stats import get_stats_factory
from vertical import MediasoupVertical

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stack:
    """The managers, and a word for the whole."""

    name: str
    manager: Any
    vertical: MediasoupVertical | None = None
    horizontal: MediasoupHorizontal | None = None


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

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self.draining = False

    @property
    def mediasoup(self) -> Any:
        """The API; None while draining, and while there is none below."""
        return None if self.draining else self._manager.mediasoup

    @property
    def ready(self) -> bool:
        """Whether workers can be created."""
        return self.mediasoup is not None

    async def get_stats(self) -> Any:
        """Those of the manager."""
        return await self._manager.get_stats()


@contextlib.asynccontextmanager
async def managed(options: Options, directory: Directory | None) -> AsyncIterator[Stack]:
    """What the options ask for; all of it has ended after the block. Other servers need not be there yet."""
    async with contextlib.AsyncExitStack() as ends:
        base, horizontal = await _base(options, directory, ends)
        name = "proxy" if options.proxy is not None else "plain" if horizontal is None else "cluster"
        if not options.vertical:
            manager = Local() if base is None else base
            if base is None:
                ends.callback(manager.close)
            yield Stack(name, manager, horizontal=horizontal)
            return
        vertical = MediasoupVertical(base, max_workers=options.cores, watermark_worker=options.watermark)
        vertical.on("error", lambda error: _log.error("vertical: %s", error))
        vertical.on("coredied", lambda pid, reason: _log.error("core %s died: %s", pid, reason))
        ends.push_async_exit(vertical)
        yield Stack("vertical" if base is None else f"vertical {name}", vertical, vertical, horizontal)


async def _base(
    options: Options, directory: Directory | None, ends: contextlib.AsyncExitStack
) -> tuple[Any, MediasoupHorizontal | None]:
    """What reaches other servers, if something does."""
    if options.proxy is not None:
        client = _client(options, options.proxy)
        client.on("error", lambda error: _log.error("%s: %s", options.proxy, error))
        ends.push_async_exit(client)
        return client, None
    if options.cluster is None:
        return None, None
    horizontal = MediasoupHorizontal((_client(options, url) for url in options.cluster), own=True)
    horizontal.on("error", lambda error: _log.error("cluster: %s", error))
    horizontal.on("hostlost", lambda member, reason: _log.error("%s is lost: %s", member.url, reason))
    ends.push_async_exit(horizontal)
    if directory is not None:
        await ends.enter_async_context(Follower(directory, horizontal, lambda url: _client(options, url)))
    return horizontal, horizontal


def _client(options: Options, url: str) -> RemoteMediasoupClient:
    secure = url.startswith("wss:")
    context = tls.create_default_context(cafile=options.upstream_ca) if secure else None
    if context is not None and options.cert is not None:
        context.load_cert_chain(options.cert, options.key)
    return RemoteMediasoupClient(
        url, token=options.upstream_token, ssl=context, listen_worker_died=options.cluster is None
    )
