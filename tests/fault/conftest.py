"""No test leaves anything of this process behind."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from .processes import children, descriptors, shared_mappings


@pytest.fixture
def patience() -> None:
    """What a test waits for has its own limit."""


@pytest.fixture
def ending() -> float:
    return 0.0


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """No process, descriptor, mapping or thread."""
    before = belongings()
    yield
    gc.collect()
    assert belongings() == before


def belongings() -> list[Any]:
    for thread in threading.enumerate():
        if thread.name.startswith("asyncio-waitpid"):  # of a child that has ended: it is about to end, too
            thread.join(1)
    return [children(), descriptors(), shared_mappings(), set(threading.enumerate())]
