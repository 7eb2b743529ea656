"""From messages to methods: the whole list of what a core process does when asked.

Control thread only. An id that nobody has is a NotFoundError, a request that its object does not understand an
SfuError, and what this version does not do yet an UnsupportedError.
"""

from collections.abc import Callable
from typing import Any

from sfu_core.channel import messages as m
from sfu_core.errors import SfuError, UnsupportedError
from sfu_core.worker.consumer import Consumer
from sfu_core.worker.loan import Loan
from sfu_core.worker.pipe_transport import PipeTransport
from sfu_core.worker.plain_transport import PlainTransport
from sfu_core.worker.producer import Producer
from sfu_core.worker.ring_transport import RingTransport
from sfu_core.worker.router import Router
from sfu_core.worker.transport import Transport
from sfu_core.worker.webrtc_server import WebRtcServer
from sfu_core.worker.webrtc_transport import WebRtcTransport
from sfu_core.worker.worker import Worker

# Whom a message addresses, and what it makes of (target, message).
Route = tuple[type | tuple[type, ...], Callable[[Any, Any], Any]]

REQUESTS: dict[type[m.Request[Any]], Route] = {
    m.WorkerDump: (Worker, lambda worker, _: worker.dump()),
    m.WorkerGetResourceUsage: (Worker, lambda worker, _: worker.resource_usage()),
    m.WorkerGetCoreStats: (Worker, lambda worker, _: worker.core_stats()),
    m.WorkerShareMemory: (Worker, lambda worker, _: worker.share_memory()),
    m.WorkerOpenRing: (Worker, lambda worker, r: worker.rings.open(r)),
    m.WorkerJoinRing: (Worker, lambda worker, r: worker.rings.join(r)),
    m.WorkerCloseRing: (Worker, lambda worker, r: worker.rings.close(r)),
    m.WorkerShareWebRtcServer: (Worker, Worker.share_webrtc_server),
    m.WorkerSetNeighbour: (Worker, Worker.set_neighbour),
    m.WorkerAdoptSockets: (Worker, lambda worker, r: worker.server(r.web_rtc_server_id).adopt(r)),
    m.WorkerReleaseSockets: (Worker, lambda worker, r: worker.server(r.web_rtc_server_id).release(r)),
    m.WorkerUpdateSettings: (Worker, Worker.update_settings),
    m.WorkerCreateWebRtcServer: (Worker, Worker.create_webrtc_server),
    m.WorkerCreateRouter: (Worker, Worker.create_router),
    m.WorkerWebRtcServerClose: (Worker, lambda worker, r: worker.close_webrtc_server(r.web_rtc_server_id)),
    m.WorkerCloseRouter: (Worker, lambda worker, r: worker.close_router(r.router_id)),
    m.WebRtcServerDump: (WebRtcServer, lambda server, _: server.dump()),
    m.RouterDump: (Router, lambda router, _: router.dump()),
    m.RouterCreateWebRtcTransport: (Router, Router.create_webrtc_transport),
    m.RouterCreateWebRtcTransportWithServer: (Router, Router.create_webrtc_transport),
    m.RouterCreatePlainTransport: (Router, Router.create_plain_transport),
    m.RouterCreatePipeTransport: (Router, Router.create_pipe_transport),
    m.RouterCreateDirectTransport: (Router, Router.create_direct_transport),
    m.RouterCreateRingTransport: (Router, Router.create_ring_transport),
    m.RingTransportConnect: (RingTransport, RingTransport.connect),
    m.RouterBorrowProducer: (Router, Router.borrow),
    m.RouterReturnProducer: (Router, lambda router, r: router.give_back(r.loan_id)),
    m.RouterCloseTransport: (Router, lambda router, r: router.close_transport(r.transport_id)),
    m.TransportDump: (Transport, lambda transport, _: transport.dump()),
    m.TransportGetStats: (Transport, lambda transport, _: transport.stats()),
    m.TransportGetDrops: (Transport, lambda transport, _: transport.drops()),
    m.TransportSetMaxIncomingBitrate: (Transport, lambda transport, r: transport.set_max_incoming_bitrate(r)),
    m.TransportSetMaxOutgoingBitrate: (Transport, lambda transport, r: transport.set_max_outgoing_bitrate(r)),
    m.TransportSetMinOutgoingBitrate: (Transport, lambda transport, r: transport.set_min_outgoing_bitrate(r)),
    m.TransportRestartIce: (WebRtcTransport, lambda transport, _: transport.restart_ice()),
    m.TransportProduce: (Transport, Transport.produce),
    m.TransportConsume: (Transport, Transport.consume),
    m.TransportEnableTraceEvent: (Transport, Transport.enable_trace_event),
    m.TransportCloseProducer: (Transport, lambda transport, r: transport.close_producer(r.producer_id)),
    m.TransportCloseConsumer: (Transport, lambda transport, r: transport.close_consumer(r.consumer_id)),
    m.PlainTransportConnect: (PlainTransport, PlainTransport.connect),
    m.PipeTransportConnect: (PipeTransport, PipeTransport.connect),
    m.WebRtcTransportConnect: (WebRtcTransport, WebRtcTransport.connect),
    m.ProducerDump: (Producer, lambda producer, _: producer.dump()),
    m.ProducerGetStats: (Producer, lambda producer, _: producer.stats()),
    m.ProducerPause: ((Producer, Loan), lambda producer, _: producer.pause()),
    m.ProducerResume: ((Producer, Loan), lambda producer, _: producer.resume()),
    m.ProducerEnableTraceEvent: (Producer, Producer.enable_trace_event),
    m.ConsumerDump: (Consumer, lambda consumer, _: consumer.dump()),
    m.ConsumerGetStats: (Consumer, lambda consumer, _: consumer.stats()),
    m.ConsumerPause: (Consumer, lambda consumer, _: consumer.pause()),
    m.ConsumerResume: (Consumer, lambda consumer, _: consumer.resume()),
    m.ConsumerSetPreferredLayers: (Consumer, lambda consumer, _: consumer.set_preferred_layers()),
    m.ConsumerSetPriority: (Consumer, Consumer.set_priority),
    m.ConsumerRequestKeyFrame: (Consumer, lambda consumer, _: consumer.request_key_frame()),
    m.ConsumerEnableTraceEvent: (Consumer, Consumer.enable_trace_event),
}

