"""Listening sockets: from a listen info to a bound descriptor in the engine's hands.

Control thread only. Knows nothing of transports or of what is sent.
"""

import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfu_core.channel.messages import ListenInfo, TransportProtocol, TransportTuple
from sfu_core.worker.binding import A_MOMENT, WANTED_BUFFER, bind, given_port, parse_ip, set_options
from sfu_core.worker.logs import Logs

if TYPE_CHECKING:
    from sfu_core._engine import Engine

LEAVING = 0.3  # seconds in which the media thread closes what it was told to close, on a busy machine


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
        self._leaving: dict[tuple[TransportProtocol, int], float] = {}  # until when the media thread may have them
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
        protocol = info.protocol
        ip, bound = self._bind(info)
        with bound:
            set_options(bound, info)
            listener = self.take(bound, info, group, ip=ip)
        self._taken.setdefault((protocol, ip, listener.port), listener.handle)
        return listener

    def take(
        self, bound: socket.socket, info: ListenInfo, group: int, *, ip: str, share: int = 0, number: int = 0
    ) -> Listener:
        """One that is bound already; the engine has its descriptor from then on. `share`, `number`: see the engine."""
        port = bound.getsockname()[1]
        recv, send = (bound.getsockopt(socket.SOL_SOCKET, name) for name in (socket.SO_RCVBUF, socket.SO_SNDBUF))
        self._complain_of_small_buffers(info, recv, send)
        handle = self._engine.add_socket(bound.fileno(), int(info.protocol), group, share, number)
        bound.detach()
        announced, internal = info.announced_address, info.expose_internal_ip
        return Listener(handle, info.protocol, ip, port, announced, internal, recv, send)

    def close(self, listeners: Iterable[Listener]) -> None:
        """Close and forget all of them."""
        for listener in listeners:
            self._engine.close_socket(listener.handle)
            key = (listener.protocol, listener.ip, listener.port)
            if self._taken.get(key) == listener.handle:
                del self._taken[key]
            self._let_go(listener)

    def _bind(self, info: ListenInfo) -> tuple[str, socket.socket]:
        """Who lets go of a port can have it again at once, although it is the media thread that closes sockets."""
        left = self._leaving.get((info.protocol, given_port(info)), 0.0) - time.monotonic()
        taken = self._taken
        return bind(
            info,
            self._default_range,
            taken=lambda ip, port: (info.protocol, ip, port) in taken,
            patience=max(left, A_MOMENT),
        )

    def _let_go(self, listener: Listener) -> None:
        now = time.monotonic()
        while self._leaving and self._leaving[oldest := next(iter(self._leaving))] < now:
            del self._leaving[oldest]
        self._leaving.pop((listener.protocol, listener.port), None)
        self._leaving[listener.protocol, listener.port] = now + LEAVING

    def _complain_of_small_buffers(self, info: ListenInfo, recv: int, send: int) -> None:
        if info.protocol is TransportProtocol.UDP and min(recv, send) < WANTED_BUFFER:
            self._logs.warn("info", f"socket buffers of {recv} and {send} bytes: net.core.[rw]mem_max is small")


def check_remote(ip: str | None, listener: Listener) -> str:
    """The normalised address of a peer. TypeError if it is none, or not of the listener's family."""
    if not ip:
        raise TypeError("ip is missing")
    normalised, _, family = parse_ip(ip, "ip")
    if (family is socket.AF_INET6) != (":" in listener.ip):
        raise TypeError(f"ip {ip!r} is not of the same family as {listener.ip!r}")
    return normalised
