"""What all transports share: limits, traces, dumps, statistics."""

import pytest

from sfu_core.channel import messages as m
from sfu_core.errors import SfuError, UnsupportedError

from .conftest import World, extension

Uri = m.RtpHeaderExtensionUri


@pytest.fixture(autouse=True)
def room(world: World) -> None:
    world.router(), world.plain()


def set_limits(world: World, minimum: int | None = None, maximum: int | None = None) -> None:
    if minimum is not None:
        world.ask(m.TransportSetMinOutgoingBitrate(min_outgoing_bitrate=minimum), "p")
    if maximum is not None:
        world.ask(m.TransportSetMaxOutgoingBitrate(max_outgoing_bitrate=maximum), "p")


def limits(world: World) -> tuple[int | None, int | None]:
    base = world.ask(m.TransportGetStats(), "p").base
    return base.min_outgoing_bitrate, base.max_outgoing_bitrate


def test_outgoing_limits(world: World) -> None:
    assert limits(world) == (None, None)
    set_limits(world, maximum=300_000, minimum=30_000)
    assert limits(world) == (30_000, 300_000)
    set_limits(world, minimum=0)
    set_limits(world, maximum=0)
    assert limits(world) == (None, None)


@pytest.mark.parametrize(
    ("before", "wrong", "name"),
    [
        ({}, {"minimum": 29_999}, "minOutgoingBitrate"),
        ({}, {"maximum": 1}, "maxOutgoingBitrate"),
        ({"maximum": 40_000}, {"minimum": 50_000}, "minOutgoingBitrate"),
        ({"minimum": 50_000}, {"maximum": 40_000}, "maxOutgoingBitrate"),
    ],
)
def test_wrong_outgoing_limits(world: World, before: dict[str, int], wrong: dict[str, int], name: str) -> None:
    set_limits(world, **before)
    kept = limits(world)
    with pytest.raises(TypeError, match=name):
        set_limits(world, **wrong)
    assert limits(world) == kept


@pytest.mark.parametrize("bitrate", [1, 1_000_000])
def test_incoming_limit_goes_to_the_engine(world: World, bitrate: int) -> None:
    world.ask(m.TransportSetMaxIncomingBitrate(max_incoming_bitrate=bitrate), "p")
    (entry,) = world.engine.live["transport"].values()
    assert entry["max_incoming"] == bitrate
    assert world.ask(m.TransportGetStats(), "p").base.max_incoming_bitrate == bitrate


def test_trace_types_replace_each_other(world: World) -> None:
    for types in ([1, 0, 1], [1], []):
        events = [m.TransportTraceEventType(type) for type in types]
        world.ask(m.TransportEnableTraceEvent(events=events), "p")
        assert world.ask(m.TransportDump(), "p").base.trace_event_types == sorted(set(events))


def test_extensions_are_learned_from_producers(world: World) -> None:
    dumped = world.ask(m.TransportDump(), "p").base.recv_rtp_header_extensions
    assert dumped == m.RecvRtpHeaderExtensions()
    unread = extension(Uri.VIDEO_ORIENTATION, 9)
    world.produce("a", "p", header_extensions=[extension(Uri.MID, 4), unread])
    other = {"mid": "1", "encodings": [m.RtpEncodingParameters(rid="x")]}
    world.produce("b", "p", header_extensions=[extension(Uri.RTP_STREAM_ID, 10)], **other)
    dumped = world.ask(m.TransportDump(), "p").base.recv_rtp_header_extensions
    assert dumped == m.RecvRtpHeaderExtensions(mid=4, rid=10)
    (entry,) = world.engine.live["transport"].values()
    assert entry["extensions"] == {1: 4, 2: 10}


def test_estimates_are_there_once_a_producer_has_feedback(world: World) -> None:
    def base() -> m.TransportBaseStats:
        stats: m.PlainTransportGetStatsResponse = world.ask(m.TransportGetStats(), "p")
        return stats.base

    assert base().available_incoming_bitrate is None
    world.produce("remb", "p")
    assert base().available_incoming_bitrate == 13
    assert base().rtp_packet_loss_received is None
    assert (base().bytes_received, base().rtx_send_bitrate, base().timestamp) == (1, 12, 5000)
    assert (base().probation_bytes_sent, base().available_outgoing_bitrate) == (0, None)


def test_loss_is_reported_with_transport_cc(world: World) -> None:
    world.produce("cc", "p", header_extensions=[extension(Uri.TRANSPORT_WIDE_CC_DRAFT01, 5)])
    assert world.ask(m.TransportGetStats(), "p").base.rtp_packet_loss_received == 0.0


def test_sctp_is_not_supported_yet(world: World) -> None:
    with pytest.raises(UnsupportedError, match="enableSctp"):
        world.plain("p2", base=m.TransportOptions(enable_sctp=True))
    assert len(world.engine.handles("transport")) == len(world.engine.handles("socket")) == 1


def test_rtcp_of_the_application_needs_a_direct_transport(world: World) -> None:
    world.tell(m.TransportSendRtcp(data=b"rtcp"), "p")
    assert world.engine.called("send_rtcp") == [] and len(world.log) == 1


def test_duplicate_producer_id(world: World) -> None:
    world.produce("a", "p")
    with pytest.raises(SfuError, match="exists already"):
        world.produce("a", "p", mid="1", encodings=[m.RtpEncodingParameters(ssrc=9)])
    listener = world.ask(m.TransportDump(), "p").base.rtp_listener
    assert [entry.key for entry in listener.ssrc_table] == [1111, 1112]
