"""Calls over a network that loses, delays and reorders packets in both directions (tests/network/relay.py).

The packets are lost on the wire between the peers and the server, never inside the engine, and the repairs must be
visible in the statistics of both sides.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from network.relay import Impairment, Relay

from .call import LOOPBACK, OPUS, RELAY, UDP_BEHIND_RELAY, VIDEO_CODECS, longest_freeze, only, until

LOSSY = Impairment(loss=0.05, delay_ms=10)
WATCHED_S = 8.0
LONGEST_FREEZE_S = 2.0


@asynccontextmanager
async def behind_relay(worker: Any, network: Impairment) -> AsyncIterator[tuple[Any, Any, Relay]]:
    """A router whose transports (options ``webrtc_server``) can only be reached through a bad network."""
    server = await worker.create_webrtc_server(listen_infos=[UDP_BEHIND_RELAY])
    port = (await server.dump())["udpSockets"][0]["port"]
    router = await worker.create_router(media_codecs=[OPUS, VIDEO_CODECS["VP8"]])
    with Relay((RELAY, port), (LOOPBACK, port), up=network, down=network, seed=1) as relay:
        yield router, server, relay


@pytest.mark.parametrize(
    "network",
    [
        LOSSY,
        Impairment(loss=0.05, delay_ms=50, jitter_ms=10, reorder=0.02, duplicate=0.01),
    ],
    ids=["loss", "loss-delay-reorder"],
)
async def test_picture_keeps_running(browser: Any, worker: Any, network: Impairment) -> None:
    async with (
        behind_relay(worker, network) as (router, server, relay),
        await browser.participant(router, webrtc_server=server) as alice,
        await browser.participant(router, webrtc_server=server) as bob,
    ):
        camera, microphone = await alice.publish("video"), await alice.publish("audio")
        picture, sound = await bob.subscribe(camera), await bob.subscribe(microphone)
        await picture.more_frames(10)
        freeze, frames = await longest_freeze(picture.frames, WATCHED_S)
        assert freeze < LONGEST_FREEZE_S
        assert frames > 10 * WATCHED_S  # of 20 a second
        await until(sound.sounds, lambda samples: samples > 48000)

        up, down = relay.stats()
        assert up.lost > 0
        assert down.lost > 0

        # Publisher to server: the server asked, the browser sent again, the server repaired.
        at_server = only(await camera.get_stats(), type="inbound-rtp")
        at_page = await alice.sender_stats(camera)
        for stats in (at_server, at_page):
            assert stats["nackCount"] > 0
        assert at_page["retransmittedPacketsSent"] > 0
        assert at_server["packetsRepaired"] > 0
        assert at_server["packetsRetransmitted"] > 0

        # Server to subscriber: the browser asked, the server sent again on the RTX stream.
        forwarded = only(await picture.consumer.get_stats(), type="outbound-rtp")
        at_page = await picture.stats()
        for stats in (forwarded, at_page):
            assert stats["nackCount"] > 0
        assert forwarded["packetsRetransmitted"] > 0
        assert only(await bob.recv.get_stats())["rtxBytesSent"] > 0
        # Most of what was missing came again (the browser counts it as lost all the same).
        assert at_page["retransmittedPacketsReceived"] >= 0.8 * at_page["packetsLost"]


async def test_dtls_handshake_survives_loss(browser: Any, worker: Any) -> None:
    """Three datagrams of ten vanish in each direction until the call stands."""
    async with (
        behind_relay(worker, Impairment(loss=0.3)) as (router, server, relay),
        await browser.participant(router, webrtc_server=server) as alice,
        await browser.participant(router, webrtc_server=server) as bob,
    ):
        camera = await alice.publish("video")
        picture = await bob.subscribe(camera)

        async def states() -> tuple[str, str]:
            return alice.send.dtls_state, bob.recv.dtls_state

        await until(states, lambda both: both == ("connected", "connected"), within=60)
        relay.impair(up=LOSSY, down=LOSSY)
        await picture.more_frames(20)


async def test_an_outage_of_two_seconds(browser: Any, worker: Any) -> None:
    """The call goes on by itself when the network comes back."""
    async with (
        behind_relay(worker, Impairment()) as (router, server, relay),
        await browser.participant(router, webrtc_server=server) as alice,
        await browser.participant(router, webrtc_server=server) as bob,
    ):
        picture = await bob.subscribe(await alice.publish("video"))
        await picture.more_frames(10)
        relay.impair(up=Impairment(loss=1.0), down=Impairment(loss=1.0))
        await longest_freeze(picture.frames, 2.0)
        relay.impair(up=Impairment(), down=Impairment())
        await picture.more_frames(20)


@pytest.mark.parametrize("network", [LOSSY], ids=["loss"])
async def test_aiortc_repairs_too(aiortc: Any, worker: Any, network: Impairment) -> None:
    async with (
        behind_relay(worker, network) as (router, server, relay),
        aiortc.AiortcParticipant(router, webrtc_server=server) as alice,
        aiortc.AiortcParticipant(router, webrtc_server=server) as bob,
    ):
        publication = await alice.publish("video")
        picture = await bob.subscribe(publication.producer)
        await until(picture.frames, lambda frames: frames > 10)
        freeze, frames = await longest_freeze(picture.frames, WATCHED_S)
        assert freeze < LONGEST_FREEZE_S
        assert frames > 10 * WATCHED_S  # of 30 a second

        at_server = only(await publication.producer.get_stats(), type="inbound-rtp")
        assert at_server["nackCount"] > 0
        assert at_server["packetsRepaired"] > 0
        assert publication.sender.retransmissions > 0
        forwarded = only(await picture.consumer.get_stats(), type="outbound-rtp")
        assert forwarded["nackCount"] > 0
        assert forwarded["packetsRetransmitted"] > 0
        assert picture.repaired() > 0
        assert relay.stats()[1].lost > 0
