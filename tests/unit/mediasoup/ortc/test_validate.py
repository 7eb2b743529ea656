import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_core.mediasoup import ortc

OPUS = {"mimeType": "audio/opus", "clockRate": 48000, "channels": 2, "payloadType": 111}
CAPABILITY = {"mimeType": "audio/opus", "clockRate": 48000, "channels": 2}
EXTENSION = {"kind": "audio", "uri": "urn:x", "preferredId": 1}
EXTENSION_IN_USE = {"uri": "urn:x", "id": 1}

DEFAULTS = [
    # function, given, expected
    ("capabilities", {}, {"codecs": [], "headerExtensions": []}),
    ("capabilities", {"codecs": None, "x": 1}, {"codecs": [], "headerExtensions": [], "x": 1}),
    (
        "codec_capability",
        {"kind": "video", "mimeType": "AUDIO/PCMU", "clockRate": 8000},
        {
            "kind": "audio",
            "mimeType": "AUDIO/PCMU",
            "clockRate": 8000,
            "channels": 1,
            "parameters": {},
            "rtcpFeedback": [],
        },
    ),
    ("codec_capability", CAPABILITY | {"channels": "2"}, CAPABILITY | {"channels": 1}),
    (
        "codec_capability",
        {"mimeType": "video/VP8", "clockRate": 90000, "channels": 1, "preferredPayloadType": 0},
        {"kind": "video", "preferredPayloadType": 0, "parameters": {}},
    ),
    ("codec_parameters", OPUS | {"parameters": {"a": None, "b": 1.5}}, {"parameters": {"a": "", "b": 1.5}}),
    (
        "codec_parameters",
        OPUS | {"rtcpFeedback": [{"type": "nack"}, {"type": "nack", "parameter": 7}]},
        {"rtcpFeedback": [{"type": "nack", "parameter": ""}] * 2},
    ),
    ("header_extension", EXTENSION, EXTENSION | {"preferredEncrypt": False, "direction": "sendrecv"}),
    ("header_extension_parameters", EXTENSION_IN_USE, EXTENSION_IN_USE | {"encrypt": False, "parameters": {}}),
    ("encoding_parameters", {"rid": "r0", "active": True}, {"rid": "r0", "active": True, "dtx": False}),
    ("encoding_parameters", {"ssrc": 1, "rtx": {"ssrc": 2}, "dtx": True}, {"dtx": True}),
    ("rtcp_parameters", {}, {"reducedSize": True}),
    ("rtcp_parameters", {"reducedSize": False, "cname": "x"}, {"reducedSize": True, "cname": "x"}),
    (
        "parameters",
        {"codecs": [OPUS], "mid": None},
        {"headerExtensions": [], "encodings": [], "rtcp": {"reducedSize": True}},
    ),
    ("stream", {"streamId": 1}, {"streamId": 1, "ordered": True}),
    ("stream", {"streamId": 1, "maxRetransmits": 0}, {"streamId": 1, "maxRetransmits": 0, "ordered": False}),
    (
        "stream",
        {"streamId": 1, "maxPacketLifeTime": 5, "maxRetransmits": None},
        {"streamId": 1, "maxPacketLifeTime": 5, "ordered": False},
    ),
    ("stream", {"streamId": 1, "ordered": False}, {"streamId": 1, "ordered": False}),
]

