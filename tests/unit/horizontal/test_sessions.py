"""What clients have at a server: their own, or shared by name; what the operator adds; addresses."""

import asyncio
import gc
import time

import pytest
from fake_hosts import CODECS, LOOPBACK, FakeHost
from websockets.asyncio.client import connect

from horizontal import RemoteMediasoupClient, RemoteMediasoupServer
from horizontal.announce import announce, announced
from horizontal.channel import RemoteChannel, RemoteSession
from horizontal.connection import Connection
from horizontal.conversation import Conversation
from horizontal.protocol import (
    SERVER,
    SERVER_CODEC,
    Envelope,
    GetStats,
    Hello,
    Resume,
    entry,
    pack,
    read_envelope,
    read_welcome,
)
from horizontal.served_worker import Relay, ServedWorker
from horizontal.session import Session
from horizontal.wire import Wire
from sfu_core.channel import messages as m
from sfu_core.channel.place import Place, host_id
from sfu_core.errors import NotFoundError, SfuError
from sfu_core.mediasoup.extras import enhanced_once as once
from waiting import until


def newcomers(client):
    seen = []
    client.mediasoup.observer.on("newworker", seen.append)
    return seen


async def test_clients_are_alone():
    async with RemoteMediasoupServer(FakeHost()) as server:
        first = RemoteMediasoupClient(server.url)
        second = RemoteMediasoupClient(server.url, request_timeout=10)
        for client in (first, second):
            await client.ready()
        seen = newcomers(second)
        await first.mediasoup.create_worker()
        await second.get_stats()
        assert server.sessions == 2 and seen == []
        for client in (first, second):
            client.destroy()
            await client.wait_closed()


async def test_a_shared_session():
    """Clients of one name have each other's workers, also those that were there before; an end is everybody's."""
    async with RemoteMediasoupServer(FakeHost(), tokens=["t", "u"]) as server:
        options = {"token": "t", "session": "room"}
        async with RemoteMediasoupClient(server.url, **options) as first:
            mine = await first.mediasoup.create_worker()
            second = RemoteMediasoupClient(server.url, **options)
            api = await second.ready()
            seen = newcomers(second)
            await until(lambda: seen)
            (theirs,) = seen
            assert theirs.pid == mine.pid and theirs is not mine and server.sessions == 2
            router = await theirs.create_router(media_codecs=CODECS)
            assert (await mine.dump())["routerIds"] == [router.id]
            also, answered = newcomers(first), await api.create_worker()
            await until(lambda: also)
            assert also[0].pid == answered.pid
            closed = asyncio.ensure_future(once(mine.observer, "close"))
            theirs.close()
            await closed
            assert mine.closed and not mine.died
            async with RemoteMediasoupClient(server.url, token="u", session="room") as stranger:
                seen = newcomers(stranger)
                await stranger.get_stats()
                assert seen == []
            second.destroy()
            await second.wait_closed()


async def test_leaving_a_shared_session(caplog):
    """Who closes its client leaves the workers to the others, its own, too; they end with the last client."""
    async with RemoteMediasoupServer(FakeHost()) as server:
        first = RemoteMediasoupClient(server.url, session="room")
        mine = await (await first.ready()).create_worker()
        routers = []
        for index in range(3):
            async with RemoteMediasoupClient(server.url, session="room") as other:
                seen = newcomers(other)
                await until(lambda seen=seen, index=index: len(seen) == index + 1)
                theirs = [*seen, await other.mediasoup.create_worker()]
                routers.append(await seen[0].create_router(media_codecs=CODECS))
            assert all(worker.closed and worker.subprocess_closed and not worker.died for worker in theirs)
            async with RemoteMediasoupClient(server.url, session="room"):
                pass  # gone before it has heard of any
        await until(lambda: server.sessions == 1)
        assert len(server.workers) == 4 and not mine.closed and caplog.text == ""
        assert sorted((await mine.dump())["routerIds"]) == sorted(router.id for router in routers)
        first.destroy()
        await first.wait_closed()
        await until(lambda: server.workers == [])


