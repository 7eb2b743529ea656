"""Consumers: what the engine is told, dumps, statistics, scores, pauses, and every way they end."""

from typing import Any

import pytest

from sfu_core.channel import messages as m
from sfu_core.errors import NotFoundError, SfuError, UnsupportedError
from sfu_core.worker.events import EngineEvent

from .conftest import World, extension, vp8

Uri = m.RtpHeaderExtensionUri


@pytest.fixture(autouse=True)
def room(world: World) -> None:
    world.router(), world.direct(), world.direct("d2")
    world.produce()
    world.news()


def sent(world: World) -> dict[str, Any]:
    (entry,) = world.engine.live["send"].values()
    return entry


def stream_of(world: World, slab: str = "send") -> int:
    (stream,) = world.engine.handles(slab)
    return stream


def test_what_the_engine_is_told(world: World) -> None:
    extensions = [extension(Uri.MID, 1), extension(Uri.TRANSPORT_WIDE_CC_DRAFT01, 5)]
    world.consume(transport="d2", header_extensions=extensions, mid="7", paused=True, ignore_dtx=True)
    assert sent(world) == {
        "transport": world.worker.routers["r"].transports["d2"].handle,
        "recv": world.engine.handles("recv")[0],
        "ssrc": 5000,
        "rtx_ssrc": 5001,
        "rtx_payload_type": 102,
        "payload_types": [101],
        "mid": "7",
        "cname": "alice",
        "extensions": [1, 5],
        "nack": True,
        "pipe": False,
        "ignore_dtx": True,
        "paused": True,
        "stats": {},
    }


def test_without_rtx(world: World) -> None:
    world.consume(codecs=vp8(101)[:1], encodings=[m.RtpEncodingParameters(ssrc=5000)])
    assert (sent(world)["rtx_ssrc"], sent(world)["rtx_payload_type"]) == (0, -1)
    (stream,) = world.ask(m.ConsumerDump(), "cons").data.rtp_streams
    assert stream.rtx_stream is None


def test_reply_and_dump(world: World) -> None:
    world.ask(m.ProducerPause(), "prod")
    reply = world.consume(transport="d2")
    scores = m.ConsumerScores(score=10, producer_score=0, producer_scores=[0])
    assert reply == m.TransportConsumeResponse(paused=False, producer_paused=True, score=scores)
    dump = world.ask(m.ConsumerDump(), "cons").data
    base = dump.base
    assert (base.id, base.producer_id, base.type, base.kind) == ("cons", "prod", m.RtpType.SIMPLE, 1)
    assert (base.supported_codec_payload_types, base.priority) == ([101], 1)
    assert (base.paused, base.producer_paused, base.trace_event_types) == (False, True, [])
    (stream,) = dump.rtp_streams
    assert (stream.params.ssrc, stream.params.rtx_ssrc, stream.params.rtx_payload_type) == (5000, 5001, 102)
    assert stream.score == 10 and dump.preferred_spatial_layer is None
    transport = world.ask(m.TransportDump(), "d2").base
    assert transport.map_ssrc_consumer_id == [m.Uint32String(key=5000, value="cons")]
    assert transport.map_rtx_ssrc_consumer_id == [m.Uint32String(key=5001, value="cons")]


def test_unknown_producer(world: World) -> None:
    with pytest.raises(NotFoundError, match="'nobody'"):
        world.consume(producer_id="nobody")


def test_a_producer_of_another_router_is_unknown(world: World) -> None:
    world.router("r2"), world.direct("d3", "r2")
    with pytest.raises(NotFoundError):
        world.consume(transport="d3")


def test_ssrc_of_another_consumer(world: World) -> None:
    world.consume()
    with pytest.raises(SfuError, match="5000"):
        world.consume("cons2")
    world.consume("cons2", "d2")  # on another transport it is no matter
    assert len(world.engine.handles("send")) == 2


def test_encoding_that_the_producer_does_not_have(world: World) -> None:
    with pytest.raises(SfuError, match="mapped ssrc 901"):
        world.consume(consumable_rtp_encodings=[m.RtpEncodingParameters(ssrc=901)])
    assert world.engine.handles("send") == []
    world.consume()


@pytest.mark.parametrize("type", [m.RtpType.SIMULCAST, m.RtpType.SVC])
def test_layers_are_not_supported_yet(world: World, type: m.RtpType) -> None:
    with pytest.raises(UnsupportedError):
        world.consume(type=type)


def test_scores(world: World) -> None:
    world.consume()
    world.emit(EngineEvent.NEW_STREAM, stream_of(world, "recv"), 1111)
    world.emit(EngineEvent.SEND_SCORE, stream_of(world), 8)
    world.emit(EngineEvent.SEND_SCORE, stream_of(world), 8)
    world.emit(EngineEvent.RECV_SCORE, stream_of(world, "recv"), 6)
    told = [news.score for news in world.news("cons") if isinstance(news, m.ConsumerScore)]
    assert [(s.score, s.producer_score, s.producer_scores) for s in told] == [
        (10, 10, [10]),
        (8, 10, [10]),
        (8, 6, [6]),
    ]


