"""One server from its start to its end: SIGTERM lets it drain first, SIGINT or a second signal ends it at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from typing import Any

from horizontal import RemoteMediasoupServer
from horizontal.directory import Announcer, Directory
from sfu.serve import certificates, hooks
from sfu.serve.figures import Observer
from sfu.serve.options import Options, UsageError, blaming
from sfu.serve.stack import Front, LastKnown, Stack, managed
from sfu.serve.status import serving
from sfu.values import address

POLL = 0.1

Say = Callable[[str], None]


class Orders:
    """What the outside wants: `drain`, or to `stop` at once."""

    def __init__(self) -> None:
        self.drain = asyncio.Event()
        self.stop = asyncio.Event()

    def listen(self) -> None:
        """To signals, from now on."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.end_gently)
        loop.add_signal_handler(signal.SIGINT, self.end)

    def end_gently(self) -> None:
        """The second time it means: at once."""
        if self.drain.is_set():
            self.stop.set()
        self.drain.set()

    def end(self) -> None:
        """At once."""
        self.stop.set()
        self.drain.set()


async def serve(options: Options, orders: Orders, say: Say) -> None:
    """Serves until it is ordered to end; UsageError says what is wrong at the start.

    `say` is told where it can be reached, when it can be, and that it drains.
    """
    with blaming("--hooks"):
        additions = hooks.load(options.hooks)
    async with contextlib.AsyncExitStack() as ends:
        directory = None
        if options.directory is not None:
            with blaming("--directory"):
                directory = Directory.at(options.directory, name=options.directory_name)
            ends.push_async_callback(directory.close)
        stack = await ends.enter_async_context(managed(options, directory))
        front = Front(stack)
        server = _server(options, front, additions)
        with blaming(f"--host {options.host}, --port {options.port}"):
            await ends.enter_async_context(server)
        where = await _open_status(options, ends, stack, front, server)
        announcer = None
        if directory is not None and options.announce is not None:
            announcer = await ends.enter_async_context(Announcer(directory, options.announce, LastKnown(front)))
        say(f"{stack.name} server at {server.url}{where}")
        await orders.drain.wait()
        if not orders.stop.is_set():
            await _drain(options, orders, front, server, announcer, say)


async def _open_status(
    options: Options, ends: contextlib.AsyncExitStack, stack: Stack, front: Front, server: RemoteMediasoupServer
) -> str:
    if options.status is None:
        return ""
    observer = Observer(stack, front, server)
    host, port = address(options.status)
    pages = {"/health": observer.health, "/metrics": observer.metrics}
    with blaming(f"--status {options.status}"):
        port = await ends.enter_async_context(serving(host, port, pages))
    return f", status at http://{f'[{host}]' if ':' in host else host}:{port}"


async def _drain(
    options: Options,
    orders: Orders,
    front: Front,
    server: RemoteMediasoupServer,
    announcer: Announcer | None,
    say: Say,
) -> None:
    """Nothing new; returns when the last worker has closed, when time is over, or when it shall stop at once."""
    front.draining = True
    if announcer is not None:
        try:
            await announcer.drain()
        except Exception as error:  # the directory may be gone, which must not keep us
            logging.getLogger(__name__).warning("the directory was not told: %s", error)
    say(f"draining, {len(server.workers)} workers left")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(options.drain):
            while server.workers and not orders.stop.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(orders.stop.wait(), POLL)


def _server(options: Options, front: Front, additions: dict[str, Any]) -> RemoteMediasoupServer:
    context = certificates.for_clients(options)
    try:
        return RemoteMediasoupServer(
            front,
            host=options.host,
            port=options.port,
            tokens=options.tokens or None,
            ssl=context,
            allow_anonymous=options.allow_anonymous,
            allow_files=options.allow_files,
            announced_addresses=options.announced_addresses,
            grace=options.grace,
            close_own_workers=not options.keep_workers,
            **additions,
        )
    except TypeError:  # the only thing that it can find wrong here
        known = "--token-file, --client-ca, --hooks with authenticate(), or --allow-anonymous"
        raise UsageError(f"--host {options.host}: who may come from other hosts? {known}") from None
