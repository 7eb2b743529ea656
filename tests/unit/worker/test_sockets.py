"""Listening sockets on real loopback addresses: addresses, ports, options, errors, and nothing left open."""

import errno
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sfu_core.channel.messages import ListenInfo, PortRange, SocketFlags, TransportProtocol
from sfu_core.errors import SfuError
from sfu_core.worker import binding as module
from sfu_core.worker.logs import Logs
from sfu_core.worker.sockets import Listener, Sockets

from .fake_engine import FakeEngine

UDP, TCP = TransportProtocol.UDP, TransportProtocol.TCP


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    engine = FakeEngine()
    yield engine
    for handle in engine.handles("socket"):
        engine.close_socket(handle)
    engine.close()


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def sockets(engine: FakeEngine, lines: list[str]) -> Sockets:
    return Sockets(engine, Logs(lines.append, "warn", ["info"]), 40000, 49999)  # type: ignore[arg-type]


def info(ip: str = "127.0.0.1", protocol: TransportProtocol = UDP, **fields: Any) -> ListenInfo:
    fields = {"port_range": PortRange(), "flags": SocketFlags(), "expose_internal_ip": False} | fields
    return ListenInfo(protocol=protocol, ip=ip, **fields)


def option(engine: FakeEngine, listener: Listener, level: int, name: int) -> int:
    fd = os.dup(engine.live["socket"][listener.handle]["fd"])
    with socket.socket(fileno=fd) as sock:
        return sock.getsockopt(level, name)


def free_port(kind: int = socket.SOCK_DGRAM) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def test_a_port_that_is_just_being_let_go_of(sockets: Sockets, engine: FakeEngine) -> None:
    """The media thread closes a moment after whoever asked for it has its answer."""
    port = free_port()
    holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    holder.bind(("127.0.0.1", port))
    with pytest.raises(SfuError, match="address already in use"):
        sockets.open(info(port=port), group=1)
    letting_go = threading.Timer(0.005, holder.close)
    letting_go.start()
    assert sockets.open(info(port=port), group=1).port == port
    letting_go.join()


def test_udp_socket_is_bound_nonblocking_and_handed_over(sockets: Sockets, engine: FakeEngine) -> None:
    listener = sockets.open(info(announced_address="sfu.example"), group=7)
    entry = engine.live["socket"][listener.handle]
    assert (entry["protocol"], entry["group"]) == (1, 7)
    assert not os.get_blocking(entry["fd"])
    with socket.socket(fileno=os.dup(entry["fd"])) as sock:
        assert sock.getsockname() == ("127.0.0.1", listener.port)
    assert (listener.ip, listener.address) == ("127.0.0.1", "sfu.example")
    assert 40000 <= listener.port <= 49999


