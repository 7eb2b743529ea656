"""A transport to a browser: ICE-lite, DTLS, SRTP, perhaps data channels."""

from typing import Any

from ..channel import messages as m
from ..channel.messages import Notification, Request
from .clone import clone
from .context import RouterContext
from .convert import api
from .convert.network import dtls_parameters_to_wire
from .network_transport import NetworkTransport
from .types import DtlsParameters, DtlsState, IceCandidate, IceParameters, IceState, TransportTuple


class WebRtcTransport(NetworkTransport):
    """Events, also on the observer: `icestatechange` (state), `iceselectedtuplechange` (TransportTuple),
    `dtlsstatechange` (state), `sctpstatechange` (state).
    """

    _TYPE = "webrtc"
    _STATS_TYPE = "webrtc-transport"

    def __init__(self, context: RouterContext, dump: m.WebRtcTransportDumpResponse, app_data: Any = None) -> None:
        super().__init__(context, dump.base, app_data)
        self._ice_parameters: IceParameters = api.to_api(dump.ice_parameters)
        self._ice_candidates: list[IceCandidate] = api.to_api(dump.ice_candidates)
        self._ice_state: IceState = api.to_api(dump.ice_state)
        self._ice_selected_tuple: TransportTuple | None = api.to_api(dump.ice_selected_tuple)
        self._dtls_parameters: DtlsParameters = api.to_api(dump.dtls_parameters)
        self._dtls_state: DtlsState = api.to_api(dump.dtls_state)
        self._dtls_remote_cert: str | None = None

    @property
    def ice_role(self) -> str:
        """Always `controlled` (RFC 8445 §6.1.1)."""
        return "controlled"

    @property
    def ice_parameters(self) -> IceParameters:
        """Credentials for the receiver of this transport's parameters (a copy)."""
        return clone(self._ice_parameters)

    @property
    def ice_candidates(self) -> list[IceCandidate]:
        """Where the transport can be reached (a copy)."""
        return clone(self._ice_candidates)

    @property
    def ice_state(self) -> IceState:
        """`new`, `connected`, `completed`, `disconnected` or `closed`."""
        return self._ice_state

    @property
    def ice_selected_tuple(self) -> TransportTuple | None:
        """The path in use (a copy)."""
        return clone(self._ice_selected_tuple)

    @property
    def dtls_parameters(self) -> DtlsParameters:
        """Role and fingerprints of this side (a copy)."""
        return clone(self._dtls_parameters)

    @property
    def dtls_state(self) -> DtlsState:
        """`new`, `connecting`, `connected`, `failed` or `closed`."""
        return self._dtls_state

    @property
    def dtls_remote_cert(self) -> str | None:
        """The peer's certificate in PEM, once connected."""
        return self._dtls_remote_cert

    async def connect(self, *, dtls_parameters: DtlsParameters) -> None:
        """Tell the peer's DTLS role and fingerprints; once."""
        await self._do(m.WebRtcTransportConnect(dtls_parameters=dtls_parameters_to_wire(dtls_parameters)))

    async def restart_ice(self) -> IceParameters:
        """New credentials; the old ones serve until the peer uses the new (RFC 8445 §9)."""
        await self._do(m.TransportRestartIce())
        return self.ice_parameters

    def _done(self, message: Request[Any], answer: Any) -> None:
        match message:
            case m.WebRtcTransportConnect():
                self._dtls_parameters["role"] = api.to_api(answer.dtls_local_role)
            case m.TransportRestartIce():
                self._ice_parameters = api.to_api(answer)
            case _:
                super()._done(message, answer)

    def _begin_end(self) -> bool:
        if not super()._begin_end():
            return False
        self._ice_state = "closed"
        self._ice_selected_tuple = None
        self._dtls_state = "closed"
        return True

    def _notified(self, notification: Notification) -> None:
        match notification:
            case m.WebRtcTransportIceStateChange():
                self._ice_state = api.to_api(notification.ice_state)
                self._tell("icestatechange", self._ice_state)
            case m.WebRtcTransportIceSelectedTupleChange():
                self._ice_selected_tuple = api.to_api(notification.tuple)
                self._tell("iceselectedtuplechange", self.ice_selected_tuple)
            case m.WebRtcTransportDtlsStateChange():
                self._dtls_state = api.to_api(notification.dtls_state)
                if notification.remote_cert is not None:
                    self._dtls_remote_cert = notification.remote_cert
                self._tell("dtlsstatechange", self._dtls_state)
            case _:
                super()._notified(notification)
