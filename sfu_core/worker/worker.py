"""The root of the object tree: routers and WebRtcServers, and what is asked of the process as a whole.

Control thread only.
"""

import os
import resource

from sfu_core.channel.messages import (
    ChannelMessageHandlers,
    Counters,
    DoorKey,
    NeighbourDoor,
    WorkerCreateRouter,
    WorkerCreateWebRtcServer,
    WorkerDumpResponse,
    WorkerGetResourceUsageResponse,
    WorkerSetNeighbour,
    WorkerShareWebRtcServer,
    WorkerUpdateSettings,
)
from sfu_core.errors import NotFoundError
from sfu_core.worker.context import Context
from sfu_core.worker.door import Door
from sfu_core.worker.handovers import Handovers
from sfu_core.worker.producer import Producer
from sfu_core.worker.rings import Rings
from sfu_core.worker.router import Router
from sfu_core.worker.transport import Transport
from sfu_core.worker.webrtc_server import WebRtcServer


class Worker:
    """One per core process."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.routers: dict[str, Router] = {}
        self.servers: dict[str, WebRtcServer] = {}
        self.door = Door(context.loop)
        self.rings = Rings(context.engine, self.door)
        self.handovers = Handovers(context, self.door)

    def close(self) -> None:
        """Close every router, then every server, then the rings."""
        for router in list(self.routers.values()):
            router.close()
        for server in list(self.servers.values()):
            server.close()
        self.handovers.close()
        self.rings.close_all()
        self.door.close()

    def create_webrtc_server(self, request: WorkerCreateWebRtcServer) -> None:
        """WORKER_CREATE_WEBRTCSERVER."""
        WebRtcServer.create(self, request)

    async def share_webrtc_server(self, request: WorkerShareWebRtcServer) -> None:
        """WORKER_SHARE_WEBRTCSERVER."""
        await WebRtcServer.share(self, request)

    def set_neighbour(self, request: WorkerSetNeighbour) -> NeighbourDoor:
        """WORKER_SET_NEIGHBOUR."""
        self.context.engine.set_neighbour(request.core, self.rings.link(request.ring_id))
        self.handovers.neighbours[request.core] = request.address
        return NeighbourDoor(address=self.door.address)

    def create_router(self, request: WorkerCreateRouter) -> None:
        """WORKER_CREATE_ROUTER."""
        Router(self, request.router_id)

    def close_webrtc_server(self, server_id: str) -> None:
        """WORKER_WEBRTCSERVER_CLOSE."""
        self.server(server_id).close()

    def server(self, server_id: str) -> WebRtcServer:
        """NotFoundError if there is none."""
        if server_id not in self.servers:
            raise NotFoundError(f"no WebRtcServer with the id {server_id!r}")
        return self.servers[server_id]

    def close_router(self, router_id: str) -> None:
        """WORKER_CLOSE_ROUTER."""
        if router_id not in self.routers:
            raise NotFoundError(f"no router with the id {router_id!r}")
        self.routers[router_id].close()

    def update_settings(self, request: WorkerUpdateSettings) -> None:
        """WORKER_UPDATE_SETTINGS: what is absent stays as it is."""
        if request.log_level is not None:
            self.context.logs.set_level(request.log_level)
        if request.log_tags is not None:
            self.context.logs.set_tags(request.log_tags)

    def dump(self) -> WorkerDumpResponse:
        """WORKER_DUMP."""
        objects = self.context.registry.items()
        notified = [id for id, target in objects if isinstance(target, Transport | Producer)]
        return WorkerDumpResponse(
            pid=os.getpid(),
            web_rtc_server_ids=list(self.servers),
            router_ids=list(self.routers),
            channel_message_handlers=ChannelMessageHandlers(
                channel_request_handlers=[id for id, _ in objects], channel_notification_handlers=notified
            ),
        )

    def core_stats(self) -> Counters:
        """WORKER_GET_CORE_STATS."""
        return Counters(counters=self.context.engine.core_stats())

    def share_memory(self) -> DoorKey:
        """WORKER_SHARE_MEMORY."""
        address, token = self.door.offer([os.dup(self.context.engine.slab_fd)])
        return DoorKey(address=address, token=token)

    def resource_usage(self) -> WorkerGetResourceUsageResponse:
        """WORKER_GET_RESOURCE_USAGE: of the whole process, both threads."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return WorkerGetResourceUsageResponse(
            ru_utime=round(usage.ru_utime * 1000),
            ru_stime=round(usage.ru_stime * 1000),
            ru_maxrss=usage.ru_maxrss,
            ru_ixrss=usage.ru_ixrss,
            ru_idrss=usage.ru_idrss,
            ru_isrss=usage.ru_isrss,
            ru_minflt=usage.ru_minflt,
            ru_majflt=usage.ru_majflt,
            ru_nswap=usage.ru_nswap,
            ru_inblock=usage.ru_inblock,
            ru_oublock=usage.ru_oublock,
            ru_msgsnd=usage.ru_msgsnd,
            ru_msgrcv=usage.ru_msgrcv,
            ru_nsignals=usage.ru_nsignals,
            ru_nvcsw=usage.ru_nvcsw,
            ru_nivcsw=usage.ru_nivcsw,
        )
