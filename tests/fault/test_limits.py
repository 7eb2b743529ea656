"""Tables and descriptors run out: the request is refused, nothing is left of it, and all that was there goes on."""

from __future__ import annotations

import resource
from functools import partial
from typing import Any

import pytest

from sfu.bench.engine import CODECS, published
from sfu_core.errors import SfuError
from waiting import until

from .call import Call
from .peer import TCP, UDP
from .processes import create_worker, descriptors, until_used, used


async def fill(create: Any, most: int = 1000) -> list[Any]:
    """As many as there is room for."""
    made = []
    with pytest.raises(SfuError):
        for _ in range(most):
            made.append(await create())
    return made


@pytest.mark.parametrize("kind", ["plain", "webrtc", "pipe", "direct"])
async def test_transports(kind: str) -> None:
    async with await create_worker(engine={"transports": 16}) as worker, Call(worker, fan_out=2) as call:
        await call.begin()
        router = await worker.create_router(media_codecs=CODECS)
        options: dict[str, Any] = {
            "plain": {"listen_info": UDP, "rtcp_mux": False},
            "webrtc": {"listen_infos": [UDP, TCP]},
            "pipe": {"listen_info": UDP},
            "direct": {},
        }[kind]
        open_before = len(descriptors(worker.pid))
        before = await used(worker)
        for _ in range(3):
            made = await fill(lambda: getattr(router, f"create_{kind}_transport")(**options))
            assert len(made) == 16 - before["transports"]
            assert len((await router.dump())["transportIds"]) == len(made)
            for transport in made:
                transport.close()
            assert len((await router.dump())["transportIds"]) == 0
            await until_used(worker, before)  # the media thread gives slots back a moment later
        await until(lambda: len(descriptors(worker.pid)) == open_before, 2)
        count = await call.end()
        assert count.complete, count


async def test_streams() -> None:
    limits = {"producers": 8, "recv_streams": 8, "send_streams": 32}
    async with await create_worker(engine=limits) as worker, Call(worker, fan_out=2) as call:
        await call.begin()
        router = await worker.create_router(media_codecs=CODECS)
        transport = await router.create_plain_transport(listen_info=UDP)
        before, ssrcs = await used(worker), iter(range(1, 10_000))

        async def produce() -> Any:
            parameters = published("audio")
            parameters |= {"encodings": [{"ssrc": next(ssrcs)}], "mid": None}
            return await transport.produce(kind="audio", rtp_parameters=parameters)

        for _ in range(3):
            producers = await fill(produce)
            assert len(producers) == 7
            consuming = {"producer_id": producers[0].id, "rtp_capabilities": router.rtp_capabilities}
            assert len(await fill(partial(transport.consume, **consuming))) == 30
            for producer in producers:
                producer.close()
            assert (await router.dump())["mapProducerIdConsumerIds"] == []
            await until_used(worker, before)
        count = await call.end()
        assert count.complete, count


async def test_descriptors() -> None:
    async with await create_worker() as worker, Call(worker, fan_out=2) as call:
        await call.begin()
        router = await worker.create_router()
        before = len(descriptors(worker.pid))
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (before + 21, before + 21))
        for _ in range(3):
            made = await fill(lambda: router.create_webrtc_transport(listen_infos=[UDP, TCP]))
            assert len(made) == 10
            for transport in made:
                transport.close()
            await worker.dump()
            await until(lambda: len(descriptors(worker.pid)) == before, 2)
        count = await call.end()
        assert count.complete, count
