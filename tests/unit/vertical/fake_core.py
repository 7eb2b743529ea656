"""Cores without processes: the real object tree of a core over a fake engine, behind a channel of this process.

Each message passes through the codec, so nothing is shared by accident, and is carried out in order, one a turn of the
loop; a core can be held to try orders of events that are rare between processes, and killed.
"""

import asyncio
from collections import deque
from functools import cache

from worker.fake_engine import FakeEngine

from sfu_core.channel import messages as m
from sfu_core.channel.codec import NotificationFrame
from sfu_core.channel.delivery import Deliveries
from sfu_core.channel.msgpack import MessagePackCodec
from sfu_core.channel.place import local_place
from sfu_core.errors import SfuError, WorkerClosedError
from sfu_core.mediasoup import Mediasoup
from sfu_core.worker.context import Context
from sfu_core.worker.dispatch import Dispatch
from sfu_core.worker.executor import Executor
from sfu_core.worker.handshakes import Handshakes
from sfu_core.worker.logs import Logs
from sfu_core.worker.sockets import Sockets
from sfu_core.worker.worker import Worker
from vertical.cluster import Cluster
from vertical.placement import spread

CODECS = [
    {"kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2},
    {"kind": "video", "mimeType": "video/VP8", "clockRate": 90000},
]
LOOPBACK = {"protocol": "udp", "ip": "127.0.0.1"}
CODEC = MessagePackCodec()


def copied(message):
    """What the other side of a channel would get."""
    if isinstance(message, m.Request):
        return CODEC.read_request(CODEC.decode(bytes(CODEC.request(1, message, ""))[4:]))
    return CODEC.read_notification(CODEC.decode(bytes(CODEC.notification(message, ""))[4:]))


class FakeCore:
    """Follows `sfu_core.channel.channel.Channel`."""

    def __init__(self, pid, place=None):
        self.pid = pid
        self.place = place or local_place()
        self.closed = self.killed = False
        self.asked = []  # (message, handler id) in the order of execution
        self.refused = []  # what was refused of what nobody waited for
        self.engine = FakeEngine()
        self.engine.core_stats = lambda: {"busyNs": self.busy_ns}
        self.busy_ns = 0
        self._loop = asyncio.get_running_loop()
        self._inbox = deque()
        self._tasks = set()
        self._held = False
        self._deliveries = Deliveries()
        self._logs = []
        self._end = self._loop.create_future()
        logs = Logs(self.log, "error", [])
        self.context = Context(
            engine=self.engine,
            loop=self._loop,
            notify=self._say,
            logs=logs,
            sockets=Sockets(self.engine, logs, 40000, 49999),
            certificate=lambda: None,
            dispatch=Dispatch(),
            handshakes=Handshakes(self._loop),
        )
        self.worker = Worker(self.context)
        self._executor = Executor(self.worker)

    # For tests

    def hold(self):
        """Carry out nothing until `go`."""
        self._held = True

    def go(self):
        self._held = False
        for _ in self._inbox:
            self._loop.call_soon(self._step)

    def emit(self, *event):
        """An event of the media thread."""
        self.context.dispatch.deliver(event)

    def log(self, line):
        for listener in self._logs:
            listener(line)

    def kill(self):
        """The process is gone."""
        self.killed = True
        self._finish(SfuError("killed"))

    def kinds(self, *kinds):
        return [message for message, _ in self.asked if isinstance(message, kinds)]

    def pipes(self):
        """Transports that the application did not make."""
        transports = self.engine.live["transport"].values()
        return [each for each in transports if each["kind"] == "link" or each.get("pipe")]

    # As a channel

    async def request(self, message, handler_id=""):
        return await self._ask(message, handler_id)

    def post(self, message, handler_id=""):
        if not self.closed:
            self._ask(message, handler_id).add_done_callback(self._posted)

    def notify(self, message, handler_id=""):
        if not self.closed:
            self._put((copied(message), handler_id, None))

    def subscribe(self, target_id, listener):
        self._deliveries.subscribe(target_id, lambda frame: listener(frame.body))

    def unsubscribe(self, target_id):
        self._deliveries.unsubscribe(target_id)

    def on_log(self, listener):
        self._logs.append(listener)

    def on_end(self, listener):
        self._end.add_done_callback(lambda end: listener(end.result()))

    async def ended(self):
        return await asyncio.shield(self._end)

    def close(self):
        self._finish(None)

    # Inside

    def _ask(self, message, handler_id):
        if self.closed:
            raise WorkerClosedError("closed")
        reply = self._loop.create_future()
        self._put((copied(message), handler_id, reply))
        return reply

    def _put(self, item):
        self._inbox.append(item)
        if not self._held:
            self._loop.call_soon(self._step)

    def _step(self):
        if self._held or not self._inbox:
            return
        message, handler_id, reply = self._inbox.popleft()
        self.asked.append((message, handler_id))
        if reply is None:
            self._executor.notification(message, handler_id)
            return
        try:
            result = self._executor.request(message, handler_id)
        except (TypeError, SfuError) as error:
            if not reply.done():
                reply.set_exception(error)
            return
        if asyncio.iscoroutine(result):
            task = asyncio.ensure_future(result)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda done: _answer(done, reply))
        elif not reply.done():
            reply.set_result(result)

    def _say(self, message, handler_id):
        if not self.closed:
            self._deliveries.put(NotificationFrame(message.EVENT, handler_id, copied(message)))

    def _posted(self, reply):
        error = None if reply.cancelled() else reply.exception()
        if error is not None and not isinstance(error, WorkerClosedError):
            self.refused.append(error)

    def _finish(self, reason):
        if self.closed:
            return
        self.closed = True
        self._deliveries.clear()
        for _, _, reply in self._inbox:
            if reply is not None and not reply.done():
                reply.set_exception(WorkerClosedError("gone"))
        self._inbox.clear()
        for task in self._tasks:
            task.cancel()
        self.worker.close()
        self.engine.close()
        self._end.set_result(reason)