async def test_what_the_operator_adds():
    tells = []

    def methods(tell):
        tells.append(tell)
        return {"double": lambda number: 2 * number, "later": later, "fail": fail}

    async def later(text):
        await asyncio.sleep(0)
        return {"text": text}

    def fail():
        raise NotFoundError("nothing there")

    async with RemoteMediasoupServer(
        FakeHost(), extra_connection_payload=lambda: {"region": "eu"}, extra_methods_factory=methods
    ) as server:
        client = RemoteMediasoupClient()
        assert client.extra == {}
        with pytest.raises(SfuError):
            await client.call("double", 4)
        async with client.open(server.url):
            assert client.extra == {"region": "eu"}
            assert await client.call("double", 4) == 8
            assert await client.call("later", "x") == {"text": "x"}
            with pytest.raises(NotFoundError, match="nothing there"):
                await client.call("fail")
            with pytest.raises(NotFoundError, match="there is no other"):
                await client.call("other")
            with pytest.raises(TypeError):
                await client.call("double")
            told = asyncio.ensure_future(once(client, "told"))
            await asyncio.sleep(0)
            tells[0]("news", 1, {"a": b"\x00"})
            assert await told == ("news", 1, {"a": b"\x00"})


async def test_a_manager_without_workers_now():
    async with RemoteMediasoupServer(FakeHost(ready=False)) as server, RemoteMediasoupClient(server.url) as client:
        with pytest.raises(SfuError, match="no workers to offer"):
            await client.mediasoup.create_worker()


def test_what_a_server_offers():
    with pytest.raises(TypeError, match="manager"):
        RemoteMediasoupServer(object())


async def test_a_mediasoup_object_is_offered():
    host = FakeHost()
    async with RemoteMediasoupServer(host.api) as server, RemoteMediasoupClient(server.url) as client:
        worker = await client.mediasoup.create_worker()
        assert worker.pid == host.cores[0].pid and server.workers[0].pid == worker.pid
        stats = await client.get_stats()
        assert {"os", "process", "pidusages"} == stats.keys() and stats["os"]["totalmem"] > 0


async def test_what_an_old_connection_brings_late(monkeypatch):
    """The client has come back, and says again what had not arrived; then it arrives."""
    say, go_on = (
        pack(Envelope(number, 0, [entry(SERVER, SERVER_CODEC.request(number, GetStats(), ""))])) for number in (1, 2)
    )
    real = Wire.close

    async def slow(self, code, reason=""):
        await asyncio.sleep(0.2)
        await real(self, code, reason)

    monkeypatch.setattr(Wire, "close", slow)
    options = {"subprotocols": ["sfu.1"], "compression": None}
    async with (
        RemoteMediasoupServer(FakeHost(), silence=30) as server,
        connect(server.url, **options) as old,
        connect(server.url, **options) as new,
    ):
        await old.send(pack(Hello()))
        session = read_welcome(await old.recv()).session
        await new.send(pack(Hello(resume=Resume(session, 0))))
        assert read_welcome(await new.recv()).received == 0
        await old.send(say)
        await asyncio.sleep(0.05)
        await new.send(say)
        await new.send(go_on)
        answers = 0
        while answers < 2:
            envelope = read_envelope(await new.recv())
            answers += len(envelope.entries)
        assert envelope.received == 2
        await new.close(1000)
        await until(lambda: server.sessions == 0)


async def test_a_session_is_given_up_while_it_is_resumed():
    """The time of grace ends between the two greetings: what the server has kept is not wanted any more."""
    greetings = []

    def busy():
        greetings.append(None)
        if len(greetings) == 2:
            time.sleep(0.4)  # both sides run in this loop, so the client's timer comes first
        return {}

    async with (
        RemoteMediasoupServer(FakeHost(), extra_connection_payload=busy) as server,
        RemoteMediasoupClient(server.url) as client,
    ):
        worker = await client.mediasoup.create_worker()
        session = client._connection.session
        session.grace = 0.2
        client._connection._wire.abort()
        await once(worker, "died")
        await client.ready()
        assert client._connection.session is not session and len(greetings) == 3
        await client.mediasoup.create_worker()
        await until(lambda: server.sessions == 1 and len(server.workers) == 1)


async def test_the_version_is_that_of_what_is_offered():
    async with RemoteMediasoupServer(FakeHost(version="9.8.7")) as server, RemoteMediasoupClient(server.url) as client:
        assert client.mediasoup.version == "9.8.7"


async def test_a_server_that_is_full():
    async with RemoteMediasoupServer(FakeHost(), max_sessions=1) as server:
        async with RemoteMediasoupClient(server.url):
            other = RemoteMediasoupClient(server.url, session="mine")
            with pytest.raises(SfuError):
                await other.ready()
        assert await other.ready() is not None
        other.destroy()
        await other.wait_closed()


