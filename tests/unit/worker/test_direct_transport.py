"""DirectTransport: RTCP to and from the application, no limits, no network."""

import pytest

from sfu_core.channel import messages as m
from sfu_core.errors import UnsupportedError
from sfu_core.worker.events import EngineEvent

from .conftest import World


@pytest.fixture(autouse=True)
def room(world: World) -> None:
    world.router(), world.direct()


def test_dump_and_stats(world: World) -> None:
    dump = world.ask(m.TransportDump(), "d")
    assert isinstance(dump, m.DirectTransportDumpResponse)
    assert (dump.base.id, dump.base.direct, dump.base.sctp_parameters) == ("d", True, None)
    stats = world.ask(m.TransportGetStats(), "d")
    assert isinstance(stats, m.DirectTransportGetStatsResponse)
    assert stats.base.transport_id == "d"


def test_rtcp_both_ways(world: World) -> None:
    (handle,) = world.engine.handles("transport")
    world.tell(m.TransportSendRtcp(data=b"out"), "d")
    assert world.engine.called("send_rtcp") == [(handle, b"out")]
    world.emit(EngineEvent.RTCP, handle, b"in")
    assert world.said == [("d", m.DirectTransportRtcp(data=b"in"))]


@pytest.mark.parametrize(
    "request_",
    [
        m.TransportSetMaxIncomingBitrate(max_incoming_bitrate=1),
        m.TransportSetMaxOutgoingBitrate(max_outgoing_bitrate=0),
        m.TransportSetMinOutgoingBitrate(min_outgoing_bitrate=0),
    ],
)
def test_limits_are_not_supported(world: World, request_: m.Request[None]) -> None:
    with pytest.raises(UnsupportedError):
        world.ask(request_, "d")


def test_what_only_others_understand(world: World) -> None:
    with pytest.raises(Exception, match="does not understand"):
        world.ask(m.TransportRestartIce(), "d")
