"""H264 `profile-level-id` (RFC 6184 §8.1): its profile, its level, and the one that answers an offer."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

_HEX = re.compile(r"[0-9a-fA-F]{6}")
_DEFAULT = "42e01f"  # Constrained Baseline, level 3.1
_CONSTRAINT_SET3 = 0x10

LEVEL_1B = 0
_LEVELS = frozenset({10, 11, 12, 13, 20, 21, 22, 30, 31, 32, 40, 41, 42, 50, 51, 52})


class Profile(Enum):
    """The profiles that can be told apart; the value is how `profile_idc` and its constraints are written."""

    CONSTRAINED_BASELINE = "42e0"
    BASELINE = "4200"
    MAIN = "4d00"
    CONSTRAINED_HIGH = "640c"
    HIGH = "6400"
    PREDICTIVE_HIGH_444 = "f400"


# profile_idc, mask and value of the constraint bits that decide the profile (RFC 6184 table 5)
_PATTERNS = (
    (0x42, 0b0100_1111, 0b0100_0000, Profile.CONSTRAINED_BASELINE),
    (0x4D, 0b1000_1111, 0b1000_0000, Profile.CONSTRAINED_BASELINE),
    (0x58, 0b1100_1111, 0b1100_0000, Profile.CONSTRAINED_BASELINE),
    (0x42, 0b0100_1111, 0b0000_0000, Profile.BASELINE),
    (0x58, 0b1100_1111, 0b1000_0000, Profile.BASELINE),
    (0x4D, 0b1010_1111, 0b0000_0000, Profile.MAIN),
    (0x64, 0b1111_1111, 0b0000_0000, Profile.HIGH),
    (0x64, 0b1111_1111, 0b0000_1100, Profile.CONSTRAINED_HIGH),
    (0xF4, 0b1111_1111, 0b0000_0000, Profile.PREDICTIVE_HIGH_444),
)

_LEVEL_1B_IDS = {
    Profile.CONSTRAINED_BASELINE: "42f00b",
    Profile.BASELINE: "42100b",
    Profile.MAIN: "4d100b",
}


@dataclass(frozen=True)
class ProfileLevelId:
    """A profile and a level; the level is ten times its usual number, or `LEVEL_1B`."""

    profile: Profile
    level: int

    def __str__(self) -> str:
        if self.level == LEVEL_1B:
            return _LEVEL_1B_IDS[self.profile]
        return f"{self.profile.value}{self.level:02x}"


def parse(text: object) -> ProfileLevelId | None:
    """The profile and level that `text` names, or `None` when it names none."""
    if not isinstance(text, str) or not _HEX.fullmatch(text):
        return None
    profile_idc, constraints, level = bytes.fromhex(text)
    if level == 11 and constraints & _CONSTRAINT_SET3:
        level = LEVEL_1B
    elif level not in _LEVELS:
        return None
    for idc, mask, value, profile in _PATTERNS:
        if profile_idc == idc and constraints & mask == value:
            return ProfileLevelId(profile, level)
    return None


def answer(local: dict[str, Any], remote: dict[str, Any]) -> str | None:
    """The `profile-level-id` that answers `remote`, given the codec parameters of both sides.

    `None` when neither side has one. Raises `ValueError` when the profiles differ or do not parse.
    """
    if "profile-level-id" not in local and "profile-level-id" not in remote:
        return None
    ours, theirs = _of(local), _of(remote)
    if ours is None or theirs is None or ours.profile is not theirs.profile:
        raise ValueError("different H264 profiles")
    if _asymmetric(local) and _asymmetric(remote):
        return str(ours)
    return str(min(ours, theirs, key=_level_order))


def _of(parameters: dict[str, Any]) -> ProfileLevelId | None:
    return parse(parameters.get("profile-level-id", _DEFAULT))


def same_profile(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two codecs' parameters name the same profile."""
    first, second = _of(a), _of(b)
    return first is not None and second is not None and first.profile is second.profile


def _asymmetric(parameters: dict[str, Any]) -> bool:
    return parameters.get("level-asymmetry-allowed") in (1, "1", True, "true")


def _level_order(value: ProfileLevelId) -> float:
    """Level 1b lies between 1 and 1.1."""
    return 10.5 if value.level == LEVEL_1B else value.level
