"""`sfu serve`: every composition carries a call; it drains, stops and dies as a service should; nothing is left."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from horizontal import RemoteMediasoupClient
from horizontal.errors import AuthenticationError
from sfu_core.errors import SfuError
from tests.network.authority import Authority
from tests.network.tcp_relay import TcpRelay
from waiting import until

from .call import Call
from .processes import is_alive
from .served import ROOT, Served, served

STACKS = {
    "plain": ((), 0),
    "vertical": (("--vertical", "--cores", "2"), 0),
    "proxy": (("--proxy",), 1),
    "vertical proxy": (("--vertical", "--proxy"), 1),
    "cluster": (("--cluster",), 2),
    "vertical cluster": (("--vertical", "--cluster"), 2),
}
"""The flags, and how many servers their URLs are of."""


async def eventually(condition: Any, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("name", STACKS)
async def test_every_composition_carries_a_call(name: str) -> None:
    flags, count = STACKS[name]
    async with AsyncExitStack() as servers:
        below = [await servers.enter_async_context(served()) for _ in range(count)]
        server = await servers.enter_async_context(served(*flags, *(each.url for each in below)))
        assert server.stack == name
        await eventually(server.healthy)
        async with RemoteMediasoupClient(server.url) as client:
            assert client.mediasoup is not None
            worker = await client.mediasoup.create_worker()
            async with Call(worker, fan_out=3) as call:
                assert (await call.run(0.5)).complete
            figures = await server.figures()
            assert figures["sfu_sessions"] == figures["sfu_workers"] == figures["sfu_ready"] == 1
            assert any(key.startswith("sfu_info{") and f'stack="{name}"' in key for key in figures)
            packets = sum(value for key, value in figures.items() if key.startswith("sfu_core_datagrams_total"))
            assert packets > 100
            if name == "vertical":
                assert [key for key in figures if key.startswith('sfu_core_load_percent{core="1"')]
            if count == 2:
                assert sum(value for key, value in figures.items() if key.startswith("sfu_host_open")) == 2
            worker.close()


async def test_sigterm_waits_for_the_workers_there_are() -> None:
    server = await Served.start("--drain", "60")
    async with RemoteMediasoupClient(server.url) as client:
        assert client.mediasoup is not None
        worker = await client.mediasoup.create_worker()
        async with Call(worker) as call:
            await call.begin()
            server.process.send_signal(signal.SIGTERM)
            assert await server.line() == "draining, 1 workers left"
            assert await server.get("/health") == (503, "draining\n")
            assert (await server.figures())["sfu_draining"] == 1
            with pytest.raises(SfuError):
                await client.mediasoup.create_worker()
            await asyncio.sleep(0.3)
            assert (await call.end()).complete, "whoever is there does not notice"
        family = server.family()
        worker.close()
        async with asyncio.timeout(5):
            assert await server.process.wait() == 0
    assert (await server.process.communicate())[1] == b""
    await until(lambda: not any(map(is_alive, family)), 5)


async def test_sigterm_does_not_wait_for_clients_without_workers() -> None:
    server = await Served.start("--drain", "60")
    async with RemoteMediasoupClient(server.url) as client:
        told: list[Any] = []
        client.on("mediasoup", told.append)
        assert await server.end(within=5) == (0, "")
        await until(lambda: told == [None], 5)


@pytest.mark.parametrize("how", ["time is over", "second signal", "interrupt"])
async def test_an_end_that_does_not_wait(how: str) -> None:
    server = await Served.start("--drain", "0.3" if how == "time is over" else "60")
    async with RemoteMediasoupClient(server.url) as client:
        assert client.mediasoup is not None
        worker = await client.mediasoup.create_worker()
        died: list[Any] = []
        worker.on("died", died.append)
        if how == "second signal":
            server.process.send_signal(signal.SIGTERM)
            await server.line()
        status, errors = await server.end(signal.SIGINT if how == "interrupt" else signal.SIGTERM, within=6)
        assert (status, errors) == (0, "")
        await until(lambda: worker.closed, 5)
        assert len(died) == 1


@pytest.mark.parametrize("flags", [(), ("--vertical", "--cores", "2")], ids=["plain", "vertical"])
async def test_killed_it_takes_its_processes_along(flags: tuple[str, ...]) -> None:
    server = await Served.start(*flags)
    async with RemoteMediasoupClient(server.url) as client:
        assert client.mediasoup is not None
        worker = await client.mediasoup.create_worker()
        assert len(server.family()) > 1
        await server.end(signal.SIGKILL)
        worker.close()


async def test_a_proxy_waits_for_its_server() -> None:
    first = await Served.start()
    port = int(first.url.rpartition(":")[2])
    async with served("--proxy", first.url, quiet=False) as proxy:
        await eventually(proxy.healthy)
        await first.end()
        await eventually(lambda: _is(proxy, 503))
        with pytest.raises(SfuError):
            async with RemoteMediasoupClient(proxy.url) as client:
                await client.mediasoup.create_worker()  # type: ignore[union-attr]
        second = await Served.start(port=port)
        await eventually(proxy.healthy, 20)
        async with RemoteMediasoupClient(proxy.url) as client:
            worker = await client.mediasoup.create_worker()  # type: ignore[union-attr]
            worker.close()
    await second.end()


async def _is(server: Served, status: int) -> bool:
    return (await server.get("/health"))[0] == status


@pytest.mark.parametrize("keep", [False, True], ids=["workers go", "workers stay"])
async def test_a_client_that_does_not_come_back(keep: bool) -> None:
    flags = ("--grace", "0.2", *(["--keep-workers"] if keep else []), "--drain", "0.1")
    async with (
        served(*flags) as server,
        TcpRelay(int(server.url.rpartition(":")[2])) as relay,
        RemoteMediasoupClient(f"ws://127.0.0.1:{relay.port}") as client,
    ):
        await client.mediasoup.create_worker()  # type: ignore[union-attr]
        assert (await server.figures())["sfu_workers"] == 1
        relay.cut()
        await eventually(lambda: _figure(server, "sfu_sessions", 0))
        await eventually(lambda: _figure(server, "sfu_workers", int(keep)))


async def _figure(server: Served, name: str, value: float) -> bool:
    return (await server.figures())[name] == value


async def test_the_address_that_peers_are_told() -> None:
    """Also through a proxy, which announces nothing of its own."""
    everywhere = [{"protocol": "udp", "ip": "0.0.0.0"}]
    async with (
        served("--announced-address", "203.0.113.7") as server,
        served("--proxy", server.url) as proxy,
    ):
        await eventually(proxy.healthy)
        for url in (server.url, proxy.url):
            async with RemoteMediasoupClient(url) as client:
                worker = await client.mediasoup.create_worker()  # type: ignore[union-attr]
                router = await worker.create_router()
                transport = await router.create_webrtc_transport(listen_infos=everywhere)  # type: ignore[arg-type]
                assert {each["address"] for each in transport.ice_candidates} == {"203.0.113.7"}, url
                worker.close()


async def test_tokens_are_asked_for_and_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("first-secret\nsecond-secret\n")
    flags = ("--token-file", str(file), "--log-level", "debug")
    async with served(*flags, quiet=False, SFU_TOKEN="third-secret") as server:
        for token in ("first-secret", "second-secret", "third-secret"):
            async with RemoteMediasoupClient(server.url, token=token) as client:
                assert client.mediasoup is not None
        for token in (None, "wrong-secret"):
            with pytest.raises(AuthenticationError):
                async with RemoteMediasoupClient(server.url, token=token):
                    pass
        assert "secret" not in Path(f"/proc/{server.process.pid}/cmdline").read_text()
        server.process.send_signal(signal.SIGINT)
        _, errors = await server.process.communicate()
    assert b"secret" not in errors and "secret" not in "".join(server.lines)


async def test_certificates_of_both_sides(tmp_path: Path) -> None:
    """The server's is checked by the client, and the client's by the server; a proxy shows its own."""
    servers, clients = Authority(tmp_path, "servers"), Authority(tmp_path, "clients")
    own, shown = servers.issue("server"), clients.issue("client")
    async with (
        served("--cert", own, "--key", own, "--client-ca", clients.file) as server,
        served("--proxy", server.url, "--upstream-ca", servers.file, "--cert", shown, "--key", shown) as proxy,
    ):
        assert server.url.startswith("wss:")
        trusting = ssl.create_default_context(cafile=servers.file)
        with pytest.raises((SfuError, OSError)):
            async with RemoteMediasoupClient(server.url, ssl=trusting):
                pass
        trusting.load_cert_chain(shown)
        async with RemoteMediasoupClient(server.url, ssl=trusting) as client:
            assert client.mediasoup is not None
        await eventually(proxy.healthy)


async def test_hooks(tmp_path: Path) -> None:
    """Those of the page."""
    file = tmp_path / "extras.py"
    page = (ROOT / "docs/serve.md").read_text()
    file.write_text("".join(re.findall(r"```python\n(.*?)```", page, re.S)))
    async with served("--hooks", str(file)) as server:
        with pytest.raises(AuthenticationError):
            async with RemoteMediasoupClient(server.url, token="secret-of-eve"):
                pass
        async with RemoteMediasoupClient(server.url, token="secret-of-ann") as client:
            told: list[Any] = []
            client.on("told", lambda *args: told.append(args))
            assert client.extra == {"region": "eu"}
            assert await client.call("double", 21) == 42
            await until(lambda: told == [("doubled", 42)], 5)


async def test_what_is_wrong_at_the_start_is_said(tmp_path: Path) -> None:
    """With the option that is to be changed."""
    ours, not_pem = Authority(tmp_path, "ours"), __file__
    own, locked = ours.issue("server"), tmp_path / "locked.key"
    encryption = serialization.BestAvailableEncryption(b"x")
    kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    locked.write_bytes(ours.key.private_bytes(*kind, encryption))
    async with served() as server:
        port = server.url.rpartition(":")[2]
        for flags, complaint in (
            (("--port", port), f"--host 127.0.0.1, --port {port}: .*address already in use"),
            (("--host", "203.0.113.7", "--allow-anonymous"), "--host 203.0.113.7, --port 4443: .*cannot assign"),
            (("--port", "0", "--status", f"127.0.0.1:{port}"), f"--status 127.0.0.1:{port}: .*address already in use"),
            (("--host", "0.0.0.0"), "--host 0.0.0.0: .*--token-file.*--allow-anonymous"),
            (("--hooks", "no_such_module_here"), "--hooks: no_such_module_here"),
            (("--proxy", "http://nowhere"), "--proxy: needs a URL that begins with ws://"),
            (("--proxy", "ws://nowhere/#part"), "--proxy: .*fragment"),
            (("--cert", "/nonexistent", "--key", "x"), "--cert /nonexistent, --key x: No such file"),
            (("--cert", own, "--key", not_pem), f"--cert {own}, --key {not_pem}: .*PEM"),
            (("--cert", own, "--key", str(locked)), "locked.key: the key has a passphrase"),
            (("--cert", own, "--key", own, "--client-ca", not_pem), f"--client-ca {not_pem}: "),
            (("--proxy", "wss://nowhere", "--upstream-ca", "/nonexistent"), "--upstream-ca /nonexistent: No such file"),
        ):
            status, told = await _refused(*flags)
            assert status == 2, (flags, told)
            assert re.search(complaint, told) and told.startswith(("sfu serve: ", "usage: ")), (flags, told)
            assert "Traceback" not in told


async def _refused(*flags: str) -> tuple[int, str]:
    """Exit status, and what was said."""
    run = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "sfu", "serve", *flags],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
    )
    return run.returncode, run.stderr


@pytest.mark.parametrize("name", ["proxy", "vertical cluster"])
async def test_it_ends_in_time_though_those_below_are_out_of_reach(name: str) -> None:
    """And says that it has nothing to offer meanwhile. Calls below may go on, so nothing is given up before."""
    flags, _ = STACKS[name]
    async with served("--drain", "0.1", quiet=False) as below:
        server = await Served.start(*flags, below.url, "--drain", "0.5")
        await eventually(server.healthy)
        async with RemoteMediasoupClient(server.url) as client:
            await client.mediasoup.create_worker()  # type: ignore[union-attr]
            below.process.send_signal(signal.SIGSTOP)
            try:
                await eventually(lambda: _is(server, 503))
                assert (await server.figures())["sfu_ready"] == 0
                assert (await server.end(within=15))[0] == 0
            finally:
                below.process.send_signal(signal.SIGCONT)


async def test_nobody_need_listen_to_what_it_says() -> None:
    server = await Served.start("--drain", "60")
    server.process.stdout._transport.close()  # type: ignore[union-attr]
    async with RemoteMediasoupClient(server.url) as client:
        worker = await client.mediasoup.create_worker()  # type: ignore[union-attr]
        server.process.send_signal(signal.SIGTERM)
        await eventually(lambda: _is(server, 503))
        worker.close()
        async with asyncio.timeout(5):
            assert await server.process.wait() == 0
    assert await server.process.stderr.read() == b""  # type: ignore[union-attr]


async def test_secrets_in_urls_are_shown_to_nobody() -> None:
    below = await Served.start("--grace", "0.2")
    url = below.url.replace("//", "//me:geheim@") + "/?key=geheim"
    server = await Served.start("--cluster", url, "--log-level", "debug", "--status", "[::1]:0")
    try:
        await eventually(server.healthy)
        text = (await server.get("/metrics"))[1]
        assert f'sfu_host_open{{host="{below.url}/"}} 1\n' in text
        await below.end(signal.SIGKILL)
        await eventually(lambda: _usable(server, 0))
        await asyncio.sleep(0.5)
    finally:
        status, errors = await server.end()
        await below.end(signal.SIGKILL)
    assert status == 0 and f"{below.url}/ is lost" in errors
    assert "geheim" not in errors + text + "".join(server.lines)


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server here")
async def test_servers_find_each_other_in_a_directory(tmp_path: Path) -> None:
    """They come, go, are killed; it is restarted and has forgotten them. Its password is shown nowhere."""
    redis, url = await _redis(tmp_path)
    directory = ("--directory", url, "--log-level", "debug")
    hosts: list[Served] = []
    try:
        async with served(*directory, "--cluster", quiet=False) as cluster:
            assert not await cluster.healthy()
            hosts += [await _announced(*directory) for _ in range(2)]
            await eventually(lambda: _usable(cluster, 2), 20)
            async with RemoteMediasoupClient(cluster.url) as client:
                workers = [await client.mediasoup.create_worker() for _ in range(2)]  # type: ignore[union-attr]
                redis.kill()
                await redis.wait()
                await asyncio.sleep(3)  # everybody has noticed
                redis, _ = await _redis(tmp_path, url)
                hosts.append(await _announced(*directory))
                await eventually(lambda: _usable(cluster, 3), 20)
                assert not any(worker.closed for worker in workers)
            told = (await hosts.pop().end())[1]
            await eventually(lambda: _usable(cluster, 2), 20)
            told += (await hosts.pop().end(signal.SIGKILL))[1]
            await eventually(lambda: _usable(cluster, 1), 30)
            told += (await hosts.pop().end())[1] + (await cluster.end())[1]
        assert "is not announced: " in told and "sfu.serve.stack: cluster: " in told
        assert "geheim" not in told
    finally:
        for left in hosts:
            await left.end(signal.SIGKILL)
        redis.terminate()
        await redis.wait()


async def _redis(folder: Path, url: str = "") -> tuple[asyncio.subprocess.Process, str]:
    """One that wants a password; its URL."""
    url = url or f"redis://:geheim@127.0.0.1:{_free_port()}"
    options = ("--port", url.rpartition(":")[2], "--requirepass", "geheim", "--save", "", "--dir", str(folder))
    process = await asyncio.create_subprocess_exec("redis-server", *options, stdout=asyncio.subprocess.DEVNULL)
    return process, url


async def _announced(*directory: str) -> Served:
    """A server that others can find."""
    port = _free_port()
    return await Served.start(*directory, "--announce", f"ws://127.0.0.1:{port}", port=port)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def _usable(cluster: Served, count: int) -> bool:
    figures = await cluster.figures()
    return sum(value for key, value in figures.items() if key.startswith("sfu_host_open")) == count
