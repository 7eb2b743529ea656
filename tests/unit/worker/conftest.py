"""An object tree over a fake engine, asked through the executor as the channel would."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sfu_core.channel import messages as m
from sfu_core.worker.certificate import Certificate
from sfu_core.worker.context import Context
from sfu_core.worker.dispatch import Dispatch
from sfu_core.worker.executor import Executor
from sfu_core.worker.handshakes import Handshakes
from sfu_core.worker.logs import Logs
from sfu_core.worker.sockets import Sockets
from sfu_core.worker.worker import Worker

from .fake_engine import FakeEngine


class World:
    """A core process without a process: ask, tell, emit, and see what was said."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, certificate: Callable[[], Certificate], engine: Any = None
    ) -> None:
        self.loop = loop
        self.engine = engine or FakeEngine()
        self.said: list[tuple[str, m.Notification]] = []
        self.log: list[str] = []
        logs = Logs(self.log.append, "debug", ["rtp", "rtcp", "dtls", "ice"])
        self.context = Context(
            engine=self.engine,
            loop=loop,
            notify=lambda message, id: self.said.append((id, message)),
            logs=logs,
            sockets=Sockets(self.engine, logs, 40000, 49999),
            certificate=certificate,
            dispatch=Dispatch(),
            handshakes=Handshakes(loop),
        )
        self.worker = Worker(self.context)
        self.executor = Executor(self.worker)

    def ask(self, message: m.Request[Any], id: str = "") -> Any:
        return self.executor.request(message, id)

    def tell(self, message: m.Notification, id: str) -> None:
        self.executor.notification(message, id)

    def emit(self, code: int, *rest: Any) -> None:
        """An event of the media thread, delivered at once."""
        self.engine.emit(code, *rest)
        for event in self.engine.poll():
            self.context.dispatch.deliver(event)

    def news(self, id: str | None = None) -> list[m.Notification]:
        """What was said since the last call (about one object), oldest first."""
        found = [message for about, message in self.said if id in (None, about)]
        self.said = [] if id is None else [said for said in self.said if said[0] != id]
        return found

    def turn(self, count: int = 1) -> None:
        """Let the loop run."""
        for _ in range(count):
            self.loop.run_until_complete(asyncio.sleep(0))

    def assert_empty(self) -> None:
        """Nothing is left of anything."""
        assert self.engine.is_empty()
        self.assert_forgotten()

    def assert_forgotten(self) -> None:
        """No table of the control thread holds anything."""
        assert len(self.context.dispatch) == 0
        assert self.context.registry.items() == []
        assert self.worker.routers == {} and self.worker.servers == {}

    # --- the usual things

    def router(self, id: str = "r") -> str:
        self.ask(m.WorkerCreateRouter(router_id=id))
        return id

    def direct(self, id: str = "d", router: str = "r") -> str:
        options = m.DirectTransportOptions(base=m.TransportOptions(direct=True))
        self.ask(m.RouterCreateDirectTransport(transport_id=id, options=options), router)
        return id

    def plain(self, id: str = "p", router: str = "r", **options: Any) -> m.PlainTransportDumpResponse:
        options = {"rtcp_mux": True, "comedia": False, "enable_srtp": False} | options
        options = {"listen_info": listen_info(), "base": m.TransportOptions()} | options
        request = m.RouterCreatePlainTransport(transport_id=id, options=m.PlainTransportOptions(**options))
        dump: m.PlainTransportDumpResponse = self.ask(request, router)
        return dump

    def produce(self, id: str = "prod", transport: str = "d", **changes: Any) -> m.TransportProduceResponse:
        reply: m.TransportProduceResponse = self.ask(produce_request(id, **changes), transport)
        return reply

    def consume(self, id: str = "cons", transport: str = "d", **changes: Any) -> m.TransportConsumeResponse:
        reply: m.TransportConsumeResponse = self.ask(consume_request(id, **changes), transport)
        return reply


def listen_info(ip: str = "127.0.0.1", **fields: Any) -> m.ListenInfo:
    fields = {"port_range": m.PortRange(), "flags": m.SocketFlags(), "expose_internal_ip": False} | fields
    return m.ListenInfo(ip=ip, **fields)


