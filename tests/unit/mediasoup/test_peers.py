"""What another client has done to a shared worker is built, remembered and ended as if it had been asked for here."""

import asyncio
import dataclasses

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu_core.channel import messages as m
from sfu_core.channel.journal import is_shared, peer_done
from sfu_core.mediasoup import Mediasoup

from .fakes import CODECS, LOOPBACK, FakeChannel, FakeSpawner, audio_parameters, record, video_parameters

SIMULCAST = [{"rid": f"r{index}", "scalabilityMode": "L1T3"} for index in range(3)]
PRIVATE = {"app_data", "observer", "closed"}


class SharedChannel(FakeChannel):
    """Tells a peer of what was asked of it, as a server does."""

    def __init__(self, loop):
        super().__init__(loop)
        self.place = msgspec.structs.replace(self.place, extensions=self.place.extensions | m.SHARING)
        self.peer = None
        self.told = []

    async def request(self, message, handler_id=""):
        answer = await super().request(message, handler_id)
        self.tell(message, handler_id, answer)
        return answer

    def post(self, message, handler_id=""):
        super().post(message, handler_id)
        self.tell(message, handler_id, None)

    def tell(self, message, handler_id, answer):
        if is_shared(message) and self.peer is not None:
            news = msgspec.msgpack.decode(msgspec.msgpack.encode(peer_done(message, answer)), type=m.PeerDone)
            self.told.append((handler_id, news))
            listener = self.peer.listeners.get(handler_id)
            if listener is not None:
                listener(news)


class Objects:
    """All that an observer has told of, by id."""

    def __init__(self, worker):
        self.by_id = {}
        self.watch(worker)

    def watch(self, thing):
        for event in ("router", "webrtcserver", "transport", "rtpobserver", "producer", "consumer"):
            thing.observer.on(f"new{event}", self.add)
        for event in ("dataproducer", "dataconsumer"):
            thing.observer.on(f"new{event}", self.add)

    def add(self, new):
        assert new.id not in self.by_id
        self.by_id[new.id] = new
        self.watch(new)


@dataclasses.dataclass
class Pair:
    """Two clients: what the first one does, the second one is told."""

    mine: object
    theirs: object
    objects: Objects
    router: object

    @classmethod
    async def open(cls):
        loop = asyncio.get_running_loop()
        here, there = SharedChannel(loop), SharedChannel(loop)
        here.peer = there
        workers = [await Mediasoup(FakeSpawner(channel)).create_worker() for channel in (here, there)]
        objects = Objects(workers[1])
        return cls(*workers, objects, await workers[0].create_router(media_codecs=CODECS))

    def twin(self, thing):
        return self.objects.by_id[thing.id]


def shown(thing):
    names = [name for name in dir(type(thing)) if isinstance(getattr(type(thing), name), property)]
    values = {name: getattr(thing, name) for name in names if name not in PRIVATE}
    for encoding in values.get("rtp_parameters", {}).get("encodings", ()):
        encoding.setdefault("dtx", False)
    return values


async def furnished(pair):
    """One of every kind, by what the first of the two does."""
    router = pair.router
    ports = await pair.mine.create_webrtc_server(listen_infos=[LOOPBACK])
    browser = await router.create_webrtc_transport(webrtc_server=ports, enable_sctp=True)
    rtp = await router.create_plain_transport(listen_info=LOOPBACK)
    pipe = await router.create_pipe_transport(listen_info=LOOPBACK, enable_rtx=True)
    direct = await router.create_direct_transport()
    sound = await rtp.produce(kind="audio", rtp_parameters=audio_parameters())
    picture = await browser.produce(kind="video", rtp_parameters=video_parameters(encodings=SIMULCAST), paused=True)
    capabilities = router.rtp_capabilities
    hears = await rtp.consume(producer_id=sound.id, rtp_capabilities=capabilities)
    sees = await browser.consume(producer_id=picture.id, rtp_capabilities=capabilities)
    piped = await pipe.consume(producer_id=picture.id)
    says = await direct.produce_data(label="chat", protocol="p")
    stream = {"streamId": 3, "ordered": False, "maxRetransmits": 2}
    writes = await browser.produce_data(sctp_stream_parameters=stream, paused=True)
    reads = await browser.consume_data(data_producer_id=says.id, subchannels=[1, 2])
    takes = await direct.consume_data(data_producer_id=writes.id)
    levels = await router.create_audio_level_observer()
    speaker = await router.create_active_speaker_observer()
    return [
        ports, router, browser, rtp, pipe, direct, sound, picture, hears, sees, piped, says, writes, reads, takes,
        levels, speaker,
    ]  # fmt: skip


async def test_every_kind_of_object():
    pair = await Pair.open()
    made = await furnished(pair)
    ports, router, browser, sound = made[0], made[1], made[2], made[6]
    assert pair.objects.by_id.keys() == {each.id for each in made}
    for each in made:
        assert type(pair.twin(each)) is type(each) and shown(pair.twin(each)) == shown(each), each
    assert pair.twin(browser) in pair.twin(ports)._transports.values()
    assert pair.twin(router).can_consume(producer_id=sound.id, rtp_capabilities=router.rtp_capabilities)
    assert pair.theirs.channel.requests[1:] == [(m.WorkerFollowPeers(), "")], "and asks for nothing"


