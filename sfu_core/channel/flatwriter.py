"""Writes a message as a FlatBuffers buffer.

Forward, each table before what it refers to: as valid as the usual back-to-front order, and simpler. Every position
is aligned to its size, counted from the buffer's beginning. Knows layouts and bytes, not the channel.
"""

import struct
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import msgspec

from sfu_core.channel.flatlayout import (
    BYTE,
    OFFSET,
    REQUIRED,
    SOFFSET,
    Binary,
    Field,
    Opaque,
    Scalar,
    String,
    TableOf,
    Type,
    Union,
    Vector,
    layout_of,
)

_U8: Final = Scalar("uint8", BYTE, int)


class _Reference(msgspec.Struct, frozen=True):
    """Four bytes that say how far away the target lies."""

    target: Type
    size: int = OFFSET.size


_Stored: TypeAlias = Scalar | _Reference
_Part: TypeAlias = tuple[int, _Stored, Any]
"""Slot, how it is stored, value."""


def write(root: msgspec.Struct, prefix: int = 0) -> bytearray:
    """A buffer whose root is `root`, after `prefix` zero bytes. TypeError for a value that does not fit."""
    writer = _Writer(prefix)
    try:
        writer.root(root)
    except struct.error as error:
        raise TypeError(f"{type(root).__name__}: {error}") from None
    return writer.buffer


class _Writer:
    def __init__(self, prefix: int) -> None:
        self.buffer = bytearray(prefix)
        self._vtables: dict[bytes, int] = {}

    def root(self, value: msgspec.Struct) -> None:
        at = self._reserve(OFFSET.size, OFFSET.size)
        self._refer(at, self._table(value))

    def _reserve(self, size: int, alignment: int, ahead: int = 0) -> int:
        """Appends `size` zero bytes, so placed that position + `ahead` is aligned."""
        at = len(self.buffer)
        at += -(at + ahead) % alignment
        self.buffer.extend(bytes(at + size - len(self.buffer)))
        return at

    def _refer(self, at: int, target: int) -> None:
        OFFSET.pack_into(self.buffer, at, target - at)

    def _table(self, value: msgspec.Struct) -> int:
        parts = list(_parts_of(value))
        offsets, size = _arrange(parts)
        vtable_at = self._vtable(offsets, size)
        at = self._reserve(size, max([SOFFSET.size, *(stored.size for _, stored, _ in parts)]))
        SOFFSET.pack_into(self.buffer, at, at - vtable_at)
        for slot, stored, content in parts:
            self._store(at + offsets[slot], stored, content)
        return at

    def _vtable(self, offsets: list[int], size: int) -> int:
        """Tables of the same shape share one."""
        vtable = struct.pack(f"<{len(offsets) + 2}H", 4 + 2 * len(offsets), size, *offsets)
        at = self._vtables.get(vtable)
        if at is None:
            at = self._vtables[vtable] = self._reserve(0, 2)
            self.buffer += vtable
        return at

    def _store(self, at: int, stored: _Stored, value: Any) -> None:
        if isinstance(stored, Scalar):
            stored.packer.pack_into(self.buffer, at, value)
        else:
            self._refer(at, self._target(stored.target, value))

    def _target(self, of_type: Type, value: Any) -> int:
        match of_type:
            case String():
                return self._bytes(value.encode(), b"\0")
            case Binary():
                return self._bytes(value, b"")
            case Vector(item=item):
                return self._vector(item if isinstance(item, Scalar) else _Reference(item), value)
            case _:
                return self._table(value)

    def _bytes(self, content: bytes, end: bytes) -> int:
        at = self._reserve(OFFSET.size, OFFSET.size)
        OFFSET.pack_into(self.buffer, at, len(content))
        self.buffer += content + end
        return at

    def _vector(self, stored: _Stored, values: list[Any]) -> int:
        size = OFFSET.size + stored.size * len(values)
        at = self._reserve(size, max(OFFSET.size, stored.size), ahead=OFFSET.size)
        OFFSET.pack_into(self.buffer, at, len(values))
        for number, value in enumerate(values):
            self._store(at + OFFSET.size + number * stored.size, stored, value)
        return at


def _parts_of(value: msgspec.Struct) -> Iterator[_Part]:
    """What has to be stored of a table: all but absent fields and defaults."""
    for field in layout_of(type(value)).fields:
        content = getattr(value, field.name)
        if content is not None:
            yield from _parts(field, content)
        elif field.default is REQUIRED:
            raise TypeError(f"{type(value).__name__}.{field.name} is required")


def _parts(field: Field, value: Any) -> Iterator[_Part]:
    if isinstance(field.type, Scalar):
        if value != field.default:
            yield field.slot, field.type, value
    elif isinstance(field.type, Union | Opaque):
        number = value.BODY if isinstance(field.type, Opaque) else value.__struct_config__.tag
        if number:  # a body without fields is none
            yield field.slot, _U8, number
            yield field.slot + 1, _Reference(TableOf(type(value))), value
    else:
        yield field.slot, _Reference(field.type), value


def _arrange(parts: list[_Part]) -> tuple[list[int], int]:
    """The offset of each slot in its table (0: absent) and the table's size; large fields first."""
    offsets = [0] * (max((slot for slot, _, _ in parts), default=-1) + 1)
    size = SOFFSET.size
    for slot, stored, _ in sorted(parts, key=lambda part: -part[1].size):
        size += -size % stored.size
        offsets[slot] = size
        size += stored.size
    return offsets, size
