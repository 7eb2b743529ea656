import copy

import pytest

from sfu_core.errors import UnsupportedError
from sfu_core.mediasoup import ortc
from sfu_core.mediasoup.capabilities import (
    ABS_SEND_TIME,
    DEPENDENCY_DESCRIPTOR,
    MID,
    TIME_OFFSET,
    TRANSPORT_WIDE_CC,
)

from .test_producer import H264, H264_RTX, OPUS, ROUTER, VP8, VP8_RTX, consumable, parameters

FEEDBACK = [
    {"type": "nack", "parameter": ""},
    {"type": "nack", "parameter": "pli"},
    {"type": "ccm", "parameter": "fir"},
    {"type": "goog-remb", "parameter": ""},
    {"type": "transport-cc", "parameter": ""},
]


def remote(*mime_types, extensions=(), **parameters):
    """What a receiver can do: the router's codecs of these types, without RTX unless named."""
    codecs = [codec for codec in copy.deepcopy(ROUTER["codecs"]) if codec["mimeType"] in mime_types]
    for codec in codecs:
        codec["rtcpFeedback"] = copy.deepcopy(FEEDBACK) if codec["mimeType"] != "video/rtx" else []
        codec["parameters"].update(parameters)
    known = {extension["uri"]: extension for extension in ROUTER["headerExtensions"]}
    return {"codecs": codecs, "headerExtensions": [dict(known[uri]) for uri in extensions]}


def video(*codecs, **more):
    return consumable(parameters(*(codecs or (VP8, VP8_RTX)), **more))


def consume(offered, capabilities, **options):
    return ortc.get_consumer_rtp_parameters(offered, capabilities, **options)


def names(given):
    return [codec["mimeType"] for codec in given["codecs"]]


def feedback(given):
    return [f"{item['type']} {item['parameter']}".strip() for item in given["codecs"][0]["rtcpFeedback"]]


@pytest.mark.parametrize(
    ("offered", "wanted", "rtx", "expected"),
    [
        ((VP8, VP8_RTX), ("video/VP8", "video/rtx"), True, ["video/VP8", "video/rtx"]),
        ((VP8,), ("video/VP8", "video/rtx"), True, ["video/VP8", "video/rtx"]),
        ((VP8, VP8_RTX), ("video/VP8", "video/rtx"), False, ["video/VP8"]),
        ((VP8, VP8_RTX), ("video/VP8",), True, ["video/VP8"]),
        ((VP8, VP8_RTX, H264, H264_RTX), ("video/H264", "video/rtx"), True, ["video/H264", "video/rtx"]),
        ((H264, VP8), ("video/VP8", "video/H264"), True, ["video/H264", "video/VP8"]),  # the producer's order
    ],
)
def test_codecs(offered, wanted, rtx, expected):
    result = consume(video(*offered), remote(*wanted), enable_rtx=rtx)
    assert names(result) == expected
    assert ("rtx" in result["encodings"][0]) is ("video/rtx" in expected)


@pytest.mark.parametrize("wanted", [(), ("audio/opus",), ("video/VP9", "video/rtx"), ("video/rtx",)])
def test_nothing_in_common(wanted):
    with pytest.raises(UnsupportedError, match="rtpCapabilities"):
        consume(video(), remote(*wanted))
    assert ortc.can_consume(video(), remote(*wanted)) is False


def test_can_consume():
    assert ortc.can_consume(video(), remote("video/VP8")) is True
    assert ortc.can_consume(video(), remote("video/rtx")) is False
    several = video(VP8, VP8_RTX, H264, H264_RTX)
    wanted = remote("video/H264", "video/rtx")
    assert ortc.can_consume(several, wanted) is True
    assert names(consume(several, wanted)) == ["video/H264", "video/rtx"]
    with pytest.raises(TypeError, match="rtpCapabilities"):
        ortc.can_consume(video(), None)


def test_wrong_capabilities():
    with pytest.raises(TypeError, match=r"rtpCapabilities.codecs\[0\]"):
        consume(video(), {"codecs": [{}]})


@pytest.mark.parametrize(
    ("extensions", "rtx", "expected"),
    [
        ((TRANSPORT_WIDE_CC, ABS_SEND_TIME), True, ["nack", "nack pli", "ccm fir", "transport-cc"]),
        ((TRANSPORT_WIDE_CC,), True, ["nack", "nack pli", "ccm fir", "transport-cc"]),
        ((ABS_SEND_TIME,), True, ["nack", "nack pli", "ccm fir", "goog-remb"]),
        ((), True, ["nack", "nack pli", "ccm fir"]),
        ((), False, ["nack pli", "ccm fir"]),
    ],
)
def test_feedback(extensions, rtx, expected):
    capabilities = remote("video/VP8", "video/rtx", extensions=extensions)
    assert feedback(consume(video(), capabilities, enable_rtx=rtx)) == expected


def test_feedback_is_the_receivers():
    capabilities = remote("video/VP8")
    capabilities["codecs"][0]["rtcpFeedback"] = [{"type": "nack", "parameter": "pli"}, {"type": "odd"}]
    assert feedback(consume(video(), capabilities)) == ["nack pli", "odd"]


