"""Checks of single arguments; each raises `TypeError` naming the argument."""

from collections.abc import Iterable
from enum import IntEnum
from typing import Any, TypeVar

E = TypeVar("E", bound=IntEnum)

MAX_UINT16 = 2**16 - 1
MAX_UINT32 = 2**32 - 1
MAX_UINT53 = 2**53 - 1


def number_argument(value: object, name: str, low: int = 0, high: int = MAX_UINT32) -> int:
    """`value` if it is a whole number within `low`..`high`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is not a whole number")
    if not low <= value <= high:
        raise TypeError(f"{name} is not within {low}..{high}")
    return value


def string_argument(value: object, name: str) -> str:
    """`value` if it is a string with something in it."""
    if not isinstance(value, str) or not value:
        raise TypeError(f"missing {name} (a string)")
    return value


def text_argument(value: object, name: str) -> str:
    """`value` if it is a string, perhaps an empty one."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is not a string")
    return value


def object_argument(value: object, name: str) -> dict[str, Any]:
    """`value` if it is a dictionary."""
    if not isinstance(value, dict):
        raise TypeError(f"missing {name} (an object)")
    return value


def bool_argument(value: object, name: str) -> bool:
    """`value` if it is a boolean."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} is not a boolean")
    return value


def packet_argument(value: object, name: str) -> bytes:
    """`value` as bytes."""
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"{name} is not a bytes-like object")
    return bytes(value)


def choice(value: object, choices: dict[str, E], name: str) -> E:
    """The enumeration's member that `value` names."""
    if not isinstance(value, str) or value not in choices:
        raise TypeError(f"{name} is none of {', '.join(choices)}")
    return choices[value]


def trace_types(types: object, kind: type[E]) -> list[E]:
    """The trace event types named; unknown names are ignored."""
    if not isinstance(types, Iterable) or isinstance(types, str | bytes):
        raise TypeError("types is not an array of strings")
    names = list(types)
    if not all(isinstance(name, str) for name in names):
        raise TypeError("types is not an array of strings")
    known = {member.name.lower(): member for member in kind}
    return [known[name] for name in dict.fromkeys(names) if name in known]


def choice_of(value: object, choices: tuple[str, ...], name: str) -> str:
    """`value` if it is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise TypeError(f"{name} is none of {', '.join(choices)}")
    return value
