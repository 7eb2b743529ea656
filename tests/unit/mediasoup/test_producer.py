import pytest

from sfu_core.channel import messages as m

from .fakes import record

KINDS = m.ProducerTraceEventType


@pytest.fixture
def producer(runner, room):
    async def make():
        return await room.video(await room.plain())

    return runner.run(make())


def packet(**more):
    return m.RtpPacketDump(
        payload_type=96,
        sequence_number=1,
        timestamp=2,
        marker=True,
        ssrc=3,
        is_key_frame=True,
        size=100,
        payload_size=88,
        spatial_layer=0,
        temporal_layer=0,
        **more,
    )


async def test_pause_and_resume(producer, channel):
    log = []
    record(log, producer=producer)
    await producer.pause()
    await producer.pause()
    assert producer.paused
    await producer.resume()
    await producer.resume()
    assert not producer.paused
    assert log == ["producer observer pause", "producer observer resume"]
    assert channel.handler_of(m.ProducerPause) == channel.handler_of(m.ProducerResume) == producer.id


async def test_score(producer, channel):
    seen, observed = [], []
    producer.on("score", seen.append)
    producer.observer.on("score", observed.append)
    assert producer.score == []
    scores = [m.ProducerStreamScore(encoding_idx=0, ssrc=11, rid="r0", score=10)]
    channel.news(producer, m.ProducerScore(scores=scores))
    channel.news(producer, m.ProducerScore(scores=[m.ProducerStreamScore(encoding_idx=1, ssrc=12, score=9)]))
    assert seen == [
        [{"encodingIdx": 0, "ssrc": 11, "rid": "r0", "score": 10}],
        [{"encodingIdx": 1, "ssrc": 12, "score": 9}],
    ]
    assert observed == seen and producer.score == seen[1]
    seen[1].clear()
    assert len(producer.score) == 1


async def test_video_orientation(producer, channel):
    seen = []
    producer.on("videoorientationchange", seen.append)
    producer.observer.on("videoorientationchange", seen.append)
    channel.news(producer, m.ProducerVideoOrientationChange(camera=True, flip=False, rotation=90))
    assert seen == [{"camera": True, "flip": False, "rotation": 90}] * 2


@pytest.mark.parametrize(
    ("kind", "info", "expected"),
    [
        (KINDS.NACK, None, None),
        (KINDS.PLI, m.PliTraceInfo(ssrc=3), {"ssrc": 3}),
        (KINDS.FIR, m.FirTraceInfo(ssrc=3), {"ssrc": 3}),
        (
            KINDS.KEYFRAME,
            m.KeyFrameTraceInfo(rtp_packet=packet(mid="0"), is_rtx=True),
            {
                "rtpPacket": {
                    "payloadType": 96,
                    "sequenceNumber": 1,
                    "timestamp": 2,
                    "marker": True,
                    "ssrc": 3,
                    "isKeyFrame": True,
                    "size": 100,
                    "payloadSize": 88,
                    "spatialLayer": 0,
                    "temporalLayer": 0,
                    "mid": "0",
                },
                "isRtx": True,
            },
        ),
        (
            KINDS.SR,
            m.SrTraceInfo(ssrc=1, ntp_sec=2, ntp_frac=3, rtp_ts=4, packet_count=5, octet_count=6),
            {"ssrc": 1, "ntpSec": 2, "ntpFrac": 3, "rtpTs": 4, "packetCount": 5, "octetCount": 6},
        ),
    ],
)
async def test_trace(producer, channel, kind, info, expected):
    seen, observed = [], []
    producer.on("trace", seen.append)
    producer.observer.on("trace", observed.append)
    trace = m.ProducerTrace(type=kind, timestamp=7, direction=m.TraceDirection.IN, info=info)
    channel.news(producer, trace)
    event = {"type": kind.name.lower(), "timestamp": 7, "direction": "in"}
    assert seen == [event if expected is None else event | {"info": expected}]
    assert observed == seen  # once each


async def test_enable_trace_event(producer, channel):
    await producer.enable_trace_event(["rtp", "sr", "foo"])
    assert channel.last(m.ProducerEnableTraceEvent).events == [KINDS.RTP, KINDS.SR]
    for wrong in (123, "rtp", ["fir", 123.123]):
        with pytest.raises(TypeError, match="types"):
            await producer.enable_trace_event(wrong)


async def test_send(producer, channel):
    for data in (b"abc", bytearray(b"abc"), memoryview(b"abc")):
        producer.send(data)
    assert channel.notifications == [(m.ProducerSend(data=b"abc"), producer.id)] * 3
    with pytest.raises(TypeError, match="packet"):
        producer.send("abc")


