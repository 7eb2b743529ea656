"""What the objects of one router share: its Channel, its capabilities, and who is there."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..channel.channel import Channel
from .types import RtpCapabilities

if TYPE_CHECKING:
    from .data_producer import DataProducer
    from .producer import Producer


@dataclass
class RouterContext:
    """Kept by the router, read and updated by its transports and observers."""

    channel: Channel
    router_id: str
    rtp_capabilities: RtpCapabilities
    producers: "dict[str, Producer]" = field(default_factory=dict)
    data_producers: "dict[str, DataProducer]" = field(default_factory=dict)
