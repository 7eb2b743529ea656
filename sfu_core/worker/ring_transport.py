"""RingTransport: one end of a pipe to a neighbouring core, through shared memory and in clear.

Control thread only. Not part of mediasoup's API: the vertical switch makes it and hides it.
"""

from typing import TYPE_CHECKING

from sfu_core.channel.messages import (
    PipeTransportDumpResponse,
    PipeTransportGetStatsResponse,
    RingTransportConnect,
    RouterCreateRingTransport,
    TransportOptions,
    TransportProtocol,
    TransportTuple,
)
from sfu_core.errors import SfuError
from sfu_core.worker.dispatch import Event
from sfu_core.worker.transport import Transport

if TYPE_CHECKING:
    from sfu_core.worker.router import Router


class RingTransport(Transport):
    """Its handle in the engine is the tag that the neighbour writes on packets for it."""

    def __init__(self, router: "Router", request: RouterCreateRingTransport) -> None:
        self._ring_id = request.ring_id
        self._connected = False
        router.worker.rings.link(request.ring_id)
        super().__init__(router, request.transport_id, TransportOptions())
        router.worker.rings.use(request.ring_id, 1)

    def _open(self) -> int:
        return self.context.engine.add_link_transport()

    def _release(self) -> None:
        self.router.worker.rings.use(self._ring_id, -1)

    def on_event(self, event: Event) -> None:
        """Nothing that anybody above wants to know."""

    def connect(self, request: RingTransportConnect) -> None:
        """RINGTRANSPORT_CONNECT."""
        if self._connected:
            raise SfuError("connect() has been called already")
        link = self.router.worker.rings.link(self._ring_id)
        self.context.engine.connect_link(self.handle, link, request.tag)
        self._connected = True

    def dump(self) -> PipeTransportDumpResponse:
        """TRANSPORT_DUMP: a PipeTransport without addresses."""
        return PipeTransportDumpResponse(base=self.base_dump(), tuple=self._tuple(), rtx=False)

    def stats(self) -> PipeTransportGetStatsResponse:
        """TRANSPORT_GET_STATS."""
        stats = self.context.engine.transport_stats(self.handle)
        return PipeTransportGetStatsResponse(base=self.base_stats(stats), tuple=self._tuple())

    def _tuple(self) -> TransportTuple:
        return TransportTuple(local_address="", local_port=0, remote_port=0, protocol=TransportProtocol.UDP)
