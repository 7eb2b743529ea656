"""What a server offers, made of its options: servers below that refuse us are asked again."""

from __future__ import annotations

import asyncio

import pytest

from horizontal import RemoteMediasoupServer
from sfu.serve import stack
from sfu.serve.options import Options
from sfu.serve.stack import managed


@pytest.mark.parametrize("kind", ["proxy", "cluster", "vertical"])
def test_a_server_that_has_refused_us_is_asked_again(
    kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stack, "AGAIN", 0.05)

    async def run() -> None:
        async with RemoteMediasoupServer(tokens=["old"]) as server:
            below = {"cluster": [server.url]} if kind == "cluster" else {"proxy": server.url}
            options = Options(upstream_token="new", vertical=kind == "vertical", **below)
            async with managed(options, None) as made, asyncio.timeout(10):
                while caplog.text.count("the token is wrong") < 2:
                    await asyncio.sleep(0.01)
                assert not made.reachable and made.manager.mediasoup is None
                port = server.port
                server.close()
                await server.wait_closed()
                async with RemoteMediasoupServer(tokens=["new"], port=port):
                    while not made.reachable:
                        await asyncio.sleep(0.01)
                    assert made.manager.mediasoup is not None
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())
