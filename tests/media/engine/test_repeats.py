"""Loss on either side: NACK and RTX towards subscribers and from publishers."""

import struct

from tests.media.engine.rig import Publisher, Rig, Rtp, Subscriber


def call(rig: Rig, packets: int = 10, **options: object) -> tuple[Publisher, Subscriber]:
    publisher = Publisher(rig)
    subscriber = Subscriber(rig, publisher, **options)  # type: ignore[arg-type]
    rig.run(1)
    rig.run(packets, lambda ms: publisher.publish(key=ms == 0))
    return publisher, subscriber


def test_a_nack_is_answered_by_rtx_with_fresh_numbers(rig: Rig) -> None:
    _, subscriber = call(rig, suite=1)
    wanted = [subscriber.media[3], subscriber.media[7]]
    subscriber.nack(*(packet.seq for packet in wanted))
    rig.run(3)
    assert len(subscriber.repairs) == 2
    for lost, repair in zip(wanted, subscriber.repairs, strict=True):
        assert repair.pt == 102
        assert struct.unpack("!H", repair.payload[:2])[0] == lost.seq
        assert repair.payload[2:] == lost.payload
        assert repair.timestamp == lost.timestamp
        assert repair.marker == lost.marker
    assert (subscriber.repairs[1].seq - subscriber.repairs[0].seq) & 0xFFFF == 1
    stats = rig.engine.send_stream_stats(subscriber.stream)
    assert (stats["nack_count"], stats["nack_packet_count"], stats["packets_retransmitted"]) == (1, 2, 2)


def test_without_rtx_a_repeat_is_byte_for_byte_the_first_sending(rig: Rig) -> None:
    _, subscriber = call(rig, suite=1, rtx=False)
    lost = subscriber.media[4]
    first = [data for data in subscriber.wire if data[2:4] == lost.raw[2:4] and not 192 <= data[1] <= 223]
    subscriber.unprotect = None  # libsrtp would refuse the replay
    subscriber.take = lambda data: None  # type: ignore[method-assign]
    rig.run(150)  # the abs-send-time of now is another one
    subscriber.nack(lost.seq)
    rig.run(3)
    again = [data for data in subscriber.wire if data[2:4] == lost.raw[2:4] and not 192 <= data[1] <= 223]
    assert len(first) == 1
    assert again == first * 2


def test_the_same_packet_is_not_repeated_again_within_a_round_trip(rig: Rig) -> None:
    _, subscriber = call(rig)
    seq = subscriber.media[2].seq
    for _ in range(5):
        subscriber.nack(seq)
        rig.run(10)
    assert len(subscriber.repairs) == 1
    rig.run(100)
    subscriber.nack(seq)
    rig.run(2)
    assert len(subscriber.repairs) == 2


def test_nothing_older_than_two_seconds_is_repeated(rig: Rig) -> None:
    _, subscriber = call(rig)
    seq = subscriber.media[2].seq
    rig.run(2100)
    subscriber.nack(seq)
    rig.run(2)
    assert subscriber.repairs == []


def test_numbers_that_were_never_sent_are_ignored(rig: Rig) -> None:
    _, subscriber = call(rig)
    subscriber.nack(*(subscriber.media[-1].seq + ahead for ahead in range(1, 200)))
    rig.run(2)
    assert subscriber.repairs == []


def test_a_nack_for_a_stream_of_another_transport_is_ignored(rig: Rig) -> None:
    publisher, one = call(rig)
    other = Subscriber(rig, publisher)
    rig.run(1)
    other.send(struct.pack("!BBHIIHH", 0x81, 205, 3, 1, one.ssrc, one.media[0].seq, 0))
    rig.run(2)
    assert one.repairs == [] and other.repairs == []


def test_what_the_history_no_longer_holds_is_counted_not_sent(rig: Rig) -> None:
    _, subscriber = call(rig)
    flood = Publisher(rig, "audio")
    Subscriber(rig, flood, nack=False)
    rig.run(1)
    for _ in range(450):  # 450 * 8 packets of 1200 bytes: more than the 4 MiB of history
        for _ in range(8):
            flood.publish(payload=b"\x10" + bytes(1200))
        rig.run(1)
    subscriber.nack(subscriber.media[1].seq)
    rig.run(2)
    assert subscriber.repairs == []
    assert rig.engine.send_stream_stats(subscriber.stream)["unrepeatable"] == 1


def test_pausing_forgets_what_was_sent(rig: Rig) -> None:
    _, subscriber = call(rig)
    seq = subscriber.media[2].seq
    rig.engine.pause_send_stream(subscriber.stream, True)
    rig.run(1)
    subscriber.nack(seq)
    rig.run(2)
    assert subscriber.repairs == []


# ---------------------------------------------------------------- towards the publisher


def rtx_of(publisher: Publisher, lost: Rtp, seq: int) -> bytes:
    return Rtp(
        97, seq, lost.timestamp, Publisher.RTX_SSRC, struct.pack("!H", lost.seq) + lost.payload, lost.marker
    ).pack()


