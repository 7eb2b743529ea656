"""A room: producers and consumers of one router can be connected."""

from typing import Any, TypeVar, Unpack

from ..channel import messages as m
from ..channel.channel import Channel
from ..channel.messages import Request
from . import listen, ortc, peers, pipe
from .active_speaker_observer import ActiveSpeakerObserver
from .audio_level_observer import AudioLevelObserver
from .clone import clone
from .context import RouterContext
from .convert import api
from .convert.arguments import MAX_UINT16, MAX_UINT53, bool_argument, choice, number_argument
from .convert.network import CRYPTO_SUITES, transport_options
from .direct_transport import DirectTransport
from .entity import Parent, checked_app_data, new_id
from .log import Logger
from .pipe import PipeToRouterResult
from .pipe_transport import PipeTransport
from .plain_transport import PlainTransport
from .rtp_observer import RtpObserver
from .transport import Transport
from .types import (
    RtpCapabilities,
    RtpCodecCapability,
    SctpOptions,
    SrtpCryptoSuite,
    TransportListenInfo,
)
from .webrtc_server import WebRtcServer
from .webrtc_transport import WebRtcTransport

_logger = Logger("Router")

T = TypeVar("T", bound=Transport)
W = TypeVar("W", bound=RtpObserver)

_KINDS: dict[type[Request[Any]], type[Any]] = {
    m.RouterCreateWebRtcTransport: WebRtcTransport,
    m.RouterCreateWebRtcTransportWithServer: WebRtcTransport,
    m.RouterCreatePlainTransport: PlainTransport,
    m.RouterCreatePipeTransport: PipeTransport,
    m.RouterCreateMirrorTransport: PipeTransport,
    m.RouterCreateDirectTransport: DirectTransport,
    m.RouterCreateAudioLevelObserver: AudioLevelObserver,
    m.RouterCreateActiveSpeakerObserver: ActiveSpeakerObserver,
}
"""What each request makes."""


