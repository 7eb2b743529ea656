"""The life of a client; the same tests run on the mock."""

import asyncio

import pytest
from fake_hosts import CODECS, LOOPBACK, FakeHost

from horizontal import InvalidStateError, ReadyState, RemoteMediasoupClient, RemoteMediasoupClientMock
from horizontal import RemoteMediasoupServer as Server
from sfu_core.errors import SfuError, WorkerClosedError
from sfu_core.mediasoup.extras import enhanced_once as once

EVENTS = ["open", "websocketopen", "mediasoup", "connected", "disconnected", "websocketclose"]
EVENTS += ["error", "close", "destroy"]


def listening(client):
    """What the client tells, in order."""
    log = []
    for event in EVENTS:
        client.on(event, lambda *args, event=event: log.append((event, *args)))
    return log


class Remote:
    """Clients of a server whose cores are no processes."""

    def __init__(self):
        self.host = FakeHost()
        self.server = Server(self.host)

    def make(self, *args, **options):
        return RemoteMediasoupClient(*args, **options)

    async def __aenter__(self):
        await self.server.listen()
        self.url = self.server.url
        return self

    async def __aexit__(self, *_):
        self.server.close()
        await self.server.wait_closed()
        assert self.server.sessions == 0 and self.server.workers == []


class Mock:
    url = "ws://example.com"

    def make(self, *args, **options):
        client = RemoteMediasoupClientMock(*args, **options)
        client._spawner = FakeHost()  # no processes for these tests
        return client

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass


@pytest.fixture(params=[Remote, Mock], ids=["remote", "mock"])
def kind(request):
    return request.param()


async def test_a_whole_life(kind):
    async with kind as place:
        client = place.make()
        assert client.ready_state == 3 and client.mediasoup is None and not client.destroyed
        log = listening(client)
        assert await client.get_stats() is None
        assert client.open(place.url) is client
        assert client.ready_state == 0 and log == []
        (api,) = await once(client, "mediasoup")
        assert client.ready_state == 4 == ReadyState.CONNECTED and client.mediasoup is api
        await asyncio.sleep(0)
        assert log == [("open",), ("websocketopen",), ("mediasoup", api), ("connected",)]
        stats = await client.get_stats()
        assert {"os", "process", "pidusages"} == stats.keys() and stats["pidusages"] is None
        log.clear()
        client.close()
        assert client.mediasoup is None and client.ready_state == 2
        client.close()
        await client.wait_closed()
        assert client.ready_state == 3 and log == [("mediasoup", None), ("close",)]
        assert await client.get_stats() is None
        log.clear()
        client.open()  # where it was last
        assert await client.ready() is api
        client.destroy()
        assert client.destroyed
        await client.wait_closed()
        assert [each for each, *_ in log[-3:]] == ["destroy", "mediasoup", "close"]


async def test_waiting(kind):
    """The constructor opens; the event, the awaitable and the context manager say when it is ready."""
    async with kind as place:
        async with place.make(place.url) as client:
            assert client.mediasoup is await client.ready()
        assert client.destroyed
        client = place.make(place.url)
        await once(client, "connected")
        assert client.mediasoup is not None
        client.destroy()
        await client.wait_closed()


@pytest.mark.parametrize("turns", range(6))
async def test_closing_before_it_is_connected(kind, turns):
    async with kind as place:
        client = place.make(place.url)
        log = listening(client)
        for _ in range(turns):
            await asyncio.sleep(0)
        client.close()
        await client.wait_closed()
        assert client.ready_state == 3 and log[-1] == ("close",)
        ready = [args[0] for event, *args in log if event == "mediasoup"]
        assert ready in ([], [ready[0] if ready else None, None])
        assert not [event for event, *_ in log if event == "error"]
        assert await client.open().ready() is not None
        client.destroy()
        await client.wait_closed()


async def test_what_is_wrong(kind):
    async with kind as place:
        client = place.make()
        with pytest.raises(InvalidStateError, match="no url"):
            client.open()
        with pytest.raises(TypeError, match="url"):
            client.open(5)
        with pytest.raises(InvalidStateError):
            await client.ready()
        client.close()  # closed already
        client.open(place.url)
        with pytest.raises(InvalidStateError, match="open already"):
            client.open()
        await client.ready()
        waiting = asyncio.ensure_future(place.make().ready())
        with pytest.raises(InvalidStateError):
            await waiting
        client.destroy()
        for use in (client.open, client.close, client.destroy):
            with pytest.raises(InvalidStateError, match="destroyed"):
                use()
        for name in ("mediasoup", "ready_state"):
            with pytest.raises(InvalidStateError, match="destroyed"):
                getattr(client, name)
        with pytest.raises(InvalidStateError, match="destroyed"):
            await client.ready()
        await client.wait_closed()


async def test_waiting_for_what_is_closed(kind):
    async with kind as place:
        client = place.make(place.url)
        waiting = asyncio.ensure_future(client.ready())
        await asyncio.sleep(0)
        client.close()
        with pytest.raises(InvalidStateError, match="closed"):
            await waiting
        await client.wait_closed()


async def test_workers_end_with_the_client(kind):
    async with kind as place:
        client = place.make(place.url)
        api = await client.ready()
        workers = [await api.create_worker() for _ in range(2)]
        router = await workers[0].create_router(media_codecs=CODECS)
        transport = await router.create_plain_transport(listen_info=LOOPBACK)
        assert (await workers[0].dump())["routerIds"] == [router.id]
        told = []
        workers[0].on("died", lambda error: told.append(error))
        client.close()
        assert all(worker.closed for worker in workers) and router.closed and transport.closed
        await client.wait_closed()
        assert all(worker.subprocess_closed for worker in workers) and told == []
        with pytest.raises(SfuError):
            await api.create_worker()
        client.destroy()
        await client.wait_closed()


async def test_a_worker_that_dies(kind):
    async with kind as place, place.make(place.url) as client:
        worker = await client.mediasoup.create_worker()
        router = await worker.create_router()
        core = (client._spawner if isinstance(client, RemoteMediasoupClientMock) else place.host).cores[-1]
        died = asyncio.ensure_future(once(worker, "died"))
        await asyncio.sleep(0)
        core.kill()
        (error,) = await died
        assert worker.died and router.closed and isinstance(error, SfuError)
        with pytest.raises(WorkerClosedError):
            await worker.dump()


async def test_who_listens_to_deaths(kind):
    """What is on top of a client tells of them, if the client shall not."""
    async with kind as place, place.make(place.url, listen_worker_died=False) as client:
        worker = await client.mediasoup.create_worker()
        core = (client._spawner if isinstance(client, RemoteMediasoupClientMock) else place.host).cores[-1]
        told, reasons = [], []
        worker.on("died", told.append)
        worker.channel.on_end(reasons.append)
        core.kill()
        await worker.wait_subprocess_closed()
        assert worker.closed and worker.died and told == []
        await asyncio.sleep(0)
        assert isinstance(reasons[0], SfuError)
