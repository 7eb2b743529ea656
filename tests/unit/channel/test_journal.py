"""The journal keeps what is needed to build the living objects again, and nothing of the dead."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sfu_core.channel import messages as m
from sfu_core.channel.journal import Journal

OPTIONS = m.TransportOptions()
RTP = m.RtpParameters(codecs=[], header_extensions=[], encodings=[], rtcp=m.RtcpParameters())


def webrtc(transport: str, server: str) -> m.RouterCreateWebRtcTransportWithServer:
    listen = m.ListenServer(web_rtc_server_id=server)
    return m.RouterCreateWebRtcTransportWithServer(
        transport_id=transport, options=m.WebRtcTransportOptions(base=OPTIONS, listen=listen)
    )


def direct(transport: str) -> m.RouterCreateDirectTransport:
    return m.RouterCreateDirectTransport(transport_id=transport, options=m.DirectTransportOptions(base=OPTIONS))


def produce(producer: str) -> m.TransportProduce:
    return m.TransportProduce(
        producer_id=producer,
        kind=m.MediaKind.AUDIO,
        rtp_parameters=RTP,
        rtp_mapping=m.RtpMapping(codecs=[], encodings=[]),
    )


def consume(consumer: str, producer: str) -> m.TransportConsume:
    return m.TransportConsume(
        consumer_id=consumer,
        producer_id=producer,
        kind=m.MediaKind.AUDIO,
        rtp_parameters=RTP,
        type=m.RtpType.SIMPLE,
        consumable_rtp_encodings=[],
    )


def filled() -> Journal:
    """server s; router r with transports a (on s) and b; producer p on a; consumer c of p on b; router q."""
    journal = Journal()
    for request, handler in (
        (m.WorkerCreateWebRtcServer(web_rtc_server_id="s"), ""),
        (m.WorkerCreateRouter(router_id="r"), ""),
        (m.WorkerCreateRouter(router_id="q"), ""),
        (webrtc("a", "s"), "r"),
        (direct("b"), "r"),
        (produce("p"), "a"),
        (consume("c", "p"), "b"),
    ):
        journal.accepted(request, handler)
    return journal


def ids(journal: Journal) -> set[str]:
    return {name for name in "srqabpc" if name in journal}


def test_entries_replay_parents_first() -> None:
    entries = list(filled())
    assert [entry.request.NAME for entry in entries] == [
        "WORKER_CREATE_WEBRTCSERVER",
        "WORKER_CREATE_ROUTER",
        "WORKER_CREATE_ROUTER",
        "ROUTER_CREATE_WEBRTCTRANSPORT_WITH_SERVER",
        "ROUTER_CREATE_DIRECTTRANSPORT",
        "TRANSPORT_PRODUCE",
        "TRANSPORT_CONSUME",
    ]
    assert [entry.handler_id for entry in entries] == ["", "", "", "r", "r", "a", "b"]


def test_other_requests_leave_no_trace() -> None:
    journal = Journal()
    journal.accepted(m.ProducerPause(), "p")
    journal.accepted(m.RouterDump(), "r")
    assert len(journal) == 0


def after(request: m.Request[Any]) -> set[str]:
    journal = filled()
    journal.accepted(request, "")
    return ids(journal)


def test_an_objects_end_takes_its_descendants_along() -> None:
    assert after(m.WorkerCloseRouter(router_id="r")) == {"s", "q"}
    assert after(m.WorkerWebRtcServerClose(web_rtc_server_id="s")) == {"r", "q", "b"}
    assert after(m.RouterCloseTransport(transport_id="b")) == {"s", "r", "q", "a", "p"}
    assert after(m.RouterCloseTransport(transport_id="a")) == {"s", "r", "q", "b"}
    assert after(m.TransportCloseProducer(producer_id="p")) == {"s", "r", "q", "a", "b"}
    assert after(m.TransportCloseConsumer(consumer_id="c")) == {"s", "r", "q", "a", "b", "p"}
    assert after(m.WorkerCloseRouter(router_id="unknown")) == set("srqabpc")


def test_news_of_an_end_counts() -> None:
    journal = filled()
    journal.notified(m.ConsumerProducerPause(), "c")
    assert "c" in journal
    journal.notified(m.ConsumerProducerClose(), "c")
    assert ids(journal) == {"s", "r", "q", "a", "b", "p"}


@given(st.lists(st.sampled_from("srqabpc"), unique=True))
def test_nothing_remains_when_all_is_gone(order: list[str]) -> None:
    journal = filled()
    for name in order:
        journal.forget(name)
        assert name not in journal
    for name in "srq":
        journal.forget(name)
    assert len(journal) == 0
    assert journal._dependents == {}
