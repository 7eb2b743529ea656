"""Every SRTP suite that Chromium offers, in both DTLS roles, and the refusal where none is shared."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from .call import OPUS, UDP, VIDEO_CODECS, until

#: By the names of mediasoup, and as Chromium's statistics call them.
SUITES = {
    "AEAD_AES_128_GCM": "SRTP_AEAD_AES_128_GCM",
    "AEAD_AES_256_GCM": "SRTP_AEAD_AES_256_GCM",
    "AES_CM_128_HMAC_SHA1_80": "SRTP_AES128_CM_HMAC_SHA1_80",
}


@pytest.fixture
def limited_router(runner: asyncio.Runner, mediasoup: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A router of a worker that knows one SRTP suite only."""
    worker = runner.run(mediasoup.create_worker(engine={"srtp_suites": [request.param]}))
    yield runner.run(worker.create_router(media_codecs=[OPUS, VIDEO_CODECS["VP8"]]))
    worker.close()
    runner.run(worker.wait_subprocess_closed())


@pytest.mark.parametrize("server_role", ["server", "client"])
@pytest.mark.parametrize("limited_router", SUITES, indirect=True)
async def test_suites(
    browser: Any, limited_router: Any, server_role: str, request: pytest.FixtureRequest
) -> None:
    suite = SUITES[request.node.callspec.params["limited_router"]]
    options = {"listen_infos": [UDP], "server_dtls_role": server_role}
    async with (
        await browser.participant(limited_router, **options) as alice,
        await browser.participant(limited_router, **options) as bob,
    ):
        picture = await bob.subscribe(await alice.publish("video"))
        sound = await bob.subscribe(await alice.publish("audio"))
        await picture.more_frames(20)
        await until(sound.sounds, lambda samples: samples > 24000)
        for participant, transport in ((alice, alice.send), (bob, bob.recv)):
            assert (await participant.transport_stats(transport))["srtpCipher"] == suite


async def test_the_cheapest_suite_is_preferred(browser: Any, router: Any) -> None:
    async with await browser.participant(router, listen_infos=[UDP]) as alice:
        await alice.publish("audio")

        async def suite() -> Any:
            return (await alice.transport_stats(alice.send)).get("srtpCipher")

        assert await until(suite, bool) == SUITES["AEAD_AES_128_GCM"]


@pytest.mark.parametrize("limited_router", ["AES_CM_128_HMAC_SHA1_32"], indirect=True)
async def test_no_suite_in_common_is_refused(browser: Any, limited_router: Any) -> None:
    """Chromium no longer offers the 32 bit tag."""
    async with await browser.participant(limited_router, listen_infos=[UDP]) as alice:
        await alice.publish("audio")

        async def state() -> str:
            return str(alice.send.dtls_state)

        assert await until(state, {"failed", "connected"}.__contains__) == "failed"
