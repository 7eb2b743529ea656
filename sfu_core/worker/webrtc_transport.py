"""WebRtcTransport: ICE-lite, DTLS and SRTP towards a browser.

Control thread only. The media thread answers ICE and carries media; here are the states, the handshake and the
keys it yields.
"""

from typing import TYPE_CHECKING

from sfu_core.channel.messages import (
    DtlsParameters,
    DtlsRole,
    DtlsState,
    Fingerprint,
    IceCandidate,
    IceParameters,
    IceRole,
    IceState,
    ListenServer,
    TransportProtocol,
    TransportRestartIceResponse,
    TransportTuple,
    WebRtcTransportConnect,
    WebRtcTransportConnectResponse,
    WebRtcTransportDtlsStateChange,
    WebRtcTransportDumpResponse,
    WebRtcTransportGetStatsResponse,
    WebRtcTransportIceSelectedTupleChange,
    WebRtcTransportIceStateChange,
    WebRtcTransportOptions,
)
from sfu_core.errors import SfuError
from sfu_core.worker import ice
from sfu_core.worker.dispatch import Event
from sfu_core.worker.dtls_session import DtlsSession
from sfu_core.worker.events import EngineEvent
from sfu_core.worker.sockets import Listener
from sfu_core.worker.transport import Transport

if TYPE_CHECKING:
    from sfu_core.worker.router import Router
    from sfu_core.worker.webrtc_server import WebRtcServer

_UP = (IceState.CONNECTED, IceState.COMPLETED)