def test_a_hole_is_asked_for_after_ten_milliseconds_and_repaired_by_rtx(rig: Rig) -> None:
    publisher, subscriber = call(rig, suite=1)
    lost = publisher.packet()
    publisher.publish()
    rig.run(8)
    assert publisher.rtcp_of(205, 1) == []
    rig.run(45)
    asked = publisher.rtcp_of(205, 1)
    assert asked and struct.unpack("!HH", asked[0][8:12]) == (lost.seq, 0)
    publisher.send(rtx_of(publisher, lost, 700))
    rig.run(2)
    assert subscriber.media[-1].payload == lost.payload
    seqs = sorted((packet.seq - subscriber.media[0].seq) & 0xFFFF for packet in subscriber.media)
    assert seqs == list(range(12)), "the repaired packet took the number it would have had"
    stats = rig.engine.recv_stream_stats(publisher.streams[0])
    assert stats["packets_repaired"] == 1
    assert stats["nack_packet_count"] >= 1


def test_after_ten_tries_a_packet_is_given_up(rig: Rig) -> None:
    publisher, _ = call(rig)
    publisher.packet()
    publisher.publish()
    rig.run(4000)
    assert len(publisher.rtcp_of(205, 1)) == 10


def test_a_repair_of_what_arrived_is_useless(rig: Rig) -> None:
    publisher, subscriber = call(rig)
    packet = publisher.publish()
    rig.run(1)
    publisher.send(rtx_of(publisher, packet, 800))
    rig.run(2)
    assert len(subscriber.media) == 11
    assert rig.engine.recv_stream_stats(publisher.streams[0])["rtx_packets_discarded"] == 1


def test_probes_on_the_rtx_stream_before_any_media_do_no_harm(rig: Rig) -> None:
    publisher = Publisher(rig)
    subscriber = Subscriber(rig, publisher)
    rig.run(1)
    for seq in range(20):
        publisher.send(Rtp(97, seq, 0, Publisher.RTX_SSRC, b"").pack())
    rig.run(5, lambda ms: publisher.publish(key=ms == 0))
    assert len(subscriber.media) == 5


def test_both_wires_lose_a_twentieth_and_the_picture_is_whole(rig: Rig) -> None:
    """Publisher and subscriber behind 5 % loss each way, both repairing by NACK and RTX."""
    publisher = Publisher(rig, suite=1)
    subscriber = Subscriber(rig, publisher, suite=1)
    for network in (publisher.out, publisher.back, subscriber.out, subscriber.back):
        network.loss, network.delay_ms = 0.05, 15
    rig.run(1)
    sent: dict[int, Rtp] = {}
    answered = asked = 0
    rtx_seq = 100

    def each(ms: int) -> None:
        nonlocal answered, asked, rtx_seq
        if ms % 4 == 0 and ms < 4000:
            packet = publisher.publish(key=ms == 0 or ms % 1000 == 0)
            sent[packet.seq] = packet
        for body in publisher.rtcp_of(205, 1)[answered:]:
            answered += 1
            for at in range(8, len(body), 4):
                pid, blp = struct.unpack("!HH", body[at : at + 4])
                for seq in [pid] + [(pid + 1 + bit) & 0xFFFF for bit in range(16) if blp >> bit & 1]:
                    if seq in sent:
                        publisher.send(rtx_of(publisher, sent[seq], rtx_seq))
                        rtx_seq += 1
        if ms % 30 == 0 and subscriber.media:
            have = {packet.seq for packet in subscriber.media} | {
                struct.unpack("!H", packet.payload[:2])[0] for packet in subscriber.repairs
            }
            newest = subscriber.media[-1].seq
            missing = [seq for back in range(1, 100) if (seq := (newest - back) & 0xFFFF) not in have]
            first = subscriber.media[0].seq
            missing = [seq for seq in missing if (seq - first) & 0xFFFF < 0x8000]
            if missing:
                asked += 1
                subscriber.nack(*missing[:50])

    rig.run(5000, each)
    have = {packet.payload for packet in subscriber.media} | {packet.payload[2:] for packet in subscriber.repairs}
    start = next(i for i, packet in enumerate(sent.values()) if packet.payload in have)
    whole = [packet.payload in have for packet in list(sent.values())[start:]]
    assert asked and answered
    assert sum(whole) / len(whole) > 0.99


def test_a_lost_padding_packet_is_repaired_too(rig: Rig) -> None:
    publisher, subscriber = call(rig)
    lost = publisher.packet(payload=b"")
    publisher.publish()
    rig.run(60)
    assert len(publisher.rtcp_of(205, 1)) >= 1
    publisher.send(rtx_of(publisher, lost, 900))
    asked = len(publisher.rtcp_of(205, 1))
    rig.run(1000)
    assert len(publisher.rtcp_of(205, 1)) <= asked + 1
    assert len(subscriber.media) == 11
