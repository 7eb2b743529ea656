"""Frames and bodies in MessagePack: what goes in comes out, what is malformed is refused by name."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sfu_core.channel import messages as m
from sfu_core.channel.codec import (
    MAX_FRAME,
    FrameSplitter,
    LogFrame,
    NotificationFrame,
    ProtocolError,
    ReplyFrame,
    RequestFrame,
)
from sfu_core.channel.msgpack import MessagePackCodec
from sfu_core.errors import SfuError

from .strategies import instances

CODEC = MessagePackCodec()
few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
ID = "7b1f0a52-0b6e-4b8e-9f3a-3f0f8a3a1c11"


def payload(frame: bytes | bytearray) -> bytes:
    (content,) = FrameSplitter().feed(bytes(frame))
    return content


@pytest.mark.parametrize("kind", m.REQUESTS.values(), ids=lambda kind: kind.__name__)
@few
@given(data=st.data())
def test_requests_survive(kind: type[m.Request[Any]], data: st.DataObject) -> None:
    message = data.draw(instances(kind))
    frame = CODEC.decode(payload(CODEC.request(7, message, ID)))
    assert isinstance(frame, RequestFrame)
    assert (frame.id, frame.method, frame.handler_id) == (7, kind.METHOD, ID)
    assert CODEC.read_request(frame) == message


@pytest.mark.parametrize("kind", m.NOTIFICATIONS.values(), ids=lambda kind: kind.__name__)
@few
@given(data=st.data())
def test_notifications_survive(kind: type[m.Notification], data: st.DataObject) -> None:
    message = data.draw(instances(kind))
    frame = CODEC.decode(payload(CODEC.notification(message, ID)))
    assert isinstance(frame, NotificationFrame)
    assert (frame.event, frame.handler_id) == (kind.EVENT, ID)
    assert CODEC.read_notification(frame) == message


@pytest.mark.parametrize(
    "kind", [kind for kind in m.REQUESTS.values() if kind.RESPONSE], ids=lambda kind: kind.__name__
)
@few
@given(data=st.data())
def test_replies_survive(kind: type[m.Request[Any]], data: st.DataObject) -> None:
    body = data.draw(instances(kind.RESPONSE))
    frame = CODEC.decode(payload(CODEC.reply(9, body)))
    assert isinstance(frame, ReplyFrame)
    assert frame.accepted and frame.id == 9
    assert CODEC.read_reply(frame, kind) == body


def test_the_layout_of_a_frame() -> None:
    frame = CODEC.request(300, m.WorkerCloseRouter(router_id="r"), "")
    assert int.from_bytes(frame[:4], "little") == len(frame) - 4
    assert msgspec.msgpack.decode(frame[4:]) == [1, 300, 6, "", {"routerId": "r"}]
    assert msgspec.msgpack.decode(CODEC.reply(1, None)[4:]) == [2, 1, True, None, None, None]
    assert msgspec.msgpack.decode(CODEC.failure(1, "TypeError", "no")[4:]) == [2, 1, False, "TypeError", "no", None]
    assert msgspec.msgpack.decode(CODEC.notification(m.WorkerRunning(), "42")[4:]) == [3, 4, "42", {}]


def test_packets_stay_binary() -> None:
    packet = bytes(range(256))
    frame = CODEC.notification(m.ProducerSend(data=packet), ID)
    assert packet in frame


def test_logs_survive() -> None:
    frame = CODEC.decode(payload(CODEC.log("Wgrüße")))
    assert isinstance(frame, LogFrame) and frame.text == "Wgrüße"


def pack(*content: Any) -> bytes:
    return msgspec.msgpack.encode(list(content))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xc1",
        b"\x93",
        pack(),
        pack(0, 1),
        pack(5, "x"),
        pack(1, 1, 0, "h"),
        pack(1, "1", 0, "h", {}),
        pack(1, 1, 0, 5, {}),
        pack(2, 1, "yes", None, None, None),
        pack(3, 4, None, {}),
        pack(4, b"bytes"),
        msgspec.msgpack.encode({"id": 1}),
        pack(1, 1, 0, "h", {}) + b"\x00",
        b"\x95\x01\x01\x00\xa1\xff\x80",  # a handler id that is no UTF-8
        b"\x95\x01\x01\x00\xa1h" + b"\x91" * 100_000 + b"\x80",
    ],
)
def test_malformed_frames_are_refused(content: bytes) -> None:
    with pytest.raises(ProtocolError, match="malformed frame"):
        CODEC.decode(content)


def request_of(method: int, body: Any) -> RequestFrame:
    frame = CODEC.decode(pack(1, 1, method, "h", body))
    assert isinstance(frame, RequestFrame)
    return frame


def test_a_body_of_the_wrong_type_is_named() -> None:
    with pytest.raises(ProtocolError, match=r"ROUTER_CLOSE_TRANSPORT.*\$\.transportId"):
        CODEC.read_request(request_of(m.Method.ROUTER_CLOSE_TRANSPORT, {"transportId": 5}))
    with pytest.raises(ProtocolError, match=r"ROUTER_CLOSE_TRANSPORT.*transportId"):
        CODEC.read_request(request_of(m.Method.ROUTER_CLOSE_TRANSPORT, {}))
    with pytest.raises(ProtocolError, match=r"CONSUMER_SET_PRIORITY.*<= 255"):
        CODEC.read_request(request_of(m.Method.CONSUMER_SET_PRIORITY, {"priority": 256}))


def test_unknown_numbers_are_named() -> None:
    with pytest.raises(ProtocolError, match="unknown method 99"):
        CODEC.read_request(request_of(99, {}))
    frame = CODEC.decode(pack(3, 77, "h", {}))
    assert isinstance(frame, NotificationFrame)
    with pytest.raises(ProtocolError, match="unknown event 77"):
        CODEC.read_notification(frame)


def test_a_reply_must_have_the_body_its_request_asks_for() -> None:
    frame = CODEC.decode(payload(CODEC.reply(1, None)))
    assert isinstance(frame, ReplyFrame)
    assert CODEC.read_reply(frame, m.WorkerCreateRouter) is None
    with pytest.raises(ProtocolError, match="the reply to WORKER_DUMP"):
        CODEC.read_reply(frame, m.WorkerDump)


def test_unknown_keys_are_ignored() -> None:
    frame = request_of(m.Method.WORKER_CREATE_ROUTER, {"routerId": "r", "later": [1, 2]})
    assert CODEC.read_request(frame) == m.WorkerCreateRouter(router_id="r")


def test_what_is_too_large_is_not_sent() -> None:
    largest = m.ProducerSend(data=bytes(MAX_FRAME - 64))
    assert len(CODEC.notification(largest, "p")) <= MAX_FRAME
    with pytest.raises(SfuError, match="exceeds the channel's limit"):
        CODEC.notification(m.ProducerSend(data=bytes(MAX_FRAME)), "p")


@given(st.binary(max_size=300))
def test_no_payload_raises_anything_else(content: bytes) -> None:
    try:
        frame = CODEC.decode(content)
        if isinstance(frame, RequestFrame):
            CODEC.read_request(frame)
    except ProtocolError:
        pass


@given(st.lists(st.binary(min_size=1, max_size=50)), st.lists(st.integers(0, 400)))
def test_the_splitter_finds_frames_however_they_are_cut(payloads: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(len(content).to_bytes(4, "little") + content for content in payloads)
    splitter = FrameSplitter()
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    found: list[bytes] = []
    for start, end in pairwise(edges):
        found += splitter.feed(stream[start:end])
    assert found == payloads


@pytest.mark.parametrize("length", [0, MAX_FRAME - 3, 2**32 - 1])
def test_the_splitter_refuses_impossible_lengths(length: int) -> None:
    with pytest.raises(ProtocolError, match=f"frame of {length} bytes"):
        FrameSplitter().feed(length.to_bytes(4, "little"))


def test_the_splitter_takes_the_largest_frame_in_pieces() -> None:
    content = bytes(MAX_FRAME - 4)
    stream = len(content).to_bytes(4, "little") + content
    splitter = FrameSplitter()
    pieces = [stream[at : at + 262144] for at in range(0, len(stream), 262144)]
    assert [found for piece in pieces for found in splitter.feed(piece)] == [content]
