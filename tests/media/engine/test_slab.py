"""What another process finds in a core's slab: every object, whole or marked as torn; and nothing makes it fail."""

from __future__ import annotations

import os
import random
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from sfu_core._engine import Engine
from sfu_core._slab_read import TABLES, SlabObject, SlabReader
from tests.media.engine.rig import GCM_128, Publisher, Rig, Subscriber, add_opus_producer, bound_socket

CORE = 4096  # where the first table starts: one record of counters, behind its head the pen
HEADER = struct.Struct("=4Q")


@contextmanager
def reader_of(memfd: int) -> Iterator[SlabReader]:
    with closing(SlabReader(os.dup(memfd))) as reader:
        yield reader


def objects(engine: Engine) -> list[SlabObject]:
    with reader_of(engine.slab_fd) as reader:
        return reader.objects()


def fields(found: list[SlabObject], table: str) -> list[dict[str, Any]]:
    assert all(each.state == "live" for each in found if each.table == table), found
    return [each.fields for each in found if each.table == table]


def pages_of(fd: int) -> list[int]:
    """Where something was written."""
    found, at = [], 0
    while True:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            return found
        found.append(at)
        at += 4096


def written(engine: Engine) -> bytes:
    return b"".join(os.pread(engine.slab_fd, 4096, at) for at in pages_of(engine.slab_fd))


def copy_of(engine: Engine) -> int:
    """The slab as a file of its own, only the pages that were written."""
    memfd = os.memfd_create("copy")
    os.ftruncate(memfd, os.fstat(engine.slab_fd).st_size)
    for at in pages_of(engine.slab_fd):
        os.pwrite(memfd, os.pread(engine.slab_fd, 4096, at), at)
    return memfd


@pytest.fixture
def call(rig: Rig) -> tuple[Publisher, list[Subscriber]]:
    publisher = Publisher(rig, suite=GCM_128)
    subscribers = [Subscriber(rig, publisher, suite=GCM_128) for _ in range(3)]
    rig.run(5)
    publisher.publish(key=True)
    rig.run(5)
    for _ in range(20):
        publisher.publish()
        rig.run(20)
    return publisher, subscribers


def test_every_object_is_found_with_what_carrying_on_needs(rig: Rig, call: tuple[Publisher, list[Subscriber]]) -> None:
    publisher, subscribers = call
    found = objects(rig.engine)
    counts = Counter(each.table for each in found)
    assert counts == {
        "sockets": 4,
        "transports": 4,
        "producers": 1,
        "recvStreams": 1,
        "sendStreams": 3,
        "ssrcs": 2 + 6,
    }
    assert [each.table for each in found] == sorted((each.table for each in found), key=TABLES.index)
    assert {fields(found, "sockets")[0]["local"]} == {publisher.address}
    (stream,) = fields(found, "recvStreams")
    assert (stream["ssrc"], stream["rtxSsrc"], stream["clockRate"]) == (publisher.SSRC, publisher.RTX_SSRC, 90000)
    assert stream["srtpHighest"] == 65530 + 20 and stream["sequence"] & 0xFFFF == stream["srtpHighest"] & 0xFFFF
    first, *others = fields(found, "transports")
    assert first["srtp"] and first["connected"] and first["path"]["remote"] == publisher.sock.getsockname()
    assert len({each["keysOut"]["key"] for each in (first, *others)}) == 4
    sends = fields(found, "sendStreams")
    assert {each["ssrc"] for each in sends} == {each.ssrc for each in subscribers}
    for subscriber, send in zip(subscribers, sends, strict=True):
        assert send["packets"] == 21 == len(subscriber.media)
        newest = subscriber.media[-1].seq
        assert newest < send["srtpResumesAt"] <= newest + 4096  # sent, or reserved and never to be sent
        assert send["mid"] == "a" and send["cname"] == "publisher" and send["nack"] and not send["paused"]
    assert {(each["ssrc"], each["role"]) for each in fields(found, "ssrcs")} >= {
        (publisher.SSRC, "mediaIn"),
        (publisher.RTX_SSRC, "rtxIn"),
        (subscribers[0].ssrc, "mediaOut"),
    }


