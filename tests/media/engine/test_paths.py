"""Plain transports: where packets may come from, RTCP on its own port, DirectTransport, closing."""

import itertools
import struct

import pytest

from tests.media.engine.rig import (
    OPUS,
    PRODUCER,
    SEND_STREAM,
    Endpoint,
    Publisher,
    Rig,
    Rtp,
    Subscriber,
    add_opus_producer,
    bound_socket,
    parse_rtp,
)

NEW_STREAM, TUPLE, RTP_EVENT = 7, 5, 10


def opus_packet(seq: int, ssrc: int = 1111) -> bytes:
    return Rtp(111, seq, seq * 960, ssrc, b"\x78" + bytes(40)).pack()


def test_comedia_locks_the_first_genuine_sender(rig: Rig) -> None:
    inside, first, second = bound_socket(), bound_socket(), bound_socket()
    address = inside.getsockname()
    transport = rig.engine.add_plain_transport(
        rig.engine.add_socket(inside.detach(), 1, 0), 0, comedia=True, srtp=False, pipe=False
    )
    add_opus_producer(rig.engine, transport)
    first.sendto(b"\x80\x00garbage", address)
    first.sendto(opus_packet(1, ssrc=42), address)
    rig.run(1)
    assert not [event for event in rig.events if event[0] == TUPLE], "an unknown SSRC is not genuine"
    first.sendto(opus_packet(1), address)
    rig.run(1)
    (event,) = [event for event in rig.events if event[0] == TUPLE]
    assert event[5:7] == first.getsockname()
    second.sendto(opus_packet(2), address)
    rig.run(1)
    assert rig.engine.transport_stats(transport)["drops"]["unknownTuple"] == 1
    first.close()
    second.close()


def test_rtcp_on_its_own_port(rig: Rig) -> None:
    publisher = Publisher(rig, "audio")
    rtp_in, rtcp_in, rtp_out, rtcp_out = (bound_socket() for _ in range(4))
    rtcp_port = rtcp_out.getsockname()[1]
    transport = rig.engine.add_plain_transport(
        rig.engine.add_socket(rtp_in.detach(), 1, 0),
        rig.engine.add_socket(rtcp_in.detach(), 1, 0),
        comedia=False,
        srtp=False,
        pipe=False,
    )
    rig.engine.connect_plain(transport, "127.0.0.1", rtp_out.getsockname()[1], rtcp_port)
    rig.engine.add_send_stream(transport, publisher.streams[0], ssrc=5, **SEND_STREAM)
    rig.run(1)
    rig.run(2000, lambda ms: publisher.publish() if ms % 20 == 0 else None)
    assert parse_rtp(rtp_out.recv(2000)).ssrc == 5
    assert rtcp_out.recv(2000)[1] == 200
    rtp_out.close()
    rtcp_out.close()


def test_packets_from_other_addresses_are_dropped(rig: Rig) -> None:
    publisher = Publisher(rig, "audio")
    stranger = bound_socket()
    rig.run(1)
    stranger.sendto(opus_packet(5), publisher.address)
    rig.run(1)
    assert rig.engine.transport_stats(publisher.transport)["drops"] == {"unknownTuple": 1}
    stranger.close()


def test_unknown_ssrcs_leave_no_state(rig: Rig) -> None:
    publisher = Publisher(rig, "audio")
    rig.run(1)
    before = rig.engine.slots_used()
    for ssrc in range(3000):
        publisher.send(opus_packet(1, ssrc=70000 + ssrc))
        if ssrc % 50 == 0:
            rig.run(1)
    rig.run(2)
    assert rig.engine.slots_used() == before
    assert rig.engine.transport_stats(publisher.transport)["drops"]["unknownSsrc"] == 3000


def test_an_ssrc_is_claimed_by_mid(rig: Rig) -> None:
    endpoint = Endpoint(rig)
    rig.engine.set_recv_extensions(endpoint.transport, {1: 4})
    _, streams = add_opus_producer(rig.engine, endpoint.transport, 0, mid="m1", extensions={1: 4})
    rig.run(1)
    for number, mid in enumerate([b"m2", b"m1", b""]):
        extensions = {4: mid} if mid else {}
        endpoint.send(Rtp(111, number, 0, 700 if mid else 701, b"\x78abc", extensions=extensions).pack())
        rig.run(1)
    endpoint.send(Rtp(111, 3, 960, 700, b"\x78abc").pack())
    rig.run(1)
    assert [event for event in rig.events if event[0] == NEW_STREAM] == [(NEW_STREAM, streams[0], 700)]
    assert rig.engine.recv_stream_stats(streams[0])["packet_count"] == 2


