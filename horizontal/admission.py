"""Who may come in: tokens, certificates, a hook; and a bound on those who have not said who they are.

Belongs to the server's event loop. Knows HTTP headers, TLS and sockets, nothing of sessions. No token is kept or
logged: only their digests.
"""

import asyncio
import hmac
import ipaddress
import ssl as tls
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from websockets.datastructures import Headers
from websockets.http11 import Request as HttpRequest

from horizontal.errors import AuthenticationError
from horizontal.wire import CLOSE_TIMEOUT, ServerSocket

ATTEMPTS: Final = 10
"""Wrong tries of one address in `WINDOW`; whoever comes from there later is not looked at for the rest of it."""

WINDOW: Final = 60.0
"""Seconds."""

DELAY: Final = 0.5
"""Seconds that a refusal takes."""

_ADDRESSES: Final = 10_000
_DELAYED: Final = 256
_BEARER: Final = "bearer "


@dataclass(frozen=True)
class Credentials:
    """What somebody shows who wants to come in.

    `certificate`: as `ssl.SSLSocket.getpeercert()` gives it, and `fingerprint` its SHA-256 in hex, if one was shown.
    """

    address: str
    path: str
    token: str | None = field(repr=False)
    certificate: dict[str, Any] | None
    fingerprint: str
    headers: Mapping[str, str] = field(repr=False)


Verdict = bool | str
Authenticate = Callable[[Credentials], Verdict | Awaitable[Verdict]]
"""True or False; or a name: clients of one name may share sessions."""


class TooManyError(AuthenticationError):
    """Somebody at that address has tried too often."""


def token_of(headers: Headers) -> str | None:
    """The bearer token (RFC 6750 §2.1), or None, also if there are several."""
    tokens = [each[len(_BEARER) :].strip() for each in headers.get_all("Authorization") if _is_bearer(each)]
    return tokens[0] if len(tokens) == 1 else None


def _is_bearer(value: str) -> bool:
    return value[: len(_BEARER)].lower() == _BEARER


class Doorkeeper:
    """Lets in who is known."""

    def __init__(self, tokens: Iterable[str] | None, authenticate: Authenticate | None) -> None:
        """Without tokens only `authenticate` is asked; without either, everybody may come in."""
        self._digests = None if tokens is None else [_digest(token) for token in tokens]
        self._authenticate = authenticate
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._delayed = 0
        self._loop = asyncio.get_running_loop()

    async def admit(self, credentials: Credentials) -> str:
        """The name of who may come in; AuthenticationError, after a while, for others."""
        source = _source(credentials.address)
        if self._tried(source) >= ATTEMPTS:
            raise TooManyError("too many wrong attempts from your address; try again later")
        try:
            return await self._identity(credentials)
        except AuthenticationError:
            self._failed(source)
            await self._delay()
            raise

    async def _identity(self, credentials: Credentials) -> str:
        token = credentials.token
        identity = credentials.fingerprint if token is None else _digest(token).hex()
        if self._digests is not None:
            self._check_token(token)
        if self._authenticate is not None:
            verdict = self._authenticate(credentials)
            if isinstance(verdict, Awaitable):
                verdict = await verdict
            if not verdict:
                raise AuthenticationError("the server does not know you")
            identity = verdict if isinstance(verdict, str) else identity
        return identity

    def _check_token(self, token: str | None) -> None:
        if token is None:
            raise AuthenticationError("a bearer token is needed")
        shown = _digest(token)
        # all of them are compared, each in constant time
        known = [digest for digest in self._digests or () if hmac.compare_digest(digest, shown)]
        if not known:
            raise AuthenticationError("the token is wrong")

    def _tried(self, source: str) -> int:
        count, since = self._failures.get(source, (0, 0.0))
        if count and self._loop.time() - since > WINDOW:
            del self._failures[source]
            return 0
        return count

    def _failed(self, source: str) -> None:
        count, since = self._failures.pop(source, (0, self._loop.time()))
        self._failures[source] = count + 1, since
        if len(self._failures) > _ADDRESSES:
            self._failures.popitem(last=False)

    async def _delay(self) -> None:
        if self._delayed < _DELAYED:
            self._delayed += 1
            try:
                await asyncio.sleep(DELAY)
            finally:
                self._delayed -= 1


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="surrogateescape")).digest()  # as headers are read: bytes that are no text


