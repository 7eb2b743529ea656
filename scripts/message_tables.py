"""Writes docs/messages.md: every message of the vocabulary with its fields, from the classes that define it.

python scripts/message_tables.py
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect as mi

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "messages.md"

sys.path.insert(0, str(ROOT))

from sfu_core.channel import messages as m  # noqa: E402

HEAD = """# Messages between the API and a worker

Written by `python scripts/message_tables.py` from `sfu_core/channel/messages`. The vocabulary is mediasoup's
own, between its library and its worker; how these messages are framed says [the remote protocol](remote-
protocol.md).

The first word of a name says which object is asked, or tells: its id is the frame's handler id (for a worker,
the empty string). A body is a MessagePack map. `u8` to `u64` and `i8` to `i32` are integers of that range,
`f32` and `f64` are floats, `[T]` is an array, `A | B` is either. A field with a default may be left out, and
is left out by our own side where it has that value; all others must be there. A field whose type ends in
`| nil` may be nil.
Enumerations travel as their numbers. Of several tables in one field each carries its number under the key
`type`. Unknown keys are ignored.

Numbers from 200 on are extensions (`sfu_core/channel/messages/extensions.py`), sent only to workers whose
place announces them.
"""


class Page:
    """Collects what the messages are made of while they are described."""

    def __init__(self) -> None:
        self.tables: dict[str, type] = {}
        self.enums: dict[str, type[IntEnum]] = {}

    def kind(self, of: Any) -> str:
        """The type of a field, in words."""
        match of:
            case mi.Metadata(type=inner, extra=extra):
                return short(extra["wire"]) if extra and "wire" in extra else self.kind(inner)
            case mi.UnionType(types=types):
                return " | ".join(self.kind(each) for each in types)
            case mi.StructType(cls=cls):
                self.tables[cls.__name__] = cls
                return cls.__name__
            case mi.EnumType(cls=cls):
                self.enums[cls.__name__] = cls
                return cls.__name__
            case mi.ListType(item_type=item) | mi.VarTupleType(item_type=item):
                return f"[{self.kind(item)}]"
            case mi.DictType(key_type=key, value_type=value):
                return f"map of {self.kind(key)} to {self.kind(value)}"
            case mi.StrType():
                return "string"
            case mi.BytesType():
                return "binary"
            case mi.BoolType():
                return "bool"
            case mi.NoneType():
                return "nil"
            case mi.IntType(ge=low):
                return "u64" if low == 0 else "integer"
            case mi.FloatType():
                return "f64"
        raise TypeError(of)

    def fields(self, cls: Any) -> Iterator[str]:
        """A line for each field."""
        described = mi.type_info(cls)
        assert isinstance(described, mi.StructType)
        if described.tag is not None:
            yield f"- `type`: {described.tag}"
        for each in described.fields:
            default = "" if each.required else f" = {shown(each)}"
            yield f"- `{each.encode_name}`: {self.kind(each.type)}{default}"

    def request(self, kind: Any) -> Iterator[str]:
        yield from self.message(kind.METHOD, kind, m.Request)
        answer = "nil" if kind.RESPONSE is None else self.kind(self.info(kind.RESPONSE))
        yield f"Answer: {answer}"
        yield ""

    def notification(self, kind: Any) -> Iterator[str]:
        yield from self.message(kind.EVENT, kind, m.Notification)

    def message(self, number: int, kind: Any, base: type) -> Iterator[str]:
        yield f"### {number:d} {kind.NAME}"
        yield ""
        yield from described(kind, base)
        if lines := list(self.fields(kind)):
            yield from [*lines, ""]

    @staticmethod
    def info(of: Any) -> Any:
        return mi.type_info(of)

    def rest(self) -> Iterator[str]:
        """The tables and enumerations that were mentioned, and those that these mention."""
        written: dict[str, list[str]] = {}
        while todo := sorted(set(self.tables) - set(written)):
            for name in todo:
                written[name] = [f"### {name}", "", *described(self.tables[name]), *self.fields(self.tables[name]), ""]
        for name in sorted(written):
            yield from written[name]
        yield "## Enumerations"
        yield ""
        for name in sorted(self.enums):
            numbers = ", ".join(f"{each.value} {each.name}" for each in self.enums[name])
            yield f"- `{name}`: {numbers}"


def described(kind: type, *bases: type) -> Iterator[str]:
    """Its documentation, unless it is that of a base class or made by a tool."""
    text = inspect.cleandoc(kind.__dict__.get("__doc__") or "")
    if text and not any(text == inspect.getdoc(base) for base in bases):
        yield re.sub(r"`[a-z0-9_]+`", lambda name: re.sub(r"_(\w)", lambda _: _[1].upper(), name[0]), text)
        yield ""


def short(wire: str) -> str:
    """uint32 → u32"""
    return wire.replace("uint", "u").replace("int", "i").replace("float", "f")


def shown(field: Any) -> str:
    """The default of a field."""
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if isinstance(value, IntEnum):
        return f"{value.value} ({value.name})"
    if value is None:
        return "nil"
    return str(value).lower() if isinstance(value, bool) else value


def page() -> str:
    """The whole of it."""
    made = Page()
    lines = ["## Requests", ""]
    for number in sorted(m.REQUESTS):
        lines += made.request(m.REQUESTS[number])
    lines += ["## Notifications", "", "The first four go to the worker, the others come from it.", ""]
    for number in sorted(m.NOTIFICATIONS):
        lines += made.notification(m.NOTIFICATIONS[number])
    lines += ["## Tables", ""]
    lines += made.rest()
    return HEAD + "\n" + "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
