"""GStreamer and FFmpeg as senders and receivers of plain RTP: command lines, and the processes that run them.

A sender runs until it is stopped. A receiver decodes a number of frames and ends by itself; that it ends well is
the proof.
"""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .call import LOOPBACK

#: What plain senders announce to ``produce``.
PARAMETERS: dict[str, dict[str, Any]] = {
    "video": {
        "codecs": [{"mimeType": "video/VP8", "clockRate": 90000, "payloadType": 101}],
        "encodings": [{"ssrc": 22222222}],
    },
    "audio": {
        "codecs": [{"mimeType": "audio/opus", "clockRate": 48000, "channels": 2, "payloadType": 100}],
        "encodings": [{"ssrc": 11111111}],
    },
}

#: GStreamer's cipher, and its authentication of RTP and RTCP, for each suite.
GSTREAMER_SUITES = {
    "AEAD_AES_128_GCM": ("aes-128-gcm", "null", "null"),
    "AEAD_AES_256_GCM": ("aes-256-gcm", "null", "null"),
    "AES_CM_128_HMAC_SHA1_80": ("aes-128-icm", "hmac-sha1-80", "hmac-sha1-80"),
    "AES_CM_128_HMAC_SHA1_32": ("aes-128-icm", "hmac-sha1-32", "hmac-sha1-80"),
}


@dataclass(frozen=True)
class Srtp:
    """A master key and salt (base64) and their suite, as in mediasoup's srtpParameters."""

    suite: str
    key: str

    @property
    def key_hex(self) -> str:
        return base64.b64decode(self.key).hex()


@asynccontextmanager
async def running(command: list[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """Runs a command while the block runs; ends it afterwards if it has not ended by itself."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def finish(process: asyncio.subprocess.Process, *, within: float = 30.0) -> None:
    """Waits until a receiver has decoded what it was told to."""
    try:
        _, said = await asyncio.wait_for(process.communicate(), within)
    except TimeoutError:
        raise AssertionError(f"the receiver did not get enough within {within} s") from None
    assert process.returncode == 0, said.decode(errors="replace")


def free_port() -> int:
    """A UDP port that nobody uses right now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def gstreamer_sender(gst_launch: str, kind: str, port: int, *, srtp: Srtp | None = None) -> list[str]:
    """Sends VP8 or Opus."""
    sources = {
        "video": "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=20/1"
        " ! vp8enc deadline=1 keyframe-max-dist=20 target-bitrate=300000"
        " ! rtpvp8pay pt=101 ssrc=22222222 mtu=1200",
        "audio": "audiotestsrc is-live=true ! opusenc ! rtpopuspay pt=100 ssrc=11111111",
    }
    pipeline = sources[kind]
    if srtp is not None:
        cipher, rtp, rtcp = GSTREAMER_SUITES[srtp.suite]
        pipeline += f" ! srtpenc key={srtp.key_hex} rtp-cipher={cipher} rtcp-cipher={cipher}"
        pipeline += f" rtp-auth={rtp} rtcp-auth={rtcp}"
    pipeline += f" ! udpsink host={LOOPBACK} port={port}"
    return [gst_launch, "-q", *pipeline.split()]


def gstreamer_receiver(
    gst_launch: str,
    kind: str,
    port: int,
    payload_type: int,
    frames: int,
    *,
    srtp: Srtp | None = None,
    ssrc: int = 0,
) -> list[str]:
    """Decodes ``frames`` frames of VP8 or Opus.

    With SRTP it must know the SSRC that the key is for, and must not be sent reports (this pipeline has no place
    for them, and srtpdec insists).
    """
    chains = {
        "video": ("encoding-name=VP8,clock-rate=90000", "rtpvp8depay ! vp8dec"),
        "audio": ("encoding-name=OPUS,clock-rate=48000", "rtpopusdepay ! opusdec"),
    }
    codec, decoder = chains[kind]
    caps = f"media={kind},{codec},payload={payload_type}"
    if srtp is None:
        caps = f"application/x-rtp,{caps}"
    else:
        cipher, rtp, rtcp = GSTREAMER_SUITES[srtp.suite]
        caps = f"application/x-srtp,{caps},ssrc=(uint){ssrc},roc=(uint)0,srtp-key=(buffer){srtp.key_hex}"
        caps += f",srtp-cipher={cipher},srtp-auth={rtp},srtcp-cipher={cipher},srtcp-auth={rtcp}"
    source = ["udpsrc", f"address={LOOPBACK}", f"port={port}", f"caps={caps}", "!"]
    pipeline = f"{'srtpdec ! ' if srtp else ''}rtpjitterbuffer ! {decoder} ! fakesink num-buffers={frames}"
    return [gst_launch, "-q", *source, *pipeline.split()]


def ffmpeg_sender(
    ffmpeg: str, kind: str, port: int, rtcp_port: int, *, srtp: Srtp | None = None
) -> list[str]:
    """Sends VP8 or Opus at its natural speed, with sender reports to ``rtcp_port``."""
    inputs = {"video": "testsrc=size=320x240:rate=20", "audio": "sine=frequency=440:sample_rate=48000"}
    encoders = {
        "video": "-c:v libvpx -deadline realtime -g 20 -b:v 300k -payload_type 101 -ssrc 22222222",
        "audio": "-c:a libopus -ac 2 -b:a 64k -payload_type 100 -ssrc 11111111",
    }
    command = [ffmpeg, "-v", "error", "-re", "-f", "lavfi", "-i", inputs[kind], *encoders[kind].split()]
    where = f"{LOOPBACK}:{port}?rtcpport={rtcp_port}&pkt_size=1200"
    if srtp is None:
        return [*command, "-f", "rtp", f"rtp://{where}"]
    keys = ["-srtp_out_suite", srtp.suite, "-srtp_out_params", srtp.key]
    return [*command, "-f", "rtp", *keys, f"srtp://{where}"]


def ffmpeg_receiver(
    ffmpeg: str, kind: str, port: int, payload_type: int, frames: int, sdp: Path, *, srtp: Srtp | None = None
) -> list[str]:
    """Decodes ``frames`` frames of VP8 or Opus; what to expect is written to the file ``sdp``."""
    codec = {"video": "VP8/90000", "audio": "opus/48000/2"}[kind]
    lines = [
        "v=0",
        f"o=- 0 0 IN IP4 {LOOPBACK}",
        "s=-",
        f"c=IN IP4 {LOOPBACK}",
        "t=0 0",
        f"m={kind} {port} RTP/{'AVP' if srtp is None else 'SAVP'} {payload_type}",
        f"a=rtpmap:{payload_type} {codec}",
        "a=rtcp-mux",
    ]
    if srtp is not None:
        lines.append(f"a=crypto:1 {srtp.suite} inline:{srtp.key}")
    sdp.write_text("\r\n".join(lines) + "\r\n")
    count = ["-frames:v" if kind == "video" else "-frames:a", str(frames)]
    protocols = ["-protocol_whitelist", "file,udp,rtp,srtp"]
    return [ffmpeg, "-v", "error", *protocols, "-i", str(sdp), *count, "-f", "null", "-"]
