"""From messages to the camelCase dictionaries that applications see.

Tables become dictionaries field by field: absent fields are left out, numbers of enumerations become their
names. The few shapes that look different to applications are listed in `_SPECIAL`.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Any, cast

import msgspec

from ...channel import messages as m
from ..types import RtpType
from .rtp import URI_OF

Converter = Callable[[Any], Any]


def _named(kind: type[IntEnum], name: Callable[[str], str]) -> dict[IntEnum, str]:
    return {member: name(member.name) for member in kind}


_NAMES: dict[type[IntEnum], dict[IntEnum, str]] = {
    m.RtpHeaderExtensionUri: {number: uri for number, uri in URI_OF.items()},
    m.SrtpCryptoSuite: _named(m.SrtpCryptoSuite, str),
    m.FingerprintAlgorithm: _named(m.FingerprintAlgorithm, lambda name: f"sha-{name[3:]}"),
}


def name(value: IntEnum) -> str:
    """The name applications know an enumeration's number by."""
    kind = type(value)
    if kind not in _NAMES:
        _NAMES[kind] = _named(kind, lambda text: text.lower().replace("_", "-"))
    return _NAMES[kind][value]


def to_api(value: Any) -> Any:
    """The dictionary (list, name, plain value) for a message, a table or a field of one."""
    kind = type(value)
    special = _SPECIAL.get(kind)
    if special is not None:
        return special(value)
    if isinstance(value, msgspec.Struct):
        return fields(value)
    if kind is list:
        return [to_api(item) for item in value]
    if isinstance(value, IntEnum):
        return name(value)
    return value


_FIELDS: dict[type[msgspec.Struct], tuple[tuple[str, str], ...]] = {}


def fields(table: msgspec.Struct) -> dict[str, Any]:
    """A table's fields that are present, under their camelCase names."""
    kind = type(table)
    if kind not in _FIELDS:
        _FIELDS[kind] = tuple((item.name, item.encode_name) for item in msgspec.structs.fields(kind))
    given = ((key, getattr(table, attribute)) for attribute, key in _FIELDS[kind])
    return {key: to_api(value) for key, value in given if value is not None}


def _tuple(value: m.TransportTuple) -> dict[str, Any]:
    return fields(value) | {"localIp": value.local_address}


def _candidate(value: m.IceCandidate) -> dict[str, Any]:
    return fields(value) | {"ip": value.address}


def _sctp_parameters(value: m.SctpParameters) -> dict[str, Any]:
    """With the fields that older clients read."""
    older = {"OS": 65535, "MIS": 65535, "maxMessageSize": value.max_receive_message_size}
    return fields(value) | older


def _parameters(value: list[m.Parameter]) -> dict[str, Any]:
    return {parameter.name: parameter.value.value for parameter in value}


def _codec(value: m.RtpCodecParameters) -> dict[str, Any]:
    codec = fields(value) | {"parameters": _parameters(value.parameters)}
    if not value.channels:
        codec.pop("channels", None)  # video
    return codec


def _extension(value: m.RtpHeaderExtensionParameters) -> dict[str, Any]:
    return fields(value) | {"parameters": _parameters(value.parameters)}


def _feedback(value: m.RtcpFeedback) -> dict[str, Any]:
    return {"type": value.type, "parameter": value.parameter or ""}


def _transport_base(value: m.TransportBaseDump) -> dict[str, Any]:
    dump = fields(value)
    del dump["direct"]
    return dump


_SPECIAL: dict[type, Converter] = {
    m.TransportTuple: _tuple,
    m.IceCandidate: _candidate,
    m.SctpParameters: _sctp_parameters,
    m.RtpCodecParameters: _codec,
    m.RtpHeaderExtensionParameters: _extension,
    m.RtcpFeedback: _feedback,
    m.TransportBaseDump: _transport_base,
}


def transport_dump(response: Any) -> dict[str, Any]:
    """The dump of any transport: the common part and that of its class in one dictionary."""
    dump = fields(response)
    base: dict[str, Any] = dump.pop("base")
    return base | dump


def transport_stats(response: Any, kind: str) -> dict[str, Any]:
    """The statistics of any transport; `kind` is the `type` they carry."""
    stats = fields(response)
    base: dict[str, Any] = stats.pop("base")
    return {"type": kind} | base | stats


def producer_dump(response: m.ProducerDumpResponse) -> dict[str, Any]:
    """A producer's dump; `rtpStreams` only once something was received."""
    dump = fields(response)
    if not response.rtp_streams:
        del dump["rtpStreams"]
    return dump


def consumer_dump(response: m.ConsumerDumpResponse) -> dict[str, Any]:
    """A consumer's dump: one `rtpStream`, or `rtpStreams` for a pipe."""
    dump = fields(response.data)
    base: dict[str, Any] = dump.pop("base")
    streams = dump.pop("rtpStreams")
    if response.data.base.type is m.RtpType.PIPE:
        return base | dump | {"rtpStreams": streams}
    return base | dump | ({"rtpStream": streams[0]} if streams else {})


def stream_stats(stats: m.StreamStats) -> dict[str, Any]:
    """The statistics of one stream, `inbound-rtp` or `outbound-rtp` (as the worker sees it)."""
    data = stats.data
    if isinstance(data, m.BaseStats):
        return fields(data)
    result = fields(data)
    del result["base"]
    received = isinstance(data, m.RecvStats)
    if isinstance(data, m.RecvStats):
        result["bitrateByLayer"] = {item.layer: item.bitrate for item in data.bitrate_by_layer}
    return {"type": "inbound-rtp" if received else "outbound-rtp"} | stream_stats(data.base) | result


def resource_usage(response: m.WorkerGetResourceUsageResponse) -> dict[str, int]:
    """getrusage(2) under its own names."""
    return msgspec.structs.asdict(response)


def trace(notification: Any) -> dict[str, Any]:
    """A trace event's data; `info` is empty for probation and left out where there is none."""
    event = fields(notification)
    if notification.type is m.TransportTraceEventType.PROBATION:
        event["info"] = {}
    return event


def type_name(type: m.RtpType) -> RtpType:
    """The name applications know a type by."""
    return cast(RtpType, name(type))
