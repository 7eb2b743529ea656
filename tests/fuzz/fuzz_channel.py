"""Both codecs of the channel: a frame is refused with a ProtocolError, or means the same written and read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sfu_core.channel import messages as m
from sfu_core.channel.codec import (
    Codec,
    FrameSplitter,
    LogFrame,
    NotificationFrame,
    ProtocolError,
    ReplyFrame,
    RequestFrame,
)
from sfu_core.channel.flatbuffers import FlatBuffersCodec
from sfu_core.channel.msgpack import MessagePackCodec

DATA = Path(__file__).parents[1] / "data" / "flatbuffers"
CODECS: tuple[Codec, ...] = (FlatBuffersCodec(), MessagePackCodec())
STATS = m.TransportGetStats


def payload(frame: bytes | bytearray) -> bytes:
    (content,) = FrameSplitter().feed(bytes(frame))
    return content


def seeds() -> list[bytes]:
    """What mediasoup's library wrote, and the same requests in both of our codecs."""
    recorded = [payload(path.read_bytes()) for path in sorted(DATA.glob("*.bin"))]
    frames = [CODECS[0].decode(content) for content in recorded]
    requests = [CODECS[0].read_request(frame) for frame in frames if isinstance(frame, RequestFrame)]
    made = [payload(codec.request(1, request, "router")) for codec in CODECS for request in requests]
    news = m.DataProducerSend(ppid=51, data=b"text", subchannels=[1, 2], required_subchannel=1)
    made += [payload(codec.notification(news, "p")) for codec in CODECS]
    made += [payload(codec.failure(1, "TypeError", "no")) for codec in CODECS]
    made += [payload(codec.log("Wtext")) for codec in CODECS]
    return recorded + made


SEEDS = seeds()


def fuzz_one(data: bytes) -> None:
    for codec in CODECS:
        try:
            meaning = read(codec, data)
        except ProtocolError:
            continue
        # Compared as text, in which not-a-number equals itself.
        assert repr(read(codec, payload(write(codec, meaning)))) == repr(meaning)


def read(codec: Codec, content: bytes) -> tuple[Any, ...]:
    match codec.decode(content):
        case RequestFrame() as frame:
            return "request", frame.id, frame.handler_id, codec.read_request(frame)
        case ReplyFrame(accepted=True) as frame:
            return "reply", frame.id, codec.read_reply(frame, STATS)
        case ReplyFrame() as frame:
            return "failure", frame.id, frame.error or "Error", frame.reason or ""
        case NotificationFrame() as frame:
            return "notification", frame.handler_id, codec.read_notification(frame)
        case LogFrame(text=text):
            return "log", text
    raise AssertionError


def write(codec: Codec, meaning: tuple[Any, ...]) -> bytes | bytearray:
    match meaning:
        case ("request", number, handler_id, message):
            return codec.request(number, message, handler_id)
        case ("reply", number, body):
            return codec.reply(number, body)
        case ("failure", number, error, reason):
            return codec.failure(number, error, reason)
        case ("notification", handler_id, message):
            return codec.notification(message, handler_id)
        case ("log", text):
            return codec.log(text)
    raise AssertionError
