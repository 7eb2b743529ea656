"""The tables that say which producer receives what."""

import pytest

from sfu_core.channel import messages as m
from sfu_core.errors import SfuError
from sfu_core.worker.rtp_listener import RtpListener

from .conftest import rtp_parameters

Encoding = m.RtpEncodingParameters


def tables(listener: RtpListener) -> tuple[dict[int, str], dict[str, str], dict[str, str]]:
    dump = listener.dump()
    ssrcs = {entry.key: entry.value for entry in dump.ssrc_table}
    mids = {entry.key: entry.value for entry in dump.mid_table}
    return ssrcs, mids, {entry.key: entry.value for entry in dump.rid_table}


def test_all_that_is_announced_is_entered_and_removed() -> None:
    listener = RtpListener()
    encodings = [Encoding(ssrc=1, rtx=m.Rtx(ssrc=2), rid="a"), Encoding(rid="b")]
    listener.add("p", rtp_parameters(mid="m", encodings=encodings))
    listener.learn("p", 3)
    assert tables(listener) == ({1: "p", 2: "p", 3: "p"}, {"m": "p"}, {"a": "p", "b": "p"})
    listener.add("q", rtp_parameters(mid="n", encodings=[Encoding(ssrc=9)]))
    listener.remove("p")
    assert tables(listener) == ({9: "q"}, {"n": "q"}, {})


@pytest.mark.parametrize(
    ("mid", "encoding"),
    [
        ("other", Encoding(ssrc=1)),
        ("other", Encoding(ssrc=2)),
        ("other", Encoding(ssrc=7, rtx=m.Rtx(ssrc=1))),
        ("other", Encoding(ssrc=7, rtx=m.Rtx(ssrc=7))),
        ("m", Encoding(ssrc=7)),
        (None, Encoding(rid="a")),
    ],
)
def test_what_would_be_ambiguous_changes_nothing(mid: str | None, encoding: Encoding) -> None:
    listener = RtpListener()
    listener.add("p", rtp_parameters(mid="m", encodings=[Encoding(ssrc=1, rtx=m.Rtx(ssrc=2), rid="a")]))
    before = tables(listener)
    with pytest.raises(SfuError, match="already"):
        listener.add("q", rtp_parameters(mid=mid, encodings=[encoding]))
    assert tables(listener) == before


def test_a_rid_may_come_again_with_another_mid() -> None:
    listener = RtpListener()
    listener.add("p", rtp_parameters(mid="0", encodings=[Encoding(rid="a")]))
    listener.add("q", rtp_parameters(mid="1", encodings=[Encoding(rid="a")]))
    assert tables(listener)[2] == {"a": "p"}


def test_a_learned_ssrc_stays_with_its_first_owner() -> None:
    listener = RtpListener()
    listener.learn("p", 1)
    listener.learn("q", 1)
    assert tables(listener)[0] == {1: "p"}
