"""From a listen info to a bound socket: addresses, ports and socket options.

Used by a core for its own sockets, and by whoever binds a port that several cores share. Knows no engine and no loop.
"""

import errno
import random
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial

from sfu_core.channel.messages import ListenInfo, TransportProtocol
from sfu_core.errors import SfuError

TCP_BACKLOG = 512
WANTED_BUFFER = 4 << 20  # bytes; the kernel's default holds some 90 video packets of all peers together

IP_MTU_DISCOVER = 10
IPV6_MTU_DISCOVER = 23
SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33
PMTUDISC_PROBE = 3  # set DF, ignore path MTU messages: anyone could forge them

A_MOMENT = 0.03
"""Seconds to wait for a given port that is in use: another core may have just let go of it (see `naps`)."""

_FIRST_NAP, _LONGEST_NAP = 0.0005, 0.016

_BUSY = (errno.EADDRINUSE, errno.EACCES)  # another port of the range may do


def bind(
    info: ListenInfo,
    default_range: tuple[int, int],
    *,
    taken: Callable[[str, int], bool] = lambda ip, port: False,
    shared: bool = False,
    patience: float = A_MOMENT,
) -> tuple[str, socket.socket]:
    """The normalised address, and a socket bound as `info` says; TCP listens.

    Of a range, a port that is free and not `taken` in our own books. With `shared` the port must be free all the same,
    but `bind_beside` may add more sockets. A given port that is in use is waited for, blocking, for `patience` seconds.
    TypeError for a wrong address or range, SfuError if it cannot be bound.
    """
    ip, address, family = parse_ip(info.ip)
    low, high = _ports(info, default_range)
    reason = "no free port"
    for port in _from_random_start(low, high):
        if low != high and taken(ip, port):
            continue  # with udpReusePort the kernel would let us have it twice
        try:
            bind_to = partial(_bind_one, info, family, (address[0], port, *address[2:]), shared=shared)
            return ip, _patiently(bind_to, patience) if low == high else bind_to()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            if error.errno not in _BUSY:
                break
    ports = f"port: {low}" if low == high else f"ports: {low}-{high}"
    raise SfuError(f"bind failed: {reason} [protocol: {info.protocol.name.lower()}, ip: {ip}, {ports}]")


def bind_beside(info: ListenInfo, first: socket.socket) -> socket.socket:
    """One more socket of the port that `first` is bound to with `shared`."""
    return _bind_one(info, first.family, first.getsockname(), joins=True)


def naps(patience: float) -> Iterator[float]:
    """How long to sleep before each further try for a port, `patience` seconds in all.

    Who closes a socket is told so before the media thread has done it, and may want the port again at once.
    """
    nap = _FIRST_NAP
    while patience > 0:
        yield min(nap, patience)
        patience -= nap
        nap = min(2 * nap, _LONGEST_NAP)


def given_port(info: ListenInfo) -> int:
    """The only port that will do; 0 if there are several."""
    low, high = info.port_range.min, info.port_range.max
    if low and high:
        return low if low == high else 0
    return info.port


def _patiently(bind_to: Callable[[], socket.socket], patience: float) -> socket.socket:
    for nap in naps(patience):
        try:
            return bind_to()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        time.sleep(nap)
    return bind_to()


def set_options(sock: socket.socket, info: ListenInfo) -> None:
    """Buffers, no fragmentation, no delay."""
    if info.protocol is TransportProtocol.TCP:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)  # accepted connections inherit it
        wanted = (info.recv_buffer_size, info.send_buffer_size)  # else the kernel tunes them by itself
    else:
        wanted = (info.recv_buffer_size or WANTED_BUFFER, info.send_buffer_size or WANTED_BUFFER)
        _never_fragment(sock)
    _set_buffer(sock, socket.SO_RCVBUF, SO_RCVBUFFORCE, wanted[0])
    _set_buffer(sock, socket.SO_SNDBUF, SO_SNDBUFFORCE, wanted[1])


def _ports(info: ListenInfo, default_range: tuple[int, int]) -> tuple[int, int]:
    low, high = info.port_range.min, info.port_range.max
    if high < low:
        raise TypeError("listenInfo.portRange.max is below min")
    if low and high:
        return low, high
    return (info.port, info.port) if info.port else default_range


def _from_random_start(low: int, high: int) -> Iterator[int]:
    """All ports of a range, once."""
    count = high - low + 1
    start = random.randrange(count)
    return (low + (start + step) % count for step in range(count))


def parse_ip(text: str, name: str = "listenInfo.ip") -> tuple[str, tuple[str | int, ...], socket.AddressFamily]:
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


def _bind_one(
    info: ListenInfo,
    family: socket.AddressFamily | int,
    address: tuple[str | int, ...],
    *,
    shared: bool = False,
    joins: bool = False,
) -> socket.socket:
    udp = info.protocol is TransportProtocol.UDP
    sock = socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, info.flags.ipv6_only)
        if joins or (udp and info.flags.udp_reuse_port):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, True)
        if not udp:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
        sock.bind(address)
        if shared:  # only now, so that a port which others share among themselves was not free
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, True)
        if not udp:
            sock.listen(TCP_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _set_buffer(sock: socket.socket, option: int, force: int, size: int) -> None:
    if size:
        try:
            sock.setsockopt(socket.SOL_SOCKET, force, size)  # beyond the system's limit, where we may
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, option, size)


def _never_fragment(sock: socket.socket) -> None:
    if sock.family is socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_PROBE)
        if sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
            return
    sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE)
