"""Reading RTP parameters."""

import pytest

from sfu_core.channel import messages as m
from sfu_core.worker.rtp import apt_of, formats, layers_of, parameter_of, stream_dump
from sfu_core.worker.validation import check_rtp_parameters

from .conftest import opus, rtp_parameters, vp8


@pytest.mark.parametrize(
    ("mode", "layers"),
    [
        (None, (1, 1)),
        ("L3T2_KEY", (3, 2)),
        ("S2T3", (2, 3)),
        ("S200T3", (1, 1)),
        ("L20T3", (20, 3)),
        ("L4T7_KEY_SHIFT", (4, 7)),
        ("l1t2", (1, 1)),
    ],
)
def test_layers(mode: str | None, layers: tuple[int, int]) -> None:
    assert layers_of(mode) == layers


def test_formats_pair_each_encoding_with_its_codec_and_rtx() -> None:
    second = vp8(98)
    second[0].mime_type, second[0].rtcp_feedback = "video/H264", []
    encodings = [m.RtpEncodingParameters(ssrc=1, rtx=m.Rtx(ssrc=2), codec_payload_type=98)]
    parameters = rtp_parameters(codecs=[*vp8(96), *second], encodings=encodings)
    check_rtp_parameters(parameters)
    (format,) = formats(parameters)
    assert (format.media.payload_type, format.rtx_ssrc) == (98, 2)
    assert format.rtx is not None and format.rtx.payload_type == 99
    assert (format.nack, format.pli, format.fir) == (False, False, False)


def test_an_rtx_ssrc_without_rtx_codec_does_not_count() -> None:
    parameters = rtp_parameters(codecs=vp8()[:1])
    check_rtp_parameters(parameters)
    assert formats(parameters)[0].rtx_ssrc == 0


def test_nack_pli_alone_is_no_nack() -> None:
    codec = vp8()[0]
    codec.rtcp_feedback = [m.RtcpFeedback(type="nack", parameter="pli")]
    parameters = rtp_parameters(codecs=[codec])
    check_rtp_parameters(parameters)
    (format,) = formats(parameters)
    assert (format.nack, format.pli) == (False, True)


def test_parameters() -> None:
    codec = opus()
    assert parameter_of(codec.parameters, "useinbandfec") == 1
    assert parameter_of(codec.parameters, "usedtx") is None
    assert apt_of(codec) is None


def test_stream_dump_of_audio() -> None:
    encodings = [m.RtpEncodingParameters(ssrc=1, rid="a", dtx=True)]
    parameters = rtp_parameters(codecs=[opus()], encodings=encodings)
    check_rtp_parameters(parameters)
    dump = stream_dump(formats(parameters)[0], 77, 0, "alice", 9)
    assert dump == m.RtpStreamDump(
        params=m.RtpStreamParams(
            encoding_idx=0,
            ssrc=77,
            payload_type=111,
            mime_type="audio/opus",
            clock_rate=48000,
            rid="a",
            cname="alice",
            use_nack=False,
            use_pli=False,
            use_fir=False,
            use_in_band_fec=True,
            use_dtx=True,
            spatial_layers=1,
            temporal_layers=1,
        ),
        score=9,
    )
