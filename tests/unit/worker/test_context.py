"""Who is who in a core process."""

import pytest

from sfu_core.errors import NotFoundError, SfuError
from sfu_core.worker.context import Registry


def test_objects_are_found_until_they_are_removed() -> None:
    registry, target = Registry(), object()
    registry.add("a", target)
    assert registry.get("a") is target and registry.items() == [("a", target)]
    registry.remove("a")
    registry.remove("a")
    with pytest.raises(NotFoundError, match="'a'"):
        registry.get("a")


def test_an_id_is_given_once() -> None:
    registry = Registry()
    registry.add("a", 1)
    with pytest.raises(SfuError, match="'a'"):
        registry.add("a", 2)
    assert registry.get("a") == 1
