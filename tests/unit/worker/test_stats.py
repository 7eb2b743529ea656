"""From the engine's numbers to messages: nothing lost, nothing mixed up."""

from typing import Any

import msgspec
import pytest

from sfu_core.channel import messages as m
from sfu_core.worker.rtp import Format, formats
from sfu_core.worker.stats import (
    _STREAM_COUNTERS,
    _TRANSPORT_COUNTERS,
    recv_stream_stats,
    send_stream_stats,
    trace_info,
    transport_stats,
)
from sfu_core.worker.validation import check_rtp_parameters

from .conftest import rtp_parameters

PACKET = (1, 96, 9, 90000, 1, 5000, 1, 1200, 1180, "m", "r", "rr", 77)


def format() -> Format:
    parameters = rtp_parameters(encodings=[m.RtpEncodingParameters(ssrc=1, rid="a")])
    check_rtp_parameters(parameters)
    return formats(parameters)[0]


def numbers(names: tuple[str, ...]) -> dict[str, Any]:
    """A different number for each name."""
    return {name: number for number, name in enumerate(names, 100)}


STREAM = numbers(_STREAM_COUNTERS) | {
    "now_ms": 5,
    "rtx_ssrc": 0,
    "packets_discarded": 1,
    "rtx_packets_discarded": 2,
    "packet_count": 3,
    "byte_count": 4,
    "bitrate": 6,
}


@pytest.mark.parametrize("estimates", [False, True])
@pytest.mark.parametrize("loss", [False, True])
def test_transport(estimates: bool, loss: bool) -> None:
    given = numbers(_TRANSPORT_COUNTERS) | {
        "now_ms": 5,
        "available_incoming_bitrate": 7,
        "rtp_packet_loss_received": 0.25,
    }
    stats = transport_stats("t", given, estimates_incoming=estimates, reports_loss=loss)  # type: ignore[arg-type]
    assert {name: getattr(stats, name) for name in _TRANSPORT_COUNTERS} == numbers(_TRANSPORT_COUNTERS)
    assert (stats.transport_id, stats.timestamp) == ("t", 5)
    assert stats.available_incoming_bitrate == (7 if estimates else None)
    assert stats.rtp_packet_loss_received == (0.25 if loss else None)


def base_of(stats: m.StreamStats) -> m.BaseStats:
    assert isinstance(stats.data, m.RecvStats | m.SendStats)
    base = stats.data.base.data
    assert isinstance(base, m.BaseStats)
    return base


def test_received() -> None:
    stats = recv_stream_stats(STREAM, m.MediaKind.VIDEO, format())  # type: ignore[arg-type]
    base = base_of(stats)
    assert {name: getattr(base, name) for name in _STREAM_COUNTERS} == numbers(_STREAM_COUNTERS)
    assert (base.packets_discarded, base.rtx_packets_discarded, base.rtx_ssrc) == (1, 2, None)
    assert (base.timestamp, base.mime_type, base.rid) == (5, "video/VP8", "a")
    assert isinstance(stats.data, m.RecvStats)
    assert (stats.data.packet_count, stats.data.byte_count, stats.data.bitrate) == (3, 4, 6)


def test_sent() -> None:
    given = STREAM | {"rtx_ssrc": 9}
    stats = send_stream_stats(given, m.MediaKind.VIDEO, format())  # type: ignore[arg-type]
    base = base_of(stats)
    assert {name: getattr(base, name) for name in _STREAM_COUNTERS} == numbers(_STREAM_COUNTERS)
    assert (base.packets_discarded, base.rtx_packets_discarded, base.rtx_ssrc) == (0, 0, 9)
    assert isinstance(stats.data, m.SendStats)
    assert (stats.data.packet_count, stats.data.byte_count, stats.data.bitrate) == (3, 4, 6)


def test_every_number_of_the_message_is_filled_in() -> None:
    """A counter that the message gets later must not be forgotten here."""
    known = set(_TRANSPORT_COUNTERS) | {"transport_id", "timestamp", "probation_bytes_sent", "probation_send_bitrate"}
    required = {f.name for f in msgspec.structs.fields(m.TransportBaseStats) if f.required}
    assert required == known


@pytest.mark.parametrize("kind", [m.ProducerTraceEventType.KEYFRAME, m.ProducerTraceEventType.RTP])
def test_trace_of_a_packet(kind: m.ProducerTraceEventType) -> None:
    info = trace_info(kind, PACKET)
    assert isinstance(info, m.KeyFrameTraceInfo | m.RtpTraceInfo)
    assert info.is_rtx is True
    assert info.rtp_packet == m.RtpPacketDump(
        payload_type=96,
        sequence_number=9,
        timestamp=90000,
        marker=True,
        ssrc=5000,
        is_key_frame=True,
        size=1200,
        payload_size=1180,
        spatial_layer=0,
        temporal_layer=0,
        mid="m",
        rid="r",
        rrid="rr",
        wide_sequence_number=77,
    )


def test_other_traces() -> None:
    kind = m.ProducerTraceEventType
    assert trace_info(kind.PLI, (5,)) == m.PliTraceInfo(ssrc=5)
    assert trace_info(kind.FIR, (5,)) == m.FirTraceInfo(ssrc=5)
    assert trace_info(kind.NACK, ()) is None
