"""Reads a message from a FlatBuffers buffer of unknown origin.

Every offset is checked; depth and total work are bounded, so that a small buffer whose offsets all point at the same
place cannot grow into millions of objects. Knows layouts and bytes, not the channel.
"""

import struct
from typing import Any, Final, TypeVar

import msgspec

from sfu_core.channel.codec import ProtocolError
from sfu_core.channel.flatlayout import (
    BYTE,
    OFFSET,
    REQUIRED,
    SOFFSET,
    VOFFSET,
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

T = TypeVar("T", bound=msgspec.Struct)

_MAX_DEPTH: Final = 32
"""Deeper than any message nests."""

_SHARING: Final = 4
"""How often, on average, a part of the buffer may be referred to."""


class Body(msgspec.Struct, frozen=True):
    """A body not yet read: its number in the union of bodies (0: none), and where it lies."""

    number: int
    at: int
    reader: "Reader"

    def read(self, kind: type[T]) -> T:
        return self.reader.read(kind, self.at)


class Reader:
    """Reads tables of one buffer; everything that is wrong with it is a ProtocolError."""

    def __init__(self, buffer: bytes) -> None:
        self._buffer = buffer
        self._budget = _SHARING * len(buffer)

    def root(self, kind: type[T]) -> T:
        return self.read(kind, 0, indirect=True)

    def read(self, kind: type[T], at: int, indirect: bool = False) -> T:
        """The table at `at`, or behind the offset at `at`."""
        try:
            return self._table(kind, self._follow(at) if indirect else at, 0)
        except (struct.error, ValueError, OverflowError) as error:
            raise ProtocolError(f"malformed {kind.__name__.strip('_')}: {error}") from None

    def _follow(self, at: int) -> int:
        (distance,) = OFFSET.unpack_from(self._buffer, at)
        return at + int(distance)

    def _spend(self, amount: int) -> None:
        self._budget -= amount
        if self._budget < 0:
            raise ProtocolError("a buffer that refers to the same parts over and over")

    def _table(self, kind: type[T], at: int, depth: int) -> T:
        if depth > _MAX_DEPTH:
            raise ProtocolError("a buffer nested too deeply")
        self._spend(SOFFSET.size)
        vtable = at - SOFFSET.unpack_from(self._buffer, at)[0]
        if vtable < 0:
            raise ProtocolError("a table whose vtable lies outside")
        (vtable_size,) = VOFFSET.unpack_from(self._buffer, vtable)
        values: dict[str, Any] = {}
        for field in layout_of(kind).fields:
            place = self._place(vtable, vtable_size, field.slot, at)
            value = self._field(field, place, vtable, vtable_size, at, depth)
            if value is None and field.default is REQUIRED:
                raise ProtocolError(f"{kind.__name__.strip('_')} lacks {field.name}")
            values[field.name] = value
        return kind(**values)

    def _place(self, vtable: int, vtable_size: int, slot: int, table: int) -> int:
        """Where the field of that slot lies; 0 if it is absent."""
        entry = VOFFSET.size * (2 + slot)
        if entry + VOFFSET.size > vtable_size:
            return 0
        offset: int = VOFFSET.unpack_from(self._buffer, vtable + entry)[0]
        return table + offset if offset else 0

    def _field(self, field: Field, place: int, vtable: int, vtable_size: int, table: int, depth: int) -> Any:
        if isinstance(field.type, Union | Opaque):
            target = self._place(vtable, vtable_size, field.slot + 1, table)
            return self._union(field.type, place, target, depth)
        if place:
            return self._value(field.type, place, depth)
        if isinstance(field.default, list):
            return []
        return None if field.default is REQUIRED else field.default

    def _union(self, of_type: Union | Opaque, number_at: int, target: int, depth: int) -> Any:
        number = BYTE.unpack_from(self._buffer, number_at)[0] if number_at else 0
        if isinstance(of_type, Opaque):
            return Body(number, self._follow(target) if number and target else 0, self)
        if not number or not target:
            return None
        kind = of_type.kinds.get(number)
        if kind is None:
            raise ProtocolError(f"a union with unknown member {number}")
        return self._table(kind, self._follow(target), depth + 1)

    def _value(self, of_type: Type, at: int, depth: int) -> Any:
        if isinstance(of_type, Scalar):
            return of_type.convert(of_type.packer.unpack_from(self._buffer, at)[0])
        target = self._follow(at)
        match of_type:
            case String():
                return str(self._bytes(target), "utf-8")
            case Binary():
                return self._bytes(target)
            case TableOf(kind=kind):
                return self._table(kind, target, depth + 1)
            case Vector(item=item):
                return self._vector(item, target, depth + 1)
        raise AssertionError(of_type)

    def _bytes(self, at: int) -> bytes:
        (length,) = OFFSET.unpack_from(self._buffer, at)
        start = at + OFFSET.size
        if length > len(self._buffer) - start:
            raise ProtocolError("a string or vector that goes beyond the end")
        self._spend(length)
        return self._buffer[start : start + length]

    def _vector(self, item: Type, at: int, depth: int) -> list[Any]:
        (length,) = OFFSET.unpack_from(self._buffer, at)
        size = item.size if isinstance(item, Scalar) else OFFSET.size
        start = at + OFFSET.size
        if length * size > len(self._buffer) - start:
            raise ProtocolError("a vector that goes beyond the end")
        self._spend(length * size)
        return [self._value(item, start + number * size, depth) for number in range(length)]
