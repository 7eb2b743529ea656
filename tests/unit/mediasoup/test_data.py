"""Data producers and data consumers, and the streams they use."""

import pytest

from sfu_core.channel import messages as m
from sfu_core.errors import NotFoundError, SfuError

from .fakes import record

STREAM = {"streamId": 666}


async def pair(room, **options):
    transport = await room.plain(enable_sctp=True)
    producer = await transport.produce_data(sctp_stream_parameters=STREAM, label="chat", protocol="v1")
    return producer, await transport.consume_data(data_producer_id=producer.id, **options)


async def test_produce_data(room, channel):
    transport = await room.plain(enable_sctp=True)
    log = []
    record(log, transport=transport)
    producer = await transport.produce_data(
        sctp_stream_parameters={"streamId": 7, "maxRetransmits": 3, "maxPacketLifeTime": None},
        label="chat",
        protocol="v1",
        paused=True,
        app_data={"a": 1},
    )
    request = channel.last(m.TransportProduceData)
    assert request.type is m.DataType.SCTP and request.paused
    assert request.sctp_stream_parameters == m.SctpStreamParameters(stream_id=7, ordered=False, max_retransmits=3)
    assert producer.type == "sctp" and producer.label == "chat" and producer.protocol == "v1"
    assert producer.sctp_stream_parameters == {"streamId": 7, "ordered": False, "maxRetransmits": 3}
    assert producer.paused and producer.app_data == {"a": 1}
    assert log == ["transport observer newdataproducer"]
    with pytest.raises(TypeError, match="id"):
        await transport.produce_data(sctp_stream_parameters=STREAM, id=producer.id)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({}, "sctp_stream_parameters"),
        ({"sctp_stream_parameters": {}}, "streamId"),
        ({"sctp_stream_parameters": STREAM, "label": 1}, "label"),
        ({"sctp_stream_parameters": STREAM, "protocol": None}, "protocol"),
        ({"sctp_stream_parameters": STREAM, "paused": None}, "paused"),
        ({"sctp_stream_parameters": STREAM, "app_data": "x"}, "app_data"),
        ({"sctp_stream_parameters": STREAM, "id": 1}, "id"),
    ],
)
async def test_produce_data_with_wrong_arguments(room, options, argument):
    transport = await room.plain(enable_sctp=True)
    with pytest.raises(TypeError, match=argument):
        await transport.produce_data(**options)


async def test_direct(room, channel, caplog):
    transport = await room.direct()
    producer = await transport.produce_data(sctp_stream_parameters=STREAM)
    consumer = await transport.consume_data(data_producer_id=producer.id, ordered=True)
    assert channel.last(m.TransportProduceData).type is m.DataType.DIRECT
    assert channel.last(m.TransportConsumeData).type is m.DataType.DIRECT
    assert producer.type == consumer.type == "direct"
    assert producer.sctp_stream_parameters is None and consumer.sctp_stream_parameters is None
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


async def test_consume_data(room, channel):
    producer, consumer = await pair(room, paused=True, subchannels=[1, 2], app_data={"b": 2})
    request = channel.last(m.TransportConsumeData)
    assert request.data_producer_id == producer.id and request.paused
    assert (request.label, request.protocol, request.subchannels) == ("chat", "v1", [1, 2])
    assert consumer.data_producer_id == producer.id and consumer.type == "sctp"
    assert (consumer.label, consumer.protocol, consumer.subchannels) == ("chat", "v1", [1, 2])
    assert consumer.paused and not consumer.data_producer_paused and consumer.app_data == {"b": 2}
    assert consumer.sctp_stream_parameters == {"streamId": 0, "ordered": True}