def feedback(*pairs: tuple[str, str]) -> list[m.RtcpFeedback]:
    return [m.RtcpFeedback(type=type, parameter=parameter) for type, parameter in pairs]


def vp8(payload_type: int = 96) -> list[m.RtpCodecParameters]:
    """VP8 and its RTX, as a browser sends it."""
    apt = m.Parameter(name="apt", value=m.Integer32(value=payload_type))
    known = feedback(("nack", ""), ("nack", "pli"), ("ccm", "fir"), ("goog-remb", ""), ("transport-cc", ""))
    return [
        m.RtpCodecParameters(mime_type="video/VP8", payload_type=payload_type, clock_rate=90000, rtcp_feedback=known),
        m.RtpCodecParameters(mime_type="video/rtx", payload_type=payload_type + 1, clock_rate=90000, parameters=[apt]),
    ]


def opus(payload_type: int = 111) -> m.RtpCodecParameters:
    return m.RtpCodecParameters(
        mime_type="audio/opus",
        payload_type=payload_type,
        clock_rate=48000,
        channels=2,
        parameters=[m.Parameter(name="useinbandfec", value=m.Integer32(value=1))],
        rtcp_feedback=feedback(("transport-cc", "")),
    )


def extension(uri: m.RtpHeaderExtensionUri, id: int) -> m.RtpHeaderExtensionParameters:
    return m.RtpHeaderExtensionParameters(uri=uri, id=id)


def rtp_parameters(**changes: Any) -> m.RtpParameters:
    fields: dict[str, Any] = {
        "mid": "0",
        "codecs": vp8(),
        "header_extensions": [
            extension(m.RtpHeaderExtensionUri.MID, 4),
            extension(m.RtpHeaderExtensionUri.ABS_SEND_TIME, 3),
        ],
        "encodings": [m.RtpEncodingParameters(ssrc=1111, rtx=m.Rtx(ssrc=1112))],
        "rtcp": m.RtcpParameters(cname="alice"),
    }
    return m.RtpParameters(**fields | changes)


def produce_request(id: str = "prod", **changes: Any) -> m.TransportProduce:
    """Changes of rtp_parameters' fields are taken as such, others as fields of the request."""
    own = {name: changes.pop(name) for name in list(changes) if name in m.RtpParameters.__struct_fields__}
    fields: dict[str, Any] = {
        "producer_id": id,
        "kind": m.MediaKind.VIDEO,
        "rtp_parameters": rtp_parameters(**own),
        "rtp_mapping": m.RtpMapping(
            codecs=[
                m.CodecMapping(payload_type=96, mapped_payload_type=101),
                m.CodecMapping(payload_type=97, mapped_payload_type=102),
            ],
            encodings=[m.EncodingMapping(ssrc=1111, mapped_ssrc=900)],
        ),
    }
    return m.TransportProduce(**fields | changes)


def consume_request(id: str = "cons", **changes: Any) -> m.TransportConsume:
    own = {name: changes.pop(name) for name in list(changes) if name in m.RtpParameters.__struct_fields__}
    own = {
        "codecs": vp8(101),
        "encodings": [m.RtpEncodingParameters(ssrc=5000, rtx=m.Rtx(ssrc=5001))],
    } | own
    fields: dict[str, Any] = {
        "consumer_id": id,
        "producer_id": "prod",
        "kind": m.MediaKind.VIDEO,
        "rtp_parameters": rtp_parameters(**own),
        "type": m.RtpType.SIMPLE,
        "consumable_rtp_encodings": [m.RtpEncodingParameters(ssrc=900)],
    }
    return m.TransportConsume(**fields | changes)


@pytest.fixture(scope="session")
def certificate() -> Certificate:
    return Certificate.generate()


@pytest.fixture
def world(certificate: Certificate) -> Iterator[World]:
    loop = asyncio.new_event_loop()
    world = World(loop, lambda: certificate)
    yield world
    world.worker.close()
    world.assert_empty()
    world.engine.close()
    loop.close()
