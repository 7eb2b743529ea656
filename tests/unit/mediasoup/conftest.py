"""The API over a fake channel."""

import pytest

from .fakes import FakeChannel, Room


@pytest.fixture
def channel(runner):
    channel = FakeChannel(runner.get_loop())
    yield channel
    assert channel.unanswered == []


@pytest.fixture
def room(runner, channel):
    """A worker with a router, over a fake channel."""
    return runner.run(Room.open(channel))