def test_header_extensions_need_the_same_id():
    capabilities = remote("video/VP8", extensions=(MID, TIME_OFFSET))
    assert [item["id"] for item in consume(video(), capabilities)["headerExtensions"]] == [1, 9]
    capabilities["headerExtensions"][1]["preferredId"] = 14
    assert [item["id"] for item in consume(video(), capabilities)["headerExtensions"]] == [1]


def test_header_extensions_whatever_their_kind():
    """Clients keep one entry for each id, with the kind of the last."""
    capabilities = remote("audio/opus", extensions=(MID,))
    capabilities["headerExtensions"][0]["kind"] = "video"
    result = consume(consumable(parameters(OPUS), "audio"), capabilities)
    assert [item["uri"] for item in result["headerExtensions"]] == [MID]


def test_the_producers_parameters_are_sent():
    result = consume(video(), remote("video/VP8", theirs=1))
    assert result["codecs"][0]["parameters"] == {"mine": 1}


def test_one_encoding():
    result = consume(video(), remote("video/VP8", "video/rtx"))
    (encoding,) = result["encodings"]
    assert encoding == {"ssrc": encoding["ssrc"], "rtx": {"ssrc": encoding["ssrc"] + 1}}
    again = consume(video(), remote("video/VP8", "video/rtx"))
    assert again["encodings"] != result["encodings"]


@pytest.mark.parametrize(
    ("encodings", "mode", "bitrate"),
    [
        ([{"ssrc": 1, "scalabilityMode": "L3T3_KEY", "maxBitrate": 7}], "L3T3_KEY", 7),
        ([{"ssrc": 1, "maxBitrate": 0}], None, None),
        ([{"rid": "a"}, {"rid": "b"}, {"rid": "c"}], "L3T1", None),
        (
            [
                {"rid": "a", "maxBitrate": 1},
                {"rid": "b", "scalabilityMode": "L1T2", "maxBitrate": 9},
                {"rid": "c", "maxBitrate": 3, "dtx": True},
            ],
            "L3T2",
            9,
        ),
    ],
)
def test_layers_and_bitrate(encodings, mode, bitrate):
    (encoding,) = consume(video(encodings=encodings), remote("video/VP8"))["encodings"]
    assert encoding.get("scalabilityMode") == mode and encoding.get("maxBitrate") == bitrate
    assert "dtx" not in encoding and "rid" not in encoding


def test_all_encodings_for_a_pipe():
    offered = video(encodings=[{"rid": "a", "dtx": True}, {"rid": "b", "maxBitrate": 3}])
    first, second = consume(offered, remote("video/VP8", "video/rtx"), pipe=True)["encodings"]
    assert (second["ssrc"], second["rtx"]["ssrc"]) == (first["ssrc"] + 1, first["rtx"]["ssrc"] + 1)
    assert first["dtx"] is True and second["maxBitrate"] == 3
    for encoding in consume(offered, remote("video/VP8"), pipe=True)["encodings"]:
        assert "rtx" not in encoding


def test_rtcp_and_msid():
    result = consume(video(rtcp={"cname": "me"}, msid="a b", mid="0"), remote("video/VP8"))
    assert result["rtcp"] == {"cname": "me", "reducedSize": True}
    assert result["msid"] == "a b" and "mid" not in result


def test_nothing_is_shared():
    offered = video()
    before = copy.deepcopy(offered)
    for result in (
        consume(offered, remote("video/VP8", "video/rtx", extensions=(MID,))),
        ortc.get_pipe_consumer_rtp_parameters(offered, enable_rtx=True),
    ):
        result["codecs"][0]["rtcpFeedback"].append({"type": "x"})
        result["codecs"][0]["parameters"]["x"] = 1
        result["headerExtensions"][0]["id"] = 99
        result["rtcp"]["cname"] = "x"
    assert offered == before


@pytest.mark.parametrize("rtx", [False, True])
def test_pipe_consumer(rtx):
    offered = video(encodings=[{"rid": "a"}, {"rid": "b"}], rtcp={"cname": "me"}, msid="a b")
    result = ortc.get_pipe_consumer_rtp_parameters(offered, enable_rtx=rtx)
    assert names(result) == (["video/VP8", "video/rtx"] if rtx else ["video/VP8"])
    assert feedback(result) == (["nack"] if rtx else []) + ["nack pli", "ccm fir"]
    assert [item["id"] for item in result["headerExtensions"]] == [7, 8, 9, 11, 12]
    assert result["headerExtensions"][0]["uri"] == DEPENDENCY_DESCRIPTOR
    first, second = result["encodings"]
    assert second["ssrc"] == first["ssrc"] + 1
    assert ("rtx" in first) is ("rtx" in second) is rtx
    assert result["rtcp"] == {"cname": "me", "reducedSize": True} and result["msid"] == "a b"
    assert offered["codecs"][0]["rtcpFeedback"] == FEEDBACK


def test_pipe_consumer_of_audio_has_no_dependency_descriptor():
    result = ortc.get_pipe_consumer_rtp_parameters(consumable(parameters(OPUS), "audio"))
    assert [item["id"] for item in result["headerExtensions"]] == [6, 11, 12]
    assert feedback(result) == []


def test_pipe_consumer_with_rtx_whatever_the_codec():
    offered = consumable(parameters(OPUS), "audio")
    result = ortc.get_pipe_consumer_rtp_parameters(offered, enable_rtx=True)
    assert "rtx" in result["encodings"][0] and feedback(result) == ["nack"]
