import asyncio

import pytest

from sfu_core.channel import messages as m
from sfu_core.errors import NotFoundError, WorkerClosedError

from .fakes import audio_parameters, record, video_parameters


async def test_produce(room, channel):
    transport = await room.plain()
    log = []
    record(log, transport=transport)
    producer = await transport.produce(
        kind="video",
        rtp_parameters=video_parameters(mid="1", rtcp={"cname": "me"}, msid="a b"),
        paused=True,
        key_frame_request_delay=500,
        enable_mediasoup_packet_id_header_extension=True,
        app_data={"a": 1},
    )
    request = channel.last(m.TransportProduce)
    assert channel.handler_of(m.TransportProduce) == transport.id
    assert request.producer_id == producer.id
    assert request.kind is m.MediaKind.VIDEO
    assert request.paused and request.key_frame_request_delay == 500
    assert request.enable_mediasoup_packet_id_header_extension
    assert request.rtp_parameters.rtcp == m.RtcpParameters(cname="me")
    assert request.rtp_parameters.mid == "1" and request.rtp_parameters.msid == "a b"
    assert [(c.payload_type, c.mapped_payload_type) for c in request.rtp_mapping.codecs] == [(96, 101), (97, 102)]
    assert producer.type == "simple" and producer.kind == "video" and producer.paused
    assert producer.app_data == {"a": 1}
    assert producer.rtp_parameters["rtcp"] == {"cname": "me", "reducedSize": True}
    assert producer.consumable_rtp_parameters["codecs"][0]["payloadType"] == 101
    assert log == ["transport observer newproducer"]


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"kind": "chicken"}, "kind"),
        ({"rtp_parameters": {}}, "rtpParameters.codecs"),
        ({"rtp_parameters": None}, "rtpParameters"),
        ({"paused": 1}, "paused"),
        ({"key_frame_request_delay": "1"}, "key_frame_request_delay"),
        ({"key_frame_request_delay": -1}, "key_frame_request_delay"),
        ({"app_data": "NOT-AN-OBJECT"}, "app_data"),
        ({"id": 7}, "id"),
        (
            {"rtp_parameters": audio_parameters(headerExtensions=[{"uri": "urn:unknown", "id": 1}])},
            "headerExtensions",
        ),
    ],
)
async def test_produce_with_wrong_arguments(room, channel, options, argument):
    transport = await room.plain()
    with pytest.raises(TypeError, match=argument):
        await transport.produce(**({"kind": "audio", "rtp_parameters": audio_parameters()} | options))
    assert not any(isinstance(message, m.TransportProduce) for message, _ in channel.requests)


async def test_an_id_is_used_once_in_a_transport(room):
    transport = await room.plain()
    producer = await room.audio(transport, id="abc")
    assert producer.id == "abc"
    with pytest.raises(TypeError, match="abc"):
        await room.audio(transport, id="abc")
    producer.close()
    assert (await room.audio(transport, id="abc")).id == "abc"


async def test_no_encodings_become_one(room, channel):
    transport = await room.plain()
    parameters = audio_parameters(mid="a")
    del parameters["encodings"]
    producer = await transport.produce(kind="audio", rtp_parameters=parameters)
    assert len(channel.last(m.TransportProduce).rtp_parameters.encodings) == 1
    assert len(producer.rtp_parameters["encodings"]) == 1
    assert "encodings" not in parameters  # the application's dictionary is its own


class TestCname:
    async def names(self, room, transport, *given):
        producers = [
            await transport.produce(kind="audio", rtp_parameters=audio_parameters(ssrc, rtcp=rtcp))
            for ssrc, rtcp in enumerate(given, 1)
        ]
        return [producer.rtp_parameters["rtcp"]["cname"] for producer in producers]

    async def test_the_first_one_is_used_for_all(self, room):
        transport = await room.plain()
        assert await self.names(room, transport, {"cname": "a"}, {"cname": "b"}, {}) == ["a", "a", "a"]

    async def test_a_random_one_for_all(self, room):
        transport, other = await room.plain(), await room.plain()
        first, second = await self.names(room, transport, {"cname": ""}, {"cname": "b"})
        assert first == second and len(first) == 8
        assert await self.names(room, other, {}) != [first]

    async def test_each_its_own_in_a_pipe(self, room):
        transport = await room.pipe()
        names = await self.names(room, transport, {"cname": "a"}, {"cname": "b"}, {}, {})
        assert names[:2] == ["a", "b"]
        assert len(set(names)) == 4 and len(names[3]) == 8


