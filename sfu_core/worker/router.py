"""A router: transports that may consume each other's producers.

Control thread only.
"""

from typing import TYPE_CHECKING

from sfu_core.channel.messages import (
    DirectTransportDumpResponse,
    PipeTransportDumpResponse,
    PlainTransportDumpResponse,
    RingTransportCreated,
    RouterBorrowProducer,
    RouterCreateDirectTransport,
    RouterCreatePipeTransport,
    RouterCreatePlainTransport,
    RouterCreateRingTransport,
    RouterCreateWebRtcTransport,
    RouterCreateWebRtcTransportWithServer,
    RouterDumpResponse,
    StringString,
    StringStringArray,
    WebRtcTransportDumpResponse,
)
from sfu_core.errors import NotFoundError
from sfu_core.worker.direct_transport import DirectTransport
from sfu_core.worker.loan import Loan
from sfu_core.worker.pipe_transport import PipeTransport
from sfu_core.worker.plain_transport import PlainTransport
from sfu_core.worker.producer import Producer
from sfu_core.worker.ring_transport import RingTransport
from sfu_core.worker.transport import Transport
from sfu_core.worker.webrtc_transport import WebRtcTransport

if TYPE_CHECKING:
    from sfu_core.worker.worker import Worker


class Router:
    """Exists from WORKER_CREATE_ROUTER until it or the worker is closed."""

    def __init__(self, worker: "Worker", id: str) -> None:
        self.context = worker.context
        self.worker = worker
        self.id = id
        self.transports: dict[str, Transport] = {}
        self.producers: dict[str, Producer] = {}
        self.loans: dict[str, Loan] = {}
        self.context.registry.add(id, self)
        worker.routers[id] = self

    def close(self) -> None:
        """Close everything in it; consumers first, so that none is told of producers that go with it."""
        for transport in self.transports.values():
            for consumer in list(transport.consumers.values()):
                consumer.close()
        for transport in list(self.transports.values()):
            transport.close()
        for loan in list(self.loans.values()):
            loan.close()
        self.context.registry.remove(self.id)
        del self.worker.routers[self.id]

    def create_webrtc_transport(
        self, request: RouterCreateWebRtcTransport | RouterCreateWebRtcTransportWithServer
    ) -> WebRtcTransportDumpResponse:
        """ROUTER_CREATE_WEBRTCTRANSPORT and ..._WITH_SERVER; the union `options.listen` tells them apart."""
        self.context.registry.check_free(request.transport_id)
        return WebRtcTransport(self, request.transport_id, request.options).dump()

    def create_plain_transport(self, request: RouterCreatePlainTransport) -> PlainTransportDumpResponse:
        """ROUTER_CREATE_PLAINTRANSPORT."""
        self.context.registry.check_free(request.transport_id)
        return PlainTransport(self, request.transport_id, request.options).dump()

    def create_pipe_transport(self, request: RouterCreatePipeTransport) -> PipeTransportDumpResponse:
        """ROUTER_CREATE_PIPETRANSPORT."""
        self.context.registry.check_free(request.transport_id)
        return PipeTransport(self, request.transport_id, request.options).dump()

    def create_direct_transport(self, request: RouterCreateDirectTransport) -> DirectTransportDumpResponse:
        """ROUTER_CREATE_DIRECTTRANSPORT."""
        self.context.registry.check_free(request.transport_id)
        return DirectTransport(self, request.transport_id, request.options).dump()

    def create_ring_transport(self, request: RouterCreateRingTransport) -> RingTransportCreated:
        """ROUTER_CREATE_RINGTRANSPORT."""
        self.context.registry.check_free(request.transport_id)
        return RingTransportCreated(tag=RingTransport(self, request).handle)

    def close_transport(self, transport_id: str) -> None:
        """ROUTER_CLOSE_TRANSPORT."""
        if transport_id not in self.transports:
            raise NotFoundError(f"no transport with the id {transport_id!r} in this router")
        self.transports[transport_id].close()

    # --- producers of other routers of this core

    def borrow(self, request: RouterBorrowProducer) -> None:
        """ROUTER_BORROW_PRODUCER."""
        self.context.registry.check_free(request.loan_id)
        Loan(self, request)

    def give_back(self, loan_id: str) -> None:
        """ROUTER_RETURN_PRODUCER."""
        if loan_id not in self.loans:
            raise NotFoundError(f"no loan with the id {loan_id!r} in this router")
        self.loans[loan_id].close()

    def find_producer(self, id: str) -> Producer | Loan:
        """What can be consumed under this id; NotFoundError if there is nothing."""
        producer = self.producers.get(id) or self.loans.get(id)
        if producer is None:
            raise NotFoundError(f"no producer with the id {id!r} in this router")
        return producer

    def dump(self) -> RouterDumpResponse:
        """ROUTER_DUMP."""
        producers = self.producers.values()
        consumers = [consumer for producer in producers for consumer in producer.consumers.values()]
        return RouterDumpResponse(
            id=self.id,
            transport_ids=list(self.transports),
            rtp_observer_ids=[],
            map_producer_id_consumer_ids=[
                StringStringArray(key=producer.id, values=list(producer.consumers)) for producer in producers
            ],
            map_consumer_id_producer_id=[
                StringString(key=consumer.id, value=consumer.producer.id) for consumer in consumers
            ],
            map_producer_id_observer_ids=[StringStringArray(key=producer.id, values=[]) for producer in producers],
            map_data_producer_id_data_consumer_ids=[],
            map_data_consumer_id_data_producer_id=[],
        )
