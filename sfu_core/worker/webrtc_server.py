"""WebRtcServer: listening sockets that many WebRtcTransports share.

Control thread only. The media thread finds the transport by the ICE user name fragment, then by the address.
"""

from typing import TYPE_CHECKING

from sfu_core.channel.messages import (
    IceUserNameFragment,
    IpPort,
    TransportProtocol,
    WebRtcServerDumpResponse,
    WorkerCreateWebRtcServer,
)
from sfu_core.worker.sockets import Listener

if TYPE_CHECKING:
    from sfu_core.worker.webrtc_transport import WebRtcTransport
    from sfu_core.worker.worker import Worker


class WebRtcServer:
    """Exists from WORKER_CREATE_WEBRTCSERVER until it or the worker is closed."""

    def __init__(self, worker: "Worker", request: WorkerCreateWebRtcServer) -> None:
        if not request.listen_infos:
            raise TypeError("listenInfos is empty")
        self.context = worker.context
        self.worker = worker
        self.id = request.web_rtc_server_id
        self.context.registry.check_free(self.id)
        self.group = self.context.sockets.new_group()
        self.listeners: list[Listener] = self.context.sockets.open_all(request.listen_infos, self.group)
        self.transports: dict[str, WebRtcTransport] = {}
        self.context.registry.add(self.id, self)
        worker.servers[self.id] = self

    def close(self) -> None:
        """Close its transports, whichever router they belong to, then the sockets."""
        for transport in list(self.transports.values()):
            transport.close()
        self.context.sockets.close(self.listeners)
        self.context.registry.remove(self.id)
        del self.worker.servers[self.id]

    def dump(self) -> WebRtcServerDumpResponse:
        """WEBRTCSERVER_DUMP."""
        return WebRtcServerDumpResponse(
            id=self.id,
            udp_sockets=self._addresses(TransportProtocol.UDP),
            tcp_servers=self._addresses(TransportProtocol.TCP),
            web_rtc_transport_ids=list(self.transports),
            local_ice_username_fragments=[
                IceUserNameFragment(
                    local_ice_username_fragment=transport.ice_parameters.username_fragment,
                    web_rtc_transport_id=transport.id,
                )
                for transport in self.transports.values()
            ],
        )

    def _addresses(self, protocol: TransportProtocol) -> list[IpPort]:
        return [IpPort(ip=each.ip, port=each.port) for each in self.listeners if each.protocol is protocol]
