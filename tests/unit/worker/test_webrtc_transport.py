"""WebRtcTransport: ICE and DTLS states, roles, keys, with a real DTLS endpoint as the peer."""

import time
from typing import Any

import pytest

from sfu_core.channel import messages as m
from sfu_core.errors import NotFoundError, SfuError
from sfu_core.worker.certificate import Certificate
from sfu_core.worker.dtls import DtlsEndpoint
from sfu_core.worker.events import EngineEvent

from .conftest import World, listen_info

UDP, TCP = m.TransportProtocol.UDP, m.TransportProtocol.TCP
NEW, CONNECTED, COMPLETED, DISCONNECTED = m.IceState


def webrtc(world: World, *infos: m.ListenInfo, **options: Any) -> m.WebRtcTransportDumpResponse:
    listen = m.ListenIndividual(listen_infos=list(infos or [listen_info()]))
    all_options = m.WebRtcTransportOptions(base=m.TransportOptions(), listen=listen, **options)
    request = m.RouterCreateWebRtcTransport(transport_id="w", options=all_options)
    dump: m.WebRtcTransportDumpResponse = world.ask(request, "r")
    return dump


def dump_of(world: World) -> m.WebRtcTransportDumpResponse:
    dump: m.WebRtcTransportDumpResponse = world.ask(m.TransportDump(), "w")
    return dump


def ice(world: World, state: m.IceState) -> None:
    (handle,) = world.engine.handles("transport")
    world.emit(EngineEvent.ICE_STATE, handle, int(state))


def entry(world: World) -> dict[str, Any]:
    (found,) = world.engine.live["transport"].values()
    return found


class Peer:
    """The other end of the handshake."""

    def __init__(self, world: World, role: m.DtlsRole) -> None:
        self.world = world
        self.certificate = Certificate.generate()
        self.endpoint = DtlsEndpoint(self.certificate)
        self.role = role
        self.endpoint.set_remote_fingerprint(*world.context.certificate().fingerprints()[2])

    def parameters(self) -> m.DtlsParameters:
        algorithm, value = self.certificate.fingerprints()[2]
        return m.DtlsParameters(fingerprints=[m.Fingerprint(algorithm=algorithm, value=value)], role=self.role)

    def connect(self) -> m.WebRtcTransportConnectResponse:
        request = m.WebRtcTransportConnect(dtls_parameters=self.parameters())
        reply: m.WebRtcTransportConnectResponse = self.world.ask(request, "w")
        return reply

    def shake(self) -> None:
        """Carry datagrams until nobody has more to say."""
        (handle,) = self.world.engine.handles("transport")
        self.endpoint.start(self.role, time.monotonic_ns())
        for _ in range(10):
            for datagram in self.endpoint.send():
                self.world.emit(EngineEvent.DATAGRAM, handle, datagram)
            self.world.turn(3)
            sent, self.world.engine.datagrams = self.world.engine.datagrams, []
            for _, datagram in sent:
                self.endpoint.receive(datagram, time.monotonic_ns())


@pytest.fixture(autouse=True)
def room(world: World) -> None:
    world.router()


def dtls_states(world: World) -> list[m.DtlsState]:
    return [n.dtls_state for n in world.news("w") if isinstance(n, m.WebRtcTransportDtlsStateChange)]


def test_dump_of_a_new_transport(world: World) -> None:
    tcp = listen_info(protocol=TCP, announced_address="sfu.example", expose_internal_ip=True)
    dump = webrtc(world, listen_info(), tcp, ice_consent_timeout=5)
    assert (dump.ice_role, dump.ice_state, dump.ice_selected_tuple) == (m.IceRole.CONTROLLED, NEW, None)
    assert (dump.dtls_state, dump.dtls_parameters.role) == (m.DtlsState.NEW, m.DtlsRole.AUTO)
    assert [f.algorithm for f in dump.dtls_parameters.fingerprints] == list(m.FingerprintAlgorithm)
    assert [(c.protocol, c.address, c.priority) for c in dump.ice_candidates] == [
        (UDP, "127.0.0.1", 1076302079),
        (TCP, "sfu.example", 1076276479),
        (TCP, "127.0.0.1", 1076275479),
    ]
    known = entry(world)
    assert (known["ufrag"], known["password"], known["consent"]) == (
        dump.ice_parameters.username_fragment,
        dump.ice_parameters.password,
        10_000,
    )
    groups = {socket["group"] for socket in world.engine.live["socket"].values()}
    assert groups == {known["group"]}
    assert dump_of(world) == dump
    stats = world.ask(m.TransportGetStats(), "w")
    assert (stats.ice_role, stats.ice_state, stats.dtls_state, stats.ice_selected_tuple) == (0, 0, 0, None)


