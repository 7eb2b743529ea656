"""From what a producer sends to what its consumers can get."""

import secrets
from typing import cast

from ...errors import UnsupportedError
from ..capabilities import ABS_CAPTURE_TIME
from ..clone import clone
from ..types import (
    MediaKind,
    RtpCapabilities,
    RtpCodecCapability,
    RtpCodecParameters,
    RtpEncodingMapping,
    RtpEncodingParameters,
    RtpHeaderExtension,
    RtpHeaderExtensionParameters,
    RtpMapping,
    RtpParameters,
)
from .match import answered_parameters, is_rtx, match_codecs, parameters_of

_OF_PRODUCER_ONLY = ("rid", "rtx", "codecPayloadType")
_SSRC_BASE = 100_000_000
_SSRC_COUNT = 900_000_000


def random_ssrc() -> int:
    """The first of a run of SSRCs, in 100 000 000 … 999 999 999."""
    return _SSRC_BASE + secrets.randbelow(_SSRC_COUNT)


def get_producer_rtp_parameters_mapping(parameters: RtpParameters, capabilities: RtpCapabilities) -> RtpMapping:
    """How the numbers of a producer (normalised parameters) become the router's.

    For H264 the producer's `profile-level-id` is set to the one that answers the router's.
    """
    pairs = _media_pairs(parameters["codecs"], capabilities["codecs"])
    pairs += _rtx_pairs(parameters["codecs"], pairs, capabilities["codecs"])
    return {
        "codecs": [
            {
                "payloadType": codec["payloadType"],
                "mappedPayloadType": capability["preferredPayloadType"],
            }
            for codec, capability in pairs
        ],
        "encodings": _encoding_mappings(parameters["encodings"]),
    }


_Pair = tuple[RtpCodecParameters, RtpCodecCapability]


def _media_pairs(codecs: list[RtpCodecParameters], supported: list[RtpCodecCapability]) -> list[_Pair]:
    pairs = []
    for codec in codecs:
        if is_rtx(codec):
            continue
        capability = next((c for c in supported if match_codecs(codec, c, strict=True)), None)
        if capability is None:
            raise UnsupportedError(
                f"rtpParameters.codecs: {codec['mimeType']} ({codec['payloadType']}) is not supported"
            )
        codec["parameters"] = answered_parameters(codec, capability)
        pairs.append((codec, capability))
    return pairs


def _rtx_pairs(
    codecs: list[RtpCodecParameters], media: list[_Pair], supported: list[RtpCodecCapability]
) -> list[_Pair]:
    capability_of = {codec["payloadType"]: capability for codec, capability in media}
    payload_types = {codec["payloadType"] for codec in codecs}
    pairs = []
    for codec in filter(is_rtx, codecs):
        apt = parameters_of(codec).get("apt")
        if apt not in payload_types:
            raise TypeError(f"rtpParameters.codecs: RTX codec with apt {apt}, which is no codec's payload type")
        media_capability = capability_of.get(apt)
        rtx = media_capability and find_rtx(supported, media_capability["preferredPayloadType"])
        if rtx is None:
            raise UnsupportedError(f"rtpParameters.codecs: no RTX codec in the router for payload type {apt}")
        pairs.append((codec, rtx))
    return pairs


def find_rtx(codecs: list[RtpCodecCapability], payload_type: int) -> RtpCodecCapability | None:
    """The RTX capability whose `apt` is `payload_type`."""
    for codec in codecs:
        if is_rtx(codec) and parameters_of(codec).get("apt") == payload_type:
            return codec
    return None


def _encoding_mappings(encodings: list[RtpEncodingParameters]) -> list[RtpEncodingMapping]:
    first = min(random_ssrc(), _SSRC_BASE + _SSRC_COUNT - 1 - len(encodings))
    mappings = []
    for index, encoding in enumerate(encodings):
        mapping: RtpEncodingMapping = {"mappedSsrc": first + index}
        if "ssrc" in encoding:
            mapping["ssrc"] = encoding["ssrc"]
        if "rid" in encoding:
            mapping["rid"] = encoding["rid"]
        mappings.append(mapping)
    return mappings


def get_consumable_rtp_parameters(
    kind: MediaKind, parameters: RtpParameters, capabilities: RtpCapabilities, mapping: RtpMapping
) -> RtpParameters:
    """What any consumer of the producer could be given, in the router's numbers."""
    consumable: RtpParameters = {
        "codecs": _consumable_codecs(parameters, capabilities, mapping),
        "headerExtensions": _consumable_extensions(kind, parameters, capabilities),
        "encodings": _consumable_encodings(parameters, mapping),
        "rtcp": {"cname": parameters["rtcp"].get("cname", ""), "reducedSize": True},
    }
    if "msid" in parameters:
        consumable["msid"] = parameters["msid"]
    return consumable


def _consumable_codecs(
    parameters: RtpParameters, capabilities: RtpCapabilities, mapping: RtpMapping
) -> list[RtpCodecParameters]:
    mapped = {entry["payloadType"]: entry["mappedPayloadType"] for entry in mapping["codecs"]}
    router = {codec["preferredPayloadType"]: codec for codec in capabilities["codecs"]}
    codecs = []
    for codec in parameters["codecs"]:
        if is_rtx(codec):
            continue
        capability = router[mapped[codec["payloadType"]]]
        codecs.append(_codec_in_use(capability, parameters_of(codec)))
        rtx = find_rtx(capabilities["codecs"], capability["preferredPayloadType"])
        if rtx is not None:
            codecs.append(_codec_in_use(rtx, parameters_of(rtx)))
    return codecs


def _codec_in_use(capability: RtpCodecCapability, parameters: dict[str, object]) -> RtpCodecParameters:
    codec: RtpCodecParameters = {
        "mimeType": capability["mimeType"],
        "payloadType": capability["preferredPayloadType"],
        "clockRate": capability["clockRate"],
        "parameters": dict(parameters),
        "rtcpFeedback": clone(capability["rtcpFeedback"]),
    }
    if "channels" in capability:
        codec["channels"] = capability["channels"]
    return codec


def _consumable_extensions(
    kind: MediaKind, parameters: RtpParameters, capabilities: RtpCapabilities
) -> list[RtpHeaderExtensionParameters]:
    sent = {extension["uri"] for extension in parameters["headerExtensions"]}
    return [
        {
            "uri": extension["uri"],
            "id": extension["preferredId"],
            "encrypt": extension["preferredEncrypt"],
            "parameters": {},
        }
        for extension in capabilities["headerExtensions"]
        if extension["kind"] == kind and _forwarded(extension, sent)
    ]


def _forwarded(extension: RtpHeaderExtension, sent: set[str]) -> bool:
    """Only the capture time depends on the producer: nothing here could make it up."""
    if extension["direction"] not in ("sendrecv", "sendonly"):
        return False
    return extension["uri"] != ABS_CAPTURE_TIME or ABS_CAPTURE_TIME in sent


def _consumable_encodings(parameters: RtpParameters, mapping: RtpMapping) -> list[RtpEncodingParameters]:
    encodings = []
    for encoding, mapped in zip(parameters["encodings"], mapping["encodings"], strict=True):
        kept = {key: value for key, value in encoding.items() if key not in _OF_PRODUCER_ONLY}
        kept["ssrc"] = mapped["mappedSsrc"]
        encodings.append(cast(RtpEncodingParameters, kept))
    return encodings
