"""The directory: servers join, drain, leave, are killed; Redis restarts. On a real Redis where there is one."""

import asyncio
import contextlib
from contextlib import asynccontextmanager

import pytest
from fake_hosts import FakeHost, News
from fake_redis import PROGRAM, MemoryServer, RedisServer

from horizontal import MediasoupHorizontal
from horizontal.directory import Announcement, Announcer, Directory, Follower, _Rounds
from sfu_core.errors import SfuError
from sfu_core.version import VERSION
from waiting import until

EXPIRY = 0.6
POLL = 0.05
SERVERS = [
    pytest.param(MemoryServer, id="memory"),
    pytest.param(RedisServer, id="redis", marks=pytest.mark.skipif(PROGRAM is None, reason="no redis-server here")),
]


@pytest.fixture(params=SERVERS)
def kind(request, tmp_path):
    def make():
        folder = tmp_path if len(str(tmp_path)) < 80 else tmp_path.parent
        return request.param(folder)

    return make


@asynccontextmanager
async def cluster(kind):
    server = kind()
    await server.start()
    directory = Directory(server.client, expiry=EXPIRY)
    hosts = {}

    def make_member(url):
        if url.endswith("wrong"):
            raise SfuError(f"no client for {url}")
        return hosts.setdefault(url, FakeHost(url))

    try:
        async with (
            MediasoupHorizontal() as horizontal,
            Follower(directory, horizontal, make_member, interval=POLL) as follower,
        ):
            yield Cluster(server, directory, horizontal, follower, hosts)
    finally:
        await server.end()


class Cluster:
    def __init__(self, server, directory, horizontal, follower, hosts):
        self.server = server
        self.directory = directory
        self.horizontal = horizontal
        self.follower = follower
        self.hosts = hosts
        self.news = News(horizontal)

    def announcer(self, url):
        return Announcer(self.directory, url, FakeHost(url, cores=4))

    async def worker_on(self, name):
        await until(lambda: self.horizontal.mediasoup)
        worker = await self.horizontal.mediasoup.create_worker()
        assert worker.channel.place.host_id == name
        return worker


async def kill(announcer):
    """Its process is gone, without a word."""
    announcer._rounds.cancel()
    await asyncio.wait([announcer._rounds])


async def test_what_is_announced(kind):
    async with cluster(kind) as each, each.announcer("ws://a"):
        await until(lambda: each.follower.members)
        assert await each.directory.read() == {"ws://a": Announcement(url="ws://a", version=VERSION, capacity=4)}
        assert await Directory(each.server.client, name="other").read() == {}


async def test_servers_join_and_leave(kind):
    async with cluster(kind) as each, each.announcer("ws://a"):
        await until(lambda: len(each.horizontal) == 1)
        async with each.announcer("ws://b"):
            await until(lambda: len(each.news.of("hostjoin")) == 2)
        await until(lambda: len(each.horizontal) == 1)
        assert each.hosts["ws://b"].destroyed and not each.hosts["ws://a"].destroyed
        assert [host for _, host in each.news.of("hostleave")] == [each.hosts["ws://b"]]
        assert each.news.of("error", "hostlost") == []


async def test_a_server_drains(kind):
    async with cluster(kind) as each, each.announcer("ws://a") as announcer:
        worker = await each.worker_on("ws://a")
        await announcer.drain()
        await until(lambda: each.horizontal.hosts[0].draining)
        with pytest.raises(SfuError, match="no host"):
            await each.horizontal.mediasoup.create_worker()
        await asyncio.sleep(3 * POLL)
        assert not worker.closed and len(each.horizontal) == 1
        worker.close()
        await until(lambda: len(each.horizontal) == 0)
        assert each.hosts["ws://a"].destroyed


async def test_a_server_that_drained_serves_again(kind):
    async with cluster(kind) as each:
        async with each.announcer("ws://a") as announcer:
            worker = await each.worker_on("ws://a")
            await announcer.drain()
            await until(lambda: each.horizontal.hosts[0].draining)
        async with each.announcer("ws://a"):
            await until(lambda: not each.horizontal.hosts[0].draining)
            assert not worker.closed
            await each.worker_on("ws://a")


