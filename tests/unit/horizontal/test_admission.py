"""Who may come in: tokens, certificates, hooks; and that no secret is written down anywhere."""

import asyncio
import logging
import ssl

import pytest
from fake_hosts import FakeHost
from refusals import refused
from websockets.datastructures import Headers

from horizontal import AuthenticationError, InvalidStateError, RemoteMediasoupClient, RemoteMediasoupServer, admission
from horizontal.admission import ATTEMPTS, Credentials, Doorkeeper, Lobby, TooManyError, token_of
from sfu_core.errors import SfuError


def showing(token=None, address="192.0.2.1", **more):
    return Credentials(
        address=address, path="/", token=token, certificate=None, fingerprint="", headers={}, **more
    )


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(admission, "DELAY", 0.01)


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", None), ("", None), ("Bearer", None)],
)
def test_tokens_of_headers(header, token):
    assert token_of(Headers({"Authorization": header})) == token
    assert token_of(Headers()) is None


def test_several_tokens_are_none():
    """Which one counts is not for us to guess; another scheme beside it does no harm."""
    assert token_of(Headers([("Authorization", "Bearer a"), ("Authorization", "Bearer b")])) is None
    assert token_of(Headers([("Authorization", "Basic x"), ("Authorization", "Bearer b")])) == "b"


async def test_tokens():
    keeper = Doorkeeper(["one", "two"], None)
    one, two = await keeper.admit(showing("one")), await keeper.admit(showing("two"))
    assert one != two and "one" not in one and one == await keeper.admit(showing("one", address="192.0.2.2"))
    for wrong in ("", "on", "onee", "One", "ünë"):
        with pytest.raises(AuthenticationError, match="wrong"):
            await keeper.admit(showing(wrong))
    with pytest.raises(AuthenticationError, match="needed"):
        await keeper.admit(showing(None))


async def test_no_tokens_at_all_let_nobody_in():
    with pytest.raises(AuthenticationError):
        await Doorkeeper([], None).admit(showing(""))


async def test_a_hook():
    seen = []

    async def later(credentials):
        seen.append(credentials)
        await asyncio.sleep(0)
        return "room 5" if credentials.token == "x" else False

    keeper = Doorkeeper(None, later)
    assert await keeper.admit(showing("x")) == "room 5" and seen == [showing("x")]
    with pytest.raises(AuthenticationError, match="does not know you"):
        await keeper.admit(showing("y"))
    both = Doorkeeper(["x", "y"], lambda credentials: credentials.token == "x")
    assert await both.admit(showing("x"))
    for wrong in ("y", "z"):
        with pytest.raises(AuthenticationError):
            await both.admit(showing(wrong))


async def test_whoever_a_hook_lets_in_is_known_by_the_token():
    """So that two tokens do not share sessions, whether they are in a list or known to a hook."""
    keeper = Doorkeeper(None, lambda _: True)
    one, two = await keeper.admit(showing("one")), await keeper.admit(showing("two"))
    assert one != two and one == await keeper.admit(showing("one")) and "one" not in one


async def test_tries_of_one_network():
    """A host has all addresses of its IPv6 network, so changing them is of no use."""
    keeper = Doorkeeper(["one"], None)
    for index in range(ATTEMPTS):
        with pytest.raises(AuthenticationError):
            await keeper.admit(showing("guess", address=f"2001:db8:1:2:{index:x}::5"))
    with pytest.raises(TooManyError):
        await keeper.admit(showing("one", address="2001:db8:1:2::1"))
    for other in ("2001:db8:1:3::1", "192.0.2.7", "::ffff:192.0.2.8", ""):
        await keeper.admit(showing("one", address=other))
    for _ in range(ATTEMPTS):
        with pytest.raises(AuthenticationError):
            await keeper.admit(showing("guess", address="::ffff:192.0.2.8"))
    with pytest.raises(TooManyError):
        await keeper.admit(showing("one", address="192.0.2.8"))
    await keeper.admit(showing("one", address="::ffff:192.0.2.9"))