def dump(producer, streams):
    return m.ProducerDumpResponse(
        id=producer.id,
        kind=m.MediaKind.VIDEO,
        type=m.RtpType.SIMPLE,
        rtp_parameters=m.RtpParameters(
            codecs=[
                m.RtpCodecParameters(
                    mime_type="video/H264",
                    payload_type=112,
                    clock_rate=90000,
                    channels=0,
                    parameters=[
                        m.Parameter(name="packetization-mode", value=m.Integer32(value=1)),
                        m.Parameter(name="profile-level-id", value=m.String(value="4d0032")),
                        m.Parameter(name="x", value=m.Double(value=1.5)),
                    ],
                    rtcp_feedback=[m.RtcpFeedback(type="nack"), m.RtcpFeedback(type="nack", parameter="pli")],
                )
            ],
            header_extensions=[m.RtpHeaderExtensionParameters(uri=m.RtpHeaderExtensionUri.VIDEO_ORIENTATION, id=13)],
            encodings=[m.RtpEncodingParameters(ssrc=22, rtx=m.Rtx(ssrc=23), max_bitrate=100)],
            rtcp=m.RtcpParameters(cname="me"),
        ),
        rtp_mapping=m.RtpMapping(
            codecs=[m.CodecMapping(payload_type=112, mapped_payload_type=103)],
            encodings=[m.EncodingMapping(ssrc=22, mapped_ssrc=100)],
        ),
        rtp_streams=streams,
        trace_event_types=[KINDS.SR],
        paused=False,
    )


STREAM = m.RtpStreamDump(
    params=m.RtpStreamParams(
        encoding_idx=0,
        ssrc=22,
        payload_type=112,
        mime_type="video/H264",
        clock_rate=90000,
        cname="me",
        use_nack=True,
        use_pli=True,
        use_fir=False,
        use_in_band_fec=False,
        use_dtx=False,
        spatial_layers=1,
        temporal_layers=1,
    ),
    score=10,
)


async def test_dump(producer, channel):
    channel.answers[m.ProducerDump] = dump(producer, [])
    assert await producer.dump() == {
        "id": producer.id,
        "kind": "video",
        "type": "simple",
        "rtpParameters": {
            "codecs": [
                {
                    "mimeType": "video/H264",
                    "payloadType": 112,
                    "clockRate": 90000,
                    "parameters": {"packetization-mode": 1, "profile-level-id": "4d0032", "x": 1.5},
                    "rtcpFeedback": [{"type": "nack", "parameter": ""}, {"type": "nack", "parameter": "pli"}],
                }
            ],
            "headerExtensions": [{"uri": "urn:3gpp:video-orientation", "id": 13, "encrypt": False, "parameters": {}}],
            "encodings": [{"ssrc": 22, "rtx": {"ssrc": 23}, "dtx": False, "maxBitrate": 100}],
            "rtcp": {"cname": "me", "reducedSize": True},
        },
        "rtpMapping": {
            "codecs": [{"payloadType": 112, "mappedPayloadType": 103}],
            "encodings": [{"ssrc": 22, "mappedSsrc": 100}],
        },
        "traceEventTypes": ["sr"],
        "paused": False,
    }
    channel.answers[m.ProducerDump] = dump(producer, [STREAM])
    (stream,) = (await producer.dump())["rtpStreams"]
    assert stream["score"] == 10 and stream["params"]["useNack"] is True and "rtxStream" not in stream


def base_stats(**more):
    return m.StreamStats(
        data=m.BaseStats(
            timestamp=1,
            ssrc=22,
            kind=m.MediaKind.VIDEO,
            mime_type="video/H264",
            packets_lost=-1,
            fraction_lost=2,
            jitter=3,
            packets_discarded=4,
            packets_retransmitted=5,
            packets_repaired=6,
            nack_count=7,
            nack_packet_count=8,
            pli_count=9,
            fir_count=10,
            rtx_packets_discarded=0,
            round_trip_time=11.5,
            score=10,
            **more,
        )
    )


async def test_stats(producer, channel):
    received = m.RecvStats(
        base=base_stats(rid="r0", rtx_ssrc=23),
        packet_count=1,
        byte_count=2,
        bitrate=3,
        bitrate_by_layer=[m.BitrateByLayer(layer="0.0", bitrate=3)],
    )
    channel.answers[m.ProducerGetStats] = m.ProducerGetStatsResponse(stats=[m.StreamStats(data=received)])
    assert await producer.get_stats() == [
        {
            "type": "inbound-rtp",
            "timestamp": 1,
            "ssrc": 22,
            "rtxSsrc": 23,
            "rid": "r0",
            "kind": "video",
            "mimeType": "video/H264",
            "packetsLost": -1,
            "fractionLost": 2,
            "jitter": 3,
            "packetsDiscarded": 4,
            "packetsRetransmitted": 5,
            "packetsRepaired": 6,
            "nackCount": 7,
            "nackPacketCount": 8,
            "pliCount": 9,
            "firCount": 10,
            "roundTripTime": 11.5,
            "rtxPacketsDiscarded": 0,
            "score": 10,
            "packetCount": 1,
            "byteCount": 2,
            "bitrate": 3,
            "bitrateByLayer": {"0.0": 3},
        }
    ]


async def test_closing(producer, channel):
    record(channel.log, producer=producer)
    producer.close()
    producer.close()
    assert channel.log == ["TRANSPORT_CLOSE_PRODUCER", "producer observer close"]
    assert channel.posted[0][0] == m.TransportCloseProducer(producer_id=producer.id)
    channel.news(producer, m.ProducerScore(scores=[]))
    assert producer.closed and producer.score == []


async def test_copies(producer):
    producer.rtp_parameters["codecs"].clear()
    producer.consumable_rtp_parameters["encodings"].clear()
    assert producer.rtp_parameters["codecs"] and producer.consumable_rtp_parameters["encodings"]


async def test_app_data_can_be_replaced(producer):
    producer.app_data = ["anything", "that", "is", "an", "object"]
    assert producer.app_data[0] == "anything"
    with pytest.raises(TypeError, match="app_data"):
        producer.app_data = "text"
