"""The journal keeps what is to be told of the living objects, and nothing of the dead."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sfu_core.channel import messages as m
from sfu_core.channel.journal import Journal, closed_by, is_shared, peer_done

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
        assert journal.created(request, handler, (peer_done(request, None), handler)) is not None
    return journal


def ids(journal: Journal) -> set[str]:
    return {name for name in "srqabpc" if name in journal}


def told(journal: Journal, *names: str) -> list[str]:
    """What is to be told of these objects, by name and in order."""
    found = []
    for name in names:
        entry = journal.get(name)
        assert entry is not None
        for message, _ in entry.told():
            kind = m.request_type(message.method) if isinstance(message, m.PeerDone) else type(message)
            assert kind is not None
            found.append(kind.NAME)
    return found


def test_owners_come_before_what_belongs_to_them() -> None:
    journal = filled()
    assert [entry.id for entry in journal] == ["s", "r", "q", "a", "b", "p", "c"]
    assert [entry.owners for entry in journal] == [(), (), (), ("r", "s"), ("r",), ("a",), ("b",)]
    assert [entry.serial for entry in journal] == [1, 2, 3, 4, 5, 6, 7]
    assert told(journal, *"srqabpc") == [
        "WORKER_CREATE_WEBRTCSERVER",
        "WORKER_CREATE_ROUTER",
        "WORKER_CREATE_ROUTER",
        "ROUTER_CREATE_WEBRTCTRANSPORT_WITH_SERVER",
        "ROUTER_CREATE_DIRECTTRANSPORT",
        "TRANSPORT_PRODUCE",
        "TRANSPORT_CONSUME",
    ]


def change(journal: Journal, message: m.Request[Any] | m.Notification, id: str) -> None:
    news = peer_done(message, None) if isinstance(message, m.Request) else message
    journal.changed(message, id, (news, id))


def test_the_last_of_each_kind_of_change_is_kept() -> None:
    journal = filled()
    for _ in range(1000):
        change(journal, m.ProducerPause(), "p")
        change(journal, m.ProducerScore(scores=[]), "p")
        change(journal, m.ProducerResume(), "p")
    assert told(journal, "p") == ["TRANSPORT_PRODUCE", "PRODUCER_SCORE", "PRODUCER_RESUME"]
    change(journal, m.WorkerDescribeRouter(router_id="r", rtp_capabilities={}), "")
    change(journal, m.DataConsumerBufferedAmountLow(buffered_amount=1), "p")
    assert told(journal, "r", "p")[1:3] == ["WORKER_DESCRIBE_ROUTER", "TRANSPORT_PRODUCE"]
    assert len(told(journal, "p")) == 3


def test_what_has_no_object_is_not_kept() -> None:
    journal = Journal()
    assert journal.changed(m.ProducerPause(), "p", (m.ProducerScore(scores=[]), "p")) is None
    assert journal.created(m.RouterDump(), "r") is None and journal.closed(m.RouterDump()) == []
    assert journal.created(direct("b"), "r") is None, "its router has gone"
    assert len(journal) == 0
    assert [is_shared(each) for each in (m.RouterDump(), m.ProducerPause(), direct("b"))] == [False, True, True]


def after(request: m.Request[Any]) -> set[str]:
    journal = filled()
    there = ids(journal)
    ended = journal.closed(request)
    assert {entry.id for entry in ended} == there - ids(journal)
    assert not ended or ended[0].id == closed_by(request)
    return ids(journal)


def test_an_objects_end_takes_along_what_belongs_to_it() -> None:
    assert after(m.WorkerCloseRouter(router_id="r")) == {"s", "q"}
    assert after(m.WorkerWebRtcServerClose(web_rtc_server_id="s")) == {"r", "q", "b", "c"}
    assert after(m.RouterCloseTransport(transport_id="b")) == {"s", "r", "q", "a", "p"}
    assert after(m.RouterCloseTransport(transport_id="a")) == {"s", "r", "q", "b", "c"}
    assert after(m.TransportCloseProducer(producer_id="p")) == {"s", "r", "q", "a", "b", "c"}, "c has to be told"
    assert after(m.TransportCloseConsumer(consumer_id="c")) == {"s", "r", "q", "a", "b", "p"}
    assert after(m.WorkerCloseRouter(router_id="unknown")) == set("srqabpc")


@given(st.lists(st.sampled_from("srqabpc"), unique=True))
def test_nothing_remains_when_all_is_gone(order: list[str]) -> None:
    journal = filled()
    for name in order:
        journal.forget(name)
        assert name not in journal
    for name in "srq":
        journal.forget(name)
    assert len(journal) == 0
    assert journal._owned == {}
