"""How each message lies in a FlatBuffers table, derived from the message classes.

A table's fields have slots in order of declaration; a union takes two, its number and its value. Pure functions of
the classes; knows no bytes.
"""

import struct
from collections.abc import Callable
from enum import IntEnum
from functools import cache
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import inspect


class Scalar(msgspec.Struct, frozen=True):
    """A number stored in place; `convert` makes it the field's Python type."""

    wire: str
    packer: struct.Struct
    convert: Callable[[Any], Any]

    @property
    def size(self) -> int:
        return self.packer.size


class String(msgspec.Struct, frozen=True):
    """UTF-8, by offset."""


class Binary(msgspec.Struct, frozen=True):
    """A vector of bytes, by offset."""


class Vector(msgspec.Struct, frozen=True):
    """A vector by offset; its items lie in place or behind offsets of their own."""

    item: "Type"


class TableOf(msgspec.Struct, frozen=True):
    """A table, by offset."""

    kind: type[msgspec.Struct]


class Union(msgspec.Struct, frozen=True):
    """One of several tables, by number and offset."""

    kinds: dict[int, type[msgspec.Struct]]


class Opaque(msgspec.Struct, frozen=True):
    """A union whose member is known only to who reads the message it is part of: a body."""


Type: TypeAlias = Scalar | String | Binary | Vector | TableOf | Union | Opaque

REQUIRED: Final = object()


class Field(msgspec.Struct, frozen=True):
    """`default`: what an absent field means; REQUIRED if it must not be absent."""

    name: str
    slot: int
    type: Type
    default: Any


class Layout(msgspec.Struct, frozen=True):
    kind: type[msgspec.Struct]
    fields: tuple[Field, ...]


_FORMATS: Final = {
    "bool": "<?",
    "uint8": "<B",
    "uint16": "<H",
    "uint32": "<I",
    "uint64": "<Q",
    "int8": "<b",
    "int16": "<h",
    "int32": "<i",
    "float32": "<f",
    "float64": "<d",
}
OFFSET: Final = struct.Struct("<I")
SOFFSET: Final = struct.Struct("<i")
VOFFSET: Final = struct.Struct("<H")
BYTE: Final = struct.Struct("<B")


def _scalar(wire: str, convert: Callable[[Any], Any]) -> Scalar:
    return Scalar(wire, struct.Struct(_FORMATS[wire]), convert)


@cache
def layout_of(kind: type[msgspec.Struct]) -> Layout:
    """The layout of a message, reply body or table class."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    fields = []
    slot = 0
    for field in info.fields:
        of_type = _type(field.type)
        fields.append(Field(field.name, slot, of_type, _default(field, of_type)))
        slot += 2 if isinstance(of_type, Union | Opaque) else 1
    return Layout(kind, tuple(fields))


def _default(field: inspect.Field, of_type: Type) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    if field.default is not msgspec.NODEFAULT:
        return field.default
    return of_type.convert(0) if isinstance(of_type, Scalar) else REQUIRED


def _type(node: inspect.Type) -> Type:
    match node:
        case inspect.Metadata(type=inspect.IntType() | inspect.FloatType() as number, extra=extra):
            assert extra is not None
            return _scalar(extra["wire"], int if isinstance(number, inspect.IntType) else float)
        case inspect.BoolType():
            return _scalar("bool", bool)
        case inspect.EnumType(cls=cls):
            assert issubclass(cls, IntEnum)
            return _scalar("uint8", cls)
        case inspect.StrType():
            return String()
        case inspect.BytesType():
            return Binary()
        case inspect.ListType(item_type=item):
            return Vector(_type(item))
        case inspect.StructType():
            return _union([node]) if node.tag is not None else TableOf(node.cls)
        case inspect.UnionType(types=types):
            options = [option for option in types if not isinstance(option, inspect.NoneType)]
            return _type(options[0]) if len(options) == 1 else _union(options)
        case inspect.AnyType():
            return Opaque()
    raise TypeError(f"{node} has no place in a table")


def _union(options: list[Any]) -> Union:
    kinds: dict[int, type[msgspec.Struct]] = {}
    for option in options:
        assert isinstance(option, inspect.StructType) and isinstance(option.tag, int)
        kinds[option.tag] = option.cls
    return Union(kinds)
