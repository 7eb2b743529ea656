"""The load generator: what leaves is RTP, at its time and complete; what the sink counts is what came."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from sfu import _load

HEADER = struct.Struct("!BBHII")


Udp = Callable[[], socket.socket]


@pytest.fixture
def udp() -> Iterator[Udp]:
    """Makes bound sockets that the test leaves behind."""
    made = []

    def make() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(2)
        made.append(sock)
        return sock

    yield make
    for sock in made:
        sock.close()


def packet(size: int = 100) -> bytes:
    return bytes([0x80, 96]) + bytes(10) + bytes(size)


def steps(count: int, size: int = 100, gap: int = 1_000_000) -> list[tuple[int, int, bytes]]:
    return [(i * gap, i * 90, packet(size)) for i in range(count)]


def send(source: _load.Source, seconds: float) -> _load.Sent:
    sent = _load.run(source, None, seconds)["sent"]
    assert sent
    return sent


def test_packets_are_numbered_rtp(udp: Udp) -> None:
    out, sink = udp(), udp()
    source = _load.Source(steps(10), 10_000_000, 900, [out], [sink.getsockname()], ssrc=0xCAFE0001)
    sent = send(source, 0.02)
    assert sent["failed"] == 0
    headers = [HEADER.unpack_from(sink.recv(2048)) for _ in range(sent["packets"])]
    assert len(headers) == 20
    assert [seq for _, _, seq, _, _ in headers] == list(range(20))
    assert {(first, kind, ssrc) for first, kind, _, _, ssrc in headers} == {(0x80, 96, 0xCAFE0001)}
    assert [b[3] - a[3] for a, b in pairwise(headers)] == [90] * 19


def test_numbers_go_on_in_the_next_run(udp: Udp) -> None:
    out, sink = udp(), udp()
    source = _load.Source(steps(5), 10_000_000, 900, [out], [sink.getsockname()])
    first, second = send(source, 0.01), send(source, 0.01)
    headers = [HEADER.unpack_from(sink.recv(2048)) for _ in range(first["packets"] + second["packets"])]
    assert [header[2] for header in headers] == list(range(10))
    assert headers[5][3] - headers[0][3] == 900


def test_what_is_due_is_sent_however_late_the_thread_runs(udp: Udp) -> None:
    """It sleeps for longer than all of this takes; what is due after the end is not sent."""
    out, sink = udp(), udp()
    source = _load.Source(steps(100, gap=1000), 1_000_000_000, 90_000, [out], [sink.getsockname()])
    assert send(source, 50e-6)["packets"] == 50
    assert send(source, 100e-6)["packets"] == 100


def test_every_destination_gets_every_packet(udp: Udp) -> None:
    out, sinks = udp(), [udp() for _ in range(3)]
    source = _load.Source(steps(4), 4_000_000, 360, [out], [sink.getsockname() for sink in sinks])
    assert send(source, 0.004)["packets"] == 12
    for sink in sinks:
        assert [HEADER.unpack_from(sink.recv(2048))[2] for _ in range(4)] == [0, 1, 2, 3]


def test_segmented_bursts_arrive_as_single_packets(udp: Udp) -> None:
    out, sink = udp(), udp()
    burst = [(0, 0, packet(size)) for size in (200, 200, 200, 150, 300)]
    source = _load.Source(burst, 50_000_000, 4500, [out], [sink.getsockname()], gso=True)
    sent = send(source, 0.01)
    assert (sent["packets"], sent["sends"], sent["failed"]) == (5, 2, 0)
    received = [sink.recv(2048) for _ in range(5)]
    assert [len(each) - 12 for each in received] == [200, 200, 200, 150, 300]
    assert [HEADER.unpack_from(each)[2] for each in received] == [0, 1, 2, 3, 4]


def test_sink_counts_packets_streams_holes_and_rtcp(udp: Udp) -> None:
    out, inlet = udp(), udp()
    sink = _load.Sink([inlet])
    numbers = [65533, 65534, 65535, 0, 3, 2, 5]  # 1 and 4 never come, 2 comes late
    for seq in numbers:
        out.sendto(HEADER.pack(0x80, 96, seq, 0, 7) + b"x", inlet.getsockname())
    out.sendto(HEADER.pack(0x80, 96, 9, 0, 8), inlet.getsockname())
    out.sendto(HEADER.pack(0x80, 200, 6, 0, 7), inlet.getsockname())
    out.sendto(b"tiny", inlet.getsockname())
    counted = drain(sink)
    assert counted == {"packets": 8, "bytes": 7 * 13 + 12, "rtcp": 1, "missing": 2, "streams": 2}


def drain(sink: _load.Sink) -> _load.Received:
    received = _load.run(None, sink, 0.01, settle=0.01, polling=True)["received"]
    assert received
    return received


@pytest.mark.parametrize("polling", [True, False])
def test_sink_and_source_in_one_loop_lose_nothing(udp: Udp, polling: bool) -> None:
    out, inlets = udp(), [udp() for _ in range(4)]
    with select.epoll() as epoll:
        for inlet in inlets:
            epoll.register(inlet, select.EPOLLIN)
        sink = _load.Sink(inlets, epoll.fileno())
        source = _load.Source(steps(8), 8_000_000, 720, [out], [inlet.getsockname() for inlet in inlets])
        run = _load.run(source, sink, 0.1, settle=0.05, polling=polling)
    assert run["sent"] and run["received"]
    assert run["received"]["packets"] == run["sent"]["packets"] > 300
    assert run["received"]["bytes"] == run["sent"]["bytes"]


def test_a_sleeping_source_uses_little_cpu(udp: Udp) -> None:
    out, sink = udp(), udp()
    source = _load.Source(steps(1), 20_000_000, 1800, [out], [sink.getsockname()])
    assert _load.run(source, None, 0.2)["cpu_ns"] < 20_000_000


def test_relay_copies_until_told_to_stop(udp: Udp) -> None:
    inlet, out, sinks = udp(), udp(), [udp(), udp()]
    inlet.settimeout(None)
    forwarded: list[int] = []
    thread = threading.Thread(
        target=lambda: forwarded.append(_load.relay(inlet, [sink.getsockname() for sink in sinks]))
    )
    thread.start()
    for text in (b"one", b"two", b""):
        out.sendto(text, inlet.getsockname())
    thread.join(2)
    assert forwarded == [4]
    assert [sink.recv(100) for sink in sinks] == [b"one", b"one"]


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (lambda s, to: _load.Source([], 1, 1, [s], [to]), "steps"),
        (lambda s, to: _load.Source([(0, 0, b"short")], 1, 1, [s], [to]), "steps"),
        (lambda s, to: _load.Source([(5, 0, packet()), (1, 0, packet())], 9, 1, [s], [to]), "ordered"),
        (lambda s, to: _load.Source([(5, 0, packet())], 5, 1, [s], [to]), "period_ns"),
        (lambda s, to: _load.Source(steps(1), 5, 1, [s, s], [to]), "sockets"),
    ],
)
def test_wrong_arguments_are_named(udp: Udp, bad: object, named: str) -> None:
    assert callable(bad)
    with pytest.raises(TypeError, match=named):
        bad(udp(), ("127.0.0.1", 9))


def test_addresses() -> None:
    assert _load.address_bytes("127.0.0.1", 0x1234)[2:8] == bytes([0x12, 0x34, 127, 0, 0, 1])
    assert len(_load.address_bytes("::1", 1)) == 28


def test_steps_for_one_destination_have_its_numbers(udp: Udp) -> None:
    out, sinks = udp(), [udp() for _ in range(2)]
    named = [(at, ticks, content, i % 2) for i, (at, ticks, content) in enumerate(steps(6))]
    source = _load.Source(named, 1_000_000_000, 90_000, [out], [sink.getsockname() for sink in sinks])
    assert send(source, 0.2)["packets"] == 6
    received = [[HEADER.unpack_from(sink.recv(2048))[2:4] for _ in range(3)] for sink in sinks]
    assert received == [[(0, 0), (1, 180), (2, 360)], [(0, 90), (1, 270), (2, 450)]]


def test_stamps_tell_the_delay(udp: Udp) -> None:
    """What waits in a relay for a while is counted at least that late."""
    out, relay, sink = udp(), udp(), udp()
    source = _load.Source(steps(20), 1_000_000_000, 90_000, [out], [relay.getsockname()], stamped=True)
    counter = _load.Sink([sink], timed=True)

    def pass_on(wait: float) -> None:
        for _ in range(20):
            packet = relay.recv(2048)
            time.sleep(wait)
            out.sendto(packet, sink.getsockname())

    for wait in (0, 0.003):
        passing = threading.Thread(target=pass_on, args=(wait,))
        passing.start()
        run = _load.run(source, counter, 0.3, tick=0.001)
        passing.join()
        assert run["received"] and run["received"]["packets"] == 20
        assert sum(packets for _, packets in counter.delays()) == 20
        assert counter.delays()[0][0] >= wait * 1e6


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ([*steps(1), (10, 10, packet(), 0)], {}),
        ([(0, 0, packet(), 1)], {}),
        ([(0, 0, packet(), 0)], {"gso": True}),
        ([(0, 0, packet(0))], {"stamped": True}),
    ],
)
def test_steps_that_will_not_do(udp: Udp, given: list[Any], options: dict[str, bool]) -> None:
    with pytest.raises(TypeError):
        _load.Source(given, 1_000_000, 90, [udp()], [("127.0.0.1", 9)], **options)