def _answer(done, reply):
    """Also if the core was killed before it began."""
    if reply.done():
        return
    if done.cancelled():
        reply.set_exception(WorkerClosedError("gone"))
    elif (error := done.exception()) is not None:
        reply.set_exception(error if isinstance(error, SfuError) else SfuError(str(error)))
    else:
        reply.set_result(done.result())


class FakeSource:
    """See `vertical.cluster.Source`."""

    logs_by_itself = False

    def __init__(self, places=()):
        self.places = places
        self.cores = []
        self.settings = []
        self.failure = None
        self.capacity_now = 1000
        self.refusing = set()  # pids

    async def capacity(self):
        return self.capacity_now

    def accepts(self, pid):
        return pid not in self.refusing

    async def spawn(self, index, settings):
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        self.settings.append(settings)
        place = self.places[index] if self.places else None
        core = FakeCore(1000 + len(self.cores), place)
        self.cores.append(core)
        return core, core.pid


class House:
    """A cluster of fake cores with a logical worker and a router in it, and what tests put there."""

    @classmethod
    async def open(cls, count, places=(), **options):
        self = cls()
        self.source = FakeSource(places)
        self.died, self.errors, self.crowded = [], [], []
        self.cluster = Cluster(
            self.source,
            count,
            **{
                "policy": spread,
                "on_core_died": lambda pid, reason: self.died.append(pid),
                "on_error": self.errors.append,
                "on_crowded": self.crowded.append,
            }
            | options,
        )
        self.mediasoup = Mediasoup(self.cluster)
        self.worker = await self.mediasoup.create_worker()
        self.switch = self.worker.channel
        self.router = await self.worker.create_router(media_codecs=CODECS)
        return self

    @property
    def cores(self):
        """Those alive."""
        return [core for core in self.source.cores if not core.closed]

    @property
    def pipes(self):
        return self.switch.pipes

    async def close(self):
        """Everything ends, nothing is left anywhere, and no closing was refused."""
        self.cluster.close()
        await self.cluster.ended()
        for core in self.source.cores:
            assert core.closed and (core.killed or core.engine.is_empty()), core.engine.live
            assert core.refused == [], core.refused
        assert self.pipes.count == self.pipes.links == 0

    async def plain(self, router=None):
        return await (router or self.router).create_plain_transport(listen_info=LOOPBACK)

    async def direct(self, router=None):
        return await (router or self.router).create_direct_transport()

    async def audio(self, transport, ssrc=1111, **options):
        codec = {"mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2}
        parameters = {"codecs": [codec], "encodings": [{"ssrc": ssrc}]}
        return await transport.produce(kind="audio", rtp_parameters=parameters, **options)

    async def consume(self, transport, producer, **options):
        capabilities = self.router.rtp_capabilities
        return await transport.consume(producer_id=producer.id, rtp_capabilities=capabilities, **options)

    async def pair(self):
        """A producer on the first core, and a transport on the second."""
        near, far = await self.plain(), await self.plain()
        return await self.audio(near), far

    def core_of(self, transport):
        """Where a transport lives."""
        (core,) = [core for core in self.cores if transport.id in core.worker.context.registry._objects]
        return core

    async def quiet(self):
        """Wait until nothing moves any more."""
        for _ in range(60):
            await asyncio.sleep(0)


@cache
def certificate():
    """For cores whose transports show one."""
    from sfu_core.worker.certificate import Certificate

    return Certificate.generate()


def recv_stream(core, transport):
    """The handle of the one receive stream of a transport, for events."""
    (producer,) = core.worker.context.registry.get(transport.id).producers.values()
    return producer.streams[0].handle
