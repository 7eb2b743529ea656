"""The codec of mediasoup's own library and worker: FlatBuffers, derived from the message classes.

Frames are size-prefixed buffers whose root is the table Message; alignment counts from the prefix on. Both roles are
here: a worker behind mediasoup's library, and a client of mediasoup's worker.
"""

from functools import cache
from typing import Any, cast

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
from sfu_core.channel.flatreader import Body, Reader
from sfu_core.channel.flatwriter import write
from sfu_core.channel.messages import (
    U8,
    U32,
    Notification,
    Request,
    Response,
    Table,
    notification_type,
    request_type,
    response_types,
)


class _Request(Table, tag=1):
    id: U32
    method: U8
    handler_id: str
    body: Any = None


class _Response(Table, tag=2):
    id: U32
    accepted: bool
    body: Any = None
    error: str | None = None
    reason: str | None = None


class _Notification(Table, tag=3):
    handler_id: str
    event: U8
    body: Any = None


class _Log(Table, tag=4):
    data: str


class _Message(Table):
    data: _Request | _Response | _Notification | _Log


@cache
def _response_bodies() -> dict[int, type[Response]]:
    return {kind.BODY: kind for kind in response_types()}


def _frame(content: _Request | _Response | _Notification | _Log) -> bytearray:
    frame = write(_Message(data=content), PREFIX)
    frame[:PREFIX] = (len(frame) - PREFIX).to_bytes(PREFIX, "little")
    check_size(frame)
    return frame


class FlatBuffersCodec:
    """See `sfu_core.channel.codec.Codec`."""

    def request(self, request_id: int, message: Request[Any], handler_id: str) -> bytearray:
        return _frame(_Request(id=request_id, method=message.METHOD, handler_id=handler_id, body=message))

    def reply(self, request_id: int, body: Response | None) -> bytearray:
        return _frame(_Response(id=request_id, accepted=True, body=body))

    def failure(self, request_id: int, error: str, reason: str) -> bytearray:
        return _frame(_Response(id=request_id, accepted=False, error=error, reason=reason))

    def notification(self, message: Notification, handler_id: str) -> bytearray:
        return _frame(_Notification(handler_id=handler_id, event=message.EVENT, body=message))

    def log(self, text: str) -> bytearray:
        return _frame(_Log(data=text))

    def decode(self, payload: bytes) -> Frame:
        data = Reader(payload).root(_Message).data
        match data:
            case _Request():
                return RequestFrame(data.id, data.method, data.handler_id, data.body)
            case _Response():
                return ReplyFrame(data.id, data.accepted, data.error, data.reason, data.body)
            case _Notification():
                return NotificationFrame(data.event, data.handler_id, data.body)
            case _Log():
                return LogFrame(data.data)

    def read_request(self, frame: RequestFrame) -> Request[Any]:
        kind = request_type(frame.method)
        if kind is None:
            raise ProtocolError(f"unknown method {frame.method}")
        return cast(Request[Any], _read(frame.body, kind, kind.NAME))

    def read_reply(self, frame: ReplyFrame, kind: type[Request[Any]]) -> Response | None:
        if kind.RESPONSE is None:
            return None
        body: Body = frame.body
        expected = getattr(kind.RESPONSE, "__args__", (kind.RESPONSE,))
        found = _response_bodies().get(body.number)
        if found not in expected:
            raise ProtocolError(f"the reply to {kind.NAME} has body {body.number}")
        return cast(Response, _read(body, found, f"the reply to {kind.NAME}"))

    def read_notification(self, frame: NotificationFrame) -> Notification:
        kind = notification_type(frame.event)
        if kind is None:
            raise ProtocolError(f"unknown event {frame.event}")
        return cast(Notification, _read(frame.body, kind, kind.NAME))


def _read(body: Body, kind: Any, what: str) -> Any:
    """A message of class `kind` from its body; one without fields has none."""
    if body.number != kind.BODY:
        raise ProtocolError(f"{what} has body {body.number}")
    return body.read(kind) if kind.BODY else kind()
