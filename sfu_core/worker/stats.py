"""Statistics and traces: from the engine's numbers to the channel's messages.

Pure functions; control thread only.
"""

from typing import TYPE_CHECKING, Any, cast

from sfu_core.channel.messages import (
    BaseStats,
    FirTraceInfo,
    KeyFrameTraceInfo,
    MediaKind,
    PliTraceInfo,
    ProducerTraceEventType,
    RecvStats,
    RtpPacketDump,
    RtpTraceInfo,
    SendStats,
    SrTraceInfo,
    StreamStats,
    TransportBaseStats,
)
from sfu_core.worker.rtp import Format

if TYPE_CHECKING:
    from sfu_core._engine import RecvStreamStats, SendStreamStats, TransportStats

TraceInfo = KeyFrameTraceInfo | FirTraceInfo | PliTraceInfo | RtpTraceInfo

_TRANSPORT_COUNTERS = (
    "bytes_received",
    "recv_bitrate",
    "bytes_sent",
    "send_bitrate",
    "rtp_bytes_received",
    "rtp_recv_bitrate",
    "rtp_bytes_sent",
    "rtp_send_bitrate",
    "rtx_bytes_received",
    "rtx_recv_bitrate",
    "rtx_bytes_sent",
    "rtx_send_bitrate",
)

_STREAM_COUNTERS = (
    "ssrc",
    "packets_lost",
    "fraction_lost",
    "jitter",
    "packets_retransmitted",
    "packets_repaired",
    "nack_count",
    "nack_packet_count",
    "pli_count",
    "fir_count",
    "round_trip_time",
    "score",
)


def transport_stats(
    transport_id: str, stats: "TransportStats", *, estimates_incoming: bool, reports_loss: bool
) -> TransportBaseStats:
    """The part that all transports have; its caller adds the limits that were set."""
    numbers = cast(dict[str, Any], stats)
    return TransportBaseStats(
        transport_id=transport_id,
        timestamp=stats["now_ms"],
        **{name: numbers[name] for name in _TRANSPORT_COUNTERS},
        probation_bytes_sent=0,
        probation_send_bitrate=0,
        available_incoming_bitrate=stats["available_incoming_bitrate"] if estimates_incoming else None,
        rtp_packet_loss_received=stats["rtp_packet_loss_received"] if reports_loss else None,
    )


def recv_stream_stats(stats: "RecvStreamStats", kind: MediaKind, format: Format) -> StreamStats:
    """What a producer's stream has received."""
    base = _base(cast(dict[str, Any], stats), kind, format)
    base.packets_discarded = stats["packets_discarded"]
    base.rtx_packets_discarded = stats["rtx_packets_discarded"]
    recv = RecvStats(
        base=StreamStats(data=base),
        packet_count=stats["packet_count"],
        byte_count=stats["byte_count"],
        bitrate=stats["bitrate"],
        bitrate_by_layer=[],
    )
    return StreamStats(data=recv)


def send_stream_stats(stats: "SendStreamStats", kind: MediaKind, format: Format) -> StreamStats:
    """What a consumer's stream has sent."""
    send = SendStats(
        base=StreamStats(data=_base(cast(dict[str, Any], stats), kind, format)),
        packet_count=stats["packet_count"],
        byte_count=stats["byte_count"],
        bitrate=stats["bitrate"],
    )
    return StreamStats(data=send)


def _base(numbers: dict[str, Any], kind: MediaKind, format: Format) -> BaseStats:
    return BaseStats(
        timestamp=numbers["now_ms"],
        kind=kind,
        mime_type=format.media.mime_type,
        rid=format.encoding.rid,
        rtx_ssrc=numbers["rtx_ssrc"] or None,
        packets_discarded=0,
        rtx_packets_discarded=0,
        **{name: numbers[name] for name in _STREAM_COUNTERS},
    )


def trace_info(type: int, info: tuple[Any, ...]) -> TraceInfo | SrTraceInfo | None:
    """The details of a trace event; `type` by the producer's numbers, which the consumer's share."""
    match type:
        case ProducerTraceEventType.KEYFRAME:
            return KeyFrameTraceInfo(rtp_packet=_packet(info), is_rtx=bool(info[0]))
        case ProducerTraceEventType.RTP:
            return RtpTraceInfo(rtp_packet=_packet(info), is_rtx=bool(info[0]))
        case ProducerTraceEventType.PLI:
            return PliTraceInfo(ssrc=info[0])
        case ProducerTraceEventType.FIR:
            return FirTraceInfo(ssrc=info[0])
        case ProducerTraceEventType.SR:
            ssrc, seconds, fraction, timestamp, packets, octets = info
            return SrTraceInfo(
                ssrc=ssrc,
                ntp_sec=seconds,
                ntp_frac=fraction,
                rtp_ts=timestamp,
                packet_count=packets,
                octet_count=octets,
            )
        case _:
            return None


def _packet(info: tuple[Any, ...]) -> RtpPacketDump:
    _, pt, seq, timestamp, marker, ssrc, key_frame, size, payload_size, mid, rid, rrid, wide_seq = info
    return RtpPacketDump(
        payload_type=pt,
        sequence_number=seq,
        timestamp=timestamp,
        marker=bool(marker),
        ssrc=ssrc,
        is_key_frame=bool(key_frame),
        size=size,
        payload_size=payload_size,
        spatial_layer=0,
        temporal_layer=0,
        mid=mid or None,
        rid=rid or None,
        rrid=rrid or None,
        wide_sequence_number=wide_seq if wide_seq >= 0 else None,
    )
