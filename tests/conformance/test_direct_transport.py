import asyncio

import pytest

from sfu_core.errors import UnsupportedError

from .room import Events, eventually, rtp


async def test_creating(room):
    seen = []
    room.router.observer.once("newtransport", seen.append)
    transport = await room.direct(max_send_message_size=1024, max_receive_message_size=2048, app_data={"foo": 1})
    assert seen == [transport]
    assert transport.type == "direct" and transport.app_data == {"foo": 1}
    dump = await transport.dump()
    assert dump["id"] == transport.id
    assert (dump["maxSendMessageSize"], dump["maxReceiveMessageSize"]) == (1024, 2048)
    assert dump["producerIds"] == dump["consumerIds"] == []
    (stats,) = await transport.get_stats()
    assert stats["type"] == "direct-transport" and stats["bytesReceived"] == stats["bytesSent"] == 0


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"max_send_message_size": None}, "max_send_message_size"),
        ({"max_receive_message_size": "1"}, "max_receive_message_size"),
        ({"app_data": "NOT-AN-OBJECT"}, "app_data"),
    ],
)
async def test_wrong_arguments(room, options, argument):
    with pytest.raises(TypeError, match=argument):
        await room.direct(**options)


async def test_what_it_does_not_do(room):
    transport = await room.direct()
    await transport.connect()
    await transport.connect()
    for name in ("set_max_incoming_bitrate", "set_max_outgoing_bitrate", "set_min_outgoing_bitrate"):
        with pytest.raises(UnsupportedError, match=name):
            await getattr(transport, name)(100_000)


async def test_packets_in_and_out(room):
    transport = await room.direct()
    producer = await room.audio(transport)
    consumer = await room.consume(transport, producer)
    packets = []
    consumer.on("rtp", packets.append)
    for sequence in range(1, 11):
        producer.send(rtp(11111111, sequence))
    await eventually(lambda: len(packets) == 10)
    ssrc = consumer.rtp_parameters["encodings"][0]["ssrc"]
    payload_type = consumer.rtp_parameters["codecs"][0]["payloadType"]
    assert {packet[1] & 0x7F for packet in packets} == {payload_type}
    assert {int.from_bytes(packet[8:12], "big") for packet in packets} == {ssrc}
    assert all(packet.endswith(b"\x78" + bytes(40)) for packet in packets)
    numbers = [int.from_bytes(packet[2:4], "big") for packet in packets]
    assert numbers == list(range(numbers[0], numbers[0] + 10))
    (received,) = await producer.get_stats()
    sent, behind = await consumer.get_stats()
    assert received["packetCount"] == sent["packetCount"] == behind["packetCount"] == 10
    assert (received["type"], sent["type"], behind["type"]) == ("inbound-rtp", "outbound-rtp", "inbound-rtp")
    assert (received["ssrc"], sent["ssrc"]) == (11111111, ssrc)
    (stats,) = await transport.get_stats()
    assert stats["rtpBytesReceived"] > 0 and stats["rtpBytesSent"] > 0


async def test_nothing_flows_while_paused(room):
    transport = await room.direct()
    producer = await room.audio(transport)
    consumer = await room.consume(transport, producer)
    packets = []
    consumer.on("rtp", packets.append)

    async def send(sequence, count):
        before = len(packets)
        producer.send(rtp(11111111, sequence))
        await eventually(lambda: len(packets) == before + count)
        await asyncio.sleep(0 if count else 0.05)
        assert len(packets) == before + count

    await send(1, 1)
    await consumer.pause()
    await send(2, 0)
    await consumer.resume()
    await send(3, 1)
    await producer.pause()
    await send(4, 0)
    await producer.resume()
    await send(5, 1)
    numbers = [int.from_bytes(packet[2:4], "big") for packet in packets]
    assert numbers == list(range(numbers[0], numbers[0] + 3))  # no gap shows


async def test_rtcp(room):
    transport = await room.direct()
    producer = await room.audio(transport)
    consumer = await room.consume(transport, producer)
    reports, observed = [], []
    transport.on("rtcp", reports.append)
    transport.observer.on("rtcp", observed.append)
    for sequence in range(1, 6):
        producer.send(rtp(11111111, sequence))
    await eventually(lambda: {packet[1] for packet in reports} >= {200, 201}, timeout=8)
    assert observed == reports and consumer.closed is False  # RR for what came in, SR for what went out
    transport.send_rtcp(bytes.fromhex("80c90001") + (11111111).to_bytes(4, "big"))
    with pytest.raises(TypeError, match="packet"):
        transport.send_rtcp("text")


async def test_wrong_packets_are_dropped(room):
    transport = await room.direct()
    producer = await room.audio(transport)
    for data in (b"", b"x", bytes(1000), rtp(999, 1), bytes(65537)):
        producer.send(data)
    with pytest.raises(TypeError, match="packet"):
        producer.send(None)
    producer.send(rtp(11111111, 1))

    async def count():
        stats = await producer.get_stats()
        return stats and stats[0]["packetCount"] == 1

    await eventually(count)


async def test_messages_are_for_later(room):
    transport = await room.direct()
    with pytest.raises(UnsupportedError):
        await transport.produce_data(label="foo")


async def test_closing(room):
    transport = await room.direct()
    producer = await room.audio(transport)
    events = Events(transport=transport, producer=producer)
    transport.close()
    producer.send(rtp(11111111, 1))  # nobody minds
    assert events.log == ["producer transportclose", "producer observer close", "transport observer close"]
