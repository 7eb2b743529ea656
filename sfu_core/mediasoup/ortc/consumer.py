"""From what a producer offers and a receiver can do to what the receiver gets."""

from typing import cast

from ...errors import UnsupportedError
from ..capabilities import (
    ABS_SEND_TIME,
    DEPENDENCY_DESCRIPTOR,
    EXTENSION_IDS,
    MID,
    TRANSPORT_WIDE_CC,
)
from ..clone import clone
from ..scalability import parse_scalability_mode
from ..types import (
    RtcpFeedback,
    RtpCapabilities,
    RtpCodecCapability,
    RtpCodecParameters,
    RtpEncodingParameters,
    RtpHeaderExtensionParameters,
    RtpParameters,
)
from .match import is_rtx, match_codecs, parameters_of
from .producer import random_ssrc
from .validate import validate_rtp_capabilities

_NOT_PIPED = (MID, ABS_SEND_TIME, TRANSPORT_WIDE_CC)


def can_consume(consumable: RtpParameters, capabilities: object) -> bool:
    """Whether a receiver with `capabilities` can be given anything of `consumable`.

    True exactly when `get_consumer_rtp_parameters` finds something. (mediasoup also says no to a producer of
    several codecs when the RTX codec of an unsuitable one comes before the suitable one.)
    """
    remote = validate_rtp_capabilities(capabilities)
    media = (codec for codec in consumable["codecs"] if not is_rtx(codec))
    return any(_find(codec, remote["codecs"]) is not None for codec in media)


def get_consumer_rtp_parameters(
    consumable: RtpParameters, capabilities: object, pipe: bool = False, enable_rtx: bool = True
) -> RtpParameters:
    """What a receiver with `capabilities` gets: one encoding, or all of them with `pipe`.

    `enable_rtx` governs NACK and RTX. Raises `UnsupportedError` when no codec suits both sides.
    """
    remote = validate_rtp_capabilities(capabilities)
    codecs = _consumer_codecs(consumable, remote, enable_rtx)
    extensions = _consumer_extensions(consumable, remote)
    for codec in codecs:
        codec["rtcpFeedback"] = _usable_feedback(codec["rtcpFeedback"], extensions)
    with_rtx = any(map(is_rtx, codecs))
    encodings = _all_encodings(consumable, with_rtx) if pipe else [_one_encoding(consumable, with_rtx)]
    return _parameters(consumable, codecs, extensions, encodings)


def get_pipe_consumer_rtp_parameters(consumable: RtpParameters, enable_rtx: bool = False) -> RtpParameters:
    """What another router gets: every codec and encoding, and the dependency descriptor of video."""
    codecs = clone([codec for codec in consumable["codecs"] if enable_rtx or not is_rtx(codec)])
    for codec in codecs:
        codec["rtcpFeedback"] = [item for item in codec["rtcpFeedback"] if _piped_feedback(item, enable_rtx)]
    extensions = [clone(item) for item in consumable["headerExtensions"] if item["uri"] not in _NOT_PIPED]
    if consumable["codecs"] and consumable["codecs"][0]["mimeType"].lower().startswith("video/"):
        extensions.append(_dependency_descriptor())
        extensions.sort(key=lambda extension: extension["id"])
    return _parameters(consumable, codecs, extensions, _all_encodings(consumable, enable_rtx))


def _parameters(
    consumable: RtpParameters,
    codecs: list[RtpCodecParameters],
    extensions: list[RtpHeaderExtensionParameters],
    encodings: list[RtpEncodingParameters],
) -> RtpParameters:
    parameters: RtpParameters = {
        "codecs": codecs,
        "headerExtensions": extensions,
        "encodings": encodings,
        "rtcp": clone(consumable["rtcp"]),
    }
    if "msid" in consumable:
        parameters["msid"] = consumable["msid"]
    return parameters


def _find(codec: RtpCodecParameters, supported: list[RtpCodecCapability]) -> RtpCodecCapability | None:
    # "local" is the receiver here: its own level answers (RFC 6184 §8.2.2)
    return next((candidate for candidate in supported if match_codecs(candidate, codec, strict=True)), None)


