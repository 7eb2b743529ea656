"""A host process that is none: `vertical.host.Host` over fake cores in this process, behind real sockets."""

import asyncio
import os
import socket

from fake_core import FakeSource

from sfu_core.channel.channel import StreamChannel
from sfu_core.channel.process import WorkerExitError
from vertical import host as host_module
from vertical.host import Host
from vertical.host_process import HostProcessCluster


class FakeProcessChannel(StreamChannel):
    """Follows `sfu_core.channel.process.ProcessChannel`."""

    pid = os.getpid()

    def __init__(self, serving):
        super().__init__()
        self.serving = serving
        self.killed = False

    def kill(self):
        self.killed = True
        self.serving.cancel()
        self._stream.abort(WorkerExitError(self.pid, -9))


class FakeSpawner:
    """Follows `sfu_core.channel.process.ProcessSpawner`."""

    def __init__(self):
        self.hosts = []
        self.channels = []
        self.failure = None

    async def spawn(self, settings, passed):
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        control = socket.socket(fileno=os.dup(passed[0]))
        assert passed == [settings.control_fd]
        ours, theirs = socket.socketpair()
        host = Host(control, settings)
        self.hosts.append(host)
        channel = FakeProcessChannel(asyncio.ensure_future(self._serve(host, theirs, control)))
        self.channels.append(channel)
        await channel.open(ours)
        return channel

    async def _serve(self, host, sock, control):
        with control:
            control.setblocking(False)
            await host.serve(sock)


class Estate:
    """A cluster in such a process; `source` has its cores."""

    def __init__(self, monkeypatch, count=2, **options):
        self.source = FakeSource()
        monkeypatch.setattr(host_module, "OwnCores", lambda cpus: self.source)
        monkeypatch.setattr(host_module, "close_on_signals", lambda loop, close: None)
        self.died, self.errors, self.crowded = [], [], []
        self.cluster = HostProcessCluster(
            list(range(count)),
            count,
            on_core_died=lambda pid, reason: self.died.append((pid, reason)),
            on_error=self.errors.append,
            on_crowded=self.crowded.append,
            **options,
        )
        self.spawner = self.cluster._spawner = FakeSpawner()

    @property
    def cores(self):
        """Those alive."""
        return [core for core in self.source.cores if not core.closed]

    async def close(self):
        """Everything ends, and nothing is left."""
        self.cluster.close()
        await self.cluster.ended()
        await asyncio.gather(*(channel.serving for channel in self.spawner.channels), return_exceptions=True)
        assert self.cores == []


