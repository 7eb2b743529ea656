"""DirectTransport: packets to and from the application, without a network.

Control thread only.
"""

from typing import TYPE_CHECKING, ClassVar

from sfu_core.channel.messages import (
    DirectTransportDumpResponse,
    DirectTransportGetStatsResponse,
    DirectTransportOptions,
    DirectTransportRtcp,
    TransportSendRtcp,
    TransportSetMaxIncomingBitrate,
    TransportSetMaxOutgoingBitrate,
    TransportSetMinOutgoingBitrate,
)
from sfu_core.errors import UnsupportedError
from sfu_core.worker.dispatch import Event
from sfu_core.worker.events import EngineEvent
from sfu_core.worker.transport import Transport

if TYPE_CHECKING:
    from sfu_core.worker.router import Router


class DirectTransport(Transport):
    """RTP by PRODUCER_SEND and CONSUMER_RTP, RTCP by TRANSPORT_SEND_RTCP and DIRECTTRANSPORT_RTCP."""

    is_direct: ClassVar[bool] = True

    def __init__(self, router: "Router", id: str, options: DirectTransportOptions) -> None:
        super().__init__(router, id, options.base)

    def _open(self) -> int:
        return self.context.engine.add_direct_transport()

    def _release(self) -> None:
        pass

    def on_event(self, event: Event) -> None:
        """RTCP for the application."""
        match event:
            case (EngineEvent.RTCP, _, bytes(data)):
                self.context.notify(DirectTransportRtcp(data=data), self.id)

    def dump(self) -> DirectTransportDumpResponse:
        """TRANSPORT_DUMP."""
        return DirectTransportDumpResponse(base=self.base_dump())

    def stats(self) -> DirectTransportGetStatsResponse:
        """TRANSPORT_GET_STATS."""
        stats = self.context.engine.transport_stats(self.handle)
        return DirectTransportGetStatsResponse(base=self.base_stats(stats))

    def send_rtcp(self, message: TransportSendRtcp) -> None:
        """TRANSPORT_SEND_RTCP."""
        self.context.engine.send_rtcp(self.handle, message.data)

    def set_max_incoming_bitrate(self, request: TransportSetMaxIncomingBitrate) -> None:
        """Nothing to limit."""
        raise UnsupportedError("a DirectTransport has no bitrate limits")

    def set_max_outgoing_bitrate(self, request: TransportSetMaxOutgoingBitrate) -> None:
        """Nothing to limit."""
        raise UnsupportedError("a DirectTransport has no bitrate limits")

    def set_min_outgoing_bitrate(self, request: TransportSetMinOutgoingBitrate) -> None:
        """Nothing to limit."""
        raise UnsupportedError("a DirectTransport has no bitrate limits")
