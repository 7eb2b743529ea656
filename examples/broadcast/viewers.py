"""An audience without pages: encrypted plain transports, whose other ends only count what arrives."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from sfu.bench.engine import random_key
from sfu.bench.load import LoadProcess
from sfu_core.errors import SfuError

LOOPBACK = "127.0.0.1"
SUITE = "AEAD_AES_128_GCM"

log = logging.getLogger("broadcast")


class Viewers:
    """Arrive one after the other, and see all that is on stage.

    Args:
        hall: where they sit.
        process: receives for them.
    """

    def __init__(self, hall: Any, process: LoadProcess) -> None:
        self._hall = hall
        self._process = process
        self._seats: list[Any] = []
        self._tasks: set[asyncio.Task[None]] = set()
        hall.on_show.append(self._look_at)

    def __len__(self) -> int:
        return len(self._seats)

    async def arrive(self, count: int, per_second: float) -> None:
        """Brings ``count`` of them, once."""
        addresses = await self._process.open_sinks(count)
        await self._process.begin_count()
        for address in addresses:
            self._seats.append(await self._seat(*address))
            for producer in list(self._hall.shown.values()):
                self._start(self._seats[-1], producer)
            await asyncio.sleep(1 / per_second)

    async def received(self) -> tuple[int, int]:
        """Packets that arrived at all of them since the beginning, and those that are missing in between."""
        counted = await self._process.counted()
        return counted["packets"], counted["missing"]

    async def _seat(self, ip: str, port: int) -> Any:
        transport = await self._hall.router.create_plain_transport(
            listen_info={"protocol": "udp", "ip": LOOPBACK}, enable_srtp=True, srtp_crypto_suite=SUITE
        )
        await transport.connect(ip=ip, port=port, srtp_parameters=random_key(SUITE))
        return transport

    def _look_at(self, producer: Any) -> None:
        for transport in self._seats:
            self._start(transport, producer)

    def _start(self, transport: Any, producer: Any) -> None:
        task = asyncio.get_running_loop().create_task(self._consume(transport, producer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _consume(self, transport: Any, producer: Any) -> None:
        try:
            await transport.consume(producer_id=producer.id, rtp_capabilities=self._hall.router.rtp_capabilities)
        except SfuError as error:  # it may have ended meanwhile
            log.debug("a viewer sees nothing of %s: %s", producer.id, error)