@pytest.mark.parametrize(
    ("of_producer", "options", "expected"),
    [
        ({}, {}, {"ordered": True}),
        ({"maxRetransmits": 3}, {}, {"ordered": False, "maxRetransmits": 3}),
        ({"maxRetransmits": 3}, {"ordered": True}, {"ordered": True}),
        ({"maxRetransmits": 3}, {"max_packet_life_time": 5}, {"ordered": False, "maxPacketLifeTime": 5}),
        ({}, {"max_retransmits": 0}, {"ordered": False, "maxRetransmits": 0}),
        ({}, {"ordered": False}, {"ordered": False}),
    ],
)
async def test_reliability(room, of_producer, options, expected):
    transport = await room.plain(enable_sctp=True)
    producer = await transport.produce_data(sctp_stream_parameters={"streamId": 9} | of_producer)
    consumer = await transport.consume_data(data_producer_id=producer.id, **options)
    assert consumer.sctp_stream_parameters == {"streamId": 0} | expected


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"data_producer_id": 1}, "data_producer_id"),
        ({"max_retransmits": 1, "max_packet_life_time": 1}, "both"),
        ({"ordered": True, "max_retransmits": 1}, "ordered"),
        ({"subchannels": ["1"]}, "subchannels"),
        ({"subchannels": [65536]}, "subchannels"),
        ({"app_data": 1}, "app_data"),
    ],
)
async def test_consume_data_with_wrong_arguments(room, options, argument):
    producer, consumer = await pair(room)
    transport = room.router._transports[channel_of(consumer)]
    with pytest.raises(TypeError, match=argument):
        await transport.consume_data(**{"data_producer_id": producer.id} | options)


def channel_of(consumer):
    return consumer._transport_id


async def test_consume_unknown_data(room):
    transport = await room.plain(enable_sctp=True)
    with pytest.raises(NotFoundError, match="data_producer_id"):
        await transport.consume_data(data_producer_id="x")


async def test_stream_ids(room, channel):
    transport = await room.plain(enable_sctp=True)
    producer = await transport.produce_data(sctp_stream_parameters=STREAM)

    async def consume():
        return await transport.consume_data(data_producer_id=producer.id)

    consumers = [await consume() for _ in range(3)]
    assert [c.sctp_stream_parameters["streamId"] for c in consumers] == [0, 1, 2]
    consumers[0].close()
    assert (await consume()).sctp_stream_parameters["streamId"] == 3
    capabilities = m.SctpNegotiatedCapabilities(negotiated_max_outbound_streams=4, negotiated_max_inbound_streams=4)
    channel.news(transport, m.TransportSctpNegotiatedCapabilities(negotiated_capabilities=capabilities))
    assert (await consume()).sctp_stream_parameters["streamId"] == 0
    with pytest.raises(SfuError, match="stream id"):
        await consume()
    consumers[1].close()
    answer = channel.answers[m.TransportConsumeData]
    channel.answers[m.TransportConsumeData] = SfuError("no")
    with pytest.raises(SfuError, match=r"^no$"):
        await consume()
    channel.answers[m.TransportConsumeData] = answer
    assert (await consume()).sctp_stream_parameters["streamId"] == 1


@pytest.mark.parametrize(
    ("message", "ppid", "sent", "sent_ppid"),
    [
        ("hé", None, "hé".encode(), 51),
        (b"abc", None, b"abc", 53),
        (bytearray(b"abc"), None, b"abc", 53),
        ("", None, b" ", 56),
        (b"", None, b"\0", 57),
        ("abc", 100, b"abc", 100),
        ("abc", 56, b" ", 56),
        (b"abc", 57, b"\0", 57),
    ],
)
async def test_sending(room, channel, message, ppid, sent, sent_ppid):
    producer, consumer = await pair(room)
    producer.send(message, ppid, subchannels=[1], required_subchannel=2, ignored_subchannel=3)
    notification, handler_id = channel.notifications[-1]
    assert handler_id == producer.id
    assert notification == m.DataProducerSend(
        ppid=sent_ppid, data=sent, subchannels=[1], required_subchannel=2, ignored_subchannel=3
    )
    channel.answers[m.DataConsumerSend] = m.DataConsumerSendResponse(buffered_amount=5)
    assert await consumer.send(message, ppid) == 5
    assert channel.last(m.DataConsumerSend) == m.DataConsumerSend(ppid=sent_ppid, data=sent)


async def test_sending_wrong_things(room):
    producer, consumer = await pair(room)
    for wrong in (None, 1, ["a"]):
        with pytest.raises(TypeError, match="message"):
            producer.send(wrong)
        with pytest.raises(TypeError, match="message"):
            await consumer.send(wrong)
    with pytest.raises(TypeError, match="ppid"):
        producer.send("a", "51")
    with pytest.raises(TypeError, match="required_subchannel"):
        producer.send("a", required_subchannel="1")


async def test_producer_pauses(room, channel):
    producer, _ = await pair(room)
    log = []
    record(log, producer=producer)
    for action in (producer.pause, producer.pause, producer.resume, producer.resume):
        await action()
    assert log == ["producer observer pause", "producer observer resume"]


