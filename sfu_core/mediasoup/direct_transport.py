"""A transport to the application itself: packets and messages as Python bytes."""

from typing import Any, NoReturn

from ..channel import messages as m
from ..channel.messages import Notification
from ..errors import UnsupportedError
from .context import RouterContext
from .convert.arguments import packet_argument
from .transport import Transport


class DirectTransport(Transport):
    """Event, also on the observer: `rtcp` (bytes; a compound packet for the application)."""

    _TYPE = "direct"
    _STATS_TYPE = "direct-transport"

    def __init__(self, context: RouterContext, dump: m.DirectTransportDumpResponse, app_data: Any = None) -> None:
        super().__init__(context, dump.base.id, app_data)

    async def connect(self) -> None:
        """Nothing to do."""

    async def set_max_incoming_bitrate(self, bitrate: int) -> NoReturn:
        """Not here."""
        raise UnsupportedError("set_max_incoming_bitrate() is not supported by DirectTransport")

    async def set_max_outgoing_bitrate(self, bitrate: int) -> NoReturn:
        """Not here."""
        raise UnsupportedError("set_max_outgoing_bitrate() is not supported by DirectTransport")

    async def set_min_outgoing_bitrate(self, bitrate: int) -> NoReturn:
        """Not here."""
        raise UnsupportedError("set_min_outgoing_bitrate() is not supported by DirectTransport")

    def send_rtcp(self, packet: bytes | bytearray | memoryview) -> None:
        """Inject a compound RTCP packet (RFC 3550 §6.1)."""
        self._channel.notify(m.TransportSendRtcp(data=packet_argument(packet, "packet")), self._id)

    def _notified(self, notification: Notification) -> None:
        if isinstance(notification, m.DirectTransportRtcp):
            self._tell("rtcp", notification.data)
        else:
            super()._notified(notification)
