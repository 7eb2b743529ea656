import pytest

from sfu_core.errors import NotFoundError, UnsupportedError

from .room import Events, eventually, ids, rtp


@pytest.fixture
def transport(runner, room):
    return runner.run(room.webrtc())


@pytest.fixture
def audio(runner, room):
    return runner.run(_produce(room, room.audio))


@pytest.fixture
def video(runner, room):
    return runner.run(_produce(room, room.video))


async def _produce(room, make):
    return await make(await room.webrtc(), app_data={"baz": "LOL"})


async def test_audio(room, transport, audio):
    seen = []
    transport.observer.once("newconsumer", seen.append)
    consumer = await room.consume(transport, audio, app_data={"bar": 1})
    assert seen == [consumer]
    assert consumer.producer_id == audio.id and consumer.kind == "audio" and consumer.type == "simple"
    assert not (consumer.closed or consumer.paused or consumer.producer_paused)
    assert consumer.priority == 1 and consumer.app_data == {"bar": 1}
    assert consumer.score == {"score": 10, "producerScore": 0, "producerScores": [0]}
    assert consumer.preferred_layers is consumer.current_layers is None
    parameters = consumer.rtp_parameters
    assert parameters["mid"] == "0" and parameters["rtcp"]["cname"] == "FOOBAR"
    (codec,) = parameters["codecs"]
    assert (codec["mimeType"], codec["payloadType"], codec["channels"]) == ("audio/opus", 100, 2)
    assert codec["rtcpFeedback"] == []
    (encoding,) = parameters["encodings"]
    assert encoding.keys() == {"ssrc"}
    dump = await transport.dump()
    assert dump["consumerIds"] == [consumer.id]
    assert dump["mapSsrcConsumerId"] == [{"key": encoding["ssrc"], "value": consumer.id}]
    assert dump["mapRtxSsrcConsumerId"] == []


async def test_video(room, transport, video):
    consumer = await room.consume(transport, video, paused=True)
    assert consumer.paused
    codec, rtx = consumer.rtp_parameters["codecs"]
    assert codec["payloadType"] == 103 and rtx["parameters"] == {"apt": 103}
    assert codec["parameters"] == {"packetization-mode": 1, "profile-level-id": "4d0032"}
    (encoding,) = consumer.rtp_parameters["encodings"]
    dump = await transport.dump()
    assert dump["mapSsrcConsumerId"] == [{"key": encoding["ssrc"], "value": consumer.id}]
    assert dump["mapRtxSsrcConsumerId"] == [{"key": encoding["rtx"]["ssrc"], "value": consumer.id}]
    without = await room.consume(transport, video, enable_rtx=False)
    assert len(without.rtp_parameters["codecs"]) == 1 and "rtx" not in without.rtp_parameters["encodings"][0]


async def test_mids(room, transport, audio, video):
    consumers = [
        await room.consume(transport, audio),
        await room.consume(transport, video),
        await room.consume(transport, audio, mid="own"),
        await room.consume(transport, audio),
    ]
    assert [consumer.rtp_parameters["mid"] for consumer in consumers] == ["0", "1", "own", "2"]
    other = await room.webrtc()
    assert (await room.consume(other, audio)).rtp_parameters["mid"] == "0"


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"producer_id": None}, "producer_id"),
        ({"rtp_capabilities": None}, "rtp_capabilities"),
        ({"rtp_capabilities": {"codecs": 1}}, "rtpCapabilities.codecs"),
        ({"mid": ""}, "mid"),
        ({"preferred_layers": {"spatialLayer": "1"}}, "preferred_layers"),
        ({"app_data": "NOT-AN-OBJECT"}, "app_data"),
    ],
)
async def test_wrong_arguments(room, transport, audio, options, argument):
    good = {"producer_id": audio.id, "rtp_capabilities": room.router.rtp_capabilities}
    with pytest.raises(TypeError, match=argument):
        await transport.consume(**(good | options))
    assert (await transport.dump())["consumerIds"] == []


