"""Ends that involve several objects, and what must not be left after them. docs/closing.md lists them all."""

import ast
import asyncio
import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sfu_core.errors import NotFoundError, WorkerClosedError

from .room import CODECS, LOOPBACK, Events, Room, audio_parameters, eventually
from .stacks import processes

ROOT = Path(__file__).parents[2]
REFERENCE = re.compile(r"`(tests/[\w/]+\.py)::([\w:]+)`")


async def everything(worker):
    """One of each, and what their events are called."""
    server = await worker.create_webrtc_server(listen_infos=[LOOPBACK])
    room = Room(await worker.create_router(media_codecs=CODECS))
    transport = await room.router.create_webrtc_transport(webrtc_server=server)
    plain, producer = await room.plain(), await room.audio(transport)
    consumer = await room.consume(plain, producer)
    return {
        "worker": worker,
        "server": server,
        "router": room.router,
        "transport": transport,
        "plain": plain,
        "producer": producer,
        "consumer": consumer,
    }


CHILDREN = [
    "producer transportclose",
    "producer observer close",
    "server observer webrtctransportunhandled",
    "transport routerclose",
    "transport observer close",
    "consumer transportclose",
    "consumer observer close",
    "plain routerclose",
    "plain observer close",
    "router workerclose",
    "router observer close",
    "server workerclose",
    "server observer close",
]


async def test_the_worker_closes(mediasoup):
    worker = await mediasoup.create_worker()
    objects = await everything(worker)
    events = Events(**objects)
    worker.close()
    assert events.log == [*CHILDREN, "worker observer close"]
    assert all(entity.closed for entity in objects.values())
    await worker.wait_subprocess_closed()
    await asyncio.sleep(0.05)
    assert events.log == [*CHILDREN, "worker observer close", "worker subprocessclose"]


async def test_the_worker_dies(own_process):
    worker, pid = own_process
    objects = await everything(worker)
    events = Events(**objects)
    os.kill(pid, 9)
    await worker.wait_subprocess_closed()
    worker.close()
    assert events.log == [*CHILDREN, "worker died", "worker observer close", "worker subprocessclose"]
    assert all(entity.closed for entity in objects.values())


async def test_leaving_async_with(mediasoup):
    with pytest.raises(ZeroDivisionError):
        async with await mediasoup.create_worker() as worker:
            router, pids = await worker.create_router(), await processes(worker)
            raise ZeroDivisionError
    assert worker.subprocess_closed and router.closed
    if worker.pid in pids:  # else other workers may be using the processes
        assert not Path(f"/proc/{worker.pid}").exists()