async def test_too_many_tries(monkeypatch):
    """Only the address that they came from is not looked at any more, and only for a while."""
    keeper = Doorkeeper(["one"], None)
    for _ in range(ATTEMPTS):
        with pytest.raises(AuthenticationError):
            await keeper.admit(showing("guess"))
    for token in ("guess", "one"):
        with pytest.raises(TooManyError):
            await keeper.admit(showing(token))
    await keeper.admit(showing("one", address="192.0.2.2"))
    monkeypatch.setattr(admission, "WINDOW", 0.0)
    await asyncio.sleep(0.01)
    await keeper.admit(showing("one"))


async def test_what_is_remembered_of_tries_is_bounded(monkeypatch):
    monkeypatch.setattr(admission, "_ADDRESSES", 5)
    keeper = Doorkeeper([], None)
    for index in range(20):
        with pytest.raises(AuthenticationError):
            await keeper.admit(showing("x", address=str(index)))
    assert list(keeper._failures) == ["15", "16", "17", "18", "19"]


class Knocker:
    def __init__(self):
        self.aborted = False

    def abort(self):
        self.aborted = True


def test_the_lobby():
    lobby = Lobby(2)
    first, second, third = (Knocker() for _ in range(3))
    lobby.enter(first)
    lobby.enter(second)
    lobby.leave(first)
    lobby.leave(first)
    lobby.enter(third)
    assert not (second.aborted or third.aborted)
    lobby.enter(first)
    assert second.aborted and not (first.aborted or third.aborted) and len(lobby) == 2
    lobby.close()
    assert first.aborted and third.aborted and len(lobby) == 0
    late = Knocker()
    lobby.enter(late)
    assert late.aborted and len(lobby) == 0


async def test_over_the_wire():
    async with RemoteMediasoupServer(FakeHost(), tokens=["right"]) as server:
        assert await refused(server.url, token="wrong") == f"{server.url} answered 401: the token is wrong"
        assert "a bearer token is needed" in await refused(server.url)
        async with RemoteMediasoupClient(server.url, token="right") as client:
            await client.mediasoup.create_worker()


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", "Bearer one"), ("Authorization", "Bearer two")],
        [("Authorization", "Bearer \udcff\udcfe")],  # bytes that are no text
        [("Authorization", "Bearer")],
    ],
    ids=["two", "bytes", "none"],
)
async def test_strange_headers_are_wrong_tokens(headers, caplog):
    """They are refused, and counted, like any other; nothing fails at the server."""
    async with RemoteMediasoupServer(FakeHost(), tokens=["right"]) as server:
        assert await knock(server, headers) == 401
        assert caplog.text == "" and [count for count, _ in server._door._failures.values()] == [1]


