"""Drives a NACK list and its plain model with the same steps, one for each three bytes.

Only missing packets may be asked for, each at most ten times, and never before its time.
"""

from sfu_core._nack import Missing
from tests.models.numbers import Wanted

NEEDS_KEY_FRAME = 8
MS = 1_000_000
SEEDS = [bytes(range(90)), b"\x02\x01\x05" * 40, b"\xc0\xff\x00" * 30, b"\x42\x10\x20\x80\x00\x40" * 20]


def fuzz_one(data: bytes) -> None:
    missing, model = Missing(), Wanted()
    now_ns = 0
    for action, step, elapsed in zip(data[:900:3], data[1:900:3], data[2:900:3], strict=False):
        now_ns += (elapsed & 63) * MS
        size = (1, 1, 8, 50)[action & 3]
        back = step % 40 if action & 4 else -(step % 30) - 1
        number = max(65536, (model.highest or 70_000) - back * size)
        verdict = missing.on_packet(number, bool(action & 0x30 == 0x30), bool(action & 0x40 and model.highest), now_ns)
        assert bool(verdict & NEEDS_KEY_FRAME) == model.on_packet(number, bool(action & 0x30 == 0x30), now_ns)
        assert missing.missing == sorted(model.missing)
        if action & 0x80 and missing.deadline <= now_ns:
            rtt_ns = (elapsed >> 6) * 90 * MS
            assert missing.due(now_ns, rtt_ns) == [n % 65536 for n in model.due(now_ns, rtt_ns)]
        if action == 0xFF:
            missing.reset()
            model = Wanted()
