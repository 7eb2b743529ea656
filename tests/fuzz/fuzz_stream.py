"""Drives a received stream and the RFC 3550 model with the same packets, and the recorder of arrivals along with it."""

from sfu_core._stream import Receiver
from sfu_core._twcc import Arrivals
from tests.models.streams import Rfc3550

VERDICTS = ("new", "late", "duplicate", "discard", "resync")
MS = 1_000_000
SEEDS = [bytes(range(80)), b"\x00\x01\x00\x05" * 40, b"\x0b\xb8\x00\x05\x00\x01\x00\x05" * 20, b"\xfa\x24\xff\xff" * 20]


def fuzz_one(data: bytes) -> None:
    receiver, model, arrivals = Receiver(90000), Rfc3550(90000), Arrivals()
    seq, now_ns, ts = len(data) * 977 % 65536, 10**15, 0
    for at in range(0, min(len(data), 1600) - 3, 4):
        step = int.from_bytes(data[at : at + 2], "big")
        seq = (seq + (step if data[at] & 0x80 else step % 8)) % 65536
        now_ns += data[at + 2] * MS // 4
        ts = (ts + data[at + 3] * 300) % 2**32
        assert VERDICTS[receiver.on_packet(seq, ts, now_ns)[0]] == model.on_packet(seq, ts, now_ns)
        arrivals.on_packet(seq, now_ns)
        if data[at + 3] & 31 == 31:
            block = receiver.report(now_ns)
            assert block is not None and block.items() >= model.report().items()
        while arrivals.deadline <= now_ns:
            _, statuses = arrivals.pending(300)
            assert 0 < len(statuses) <= 300 and statuses[-1] >= 0 and all(status >= -1 for status in statuses)
            arrivals.on_feedback(len(statuses), now_ns)
