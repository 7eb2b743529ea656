"""A consumer: what one transport sends of a producer, one send stream in the engine per encoding.

Control thread only. Simple consumers follow the one stream of their producer, pipe consumers all of them.
"""

from typing import TYPE_CHECKING

from sfu_core.channel.messages import (
    BaseConsumerDump,
    ConsumerDumpData,
    ConsumerDumpResponse,
    ConsumerEnableTraceEvent,
    ConsumerGetStatsResponse,
    ConsumerProducerClose,
    ConsumerProducerPause,
    ConsumerProducerResume,
    ConsumerRtp,
    ConsumerScore,
    ConsumerScores,
    ConsumerSetPreferredLayersResponse,
    ConsumerSetPriority,
    ConsumerSetPriorityResponse,
    ConsumerTrace,
    ConsumerTraceEventType,
    RtpStreamDump,
    RtpType,
    SrTraceInfo,
    StreamStats,
    TraceDirection,
    TransportConsume,
)
from sfu_core.errors import SfuError
from sfu_core.worker.dispatch import Event, Slab
from sfu_core.worker.events import EngineEvent
from sfu_core.worker.loan import Loan
from sfu_core.worker.producer import Producer, RecvStream
from sfu_core.worker.rtp import Format, extension_ids, formats, media_codecs, stream_dump
from sfu_core.worker.stats import send_stream_stats, trace_info

if TYPE_CHECKING:
    from sfu_core.worker.transport import Transport


class SendStream:
    """One encoding as it leaves."""

    def __init__(self, consumer: "Consumer", source: RecvStream, format: Format) -> None:
        self.consumer = consumer
        self.source = source
        self.format = format
        self.ssrc = format.encoding.ssrc or 0
        self.score = 10
        self.handle = self._open()

    def on_event(self, event: Event) -> None:
        """What the media thread reports of this stream."""
        match event:
            case (EngineEvent.SEND_SCORE, _, int(score)) if score != self.score:
                self.score = score
                self.consumer.on_score()
            case (EngineEvent.RTP, _, bytes(data)):
                self.consumer.context.notify(ConsumerRtp(data=data), self.consumer.id)
            case (EngineEvent.CONSUMER_TRACE, *_):
                self.consumer.on_trace(event)

    def dump(self) -> RtpStreamDump:
        """Codec, SSRCs, score."""
        cname = self.consumer.parameters.rtcp.cname or ""
        return stream_dump(self.format, self.ssrc, self.format.rtx_ssrc, cname, self.score)

    def stats(self) -> StreamStats:
        """What has been sent."""
        stats = self.consumer.context.engine.send_stream_stats(self.handle)
        return send_stream_stats(stats, self.consumer.kind, self.format)

    def _open(self) -> int:
        consumer, parameters = self.consumer, self.consumer.parameters
        return consumer.context.engine.add_send_stream(
            consumer.transport.handle,
            self.source.handle,
            ssrc=self.ssrc,
            rtx_ssrc=self.format.rtx_ssrc,
            rtx_payload_type=self.format.rtx.payload_type if self.format.rtx and self.format.rtx_ssrc else -1,
            payload_types=consumer.payload_types,
            mid=parameters.mid or "",
            cname=parameters.rtcp.cname or "",
            extensions=list(extension_ids(parameters.header_extensions)),
            nack=self.format.nack,
            pipe=consumer.type is RtpType.PIPE,
            ignore_dtx=consumer.ignore_dtx,
            paused=consumer.halted,
        )