def test_without_listen_infos(world: World) -> None:
    listen = m.ListenIndividual(listen_infos=[])
    options = m.WebRtcTransportOptions(base=m.TransportOptions(), listen=listen)
    with pytest.raises(TypeError, match="candidate"):
        world.ask(m.RouterCreateWebRtcTransport(transport_id="w", options=options), "r")


def test_two_transports_accept_stun_on_their_own_sockets_only(world: World) -> None:
    webrtc(world)
    first = entry(world)["group"]
    world.ask(m.RouterCloseTransport(transport_id="w"), "r")
    webrtc(world)
    assert entry(world)["group"] != first


def test_ice_states_and_tuples_are_told(world: World) -> None:
    port = webrtc(world, listen_info(announced_address="sfu.example")).ice_candidates[0].port
    (handle,) = world.engine.handles("transport")
    world.emit(EngineEvent.ICE_TUPLE, handle, 1, "127.0.0.1", port, "192.0.2.1", 5)
    ice(world, CONNECTED)
    ice(world, CONNECTED)
    ice(world, COMPLETED)
    tuple_ = m.TransportTuple(
        local_address="sfu.example", local_port=port, remote_ip="192.0.2.1", remote_port=5, protocol=UDP
    )
    assert [n for n in world.news() if not isinstance(n, m.WebRtcTransportDtlsStateChange)] == [
        m.WebRtcTransportIceSelectedTupleChange(tuple=tuple_),
        m.WebRtcTransportIceStateChange(ice_state=CONNECTED),
        m.WebRtcTransportIceStateChange(ice_state=COMPLETED),
    ]
    assert dump_of(world).ice_selected_tuple == tuple_
    ice(world, DISCONNECTED)
    assert (dump_of(world).ice_state, dump_of(world).ice_selected_tuple) == (DISCONNECTED, None)
    assert dump_of(world).dtls_state is m.DtlsState.CONNECTING


def test_restart_ice(world: World) -> None:
    before = webrtc(world).ice_parameters
    reply = world.ask(m.TransportRestartIce(), "w")
    after = dump_of(world).ice_parameters
    assert after.username_fragment == reply.username_fragment == entry(world)["ufrag"]
    assert after.password == reply.password == entry(world)["password"]
    assert reply.ice_lite and before.username_fragment != after.username_fragment


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (m.DtlsRole.CLIENT, m.DtlsRole.SERVER),
        (m.DtlsRole.SERVER, m.DtlsRole.CLIENT),
        (m.DtlsRole.AUTO, m.DtlsRole.CLIENT),
    ],
)
def test_roles(world: World, theirs: m.DtlsRole, ours: m.DtlsRole) -> None:
    webrtc(world)
    peer = Peer(world, theirs)
    assert peer.connect().dtls_local_role is ours
    assert dump_of(world).dtls_parameters.role is ours
    with pytest.raises(SfuError, match="already"):
        peer.connect()


def test_connect_without_fingerprint(world: World) -> None:
    webrtc(world)
    with pytest.raises(TypeError, match="fingerprints"):
        world.ask(m.WebRtcTransportConnect(dtls_parameters=m.DtlsParameters(fingerprints=[])), "w")
    assert dump_of(world).dtls_parameters.role is m.DtlsRole.AUTO


@pytest.mark.parametrize("theirs", [m.DtlsRole.CLIENT, m.DtlsRole.SERVER])
def test_handshake_after_connect(world: World, theirs: m.DtlsRole) -> None:
    webrtc(world)
    peer = Peer(world, theirs)
    peer.connect()
    assert world.engine.datagrams == []  # there is no path yet
    ice(world, CONNECTED)
    peer.shake()
    changes = [n for n in world.news("w") if isinstance(n, m.WebRtcTransportDtlsStateChange)]
    assert [change.dtls_state for change in changes] == [m.DtlsState.CONNECTING, m.DtlsState.CONNECTED]
    assert [change.remote_cert is not None for change in changes] == [False, True]
    keying = peer.endpoint.keying
    assert keying is not None
    assert entry(world)["keys"] == (keying.suite, keying.remote_key, keying.local_key)


def test_hello_before_connect_waits_for_the_fingerprint(world: World) -> None:
    webrtc(world)
    peer = Peer(world, m.DtlsRole.CLIENT)
    ice(world, CONNECTED)
    assert dump_of(world).dtls_parameters.role is m.DtlsRole.SERVER
    peer.shake()
    assert peer.endpoint.state is m.DtlsState.CONNECTED
    assert dtls_states(world) == [m.DtlsState.CONNECTING] and "keys" not in entry(world)
    assert peer.connect().dtls_local_role is m.DtlsRole.SERVER
    assert dtls_states(world) == [m.DtlsState.CONNECTED] and "keys" in entry(world)