APPLICATION = """
import asyncio, sys
from sfu_core import mediasoup

async def main():
    workers = [await mediasoup.create_worker() for _ in range(2)]
    print(*(worker.pid for worker in workers), flush=True)
    if sys.argv[1] == "wait":
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["killed", "ends"])
def test_the_application_ends(how):
    """Nobody is left to close the workers; they notice."""
    mode = "wait" if how == "killed" else "end"
    command = [sys.executable, "-c", APPLICATION, mode]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as application:
        pids = application.stdout.readline().split()
        if how == "killed":
            application.kill()
    assert len(pids) == 2
    asyncio.run(eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), timeout=5))


async def later(coroutine):
    """Asked, not yet answered."""
    task = asyncio.ensure_future(coroutine)
    await asyncio.sleep(0)
    return task


async def test_the_parent_closes_meanwhile(worker):
    """Nothing is born into what has ended; the `worker` fixture sees that the worker has nothing left either."""
    room = Room(await worker.create_router(media_codecs=CODECS))
    asked = [await later(make()) for make in (room.plain, room.webrtc, room.pipe, room.direct)]
    room.router.close()
    for task in asked:
        with pytest.raises(NotFoundError):
            await task
    room = Room(await worker.create_router(media_codecs=CODECS))
    transport = await room.plain()
    asked = await later(room.audio(transport))
    transport.close()
    with pytest.raises(NotFoundError):
        await asked
    assert (await room.router.dump())["mapProducerIdConsumerIds"] == []
    room.router.close()


async def test_the_webrtc_server_closes_meanwhile(worker):
    """Either there is no transport, or it ends with the server."""
    room = Room(await worker.create_router(media_codecs=CODECS))
    for turns in range(12):
        server = await worker.create_webrtc_server(listen_infos=[LOOPBACK])
        asked = await later(room.router.create_webrtc_transport(webrtc_server=server))
        for _ in range(turns):
            await asyncio.sleep(0)
        server.close()
        with contextlib.suppress(NotFoundError):
            assert (await asked).closed
    room.router.close()


async def test_the_worker_closes_meanwhile(mediasoup):
    worker = await mediasoup.create_worker()
    asked = await later(worker.create_router())
    worker.close()
    with pytest.raises(WorkerClosedError):
        await asked
    await worker.wait_subprocess_closed()


async def test_the_producer_closes_meanwhile(room):
    """Either there is no consumer, or it hears of the end: never one that outlives its producer."""
    sender, receiver = await room.plain(), await room.plain()
    for turns in range(12):
        producer = await room.audio(sender)
        asked = await later(room.consume(receiver, producer))
        for _ in range(turns):
            await asyncio.sleep(0)
        producer.close()
        try:
            consumer = await asked
        except NotFoundError:
            continue
        await eventually(lambda consumer=consumer: consumer.closed)
    assert (await receiver.dump())["consumerIds"] == []


async def test_cancelled_calls_leave_nothing(worker, room):
    """What was asked for by somebody who no longer waits is closed: nobody would own it."""
    transport = await room.plain()
    producer = await room.audio(transport)
    for make in (
        lambda: room.video(transport),
        lambda: room.consume(transport, producer),
        room.webrtc,
        room.direct,
        lambda: worker.create_router(),
        lambda: worker.create_webrtc_server(listen_infos=[LOOPBACK]),
    ):
        asked = await later(make())
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    dump = await transport.dump()
    assert (dump["producerIds"], dump["consumerIds"]) == ([producer.id], [])
    assert (await room.router.dump())["transportIds"] == [transport.id]
    assert (await worker.dump())["routerIds"] == [room.router.id]


async def test_a_failing_listener_does_not_stop_the_end(room):
    transport = await room.plain()
    producer = await room.audio(transport)
    errors = []

    def fail():
        raise ValueError("mine")

    producer.on("transportclose", fail)
    producer.on("listenererror", lambda event, error: errors.append((event, str(error))))
    events = Events(transport=transport)
    transport.close()
    assert errors == [("transportclose", "mine")] and producer.closed
    assert events.log == ["transport observer close"]


async def test_no_descriptor_is_left(mediasoup):
    async with await mediasoup.create_worker() as worker:

        pids = await processes(worker)

        def descriptors():
            return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)

        async def cycle():
            server = await worker.create_webrtc_server(listen_infos=[LOOPBACK, LOOPBACK | {"protocol": "tcp"}])
            room = Room(await worker.create_router(media_codecs=CODECS))
            made = [await make() for make in (room.plain, room.webrtc, room.pipe) for _ in range(5)]
            made.append(await room.router.create_webrtc_transport(webrtc_server=server))
            producer = await room.audio(made[0])
            consumer = await room.consume(made[1], producer)
            for entity in (consumer, producer, made[0]):
                entity.close()
            room.router.close()
            server.close()
            await worker.dump()

        await cycle()  # what is made once is there from now on
        before = descriptors()
        for _ in range(3):
            await cycle()
        await eventually(lambda: descriptors() <= before)


async def test_ids_and_streams_are_free_again(room):
    """Also under load: many short lives in one transport."""
    transport = await room.plain()
    for _ in range(100):
        producer = await transport.produce(kind="audio", rtp_parameters=audio_parameters(), id="same")
        consumer = await room.consume(transport, producer)
        producer.close()
        await eventually(lambda consumer=consumer: consumer.closed)


def names_in(path):
    """Names of the tests in a file, with their class if they have one."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{item.name}" for item in node.body if hasattr(item, "name")}
        elif hasattr(node, "name"):
            names.add(node.name)
    return names


def test_each_line_of_the_document_names_its_test():
    lines = (ROOT / "docs" / "closing.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("|") and not set(line) <= set("|- ") and "| Test |" not in line]
    assert len(rows) > 20
    for row in rows:
        references = REFERENCE.findall(row)
        assert references, row
        for path, name in references:
            assert name in names_in(ROOT / path), f"{path}::{name}"
