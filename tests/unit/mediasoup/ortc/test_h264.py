import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_core.mediasoup.ortc.h264 import LEVEL_1B, Profile, ProfileLevelId, answer, parse, same_profile


@pytest.mark.parametrize(
    ("text", "profile", "level"),
    [
        ("42e01f", Profile.CONSTRAINED_BASELINE, 31),
        ("42E01F", Profile.CONSTRAINED_BASELINE, 31),
        ("42c00b", Profile.CONSTRAINED_BASELINE, 11),
        ("42f00b", Profile.CONSTRAINED_BASELINE, LEVEL_1B),
        ("4d800a", Profile.CONSTRAINED_BASELINE, 10),
        ("58c02a", Profile.CONSTRAINED_BASELINE, 42),
        ("42a01f", Profile.BASELINE, 31),
        ("42001f", Profile.BASELINE, 31),
        ("42100b", Profile.BASELINE, LEVEL_1B),
        ("58a01f", Profile.BASELINE, 31),
        ("4d4028", Profile.MAIN, 40),
        ("4d0032", Profile.MAIN, 50),
        ("4d100b", Profile.MAIN, LEVEL_1B),
        ("64001f", Profile.HIGH, 31),
        ("640c1f", Profile.CONSTRAINED_HIGH, 31),
        ("640c2a", Profile.CONSTRAINED_HIGH, 42),
        ("f4001f", Profile.PREDICTIVE_HIGH_444, 31),
    ],
)
def test_parse(text, profile, level):
    assert parse(text) == ProfileLevelId(profile, level)


@pytest.mark.parametrize(
    "text",
    ["", "42e01", "42e01f1", "gggggg", "000000", "42e000", "42e00f", "42e0ff", "42e11f", "58601f", "64e01f",
     "f4101f", "4de11f", "588011ff", None, 42],
)  # fmt: skip
def test_what_is_no_profile_level_id(text):
    assert parse(text) is None


@pytest.mark.parametrize(
    ("profile", "level", "text"),
    [
        (Profile.CONSTRAINED_BASELINE, 31, "42e01f"),
        (Profile.BASELINE, 10, "42000a"),
        (Profile.MAIN, 50, "4d0032"),
        (Profile.CONSTRAINED_HIGH, 42, "640c2a"),
        (Profile.HIGH, 42, "64002a"),
        (Profile.PREDICTIVE_HIGH_444, 31, "f4001f"),
        (Profile.CONSTRAINED_BASELINE, LEVEL_1B, "42f00b"),
        (Profile.BASELINE, LEVEL_1B, "42100b"),
        (Profile.MAIN, LEVEL_1B, "4d100b"),
    ],
)
def test_writing(profile, level, text):
    assert str(ProfileLevelId(profile, level)) == text
    assert parse(text) == ProfileLevelId(profile, level)


def params(profile_level_id=None, asymmetry=None):
    given = {"profile-level-id": profile_level_id, "level-asymmetry-allowed": asymmetry}
    return {key: value for key, value in given.items() if value is not None}


@pytest.mark.parametrize(
    ("local", "remote", "expected"),
    [
        (params(), params(), None),
        (params("42e015"), params("42e01f"), "42e015"),
        (params("42e01f"), params("42e015"), "42e015"),
        (params("42e01f", 1), params("42e015", 1), "42e01f"),
        (params("42e01f", "1"), params("42e015", True), "42e01f"),
        (params("42e01f", "true"), params("42e015", 1), "42e01f"),
        (params("42e01f", 1), params("42e015", 0), "42e015"),
        (params("42e01f", 1), params("42e015"), "42e015"),
        (params("42e028"), params(), "42e01f"),  # missing means level 3.1
        (params(), params("42e028"), "42e01f"),
        (params("42f00b"), params("42e00a"), "42e00a"),  # 1 < 1b
        (params("42f00b"), params("42e00b"), "42f00b"),  # 1b < 1.1
        (params("42c01f"), params("42e01f"), "42e01f"),  # written in the usual way
    ],
)
def test_answer(local, remote, expected):
    assert answer(local, remote) == expected


@pytest.mark.parametrize(("a", "b"), [("42e01f", "64001f"), ("42e01f", "nonsense"), ("zz", "42e01f")])
def test_no_answer_to_another_profile(a, b):
    assert not same_profile(params(a), params(b))
    with pytest.raises(ValueError, match="profile"):
        answer(params(a), params(b))


@given(st.integers(0, 0xFFFFFF))
def test_what_parses_survives_rewriting(number):
    parsed = parse(f"{number:06x}")
    if parsed is not None:
        assert parse(str(parsed)) == parsed
