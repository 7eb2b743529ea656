"""Scores: one interval's quality, the weighted mean, and when a change is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_core._stream import Quality, Receiver, Sender, quality_sample

NO_BLOCK = dict.fromkeys(["ssrc", "highest_seq", "jitter", "lsr", "dlsr", "lost", "fraction_lost"], 0)


def expected_sample(total: int, lost: int, repaired: int, retransmitted: int) -> int:
    """The formula written down directly: delivered = (total - lost') / total, sample = round(10 * delivered ** 4)."""
    lost = min(lost, total)
    surplus = max(0, repaired - lost)
    repaired, retransmitted = repaired - surplus, max(0, retransmitted - surplus)
    weight = (1 / (1 + repaired / total)) ** 4 * repaired / max(retransmitted, repaired) if repaired else 0.0
    return int(10 * ((total - (lost - repaired * weight)) / total) ** 4 + 0.5)


@pytest.mark.parametrize(
    "interval, sample",
    [
        ((100, 0, 0, 0), 10),
        ((100, 1, 0, 0), 10),
        ((100, 2, 0, 0), 9),
        ((100, 10, 0, 0), 7),
        ((100, 50, 0, 0), 1),
        ((100, 100, 0, 0), 0),
        ((100, 900, 0, 0), 0),
        ((0, 5, 0, 0), 0),
        ((100, 10, 10, 10), 9),
        ((100, 10, 10, 50), 7),
        ((100, 0, 10, 10), 10),
    ],
)
def test_sample_of_an_interval(interval: tuple[int, int, int, int], sample: int) -> None:
    assert quality_sample(*interval) == sample


@given(st.integers(1, 5000), st.integers(0, 6000), st.integers(0, 5000), st.integers(0, 9000))
def test_sample_follows_the_formula(total: int, lost: int, repaired: int, retransmitted: int) -> None:
    sample = quality_sample(total, lost, repaired, retransmitted)
    assert abs(sample - expected_sample(total, lost, repaired, retransmitted)) <= 0
    assert 0 <= sample <= 10


@given(st.lists(st.integers(0, 10), min_size=1, max_size=60))
def test_weighted_mean_of_the_last_24(samples: list[int]) -> None:
    quality = Quality()
    value = 10
    for n, sample in enumerate(samples):
        changed = quality.add(sample)
        last = samples[max(0, n - 23) : n + 1]
        mean = sum(w * s for w, s in enumerate(last, 1)) / sum(range(1, len(last) + 1))
        assert quality.value == int(mean + 0.5)
        assert changed == (quality.value != value)
        value = quality.value


def test_set_forgets_the_samples() -> None:
    quality = Quality()
    assert not quality.set(10)
    quality.add(0), quality.add(10)
    assert quality.set(0) and not quality.set(0)
    assert quality.add(10) and quality.value == 10, "not held down by what was before"


def test_receiver_scores_its_interval() -> None:
    receiver = Receiver(90000)
    assert not receiver.update_score(), "nothing expected is no fault"
    for n in range(0, 100, 2):
        receiver.on_packet(n)
    assert receiver.update_score()
    # 99 expected, 50 came, 49 lost: nothing of it was delivered twice, so (1/50) ** 4, and 10 before: (10 + 2*0) / 3
    assert receiver.stats()["score"] == 3
    assert receiver.update_score(), "a quiet interval is a good one"
    assert receiver.stats()["score"] == 7


def test_repairs_raise_the_score() -> None:
    plain, repaired = Receiver(90000), Receiver(90000)
    for receiver in (plain, repaired):
        for n in range(100):
            if n % 10 != 5:
                receiver.on_packet(n)
    for n in range(5, 100, 10):
        repaired.on_repair(n)
    plain.update_score(), repaired.update_score()
    assert plain.stats()["score"] == 6 and repaired.stats()["score"] == 9


def test_sender_scores_by_the_receivers_reports() -> None:
    sender = Sender(90000)

    def interval(packets: int, cumulative: int) -> bool:
        for _ in range(packets):
            sender.on_packet(0, 100, 80, 0, 0)
        return sender.on_report(NO_BLOCK | {"lost": cumulative})

    assert not interval(100, 0)
    assert interval(100, 100) and sender.stats()["score"] == 3
    assert interval(100, 50), "late packets came after all: no loss in this interval"
    assert sender.stats()["score"] == 7
    assert interval(0, 90) and sender.stats()["score"] == 8, "nothing sent, nothing to blame"
