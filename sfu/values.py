"""What the values of options may be: each function makes one of its text. Pure.

They raise ValueError, which says what is wrong with the value; whoever calls names the option, as argparse does where
it is given `argument` of such a function.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Collection
from typing import Final, TypeVar
from urllib.parse import urlsplit

LEVELS: Final = ("debug", "info", "warning", "error")
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


Value = TypeVar("Value")


def argument(read: Callable[[str], Value]) -> Callable[[str], Value]:
    """`read` for argparse, which shows what is wrong only if it is told in its own way."""

    def told(text: str) -> Value:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return told


def several(read: Callable[[str], Value]) -> Callable[[str], list[Value]]:
    """Values of a kind, one at least."""
    return lambda given: [read(word) for word in words(text(given))]


def one_of(known: Collection[str]) -> Callable[[str], str]:
    """A word of these."""

    def read(text: str) -> str:
        if text not in known:
            raise ValueError(f"{text!r} is none of {', '.join(known)}")
        return text

    return read


def port(text: str) -> int:
    """0: any that is free."""
    if not text.isdecimal() or int(text) > 0xFFFF:
        raise ValueError(f"{text!r} is no port")
    return int(text)


def count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{text!r} is no number from 1 on")
    return int(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def seconds(text: str) -> float:
    if not 0 <= (value := _number(text)) < math.inf:
        raise ValueError(f"{text!r} is no number of seconds")
    return value


def percent(text: str) -> float:
    if not 0 < (value := _number(text)) <= 100:
        raise ValueError(f"{text!r} is no percentage")
    return value


def text(given: str) -> str:
    if not given.strip():
        raise ValueError("it is empty")
    return given


def token(text: str) -> str:
    """Not shown if it is wrong."""
    if not re.fullmatch("[!-~]+", text):
        raise ValueError("a token is a text of visible ASCII characters")
    return text


def server(text: str) -> str:
    return _url(text, "ws", "wss")


def redis(text: str) -> str:
    return _url(text, "redis", "rediss", "unix")


def _url(text: str, *schemes: str) -> str:
    """Not shown if it is wrong: it may hold a password."""
    try:
        parts = urlsplit(text)
        good = text.startswith(tuple(f"{each}://" for each in schemes))
        good = good and bool(parts.hostname or parts.scheme == "unix") and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ValueError("needs a URL that begins with " + " or ".join(f"{each}://" for each in schemes))
    return text


level = one_of(LEVELS)


def status(text: str) -> str:
    """An `address`."""
    address(text)
    return text


def address(text: str) -> tuple[str, int]:
    """HOST:PORT, [HOST]:PORT or :PORT as a pair; ValueError if it is none."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 0xFFFF:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return host.strip("[]") or "0.0.0.0", int(port)


def words(text: str) -> list[str]:
    """Separated by spaces or commas."""
    return re.split(r"[\s,]+", text.strip()) if text.strip() else []


def truth(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(f"{text!r} is neither yes nor no")
