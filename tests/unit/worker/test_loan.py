"""Loans: consumers of another router's producer, on the same streams, with a pause of their own."""

from typing import Any

import pytest

from sfu_core.channel import messages as m
from sfu_core.errors import NotFoundError, SfuError
from sfu_core.worker.events import EngineEvent

from .conftest import World


@pytest.fixture(autouse=True)
def rooms(world: World) -> None:
    for router in ("r", "other"):
        world.router(router)
        world.direct(f"in {router}", router)
    world.produce(transport="in r")
    world.news()


def borrow(world: World, id: str = "loan", **changes: Any) -> None:
    request = {"loan_id": id, "producer_id": "prod", "mapped_ssrcs": [777]} | changes
    world.ask(m.RouterBorrowProducer(**request), "other")


def consume(world: World, id: str = "cons", **changes: Any) -> m.TransportConsumeResponse:
    numbers = [m.RtpEncodingParameters(ssrc=777)]
    return world.consume(
        id, "in other", **{"producer_id": "loan", "consumable_rtp_encodings": numbers} | changes
    )


def paused(world: World) -> list[bool]:
    return [stream["paused"] for stream in world.engine.live["send"].values()]


def test_it_takes_the_streams_of_the_original(world: World) -> None:
    borrow(world)
    reply = consume(world)
    assert not reply.producer_paused
    (stream,) = world.engine.live["send"].values()
    assert [stream["recv"]] == world.engine.handles("recv")
    base = world.ask(m.ConsumerDump(), "cons").data.base
    assert base.producer_id == "loan" and base.consumable_rtp_encodings[0].ssrc == 777
    assert world.ask(m.RouterDump(), "r").map_consumer_id_producer_id == []
    assert len(world.engine.live["producer"]) == 1


def test_without_a_loan_there_is_nothing_to_consume(world: World) -> None:
    with pytest.raises(NotFoundError):
        consume(world, producer_id="prod")


def test_scores_reach_its_consumers(world: World) -> None:
    borrow(world)
    consume(world)
    (stream,) = world.engine.handles("recv")
    world.emit(EngineEvent.NEW_STREAM, stream, 1111)
    world.emit(EngineEvent.RECV_SCORE, stream, 4)
    told = [each for each in world.news("cons") if isinstance(each, m.ConsumerScore)]
    assert told[-1].score == m.ConsumerScores(score=10, producer_score=4, producer_scores=[4])


def test_its_pause_is_its_own(world: World) -> None:
    borrow(world)
    consume(world)
    world.ask(m.ProducerPause(), "loan")
    assert paused(world) == [True] and world.news("cons") == [m.ConsumerProducerPause()]
    assert not world.ask(m.ProducerDump(), "prod").paused
    assert consume(world, "late", encodings=[m.RtpEncodingParameters(ssrc=6000)]).producer_paused
    assert paused(world) == [True, True]
    world.ask(m.ConsumerPause(), "cons")
    world.ask(m.ProducerResume(), "loan")
    assert paused(world) == [True, False]
    assert world.news("cons") == [m.ConsumerProducerResume()]
    world.ask(m.ConsumerResume(), "cons")
    assert paused(world) == [False, False]
    world.ask(m.ProducerPause(), "prod")  # the engine sees to that
    assert paused(world) == [False, False] and world.news("cons") == []


def test_it_may_begin_paused(world: World) -> None:
    borrow(world, paused=True)
    assert consume(world).producer_paused and paused(world) == [True]


ENDS = {
    "it is given back": (m.RouterReturnProducer(loan_id="loan"), "other"),
    "the producer closes": (m.TransportCloseProducer(producer_id="prod"), "in r"),
    "its transport closes": (m.RouterCloseTransport(transport_id="in r"), "r"),
    "its router closes": (m.WorkerCloseRouter(router_id="r"), ""),
}


@pytest.mark.parametrize("end", ENDS)
def test_its_consumers_hear_of_the_end(world: World, end: str) -> None:
    borrow(world)
    consume(world)
    world.ask(*ENDS[end])
    assert world.news() == [m.ConsumerProducerClose()]
    assert world.engine.live["send"] == {} and world.worker.routers["other"].loans == {}
    with pytest.raises(NotFoundError):
        world.ask(m.RouterReturnProducer(loan_id="loan"), "other")


def test_the_borrowing_router_closes(world: World) -> None:
    borrow(world)
    consume(world)
    world.ask(m.WorkerCloseRouter(router_id="other"))
    assert world.news() == [] and world.engine.live["send"] == {}
    assert world.worker.routers["r"].producers["prod"].loans == {}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"producer_id": "nobody"}, NotFoundError),
        ({"producer_id": "in r"}, NotFoundError),
        ({"mapped_ssrcs": [1, 2]}, SfuError),
        ({"id": "prod"}, SfuError),
    ],
)
def test_what_cannot_be_borrowed(world: World, changes: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        borrow(world, **changes)
    assert world.worker.routers["other"].loans == {}
