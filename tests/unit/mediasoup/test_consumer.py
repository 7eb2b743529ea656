import pytest

from sfu_core.channel import messages as m

from .fakes import record
from .test_producer import STREAM, base_stats

KINDS = m.ConsumerTraceEventType


@pytest.fixture
def consumer(runner, room):
    async def make():
        transport = await room.plain()
        return await room.consume(transport, await room.video(transport))

    return runner.run(make())


async def test_pause_and_resume(consumer, channel):
    log = []
    record(log, consumer=consumer)
    await consumer.pause()
    await consumer.pause()
    assert consumer.paused
    await consumer.resume()
    await consumer.resume()
    assert not consumer.paused
    assert log == ["consumer observer pause", "consumer observer resume"]
    assert channel.handler_of(m.ConsumerPause) == consumer.id


async def test_the_producer_pauses_and_resumes(consumer, channel):
    log = []
    record(log, consumer=consumer)
    for news in (m.ConsumerProducerPause(), m.ConsumerProducerPause()):
        channel.news(consumer, news)
    assert consumer.producer_paused and not consumer.paused
    for news in (m.ConsumerProducerResume(), m.ConsumerProducerResume()):
        channel.news(consumer, news)
    assert not consumer.producer_paused
    assert log == [
        "consumer producerpause",
        "consumer observer pause",
        "consumer producerresume",
        "consumer observer resume",
    ]


async def test_observers_hear_only_of_effective_changes(consumer, channel):
    log = []
    record(log, consumer=consumer)
    await consumer.pause()
    channel.news(consumer, m.ConsumerProducerPause())
    await consumer.resume()
    await consumer.pause()
    channel.news(consumer, m.ConsumerProducerResume())
    await consumer.resume()
    assert log == [
        "consumer observer pause",
        "consumer producerpause",
        "consumer producerresume",
        "consumer observer resume",
    ]


async def test_score_and_layers(consumer, channel):
    seen, observed = [], []
    for event in ("score", "layerschange"):
        consumer.on(event, lambda data, event=event: seen.append((event, data)))
        consumer.observer.on(event, lambda data, event=event: observed.append((event, data)))
    scores = m.ConsumerScores(score=9, producer_score=8, producer_scores=[8, 10])
    channel.news(consumer, m.ConsumerScore(score=scores))
    layers = m.ConsumerLayers(spatial_layer=1, temporal_layer=2)
    channel.news(consumer, m.ConsumerLayersChange(layers=layers))
    assert consumer.current_layers == {"spatialLayer": 1, "temporalLayer": 2}
    channel.news(consumer, m.ConsumerLayersChange())
    assert consumer.current_layers is None
    assert (
        seen
        == observed
        == [
            ("score", {"score": 9, "producerScore": 8, "producerScores": [8, 10]}),
            ("layerschange", {"spatialLayer": 1, "temporalLayer": 2}),
            ("layerschange", None),
        ]
    )
    assert consumer.score == seen[0][1]


async def test_preferred_layers(consumer, channel):
    answer = m.ConsumerSetPreferredLayersResponse(preferred_layers=m.ConsumerLayers(spatial_layer=1))
    channel.answers[m.ConsumerSetPreferredLayers] = answer
    await consumer.set_preferred_layers(spatial_layer=2, temporal_layer=3)
    asked = channel.last(m.ConsumerSetPreferredLayers).preferred_layers
    assert asked == m.ConsumerLayers(spatial_layer=2, temporal_layer=3)
    assert consumer.preferred_layers == {"spatialLayer": 1}
    channel.answers[m.ConsumerSetPreferredLayers] = m.ConsumerSetPreferredLayersResponse()
    await consumer.set_preferred_layers(spatial_layer=0)
    assert consumer.preferred_layers is None
    for wrong in ({"spatial_layer": "1"}, {"spatial_layer": 1, "temporal_layer": "1"}, {"spatial_layer": -1}):
        with pytest.raises(TypeError, match="Layer"):
            await consumer.set_preferred_layers(**wrong)


async def test_priority(consumer, channel):
    await consumer.set_priority(7)
    assert consumer.priority == 7
    await consumer.unset_priority()
    assert consumer.priority == 1
    for wrong in (0, -1, 256, "1", None, True):
        with pytest.raises(TypeError, match="priority"):
            await consumer.set_priority(wrong)


