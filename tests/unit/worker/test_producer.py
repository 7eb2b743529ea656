"""Producers: what the engine is told, dumps, statistics, pauses, scores, and their end."""

import pytest

from sfu_core.channel import messages as m
from sfu_core.errors import NotFoundError, SfuError
from sfu_core.worker.events import EngineEvent
from sfu_core.worker.producer import MAX_RTP_BYTES

from .conftest import World, extension, opus

Uri = m.RtpHeaderExtensionUri


@pytest.fixture(autouse=True)
def room(world: World) -> None:
    world.router(), world.direct(), world.plain()


def stream_of(world: World) -> int:
    (stream,) = world.engine.handles("recv")
    return stream


def scores(ssrc: int, score: int, rid: str | None = None) -> m.ProducerScore:
    return m.ProducerScore(scores=[m.ProducerStreamScore(encoding_idx=0, ssrc=ssrc, rid=rid, score=score)])


def test_what_the_engine_is_told(world: World) -> None:
    reply = world.produce(key_frame_request_delay=500, paused=True)
    assert reply.type is m.RtpType.SIMPLE
    (entry,) = world.engine.live["producer"].values()
    assert entry | {"streams": None} == {
        "streams": None,
        "transport": world.worker.routers["r"].transports["d"].handle,
        "kind": 1,
        "codecs": [(96, 101, 32, 90000, -1), (97, 102, 0, 90000, 96)],
        "encodings": [(1111, 1112, "", 96)],
        "mid": "0",
        "extensions": {1: 4, 4: 3},
        "nack": True,
        "pli": True,
        "fir": True,
        "feedback": 2,
        "paused": True,
        "key_frame_request_delay_ms": 500,
        "packet_id": False,
    }


def test_audio_without_rtx(world: World) -> None:
    mapping = m.RtpMapping(
        codecs=[m.CodecMapping(payload_type=111, mapped_payload_type=100)],
        encodings=[m.EncodingMapping(mapped_ssrc=900)],
    )
    world.produce(
        kind=m.MediaKind.AUDIO,
        codecs=[opus()],
        encodings=[m.RtpEncodingParameters()],
        header_extensions=[extension(Uri.MID, 1), extension(Uri.TRANSPORT_WIDE_CC_DRAFT01, 5)],
        rtp_mapping=mapping,
    )
    (entry,) = world.engine.live["producer"].values()
    assert entry["encodings"] == [(0, 0, "", 111)]
    assert (entry["kind"], entry["nack"], entry["pli"], entry["fir"]) == (0, False, False, False)
    assert entry["feedback"] == 1


@pytest.mark.parametrize(
    ("extensions", "feedback"),
    [([], 0), ([Uri.ABS_SEND_TIME], 2), ([Uri.ABS_SEND_TIME, Uri.TRANSPORT_WIDE_CC_DRAFT01], 1)],
)
def test_feedback_needs_the_extension_too(world: World, extensions: list[Uri], feedback: int) -> None:
    world.produce(header_extensions=[extension(uri, n) for n, uri in enumerate(extensions, 1)])
    (entry,) = world.engine.live["producer"].values()
    assert entry["feedback"] == feedback


def test_dump_before_any_packet(world: World) -> None:
    world.produce()
    dump = world.ask(m.ProducerDump(), "prod")
    assert (dump.id, dump.kind, dump.type, dump.paused) == (
        "prod",
        m.MediaKind.VIDEO,
        m.RtpType.SIMPLE,
        False,
    )
    assert dump.rtp_streams == [] and dump.trace_event_types == []
    assert dump.rtp_parameters.encodings[0].codec_payload_type == 96  # what was absent is filled in
    assert dump.rtp_mapping.encodings[0].mapped_ssrc == 900
    assert world.ask(m.ProducerGetStats(), "prod").stats == []


def test_first_packet_makes_a_stream(world: World) -> None:
    world.produce(encodings=[m.RtpEncodingParameters(rid="a")])
    world.emit(EngineEvent.NEW_STREAM, stream_of(world), 4242)
    assert world.news("prod") == [scores(4242, 10, "a")]
    (stream,) = world.ask(m.ProducerDump(), "prod").rtp_streams
    assert (stream.params.ssrc, stream.params.rid, stream.params.cname) == (4242, "a", "alice")
    assert (stream.params.payload_type, stream.params.mime_type, stream.score) == (96, "video/VP8", 10)
    assert (stream.params.use_nack, stream.params.use_pli, stream.params.use_fir) == (True, True, True)
    assert stream.rtx_stream is None and stream.params.rtx_ssrc is None
    table = world.ask(m.TransportDump(), "d").base.rtp_listener.ssrc_table
    assert table == [m.Uint32String(key=4242, value="prod")]


def test_rtx_stream_appears_with_its_first_packet(world: World) -> None:
    world.produce()
    world.emit(EngineEvent.NEW_STREAM, stream_of(world), 1111)
    world.emit(EngineEvent.NEW_RTX_STREAM, stream_of(world), 7777)
    (stream,) = world.ask(m.ProducerDump(), "prod").rtp_streams
    assert stream.rtx_stream is not None
    assert (stream.rtx_stream.params.ssrc, stream.rtx_stream.params.payload_type) == (7777, 97)
    assert (stream.params.rtx_ssrc, stream.params.rtx_payload_type) == (7777, 97)
    assert 7777 in [entry.key for entry in world.ask(m.TransportDump(), "d").base.rtp_listener.ssrc_table]


