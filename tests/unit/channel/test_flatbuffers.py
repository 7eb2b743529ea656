"""One definition, two codecs: the FlatBuffers layout derived from the messages is mediasoup's.

Recorded facts (schema, five buffers of the npm library and what it reads in them) are always compared. Where Node and
the library are installed, random messages go through the library too.
"""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sfu_core.channel import messages as m
from sfu_core.channel.codec import (
    FrameSplitter,
    LogFrame,
    NotificationFrame,
    ProtocolError,
    ReplyFrame,
    RequestFrame,
)
from sfu_core.channel.flatbuffers import FlatBuffersCodec, _Message
from sfu_core.channel.flatlayout import (
    REQUIRED,
    Binary,
    Opaque,
    Scalar,
    String,
    TableOf,
    Type,
    Union,
    Vector,
    layout_of,
)
from sfu_core.channel.flatreader import Body, Reader

from .fbs import DATA, PEER, read_schema
from .strategies import instances

CODEC = FlatBuffersCodec()
SCHEMA = json.loads((DATA / "schema.json").read_text())
ID = "7b1f0a52-0b6e-4b8e-9f3a-3f0f8a3a1c11"
MODULES = Path(os.environ.get("SFU_NODE_MODULES") or Path(__file__).parents[2] / "interop" / "node_modules").resolve()
few = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def payload(frame: bytes | bytearray) -> bytes:
    (content,) = FrameSplitter().feed(bytes(frame))
    return content


# The schema


class Comparison:
    """Walks our layouts and mediasoup's schema side by side, from the root table on."""

    def __init__(self) -> None:
        self.seen: dict[str, type] = {}
        self.enums: dict[str, type[IntEnum]] = {}

    def table(self, name: str, kind: type[msgspec.Struct]) -> None:
        if name in self.seen:  # two classes may stand for one table if they have its shape
            assert self.shape(self.seen[name]) == self.shape(kind), name
            return
        self.seen[name] = kind
        theirs = SCHEMA["tables"][name]
        ours = layout_of(kind).fields
        assert [field[0] for field in theirs] == [field.name for field in ours], name
        slot = 0
        for (field_name, of_type, presence), field in zip(theirs, ours, strict=True):
            where = f"{name}.{field_name}"
            assert field.slot == slot, where
            slot += 2 if of_type in SCHEMA["unions"] else 1
            self.same_type(where, of_type, field.type)
            self.presence(where, of_type, presence, field.default)

    def shape(self, kind: type[msgspec.Struct]) -> list[Any]:
        return [
            (field.name, field.slot, field.type.wire if isinstance(field.type, Scalar) else field.type)
            for field in layout_of(kind).fields
        ]

    def same_type(self, where: str, theirs: str, ours: Type) -> None:
        scalars = {"double": "float64", "float": "float32", "ubyte": "uint8"}
        theirs = scalars.get(theirs, theirs)
        match ours:
            case Scalar(wire=wire, convert=convert):
                if where in ("FBS.Request.Request.method", "FBS.Notification.Notification.event"):
                    assert wire == "uint8"
                elif theirs in SCHEMA["enums"]:
                    assert wire == "uint8" and issubclass(convert, IntEnum), where  # type: ignore[arg-type]
                    self.enum(theirs, convert)  # type: ignore[arg-type]
                elif where == "FBS.RtpParameters.Boolean.value":
                    assert (theirs, wire) == ("uint8", "bool")  # one byte either way
                else:
                    assert wire == theirs, where
            case String():
                assert theirs == "string", where
            case Binary():
                assert theirs in ("[uint8]", "[ubyte]"), where
            case Vector(item=item):
                assert theirs[0] == "[", where
                self.same_type(where, theirs[1:-1], item)
            case TableOf(kind=kind):
                self.table(theirs, kind)
            case Union(kinds=kinds):
                members = SCHEMA["unions"][theirs]
                assert sorted(kinds) == list(range(1, len(members) + 1)), where
                for number, member in enumerate(members, 1):
                    self.table(member, kinds[number])
            case Opaque():
                self.bodies(theirs)

    def bodies(self, union: str) -> None:
        kinds: list[Any] = {
            "FBS.Request.Body": list(m.REQUESTS.values()),
            "FBS.Response.Body": list(m.response_types()),
            "FBS.Notification.Body": list(m.NOTIFICATIONS.values()),
        }[union]
        members = SCHEMA["unions"][union]
        assert {kind.BODY for kind in kinds if kind.BODY} == set(range(1, len(members) + 1))
        for kind in kinds:
            if kind.BODY:
                self.table(members[kind.BODY - 1], kind)

    def presence(self, where: str, of_type: str, theirs: str | None, ours: Any) -> None:
        if theirs == "required":
            assert ours is REQUIRED, where
        elif theirs == "null":
            assert ours is None, where
        elif theirs is not None:
            number = SCHEMA["enums"].get(of_type, {}).get(theirs)
            assert ours == (json.loads(theirs) if number is None else number), where
        elif of_type in SCHEMA["enums"] or of_type.startswith(("uint", "int", "float", "double", "bool")):
            assert ours == 0 and ours is not None, where
        else:
            assert ours is None or ours == [], where

    def enum(self, name: str, kind: type[IntEnum]) -> None:
        self.enums[name] = kind

        def plain(text: str) -> str:
            return text.removeprefix("DIRECTION_").replace("_", "").lower()

        theirs = {plain(member): number for member, number in SCHEMA["enums"][name].items()}
        assert theirs == {plain(member.name): member.value for member in kind}, name