def test_ice_names_and_tuples(rig: Rig) -> None:
    engine = rig.engine
    engine.add_webrtc_transport(7, "someone", "secret" * 4, 0)
    rig.run(2)
    (transport,) = fields(objects(engine), "transports")
    assert (transport["kind"], transport["group"]) == ("webrtc", 7)
    assert (transport["ice"]["ufrag"], transport["ice"]["password"]) == ("someone", "secret" * 4)


def test_no_sender_index_is_reserved_late(rig: Rig) -> None:
    """At any instant what was sent lies below what a successor would begin with."""
    publisher = Publisher(rig, suite=GCM_128)
    subscriber = Subscriber(rig, publisher, suite=GCM_128)
    rig.run(5)
    publisher.publish(key=True)
    rig.run(5)
    rounds = 0
    for turn in range(9000):
        publisher.publish()
        rig.run(1)
        newest = subscriber.media[-1].seq
        if turn % 500 == 0:
            (send,) = fields(objects(rig.engine), "sendStreams")
            ahead = (send["srtpResumesAt"] - newest) & 0xFFFF
            assert 0 < ahead <= 4096
            rounds += 1
    assert rounds == 18 and len(subscriber.media) > 8192


def test_creation_and_end_that_were_not_finished(rig: Rig, call: tuple[Publisher, list[Subscriber]]) -> None:
    _, subscribers = call
    rig.engine.add_direct_transport()  # the media thread has not heard of it
    rig.engine.close_send_stream(subscribers[0].stream)
    states = Counter((each.table, each.state) for each in objects(rig.engine) if each.state != "live")
    assert states == {("transports", "building"): 1, ("sendStreams", "closing"): 1, ("ssrcs", "closing"): 2}
    rig.run(1)
    assert {each.state for each in objects(rig.engine)} == {"live"}


def test_what_is_closed_is_gone(rig: Rig, call: tuple[Publisher, list[Subscriber]]) -> None:
    publisher, subscribers = call
    for each in subscribers:
        rig.engine.close_send_stream(each.stream)
    rig.engine.close_producer(publisher.producer)
    for endpoint in (publisher, *subscribers):
        rig.engine.close_transport(endpoint.transport)
        rig.engine.close_socket(endpoint.engine_socket)
    rig.run(1)
    assert objects(rig.engine) == []


def test_secrets_go_with_their_transport(rig: Rig) -> None:
    """And nowhere else are copies of them."""
    ours, theirs, password, second = os.urandom(28), os.urandom(28), "secret" * 4, "hidden" * 4
    inside = rig.engine.add_socket(bound_socket().detach(), 1, 0)
    plain = rig.engine.add_plain_transport(inside, 0, comedia=True, srtp=True, pipe=False)
    webrtc = rig.engine.add_webrtc_transport(7, "someone", password, 0)
    rig.engine.set_srtp(plain, GCM_128, ours, theirs)
    rig.run(1)
    rig.engine.restart_ice(webrtc, "someone else", second)
    rig.run(1)
    secrets = (ours[:16], theirs[:16], password.encode(), second.encode())
    assert [written(rig.engine).count(each) for each in secrets] == [1, 1, 1, 1]
    rig.engine.close_transport(plain)
    rig.engine.close_transport(webrtc)
    rig.run(1)
    assert [written(rig.engine).count(each) for each in secrets] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("table", "index", "torn"),
    [(4, 0, {"transports": 1, "producers": 1, "recvStreams": 1, "sendStreams": 3, "ssrcs": 8}),
     (4, 3, {"transports": 1, "sendStreams": 1, "ssrcs": 2}),
     (6, 0, {"recvStreams": 1, "sendStreams": 3, "ssrcs": 8}),
     (7, 2, {"sendStreams": 1, "ssrcs": 2})],
)  # fmt: skip
def test_what_was_being_changed_is_torn_with_all_that_needs_it(
    rig: Rig, call: object, table: int, index: int, torn: dict[str, int]
) -> None:
    with os.fdopen(copy_of(rig.engine), "r+b", 0) as copy, reader_of(copy.fileno()) as reader:
        os.pwrite(copy.fileno(), struct.pack("=Q", table << 32 | index), CORE + 8)
        found = reader.objects()
    assert Counter(each.table for each in found if each.state == "torn") == torn
    assert all(not each.fields and each.why for each in found if each.state == "torn")


