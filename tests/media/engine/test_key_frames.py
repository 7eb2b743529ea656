"""Who asks for a key frame, and how often the publisher hears of it."""

from tests.media.engine.rig import Publisher, Rig, Subscriber

PLI = (206, 1)
FIR = (206, 4)


def test_many_requests_within_a_second_are_one_and_a_retry(rig: Rig) -> None:
    publisher = Publisher(rig)
    subscribers = [Subscriber(rig, publisher) for _ in range(20)]
    rig.run(1)
    publisher.publish(key=True)
    rig.run(10)
    asked = len(publisher.rtcp_of(*PLI))
    for _ in range(10):
        for subscriber in subscribers:
            subscriber.pli()
        rig.run(50)
    assert len(publisher.rtcp_of(*PLI)) == asked + 1
    rig.run(1000)
    assert len(publisher.rtcp_of(*PLI)) == asked + 2, "nobody answered, so it is repeated once"
    rig.run(3000)
    assert len(publisher.rtcp_of(*PLI)) == asked + 2


def test_a_key_frame_ends_the_request(rig: Rig) -> None:
    publisher = Publisher(rig)
    subscriber = Subscriber(rig, publisher)
    rig.run(1)
    publisher.publish(key=True)
    rig.run(1)
    asked = len(publisher.rtcp_of(*PLI))
    subscriber.pli()
    rig.run(5)
    subscriber.pli()
    rig.run(5)
    publisher.publish(key=True)
    rig.run(2000)
    assert len(publisher.rtcp_of(*PLI)) == asked + 1


def test_the_delay_of_the_producer_merges_requests(rig: Rig) -> None:
    publisher = Publisher(rig, key_frame_request_delay_ms=2000)
    subscriber = Subscriber(rig, publisher)
    rig.run(1)
    asked = len(publisher.rtcp_of(*PLI))
    for _ in range(15):
        publisher.publish(key=True)
        subscriber.pli()
        rig.run(100)
    assert len(publisher.rtcp_of(*PLI)) == asked + (asked == 0)
    rig.run(1000)
    assert len(publisher.rtcp_of(*PLI)) == asked + (asked == 0) + 1


def test_fir_where_the_codec_has_no_pli(rig: Rig) -> None:
    publisher = Publisher(rig, pli=False, fir=True)
    subscriber = Subscriber(rig, publisher)
    rig.run(3)
    publisher.publish(key=True)
    rig.run(1)
    subscriber.pli()
    rig.run(3)
    requests = publisher.rtcp_of(*FIR)
    assert len(requests) >= 2
    assert len({body[12] for body in requests}) == len(requests), "each has its own sequence number"


def test_nothing_is_asked_of_a_paused_producer(rig: Rig) -> None:
    publisher = Publisher(rig, paused=True)
    subscriber = Subscriber(rig, publisher)
    rig.run(5)
    subscriber.pli()
    rig.run(5)
    assert publisher.rtcp_of(*PLI) == []


def test_the_application_can_ask(rig: Rig) -> None:
    publisher = Publisher(rig)
    subscriber = Subscriber(rig, publisher)
    rig.run(1)
    publisher.publish(key=True)
    rig.run(1)
    asked = len(publisher.rtcp_of(*PLI))
    rig.engine.request_key_frame(subscriber.stream)
    rig.run(2)
    assert len(publisher.rtcp_of(*PLI)) == asked + 1


def test_a_request_is_repeated_while_a_subscriber_has_no_picture(rig: Rig) -> None:
    """A browser ignores a request within 300 ms of the last one, and a subscriber that has seen nothing cannot ask."""
    publisher = Publisher(rig)
    Subscriber(rig, publisher)
    rig.run(1)
    publisher.publish(key=True)
    rig.run(1)
    late = Subscriber(rig, publisher)
    rig.run(1)
    asked = len(publisher.rtcp_of(*PLI))
    rig.run(500)
    assert len(publisher.rtcp_of(*PLI)) == asked + 1, "early, for the first picture is to come within a second"
    rig.run(1000)
    assert len(publisher.rtcp_of(*PLI)) == asked + 2
    publisher.publish(key=True)
    rig.run(1)
    assert len(late.media) == 1
    asked = len(publisher.rtcp_of(*PLI))
    rig.run(3000)
    assert len(publisher.rtcp_of(*PLI)) == asked


def test_a_publisher_that_missed_the_request_is_asked_again_while_somebody_waits(rig: Rig) -> None:
    """Browsers ignore a request that comes too soon after a key frame; the new subscriber must not wait for ever."""
    publisher = Publisher(rig)
    first = Subscriber(rig, publisher)
    rig.run(1)
    publisher.publish(key=True)
    rig.run(5)
    second = Subscriber(rig, publisher)
    rig.run(5)
    asked = len(publisher.rtcp_of(*PLI))
    rig.run(3500, lambda ms: publisher.publish() if ms % 50 == 0 else None)
    assert len(publisher.rtcp_of(*PLI)) >= asked + 3
    publisher.publish(key=True)
    rig.run(2)
    assert len(second.media) == 1
    settled = len(publisher.rtcp_of(*PLI))
    rig.run(5000)
    assert len(publisher.rtcp_of(*PLI)) == settled
    assert len(first.media) > 50
