"""Writing RTCP: everything reads back, nothing is written that does not fit, and others can read it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from aiortc.rtp import (
    RtcpByePacket,
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSdesPacket,
    RtcpSrPacket,
    unpack_remb_fci,
)
from hypothesis import given
from hypothesis import strategies as st

from sfu_core import _rtcp
from sfu_core._rtcp_write import Writer

u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
u64 = st.integers(0, 0xFFFFFFFFFFFFFFFF)
sender_infos = st.fixed_dictionaries({"ntp": u64, "rtp_timestamp": u32, "packets": u32, "octets": u32})
report_blocks = st.fixed_dictionaries(
    {
        "ssrc": u32,
        "highest_seq": u32,
        "jitter": u32,
        "lsr": u32,
        "dlsr": u32,
        "lost": st.integers(-0x800000, 0x7FFFFF),
        "fraction_lost": u8,
    }
)
INFO = {"ntp": 1, "rtp_timestamp": 2, "packets": 3, "octets": 4}
BLOCK = {"ssrc": 1, "highest_seq": 2, "jitter": 3, "lsr": 4, "dlsr": 5, "lost": 6, "fraction_lost": 7}


def read(writer: Writer) -> list[dict[str, Any]]:
    packets, malformed = _rtcp.parse(writer.data())
    assert not malformed
    return packets


@given(u32, sender_infos, st.lists(report_blocks, max_size=31))
def test_sender_report(ssrc: int, info: dict[str, int], blocks: list[dict[str, int]]) -> None:
    writer = Writer()
    assert writer.sr(ssrc, info, blocks)
    (entry,) = read(writer)
    assert (entry["ssrc"], entry["info"], entry["reports"]) == (ssrc, info, blocks)


@given(u32, st.lists(report_blocks, max_size=31))
def test_receiver_report(ssrc: int, blocks: list[dict[str, int]]) -> None:
    writer = Writer()
    assert writer.rr(ssrc, blocks)
    (entry,) = read(writer)
    assert (entry["ssrc"], entry["reports"]) == (ssrc, blocks)


@pytest.mark.parametrize(("lost", "written"), [(0x800000, 0x7FFFFF), (2**31 - 1, 0x7FFFFF), (-(2**31), -0x800000)])
def test_loss_saturates(lost: int, written: int) -> None:
    writer = Writer()
    writer.rr(1, [BLOCK | {"lost": lost}])
    assert read(writer)[0]["reports"][0]["lost"] == written


@given(u32, st.binary(max_size=255))
def test_source_description(ssrc: int, cname: bytes) -> None:
    writer = Writer()
    assert writer.sdes(ssrc, cname)
    assert read(writer)[0]["items"] == [(ssrc, 1, cname)]
    assert writer.data()[-1] == 0, "the list of items ends with a zero"
    assert len(writer.data()) == 4 + 4 + (2 + len(cname) + 1 + 3) // 4 * 4


def test_as_many_and_as_long_as_possible() -> None:
    writer = Writer(4000)
    assert writer.sr(1, INFO, [BLOCK] * 31) and writer.rr(1, [BLOCK] * 31)
    assert writer.sdes(1, bytes(255)) and writer.remb(1, 1, [1] * 255)
    sr, rr, sdes, remb = read(writer)
    assert len(sr["reports"]) == len(rr["reports"]) == 31
    assert len(sdes["items"][0][2]) == len(remb["ssrcs"]) == 255


def test_too_many_or_too_long() -> None:
    writer = Writer()
    assert not writer.sr(1, INFO, [BLOCK] * 32)
    assert not writer.rr(1, [BLOCK] * 32)
    assert not writer.sdes(1, bytes(256))
    assert not writer.remb(1, 1, [1] * 256)
    assert not writer.dlrr(1, [])
    assert not writer.fir(1, 2, [])
    assert writer.nack(1, 2, []) == 0
    assert writer.twcc(1, 2, 3, 4, []) == 0
    assert writer.data() == b""


@given(u32, u64, st.lists(st.tuples(u32, u32, u32), min_size=1, max_size=40))
def test_extended_reports(ssrc: int, ntp: int, entries: list[tuple[int, int, int]]) -> None:
    writer = Writer()
    assert writer.rrtr(ssrc, ntp) and writer.dlrr(ssrc, entries)
    assert [entry["blocks"] for entry in read(writer)] == [[("rrtr", ntp)], [("dlrr", entries)]]


@given(u32, u32, st.lists(st.tuples(u32, u8), min_size=1, max_size=20))
def test_key_frame_requests(sender: int, media: int, entries: list[tuple[int, int]]) -> None:
    writer = Writer()
    assert writer.pli(sender, media) and writer.fir(sender, media, entries)
    pli, fir = read(writer)
    assert pli["pli"] and (pli["ssrc"], pli["media_ssrc"]) == (sender, media)
    assert (fir["ssrc"], fir["media_ssrc"], fir["fir"]) == (sender, media, entries)


@given(u64, st.lists(u32, max_size=20))
def test_remb(bitrate: int, ssrcs: list[int]) -> None:
    writer = Writer()
    assert writer.remb(1, bitrate, ssrcs)
    (entry,) = read(writer)
    assert entry["ssrcs"] == ssrcs
    assert 0 <= bitrate - entry["remb"] <= bitrate >> 17
    assert bitrate > 0x3FFFF or entry["remb"] == bitrate


# --- NACK ---


@given(start=u16, gaps=st.lists(st.integers(1, 40), max_size=60))
def test_nack(start: int, gaps: list[int]) -> None:
    """All numbers, in order, also across the wrap, with an entry only for what the one before cannot reach."""
    seqs = [start]
    for gap in gaps:
        seqs.append((seqs[-1] + gap) % 65536)
    writer = Writer()
    assert writer.nack(1, 2, seqs) == len(seqs)
    (entry,) = read(writer)
    assert entry["nack"] == seqs
    pids = [pid for pid, _ in entry["entries"]]
    assert all((after - before) % 65536 > 16 for before, after in pairwise(pids))


def test_nack_goes_on_in_a_next_packet() -> None:
    seqs = [(65530 + 20 * i) % 65536 for i in range(10)]
    asked: list[int] = []
    while len(asked) < len(seqs):
        writer = Writer(24)  # three entries
        assert writer.nack(1, 2, seqs[len(asked) :]) > 0
        asked += read(writer)[0]["nack"]
    assert asked == seqs
    assert Writer(15).nack(1, 2, seqs) == 0


# --- transport-cc ---


def twcc_times(writer: Writer) -> dict[int, int]:
    """Arrival times by sequence number, in 250 us, as a reader works them out."""
    times = {}
    for entry in read(writer):
        feedback = entry["twcc"]
        time = feedback["reference_time"] * 256
        for seq, received, delta in feedback["statuses"]:
            time += delta
            times[seq] = time if received else -1
    return times


def expected_times(base: int, arrivals: list[int]) -> dict[int, int]:
    return {(base + i) % 65536: -1 if at < 0 else at % 2**32 for i, at in enumerate(arrivals)}


arrival_lists = st.builds(
    lambda start, steps: [at for at in _walk(start, steps)],
    st.integers(0, 2**30),
    st.lists(st.tuples(st.integers(0, 5), st.integers(-300, 600)), min_size=1, max_size=120),
)


def _walk(start: int, steps: list[tuple[int, int]]) -> list[int]:
    """Arrivals with losses: each step is (kind, distance); kinds 0 and 1 are losses, 2 to 5 near or far."""
    arrivals, at = [], start + 40000
    for kind, distance in steps:
        if kind < 2:
            arrivals += [-1] * (1 + abs(distance) % 30)
        else:
            at += distance if kind == 2 else abs(distance) % 40
            arrivals.append(at)
    return [*arrivals, at]


@given(base=u16, arrivals=arrival_lists)
def test_transport_cc(base: int, arrivals: list[int]) -> None:
    writer = Writer(4000)
    assert writer.twcc(1, 2, 3, base, arrivals) == len(arrivals)
    (entry,) = read(writer)
    assert (entry["ssrc"], entry["media_ssrc"], entry["twcc"]["base_seq"]) == (1, 2, base)
    assert twcc_times(writer) == expected_times(base, arrivals)


@given(base=u16, arrivals=arrival_lists, cap=st.integers(60, 200))
def test_transport_cc_in_small_packets(base: int, arrivals: list[int], cap: int) -> None:
    done: dict[int, int] = {}
    at = 0
    while at < len(arrivals):
        writer = Writer(cap)
        taken = writer.twcc(1, 2, 3, (base + at) % 65536, arrivals[at:])
        assert taken > 0
        assert len(writer.data()) <= cap
        done |= twcc_times(writer)
        at += taken
    assert done == expected_times(base, arrivals)


def test_transport_cc_stops_at_a_gap_it_cannot_tell() -> None:
    arrivals = [1000, 1001, 1001 + 0x7FFF, 1002 + 0x7FFF + 0x8000]
    writer = Writer()
    assert writer.twcc(1, 2, 3, 0, arrivals) == 3
    assert twcc_times(writer) == {0: 1000, 1: 1001, 2: 1001 + 0x7FFF}
    back = Writer()
    assert back.twcc(1, 2, 3, 0, [99000, 99000 - 0x7FFF, 99000 - 0x7FFF - 0x8001]) == 2
    assert twcc_times(back) == {0: 99000, 1: 99000 - 0x7FFF}


def test_transport_cc_only_losses_are_nothing_to_tell() -> None:
    assert Writer().twcc(1, 2, 3, 0, [-1] * 100) == 0


def test_transport_cc_is_compact() -> None:
    """100 packets at an even pace: one chunk, one byte each."""
    writer = Writer()
    assert writer.twcc(1, 2, 3, 0, list(range(1000, 1400, 4))) == 100
    fixed = 12 + 8
    assert len(writer.data()) == fixed + 2 + 100 + 2  # rounded up to a word
    losses = Writer()
    assert losses.twcc(1, 2, 3, 0, [1000] + [-1] * 1900 + [1010]) == 1902
    assert len(losses.data()) <= fixed + 4 * 2 + 2 + 2


def test_transport_cc_takes_at_most_its_share() -> None:
    writer = Writer(4000)
    assert writer.twcc(1, 2, 3, 0, [1000] * 3000) == 2048


def test_reference_time_wraps_at_24_bits() -> None:
    writer = Writer()
    assert writer.twcc(1, 2, 3, 0, [(1 << 32) + 300]) == 1
    assert twcc_times(writer) == {0: 300}


# --- capacity ---

WRITES: list[Callable[[Writer], object]] = [
    lambda w: w.sr(1, INFO, [BLOCK, BLOCK]),
    lambda w: w.rr(1, [BLOCK]),
    lambda w: w.sdes(1, b"cname"),
    lambda w: w.bye(1),
    lambda w: w.rrtr(1, 2),
    lambda w: w.dlrr(1, [(1, 2, 3)]),
    lambda w: w.nack(1, 2, [3]),
    lambda w: w.pli(1, 2),
    lambda w: w.fir(1, 2, [(3, 4)]),
    lambda w: w.remb(1, 2, [3, 4]),
    lambda w: w.twcc(1, 2, 3, 4, [1000, 1001]),
]


@pytest.mark.parametrize("write", WRITES)
def test_written_whole_or_not_at_all(write: Callable[[Writer], object]) -> None:
    unlimited = Writer()
    assert write(unlimited)
    size = len(unlimited.data())
    assert size % 4 == 0
    for cap in range(size + 1):
        writer = Writer(cap)
        assert bool(write(writer)) == (cap == size)
        assert writer.data() == (unlimited.data() if cap == size else b"")


def test_packets_follow_each_other() -> None:
    writer = Writer()
    for write in WRITES:
        assert write(writer)
    assert [entry["type"] for entry in read(writer)] == [200, 201, 202, 203, 207, 207, 205, 206, 206, 206, 205]


# --- a second opinion ---


def test_aiortc_reads_it() -> None:
    writer = Writer()
    writer.sr(1, INFO, [BLOCK])
    writer.rr(2, [BLOCK])
    writer.sdes(3, b"cname")
    writer.nack(4, 5, [10, 11, 27])
    writer.pli(6, 7)
    writer.remb(8, 1_000_000, [9])
    writer.bye(10)
    sr, rr, sdes, nack, pli, remb, bye = RtcpPacket.parse(writer.data())
    assert isinstance(sr, RtcpSrPacket) and (sr.ssrc, sr.sender_info.packet_count) == (1, 3)
    assert isinstance(rr, RtcpRrPacket) and (rr.reports[0].fraction_lost, rr.reports[0].packets_lost) == (7, 6)
    assert isinstance(sdes, RtcpSdesPacket) and sdes.chunks[0].items == [(1, b"cname")]
    assert isinstance(nack, RtcpRtpfbPacket) and nack.lost == [10, 11, 27]
    assert isinstance(pli, RtcpPsfbPacket) and (pli.fmt, pli.media_ssrc) == (1, 7)
    assert isinstance(remb, RtcpPsfbPacket) and unpack_remb_fci(remb.fci) == (1_000_000, [9])
    assert isinstance(bye, RtcpByePacket) and bye.sources == [10]


def test_reads_what_aiortc_writes() -> None:
    data = bytes(RtcpRtpfbPacket(fmt=1, ssrc=1, media_ssrc=2, lost=[100, 101, 117, 140]))
    data += bytes(RtcpByePacket(sources=[3, 4]))
    packets, malformed = _rtcp.parse(data)
    assert not malformed
    assert packets[0]["nack"] == [100, 101, 117, 140]
    assert packets[1]["sources"] == [3, 4]
