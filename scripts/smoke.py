"""A call in thirty lines: RTP into a room and out of it again, through an installed sfu_core. Exits non-zero if not."""

import asyncio
import socket
import struct
import sys

from sfu_core import mediasoup

OPUS = {"kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2}
SENT = 50


def udp() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


async def call() -> int:
    """Publishes `SENT` audio packets to a subscriber; returns how many came."""
    publisher, subscriber = udp(), udp()
    worker = await mediasoup.create_worker()
    router = await worker.create_router(media_codecs=[OPUS])
    listen = {"protocol": "udp", "ip": "127.0.0.1"}
    ingress = await router.create_plain_transport(listen_info=listen, comedia=True, rtcp_mux=True)
    egress = await router.create_plain_transport(listen_info=listen, rtcp_mux=True)
    await egress.connect(ip="127.0.0.1", port=subscriber.getsockname()[1])
    codec = {"mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2}
    producer = await ingress.produce(kind="audio", rtp_parameters={"codecs": [codec], "encodings": [{"ssrc": 1}]})
    await egress.consume(producer_id=producer.id, rtp_capabilities=router.rtp_capabilities)

    to = ("127.0.0.1", ingress.tuple["localPort"])
    for n in range(SENT):
        publisher.sendto(struct.pack("!BBHII", 0x80, 111, n, n * 960, 1) + b"opus", to)
        await asyncio.sleep(0.002)
    received = 0
    try:
        async with asyncio.timeout(5):
            while received < SENT:
                packet = await asyncio.get_running_loop().sock_recv(subscriber, 2048)
                received += packet.endswith(b"opus")
    except TimeoutError:
        pass
    worker.close()
    return received


if __name__ == "__main__":
    received = asyncio.run(call())
    print(f"{received} of {SENT} packets came through")
    sys.exit(received != SENT)
