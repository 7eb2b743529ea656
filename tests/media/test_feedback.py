"""What publisher and subscriber are told: arrivals, clocks, scores."""

from itertools import pairwise

import pytest

from tests.media.call import Call
from tests.media.endpoints import CLOCK, FRAME_NS
from tests.media.simulation import MS, SECOND
from tests.network.relay import Impairment


@pytest.mark.parametrize("seed", range(3))
def test_transport_cc_tells_the_truth(seed: int) -> None:
    """Through loss, jitter and reordering; feedback itself arrives."""
    bad = Impairment(loss=0.05, delay_ms=30, jitter_ms=20, reorder=0.05, reorder_ms=40)
    call = Call(up=bad, back=Impairment(delay_ms=10), seed=seed)
    arrived: dict[int, int] = {}
    on_packet = call.forwarder.arrivals

    class Spy:
        def __getattr__(self, name: str) -> object:
            return getattr(on_packet, name)

        def on_packet(self, seq: int, now_ns: int) -> None:
            newest = len(call.publisher.sent_twcc)
            arrived.setdefault(newest - (newest - seq) % 65536, now_ns)
            on_packet.on_packet(seq, now_ns)

    call.forwarder.arrivals = Spy()  # type: ignore[assignment]
    call.run(10)
    call.simulation.run(0.5)
    heard, settled = call.publisher.heard_twcc, max(arrived) - 30
    assert len(arrived) > 500 and call.up.stats.lost > 20
    for number in range(settled):
        assert (number in heard) == (number in arrived), f"packet {number}"
        if number in arrived:
            assert heard[number] % 2**32 == arrived[number] // (250 * 1000) % 2**32
    # A publisher that hears of losses at once: what was told lost and came after all was corrected.
    assert {n for n in call.publisher.lost_twcc if n < settled} == set(range(settled)) - arrived.keys()


def test_transport_cc_is_told_every_hundred_milliseconds() -> None:
    call = Call()
    times: list[int] = []
    receive = call.publisher._hear
    call.publisher._hear = lambda feedback: (times.append(call.simulation.now_ns), receive(feedback))  # type: ignore
    call.run(5)
    gaps = [b - a for a, b in pairwise(times)]
    assert len(gaps) > 30 and all(100 * MS <= gap <= 100 * MS + 2 * FRAME_NS for gap in gaps)


def test_sender_reports_keep_the_publishers_timing() -> None:
    """Despite 20..40 ms on the way each report tells, to a few milliseconds, what is captured at its time."""
    call = Call(up=Impairment(delay_ms=20, jitter_ms=20), seed=2)
    call.run(15)
    reports = call.subscriber.sender_reports
    assert len(reports) >= 14
    errors = []
    for report in reports[2:]:
        now_ns = report["ntp"] * SECOND // 2**32
        # The clock offset includes the shortest delay, 20 ms and something: then the timestamp was captured.
        error = (call.publisher.ts_at(now_ns) - report["rtp_timestamp"]) % 2**32 / CLOCK * 1000
        errors.append(error)
    assert all(20 <= error <= 25 for error in errors)
    assert max(errors) - min(errors) < 4, "steady, so that audio and video stay together"


def test_the_score_falls_with_loss_and_recovers() -> None:
    call = Call(seed=4)
    call.run(3)
    assert set(call.forwarder.scores) == {10}
    call.down.impair(Impairment(loss=0.3))
    call.subscriber.asks = False
    call.simulation.run(15)
    worst = min(call.forwarder.scores)
    assert 1 <= worst <= 5
    call.down.impair(Impairment())
    call.simulation.run(40)
    assert call.forwarder.scores[-1] == 10