UNSUPPORTED: dict[type[m.Request[Any]], str] = {
    m.RouterCreateActiveSpeakerObserver: "ActiveSpeakerObserver",
    m.RouterCreateAudioLevelObserver: "AudioLevelObserver",
    m.TransportProduceData: "produceData",
    m.TransportConsumeData: "consumeData",
}

NOTIFICATIONS: dict[type[m.Notification], Route] = {
    m.TransportSendRtcp: (Transport, lambda transport, n: transport.send_rtcp(n)),
    m.ProducerSend: (Producer, Producer.send),
}


class Executor:
    """Carries out messages on the tree below one worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def request(self, message: m.Request[Any], handler_id: str) -> Any:
        """The body of the reply. Raises what the caller is to be told."""
        target = self._target(handler_id)
        if type(message) in UNSUPPORTED:
            raise UnsupportedError(f"{UNSUPPORTED[type(message)]} is not supported yet")
        try:
            return _apply(REQUESTS.get(type(message)), target, message)
        except BufferError as error:  # the engine has room for so many objects, and for so many commands
            raise SfuError(str(error)) from error

    def notification(self, message: m.Notification, handler_id: str) -> None:
        """Carries it out. An object that has gone meanwhile is no error."""
        try:
            target = self._target(handler_id)
        except SfuError:
            return
        _apply(NOTIFICATIONS.get(type(message)), target, message)

    def _target(self, handler_id: str) -> Any:
        return self._worker.context.registry.get(handler_id) if handler_id else self._worker


def _apply(route: Route | None, target: Any, message: Any) -> Any:
    if route is None or not isinstance(target, route[0]):
        raise SfuError(f"{type(target).__name__} does not understand {type(message).__name__}")
    return route[1](target, message)
