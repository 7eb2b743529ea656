"""How a producer travels from one core to another, from the request that made it and nothing else.

Pure. Says what `sfu_core.mediasoup.ortc.get_pipe_consumer_rtp_parameters` says of the same producer (a test compares
them), in the channel's words and without the router's capabilities: payload types and SSRCs come from the mapping,
codec facts from the producer, header extensions from the table that is the same for every router.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from sfu_core.channel import messages as m

_Uri = m.RtpHeaderExtensionUri

_EVERY: Final = (_Uri.ABS_CAPTURE_TIME, _Uri.PLAYOUT_DELAY, _Uri.MEDIASOUP_PACKET_ID)
_PIPED: Final = {
    m.MediaKind.AUDIO: (_Uri.SSRC_AUDIO_LEVEL, *_EVERY),
    m.MediaKind.VIDEO: (_Uri.DEPENDENCY_DESCRIPTOR, _Uri.VIDEO_ORIENTATION, _Uri.TIME_OFFSET, *_EVERY),
}
"""What routers let through and does not belong to one hop only, by id (which is number + 1)."""

_PLI, _FIR = m.RtcpFeedback(type="nack", parameter="pli"), m.RtcpFeedback(type="ccm", parameter="fir")
_NACK = m.RtcpFeedback(type="nack", parameter="")
_FEEDBACK: Final = {m.MediaKind.AUDIO: (), m.MediaKind.VIDEO: (_PLI, _FIR)}
_PAYLOAD_TYPES: Final = range(96, 128)


@dataclass(frozen=True, slots=True)
class PipeParameters:
    """Both ends of a producer's way."""

    rtp_parameters: m.RtpParameters
    """What the consumer at the near end sends and the producer at the far end receives."""

    rtp_mapping: m.RtpMapping
    """Of the far producer: the numbers that consumers know from the original one."""

    consumable_rtp_encodings: list[m.RtpEncodingParameters]
    """What the near consumer consumes."""


def ssrc_count(request: m.TransportProduce, enable_rtx: bool) -> int:
    """How many SSRCs its way needs."""
    return len(request.rtp_mapping.encodings) * (2 if enable_rtx else 1)


def pipe_parameters(request: m.TransportProduce, first_ssrc: int, enable_rtx: bool = False) -> PipeParameters:
    """The way of the producer that `request` made; it uses `ssrc_count` SSRCs from `first_ssrc` on."""
    codecs = _codecs(request, enable_rtx)
    consumable = _consumable(request)
    media = [first_ssrc + index for index in range(len(consumable))]
    parameters = m.RtpParameters(
        codecs=codecs,
        header_extensions=_extensions(request),
        encodings=[
            msgspec.structs.replace(
                encoding, ssrc=ssrc, rtx=m.Rtx(ssrc=ssrc + len(media)) if enable_rtx and _has_rtx(codecs) else None
            )
            for encoding, ssrc in zip(consumable, media, strict=True)
        ],
        rtcp=m.RtcpParameters(cname=request.rtp_parameters.rtcp.cname, reduced_size=True),
        msid=request.rtp_parameters.msid,
    )
    mapping = m.RtpMapping(
        codecs=[
            m.CodecMapping(payload_type=codec.payload_type, mapped_payload_type=codec.payload_type) for codec in codecs
        ],
        encodings=[
            m.EncodingMapping(ssrc=ssrc, mapped_ssrc=encoding.mapped_ssrc)
            for ssrc, encoding in zip(media, request.rtp_mapping.encodings, strict=True)
        ],
    )
    return PipeParameters(parameters, mapping, consumable)


def _codecs(request: m.TransportProduce, enable_rtx: bool) -> list[m.RtpCodecParameters]:
    mapped = {entry.payload_type: entry.mapped_payload_type for entry in request.rtp_mapping.codecs}
    feedback = [*([_NACK] if enable_rtx else []), *_FEEDBACK[request.kind]]
    codecs: dict[int, m.RtpCodecParameters] = {}
    for codec in request.rtp_parameters.codecs:
        if codec.payload_type in mapped and not _is_rtx(codec):
            payload_type = mapped[codec.payload_type]
            kept = msgspec.structs.replace(codec, payload_type=payload_type, rtcp_feedback=list(feedback))
            codecs.setdefault(payload_type, kept)
    repairs = _repairs(codecs) if enable_rtx and request.kind is m.MediaKind.VIDEO else []
    return [*codecs.values(), *repairs]


def _repairs(codecs: dict[int, m.RtpCodecParameters]) -> list[m.RtpCodecParameters]:
    """An RTX codec for each; payload types are free ones, since nobody else sees them."""
    free = (number for number in _PAYLOAD_TYPES if number not in codecs)
    return [
        m.RtpCodecParameters(
            mime_type="video/rtx",
            payload_type=next(free),
            clock_rate=codec.clock_rate,
            parameters=[m.Parameter(name="apt", value=m.Integer32(value=codec.payload_type))],
        )
        for codec in codecs.values()
    ]


def _consumable(request: m.TransportProduce) -> list[m.RtpEncodingParameters]:
    mapped = {entry.payload_type: entry.mapped_payload_type for entry in request.rtp_mapping.codecs}
    return [
        m.RtpEncodingParameters(
            ssrc=mapping.mapped_ssrc,
            codec_payload_type=mapped.get(-1 if encoding.codec_payload_type is None else encoding.codec_payload_type),
            dtx=encoding.dtx,
            scalability_mode=encoding.scalability_mode,
            max_bitrate=encoding.max_bitrate,
        )
        for encoding, mapping in zip(request.rtp_parameters.encodings, request.rtp_mapping.encodings, strict=True)
    ]


def _extensions(request: m.TransportProduce) -> list[m.RtpHeaderExtensionParameters]:
    sent = {extension.uri for extension in request.rtp_parameters.header_extensions}
    uris = [uri for uri in _PIPED[request.kind] if uri is not _Uri.ABS_CAPTURE_TIME or uri in sent]
    return [m.RtpHeaderExtensionParameters(uri=uri, id=uri + 1) for uri in uris]


def _is_rtx(codec: m.RtpCodecParameters) -> bool:
    return codec.mime_type.lower().endswith("/rtx")


def _has_rtx(codecs: Iterable[m.RtpCodecParameters]) -> bool:
    return any(map(_is_rtx, codecs))
