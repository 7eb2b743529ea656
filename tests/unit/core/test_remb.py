"""The loss-based estimate and the limits announced by REMB."""

import pytest

from sfu_core._remb import Estimate

OFF, ESTIMATE, LIMIT = range(3)
SECOND = 1_000_000_000


class Publisher:
    """Sends at `bps` for a second at a time and reads what it may send."""

    def __init__(self) -> None:
        self.estimate = Estimate(ESTIMATE)
        self.now_ns = SECOND
        assert self.estimate.take(self.now_ns) is None

    def second(self, bps: int, loss: float = 0.0) -> int | None:
        for _ in range(bps // 10000):
            self.estimate.on_packet(1250)
        self.estimate.on_loss(1000, round(1000 * loss))
        assert self.estimate.take(self.now_ns + SECOND - 1) is None
        self.now_ns += SECOND
        return self.estimate.take(self.now_ns)


def test_starts_at_what_came() -> None:
    assert Publisher().second(1_000_000) == 1_500_000
    assert Publisher().second(100_000) == 300_000


def test_grows_only_as_far_as_it_is_used() -> None:
    publisher = Publisher()
    assert publisher.second(1_000_000) == 1_500_000
    assert publisher.second(1_000_000) == 1_500_000
    assert publisher.second(1_500_000) == 2_250_000


def test_a_quiet_sender_keeps_its_estimate() -> None:
    publisher = Publisher()
    publisher.second(2_000_000)
    assert publisher.second(50_000) == 3_000_000
    assert publisher.second(0) is None, "nothing to tell a silent one"


def test_loss_lowers_and_recovery_is_slow() -> None:
    publisher = Publisher()
    publisher.second(2_000_000)
    assert publisher.second(2_000_000, 0.2) == 2_700_000
    assert publisher.second(2_000_000, 0.05) == 2_700_000
    assert publisher.second(2_000_000) == 2_916_000
    assert publisher.second(2_000_000) == 3_000_000, "1.5 times what came"


def test_never_below_the_floor() -> None:
    publisher = Publisher()
    for _ in range(20):
        bitrate = publisher.second(100_000, 1.0)
    assert bitrate == 30_000


def test_waits_for_a_report_of_losses() -> None:
    estimate = Estimate(ESTIMATE)
    estimate.take(SECOND)
    estimate.on_packet(125_000)
    assert estimate.take(SECOND * 11 // 4) is None
    estimate.on_loss(100, 50)
    assert estimate.take(SECOND * 11 // 4) == 225_000
    estimate.on_packet(125_000)
    assert estimate.take(SECOND * 19 // 4 - 1) is None
    assert estimate.take(SECOND * 19 // 4) is not None, "but not for ever"


def test_limit_caps_the_estimate() -> None:
    publisher = Publisher()
    publisher.estimate.set_limit(700_000)
    assert publisher.second(1_000_000) == 700_000
    publisher.estimate.set_limit(0)
    assert publisher.second(1_000_000) == 1_500_000


def test_limits_for_a_sender_with_transport_cc() -> None:
    limit = Estimate(LIMIT)
    limit.on_packet(100)
    assert limit.take(SECOND) is None, "no limit"
    limit.set_limit(500_000)
    assert limit.take(SECOND) == 500_000
    limit.on_packet(100)
    assert limit.take(SECOND * 5 // 2 - 1) is None, "at most every 1.5 s"
    assert limit.take(SECOND * 5 // 2) == 500_000
    assert limit.take(5 * SECOND) is None, "only when something arrives"
    limit.on_packet(100)
    assert limit.take(5 * SECOND) == 500_000


def test_four_zeros_end_a_limit() -> None:
    limit = Estimate(LIMIT)
    limit.set_limit(500_000)
    limit.on_packet(100)
    assert limit.take(SECOND) == 500_000
    limit.set_limit(0)
    told = []
    for n in range(8):
        limit.on_packet(100)
        told.append(limit.take(SECOND + 1 + n * SECOND * 3 // 2))
    assert told == [0, 0, 0, 0, None, None, None, None]


def test_a_new_limit_cancels_the_zeros() -> None:
    limit = Estimate(LIMIT)
    limit.set_limit(500_000)
    limit.set_limit(0)
    limit.set_limit(400_000)
    limit.on_packet(100)
    assert limit.take(SECOND) == 400_000


@pytest.mark.parametrize("mode", [OFF])
def test_off(mode: int) -> None:
    off = Estimate(mode)
    off.set_limit(500_000)
    off.on_packet(100)
    assert off.take(SECOND) is None and off.take(5 * SECOND) is None
