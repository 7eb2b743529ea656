"""Two clients of one named session, what each of them hears of the other, and what they make."""

import asyncio
import inspect
from contextlib import asynccontextmanager

from fake_core import certificate
from fake_hosts import CODECS, LOOPBACK, FakeHost

from horizontal import RemoteMediasoupClient, RemoteMediasoupServer

OPUS = {"mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2, "parameters": {"usedtx": 1}}
VP8 = {
    "mimeType": "video/VP8",
    "payloadType": 96,
    "clockRate": 90000,
    "rtcpFeedback": [{"type": "nack"}, {"type": "nack", "parameter": "pli"}],
}
RTX = {"mimeType": "video/rtx", "payloadType": 97, "clockRate": 90000, "parameters": {"apt": 96}}
NEWS = ["newrouter", "newwebrtcserver", "newtransport", "newrtpobserver", "newproducer", "newconsumer"]
ENDS = ["workerclose", "routerclose", "listenserverclose", "transportclose", "producerclose", "peerclose"]
CHANGES = ("pause", "resume")
PRIVATE = {"app_data", "observer", "channel", "closed"}


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


class Seen:
    """What a client's application hears of: objects by their ids, and events in order."""

    def __init__(self, client):
        self.client = client
        self.worker = None
        self.objects = {}
        self.log = []
        client.mediasoup.observer.on("newworker", self._worker)

    def _worker(self, worker):
        self.worker = worker
        self._watch(worker)

    def _watch(self, thing):
        for event in NEWS:
            thing.observer.on(event, lambda new, event=event: self._new(event, new))
        for event in ENDS:
            thing.on(event, lambda *_, event=event: self.log.append((event, thing.id)))
        for event in ("close", *CHANGES):
            thing.observer.on(event, lambda *_, event=event: self.log.append((f"observer {event}", thing.id)))

    def _new(self, event, new):
        self.objects[new.id] = new
        self.log.append((event, new.id))
        self._watch(new)

    def __contains__(self, thing):
        return thing.id in self.objects

    async def twin(self, thing):
        await until(lambda: thing in self)
        return self.objects[thing.id]

    async def heard(self, *news):
        await until(lambda: news in self.log)


def shown(thing):
    """All that an application can read of an object."""
    names = [name for name, each in inspect.getmembers(type(thing)) if isinstance(each, property)]
    values = {name: getattr(thing, name) for name in names if name not in PRIVATE}
    for encoding in values.get("rtp_parameters", {}).get("encodings", ()):
        encoding.setdefault("dtx", False)
    return values


async def joined(server, name="room"):
    client = RemoteMediasoupClient(server.url, session=name)
    await client.ready()
    return Seen(client)


async def gone(*clients):
    for each in clients:
        each.client.close()
        await each.client.wait_closed()


@asynccontextmanager
async def two(**options):
    """Two clients of a session and a worker that the first of them has created."""
    host = FakeHost()
    async with RemoteMediasoupServer(host, **options) as server:
        first, second = await joined(server), await joined(server)
        worker = await first.client.mediasoup.create_worker()
        await until(lambda: second.worker is not None)
        host.cores[0].context.certificate = certificate
        yield first, second, worker, host, server
        await gone(first, second)


async def audio(transport, ssrc=1111, **more):
    parameters = {"codecs": [OPUS], "encodings": [{"ssrc": ssrc}], "rtcp": {"cname": "c"}}
    return await transport.produce(kind="audio", rtp_parameters=parameters, **more)


async def video(transport):
    parameters = {"codecs": [VP8, RTX], "encodings": [{"ssrc": 22, "rtx": {"ssrc": 23}}]}
    return await transport.produce(kind="video", rtp_parameters=parameters)


async def plain(router, **more):
    return await router.create_plain_transport(listen_info=LOOPBACK, **more)


async def furnished(worker):
    """One of everything that there is; the objects in the order of their creation."""
    server = await worker.create_webrtc_server(listen_infos=[LOOPBACK])
    router = await worker.create_router(media_codecs=CODECS, app_data={"mine": True})
    browser = await router.create_webrtc_transport(webrtc_server=server)
    alone = await router.create_webrtc_transport(listen_infos=[LOOPBACK])
    rtp = await plain(router, enable_srtp=True)
    pipe = await router.create_pipe_transport(listen_info=LOOPBACK, enable_rtx=True)
    direct = await router.create_direct_transport()
    sound, picture = await audio(rtp), await video(browser)
    hears = await alone.consume(producer_id=sound.id, rtp_capabilities=router.rtp_capabilities)
    sees = await alone.consume(producer_id=picture.id, rtp_capabilities=router.rtp_capabilities, paused=True)
    piped = await pipe.consume(producer_id=picture.id)
    return [server, router, browser, alone, rtp, pipe, direct, sound, picture, hears, sees, piped]