async def test_key_frames_and_trace_events(consumer, channel):
    await consumer.request_key_frame()
    assert channel.handler_of(m.ConsumerRequestKeyFrame) == consumer.id
    await consumer.enable_trace_event(["rtp", "sr", "pli"])  # there is no sr here
    assert channel.last(m.ConsumerEnableTraceEvent).events == [KINDS.RTP, KINDS.PLI]
    with pytest.raises(TypeError, match="types"):
        await consumer.enable_trace_event([1])


async def test_trace_and_rtp(consumer, channel):
    seen, observed, packets = [], [], []
    consumer.on("trace", seen.append)
    consumer.observer.on("trace", observed.append)
    consumer.on("rtp", packets.append)
    info = m.PliTraceInfo(ssrc=3)
    trace = m.ConsumerTrace(type=KINDS.PLI, timestamp=7, direction=m.TraceDirection.IN, info=info)
    channel.news(consumer, trace)
    channel.news(consumer, m.ConsumerRtp(data=b"packet"))
    assert seen == [{"type": "pli", "timestamp": 7, "direction": "in", "info": {"ssrc": 3}}]
    assert observed == seen  # once each
    assert packets == [b"packet"]


def dump(consumer, type, **layers):
    return m.ConsumerDumpResponse(
        data=m.ConsumerDumpData(
            base=m.BaseConsumerDump(
                id=consumer.id,
                type=type,
                producer_id=consumer.producer_id,
                kind=m.MediaKind.VIDEO,
                rtp_parameters=m.RtpParameters(
                    codecs=[], header_extensions=[], encodings=[], rtcp=m.RtcpParameters(cname="me")
                ),
                consumable_rtp_encodings=[m.RtpEncodingParameters(ssrc=5)],
                supported_codec_payload_types=[101],
                trace_event_types=[KINDS.RTP],
                paused=False,
                producer_paused=True,
                priority=1,
            ),
            rtp_streams=[STREAM],
            **layers,
        )
    )


async def test_dump(consumer, channel):
    channel.answers[m.ConsumerDump] = dump(consumer, m.RtpType.SIMPLE)
    simple = await consumer.dump()
    assert simple["rtpStream"]["params"]["ssrc"] == 22
    del simple["rtpStream"]
    assert simple == {
        "id": consumer.id,
        "type": "simple",
        "producerId": consumer.producer_id,
        "kind": "video",
        "rtpParameters": {
            "codecs": [],
            "headerExtensions": [],
            "encodings": [],
            "rtcp": {"cname": "me", "reducedSize": True},
        },
        "consumableRtpEncodings": [{"ssrc": 5, "dtx": False}],
        "supportedCodecPayloadTypes": [101],
        "traceEventTypes": ["rtp"],
        "paused": False,
        "producerPaused": True,
        "priority": 1,
    }
    channel.answers[m.ConsumerDump] = dump(consumer, m.RtpType.PIPE)
    piped = await consumer.dump()
    assert [stream["score"] for stream in piped["rtpStreams"]] == [10] and "rtpStream" not in piped
    channel.answers[m.ConsumerDump] = dump(consumer, m.RtpType.SVC, target_spatial_layer=-1)
    assert (await consumer.dump())["targetSpatialLayer"] == -1


async def test_stats(consumer, channel):
    sent = m.SendStats(base=base_stats(), packet_count=1, byte_count=2, bitrate=3)
    received = m.RecvStats(base=base_stats(), packet_count=4, byte_count=5, bitrate=6, bitrate_by_layer=[])
    stats = [m.StreamStats(data=sent), m.StreamStats(data=received)]
    channel.answers[m.ConsumerGetStats] = m.ConsumerGetStatsResponse(stats=stats)
    out, into = await consumer.get_stats()
    assert (out["type"], out["packetCount"], out["score"]) == ("outbound-rtp", 1, 10)
    assert "bitrateByLayer" not in out
    assert (into["type"], into["byteCount"], into["bitrateByLayer"]) == ("inbound-rtp", 5, {})


async def test_closing(consumer, channel):
    record(channel.log, consumer=consumer)
    consumer.close()
    consumer.close()
    assert channel.log == ["TRANSPORT_CLOSE_CONSUMER", "consumer observer close"]
    channel.news(consumer, m.ConsumerProducerClose())
    assert len(channel.log) == 2


async def test_the_producer_closes(consumer, channel):
    record(channel.log, consumer=consumer)
    listener = channel.listeners[consumer.id]
    listener(m.ConsumerProducerClose())
    listener(m.ConsumerProducerClose())
    consumer.close()
    assert channel.log == ["consumer producerclose", "consumer observer close"]
