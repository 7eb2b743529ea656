"""Which SCTP streams a transport's data producers and consumers use."""

from collections.abc import Iterable
from typing import Any

from ..channel import messages as m
from ..errors import SfuError
from . import ortc
from .convert.arguments import bool_argument, text_argument
from .convert.network import sctp_stream_to_wire
from .data_producer import DataProducer, subchannels_argument
from .log import Logger
from .types import SctpStreamParameters

_STREAM_COUNT = 65535  # 65535 itself is reserved (RFC 8832 §6)

_logger = Logger("Transport")


class DataStreams:
    """Hands out stream ids to data consumers and prepares the requests for both kinds."""

    def __init__(self) -> None:
        self._used: set[int] = set()
        self._next = 0
        self.outbound_count = _STREAM_COUNT
        """Streams negotiated with the peer; 0 while there is no association."""

    def produce_request(
        self,
        id: str,
        direct: bool,
        parameters: SctpStreamParameters | None,
        label: str,
        protocol: str,
        paused: bool,
    ) -> m.TransportProduceData:
        """The request for a data producer."""
        stream = None
        if not direct:
            stream = sctp_stream_to_wire(ortc.validate_sctp_stream_parameters(parameters, "sctp_stream_parameters"))
        elif parameters is not None:
            _logger.warn("sctp_stream_parameters mean nothing on a DirectTransport")
        return m.TransportProduceData(
            data_producer_id=id,
            type=m.DataType.DIRECT if direct else m.DataType.SCTP,
            sctp_stream_parameters=stream,
            label=text_argument(label, "label"),
            protocol=text_argument(protocol, "protocol"),
            paused=bool_argument(paused, "paused"),
        )

    def consume_request(
        self,
        id: str,
        direct: bool,
        producer: DataProducer,
        ordered: bool | None,
        max_packet_life_time: int | None,
        max_retransmits: int | None,
        paused: bool,
        subchannels: Iterable[int],
    ) -> m.TransportConsumeData:
        """The request for a data consumer; it holds a stream id until `release`."""
        reliability = {
            "ordered": ordered,
            "maxPacketLifeTime": max_packet_life_time,
            "maxRetransmits": max_retransmits,
        }
        given = {key: value for key, value in reliability.items() if value is not None}
        request = m.TransportConsumeData(
            data_consumer_id=id,
            data_producer_id=producer.id,
            type=m.DataType.DIRECT if direct else m.DataType.SCTP,
            label=producer.label,
            protocol=producer.protocol,
            paused=bool_argument(paused, "paused"),
            subchannels=subchannels_argument(subchannels),
        )
        if not direct:
            stream = _consumer_stream(producer.sctp_stream_parameters, given)
            request.sctp_stream_parameters = sctp_stream_to_wire(stream | {"streamId": self._take()})
        elif given:
            _logger.warn("%s mean nothing on a DirectTransport", ", ".join(given))
        return request

    def hold(self, request: m.TransportConsumeData) -> None:
        """The data consumer of `request`, which may be a peer's, is there."""
        if request.sctp_stream_parameters is not None:
            self._used.add(request.sctp_stream_parameters.stream_id)

    def release(self, request: m.TransportConsumeData) -> None:
        """The data consumer of `request` has ended, or was never made."""
        if request.sctp_stream_parameters is not None:
            self._used.discard(request.sctp_stream_parameters.stream_id)

    def _take(self) -> int:
        count = self.outbound_count or _STREAM_COUNT
        for offset in range(count):
            stream_id = (self._next + offset) % count
            if stream_id not in self._used:
                self._used.add(stream_id)
                self._next = stream_id + 1
                return stream_id
        raise SfuError("no SCTP stream id is left in this transport")


def _consumer_stream(of_producer: SctpStreamParameters | None, given: dict[str, Any]) -> SctpStreamParameters:
    """The producer's order and limits, unless the application gave others."""
    if not given:
        return of_producer or {"streamId": 0, "ordered": True}
    return ortc.validate_sctp_stream_parameters({"streamId": 0, **given}, "options")
