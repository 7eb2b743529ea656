"""Listening sockets: from a listen info to a bound descriptor in the engine's hands.

Control thread only. Knows addresses, ports and socket options; nothing of transports or of what is sent.
"""

import errno
import random
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfu_core.channel.messages import ListenInfo, TransportProtocol, TransportTuple
from sfu_core.errors import SfuError
from sfu_core.worker.logs import Logs

if TYPE_CHECKING:
    from sfu_core._engine import Engine

TCP_BACKLOG = 512
WANTED_BUFFER = 4 << 20  # bytes; the kernel's default holds some 90 video packets of all peers together

IP_MTU_DISCOVER = 10
IPV6_MTU_DISCOVER = 23
SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33
PMTUDISC_PROBE = 3  # set DF, ignore path MTU messages: anyone could forge them

_BUSY = (errno.EADDRINUSE, errno.EACCES)  # another port of the range may do


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that the engine owns, and what to tell others about it."""

    handle: int
    protocol: TransportProtocol
    ip: str
    port: int
    announced: str | None
    expose_internal: bool
    recv_buffer: int  # bytes, as the kernel reports them (twice what was asked for)
    send_buffer: int

    @property
    def address(self) -> str:
        """The address peers should use."""
        return self.announced or self.ip

    def tuple(self, remote_ip: str | None = None, remote_port: int = 0) -> TransportTuple:
        """A flow that ends here; without remote while none is known."""
        return TransportTuple(
            local_address=self.address,
            local_port=self.port,
            remote_ip=remote_ip,
            remote_port=remote_port,
            protocol=self.protocol,
        )


class Sockets:
    """Opens and closes the sockets of one core process, and remembers the ports it took from ranges."""

    def __init__(self, engine: "Engine", logs: Logs, min_port: int, max_port: int) -> None:
        self._engine = engine
        self._logs = logs
        self._default_range = (min_port, max_port)
        self._taken: dict[tuple[TransportProtocol, str, int], int] = {}  # by which socket
        self._groups = 0

    def new_group(self) -> int:
        """A number that no other set of sockets has."""
        self._groups += 1
        return self._groups

    def open_all(self, infos: Iterable[ListenInfo], group: int) -> list[Listener]:
        """All of them, or none and an error."""
        opened: list[Listener] = []
        try:
            for info in infos:
                opened.append(self.open(info, group))
        except BaseException:
            self.close(opened)
            raise
        return opened

    def open(self, info: ListenInfo, group: int) -> Listener:
        """Bind as `info` says. TypeError for a wrong address or range, SfuError if it cannot be bound."""
        ip, bound = self._bind(info)
        with bound:
            port = bound.getsockname()[1]
            recv, send = _set_options(bound, info)
            self._complain_of_small_buffers(info, recv, send)
            handle = self._engine.add_socket(bound.fileno(), int(info.protocol), group)
            bound.detach()
        self._taken.setdefault((info.protocol, ip, port), handle)
        announced, internal = info.announced_address, info.expose_internal_ip
        return Listener(handle, info.protocol, ip, port, announced, internal, recv, send)

    def close(self, listeners: Iterable[Listener]) -> None:
        """Close and forget all of them."""
        for listener in listeners:
            self._engine.close_socket(listener.handle)
            key = (listener.protocol, listener.ip, listener.port)
            if self._taken.get(key) == listener.handle:
                del self._taken[key]

    def _complain_of_small_buffers(self, info: ListenInfo, recv: int, send: int) -> None:
        if info.protocol is TransportProtocol.UDP and min(recv, send) < WANTED_BUFFER:
            self._logs.warn("info", f"socket buffers of {recv} and {send} bytes: net.core.[rw]mem_max is small")

    def _bind(self, info: ListenInfo) -> tuple[str, socket.socket]:
        ip, address, family = _parse_ip(info.ip)
        low, high = self._ports(info)
        reason = "no free port"
        for port in _from_random_start(low, high):
            if low != high and (info.protocol, ip, port) in self._taken:
                continue  # with udpReusePort the kernel would let us have it twice
            try:
                return ip, _bind_one(info, family, (address[0], port, *address[2:]))
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                if error.errno not in _BUSY:
                    break
        ports = f"port: {low}" if low == high else f"ports: {low}-{high}"
        raise SfuError(f"bind failed: {reason} [protocol: {info.protocol.name.lower()}, ip: {ip}, {ports}]")

    def _ports(self, info: ListenInfo) -> tuple[int, int]:
        low, high = info.port_range.min, info.port_range.max
        if high < low:
            raise TypeError("listenInfo.portRange.max is below min")
        if low and high:
            return low, high
        return (info.port, info.port) if info.port else self._default_range


def check_remote(ip: str | None, listener: Listener) -> str:
    """The normalised address of a peer. TypeError if it is none, or not of the listener's family."""
    if not ip:
        raise TypeError("ip is missing")
    normalised, _, family = _parse_ip(ip, "ip")
    if (family is socket.AF_INET6) != (":" in listener.ip):
        raise TypeError(f"ip {ip!r} is not of the same family as {listener.ip!r}")
    return normalised


def _from_random_start(low: int, high: int) -> Iterator[int]:
    """All ports of a range, once."""
    count = high - low + 1
    start = random.randrange(count)
    return (low + (start + step) % count for step in range(count))


def _parse_ip(text: str, name: str = "listenInfo.ip") -> tuple[str, tuple[str | int, ...], socket.AddressFamily]:
    """The normalised address, the one to bind and its family."""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    bare, _, scope = text.partition("%") if family is socket.AF_INET6 else (text, "", "")
    try:
        ip = socket.inet_ntop(family, socket.inet_pton(family, bare))
        if family is socket.AF_INET:
            return ip, (ip, 0), family
        index = 0 if not scope else int(scope) if scope.isdigit() else socket.if_nametoindex(scope)
    except OSError:
        raise TypeError(f"{name} {text!r} is not an IP address") from None
    return (f"{ip}%{scope}" if scope else ip), (ip, 0, 0, index), family


def _bind_one(info: ListenInfo, family: socket.AddressFamily, address: tuple[str | int, ...]) -> socket.socket:
    udp = info.protocol is TransportProtocol.UDP
    sock = socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if family is socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, info.flags.ipv6_only)
        if udp and info.flags.udp_reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, True)
        if not udp:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
        sock.bind(address)
        if not udp:
            sock.listen(TCP_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _set_options(sock: socket.socket, info: ListenInfo) -> tuple[int, int]:
    """Buffers, no fragmentation, no delay; returns the effective buffer sizes."""
    if info.protocol is TransportProtocol.TCP:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)  # accepted connections inherit it
        wanted = (info.recv_buffer_size, info.send_buffer_size)  # else the kernel tunes them by itself
    else:
        wanted = (info.recv_buffer_size or WANTED_BUFFER, info.send_buffer_size or WANTED_BUFFER)
        _never_fragment(sock)
    return (
        _set_buffer(sock, socket.SO_RCVBUF, SO_RCVBUFFORCE, wanted[0]),
        _set_buffer(sock, socket.SO_SNDBUF, SO_SNDBUFFORCE, wanted[1]),
    )


def _set_buffer(sock: socket.socket, option: int, force: int, size: int) -> int:
    if size:
        try:
            sock.setsockopt(socket.SOL_SOCKET, force, size)  # beyond the system's limit, where we may
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, option, size)
    return sock.getsockopt(socket.SOL_SOCKET, option)


def _never_fragment(sock: socket.socket) -> None:
    if sock.family is socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_PROBE)
        if sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
            return
    sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE)
