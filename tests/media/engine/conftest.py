"""The rig, closed after each test."""

from collections.abc import Iterator

import pytest

from tests.media.engine.rig import Rig


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.close()
