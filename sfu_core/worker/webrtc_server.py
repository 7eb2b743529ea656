"""WebRtcServer: listening sockets that many WebRtcTransports share.

Control thread only. The media thread finds the transport by the ICE user name fragment, then by the address.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sfu_core.channel.messages import (
    IceUserNameFragment,
    IpPort,
    ListenInfo,
    TransportProtocol,
    WebRtcServerDumpResponse,
    WorkerAdoptSockets,
    WorkerCreateWebRtcServer,
    WorkerReleaseSockets,
    WorkerShareWebRtcServer,
)
from sfu_core.errors import NotFoundError
from sfu_core.worker.shared_port import SharedPort, fetch_port
from sfu_core.worker.sockets import Listener

if TYPE_CHECKING:
    from sfu_core.worker.webrtc_transport import WebRtcTransport
    from sfu_core.worker.worker import Worker


class WebRtcServer:
    """Exists from WORKER_CREATE_WEBRTCSERVER, or WORKER_SHARE_WEBRTCSERVER, until it or the worker is closed."""

    def __init__(self, worker: "Worker", id: str, infos: Sequence[ListenInfo], port: SharedPort | None = None) -> None:
        """Of a shared port this is the core's part; the caller then opens the listeners."""
        if not infos:
            raise TypeError("listenInfos is empty")
        self.context = worker.context
        self.worker = worker
        self.id = id
        self.context.registry.check_free(id)
        self.listen_infos = infos
        self.group = self.context.sockets.new_group()
        self.port = port
        self.listeners: list[Listener] = []
        self.transports: dict[str, WebRtcTransport] = {}

    @classmethod
    def create(cls, worker: "Worker", request: WorkerCreateWebRtcServer) -> None:
        """WORKER_CREATE_WEBRTCSERVER."""
        server = cls(worker, request.web_rtc_server_id, request.listen_infos)
        server._begin(server.context.sockets.open_all(request.listen_infos, server.group))

    @classmethod
    async def share(cls, worker: "Worker", request: WorkerShareWebRtcServer) -> None:
        """WORKER_SHARE_WEBRTCSERVER. SfuError if its sockets cannot be fetched."""
        with await fetch_port(request.door) as fetched:
            port = SharedPort(worker.context, request.number, request.core, fetched.memfd)
            try:
                server = cls(worker, request.web_rtc_server_id, request.listen_infos, port)
                server._begin(port.listen(request.listen_infos, fetched.sockets, server.group))
            except BaseException:
                port.close()
                raise
        port.begin(server.listeners)
        worker.handovers.add(port, request.secret)

    def _begin(self, listeners: list[Listener]) -> None:
        self.listeners = listeners
        self.context.registry.add(self.id, self)
        self.worker.servers[self.id] = self

    def close(self) -> None:
        """Close its transports, whichever router they belong to, then the sockets."""
        for transport in list(self.transports.values()):
            transport.close()
        if self.port is not None:
            self.worker.handovers.remove(self.port)
        self.context.sockets.close(self.listeners)
        if self.port is not None:
            self.port.close()
        self.context.registry.remove(self.id)
        del self.worker.servers[self.id]

    @property
    def core(self) -> int | None:
        """Our number among the cores that share its ports; user name fragments tell it."""
        return None if self.port is None else self.port.core

    async def adopt(self, request: WorkerAdoptSockets) -> None:
        """WORKER_ADOPT_SOCKETS."""
        with await fetch_port(request.door) as fetched:
            self._shared().adopt(request.core, self.listen_infos, fetched.sockets, self.group)

    def release(self, request: WorkerReleaseSockets) -> None:
        """WORKER_RELEASE_SOCKETS."""
        self._shared().release(request.core)

    def _shared(self) -> SharedPort:
        if self.port is None or self.id not in self.worker.servers:
            raise NotFoundError(f"no shared WebRtcServer with the id {self.id!r}")
        return self.port

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
