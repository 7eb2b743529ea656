"""Any valid message: hypothesis strategies derived from the message classes."""

from enum import IntEnum
from functools import cache
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

RANGES = {
    "uint8": (0, 2**8 - 1),
    "uint16": (0, 2**16 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
    "int8": (-(2**7), 2**7 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "int32": (-(2**31), 2**31 - 1),
}


def instances(kind: Any) -> st.SearchStrategy[Any]:
    """Instances of a Struct, or of any of a union of Structs."""
    return _strategy(inspect.type_info(kind), 0)


def _strategy(node: Any, depth: int) -> st.SearchStrategy[Any]:
    if isinstance(node, inspect.Metadata):
        wire = (node.extra or {})["wire"]
        if wire in RANGES:
            return st.integers(*RANGES[wire])
        return st.floats(allow_nan=False, allow_infinity=False, width=32 if wire == "float32" else 64)
    if isinstance(node, inspect.BoolType):
        return st.booleans()
    if isinstance(node, inspect.StrType):
        return st.text(max_size=6)
    if isinstance(node, inspect.BytesType):
        return st.binary(max_size=40)
    if isinstance(node, inspect.NoneType):
        return st.none()
    if isinstance(node, inspect.EnumType):
        assert issubclass(node.cls, IntEnum)
        return st.sampled_from(node.cls)
    if isinstance(node, inspect.ListType):
        return st.lists(_strategy(node.item_type, depth + 1), max_size=2)
    if isinstance(node, inspect.UnionType):
        return st.one_of([_strategy(option, depth + 1) for option in _shallow(node.types, depth)])
    assert isinstance(node, inspect.StructType), node
    return _struct(node.cls, depth)


def _shallow(options: tuple[Any, ...], depth: int) -> list[Any]:
    """Away from the root, unions stop nesting: the option that does not contain its own kind comes first."""
    if depth < 8:
        return list(options)
    return [option for option in options if not isinstance(option, inspect.StructType) or option.tag == 1] or [
        options[0]
    ]


@cache
def _struct(kind: type[msgspec.Struct], depth: int) -> st.SearchStrategy[Any]:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    fields = {field.name: _strategy(field.type, depth + 1) for field in info.fields}
    return st.builds(kind, **fields)
