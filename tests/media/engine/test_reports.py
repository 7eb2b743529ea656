"""What the engine tells its peers: SR, SDES, RR, XR, transport-cc, REMB."""

import struct

from tests.media.engine.rig import MS, Publisher, Rig, Subscriber


def test_reports_come_every_one_to_one_and_a_half_seconds(rig: Rig) -> None:
    publisher = Publisher(rig, "audio")
    subscriber = Subscriber(rig, publisher, nack=False)
    rig.run(1)
    rig.run(10000, lambda ms: publisher.publish() if ms % 20 == 0 else None)
    assert 6 <= len(subscriber.rtcp_of(200)) <= 11
    assert 6 <= len(publisher.rtcp_of(201)) <= 11
    assert len(subscriber.rtcp_of(202)) == len(subscriber.rtcp_of(200)), "each SR comes with its CNAME"
    assert b"publisher" in subscriber.rtcp_of(202)[0]


def test_a_sender_report_counts_what_was_sent(rig: Rig) -> None:
    publisher = Publisher(rig, "audio")
    subscriber = Subscriber(rig, publisher, nack=False)
    rig.run(1)
    rig.run(3000, lambda ms: publisher.publish() if ms % 20 == 0 else None)
    body = subscriber.rtcp_of(200)[-1]
    ssrc, _, _, _, packets, octets = struct.unpack("!IIIIII", body[:24])
    assert ssrc == subscriber.ssrc
    assert 0 < packets <= len(subscriber.media)
    assert octets == packets * len(subscriber.media[0].payload)


def test_a_receiver_report_tells_the_loss(rig: Rig) -> None:
    publisher = Publisher(rig, "audio")
    rig.run(1)
    rig.run(8000, lambda ms: publish_or_lose(publisher, ms) if ms % 20 == 0 else None)
    ssrc, word = struct.unpack("!II", publisher.rtcp_of(201)[-1][4:12])
    assert ssrc == Publisher.SSRC
    assert 50 <= word >> 24 <= 77, "a quarter of 256"
    assert 60 <= word & 0xFFFFFF <= 100


def publish_or_lose(publisher: Publisher, ms: int) -> None:
    packet = publisher.packet()
    if ms % 80:
        publisher.send(packet.pack())


def test_the_round_trip_of_a_subscriber_comes_from_its_reports(rig: Rig) -> None:
    publisher = Publisher(rig, "audio")
    subscriber = Subscriber(rig, publisher, nack=False)
    subscriber.out.delay_ms, subscriber.back.delay_ms = 40, 40
    rig.run(1)
    answered = 0

    def each(ms: int) -> None:
        nonlocal answered
        if ms % 20 == 0:
            publisher.publish()
        for body in subscriber.rtcp_of(200)[answered:]:
            answered += 1
            lsr = struct.unpack("!Q", body[4:12])[0] >> 16 & 0xFFFFFFFF
            block = struct.pack("!IIIIII", subscriber.ssrc, 0, subscriber.media[-1].seq, 0, lsr, 0)
            subscriber.send(struct.pack("!BBHI", 0x81, 201, 7, 1) + block)

    rig.run(5000, each)
    assert 75 <= rig.engine.send_stream_stats(subscriber.stream)["round_trip_time"] <= 90


def test_the_round_trip_of_a_publisher_comes_from_dlrr(rig: Rig) -> None:
    publisher = Publisher(rig)
    publisher.out.delay_ms, publisher.back.delay_ms = 30, 30
    rig.run(1)
    answered = 0

    def each(ms: int) -> None:
        nonlocal answered
        if ms % 20 == 0:
            publisher.publish(key=ms == 0)
        for body in publisher.rtcp_of(207)[answered:]:
            answered += 1
            lrr = struct.unpack("!Q", body[8:16])[0] >> 16 & 0xFFFFFFFF
            publisher.send(struct.pack("!BBHIBBHIII", 0x80, 207, 5, Publisher.SSRC, 5, 0, 3, 0, lrr, 0))

    rig.run(4000, each)
    assert 55 <= rig.engine.recv_stream_stats(publisher.streams[0])["round_trip_time"] <= 70