def bent(draw, value):
    """Something else in one place of it, or nothing there."""
    if isinstance(value, dict) and value and draw(st.integers(0, 3)):
        key = draw(st.sampled_from(sorted(value)))
        rest = {each: value[each] for each in value if each != key}
        return rest if draw(st.booleans()) else rest | {key: bent(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 3)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], *([] if draw(st.booleans()) else [bent(draw, value[at])]), *value[at + 1 :]]
    return draw(st.none() | st.booleans() | st.integers(-1, 300) | st.text(max_size=2) | st.just([]) | st.just({}))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_nothing_is_half_built_by_a_server_that_lies(data):
    async def main():
        pair = await Pair.open()
        await furnished(pair)
        await pair.mine.create_router()
        fresh = Mediasoup(FakeSpawner(SharedChannel(asyncio.get_running_loop())))
        worker = await fresh.create_worker()
        objects = Objects(worker)
        told = pair.mine.channel.told
        wrong = data.draw(st.integers(0, len(told) - 1))
        for index, (handler_id, news) in enumerate(told):
            body, answer = news.body, news.answer
            if index == wrong and data.draw(st.booleans()):
                body = bent(data.draw, body)
            elif index == wrong:
                answer = bent(data.draw, answer)
            listener = worker.channel.listeners.get(handler_id)
            if listener is not None:
                listener(m.PeerDone(method=news.method, body=body, answer=answer))
        assert worker.channel.listeners.keys() - {""} == objects.by_id.keys()
        for each in objects.by_id.values():
            shown(each)
        worker.close()
        assert all(each.closed for each in objects.by_id.values()) and not worker.channel.listeners

    asyncio.run(main())


async def test_changes():
    pair = await Pair.open()
    router = pair.router
    browser = await router.create_webrtc_transport(listen_infos=[LOOPBACK], enable_sctp=True)
    direct = await router.create_direct_transport()
    sound = await direct.produce(kind="audio", rtp_parameters=audio_parameters())
    hears = await browser.consume(producer_id=sound.id, rtp_capabilities=router.rtp_capabilities)
    says = await direct.produce_data()
    reads = await browser.consume_data(data_producer_id=says.id)
    levels = await router.create_audio_level_observer()
    log = []
    twins = {name: pair.twin(each) for name, each in {"sound": sound, "hears": hears, "says": says}.items()}
    record(log, **twins, reads=pair.twin(reads), levels=pair.twin(levels))
    for each in (sound, hears, says, reads, levels):
        await each.pause()
        await each.pause()
        assert pair.twin(each).paused
    for each in (sound, hears, says, reads, levels):
        await each.resume()
        assert not pair.twin(each).paused
    names = ("sound", "hears", "says", "reads", "levels")
    assert log == [f"{name} observer {event}" for event in ("pause", "resume") for name in names]
    await hears.set_priority(9)
    await reads.set_subchannels([4])
    watched = []
    for event in ("addproducer", "removeproducer"):
        pair.twin(levels).observer.on(event, lambda producer, event=event: watched.append((event, producer)))
    await levels.add_producer(producer_id=sound.id)
    await levels.remove_producer(producer_id=sound.id)
    assert watched == [("addproducer", pair.twin(sound)), ("removeproducer", pair.twin(sound))]
    assert pair.twin(hears).priority == 9 and pair.twin(reads).subchannels == [4]
    router.update_media_codecs(CODECS[:1])
    assert pair.twin(router).rtp_capabilities == router.rtp_capabilities


async def test_data_consumers_of_two_have_streams_of_their_own():
    pair = await Pair.open()
    browser = await pair.router.create_webrtc_transport(listen_infos=[LOOPBACK], enable_sctp=True)
    direct = await pair.router.create_direct_transport()
    says = await direct.produce_data()

    async def stream(transport):
        consumer = await transport.consume_data(data_producer_id=says.id)
        return consumer, consumer.sctp_stream_parameters["streamId"]

    first = [await stream(browser) for _ in range(3)]
    _, own = await stream(pair.twin(browser))
    assert [number for _, number in first] == [0, 1, 2] and own == 3
    first[1][0].close()
    pair.twin(browser)._data_streams._next = 0
    assert (await stream(pair.twin(browser)))[1] == 1, "it is free again"


async def test_a_sender_has_one_cname():
    """Whoever makes its producers."""
    pair = await Pair.open()
    rtp = await pair.router.create_plain_transport(listen_info=LOOPBACK)
    await rtp.produce(kind="audio", rtp_parameters=audio_parameters(rtcp={"cname": "me"}))
    own = await pair.twin(rtp).produce(kind="video", rtp_parameters=video_parameters())
    assert own.rtp_parameters["rtcp"]["cname"] == "me"


async def test_an_end():
    pair = await Pair.open()
    rtp = await pair.router.create_plain_transport(listen_info=LOOPBACK)
    sound = await rtp.produce(kind="audio", rtp_parameters=audio_parameters())
    levels = await pair.router.create_audio_level_observer()
    ports = await pair.mine.create_webrtc_server(listen_infos=[LOOPBACK])
    objects = {"router": pair.router, "rtp": rtp, "sound": sound, "levels": levels, "ports": ports}
    log = []
    record(log, **{name: pair.twin(each) for name, each in objects.items()})
    pair.twin(sound).on("peerclose", lambda: log.append("sound peerclose"))
    sound.close()
    pair.router.close()
    ports.close()
    assert log == [
        "sound peerclose", "sound observer close", "rtp routerclose", "rtp observer close", "levels routerclose",
        "levels observer close", "router observer close", "ports observer close",
    ]  # fmt: skip
    assert pair.theirs.channel.posted == [(m.WorkerFollowPeers(), "")]
    assert list(pair.theirs.channel.listeners) == [""], "nothing is listened to any more"


async def test_a_worker_of_ones_own_follows_nobody(channel):
    worker = await Mediasoup(FakeSpawner(channel)).create_worker()
    await worker.create_router()
    assert channel.posted == [] and "" not in channel.listeners