REFUSED = [
    # function, given, what the error names
    ("capabilities", None, "rtpCapabilities"),
    ("capabilities", "x", "rtpCapabilities"),
    ("capabilities", {"codecs": {}}, "rtpCapabilities.codecs"),
    ("capabilities", {"codecs": "x"}, "rtpCapabilities.codecs"),
    ("capabilities", {"headerExtensions": "x"}, "rtpCapabilities.headerExtensions"),
    ("capabilities", {"codecs": [CAPABILITY, 1]}, r"rtpCapabilities.codecs\[1\]"),
    ("capabilities", {"headerExtensions": [{}]}, r"rtpCapabilities.headerExtensions\[0\]"),
    ("codec_capability", {"clockRate": 1}, "mimeType"),
    ("codec_capability", CAPABILITY | {"mimeType": "text/plain"}, "mimeType"),
    ("codec_capability", CAPABILITY | {"mimeType": "audio/"}, "mimeType"),
    ("codec_capability", CAPABILITY | {"mimeType": 1}, "mimeType"),
    ("codec_capability", {"mimeType": "audio/opus"}, "clockRate"),
    ("codec_capability", CAPABILITY | {"clockRate": "48000"}, "clockRate"),
    ("codec_capability", CAPABILITY | {"preferredPayloadType": "1"}, "preferredPayloadType"),
    ("codec_capability", CAPABILITY | {"preferredPayloadType": 128}, "preferredPayloadType"),
    ("codec_capability", CAPABILITY | {"parameters": []}, "parameters"),
    ("codec_capability", CAPABILITY | {"parameters": {"a": [1]}}, r"parameters\[a\]"),
    ("codec_capability", CAPABILITY | {"parameters": {"a": True}}, r"parameters\[a\]"),
    ("codec_capability", CAPABILITY | {"parameters": {"apt": "100"}}, "apt"),
    ("codec_capability", CAPABILITY | {"rtcpFeedback": {}}, "rtcpFeedback"),
    ("codec_capability", CAPABILITY | {"rtcpFeedback": [{"parameter": "pli"}]}, r"rtcpFeedback\[0\].type"),
    ("codec_parameters", CAPABILITY, "payloadType"),
    ("codec_parameters", OPUS | {"payloadType": "1"}, "payloadType"),
    ("codec_parameters", OPUS | {"payloadType": True}, "payloadType"),
    ("codec_parameters", OPUS | {"payloadType": -1}, "payloadType"),
    ("header_extension", EXTENSION | {"kind": "text"}, "kind"),
    ("header_extension", {"uri": "urn:x", "preferredId": 1}, "kind"),
    ("header_extension", EXTENSION | {"uri": ""}, "uri"),
    ("header_extension", EXTENSION | {"preferredId": "1"}, "preferredId"),
    ("header_extension", EXTENSION | {"preferredEncrypt": 1}, "preferredEncrypt"),
    ("header_extension", EXTENSION | {"direction": 1}, "direction"),
    ("header_extension_parameters", {"id": 1}, "uri"),
    ("header_extension_parameters", {"uri": "urn:x"}, "id"),
    ("header_extension_parameters", EXTENSION_IN_USE | {"id": 0}, "id"),
    ("header_extension_parameters", EXTENSION_IN_USE | {"id": 256}, "id"),
    ("header_extension_parameters", EXTENSION_IN_USE | {"encrypt": "no"}, "encrypt"),
    ("header_extension_parameters", EXTENSION_IN_USE | {"parameters": {"a": {}}}, "parameters"),
    ("encoding_parameters", 1, "encoding"),
    ("encoding_parameters", {"ssrc": "1"}, "ssrc"),
    ("encoding_parameters", {"ssrc": 2**32}, "ssrc"),
    ("encoding_parameters", {"rid": 1}, "rid"),
    ("encoding_parameters", {"rtx": 1}, "rtx"),
    ("encoding_parameters", {"rtx": {}}, "rtx.ssrc"),
    ("encoding_parameters", {"rtx": {"ssrc": "1"}}, "rtx.ssrc"),
    ("encoding_parameters", {"scalabilityMode": 1}, "scalabilityMode"),
    ("encoding_parameters", {"codecPayloadType": "1"}, "codecPayloadType"),
    ("encoding_parameters", {"maxBitrate": "1"}, "maxBitrate"),
    ("rtcp_parameters", [], "rtcp"),
    ("rtcp_parameters", {"cname": 1}, "cname"),
    ("parameters", {}, "rtpParameters.codecs"),
    ("parameters", {"codecs": {}}, "rtpParameters.codecs"),
    ("parameters", {"codecs": [OPUS, {}]}, r"rtpParameters.codecs\[1\].mimeType"),
    ("parameters", {"codecs": [OPUS], "mid": 1}, "rtpParameters.mid"),
    ("parameters", {"codecs": [OPUS], "msid": 1}, "rtpParameters.msid"),
    ("parameters", {"codecs": [OPUS], "encodings": {}}, "rtpParameters.encodings"),
    ("parameters", {"codecs": [OPUS], "headerExtensions": 1}, "rtpParameters.headerExtensions"),
    ("parameters", {"codecs": [OPUS], "rtcp": "x"}, "rtpParameters.rtcp"),
    ("stream", None, "sctpStreamParameters"),
    ("stream", {}, "streamId"),
    ("stream", {"streamId": "1"}, "streamId"),
    ("stream", {"streamId": 65535}, "streamId"),
    ("stream", {"streamId": 1, "maxRetransmits": 1, "maxPacketLifeTime": 1}, "both"),
    ("stream", {"streamId": 1, "ordered": True, "maxRetransmits": 1}, "ordered"),
    ("stream", {"streamId": 1, "ordered": "yes"}, "ordered"),
    ("stream", {"streamId": 1, "maxRetransmits": "1"}, "maxRetransmits"),
]


def function(name):
    return (
        ortc.validate_sctp_stream_parameters
        if name == "stream"
        else getattr(ortc, f"validate_rtp_{name}", None) or (ortc.validate_rtcp_parameters)
    )


@pytest.mark.parametrize(("name", "given", "expected"), DEFAULTS)
def test_defaults(name, given, expected):
    before = copy.deepcopy(given)
    result = function(name)(given)
    assert result.items() >= expected.items()
    assert given == before  # the application's object is its own
    assert function(name)(result) == result


@pytest.mark.parametrize(("name", "given", "names"), REFUSED)
def test_refusals_name_what_is_wrong(name, given, names):
    with pytest.raises(TypeError, match=names):
        function(name)(given)


def test_video_has_no_channels():
    codec = {"mimeType": "video/VP8", "clockRate": 90000, "channels": 2, "payloadType": 96}
    assert "channels" not in ortc.validate_rtp_codec_parameters(codec)


def test_absent_stays_absent():
    result = ortc.validate_rtp_parameters({"codecs": [OPUS], "mid": None, "msid": None, "encodings": [{"ssrc": None}]})
    assert "mid" not in result and "msid" not in result and result["encodings"] == [{"dtx": False}]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["codecs", "mimeType", "clockRate", "encodings", "rtcp", "ssrc", "parameters", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_garbage_is_refused_or_normalised(value):
    for name in ("capabilities", "parameters", "encoding_parameters", "codec_parameters", "stream"):
        try:
            result = function(name)(value)
        except TypeError:
            continue
        assert function(name)(result) == result