async def test_a_server_is_killed(kind):
    async with cluster(kind) as each, each.announcer("ws://a") as a, each.announcer("ws://b"):
        await until(lambda: len(each.news.of("hostjoin")) == 2)
        workers = [await each.horizontal.mediasoup.create_worker() for _ in range(2)]
        await kill(a)
        each.hosts["ws://a"].crash()
        await until(lambda: len(each.horizontal) == 1)
        assert [worker.died for worker in sorted(workers, key=lambda w: w.channel.place.host_id)] == [True, False]
        assert len(each.news.of("hostlost")) == 1
        assert list(await each.directory.read()) == ["ws://b"]


async def test_a_silent_server_that_can_be_reached_stays(kind):
    """Its announcer has trouble; its calls have none."""
    async with cluster(kind) as each, each.announcer("ws://a") as announcer:
        worker = await each.worker_on("ws://a")
        await kill(announcer)
        await asyncio.sleep(EXPIRY + 4 * POLL)
        assert await each.directory.read() == {}
        assert len(each.horizontal) == 1 and not worker.closed


async def test_redis_restarts(kind):
    async with cluster(kind) as each, each.announcer("ws://a"):
        worker = await each.worker_on("ws://a")
        await each.server.stop()
        await until(lambda: each.news.of("error"))
        await asyncio.sleep(EXPIRY)
        assert len(each.news.of("error")) == 1  # told once
        await each.server.start()  # and has forgotten everything
        async with each.announcer("ws://b"):
            await until(lambda: len(each.news.of("hostjoin")) == 2)
            await until(lambda: each.follower.members.keys() == {"ws://a", "ws://b"})
            found = {}
            async with asyncio.timeout(5):
                while found.keys() != {"ws://a", "ws://b"}:
                    found = await each.directory.read()
                    await asyncio.sleep(0.02)
        assert not worker.closed and each.news.of("hostlost", "workerdied") == []


async def test_nonsense_in_the_directory(kind):
    async with cluster(kind) as each, each.announcer("ws://wrong"):
        redis = each.server.client
        for text in (b"", b"\xff", b"[]", b'{"url": 1}', b'{"url": "ws://other"}'):
            async with redis.pipeline(transaction=True) as writing:
                writing.set("sfu:server:ws://bad", text, px=5000)
                writing.sadd("sfu:servers", "ws://bad")
                await writing.execute()
            assert "ws://bad" not in await each.directory.read()
        async with redis.pipeline(transaction=True) as writing:
            writing.sadd("sfu:servers", b"ws://\xff")
            await writing.execute()
        async with each.announcer("ws://a"):
            await until(lambda: each.news.of("hostjoin"))
        assert [str(error) for _, error in each.news.of("error")] == ["no client for ws://wrong"]


async def test_a_member_that_somebody_else_removes(kind):
    async with cluster(kind) as each, each.announcer("ws://a"):
        await until(lambda: each.horizontal.mediasoup)
        each.horizontal.delete(each.hosts["ws://a"])
        each.hosts.clear()
        await until(lambda: len(each.news.of("hostjoin")) == 2)  # the directory still says that it serves


async def test_the_horizontal_ends_first(kind):
    async with cluster(kind) as each, each.announcer("ws://a"):
        await until(lambda: each.horizontal.mediasoup)
        each.horizontal.destroy()
        assert each.hosts["ws://a"].destroyed
        await asyncio.sleep(3 * POLL)
        assert each.news.of("error") == []


@pytest.mark.parametrize("fails", [False, True])
async def test_rounds_end_though_a_library_keeps_the_cancellation_to_itself(fails):
    class Rounds(_Rounds):
        async def _work(self):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            if fails:
                raise TimeoutError

    async with asyncio.timeout(2), Rounds(60):
        await asyncio.sleep(0)
