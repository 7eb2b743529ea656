"""The words of the remote protocol: envelope, handshake, the server's own requests, close codes, limits.

`docs/remote-protocol.md` is its specification. Frames inside an envelope are those of a Channel, written and read
by its MessagePack codec. No sockets, no clock.
"""

from enum import IntEnum
from typing import Annotated, Any, Final

import msgspec

from sfu_core.channel.codec import MAX_FRAME, PREFIX, ProtocolError
from sfu_core.channel.messages import U32, Notification, Request
from sfu_core.channel.messages.base import Table
from sfu_core.channel.msgpack import MessagePackCodec
from sfu_core.channel.place import Place
from sfu_core.channel.settings import WorkerSettings

SUBPROTOCOL: Final = "sfu.1"
"""Name and version. Another version has another name, and both sides may know several."""

SERVER: Final = 0
"""The worker number under which the server itself is asked."""

MAX_MESSAGE: Final = MAX_FRAME + 1024
"""Largest WebSocket message in bytes: the largest frame, and room for what is around it."""

BATCH: Final = 256 * 1024
"""Bytes of frames after which a sender begins another message."""

MAX_ENTRIES: Final = 4096
"""Frames in one message: a receiver takes in all of them before it can slow the sender down."""

BEATS: Final = 5
"""Each side says something at least this often in the time of silence after which it would be given up."""


MIN_SILENCE: Final = 0.1
"""Seconds: the shortest time of silence that may be agreed on."""

Label = Annotated[str, msgspec.Meta(max_length=1024)]
"""Names are kept while there is a session, so they are bounded (in characters)."""


def checked_token(token: str) -> str:
    """TypeError, without the token, for what cannot stand in a header: a token is visible ASCII (RFC 6750 §2.1)."""
    if not isinstance(token, str) or not token or not all("!" <= each <= "~" for each in token):
        raise TypeError("token: not a text of visible ASCII characters")
    return token


class Close(IntEnum):
    """Why a WebSocket is closed. After any other code, or none, the session can be resumed."""

    DONE = 1000  # the client wants nothing any more: its session ends
    GOING_AWAY = 1001  # the server stops: the session has ended
    PROTOCOL_ERROR = 1002  # the other side broke the rules: the session has ended
    NOT_TEXT = 1007  # text that is no text: the session has ended
    TOO_BIG = 1009  # a message above the limit: the session has ended
    SESSION_ENDED = 4000  # the server gave up the session; the reason is in the text
    REPLACED = 4001  # the session goes on over a newer socket


INTERNAL_ERROR: Final = 1011
"""A side has failed inside, which is no reason to end the session."""

ENDS_SESSION: Final = frozenset(Close) - {Close.REPLACED}

# Handshake: the first message each way


class Resume(msgspec.Struct, rename="camel"):
    """`received`: the number of the last message that has arrived."""

    session: Label
    received: int


class Hello(msgspec.Struct, rename="camel", omit_defaults=True):
    """`silence`: seconds after which the client gives up a socket that says nothing; `name`: of a shared session."""

    client: Label = ""
    silence: float | None = None
    name: Label | None = None
    resume: Resume | None = None


class Welcome(msgspec.Struct, rename="camel"):
    """`session` is a secret, good for resuming; `instance` changes when the server starts anew; times in seconds."""

    session: str
    instance: str
    resumed: bool
    received: int
    grace: float
    silence: float
    version: str
    extra: dict[str, Any] = {}


# Everything after it


class Entry(msgspec.Struct, array_like=True):
    """A frame of the Channel to the worker of that number."""

    worker: U32
    frame: msgspec.Raw


class Envelope(msgspec.Struct, array_like=True):
    """`number` 0: not numbered, may get lost. `received`: as in `Resume`."""

    number: int
    received: int
    entries: list[Entry]


_MALFORMED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_encoder = msgspec.msgpack.Encoder()
_envelopes = msgspec.msgpack.Decoder(Envelope)
_hellos = msgspec.msgpack.Decoder(Hello)
_welcomes = msgspec.msgpack.Decoder(Welcome)


def entry(worker: int, frame: bytes | bytearray) -> Entry:
    """`frame` as codecs write them, with its length, which an envelope needs not."""
    return Entry(worker, msgspec.Raw(memoryview(frame)[PREFIX:]))


def pack(content: Envelope | Hello | Welcome) -> bytes:
    """A WebSocket message."""
    return _encoder.encode(content)


def read_envelope(data: bytes | str) -> Envelope:
    envelope: Envelope = _read(_envelopes, data, "message")
    if envelope.number < 0 or envelope.received < 0:
        raise ProtocolError("malformed message: a negative number")
    if len(envelope.entries) > MAX_ENTRIES:
        raise ProtocolError(f"{len(envelope.entries)} frames in one message")
    return envelope


def read_hello(data: bytes | str) -> Hello:
    hello: Hello = _read(_hellos, data, "hello")
    return hello


def read_welcome(data: bytes | str, hello: Hello | None = None) -> Welcome:
    """The answer to `hello`."""
    welcome: Welcome = _read(_welcomes, data, "welcome")
    if not (welcome.silence >= MIN_SILENCE and welcome.grace >= 0):  # also what is no number
        raise ProtocolError(f"malformed welcome: silence {welcome.silence:g} s, grace {welcome.grace:g} s")
    if welcome.resumed and hello is not None and hello.resume is None:
        raise ProtocolError("malformed welcome: resumed, which nobody has asked for")
    return welcome


def _read(decoder: msgspec.msgpack.Decoder[Any], data: bytes | str, what: str) -> Any:
    if isinstance(data, str):
        raise ProtocolError(f"malformed {what}: text instead of binary")
    try:
        return decoder.decode(data)
    except _MALFORMED as error:
        raise ProtocolError(f"malformed {what}: {error}") from None


# What the server itself is asked, and tells


class WorkerCreated(Table):
    place: Place


class CreateWorker(Request[WorkerCreated]):
    """`worker`: the number it shall have, odd and not in use; frames may follow at once."""

    METHOD = 1
    NAME = "CREATE_WORKER"
    worker: U32
    settings: WorkerSettings


class GetStats(Request[Any]):
    """The figures of the manager that the server offers."""

    METHOD = 2
    NAME = "GET_STATS"


class Call(Request[Any]):
    """A method that the server's operator has added."""

    METHOD = 3
    NAME = "CALL"
    method: str
    arguments: list[Any] = msgspec.field(default_factory=list)


class WorkerEnded(Notification):
    """There is no worker of that number any more; `error` (class) and `reason` say why, unless it was closed."""

    EVENT = 1
    NAME = "WORKER_ENDED"
    worker: U32
    error: str | None = None
    reason: str | None = None


class WorkerAdded(Notification):
    """Somebody else of the same named session has a worker; here it has that (even) number."""

    EVENT = 2
    NAME = "WORKER_ADDED"
    worker: U32
    place: Place


class Told(Notification):
    """From methods that the server's operator has added."""

    EVENT = 3
    NAME = "TOLD"
    method: str
    arguments: list[Any] = msgspec.field(default_factory=list)


_REQUESTS: Final[dict[int, type[Request[Any]]]] = {kind.METHOD: kind for kind in (CreateWorker, GetStats, Call)}
_NOTIFICATIONS: Final[dict[int, type[Notification]]] = {kind.EVENT: kind for kind in (WorkerEnded, WorkerAdded, Told)}

SERVER_CODEC: Final = MessagePackCodec(_REQUESTS.get, _NOTIFICATIONS.get)
"""For frames to and from the server itself."""
