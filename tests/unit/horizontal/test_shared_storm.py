"""Several clients of one session make, change and close at random, all at once; some are cut, some leave, some join.

Whatever the order in which all of that arrives, in the end all of them must have the same objects as the worker, in the
same state.
"""

import asyncio
import contextlib
import random

import pytest
from fake_hosts import CODECS, FakeHost
from sharing import audio, gone, joined, plain, shown, until

from horizontal import RemoteMediasoupServer
from sfu_core.errors import SfuError
from sfu_core.mediasoup import Consumer, Producer, Router, Transport

ROUNDS = 25
AT_ONCE = 12


def living(client, kind):
    return [each for each in client.objects.values() if isinstance(each, kind) and not each.closed]


class Storm:
    def __init__(self, server, clients, seed):
        self.server = server
        self.clients = clients
        self.random = random.Random(seed)
        self.ssrc = 1000

    def any(self, client, kind):
        there = living(client, kind)
        return self.random.choice(there) if there else None

    async def act(self):
        """One client does something; it may find that another one was first."""
        client = self.random.choice(self.clients)
        actions = [self.make_router, self.make_transport, self.produce, self.produce, self.consume, self.consume]
        actions += [self.toggle] * 4 + [self.close, self.describe]
        await asyncio.sleep(self.random.random() * 0.003)
        with contextlib.suppress(SfuError):
            await self.random.choice(actions)(client)

    async def make_router(self, client):
        if len(living(client, Router)) < 4:
            await client.worker.create_router(media_codecs=CODECS)

    async def make_transport(self, client):
        if (router := self.any(client, Router)) is not None:
            await plain(router)

    async def produce(self, client):
        if (transport := self.any(client, Transport)) is not None:
            self.ssrc += 1
            await audio(transport, self.ssrc)

    async def consume(self, client):
        transport = self.any(client, Transport)
        producers = [] if transport is None else list(transport._context.producers)
        if producers:
            capabilities = transport._context.rtp_capabilities
            await transport.consume(producer_id=self.random.choice(producers), rtp_capabilities=capabilities)

    async def toggle(self, client):
        thing = self.any(client, self.random.choice([Producer, Consumer]))
        if thing is not None:
            await (thing.pause() if self.random.random() < 0.5 else thing.resume())

    async def close(self, client):
        kind = self.random.choice([Router, Transport, Producer, Producer, Consumer, Consumer, Consumer])
        if (thing := self.any(client, kind)) is not None:
            thing.close()

    async def describe(self, client):
        if (router := self.any(client, Router)) is not None:
            router.update_media_codecs(CODECS[: self.random.choice([1, 2])])

    async def weather(self):
        """Sockets break, clients come and go."""
        kind = self.random.random()
        if kind < 0.4:
            wire = self.random.choice(self.clients).client._connection._wire
            if wire is not None:
                wire.abort()
        elif kind < 0.55 and len(self.clients) < 4:
            self.clients.append(await joined(self.server))
            await until(lambda: self.clients[-1].worker is not None)
        elif kind < 0.7 and len(self.clients) > 2:
            await gone(self.clients.pop(self.random.randrange(len(self.clients))))


def state(client):
    return {id: shown(each) for id, each in client.objects.items() if not each.closed}


async def ids_in(worker):
    """All objects that the worker has."""
    dump = (await worker.dump())["channelMessageHandlers"]
    return set(dump["channelRequestHandlers"])


@pytest.mark.parametrize("seed", range(4))
async def test_all_agree_in_the_end(seed):
    host = FakeHost()
    async with RemoteMediasoupServer(host) as server:
        clients = [await joined(server) for _ in range(3)]
        await clients[0].client.mediasoup.create_worker()
        await until(lambda: all(each.worker is not None for each in clients))
        storm = Storm(server, clients, seed)
        for _ in range(ROUNDS):
            await asyncio.gather(*(storm.act() for _ in range(AT_ONCE)))
            await storm.weather()

        async def agreed():
            for each in clients:
                await each.worker.dump()
            there = await ids_in(clients[0].worker)
            states = [state(each) for each in clients]
            return all(each == states[0] for each in states) and there == states[0].keys()

        async with asyncio.timeout(8):
            while not await agreed():
                await asyncio.sleep(0.02)
        assert len(state(clients[0])) > 3, "something is left to agree on"
        (served,) = next(iter(server._spaces.values())).workers
        assert {entry.id for entry in served._journal} == state(clients[0]).keys()
        late = await joined(server)
        clients.append(late)
        await until(lambda: state(late) == state(clients[0]))
        await gone(*clients)
        await until(lambda: server.workers == [])
