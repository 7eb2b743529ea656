"""Messages to a WebRtcServer (handler id: the server's)."""

from sfu_core.channel.messages.base import U16, Method, Request, Response, Table


class IpPort(Table):
    ip: str
    port: U16


class IceUserNameFragment(Table):
    local_ice_username_fragment: str
    web_rtc_transport_id: str


class WebRtcServerDumpResponse(Response):
    BODY = 3
    id: str
    udp_sockets: list[IpPort]
    tcp_servers: list[IpPort]
    web_rtc_transport_ids: list[str]
    local_ice_username_fragments: list[IceUserNameFragment]


class WebRtcServerDump(Request[WebRtcServerDumpResponse]):
    METHOD = Method.WEBRTCSERVER_DUMP
