"""Who may come in: tokens, certificates, hooks; and that no secret is written down anywhere."""

import asyncio
import datetime
import ipaddress
import logging
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fake_hosts import FakeHost
from websockets.protocol import State

from horizontal import AuthenticationError, RemoteMediasoupClient, RemoteMediasoupServer, admission
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
    assert token_of({"Authorization": header}) == token
    assert token_of({}) is None


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
        self.transport = self
        self.state = State.CONNECTING
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
    lobby.clear()
    assert first.aborted and third.aborted


async def refused(url, **options):
    """Why the server does not take this client; it does not try again."""
    client = RemoteMediasoupClient(url, **options)
    errors = []
    client.on("error", errors.append)
    with pytest.raises(AuthenticationError) as refusal:
        await client.ready()
    assert errors == [refusal.value] and client.ready_state == 3 and client.mediasoup is None
    client.destroy()
    return str(refusal.value)


async def test_over_the_wire():
    async with RemoteMediasoupServer(FakeHost(), tokens=["right"]) as server:
        assert await refused(server.url, token="wrong") == f"{server.url} answered 401: the token is wrong"
        assert "a bearer token is needed" in await refused(server.url)
        async with RemoteMediasoupClient(server.url, token="right") as client:
            await client.mediasoup.create_worker()


def test_who_may_be_anonymous():
    with pytest.raises(TypeError, match="allow_anonymous"):
        RemoteMediasoupServer(None, host="0.0.0.0")
    for options in ({"tokens": ["x"]}, {"authenticate": lambda _: True}, {"allow_anonymous": True}):
        RemoteMediasoupServer(None, host="0.0.0.0", **options)
    RemoteMediasoupServer(None, host="::1")


class Authority:
    """Signs certificates for servers and clients of these tests."""

    def __init__(self, folder, name):
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.folder = folder
        self.file = self.write(f"{name}.pem", self.sign(self.name, self.key.public_key(), True))

    def sign(self, subject, key, authority=False):
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(authority, None), True)
        )
        if not authority:
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def write(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        return str(path)

    def issue(self, name):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return self.write(f"{name}-of-{self.file.rpartition('/')[2]}", self.sign(subject, key.public_key()) + private)

    def server(self, trusted=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.issue("server"))
        if trusted is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(trusted.file)
        return context

    def client(self, shown=None):
        context = ssl.create_default_context(cafile=self.file)
        if shown is not None:
            context.load_cert_chain(shown)
        return context


async def test_tls(tmp_path):
    ours, others = Authority(tmp_path, "ours"), Authority(tmp_path, "others")
    async with RemoteMediasoupServer(FakeHost(), ssl=ours.server(), tokens=["right"]) as server:
        assert server.url.startswith("wss://")
        async with RemoteMediasoupClient(server.url, token="right", ssl=ours.client()) as client:
            await client.mediasoup.create_worker()
        assert "certificate verify failed" in await refused(server.url, token="right", ssl=others.client())
        assert "certificate verify failed" in await refused(server.url, token="right")


async def test_client_certificates(tmp_path):
    ours, others = Authority(tmp_path, "ours"), Authority(tmp_path, "others")
    async with RemoteMediasoupServer(FakeHost(), ssl=ours.server(ours)) as server:
        async with RemoteMediasoupClient(server.url, ssl=ours.client(ours.issue("app"))) as client:
            await client.mediasoup.create_worker()
        for shown in (None, others.issue("app")):
            client = RemoteMediasoupClient(server.url, ssl=ours.client(shown))
            with pytest.raises(AuthenticationError, match="client certificate"):
                await client.ready()
            assert client.mediasoup is None and server.sessions == 0
            client.destroy()
            await client.wait_closed()


async def test_a_hook_sees_the_certificate(tmp_path):
    ours = Authority(tmp_path, "ours")

    def known(credentials):
        assert len(credentials.fingerprint) == 64 and credentials.path == "/"
        return {"app": "an app"}.get(credentials.certificate["subject"][0][0][1], False)

    async with RemoteMediasoupServer(FakeHost(), ssl=ours.server(ours), authenticate=known) as server:
        async with RemoteMediasoupClient(server.url, ssl=ours.client(ours.issue("app"))):
            pass
        assert "does not know you" in await refused(server.url, ssl=ours.client(ours.issue("other")))


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
    """Neither tokens nor what resumes a session, at any level, by anybody."""
    caplog.set_level(logging.DEBUG)
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
