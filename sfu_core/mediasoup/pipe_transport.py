"""A transport to another router, perhaps on another host."""

from typing import Any

from ..channel import messages as m
from ..channel.messages import Request
from . import ortc
from .clone import clone
from .consumer import Consumer
from .context import RouterContext
from .convert import api
from .convert.network import ip_argument, optional_port, srtp_parameters_to_wire
from .entity import checked_app_data
from .network_transport import NetworkTransport
from .transport import random_cname
from .types import SrtpParameters, TransportTuple


class PipeTransport(NetworkTransport):
    """Event, also on the observer: `sctpstatechange` (state)."""

    _TYPE = "pipe"
    _STATS_TYPE = "pipe-transport"

    def __init__(self, context: RouterContext, dump: m.PipeTransportDumpResponse, app_data: Any = None) -> None:
        super().__init__(context, dump.base, app_data)
        self._tuple: TransportTuple = api.to_api(dump.tuple)
        self._rtx = dump.rtx
        self._srtp_parameters: SrtpParameters | None = api.to_api(dump.srtp_parameters)

    @property
    def tuple(self) -> TransportTuple:
        """The ends of the pipe (a copy)."""
        return clone(self._tuple)

    @property
    def srtp_parameters(self) -> SrtpParameters | None:
        """The key of this side (a copy); `None` without SRTP."""
        return clone(self._srtp_parameters)

    async def connect(self, *, ip: str, port: int, srtp_parameters: SrtpParameters | None = None) -> None:
        """Tell the other half's address and SRTP key; once."""
        request = m.PipeTransportConnect(
            ip=ip_argument(ip, "ip"),
            port=optional_port(port, "port"),
            srtp_parameters=srtp_parameters_to_wire(srtp_parameters),
        )
        await self._do(request)

    async def _connect_mirror(self, other: "PipeTransport") -> None:
        """The same, within a group of workers that mirror."""
        request = m.MirrorTransportConnect(transport_id=other.id)
        self._done(request, await self._request_extension(request))

    def _done(self, message: Request[Any], answer: Any) -> None:
        if isinstance(message, m.PipeTransportConnect | m.MirrorTransportConnect):
            self._tuple = api.to_api(answer.tuple)
        else:
            super()._done(message, answer)

    async def consume(self, *, producer_id: str, app_data: Any = None) -> Consumer:  # type: ignore[override]
        """Take out all of a producer's encodings for the other router."""
        app_data = checked_app_data(app_data)
        producer = self._context.find_producer(producer_id)
        parameters = ortc.get_pipe_consumer_rtp_parameters(producer._consumable_rtp_parameters, enable_rtx=self._rtx)
        return await self._consume(producer, parameters, "pipe", app_data=app_data)

    def _producer_cname(self, given: str | None) -> str:
        """Producers that come through a pipe are different senders: each keeps its own."""
        return given or random_cname()