class WebRtcTransport(Transport):
    """With sockets of its own, or with those of a WebRtcServer."""

    def __init__(self, router: "Router", id: str, options: WebRtcTransportOptions) -> None:
        self._options = options
        self._server: WebRtcServer | None = None
        if isinstance(options.listen, ListenServer):
            self._server = router.worker.server(options.listen.web_rtc_server_id)
        self.ice_parameters = self._new_parameters()
        self.ice_state = IceState.NEW
        self.ice_tuple: TransportTuple | None = None
        self._role = DtlsRole.AUTO  # ours
        self._connected = False
        super().__init__(router, id, options.base)
        self._dtls = DtlsSession(self.context, self.handle, self._on_dtls_state)
        if self._server is not None:
            self._server.transports[self.id] = self

    def _open(self) -> int:
        sockets = self.context.sockets
        self._listeners: list[Listener] = []  # its own
        group = sockets.new_group() if self._server is None else self._server.group
        if not isinstance(self._options.listen, ListenServer):
            self._listeners = sockets.open_all(self._options.listen.listen_infos, group)
        try:
            self.ice_candidates = self._candidates()
            return self.context.engine.add_webrtc_transport(
                group,
                self.ice_parameters.username_fragment,
                self.ice_parameters.password,
                ice.consent_timeout_ms(self._options.ice_consent_timeout),
            )
        except BaseException:
            sockets.close(self._listeners)
            raise

    def close(self) -> None:
        """Say goodbye to the peer, then as all transports."""
        self._dtls.close()
        super().close()

    def _release(self) -> None:
        self.context.sockets.close(self._listeners)
        if self._server is not None:
            del self._server.transports[self.id]

    # --- requests

    def connect(self, request: WebRtcTransportConnect) -> WebRtcTransportConnectResponse:
        """WEBRTCTRANSPORT_CONNECT."""
        if self._connected:
            raise SfuError("connect() has been called already")
        if not request.dtls_parameters.fingerprints:
            raise TypeError("dtlsParameters.fingerprints is empty")
        remote_is_client = request.dtls_parameters.role is DtlsRole.CLIENT
        self._role = DtlsRole.SERVER if remote_is_client else DtlsRole.CLIENT
        self._connected = True
        self._dtls.expect(request.dtls_parameters.fingerprints[0])
        self._may_run_dtls()
        if self._dtls.state is DtlsState.CONNECTED:
            self._role = self._dtls.role  # the handshake was over before: its roles are as they are
        return WebRtcTransportConnectResponse(dtls_local_role=self._role)

    def restart_ice(self) -> TransportRestartIceResponse:
        """TRANSPORT_RESTART_ICE; the engine accepts the old credentials until the new ones have been used."""
        new = self._new_parameters()
        self.context.engine.restart_ice(self.handle, new.username_fragment, new.password)
        self.ice_parameters = new
        return TransportRestartIceResponse(
            username_fragment=new.username_fragment, password=new.password, ice_lite=True
        )

    def dump(self) -> WebRtcTransportDumpResponse:
        """TRANSPORT_DUMP."""
        fingerprints = [
            Fingerprint(algorithm=algorithm, value=value)
            for algorithm, value in self.context.certificate().fingerprints()
        ]
        return WebRtcTransportDumpResponse(
            base=self.base_dump(),
            ice_role=IceRole.CONTROLLED,
            ice_parameters=self.ice_parameters,
            ice_candidates=self.ice_candidates,
            ice_state=self.ice_state,
            ice_selected_tuple=self.ice_tuple,
            dtls_parameters=DtlsParameters(fingerprints=fingerprints, role=self._role),
            dtls_state=self._dtls.state,
        )

    def stats(self) -> WebRtcTransportGetStatsResponse:
        """TRANSPORT_GET_STATS."""
        stats = self.context.engine.transport_stats(self.handle)
        return WebRtcTransportGetStatsResponse(
            base=self.base_stats(stats),
            ice_role=IceRole.CONTROLLED,
            ice_state=self.ice_state,
            ice_selected_tuple=self.ice_tuple,
            dtls_state=self._dtls.state,
        )

    # --- news

    def on_event(self, event: Event) -> None:
        """ICE has moved, or a piece of a handshake has come."""
        match event:
            case (EngineEvent.ICE_STATE, _, int(state)):
                self._on_ice_state(IceState(state))
            case (EngineEvent.ICE_TUPLE, _, int(protocol), str(local), int(port), str(ip), int(remote_port)):
                listener = self._listener(TransportProtocol(protocol), local, port)
                self.ice_tuple = listener.tuple(ip, remote_port)
                self.context.notify(WebRtcTransportIceSelectedTupleChange(tuple=self.ice_tuple), self.id)
            case (EngineEvent.DATAGRAM, _, bytes(data)):
                self._dtls.receive(data)

    def _on_ice_state(self, state: IceState) -> None:
        if state is self.ice_state:
            return
        self.ice_state = state
        if state is IceState.DISCONNECTED:
            self.ice_tuple = None
        self.context.logs.debug("ice", f"transport {self.id}: ICE {state.name.lower()}")
        self.context.notify(WebRtcTransportIceStateChange(ice_state=state), self.id)
        self._may_run_dtls()

    def _on_dtls_state(self, state: DtlsState, remote_certificate: str | None) -> None:
        self.context.logs.debug("dtls", f"transport {self.id}: DTLS {state.name.lower()}")
        change = WebRtcTransportDtlsStateChange(dtls_state=state, remote_cert=remote_certificate)
        self.context.notify(change, self.id)

    def _may_run_dtls(self) -> None:
        """With ICE up: in the role that `connect()` gave, or as server while nobody has called it."""
        if self.ice_state not in _UP:
            return
        if self._role is DtlsRole.AUTO:
            self._role = DtlsRole.SERVER
        self._dtls.run(self._role)

    def _new_parameters(self) -> IceParameters:
        return ice.new_parameters(None if self._server is None else self._server.core)

    # --- sockets

    def _candidates(self) -> list[IceCandidate]:
        if self._server is None:
            found = ice.candidates(self._listeners)
        else:
            options, udp, tcp = self._options, TransportProtocol.UDP, TransportProtocol.TCP
            enabled = [p for p, on in ((udp, options.enable_udp), (tcp, options.enable_tcp)) if on]
            preferred = [p for p, on in ((udp, options.prefer_udp), (tcp, options.prefer_tcp)) if on]
            found = ice.candidates(self._server.listeners, enabled, preferred)
        if not found:
            raise TypeError("the transport would have no ICE candidate")
        return found

    def _listener(self, protocol: TransportProtocol, ip: str, port: int) -> Listener:
        listeners = self._listeners if self._server is None else self._server.listeners
        same = [each for each in listeners if (each.protocol, each.port) == (protocol, port)]
        return next((each for each in same if each.ip == ip), same[0])