def _consumer_codecs(consumable: RtpParameters, remote: RtpCapabilities, enable_rtx: bool) -> list[RtpCodecParameters]:
    codecs = []
    for codec in consumable["codecs"]:
        capability = _find(codec, remote["codecs"]) if enable_rtx or not is_rtx(codec) else None
        if capability is not None:
            kept = clone(codec)
            kept["rtcpFeedback"] = [
                item for item in capability["rtcpFeedback"] if enable_rtx or not _is_plain_nack(item)
            ]
            codecs.append(kept)
    media = {codec["payloadType"] for codec in codecs if not is_rtx(codec)}
    codecs = [codec for codec in codecs if not is_rtx(codec) or parameters_of(codec).get("apt") in media]
    if not codecs or is_rtx(codecs[0]):
        raise UnsupportedError("rtpCapabilities: no codec suits both the producer and the receiver")
    return codecs


def _consumer_extensions(consumable: RtpParameters, remote: RtpCapabilities) -> list[RtpHeaderExtensionParameters]:
    known = {(extension["uri"], extension["preferredId"]) for extension in remote["headerExtensions"]}
    return [clone(item) for item in consumable["headerExtensions"] if (item["uri"], item["id"]) in known]


def _is_plain_nack(feedback: RtcpFeedback) -> bool:
    return feedback["type"] == "nack" and not feedback.get("parameter")


def _usable_feedback(
    feedback: list[RtcpFeedback], extensions: list[RtpHeaderExtensionParameters]
) -> list[RtcpFeedback]:
    """One way of estimating bandwidth at most: the one whose header extension is negotiated."""
    uris = {extension["uri"] for extension in extensions}
    if TRANSPORT_WIDE_CC in uris:
        unusable = {"goog-remb"}
    elif ABS_SEND_TIME in uris:
        unusable = {"transport-cc"}
    else:
        unusable = {"goog-remb", "transport-cc"}
    return [item for item in feedback if item["type"] not in unusable]


def _piped_feedback(feedback: RtcpFeedback, enable_rtx: bool) -> bool:
    if _is_plain_nack(feedback):
        return enable_rtx
    return (feedback["type"], feedback.get("parameter")) in (("nack", "pli"), ("ccm", "fir"))


def _dependency_descriptor() -> RtpHeaderExtensionParameters:
    return {
        "uri": DEPENDENCY_DESCRIPTOR,
        "id": EXTENSION_IDS[DEPENDENCY_DESCRIPTOR],
        "encrypt": False,
        "parameters": {},
    }


def _one_encoding(consumable: RtpParameters, with_rtx: bool) -> RtpEncodingParameters:
    ssrc = random_ssrc()
    encoding: RtpEncodingParameters = {"ssrc": ssrc}
    if with_rtx:
        encoding["rtx"] = {"ssrc": ssrc + 1}
    offered = consumable["encodings"]
    mode = next((item["scalabilityMode"] for item in offered if item.get("scalabilityMode")), None)
    if len(offered) > 1:
        mode = f"L{len(offered)}T{parse_scalability_mode(mode)['temporalLayers']}"
    if mode is not None:
        encoding["scalabilityMode"] = mode
    bitrate = max((item.get("maxBitrate", 0) for item in offered), default=0)
    if bitrate:
        encoding["maxBitrate"] = bitrate
    return encoding


def _all_encodings(consumable: RtpParameters, with_rtx: bool) -> list[RtpEncodingParameters]:
    media, rtx = random_ssrc(), random_ssrc()
    encodings = []
    for index, offered in enumerate(consumable["encodings"]):
        encoding = cast(RtpEncodingParameters, {k: v for k, v in offered.items() if k != "rtx"})
        encoding["ssrc"] = media + index
        if with_rtx:
            encoding["rtx"] = {"ssrc": rtx + index}
        encodings.append(encoding)
    return encodings
