"""What all transports have: producers, consumers, limits, the common parts of dumps and statistics.

Control thread only. A subclass owns how packets come and go; this class does not know.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from sfu_core.channel.messages import (
    Counters,
    RecvRtpHeaderExtensions,
    RtpHeaderExtensionUri,
    RtpParameters,
    TransportBaseDump,
    TransportBaseStats,
    TransportConsume,
    TransportConsumeResponse,
    TransportDumpResponse,
    TransportEnableTraceEvent,
    TransportGetStatsResponse,
    TransportOptions,
    TransportProduce,
    TransportProduceResponse,
    TransportSendRtcp,
    TransportSetMaxIncomingBitrate,
    TransportSetMaxOutgoingBitrate,
    TransportSetMinOutgoingBitrate,
    TransportTraceEventType,
    Uint32String,
)
from sfu_core.errors import NotFoundError, SfuError
from sfu_core.worker.consumer import Consumer
from sfu_core.worker.context import Context
from sfu_core.worker.dispatch import Event, Slab
from sfu_core.worker.producer import Producer
from sfu_core.worker.rtp import extension_ids
from sfu_core.worker.rtp_listener import RtpListener
from sfu_core.worker.stats import transport_stats
from sfu_core.worker.validation import check_consume, check_options, check_outgoing_limits, check_produce

if TYPE_CHECKING:
    from sfu_core._engine import TransportStats
    from sfu_core.worker.router import Router

NO_FEEDBACK, TRANSPORT_CC, REMB = 0, 1, 2

_KIND = {uri: uri + 1 for uri in RtpHeaderExtensionUri}
_OWN_KINDS = {  # of the header extensions that a transport itself reads
    "mid": _KIND[RtpHeaderExtensionUri.MID],
    "rid": _KIND[RtpHeaderExtensionUri.RTP_STREAM_ID],
    "rrid": _KIND[RtpHeaderExtensionUri.REPAIR_RTP_STREAM_ID],
    "abs_send_time": _KIND[RtpHeaderExtensionUri.ABS_SEND_TIME],
    "transport_wide_cc01": _KIND[RtpHeaderExtensionUri.TRANSPORT_WIDE_CC_DRAFT01],
}


class Transport(ABC):
    """Exists from its creating request until it, its router or its WebRtcServer is closed."""

    is_direct: ClassVar[bool] = False
    may_lack_sctp: ClassVar[bool] = False  # asked for by default: then only its use is refused

    def __init__(self, router: "Router", id: str, options: TransportOptions) -> None:
        if not self.may_lack_sctp:
            check_options(options)
        self.context: Context = router.context
        self.router: Router = router
        self.id = id
        self.options = options
        self.producers: dict[str, Producer] = {}
        self.consumers: dict[str, Consumer] = {}
        self.rtp_listener = RtpListener()
        self._extensions: dict[int, int] = {}  # kind -> id, learned from producers
        self._feedback = NO_FEEDBACK
        self._max_incoming = 0
        self._max_outgoing = 0
        self._min_outgoing = 0
        self._trace: list[TransportTraceEventType] = []
        self.handle = self._open()
        self.context.dispatch.add(Slab.TRANSPORT, self.handle, self.on_event)
        self.context.registry.add(self.id, self)
        router.transports[self.id] = self

    @abstractmethod
    def _open(self) -> int:
        """Create it in the engine; whatever was opened is closed again if that fails."""

    @abstractmethod
    def _release(self) -> None:
        """Close what `_open` opened beside the engine's transport."""

    @abstractmethod
    def on_event(self, event: Event) -> None:
        """What the media thread reports of this transport."""

    @abstractmethod
    def dump(self) -> TransportDumpResponse:
        """TRANSPORT_DUMP, and the reply to the creating request."""

    @abstractmethod
    def stats(self) -> TransportGetStatsResponse:
        """TRANSPORT_GET_STATS."""

    def drops(self) -> Counters:
        """TRANSPORT_GET_DROPS."""
        return Counters(counters=self.context.engine.transport_stats(self.handle)["drops"])

    def close(self) -> None:
        """Close its consumers and producers, then itself, then its sockets."""
        for consumer in list(self.consumers.values()):
            consumer.close()
        for producer in list(self.producers.values()):
            producer.close()
        self.context.dispatch.remove(Slab.TRANSPORT, self.handle)
        self.context.engine.close_transport(self.handle)
        self.context.registry.remove(self.id)
        del self.router.transports[self.id]
        self._release()

    # --- producers and consumers

    def produce(self, request: TransportProduce) -> TransportProduceResponse:
        """TRANSPORT_PRODUCE."""
        type = check_produce(request)
        self.context.registry.check_free(request.producer_id)
        self.rtp_listener.add(request.producer_id, request.rtp_parameters)
        try:
            self._learn_extensions(request.rtp_parameters)
            Producer(self, request, type)
        except BaseException:
            self.rtp_listener.remove(request.producer_id)
            raise
        return TransportProduceResponse(type=type)

    def consume(self, request: TransportConsume) -> TransportConsumeResponse:
        """TRANSPORT_CONSUME."""
        producer = self.router.find_producer(request.producer_id)
        check_consume(request)
        self.context.registry.check_free(request.consumer_id)
        self._check_ssrcs(request.rtp_parameters)
        consumer = Consumer(self, producer, request)
        return TransportConsumeResponse(
            paused=consumer.paused, producer_paused=consumer.producer_paused, score=consumer.scores()
        )

    def close_producer(self, producer_id: str) -> None:
        """TRANSPORT_CLOSE_PRODUCER."""
        if producer_id not in self.producers:
            raise NotFoundError(f"no producer with the id {producer_id!r} in this transport")
        self.producers[producer_id].close()

    def close_consumer(self, consumer_id: str) -> None:
        """TRANSPORT_CLOSE_CONSUMER."""
        if consumer_id not in self.consumers:
            raise NotFoundError(f"no consumer with the id {consumer_id!r} in this transport")
        self.consumers[consumer_id].close()

    def feedback_for(self, parameters: RtpParameters) -> int:
        """How a producer with these parameters is told what arrives; the first that qualifies decides for all."""
        offered = {feedback.type for codec in parameters.codecs for feedback in codec.rtcp_feedback}
        feedback = NO_FEEDBACK
        if _OWN_KINDS["transport_wide_cc01"] in self._extensions and "transport-cc" in offered:
            feedback = TRANSPORT_CC
        elif _OWN_KINDS["abs_send_time"] in self._extensions and "goog-remb" in offered:
            feedback = REMB
        self._feedback = self._feedback or feedback
        return feedback

    # --- limits, traces, RTCP

    def set_max_incoming_bitrate(self, request: TransportSetMaxIncomingBitrate) -> None:
        """TRANSPORT_SET_MAX_INCOMING_BITRATE."""
        self.context.engine.set_bitrates(self.handle, request.max_incoming_bitrate)
        self._max_incoming = request.max_incoming_bitrate

    def set_max_outgoing_bitrate(self, request: TransportSetMaxOutgoingBitrate) -> None:
        """TRANSPORT_SET_MAX_OUTGOING_BITRATE; kept until there is an estimator that heeds it."""
        check_outgoing_limits(self._min_outgoing, request.max_outgoing_bitrate)
        self._max_outgoing = request.max_outgoing_bitrate

    def set_min_outgoing_bitrate(self, request: TransportSetMinOutgoingBitrate) -> None:
        """TRANSPORT_SET_MIN_OUTGOING_BITRATE; kept until there is an estimator that heeds it."""
        check_outgoing_limits(request.min_outgoing_bitrate, self._max_outgoing)
        self._min_outgoing = request.min_outgoing_bitrate

    def enable_trace_event(self, request: TransportEnableTraceEvent) -> None:
        """TRANSPORT_ENABLE_TRACE_EVENT: replaces the set."""
        self._trace = sorted(set(request.events))

    def send_rtcp(self, message: TransportSendRtcp) -> None:
        """TRANSPORT_SEND_RTCP: of a direct transport only."""
        self.context.logs.warn("rtcp", f"{type(self).__name__}.sendRtcp: {self.id} is no direct transport")

    # --- dump and statistics

    def base_dump(self) -> TransportBaseDump:
        """The part of the dump that all transports have."""
        ssrcs, rtx_ssrcs = [], []
        for consumer in self.consumers.values():
            for stream in consumer.streams:
                ssrcs.append(Uint32String(key=stream.ssrc, value=consumer.id))
                if stream.format.rtx_ssrc:
                    rtx_ssrcs.append(Uint32String(key=stream.format.rtx_ssrc, value=consumer.id))
        return TransportBaseDump(
            id=self.id,
            direct=self.is_direct,
            producer_ids=list(self.producers),
            consumer_ids=list(self.consumers),
            map_ssrc_consumer_id=ssrcs,
            map_rtx_ssrc_consumer_id=rtx_ssrcs,
            data_producer_ids=[],
            data_consumer_ids=[],
            recv_rtp_header_extensions=self._extensions_dump(),
            rtp_listener=self.rtp_listener.dump(),
            max_send_message_size=self.options.max_send_message_size,
            max_receive_message_size=self.options.max_receive_message_size,
            trace_event_types=self._trace,
        )

    def base_stats(self, stats: "TransportStats") -> TransportBaseStats:
        """The part of the statistics that all transports have."""
        base = transport_stats(
            self.id,
            stats,
            estimates_incoming=self._feedback != NO_FEEDBACK,
            reports_loss=self._feedback == TRANSPORT_CC,
        )
        base.max_incoming_bitrate = self._max_incoming or None
        base.max_outgoing_bitrate = self._max_outgoing or None
        base.min_outgoing_bitrate = self._min_outgoing or None
        return base

    def _extensions_dump(self) -> RecvRtpHeaderExtensions:
        ids = {name: self._extensions.get(kind) for name, kind in _OWN_KINDS.items()}
        return RecvRtpHeaderExtensions(**ids)

    def _learn_extensions(self, parameters: RtpParameters) -> None:
        known = extension_ids(parameters.header_extensions)
        learned = {kind: known[kind] for kind in _OWN_KINDS.values() if kind in known}
        if not learned.items() <= self._extensions.items():
            self.context.engine.set_recv_extensions(self.handle, self._extensions | learned)
            self._extensions |= learned

    def _check_ssrcs(self, parameters: RtpParameters) -> None:
        used = {stream.ssrc for consumer in self.consumers.values() for stream in consumer.streams}
        for encoding in parameters.encodings:
            if encoding.ssrc in used:
                raise SfuError(f"ssrc {encoding.ssrc} is used by a consumer of this transport already")
