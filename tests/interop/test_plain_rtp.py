"""Plain RTP and SRTP of GStreamer and FFmpeg, in and out of PlainTransports, and across to Chromium.

FFmpeg and GStreamer have SRTP implementations of their own, so these tests are also an independent opinion on ours.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from . import plain
from .call import UDP, only, until

FRAMES = 30
KEY_BYTES = {
    "AES_CM_128_HMAC_SHA1_80": 30,
    "AES_CM_128_HMAC_SHA1_32": 30,
    "AEAD_AES_128_GCM": 28,
    "AEAD_AES_256_GCM": 44,
}


def new_key(suite: str) -> plain.Srtp:
    return plain.Srtp(suite, base64.b64encode(os.urandom(KEY_BYTES[suite])).decode())


@asynccontextmanager
async def published(router: Any, peers: dict[str, str], sender: str, kind: str) -> AsyncIterator[Any]:
    """A producer fed by ``sender``, in comedia mode: the server learns the address from the first packet."""
    rtcp_mux = sender == "gstreamer"  # FFmpeg sends its reports from a second socket
    transport = await router.create_plain_transport(listen_info=UDP, comedia=True, rtcp_mux=rtcp_mux)
    producer = await transport.produce(kind=kind, rtp_parameters=plain.PARAMETERS[kind])
    port = transport.tuple["localPort"]
    if sender == "gstreamer":
        command = plain.gstreamer_sender(peers[sender], kind, port)
    else:
        command = plain.ffmpeg_sender(peers[sender], kind, port, transport.rtcp_tuple["localPort"])
    async with plain.running(command):
        yield producer
    transport.close()


@asynccontextmanager
async def received(
    router: Any, peers: dict[str, str], receiver: str, producer: Any, sdp: Path
) -> AsyncIterator[Any]:
    """A receiver process fed by a consumer of ``producer``."""
    transport = await router.create_plain_transport(listen_info=UDP)
    consumer = await transport.consume(
        producer_id=producer.id, rtp_capabilities=router.rtp_capabilities, paused=True
    )
    payload_type = consumer.rtp_parameters["codecs"][0]["payloadType"]
    port = plain.free_port()
    if receiver == "gstreamer":
        command = plain.gstreamer_receiver(peers[receiver], consumer.kind, port, payload_type, FRAMES)
    else:
        command = plain.ffmpeg_receiver(peers[receiver], consumer.kind, port, payload_type, FRAMES, sdp)
    async with plain.running(command) as process:
        await transport.connect(ip=UDP["ip"], port=port)
        await consumer.resume()
        asking = asyncio.create_task(ask_for_key_frames(consumer))
        yield process
        asking.cancel()
        forwarded = only(await consumer.get_stats(), type="outbound-rtp")
        assert forwarded["packetCount"] >= FRAMES
    transport.close()


async def ask_for_key_frames(consumer: Any) -> None:
    """Does what the application must do for a receiver that sends no feedback and starts at its own time."""
    while consumer.kind == "video":
        await consumer.request_key_frame()
        await asyncio.sleep(1)


@pytest.fixture
def peers(ffmpeg: str, gstreamer: str) -> dict[str, str]:
    return {"ffmpeg": ffmpeg, "gstreamer": gstreamer}


@pytest.mark.parametrize("kind", ["video", "audio"])
@pytest.mark.parametrize("receiver", ["ffmpeg", "gstreamer"])
@pytest.mark.parametrize("sender", ["ffmpeg", "gstreamer"])
async def test_in_and_out(
    router: Any, peers: dict[str, str], sender: str, receiver: str, kind: str, tmp_path: Path
) -> None:
    async with (
        published(router, peers, sender, kind) as producer,
        received(router, peers, receiver, producer, tmp_path / "in.sdp") as process,
    ):
        await plain.finish(process)
        assert only(await producer.get_stats(), type="inbound-rtp")["packetCount"] >= FRAMES


@pytest.mark.parametrize("sender", ["ffmpeg", "gstreamer"])
async def test_plain_rtp_to_chromium(browser: Any, router: Any, peers: dict[str, str], sender: str) -> None:
    async with (
        published(router, peers, sender, "video") as camera,
        published(router, peers, sender, "audio") as microphone,
        await browser.participant(router, listen_infos=[UDP]) as bob,
    ):
        picture, sound = await bob.subscribe(camera), await bob.subscribe(microphone)
        await picture.more_frames(FRAMES)
        await until(sound.sounds, lambda samples: samples > 48000)
        seen = await picture.picture()
        assert (seen["width"], seen["height"]) == (320, 240)
        assert (await sound.stats())["totalAudioEnergy"] > 0


@pytest.mark.parametrize("receiver", ["ffmpeg", "gstreamer"])
@pytest.mark.parametrize("kind", ["video", "audio"])
async def test_chromium_to_plain_rtp(
    browser: Any, router: Any, peers: dict[str, str], receiver: str, kind: str, tmp_path: Path
) -> None:
    """What a recorder does."""
    async with await browser.participant(router, listen_infos=[UDP]) as alice:
        producer = await alice.publish(kind)
        async with received(router, peers, receiver, producer, tmp_path / "in.sdp") as process:
            await plain.finish(process)


@pytest.mark.parametrize("suite", KEY_BYTES)
async def test_srtp_with_gstreamer(router: Any, gstreamer: str, suite: str) -> None:
    """Encrypted in, encrypted out, with a key each."""
    theirs = new_key(suite)
    inward = await router.create_plain_transport(
        listen_info=UDP, comedia=True, enable_srtp=True, srtp_crypto_suite=suite
    )
    await inward.connect(srtp_parameters={"cryptoSuite": suite, "keyBase64": theirs.key})
    producer = await inward.produce(kind="video", rtp_parameters=plain.PARAMETERS["video"])

    outward = await router.create_plain_transport(
        listen_info=UDP, rtcp_mux=False, enable_srtp=True, srtp_crypto_suite=suite
    )
    consumer = await outward.consume(
        producer_id=producer.id, rtp_capabilities=router.rtp_capabilities, paused=True
    )
    port = plain.free_port()
    ours = plain.Srtp(suite, outward.srtp_parameters["keyBase64"])
    receiver = plain.gstreamer_receiver(
        gstreamer,
        "video",
        port,
        consumer.rtp_parameters["codecs"][0]["payloadType"],
        FRAMES,
        srtp=ours,
        ssrc=consumer.rtp_parameters["encodings"][0]["ssrc"],
    )
    sender = plain.gstreamer_sender(gstreamer, "video", inward.tuple["localPort"], srtp=theirs)
    async with plain.running(receiver) as process, plain.running(sender):
        await outward.connect(
            ip=UDP["ip"],
            port=port,
            rtcp_port=plain.free_port(),
            srtp_parameters={"cryptoSuite": suite, "keyBase64": theirs.key},
        )
        await consumer.resume()
        await plain.finish(process)


@pytest.mark.parametrize("suite", ["AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"])
async def test_srtp_from_ffmpeg(router: Any, ffmpeg: str, suite: str, tmp_path: Path) -> None:
    """Encrypted in, clear out."""
    theirs = new_key(suite)
    inward = await router.create_plain_transport(
        listen_info=UDP, comedia=True, rtcp_mux=False, enable_srtp=True, srtp_crypto_suite=suite
    )
    await inward.connect(srtp_parameters={"cryptoSuite": suite, "keyBase64": theirs.key})
    producer = await inward.produce(kind="video", rtp_parameters=plain.PARAMETERS["video"])
    command = plain.ffmpeg_sender(
        ffmpeg, "video", inward.tuple["localPort"], inward.rtcp_tuple["localPort"], srtp=theirs
    )
    async with (
        plain.running(command),
        received(router, {"ffmpeg": ffmpeg}, "ffmpeg", producer, tmp_path / "in.sdp") as process,
    ):
        await plain.finish(process)