def test_tcp_socket_listens_without_delay(sockets: Sockets, engine: FakeEngine) -> None:
    listener = sockets.open(info(protocol=TCP), group=1)
    assert option(engine, listener, socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    assert option(engine, listener, socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
    with socket.create_connection(("127.0.0.1", listener.port), timeout=1):
        pass


@pytest.mark.parametrize("ip", ["::1", "0:0:0:0:0:0:0:1"])
def test_ipv6_is_normalised(sockets: Sockets, ip: str) -> None:
    assert sockets.open(info(ip), group=1).ip == "::1"


@pytest.mark.parametrize("only", [False, True])
def test_v6only_as_asked(sockets: Sockets, engine: FakeEngine, only: bool) -> None:
    listener = sockets.open(info("::", flags=SocketFlags(ipv6_only=only)), group=1)
    assert option(engine, listener, socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == only


def test_fragmentation_is_off(sockets: Sockets, engine: FakeEngine) -> None:
    four, six = sockets.open(info(), 1), sockets.open(info("::1"), 1)
    probe = module.PMTUDISC_PROBE
    assert option(engine, four, socket.IPPROTO_IP, module.IP_MTU_DISCOVER) == probe
    assert option(engine, six, socket.IPPROTO_IPV6, module.IPV6_MTU_DISCOVER) == probe


def test_buffers_are_asked_for_and_read_back(sockets: Sockets, engine: FakeEngine, lines: list[str]) -> None:
    wanted, small = sockets.open(info(), 1), sockets.open(info(recv_buffer_size=65536), 1)
    assert wanted.recv_buffer == option(engine, wanted, socket.SOL_SOCKET, socket.SO_RCVBUF)
    assert wanted.send_buffer == option(engine, wanted, socket.SOL_SOCKET, socket.SO_SNDBUF)
    with open("/proc/sys/net/core/rmem_max") as limit:
        allowed = module.WANTED_BUFFER if os.geteuid() == 0 else int(limit.read())
    assert wanted.recv_buffer >= min(allowed, module.WANTED_BUFFER)
    assert small.recv_buffer == 2 * 65536  # the kernel doubles what is asked for
    assert len(lines) == (wanted.recv_buffer < module.WANTED_BUFFER) + 1
    assert str(small.recv_buffer) in lines[-1]


@pytest.mark.parametrize("ip", ["", "localhost", "127.1", "1.2.3.4.5", "::g", "[::1]", "::1%nosuch"])
def test_what_is_no_address_is_a_type_error(sockets: Sockets, ip: str) -> None:
    with pytest.raises(TypeError, match="not an IP address"):
        sockets.open(info(ip), 1)


@pytest.mark.parametrize("protocol", [UDP, TCP])
def test_foreign_address_is_an_error_and_is_not_tried_on_every_port(
    sockets: Sockets, monkeypatch: pytest.MonkeyPatch, protocol: TransportProtocol
) -> None:
    tried = []
    real = module._bind_one
    monkeypatch.setattr(module, "_bind_one", lambda *args, **how: tried.append(args) or real(*args, **how))
    with pytest.raises(SfuError, match="bind failed"):
        sockets.open(info("203.0.113.1", protocol), 1)
    assert len(tried) == 1


def test_reversed_range_is_a_type_error(sockets: Sockets) -> None:
    with pytest.raises(TypeError, match="portRange"):
        sockets.open(info(port_range=PortRange(min=5000, max=4000)), 1)


@pytest.mark.parametrize(("protocol", "kind"), [(UDP, socket.SOCK_DGRAM), (TCP, socket.SOCK_STREAM)])
def test_fixed_port_in_use(sockets: Sockets, protocol: TransportProtocol, kind: int) -> None:
    port = free_port(kind)
    assert sockets.open(info(protocol=protocol, port=port), 1).port == port
    with pytest.raises(SfuError, match=os.strerror(errno.EADDRINUSE).lower()):
        sockets.open(info(protocol=protocol, port=port), 1)


def test_fixed_port_may_be_shared_if_both_say_so(sockets: Sockets) -> None:
    shared = info(port=free_port(), flags=SocketFlags(udp_reuse_port=True))
    assert sockets.open(shared, 1).port == sockets.open(shared, 1).port


def test_range_wins_over_port_and_is_used_up_completely(sockets: Sockets) -> None:
    base = free_port()
    limited = info(port=9, port_range=PortRange(min=base, max=base + 3))
    ports = set()
    with pytest.raises(SfuError, match=f"ports: {base}-{base + 3}"):
        while True:
            ports.add(sockets.open(limited, 1).port)
    assert ports <= set(range(base, base + 4))
    assert len(ports) >= 1


def test_range_with_reuse_gives_no_port_twice(sockets: Sockets) -> None:
    base = free_port()
    flags = SocketFlags(udp_reuse_port=True)
    limited = info(port_range=PortRange(min=base, max=base + 7), flags=flags)
    opened = [sockets.open(limited, 1) for _ in range(8)]
    assert len({listener.port for listener in opened}) == 8
    with pytest.raises(SfuError, match="no free port"):
        sockets.open(limited, 1)
    sockets.close(opened[:1])
    assert sockets.open(limited, 1).port == opened[0].port


def test_failure_half_way_leaves_nothing_open(sockets: Sockets, engine: FakeEngine) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(SfuError):
        sockets.open_all([info(), info(protocol=TCP), info("203.0.113.1")], 1)
    assert engine.handles("socket") == []
    assert len(os.listdir("/proc/self/fd")) == before


def test_engine_that_refuses_leaves_nothing_open(
    sockets: Sockets, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise SfuError("full")

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(engine, "add_socket", refuse)
    with pytest.raises(SfuError, match="full"):
        sockets.open(info(), 1)
    assert len(os.listdir("/proc/self/fd")) == before


def test_groups_differ(sockets: Sockets) -> None:
    assert sockets.new_group() != sockets.new_group()


@pytest.mark.parametrize("protocol", [UDP, TCP])
def test_a_port_can_be_had_again_at_once(
    sockets: Sockets, engine: FakeEngine, protocol: TransportProtocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although the media thread closes a socket some time after it was told to."""
    listener = sockets.open(info(protocol=protocol, port=free_port()), group=0)
    close, late = engine.close_socket, []

    def close_later(handle: int) -> None:
        late.append(threading.Timer(0.05, close, (handle,)))
        late[-1].start()

    monkeypatch.setattr(engine, "close_socket", close_later)
    sockets.close([listener])
    again = sockets.open(info(protocol=protocol, port=listener.port), group=0)
    assert again.port == listener.port
    late[0].join()
    monkeypatch.undo()
    with pytest.raises(SfuError, match="in use"):  # nobody has let go of it
        sockets.open(info(protocol=protocol, port=listener.port), group=0)


def test_it_is_not_waited_for_long(sockets: Sockets, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sfu_core.worker.sockets.LEAVING", 0.03)
    listener = sockets.open(info(port=free_port()), group=0)
    monkeypatch.setattr(engine, "close_socket", lambda handle: None)
    sockets.close([listener])
    with pytest.raises(SfuError, match="in use"):
        sockets.open(info(port=listener.port), group=0)
