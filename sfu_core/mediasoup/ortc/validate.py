"""Checks what an application or a browser handed in, and fills in the defaults.

Every function takes foreign data and the name it has for the caller, gives back a normalised copy (unknown
keys are kept, `None` counts as absent) and raises `TypeError` naming what is wrong. Nothing changes in place.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

from ..types import (
    RtcpFeedback,
    RtcpParameters,
    RtpCapabilities,
    RtpCodecCapability,
    RtpCodecParameters,
    RtpEncodingParameters,
    RtpHeaderExtension,
    RtpHeaderExtensionParameters,
    RtpParameters,
    SctpStreamParameters,
)

_MIME_TYPE = re.compile(r"(audio|video)/.+", re.IGNORECASE)
_MAX_UINT16 = 0xFFFF
_MAX_UINT32 = 0xFFFFFFFF
_MAX_UINT53 = 2**53 - 1  # what JSON carries exactly

T = TypeVar("T")


def is_int(value: object) -> bool:
    """Whether `value` is a whole number (a bool is none)."""
    return isinstance(value, int) and not isinstance(value, bool)


def _fields(value: object, name: str) -> dict[str, Any]:
    """A copy of the dictionary `value` without its `None` entries."""
    if not isinstance(value, dict):
        raise TypeError(f"{name} is not an object")
    return {key: item for key, item in value.items() if item is not None}


def _string(fields: dict[str, Any], key: str, name: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value:
        raise TypeError(f"missing {name}.{key} (a string)")
    return value


def _optional_string(fields: dict[str, Any], key: str, name: str) -> None:
    if key in fields and not isinstance(fields[key], str):
        raise TypeError(f"{name}.{key} is not a string")


def _integer(fields: dict[str, Any], key: str, name: str, low: int, high: int) -> int:
    if key not in fields:
        raise TypeError(f"missing {name}.{key} (a number)")
    value: int = fields[key]
    if not is_int(value):
        raise TypeError(f"{name}.{key} is not a whole number")
    if not low <= value <= high:
        raise TypeError(f"{name}.{key} is not within {low}..{high}")
    return value


def _optional_integer(fields: dict[str, Any], key: str, name: str, low: int, high: int) -> None:
    if key in fields:
        _integer(fields, key, name, low, high)


def _optional_bool(fields: dict[str, Any], key: str, name: str, default: bool) -> None:
    if not isinstance(fields.setdefault(key, default), bool):
        raise TypeError(f"{name}.{key} is not a boolean")


def _items(fields: dict[str, Any], key: str, name: str, check: Callable[[object, str], T]) -> list[T]:
    value = fields.get(key, [])
    if not isinstance(value, list | tuple):
        raise TypeError(f"{name}.{key} is not an array")
    return [check(item, f"{name}.{key}[{index}]") for index, item in enumerate(value)]


def _parameters(fields: dict[str, Any], name: str) -> dict[str, Any]:
    """Codec or extension parameters: strings and numbers; `None` becomes an empty string."""
    given = fields.get("parameters", {})
    if not isinstance(given, dict):
        raise TypeError(f"{name}.parameters is not an object")
    for key, value in given.items():
        if value is not None and not _is_parameter(value):
            raise TypeError(f"{name}.parameters[{key}] is neither a string nor a number")
    if "apt" in given and not is_int(given["apt"]):
        raise TypeError(f"{name}.parameters.apt is not a number")
    return {key: "" if value is None else value for key, value in given.items()}


def _is_parameter(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _feedback(value: object, name: str) -> RtcpFeedback:
    fields = _fields(value, name)
    _string(fields, "type", name)
    parameter = fields.get("parameter")
    fields["parameter"] = parameter if isinstance(parameter, str) else ""
    return cast(RtcpFeedback, fields)


def _codec(value: object, name: str) -> tuple[dict[str, Any], str]:
    """What capabilities and parameters of a codec have in common, and the kind its MIME type names."""
    fields = _fields(value, name)
    mime_type = _MIME_TYPE.fullmatch(_string(fields, "mimeType", name))
    if not mime_type:
        raise TypeError(f"{name}.mimeType is neither audio/… nor video/…")
    kind = mime_type.group(1).lower()
    _integer(fields, "clockRate", name, 0, _MAX_UINT32)
    if kind == "audio":
        channels = fields.get("channels")
        fields["channels"] = channels if is_int(channels) else 1
    else:
        fields.pop("channels", None)
    fields["parameters"] = _parameters(fields, name)
    fields["rtcpFeedback"] = _items(fields, "rtcpFeedback", name, _feedback)
    return fields, kind


def validate_rtp_codec_capability(codec: object, name: str = "codec") -> RtpCodecCapability:
    """A codec capability, normalised; its kind follows from its MIME type."""
    fields, fields_kind = _codec(codec, name)
    fields["kind"] = fields_kind
    _optional_integer(fields, "preferredPayloadType", name, 0, 127)
    return cast(RtpCodecCapability, fields)


def validate_rtp_codec_parameters(codec: object, name: str = "codec") -> RtpCodecParameters:
    """The parameters of a codec in use, normalised."""
    fields, _ = _codec(codec, name)
    _integer(fields, "payloadType", name, 0, 127)
    return cast(RtpCodecParameters, fields)


def validate_rtp_header_extension(extension: object, name: str = "headerExtension") -> RtpHeaderExtension:
    """A header extension capability, normalised."""
    fields = _fields(extension, name)
    if fields.get("kind") not in ("audio", "video"):
        raise TypeError(f"{name}.kind is neither audio nor video")
    _string(fields, "uri", name)
    _integer(fields, "preferredId", name, 1, 255)
    _optional_bool(fields, "preferredEncrypt", name, False)
    _optional_string(fields, "direction", name)
    fields.setdefault("direction", "sendrecv")
    return cast(RtpHeaderExtension, fields)


def validate_rtp_header_extension_parameters(
    extension: object, name: str = "headerExtension"
) -> RtpHeaderExtensionParameters:
    """A header extension in use, normalised."""
    fields = _fields(extension, name)
    _string(fields, "uri", name)
    _integer(fields, "id", name, 1, 255)
    _optional_bool(fields, "encrypt", name, False)
    fields["parameters"] = _parameters(fields, name)
    return cast(RtpHeaderExtensionParameters, fields)


def validate_rtp_encoding_parameters(encoding: object, name: str = "encoding") -> RtpEncodingParameters:
    """One encoding, normalised."""
    fields = _fields(encoding, name)
    _optional_integer(fields, "ssrc", name, 0, _MAX_UINT32)
    _optional_string(fields, "rid", name)
    _optional_integer(fields, "codecPayloadType", name, 0, 127)
    if "rtx" in fields:
        rtx = _fields(fields["rtx"], f"{name}.rtx")
        _integer(rtx, "ssrc", f"{name}.rtx", 0, _MAX_UINT32)
        fields["rtx"] = rtx
    _optional_bool(fields, "dtx", name, False)
    _optional_string(fields, "scalabilityMode", name)
    _optional_integer(fields, "maxBitrate", name, 0, _MAX_UINT53)
    return cast(RtpEncodingParameters, fields)


def validate_rtcp_parameters(rtcp: object, name: str = "rtcp") -> RtcpParameters:
    """RTCP settings, normalised; RTCP is always of reduced size."""
    fields = _fields(rtcp, name)
    _optional_string(fields, "cname", name)
    fields["reducedSize"] = True
    return cast(RtcpParameters, fields)


def validate_rtp_parameters(parameters: object, name: str = "rtpParameters") -> RtpParameters:
    """What an endpoint sends, normalised."""
    fields = _fields(parameters, name)
    _optional_string(fields, "mid", name)
    _optional_string(fields, "msid", name)
    if "codecs" not in fields:
        raise TypeError(f"missing {name}.codecs (an array)")
    fields["codecs"] = _items(fields, "codecs", name, validate_rtp_codec_parameters)
    fields["headerExtensions"] = _items(fields, "headerExtensions", name, validate_rtp_header_extension_parameters)
    fields["encodings"] = _items(fields, "encodings", name, validate_rtp_encoding_parameters)
    fields["rtcp"] = validate_rtcp_parameters(fields.get("rtcp", {}), f"{name}.rtcp")
    return cast(RtpParameters, fields)


def validate_rtp_capabilities(capabilities: object, name: str = "rtpCapabilities") -> RtpCapabilities:
    """What an endpoint can receive, normalised."""
    fields = _fields(capabilities, name)
    fields["codecs"] = _items(fields, "codecs", name, validate_rtp_codec_capability)
    fields["headerExtensions"] = _items(fields, "headerExtensions", name, validate_rtp_header_extension)
    return cast(RtpCapabilities, fields)


def validate_media_codecs(media_codecs: object) -> list[RtpCodecCapability]:
    """The codecs an application wants in a router, normalised."""
    return _items({"media_codecs": media_codecs}, "media_codecs", "options", validate_rtp_codec_capability)


def validate_sctp_stream_parameters(parameters: object, name: str = "sctpStreamParameters") -> SctpStreamParameters:
    """A data stream, normalised: ordered unless a limit makes it unordered (RFC 8831 §6.4)."""
    fields = _fields(parameters, name)
    _integer(fields, "streamId", name, 0, _MAX_UINT16 - 1)
    limits = _given(fields, ("maxPacketLifeTime", "maxRetransmits"))
    for key in limits:
        _integer(fields, key, name, 0, _MAX_UINT16)
    if len(limits) > 1:
        raise TypeError(f"{name} has both maxPacketLifeTime and maxRetransmits")
    if limits and fields.get("ordered") is True:
        raise TypeError(f"{name} is ordered and has {limits[0]}")
    _optional_bool(fields, "ordered", name, not limits)
    return cast(SctpStreamParameters, fields)


def _given(fields: dict[str, Any], keys: Iterable[str]) -> list[str]:
    return [key for key in keys if key in fields]
