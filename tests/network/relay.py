"""A seeded bad network on the wire: a UDP relay with loss, delay, jitter, reordering and a bottleneck.

The relay listens on an address of its own (say ``127.0.0.2``), which a media server announces through
``announcedAddress``; what a client sends there goes on to the server, and the answers come back, each
through an impaired :class:`Link`. Every client gets its own upstream socket, so the server sees one remote
address a client, as behind a NAT. Nothing is ever dropped inside the engine under test: what is lost here
was lost on the wire.

:class:`Link` is pure (time is an argument) and draws its decisions from its seed in the order in which
packets arrive; :class:`Relay` runs links on sockets in one thread of its own. It must not know what the
packets are.

    python tests/network/relay.py --listen 127.0.0.2:44444 --to 127.0.0.1:44444 --loss 0.05 --delay 20
"""

from __future__ import annotations

import argparse
import heapq
import random
import selectors
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType

Address = tuple[str, int]

#: Larger than any UDP datagram, so that nothing is ever cut.
MAX_DATAGRAM = 65536

#: Room for a burst while the thread is not scheduled (the kernel may grant less).
SOCKET_BUFFER = 4 << 20


@dataclass(frozen=True)
class Impairment:
    """What a link does to its packets.

    Args:
        loss: share of the packets that disappear, 0..1.
        delay_ms: time every packet takes.
        jitter_ms: up to this much is added, evenly distributed; packets keep their order, as in a queue.
        reorder: share of the packets that are held back by ``reorder_ms``, so that later ones overtake them.
        reorder_ms: how long those are held back.
        duplicate: share of the packets that arrive twice.
        rate_bps: speed of the bottleneck in bits per second; 0 means none.
        queue_ms: how much waiting the bottleneck's queue holds; what would wait longer is dropped.
    """

    loss: float = 0.0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    reorder: float = 0.0
    reorder_ms: float = 30.0
    duplicate: float = 0.0
    rate_bps: int = 0
    queue_ms: float = 300.0

    def __post_init__(self) -> None:
        for name in ("loss", "reorder", "duplicate"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is a share between 0 and 1")
        for name in ("delay_ms", "jitter_ms", "reorder_ms", "rate_bps", "queue_ms"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} cannot be negative")


PERFECT = Impairment()


@dataclass
class LinkStats:
    """What a link has done so far, in packets."""

    received: int = 0
    delivered: int = 0
    lost: int = 0
    overflowed: int = 0
    held_back: int = 0
    duplicated: int = 0


class Link:
    """One direction of one path: decides when, and whether, each packet comes out."""

    def __init__(self, impairment: Impairment = PERFECT, seed: int | str = 0) -> None:
        self.impairment = impairment
        self.stats = LinkStats()
        self._random = random.Random(seed)
        self._sent_at = 0.0  # when the bottleneck has put out all it accepted
        self._in_order_at = 0.0  # no ordinary packet comes out before its predecessor

    def schedule(self, now: float, size: int) -> list[float]:
        """Returns the times (seconds, same clock as ``now``) at which a packet of ``size`` bytes comes out.

        No time for a lost packet, two for a duplicated one. The same draws are made for every packet, so
        that whether it is lost depends on the seed and its position, not on what happened to others.
        """
        settings = self.impairment
        lose, jitter, hold_back, repeat = (self._random.random() for _ in range(4))
        self.stats.received += 1
        if lose < settings.loss:
            self.stats.lost += 1
            return []
        leaves_at = self._pass_bottleneck(now, size)
        if leaves_at is None:
            self.stats.overflowed += 1
            return []
        due = leaves_at + (settings.delay_ms + jitter * settings.jitter_ms) / 1000
        if hold_back < settings.reorder:
            self.stats.held_back += 1
            due += settings.reorder_ms / 1000
        else:
            due = self._in_order_at = max(due, self._in_order_at)
        if repeat < settings.duplicate:
            self.stats.duplicated += 1
            return [due, due]
        return [due]

    def _pass_bottleneck(self, now: float, size: int) -> float | None:
        settings = self.impairment
        if not settings.rate_bps:
            return now
        starts_at = max(now, self._sent_at)
        if starts_at - now > settings.queue_ms / 1000:
            return None
        self._sent_at = starts_at + size * 8 / settings.rate_bps
        return self._sent_at


@dataclass
class Flow:
    """One client of the relay: its address, the socket the server knows it by, and its two directions."""

    client: Address
    upstream: socket.socket
    up: Link
    down: Link


@dataclass(order=True)
class _Departure:
    due: float
    order: int
    data: bytes = field(compare=False)
    flow: Flow = field(compare=False)
    is_up: bool = field(compare=False)


class Relay:
    """Relays UDP between clients and one server address through impaired links.

    Args:
        listen: address for the clients; port 0 takes a free one (see :attr:`address`).
        target: address of the server.
        up: what happens from a client to the server.
        down: what happens from the server to a client.
        seed: decides every random draw. Each flow, in order of appearance, has its own for each direction.

    Use it as a context manager, or call :meth:`start` and :meth:`close`. Any thread may call the methods.
    """

    def __init__(
        self,
        listen: Address,
        target: Address,
        *,
        up: Impairment = PERFECT,
        down: Impairment = PERFECT,
        seed: int = 0,
    ) -> None:
        self._target = target
        self._up = up
        self._down = down
        self._seed = seed
        self._flows: dict[Address, Flow] = {}
        self._departures: list[_Departure] = []
        self._order = 0
        self._lock = threading.Lock()
        self._closed = False
        self._selector = selectors.DefaultSelector()
        self._listener = _udp_socket(listen)
        self._bell, self._bell_rope = socket.socketpair()
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._selector.register(self._bell, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, name="udp-relay", daemon=True)

    @property
    def address(self) -> Address:
        """Where clients send to."""
        host, port = self._listener.getsockname()[:2]
        return host, port

    @property
    def flows(self) -> list[Flow]:
        """The clients seen so far, in order of appearance; their links carry the counters."""
        with self._lock:
            return list(self._flows.values())

    def start(self) -> None:
        """Begins to relay."""
        self._thread.start()

    def close(self) -> None:
        """Stops; packets still on their way are lost. Does nothing when called again."""
        if self._closed:
            return
        self._closed = True
        if self._thread.ident is not None:
            self._bell_rope.send(b"\0")
            self._thread.join()
        for flow in self._flows.values():
            flow.upstream.close()
        for end in (self._listener, self._bell, self._bell_rope):
            end.close()
        self._selector.close()

    def impair(self, *, up: Impairment | None = None, down: Impairment | None = None) -> None:
        """Changes the network from the next packet on, for present and future clients."""
        with self._lock:
            self._up = up or self._up
            self._down = down or self._down
            for flow in self._flows.values():
                flow.up.impairment = self._up
                flow.down.impairment = self._down

    def stats(self) -> tuple[LinkStats, LinkStats]:
        """The counters of all flows together: (up, down)."""
        up, down = LinkStats(), LinkStats()
        for flow in self.flows:
            for total, part in ((up, flow.up.stats), (down, flow.down.stats)):
                for name, value in vars(part).items():
                    setattr(total, name, getattr(total, name) + value)
        return up, down

    def __enter__(self) -> Relay:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        while not self._closed:
            wait = self._departures[0].due - time.monotonic() if self._departures else None
            for key, _ in self._selector.select(None if wait is None else max(wait, 0.0)):
                if key.fileobj is self._listener:
                    self._drain_clients()
                elif isinstance(key.data, Flow):
                    self._drain_server(key.data)
            self._send_due(time.monotonic())

    def _drain_clients(self) -> None:
        while (received := _receive(self._listener)) is not None:
            data, client = received
            with self._lock:
                flow = self._flows.get(client) or self._new_flow(client)
                self._accept(flow, data, is_up=True)

    def _drain_server(self, flow: Flow) -> None:
        while (received := _receive(flow.upstream)) is not None:
            with self._lock:
                self._accept(flow, received[0], is_up=False)

    def _new_flow(self, client: Address) -> Flow:
        upstream = _udp_socket((_wildcard(self._target), 0))
        upstream.connect(self._target)
        number = len(self._flows)
        flow = Flow(
            client,
            upstream,
            up=Link(self._up, f"{self._seed}/{number}/up"),
            down=Link(self._down, f"{self._seed}/{number}/down"),
        )
        self._flows[client] = flow
        self._selector.register(upstream, selectors.EVENT_READ, flow)
        return flow

    def _accept(self, flow: Flow, data: bytes, *, is_up: bool) -> None:
        link = flow.up if is_up else flow.down
        for due in link.schedule(time.monotonic(), len(data)):
            self._order += 1
            heapq.heappush(self._departures, _Departure(due, self._order, data, flow, is_up))

    def _send_due(self, now: float) -> None:
        while self._departures and self._departures[0].due <= now:
            leaving = heapq.heappop(self._departures)
            flow = leaving.flow
            if leaving.is_up and _send(flow.upstream, leaving.data, self._target):
                flow.up.stats.delivered += 1
            elif not leaving.is_up and _send(self._listener, leaving.data, flow.client):
                flow.down.stats.delivered += 1


def _send(sender: socket.socket, data: bytes, to: Address) -> bool:
    """False if the kernel would not take it; a network says nothing about that."""
    for _ in range(2):
        try:
            sender.sendto(data, to)
            return True
        except ConnectionError:
            continue  # the ICMP answer to an earlier packet, reported once, here of all places
        except OSError:
            break
    return False


def _udp_socket(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM)
    for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        made.setsockopt(socket.SOL_SOCKET, buffer, SOCKET_BUFFER)
    made.setblocking(False)
    try:
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made


def _wildcard(target: Address) -> str:
    return "::" if ":" in target[0] else "0.0.0.0"


def _receive(source: socket.socket) -> tuple[bytes, Address] | None:
    while True:
        try:
            data, address = source.recvfrom(MAX_DATAGRAM)
        except BlockingIOError:
            return None
        except ConnectionError:
            continue  # an ICMP answer to something sent before
        return data, (address[0], address[1])


def _parse_address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="UDP relay with a seeded bad network.")
    parser.add_argument("--listen", type=_parse_address, required=True, metavar="HOST:PORT")
    parser.add_argument("--to", type=_parse_address, required=True, metavar="HOST:PORT")
    parser.add_argument("--loss", type=float, default=0.0, help="share, 0..1")
    parser.add_argument("--delay", type=float, default=0.0, help="ms")
    parser.add_argument("--jitter", type=float, default=0.0, help="ms, on top of the delay, order kept")
    parser.add_argument("--reorder", type=float, default=0.0, help="share of packets held back by 30 ms")
    parser.add_argument("--duplicate", type=float, default=0.0, help="share, 0..1")
    parser.add_argument("--rate", type=int, default=0, help="bits per second, 0 for no limit")
    parser.add_argument("--up-only", action="store_true", help="leave the way to the client perfect")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Relays until interrupted, then prints what happened."""
    options = _parse_arguments(arguments)
    bad = Impairment(
        loss=options.loss,
        delay_ms=options.delay,
        jitter_ms=options.jitter,
        reorder=options.reorder,
        duplicate=options.duplicate,
        rate_bps=options.rate,
    )
    down = PERFECT if options.up_only else bad
    with Relay(options.listen, options.to, up=bad, down=down, seed=options.seed) as relay:
        print("relaying {}:{} to {}:{}".format(*relay.address, *options.to), flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    for direction, stats in zip(("up", "down"), relay.stats(), strict=True):
        print(f"{direction}: {stats}")
    return 0


if __name__ == "__main__":
    # The waiting signals must be blocked before the thread exists, or it would be ended by them.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    sys.exit(main(sys.argv[1:]))
