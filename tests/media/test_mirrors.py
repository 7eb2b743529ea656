"""One producer in the rooms of several logical workers on two core processes: it crosses once, whoever listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from vertical.pipes import MakeLink
from vertical.rings import best_link
from waiting import until

from .two_cores import CODECS, LINKS, Peer, Stage, audio, payload, rtp, shows_a_key_frame, stage

WORKERS = 3


class Hall:
    """A peer on each core in a room of another logical worker, where the producer is mirrored."""

    def __init__(self, router: Any, switch: Any) -> None:
        self.router, self.switch = router, switch
        self.peers: list[Peer] = []
        self.mirror: Any = None

    async def open(self, room: Stage, producer: Any) -> None:
        self.mirror = (await room.router.pipe_to_router(producer_id=producer.id, router=self.router)).pipe_producer
        for _ in range(room.cores):
            peer = Peer()
            self.peers.append(peer)
            await peer.join(self.router)

    def core_of(self, peer: Peer) -> int:
        return int(self.switch._operations.tree.objects[peer.transport.id].member.index)

    def close(self) -> None:
        for peer in self.peers:
            peer.socket.close()


@asynccontextmanager
async def halls(room: Stage, producer: Any) -> AsyncIterator[list[Hall]]:
    made: list[Hall] = []
    try:
        for _ in range(WORKERS - 1):
            worker = await room.mediasoup.create_worker()
            hall = Hall(await worker.create_router(media_codecs=CODECS), worker.channel)
            made.append(hall)
            await hall.open(room, producer)
        yield made
    finally:
        for hall in made:
            hall.close()


@LINKS
async def test_every_packet_crosses_once(make_link: MakeLink) -> None:
    async with stage(make_link) as room:
        producer = await room.publisher.transport.produce(kind="audio", rtp_parameters=audio())
        async with halls(room, producer) as others:
            assert room.switch.pipes.count == 0
            for peer in room.subscribers:
                await peer.consume(room.router, producer)
            for hall in others:
                assert {hall.core_of(peer) for peer in hall.peers} == {0, 1}
                for peer in hall.peers:
                    await peer.consume(hall.router, hall.mirror)
            guests = [peer for hall in others for peer in hall.peers]
            everybody = [*room.subscribers, *guests]
            assert room.switch.pipes.count == 1 and all(hall.switch.pipes.count == 0 for hall in others)
            for sequence in range(500):
                room.publisher.send(rtp(1111, 111, 65300 + sequence, sequence.to_bytes(2, "big") + bytes(60)))
                if sequence % 10 == 9:
                    await asyncio.sleep(0.002)
                    room.receive(*guests)
            await until(lambda: (room.receive(*guests), all(len(peer.rtp) >= 500 for peer in everybody))[1])
            for peer in everybody:
                assert [payload(packet)[:2] for packet in peer.rtp] == [n.to_bytes(2, "big") for n in range(500)]
            assert await room.crossed(producer) == 500
            (stats,) = await others[0].mirror.get_stats()
            assert (stats["packetCount"], stats["packetsLost"]) == (500, 0)


async def test_pictures_and_pauses() -> None:
    """Behind a mirror: key frames are asked for, and while all that it shows is paused nothing crosses."""
    async with stage(best_link) as room:
        producer = await room.film()
        async with halls(room, producer) as (hall, _):
            home = room.member_of(room.publisher.transport).index
            far = next(peer for peer in hall.peers if hall.core_of(peer) != home)
            consumer = await far.consume(hall.router, hall.mirror, paused=True)
            for who in (consumer, hall.mirror):
                if who is hall.mirror:
                    await hall.mirror.pause()
                    await consumer.resume()
                for _ in range(2):
                    before = await room.crossed(producer)
                    room.receive(far)
                    room.publisher.rtcp.clear()
                    far.rtp.clear()
                    await room.play(30, far)
                    assert await room.crossed(producer) == before and far.rtp == []
                    await who.resume()
                    assert await room.play(50, far) >= 1
                    assert shows_a_key_frame(far.rtp[0])
                    assert len(far.rtp) > 25
                    await who.pause()