def test_the_layouts_are_those_of_the_schema() -> None:
    comparison = Comparison()
    comparison.table("FBS.Message.Message", _Message)
    comparison.enum("FBS.Request.Method", m.Method)
    comparison.enum("FBS.Notification.Event", m.Event)
    # All that is part of some message has been looked at.
    assert set(SCHEMA["tables"]) - set(comparison.seen) == {"FBS.Common.StringUint8"}
    assert set(SCHEMA["enums"]) == set(comparison.enums)


def test_methods_and_events_carry_the_bodies_named_for_them() -> None:
    """The union of request bodies does not say which method has which; the names do, but for these."""
    different = {
        "WorkerWebRtcServerClose": "WorkerCloseWebRtcServer",
        "RouterCreateWebRtcTransportWithServer": "RouterCreateWebRtcTransport",
    }
    requests = [name.split(".") for name in SCHEMA["unions"]["FBS.Request.Body"]]
    for kind in m.REQUESTS.values():
        if kind.BODY:
            _, namespace, table = requests[kind.BODY - 1]
            name = different.get(kind.__name__, kind.__name__)
            assert f"{namespace}{table}" == f"{name}Request"
    notifications = [name.split(".") for name in SCHEMA["unions"]["FBS.Notification.Body"]]
    for event in m.NOTIFICATIONS.values():
        if event.BODY:
            _, namespace, table = notifications[event.BODY - 1]
            assert f"{namespace}{table}" == f"{event.__name__}Notification"
    responses = [name.split(".") for name in SCHEMA["unions"]["FBS.Response.Body"]]
    for body in m.response_types():
        _, namespace, table = responses[body.BODY - 1]
        name = {"WorkerGetResourceUsageResponse": "WorkerResourceUsageResponse"}.get(body.__name__, body.__name__)
        assert f"{namespace}{table}" == name


# Recorded buffers


def shown(value: Any) -> Any:
    """A message as the npm library shows it: unions as number and value, 64-bit integers as strings."""
    if isinstance(value, msgspec.Struct):
        content: dict[str, Any] = {}
        names = dict(zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True))
        for field in layout_of(type(value)).fields:
            item = getattr(value, field.name)
            name = names[field.name]
            if isinstance(field.type, Union):
                content[name + "Type"] = item.__struct_config__.tag if item is not None else 0
            if isinstance(field.type, Opaque):
                content[name + "Type"] = item.BODY if item is not None else 0
                item = item if item is not None and item.BODY else None
            if isinstance(field.type, Scalar) and field.type.wire == "uint64" and item is not None:
                item = str(item)
            if isinstance(field.type, Vector) and item is None:
                item = []  # the library does not tell an absent vector from an empty one
            content[name] = shown(item)
        return content
    if isinstance(value, bytes):
        return list(value)
    return [shown(item) for item in value] if isinstance(value, list) else value


def opened(content: bytes) -> _Message:
    """A payload with its body read."""
    message = Reader(content).root(_Message)
    inner: Any = message.data
    frame = CODEC.decode(content)
    if isinstance(frame, RequestFrame):
        inner.body = CODEC.read_request(frame)
    elif isinstance(frame, NotificationFrame):
        inner.body = CODEC.read_notification(frame)
    elif isinstance(frame, ReplyFrame):
        kinds = {kind.BODY: kind for kind in m.response_types()}
        body: Body = frame.body
        inner.body = body.read(kinds[body.number]) if body.number else None
    return message


