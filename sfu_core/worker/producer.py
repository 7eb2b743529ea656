"""A producer: a source of RTP, one receive stream in the engine per encoding.

Control thread only. Knows its consumers, so that it can tell them of pauses and of its end.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from sfu_core.channel.messages import (
    MediaKind,
    ProducerDumpResponse,
    ProducerEnableTraceEvent,
    ProducerGetStatsResponse,
    ProducerScore,
    ProducerSend,
    ProducerStreamScore,
    ProducerTrace,
    ProducerTraceEventType,
    ProducerVideoOrientationChange,
    RtpStreamDump,
    RtpType,
    StreamStats,
    TraceDirection,
    TransportProduce,
)
from sfu_core.worker.codecs import number_of
from sfu_core.worker.dispatch import Event, Slab
from sfu_core.worker.events import EngineEvent
from sfu_core.worker.rtp import Format, apt_of, extension_ids, formats, stream_dump
from sfu_core.worker.stats import recv_stream_stats, trace_info

if TYPE_CHECKING:
    from sfu_core.worker.consumer import Consumer
    from sfu_core.worker.loan import Loan
    from sfu_core.worker.transport import Transport

MAX_RTP_BYTES = 65536  # of a packet that the application sends


class RecvStream:
    """One encoding as it arrives."""

    def __init__(self, producer: "Producer", handle: int, format: Format, mapped_ssrc: int) -> None:
        self.producer = producer
        self.handle = handle
        self.format = format
        self.mapped_ssrc = mapped_ssrc
        self.ssrc = 0  # 0 until the first packet
        self.rtx_ssrc = 0
        self.score = 0

    def on_event(self, event: Event) -> None:
        """What the media thread reports of this stream."""
        match event:
            case (EngineEvent.NEW_STREAM, _, int(ssrc)):
                self.ssrc, self.score = ssrc, 10
                self.producer.on_new_stream(ssrc)
            case (EngineEvent.NEW_RTX_STREAM, _, int(ssrc)):
                self.rtx_ssrc = ssrc
                self.producer.transport.rtp_listener.learn(self.producer.id, ssrc)
            case (EngineEvent.RECV_SCORE, _, int(score)) if score != self.score:
                self.score = score
                self.producer.on_score()
            case (EngineEvent.ORIENTATION, _, int(value)):
                self.producer.on_orientation(value)

    def dump(self) -> RtpStreamDump:
        """Codec, SSRCs, score."""
        cname = self.producer.parameters.rtcp.cname or ""
        return stream_dump(self.format, self.ssrc, self.rtx_ssrc, cname, self.score)

    def stats(self) -> StreamStats:
        """What has arrived."""
        stats = self.producer.context.engine.recv_stream_stats(self.handle)
        return recv_stream_stats(stats, self.producer.kind, self.format)


class Producer:
    """Exists from TRANSPORT_PRODUCE until it, its transport or its router is closed."""

    halts_consumers: ClassVar[bool] = False  # while it is paused: the engine does that

    def __init__(self, transport: "Transport", request: TransportProduce, type: RtpType) -> None:
        self.context = transport.context
        self.transport = transport
        self.id = request.producer_id
        self.kind = request.kind
        self.type = type
        self.parameters = request.rtp_parameters
        self.mapping = request.rtp_mapping
        self.paused = request.paused
        self.consumers: dict[str, Consumer] = {}
        self.loans: dict[str, Loan] = {}
        self._trace: list[ProducerTraceEventType] = []
        self.handle, self.streams = self._open(request)
        self.context.dispatch.add(Slab.PRODUCER, self.handle, self._on_trace)
        for stream in self.streams:
            self.context.dispatch.add(Slab.RECV_STREAM, stream.handle, stream.on_event)
        self.context.registry.add(self.id, self)
        transport.producers[self.id] = self
        transport.router.producers[self.id] = self

    def close(self) -> None:
        """Close its consumers, telling them why, and then itself."""
        for consumer in list(self.consumers.values()):
            consumer.on_producer_closed()
        for loan in list(self.loans.values()):
            loan.close()
        self.context.dispatch.remove(Slab.PRODUCER, self.handle)
        for stream in self.streams:
            self.context.dispatch.remove(Slab.RECV_STREAM, stream.handle)
        self.context.engine.close_producer(self.handle)
        self.streams.clear()  # they refer back: without this, only the garbage collector would free them
        self.context.registry.remove(self.id)
        self.transport.rtp_listener.remove(self.id)
        del self.transport.producers[self.id]
        del self.transport.router.producers[self.id]

    def by_mapped_ssrc(self) -> dict[int, RecvStream]:
        """The streams by the numbers that consumers know them by."""
        return {stream.mapped_ssrc: stream for stream in self.streams}

    # --- requests

    def dump(self) -> ProducerDumpResponse:
        """PRODUCER_DUMP."""
        return ProducerDumpResponse(
            id=self.id,
            kind=self.kind,
            type=self.type,
            rtp_parameters=self.parameters,
            rtp_mapping=self.mapping,
            rtp_streams=[stream.dump() for stream in self.streams if stream.ssrc],
            trace_event_types=self._trace,
            paused=self.paused,
        )

    def stats(self) -> ProducerGetStatsResponse:
        """PRODUCER_GET_STATS."""
        return ProducerGetStatsResponse(stats=[stream.stats() for stream in self.streams if stream.ssrc])

    def pause(self) -> None:
        """PRODUCER_PAUSE."""
        self._set_paused(True)

    def resume(self) -> None:
        """PRODUCER_RESUME: the engine asks for a key frame."""
        self._set_paused(False)

    def enable_trace_event(self, request: ProducerEnableTraceEvent) -> None:
        """PRODUCER_ENABLE_TRACE_EVENT: replaces the set."""
        types = sorted(set(request.events))
        self.context.engine.trace_producer(self.handle, sum(1 << type for type in types))
        self._trace = types

    def send(self, message: ProducerSend) -> None:
        """PRODUCER_SEND: an RTP packet from the application, on a direct transport only."""
        if self.transport.is_direct and len(message.data) <= MAX_RTP_BYTES:
            self.context.engine.inject_rtp(self.handle, message.data)
        else:
            self.context.logs.warn("rtp", f"Producer.send: refused {len(message.data)} bytes for {self.id}")

    # --- news

    def on_new_stream(self, ssrc: int) -> None:
        """The first packet of a stream has arrived."""
        self.transport.rtp_listener.learn(self.id, ssrc)
        self.on_score()

    def on_score(self) -> None:
        """A score is new or has changed: the API and the consumers want to know."""
        scores = [
            ProducerStreamScore(
                encoding_idx=stream.format.index,
                ssrc=stream.ssrc,
                rid=stream.format.encoding.rid,
                score=stream.score,
            )
            for stream in self.streams
            if stream.ssrc
        ]
        self.context.notify(ProducerScore(scores=scores), self.id)
        for consumer in self._all_consumers():
            consumer.on_producer_score()

    def on_orientation(self, value: int) -> None:
        """The camera was turned (3GPP TS 26.114 §7.4.5: C, F, R1, R0)."""
        change = ProducerVideoOrientationChange(camera=bool(value & 8), flip=bool(value & 4), rotation=(value & 3) * 90)
        self.context.notify(change, self.id)

    def _on_trace(self, event: Event) -> None:
        _, _, type, timestamp, direction, info = event
        trace = ProducerTrace(
            type=ProducerTraceEventType(type),
            timestamp=timestamp,
            direction=TraceDirection(direction),
            info=trace_info(type, info),
        )
        self.context.notify(trace, self.id)

    def _set_paused(self, paused: bool) -> None:
        if paused == self.paused:
            return
        self.context.engine.pause_producer(self.handle, paused)
        self.paused = paused
        for consumer in self.consumers.values():
            consumer.on_producer_paused(paused)

    def _all_consumers(self) -> "Iterator[Consumer]":
        """Also those in other routers."""
        yield from self.consumers.values()
        for loan in self.loans.values():
            yield from loan.consumers.values()

    # --- towards the engine

    def _open(self, request: TransportProduce) -> tuple[int, list[RecvStream]]:
        all_formats = formats(self.parameters)
        first = all_formats[0]
        handle, streams = self.context.engine.add_producer(
            self.transport.handle,
            int(self.kind),
            self._codec_entries(),
            [self._encoding_entry(format) for format in all_formats],
            mid=self.parameters.mid or "",
            extensions=extension_ids(self.parameters.header_extensions),
            nack=first.nack,
            pli=first.pli,
            fir=first.fir,
            feedback=self.transport.feedback_for(self.parameters),
            paused=self.paused,
            key_frame_request_delay_ms=request.key_frame_request_delay if self.kind is MediaKind.VIDEO else 0,
            packet_id=request.enable_mediasoup_packet_id_header_extension,
        )
        mapped = [encoding.mapped_ssrc for encoding in self.mapping.encodings]
        pairs = zip(streams, all_formats, mapped, strict=True)
        return handle, [RecvStream(self, stream, format, ssrc) for stream, format, ssrc in pairs]

    def _codec_entries(self) -> list[tuple[int, int, int, int, int]]:
        mapped = {codec.payload_type: codec.mapped_payload_type for codec in self.mapping.codecs}
        return [
            (
                codec.payload_type,
                mapped[codec.payload_type],
                number_of(codec.mime_type),
                codec.clock_rate,
                -1 if (apt := apt_of(codec)) is None else apt,
            )
            for codec in self.parameters.codecs
            if codec.payload_type in mapped
        ]

    def _encoding_entry(self, format: Format) -> tuple[int, int, str, int]:
        encoding = format.encoding
        return (encoding.ssrc or 0, format.rtx_ssrc, encoding.rid or "", format.media.payload_type)
