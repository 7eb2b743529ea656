"""What the directory asks of Redis, in memory; and a real server where there is one."""

import asyncio
import shutil
import time

PROGRAM = shutil.which("redis-server")


class MemoryRedis:
    """Follows `redis.asyncio.Redis` as far as the directory goes."""

    def __init__(self):
        self.up = True
        self.sets = {}
        self.values = {}

    def _check(self):
        if not self.up:
            raise ConnectionError("no Redis")

    def pipeline(self, transaction):
        assert transaction
        return _Pipeline(self)

    async def smembers(self, key):
        self._check()
        return set(self.sets.get(key, ()))

    async def mget(self, keys):
        self._check()
        now = time.monotonic()
        found = (self.values.get(key, (None, 0)) for key in keys)
        return [value if until > now else None for value, until in found]

    async def srem(self, key, *members):
        self._check()
        self.sets[key] -= set(members) | {each.encode() for each in members}

    async def aclose(self):
        pass


class _Pipeline:
    def __init__(self, redis):
        self._redis = redis
        self._todo = []

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    def set(self, key, value, px):
        self._todo.append(lambda: self._redis.values.update({key: (value, time.monotonic() + px / 1000)}))

    def sadd(self, key, member):
        name = member if isinstance(member, bytes) else member.encode()
        self._todo.append(lambda: self._redis.sets.setdefault(key, set()).add(name))

    async def execute(self):
        self._redis._check()
        for each in self._todo:
            each()


class MemoryServer:
    """Starts, stops, and forgets everything with that."""

    def __init__(self, _):
        self.client = MemoryRedis()

    async def start(self):
        self.client.up = True

    async def stop(self):
        self.client.up = False
        self.client.sets.clear()
        self.client.values.clear()

    async def end(self):
        pass


class RedisServer:
    """A process of its own, behind a Unix socket."""

    def __init__(self, folder):
        from redis.asyncio import Redis

        self._folder = folder
        self._path = folder / "redis.sock"
        self._process = None
        self.client = Redis(unix_socket_path=str(self._path), socket_timeout=2)

    async def start(self):
        arguments = ["--port", "0", "--unixsocket", self._path, "--save", "", "--dir", self._folder]
        self._process = await asyncio.create_subprocess_exec(PROGRAM, *arguments, stdout=asyncio.subprocess.DEVNULL)
        while True:
            try:
                return await self.client.ping()
            except Exception:
                await asyncio.sleep(0.02)

    async def stop(self):
        """As a crash would."""
        self._process.kill()
        await self._process.wait()

    async def end(self):
        await self.client.aclose()
        await self.stop()
