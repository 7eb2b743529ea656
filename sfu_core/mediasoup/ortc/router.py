"""What a router can do, from the codecs an application asks for."""

from ...errors import SfuError, UnsupportedError
from ..capabilities import DYNAMIC_PAYLOAD_TYPES, get_supported_rtp_capabilities
from ..clone import clone
from ..types import RtpCapabilities, RtpCodecCapability
from .match import match_codecs, parameters_of
from .validate import validate_media_codecs


class _PayloadTypes:
    """Hands out payload types and refuses to give one twice."""

    def __init__(self) -> None:
        self._free = list(DYNAMIC_PAYLOAD_TYPES)
        self._used: set[int] = set()

    def take(self, wanted: int | None) -> int:
        """`wanted`, or the next dynamic one."""
        if wanted is None:
            wanted = self._next()
        elif wanted in self._free:
            self._free.remove(wanted)
        if wanted in self._used:
            raise TypeError(f"media_codecs: payload type {wanted} is used twice (preferredPayloadType)")
        self._used.add(wanted)
        return wanted

    def _next(self) -> int:
        if not self._free:
            raise SfuError("media_codecs: no dynamic payload type is left")
        return self._free.pop(0)


def generate_router_rtp_capabilities(media_codecs: object = None) -> RtpCapabilities:
    """The capabilities of a router with `media_codecs` (codec capabilities, payload types optional).

    Payload types that are given should come first: one that was already handed out is a `TypeError`.
    """
    supported = get_supported_rtp_capabilities()
    payload_types = _PayloadTypes()
    codecs: list[RtpCodecCapability] = []
    for wanted in validate_media_codecs([] if media_codecs is None else media_codecs):
        codec = _supported_codec(wanted, supported["codecs"])
        given = wanted.get("preferredPayloadType", codec.get("preferredPayloadType"))
        codec["preferredPayloadType"] = payload_types.take(given)
        codecs.append(codec)
        if codec["kind"] == "video":
            codecs.append(_rtx_codec(codec, payload_types.take(None)))
    return {"codecs": codecs, "headerExtensions": supported["headerExtensions"]}


def _supported_codec(wanted: RtpCodecCapability, supported: list[RtpCodecCapability]) -> RtpCodecCapability:
    """The supported codec that is `wanted`, with the parameters wanted."""
    for candidate in supported:
        if match_codecs(wanted, candidate):
            codec = clone(candidate)
            codec["parameters"] = {**parameters_of(candidate), **parameters_of(wanted)}
            return codec
    raise UnsupportedError(f"media_codecs: codec {wanted['mimeType']} is not supported")


def _rtx_codec(codec: RtpCodecCapability, payload_type: int) -> RtpCodecCapability:
    """The retransmission codec that goes with `codec` (RFC 4588 §8.1)."""
    return {
        "kind": codec["kind"],
        "mimeType": f"{codec['kind']}/rtx",
        "preferredPayloadType": payload_type,
        "clockRate": codec["clockRate"],
        "parameters": {"apt": codec["preferredPayloadType"]},
        "rtcpFeedback": [],
    }
