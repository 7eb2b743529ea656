"""A transport for RTP over plain UDP, with or without SRTP."""

from typing import Any

from ..channel import messages as m
from ..channel.messages import Notification, Request
from .clone import clone
from .context import RouterContext
from .convert import api
from .convert.network import optional_ip, optional_port, srtp_parameters_to_wire
from .network_transport import NetworkTransport
from .types import SrtpParameters, TransportTuple


class PlainTransport(NetworkTransport):
    """Events, also on the observer: `tuple` and `rtcptuple` (TransportTuple; the peer's address was learned),
    `sctpstatechange` (state).
    """

    _TYPE = "plain"
    _STATS_TYPE = "plain-rtp-transport"

    def __init__(self, context: RouterContext, dump: m.PlainTransportDumpResponse, app_data: Any = None) -> None:
        super().__init__(context, dump.base, app_data)
        self._tuple: TransportTuple = api.to_api(dump.tuple)
        self._rtcp_tuple: TransportTuple | None = api.to_api(dump.rtcp_tuple)
        self._srtp_parameters: SrtpParameters | None = api.to_api(dump.srtp_parameters)

    @property
    def tuple(self) -> TransportTuple:
        """The ends of RTP, and of RTCP if they share a port (a copy)."""
        return clone(self._tuple)

    @property
    def rtcp_tuple(self) -> TransportTuple | None:
        """The ends of RTCP (a copy); `None` if it shares RTP's."""
        return clone(self._rtcp_tuple)

    @property
    def srtp_parameters(self) -> SrtpParameters | None:
        """The key of this side (a copy); `None` without SRTP."""
        return clone(self._srtp_parameters)

    async def connect(
        self,
        *,
        ip: str | None = None,
        port: int | None = None,
        rtcp_port: int | None = None,
        srtp_parameters: SrtpParameters | None = None,
    ) -> None:
        """Tell the peer's address (unless it is to be learned: comedia) and SRTP key; once."""
        request = m.PlainTransportConnect(
            ip=optional_ip(ip, "ip"),
            port=optional_port(port, "port"),
            rtcp_port=optional_port(rtcp_port, "rtcp_port"),
            srtp_parameters=srtp_parameters_to_wire(srtp_parameters),
        )
        await self._do(request)

    def _done(self, message: Request[Any], answer: Any) -> None:
        if not isinstance(message, m.PlainTransportConnect):
            super()._done(message, answer)
            return
        if answer.tuple is not None:
            self._tuple = api.to_api(answer.tuple)
        if answer.rtcp_tuple is not None:
            self._rtcp_tuple = api.to_api(answer.rtcp_tuple)
        if answer.srtp_parameters is not None:
            self._srtp_parameters = api.to_api(answer.srtp_parameters)

    def _notified(self, notification: Notification) -> None:
        match notification:
            case m.PlainTransportTuple():
                self._tuple = api.to_api(notification.tuple)
                self._tell("tuple", self.tuple)
            case m.PlainTransportRtcpTuple():
                self._rtcp_tuple = api.to_api(notification.tuple)
                self._tell("rtcptuple", self.rtcp_tuple)
            case _:
                super()._notified(notification)
