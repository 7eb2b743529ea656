"""The rig, and cores that share ports; closed after each test."""

from collections.abc import Iterator

import pytest

from tests.media.engine.rig import Rig
from tests.media.engine.shared import Host


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.close()


@pytest.fixture(params=["127.0.0.1", "::1"])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    host = Host(ip=request.param)
    yield host
    host.close()
