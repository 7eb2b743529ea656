"""Packets are lost, late, twice or in another order: every frame arrives in the end, under one number each."""

import pytest

from tests.media.call import Call
from tests.network.relay import Impairment

FIRST_SEQS = [0, 1, 127, 32767, 32768, 65534, 65535]


def check(call: Call, seconds: float) -> None:
    """All frames but those of the last moments are there, complete, in order, and no number is missing for ever.

    The very first packet is excused: who never got it does not know that it was.
    """
    call.simulation.run(2)  # time for the last repairs
    expected = set(range(1, round(seconds * 30) - 1))
    assert expected <= set(call.subscriber.complete)
    call.subscriber.check_numbers()
    assert all(number > call.subscriber.highest - 60 for number in call.subscriber.missing)


@pytest.mark.parametrize("first_seq", FIRST_SEQS)
def test_nothing_goes_wrong(first_seq: int) -> None:
    call = Call(first_seq=first_seq)
    call.run(5)
    check(call, 5)
    assert call.publisher.nacks == [] and call.subscriber.repaired == 0
    assert call.forwarder.receiver.stats()["lost"] == 0 and call.forwarder.receiver.stats()["score"] == 10
    numbers = sorted(call.subscriber.packets)
    assert numbers == list(range(65536 + 32700, 65536 + 32700 + call.publisher.packets))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rtx", [True, False], ids=["rtx", "verbatim"])
def test_five_percent_are_lost_each_way(seed: int, rtx: bool) -> None:
    bad = Impairment(loss=0.05, delay_ms=20, jitter_ms=5)
    call = Call(up=bad, down=bad, seed=seed, first_seq=FIRST_SEQS[seed], rtx=rtx)
    call.run(10)
    check(call, 10)
    stats = call.forwarder.receiver.stats()
    assert call.up.stats.lost > 20 and call.down.stats.lost > 20
    assert stats["repaired"] > 15 and len(call.publisher.nacks) < 3 * call.up.stats.lost
    assert call.forwarder.sender.stats()["repaired"] > 15
    assert (call.subscriber.repaired > 15) == rtx


def test_loss_is_reported_as_it_was() -> None:
    call = Call(up=Impairment(loss=0.05, delay_ms=20), back=Impairment(delay_ms=20), seed=3)
    call.run(20)
    call.publisher.active = False
    call.simulation.run(1)
    lost = sum(seq not in call.forwarder_received() for seq in call.publisher.sent)
    stats = call.forwarder.receiver.stats()
    assert abs(stats["lost"] - lost) <= 1, "the last packet of all may be among them"
    assert lost * 0.95 <= stats["repaired"] <= lost
    total = sum(report["fraction_lost"] / 256 for report in call.publisher.reports) / len(call.publisher.reports)
    assert total == pytest.approx(0.05, abs=0.015)


def test_reordering_is_no_loss() -> None:
    """Overtaken by 5 ms, less than the 10 ms that a missing packet is given."""
    call = Call(up=Impairment(reorder=0.2, reorder_ms=5, delay_ms=10), seed=5)
    call.run(10)
    check(call, 10)
    assert call.up.stats.held_back > 100
    assert call.publisher.nacks == [] and call.forwarder.receiver.stats()["lost"] <= 0
    assert call.forwarder.receiver.stats()["misordered"] > 50


def test_long_reordering_asks_in_vain_and_does_no_harm() -> None:
    call = Call(up=Impairment(reorder=0.1, reorder_ms=80, delay_ms=10), seed=6)
    call.run(10)
    check(call, 10)
    assert len(call.publisher.nacks) > 20
    assert call.forwarder.receiver.stats()["duplicates"] > 10, "the repair came first, then the packet"


def test_everything_comes_twice() -> None:
    twice = Impairment(duplicate=1.0, loss=0.02, delay_ms=5)
    call = Call(up=twice, down=twice, seed=7)
    call.run(10)
    check(call, 10)
    assert call.forwarder.receiver.stats()["duplicates"] > 500
    forwarded = [out for _, out in call.forwarder.history]
    assert len(set(forwarded)) == len(forwarded) >= len(call.subscriber.packets), "each once"


def test_a_receiver_that_asks_too_often_is_answered_once_per_round_trip() -> None:
    call = Call(down=Impairment(delay_ms=5))
    call.run(1)
    seq = call.subscriber.highest % 65536
    for _ in range(50):
        call.forwarder._repeat(seq)
        call.simulation.run(0.001)
    assert call.forwarder.sender.stats()["repeats"] == 1
    call.simulation.run(0.06)
    call.forwarder._repeat((seq - 3000) % 65536)
    assert call.forwarder.sender.stats()["repeats"] == 1, "never sent"
    call.forwarder._repeat(seq)
    assert call.forwarder.sender.stats()["repeats"] == 2 and call.forwarder.sender.stats()["repaired"] == 1
