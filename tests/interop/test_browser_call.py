"""A call between two pages of Chromium through one router: the whole matrix of transports, roles and codecs."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from .call import OPUS, TCP, UDP, VIDEO_CODECS, longest_freeze, only, standstill, until

BLANK = 5.0  # a picture whose pixels deviate less than this shows nothing

#: The server's role, as told to the browser, and the role that is left for the browser.
DTLS_ROLES = {"auto": "client", "server": "client", "client": "server"}


@pytest.mark.parametrize("server_role", DTLS_ROLES)
@pytest.mark.parametrize("listen", [UDP, TCP], ids=["udp", "tcp"])
async def test_camera_and_microphone(
    browser: Any, router: Any, listen: dict[str, str], server_role: str
) -> None:
    options = {"listen_infos": [listen], "server_dtls_role": server_role}
    async with (
        await browser.participant(router, **options) as alice,
        await browser.participant(router, **options) as bob,
    ):
        camera, microphone = await alice.publish("video"), await alice.publish("audio")
        picture, sound = await bob.subscribe(camera), await bob.subscribe(microphone)

        await picture.more_frames(20)
        await until(sound.sounds, lambda samples: samples > 48000)
        assert (await picture.picture())["deviation"] > BLANK
        assert (await sound.stats())["totalAudioEnergy"] > 0

        for participant, transport in ((alice, alice.send), (bob, bob.recv)):
            page = await participant.transport_stats(transport)
            assert page["dtlsRole"] == DTLS_ROLES[server_role]
            assert page["remoteCandidate"]["protocol"] == listen["protocol"]
            assert transport.dtls_parameters["role"] != page["dtlsRole"]
            assert transport.dtls_state == "connected"
            await nominated(transport)
            assert transport.ice_selected_tuple["protocol"] == listen["protocol"]


async def nominated(transport: Any) -> None:
    """Waits until the browser has settled on a candidate pair; media may flow before."""

    async def state() -> str:
        return str(transport.ice_state)

    await until(state, "completed".__eq__)


async def test_first_frame_comes_within_a_second_of_subscribing(browser: Any, router: Any) -> None:
    """The time a user waits: transport, ICE, DTLS, key frame request, decoding. Best of three on a busy machine."""
    waited = []
    async with await browser.participant(router, listen_infos=[UDP]) as alice:
        camera = await alice.publish("video")
        for _ in range(3):
            async with await browser.participant(router, listen_infos=[UDP]) as bob:
                asked_at = time.monotonic()
                await (await bob.subscribe(camera)).first_frame()
                waited.append(time.monotonic() - asked_at)
    assert min(waited) < 1.0, waited


@pytest.mark.parametrize("router", VIDEO_CODECS, indirect=True)
async def test_codecs(browser: Any, router: Any, request: pytest.FixtureRequest) -> None:
    codec = VIDEO_CODECS[request.node.callspec.params["router"]]
    async with (
        await browser.participant(router, listen_infos=[UDP]) as alice,
        await browser.participant(router, listen_infos=[UDP]) as bob,
    ):
        camera = await alice.publish("video")
        assert camera.type == "simple"
        picture = await bob.subscribe(camera)
        await picture.more_frames(30)
        seen = await picture.picture()
        assert (seen["width"], seen["height"]) == (320, 240)
        assert seen["deviation"] > BLANK
        assert only(await camera.get_stats())["mimeType"] == codec["mimeType"]


async def test_statistics_of_both_sides_agree(browser: Any, router: Any) -> None:
    async with (
        await browser.participant(router, listen_infos=[UDP]) as alice,
        await browser.participant(router, listen_infos=[UDP]) as bob,
    ):
        camera = await alice.publish("video")
        picture = await bob.subscribe(camera)
        await picture.more_frames(40)

        sent = (await alice.sender_stats(camera))["packetsSent"]
        received = only(await camera.get_stats(), type="inbound-rtp")
        assert sent <= received["packetCount"] + 20  # padding-only packets are in the browser's count alone
        assert received["ssrc"] == camera.rtp_parameters["encodings"][0]["ssrc"]
        assert received["packetsLost"] == 0
        assert received["bitrate"] > 10_000

        page_received = (await picture.stats())["packetsReceived"]
        forwarded = only(await picture.consumer.get_stats(), type="outbound-rtp")
        assert forwarded["packetCount"] >= page_received
        assert forwarded["ssrc"] == picture.consumer.rtp_parameters["encodings"][0]["ssrc"]
        assert forwarded["score"] == 10

        uplink, downlink = only(await alice.send.get_stats()), only(await bob.recv.get_stats())
        assert uplink["rtpBytesReceived"] >= received["byteCount"]
        assert downlink["rtpBytesSent"] >= page_received * 12
        # The browser's receiver reports reach the server, and the server's reach the browser.
        await until(lambda: picture.consumer.get_stats(), lambda stats: _round_trip(stats, "outbound-rtp"))
        await until(lambda: camera.get_stats(), lambda stats: _round_trip(stats, "inbound-rtp") is not None)


def _round_trip(stats: list[dict[str, Any]], kind: str) -> float | None:
    return next((entry.get("roundTripTime") for entry in stats if entry["type"] == kind), None)


async def test_consumer_pause_and_resume_are_seamless(browser: Any, router: Any) -> None:
    async with (
        await browser.participant(router, listen_infos=[UDP]) as alice,
        await browser.participant(router, listen_infos=[UDP]) as bob,
    ):
        camera, microphone = await alice.publish("video"), await alice.publish("audio")
        picture, sound = await bob.subscribe(camera), await bob.subscribe(microphone)
        for _ in range(2):
            await picture.more_frames(20)
            await until(sound.sounds, lambda samples: samples > 24000)
            await asyncio.gather(picture.consumer.pause(), sound.consumer.pause())
            await standstill(picture.frames)
            await asyncio.gather(picture.consumer.resume(), sound.consumer.resume())
        await picture.more_frames(20)
        # A receiver that saw a gap in the sequence numbers would count what it missed as lost.
        assert (await picture.stats())["packetsLost"] == 0
        assert (await sound.stats())["packetsLost"] == 0


async def test_producer_pause_reaches_the_subscriber(browser: Any, router: Any) -> None:
    events: list[str] = []
    async with (
        await browser.participant(router, listen_infos=[UDP]) as alice,
        await browser.participant(router, listen_infos=[UDP]) as bob,
    ):
        camera = await alice.publish("video")
        picture = await bob.subscribe(camera)
        picture.consumer.on("producerpause", lambda: events.append("pause"))
        picture.consumer.on("producerresume", lambda: events.append("resume"))
        await picture.more_frames(10)
        await camera.pause()
        await standstill(picture.frames)
        assert picture.consumer.producer_paused
        await camera.resume()
        await picture.more_frames(10)
        assert not picture.consumer.producer_paused
        assert (await picture.stats())["packetsLost"] == 0
    assert events == ["pause", "resume"]


@pytest.mark.parametrize("whose", ["publisher", "subscriber"])
async def test_ice_restart_during_a_call(browser: Any, router: Any, whose: str) -> None:
    async with (
        await browser.participant(router, listen_infos=[UDP]) as alice,
        await browser.participant(router, listen_infos=[UDP]) as bob,
    ):
        picture = await bob.subscribe(await alice.publish("video"))
        await picture.more_frames(10)
        participant, transport = (alice, alice.send) if whose == "publisher" else (bob, bob.recv)
        old = transport.ice_parameters["usernameFragment"]
        old_of_page = (await participant.transport_stats(transport))["iceLocalUsernameFragment"]

        await participant.restart_ice(transport)
        assert transport.ice_parameters["usernameFragment"] != old
        freeze, _ = await longest_freeze(picture.frames, 3.0)
        assert freeze < 2.0
        new = await until(
            lambda: participant.transport_stats(transport),
            lambda stats: (
                stats["iceLocalUsernameFragment"] != old_of_page and stats["iceState"] == "connected"
            ),
        )
        assert new["remoteCandidate"]["usernameFragment"] == transport.ice_parameters["usernameFragment"]
        await nominated(transport)
        await picture.more_frames(20)


async def test_everybody_on_the_one_port_of_a_server(browser: Any, worker: Any) -> None:
    """Three participants over UDP and TCP share one WebRtcServer."""
    server = await worker.create_webrtc_server(listen_infos=[UDP, TCP])
    router = await worker.create_router(media_codecs=[OPUS, VIDEO_CODECS["VP8"]])
    ports = {
        (kind, entry["port"])
        for kind, key in (("udp", "udpSockets"), ("tcp", "tcpServers"))
        for entry in (await server.dump())[key]
    }
    async with (
        await browser.participant(router, webrtc_server=server) as alice,
        await browser.participant(router, webrtc_server=server, enable_udp=False, enable_tcp=True) as bob,
        await browser.participant(router, webrtc_server=server) as carol,
    ):
        cameras = [await each.publish("video") for each in (alice, bob)]
        pictures = [
            await bob.subscribe(cameras[0]),
            await alice.subscribe(cameras[1]),
            await carol.subscribe(cameras[0]),
            await carol.subscribe(cameras[1]),
        ]
        await asyncio.gather(*(picture.more_frames(20) for picture in pictures))
        transports = [alice.send, alice.recv, bob.send, bob.recv, carol.recv]
        for transport in transports:
            offered = {(each["protocol"], each["port"]) for each in transport.ice_candidates}
            assert offered <= ports
        assert bob.recv.ice_selected_tuple["protocol"] == "tcp"
        assert carol.recv.ice_selected_tuple["protocol"] == "udp"
        assert len((await server.dump())["webRtcTransportIds"]) == len(transports)


async def test_key_frames_are_requested_only_when_needed(browser: Any, router: Any) -> None:
    """A second subscriber gets its key frame, and a running call asks for none."""
    async with (
        await browser.participant(router, listen_infos=[UDP]) as alice,
        await browser.participant(router, listen_infos=[UDP]) as bob,
        await browser.participant(router, listen_infos=[UDP]) as carol,
    ):
        camera = await alice.publish("video")
        await (await bob.subscribe(camera)).more_frames(20)
        before = (await alice.sender_stats(camera))["pliCount"]
        await (await carol.subscribe(camera)).more_frames(40)
        after = (await alice.sender_stats(camera))["pliCount"]
        assert 1 <= after - before <= 2