class Router(Parent):
    """Events: `workerclose`. Observer: `close`, `newtransport` (Transport), `newrtpobserver` (RtpObserver)."""

    _CHILDREN_HEAR = "routerclose"

    def __init__(
        self,
        channel: Channel,
        id: str,
        rtp_capabilities: RtpCapabilities,
        app_data: Any,
        webrtc_servers: dict[str, WebRtcServer],
    ) -> None:
        super().__init__(channel, id, app_data)
        self._context = RouterContext(channel, id, rtp_capabilities, webrtc_servers)
        self._transports: dict[str, Transport] = {}
        self._rtp_observers: dict[str, RtpObserver] = {}
        self._pipes: pipe.Pairs = {}
        self._listen()

    @property
    def rtp_capabilities(self) -> RtpCapabilities:
        """What endpoints are offered (a copy)."""
        return clone(self._context.rtp_capabilities)

    # Ending

    def close(self) -> None:
        """End the router and all that belongs to it."""
        if not self._closed:
            self._channel.post(m.WorkerCloseRouter(router_id=self._id))
            self._end()

    def _tables(self) -> tuple[dict[str, Any], ...]:
        return self._transports, self._rtp_observers

    # Transports

    async def create_webrtc_transport(
        self,
        *,
        webrtc_server: WebRtcServer | None = None,
        listen_infos: list[TransportListenInfo] | None = None,
        listen_ips: Any = None,
        port: int | None = None,
        enable_udp: bool = True,
        enable_tcp: bool | None = None,
        prefer_udp: bool = False,
        prefer_tcp: bool = False,
        initial_available_outgoing_bitrate: int = 600_000,
        ice_consent_timeout: int = 30,
        app_data: Any = None,
        **sctp: Unpack[SctpOptions],
    ) -> WebRtcTransport:
        """A transport to a browser, on the sockets of a server or on its own (`listen_infos`).

        TCP is enabled with a server and disabled without unless `enable_tcp` says otherwise. Bitrate in bits per
        second; `ice_consent_timeout` in seconds, 0 for never (RFC 7675). `listen_ips` with `port` is the older
        way to say `listen_infos`.
        """
        app_data = checked_app_data(app_data)
        listen.exactly_one(webrtc_server=webrtc_server, listen_infos=listen_infos, listen_ips=listen_ips)
        number_argument(initial_available_outgoing_bitrate, "initial_available_outgoing_bitrate", 0, MAX_UINT53)
        tcp = webrtc_server is not None if enable_tcp is None else bool_argument(enable_tcp, "enable_tcp")
        options = m.WebRtcTransportOptions(
            base=transport_options(sctp, is_data_channel=True, initial_bitrate=initial_available_outgoing_bitrate),
            listen=_webrtc_listen(
                webrtc_server,
                listen_infos,
                listen_ips,
                port,
                udp=bool_argument(enable_udp, "enable_udp"),
                tcp=tcp,
                prefer_tcp=prefer_tcp and not prefer_udp,
            ),
            enable_udp=enable_udp,
            enable_tcp=tcp,
            prefer_udp=bool_argument(prefer_udp, "prefer_udp"),
            prefer_tcp=bool_argument(prefer_tcp, "prefer_tcp"),
            ice_consent_timeout=_consent_timeout(ice_consent_timeout),
        )
        id = new_id()
        request: m.Request[m.WebRtcTransportDumpResponse] = (
            m.RouterCreateWebRtcTransport(transport_id=id, options=options)
            if webrtc_server is None
            else m.RouterCreateWebRtcTransportWithServer(transport_id=id, options=options)
        )
        response = await self._create(request, m.RouterCloseTransport(transport_id=id))
        return self._add_transport(WebRtcTransport, request, response, app_data)

    async def create_plain_transport(
        self,
        *,
        listen_info: TransportListenInfo | None = None,
        rtcp_listen_info: TransportListenInfo | None = None,
        listen_ip: Any = None,
        port: int | None = None,
        rtcp_mux: bool = True,
        comedia: bool = False,
        enable_srtp: bool = False,
        srtp_crypto_suite: SrtpCryptoSuite = "AES_CM_128_HMAC_SHA1_80",
        app_data: Any = None,
        **sctp: Unpack[SctpOptions],
    ) -> PlainTransport:
        """A transport for plain RTP; `comedia` learns the peer's address from its packets.

        Giving `rtcp_listen_info` turns `rtcp_mux` off. `listen_ip` with `port` is the older way to say
        `listen_info`.
        """
        app_data = checked_app_data(app_data)
        info = listen.udp_listen_info(listen_info, listen_ip, port)
        mux = bool_argument(rtcp_mux, "rtcp_mux") and rtcp_listen_info is None
        options = m.PlainTransportOptions(
            base=transport_options(sctp),
            listen_info=info,
            rtcp_listen_info=listen.rtcp_listen_info(rtcp_listen_info, info, mux),
            rtcp_mux=mux,
            comedia=bool_argument(comedia, "comedia"),
            enable_srtp=bool_argument(enable_srtp, "enable_srtp"),
            srtp_crypto_suite=choice(srtp_crypto_suite, CRYPTO_SUITES, "srtp_crypto_suite"),
        )
        request = m.RouterCreatePlainTransport(transport_id=new_id(), options=options)
        response = await self._create(request, m.RouterCloseTransport(transport_id=request.transport_id))
        return self._add_transport(PlainTransport, request, response, app_data)

    async def create_pipe_transport(
        self,
        *,
        listen_info: TransportListenInfo | None = None,
        listen_ip: Any = None,
        port: int | None = None,
        enable_rtx: bool = False,
        enable_srtp: bool = False,
        app_data: Any = None,
        **sctp: Unpack[SctpOptions],
    ) -> PipeTransport:
        """A transport to another router; `pipe_to_router` makes both ends at once.

        `listen_ip` with `port` is the older way to say `listen_info`.
        """
        app_data = checked_app_data(app_data)
        options = m.PipeTransportOptions(
            base=transport_options(sctp),
            listen_info=listen.udp_listen_info(listen_info, listen_ip, port),
            enable_rtx=bool_argument(enable_rtx, "enable_rtx"),
            enable_srtp=bool_argument(enable_srtp, "enable_srtp"),
        )
        return await self._create_pipe(m.RouterCreatePipeTransport(transport_id=new_id(), options=options), app_data)

    async def _create_pipe(self, request: pipe.CreatePipe, app_data: Any = None) -> PipeTransport:
        response = await self._create(request, m.RouterCloseTransport(transport_id=request.transport_id))
        return self._add_transport(PipeTransport, request, response, app_data)

    async def create_direct_transport(
        self,
        *,
        max_send_message_size: int = 262_144,
        max_receive_message_size: int = 262_144,
        app_data: Any = None,
    ) -> DirectTransport:
        """A transport to this application; message sizes in bytes."""
        app_data = checked_app_data(app_data)
        base = m.TransportOptions(
            direct=True,
            max_send_message_size=number_argument(max_send_message_size, "max_send_message_size"),
            max_receive_message_size=number_argument(max_receive_message_size, "max_receive_message_size"),
        )
        request = m.RouterCreateDirectTransport(transport_id=new_id(), options=m.DirectTransportOptions(base=base))
        response = await self._create(request, m.RouterCloseTransport(transport_id=request.transport_id))
        return self._add_transport(DirectTransport, request, response, app_data)

    def _add_transport(self, kind: type[T], request: Any, response: Any, app_data: Any = None) -> T:
        server = self._context.find_listen_server(request)
        transport = kind(self._context, response, app_data)
        if server is not None and isinstance(transport, WebRtcTransport):
            server._handle(transport)
        return self._adopt(transport, "newtransport", self._transports)

    def _add(self, message: Request[Any], answer: Any) -> None:
        kind = _KINDS.get(type(message))
        if isinstance(message, m.RouterCreateAudioLevelObserver | m.RouterCreateActiveSpeakerObserver):
            self._add_rtp_observer(_KINDS[type(message)], message.rtp_observer_id)
        elif kind is not None:
            self._add_transport(kind, message, answer)

    # Observers

    async def create_audio_level_observer(
        self, *, max_entries: int = 1, threshold: int = -80, interval: int = 1000, app_data: Any = None
    ) -> AudioLevelObserver:
        """Reports the loudest producers: `threshold` in dBov (-127..0), `interval` in milliseconds."""
        app_data = checked_app_data(app_data)
        options = m.AudioLevelObserverOptions(
            max_entries=number_argument(max_entries, "max_entries", 1, MAX_UINT16),
            threshold=number_argument(threshold, "threshold", -127, 0),
            interval=number_argument(interval, "interval", 0, MAX_UINT16),
        )
        request = m.RouterCreateAudioLevelObserver(rtp_observer_id=new_id(), options=options)
        await self._create(request, m.RouterCloseRtpObserver(rtp_observer_id=request.rtp_observer_id))
        return self._add_rtp_observer(AudioLevelObserver, request.rtp_observer_id, app_data)

    async def create_active_speaker_observer(
        self, *, interval: int = 300, app_data: Any = None
    ) -> ActiveSpeakerObserver:
        """Reports the dominant speaker; `interval` in milliseconds."""
        app_data = checked_app_data(app_data)
        options = m.ActiveSpeakerObserverOptions(interval=number_argument(interval, "interval", 0, MAX_UINT16))
        request = m.RouterCreateActiveSpeakerObserver(rtp_observer_id=new_id(), options=options)
        await self._create(request, m.RouterCloseRtpObserver(rtp_observer_id=request.rtp_observer_id))
        return self._add_rtp_observer(ActiveSpeakerObserver, request.rtp_observer_id, app_data)

    def _add_rtp_observer(self, kind: type[W], id: str, app_data: Any = None) -> W:
        return self._adopt(kind(self._context, id, app_data), "newrtpobserver", self._rtp_observers)

    # The rest

    async def dump(self) -> dict[str, Any]:
        """The worker's view of the router."""
        return api.fields(await self._request(m.RouterDump()))

    def can_consume(self, *, producer_id: str, rtp_capabilities: RtpCapabilities) -> bool:
        """Whether a receiver with `rtp_capabilities` can be given the producer; never raises."""
        producer = self._context.producers.get(producer_id)
        if producer is None:
            _logger.error("can_consume: no Producer %s in router %s", producer_id, self._id)
            return False
        try:
            return ortc.can_consume(producer._consumable_rtp_parameters, rtp_capabilities)
        except TypeError as error:
            _logger.error("can_consume: %s", error)
            return False

    def update_media_codecs(self, media_codecs: list[RtpCodecCapability]) -> None:
        """Other codecs from now on; producers and consumers there are stay as they are."""
        self._context.rtp_capabilities = ortc.generate_router_rtp_capabilities(media_codecs)
        peers.describe(self._channel, self._id, self._context.rtp_capabilities)

    async def pipe_to_router(
        self,
        *,
        router: "Router",
        producer_id: str | None = None,
        data_producer_id: str | None = None,
        keep_id: bool = True,
        listen_info: TransportListenInfo | None = None,
        listen_ip: Any = None,
        enable_rtx: bool | None = None,
        enable_srtp: bool | None = None,
        **sctp: Unpack[SctpOptions],
    ) -> PipeToRouterResult:
        """Make a producer (or data producer) of this router one of `router` too.

        The first call between two routers makes a pair of PipeTransports, with the options given; later calls,
        in either direction, share it. Left open, routers on different hosts meet at the addresses that these
        announce, with SRTP and RTX; on one host over loopback, in clear. Between routers on the same cores
        (`Place.mirror_group`) the pair is for show: nothing is piped until somebody consumes. With `keep_id` the
        producer has the same id there, which two routers of one worker cannot have. SCTP is on unless `enable_sctp`
        says otherwise.
        """
        ids = {"producer_id": producer_id, "data_producer_id": data_producer_id}
        options = {
            "listen_info": listen_info,
            "listen_ip": listen_ip,
            "enable_rtx": enable_rtx,
            "enable_srtp": enable_srtp,
            **sctp,
        }
        options = pipe.checked_options(self, router, ids, options)
        bool_argument(keep_id, "keep_id")
        if data_producer_id is None:
            producer = self._context.find_producer(producer_id)
            mirrored = pipe.can_mirror(producer, self, router)
            return await pipe.pipe_media(producer, *await pipe.shared_pair(self, router, options, mirrored), keep_id)
        data_producer = self._context.find_data_producer(data_producer_id)
        return await pipe.pipe_data(data_producer, *await pipe.shared_pair(self, router, options), keep_id)


def _webrtc_listen(
    server: WebRtcServer | None,
    listen_infos: object,
    listen_ips: object,
    port: int | None,
    *,
    udp: bool,
    tcp: bool,
    prefer_tcp: bool,
) -> m.Listen:
    if server is None:
        infos = listen.webrtc_listen_infos(listen_infos, listen_ips, port, udp=udp, tcp=tcp, prefer_tcp=prefer_tcp)
        return m.ListenIndividual(listen_infos=infos)
    if not isinstance(server, WebRtcServer):
        raise TypeError("webrtc_server is not a WebRtcServer")
    return m.ListenServer(web_rtc_server_id=server.id)


def _consent_timeout(seconds: int) -> int:
    """0 for none, else 10 to 60 s."""
    number_argument(seconds, "ice_consent_timeout")
    return min(max(seconds, 10), 60) if seconds else 0
