"""The tree on the real engine, with its media thread: everything can be made, flows, and leaves nothing."""

import asyncio
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator

import pytest

from sfu_core._engine import Engine
from sfu_core.channel import messages as m
from sfu_core.worker.certificate import Certificate
from sfu_core.worker.core_process import MediaThread

from .conftest import World, listen_info
from .test_webrtc_transport import on_server, server, webrtc

TCP = m.TransportProtocol.TCP


@pytest.fixture
def real(certificate: Certificate) -> Iterator[World]:
    before = len(os.listdir("/proc/self/fd"))
    loop = asyncio.new_event_loop()
    engine = Engine(transports=64, producers=64, recv_streams=64, send_streams=256)
    media = MediaThread(engine)
    media.start()
    world = World(loop, lambda: certificate, engine)
    yield world
    world.worker.close()
    world.assert_forgotten()
    until(lambda: nothing_used(world))
    assert media.stop()
    loop.close()
    assert len(os.listdir("/proc/self/fd")) == before


def nothing_used(world: World) -> bool:
    world.engine.poll()  # takes back what the media thread has let go
    return not any(world.engine.slots_used().values())


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def deliver(world: World) -> None:
    for event in world.engine.poll():
        world.context.dispatch.deliver(event)


def build(world: World) -> None:
    """Two of everything, each consuming the other's producers."""
    world.router(), world.direct("d1"), world.direct("d2"), world.plain("p1"), world.plain("p2", comedia=True)
    webrtc(world, listen_info(), listen_info(protocol=TCP))
    for index, transport in enumerate(("d1", "d2", "p1", "w")):
        encodings = [m.RtpEncodingParameters(ssrc=10 + index)]
        world.produce(f"prod{index}", transport, encodings=encodings)
        for other in ("d1", "d2", "p2", "w"):
            ssrc = 1000 + 100 * index + len(other) + ord(other[-1])
            encodings = [m.RtpEncodingParameters(ssrc=ssrc)]
            world.consume(f"c{index}{other}", other, producer_id=f"prod{index}", encodings=encodings)


def test_everything_made_and_closed_again_and_again(real: World) -> None:
    for _ in range(20):
        build(real)
        real.worker.close()
        real.assert_forgotten()
        until(lambda: nothing_used(real))


@pytest.mark.parametrize("doomed", ["d1", "p1", "w"])
def test_closing_one_transport_leaves_the_others(real: World, doomed: str) -> None:
    build(real)
    real.ask(m.RouterCloseTransport(transport_id=doomed), "r")
    assert doomed not in real.ask(m.RouterDump(), "r").transport_ids
    for consumer in ("c1d2", "c1p2"):
        assert len(real.ask(m.ConsumerGetStats(), consumer).stats) == 1


def test_server_and_transports(real: World) -> None:
    real.router()
    server(real, listen_info(), listen_info(protocol=TCP))
    on_server(real)
    real.produce("prod", "w")
    real.ask(m.WorkerWebRtcServerClose(web_rtc_server_id="s"))
    until(lambda: nothing_used(real))


def test_full_tables_refuse_and_recover(real: World) -> None:
    real.router()
    for number in range(64):
        real.direct(f"d{number}")
    with pytest.raises(Exception, match="no room"):
        real.direct("one too many")
    real.ask(m.RouterCloseTransport(transport_id="d0"), "r")
    until(lambda: (real.engine.poll(), real.engine.slots_used()["transports"] < 64)[1])
    real.direct("again")


def test_a_packet_goes_through_and_is_seen(real: World) -> None:
    real.router(), real.direct()
    comedia = real.plain("in", comedia=True).tuple
    real.produce("prod", "in")
    real.consume("cons", "d")
    real.news()
    packet = struct.pack("!BBHII", 0x80, 96 | 0x80, 1, 0, 1111) + bytes.fromhex("10000000009d012a80020000") * 3
    packet = packet[:12] + b"\x10" + bytes.fromhex("1000009d012a8002e001") + packet[12:]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
        source.connect((comedia.local_address, comedia.local_port))
        source.send(packet)
        until(lambda: (deliver(real), any(isinstance(n, m.ConsumerRtp) for _, n in real.said))[1])
    told = {type(message) for message in real.news()}
    assert {m.PlainTransportTuple, m.ProducerScore, m.ConsumerScore, m.ConsumerRtp} <= told
    (stats,) = real.ask(m.ProducerGetStats(), "prod").stats
    assert stats.data.packet_count == 1
    assert real.ask(m.ProducerDump(), "prod").rtp_streams[0].params.ssrc == 1111
