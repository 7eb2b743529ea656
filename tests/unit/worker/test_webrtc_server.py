"""WebRtcServer: sockets, dump, and closing it with its transports."""

import pytest

from sfu_core.channel import messages as m
from sfu_core.errors import NotFoundError, SfuError

from .conftest import World, listen_info
from .test_webrtc_transport import on_server, server

TCP = m.TransportProtocol.TCP


def test_dump(world: World) -> None:
    world.router()
    server(world, listen_info(), listen_info("127.0.0.2", protocol=TCP))
    dump = world.ask(m.WebRtcServerDump(), "s")
    assert [each.ip for each in dump.udp_sockets] == ["127.0.0.1"]
    assert [each.ip for each in dump.tcp_servers] == ["127.0.0.2"]
    assert (dump.id, dump.web_rtc_transport_ids, dump.local_ice_username_fragments) == ("s", [], [])
    ufrag = on_server(world).ice_parameters.username_fragment
    dump = world.ask(m.WebRtcServerDump(), "s")
    assert dump.web_rtc_transport_ids == ["w"]
    assert dump.local_ice_username_fragments == [
        m.IceUserNameFragment(local_ice_username_fragment=ufrag, web_rtc_transport_id="w")
    ]
    world.ask(m.RouterCloseTransport(transport_id="w"), "r")
    assert world.ask(m.WebRtcServerDump(), "s").local_ice_username_fragments == []


def test_closing_it_closes_its_transports_and_tells_their_consumers(world: World) -> None:
    world.router(), world.direct()
    server(world, listen_info())
    on_server(world)
    world.produce("prod", "w")
    world.consume("cons", "d")
    world.ask(m.WorkerWebRtcServerClose(web_rtc_server_id="s"))
    assert world.said == [("cons", m.ConsumerProducerClose())]
    assert world.engine.handles("socket") == []
    assert world.ask(m.RouterDump(), "r").transport_ids == ["d"]
    with pytest.raises(NotFoundError):
        world.ask(m.WebRtcServerDump(), "s")


def test_no_listen_infos(world: World) -> None:
    with pytest.raises(TypeError, match="listenInfos"):
        server(world)


def test_what_cannot_be_bound_leaves_nothing(world: World) -> None:
    with pytest.raises(SfuError, match="bind failed"):
        server(world, listen_info(), listen_info("203.0.113.1"))
    assert world.engine.is_empty() and world.worker.servers == {}


def test_id_in_use(world: World) -> None:
    server(world, listen_info())
    with pytest.raises(SfuError, match="exists already"):
        server(world, listen_info())
    assert len(world.engine.handles("socket")) == 1


def test_unknown_server(world: World) -> None:
    with pytest.raises(NotFoundError):
        world.ask(m.WorkerWebRtcServerClose(web_rtc_server_id="x"))