RECORDED = ["workerDump", "createWebRtcTransport", "produce", "consume", "transportStats"]


@pytest.mark.parametrize("name", RECORDED)
def test_buffers_of_the_library_are_read(name: str) -> None:
    message = opened(payload((DATA / f"{name}.bin").read_bytes()))
    assert shown(message) == json.loads((DATA / f"{name}.json").read_text())


def again(message: _Message) -> bytearray:
    """The same message as our codec writes it."""
    inner: Any = message.data
    if isinstance(inner.body, m.Request):
        return CODEC.request(inner.id, inner.body, inner.handler_id)
    return CODEC.reply(inner.id, inner.body)


@pytest.mark.parametrize("name", RECORDED)
def test_what_we_write_reads_the_same(name: str) -> None:
    recorded = payload((DATA / f"{name}.bin").read_bytes())
    ours = payload(again(opened(recorded)))
    assert shown(opened(ours)) == json.loads((DATA / f"{name}.json").read_text())
    assert len(ours) <= len(recorded) * 1.1


# Any message


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


def test_failures_and_logs_survive() -> None:
    failure = CODEC.decode(payload(CODEC.failure(3, "TypeError", "no")))
    assert isinstance(failure, ReplyFrame)
    assert (failure.id, failure.accepted, failure.error, failure.reason) == (3, False, "TypeError", "no")
    empty = CODEC.decode(payload(CODEC.reply(3, None)))
    assert isinstance(empty, ReplyFrame)
    assert CODEC.read_reply(empty, m.WorkerCreateRouter) is None
    with pytest.raises(ProtocolError, match="the reply to WORKER_DUMP has body 0"):
        CODEC.read_reply(empty, m.WorkerDump)
    log = CODEC.decode(payload(CODEC.log("Wgrüße")))
    assert isinstance(log, LogFrame) and log.text == "Wgrüße"


def test_values_that_do_not_fit_are_refused() -> None:
    with pytest.raises(TypeError, match="ubyte"):
        CODEC.request(1, m.ConsumerSetPriority(priority=256), ID)
    with pytest.raises(TypeError, match=r"WorkerCloseRouter\.router_id is required"):
        CODEC.request(1, m.WorkerCloseRouter(router_id=None), "")  # type: ignore[arg-type]


# Hostile buffers


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_damaged_buffers_raise_nothing_else(data: st.DataObject) -> None:
    buffer = bytearray(payload((DATA / f"{data.draw(st.sampled_from(RECORDED))}.bin").read_bytes()))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(buffer) - 1))
        buffer[at] = data.draw(st.integers(0, 255))
    damaged = bytes(buffer[: data.draw(st.integers(0, len(buffer)))] if data.draw(st.booleans()) else buffer)
    assume(damaged)
    try:
        opened(damaged)
    except ProtocolError:
        pass
    except KeyError as error:  # the test's own look-up of a reply's body
        assert isinstance(error.args[0], int)


def vector_of_references(count: int) -> bytes:
    """A worker dump whose lists all are one vector of `count` references to one long string."""
    dump = m.WorkerDumpResponse(
        pid=1,
        web_rtc_server_ids=["x" * 1000],
        router_ids=[""] * count,
        channel_message_handlers=m.ChannelMessageHandlers(
            channel_request_handlers=[], channel_notification_handlers=[]
        ),
    )
    buffer = bytearray(payload(CODEC.reply(1, dump)))
    target = buffer.index(b"x" * 1000) - 4
    first = buffer.index(count.to_bytes(4, "little"), target + 1000) + 4
    for number in range(count):
        at = first + 4 * number
        # Offsets go forward only, so the vector is moved in front of its target by going round 2**32.
        buffer[at : at + 4] = ((target - at) % 2**32).to_bytes(4, "little")
    return bytes(buffer)


def test_offsets_do_not_go_backwards() -> None:
    frame = CODEC.decode(vector_of_references(300))
    assert isinstance(frame, ReplyFrame)
    with pytest.raises(ProtocolError):
        CODEC.read_reply(frame, m.WorkerDump)


def test_a_small_buffer_does_not_grow_into_many_objects() -> None:
    """2000 references to one string of 2000 bytes: 4 MB out of 10 kB."""
    names = ["a"] * 2000 + ["x" * 2000]
    request = m.WorkerUpdateSettings(log_tags=names)
    buffer = bytearray(payload(CODEC.request(1, request, "")))
    first = buffer.index(len(names).to_bytes(4, "little")) + 4
    target = buffer.index(b"x" * 2000) - 4
    for number in range(2000):
        at = first + 4 * number
        buffer[at : at + 4] = (target - at).to_bytes(4, "little")
    frame = CODEC.decode(bytes(buffer))
    assert isinstance(frame, RequestFrame)
    with pytest.raises(ProtocolError, match="over and over"):
        CODEC.read_request(frame)


