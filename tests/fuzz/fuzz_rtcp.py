"""The RTCP readers; what they read is written again and must read the same."""

from __future__ import annotations

from typing import Any

from sfu_core import _rtcp
from sfu_core._rtcp_write import Writer
from tests.models import recordings


def written() -> bytes:
    """One compound with a packet of every kind we write."""
    writer = Writer(1200)
    block = {"ssrc": 1, "highest_seq": 2, "jitter": 3, "lsr": 4, "dlsr": 5, "lost": 6, "fraction_lost": 7}
    writer.sr(1, {"ntp": 1, "rtp_timestamp": 2, "packets": 3, "octets": 4}, [block] * 2)
    writer.sdes(1, b"cname")
    writer.rrtr(1, 2)
    writer.dlrr(1, [(1, 2, 3), (4, 5, 6)])
    writer.nack(1, 2, [1, 5, 90])
    writer.fir(1, 2, [(3, 4)])
    writer.remb(1, 500_000, [1, 2, 3])
    writer.twcc(1, 2, 3, 65530, [1000, 1001, -1, 9000, *[-1] * 40, *range(9000, 9030), 8000])
    writer.bye(1)
    return writer.data()


SEEDS = [written()]
for name in ("consumer-vp8-remb", "consumer-vp8-twcc", "vp8-remb-fir"):
    SEEDS += recordings.rtcp(name)[::12]


def fuzz_one(data: bytes) -> None:
    packets, malformed = _rtcp.parse(data)
    assert malformed or sum(packet["len"] + 4 for packet in packets) <= len(data)
    for packet in packets:
        write_again(packet)


def write_again(packet: dict[str, Any]) -> None:
    writer = Writer(8192)
    if packet.get("reports") and len(packet["reports"]) <= 31:
        assert writer.rr(packet["ssrc"], packet["reports"])
        assert _rtcp.parse(writer.data())[0][0]["reports"] == packet["reports"]
    elif packet.get("nack"):
        asked = sorted(set(packet["nack"]))
        assert writer.nack(1, 2, asked) == len(asked)
        assert _rtcp.parse(writer.data())[0][0]["nack"] == asked
    elif "remb" in packet:
        assert writer.remb(1, packet["remb"], packet["ssrcs"])
        again = _rtcp.parse(writer.data())[0][0]
        assert again["ssrcs"] == packet["ssrcs"]
        assert packet["remb"] == 2**64 - 1 or again["remb"] == packet["remb"]
    elif "twcc" in packet:
        write_twcc(writer, packet["twcc"])


def write_twcc(writer: Writer, feedback: dict[str, Any]) -> None:
    """Arrivals as a reader works them out; the builder takes as many as it can and those read back."""
    time = (1 << 40) + feedback["reference_time"] * 256
    arrivals = []
    for _, received, delta in feedback["statuses"]:
        time += delta
        arrivals.append(time if received else -1)
    taken = writer.twcc(1, 2, 3, feedback["base_seq"], arrivals)
    if all(at < 0 for at in arrivals[:2048]):
        assert taken == 0
        return
    assert 0 < taken <= 2048
    again = _rtcp.parse(writer.data())[0][0]["twcc"]
    time = (1 << 40) // 256 & ~0xFFFFFF | again["reference_time"]
    time *= 256
    for (_, received, delta), arrival in zip(again["statuses"], arrivals, strict=False):
        time += delta
        assert received == (arrival >= 0)
        assert not received or (time - arrival) % (1 << 32) == 0
    assert len(again["statuses"]) == taken