async def test_consumer_pauses(room, channel):
    _, consumer = await pair(room)
    log = []
    record(log, consumer=consumer)
    await consumer.pause()
    channel.news(consumer, m.DataConsumerDataProducerPause())
    channel.news(consumer, m.DataConsumerDataProducerPause())
    assert consumer.paused and consumer.data_producer_paused
    await consumer.resume()
    channel.news(consumer, m.DataConsumerDataProducerResume())
    channel.news(consumer, m.DataConsumerDataProducerResume())
    assert log == [
        "consumer observer pause",
        "consumer dataproducerpause",
        "consumer dataproducerresume",
        "consumer observer resume",
    ]


async def test_news_of_the_consumer(room, channel):
    _, consumer = await pair(room)
    seen = []
    for event in ("message", "sctpsendbufferfull", "bufferedamountlow"):
        consumer.on(event, lambda *args, event=event: seen.append((event, *args)))
    channel.news(consumer, m.DataConsumerMessage(ppid=51, data=b"hi"))
    channel.news(consumer, m.DataConsumerSctpSendBufferFull())
    channel.news(consumer, m.DataConsumerBufferedAmountLow(buffered_amount=3))
    assert seen == [("message", b"hi", 51), ("sctpsendbufferfull",), ("bufferedamountlow", 3)]


async def test_requests_of_the_consumer(room, channel):
    _, consumer = await pair(room)
    channel.answers[m.DataConsumerGetBufferedAmount] = m.DataConsumerGetBufferedAmountResponse(buffered_amount=9)
    assert await consumer.get_buffered_amount() == 9
    await consumer.set_buffered_amount_low_threshold(5)
    assert channel.last(m.DataConsumerSetBufferedAmountLowThreshold).threshold == 5
    await consumer.set_subchannels([3, 4])
    assert consumer.subchannels == [3, 4]
    channel.answers[m.DataConsumerAddSubchannel] = m.DataConsumerAddSubchannelResponse(subchannels=[3, 4, 5])
    await consumer.add_subchannel(5)
    assert consumer.subchannels == [3, 4, 5]
    channel.answers[m.DataConsumerRemoveSubchannel] = m.DataConsumerRemoveSubchannelResponse(subchannels=[4])
    await consumer.remove_subchannel(3)
    assert consumer.subchannels == [4]
    for call in (
        consumer.set_buffered_amount_low_threshold("x"),
        consumer.set_subchannels("12"),
        consumer.add_subchannel(-1),
        consumer.remove_subchannel(None),
    ):
        with pytest.raises(TypeError):
            await call


async def test_dumps_and_stats(room, channel):
    producer, consumer = await pair(room)
    channel.answers[m.DataProducerDump] = m.DataProducerDumpResponse(
        id="p", type=m.DataType.DIRECT, label="l", protocol="", paused=False
    )
    assert await producer.dump() == {"id": "p", "type": "direct", "label": "l", "protocol": "", "paused": False}
    channel.answers[m.DataProducerGetStats] = m.DataProducerGetStatsResponse(
        timestamp=1, label="l", protocol="", messages_received=2, bytes_received=3, buffered_amount=4
    )
    assert await producer.get_stats() == [
        {
            "type": "data-producer",
            "timestamp": 1,
            "label": "l",
            "protocol": "",
            "messagesReceived": 2,
            "bytesReceived": 3,
        }
    ]
    channel.answers[m.DataConsumerDump] = channel.answers[m.TransportConsumeData](channel.last(m.TransportConsumeData))
    dump = await consumer.dump()
    assert dump["sctpStreamParameters"] == {"streamId": 0, "ordered": True} and dump["subchannels"] == []
    channel.answers[m.DataConsumerGetStats] = m.DataConsumerGetStatsResponse(
        timestamp=1, label="l", protocol="", messages_sent=2, bytes_sent=3, buffered_amount=4
    )
    (stats,) = await consumer.get_stats()
    assert stats["type"] == "data-consumer" and stats["bufferedAmount"] == 4


async def test_closing(room, channel):
    producer, consumer = await pair(room)
    record(channel.log, producer=producer, consumer=consumer)
    producer.close()
    producer.close()
    channel.news(consumer, m.DataConsumerDataProducerClose())
    consumer.close()
    assert channel.log == [
        "TRANSPORT_CLOSE_DATAPRODUCER",
        "producer observer close",
        "consumer dataproducerclose",
        "consumer observer close",
    ]
    _, other = await pair(room)
    record(channel.log, other=other)
    other.close()
    assert channel.log[4:] == ["TRANSPORT_CLOSE_DATACONSUMER", "other observer close"]
