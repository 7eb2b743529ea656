"""PlainTransport: RTP and RTCP over UDP, with or without SRTP, rtcp-mux and comedia.

Control thread only. comedia: the remote address is learned from the first packet that arrives.
"""

from typing import TYPE_CHECKING

from sfu_core.channel.messages import (
    ListenInfo,
    PlainTransportConnect,
    PlainTransportConnectResponse,
    PlainTransportDumpResponse,
    PlainTransportGetStatsResponse,
    PlainTransportOptions,
    PlainTransportRtcpTuple,
    PlainTransportTuple,
    SrtpCryptoSuite,
    SrtpParameters,
    TransportProtocol,
    TransportTuple,
)
from sfu_core.errors import SfuError
from sfu_core.worker.dispatch import Event
from sfu_core.worker.events import EngineEvent
from sfu_core.worker.sockets import Listener, check_remote
from sfu_core.worker.srtp import key_of, new_key, parameters_of
from sfu_core.worker.transport import Transport

if TYPE_CHECKING:
    from sfu_core.worker.router import Router

DEFAULT_SUITE = SrtpCryptoSuite.AES_CM_128_HMAC_SHA1_80


class PlainTransport(Transport):
    """One socket with rtcp-mux, two without."""

    def __init__(self, router: "Router", id: str, options: PlainTransportOptions) -> None:
        self._infos = _listen_infos(options)
        self._rtcp_mux = options.rtcp_mux and options.rtcp_listen_info is None
        self._comedia = options.comedia
        self._suite: SrtpCryptoSuite | None = None
        self._key = b""
        if options.enable_srtp:
            self._suite = DEFAULT_SUITE if options.srtp_crypto_suite is None else options.srtp_crypto_suite
            self._key = new_key(self._suite)
        self._connected = False
        super().__init__(router, id, options.base)

    def _open(self) -> int:
        sockets = self.context.sockets
        self._listeners: list[Listener] = sockets.open_all(self._infos, group=0)
        self.tuple: TransportTuple = self._listeners[0].tuple()
        self.rtcp_tuple: TransportTuple | None = None if self._rtcp_mux else self._listeners[1].tuple()
        try:
            return self.context.engine.add_plain_transport(
                self._listeners[0].handle,
                0 if self._rtcp_mux else self._listeners[1].handle,
                comedia=self._comedia,
                srtp=self._suite is not None,
                pipe=False,
            )
        except BaseException:
            sockets.close(self._listeners)
            raise

    def _release(self) -> None:
        self.context.sockets.close(self._listeners)

    def on_event(self, event: Event) -> None:
        """comedia has learned an address."""
        match event:
            case (EngineEvent.TUPLE, _, int(), str(), int(), str(ip), int(port)):
                self.tuple = self._listeners[0].tuple(ip, port)
                self.context.notify(PlainTransportTuple(tuple=self.tuple), self.id)
            case (EngineEvent.RTCP_TUPLE, _, int(), str(), int(), str(ip), int(port)) if not self._rtcp_mux:
                self.rtcp_tuple = self._listeners[1].tuple(ip, port)
                self.context.notify(PlainTransportRtcpTuple(tuple=self.rtcp_tuple), self.id)

    def connect(self, request: PlainTransportConnect) -> PlainTransportConnectResponse:
        """PLAINTRANSPORT_CONNECT."""
        if self._connected:
            raise SfuError("connect() has been called already")
        remote_key = self._check_srtp(request.srtp_parameters)
        remote = None if self._comedia else self._check_remote(request)
        if request.srtp_parameters is not None:
            self._start_srtp(request.srtp_parameters.crypto_suite, remote_key)
        if remote is not None:
            self._connect_to(*remote)
        self._connected = True
        return PlainTransportConnectResponse(
            tuple=self.tuple, rtcp_tuple=self.rtcp_tuple, srtp_parameters=self._srtp_parameters()
        )

    def dump(self) -> PlainTransportDumpResponse:
        """TRANSPORT_DUMP."""
        return PlainTransportDumpResponse(
            base=self.base_dump(),
            rtcp_mux=self._rtcp_mux,
            comedia=self._comedia,
            tuple=self.tuple,
            rtcp_tuple=self.rtcp_tuple,
            srtp_parameters=self._srtp_parameters(),
        )

    def stats(self) -> PlainTransportGetStatsResponse:
        """TRANSPORT_GET_STATS."""
        stats = self.context.engine.transport_stats(self.handle)
        return PlainTransportGetStatsResponse(
            base=self.base_stats(stats),
            rtcp_mux=self._rtcp_mux,
            comedia=self._comedia,
            tuple=self.tuple,
            rtcp_tuple=self.rtcp_tuple,
        )

    def _check_srtp(self, parameters: SrtpParameters | None) -> bytes:
        if self._suite is None:
            if parameters is not None:
                raise TypeError("srtpParameters given, but SRTP is not enabled")
            return b""
        if parameters is None:
            raise TypeError("srtpParameters is missing, SRTP is enabled")
        return key_of(parameters)

    def _check_remote(self, request: PlainTransportConnect) -> tuple[str, int, int]:
        ip = check_remote(request.ip, self._listeners[0])
        if not request.port:
            raise TypeError("port is missing")
        if self._rtcp_mux and request.rtcp_port is not None:
            raise TypeError("rtcpPort given, but rtcp-mux is enabled")
        if not self._rtcp_mux and not request.rtcp_port:
            raise TypeError("rtcpPort is missing, rtcp-mux is disabled")
        return ip, request.port, request.rtcp_port or 0

    def _start_srtp(self, suite: SrtpCryptoSuite, remote_key: bytes) -> None:
        if suite is not self._suite:
            self._suite, self._key = suite, new_key(suite)
        self.context.engine.set_srtp(self.handle, suite, self._key, remote_key)

    def _connect_to(self, ip: str, port: int, rtcp_port: int) -> None:
        self.context.engine.connect_plain(self.handle, ip, port, rtcp_port)
        self.tuple = self._listeners[0].tuple(ip, port)
        if not self._rtcp_mux:
            self.rtcp_tuple = self._listeners[1].tuple(ip, rtcp_port)

    def _srtp_parameters(self) -> SrtpParameters | None:
        return None if self._suite is None else parameters_of(self._suite, self._key)


def _listen_infos(options: PlainTransportOptions) -> list[ListenInfo]:
    infos = [options.listen_info]
    if options.rtcp_listen_info is not None:
        infos.append(options.rtcp_listen_info)
    elif not options.rtcp_mux:
        infos.append(options.listen_info)
    if any(info.protocol is not TransportProtocol.UDP for info in infos):
        raise TypeError("listenInfo.protocol: a PlainTransport is UDP only")
    return infos