def test_pipe_consumers_have_constant_scores_and_no_events(world: World) -> None:
    reply = world.consume(type=m.RtpType.PIPE)
    assert (reply.score.score, reply.score.producer_score) == (10, 10)
    world.emit(EngineEvent.NEW_STREAM, stream_of(world, "recv"), 1111)
    world.emit(EngineEvent.SEND_SCORE, stream_of(world), 3)
    assert world.news("cons") == []
    assert sent(world)["pipe"] is True


def test_stats_include_the_source_once_it_flows(world: World) -> None:
    world.consume()
    assert len(world.ask(m.ConsumerGetStats(), "cons").stats) == 1
    world.emit(EngineEvent.NEW_STREAM, stream_of(world, "recv"), 1111)
    send, recv = (stats.data for stats in world.ask(m.ConsumerGetStats(), "cons").stats)
    assert isinstance(send, m.SendStats) and isinstance(recv, m.RecvStats)
    base = send.base.data
    assert isinstance(base, m.BaseStats)
    assert (base.ssrc, base.rtx_ssrc, base.packets_discarded, base.rtx_packets_discarded) == (
        5000,
        5001,
        0,
        0,
    )
    assert (send.packet_count, send.byte_count, send.bitrate) == (1, 2, 3)


def test_stats_of_a_pipe_are_its_own_only(world: World) -> None:
    world.consume(type=m.RtpType.PIPE)
    world.emit(EngineEvent.NEW_STREAM, stream_of(world, "recv"), 1111)
    assert len(world.ask(m.ConsumerGetStats(), "cons").stats) == 1


def test_pause_and_resume(world: World) -> None:
    world.consume()
    for message in (m.ConsumerPause(), m.ConsumerPause(), m.ConsumerResume(), m.ConsumerResume()):
        world.ask(message, "cons")
    stream = stream_of(world)
    assert world.engine.called("pause_send_stream") == [(stream, True), (stream, False)]
    assert world.news() == []


def test_key_frame_request(world: World) -> None:
    world.consume()
    world.ask(m.ConsumerRequestKeyFrame(), "cons")
    assert world.engine.called("request_key_frame") == [(stream_of(world),)]


def test_preferred_layers_have_no_effect(world: World) -> None:
    world.consume()
    request = m.ConsumerSetPreferredLayers(preferred_layers=m.ConsumerLayers(spatial_layer=2))
    assert world.ask(request, "cons") == m.ConsumerSetPreferredLayersResponse(preferred_layers=None)


def test_priority(world: World) -> None:
    world.consume()
    assert world.ask(m.ConsumerSetPriority(priority=255), "cons").priority == 255
    with pytest.raises(TypeError, match="priority"):
        world.ask(m.ConsumerSetPriority(priority=0), "cons")
    assert world.ask(m.ConsumerDump(), "cons").data.base.priority == 255


def test_rtp_for_the_application(world: World) -> None:
    world.consume()
    world.emit(EngineEvent.RTP, stream_of(world), b"packet")
    assert world.said == [("cons", m.ConsumerRtp(data=b"packet"))]


def test_trace(world: World) -> None:
    world.consume()
    types = [m.ConsumerTraceEventType.RTP, m.ConsumerTraceEventType.PLI]
    world.ask(m.ConsumerEnableTraceEvent(events=types), "cons")
    assert sent(world)["trace"] == 0b11000
    info = (0, 101, 9, 90000, 1, 5000, 0, 1200, 1180, "7", "", "", -1)
    world.emit(EngineEvent.CONSUMER_TRACE, stream_of(world), 4, 1234, 1, info)
    (trace,) = world.news()
    assert isinstance(trace, m.ConsumerTrace) and isinstance(trace.info, m.RtpTraceInfo)
    assert (trace.type, trace.timestamp, trace.direction) == (types[0], 1234, m.TraceDirection.OUT)
    packet = trace.info.rtp_packet
    assert (packet.ssrc, packet.size, packet.payload_size, packet.marker) == (5000, 1200, 1180, True)
    assert (packet.mid, packet.rid, packet.wide_sequence_number, trace.info.is_rtx) == ("7", None, None, False)


def test_closing_it_says_nothing(world: World) -> None:
    world.consume(transport="d2")
    world.ask(m.TransportCloseConsumer(consumer_id="cons"), "d2")
    assert world.news() == [] and world.engine.handles("send") == []
    assert world.ask(m.RouterDump(), "r").map_consumer_id_producer_id == []
    with pytest.raises(NotFoundError):
        world.ask(m.TransportCloseConsumer(consumer_id="cons"), "d2")


def test_closing_its_producer_tells_it(world: World) -> None:
    world.consume("c1"), world.consume("c2", "d2")
    world.ask(m.TransportCloseProducer(producer_id="prod"), "d")
    assert world.said == [("c1", m.ConsumerProducerClose()), ("c2", m.ConsumerProducerClose())]
    assert world.ask(m.TransportDump(), "d2").base.consumer_ids == []


def test_closing_its_transport_says_nothing(world: World) -> None:
    world.consume(transport="d2")
    world.ask(m.RouterCloseTransport(transport_id="d2"), "r")
    assert world.news() == []
    assert world.ask(m.RouterDump(), "r").map_producer_id_consumer_ids[0].values == []
