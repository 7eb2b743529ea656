"""Drives a munger and its plain model with the same steps, one for each two bytes.

No two incoming packets may share an outgoing number, and late ones keep the order.
"""

from sfu_core._munge import Numbers
from tests.models.numbers import OK, Munged

SEEDS = [bytes(range(64)), b"\x00\x01" * 40, b"\x01\x01\x00\x01" * 30, b"\x03\xff\x00\x03\x01\x02" * 20]


def fuzz_one(data: bytes) -> None:
    numbers, model = Numbers(90000, 1000), Munged(1000)
    highest, run = 100_000, 0
    given_out: dict[int, tuple[int, int]] = {}
    for action, step in zip(data[:800:2], data[1:800:2], strict=False):
        size = 1 if action & 0x0C else 23              # small steps mostly
        incoming = highest + (step - 100 if action & 0x10 else step % 4 + 1) * size
        match action & 3:
            case 3 if action & 0xE0 == 0xE0:
                numbers.sync(incoming)
                model.sync(incoming)
                highest, run = incoming - 1, run + 1
            case 2:
                numbers.drop(incoming)
                model.drop(incoming)
                highest = max(highest, incoming)
            case _:
                verdict, out, _ = numbers.packet(incoming)
                assert (verdict, out if verdict == OK else 0) == model.packet(incoming)
                highest = max(highest, incoming)
                if verdict == OK:
                    assert given_out.setdefault(out, (run, incoming)) == (run, incoming), "two packets, one number"
    assert [given_out[out] for out in sorted(given_out)] == sorted(given_out.values())
