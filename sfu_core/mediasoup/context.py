"""What the objects of one router share: its Channel, its capabilities, and who is there."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..channel.channel import Channel
from ..channel.journal import listen_server_of
from ..channel.messages import Request
from ..errors import NotFoundError
from .convert.arguments import string_argument
from .types import RtpCapabilities

if TYPE_CHECKING:
    from .data_producer import DataProducer
    from .producer import Producer
    from .webrtc_server import WebRtcServer


@dataclass
class RouterContext:
    """Kept by the router, read and updated by its transports and observers."""

    channel: Channel
    router_id: str
    rtp_capabilities: RtpCapabilities
    webrtc_servers: "dict[str, WebRtcServer]" = field(default_factory=dict)
    """Those of its worker."""
    producers: "dict[str, Producer]" = field(default_factory=dict)
    data_producers: "dict[str, DataProducer]" = field(default_factory=dict)

    def find_listen_server(self, request: Request[Any]) -> "WebRtcServer | None":
        """The one whose sockets a transport shall use; `NotFoundError` if it has gone."""
        server_id = listen_server_of(request)
        if server_id is None:
            return None
        server = self.webrtc_servers.get(server_id)
        if server is None:
            raise NotFoundError(f"webrtc_server: no WebRtcServer {server_id} in this worker")
        return server

    def find_producer(self, producer_id: object) -> "Producer":
        """The producer; `NotFoundError` if there is none (any more)."""
        producer = self.producers.get(string_argument(producer_id, "producer_id"))
        if producer is None:
            raise NotFoundError(f"producer_id: no Producer {producer_id} in this router")
        return producer

    def find_data_producer(self, data_producer_id: object) -> "DataProducer":
        """The data producer; `NotFoundError` if there is none (any more)."""
        producer = self.data_producers.get(string_argument(data_producer_id, "data_producer_id"))
        if producer is None:
            raise NotFoundError(f"data_producer_id: no DataProducer {data_producer_id} in this router")
        return producer
