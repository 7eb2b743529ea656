"""Any order of creating and closing leaves a consistent tree, and in the end nothing.

The fake engine refuses a parent that is closed before its child; `world` asserts emptiness at its end.
"""

import random
from collections.abc import Callable
from contextlib import suppress

import pytest

from sfu_core.channel import messages as m
from sfu_core.errors import SfuError
from sfu_core.worker.producer import Producer
from sfu_core.worker.transport import Transport

from .conftest import World, listen_info
from .test_webrtc_transport import on_server, server

STEPS = 120
ROUTERS = ("r", "r2")


class Play:
    """Random requests, most of them sensible; ids are few, so that clashes and stale ids are common."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.ssrc = 0

    def id(self, prefix: str) -> str:
        return f"{prefix}{self.random.randrange(5)}"

    def step(self) -> None:
        steps: list[Callable[[], object]] = [
            lambda: self.world.router(self.random.choice(ROUTERS)),
            lambda: self.world.ask(m.WorkerCloseRouter(router_id=self.random.choice(ROUTERS))),
            lambda: server(self.world, listen_info(), id="s"),
            lambda: self.world.ask(m.WorkerWebRtcServerClose(web_rtc_server_id="s")),
            *[lambda: self.world.direct(self.id("d"), self.random.choice(ROUTERS))] * 4,
            *[lambda: self.world.plain(self.id("d"), self.random.choice(ROUTERS))] * 2,
            lambda: on_server(self.world),
            *[self.close_transport] * 2,
            *[self.produce] * 8,
            *[self.consume] * 12,
            *[lambda: self.world.ask(m.ProducerPause(), self.id("p"))] * 2,
            *[lambda: self.world.ask(m.ProducerResume(), self.id("p"))] * 2,
            lambda: self.world.ask(m.TransportCloseProducer(producer_id=self.id("p")), self.id("d")),
            lambda: self.world.ask(m.TransportCloseConsumer(consumer_id=self.id("c")), self.id("d")),
        ]
        with suppress(SfuError):  # unknown and used ids are part of the play
            self.random.choice(steps)()
        self.check()

    def close_transport(self) -> None:
        self.world.ask(m.RouterCloseTransport(transport_id=self.id("d")), self.random.choice(ROUTERS))

    def produce(self) -> None:
        self.ssrc += 1
        mid, encoding = str(self.ssrc), m.RtpEncodingParameters(ssrc=self.ssrc)
        self.world.produce(self.id("p"), self.id("d"), mid=mid, encodings=[encoding])

    def consume(self) -> None:
        self.ssrc += 1
        encoding = m.RtpEncodingParameters(ssrc=self.ssrc)
        self.world.consume(self.id("c"), self.id("d"), producer_id=self.id("p"), encodings=[encoding])

    def check(self) -> None:
        """The tables of tree and engine say the same."""
        world, live = self.world, self.world.engine.live
        objects = [target for _, target in world.context.registry.items()]
        transports = [each for each in objects if isinstance(each, Transport)]
        producers = [each for each in objects if isinstance(each, Producer)]
        consumers = [c for transport in transports for c in transport.consumers.values()]
        assert {each.handle for each in transports} == set(live["transport"])
        assert {each.handle for each in producers} == set(live["producer"])
        assert {s.handle for c in consumers for s in c.streams} == set(live["send"])
        assert {c.id for p in producers for c in p.consumers.values()} == {c.id for c in consumers}
        assert all(c.producer_paused == c.producer.paused for c in consumers)
        for router in world.worker.routers.values():
            dump = router.dump()
            assert dump.transport_ids == [t.id for t in transports if t.router is router]
            assert {e.key for e in dump.map_consumer_id_producer_id} == {
                c.id for c in consumers if c.transport.router is router
            }


@pytest.mark.parametrize("seed", range(25))
def test_any_order(world: World, seed: int) -> None:
    play = Play(world, seed)
    for _ in range(STEPS):
        play.step()
    world.worker.close()
    world.assert_empty()


def test_the_play_reaches_what_it_should(world: World) -> None:
    """Consumers that lose their producer, and pauses seen by consumers: else the test above shows nothing."""
    for seed in range(25):
        play = Play(world, seed)
        for _ in range(STEPS):
            play.step()
    told = {type(message) for message in world.news()}
    assert {m.ConsumerProducerClose, m.ConsumerProducerPause, m.ConsumerProducerResume} <= told
