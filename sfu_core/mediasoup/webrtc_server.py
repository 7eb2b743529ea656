"""Ports that many WebRTC transports share."""

from typing import Any

from ..channel import messages as m
from ..channel.channel import Channel
from .convert import api
from .entity import Entity
from .webrtc_transport import WebRtcTransport


class WebRtcServer(Entity):
    """Events: `workerclose`. Observer: `close`, `webrtctransporthandled` and `webrtctransportunhandled`
    (WebRtcTransport).
    """

    def __init__(self, channel: Channel, id: str, app_data: Any = None) -> None:
        super().__init__(channel, id, app_data)
        self._transports: dict[str, WebRtcTransport] = {}
        self._listen()

    def close(self) -> None:
        """Close its sockets; its transports end with `listenserverclose`."""
        if not self._closed:
            self._channel.post(m.WorkerWebRtcServerClose(web_rtc_server_id=self._id))
            self._end()

    def _end_children(self) -> None:
        """None is left if the worker ends: they have ended with their routers."""
        for transport in list(self._transports.values()):
            transport._end("listenserverclose")

    async def dump(self) -> dict[str, Any]:
        """The worker's view of the server."""
        return api.fields(await self._request(m.WebRtcServerDump()))

    def _handle(self, transport: WebRtcTransport) -> None:
        """A transport uses the server from now on, until it ends."""
        self._transports[transport.id] = transport
        transport._when_ended(lambda: self._unhandle(transport))
        self._observer.emit("webrtctransporthandled", transport)

    def _unhandle(self, transport: WebRtcTransport) -> None:
        del self._transports[transport.id]
        self._observer.emit("webrtctransportunhandled", transport)
