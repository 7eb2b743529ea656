"""Hosts without machines: managers over cores without processes, each of which says that it is somewhere else."""

import asyncio

from fake_core import FakeCore

from sfu_core.channel import messages as m
from sfu_core.channel.place import Place, local_place
from sfu_core.mediasoup import Emitter, Mediasoup

LOOPBACK = {"protocol": "udp", "ip": "127.0.0.1"}
CODECS = [
    {"kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2},
    {"kind": "video", "mimeType": "video/VP8", "clockRate": 90000},
]


class HostCore(FakeCore):
    """Says a pid of its own, as processes do."""

    async def request(self, message, handler_id=""):
        reply = await super().request(message, handler_id)
        if isinstance(reply, m.WorkerDumpResponse):
            reply.pid = self.pid
        return reply


class FakeHost(Emitter):
    """A manager as a client of a server there would be."""

    def __init__(self, name="a", *, ready=True, cores=2, addresses=("127.0.0.1",), version=None):
        super().__init__()
        self.name = name
        self.place = Place(host_id=name, announced_addresses=addresses, extensions=local_place().extensions)
        self.cores = []
        self.parallelism = cores
        self.usages = {}
        self.destroyed = self.closing = self.away = False
        self.stuck = None
        self.failure = None
        self.pids = iter(range(100, 200))
        self.api = Mediasoup(self)
        if version is not None:
            self.api.version = version
        self.mediasoup = self.api if ready else None

    def __repr__(self):
        return self.name

    @property
    def ready_state(self):
        return 2 if self.closing else 0 if self.away or self.mediasoup is None else 4

    async def spawn(self, settings):
        await asyncio.sleep(0)
        if self.stuck is not None:
            await self.stuck
        if self.failure is not None:
            raise self.failure
        core = HostCore(next(self.pids), self.place)
        core.settings = settings
        self.cores.append(core)
        return core

    async def get_stats(self):
        return {
            "os": {"availableParallelism": self.parallelism, "loadavg": [1.0, 2.0, 3.0], "uptime": 50, "cpus": ["x"]},
            "pidusages": self.usages or None,
            "process": {"cpuUsage": {"user": 3, "system": 4}},
        }

    def appear(self):
        """The connection is there."""
        self.closing = self.away = False
        self.mediasoup = self.api
        self.emit("mediasoup", self.api)
        self.emit("connected")

    def crash(self):
        """The machine is gone, and all that was on it; the connection knows."""
        for core in self.cores:
            core.kill()
        self.cut()
        self.mediasoup = None
        self.emit("mediasoup", None)

    def cut(self):
        """Nothing comes through any more; whatever is there may still be."""
        self.away = True
        self.emit("disconnected")

    def mend(self):
        self.away = False
        self.emit("connected")

    def destroy(self):
        self.destroyed = True
        self.emit("destroy")
        self.close()

    def close(self):
        self.closing = True
        for core in self.cores:
            core.close()
        self.mediasoup = None
        self.emit("mediasoup", None)


class News:
    """Writes down what a horizontal tells, in order."""

    EVENTS = (
        "mediasoup",
        "connected",
        "disconnected",
        "error",
        "hostjoin",
        "hostlost",
        "hostleave",
        "hostdrained",
        "workerdied",
        "nodewatermark",
        "destroy",
    )

    def __init__(self, horizontal):
        self.log = []
        for event in self.EVENTS:
            horizontal.on(event, lambda *args, event=event: self.log.append((event, *args)))

    def of(self, *events):
        return [each for each in self.log if each[0] in events]


async def quiet():
    """Wait until nothing moves any more."""
    for _ in range(60):
        await asyncio.sleep(0)
