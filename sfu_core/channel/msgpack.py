"""The codec of our own processes and hosts: MessagePack arrays, bodies as maps with camelCase keys.

    [1, id, method, handlerId, body]               request
    [2, id, accepted, error, reason, body]         reply
    [3, event, handlerId, body]                    notification
    [4, text]                                      log

A body is the map of its message's fields (defaults left out, unknown keys ignored), nil where a reply
has none; bytes are binary, enumerations and union tags ("type") are numbers.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, cast

import msgspec

from sfu_core.channel.codec import (
    PREFIX,
    Frame,
    LogFrame,
    NotificationFrame,
    ProtocolError,
    ReplyFrame,
    RequestFrame,
    check_size,
)
from sfu_core.channel.messages import Notification, Request, Response, notification_type, request_type


class _Request(RequestFrame, array_like=True, tag=1):
    body: msgspec.Raw


class _Reply(ReplyFrame, array_like=True, tag=2):
    body: msgspec.Raw


class _Notification(NotificationFrame, array_like=True, tag=3):
    body: msgspec.Raw


class _Log(LogFrame, array_like=True, tag=4):
    pass


_frames = msgspec.msgpack.Decoder(_Request | _Reply | _Notification | _Log)
_encoder = msgspec.msgpack.Encoder()
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for wrong input: bytes that are no text and endless nesting have their own errors."""


@cache
def _decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)


def _read(kind: Any, body: Any, what: str) -> Any:
    try:
        return _decoder(kind).decode(body)
    except _MALFORMED as error:
        raise ProtocolError(f"body of {what}: {error}") from None


def _frame(content: Frame) -> bytearray:
    """`content` with its length in front; its body is any message, encoded in the same pass."""
    frame = bytearray(PREFIX)
    _encoder.encode_into(content, frame, PREFIX)
    frame[:PREFIX] = (len(frame) - PREFIX).to_bytes(PREFIX, "little")
    check_size(frame)
    return frame


class MessagePackCodec:
    """See `sfu_core.channel.codec.Codec`."""

    def __init__(
        self,
        requests: Callable[[int], type[Request[Any]] | None] = request_type,
        notifications: Callable[[int], type[Notification] | None] = notification_type,
    ) -> None:
        """Finds the classes of what it reads by these; the default is the vocabulary of workers."""
        self._requests = requests
        self._notifications = notifications

    def request(self, request_id: int, message: Request[Any], handler_id: str) -> bytearray:
        return _frame(_Request(request_id, message.METHOD, handler_id, cast(Any, message)))

    def reply(self, request_id: int, body: Response | None) -> bytearray:
        return _frame(_Reply(request_id, True, None, None, cast(Any, body)))

    def failure(self, request_id: int, error: str, reason: str) -> bytearray:
        return _frame(_Reply(request_id, False, error, reason, cast(Any, None)))

    def notification(self, message: Notification, handler_id: str) -> bytearray:
        return _frame(_Notification(message.EVENT, handler_id, cast(Any, message)))

    def log(self, text: str) -> bytearray:
        return _frame(_Log(text))

    def decode(self, payload: bytes) -> Frame:
        try:
            return cast(Frame, _frames.decode(payload))
        except _MALFORMED as error:
            raise ProtocolError(f"malformed frame: {error}") from None

    def read_request(self, frame: RequestFrame) -> Request[Any]:
        kind = self._requests(frame.method)
        if kind is None:
            raise ProtocolError(f"unknown method {frame.method}")
        return cast(Request[Any], _read(kind, frame.body, kind.NAME))

    def read_reply(self, frame: ReplyFrame, kind: type[Request[Any]]) -> Response | None:
        return cast(Response | None, _read(kind.RESPONSE, frame.body, f"the reply to {kind.NAME}"))

    def read_notification(self, frame: NotificationFrame) -> Notification:
        kind = self._notifications(frame.event)
        if kind is None:
            raise ProtocolError(f"unknown event {frame.event}")
        return cast(Notification, _read(kind, frame.body, kind.NAME))
