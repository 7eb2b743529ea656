"""PipeTransport: all streams of a router's producers, to another router.

Control thread only. UDP with rtcp-mux; SRTP with AEAD_AES_256_GCM, or none.
"""

from typing import TYPE_CHECKING, ClassVar

from sfu_core.channel.messages import (
    PipeTransportConnect,
    PipeTransportConnectResponse,
    PipeTransportDumpResponse,
    PipeTransportGetStatsResponse,
    PipeTransportOptions,
    SrtpCryptoSuite,
    SrtpParameters,
    TransportProtocol,
    TransportTuple,
)
from sfu_core.errors import SfuError
from sfu_core.worker.dispatch import Event
from sfu_core.worker.sockets import Listener, check_remote
from sfu_core.worker.srtp import key_of, new_key, parameters_of
from sfu_core.worker.transport import Transport

if TYPE_CHECKING:
    from sfu_core.worker.router import Router

SUITE = SrtpCryptoSuite.AEAD_AES_256_GCM


class PipeTransport(Transport):
    """One socket; the other end is known from `connect()` on."""

    may_lack_sctp: ClassVar[bool] = True  # pipeToRouter() enables it whatever is piped

    def __init__(self, router: "Router", id: str, options: PipeTransportOptions) -> None:
        if options.listen_info.protocol is not TransportProtocol.UDP:
            raise TypeError("listenInfo.protocol: a PipeTransport is UDP only")
        self._info = options.listen_info
        self._rtx = options.enable_rtx
        self._key = new_key(SUITE) if options.enable_srtp else b""
        self._connected = False
        super().__init__(router, id, options.base)

    def _open(self) -> int:
        sockets = self.context.sockets
        self._listener: Listener = sockets.open(self._info, group=0)
        self.tuple: TransportTuple = self._listener.tuple()
        try:
            return self.context.engine.add_plain_transport(
                self._listener.handle, 0, comedia=False, srtp=bool(self._key), pipe=True
            )
        except BaseException:
            sockets.close([self._listener])
            raise

    def _release(self) -> None:
        self.context.sockets.close([self._listener])

    def on_event(self, event: Event) -> None:
        """Nothing that anybody above wants to know."""

    def connect(self, request: PipeTransportConnect) -> PipeTransportConnectResponse:
        """PIPETRANSPORT_CONNECT."""
        if self._connected:
            raise SfuError("connect() has been called already")
        remote_key = self._check_srtp(request.srtp_parameters)
        ip = check_remote(request.ip, self._listener)
        if not request.port:
            raise TypeError("port is missing")
        if self._key:
            self.context.engine.set_srtp(self.handle, SUITE, self._key, remote_key)
        self.context.engine.connect_plain(self.handle, ip, request.port, 0)
        self.tuple = self._listener.tuple(ip, request.port)
        self._connected = True
        return PipeTransportConnectResponse(tuple=self.tuple)

    def dump(self) -> PipeTransportDumpResponse:
        """TRANSPORT_DUMP."""
        return PipeTransportDumpResponse(
            base=self.base_dump(),
            tuple=self.tuple,
            rtx=self._rtx,
            srtp_parameters=parameters_of(SUITE, self._key) if self._key else None,
        )

    def stats(self) -> PipeTransportGetStatsResponse:
        """TRANSPORT_GET_STATS."""
        stats = self.context.engine.transport_stats(self.handle)
        return PipeTransportGetStatsResponse(base=self.base_stats(stats), tuple=self.tuple)

    def _check_srtp(self, parameters: SrtpParameters | None) -> bytes:
        if not self._key:
            if parameters is not None:
                raise TypeError("srtpParameters given, but SRTP is not enabled")
            return b""
        if parameters is None:
            raise TypeError("srtpParameters is missing, SRTP is enabled")
        if parameters.crypto_suite is not SUITE:
            raise TypeError(f"srtpParameters.cryptoSuite: a PipeTransport takes {SUITE.name} only")
        return key_of(parameters)
