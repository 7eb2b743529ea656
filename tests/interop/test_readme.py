"""The room of the README carries a call, as it stands there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from .call import LOOPBACK, until
from .plain import free_port

TEXT = (Path(__file__).parents[2] / "README.md").read_text()


class Page:
    """What the participant takes for its router, and for its transport: all that it asks for goes through the room."""

    def __init__(self, room: Any, transport: Any = None) -> None:
        self.room = room
        self.transport = transport
        self.rtp_capabilities = room.router.rtp_capabilities

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    async def create_webrtc_transport(self) -> Page:
        transport = await self.room.join()
        described = json.loads(json.dumps(self.room.describe(transport)))
        assert described.keys() == {"id", "iceParameters", "iceCandidates", "dtlsParameters"}
        return Page(self.room, transport)

    async def produce(self, kind: str, rtp_parameters: dict[str, Any]) -> Any:
        await self.room.publish(self.transport, kind, rtp_parameters)
        return list(self.room.producers.values())[-1]

    async def consume(self, producer_id: str, rtp_capabilities: dict[str, Any], paused: bool) -> Any:
        assert paused
        return await self.room.subscribe(self.transport, producer_id, rtp_capabilities)


async def test_a_room(aiortc: Any) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    names: dict[str, Any] = {}
    exec(program.replace("40000", str(free_port())), names)
    room = await names["Room"].open(LOOPBACK)
    try:
        async with aiortc.AiortcParticipant(Page(room)) as ann, aiortc.AiortcParticipant(Page(room)) as ben:
            for kind in ("audio", "video"):
                seen = await ben.subscribe((await ann.publish(kind)).producer)
                await until(seen.frames, lambda frames: frames >= 20)
    finally:
        room.worker.close()
        await room.worker.wait_subprocess_closed()
