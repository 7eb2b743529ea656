"""RTP dictionaries (normalised) to messages."""

from typing import Any

from ...channel import messages as m
from .. import capabilities as caps
from ..types import (
    RtpEncodingParameters,
    RtpMapping,
    RtpParameters,
)

_MAX_INT32 = 2**31 - 1

URI_OF: dict[m.RtpHeaderExtensionUri, str] = {
    m.RtpHeaderExtensionUri(number - 1): uri for uri, number in caps.EXTENSION_IDS.items()
}
"""The URI behind each number of the vocabulary; the numbers are the router's ids less one."""

_NUMBER_OF = {uri: number for number, uri in URI_OF.items()}


def kind_to_wire(kind: str) -> m.MediaKind:
    """`audio` or `video`."""
    return m.MediaKind.AUDIO if kind == "audio" else m.MediaKind.VIDEO


def rtp_parameters_to_wire(parameters: RtpParameters) -> m.RtpParameters:
    """Normalised RTP parameters as a message; an unknown header extension is a `TypeError`."""
    return m.RtpParameters(
        mid=parameters.get("mid"),
        codecs=[_codec(codec) for codec in parameters["codecs"]],
        header_extensions=[_extension(item) for item in parameters["headerExtensions"]],
        encodings=rtp_encodings_to_wire(parameters["encodings"]),
        rtcp=m.RtcpParameters(cname=parameters["rtcp"].get("cname"), reduced_size=True),
        msid=parameters.get("msid"),
    )


def _codec(codec: Any) -> m.RtpCodecParameters:
    return m.RtpCodecParameters(
        mime_type=codec["mimeType"],
        payload_type=codec["payloadType"],
        clock_rate=codec["clockRate"],
        channels=codec.get("channels"),
        parameters=_parameters(codec["parameters"]),
        rtcp_feedback=[
            m.RtcpFeedback(type=item["type"], parameter=item.get("parameter", "")) for item in codec["rtcpFeedback"]
        ],
    )


def _extension(extension: Any) -> m.RtpHeaderExtensionParameters:
    uri = _NUMBER_OF.get(extension["uri"])
    if uri is None:
        raise TypeError(f"rtpParameters.headerExtensions: unknown uri {extension['uri']}")
    return m.RtpHeaderExtensionParameters(
        uri=uri,
        id=extension["id"],
        encrypt=extension["encrypt"],
        parameters=_parameters(extension["parameters"]),
    )


def _parameters(parameters: dict[str, Any]) -> list[m.Parameter]:
    return [m.Parameter(name=key, value=_value(value)) for key, value in parameters.items()]


def _value(value: str | int | float) -> m.Value:
    """Whole numbers that fit are integers, all other numbers doubles."""
    if isinstance(value, str):
        return m.String(value=value)
    if abs(value) <= _MAX_INT32 and float(value).is_integer():
        return m.Integer32(value=int(value))
    return m.Double(value=float(value))


def rtp_encodings_to_wire(encodings: list[RtpEncodingParameters]) -> list[m.RtpEncodingParameters]:
    """Normalised encodings as messages."""
    return [
        m.RtpEncodingParameters(
            ssrc=encoding.get("ssrc"),
            rid=encoding.get("rid"),
            codec_payload_type=encoding.get("codecPayloadType"),
            rtx=m.Rtx(ssrc=encoding["rtx"]["ssrc"]) if "rtx" in encoding else None,
            dtx=encoding.get("dtx", False),
            scalability_mode=encoding.get("scalabilityMode"),
            max_bitrate=encoding.get("maxBitrate"),
        )
        for encoding in encodings
    ]


def rtp_mapping_to_wire(mapping: RtpMapping) -> m.RtpMapping:
    """A producer's mapping as a message."""
    return m.RtpMapping(
        codecs=[
            m.CodecMapping(payload_type=item["payloadType"], mapped_payload_type=item["mappedPayloadType"])
            for item in mapping["codecs"]
        ],
        encodings=[
            m.EncodingMapping(rid=item.get("rid"), ssrc=item.get("ssrc"), mapped_ssrc=item["mappedSsrc"])
            for item in mapping["encodings"]
        ],
    )