def test_score_is_told_on_change_only(world: World) -> None:
    world.produce()
    world.emit(EngineEvent.NEW_STREAM, stream_of(world), 1111)
    world.news()
    world.emit(EngineEvent.RECV_SCORE, stream_of(world), 10)
    assert world.news() == []
    world.emit(EngineEvent.RECV_SCORE, stream_of(world), 7)
    assert world.news() == [scores(1111, 7)]


@pytest.mark.parametrize(
    ("value", "camera", "flip", "rotation"), [(0, 0, 0, 0), (1, 0, 0, 90), (0b1110, 1, 1, 180), (3, 0, 0, 270)]
)
def test_orientation(world: World, value: int, camera: int, flip: int, rotation: int) -> None:
    world.produce()
    world.emit(EngineEvent.ORIENTATION, stream_of(world), value)
    change = m.ProducerVideoOrientationChange(camera=bool(camera), flip=bool(flip), rotation=rotation)
    assert world.news() == [change]


def test_stats(world: World) -> None:
    world.produce()
    stream = stream_of(world)
    world.emit(EngineEvent.NEW_STREAM, stream, 1111)
    world.engine.live["recv"][stream]["stats"] = {"ssrc": 1111, "rtx_ssrc": 1112, "packets_lost": -3}
    (stats,) = world.ask(m.ProducerGetStats(), "prod").stats
    recv = stats.data
    assert isinstance(recv, m.RecvStats) and isinstance(recv.base.data, m.BaseStats)
    base = recv.base.data
    assert (base.ssrc, base.rtx_ssrc, base.packets_lost, base.kind) == (1111, 1112, -3, m.MediaKind.VIDEO)
    assert (base.mime_type, base.timestamp, base.packets_discarded) == ("video/VP8", 5000, 7)
    assert (recv.packet_count, recv.byte_count, recv.bitrate, recv.bitrate_by_layer) == (1, 2, 3, [])


def test_pause_and_resume_are_passed_on_once(world: World) -> None:
    world.produce()
    world.consume(transport="p")
    for message in (m.ProducerPause(), m.ProducerPause(), m.ProducerResume(), m.ProducerResume()):
        world.ask(message, "prod")
    producer = world.engine.handles("producer")[0]
    assert world.engine.called("pause_producer") == [(producer, True), (producer, False)]
    assert world.said == [("cons", m.ConsumerProducerPause()), ("cons", m.ConsumerProducerResume())]


def test_trace(world: World) -> None:
    world.produce()
    types = [m.ProducerTraceEventType.SR, m.ProducerTraceEventType.KEYFRAME]
    world.ask(m.ProducerEnableTraceEvent(events=types), "prod")
    (producer,) = world.engine.handles("producer")
    assert world.engine.live["producer"][producer]["trace"] == 0b100001
    assert world.ask(m.ProducerDump(), "prod").trace_event_types == sorted(types)
    world.emit(EngineEvent.PRODUCER_TRACE, producer, 5, 1234, 0, (1111, 1, 2, 3, 4, 5))
    info = m.SrTraceInfo(ssrc=1111, ntp_sec=1, ntp_frac=2, rtp_ts=3, packet_count=4, octet_count=5)
    assert world.news() == [m.ProducerTrace(type=types[0], timestamp=1234, direction=m.TraceDirection.IN, info=info)]


def test_send_on_a_direct_transport_only(world: World) -> None:
    world.produce()
    world.produce("other", "p", encodings=[m.RtpEncodingParameters(ssrc=2)])
    world.tell(m.ProducerSend(data=b"rtp"), "prod")
    world.tell(m.ProducerSend(data=b"rtp"), "other")
    world.tell(m.ProducerSend(data=bytes(MAX_RTP_BYTES + 1)), "prod")
    assert world.engine.called("inject_rtp") == [(world.worker.routers["r"].producers["prod"].handle, b"rtp")]
    assert len(world.log) == 2


def test_close(world: World) -> None:
    world.produce()
    world.ask(m.TransportCloseProducer(producer_id="prod"), "d")
    assert world.engine.handles("producer") == world.engine.handles("recv") == []
    assert world.ask(m.RouterDump(), "r").map_producer_id_consumer_ids == []
    listener = world.ask(m.TransportDump(), "d").base.rtp_listener
    assert listener == m.RtpListener(ssrc_table=[], mid_table=[], rid_table=[])
    with pytest.raises(NotFoundError):
        world.ask(m.TransportCloseProducer(producer_id="prod"), "d")
    world.produce()  # the same numbers are free again


def test_late_events_of_a_closed_producer_find_nobody(world: World) -> None:
    world.produce()
    stream = stream_of(world)
    world.ask(m.TransportCloseProducer(producer_id="prod"), "d")
    world.emit(EngineEvent.NEW_STREAM, stream, 1111)
    assert world.news() == []


@pytest.mark.parametrize(
    "second",
    [
        {"mid": "1"},
        {"mid": "1", "encodings": [m.RtpEncodingParameters(ssrc=5, rtx=m.Rtx(ssrc=1112))]},
        {"encodings": [m.RtpEncodingParameters(ssrc=5)]},
    ],
    ids=["ssrc", "rtx ssrc", "mid"],
)
def test_ambiguous_producers_are_refused(world: World, second: dict[str, object]) -> None:
    world.produce()
    before = world.ask(m.TransportDump(), "d")
    with pytest.raises(SfuError, match="already"):
        world.produce("prod2", **second)
    assert world.ask(m.TransportDump(), "d") == before
    assert len(world.engine.handles("producer")) == 1


def test_engine_that_refuses_leaves_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> tuple[int, list[int]]:
        raise SfuError("no free producer")

    with monkeypatch.context() as patch:
        patch.setattr(world.engine, "add_producer", refuse)
        with pytest.raises(SfuError, match="no free"):
            world.produce()
    world.produce()
