"""Messages to a router (handler id: the router's)."""

from sfu_core.channel.messages.base import Method, Request, Response, StringString, StringStringArray
from sfu_core.channel.messages.observer import ActiveSpeakerObserverOptions, AudioLevelObserverOptions
from sfu_core.channel.messages.plain_transport import (
    DirectTransportDumpResponse,
    DirectTransportOptions,
    PipeTransportDumpResponse,
    PipeTransportOptions,
    PlainTransportDumpResponse,
    PlainTransportOptions,
)
from sfu_core.channel.messages.webrtc_transport import WebRtcTransportDumpResponse, WebRtcTransportOptions


class RouterDumpResponse(Response):
    BODY = 4
    id: str
    transport_ids: list[str]
    rtp_observer_ids: list[str]
    map_producer_id_consumer_ids: list[StringStringArray]
    map_consumer_id_producer_id: list[StringString]
    map_producer_id_observer_ids: list[StringStringArray]
    map_data_producer_id_data_consumer_ids: list[StringStringArray]
    map_data_consumer_id_data_producer_id: list[StringString]


class RouterDump(Request[RouterDumpResponse]):
    METHOD = Method.ROUTER_DUMP


class RouterCreateWebRtcTransport(Request[WebRtcTransportDumpResponse]):
    """With sockets of its own: `options.listen` is ListenIndividual."""

    METHOD = Method.ROUTER_CREATE_WEBRTCTRANSPORT
    BODY = 6
    transport_id: str
    options: WebRtcTransportOptions


class RouterCreateWebRtcTransportWithServer(Request[WebRtcTransportDumpResponse]):
    """With the sockets of a WebRtcServer: `options.listen` is ListenServer."""

    METHOD = Method.ROUTER_CREATE_WEBRTCTRANSPORT_WITH_SERVER
    BODY = 6
    transport_id: str
    options: WebRtcTransportOptions


class RouterCreatePlainTransport(Request[PlainTransportDumpResponse]):
    METHOD = Method.ROUTER_CREATE_PLAINTRANSPORT
    BODY = 7
    transport_id: str
    options: PlainTransportOptions


class RouterCreatePipeTransport(Request[PipeTransportDumpResponse]):
    METHOD = Method.ROUTER_CREATE_PIPETRANSPORT
    BODY = 8
    transport_id: str
    options: PipeTransportOptions


class RouterCreateDirectTransport(Request[DirectTransportDumpResponse]):
    METHOD = Method.ROUTER_CREATE_DIRECTTRANSPORT
    BODY = 9
    transport_id: str
    options: DirectTransportOptions


class RouterCreateActiveSpeakerObserver(Request[None]):
    METHOD = Method.ROUTER_CREATE_ACTIVESPEAKEROBSERVER
    BODY = 10
    rtp_observer_id: str
    options: ActiveSpeakerObserverOptions


class RouterCreateAudioLevelObserver(Request[None]):
    METHOD = Method.ROUTER_CREATE_AUDIOLEVELOBSERVER
    BODY = 11
    rtp_observer_id: str
    options: AudioLevelObserverOptions


class RouterCloseTransport(Request[None]):
    METHOD = Method.ROUTER_CLOSE_TRANSPORT
    BODY = 12
    transport_id: str


class RouterCloseRtpObserver(Request[None]):
    METHOD = Method.ROUTER_CLOSE_RTPOBSERVER
    BODY = 13
    rtp_observer_id: str
