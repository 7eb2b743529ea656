"""A call whose pages are on different cores: everything that crosses between them is as on one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from .call import OPUS, TCP, UDP, VIDEO_CODECS, standstill, until

BLANK = 5.0  # a picture whose pixels deviate less than this shows nothing
CODECS = [OPUS, VIDEO_CODECS["VP8"]]


@pytest.fixture
def worker(runner: asyncio.Runner, vertical: Any) -> Iterator[Any]:
    made = runner.run(vertical.mediasoup.create_worker())
    if len(runner.run(vertical.cores())) < 2:
        pytest.skip("needs two cores")
    yield made
    assert not made.died
    made.close()


@pytest.fixture
def listening(request: pytest.FixtureRequest, runner: asyncio.Runner, worker: Any) -> dict[str, Any]:
    """Where the transports of a participant listen: on ports of their own, or all on one that the cores share."""
    if request.param == "own ports":
        return {"listen_infos": [UDP]}
    server = runner.run(worker.create_webrtc_server(listen_infos=[UDP, TCP]))
    return {"webrtc_server": server, **({"enable_udp": False, "enable_tcp": True} if request.param == "TCP" else {})}


def listening_on(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("listening", names, indirect=True)


@listening_on("own ports", "UDP", "TCP")
async def test_a_call_between_two_cores(
    browser: Any, vertical: Any, router: Any, listening: dict[str, Any]
) -> None:
    async with (
        await browser.participant(router, **listening) as alice,
        await browser.participant(router, **listening) as bob,
    ):
        camera, microphone = await alice.publish("video"), await alice.publish("audio")
        front = await bob.publish("video")
        back = await alice.subscribe(front)
        picture, sound = await bob.subscribe(camera), await bob.subscribe(microphone)
        hers, his = await vertical.core_of(alice.send.id), await vertical.core_of(bob.send.id)
        assert hers == await vertical.core_of(alice.recv.id) != his == await vertical.core_of(bob.recv.id)
        assert {core.pid: core.pipes for core in await vertical.cores()} == {hers: 1, his: 2}

        await asyncio.gather(picture.more_frames(20), back.more_frames(20))
        for seen in (await picture.picture(), await back.picture()):
            assert (seen["width"], seen["height"]) == (320, 240)
            assert seen["deviation"] > BLANK
        await until(sound.sounds, lambda samples: samples > 24000)
        if "webrtc_server" in listening:
            transports = (alice.send, alice.recv, bob.send, bob.recv)
            offered = {(each["protocol"], each["port"]) for its in transports for each in its.ice_candidates}
            assert len(offered) == len({protocol for protocol, _ in offered}), "one port for each protocol"
            used = [(its.ice_selected_tuple["protocol"], its.ice_selected_tuple["localPort"]) for its in transports]
            (one,) = set(used)
            assert one in offered and one[0] == ("tcp" if listening.get("enable_tcp") else "udp")

        await _pauses(camera, picture)
        await _ends(camera, picture, microphone, sound)
        await back.more_frames(10)


async def _pauses(camera: Any, picture: Any) -> None:
    """Of either side, without a gap that the page would take for a loss."""
    events: list[str] = []
    picture.consumer.on("producerpause", lambda: events.append("pause"))
    picture.consumer.on("producerresume", lambda: events.append("resume"))
    for paused in (picture.consumer, camera):
        await paused.pause()
        await standstill(picture.frames)
        await paused.resume()
        await picture.more_frames(10)
    assert (await picture.stats())["packetsLost"] == 0
    assert events == ["pause", "resume"]


async def _ends(camera: Any, picture: Any, microphone: Any, sound: Any) -> None:
    """The producer's and its transport's, told where they are consumed."""
    closed: list[str] = []
    picture.consumer.on("producerclose", lambda: closed.append("picture"))
    sound.consumer.on("producerclose", lambda: closed.append("sound"))

    async def told() -> list[str]:
        return closed

    camera.close()
    await until(told, ["picture"].__eq__)
    microphone.close()
    await until(told, ["picture", "sound"].__eq__)
    assert picture.consumer.closed and sound.consumer.closed


@listening_on("UDP")
async def test_whoever_comes_late_sees_a_picture_within_a_second(
    browser: Any, vertical: Any, router: Any, listening: dict[str, Any]
) -> None:
    """Through the pipe comes a key frame, on request, once each. Best of three on a busy machine."""
    waited, asked = [], []
    async with await browser.participant(router, **listening) as alice:
        camera = await alice.publish("video")
        home = await vertical.core_of(alice.send.id)
        while len(waited) < 3:
            async with await browser.participant(router, **listening) as bob:
                before = (await alice.sender_stats(camera))["pliCount"]
                began = time.monotonic()
                picture = await bob.subscribe(camera)
                await picture.first_frame()
                took = time.monotonic() - began
                if await vertical.core_of(bob.recv.id) != home:
                    waited.append(took)
                    asked.append((await alice.sender_stats(camera))["pliCount"] - before)
    assert min(waited) < 1.0, waited
    assert all(1 <= count <= 2 for count in asked), asked