async def knock(server, headers):
    """As a client that shows `headers`, whose text is written byte by byte."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    lines = ["GET / HTTP/1.1", f"Host: 127.0.0.1:{server.port}", "Upgrade: websocket", "Connection: Upgrade"]
    lines += ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13"]
    lines += [f"{name}: {value}" for name, value in headers]
    writer.write("\r\n".join([*lines, "", ""]).encode(errors="surrogateescape"))
    status = int((await reader.readline()).split()[1])
    writer.close()
    return status


@pytest.mark.parametrize("token", ["", "übung", "a b", "a\r\nX-Evil: b", "secret\n", 5, b"secret"])
def test_what_is_no_token(token):
    """Either side says so at once, and not what it is."""
    for make in (lambda: RemoteMediasoupClient(token=token), lambda: RemoteMediasoupServer(tokens=["fine", token])):
        with pytest.raises(TypeError, match=r"^token: not a text of visible ASCII characters$"):
            make()


async def test_files_of_the_server():
    """Clients name them only where the operator has said so: whoever has a token could have any certificate used."""
    files = {"dtls_certificate_file": "/c.pem", "dtls_private_key_file": "/k.pem"}
    host = FakeHost()
    async with RemoteMediasoupServer(host) as server, RemoteMediasoupClient(server.url) as client:
        for named in (files, {"dtls_private_key_file": "/k.pem"}):
            with pytest.raises(TypeError, match="dtlsCertificateFile: the server does not let clients name its files"):
                await client.mediasoup.create_worker(**named)
        assert host.cores == []
    async with (
        RemoteMediasoupServer(host, allow_files=True) as server,
        RemoteMediasoupClient(server.url) as client,
    ):
        await client.mediasoup.create_worker(**files)
        assert host.cores[0].settings.dtls_private_key_file == "/k.pem"


async def test_a_server_listens_once():
    server = RemoteMediasoupServer(FakeHost())
    async with server:
        with pytest.raises(InvalidStateError):
            await server.listen()
    with pytest.raises(InvalidStateError):
        await server.listen()


async def test_credentials_can_be_written_down():
    """By a hook, say: what is secret in them is left out."""
    seen = []
    async with RemoteMediasoupServer(FakeHost(), authenticate=lambda shown: seen.append(shown) or True) as server:
        async with RemoteMediasoupClient(server.url, token="secret"):
            pass
        assert "secret" not in repr(seen) and seen[0].token == "secret"


def test_who_may_be_anonymous():
    with pytest.raises(TypeError, match="allow_anonymous"):
        RemoteMediasoupServer(None, host="0.0.0.0")
    for options in ({"tokens": ["x"]}, {"authenticate": lambda _: True}, {"allow_anonymous": True}):
        RemoteMediasoupServer(None, host="0.0.0.0", **options)
    RemoteMediasoupServer(None, host="::1")


async def test_what_fails_at_the_door_is_logged(caplog):
    """What the operator has added fails: it is the server's fault, and the client is told no more than that."""

    def broken(*_):
        raise ZeroDivisionError("details")

    async with RemoteMediasoupServer(FakeHost(), authenticate=broken) as server:
        client = RemoteMediasoupClient(server.url)
        with pytest.raises(SfuError, match="answered 500") as refusal:
            await client.ready()
        assert "details" not in str(refusal.value) and "details" in caplog.text
        client.destroy()
        await client.wait_closed()
    caplog.clear()
    for name in ("extra_methods_factory", "extra_connection_payload"):
        async with RemoteMediasoupServer(FakeHost(), **{name: broken}) as server:
            client = RemoteMediasoupClient(server.url)
            with pytest.raises(SfuError, match="cannot connect"):
                await client.ready()
            assert "details" in caplog.text and server.sessions == 0
            caplog.clear()
            client.destroy()
            await client.wait_closed()


def test_urls():
    client = RemoteMediasoupClient(ssl=ssl.create_default_context())
    with pytest.raises(TypeError, match="wss:"):
        client.open("ws://192.0.2.1")
    for wrong in ("http://192.0.2.1", "", "media.example.com", "ws://"):
        with pytest.raises(TypeError, match="url"):
            RemoteMediasoupClient().open(wrong)


async def test_no_secret_is_logged(caplog):
    """Neither tokens nor what resumes a session, at any level, by anybody, also when the loop is debugged."""
    caplog.set_level(logging.DEBUG)
    for name in ("websockets", "websockets.client", "websockets.server", "asyncio"):
        caplog.set_level(logging.DEBUG, name)
    asyncio.get_running_loop().set_debug(True)
    async with RemoteMediasoupServer(FakeHost(), tokens=["right-secret"]) as server:
        await refused(server.url, token="wrong-secret")
        async with RemoteMediasoupClient(server.url, token="right-secret") as client:
            session = client._session.id
            worker = await client.mediasoup.create_worker()
            client._connection._wire.abort()
            await worker.dump()
        shown = repr(client._connection) + repr(server)
    text = caplog.text + shown
    assert text and "secret" not in text and session not in text
