"""The relay itself: its links on a virtual clock, then real sockets on the loopback."""

from __future__ import annotations

import itertools
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from network.relay import PERFECT, Impairment, Link, Relay

PACKETS = 20_000


def run_link(impairment: Impairment, seed: int = 1, packets: int = PACKETS) -> list[list[float]]:
    """Sends a packet each millisecond."""
    link = Link(impairment, seed)
    return [link.schedule(number / 1000, 1200) for number in range(packets)]


class TestLink:
    def test_perfect_link_delivers_everything_at_once(self) -> None:
        assert run_link(PERFECT, packets=100) == [[number / 1000] for number in range(100)]

    @pytest.mark.parametrize("loss", [0.01, 0.05, 0.5])
    def test_loss_is_the_share_that_was_asked_for(self, loss: float) -> None:
        lost = sum(not times for times in run_link(Impairment(loss=loss)))
        assert lost / PACKETS == pytest.approx(loss, rel=0.15)

    def test_same_seed_same_fate_other_seed_other_fate(self) -> None:
        bad = Impairment(loss=0.1, jitter_ms=20, reorder=0.05, duplicate=0.02)
        assert run_link(bad, seed=7) == run_link(bad, seed=7)
        assert run_link(bad, seed=7) != run_link(bad, seed=8)

    def test_the_fate_of_a_packet_does_not_depend_on_other_settings(self) -> None:
        lost = [not times for times in run_link(Impairment(loss=0.1))]
        worse = Impairment(loss=0.1, jitter_ms=50, reorder=0.3, duplicate=0.1)
        assert lost == [not times for times in run_link(worse)]

    def test_delay_is_added(self) -> None:
        assert Link(Impairment(delay_ms=25)).schedule(10.0, 100) == [pytest.approx(10.025)]

    def test_jitter_varies_within_its_bounds_and_keeps_the_order(self) -> None:
        out = [times[0] for times in run_link(Impairment(delay_ms=10, jitter_ms=30))]
        delays = [due - number / 1000 for number, due in enumerate(out)]
        assert out == sorted(out)
        assert min(delays) >= 0.010
        assert 0.030 < max(delays) <= 0.040 + 1e-9

    def test_reorder_lets_later_packets_overtake(self) -> None:
        out = [times[0] for times in run_link(Impairment(reorder=0.1, reorder_ms=5))]
        overtaken = sum(earlier > later for earlier, later in itertools.pairwise(out))
        assert 0.05 * PACKETS < overtaken < 0.1 * PACKETS

    def test_duplicates_come_twice(self) -> None:
        twice = sum(len(times) == 2 for times in run_link(Impairment(duplicate=0.2)))
        assert twice / PACKETS == pytest.approx(0.2, rel=0.1)

    def test_the_bottleneck_spaces_packets(self) -> None:
        link = Link(Impairment(rate_bps=960_000))  # 1200 bytes take 10 ms
        assert [link.schedule(0.0, 1200)[0] for _ in range(3)] == [
            pytest.approx(t) for t in (0.01, 0.02, 0.03)
        ]
        assert link.schedule(5.0, 1200) == [pytest.approx(5.01)]  # an idle link saves nothing up

    def test_the_bottleneck_drops_what_would_wait_too_long(self) -> None:
        link = Link(Impairment(rate_bps=960_000, queue_ms=100))
        accepted = sum(bool(link.schedule(0.0, 1200)) for _ in range(50))
        assert accepted == 11  # one being sent and ten waiting
        assert link.stats.overflowed == 39

    def test_counters_add_up(self) -> None:
        link = Link(Impairment(loss=0.2, duplicate=0.1), seed=3)
        delivered = sum(len(link.schedule(0.0, 100)) for _ in range(1000))
        assert link.stats.received == 1000
        assert delivered == 1000 - link.stats.lost + link.stats.duplicated

    @settings(max_examples=50)
    @given(
        loss=st.floats(0, 1),
        delay=st.floats(0, 500),
        jitter=st.floats(0, 500),
        reorder=st.floats(0, 1),
        rate=st.integers(0, 10_000_000),
        gaps=st.lists(st.floats(0, 0.1), max_size=60),
    )
    def test_nothing_arrives_before_it_was_sent(
        self, loss: float, delay: float, jitter: float, reorder: float, rate: int, gaps: list[float]
    ) -> None:
        link = Link(Impairment(loss=loss, delay_ms=delay, jitter_ms=jitter, reorder=reorder, rate_bps=rate))
        now = 0.0
        for gap in gaps:
            now += gap
            assert all(due >= now + delay / 1000 - 1e-9 for due in link.schedule(now, 1200))

    @pytest.mark.parametrize("field", ["loss", "reorder", "duplicate"])
    @pytest.mark.parametrize("value", [-0.1, 1.1])
    def test_shares_are_checked(self, field: str, value: float) -> None:
        with pytest.raises(ValueError, match=field):
            Impairment(**{field: value})

    def test_negative_times_are_refused(self) -> None:
        with pytest.raises(ValueError, match="delay_ms"):
            Impairment(delay_ms=-1)


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(5)
        yield made