async def test_what_cannot_be_consumed(room, transport, audio, video):
    capabilities = room.router.rtp_capabilities
    with pytest.raises(NotFoundError, match="producer_id"):
        await transport.consume(producer_id="nobody", rtp_capabilities=capabilities)
    only_audio = {"codecs": [codec for codec in capabilities["codecs"] if codec["kind"] == "audio"]}
    await transport.consume(producer_id=audio.id, rtp_capabilities=only_audio)
    with pytest.raises(UnsupportedError, match="rtpCapabilities"):
        await transport.consume(producer_id=video.id, rtp_capabilities=only_audio)
    with pytest.raises(UnsupportedError, match="rtpCapabilities"):
        await transport.consume(producer_id=video.id, rtp_capabilities={})


async def test_dump(room, transport, video):
    consumer = await room.consume(transport, video)
    dump = await consumer.dump()
    assert dump["id"] == consumer.id and dump["producerId"] == video.id
    assert (dump["kind"], dump["type"], dump["paused"], dump["producerPaused"]) == ("video", "simple", False, False)
    assert dump["priority"] == 1 and dump["traceEventTypes"] == []
    assert dump["supportedCodecPayloadTypes"] == [103]
    mapped = video.consumable_rtp_parameters["encodings"][0]["ssrc"]
    assert [encoding["ssrc"] for encoding in dump["consumableRtpEncodings"]] == [mapped]
    encoding = consumer.rtp_parameters["encodings"][0]
    params = dump["rtpStream"]["params"]
    assert (params["ssrc"], params["payloadType"], params["mimeType"]) == (encoding["ssrc"], 103, "video/H264")
    assert (params["rtxSsrc"], params["rtxPayloadType"]) == (encoding["rtx"]["ssrc"], 104)
    assert params["useNack"] is True and params["usePli"] is True and params["cname"] == "FOOBAR"
    assert dump["rtpStream"]["score"] == 10
    assert not dump.keys() & {"rtpStreams", "preferredSpatialLayer", "currentTemporalLayer"}


async def test_stats(room, transport, video):
    consumer = await room.consume(transport, video)
    (stats,) = await consumer.get_stats()  # nothing is received yet
    assert stats["type"] == "outbound-rtp" and stats["kind"] == "video" and stats["mimeType"] == "video/H264"
    assert stats["ssrc"] == consumer.rtp_parameters["encodings"][0]["ssrc"]
    for zero in ("packetCount", "byteCount", "bitrate", "packetsLost", "nackCount", "pliCount", "roundTripTime"):
        assert stats[zero] == 0, zero


async def test_pausing(room, transport, audio):
    consumer = await room.consume(transport, audio)
    events = Events(consumer=consumer)
    await consumer.pause()
    await consumer.pause()
    assert consumer.paused and (await consumer.dump())["paused"] is True
    await consumer.resume()
    await consumer.resume()
    assert not consumer.paused and (await consumer.dump())["paused"] is False
    assert events.log == ["consumer observer pause", "consumer observer resume"]


async def test_the_producer_pauses(room, transport, audio):
    consumer = await room.consume(transport, audio)
    events = Events(consumer=consumer)
    await audio.pause()
    await events.until("consumer observer pause")
    assert consumer.producer_paused and not consumer.paused
    assert (await consumer.dump())["producerPaused"] is True
    late = await room.consume(transport, audio)
    assert late.producer_paused
    await audio.resume()
    await events.until("consumer observer resume")
    assert not consumer.producer_paused
    assert events.log == [
        "consumer producerpause",
        "consumer observer pause",
        "consumer producerresume",
        "consumer observer resume",
    ]


async def test_observers_hear_of_the_effect(room, transport, audio):
    consumer = await room.consume(transport, audio, paused=True)
    events = Events(consumer=consumer)
    await audio.pause()
    await events.until("consumer producerpause")
    await consumer.resume()
    await consumer.pause()
    await audio.resume()
    await events.until("consumer producerresume")
    await consumer.resume()
    assert events.log == ["consumer producerpause", "consumer producerresume", "consumer observer resume"]


async def test_preferred_layers_mean_nothing_to_simple_consumers(room, transport, video):
    consumer = await room.consume(transport, video, preferred_layers={"spatialLayer": 1, "temporalLayer": 1})
    assert consumer.preferred_layers is None
    await consumer.set_preferred_layers(spatial_layer=1, temporal_layer=1)
    assert consumer.preferred_layers is None
    for wrong in ({"spatial_layer": "1"}, {"spatial_layer": 1, "temporal_layer": "1"}):
        with pytest.raises(TypeError, match="Layer"):
            await consumer.set_preferred_layers(**wrong)


