"""What transports with sockets have in common: an SCTP association, perhaps, and its state."""

from typing import Any

from ..channel import messages as m
from ..channel.messages import Notification
from .clone import clone
from .context import RouterContext
from .convert import api
from .transport import Transport
from .types import SctpNegotiatedCapabilities, SctpParameters, SctpState


class NetworkTransport(Transport):
    """Event, also on the observer: `sctpstatechange` (state)."""

    def __init__(self, context: RouterContext, base: m.TransportBaseDump, app_data: Any = None) -> None:
        super().__init__(context, base.id, app_data)
        self._sctp_parameters: SctpParameters | None = api.to_api(base.sctp_parameters)
        self._sctp_state: SctpState | None = api.to_api(base.sctp_state)
        self._sctp_negotiated_capabilities: SctpNegotiatedCapabilities | None = api.to_api(
            base.sctp_negotiated_capabilities
        )

    @property
    def sctp_parameters(self) -> SctpParameters | None:
        """What the association offers (a copy); `None` without SCTP."""
        return clone(self._sctp_parameters)

    @property
    def sctp_state(self) -> SctpState | None:
        """The association's state; `None` without SCTP."""
        return self._sctp_state

    @property
    def sctp_negotiated_capabilities(self) -> SctpNegotiatedCapabilities | None:
        """What was agreed with the peer (a copy); `None` without SCTP."""
        return clone(self._sctp_negotiated_capabilities)

    def _begin_end(self) -> bool:
        if not super()._begin_end():
            return False
        if self._sctp_state is not None:
            self._sctp_state = "closed"
        return True

    def _notified(self, notification: Notification) -> None:
        match notification:
            case m.TransportSctpStateChange():
                self._sctp_state = api.to_api(notification.sctp_state)
                self._tell("sctpstatechange", self._sctp_state)
            case m.TransportSctpNegotiatedCapabilities():
                self._sctp_negotiated_capabilities = api.to_api(notification.negotiated_capabilities)
                if notification.negotiated_capabilities is not None:
                    streams = notification.negotiated_capabilities.negotiated_max_outbound_streams
                    self._data_streams.outbound_count = streams
            case _:
                super()._notified(notification)
