"""aiortc as publisher and as subscriber: with itself, and with Chromium on the other end."""

from __future__ import annotations

from typing import Any

import pytest

from .call import UDP, only, until

#: The suites of aiortc, by the names the server's settings use, and as OpenSSL calls them.
SRTP_SUITES = {
    "AEAD_AES_128_GCM": b"SRTP_AEAD_AES_128_GCM",
    "AEAD_AES_256_GCM": b"SRTP_AEAD_AES_256_GCM",
    "AES_CM_128_HMAC_SHA1_80": b"SRTP_AES128_CM_SHA1_80",
}


@pytest.mark.parametrize("server_role", ["server", "client"])
@pytest.mark.parametrize("suite", SRTP_SUITES)
async def test_every_srtp_suite_in_both_dtls_roles(
    aiortc: Any, router: Any, suite: str, server_role: str
) -> None:
    options = {"listen_infos": [UDP], "server_dtls_role": server_role, "srtp_suites": [suite]}
    async with (
        aiortc.AiortcParticipant(router, **options) as alice,
        aiortc.AiortcParticipant(router, **options) as bob,
    ):
        picture = await bob.subscribe((await alice.publish("video")).producer)
        sound = await bob.subscribe((await alice.publish("audio")).producer)
        await until(picture.frames, lambda frames: frames >= 30)
        await until(sound.frames, lambda frames: frames >= 50)
        for participant, transport in ((alice, alice.send), (bob, bob.recv)):
            assert participant.srtp_suite(transport) == SRTP_SUITES[suite]
            assert transport.dtls_parameters["role"] == server_role
            assert transport.dtls_state == "connected"


@pytest.mark.parametrize("router", ["VP8", "H264"], indirect=True)
async def test_codecs(aiortc: Any, router: Any) -> None:
    async with (
        aiortc.AiortcParticipant(router, listen_infos=[UDP]) as alice,
        aiortc.AiortcParticipant(router, listen_infos=[UDP]) as bob,
    ):
        publication = await alice.publish("video")
        picture = await bob.subscribe(publication.producer)
        await until(picture.frames, lambda frames: frames >= 60)
        assert picture.size == (320, 240)
        received = only(await publication.producer.get_stats(), type="inbound-rtp")
        assert received["packetsLost"] == 0
        assert received["packetCount"] >= 60


@pytest.mark.parametrize("router", ["VP8", "H264"], indirect=True)
async def test_aiortc_to_chromium(aiortc: Any, browser: Any, router: Any) -> None:
    async with (
        aiortc.AiortcParticipant(router, listen_infos=[UDP]) as alice,
        await browser.participant(router, listen_infos=[UDP]) as bob,
    ):
        picture = await bob.subscribe((await alice.publish("video")).producer)
        sound = await bob.subscribe((await alice.publish("audio")).producer)
        await picture.more_frames(30)
        await until(sound.sounds, lambda samples: samples > 48000)
        assert (await picture.picture())["deviation"] > 5
        assert (await sound.stats())["totalAudioEnergy"] > 0


@pytest.mark.parametrize("router", ["VP8", "H264"], indirect=True)
async def test_chromium_to_aiortc(aiortc: Any, browser: Any, router: Any) -> None:
    async with (
        await browser.participant(router, listen_infos=[UDP]) as alice,
        aiortc.AiortcParticipant(router, listen_infos=[UDP]) as bob,
    ):
        picture = await bob.subscribe(await alice.publish("video"))
        sound = await bob.subscribe(await alice.publish("audio"))
        await until(picture.frames, lambda frames: frames >= 30)
        await until(sound.frames, lambda frames: frames >= 50)
        assert picture.size == (320, 240)
