"""What applications say about sockets, DTLS, SRTP and SCTP, to messages; wrong values are `TypeError`s."""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from ...channel import messages as m
from ..types import SctpOptions, SctpStreamParameters
from .arguments import bool_argument, choice, number_argument, object_argument, string_argument

_MAX_PORT = 65535

DTLS_ROLES = {role.name.lower(): role for role in m.DtlsRole}
FINGERPRINT_ALGORITHMS = {f"sha-{item.name[3:]}": item for item in m.FingerprintAlgorithm}
CRYPTO_SUITES = {suite.name: suite for suite in m.SrtpCryptoSuite}


def listen_info_to_wire(info: object, name: str) -> m.ListenInfo:
    """A TransportListenInfo; the address is written in its normal form (RFC 5952)."""
    given = object_argument(info, name)
    ports, flags = given.get("portRange"), given.get("flags") or {}
    return m.ListenInfo(
        protocol=_protocol(given.get("protocol"), f"{name}.protocol"),
        ip=ip_argument(given.get("ip"), f"{name}.ip"),
        announced_address=given.get("announcedAddress") or given.get("announcedIp"),
        expose_internal_ip=bool(given.get("exposeInternalIp", False)),
        port=number_argument(given.get("port") or 0, f"{name}.port", 0, _MAX_PORT),
        port_range=_port_range(ports, f"{name}.portRange") if ports else m.PortRange(),
        flags=m.SocketFlags(
            ipv6_only=bool(flags.get("ipv6Only", False)),
            udp_reuse_port=bool(flags.get("udpReusePort", False)),
        ),
        send_buffer_size=number_argument(given.get("sendBufferSize") or 0, f"{name}.sendBufferSize"),
        recv_buffer_size=number_argument(given.get("recvBufferSize") or 0, f"{name}.recvBufferSize"),
    )


def listen_infos_to_wire(infos: object, name: str) -> list[m.ListenInfo]:
    """A list of TransportListenInfos, at least one."""
    if not isinstance(infos, Iterable) or isinstance(infos, str | dict):
        raise TypeError(f"{name} is not an array")
    converted = [listen_info_to_wire(info, f"{name}[{index}]") for index, info in enumerate(infos)]
    if not converted:
        raise TypeError(f"{name} is empty")
    return converted


def _protocol(value: object, name: str) -> m.TransportProtocol:
    if value not in ("udp", "tcp"):
        raise TypeError(f"{name} is neither udp nor tcp")
    return m.TransportProtocol.UDP if value == "udp" else m.TransportProtocol.TCP


def ip_argument(value: object, name: str) -> str:
    """An IP address in its normal form (RFC 5952)."""
    try:
        return str(ip_address(string_argument(value, name)))
    except ValueError:
        raise TypeError(f"{name} is not an IP address") from None


def optional_ip(value: object | None, name: str) -> str | None:
    """An IP address, if there is one."""
    return None if value is None else ip_argument(value, name)


def optional_port(value: object | None, name: str) -> int | None:
    """A port to send to, if there is one."""
    return None if value is None else number_argument(value, name, 1, _MAX_PORT)


def _port_range(value: object, name: str) -> m.PortRange:
    given = object_argument(value, name)
    low = number_argument(given.get("min"), f"{name}.min", 0, _MAX_PORT)
    high = number_argument(given.get("max"), f"{name}.max", 0, _MAX_PORT)
    if high < low:
        raise TypeError(f"{name}.max is below {name}.min")
    return m.PortRange(min=low, max=high)


def dtls_parameters_to_wire(parameters: object, name: str = "dtls_parameters") -> m.DtlsParameters:
    """The remote's DTLS parameters: at least one fingerprint of a known algorithm."""
    given = object_argument(parameters, name)
    fingerprints = given.get("fingerprints")
    if not isinstance(fingerprints, list) or not fingerprints:
        raise TypeError(f"missing {name}.fingerprints (an array)")
    return m.DtlsParameters(
        role=choice(given.get("role") or "auto", DTLS_ROLES, f"{name}.role"),
        fingerprints=[_fingerprint(item, f"{name}.fingerprints[{i}]") for i, item in enumerate(fingerprints)],
    )


def _fingerprint(value: object, name: str) -> m.Fingerprint:
    given = object_argument(value, name)
    return m.Fingerprint(
        algorithm=choice(given.get("algorithm"), FINGERPRINT_ALGORITHMS, f"{name}.algorithm"),
        value=string_argument(given.get("value"), f"{name}.value"),
    )


def srtp_parameters_to_wire(parameters: object | None, name: str = "srtp_parameters") -> m.SrtpParameters | None:
    """SRTP parameters, if there are any."""
    if parameters is None:
        return None
    given = object_argument(parameters, name)
    return m.SrtpParameters(
        crypto_suite=choice(given.get("cryptoSuite"), CRYPTO_SUITES, f"{name}.cryptoSuite"),
        key_base64=string_argument(given.get("keyBase64"), f"{name}.keyBase64"),
    )


def sctp_stream_to_wire(parameters: SctpStreamParameters) -> m.SctpStreamParameters:
    """Normalised SCTP stream parameters."""
    return m.SctpStreamParameters(
        stream_id=parameters["streamId"],
        ordered=parameters.get("ordered"),
        max_packet_life_time=parameters.get("maxPacketLifeTime"),
        max_retransmits=parameters.get("maxRetransmits"),
    )


_SCTP_DEFAULTS: SctpOptions = {
    "enable_sctp": False,
    "max_send_message_size": 262_144,
    "max_receive_message_size": 262_144,
    "sctp_send_buffer_size": 2_000_000,
    "sctp_per_stream_send_queue_limit": 2_000_000,
    "sctp_max_receiver_window_buffer_size": 5_242_880,
    "sctp_default_stream_buffered_amount_low_threshold": 1_024,
}


def transport_options(
    sctp: SctpOptions, *, is_data_channel: bool = False, initial_bitrate: int | None = None
) -> m.TransportOptions:
    """The options that all transports on the network have; `initial_bitrate` in bit/s."""
    for name in sctp:
        if name not in _SCTP_DEFAULTS:
            raise TypeError(f"unexpected argument {name}")
    options: dict[str, Any] = {**_SCTP_DEFAULTS, **sctp}
    bool_argument(options["enable_sctp"], "enable_sctp")
    for name in _SCTP_DEFAULTS.keys() - {"enable_sctp"}:
        number_argument(options[name], name)
    return m.TransportOptions(
        is_data_channel=is_data_channel, initial_available_outgoing_bitrate=initial_bitrate, **options
    )
