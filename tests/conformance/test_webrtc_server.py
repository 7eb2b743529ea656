import socket

import pytest

from sfu_core.errors import SfuError

from .room import CODECS, LOOPBACK, Events, Room, free_port


@pytest.fixture
def server(runner, worker):
    server = runner.run(worker.create_webrtc_server(listen_infos=[LOOPBACK, LOOPBACK | {"protocol": "tcp"}]))
    yield server
    server.close()


async def test_creating(worker):
    seen = []
    worker.observer.once("newwebrtcserver", seen.append)
    udp, tcp = free_port(), free_port(socket.SOCK_STREAM)
    server = await worker.create_webrtc_server(
        listen_infos=[
            LOOPBACK | {"port": udp},
            {"protocol": "tcp", "ip": "127.0.0.1", "announcedAddress": "1.2.3.4", "port": tcp},
        ],
        app_data={"foo": 123},
    )
    assert seen == [server]
    assert server.app_data == {"foo": 123} and not server.closed
    assert await server.dump() == {
        "id": server.id,
        "udpSockets": [{"ip": "127.0.0.1", "port": udp}],
        "tcpServers": [{"ip": "127.0.0.1", "port": tcp}],
        "webRtcTransportIds": [],
        "localIceUsernameFragments": [],
    }
    assert (await worker.dump())["webRtcServerIds"] == [server.id]
    server.close()
    assert server.closed and (await worker.dump())["webRtcServerIds"] == []
    again = await worker.create_webrtc_server(listen_infos=[LOOPBACK | {"port": udp}])  # the port is free again
    again.close()


@pytest.mark.parametrize(
    ("infos", "argument"),
    [
        ([], "listen_infos"),
        (None, "listen_infos"),
        ("NOT-AN-ARRAY", "listen_infos"),
        (["NOT-AN-OBJECT"], "listen_infos"),
        ([{"protocol": "udp"}], "ip"),
        ([{"protocol": "udp", "ip": "chicken"}], "ip"),
    ],
)
async def test_wrong_arguments(worker, infos, argument):
    with pytest.raises(TypeError, match=argument):
        await worker.create_webrtc_server(listen_infos=infos)
    with pytest.raises(TypeError, match="app_data"):
        await worker.create_webrtc_server(listen_infos=[LOOPBACK], app_data="NOT-AN-OBJECT")


async def test_an_address_that_cannot_be_bound(worker):
    with pytest.raises(SfuError):
        await worker.create_webrtc_server(listen_infos=[{"protocol": "udp", "ip": "1.2.3.4"}])


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
async def test_a_port_in_use(worker, protocol):
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    info = {"protocol": protocol, "ip": "127.0.0.1", "port": free_port(kind)}
    with pytest.raises(SfuError):
        await worker.create_webrtc_server(listen_infos=[info, info])
    first = await worker.create_webrtc_server(listen_infos=[info])
    with pytest.raises(SfuError):
        await worker.create_webrtc_server(listen_infos=[info])
    first.close()
    assert (await worker.dump())["webRtcServerIds"] == []


async def test_a_shared_port(worker):
    info = LOOPBACK | {"port": free_port(), "flags": {"udpReusePort": True}}
    first = await worker.create_webrtc_server(listen_infos=[info])
    second = await worker.create_webrtc_server(listen_infos=[info])
    for server in (first, second):
        assert [each["port"] for each in (await server.dump())["udpSockets"]] == [info["port"]]
        server.close()


async def test_its_transports(worker, room, server):
    events = Events(server=server)
    transport = await room.router.create_webrtc_transport(webrtc_server=server, app_data={"t": 1})
    protocols = [candidate["protocol"] for candidate in transport.ice_candidates]
    assert protocols == ["udp", "tcp"] and transport.ice_candidates[1]["tcpType"] == "passive"
    dump = await server.dump()
    assert [c["port"] for c in transport.ice_candidates] == [
        dump["udpSockets"][0]["port"],
        dump["tcpServers"][0]["port"],
    ]
    assert dump["webRtcTransportIds"] == [transport.id]
    assert dump["localIceUsernameFragments"] == [
        {
            "localIceUsernameFragment": transport.ice_parameters["usernameFragment"],
            "webRtcTransportId": transport.id,
        }
    ]
    assert events.log == ["server observer webrtctransporthandled"]
    transport.close()
    assert events.log == ["server observer webrtctransporthandled", "server observer webrtctransportunhandled"]
    dump = await server.dump()
    assert dump["webRtcTransportIds"] == dump["localIceUsernameFragments"] == []


async def test_protocols_of_its_transports(room, server):
    async def protocols(**options):
        transport = await room.router.create_webrtc_transport(webrtc_server=server, **options)
        return [candidate["protocol"] for candidate in transport.ice_candidates]

    assert await protocols(enable_tcp=False) == ["udp"]
    assert await protocols(enable_udp=False) == ["tcp"]


async def test_preferring_a_protocol(room, server):
    async def priorities(**options):
        transport = await room.router.create_webrtc_transport(webrtc_server=server, **options)
        return {candidate["protocol"]: candidate["priority"] for candidate in transport.ice_candidates}

    neither, udp, tcp = await priorities(), await priorities(prefer_udp=True), await priorities(prefer_tcp=True)
    assert udp["udp"] - neither["udp"] == tcp["tcp"] - neither["tcp"] == 1000 * 256
    assert udp["tcp"] == neither["tcp"] and tcp["udp"] == neither["udp"]


async def test_closing(worker, room, server):
    transport = await room.router.create_webrtc_transport(webrtc_server=server)
    producer = await room.audio(transport)
    events = Events(server=server, transport=transport, producer=producer, router=room.router)
    server.close()
    server.close()
    assert events.log == [
        "producer transportclose",
        "producer observer close",
        "server observer webrtctransportunhandled",
        "transport listenserverclose",
        "transport observer close",
        "server observer close",
    ]
    assert transport.ice_state == transport.dtls_state == "closed"
    assert (await room.router.dump())["transportIds"] == []


async def test_a_closed_server(room, server):
    server.close()
    with pytest.raises(SfuError):
        await room.router.create_webrtc_transport(webrtc_server=server)


async def test_the_worker_closes(mediasoup):
    worker = await mediasoup.create_worker()
    server = await worker.create_webrtc_server(listen_infos=[LOOPBACK])
    room = Room(await worker.create_router(media_codecs=CODECS))
    transport = await room.router.create_webrtc_transport(webrtc_server=server)
    events = Events(server=server, transport=transport)
    worker.close()
    assert events.log == [
        "server observer webrtctransportunhandled",
        "transport routerclose",
        "transport observer close",
        "server workerclose",
        "server observer close",
    ]
    await worker.wait_subprocess_closed()


async def test_a_server_of_another_worker(mediasoup, room):
    async with await mediasoup.create_worker() as other:
        server = await other.create_webrtc_server(listen_infos=[LOOPBACK])
        with pytest.raises(SfuError):
            await room.router.create_webrtc_transport(webrtc_server=server)
