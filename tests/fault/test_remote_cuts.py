"""The network between a client and its server breaks: short cuts cost nothing, long ones end things once."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest

from horizontal import RemoteMediasoupServer, RequestTimeoutError, SessionLostError
from sfu_core.errors import WorkerClosedError
from waiting import until

from .call import Call
from .processes import is_alive
from .remote import LOOPBACK, site

CUT = 5.0
SHORT_CUTS = 4
SLACK = 1.0  # seconds more than the goal, on a machine that others use too


async def comedia_transports(router: Any, count: int) -> tuple[list[Any], list[int]]:
    """Transports that tell when their first packet arrives, and what they tell, in order."""
    told: list[int] = []
    transports = [await router.create_plain_transport(listen_info=LOOPBACK, comedia=True) for _ in range(count)]
    for index, transport in enumerate(transports):
        await transport.produce(kind="audio", rtp_parameters=audio(1000 + index))
        transport.on("tuple", lambda _, index=index: told.append(index))
    return transports, told


def audio(ssrc: int) -> dict[str, Any]:
    codec = {"mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2}
    return {"codecs": [codec], "encodings": [{"ssrc": ssrc}]}


def rtp(ssrc: int) -> bytes:
    return bytes([0x80, 111, 0, 1]) + bytes(4) + ssrc.to_bytes(4, "big") + bytes(20)


async def test_a_cut_under_traffic() -> None:
    """Five seconds without connection: not a packet, not a notification, not a request is lost, nothing comes twice."""
    async with site() as it:
        client = await it.client()
        worker = await client.mediasoup.create_worker()
        async with Call(worker) as call:
            transports, told = await comedia_transports(call.router, 8)
            before = len((await worker.dump())["routerIds"])
            await call.begin()
            await asyncio.sleep(0.3)
            under_way = [asyncio.ensure_future(worker.create_router()) for _ in range(20)]
            await asyncio.sleep(0)  # they are sent; the answers may be under way
            it.relay.cut()
            await until(lambda: "disconnected" in it.events)
            later = [asyncio.ensure_future(worker.create_router()) for _ in range(20)]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
                for index in (3, 1, 4, 0, 5, 2, 7, 6):
                    peer.sendto(rtp(1000 + index), ("127.0.0.1", transports[index].tuple["localPort"]))
                    await asyncio.sleep(0.05)
            await asyncio.sleep(CUT)
            assert client.mediasoup is not None and client.ready_state == 0 and not worker.closed
            assert not any(each.done() for each in later)
            it.relay.mend()
            mended = time.monotonic()
            await until(lambda: it.events.count("connected") == 2)
            assert time.monotonic() - mended < 2 + SLACK
            routers = await asyncio.gather(*under_way, *later)
            assert len({router.id for router in routers}) == 40
            assert len((await worker.dump())["routerIds"]) == before + 40
            await until(lambda: len(told) == 8)
            assert told == [3, 1, 4, 0, 5, 2, 7, 6]
            count = await call.end()
            assert count.complete, count
        assert it.events[:4] == ["open", "websocketopen", "mediasoup", "connected"]
        assert it.events[4:] == ["disconnected", "websocketclose", "websocketopen", "connected"]
        assert ("websocketclose", False) in it.log and it.server.sessions == 1


async def test_many_short_cuts() -> None:
    """The connection is reset again and again while requests flow: each is carried out once."""
    async with site() as it:
        client = await it.client()
        worker = await client.mediasoup.create_worker()
        made: list[Any] = []

        async def make() -> None:
            while it.events.count("connected") <= SHORT_CUTS:
                made.append(await worker.create_router())

        making = [asyncio.ensure_future(make()) for _ in range(5)]
        while not all(each.done() for each in making):
            await asyncio.sleep(0.05)
            it.relay.reset()
        await asyncio.gather(*making)
        await until(lambda: it.events[-1] == "connected")
        assert sorted((await worker.dump())["routerIds"]) == sorted(router.id for router in made)
        assert it.server.sessions == 1


async def test_a_network_that_falls_silent() -> None:
    """Nobody is told that it is gone: noticed in two seconds, and nothing is lost."""
    async with site() as it:
        client = await it.client()
        worker = await client.mediasoup.create_worker()
        frozen = time.monotonic()
        it.relay.freeze()
        asked = asyncio.ensure_future(worker.create_router())
        await until(lambda: "disconnected" in it.events)
        assert it.times["disconnected"] - frozen < 2 + SLACK
        await asyncio.sleep(1)
        assert not asked.done()
        it.relay.mend()
        mended = time.monotonic()
        router = await asked
        assert time.monotonic() - mended < 2 + SLACK
        assert (await worker.dump())["routerIds"] == [router.id]


async def test_requests_have_a_time_limit() -> None:
    """Whoever waits too long is told so; what was asked for is not left behind afterwards."""
    async with site() as it:
        client = await it.client(request_timeout=2)
        worker = await client.mediasoup.create_worker()
        it.relay.cut()
        began = time.monotonic()
        with pytest.raises(RequestTimeoutError, match=r"WORKER_CREATE_ROUTER: no answer in 2 s"):
            await worker.create_router()
        assert 1.9 < time.monotonic() - began < 2 + SLACK
        with pytest.raises(RequestTimeoutError):
            await client.mediasoup.create_worker()
        it.relay.mend()
        await until(lambda: it.events[-1] == "connected")
        assert (await worker.dump())["routerIds"] == []
        await until(lambda: len(it.server.workers) == 1)


@pytest.mark.parametrize("keep", [False, True], ids=["closed", "kept"])
async def test_a_cut_that_lasts_too_long(keep: bool) -> None:
    """After the time of grace both sides have given up; then there is a new beginning."""
    async with site(grace=0.5, close_own_workers=not keep) as it:
        client = await it.client()
        api = client.mediasoup
        worker = await api.create_worker()
        router = await worker.create_router()
        (hosted,) = it.server.workers
        died: list[Exception] = []
        worker.on("died", died.append)
        it.relay.cut()
        asked = asyncio.ensure_future(router.dump())
        await until(lambda: worker.closed)
        assert isinstance(died[0], SessionLostError) and "0.5 s" in str(died[0])
        with pytest.raises(WorkerClosedError):
            await asked
        assert router.closed and client.mediasoup is None
        await until(lambda: it.server.sessions == 0)
        if keep:
            assert is_alive(worker.pid) and (await hosted.dump())["routerIds"] == [router.id]
            hosted.close()
        await hosted.wait_subprocess_closed()
        assert not is_alive(worker.pid)
        it.relay.mend()
        assert await client.ready() is api
        await api.create_worker()
        assert it.events.count("mediasoup") == 3  # there, gone, there


async def test_a_server_that_is_started_anew() -> None:
    """It does not know its clients any more: told apart from a cut."""
    async with site(grace=60) as it, RemoteMediasoupServer() as other:
        client = await it.client()
        workers = [await client.mediasoup.create_worker() for _ in range(2)]
        died: list[str] = []
        for worker in workers:
            worker.on("died", lambda error: died.append(str(error)))
        it.relay.aim(other.port)
        it.relay.reset()
        await until(lambda: len(died) == 2)
        assert set(died) == {"the server was restarted"}
        await client.ready()
        worker = await client.mediasoup.create_worker()
        assert len(other.workers) == 1 and not worker.closed


async def test_a_server_that_stops() -> None:
    """It says so: workers die at once, nobody waits for the time of grace."""
    async with site(grace=60) as it:
        client = await it.client()
        worker = await client.mediasoup.create_worker()
        died: list[str] = []
        worker.on("died", lambda error: died.append(str(error)))
        it.server.close()
        await it.server.wait_closed()
        await until(lambda: "websocketclose" in it.events)
        assert died == ["the server stops"] and not is_alive(worker.pid)
        assert ("websocketclose", True) in it.log and client.mediasoup is None
        await until(lambda: "error" in it.events)  # nobody is there any more


async def test_both_close_at_once() -> None:
    for _ in range(5):
        async with site() as it:
            client = await it.client()
            worker = await client.mediasoup.create_worker()
            it.server.close()
            client.close()
            await asyncio.gather(client.wait_closed(), it.server.wait_closed())
            assert worker.closed and it.events[-1] == "close" and it.server.sessions == 0


async def test_closing_during_a_cut() -> None:
    """It does not wait for a server that is out of reach; the server ends what was left when grace is over."""
    async with site(grace=0.5) as it:
        client = await it.client()
        worker = await client.mediasoup.create_worker()
        it.relay.cut()
        await until(lambda: "disconnected" in it.events)
        client.close()
        async with asyncio.timeout(1):
            await client.wait_closed()
        assert worker.closed and worker.subprocess_closed
        await until(lambda: it.server.sessions == 0 and it.server.workers == [])


async def test_a_network_that_fails_while_it_closes() -> None:
    """Nobody will tell that the workers have ended: it stops waiting when it notices."""
    async with site(grace=0.5) as it:
        client = await it.client()
        worker = await client.mediasoup.create_worker()
        it.relay.freeze()
        client.close()
        began = time.monotonic()
        await client.wait_closed()
        assert time.monotonic() - began < 4 + SLACK  # silence, and a goodbye that nobody answers
        assert worker.closed and worker.subprocess_closed and it.events[-1] == "close"


async def test_nobody_there() -> None:
    """One error for a whole series of tries; the connection comes when the server does."""
    async with site() as it:
        it.relay.cut()
        with pytest.raises(Exception, match="cannot connect to"):
            await it.client()
        await asyncio.sleep(0.5)
        assert it.events == ["error"]
        it.relay.mend()
        await until(lambda: "mediasoup" in it.events)
        assert it.events == ["error", "open", "websocketopen", "mediasoup", "connected"]


async def test_clients_of_one_url_share_a_socket() -> None:
    async with site() as it:
        first, second = await it.client(), await it.client()
        assert it.relay.accepted == 1 and it.server.sessions == 1
        mine, theirs = await first.mediasoup.create_worker(), await second.mediasoup.create_worker()
        first.close()
        await first.wait_closed()
        assert mine.closed and mine.subprocess_closed and not theirs.closed
        assert (await theirs.dump())["pid"] == theirs.pid
        third = await it.client(request_timeout=5)  # other options, another socket
        assert it.relay.accepted == 2 and third.mediasoup is not second.mediasoup
