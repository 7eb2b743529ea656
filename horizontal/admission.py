"""Who may come in: tokens, certificates, a hook; and a bound on those who have not said who they are.

Belongs to the server's event loop. Knows HTTP headers and sockets, nothing of sessions. No token is kept or logged:
only their digests.
"""

import asyncio
import hmac
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from websockets.http11 import Request as HttpRequest

from horizontal.errors import AuthenticationError
from horizontal.wire import ServerSocket, abort

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
    token: str | None
    certificate: dict[str, Any] | None
    fingerprint: str
    headers: Mapping[str, str]


Verdict = bool | str
Authenticate = Callable[[Credentials], Verdict | Awaitable[Verdict]]
"""True or False; or a name: clients of one name may share sessions."""


class TooManyError(AuthenticationError):
    """Somebody at that address has tried too often."""


def token_of(headers: Mapping[str, str]) -> str | None:
    """The bearer token (RFC 6750 §2.1), or None."""
    value = headers.get("Authorization", "")
    return value[len(_BEARER) :].strip() if value[: len(_BEARER)].lower() == _BEARER else None


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
        if self._tried(credentials.address) >= ATTEMPTS:
            raise TooManyError("too many wrong attempts from your address; try again later")
        try:
            return await self._identity(credentials)
        except AuthenticationError:
            self._failed(credentials.address)
            await self._delay()
            raise

    async def _identity(self, credentials: Credentials) -> str:
        identity = credentials.fingerprint
        if self._digests is not None:
            identity = self._known_token(credentials.token)
        if self._authenticate is not None:
            verdict = self._authenticate(credentials)
            if isinstance(verdict, Awaitable):
                verdict = await verdict
            if not verdict:
                raise AuthenticationError("the server does not know you")
            identity = verdict if isinstance(verdict, str) else identity
        return identity

    def _known_token(self, token: str | None) -> str:
        if token is None:
            raise AuthenticationError("a bearer token is needed")
        shown = _digest(token)
        # all of them are compared, each in constant time
        known = [digest for digest in self._digests or () if hmac.compare_digest(digest, shown)]
        if not known:
            raise AuthenticationError("the token is wrong")
        return shown.hex()

    def _tried(self, address: str) -> int:
        count, since = self._failures.get(address, (0, 0.0))
        if count and self._loop.time() - since > WINDOW:
            del self._failures[address]
            return 0
        return count

    def _failed(self, address: str) -> None:
        count, since = self._failures.pop(address, (0, self._loop.time()))
        self._failures[address] = count + 1, since
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
    return sha256(token.encode()).digest()


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
    """Sockets whose owners have not said who they are, or not what they want. Too many: the longest there must go."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: OrderedDict[LobbySocket, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def enter(self, socket: "LobbySocket") -> None:
        """Until `leave`, or until it is pushed out."""
        self._waiting[socket] = None
        if len(self._waiting) > self._limit:
            oldest, _ = self._waiting.popitem(last=False)
            abort(oldest)

    def clear(self) -> None:
        """All of them must go."""
        for socket in list(self._waiting):
            abort(socket)

    def leave(self, socket: "LobbySocket") -> None:
        """It may stay, or is gone. Repeating changes nothing."""
        self._waiting.pop(socket, None)


class LobbySocket(ServerSocket):
    """Enters the lobby when it is accepted."""

    def __init__(self, lobby: Lobby, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._lobby = lobby
        self.identity = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._lobby.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lobby.leave(self)
        super().connection_lost(exc)