async def test_a_server_with_enough_workers():
    async with (
        RemoteMediasoupServer(FakeHost(), max_workers=2) as server,
        RemoteMediasoupClient(server.url) as client,
    ):
        made = await asyncio.gather(*(client.mediasoup.create_worker() for _ in range(3)), return_exceptions=True)
        (refusal,) = [each for each in made if isinstance(each, SfuError)]
        assert "as many workers" in str(refusal)
        made[0].close()
        await made[0].wait_subprocess_closed()
        await client.mediasoup.create_worker()


async def test_the_place_of_workers():
    """The host is the server's; the address is the one it was reached by, unless the operator says another."""
    for options, address in (({}, "127.0.0.1"), ({"announced_addresses": ["192.0.2.9"]}, "192.0.2.9")):
        host = FakeHost("far", addresses=())
        async with RemoteMediasoupServer(host, **options) as server, RemoteMediasoupClient(server.url) as client:
            worker = await client.mediasoup.create_worker()
            place = worker.channel.place
            assert place.host_id == "far" != host_id() and place.announced_addresses == (address,)
            assert place.extensions == host.place.extensions


async def test_who_listens_everywhere_announces_the_server():
    host = FakeHost(addresses=())
    server = RemoteMediasoupServer(host, announced_addresses=["192.0.2.9"])
    async with server, RemoteMediasoupClient(server.url) as client:
        worker = await client.mediasoup.create_worker()
        router = await worker.create_router()
        anywhere = await router.create_plain_transport(listen_info={"protocol": "udp", "ip": "0.0.0.0"})
        assert anywhere.tuple["localAddress"] == "192.0.2.9"
        here = await router.create_plain_transport(listen_info={"protocol": "udp", "ip": "127.0.0.1"})
        assert here.tuple["localAddress"] == "127.0.0.1"


def test_announcing():
    def info(ip, address=None):
        return m.ListenInfo(
            ip=ip, announced_address=address, expose_internal_ip=False, port_range=m.PortRange(), flags=m.SocketFlags()
        )

    infos = [info("0.0.0.0"), info("::"), info("192.0.2.1"), info("0.0.0.0", "b")]
    announce(m.WorkerCreateWebRtcServer(web_rtc_server_id="s", listen_infos=infos), "a")
    assert [each.announced_address for each in infos] == ["a", "a", None, "b"]
    announce(m.WorkerDump(), "a")
    far = Place(host_id="h", announced_addresses=("x",))
    assert announced(far, ("y",)) is far and announced(Place(host_id="h"), ()).announced_addresses == ()


async def test_nothing_is_left_of_clients_that_have_gone():
    """Neither at the server nor in the application, whether they said goodbye or not."""
    kinds = (Session, ServedWorker, Relay, Conversation, RemoteChannel, RemoteSession, Connection)
    before = [each for each in gc.get_objects() if type(each) in kinds]  # of other tests; so that none is mistaken
    host = FakeHost()
    async with RemoteMediasoupServer(host, grace=0.05) as server:
        for index in range(20):
            client = RemoteMediasoupClient(server.url, session="room" if index % 3 else None)
            worker = await (await client.ready()).create_worker()
            router = await worker.create_router(media_codecs=CODECS)
            transport = await router.create_plain_transport(listen_info=LOOPBACK)
            transport.close()
            client.destroy()
            if index % 2:
                client._connection._wire.abort()
            await client.wait_closed()
        await until(lambda: server.sessions == 0 and server.workers == [])
        del client, worker, router, transport
        host.cores.clear()  # it keeps them
        await asyncio.sleep(0.1)
        gc.collect()
        left = [each for each in gc.get_objects() if type(each) in kinds]
        assert {id(each) for each in left} <= {id(each) for each in before}
        assert server._spaces == {} and server._running == {} and len(server._lobby) == 0


async def test_nothing_is_left_of_guests_of_a_session_that_goes_on():
    def of(server):  # not those of other tests
        return [each for each in gc.get_objects() if type(each) is Session and each._offer is server]

    async with RemoteMediasoupServer(FakeHost()) as server, RemoteMediasoupClient(server.url, session="room") as client:
        await client.mediasoup.create_worker()
        (served,) = next(iter(server._spaces.values())).workers
        for _ in range(5):
            async with RemoteMediasoupClient(server.url, session="room"):
                await until(lambda: len(served.relays) == 2)
        await until(lambda: server.sessions == 1)
        gc.collect()
        assert len(of(server)) == 1
