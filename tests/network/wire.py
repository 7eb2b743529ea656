"""Hosts of their own on one machine: network name spaces, joined by a bad network in user space.

Each host is a network name space with one TUN device; the application's end is a TUN device in the name space that we
are in. A thread takes every IP packet from the device that it leaves by and puts it, after what its link does to it
(`relay.Link`), into that of its destination. So all packets between hosts can be delayed, lost, cut off and looked at,
and no kernel module is needed. Needs root and /dev/net/tun: `why_not()` says what is missing.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import selectors
import socket
import struct
import threading
import time
from collections import Counter
from contextlib import suppress
from types import TracebackType
from typing import Self

from network import spaces
from network.relay import PERFECT, Impairment, Link

NET = "198.18.77"
"""Of the addresses set aside for tests of networks (RFC 2544)."""

APPLICATION = f"{NET}.100"
UDP = 17

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_MTU = 1500


def why_not() -> str:
    """What this machine lacks for it; empty if nothing."""
    return spaces.why_not() or ("" if os.path.exists("/dev/net/tun") else "no /dev/net/tun")


class Wire:
    """`async with`-less: use with `with`. Hosts are numbered from 1; their addresses are `address(number)`."""

    def __init__(self, count: int, between: Impairment = PERFECT, seed: int = 1) -> None:
        """`between`: what happens between two hosts; from and to the application nothing does."""
        self.names = {number: f"sfu{os.getpid()}h{number}" for number in range(1, count + 1)}
        self.packets: Counter[str] = Counter()
        """UDP packets between hosts, and those of them in which a marker was seen."""
        self.markers: list[bytes] = []
        self._between = between
        self._seed = seed
        self._links: dict[tuple[str, str], Link] = {}
        self._cut: set[str] = set()
        self._devices: dict[str, int] = {}
        self._departures: list[tuple[float, int, int, bytes]] = []
        self._order = 0
        self._over = threading.Event()

    def __enter__(self) -> Self:
        try:
            for number, name in self.names.items():
                spaces.make(name)
                self._devices[address(number)] = spaces.inside(name, lambda: _open_tun("wire"))
                _set_up(["ip", "-n", name], "wire", address(number))
            device = f"wire{os.getpid()}"[:15]
            self._devices[APPLICATION] = _open_tun(device)
            _set_up(["ip"], device, APPLICATION)
            self._thread = threading.Thread(target=self._carry, name="wire", daemon=True)
            self._thread.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._remove()

    def command(self, number: int, *arguments: str) -> list[str]:
        """What runs a command on a host."""
        return spaces.command(self.names[number], *arguments)

    def cut(self, number: int) -> None:
        """Nothing gets there or comes from there."""
        self._cut.add(address(number))

    def mend(self, number: int) -> None:
        self._cut.discard(address(number))

    # The thread

    def _carry(self) -> None:
        with selectors.DefaultSelector() as selector:
            for fd in self._devices.values():
                os.set_blocking(fd, False)
                selector.register(fd, selectors.EVENT_READ)
            while not self._over.is_set():
                due = self._departures[0][0] - time.monotonic() if self._departures else 0.05
                for key, _ in selector.select(max(0.0, min(due, 0.05))):
                    self._read(key.fd)
                self._send_due()

    def _read(self, fd: int) -> None:
        with suppress(BlockingIOError):
            while True:
                self._take(os.read(fd, _MTU + 4))

    def _take(self, packet: bytes) -> None:
        if len(packet) < 20 or packet[0] >> 4 != 4:
            return
        source, target = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
        if target not in self._devices or source in self._cut or target in self._cut:
            return
        inside = APPLICATION not in (source, target)
        if inside and packet[9] == UDP:
            self.packets["udp"] += 1
            self.packets["seen"] += any(marker in packet for marker in self.markers)
        link = self._links.get((source, target))
        if link is None:
            settings = self._between if inside else PERFECT
            link = self._links[source, target] = Link(settings, f"{self._seed} {source} {target}")
        for due in link.schedule(time.monotonic(), len(packet)):
            self._order += 1
            heapq.heappush(self._departures, (due, self._order, self._devices[target], packet))

    def _send_due(self) -> None:
        now = time.monotonic()
        while self._departures and self._departures[0][0] <= now:
            _, _, fd, packet = heapq.heappop(self._departures)
            with suppress(OSError):  # its queue is full, or its host has gone
                os.write(fd, packet)

    def _remove(self) -> None:
        for fd in self._devices.values():
            os.close(fd)
        self._devices.clear()
        for name in self.names.values():
            spaces.remove(name)


def address(number: int) -> str:
    """Of a host."""
    return f"{NET}.{number}"


def _open_tun(name: str) -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    except BaseException:
        os.close(fd)
        raise
    return fd


def _set_up(ip: list[str], device: str, own: str) -> None:
    spaces.run(*ip, "addr", "add", f"{own}/24", "dev", device)
    spaces.run(*ip, "link", "set", device, "mtu", str(_MTU), "txqueuelen", "5000", "up")
