"""From a publisher to subscribers: numbers, timestamps, extensions, pauses, encryption."""

import itertools

import pytest

from tests.media.engine.rig import Publisher, Rig, Subscriber

MID, ABS_SEND_TIME, TRANSPORT_CC = 1, 4, 5


def stream_key_frame_first(publisher: Publisher, rig: Rig, packets: int) -> None:
    rig.run(packets, lambda ms: publisher.publish(key=ms == 0))


def test_numbers_run_on_over_the_wrap(rig: Rig) -> None:
    publisher = Publisher(rig, seq=65530)
    subscriber = Subscriber(rig, publisher)
    rig.run(1)
    stream_key_frame_first(publisher, rig, 20)
    seqs = [packet.seq for packet in subscriber.media]
    assert len(seqs) == 20
    assert [(seq - seqs[0]) & 0xFFFF for seq in seqs] == list(range(20))
    assert 1000 <= seqs[0] <= 32767


def test_payload_marker_and_timestamp_steps_are_kept(rig: Rig) -> None:
    publisher = Publisher(rig)
    subscriber = Subscriber(rig, publisher)
    rig.run(1)
    sent = [publisher.packet(key=number == 0, marker=number % 2 == 0) for number in range(4)]
    for packet in sent:
        publisher.send(packet.pack())
    rig.run(2)
    assert [packet.payload for packet in subscriber.media] == [packet.payload for packet in sent]
    assert [packet.marker for packet in subscriber.media] == [True, False, True, False]
    steps = [
        (b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in zip(subscriber.media, subscriber.media[1:], strict=False)
    ]
    assert steps == [1800] * 3
    assert {packet.pt for packet in subscriber.media} == {101}


@pytest.mark.parametrize("suite", [0, 1, 2, 3])
def test_every_suite_is_understood_by_libsrtp(rig: Rig, suite: int) -> None:
    publisher = Publisher(rig, suite=suite)
    subscriber = Subscriber(rig, publisher, suite=suite)
    rig.run(1)
    stream_key_frame_first(publisher, rig, 50)
    rig.run(2000)
    assert len(subscriber.media) == 50
    assert subscriber.rtcp_of(200), "sender reports arrive, encrypted too"
    assert publisher.rtcp_of(201)


def test_video_starts_with_a_key_frame(rig: Rig) -> None:
    publisher = Publisher(rig)
    subscriber = Subscriber(rig, publisher)
    rig.run(1)
    rig.run(10, lambda ms: publisher.publish(key=ms == 6))
    assert len(subscriber.media) == 4
    assert publisher.rtcp_of(206, 1), "a key frame was asked for"


def test_audio_starts_at_once(rig: Rig) -> None:
    publisher = Publisher(rig, "audio")
    subscriber = Subscriber(rig, publisher, nack=False)
    rig.run(1)
    rig.run(5, lambda ms: publisher.publish())
    assert len(subscriber.media) == 5


def test_pause_and_resume_leave_no_gap(rig: Rig) -> None:
    publisher = Publisher(rig)
    subscriber = Subscriber(rig, publisher)
    rig.run(1)
    stream_key_frame_first(publisher, rig, 10)
    rig.engine.pause_send_stream(subscriber.stream, True)
    rig.run(200, lambda ms: publisher.publish())
    assert len(subscriber.media) == 10
    rig.engine.pause_send_stream(subscriber.stream, False)
    rig.run(1)
    before = len(publisher.rtcp_of(206, 1))
    rig.run(10, lambda ms: publisher.publish(key=ms == 3))
    seqs = [packet.seq for packet in subscriber.media]
    assert len(seqs) == 17
    assert [(b - a) & 0xFFFF for a, b in itertools.pairwise(seqs)] == [1] * 16
    assert before >= 1
    jump = subscriber.media[10].timestamp - subscriber.media[9].timestamp
    assert jump & 0xFFFFFFFF == 1800 * 204, "the timeline of the source goes on"


def test_producer_pause_stops_all_and_resume_asks_for_a_key_frame(rig: Rig) -> None:
    publisher = Publisher(rig)
    subscribers = [Subscriber(rig, publisher) for _ in range(3)]
    rig.run(1)
    stream_key_frame_first(publisher, rig, 3)
    rig.engine.pause_producer(publisher.producer, True)
    rig.run(5, lambda ms: publisher.publish())
    asked = len(publisher.rtcp_of(206, 1))
    rig.engine.pause_producer(publisher.producer, False)
    rig.run(2)
    assert len(publisher.rtcp_of(206, 1)) == asked + 1
    rig.run(5, lambda ms: publisher.publish(key=ms == 1))
    assert [len(subscriber.media) for subscriber in subscribers] == [7, 7, 7]
    assert rig.engine.transport_stats(publisher.transport)["drops"]["paused"] == 5


def test_lost_and_late_packets_keep_their_numbers(rig: Rig) -> None:
    publisher = Publisher(rig, "audio")
    subscriber = Subscriber(rig, publisher, nack=False)
    rig.run(1)
    packets = [publisher.packet() for _ in range(6)]
    for number in (0, 1, 3, 2, 5):
        publisher.send(packets[number].pack())
        rig.run(1)
    base = subscriber.media[0].seq
    assert [(packet.seq - base) & 0xFFFF for packet in subscriber.media] == [0, 1, 3, 2, 5]


def test_duplicates_are_dropped(rig: Rig) -> None:
    publisher = Publisher(rig, "audio")
    subscriber = Subscriber(rig, publisher, nack=False)
    rig.run(1)
    packet = publisher.packet()
    for _ in range(3):
        publisher.send(packet.pack())
        rig.run(1)
    assert len(subscriber.media) == 1
    assert rig.engine.transport_stats(publisher.transport)["drops"]["duplicate"] == 2


def test_padding_only_packets_are_not_forwarded_and_leave_no_gap(rig: Rig) -> None:
    publisher = Publisher(rig, "audio")
    subscriber = Subscriber(rig, publisher, nack=False)
    rig.run(1)
    publisher.publish()
    probe = bytearray(publisher.packet(payload=bytes(19) + b"\x14").pack())
    probe[0] |= 0x20
    publisher.send(bytes(probe))
    publisher.publish()
    rig.run(2)
    assert len(subscriber.media) == 2
    assert (subscriber.media[1].seq - subscriber.media[0].seq) & 0xFFFF == 1


def test_comfort_noise_can_be_left_out(rig: Rig) -> None:
    publisher = Publisher(rig, "audio")
    subscriber = Subscriber(rig, publisher, nack=False, ignore_dtx=True)
    rig.run(1)
    for payload in (b"\x78" + bytes(50), b"\x78", b"\x78" + bytes(60)):
        publisher.publish(payload=payload)
    rig.run(2)
    assert [len(packet.payload) for packet in subscriber.media] == [51, 61]
    assert (subscriber.media[1].seq - subscriber.media[0].seq) & 0xFFFF == 1


def test_only_payload_types_of_the_consumer(rig: Rig) -> None:
    publisher = Publisher(rig, "audio")
    subscriber = Subscriber(rig, publisher, nack=False, payload_types=[110])
    rig.run(1)
    publisher.publish()
    rig.run(2)
    assert subscriber.media == []


def test_extensions_are_those_that_were_negotiated(rig: Rig) -> None:
    publisher = Publisher(rig)
    with_all = Subscriber(rig, publisher, mid="video7", extensions=[1, 4, 5])
    rig.run(1)
    stream_key_frame_first(publisher, rig, 5)
    first = with_all.media[0].extensions
    assert first[MID].rstrip(b"\0") == b"video7"
    assert len(first[ABS_SEND_TIME]) == 3
    wide = [int.from_bytes(packet.extensions[TRANSPORT_CC], "big") for packet in with_all.media]
    assert wide == list(range(wide[0], wide[0] + 5))


def test_a_lean_header_for_those_who_negotiated_nothing(rig: Rig) -> None:
    publisher = Publisher(rig)
    subscriber = Subscriber(rig, publisher, extensions=[])
    rig.run(1)
    stream_key_frame_first(publisher, rig, 2)
    assert subscriber.media[0].extensions == {}


def test_a_hundred_subscribers_get_the_same(rig: Rig) -> None:
    publisher = Publisher(rig)
    subscribers = [Subscriber(rig, publisher) for _ in range(100)]
    rig.run(1)
    for burst in range(5):
        for number in range(8):
            publisher.publish(key=burst == 0 and number == 0)
        rig.run(1)
    assert {len(subscriber.media) for subscriber in subscribers} == {40}
    stats = rig.engine.core_stats()
    assert stats["gsoSegments"] >= 100 * 5 * 6, "packets of one frame leave as one message"
    assert {tuple(p.payload for p in subscriber.media) for subscriber in subscribers}.__len__() == 1
