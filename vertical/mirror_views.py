"""Dumps and statistics of what is mirrored, in the shapes of a real pipe.

Pure functions. Nothing passes through the transports, so they count nothing. Producer and consumer show the streams of
the original under their own SSRCs, as if all of it had crossed.
"""

import time
from collections.abc import Sequence

from msgspec.structs import replace

from sfu_core.channel import messages as m
from sfu_core.worker.rtp import formats, media_codecs, stream_dump
from sfu_core.worker.rtp_listener import RtpListener
from vertical.tree import AnyProducer, Mirror, MirrorTransport, PipeConsumer, Producer

_PERFECT = 10


# Transports


def transport_tuple(transport: MirrorTransport) -> m.TransportTuple:
    """Where it would listen; there is no socket, so there is no port."""
    info, other = transport.options.listen_info, transport.other
    remote = other.options.listen_info if other is not None else None
    return m.TransportTuple(
        local_address=info.announced_address or info.ip,
        local_port=0,
        remote_ip=(remote.announced_address or remote.ip) if remote is not None else None,
        remote_port=0,
    )


def transport_dump(transport: MirrorTransport) -> m.PipeTransportDumpResponse:
    """TRANSPORT_DUMP."""
    options, listener = transport.options, RtpListener()
    for producer in transport.producers.values():
        listener.add(producer.id, producer.request.rtp_parameters)
    consumers = [each for each in transport.consumers.values() if isinstance(each, PipeConsumer)]
    encodings = [(encoding, each.id) for each in consumers for encoding in each.request.rtp_parameters.encodings]
    base = m.TransportBaseDump(
        id=transport.id,
        producer_ids=list(transport.producers),
        consumer_ids=list(transport.consumers),
        map_ssrc_consumer_id=[m.Uint32String(key=each.ssrc or 0, value=id) for each, id in encodings],
        map_rtx_ssrc_consumer_id=[m.Uint32String(key=each.rtx.ssrc, value=id) for each, id in encodings if each.rtx],
        data_producer_ids=[],
        data_consumer_ids=[],
        recv_rtp_header_extensions=m.RecvRtpHeaderExtensions(),
        rtp_listener=listener.dump(),
        max_send_message_size=options.base.max_send_message_size,
        max_receive_message_size=options.base.max_receive_message_size,
        trace_event_types=transport.traced,
    )
    return m.PipeTransportDumpResponse(base=base, tuple=transport_tuple(transport), rtx=options.enable_rtx)


def transport_stats(transport: MirrorTransport) -> m.PipeTransportGetStatsResponse:
    """TRANSPORT_GET_STATS."""
    base = m.TransportBaseStats(
        transport_id=transport.id,
        timestamp=time.monotonic_ns() // 1_000_000,
        bytes_received=0,
        recv_bitrate=0,
        bytes_sent=0,
        send_bitrate=0,
        rtp_bytes_received=0,
        rtp_recv_bitrate=0,
        rtp_bytes_sent=0,
        rtp_send_bitrate=0,
        rtx_bytes_received=0,
        rtx_recv_bitrate=0,
        rtx_bytes_sent=0,
        rtx_send_bitrate=0,
        probation_bytes_sent=0,
        probation_send_bitrate=0,
    )
    for name, limit in transport.limits.items():
        setattr(base, name, limit or None)
    return m.PipeTransportGetStatsResponse(base=base, tuple=transport_tuple(transport))


# Producers


def producer_dump(mirror: Mirror, source: m.ProducerDumpResponse) -> m.ProducerDumpResponse:
    """PRODUCER_DUMP: as the original's, with numbers and settings of its own."""
    parameters = mirror.request.rtp_parameters
    streams = [
        _stream_dump(parameters, stream.params.encoding_idx, stream.score) for stream in source.rtp_streams
    ]
    return replace(
        source,
        id=mirror.id,
        rtp_parameters=parameters,
        rtp_mapping=mirror.request.rtp_mapping,
        rtp_streams=streams,
        trace_event_types=mirror.traced,
        paused=mirror.paused,
    )


def producer_stats(mirror: Mirror, source: m.ProducerGetStatsResponse) -> m.ProducerGetStatsResponse:
    """PRODUCER_GET_STATS: what the original's sender sent."""
    return m.ProducerGetStatsResponse(stats=_renumbered(source, mirror.source, mirror.request.rtp_parameters))


