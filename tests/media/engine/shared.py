"""Cores that share ports, on one clock, and their clients.

Each core has a port of its own here, so that a test decides which core a datagram comes to.
"""

from __future__ import annotations

import mmap
import os
import socket
from itertools import combinations

from aioice import stun

from sfu_core._flows import Flows, new_table
from tests.media.engine.ice import ICE_STATE, PASSWORD, binding, drain
from tests.media.engine.rig import MS, Rig, bound_socket, link

CAPACITY = 65536
GROUP, SHARE, UDP, TCP = 9, 5, 1, 2


def name(core: int, rest: str = "abcdef") -> str:
    """A user name fragment of that core."""
    return f"0{core}{rest}"


class Core(Rig):
    """One of several, with a socket of its own on the shared listener."""

    def __init__(self, table: int, number: int, ip: str) -> None:
        super().__init__()
        self.number = number
        self.ip = ip
        self.share = self.engine.add_share(table, SHARE, number)
        sock = bound_socket(ip)
        self.address = sock.getsockname()[:2]
        self.socket = self.engine.add_socket(sock.detach(), UDP, GROUP, self.share, 0)
        listening = socket.create_server((ip, 0), family=socket.AF_INET6 if ":" in ip else socket.AF_INET)
        listening.setblocking(False)
        self.tcp_address = listening.getsockname()[:2]
        self.tcp_socket = self.engine.add_socket(listening.detach(), TCP, GROUP, self.share, 1)
        self.links: dict[int, int] = {}

    def transport(self, rest: str = "abcdef", consent_ms: int = 30000) -> int:
        return self.engine.add_webrtc_transport(GROUP, name(self.number, rest), PASSWORD, consent_ms)

    def adopt(self) -> tuple[str, int]:
        """A socket of a core that died; its address."""
        sock = bound_socket(self.ip)
        address = sock.getsockname()[:2]
        self.engine.add_socket(sock.detach(), UDP, GROUP, self.share, 0)
        return address

    def states(self, transport: int) -> list[int]:
        return [event[2] for event in self.events if event[0] == ICE_STATE and event[1] == transport]

    def count(self, counter: str) -> int:
        return self.engine.core_stats().get(counter, 0)


class Host:
    """Cores that share a port, on one clock."""

    def __init__(self, count: int = 3, ip: str = "127.0.0.1") -> None:
        self.ip = ip
        self.table = new_table(count + 1)
        self.cores = [Core(self.table, number, ip) for number in range(count)]
        self.view = Flows(self.table, count)  # of a core that has nothing
        self.memories: dict[tuple[int, int], mmap.mmap] = {}
        for pair in combinations(range(count), 2):
            self.join(*pair)
        self.peers: list[Peer] = []
        self.run(1)

    def join(self, first: int, second: int) -> None:
        ours, theirs = self.cores[first], self.cores[second]
        made = link(ours.engine, theirs.engine, CAPACITY)
        self.memories[first, second], ours.links[second], theirs.links[first] = made
        ours.engine.set_neighbour(second, ours.links[second])
        theirs.engine.set_neighbour(first, theirs.links[first])

    def run(self, milliseconds: int) -> None:
        now = max(core.now for core in self.cores)
        for _ in range(milliseconds):
            for core in self.cores:
                core.now = now
                core.run(1)
            now += MS

    def pass_time(self, milliseconds: int) -> None:
        for core in self.cores:
            core.now += milliseconds * MS
        self.run(1)

    def owner(self, peer: Peer) -> int | None:
        found = self.view.owner(0, *peer.address)
        return None if found is None else found[0]

    def close(self) -> None:
        for peer in self.peers:
            peer.sock.close()
        for core in self.cores:
            core.close()
        for memory in self.memories.values():
            memory.close()
        os.close(self.table)


class Peer:
    """One address of a client."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.sock = bound_socket(host.ip)
        self.address = self.sock.getsockname()[:2]
        host.peers.append(self)

    def send(self, data: bytes, to: Core | tuple[str, int]) -> None:
        self.sock.sendto(data, to.address if isinstance(to, Core) else to)

    def check(
        self, user: str, to: Core | tuple[str, int], password: str = PASSWORD, nominate: bool = True
    ) -> stun.Message:
        request = binding(user, password, nominate=nominate)
        self.send(bytes(request), to)
        self.host.run(2)
        return request

    def answers(self) -> list[tuple[bytes, tuple[str, int]]]:
        return drain(self.sock)
