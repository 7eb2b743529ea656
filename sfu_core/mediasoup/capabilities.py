"""Codecs and header extensions this SFU supports: the palette from which routers are made."""

from typing import Any

from .clone import clone
from .types import (
    HeaderExtensionDirection,
    MediaKind,
    RtcpFeedback,
    RtpCapabilities,
    RtpCodecCapability,
    RtpHeaderExtension,
)

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
RTP_STREAM_ID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RTP_STREAM_ID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
TRANSPORT_WIDE_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
SSRC_AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
DEPENDENCY_DESCRIPTOR = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
VIDEO_ORIENTATION = "urn:3gpp:video-orientation"
TIME_OFFSET = "urn:ietf:params:rtp-hdrext:toffset"
ABS_CAPTURE_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
MEDIASOUP_PACKET_ID = "urn:mediasoup:params:rtp-hdrext:packet-id"

DYNAMIC_PAYLOAD_TYPES: tuple[int, ...] = (*range(100, 128), *range(96, 100))
"""Payload types a router hands out, in this order (RFC 3551 §6)."""

_NACK: RtcpFeedback = {"type": "nack", "parameter": ""}
_TRANSPORT_CC: RtcpFeedback = {"type": "transport-cc", "parameter": ""}
_VIDEO_FEEDBACK: list[RtcpFeedback] = [
    _NACK,
    {"type": "nack", "parameter": "pli"},
    {"type": "ccm", "parameter": "fir"},
    {"type": "goog-remb", "parameter": ""},
    _TRANSPORT_CC,
]


def _audio(
    name: str,
    clock_rate: int,
    channels: int = 1,
    feedback: tuple[RtcpFeedback, ...] = (),
    payload_type: int | None = None,
    **parameters: Any,
) -> RtpCodecCapability:
    codec: RtpCodecCapability = {
        "kind": "audio",
        "mimeType": f"audio/{name}",
        "clockRate": clock_rate,
        "channels": channels,
        "parameters": parameters,
        "rtcpFeedback": list(feedback),
    }
    if payload_type is not None:
        codec["preferredPayloadType"] = payload_type
    return codec


def _multiopus(channels: int, mapping: str, streams: int, coupled: int) -> RtpCodecCapability:
    return _audio(
        "multiopus",
        48000,
        channels,
        (_NACK, _TRANSPORT_CC),
        channel_mapping=mapping,
        num_streams=streams,
        coupled_streams=coupled,
    )


def _video(name: str, **parameters: Any) -> RtpCodecCapability:
    return {
        "kind": "video",
        "mimeType": f"video/{name}",
        "clockRate": 90000,
        "parameters": {key.replace("_", "-"): value for key, value in parameters.items()},
        "rtcpFeedback": list(_VIDEO_FEEDBACK),
    }


_CODECS: list[RtpCodecCapability] = [
    _audio("opus", 48000, 2, (_NACK, _TRANSPORT_CC)),
    _multiopus(4, "0,1,2,3", 2, 2),
    _multiopus(6, "0,4,1,2,3,5", 4, 2),
    _multiopus(8, "0,6,1,2,3,4,5,7", 5, 3),
    _audio("PCMU", 8000, feedback=(_TRANSPORT_CC,), payload_type=0),
    _audio("PCMA", 8000, feedback=(_TRANSPORT_CC,), payload_type=8),
    *(_audio("ISAC", rate, feedback=(_TRANSPORT_CC,)) for rate in (32000, 16000)),
    _audio("G722", 8000, feedback=(_TRANSPORT_CC,), payload_type=9),
    _audio("iLBC", 8000, feedback=(_TRANSPORT_CC,)),
    *(_audio("SILK", rate, feedback=(_TRANSPORT_CC,)) for rate in (24000, 16000, 12000, 8000)),
    *(_audio("CN", rate, payload_type=13) for rate in (32000, 16000, 8000)),
    *(_audio("telephone-event", rate) for rate in (48000, 32000, 16000, 8000)),
    _video("VP8"),
    _video("VP9"),
    _video("H264", level_asymmetry_allowed=1),
    _video("AV1"),
]

_EXTENSIONS: list[tuple[int, str, HeaderExtensionDirection | None, HeaderExtensionDirection | None]] = [
    # id, URI, direction for audio, direction for video (from this side's view)
    (1, MID, "sendrecv", "sendrecv"),
    (2, RTP_STREAM_ID, None, "recvonly"),
    (3, REPAIRED_RTP_STREAM_ID, None, "recvonly"),
    (4, ABS_SEND_TIME, "sendrecv", "sendrecv"),
    (5, TRANSPORT_WIDE_CC, "recvonly", "sendrecv"),
    (6, SSRC_AUDIO_LEVEL, "sendrecv", None),
    (7, DEPENDENCY_DESCRIPTOR, None, "recvonly"),
    (8, VIDEO_ORIENTATION, None, "sendrecv"),
    (9, TIME_OFFSET, None, "sendrecv"),
    (10, ABS_CAPTURE_TIME, "sendrecv", "sendrecv"),
    (11, PLAYOUT_DELAY, "sendrecv", "sendrecv"),
    (12, MEDIASOUP_PACKET_ID, "sendrecv", "sendrecv"),
]

EXTENSION_IDS: dict[str, int] = {uri: number for number, uri, _, _ in _EXTENSIONS}
"""The id a router uses for each header extension."""


def _extension(kind: MediaKind, number: int, uri: str, direction: HeaderExtensionDirection) -> RtpHeaderExtension:
    return {
        "kind": kind,
        "uri": uri,
        "preferredId": number,
        "preferredEncrypt": False,
        "direction": direction,
    }


def _extensions() -> list[RtpHeaderExtension]:
    extensions = []
    for number, uri, audio, video in _EXTENSIONS:
        if audio:
            extensions.append(_extension("audio", number, uri, audio))
        if video:
            extensions.append(_extension("video", number, uri, video))
    return extensions


def get_supported_rtp_capabilities() -> RtpCapabilities:
    """Everything supported, as a copy that the caller may change."""
    return {"codecs": clone(_CODECS), "headerExtensions": _extensions()}