def producer_score(scores: Sequence[m.ProducerStreamScore], mirror: Mirror) -> m.ProducerScore:
    """What its application hears of the original's scores."""
    encodings = mirror.request.rtp_parameters.encodings
    own = [replace(each, ssrc=encodings[each.encoding_idx].ssrc or 0, rid=None) for each in scores]
    return m.ProducerScore(scores=own)


def tracing(source: Producer) -> m.ProducerEnableTraceEvent:
    """What the original must trace, for itself and for those that mirror it."""
    types = {type for each in (source, *source.mirrors) for type in each.traced}
    return m.ProducerEnableTraceEvent(events=sorted(types))


# Consumers


def pipe_scores(producer: AnyProducer) -> m.ConsumerScores:
    """A pipe is perfect, whatever comes in behind it."""
    scores = producer.source.scores
    streams = range(len(producer.request.rtp_mapping.encodings))
    return m.ConsumerScores(
        score=_PERFECT,
        producer_score=_PERFECT,
        producer_scores=[scores[index].score if index in scores else 0 for index in streams],
    )


def consumer_dump(consumer: PipeConsumer) -> m.ConsumerDumpResponse:
    """CONSUMER_DUMP."""
    request, parameters = consumer.request, consumer.request.rtp_parameters
    base = m.BaseConsumerDump(
        id=consumer.id,
        type=m.RtpType.PIPE,
        producer_id=consumer.producer.id,
        kind=request.kind,
        rtp_parameters=parameters,
        consumable_rtp_encodings=request.consumable_rtp_encodings,
        supported_codec_payload_types=[codec.payload_type for codec in media_codecs(parameters)],
        trace_event_types=consumer.traced,
        paused=consumer.paused,
        producer_paused=consumer.producer.paused,
        priority=consumer.priority,
    )
    streams = [_stream_dump(parameters, index, _PERFECT) for index in range(len(parameters.encodings))]
    return m.ConsumerDumpResponse(data=m.ConsumerDumpData(base=base, rtp_streams=streams))


def consumer_stats(consumer: PipeConsumer, source: m.ProducerGetStatsResponse) -> m.ConsumerGetStatsResponse:
    """CONSUMER_GET_STATS: all that came in, as sent."""
    received = _renumbered(source, consumer.producer.source, consumer.request.rtp_parameters)
    return m.ConsumerGetStatsResponse(stats=[_as_sent(stats) for stats in received])


# Streams


def _stream_dump(parameters: m.RtpParameters, index: int, score: int) -> m.RtpStreamDump:
    format = formats(parameters)[index]
    return stream_dump(format, format.encoding.ssrc or 0, format.rtx_ssrc, parameters.rtcp.cname or "", score)


def _renumbered(
    stats: m.ProducerGetStatsResponse, source: Producer, parameters: m.RtpParameters
) -> list[m.StreamStats]:
    """With the SSRCs of the encodings of `parameters`."""
    index_of = {score.ssrc: index for index, score in source.scores.items()}
    return [
        _with_ssrc(each, parameters.encodings[index_of[ssrc]])
        for each in stats.stats
        if (ssrc := base_of(each).ssrc) in index_of
    ]


def _with_ssrc(stats: m.StreamStats, encoding: m.RtpEncodingParameters) -> m.StreamStats:
    data = stats.data
    if isinstance(data, m.BaseStats):
        rtx = encoding.rtx.ssrc if encoding.rtx is not None else None
        return m.StreamStats(data=replace(data, ssrc=encoding.ssrc or 0, rid=None, rtx_ssrc=rtx))
    return m.StreamStats(data=replace(data, base=_with_ssrc(data.base, encoding)))


def _as_sent(stats: m.StreamStats) -> m.StreamStats:
    data = stats.data
    if not isinstance(data, m.RecvStats):
        return stats
    sent = m.SendStats(
        base=data.base, packet_count=data.packet_count, byte_count=data.byte_count, bitrate=data.bitrate
    )
    return m.StreamStats(data=sent)


def base_of(stats: m.StreamStats) -> m.BaseStats:
    """What both directions share."""
    data = stats.data
    while not isinstance(data, m.BaseStats):
        data = data.base.data
    return data
