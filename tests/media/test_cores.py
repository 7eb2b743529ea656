"""One room on two core processes: every packet of a publisher reaches subscribers on either core, over either link."""

from __future__ import annotations

import asyncio

from vertical.pipes import MakeLink
from waiting import until

from .two_cores import (
    LINKS,
    VP8_DELTA,
    VP8_KEY_FRAME,
    audio,
    payload,
    rtp,
    shows_a_key_frame,
    stage,
)


@LINKS
async def test_every_packet_arrives_on_both_cores(make_link: MakeLink) -> None:
    async with stage(make_link, 1) as room:
        pipes = room.switch.pipes
        producer = await room.publisher.transport.produce(kind="audio", rtp_parameters=audio())
        assert (pipes.count, pipes.links) == (0, 0)
        consumers = {peer: await peer.consume(room.router, producer) for peer in room.subscribers}
        assert pipes.count == pipes.links == (1 if room.cores > 1 else 0)
        assert bool(room.far) == (room.cores > 1) and room.near
        for sequence in range(1000):
            room.publisher.send(rtp(1111, 111, 65000 + sequence, sequence.to_bytes(2, "big") + bytes(60)))
            if sequence % 10 == 9:
                await asyncio.sleep(0.001)
                room.receive()
        await until(lambda: (room.receive(), all(len(peer.rtp) >= 1000 for peer in room.subscribers))[1])
        for peer in room.subscribers:
            assert [payload(packet)[:2] for packet in peer.rtp] == [n.to_bytes(2, "big") for n in range(1000)]
            numbers = [int.from_bytes(packet[2:4], "big") for packet in peer.rtp]
            assert numbers == [(numbers[0] + n) & 0xFFFF for n in range(1000)]
            (stats, received) = await consumers[peer].get_stats()
            assert stats["packetCount"] == received["packetCount"] == 1000
            assert received["ssrc"] == 1111 and received["packetsLost"] == 0
        for peer in room.far:
            consumers[peer].close()
        await room.router.dump()
        assert (pipes.count, pipes.links) == (0, 0)


@LINKS
async def test_key_frames_are_asked_for_through_the_pipe(make_link: MakeLink) -> None:
    """The publisher hears the wish of a subscriber on the other core, which then gets the picture."""
    async with stage(make_link) as room:
        producer = await room.film()
        peer = room.far[0]
        await peer.consume(room.router, producer)

        def asked() -> bool:
            room.receive()
            room.shoot(VP8_DELTA)
            return room.publisher.key_frames_asked() > 0

        await until(asked)
        room.receive()
        assert peer.rtp == []
        room.shoot(VP8_KEY_FRAME)
        await until(lambda: (room.receive(), peer.rtp)[1])
        assert shows_a_key_frame(peer.rtp[0])


@LINKS
async def test_nothing_crosses_while_paused(make_link: MakeLink) -> None:
    async with stage(make_link, 1) as room:
        producer = await room.publisher.transport.produce(kind="audio", rtp_parameters=audio(), paused=True)
        consumers = [await peer.consume(room.router, producer) for peer in room.subscribers]
        assert all(consumer.producer_paused for consumer in consumers)
        for sequence in range(20):
            room.publisher.send(rtp(1111, 111, sequence, b"early"))
        await asyncio.sleep(0.1)
        room.receive()
        assert all(peer.rtp == [] for peer in room.subscribers)
        await producer.resume()
        for sequence in range(20, 40):
            room.publisher.send(rtp(1111, 111, sequence, b"late"))
        await until(lambda: (room.receive(), all(len(peer.rtp) == 20 for peer in room.subscribers))[1])
        assert {payload(packet) for peer in room.subscribers for packet in peer.rtp} == {b"late"}
        await until(lambda: not any(consumer.producer_paused for consumer in consumers))


@LINKS
async def test_nothing_crosses_for_paused_consumers(make_link: MakeLink) -> None:
    """Counted on the pipe; whoever resumes gets a picture as soon as the publisher has answered."""
    async with stage(make_link) as room:
        producer = await room.film()
        peer = room.far[0]
        consumer = await peer.consume(room.router, producer, paused=True)
        assert consumer.paused and room.switch.pipes.count == 1
        await room.play(50)
        assert await room.crossed(producer) == 0 and peer.rtp == []
        for round in range(1, 4):
            room.publisher.rtcp.clear()
            await consumer.resume()
            await room.play(50)
            assert shows_a_key_frame(peer.rtp[0])
            assert len(peer.rtp) > 25, f"no picture within half of round {round}"
            await consumer.pause()
            before = await room.crossed(producer)
            room.receive()
            peer.rtp.clear()
            await room.play(50)
            assert await room.crossed(producer) == before and peer.rtp == []