def with_wide_numbers(publisher: Publisher, wide: int, key: bool) -> bytes:
    packet = publisher.packet(key)
    packet.extensions = {5: struct.pack("!H", wide & 0xFFFF)}
    return packet.pack()


def test_transport_feedback_every_hundred_milliseconds(rig: Rig) -> None:
    publisher = Publisher(rig, feedback=1)
    Subscriber(rig, publisher)
    rig.run(1)
    rig.run(
        2000,
        lambda ms: publisher.send(with_wide_numbers(publisher, 65400 + ms // 5, ms == 0)) if ms % 5 == 0 else None,
    )
    feedback = publisher.rtcp_of(205, 15)
    assert 17 <= len(feedback) <= 22
    told = 0
    for number, body in enumerate(feedback):
        base, count = struct.unpack("!HH", body[8:12])
        assert base == (65400 + told) & 0xFFFF
        assert body[15] == number & 0xFF
        told += count
    assert 360 <= told <= 400


def test_lost_wide_numbers_are_told_as_lost(rig: Rig) -> None:
    publisher = Publisher(rig, feedback=1)
    rig.run(1)

    def each(ms: int) -> None:
        if ms % 5 == 0:
            data = with_wide_numbers(publisher, ms // 5, ms == 0)
            if ms % 25:
                publisher.send(data)

    rig.run(3000, each)
    loss = rig.engine.transport_stats(publisher.transport)["rtp_packet_loss_received"]
    assert 0.1 < loss < 0.3


def test_remb_for_publishers_without_transport_cc(rig: Rig) -> None:
    publisher = Publisher(rig, feedback=2)
    Subscriber(rig, publisher)
    rig.run(1)
    rig.run(
        10000,
        lambda ms: publisher.publish(key=ms == 0, payload=b"\x10" + bytes(1000)) if ms % 8 == 0 else None,
    )
    messages = [body for body in publisher.rtcp_of(206, 15) if body[8:12] == b"REMB"]
    assert len(messages) >= 5
    word = struct.unpack("!I", b"\0" + messages[-1][13:16])[0]
    assert (word & 0x3FFFF) << (word >> 18) >= 900_000


def test_a_limit_on_the_incoming_bitrate_is_announced(rig: Rig) -> None:
    publisher = Publisher(rig, feedback=1)
    rig.run(1)
    rig.engine.set_bitrates(publisher.transport, 500_000)
    rig.run(4000, lambda ms: publisher.send(with_wide_numbers(publisher, ms, ms == 0)) if ms % 20 == 0 else None)
    messages = [body for body in publisher.rtcp_of(206, 15) if body[8:12] == b"REMB"]
    assert messages
    word = struct.unpack("!I", b"\0" + messages[-1][13:16])[0]
    assert 450_000 <= (word & 0x3FFFF) << (word >> 18) <= 500_000


def test_an_idle_engine_sets_no_timer(rig: Rig) -> None:
    before = rig.engine.core_stats()["datagramsOut"]
    rig.now += 60_000 * MS
    rig.run(5)
    assert rig.engine.core_stats()["datagramsOut"] == before


def test_loss_that_a_subscriber_feeds_back_is_in_the_statistics(rig: Rig) -> None:
    publisher = Publisher(rig)
    subscriber = Subscriber(rig, publisher)
    rig.run(1)
    # 20 statuses from number 1 on in two vector chunks: received, lost, received ... (one bit a packet)
    chunks = struct.pack("!HH", 0x8000 | 0x2AAA, 0x8000 | 0x2A00)
    deltas = bytes([4] * 10)
    body = struct.pack("!HHI", 1, 20, 0) + chunks + deltas
    body += bytes(-len(body) % 4)
    for _ in range(100):
        subscriber.send(struct.pack("!BBHII", 0x8F, 205, 2 + len(body) // 4, 1, subscriber.ssrc) + body)
        rig.run(1)
    assert 0.45 < rig.engine.transport_stats(subscriber.transport)["rtp_packet_loss_sent"] < 0.55
