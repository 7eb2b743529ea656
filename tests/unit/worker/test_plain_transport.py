"""PlainTransport: tuples, comedia, rtcp-mux, SRTP, and the errors of connect()."""

import socket
from typing import Any

import pytest

from sfu_core.channel import messages as m
from sfu_core.errors import SfuError
from sfu_core.worker.events import EngineEvent
from sfu_core.worker.srtp import KEY_BYTES, key_of, new_key, parameters_of

from .conftest import World, listen_info

Suite = m.SrtpCryptoSuite


@pytest.fixture(autouse=True)
def room(world: World) -> None:
    world.router()


def connect(world: World, **fields: Any) -> m.PlainTransportConnectResponse:
    reply: m.PlainTransportConnectResponse = world.ask(m.PlainTransportConnect(**fields), "p")
    return reply


def entry(world: World) -> dict[str, Any]:
    (found,) = world.engine.live["transport"].values()
    return found


def test_dump_before_connect(world: World) -> None:
    dump = world.plain(listen_info=listen_info(announced_address="sfu.example"))
    assert (dump.rtcp_mux, dump.comedia, dump.rtcp_tuple, dump.srtp_parameters) == (True, False, None, None)
    assert (dump.tuple.local_address, dump.tuple.remote_ip, dump.tuple.remote_port) == ("sfu.example", None, 0)
    assert dump.tuple.protocol is m.TransportProtocol.UDP
    assert 40000 <= dump.tuple.local_port <= 49999
    assert world.ask(m.TransportDump(), "p") == dump
    stats = world.ask(m.TransportGetStats(), "p")
    assert (stats.rtcp_mux, stats.comedia, stats.tuple) == (True, False, dump.tuple)


def test_connect(world: World) -> None:
    local = world.plain().tuple
    reply = connect(world, ip="127.0.0.1", port=9999)
    assert entry(world)["remote"] == ("127.0.0.1", 9999, 0)
    assert reply.tuple == m.TransportTuple(
        local_address="127.0.0.1", local_port=local.local_port, remote_ip="127.0.0.1", remote_port=9999
    )
    assert (reply.rtcp_tuple, reply.srtp_parameters) == (None, None)
    with pytest.raises(SfuError, match="already"):
        connect(world, ip="127.0.0.1", port=9999)


def test_without_rtcp_mux(world: World) -> None:
    dump = world.plain(rtcp_mux=False)
    assert dump.rtcp_tuple is not None and dump.rtcp_tuple.local_port != dump.tuple.local_port
    assert len(set(entry(world)["sockets"])) == 2
    reply = connect(world, ip="127.0.0.1", port=9999, rtcp_port=9998)
    assert reply.rtcp_tuple is not None and reply.rtcp_tuple.remote_port == 9998
    assert entry(world)["remote"] == ("127.0.0.1", 9999, 9998)


def test_rtcp_listen_info_switches_mux_off(world: World) -> None:
    dump = world.plain(rtcp_listen_info=listen_info("127.0.0.2"))
    assert dump.rtcp_mux is False
    assert dump.rtcp_tuple is not None and dump.rtcp_tuple.local_address == "127.0.0.2"


def test_fixed_port_without_mux_and_rtcp_listen_info_cannot_be_bound_twice(world: World) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with pytest.raises(SfuError, match="bind failed"):
        world.plain(rtcp_mux=False, listen_info=listen_info(port=port))
    assert world.engine.handles("socket") == []


@pytest.mark.parametrize(
    ("options", "wrong", "name"),
    [
        ({}, {"port": 9}, "ip is missing"),
        ({}, {"ip": "127.0.0.1"}, "port is missing"),
        ({}, {"ip": "nonsense", "port": 9}, "not an IP address"),
        ({}, {"ip": "::1", "port": 9}, "family"),
        ({}, {"ip": "127.0.0.1", "port": 9, "rtcp_port": 8}, "rtcpPort given"),
        ({"rtcp_mux": False}, {"ip": "127.0.0.1", "port": 9}, "rtcpPort is missing"),
        ({}, {"ip": "127.0.0.1", "port": 9, "srtp": Suite.AEAD_AES_128_GCM}, "srtpParameters given"),
        ({"enable_srtp": True}, {"ip": "127.0.0.1", "port": 9}, "srtpParameters is missing"),
    ],
)
def test_wrong_connect(world: World, options: dict[str, Any], wrong: dict[str, Any], name: str) -> None:
    before = world.plain(**options)
    if "srtp" in wrong:
        suite = wrong.pop("srtp")
        wrong["srtp_parameters"] = parameters_of(suite, new_key(suite))
    with pytest.raises(TypeError, match=name):
        connect(world, **wrong)
    assert world.ask(m.TransportDump(), "p") == before
    assert "remote" not in entry(world) and "keys" not in entry(world)


