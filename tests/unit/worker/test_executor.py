"""Every message has its answer: a method, or a clear refusal."""

import pytest

from sfu_core.channel import messages as m
from sfu_core.errors import NotFoundError, SfuError, UnsupportedError
from sfu_core.worker.executor import NOTIFICATIONS, REQUESTS, UNSUPPORTED

from .conftest import World


def test_every_request_of_the_vocabulary_is_known() -> None:
    """Served, refused by name, or of an object whose creation is refused."""
    rest = set(m.REQUESTS.values()) - set(REQUESTS) - set(UNSUPPORTED)
    prefixes = ("DataProducer", "DataConsumer", "RtpObserver")
    others = {
        m.TransportConnect,  # reserved
        m.RouterCloseRtpObserver,
        m.TransportCloseDataProducer,
        m.TransportCloseDataConsumer,
    }
    assert {kind for kind in rest if not kind.__name__.startswith(prefixes)} == others


def test_every_notification_to_the_worker_is_known() -> None:
    to_worker = {m.NOTIFICATIONS[number] for number in range(4)}
    assert to_worker - set(NOTIFICATIONS) == {m.WorkerClose, m.DataProducerSend}


def test_unknown_id(world: World) -> None:
    with pytest.raises(NotFoundError, match="'x'"):
        world.ask(m.RouterDump(), "x")


@pytest.mark.parametrize("message", [m.RouterDump(), m.ProducerPause(), m.WebRtcServerDump(), m.TransportConnect()])
def test_message_for_another_kind_of_object(world: World, message: m.Request[object]) -> None:
    world.router(), world.direct()
    with pytest.raises(SfuError, match="does not understand"):
        world.ask(message, "d")
    with pytest.raises(SfuError, match="does not understand"):
        world.ask(message)


@pytest.mark.parametrize(
    ("message", "id"),
    [
        (
            m.RouterCreateActiveSpeakerObserver(
                rtp_observer_id="o", options=m.ActiveSpeakerObserverOptions(interval=300)
            ),
            "r",
        ),
        (
            m.RouterCreateAudioLevelObserver(
                rtp_observer_id="o",
                options=m.AudioLevelObserverOptions(max_entries=1, threshold=-80, interval=1000),
            ),
            "r",
        ),
        (m.TransportProduceData(data_producer_id="x", type=m.DataType.DIRECT), "d"),
        (m.TransportConsumeData(data_consumer_id="x", data_producer_id="y", type=m.DataType.DIRECT), "d"),
    ],
)
def test_what_is_not_done_yet(world: World, message: m.Request[object], id: str) -> None:
    world.router(), world.direct()
    with pytest.raises(UnsupportedError, match="not supported yet"):
        world.ask(message, id)


def test_notification_for_nobody_is_ignored(world: World) -> None:
    world.tell(m.ProducerSend(data=b""), "gone")


def test_a_full_engine_is_a_plain_refusal(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> int:
        raise BufferError("no room for another transport")

    world.router()
    monkeypatch.setattr(world.engine, "add_direct_transport", full)
    with pytest.raises(SfuError, match="no room"):
        world.direct()
    assert world.ask(m.RouterDump(), "r").transport_ids == []