async def test_consume(room, channel):
    sender, receiver = await room.plain(), await room.plain()
    producer = await room.video(sender)
    log = []
    record(log, receiver=receiver)
    consumer = await room.consume(
        receiver,
        producer,
        paused=True,
        preferred_layers={"spatialLayer": 1, "temporalLayer": 2},
        ignore_dtx=True,
        app_data={"b": 2},
    )
    request = channel.last(m.TransportConsume)
    assert channel.handler_of(m.TransportConsume) == receiver.id
    assert (request.consumer_id, request.producer_id) == (consumer.id, producer.id)
    assert request.type is m.RtpType.SIMPLE and request.paused and request.ignore_dtx
    assert request.preferred_layers == m.ConsumerLayers(spatial_layer=1, temporal_layer=2)
    assert [e.ssrc for e in request.consumable_rtp_encodings] == [
        producer.consumable_rtp_parameters["encodings"][0]["ssrc"]
    ]
    assert request.rtp_parameters.mid == "0"
    assert consumer.producer_id == producer.id and consumer.kind == "video" and consumer.type == "simple"
    assert consumer.paused and not consumer.producer_paused
    assert consumer.score == {"score": 10, "producerScore": 10, "producerScores": [10]}
    assert consumer.preferred_layers == {"spatialLayer": 1, "temporalLayer": 2}
    assert consumer.current_layers is None and consumer.priority == 1
    assert consumer.app_data == {"b": 2}
    assert log == ["receiver observer newconsumer"]


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"producer_id": 1}, "producer_id"),
        ({"producer_id": ""}, "producer_id"),
        ({"rtp_capabilities": None}, "rtp_capabilities"),
        ({"rtp_capabilities": {"codecs": "x"}}, "rtpCapabilities.codecs"),
        ({"mid": ""}, "mid"),
        ({"mid": 1}, "mid"),
        ({"paused": None}, "paused"),
        ({"preferred_layers": {"temporalLayer": 1}}, "preferred_layers.spatialLayer"),
        ({"preferred_layers": 1}, "preferred_layers"),
        ({"app_data": 1}, "app_data"),
    ],
)
async def test_consume_with_wrong_arguments(room, options, argument):
    transport = await room.plain()
    producer = await room.audio(transport)
    good = {"producer_id": producer.id, "rtp_capabilities": room.router.rtp_capabilities}
    with pytest.raises(TypeError, match=argument):
        await transport.consume(**(good | options))


async def test_consume_an_unknown_producer(room):
    transport = await room.plain()
    with pytest.raises(NotFoundError, match="producer_id"):
        await transport.consume(producer_id="x", rtp_capabilities=room.router.rtp_capabilities)


async def test_mids_count_up(room, channel):
    transport = await room.plain()
    producer = await room.audio(transport)

    async def mid(**options):
        return (await room.consume(transport, producer, **options)).rtp_parameters.get("mid")

    assert [await mid(), await mid(mid="own"), await mid(), await mid(pipe=True), await mid()] == [
        "0", "own", "1", None, "2",
    ]  # fmt: skip
    transport._mids = 99_999_999
    assert [await mid(), await mid()] == ["99999999", "0"]


async def test_rtx_is_for_video_unless_asked_for(room, channel):
    transport = await room.plain()
    audio, video = await room.audio(transport), await room.video(transport)

    async def feedback(producer, **options):
        consumer = await room.consume(transport, producer, **options)
        codecs = consumer.rtp_parameters["codecs"]
        nack = {"type": "nack", "parameter": ""} in codecs[0]["rtcpFeedback"]
        return nack, len(codecs)

    assert await feedback(audio) == (False, 1)
    assert await feedback(audio, enable_rtx=True) == (True, 1)
    assert await feedback(video) == (True, 2)
    assert await feedback(video, enable_rtx=False) == (False, 1)


async def test_consume_as_a_pipe(room, channel):
    transport = await room.plain()
    producer = await transport.produce(
        kind="video",
        rtp_parameters=video_parameters() | {"encodings": [{"rid": "a"}, {"rid": "b"}], "mid": "x"},
    )
    assert producer.type == "simulcast"
    consumer = await room.consume(transport, producer, pipe=True)
    assert consumer.type == "pipe" and channel.last(m.TransportConsume).type is m.RtpType.PIPE
    assert len(consumer.rtp_parameters["encodings"]) == 2


@pytest.mark.parametrize(
    ("method", "kind", "field"),
    [
        ("set_max_incoming_bitrate", m.TransportSetMaxIncomingBitrate, "max_incoming_bitrate"),
        ("set_max_outgoing_bitrate", m.TransportSetMaxOutgoingBitrate, "max_outgoing_bitrate"),
        ("set_min_outgoing_bitrate", m.TransportSetMinOutgoingBitrate, "min_outgoing_bitrate"),
    ],
)
async def test_bitrates(room, channel, method, kind, field):
    transport = await room.plain()
    await getattr(transport, method)(123456)
    assert getattr(channel.last(kind), field) == 123456
    for wrong in ("1", None, -1, 1.5, True):
        with pytest.raises(TypeError, match="bitrate"):
            await getattr(transport, method)(wrong)


async def test_trace_events(room, channel):
    transport = await room.plain()
    await transport.enable_trace_event(["bwe", "foo", "probation", "bwe"])
    kinds = m.TransportTraceEventType
    assert channel.last(m.TransportEnableTraceEvent).events == [kinds.BWE, kinds.PROBATION]
    await transport.enable_trace_event()
    assert channel.last(m.TransportEnableTraceEvent).events == []
    for wrong in ("bwe", 123, [123], None):
        with pytest.raises(TypeError, match="types"):
            await transport.enable_trace_event(wrong)


