"""What carries media into and out of a router; the common part of the four kinds."""

import secrets
import string
from collections.abc import Iterable
from typing import Any, ClassVar

from ..channel import messages as m
from ..channel.messages import Notification, Request
from . import ortc, peers
from .consumer import Consumer, preferred_layers_to_wire
from .context import RouterContext
from .convert import api, rtp
from .convert.arguments import (
    MAX_UINT53,
    bool_argument,
    number_argument,
    object_argument,
    string_argument,
    trace_types,
)
from .data_consumer import DataConsumer
from .data_producer import DataProducer
from .data_streams import DataStreams
from .entity import Parent, checked_app_data, new_id
from .producer import Producer
from .types import MediaKind, RtpCapabilities, RtpParameters, RtpType, SctpStreamParameters, TransportType

_LETTERS = string.ascii_lowercase + string.digits
_CNAME_LENGTH = 8
_MID_LENGTH = 8
_SIGN_LENGTH = 3


def random_cname() -> str:
    """A canonical name for a sender that gave none."""
    return _random_text(_CNAME_LENGTH)


def _random_text(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


class Transport(Parent):
    """Producers, consumers and their data counterparts belong to a transport and end with it.

    Events: `routerclose`, `listenserverclose`, `trace` (dictionary). Observer: `close`, `newproducer`,
    `newconsumer`, `newdataproducer`, `newdataconsumer` (each with the object), `trace`.
    """

    _TYPE: ClassVar[TransportType]
    _STATS_TYPE: ClassVar[str]
    _CHILDREN_HEAR = "transportclose"

    def __init__(self, context: RouterContext, id: str, app_data: Any = None) -> None:
        super().__init__(context.channel, id, app_data)
        self._context = context
        self._producers: dict[str, Producer] = {}
        self._consumers: dict[str, Consumer] = {}
        self._data_producers: dict[str, DataProducer] = {}
        self._data_consumers: dict[str, DataConsumer] = {}
        self._data_streams = DataStreams()
        self._cname: str | None = None
        self._mids = 0
        self._mid_sign = _random_text(_SIGN_LENGTH) if peers.are_there(self._channel) else ""
        """Where others consume on the transport, too, MIDs must differ from theirs."""
        self._listen()

    @property
    def type(self) -> TransportType:
        """`webrtc`, `plain`, `pipe` or `direct`."""
        return self._TYPE

    # Ending

    def close(self) -> None:
        """End the transport and all that belongs to it."""
        if not self._closed:
            self._channel.post(m.RouterCloseTransport(transport_id=self._id), self._context.router_id)
            self._end()

    def _tables(self) -> tuple[dict[str, Any], ...]:
        return self._producers, self._consumers, self._data_producers, self._data_consumers

    # Requests that all kinds have

    async def dump(self) -> dict[str, Any]:
        """The worker's view of the transport."""
        return api.transport_dump(await self._request(m.TransportDump()))

    async def get_stats(self) -> list[dict[str, Any]]:
        """One dictionary; bytes are totals, bitrates bits per second."""
        return [api.transport_stats(await self._request(m.TransportGetStats()), self._STATS_TYPE)]

    async def get_drops(self) -> dict[str, int]:
        """Packets that went no further, by reason (not in mediasoup)."""
        return (await self._request_extension(m.TransportGetDrops())).counters

    async def set_max_incoming_bitrate(self, bitrate: int) -> None:
        """Bits per second that publishers are asked not to exceed; 0 for no limit."""
        number_argument(bitrate, "bitrate", 0, MAX_UINT53)
        await self._request(m.TransportSetMaxIncomingBitrate(max_incoming_bitrate=bitrate))

    async def set_max_outgoing_bitrate(self, bitrate: int) -> None:
        """Bits per second not to exceed, at least 30 000; 0 for no limit."""
        number_argument(bitrate, "bitrate", 0, MAX_UINT53)
        await self._request(m.TransportSetMaxOutgoingBitrate(max_outgoing_bitrate=bitrate))

    async def set_min_outgoing_bitrate(self, bitrate: int) -> None:
        """Bits per second to assume at least, 30 000 or more; 0 for none."""
        number_argument(bitrate, "bitrate", 0, MAX_UINT53)
        await self._request(m.TransportSetMinOutgoingBitrate(min_outgoing_bitrate=bitrate))

    async def enable_trace_event(self, types: Iterable[str] = ()) -> None:
        """Trace these (`probation`, `bwe`) and no others; unknown names are ignored."""
        await self._request(m.TransportEnableTraceEvent(events=trace_types(types, m.TransportTraceEventType)))

    # Media

    async def produce(
        self,
        *,
        kind: MediaKind,
        rtp_parameters: RtpParameters,
        paused: bool = False,
        key_frame_request_delay: int = 0,
        enable_mediasoup_packet_id_header_extension: bool = False,
        id: str | None = None,
        app_data: Any = None,
    ) -> Producer:
        """Bring in audio or video. `key_frame_request_delay` in milliseconds; `id` is for piping."""
        app_data = checked_app_data(app_data)
        if id is not None and string_argument(id, "id") in self._producers:
            raise TypeError(f"id: there is a Producer {id} in this transport already")
        if kind not in ("audio", "video"):
            raise TypeError("kind is neither audio nor video")
        parameters = ortc.validate_rtp_parameters(rtp_parameters)
        parameters["encodings"] = parameters["encodings"] or [{"dtx": False}]
        parameters["rtcp"]["cname"] = self._producer_cname(parameters["rtcp"].get("cname"))
        capabilities = self._context.rtp_capabilities
        mapping = ortc.get_producer_rtp_parameters_mapping(parameters, capabilities)
        request = m.TransportProduce(
            producer_id=id or new_id(),
            kind=rtp.kind_to_wire(kind),
            rtp_parameters=rtp.rtp_parameters_to_wire(parameters),
            rtp_mapping=rtp.rtp_mapping_to_wire(mapping),
            paused=bool_argument(paused, "paused"),
            key_frame_request_delay=number_argument(key_frame_request_delay, "key_frame_request_delay"),
            enable_mediasoup_packet_id_header_extension=bool_argument(
                enable_mediasoup_packet_id_header_extension, "enable_mediasoup_packet_id_header_extension"
            ),
        )
        consumable = ortc.get_consumable_rtp_parameters(kind, parameters, capabilities, mapping)
        response = await self._create(request, m.TransportCloseProducer(producer_id=request.producer_id))
        return self._add_producer(request, response, parameters, consumable, app_data)

    def _add_producer(
        self,
        request: m.TransportProduce,
        response: m.TransportProduceResponse,
        parameters: RtpParameters,
        consumable: RtpParameters,
        app_data: Any = None,
    ) -> Producer:
        producer = Producer(
            self._channel,
            self._id,
            request.producer_id,
            kind=api.to_api(request.kind),
            rtp_parameters=parameters,
            consumable_rtp_parameters=consumable,
            type=api.type_name(response.type),
            paused=request.paused,
            app_data=app_data,
        )
        return self._adopt(producer, "newproducer", self._producers, self._context.producers)

    def _add_peers_producer(self, request: m.TransportProduce, response: m.TransportProduceResponse) -> None:
        parameters = api.to_api(request.rtp_parameters)
        self._producer_cname(parameters["rtcp"].get("cname"))
        consumable = ortc.get_consumable_rtp_parameters(
            api.to_api(request.kind), parameters, self._context.rtp_capabilities, api.to_api(request.rtp_mapping)
        )
        self._add_producer(request, response, parameters, consumable)

    def _producer_cname(self, given: str | None) -> str:
        """One CNAME for all that comes in here: the first one given, else a random one (RFC 3550 §6.5.1)."""
        if self._cname is None:
            self._cname = given or random_cname()
        return self._cname

    async def consume(
        self,
        *,
        producer_id: str,
        rtp_capabilities: RtpCapabilities,
        paused: bool = False,
        mid: str | None = None,
        preferred_layers: Any = None,
        enable_rtx: bool | None = None,
        ignore_dtx: bool = False,
        pipe: bool = False,
        app_data: Any = None,
    ) -> Consumer:
        """Take out a producer's media for a receiver with `rtp_capabilities`.

        `enable_rtx` (NACK and RTX) is on for video and off for audio unless given; with `pipe` all encodings are
        sent and there is no MID.
        """
        app_data = checked_app_data(app_data)
        if mid is not None:
            string_argument(mid, "mid")
        object_argument(rtp_capabilities, "rtp_capabilities")
        producer = self._context.find_producer(producer_id)
        parameters = ortc.get_consumer_rtp_parameters(
            producer._consumable_rtp_parameters,
            rtp_capabilities,
            pipe=bool_argument(pipe, "pipe"),
            enable_rtx=producer.kind == "video" if enable_rtx is None else bool(enable_rtx),
        )
        if not pipe:
            parameters["mid"] = mid or self._new_mid()
        return await self._consume(
            producer,
            parameters,
            "pipe" if pipe else producer.type,
            paused=bool_argument(paused, "paused"),
            preferred_layers=preferred_layers and preferred_layers_to_wire(preferred_layers),
            ignore_dtx=bool_argument(ignore_dtx, "ignore_dtx"),
            app_data=app_data,
        )

    def _new_mid(self) -> str:
        mid, self._mids = self._mids, (self._mids + 1) % 10 ** (_MID_LENGTH - len(self._mid_sign))
        return f"{mid}{self._mid_sign}"

    async def _consume(
        self,
        producer: Producer,
        parameters: RtpParameters,
        type: RtpType,
        *,
        paused: bool = False,
        preferred_layers: m.ConsumerLayers | None = None,
        ignore_dtx: bool = False,
        app_data: Any,
    ) -> Consumer:
        request = m.TransportConsume(
            consumer_id=new_id(),
            producer_id=producer.id,
            kind=rtp.kind_to_wire(producer.kind),
            rtp_parameters=rtp.rtp_parameters_to_wire(parameters),
            type=m.RtpType[type.upper()],
            consumable_rtp_encodings=rtp.rtp_encodings_to_wire(producer._consumable_rtp_parameters["encodings"]),
            paused=paused,
            preferred_layers=preferred_layers,
            ignore_dtx=ignore_dtx,
        )
        response = await self._create(request, m.TransportCloseConsumer(consumer_id=request.consumer_id))
        return self._add_consumer(request, response, parameters, app_data)

    def _add_consumer(
        self,
        request: m.TransportConsume,
        response: m.TransportConsumeResponse,
        parameters: RtpParameters,
        app_data: Any = None,
    ) -> Consumer:
        consumer = Consumer(
            self._channel,
            self._id,
            request.consumer_id,
            producer_id=request.producer_id,
            kind=api.to_api(request.kind),
            rtp_parameters=parameters,
            type=api.type_name(request.type),
            response=response,
            app_data=app_data,
        )
        return self._adopt(consumer, "newconsumer", self._consumers)

    # Messages

    async def produce_data(
        self,
        *,
        sctp_stream_parameters: SctpStreamParameters | None = None,
        label: str = "",
        protocol: str = "",
        paused: bool = False,
        id: str | None = None,
        app_data: Any = None,
    ) -> DataProducer:
        """Bring in a data channel; `sctp_stream_parameters` unless this is a DirectTransport."""
        app_data = checked_app_data(app_data)
        if id is not None and string_argument(id, "id") in self._data_producers:
            raise TypeError(f"id: there is a DataProducer {id} in this transport already")
        request = self._data_streams.produce_request(
            id or new_id(), self._is_direct, sctp_stream_parameters, label, protocol, paused
        )
        undo = m.TransportCloseDataProducer(data_producer_id=request.data_producer_id)
        return self._add_data_producer(await self._create(request, undo), app_data)

    def _add_data_producer(self, response: m.DataProducerDumpResponse, app_data: Any = None) -> DataProducer:
        producer = DataProducer(self._channel, self._id, response, app_data)
        return self._adopt(producer, "newdataproducer", self._data_producers, self._context.data_producers)

    async def consume_data(
        self,
        *,
        data_producer_id: str,
        ordered: bool | None = None,
        max_packet_life_time: int | None = None,
        max_retransmits: int | None = None,
        paused: bool = False,
        subchannels: Iterable[int] = (),
        app_data: Any = None,
    ) -> DataConsumer:
        """Take out a data channel; `max_packet_life_time` in milliseconds.

        Order and limits are those of the data producer unless given; they mean nothing on a DirectTransport.
        """
        app_data = checked_app_data(app_data)
        producer = self._context.find_data_producer(data_producer_id)
        request = self._data_streams.consume_request(
            new_id(), self._is_direct, producer, ordered, max_packet_life_time, max_retransmits, paused,
            subchannels,
        )  # fmt: skip
        try:
            undo = m.TransportCloseDataConsumer(data_consumer_id=request.data_consumer_id)
            response = await self._create(request, undo)
        except BaseException:
            self._data_streams.release(request)
            raise
        return self._add_data_consumer(request, response, app_data)

    def _add_data_consumer(
        self, request: m.TransportConsumeData, response: m.DataConsumerDumpResponse, app_data: Any = None
    ) -> DataConsumer:
        consumer = DataConsumer(self._channel, self._id, response, app_data)
        self._data_streams.hold(request)
        consumer._when_ended(lambda: self._data_streams.release(request))
        return self._adopt(consumer, "newdataconsumer", self._data_consumers)

    @property
    def _is_direct(self) -> bool:
        return self._TYPE == "direct"

    # News

    def _add(self, message: Request[Any], answer: Any) -> None:
        match message:
            case m.TransportProduce():
                self._add_peers_producer(message, answer)
            case m.TransportConsume():
                self._add_consumer(message, answer, api.to_api(message.rtp_parameters))
            case m.TransportProduceData():
                self._add_data_producer(answer)
            case m.TransportConsumeData():
                self._add_data_consumer(message, answer)

    def _notified(self, notification: Notification) -> None:
        if isinstance(notification, m.TransportTrace):
            self._tell("trace", api.trace(notification))
        elif isinstance(notification, m.TransportCoreGone):
            self._end("routerclose")
        else:
            super()._notified(notification)
