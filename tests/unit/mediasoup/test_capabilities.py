import pytest

from sfu_core.mediasoup.capabilities import EXTENSION_IDS, get_supported_rtp_capabilities

VIDEO_FEEDBACK = ["nack", "nack pli", "ccm fir", "goog-remb", "transport-cc"]
CC = ["transport-cc"]

CODECS = [
    # MIME type, clock rate, channels, payload type, parameters, feedback
    ("audio/opus", 48000, 2, None, {}, ["nack", "transport-cc"]),
    (
        "audio/multiopus",
        48000,
        4,
        None,
        {"channel_mapping": "0,1,2,3", "num_streams": 2, "coupled_streams": 2},
        ["nack", "transport-cc"],
    ),
    (
        "audio/multiopus",
        48000,
        6,
        None,
        {"channel_mapping": "0,4,1,2,3,5", "num_streams": 4, "coupled_streams": 2},
        ["nack", "transport-cc"],
    ),
    (
        "audio/multiopus",
        48000,
        8,
        None,
        {"channel_mapping": "0,6,1,2,3,4,5,7", "num_streams": 5, "coupled_streams": 3},
        ["nack", "transport-cc"],
    ),
    ("audio/PCMU", 8000, 1, 0, {}, CC),
    ("audio/PCMA", 8000, 1, 8, {}, CC),
    ("audio/ISAC", 32000, 1, None, {}, CC),
    ("audio/ISAC", 16000, 1, None, {}, CC),
    ("audio/G722", 8000, 1, 9, {}, CC),
    ("audio/iLBC", 8000, 1, None, {}, CC),
    ("audio/SILK", 24000, 1, None, {}, CC),
    ("audio/SILK", 16000, 1, None, {}, CC),
    ("audio/SILK", 12000, 1, None, {}, CC),
    ("audio/SILK", 8000, 1, None, {}, CC),
    ("audio/CN", 32000, 1, 13, {}, []),
    ("audio/CN", 16000, 1, 13, {}, []),
    ("audio/CN", 8000, 1, 13, {}, []),
    ("audio/telephone-event", 48000, 1, None, {}, []),
    ("audio/telephone-event", 32000, 1, None, {}, []),
    ("audio/telephone-event", 16000, 1, None, {}, []),
    ("audio/telephone-event", 8000, 1, None, {}, []),
    ("video/VP8", 90000, None, None, {}, VIDEO_FEEDBACK),
    ("video/VP9", 90000, None, None, {}, VIDEO_FEEDBACK),
    ("video/H264", 90000, None, None, {"level-asymmetry-allowed": 1}, VIDEO_FEEDBACK),
    ("video/AV1", 90000, None, None, {}, VIDEO_FEEDBACK),
]


def row(codec):
    feedback = [f"{item['type']} {item['parameter']}".strip() for item in codec["rtcpFeedback"]]
    return (
        codec["mimeType"],
        codec["clockRate"],
        codec.get("channels"),
        codec.get("preferredPayloadType"),
        codec["parameters"],
        feedback,
    )


def test_codecs():
    assert [row(codec) for codec in get_supported_rtp_capabilities()["codecs"]] == CODECS


@pytest.mark.parametrize(
    ("number", "uri", "audio", "video"),
    [
        (1, "urn:ietf:params:rtp-hdrext:sdes:mid", "sendrecv", "sendrecv"),
        (2, "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", None, "recvonly"),
        (3, "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id", None, "recvonly"),
        (4, "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time", "sendrecv", "sendrecv"),
        (
            5,
            "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
            "recvonly",
            "sendrecv",
        ),
        (6, "urn:ietf:params:rtp-hdrext:ssrc-audio-level", "sendrecv", None),
        (
            7,
            "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
            None,
            "recvonly",
        ),
        (8, "urn:3gpp:video-orientation", None, "sendrecv"),
        (9, "urn:ietf:params:rtp-hdrext:toffset", None, "sendrecv"),
        (10, "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time", "sendrecv", "sendrecv"),
        (11, "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay", "sendrecv", "sendrecv"),
        (12, "urn:mediasoup:params:rtp-hdrext:packet-id", "sendrecv", "sendrecv"),
    ],
)
def test_header_extension(number, uri, audio, video):
    extensions = get_supported_rtp_capabilities()["headerExtensions"]
    found = [(e["kind"], e["preferredId"], e["direction"]) for e in extensions if e["uri"] == uri]
    expected = [("audio", number, audio), ("video", number, video)]
    assert found == [entry for entry in expected if entry[2]]
    assert EXTENSION_IDS[uri] == number


def test_header_extensions_are_ordered_and_never_encrypted():
    extensions = get_supported_rtp_capabilities()["headerExtensions"]
    keys = [(e["preferredId"], e["kind"]) for e in extensions]
    assert keys == sorted(keys)
    assert not any(e["preferredEncrypt"] for e in extensions)


def test_each_call_gives_a_copy():
    first = get_supported_rtp_capabilities()
    first["codecs"][0]["parameters"]["x"] = 1
    first["codecs"][0]["rtcpFeedback"].clear()
    first["headerExtensions"].clear()
    second = get_supported_rtp_capabilities()
    assert second["codecs"][0]["parameters"] == {}
    assert second["codecs"][0]["rtcpFeedback"]
    assert second["codecs"][21]["rtcpFeedback"] == second["codecs"][22]["rtcpFeedback"]
    assert second["headerExtensions"]