@pytest.fixture
def client() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(5)
        yield made


class TestRelay:
    def test_both_directions(self, server: socket.socket, client: socket.socket) -> None:
        with Relay(("127.0.0.2", 0), server.getsockname()) as relay:
            client.sendto(b"question", relay.address)
            data, upstream = server.recvfrom(100)
            assert data == b"question"
            server.sendto(b"answer", upstream)
            assert client.recvfrom(100) == (b"answer", relay.address)
            assert relay.address[0] == "127.0.0.2"

    def test_every_client_has_an_address_of_its_own(
        self, server: socket.socket, client: socket.socket
    ) -> None:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
            Relay(("127.0.0.2", 0), server.getsockname()) as relay,
        ):
            other.bind(("127.0.0.1", 0))
            other.settimeout(5)
            client.sendto(b"a", relay.address)
            first, to_client = server.recvfrom(100)
            other.sendto(b"b", relay.address)
            second, to_other = server.recvfrom(100)
            assert (first, second) == (b"a", b"b")
            assert to_client != to_other
            server.sendto(b"for b", to_other)
            assert other.recv(100) == b"for b"
            client.sendto(b"a again", relay.address)
            assert server.recvfrom(100) == (b"a again", to_client)
            assert [flow.client for flow in relay.flows] == [client.getsockname(), other.getsockname()]

    def test_what_is_lost_is_decided_by_the_seed(self, server: socket.socket, client: socket.socket) -> None:
        loss = Impairment(loss=0.3)
        link = Link(loss, "5/0/up")
        expected = [number for number in range(200) if link.schedule(0.0, 2)]
        with Relay(("127.0.0.2", 0), server.getsockname(), up=loss, seed=5) as relay:
            for number in range(200):
                client.sendto(number.to_bytes(2, "big"), relay.address)
            arrived = [int.from_bytes(server.recv(100), "big") for _ in expected]
            assert arrived == expected
            assert relay.stats()[0].lost == 200 - len(expected)

    def test_delay_on_the_wire(self, server: socket.socket, client: socket.socket) -> None:
        with Relay(("127.0.0.2", 0), server.getsockname(), up=Impairment(delay_ms=80)) as relay:
            sent_at = time.monotonic()
            client.sendto(b"late", relay.address)
            server.recv(100)
            assert time.monotonic() - sent_at >= 0.080

    def test_the_network_can_change(self, server: socket.socket, client: socket.socket) -> None:
        with Relay(("127.0.0.2", 0), server.getsockname(), up=Impairment(loss=1.0)) as relay:
            client.sendto(b"lost", relay.address)
            while relay.stats()[0].lost == 0:
                time.sleep(0.001)
            relay.impair(up=PERFECT)
            client.sendto(b"arrives", relay.address)
            assert server.recv(100) == b"arrives"

    def test_a_server_that_is_not_there_does_not_stop_it(self, client: socket.socket) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
            late.bind(("127.0.0.1", 0))
            address = late.getsockname()
        with Relay(("127.0.0.2", 0), address) as relay:
            for _ in range(3):
                client.sendto(b"nobody", relay.address)
            while relay.stats()[0].received < 3:
                time.sleep(0.001)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
                server.settimeout(5)
                server.bind(address)
                client.sendto(b"somebody", relay.address)
                while server.recv(100) != b"somebody":
                    pass  # some of the others may have been on their way

    def test_close_twice(self, server: socket.socket) -> None:
        relay = Relay(("127.0.0.2", 0), server.getsockname())
        relay.start()
        relay.close()
        relay.close()

    def test_ipv6(self) -> None:
        if not socket.has_ipv6:
            pytest.skip("this Python has no IPv6")
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
            try:
                server.bind(("::1", 0))
            except OSError:
                pytest.skip("this host has no IPv6 loopback address")
            server.settimeout(5)
            with (
                socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client,
                Relay(("::1", 0), server.getsockname()[:2]) as relay,
            ):
                client.sendto(b"six", relay.address)
                assert server.recv(100) == b"six"

    def test_command_line(self, server: socket.socket, client: socket.socket) -> None:
        host, port = server.getsockname()
        command = [sys.executable, str(Path(__file__).with_name("relay.py"))]
        command += ["--listen", f"127.0.0.2:{port}", "--to", f"{host}:{port}", "--delay", "1"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == f"relaying 127.0.0.2:{port} to 127.0.0.1:{port}\n"
            client.sendto(b"hello", ("127.0.0.2", port))
            assert server.recv(100) == b"hello"
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=10)
        assert process.returncode == 0
        assert "up: LinkStats(received=1, delivered=1" in rest
