"""Rings between two real core processes: made, used, closed."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from sfu_core.channel import messages as m
from sfu_core.channel.channel import Channel
from sfu_core.channel.process import ProcessSpawner
from sfu_core.channel.settings import WorkerSettings
from sfu_core.errors import NotFoundError, SfuError

ROUTER, SOURCE, SINK, A_END, B_END, RING = "router", "source", "sink", "a-end", "b-end", "ring"
OPUS = m.RtpCodecParameters(mime_type="audio/opus", payload_type=100, clock_rate=48000, channels=2)


@asynccontextmanager
async def cores() -> AsyncIterator[tuple[Channel, Channel]]:
    spawner = ProcessSpawner()
    a, b = await asyncio.gather(spawner.spawn(WorkerSettings()), spawner.spawn(WorkerSettings()))
    try:
        yield a, b
    finally:
        a.close()
        b.close()
        await asyncio.gather(a.ended(), b.ended())


def udp_socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def run(body: Callable[[Channel, Channel], Awaitable[None]]) -> None:
    async def main() -> None:
        async with cores() as (a, b):
            await body(a, b)

    asyncio.run(main())


async def join(a: Channel, b: Channel) -> None:
    door = await a.request(m.WorkerOpenRing(ring_id=RING))
    await b.request(m.WorkerJoinRing(ring_id=RING, door=door))


async def pipe(a: Channel, b: Channel) -> None:
    for core in (a, b):
        await core.request(m.WorkerCreateRouter(router_id=ROUTER))
    tag_a = await a.request(m.RouterCreateRingTransport(transport_id=A_END, ring_id=RING), ROUTER)
    tag_b = await b.request(m.RouterCreateRingTransport(transport_id=B_END, ring_id=RING), ROUTER)
    await a.request(m.RingTransportConnect(tag=tag_b.tag), A_END)
    await b.request(m.RingTransportConnect(tag=tag_a.tag), B_END)


def parameters(ssrc: int) -> m.RtpParameters:
    return m.RtpParameters(
        codecs=[OPUS],
        header_extensions=[],
        encodings=[m.RtpEncodingParameters(ssrc=ssrc)],
        rtcp=m.RtcpParameters(cname="c"),
    )


def mapping(ssrc: int, mapped: int) -> m.RtpMapping:
    return m.RtpMapping(
        codecs=[m.CodecMapping(payload_type=100, mapped_payload_type=100)],
        encodings=[m.EncodingMapping(ssrc=ssrc, mapped_ssrc=mapped)],
    )


async def plain(core: Channel, id: str, comedia: bool) -> int:
    options = m.PlainTransportOptions(
        base=m.TransportOptions(),
        listen_info=m.ListenInfo(
            ip="127.0.0.1", expose_internal_ip=False, port_range=m.PortRange(), flags=m.SocketFlags()
        ),
        rtcp_mux=True,
        comedia=comedia,
        enable_srtp=False,
    )
    made = await core.request(m.RouterCreatePlainTransport(transport_id=id, options=options), ROUTER)
    return made.tuple.local_port


def test_a_stream_crosses_from_one_process_to_the_other() -> None:
    async def body(a: Channel, b: Channel) -> None:
        await join(a, b)
        await pipe(a, b)
        port = await plain(a, SOURCE, comedia=True)
        await plain(b, SINK, comedia=False)
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back,
        ):
            back.bind(("127.0.0.1", 0))
            back.settimeout(2)
            await b.request(m.PlainTransportConnect(ip="127.0.0.1", port=back.getsockname()[1]), SINK)
            produce = m.TransportProduce(
                producer_id="p", kind=m.MediaKind.AUDIO, rtp_parameters=parameters(11), rtp_mapping=mapping(11, 22)
            )
            await a.request(produce, SOURCE)
            await a.request(
                m.TransportConsume(
                    consumer_id="pipe",
                    producer_id="p",
                    kind=m.MediaKind.AUDIO,
                    rtp_parameters=parameters(33),
                    type=m.RtpType.PIPE,
                    consumable_rtp_encodings=[m.RtpEncodingParameters(ssrc=22)],
                ),
                A_END,
            )
            await b.request(
                m.TransportProduce(
                    producer_id="p", kind=m.MediaKind.AUDIO, rtp_parameters=parameters(33), rtp_mapping=mapping(33, 22)
                ),
                B_END,
            )
            await b.request(
                m.TransportConsume(
                    consumer_id="c",
                    producer_id="p",
                    kind=m.MediaKind.AUDIO,
                    rtp_parameters=parameters(44),
                    type=m.RtpType.SIMPLE,
                    consumable_rtp_encodings=[m.RtpEncodingParameters(ssrc=22)],
                ),
                SINK,
            )
            for seq in range(50):
                out.sendto(
                    struct.pack("!BBHII", 0x80, 100, seq, seq * 960, 11) + b"\x78" + bytes(50), ("127.0.0.1", port)
                )
                await asyncio.sleep(0.002)
            media = [data for data in (back.recv(2000) for _ in range(50)) if data[1] == 100]
        assert len(media) == 50
        assert {struct.unpack("!I", data[8:12])[0] for data in media} == {44}

    run(body)


def test_closing_in_order_and_refusals() -> None:
    async def body(a: Channel, b: Channel) -> None:
        await join(a, b)
        await pipe(a, b)
        with pytest.raises(SfuError, match="connect"):
            await a.request(m.RingTransportConnect(tag=1), A_END)
        with pytest.raises(SfuError, match="exists already"):
            await a.request(m.WorkerOpenRing(ring_id=RING))
        with pytest.raises(NotFoundError):
            await a.request(m.RouterCreateRingTransport(transport_id="x", ring_id="none"), ROUTER)
        with pytest.raises(TypeError, match="capacity"):
            await a.request(m.WorkerOpenRing(ring_id="odd", capacity=100000))
        await a.request(m.WorkerCloseRing(ring_id=RING))
        with pytest.raises(NotFoundError):
            await a.request(m.RouterCreateRingTransport(transport_id="late", ring_id=RING), ROUTER)
        with pytest.raises(SfuError, match="exists already"):
            await a.request(m.WorkerOpenRing(ring_id=RING))
        await a.request(m.RouterCloseTransport(transport_id=A_END), ROUTER)
        await a.request(m.WorkerOpenRing(ring_id=RING))
        dump = await b.request(m.TransportDump(), B_END)
        assert dump.base.id == B_END

    run(body)


def test_a_ring_cannot_be_joined_with_a_wrong_token() -> None:
    async def body(a: Channel, b: Channel) -> None:
        door = await a.request(m.WorkerOpenRing(ring_id=RING))
        with pytest.raises(SfuError, match="joined"):
            await b.request(m.WorkerJoinRing(ring_id=RING, door=m.DoorKey(address=door.address, token=b"x" * 32)))
        await b.request(m.WorkerJoinRing(ring_id=RING, door=door))

    run(body)
