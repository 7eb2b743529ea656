import pytest

from sfu_core.mediasoup.ortc import match_codecs
from sfu_core.mediasoup.ortc.match import answered_parameters


def codec(mime_type, clock_rate=90000, channels=None, **parameters):
    made = {"mimeType": mime_type, "clockRate": clock_rate}
    made["parameters"] = {key.replace("_", "-"): value for key, value in parameters.items()}
    if channels:
        made["channels"] = channels
    return made


def multiopus(streams, coupled):
    made = codec("audio/multiopus", 48000, 6)
    made["parameters"] = {"num_streams": streams, "coupled_streams": coupled}
    return made


H264 = {"packetization_mode": 1, "profile_level_id": "42e01f"}


@pytest.mark.parametrize(
    ("a", "b", "loose", "strict"),
    [
        (codec("video/VP8"), codec("VIDEO/vp8"), True, True),
        (codec("video/VP8"), codec("video/VP9"), False, False),
        (codec("audio/opus", 48000, 2), codec("audio/opus", 48000, 2), True, True),
        (codec("audio/opus", 48000, 2), codec("audio/opus", 16000, 2), False, False),
        (codec("audio/opus", 48000, 2), codec("audio/opus", 48000, 1), False, False),
        (codec("audio/opus", 48000, 2, useinbandfec=1), codec("audio/opus", 48000, 2), True, True),
        (multiopus(4, 2), multiopus(4, 2), True, True),
        (multiopus(4, 2), multiopus(4, 1), False, False),
        (multiopus(4, 2), multiopus(5, 2), False, False),
        (multiopus(4, 2), multiopus("4", 2), False, False),  # by value and type
        (codec("video/VP9"), codec("video/VP9", profile_id=0), True, True),
        (codec("video/VP9", profile_id=2), codec("video/VP9", profile_id=2), True, True),
        (codec("video/VP9", profile_id=2), codec("video/VP9"), True, False),
        (codec("video/VP9", profile_id=0), codec("video/VP9", profile_id="0"), True, False),
        (codec("video/AV1", profile=1), codec("video/AV1"), True, True),
        (codec("video/H264", **H264), codec("video/H264", **H264), True, True),
        (codec("video/H264"), codec("video/H264", packetization_mode=0), True, True),
        (codec("video/H264"), codec("video/H264", packetization_mode=1), True, False),
        (codec("video/H264"), codec("video/H264", profile_level_id="42e015"), True, True),
        (codec("video/H264"), codec("video/H264", profile_level_id="4d0032"), True, False),
        (codec("video/H264"), codec("video/H264", profile_level_id="nonsense"), True, False),
        ({"mimeType": "audio/PCMU", "clockRate": 8000}, {"mimeType": "audio/PCMU", "clockRate": 8000}, True, True),
    ],
)
def test_matching(a, b, loose, strict):
    assert match_codecs(a, b) is match_codecs(b, a) is loose
    assert match_codecs(a, b, strict=True) is match_codecs(b, a, strict=True) is strict


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ({"profile_level_id": "42e028"}, {"profile_level_id": "42e01f"}, "42e01f"),
        (
            {"profile_level_id": "42e028", "level_asymmetry_allowed": 1},
            {"profile_level_id": "42e01f", "level_asymmetry_allowed": 1},
            "42e028",
        ),
        ({}, {"profile_level_id": "42e015"}, "42e015"),
        ({}, {}, None),
    ],
)
def test_answering(ours, theirs, expected):
    local = codec("video/H264", x=1, **ours)
    before = dict(local["parameters"])
    answered = answered_parameters(local, codec("video/H264", **theirs))
    assert answered.get("profile-level-id") == expected and answered["x"] == 1
    assert local["parameters"] == before


def test_other_codecs_keep_their_parameters():
    assert answered_parameters(codec("video/VP9", profile_id=2), codec("video/VP9")) == {"profile-id": 2}
