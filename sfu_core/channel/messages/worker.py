"""Messages to and from the worker itself (handler id: empty)."""

from msgspec import field

from sfu_core.channel.messages.base import U32, U64, Event, Method, Notification, Request, Response, Table
from sfu_core.channel.messages.network import ListenInfo


class ChannelMessageHandlers(Table):
    """Ids of the objects that take requests, and of those that take notifications."""

    channel_request_handlers: list[str]
    channel_notification_handlers: list[str]


class WorkerDumpResponse(Response):
    BODY = 1
    pid: U32
    web_rtc_server_ids: list[str]
    router_ids: list[str]
    channel_message_handlers: ChannelMessageHandlers


class WorkerGetResourceUsageResponse(Response):
    """getrusage(2) of the worker process; times in ms, `ru_maxrss` in kB."""

    BODY = 2
    ru_utime: U64
    ru_stime: U64
    ru_maxrss: U64
    ru_ixrss: U64
    ru_idrss: U64
    ru_isrss: U64
    ru_minflt: U64
    ru_majflt: U64
    ru_nswap: U64
    ru_inblock: U64
    ru_oublock: U64
    ru_msgsnd: U64
    ru_msgrcv: U64
    ru_nsignals: U64
    ru_nvcsw: U64
    ru_nivcsw: U64


class WorkerDump(Request[WorkerDumpResponse]):
    METHOD = Method.WORKER_DUMP


class WorkerGetResourceUsage(Request[WorkerGetResourceUsageResponse]):
    METHOD = Method.WORKER_GET_RESOURCE_USAGE


class WorkerUpdateSettings(Request[None]):
    """Absent: unchanged; given tags replace all former ones."""

    METHOD = Method.WORKER_UPDATE_SETTINGS
    BODY = 1
    log_level: str | None = None
    log_tags: list[str] | None = None


class WorkerCreateWebRtcServer(Request[None]):
    METHOD = Method.WORKER_CREATE_WEBRTCSERVER
    BODY = 2
    web_rtc_server_id: str
    listen_infos: list[ListenInfo] = field(default_factory=list)


class WorkerWebRtcServerClose(Request[None]):
    METHOD = Method.WORKER_WEBRTCSERVER_CLOSE
    BODY = 3
    web_rtc_server_id: str


class WorkerCreateRouter(Request[None]):
    METHOD = Method.WORKER_CREATE_ROUTER
    BODY = 4
    router_id: str


class WorkerCloseRouter(Request[None]):
    METHOD = Method.WORKER_CLOSE_ROUTER
    BODY = 5
    router_id: str


class WorkerClose(Notification):
    """To the worker: close everything and exit."""

    EVENT = Event.WORKER_CLOSE


class WorkerRunning(Notification):
    """From the worker, once: ready. The handler id is its pid in decimal."""

    EVENT = Event.WORKER_RUNNING
