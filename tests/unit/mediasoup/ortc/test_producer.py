import pytest

from sfu_core.errors import UnsupportedError
from sfu_core.mediasoup import ortc
from sfu_core.mediasoup.capabilities import ABS_CAPTURE_TIME
from sfu_core.mediasoup.ortc import producer as module

ROUTER = ortc.generate_router_rtp_capabilities(
    [
        {"mimeType": "audio/opus", "clockRate": 48000, "channels": 2},  # 100
        {"mimeType": "video/VP8", "clockRate": 90000},  # 101, 102
        {
            "mimeType": "video/H264",
            "clockRate": 90000,
            "parameters": {"packetization-mode": 1, "profile-level-id": "42e01f", "foo": "bar"},
        },  # 103, 104
        {"mimeType": "video/VP9", "clockRate": 90000, "parameters": {"profile-id": 2}},  # 105, 106
    ]
)
OPUS = {"mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2}
VP8 = {"mimeType": "video/vp8", "payloadType": 96, "clockRate": 90000, "parameters": {"mine": 1}}
VP8_RTX = {"mimeType": "video/rtx", "payloadType": 97, "clockRate": 90000, "parameters": {"apt": 96}}
H264 = {
    "mimeType": "video/H264",
    "payloadType": 112,
    "clockRate": 90000,
    "parameters": {"packetization-mode": 1, "profile-level-id": "42e015"},
    "rtcpFeedback": [{"type": "nack", "parameter": "pli"}],
}
H264_RTX = {"mimeType": "video/rtx", "payloadType": 113, "clockRate": 90000, "parameters": {"apt": 112}}


def parameters(*codecs, **more):
    return ortc.validate_rtp_parameters({"codecs": list(codecs), "encodings": [{"ssrc": 1}]} | more)


def mapping_of(given):
    return ortc.get_producer_rtp_parameters_mapping(given, ROUTER)


def consumable(given, kind="video"):
    return ortc.get_consumable_rtp_parameters(kind, given, ROUTER, mapping_of(given))


def pairs(mapping):
    return [(item["payloadType"], item["mappedPayloadType"]) for item in mapping["codecs"]]


@pytest.mark.parametrize(
    ("codecs", "expected"),
    [
        ([OPUS], [(111, 100)]),
        ([VP8], [(96, 101)]),
        ([VP8, VP8_RTX], [(96, 101), (97, 102)]),
        ([VP8_RTX, VP8], [(96, 101), (97, 102)]),  # media first
        ([VP8, VP8_RTX, H264, H264_RTX], [(96, 101), (112, 103), (97, 102), (113, 104)]),
    ],
)
def test_payload_types(codecs, expected):
    assert pairs(mapping_of(parameters(*codecs))) == expected


@pytest.mark.parametrize(
    "codec",
    [
        VP8 | {"mimeType": "video/H265"},
        OPUS | {"channels": 1},
        H264 | {"parameters": {"packetization-mode": 0, "profile-level-id": "42e015"}},
        H264 | {"parameters": {"packetization-mode": 1, "profile-level-id": "64001f"}},
        VP8 | {"mimeType": "video/VP9"},  # the router has profile 2 only
    ],
)
def test_codecs_the_router_does_not_have(codec):
    with pytest.raises(UnsupportedError, match=codec["mimeType"]):
        mapping_of(parameters(codec))


@pytest.mark.parametrize("apt", [95, 98])
def test_rtx_for_nothing(apt):
    with pytest.raises(TypeError, match=str(apt)):
        mapping_of(parameters(VP8, VP8_RTX | {"parameters": {"apt": apt}}))
    with pytest.raises(TypeError, match="None"):
        mapping_of(parameters(VP8, VP8_RTX | {"parameters": {}}))


def test_rtx_that_the_router_does_not_have():
    opus_rtx = {"mimeType": "audio/rtx", "payloadType": 112, "clockRate": 48000, "parameters": {"apt": 111}}
    with pytest.raises(UnsupportedError, match="111"):
        mapping_of(parameters(OPUS, opus_rtx))
    rtx_of_rtx = VP8_RTX | {"payloadType": 98, "parameters": {"apt": 97}}
    with pytest.raises(UnsupportedError, match="97"):
        mapping_of(parameters(VP8, VP8_RTX, rtx_of_rtx))


def test_the_h264_level_is_answered():
    given = parameters(H264)
    mapping_of(given)
    assert given["codecs"][0]["parameters"]["profile-level-id"] == "42e015"
    asymmetric = parameters(
        H264 | {"parameters": H264["parameters"] | {"profile-level-id": "42e028", "level-asymmetry-allowed": 1}}
    )
    mapping_of(asymmetric)
    assert asymmetric["codecs"][0]["parameters"]["profile-level-id"] == "42e028"
    without = parameters(H264 | {"parameters": {"packetization-mode": 1}})
    mapping_of(without)
    assert without["codecs"][0]["parameters"]["profile-level-id"] == "42e01f"


def test_encodings():
    encodings = [{"ssrc": 11}, {"rid": "r1", "maxBitrate": 5}, {}]
    mapped = mapping_of(parameters(VP8, encodings=encodings))["encodings"]
    first = mapped[0]["mappedSsrc"]
    assert 100_000_000 <= first <= 999_999_998
    assert mapped == [
        {"ssrc": 11, "mappedSsrc": first},
        {"rid": "r1", "mappedSsrc": first + 1},
        {"mappedSsrc": first + 2},
    ]


def test_mapped_ssrcs_stay_in_their_range(monkeypatch):
    monkeypatch.setattr(module, "random_ssrc", lambda: 999_999_999)
    encodings = [{"ssrc": n} for n in range(3)]
    mapped = mapping_of(parameters(VP8, encodings=encodings))["encodings"]
    assert [item["mappedSsrc"] for item in mapped] == [999_999_996, 999_999_997, 999_999_998]


def test_random_ssrcs():
    assert all(100_000_000 <= module.random_ssrc() <= 999_999_999 for _ in range(100))
    assert len({module.random_ssrc() for _ in range(100)}) > 90


def test_consumable_codecs():
    codecs = consumable(parameters(VP8, H264, H264_RTX))["codecs"]
    assert [(codec["mimeType"], codec["payloadType"]) for codec in codecs] == [
        ("video/VP8", 101),  # the router's spelling
        ("video/rtx", 102),  # although the producer sends none
        ("video/H264", 103),
        ("video/rtx", 104),
    ]
    assert codecs[0]["parameters"] == {"mine": 1}  # the producer's
    assert codecs[1]["parameters"] == {"apt": 101}
    assert codecs[2]["parameters"] == {"packetization-mode": 1, "profile-level-id": "42e015"}
    assert len(codecs[2]["rtcpFeedback"]) == 5  # the router's
    assert all("channels" not in codec for codec in codecs)
    (opus,) = consumable(parameters(OPUS), "audio")["codecs"]
    assert opus["channels"] == 2


def ids(given, kind):
    return [extension["id"] for extension in consumable(given, kind)["headerExtensions"]]


def test_consumable_header_extensions():
    assert ids(parameters(OPUS), "audio") == [1, 4, 6, 11, 12]
    assert ids(parameters(VP8), "video") == [1, 4, 5, 8, 9, 11, 12]
    with_capture_time = parameters(VP8, headerExtensions=[{"uri": ABS_CAPTURE_TIME, "id": 3}])
    assert ids(with_capture_time, "video") == [1, 4, 5, 8, 9, 10, 11, 12]
    first = consumable(parameters(OPUS), "audio")["headerExtensions"][0]
    assert first == {
        "uri": "urn:ietf:params:rtp-hdrext:sdes:mid",
        "id": 1,
        "encrypt": False,
        "parameters": {},
    }


def test_consumable_encodings():
    encoding = {
        "ssrc": 11,
        "rid": "r0",
        "rtx": {"ssrc": 12},
        "codecPayloadType": 96,
        "dtx": True,
        "scalabilityMode": "L1T3",
        "maxBitrate": 5000,
    }
    given = parameters(VP8, encodings=[encoding])
    mapping = mapping_of(given)
    result = ortc.get_consumable_rtp_parameters("video", given, ROUTER, mapping)
    assert result["encodings"] == [
        {
            "ssrc": mapping["encodings"][0]["mappedSsrc"],
            "dtx": True,
            "scalabilityMode": "L1T3",
            "maxBitrate": 5000,
        }
    ]


def test_consumable_rest():
    result = consumable(parameters(VP8, mid="0", msid="a b", rtcp={"cname": "me", "reducedSize": False}))
    assert result["rtcp"] == {"cname": "me", "reducedSize": True}
    assert result["msid"] == "a b" and "mid" not in result
    assert "msid" not in consumable(parameters(VP8))


def test_the_router_is_not_shared():
    result = consumable(parameters(VP8))
    result["codecs"][0]["rtcpFeedback"].clear()
    assert ROUTER["codecs"][1]["rtcpFeedback"]
