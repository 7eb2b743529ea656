"""Logical workers over cores that are no processes."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))  # the worker's tests have a fake engine

from fake_core import House
from msgspec.structs import replace

from sfu_core.channel import messages as m
from sfu_core.channel.place import local_place
from vertical.links import UdpLink
from vertical.rings import best_link


@pytest.fixture
def house(runner, checked):
    """Two cores and one logical worker, on which transports alternate."""
    house = runner.run(House.open(2))
    yield house
    checked(house.close())


@pytest.fixture
def lonely(runner, checked):
    """The same, but the cores cannot share ports."""
    place = local_place()
    place = replace(place, extensions=place.extensions - {m.WorkerShareWebRtcServer.METHOD})
    house = runner.run(House.open(2, places=[place, place]))
    yield house
    checked(house.close())


@pytest.fixture(params=[best_link, UdpLink], ids=["ring", "udp"])
def linked(runner, checked, request):
    """The same; pipes of either kind."""
    house = runner.run(House.open(2, make_link=request.param))
    yield house
    checked(house.close())