async def test_priority(room, transport, video):
    consumer = await room.consume(transport, video)
    await consumer.set_priority(2)
    assert consumer.priority == 2 == (await consumer.dump())["priority"]
    for wrong in (0, -1, 256, "1"):
        with pytest.raises(TypeError, match="priority"):
            await consumer.set_priority(wrong)
    await consumer.unset_priority()
    assert consumer.priority == 1


async def test_key_frame_requests_are_always_answered(room, transport, audio, video):
    for producer in (audio, video):
        await (await room.consume(transport, producer)).request_key_frame()
        pipe = await room.pipe()
        await (await pipe.consume(producer_id=producer.id)).request_key_frame()


async def test_trace_events(room, transport, audio):
    consumer = await room.consume(transport, audio)
    await consumer.enable_trace_event(["rtp", "sr", "nack", "foo"])
    assert sorted((await consumer.dump())["traceEventTypes"]) == ["nack", "rtp"]
    await consumer.enable_trace_event()
    assert (await consumer.dump())["traceEventTypes"] == []
    with pytest.raises(TypeError, match="types"):
        await consumer.enable_trace_event("rtp")


async def test_tracing(room):
    transport = await room.direct()
    producer = await room.audio(transport)
    consumer = await room.consume(transport, producer)
    await consumer.enable_trace_event(["rtp"])
    seen, observed = [], []
    consumer.on("trace", seen.append)
    consumer.observer.on("trace", observed.append)
    producer.send(rtp(11111111, 1))
    await eventually(lambda: observed)
    (trace,) = seen
    assert observed == seen and trace["type"] == "rtp" and trace["direction"] == "out"
    packet = trace["info"]["rtpPacket"]
    assert packet["ssrc"] == consumer.rtp_parameters["encodings"][0]["ssrc"] and packet["payloadType"] == 100


async def test_scores(room):
    transport = await room.direct()
    producer = await room.audio(transport)
    consumer = await room.consume(transport, producer)
    scores = []
    consumer.on("score", scores.append)
    producer.send(rtp(11111111, 1))
    await eventually(lambda: scores)
    assert scores[0] == consumer.score == {"score": 10, "producerScore": 10, "producerScores": [10]}


async def test_closing(room, transport, audio):
    consumers = [await room.consume(transport, audio) for _ in range(2)]
    events = Events(consumer=consumers[0])
    consumers[0].close()
    consumers[0].close()
    assert events.log == ["consumer observer close"] and consumers[0].closed
    dump = await transport.dump()
    assert dump["consumerIds"] == ids(consumers[1:]) and len(dump["mapSsrcConsumerId"]) == 1
    (mapped,) = (await room.router.dump())["mapProducerIdConsumerIds"]
    assert mapped == {"key": audio.id, "values": [consumers[1].id]}
    for call in (
        consumers[0].dump,
        consumers[0].get_stats,
        consumers[0].pause,
        consumers[0].resume,
        consumers[0].request_key_frame,
        lambda: consumers[0].set_priority(2),
        lambda: consumers[0].set_preferred_layers(spatial_layer=0),
    ):
        with pytest.raises(NotFoundError):
            await call()


async def test_the_producer_closes(room, transport, audio):
    consumer = await room.consume(transport, audio)
    events = Events(consumer=consumer)
    audio.close()
    await events.until("consumer observer close")
    assert events.log == ["consumer producerclose", "consumer observer close"] and consumer.closed
    assert (await transport.dump())["consumerIds"] == []


async def test_the_producers_transport_closes(room, transport):
    other = await room.plain()
    consumer = await room.consume(transport, await room.audio(other))
    events = Events(consumer=consumer)
    other.close()
    await events.until("consumer observer close")
    assert events.log == ["consumer producerclose", "consumer observer close"]


async def test_the_transport_closes(room, transport, audio):
    consumer = await room.consume(transport, audio)
    events = Events(consumer=consumer)
    transport.close()
    assert events.log == ["consumer transportclose", "consumer observer close"] and consumer.closed
    assert (await room.router.dump())["mapConsumerIdProducerId"] == []
    assert not audio.closed
