"""Whether two descriptions name the same codec."""

from typing import Any

from ..types import RtpCodecCapability, RtpCodecParameters
from . import h264

Codec = RtpCodecCapability | RtpCodecParameters


def is_rtx(codec: Codec) -> bool:
    """Whether `codec` carries retransmissions (RFC 4588)."""
    return codec["mimeType"].lower().endswith("/rtx")


def match_codecs(a: Codec, b: Codec, strict: bool = False) -> bool:
    """Whether `a` and `b` (normalised) are one codec; `strict` also compares the parameters that matter."""
    mime_type = a["mimeType"].lower()
    if mime_type != b["mimeType"].lower() or a["clockRate"] != b["clockRate"]:
        return False
    if a.get("channels") != b.get("channels"):
        return False
    ours, theirs = parameters_of(a), parameters_of(b)
    if mime_type == "audio/multiopus":
        return _equal(ours, theirs, "num_streams", None) and _equal(ours, theirs, "coupled_streams", None)
    if not strict:
        return True
    if mime_type == "video/h264":
        return _equal(ours, theirs, "packetization-mode", 0) and h264.same_profile(ours, theirs)
    if mime_type == "video/vp9":
        return _equal(ours, theirs, "profile-id", 0)
    return True


def answered_parameters(codec: RtpCodecParameters, capability: RtpCodecCapability) -> dict[str, Any]:
    """The parameters of `codec` with the H264 profile-level-id that answers `capability` (which matches)."""
    parameters = dict(parameters_of(codec))
    if codec["mimeType"].lower() != "video/h264":
        return parameters
    answer = h264.answer(parameters, parameters_of(capability))
    parameters.pop("profile-level-id", None)
    if answer is not None:
        parameters["profile-level-id"] = answer
    return parameters


def parameters_of(codec: Codec) -> dict[str, Any]:
    """The codec's parameters, or an empty dictionary."""
    return codec.get("parameters") or {}


def _equal(a: dict[str, Any], b: dict[str, Any], key: str, default: object) -> bool:
    return bool(a.get(key, default) == b.get(key, default))
