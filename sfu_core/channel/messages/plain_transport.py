"""What only plain, pipe and direct transports have (handler id: the transport's)."""

from sfu_core.channel.messages.base import U16, Event, Method, Notification, Request, Response, Table
from sfu_core.channel.messages.network import (
    ListenInfo,
    SrtpCryptoSuite,
    SrtpParameters,
    TransportBaseDump,
    TransportBaseStats,
    TransportOptions,
    TransportTuple,
)


class PlainTransportOptions(Table):
    base: TransportOptions
    listen_info: ListenInfo
    rtcp_listen_info: ListenInfo | None = None
    rtcp_mux: bool
    comedia: bool
    enable_srtp: bool
    srtp_crypto_suite: SrtpCryptoSuite | None = None


class PlainTransportConnectResponse(Response):
    BODY = 8
    tuple: TransportTuple | None = None
    rtcp_tuple: TransportTuple | None = None
    srtp_parameters: SrtpParameters | None = None


class PlainTransportDumpResponse(Response, tag=9):
    BODY = 9
    base: TransportBaseDump
    rtcp_mux: bool
    comedia: bool
    tuple: TransportTuple
    rtcp_tuple: TransportTuple | None = None
    srtp_parameters: SrtpParameters | None = None


class PlainTransportGetStatsResponse(Response, tag=10):
    BODY = 10
    base: TransportBaseStats
    rtcp_mux: bool
    comedia: bool
    tuple: TransportTuple
    rtcp_tuple: TransportTuple | None = None


class PlainTransportConnect(Request[PlainTransportConnectResponse]):
    METHOD = Method.PLAINTRANSPORT_CONNECT
    BODY = 26
    ip: str | None = None
    port: U16 | None = None
    rtcp_port: U16 | None = None
    srtp_parameters: SrtpParameters | None = None


class PlainTransportTuple(Notification):
    """The remote address was learned (comedia)."""

    EVENT = Event.PLAINTRANSPORT_TUPLE
    BODY = 10
    tuple: TransportTuple


class PlainTransportRtcpTuple(Notification):
    """The remote RTCP address was learned (comedia without rtcp-mux)."""

    EVENT = Event.PLAINTRANSPORT_RTCP_TUPLE
    BODY = 11
    tuple: TransportTuple


class PipeTransportOptions(Table):
    base: TransportOptions
    listen_info: ListenInfo
    enable_rtx: bool
    enable_srtp: bool


class PipeTransportConnectResponse(Response):
    BODY = 11
    tuple: TransportTuple


class PipeTransportDumpResponse(Response, tag=12):
    BODY = 12
    base: TransportBaseDump
    tuple: TransportTuple
    rtx: bool
    srtp_parameters: SrtpParameters | None = None


class PipeTransportGetStatsResponse(Response, tag=13):
    BODY = 13
    base: TransportBaseStats
    tuple: TransportTuple


class PipeTransportConnect(Request[PipeTransportConnectResponse]):
    METHOD = Method.PIPETRANSPORT_CONNECT
    BODY = 27
    ip: str
    port: U16 | None = None
    srtp_parameters: SrtpParameters | None = None


class DirectTransportOptions(Table):
    base: TransportOptions


class DirectTransportDumpResponse(Response, tag=14):
    BODY = 14
    base: TransportBaseDump


class DirectTransportGetStatsResponse(Response, tag=15):
    BODY = 15
    base: TransportBaseStats


class DirectTransportRtcp(Notification):
    """A compound RTCP packet for the application."""

    EVENT = Event.DIRECTTRANSPORT_RTCP
    BODY = 12
    MEDIA = True
    data: bytes