def test_direct_transports_take_and_give_packets(rig: Rig) -> None:
    transport = rig.engine.add_direct_transport()
    producer, streams = add_opus_producer(rig.engine, transport)
    stream = rig.engine.add_send_stream(transport, streams[0], ssrc=77, **SEND_STREAM)
    for seq in range(20):
        rig.engine.inject_rtp(producer, opus_packet(seq))
    rig.run(2)
    packets = [parse_rtp(event[2]) for event in rig.events if event[0] == RTP_EVENT and event[1] == stream]
    assert len(packets) == 20
    assert {packet.ssrc for packet in packets} == {77}
    assert all((b.seq - a.seq) & 0xFFFF == 1 for a, b in itertools.pairwise(packets))


def test_everything_closed_leaves_no_slot(rig: Rig) -> None:
    for _ in range(3):
        publisher = Publisher(rig, suite=1)
        subscribers = [Subscriber(rig, publisher, suite=2) for _ in range(10)]
        rig.run(1)
        rig.run(20, lambda ms, publisher=publisher: publisher.publish(key=ms == 0))  # type: ignore[misc]
        for subscriber in subscribers:
            rig.engine.close_send_stream(subscriber.stream)
        rig.engine.close_producer(publisher.producer)
        for endpoint in rig.endpoints:
            rig.engine.close_transport(endpoint.transport)
            rig.engine.close_socket(endpoint.engine_socket)
            endpoint.close()
        rig.endpoints.clear()
        rig.run(2)
        assert set(rig.engine.slots_used().values()) == {0}


def test_a_handle_of_a_closed_object_is_recognised(rig: Rig) -> None:
    publisher = Publisher(rig, "audio")
    rig.run(1)
    rig.engine.close_producer(publisher.producer)
    for call in (
        lambda: rig.engine.pause_producer(publisher.producer, True),
        lambda: rig.engine.recv_stream_stats(publisher.streams[0]),
        lambda: rig.engine.close_producer(publisher.producer),
    ):
        try:
            call()
        except LookupError:
            continue
        raise AssertionError("a dead handle was accepted")


def test_srtp_garbage_replays_and_tampering_are_counted_drops(rig: Rig) -> None:
    publisher = Publisher(rig, "audio", suite=1)
    subscriber = Subscriber(rig, publisher, nack=False)
    rig.run(1)
    assert publisher.protect is not None
    good = publisher.protect.protect(publisher.packet().pack())
    publisher.send_raw(good)
    publisher.send_raw(good)
    rig.run(1)
    publisher.send_raw(good)
    tampered = bytearray(publisher.protect.protect(publisher.packet().pack()))
    tampered[-1] ^= 1
    publisher.send_raw(bytes(tampered))
    publisher.send_raw(struct.pack("!BBHII", 0x80, 111, 9, 9, 4444) + bytes(40))
    rig.run(2)
    drops = rig.engine.transport_stats(publisher.transport)["drops"]
    assert drops["srtpReplayed"] == 2
    assert drops["srtpAuth"] == 2
    assert len(subscriber.media) == 1


def test_every_published_stream_may_send_reports(rig: Rig) -> None:
    """More streams than a transport has places for senders without media."""
    endpoint = Endpoint(rig, suite=1)
    for ssrc in range(100, 140):
        add_opus_producer(rig.engine, endpoint.transport, ssrc)
    rig.run(1)
    for ssrc in range(100, 140):
        endpoint.send(opus_packet(1, ssrc))
        endpoint.send(struct.pack("!BBHIQIII", 0x80, 200, 6, ssrc, 1 << 32, 960, 1, 41))
    rig.run(2)
    assert rig.engine.transport_stats(endpoint.transport)["drops"] == {}


def test_a_refused_call_takes_no_slot(rig: Rig) -> None:
    publisher = Publisher(rig, "audio")
    before = rig.engine.slots_used()
    with pytest.raises(TypeError, match="not among the codecs"):
        rig.engine.add_producer(
            publisher.transport, 0, [(111, 100, OPUS, 48000, -1)], [(7, 0, "", 112)], **(PRODUCER | {"nack": True})
        )
    with pytest.raises(TypeError, match="payload_types"):
        Subscriber(rig, publisher, payload_types=[100, 200])
    rig.engine.close_transport(rig.endpoints[-1].transport)
    rig.engine.close_socket(rig.endpoints[-1].engine_socket)
    rig.run(2)
    assert rig.engine.slots_used() | {"ssrcs": 0} == before | {"ssrcs": 0}
