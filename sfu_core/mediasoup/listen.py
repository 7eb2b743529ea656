"""Where a new transport shall listen: the ways to say it, and which of them go together."""

from typing import Any

from ..channel import messages as m
from .convert.arguments import number_argument, string_argument
from .convert.network import listen_info_to_wire, listen_infos_to_wire
from .types import TransportListenInfo


def exactly_one(**arguments: object) -> None:
    """`TypeError` unless one of the arguments, and only one, is given."""
    given = [name for name, value in arguments.items() if value is not None]
    if len(given) != 1:
        raise TypeError(f"exactly one of {', '.join(arguments)} is needed, not {' and '.join(given) or 'none'}")


def udp_listen_info(
    listen_info: TransportListenInfo | None, listen_ip: Any, port: int | None, name: str = "listen_info"
) -> m.ListenInfo:
    """The one UDP socket of a plain or pipe transport."""
    exactly_one(listen_info=listen_info, listen_ip=listen_ip)
    if listen_info is None:
        return listen_info_to_wire(_of_ip(listen_ip, "udp", port, "listen_ip"), "listen_ip")
    return _only_udp(listen_info_to_wire(listen_info, name), name)


def rtcp_listen_info(given: TransportListenInfo | None, rtp: m.ListenInfo, rtcp_mux: bool) -> m.ListenInfo | None:
    """The socket for RTCP: none with `rtcp_mux`, else the given one, else the next port (RFC 3550 §11)."""
    if given is not None:
        return _only_udp(listen_info_to_wire(given, "rtcp_listen_info"), "rtcp_listen_info")
    if rtcp_mux:
        return None
    return m.ListenInfo(
        protocol=rtp.protocol,
        ip=rtp.ip,
        announced_address=rtp.announced_address,
        expose_internal_ip=rtp.expose_internal_ip,
        port=_next_port(rtp.port),
        port_range=rtp.port_range,
        flags=rtp.flags,
        send_buffer_size=rtp.send_buffer_size,
        recv_buffer_size=rtp.recv_buffer_size,
    )


def _next_port(port: int) -> int:
    """After a fixed port the next one; a port that is not fixed is chosen again."""
    return number_argument(port + 1, "rtcp port after listen_info.port", 0, 65535) if port else 0


def _only_udp(info: m.ListenInfo, name: str) -> m.ListenInfo:
    if info.protocol is not m.TransportProtocol.UDP:
        raise TypeError(f"{name}.protocol is not udp")
    return info


def webrtc_listen_infos(
    listen_infos: object,
    listen_ips: object,
    port: int | None,
    *,
    udp: bool,
    tcp: bool,
    prefer_tcp: bool,
) -> list[m.ListenInfo]:
    """The sockets of a WebRTC transport of its own.

    Each address of `listen_ips` gives a UDP and a TCP entry, as far as they are enabled, UDP first unless TCP is
    preferred. With `listen_infos` each entry's protocol rules.
    """
    if listen_ips is None:
        return listen_infos_to_wire(listen_infos, "listen_infos")
    if not isinstance(listen_ips, list | tuple):
        raise TypeError("listen_ips is not an array")
    protocols = [name for name, enabled in (("udp", udp), ("tcp", tcp)) if enabled]
    if prefer_tcp:
        protocols.reverse()
    infos = [
        _of_ip(item, protocol, port, f"listen_ips[{index}]")
        for index, item in enumerate(listen_ips)
        for protocol in protocols
    ]
    return listen_infos_to_wire(infos, "listen_ips")


def _of_ip(item: object, protocol: str, port: int | None, name: str) -> dict[str, Any]:
    """mediasoup's older way: an address, or {ip, announcedIp}."""
    given = item if isinstance(item, dict) else {"ip": item}
    string_argument(given.get("ip"), f"{name}.ip")
    return {"protocol": protocol, "port": port} | given