def test_role_of_a_finished_handshake_stays(world: World) -> None:
    webrtc(world)
    peer = Peer(world, m.DtlsRole.CLIENT)
    ice(world, CONNECTED)
    peer.shake()
    peer.role = m.DtlsRole.AUTO
    assert peer.connect().dtls_local_role is m.DtlsRole.SERVER
    assert dump_of(world).dtls_parameters.role is m.DtlsRole.SERVER


def test_client_role_after_waiting_as_server(world: World) -> None:
    webrtc(world)
    peer = Peer(world, m.DtlsRole.SERVER)
    ice(world, CONNECTED)
    assert peer.connect().dtls_local_role is m.DtlsRole.CLIENT
    peer.shake()
    assert dtls_states(world) == [m.DtlsState.CONNECTING, m.DtlsState.CONNECTED]


def test_wrong_fingerprint_yields_no_key(world: World) -> None:
    webrtc(world)
    peer = Peer(world, m.DtlsRole.CLIENT)
    peer.certificate = Certificate.generate()  # announces another one than it uses
    peer.connect()
    ice(world, CONNECTED)
    peer.shake()
    assert dtls_states(world)[-1] is m.DtlsState.FAILED
    assert "keys" not in entry(world)
    assert any("DTLS failed" in line for line in world.log)


def test_goodbye_of_the_peer_and_ours(world: World) -> None:
    webrtc(world)
    peer = Peer(world, m.DtlsRole.CLIENT)
    peer.connect()
    ice(world, CONNECTED)
    peer.shake()
    world.news()
    peer.endpoint.close()
    peer.shake()
    assert dtls_states(world) == [m.DtlsState.CLOSED]
    assert entry(world)["keys"] is None  # no media without DTLS


def test_closing_says_goodbye_without_news(world: World) -> None:
    webrtc(world)
    peer = Peer(world, m.DtlsRole.CLIENT)
    peer.connect()
    ice(world, CONNECTED)
    peer.shake()
    world.news()
    world.ask(m.RouterCloseTransport(transport_id="w"), "r")
    ((_, goodbye),) = world.engine.datagrams
    peer.endpoint.receive(goodbye, time.monotonic_ns())
    assert peer.endpoint.state is m.DtlsState.CLOSED
    assert world.news() == [] and world.engine.is_empty()


def test_ice_comes_back_without_a_new_handshake(world: World) -> None:
    webrtc(world)
    peer = Peer(world, m.DtlsRole.CLIENT)
    peer.connect()
    ice(world, CONNECTED)
    peer.shake()
    ice(world, DISCONNECTED)
    ice(world, COMPLETED)
    world.turn(2)
    assert dump_of(world).dtls_state is m.DtlsState.CONNECTED
    assert world.engine.datagrams == []


# --- with a WebRtcServer


def server(world: World, *infos: m.ListenInfo, id: str = "s") -> None:
    world.ask(m.WorkerCreateWebRtcServer(web_rtc_server_id=id, listen_infos=list(infos)))


def on_server(world: World, **options: Any) -> m.WebRtcTransportDumpResponse:
    listen = m.ListenServer(web_rtc_server_id="s")
    all_options = m.WebRtcTransportOptions(base=m.TransportOptions(), listen=listen, **options)
    request = m.RouterCreateWebRtcTransportWithServer(transport_id="w", options=all_options)
    dump: m.WebRtcTransportDumpResponse = world.ask(request, "r")
    return dump


def test_shared_sockets(world: World) -> None:
    server(world, listen_info(), listen_info(protocol=TCP))
    dump = on_server(world)
    assert [c.protocol for c in dump.ice_candidates] == [UDP, TCP]
    assert entry(world)["group"] == world.worker.servers["s"].group
    world.ask(m.RouterCloseTransport(transport_id="w"), "r")
    assert len(world.engine.handles("socket")) == 2


@pytest.mark.parametrize(
    ("options", "priorities"),
    [
        ({"enable_tcp": False}, [1076302079]),
        ({"enable_udp": False}, [1076276479]),
        ({"prefer_tcp": True}, [1076302079, 1076276479 + 256_000]),
        ({"prefer_udp": True}, [1076302079 + 256_000, 1076276479]),
    ],
)
def test_protocols_of_a_server(world: World, options: dict[str, bool], priorities: list[int]) -> None:
    server(world, listen_info(), listen_info(protocol=TCP))
    assert [c.priority for c in on_server(world, **options).ice_candidates] == priorities


def test_server_without_a_wanted_protocol(world: World) -> None:
    server(world, listen_info())
    with pytest.raises(TypeError, match="candidate"):
        on_server(world, enable_udp=False)
    assert world.worker.servers["s"].transports == {}


def test_unknown_server(world: World) -> None:
    with pytest.raises(NotFoundError, match="'s'"):
        on_server(world)
