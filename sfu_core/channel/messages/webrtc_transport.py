"""What only a WebRtcTransport has: ICE, DTLS, options, dump, statistics (handler id: the transport's)."""

from enum import IntEnum
from typing import TypeAlias

from sfu_core.channel.messages.base import U8, U16, U32, Event, Method, Notification, Request, Response, Table
from sfu_core.channel.messages.network import (
    ListenInfo,
    TransportBaseDump,
    TransportBaseStats,
    TransportOptions,
    TransportProtocol,
    TransportTuple,
)


class FingerprintAlgorithm(IntEnum):
    SHA1 = 0
    SHA224 = 1
    SHA256 = 2
    SHA384 = 3
    SHA512 = 4


class DtlsRole(IntEnum):
    AUTO = 0
    CLIENT = 1
    SERVER = 2


class DtlsState(IntEnum):
    NEW = 0
    CONNECTING = 1
    CONNECTED = 2
    FAILED = 3
    CLOSED = 4


class IceRole(IntEnum):
    CONTROLLED = 0
    CONTROLLING = 1


class IceState(IntEnum):
    NEW = 0
    CONNECTED = 1
    COMPLETED = 2
    DISCONNECTED = 3


class IceCandidateType(IntEnum):
    HOST = 0


class IceCandidateTcpType(IntEnum):
    PASSIVE = 0


class ListenIndividual(Table, tag=1):
    """Own sockets."""

    listen_infos: list[ListenInfo]


class ListenServer(Table, tag=2):
    """The sockets of a WebRtcServer."""

    web_rtc_server_id: str


Listen: TypeAlias = ListenIndividual | ListenServer


class WebRtcTransportOptions(Table):
    """`ice_consent_timeout` in seconds, 0: consent is not checked."""

    base: TransportOptions
    listen: Listen
    enable_udp: bool = True
    enable_tcp: bool = True
    prefer_udp: bool = False
    prefer_tcp: bool = False
    ice_consent_timeout: U8 = 30


class Fingerprint(Table):
    algorithm: FingerprintAlgorithm
    value: str


class DtlsParameters(Table):
    fingerprints: list[Fingerprint]
    role: DtlsRole = DtlsRole.AUTO


class IceParameters(Table):
    username_fragment: str
    password: str
    ice_lite: bool = True


class IceCandidate(Table):
    foundation: str
    priority: U32
    address: str
    protocol: TransportProtocol = TransportProtocol.UDP
    port: U16
    type: IceCandidateType
    tcp_type: IceCandidateTcpType | None = None


class WebRtcTransportConnectResponse(Response):
    BODY = 16
    dtls_local_role: DtlsRole


class WebRtcTransportDumpResponse(Response, tag=17):
    BODY = 17
    base: TransportBaseDump
    ice_role: IceRole
    ice_parameters: IceParameters
    ice_candidates: list[IceCandidate]
    ice_state: IceState
    ice_selected_tuple: TransportTuple | None = None
    dtls_parameters: DtlsParameters
    dtls_state: DtlsState


class WebRtcTransportGetStatsResponse(Response, tag=18):
    BODY = 18
    base: TransportBaseStats
    ice_role: IceRole
    ice_state: IceState
    ice_selected_tuple: TransportTuple | None = None
    dtls_state: DtlsState


class WebRtcTransportConnect(Request[WebRtcTransportConnectResponse]):
    METHOD = Method.WEBRTCTRANSPORT_CONNECT
    BODY = 28
    dtls_parameters: DtlsParameters


class WebRtcTransportIceSelectedTupleChange(Notification):
    EVENT = Event.WEBRTCTRANSPORT_ICE_SELECTED_TUPLE_CHANGE
    BODY = 7
    tuple: TransportTuple


class WebRtcTransportIceStateChange(Notification):
    EVENT = Event.WEBRTCTRANSPORT_ICE_STATE_CHANGE
    BODY = 8
    ice_state: IceState


class WebRtcTransportDtlsStateChange(Notification):
    """`remote_cert` (PEM) comes with CONNECTED."""

    EVENT = Event.WEBRTCTRANSPORT_DTLS_STATE_CHANGE
    BODY = 9
    dtls_state: DtlsState
    remote_cert: str | None = None
