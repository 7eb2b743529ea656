"""A channel without a worker behind it: it records what it is asked and answers from a script."""

import asyncio
from collections.abc import Callable
from typing import Any

from sfu_core.channel import messages as m
from sfu_core.channel.place import local_place
from sfu_core.errors import WorkerClosedError
from sfu_core.mediasoup import Mediasoup

CODECS = [
    {"kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2},
    {"kind": "video", "mimeType": "video/VP8", "clockRate": 90000},
]
LOOPBACK = {"protocol": "udp", "ip": "127.0.0.1"}


def audio_parameters(ssrc=1111, payload_type=111, **more):
    codec = {"mimeType": "audio/opus", "payloadType": payload_type, "clockRate": 48000, "channels": 2}
    return {"codecs": [codec], "encodings": [{"ssrc": ssrc}], **more}


def video_parameters(ssrc=2222, payload_type=96, **more):
    codec = {
        "mimeType": "video/VP8",
        "payloadType": payload_type,
        "clockRate": 90000,
        "rtcpFeedback": [{"type": "nack"}, {"type": "nack", "parameter": "pli"}],
    }
    rtx = {"mimeType": "video/rtx", "payloadType": payload_type + 1, "clockRate": 90000}
    rtx["parameters"] = {"apt": payload_type}
    return {"codecs": [codec, rtx], "encodings": [{"ssrc": ssrc, "rtx": {"ssrc": ssrc + 1}}], **more}


def flow(port=40000, **more):
    return m.TransportTuple(local_address="127.0.0.1", local_port=port, remote_port=0, **more)


def base_dump(id, **more):
    return m.TransportBaseDump(
        id=id,
        producer_ids=[],
        consumer_ids=[],
        map_ssrc_consumer_id=[],
        map_rtx_ssrc_consumer_id=[],
        data_producer_ids=[],
        data_consumer_ids=[],
        recv_rtp_header_extensions=m.RecvRtpHeaderExtensions(),
        rtp_listener=m.RtpListener(ssrc_table=[], mid_table=[], rid_table=[]),
        max_send_message_size=262144,
        max_receive_message_size=262144,
        trace_event_types=[],
        **more,
    )


def base_for(request):
    """A base dump as the options of the request want it."""
    sctp = {}
    if request.options.base.enable_sctp:
        sctp["sctp_parameters"] = m.SctpParameters(
            port=5000,
            max_send_message_size=262144,
            max_receive_message_size=1000,
            send_buffer_size=2000000,
            per_stream_send_queue_limit=2000000,
            max_receiver_window_buffer_size=5242880,
            is_data_channel=request.options.base.is_data_channel,
        )
        sctp["sctp_state"] = m.SctpState.NEW
        sctp["sctp_negotiated_capabilities"] = m.SctpNegotiatedCapabilities(
            negotiated_max_outbound_streams=0, negotiated_max_inbound_streams=0
        )
    return base_dump(request.transport_id, **sctp)


def webrtc_dump(request):
    return m.WebRtcTransportDumpResponse(
        base=base_for(request),
        ice_role=m.IceRole.CONTROLLED,
        ice_parameters=m.IceParameters(username_fragment="ufrag", password="pwd"),
        ice_candidates=[
            m.IceCandidate(
                foundation="udpcandidate",
                priority=1076302079,
                address="127.0.0.1",
                port=40000,
                type=m.IceCandidateType.HOST,
            )
        ],
        ice_state=m.IceState.NEW,
        dtls_parameters=m.DtlsParameters(
            fingerprints=[m.Fingerprint(algorithm=m.FingerprintAlgorithm.SHA256, value="AA:BB")]
        ),
        dtls_state=m.DtlsState.NEW,
    )


def srtp(suite=m.SrtpCryptoSuite.AES_CM_128_HMAC_SHA1_80):
    return m.SrtpParameters(crypto_suite=suite, key_base64="a2V5")


def plain_dump(request):
    options = request.options
    return m.PlainTransportDumpResponse(
        base=base_for(request),
        rtcp_mux=options.rtcp_mux,
        comedia=options.comedia,
        tuple=flow(),
        rtcp_tuple=None if options.rtcp_mux else flow(40001),
        srtp_parameters=srtp(options.srtp_crypto_suite) if options.enable_srtp else None,
    )


def pipe_dump(request):
    options = request.options
    key = srtp(m.SrtpCryptoSuite.AEAD_AES_256_GCM) if options.enable_srtp else None
    return m.PipeTransportDumpResponse(
        base=base_for(request), tuple=flow(), rtx=options.enable_rtx, srtp_parameters=key
    )


def produced(request):
    several = len(request.rtp_parameters.encodings) > 1
    return m.TransportProduceResponse(type=m.RtpType.SIMULCAST if several else m.RtpType.SIMPLE)


def consumed(request):
    return m.TransportConsumeResponse(
        paused=request.paused,
        producer_paused=False,
        score=m.ConsumerScores(score=10, producer_score=10, producer_scores=[10]),
        preferred_layers=request.preferred_layers,
    )


def data_produced(request):
    return m.DataProducerDumpResponse(
        id=request.data_producer_id,
        type=request.type,
        sctp_stream_parameters=request.sctp_stream_parameters,
        label=request.label or "",
        protocol=request.protocol or "",
        paused=request.paused,
    )


def data_consumed(request):
    return m.DataConsumerDumpResponse(
        id=request.data_consumer_id,
        data_producer_id=request.data_producer_id,
        type=request.type,
        sctp_stream_parameters=request.sctp_stream_parameters,
        label=request.label or "",
        protocol=request.protocol or "",
        buffered_amount=0,
        buffered_amount_low_threshold=0,
        paused=request.paused,
        data_producer_paused=False,
        subchannels=request.subchannels,
    )


def worker_dump(request):
    handlers = m.ChannelMessageHandlers(channel_request_handlers=[], channel_notification_handlers=[])
    return m.WorkerDumpResponse(pid=4242, web_rtc_server_ids=[], router_ids=[], channel_message_handlers=handlers)


ANSWERS: dict[type, Callable[[Any], Any]] = {
    m.WorkerDump: worker_dump,
    m.RouterCreateWebRtcTransport: webrtc_dump,
    m.RouterCreateWebRtcTransportWithServer: webrtc_dump,
    m.RouterCreatePlainTransport: plain_dump,
    m.RouterCreatePipeTransport: pipe_dump,
    m.RouterCreateMirrorTransport: pipe_dump,
    m.RouterCreateDirectTransport: lambda r: m.DirectTransportDumpResponse(base=base_dump(r.transport_id)),
    m.TransportProduce: produced,
    m.TransportConsume: consumed,
    m.TransportProduceData: data_produced,
    m.TransportConsumeData: data_consumed,
    m.MirrorTransportConnect: lambda r: m.PipeTransportConnectResponse(tuple=flow()),
    m.PipeTransportConnect: lambda r: m.PipeTransportConnectResponse(tuple=flow(remote_ip=r.ip)),
    m.ConsumerSetPriority: lambda r: m.ConsumerSetPriorityResponse(priority=r.priority),
    m.DataConsumerSetSubchannels: lambda r: m.DataConsumerSetSubchannelsResponse(subchannels=r.subchannels),
}


class FakeChannel:
    """Follows `sfu_core.channel.channel.Channel`; notifications come by `news`, at once."""

    def __init__(self, loop):
        self.place = local_place()
        self.closed = False
        self.requests = []  # (message, handler id), posted ones too
        self.posted = []
        self.notifications = []
        self.answers = dict(ANSWERS)
        self.unanswered = []
        self.listeners = {}
        self.log_listeners = []
        self.end_listeners = []
        self.log = []  # what happens, in order: strings

    async def request(self, message, handler_id=""):
        if self.closed:
            raise WorkerClosedError("closed")
        self.requests.append((message, handler_id))
        await asyncio.sleep(0)
        answer = self.answers.get(type(message))
        if callable(answer):
            answer = answer(message)
        if asyncio.iscoroutine(answer):
            answer = await answer
        if isinstance(answer, Exception):
            raise answer
        if answer is None and type(message).RESPONSE is not None:
            self.unanswered.append(message)
        return answer

    def post(self, message, handler_id=""):
        self.requests.append((message, handler_id))
        self.posted.append((message, handler_id))
        self.log.append(message.NAME)

    def notify(self, message, handler_id=""):
        self.notifications.append((message, handler_id))

    def subscribe(self, target_id, listener):
        assert target_id not in self.listeners
        self.listeners[target_id] = listener

    def unsubscribe(self, target_id):
        self.listeners.pop(target_id, None)

    def on_log(self, listener):
        self.log_listeners.append(listener)

    def on_end(self, listener):
        self.end_listeners.append(listener)

    def close(self):
        self.closed = True
        self.log.append("close")

    def end(self, reason=None):
        self.closed = True
        for listener in self.end_listeners:
            listener(reason)

    def news(self, target, notification):
        listener = self.listeners.get(target.id)
        if listener is not None:
            listener(notification)

    def last(self, kind):
        """The last request of this kind."""
        return [message for message, _ in self.requests if isinstance(message, kind)][-1]

    def handler_of(self, kind):
        return [handler_id for message, handler_id in self.requests if isinstance(message, kind)][-1]


class FakeSpawner:
    def __init__(self, channel):
        self.channel = channel
        self.settings = []

    async def spawn(self, settings):
        self.settings.append(settings)
        if isinstance(self.channel, Exception):
            raise self.channel
        return self.channel


def record(log, **objects):
    """Write every event of these objects and their observers into `log`, in order."""
    for name, entity in objects.items():
        listen_to_all(entity, lambda event, name=name: log.append(f"{name} {event}"))
        listen_to_all(entity.observer, lambda event, name=name: log.append(f"{name} observer {event}"))


EVENTS = (
    "workerclose",
    "routerclose",
    "listenserverclose",
    "transportclose",
    "producerclose",
    "dataproducerclose",
    "close",
    "died",
    "subprocessclose",
    "webrtctransporthandled",
    "webrtctransportunhandled",
    "pause",
    "resume",
    "producerpause",
    "producerresume",
    "dataproducerpause",
    "dataproducerresume",
    "score",
    "newtransport",
    "newproducer",
    "newconsumer",
    "newdataproducer",
    "newdataconsumer",
    "newrouter",
    "newwebrtcserver",
    "newrtpobserver",
)


def listen_to_all(emitter, tell):
    for event in EVENTS:
        emitter.on(event, lambda *args, event=event: tell(event))


class Room:
    """A worker, a router and what tests put into it."""

    def __init__(self, channel, worker, router):
        self.channel = channel
        self.worker = worker
        self.router = router

    @classmethod
    async def open(cls, channel, codecs=CODECS):
        worker = await Mediasoup(FakeSpawner(channel)).create_worker()
        return cls(channel, worker, await worker.create_router(media_codecs=codecs))

    async def webrtc(self, **options):
        options = options or {"listen_infos": [LOOPBACK]}
        return await self.router.create_webrtc_transport(**options)

    async def plain(self, **options):
        return await self.router.create_plain_transport(listen_info=LOOPBACK, **options)

    async def pipe(self, **options):
        return await self.router.create_pipe_transport(listen_info=LOOPBACK, **options)

    async def direct(self):
        return await self.router.create_direct_transport()

    async def audio(self, transport, **options):
        return await transport.produce(kind="audio", rtp_parameters=audio_parameters(), **options)

    async def video(self, transport, **options):
        return await transport.produce(kind="video", rtp_parameters=video_parameters(), **options)

    async def consume(self, transport, producer, **options):
        capabilities = self.router.rtp_capabilities
        return await transport.consume(producer_id=producer.id, rtp_capabilities=capabilities, **options)