class Consumer:
    """Exists from TRANSPORT_CONSUME until it, its producer, its transport or its router is closed."""

    def __init__(self, transport: "Transport", producer: Producer | Loan, request: TransportConsume) -> None:
        self.context = transport.context
        self.transport = transport
        self.producer = producer
        self.id = request.consumer_id
        self.kind = request.kind
        self.type = request.type
        self.parameters = request.rtp_parameters
        self.consumable_encodings = request.consumable_rtp_encodings
        self.payload_types = [codec.payload_type for codec in media_codecs(self.parameters)]
        self.ignore_dtx = request.ignore_dtx
        self.paused = request.paused
        self.producer_paused = producer.paused
        self.priority = 1
        self.streams: list[SendStream] = []
        self._trace: list[ConsumerTraceEventType] = []
        self._open_streams()
        self.context.registry.add(self.id, self)
        transport.consumers[self.id] = self
        producer.consumers[self.id] = self

    @property
    def halted(self) -> bool:
        """Whether the engine must send nothing, whatever comes from the producer's streams."""
        return self.paused or (self.producer_paused and self.producer.halts_consumers)

    def close(self) -> None:
        """End it without a word; whoever asked for it knows."""
        self._close_streams()
        self.context.registry.remove(self.id)
        del self.transport.consumers[self.id]
        del self.producer.consumers[self.id]

    # --- requests

    def dump(self) -> ConsumerDumpResponse:
        """CONSUMER_DUMP."""
        base = BaseConsumerDump(
            id=self.id,
            type=self.type,
            producer_id=self.producer.id,
            kind=self.kind,
            rtp_parameters=self.parameters,
            consumable_rtp_encodings=self.consumable_encodings,
            supported_codec_payload_types=self.payload_types,
            trace_event_types=self._trace,
            paused=self.paused,
            producer_paused=self.producer_paused,
            priority=self.priority,
        )
        streams = [stream.dump() for stream in self.streams]
        return ConsumerDumpResponse(data=ConsumerDumpData(base=base, rtp_streams=streams))

    def stats(self) -> ConsumerGetStatsResponse:
        """CONSUMER_GET_STATS: what is sent, and what feeds it (except for pipes)."""
        stats = [stream.stats() for stream in self.streams]
        if self.type is not RtpType.PIPE:
            stats += [stream.source.stats() for stream in self.streams if stream.source.ssrc]
        return ConsumerGetStatsResponse(stats=stats)

    def pause(self) -> None:
        """CONSUMER_PAUSE."""
        self._set_paused(True)

    def resume(self) -> None:
        """CONSUMER_RESUME: video starts again with a key frame, which the engine asks for."""
        self._set_paused(False)

    def set_preferred_layers(self) -> ConsumerSetPreferredLayersResponse:
        """CONSUMER_SET_PREFERRED_LAYERS: without effect, since there is one layer."""
        return ConsumerSetPreferredLayersResponse()

    def set_priority(self, request: ConsumerSetPriority) -> ConsumerSetPriorityResponse:
        """CONSUMER_SET_PRIORITY."""
        if request.priority < 1:
            raise TypeError("priority must be at least 1")
        self.priority = request.priority
        return ConsumerSetPriorityResponse(priority=self.priority)

    def request_key_frame(self) -> None:
        """CONSUMER_REQUEST_KEY_FRAME."""
        for stream in self.streams:
            self.context.engine.request_key_frame(stream.handle)

    def enable_trace_event(self, request: ConsumerEnableTraceEvent) -> None:
        """CONSUMER_ENABLE_TRACE_EVENT: replaces the set."""
        types = sorted(set(request.events))
        for stream in self.streams:
            self.context.engine.trace_send_stream(stream.handle, sum(1 << type for type in types))
        self._trace = types

    def scores(self) -> ConsumerScores:
        """Its own, that of the stream that feeds it, and those of all streams of the producer."""
        all_scores = [stream.score for stream in self.producer.streams]
        if self.type is RtpType.PIPE:
            return ConsumerScores(score=10, producer_score=10, producer_scores=all_scores)
        stream = self.streams[0]
        return ConsumerScores(score=stream.score, producer_score=stream.source.score, producer_scores=all_scores)

    # --- news

    def on_score(self) -> None:
        """Its own score has changed."""
        if self.type is not RtpType.PIPE:
            self.context.notify(ConsumerScore(score=self.scores()), self.id)

    def on_producer_score(self) -> None:
        """A score of the producer has changed."""
        self.on_score()

    def on_producer_paused(self, paused: bool) -> None:
        """The producer was paused or resumed."""
        if paused != self.producer_paused:
            was_halted, self.producer_paused = self.halted, paused
            self._tell_engine(was_halted)
            self.context.notify(ConsumerProducerPause() if paused else ConsumerProducerResume(), self.id)

    def on_producer_closed(self) -> None:
        """The producer goes, and this with it."""
        self.close()
        self.context.notify(ConsumerProducerClose(), self.id)

    def on_trace(self, event: Event) -> None:
        """Something happened that the application wanted to see."""
        _, _, type, timestamp, direction, details = event
        info = trace_info(type, details)
        assert not isinstance(info, SrTraceInfo)
        trace = ConsumerTrace(
            type=ConsumerTraceEventType(type),
            timestamp=timestamp,
            direction=TraceDirection(direction),
            info=info,
        )
        self.context.notify(trace, self.id)

    # --- towards the engine

    def _open_streams(self) -> None:
        by_ssrc = self.producer.by_mapped_ssrc()
        try:
            for format, consumable in zip(formats(self.parameters), self.consumable_encodings, strict=False):
                source = by_ssrc.get(consumable.ssrc or 0)
                if source is None:
                    raise SfuError(f"the producer has no stream with the mapped ssrc {consumable.ssrc}")
                stream = SendStream(self, source, format)
                self.streams.append(stream)
                self.context.dispatch.add(Slab.SEND_STREAM, stream.handle, stream.on_event)
        except BaseException:
            self._close_streams()
            raise

    def _close_streams(self) -> None:
        for stream in self.streams:
            self.context.dispatch.remove(Slab.SEND_STREAM, stream.handle)
            self.context.engine.close_send_stream(stream.handle)
        self.streams.clear()

    def _set_paused(self, paused: bool) -> None:
        was_halted, self.paused = self.halted, paused
        self._tell_engine(was_halted)

    def _tell_engine(self, was_halted: bool) -> None:
        if self.halted != was_halted:
            for stream in self.streams:
                self.context.engine.pause_send_stream(stream.handle, self.halted)
