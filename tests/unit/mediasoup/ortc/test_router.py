import json
from pathlib import Path

import pytest

from sfu_core.errors import SfuError, UnsupportedError
from sfu_core.mediasoup.capabilities import get_supported_rtp_capabilities
from sfu_core.mediasoup.ortc import generate_router_rtp_capabilities

DATA = Path(__file__).parents[3] / "data" / "mediasoup-client"
OPUS = {"kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2}
VP8 = {"kind": "video", "mimeType": "video/VP8", "clockRate": 90000}


def codecs(*wanted):
    return generate_router_rtp_capabilities(list(wanted))["codecs"]


def payload_types(*wanted):
    return [codec["preferredPayloadType"] for codec in codecs(*wanted)]


def test_the_capabilities_a_real_device_was_loaded_with():
    device = json.loads((DATA / "device.json").read_text())
    assert generate_router_rtp_capabilities(device["mediaCodecs"]) == device["routerRtpCapabilities"]


def test_no_codecs():
    for none in (None, []):
        capabilities = generate_router_rtp_capabilities(none)
        assert capabilities["codecs"] == []
        assert capabilities["headerExtensions"] == get_supported_rtp_capabilities()["headerExtensions"]


def test_video_brings_its_rtx():
    media, rtx = codecs(VP8)
    assert media["preferredPayloadType"] == 100
    assert rtx == {
        "kind": "video",
        "mimeType": "video/rtx",
        "preferredPayloadType": 101,
        "clockRate": 90000,
        "parameters": {"apt": 100},
        "rtcpFeedback": [],
    }


def test_what_comes_from_where():
    wanted = {
        "kind": "audio",
        "mimeType": "AUDIO/OPUS",
        "clockRate": 48000,
        "channels": 2,
        "parameters": {"useinbandfec": 1},
        "rtcpFeedback": [{"type": "mine"}],
    }
    (codec,) = codecs(wanted)
    assert codec["mimeType"] == "audio/opus"
    assert codec["parameters"] == {"useinbandfec": 1}
    assert [item["type"] for item in codec["rtcpFeedback"]] == ["nack", "transport-cc"]
    (h264, _) = codecs({"mimeType": "video/H264", "clockRate": 90000, "parameters": {"packetization-mode": 1}})
    assert h264["parameters"] == {"level-asymmetry-allowed": 1, "packetization-mode": 1}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ([OPUS, VP8], [100, 101, 102]),
        ([{"mimeType": "audio/PCMU", "clockRate": 8000}, OPUS], [0, 100]),
        ([{"mimeType": "audio/G722", "clockRate": 8000, "preferredPayloadType": 120}], [120]),
        ([OPUS | {"preferredPayloadType": 100}, VP8], [100, 101, 102]),
        ([OPUS | {"preferredPayloadType": 101}, VP8], [101, 100, 102]),
        ([VP8 | {"preferredPayloadType": 35}], [35, 100]),
    ],
)
def test_payload_types(wanted, expected):
    assert payload_types(*wanted) == expected


@pytest.mark.parametrize(
    "wanted",
    [
        [VP8, OPUS | {"preferredPayloadType": 100}],
        [VP8, OPUS | {"preferredPayloadType": 101}],  # the RTX codec's
        [OPUS | {"preferredPayloadType": 7}, VP8 | {"preferredPayloadType": 7}],
        [{"mimeType": "audio/CN", "clockRate": 8000}, {"mimeType": "audio/CN", "clockRate": 16000}],
    ],
)
def test_a_payload_type_is_used_once(wanted):
    with pytest.raises(TypeError, match="preferredPayloadType"):
        generate_router_rtp_capabilities(wanted)


def test_all_dynamic_payload_types():
    wanted = [OPUS | {"parameters": {"n": n}} for n in range(32)]
    assert payload_types(*wanted) == [*range(100, 128), *range(96, 100)]
    with pytest.raises(SfuError, match="no dynamic payload type"):
        generate_router_rtp_capabilities([*wanted, OPUS])


@pytest.mark.parametrize(
    "wanted",
    [
        {"mimeType": "audio/chicken", "clockRate": 8000},
        OPUS | {"clockRate": 8000},
        OPUS | {"channels": 1},
        {"mimeType": "video/H265", "clockRate": 90000},
        {"mimeType": "video/rtx", "clockRate": 90000},
        {"mimeType": "audio/multiopus", "clockRate": 48000, "channels": 6, "parameters": {"num_streams": 5}},
    ],
)
def test_unsupported(wanted):
    with pytest.raises(UnsupportedError, match=wanted["mimeType"].replace("/", ".")):
        codecs(wanted)


def test_multiopus():
    (codec,) = codecs(
        {
            "mimeType": "audio/multiopus",
            "clockRate": 48000,
            "channels": 6,
            "parameters": {"num_streams": 4, "coupled_streams": 2, "useinbandfec": 1},
        }
    )
    assert codec["parameters"]["channel_mapping"] == "0,4,1,2,3,5" and codec["parameters"]["useinbandfec"] == 1


@pytest.mark.parametrize("wrong", [{}, "audio/opus", [1], [{"mimeType": "audio/opus"}]])
def test_wrong_arguments(wrong):
    with pytest.raises(TypeError, match="media_codecs"):
        generate_router_rtp_capabilities(wrong)