def test_endless_nesting_is_refused() -> None:
    stats = m.StreamStats(
        data=m.BaseStats(
            timestamp=1, ssrc=1, kind=m.MediaKind.AUDIO, mime_type="", packets_lost=0, fraction_lost=0,
            jitter=0, packets_discarded=0, packets_retransmitted=0, packets_repaired=0, nack_count=0,
            nack_packet_count=0, pli_count=0, fir_count=0, rtx_packets_discarded=0, round_trip_time=0, score=0,
        )
    )  # fmt: skip
    for _ in range(100):
        stats = m.StreamStats(
            data=m.SendStats(base=stats, packet_count=0, byte_count=0, bitrate=0),
        )
    frame = CODEC.decode(payload(CODEC.reply(1, m.ConsumerGetStatsResponse(stats=[stats]))))
    assert isinstance(frame, ReplyFrame)
    with pytest.raises(ProtocolError, match="nested too deeply"):
        CODEC.read_reply(frame, m.ConsumerGetStats)


# The library itself


class Library:
    """mediasoup's npm library in a Node process: reads a buffer, shows it, writes it again."""

    def __init__(self) -> None:
        self._node = subprocess.Popen(
            ["node", str(PEER), str(MODULES)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, frame: bytes | bytearray) -> tuple[Any, bytes]:
        """What the library reads in a frame, and the frame it writes for that."""
        assert self._node.stdin is not None and self._node.stdout is not None
        self._node.stdin.write(base64.b64encode(frame).decode() + "\n")
        self._node.stdin.flush()
        # Only a double has more than 16 digits here, and JavaScript rounds those beyond.
        answer = json.loads(
            self._node.stdout.readline(), parse_int=lambda text: float(text) if len(text) > 16 else int(text)
        )
        return answer["content"], base64.b64decode(answer["base64"])

    def close(self) -> None:
        with self._node:
            assert self._node.stdin is not None
            self._node.stdin.close()


@pytest.fixture(scope="module")
def library() -> Iterator[Library]:
    if shutil.which("node") is None or not (MODULES / "mediasoup").is_dir():
        pytest.skip("needs Node and the npm package mediasoup (3.27.1), see tests/interop")
    library = Library()
    yield library
    library.close()


def check(library: Library, frame: bytearray) -> None:
    """The library reads in our frame what we meant, and we read its own writing of it the same way."""
    message = opened(payload(frame))
    content, rewritten = library(frame)
    assert content == shown(message)
    assert shown(opened(payload(rewritten))) == content


@pytest.mark.parametrize("kind", m.REQUESTS.values(), ids=lambda kind: kind.__name__)
@few
@given(data=st.data())
def test_the_library_agrees_on_requests(kind: type[m.Request[Any]], library: Library, data: st.DataObject) -> None:
    check(library, CODEC.request(7, data.draw(instances(kind)), ID))


@pytest.mark.parametrize("kind", m.NOTIFICATIONS.values(), ids=lambda kind: kind.__name__)
@few
@given(data=st.data())
def test_the_library_agrees_on_notifications(kind: type[m.Notification], library: Library, data: st.DataObject) -> None:
    check(library, CODEC.notification(data.draw(instances(kind)), ID))


@pytest.mark.parametrize("kind", m.response_types(), ids=lambda kind: kind.__name__)
@few
@given(data=st.data())
def test_the_library_agrees_on_replies(kind: Any, library: Library, data: st.DataObject) -> None:
    check(library, CODEC.reply(7, data.draw(instances(kind))))


def test_the_records_are_those_of_the_library(library: Library) -> None:
    assert read_schema(MODULES / "mediasoup" / "worker" / "fbs") == SCHEMA
    output = subprocess.run(["node", str(PEER), str(MODULES), "samples"], capture_output=True, text=True, check=True)
    samples = [json.loads(line) for line in output.stdout.splitlines()]
    assert [sample["name"] for sample in samples] == RECORDED
    for sample in samples:
        assert base64.b64decode(sample["base64"]) == (DATA / f"{sample['name']}.bin").read_bytes()
        assert sample["content"] == json.loads((DATA / f"{sample['name']}.json").read_text())