def test_tcp_is_refused(world: World) -> None:
    with pytest.raises(TypeError, match="UDP only"):
        world.plain(listen_info=listen_info(protocol=m.TransportProtocol.TCP))


def test_comedia_needs_no_remote_and_learns_it(world: World) -> None:
    port = world.plain(comedia=True, rtcp_mux=False).tuple.local_port
    (handle,) = world.engine.handles("transport")
    reply = connect(world)
    assert reply.tuple is not None and reply.tuple.remote_ip is None
    world.emit(EngineEvent.TUPLE, handle, 1, "127.0.0.1", port, "127.0.0.9", 7000)
    world.emit(EngineEvent.RTCP_TUPLE, handle, 1, "127.0.0.1", port + 1, "127.0.0.9", 7001)
    first, second = world.news("p")
    assert isinstance(first, m.PlainTransportTuple) and isinstance(second, m.PlainTransportRtcpTuple)
    assert (first.tuple.remote_ip, first.tuple.remote_port) == ("127.0.0.9", 7000)
    assert (second.tuple.remote_ip, second.tuple.remote_port) == ("127.0.0.9", 7001)
    dump = world.ask(m.TransportDump(), "p")
    assert (dump.tuple, dump.rtcp_tuple) == (first.tuple, second.tuple)


def test_srtp_with_the_same_suite(world: World) -> None:
    ours = world.plain(enable_srtp=True).srtp_parameters
    assert ours is not None and ours.crypto_suite is Suite.AES_CM_128_HMAC_SHA1_80
    assert entry(world)["srtp"] is True
    theirs = new_key(ours.crypto_suite)
    reply = connect(world, ip="127.0.0.1", port=9, srtp_parameters=parameters_of(ours.crypto_suite, theirs))
    assert reply.srtp_parameters == ours
    assert entry(world)["keys"] == (2, key_of(ours), theirs)


def test_srtp_takes_the_suite_of_the_peer_with_a_new_key(world: World) -> None:
    ours = world.plain(enable_srtp=True, srtp_crypto_suite=Suite.AEAD_AES_256_GCM).srtp_parameters
    assert ours is not None and len(key_of(ours)) == 44
    theirs = new_key(Suite.AEAD_AES_128_GCM)
    parameters = parameters_of(Suite.AEAD_AES_128_GCM, theirs)
    reply = connect(world, ip="127.0.0.1", port=9, srtp_parameters=parameters)
    new = reply.srtp_parameters
    assert new is not None and new.crypto_suite is Suite.AEAD_AES_128_GCM
    assert entry(world)["keys"] == (1, key_of(new), theirs)
    assert world.ask(m.TransportDump(), "p").srtp_parameters == new


@pytest.mark.parametrize("suite", list(Suite))
def test_wrong_key_length(world: World, suite: Suite) -> None:
    world.plain(enable_srtp=True)
    wrong = parameters_of(suite, bytes(KEY_BYTES[suite] - 1))
    with pytest.raises(TypeError, match="keyBase64"):
        connect(world, ip="127.0.0.1", port=9, srtp_parameters=wrong)


def test_close_frees_the_ports(world: World) -> None:
    world.plain(rtcp_mux=False)
    world.ask(m.RouterCloseTransport(transport_id="p"), "r")
    assert world.engine.is_empty()


def test_engine_that_refuses_leaves_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise SfuError("no free transport")

    monkeypatch.setattr(world.engine, "add_plain_transport", refuse)
    with pytest.raises(SfuError, match="no free"):
        world.plain()
    assert world.engine.is_empty()
    assert world.ask(m.RouterDump(), "r").transport_ids == []