def _source(address: str) -> str:
    """Whom tries are counted against: an address of IPv4, but the network of one of IPv6, where hosts have many."""
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    return str(parsed.ipv4_mapped or ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))


def credentials_of(socket: "LobbySocket", request: HttpRequest) -> Credentials:
    """What the owner of a socket shows."""
    remote, secured = (socket.transport.get_extra_info(name) for name in ("peername", "ssl_object"))
    shown = secured.getpeercert(binary_form=True) if secured is not None else None
    return Credentials(
        address=str(remote[0]) if remote else "",
        path=request.path,
        token=token_of(request.headers),
        certificate=secured.getpeercert() if shown else None,
        fingerprint=sha256(shown).hexdigest() if shown else "",
        headers=request.headers,
    )


class Lobby:
    """Connections whose owners have not said who they are, or what they want. Too many: the longest there must go."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: OrderedDict[asyncio.WriteTransport, None] = OrderedDict()
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def enter(self, transport: asyncio.WriteTransport) -> None:
        """Until `leave`, or until it is pushed out."""
        self._waiting[transport] = None
        if self._closed or len(self._waiting) > self._limit:
            oldest, _ = self._waiting.popitem(last=False)
            oldest.abort()

    def close(self) -> None:
        """All of them must go, and whoever still comes."""
        self._closed = True
        while self._waiting:
            transport, _ = self._waiting.popitem()
            transport.abort()

    def leave(self, transport: asyncio.WriteTransport) -> None:
        """It may stay, or is gone. Repeating changes nothing."""
        self._waiting.pop(transport, None)


class LobbySocket(ServerSocket):
    """Enters the lobby when it is open."""

    def __init__(self, lobby: Lobby, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._lobby = lobby
        self.identity = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._lobby.enter(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.admitted()
        super().connection_lost(exc)

    def admitted(self) -> None:
        """It has said what it wants: it is not in the lobby any more."""
        self._lobby.leave(self.transport)


class Porch(asyncio.Protocol):
    """In the lobby during the TLS handshake, which asyncio's servers would leave unbounded; then `inside` goes on."""

    def __init__(self, lobby: Lobby, context: tls.SSLContext, timeout: float, inside: LobbySocket) -> None:
        """`timeout`: seconds for the handshake."""
        self._lobby = lobby
        self._context = context
        self._timeout = timeout
        self._inside = inside
        self._early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        self._lobby.enter(transport)
        self._task = asyncio.ensure_future(self._secure(transport))

    def data_received(self, data: bytes) -> None:
        self._early += data  # behind the end of the handshake, in the same packet

    async def _secure(self, transport: asyncio.Transport) -> None:
        if transport.is_closing():  # pushed out already
            return
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport,
                self,
                self._context,
                server_side=True,
                ssl_handshake_timeout=self._timeout,
                ssl_shutdown_timeout=CLOSE_TIMEOUT,
            )
        except OSError:  # TLS errors are, too
            return
        finally:
            self._lobby.leave(transport)
        if secured is None or secured.is_closing():
            return
        secured.set_protocol(self._inside)
        self._inside.connection_made(secured)
        if self._early:
            self._inside.data_received(self._early)


class TellingSSL(tls.SSLObject):
    """A server's TLS, which tells why a handshake fails: asyncio drops the alert that OpenSSL has written.

    So the error comes one step later, after the alert.
    """

    _failure: tls.SSLError | None = None

    def do_handshake(self) -> None:
        """As that of SSLObject."""
        if self._failure is not None:
            raise self._failure
        try:
            super().do_handshake()
        except (tls.SSLWantReadError, tls.SSLWantWriteError):
            raise
        except tls.SSLError as error:
            self._failure = error
            raise tls.SSLWantReadError from error
