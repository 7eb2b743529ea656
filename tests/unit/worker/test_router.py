"""Routers: dumps, ids, and closing everything in the right order."""

import pytest

from sfu_core.channel import messages as m
from sfu_core.errors import NotFoundError, SfuError

from .conftest import World


def test_empty_dump(world: World) -> None:
    world.router()
    dump = world.ask(m.RouterDump(), "r")
    assert dump == m.RouterDumpResponse(
        id="r",
        transport_ids=[],
        rtp_observer_ids=[],
        map_producer_id_consumer_ids=[],
        map_consumer_id_producer_id=[],
        map_producer_id_observer_ids=[],
        map_data_producer_id_data_consumer_ids=[],
        map_data_consumer_id_data_producer_id=[],
    )


def test_dump_shows_who_consumes_whom(world: World) -> None:
    world.router(), world.direct("d1"), world.direct("d2")
    world.produce("prod", "d1")
    world.consume("c1", "d2")
    dump = world.ask(m.RouterDump(), "r")
    assert dump.transport_ids == ["d1", "d2"]
    assert dump.map_producer_id_consumer_ids == [m.StringStringArray(key="prod", values=["c1"])]
    assert dump.map_consumer_id_producer_id == [m.StringString(key="c1", value="prod")]
    assert dump.map_producer_id_observer_ids == [m.StringStringArray(key="prod", values=[])]


@pytest.mark.parametrize("id", ["r", "d", "prod"])
def test_an_id_is_given_once_whatever_it_names(world: World, id: str) -> None:
    world.router(), world.direct(), world.produce()
    with pytest.raises(SfuError, match="exists already"):
        world.direct(id)
    assert len(world.engine.handles("transport")) == 1


def test_closed_id_may_be_used_again(world: World) -> None:
    world.router(), world.direct()
    world.ask(m.RouterCloseTransport(transport_id="d"), "r")
    world.direct()


def test_unknown_transport(world: World) -> None:
    world.router()
    with pytest.raises(NotFoundError, match="'x'"):
        world.ask(m.RouterCloseTransport(transport_id="x"), "r")


def test_a_transport_of_another_router_is_unknown(world: World) -> None:
    world.router("r1"), world.router("r2"), world.direct("d", "r1")
    with pytest.raises(NotFoundError):
        world.ask(m.RouterCloseTransport(transport_id="d"), "r2")


def test_closing_a_router_leaves_nothing_and_says_nothing(world: World) -> None:
    world.router(), world.direct("d1"), world.plain("p")
    world.produce("prod", "d1")
    world.consume("c1", "d1"), world.consume("c2", "p")
    world.news()
    world.ask(m.WorkerCloseRouter(router_id="r"))
    world.assert_empty()
    assert world.news() == []
    with pytest.raises(NotFoundError):
        world.ask(m.RouterDump(), "r")


def test_closing_a_transport_tells_consumers_elsewhere(world: World) -> None:
    world.router(), world.direct("d1"), world.direct("d2")
    world.produce("prod", "d1")
    world.consume("c1", "d1"), world.consume("c2", "d2")
    world.ask(m.RouterCloseTransport(transport_id="d1"), "r")
    assert world.said == [("c2", m.ConsumerProducerClose())]
    assert world.engine.handles("send") == []
    with pytest.raises(NotFoundError):
        world.ask(m.ConsumerDump(), "c2")
    dump = world.ask(m.TransportDump(), "d2")
    assert dump.base.consumer_ids == [] and dump.base.map_ssrc_consumer_id == []