async def test_trace(room, channel):
    transport = await room.plain()
    seen, observed = [], []
    transport.on("trace", seen.append)
    transport.observer.on("trace", observed.append)
    types, out = m.TransportTraceEventType, m.TraceDirection.OUT
    channel.news(transport, m.TransportTrace(type=types.PROBATION, timestamp=5, direction=out))
    assert seen == [{"type": "probation", "timestamp": 5, "direction": "out", "info": {}}]
    info = m.BweTraceInfo(
        bwe_type=m.BweType.TRANSPORT_CC,
        desired_bitrate=1,
        effective_desired_bitrate=2,
        min_bitrate=3,
        max_bitrate=4,
        start_bitrate=5,
        max_padding_bitrate=6,
        available_bitrate=7,
    )
    channel.news(transport, m.TransportTrace(type=types.BWE, timestamp=6, direction=out, info=info))
    assert seen[1]["info"] == {
        "bweType": "transport-cc",
        "desiredBitrate": 1,
        "effectiveDesiredBitrate": 2,
        "minBitrate": 3,
        "maxBitrate": 4,
        "startBitrate": 5,
        "maxPaddingBitrate": 6,
        "availableBitrate": 7,
    }
    assert observed == seen


async def test_nothing_is_born_into_a_closed_transport(room, channel):
    transport = await room.plain()
    producer = await room.audio(transport)
    for kind, make in ((m.TransportProduce, room.video), (m.TransportConsume, room.consume)):
        other = await room.plain()
        answer = channel.answers[kind]

        def close_meanwhile(request, answer=answer, other=other):
            other.close()
            return answer(request)

        channel.answers[kind] = close_meanwhile
        with pytest.raises(NotFoundError, match="closed"):
            await (make(other) if make == room.video else make(other, producer))
        channel.answers[kind] = answer
    assert list(room.router._context.producers) == [producer.id]


async def test_cancelling(room, channel):
    """The worker is told to close what nobody would own; the object is never seen."""
    transport = await room.plain()
    producer = await room.audio(transport)
    data_producer = await transport.produce_data(sctp_stream_parameters={"streamId": 1})
    for make in (
        room.video(transport),
        room.consume(transport, producer),
        transport.produce_data(sctp_stream_parameters={"streamId": 2}),
        transport.consume_data(data_producer_id=data_producer.id),
        room.plain(),
        room.webrtc(),
        room.router.create_audio_level_observer(),
        room.worker.create_router(),
    ):
        asked = asyncio.ensure_future(make)
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    assert channel.log == [
        "TRANSPORT_CLOSE_PRODUCER",
        "TRANSPORT_CLOSE_CONSUMER",
        "TRANSPORT_CLOSE_DATAPRODUCER",
        "TRANSPORT_CLOSE_DATACONSUMER",
        "ROUTER_CLOSE_TRANSPORT",
        "ROUTER_CLOSE_TRANSPORT",
        "ROUTER_CLOSE_RTPOBSERVER",
        "WORKER_CLOSE_ROUTER",
    ]
    asked_ids = {message.producer_id for message, _ in channel.requests if isinstance(message, m.TransportProduce)}
    assert channel.posted[0][0].producer_id in asked_ids - {producer.id}
    assert list(room.router._context.producers) == [producer.id]
    assert transport._data_streams._used == set()


async def test_closing(room, channel):
    sender, receiver = await room.plain(), await room.plain()
    producer = await room.audio(sender)
    consumer = await room.consume(receiver, producer)
    own = await room.consume(sender, producer)
    data_producer = await sender.produce_data(sctp_stream_parameters={"streamId": 1})
    data_consumer = await sender.consume_data(data_producer_id=data_producer.id)
    log = channel.log
    record(
        log, sender=sender, producer=producer, consumer=consumer, own=own, dataproducer=data_producer,
        dataconsumer=data_consumer,
    )  # fmt: skip
    sender.close()
    sender.close()
    assert log == [
        "ROUTER_CLOSE_TRANSPORT",
        "producer transportclose",
        "producer observer close",
        "own transportclose",
        "own observer close",
        "dataproducer transportclose",
        "dataproducer observer close",
        "dataconsumer transportclose",
        "dataconsumer observer close",
        "sender observer close",
    ]
    assert channel.posted == [(m.RouterCloseTransport(transport_id=sender.id), room.router.id)]
    assert all(x.closed for x in (sender, producer, own, data_producer, data_consumer))
    assert not consumer.closed  # the worker tells about that one
    channel.news(consumer, m.ConsumerProducerClose())
    assert consumer.closed and log[-2:] == ["consumer producerclose", "consumer observer close"]
    assert not room.router.can_consume(producer_id=producer.id, rtp_capabilities=room.router.rtp_capabilities)


async def test_requests_after_the_worker_has_gone(room, channel):
    transport = await room.plain()
    room.worker.close()
    for call in (transport.dump, transport.get_stats, transport.enable_trace_event):
        with pytest.raises(WorkerClosedError):
            await call()
