"""What can be on stage without a page: FFmpeg playing a file or its test picture, or the load generator's stream."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from typing import Any

from sfu.bench.engine import published
from sfu.bench.load import LoadProcess
from sfu.bench.traffic import captured

LOOPBACK = "127.0.0.1"
TEST = ["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25", "-f", "lavfi", "-i", "sine=frequency=440,volume=0.1"]

#: What FFmpeg sends, as ``produce`` wants it. It hears no requests for key frames, so it makes one every second.
STREAMS: dict[str, dict[str, Any]] = {
    "video": {
        "codecs": [{"mimeType": "video/VP8", "clockRate": 90000, "payloadType": 101}],
        "encodings": [{"ssrc": 22222222}],
    },
    "audio": {
        "codecs": [{"mimeType": "audio/opus", "clockRate": 48000, "channels": 2, "payloadType": 100}],
        "encodings": [{"ssrc": 11111111}],
    },
}
ENCODERS = {
    "video": "-c:v libvpx -deadline realtime -cpu-used 8 -g 25 -b:v 800k -payload_type 101 -ssrc 22222222",
    "audio": "-c:a libopus -ac 2 -b:a 64k -payload_type 100 -ssrc 11111111",
}


def best_source() -> str:
    """What can be shown on this machine without being asked for anything."""
    return "test" if shutil.which("ffmpeg") else "load"


@contextlib.asynccontextmanager
async def playing(source: str, router: Any) -> AsyncIterator[list[Any]]:
    """Plays until the block ends; gives its producers, none if ``source`` is ``camera``."""
    if source == "camera":
        yield []
    elif source == "load":
        async with _load(router) as producers:
            yield producers
    else:
        async with _ffmpeg(TEST if source == "test" else ["-stream_loop", "-1", "-i", source], router) as producers:
            yield producers


@contextlib.asynccontextmanager
async def _ffmpeg(inputs: list[str], router: Any) -> AsyncIterator[list[Any]]:
    command, producers = ["ffmpeg", "-v", "error", "-re", *inputs], []
    sound = inputs.count("-i") - 1
    for kind, selected in (("video", "0:v:0"), ("audio", f"{sound}:a:0")):
        transport = await router.create_plain_transport(
            listen_info={"protocol": "udp", "ip": LOOPBACK}, rtcp_mux=False, comedia=True
        )
        producers.append(await transport.produce(kind=kind, rtp_parameters=STREAMS[kind]))
        where = f"{transport.tuple['localPort']}?rtcpport={transport.rtcp_tuple['localPort']}&pkt_size=1200"
        command += ["-map", selected, *ENCODERS[kind].split(), "-f", "rtp", f"rtp://{LOOPBACK}:{where}"]
    process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=DEVNULL)
    try:
        yield producers
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def _load(router: Any) -> AsyncIterator[list[Any]]:
    """A recorded camera's packets, sizes and bursts. There is nothing to see, but as much to do."""
    transport = await router.create_plain_transport(listen_info={"protocol": "udp", "ip": LOOPBACK}, comedia=True)
    producer = await transport.produce(kind="video", rtp_parameters=published("video"))
    async with await LoadProcess.start(os.sched_getaffinity(0)) as process:
        await process.open_source()
        await process.load(captured(), [(LOOPBACK, transport.tuple["localPort"])])
        sending = asyncio.create_task(_send(process))
        try:
            yield [producer]
        finally:
            sending.cancel()
            await asyncio.wait([sending])


async def _send(process: LoadProcess) -> None:
    while True:
        await process.run(2.0, settle=0)  # short, so that it ends soon after this program, however that ended
