"""Pauses, outages, dropped layers and sources that begin anew: the receiver sees one unbroken stream."""

import pytest

from tests.media.call import Call
from tests.media.endpoints import CLOCK
from tests.media.simulation import SECOND
from tests.network.relay import Impairment

BAD = Impairment(loss=0.03, delay_ms=15, jitter_ms=5)


@pytest.mark.parametrize("impairment", [Impairment(), BAD], ids=["perfect", "bad"])
def test_pause_and_resume(impairment: Impairment) -> None:
    call = Call(up=impairment, down=impairment, seed=11)
    call.run(3)
    call.forwarder.pause()
    call.simulation.run(0.5)  # what was lost before the pause cannot be repeated in it
    call.subscriber.asks = False
    before, frames = call.subscriber.highest, len(call.subscriber.complete)
    call.simulation.run(4)
    assert call.subscriber.highest == before
    call.subscriber.asks = True
    call.forwarder.resume()
    call.simulation.run(5)
    assert len(call.subscriber.complete) > frames + 120
    assert call.subscriber.keys[-1] > 3 * 30 and len(call.subscriber.keys) >= 2, "it starts with a key frame"
    call.subscriber.check_numbers()
    resumed = min(number for number in call.subscriber.packets if number > before)
    assert resumed <= before + 3, "the pause left no gap"
    gap = call.subscriber.timestamps[resumed] - call.subscriber.timestamps[before]
    waited_ns = call.subscriber.arrivals[resumed] - call.subscriber.arrivals[before]
    assert gap % 2**32 / CLOCK == pytest.approx(waited_ns / SECOND, abs=0.1), "timestamps go on with the time"


@pytest.mark.parametrize("impairment", [Impairment(), BAD], ids=["perfect", "bad"])
def test_every_other_frame_is_dropped(impairment: Impairment) -> None:
    """As when a temporal layer is left out: no gaps, and late packets of what is kept still find their place."""
    call = Call(up=impairment, down=impairment, seed=12, wants=lambda piece: piece.is_key or piece.frame % 2 == 0)
    call.run(10)
    call.simulation.run(2)
    assert {frame for frame in range(0, 290, 2)} <= set(call.subscriber.complete)
    call.subscriber.check_numbers()
    kept = len(call.subscriber.packets)
    span = call.subscriber.highest - call.subscriber.first + 1
    # A packet of a dropped frame that came late, after its successors, is the one gap that cannot be closed.
    late = call.forwarder.receiver.stats()["misordered"] + call.forwarder.receiver.stats()["repaired"]
    assert span - kept <= late + 10


def test_an_outage_on_the_way_up() -> None:
    """Two seconds of nothing: too much to ask for again, so a key frame is asked for, and the stream goes on."""
    call = Call(up=Impairment(delay_ms=10), seed=13)
    call.run(3)
    call.up.cut = True
    call.simulation.run(14)
    call.up.cut = False
    before = len(call.subscriber.complete)
    call.simulation.run(5)
    assert call.forwarder.key_frame_asked >= 1 and call.publisher.plis >= 1
    assert len(call.subscriber.complete) > before + 140
    assert call.forwarder.receiver.stats()["lost"] > 1000
    call.subscriber.check_numbers()


def test_a_short_outage_is_repaired() -> None:
    call = Call(up=Impairment(delay_ms=10), down=Impairment(delay_ms=10), seed=14)
    call.run(3)
    call.up.cut = True
    call.simulation.run(0.4)
    call.up.cut = False
    call.simulation.run(5)
    assert set(range(200)) <= set(call.subscriber.complete)
    assert call.forwarder.key_frame_asked == 0 and call.forwarder.receiver.stats()["repaired"] > 10


def test_the_publisher_begins_anew() -> None:
    """Other numbers and timestamps on the same SSRC: the third packet tells, the receiver notices nothing."""
    call = Call(seed=15, first_seq=1000)
    call.run(3)
    before = call.subscriber.highest
    newest = call.subscriber.timestamps[before]
    call.publisher._next = 40000
    call.publisher._ts_offset = 12345
    call.simulation.run(1)
    assert call.forwarder.receiver.stats()["discarded"] == 1
    call.forwarder.request_key_frame()
    call.simulation.run(3)
    call.subscriber.check_numbers()
    assert call.subscriber.missing == []
    resumed = call.subscriber.timestamps[before + 1]
    assert 0 < (resumed - newest) % 2**32 < 7 * CLOCK, "timestamps go on with the time"
