"""Audio from the application itself, through a DirectTransport: what it sends, nothing on the way may lose."""

from __future__ import annotations

import asyncio
from typing import Any


def audio(ssrc: int) -> dict[str, Any]:
    codec = {"mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2}
    return {"codecs": [codec], "encodings": [{"ssrc": ssrc}]}


async def send(producer: Any, count: int, first: int = 0) -> None:
    """A packet each ms."""
    ssrc = producer.rtp_parameters["encodings"][0]["ssrc"]
    for sequence in range(first, first + count):
        head = bytes([0x80, 111]) + sequence.to_bytes(2, "big") + (sequence * 960).to_bytes(4, "big")
        producer.send(head + ssrc.to_bytes(4, "big") + bytes(40))
        await asyncio.sleep(0.001)