def test_nothing_is_being_changed_between_turns(rig: Rig, call: object) -> None:
    assert struct.unpack("=Q", os.pread(rig.engine.slab_fd, 8, CORE + 8)) == (0,)


def test_the_heartbeat(rig: Rig) -> None:
    with reader_of(rig.engine.slab_fd) as reader:
        before = reader.ticks
        rig.run(3)
        assert reader.ticks == before + 3
        reader.close()
        reader.close()
        with pytest.raises(ValueError, match="closed"):
            _ = reader.ticks


def test_a_slab_of_another_kind_is_refused(rig: Rig) -> None:
    def refused(change: dict[int, int], match: str, size: int | None = None) -> None:
        memfd = copy_of(rig.engine)
        for at, value in change.items():
            os.pwrite(memfd, struct.pack("=Q", value), at)
        if size is not None:
            os.ftruncate(memfd, size)
        with pytest.raises(ValueError, match=match):
            SlabReader(memfd)
        with pytest.raises(OSError):  # it took the descriptor over, also to refuse it
            os.fstat(memfd)

    size = os.fstat(rig.engine.slab_fd).st_size
    refused({0: 1}, "not a slab")
    refused({8: 1}, "version 1")
    refused({16: 1}, "layout")
    refused({32: 4100}, "layout")  # the first table's offset
    refused({40: 8}, "layout")  # its stride
    refused({}, "size", size - 4096)
    refused({}, "size", size + 4096)
    refused({}, "not a slab", 100)
    refused({}, "not a slab", 0)
    ends = os.pipe()
    os.close(ends[1])
    with pytest.raises(ValueError, match="not a slab"):
        SlabReader(ends[0])


@pytest.mark.parametrize("seed", range(4))
def test_noise_is_survived(rig: Rig, call: object, seed: int) -> None:
    """Random bytes in the header refuse the slab; anywhere else they give what is live, or torn, and nothing worse."""
    rng = random.Random(seed)
    with reader_of(rig.engine.slab_fd) as reader:
        whole = reader.objects()
    with os.fdopen(copy_of(rig.engine), "r+b", 0) as copy:
        fd = copy.fileno()
        pages = pages_of(fd)[1:]
        with reader_of(fd) as reader:
            states: Counter[str] = Counter()
            for _ in range(60):
                page = rng.choice(pages)
                saved = os.pread(fd, 4096, page)
                os.pwrite(fd, rng.randbytes(rng.choice((8, 64, 4096))), page + 8 * rng.randrange(0, 60))
                states.update(each.state for each in reader.objects())
                os.pwrite(fd, saved, page)
                os.pwrite(fd, os.pread(rig.engine.slab_fd, 4096, page + 4096), page + 4096)
            assert set(states) <= {"live", "torn", "building", "closing"} and states["live"]
            assert [each._replace(fields={}) for each in reader.objects()] == [
                each._replace(fields={}) for each in whole
            ]
        header = os.pread(fd, 4096, 0)
        for _ in range(200):
            os.pwrite(fd, header, 0)
            os.pwrite(fd, rng.randbytes(rng.choice((1, 8, 64))), rng.randrange(0, 400))
            if os.pread(fd, 416, 0) != header[:416]:
                with pytest.raises(ValueError, match="slab"):
                    SlabReader(os.dup(fd))


def test_a_stream_that_did_not_get_its_ssrc_does_not_take_it_along(rig: Rig) -> None:
    """Two producers of one transport claim the same SSRC; the end of the second leaves the first one's entry."""
    publisher = Publisher(rig, "audio")
    subscriber = Subscriber(rig, publisher)
    second, _ = add_opus_producer(rig.engine, publisher.transport, publisher.SSRC, mid="1")
    rig.run(2)
    rig.engine.close_producer(second)
    rig.run(2)
    publisher.publish()
    rig.run(5)
    assert len(subscriber.media) == 1
