"""TLS: whom both sides trust, how a refusal reaches the client, how many may be half-way in."""

import asyncio
import contextlib
import socket
import ssl

import pytest
from fake_hosts import FakeHost
from refusals import refused
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake

from horizontal import AuthenticationError, RemoteMediasoupClient, RemoteMediasoupServer, server
from sfu_core.errors import SfuError
from tests.network.authority import HOUR, Authority

VERSIONS = {"TLS 1.2": ssl.TLSVersion.TLSv1_2, "TLS 1.3": ssl.TLSVersion.TLSv1_3}


@pytest.fixture
def ours(tmp_path):
    return Authority(tmp_path, "ours")


@pytest.fixture
def others(tmp_path):
    return Authority(tmp_path, "others")


def speaking(context, version):
    context.minimum_version = context.maximum_version = VERSIONS[version]
    return context


async def test_the_server_is_known_by_its_certificate(ours, others):
    async with RemoteMediasoupServer(FakeHost(), ssl=ours.server(), tokens=["right"]) as server:
        assert server.url.startswith("wss://")
        async with RemoteMediasoupClient(server.url, token="right", ssl=ours.client()) as client:
            await client.mediasoup.create_worker()
        for context in (others.client(), None):
            why = await refused(server.url, token="right", ssl=context)
            assert "the server's certificate is not trusted: unable to get local issuer certificate" in why


@pytest.mark.parametrize("version", VERSIONS)
async def test_clients_are_known_by_their_certificates(ours, others, version):
    """From TLS 1.3 on the server's refusal comes after the client's handshake is done; it is heard all the same."""
    context = speaking(ours.server(ours), version)
    async with RemoteMediasoupServer(FakeHost(), ssl=context) as server:
        async with RemoteMediasoupClient(server.url, ssl=ours.client(ours.issue("app"))) as client:
            await client.mediasoup.create_worker()
        for shown, why in (
            (None, "the server wants a client certificate"),
            (others.issue("app"), "the server does not trust our client certificate (TLS alert: unknown ca)"),
            (ours.issue("old", -HOUR), "does not trust our client certificate (TLS alert: certificate expired)"),
        ):
            assert why in await refused(server.url, ssl=ours.client(shown))
            assert server.sessions == 0
        await asyncio.sleep(0.1)
        assert len(server._lobby) == 0


async def test_whoever_does_not_wait_for_the_refusal(ours):
    """The server does not, either: nothing is left of a handshake that has failed."""
    async with RemoteMediasoupServer(FakeHost(), ssl=ours.server(ours)) as server:
        for _ in range(5):
            plain = await asyncio.open_connection("127.0.0.1", server.port)
            secured = ours.client()
            await plain[1].start_tls(secured)  # done, as far as TLS 1.3 tells a client
            plain[1].transport.abort()
        await asyncio.sleep(0.1)
        assert len(server._lobby) == 0


async def test_a_server_without_tls(ours):
    """No certificate is at fault, so it is tried again."""
    async with RemoteMediasoupServer(FakeHost()) as server:
        client = RemoteMediasoupClient(server.url.replace("ws:", "wss:"), ssl=ours.client())
        with pytest.raises(SfuError, match="cannot connect to wss:") as failure:
            await client.ready()
        assert not isinstance(failure.value, AuthenticationError) and client.ready_state == 0
        client.destroy()
        await client.wait_closed()


async def test_a_server_that_hangs_up(ours):
    """It does not say why; it may be the certificate, but it is tried again."""

    async def hang_up(reader, writer):
        await reader.readline()
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=ours.server()) as listening:
        port = listening.sockets[0].getsockname()[1]
        client = RemoteMediasoupClient(f"wss://127.0.0.1:{port}", ssl=ours.client())
        with pytest.raises(AuthenticationError, match="hung up after the TLS handshake"):
            await client.ready()
        assert client.ready_state == 0
        client.destroy()
        await client.wait_closed()


async def test_a_hook_sees_the_certificate(ours):
    def known(credentials):
        assert len(credentials.fingerprint) == 64 and credentials.path == "/"
        return {"app": "an app"}.get(credentials.certificate["subject"][0][0][1], False)

    async with RemoteMediasoupServer(FakeHost(), ssl=ours.server(ours), authenticate=known) as server:
        async with RemoteMediasoupClient(server.url, ssl=ours.client(ours.issue("app"))):
            pass
        assert "does not know you" in await refused(server.url, ssl=ours.client(ours.issue("other")))


async def test_what_comes_with_the_end_of_the_handshake(ours):
    """The first request may be in the same packet."""
    async with RemoteMediasoupServer(FakeHost(), ssl=ours.server(), silence=30) as server:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = ours.client().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        while True:
            writer.write(outgoing.read())
            incoming.write(await reader.read(65536))
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                continue
            break
        request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        request += "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
        tls.write(f"{request}Sec-WebSocket-Protocol: sfu.1\r\n\r\n".encode())
        writer.write(outgoing.read())  # the end of the handshake, and the request
        answer = b""
        while b"\r\n\r\n" not in answer:
            incoming.write(await reader.read(65536))
            try:
                answer += tls.read(65536)
            except ssl.SSLWantReadError:
                continue
        assert answer.startswith(b"HTTP/1.1 101 ")
        writer.close()


@pytest.mark.parametrize("secured", [False, True], ids=["plain", "TLS"])
async def test_who_says_nothing_is_pushed_out(ours, secured, monkeypatch):
    """Only so many may be half-way in, with TLS or without, and for so long; whoever speaks gets in at once."""
    monkeypatch.setattr(server, "_lobby_limit", lambda: 16)
    monkeypatch.setattr(server, "OPEN_TIMEOUT", 2.0)
    context = ours.server() if secured else None
    async with RemoteMediasoupServer(FakeHost(), ssl=context) as it:
        knocking = []
        for _ in range(200):
            knocking.append(socket.create_connection(("127.0.0.1", it.port)))
            await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        assert len(it._lobby) == 16
        for each in knocking:
            each.setblocking(False)
        assert [open_(each) for each in knocking] == [False] * 184 + [True] * 16
        async with RemoteMediasoupClient(it.url, ssl=ours.client() if secured else None) as client:
            assert len(it._lobby) == 15
            await client.mediasoup.create_worker()
            await asyncio.sleep(2.3)
            assert len(it._lobby) == 0 and not any(map(open_, knocking)) and client.ready_state == 4
        for each in knocking:
            each.close()


def open_(sock):
    """Whether the other side has not closed it."""
    try:
        return bool(sock.recv(1))
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False


async def test_a_server_closes_with_somebody_half_way_in(ours):
    for _ in range(3):
        async with RemoteMediasoupServer(FakeHost(), ssl=ours.server()) as it:
            silent = [await asyncio.open_connection("127.0.0.1", it.port) for _ in range(5)]
            entering = [asyncio.ensure_future(entered(it, ours)) for _ in range(5)]
            await asyncio.sleep(0.005)
        await asyncio.gather(*entering)
        for reader, writer in silent:
            with pytest.raises(ConnectionResetError):
                assert await reader.read() == b""
                raise ConnectionResetError  # an end is as good
            writer.close()
        assert len(it._lobby) == 0 and it.sessions == 0


async def entered(it, ours):
    """As far as one gets."""
    with contextlib.suppress(OSError, InvalidHandshake):
        async with connect(it.url, ssl=ours.client(), subprotocols=["sfu.1"], compression=None) as socket:
            await socket.wait_closed()
