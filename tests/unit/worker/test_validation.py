"""The second look at parameters: one row per rule."""

from typing import Any

import pytest

from sfu_core.channel import messages as m
from sfu_core.errors import UnsupportedError
from sfu_core.worker.validation import check_consume, check_produce, check_rtp_parameters, type_of

from .conftest import consume_request, extension, opus, produce_request, rtp_parameters, vp8

Encoding = m.RtpEncodingParameters


def codec(mime_type: str, payload_type: int = 96, apt: int | None = None) -> m.RtpCodecParameters:
    parameters = [] if apt is None else [m.Parameter(name="apt", value=m.Integer32(value=apt))]
    return m.RtpCodecParameters(mime_type=mime_type, payload_type=payload_type, clock_rate=90000, parameters=parameters)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"rtcp": m.RtcpParameters()}, "cname"),
        ({"rtcp": m.RtcpParameters(cname="")}, "cname"),
        ({"codecs": []}, "codecs is empty"),
        ({"encodings": []}, "encodings is empty"),
        ({"codecs": [codec("text/plain")]}, "text/plain"),
        ({"codecs": [codec("video/H265")]}, "video/H265"),
        ({"codecs": [codec("video/VP8"), codec("video/VP9")]}, "96 comes twice"),
        ({"codecs": [codec("video/VP8"), codec("video/rtx", 97)]}, "no apt"),
        ({"codecs": [codec("video/VP8"), codec("video/rtx", 97, 98)]}, "apt 98"),
        (
            {"codecs": [codec("video/VP8"), codec("video/rtx", 97, 96), codec("video/rtx", 98, 97)]},
            "apt 97",
        ),
        ({"codecs": [codec("video/VP8"), codec("video/ulpfec", 97), codec("video/rtx", 98, 97)]}, "apt 97"),
        ({"codecs": [codec("video/flexfec")]}, "no media codec"),
        ({"encodings": [Encoding(ssrc=1, codec_payload_type=99)]}, "99"),
        ({"encodings": [Encoding(ssrc=1, codec_payload_type=97)]}, "97"),
        ({"header_extensions": [extension(m.RtpHeaderExtensionUri.MID, 0)]}, "id 0"),
        (
            {"encodings": [Encoding(ssrc=1, scalability_mode="L2T1"), Encoding(ssrc=2)]},
            "several spatial layers",
        ),
    ],
)
def test_refused_for_producers_and_consumers(changes: dict[str, Any], name: str) -> None:
    with pytest.raises(TypeError, match=name):
        check_rtp_parameters(rtp_parameters(**changes))


def test_first_media_codec_becomes_the_codec_of_encodings_without() -> None:
    codecs = [codec("video/rtx", 97, 98), codec("video/VP8", 96), codec("video/VP9", 98)]
    parameters = rtp_parameters(codecs=codecs, encodings=[Encoding(), Encoding(codec_payload_type=98)])
    check_rtp_parameters(parameters)
    assert [encoding.codec_payload_type for encoding in parameters.encodings] == [96, 98]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"mid": None, "encodings": [Encoding()]}, "single encoding"),
        ({"encodings": [Encoding(ssrc=1), Encoding()]}, "each of several"),
        ({"rtp_mapping": m.RtpMapping(codecs=[], encodings=[])}, "differ in length"),
        (
            {"rtp_mapping": m.RtpMapping(codecs=[], encodings=[m.EncodingMapping(mapped_ssrc=1)])},
            "payload type 96",
        ),
    ],
)
def test_refused_for_producers(changes: dict[str, Any], name: str) -> None:
    with pytest.raises(TypeError, match=name):
        check_produce(produce_request(**changes))


@pytest.mark.parametrize("encoding", [Encoding(ssrc=1), Encoding(rid="a")])
def test_a_single_encoding_without_mid_is_found_by(encoding: Encoding) -> None:
    assert check_produce(produce_request(mid=None, encodings=[encoding])) is m.RtpType.SIMPLE


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"consumable_rtp_encodings": []}, "is empty"),
        ({"consumable_rtp_encodings": [Encoding()]}, "no ssrc"),
        ({"encodings": [Encoding()]}, "no ssrc"),
        ({"consumable_rtp_encodings": [Encoding(ssrc=1), Encoding(ssrc=2)]}, "one encoding"),
        (
            {"type": m.RtpType.PIPE, "consumable_rtp_encodings": [Encoding(ssrc=1), Encoding(ssrc=2)]},
            "differ in length",
        ),
    ],
)
def test_refused_for_consumers(changes: dict[str, Any], name: str) -> None:
    with pytest.raises(TypeError, match=name):
        check_consume(consume_request(**changes))


def typed(codecs: list[m.RtpCodecParameters], *modes: str | None) -> m.RtpType:
    encodings = [Encoding(ssrc=n, scalability_mode=mode) for n, mode in enumerate(modes, 1)]
    parameters = rtp_parameters(codecs=codecs, encodings=encodings)
    check_rtp_parameters(parameters)
    return type_of(parameters)


@pytest.mark.parametrize("mode", [None, "", "L1T1", "S1T1", "nonsense", "L200T1"])
@pytest.mark.parametrize("codecs", [vp8(), [opus()]], ids=["video", "audio"])
def test_simple(codecs: list[m.RtpCodecParameters], mode: str | None) -> None:
    assert typed(codecs, mode) is m.RtpType.SIMPLE


@pytest.mark.parametrize("mime_type", ["video/VP8", "video/vp9", "video/H264", "video/AV1"])
@pytest.mark.parametrize("mode", ["L1T2", "L3T3_KEY", "S2T1"])
def test_svc(mime_type: str, mode: str) -> None:
    assert typed([codec(mime_type)], mode) is m.RtpType.SVC


def test_svc_of_audio() -> None:
    with pytest.raises(TypeError, match="audio/opus codec not supported for svc"):
        typed([opus()], "L1T2")


@pytest.mark.parametrize("mime_type", ["video/VP8", "video/H264"])
def test_simulcast(mime_type: str) -> None:
    assert typed([codec(mime_type)], None, "L1T3") is m.RtpType.SIMULCAST


@pytest.mark.parametrize("mime_type", ["video/VP9", "video/AV1", "audio/opus"])
def test_simulcast_of_other_codecs(mime_type: str) -> None:
    with pytest.raises(TypeError, match="not supported for simulcast"):
        typed([codec(mime_type)], None, None)


@pytest.mark.parametrize(
    "encodings",
    [[Encoding(ssrc=1, scalability_mode="L1T3")], [Encoding(ssrc=1), Encoding(ssrc=2)]],
    ids=["svc", "simulcast"],
)
def test_layers_are_not_supported_yet(encodings: list[Encoding]) -> None:
    mapping = m.RtpMapping(
        codecs=[m.CodecMapping(payload_type=96, mapped_payload_type=101)],
        encodings=[m.EncodingMapping(mapped_ssrc=n) for n in range(len(encodings))],
    )
    with pytest.raises(UnsupportedError):
        check_produce(produce_request(encodings=encodings, rtp_mapping=mapping))
