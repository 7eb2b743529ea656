"""A channel under pressure: slow readers, bounded buffers, many requests at once."""

import asyncio
import socket

import pytest

from sfu_core.channel import messages as m
from sfu_core.channel import stream as stream_module
from sfu_core.errors import WorkerClosedError

from .pair import Worker, connected, raw


async def test_media_is_dropped_and_requests_wait_while_the_worker_does_not_read() -> None:
    async with raw() as (channel, peer):
        packet = m.ProducerSend(data=bytes(60_000))
        for number in range(1000):
            channel.notify(packet, "p")
            if number % 100 == 0:
                await asyncio.sleep(0)
        waiting = channel._stream._queued + channel._stream._unsent()
        assert stream_module.HIGH_WATER < waiting < 2 * stream_module.HIGH_WATER + 100_000
        asking = asyncio.create_task(channel.request(m.WorkerDump()))
        await asyncio.sleep(0.02)
        assert channel._pending == {}  # not even encoded
        received = 0
        while not channel._pending:
            try:
                received += len(peer.recv(1 << 20))
            except BlockingIOError:
                await asyncio.sleep(0)
        assert 0 < received < 1000 * 60_000 / 10
        channel.close()
        with pytest.raises(WorkerClosedError):
            await asking


async def test_a_worker_that_never_reads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "HARD_LIMIT", 4 << 20)

    async with raw() as (channel, _):
        message = m.DataProducerSend(ppid=53, data=bytes(1 << 20))
        for _ in range(8):
            channel.notify(message, "d")
            await asyncio.sleep(0)
        reason = await asyncio.wait_for(channel.ended(), 5)
        assert "stopped reading" in str(reason)


async def test_the_server_drops_media_for_a_slow_reader() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        worker = Worker()
        serving = asyncio.create_task(worker.server.serve(theirs))
        await asyncio.sleep(0.01)
        for _ in range(100):
            worker.server.notify(m.ConsumerRtp(data=bytes(60_000)), "c")
        assert worker.server.media_dropped > 50
    assert isinstance(await asyncio.wait_for(serving, 5), ConnectionError)


async def test_many_requests_at_once() -> None:
    async with connected() as (channel, worker):
        worker.answer = lambda r: m.ConsumerSetPriorityResponse(priority=r.priority)  # type: ignore[attr-defined]
        replies = await asyncio.gather(
            *(channel.request(m.ConsumerSetPriority(priority=n % 256), "c") for n in range(3000))
        )
        assert [reply.priority for reply in replies] == [n % 256 for n in range(3000)]
