"""What every codec of the channel does, and the framing they share.

A channel carries frames: a 32-bit little-endian length (which does not count itself) and that many bytes of
payload. What a payload looks like is the codec's affair. Bodies stay in the codec's own form until
somebody who knows their type asks for them, so that a relay passes them on unread. No sockets, no clock.
"""

from typing import Any, Final, Protocol, TypeAlias

import msgspec

from sfu_core.channel.messages import Notification, Request, Response
from sfu_core.errors import SfuError

MAX_FRAME: Final = 8 * 2**20
"""Largest frame in bytes, length included; the limit of mediasoup's channel."""

PREFIX: Final = 4


class ProtocolError(SfuError):
    """The peer sent what is no valid frame or body."""


class RequestFrame(msgspec.Struct):
    """`body` is read by `Codec.read_request`."""

    id: int
    method: int
    handler_id: str
    body: Any


class ReplyFrame(msgspec.Struct):
    """`error` (class name) and `reason` (text) say why not accepted; `body` is for `Codec.read_reply`."""

    id: int
    accepted: bool
    error: str | None
    reason: str | None
    body: Any


class NotificationFrame(msgspec.Struct):
    """`body` is read by `Codec.read_notification`."""

    event: int
    handler_id: str
    body: Any


class LogFrame(msgspec.Struct):
    """The first character is the level: D debug, W warning, E error, X dump."""

    text: str


Frame: TypeAlias = RequestFrame | ReplyFrame | NotificationFrame | LogFrame


class Codec(Protocol):
    """Turns messages into whole frames (length included) and payloads into frames; raises ProtocolError."""

    def request(self, request_id: int, message: Request[Any], handler_id: str) -> bytes | bytearray: ...

    def reply(self, request_id: int, body: Response | None) -> bytes | bytearray: ...

    def failure(self, request_id: int, error: str, reason: str) -> bytes | bytearray: ...

    def notification(self, message: Notification, handler_id: str) -> bytes | bytearray: ...

    def log(self, text: str) -> bytes | bytearray: ...

    def decode(self, payload: bytes) -> Frame: ...

    def read_request(self, frame: RequestFrame) -> Request[Any]: ...

    def read_reply(self, frame: ReplyFrame, kind: type[Request[Any]]) -> Response | None:
        """The body of the reply to a request of class `kind`."""
        ...

    def read_notification(self, frame: NotificationFrame) -> Notification: ...


def check_size(frame: bytes | bytearray) -> None:
    """Refuses a frame that the other side would not accept."""
    if len(frame) > MAX_FRAME:
        raise SfuError(f"message of {len(frame)} bytes exceeds the channel's limit of {MAX_FRAME}")


class FrameSplitter:
    """Cuts a byte stream into payloads, however it was split or coalesced."""

    def __init__(self) -> None:
        self._partial = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that `data` completes. A length that is impossible raises ProtocolError."""
        self._partial += data
        payloads = []
        at = 0
        with memoryview(self._partial) as view:
            while len(view) - at >= PREFIX:
                length = int.from_bytes(view[at : at + PREFIX], "little")
                if not 0 < length <= MAX_FRAME - PREFIX:
                    raise ProtocolError(f"frame of {length} bytes")
                if len(view) - at - PREFIX < length:
                    break
                payloads.append(bytes(view[at + PREFIX : at + PREFIX + length]))
                at += PREFIX + length
        del self._partial[:at]
        return payloads
